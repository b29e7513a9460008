package localawstest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var objectCases = map[string]func(*run){
	"life of a bucket":     lifeOfABucket,
	"an object":            anObject,
	"odd keys":             oddKeys,
	"what is not there":    whatIsNotThere,
	"conditional reads":    conditionalReads,
	"conditional writes":   conditionalWrites,
	"one write of many":    oneWriteOfMany,
	"checksums":            checksums,
	"checksum of a read":   checksumOfARead,
	"chunks with trailers": chunksWithTrailers,
	"pages of a list":      pagesOfAList,
	"folders":              folders,
	"ranges":               ranges,
	"another owner":        anotherOwner,
}

// bucket makes one, and takes it away with its objects after the case.
func (r *run) bucket() string {
	name := newName()
	_, err := r.objects.CreateBucket(r.ctx, &s3.CreateBucketInput{Bucket: &name})
	r.must(err)
	r.undo = append(r.undo, func() error {
		out, err := r.objects.ListObjectsV2(r.ctx, &s3.ListObjectsV2Input{Bucket: &name,
			EncodingType: types.EncodingTypeUrl})
		if CodeOf(err) == "NoSuchBucket" {
			return nil
		} else if err != nil {
			return err
		}
		for _, o := range out.Contents {
			key, _ := url.QueryUnescape(*o.Key)
			_, err := r.objects.DeleteObject(r.ctx, &s3.DeleteObjectInput{Bucket: &name, Key: &key})
			if err != nil {
				return err
			}
		}
		_, err = r.objects.DeleteBucket(r.ctx, &s3.DeleteBucketInput{Bucket: &name})
		return err
	})
	return name
}

func (r *run) put(bucket, key, content string) (etag string) {
	out, err := r.objects.PutObject(r.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key,
		Body: strings.NewReader(content)})
	r.must(err)
	return aws.ToString(out.ETag)
}

func (r *run) get(bucket, key string) (content string, out *s3.GetObjectOutput) {
	out, err := r.objects.GetObject(r.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	r.must(err)
	return r.read(out), out
}

func (r *run) read(out *s3.GetObjectOutput) string {
	defer func() { _ = out.Body.Close() }()
	content, err := io.ReadAll(out.Body)
	r.must(err)
	return string(content)
}

// status wants an answer with that status.
func (r *run) status(what string, err error, want int) {
	var answer interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) || answer.HTTPStatusCode() != want {
		r.errorf("%s: %v, want status %d", what, err, want)
	}
}

func lifeOfABucket(r *run) {
	name := r.bucket()
	_, err := r.objects.HeadBucket(r.ctx, &s3.HeadBucketInput{Bucket: &name})
	r.must(err)
	out, err := r.objects.ListBuckets(r.ctx, &s3.ListBucketsInput{})
	r.must(err)
	if !slices.ContainsFunc(out.Buckets, func(b types.Bucket) bool { return *b.Name == name }) {
		r.errorf("the bucket is not listed: %+v", out.Buckets)
	}
	r.put(name, "a", "x")
	_, err = r.objects.DeleteBucket(r.ctx, &s3.DeleteBucketInput{Bucket: &name})
	r.refused("to delete a bucket with objects", err, "BucketNotEmpty")
	_, err = r.objects.DeleteObject(r.ctx, &s3.DeleteObjectInput{Bucket: &name, Key: aws.String("a")})
	r.must(err)
	_, err = r.objects.DeleteBucket(r.ctx, &s3.DeleteBucketInput{Bucket: &name})
	r.must(err)
	_, err = r.objects.HeadBucket(r.ctx, &s3.HeadBucketInput{Bucket: &name})
	r.status("a bucket that was deleted", err, http.StatusNotFound)
	_, err = r.objects.CreateBucket(r.ctx, &s3.CreateBucketInput{Bucket: aws.String("Not_A_Name")})
	r.refused("a name that cannot be", err, "InvalidBucketName")
}

func anObject(r *run) {
	bucket := r.bucket()
	content := "line\r\n\x00\xff" + strings.Repeat("x", 70_000)
	put, err := r.objects.PutObject(r.ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: aws.String("a/b.json"), Body: strings.NewReader(content),
		ContentType: aws.String("application/json"), CacheControl: aws.String("no-store"),
		Metadata: map[string]string{"colour": "blue"},
	})
	r.must(err)
	sum := md5.Sum([]byte(content))
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	if aws.ToString(put.ETag) != etag {
		r.errorf("the ETag is %s, want %s", aws.ToString(put.ETag), etag)
	}
	got, out := r.get(bucket, "a/b.json")
	if got != content || aws.ToString(out.ETag) != etag ||
		aws.ToInt64(out.ContentLength) != int64(len(content)) ||
		aws.ToString(out.ContentType) != "application/json" || aws.ToString(out.CacheControl) != "no-store" ||
		!maps.Equal(out.Metadata, map[string]string{"colour": "blue"}) || out.LastModified == nil {
		r.errorf("%d bytes and %+v", len(got), out)
	}
	head, err := r.objects.HeadObject(r.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("a/b.json")})
	r.must(err)
	if aws.ToString(head.ETag) != etag || aws.ToInt64(head.ContentLength) != int64(len(content)) {
		r.errorf("head %+v", head)
	}
	r.put(bucket, "a/b.json", "")
	if got, out := r.get(bucket, "a/b.json"); got != "" || aws.ToInt64(out.ContentLength) != 0 ||
		len(out.Metadata) > 0 {
		r.errorf("replaced: %q, %+v", got, out)
	}
	_, err = r.objects.DeleteObject(r.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("a/b.json")})
	r.must(err)
	_, err = r.objects.DeleteObject(r.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("a/b.json")})
	r.must(err) // twice
	_, err = r.objects.GetObject(r.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("a/b.json")})
	r.refused("an object that was deleted", err, "NoSuchKey")
}

// oddKeys are kept as they are.
func oddKeys(r *run) {
	bucket := r.bucket()
	keys := []string{"a b+c%41&d=e?f#g", "//a//", "../b", "ü/\U0001F600", "a\x01\x1b[2J", `"'<>&`, "x/"}
	for _, key := range keys {
		r.put(bucket, key, "content of "+key)
	}
	for _, key := range keys {
		if got, _ := r.get(bucket, key); got != "content of "+key {
			r.errorf("%q has %q", key, got)
		}
	}
	out, err := r.objects.ListObjectsV2(r.ctx, &s3.ListObjectsV2Input{Bucket: &bucket,
		EncodingType: types.EncodingTypeUrl})
	r.must(err)
	var listed []string
	for _, o := range out.Contents {
		key, err := url.QueryUnescape(*o.Key)
		r.must(err)
		listed = append(listed, key)
	}
	slices.Sort(keys)
	if !slices.Equal(listed, keys) {
		r.errorf("listed %q, want %q", listed, keys)
	}
	long := strings.Repeat("k", 1025)
	_, err = r.objects.PutObject(r.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &long,
		Body: strings.NewReader("x")})
	r.refused("a long key", err, "KeyTooLongError")
}

func whatIsNotThere(r *run) {
	bucket, missing, key := r.bucket(), newName(), aws.String("a")
	_, err := r.objects.GetObject(r.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: key})
	if _, is := errors.AsType[*types.NoSuchKey](err); !is {
		r.errorf("a missing object: %v", err)
	}
	_, err = r.objects.HeadObject(r.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: key})
	r.status("a missing object, head", err, http.StatusNotFound)
	_, err = r.objects.GetObject(r.ctx, &s3.GetObjectInput{Bucket: &missing, Key: key})
	r.refused("a missing bucket", err, "NoSuchBucket")
	_, err = r.objects.PutObject(r.ctx, &s3.PutObjectInput{Bucket: &missing, Key: key,
		Body: strings.NewReader("x")})
	r.refused("a write to it", err, "NoSuchBucket")
	_, err = r.objects.DeleteObject(r.ctx, &s3.DeleteObjectInput{Bucket: &missing, Key: key})
	r.refused("a delete in it", err, "NoSuchBucket")
	_, err = r.objects.ListObjectsV2(r.ctx, &s3.ListObjectsV2Input{Bucket: &missing})
	r.refused("a list of it", err, "NoSuchBucket")
}

func conditionalReads(r *run) {
	bucket := r.bucket()
	etag, key := r.put(bucket, "a", "content"), aws.String("a")
	other := aws.String(`"00000000000000000000000000000000"`)
	for name, c := range map[string]struct {
		in   s3.GetObjectInput
		want int // 0 = the object comes
	}{
		"still the same":   {s3.GetObjectInput{IfNoneMatch: &etag}, http.StatusNotModified},
		"another one":      {s3.GetObjectInput{IfNoneMatch: other}, 0},
		"if it is this":    {s3.GetObjectInput{IfMatch: &etag}, 0},
		"if it is another": {s3.GetObjectInput{IfMatch: other}, http.StatusPreconditionFailed},
	} {
		c.in.Bucket, c.in.Key = &bucket, key
		out, err := r.objects.GetObject(r.ctx, &c.in)
		switch {
		case c.want != 0:
			r.status(name, err, c.want)
		case err != nil:
			r.errorf("%s: %v", name, err)
		default:
			if got := r.read(out); got != "content" {
				r.errorf("%s: %q", name, got)
			}
		}
	}
}

const unmet = "PreconditionFailed"

func conditionalWrites(r *run) {
	bucket := r.bucket()
	put := func(content, match, none string) error {
		in := &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a"), Body: strings.NewReader(content)}
		if match != "" {
			in.IfMatch = &match
		}
		if none != "" {
			in.IfNoneMatch = &none
		}
		_, err := r.objects.PutObject(r.ctx, in)
		return err
	}
	r.refused("to replace what is missing", put("x", `"00000000000000000000000000000000"`, ""), "NoSuchKey")
	r.must(put("one", "", "*"))
	r.refused("to make what is there", put("two", "", "*"), unmet)
	_, out := r.get(bucket, "a")
	first := *out.ETag
	r.must(put("three", first, ""))
	r.refused("to replace what was changed", put("four", first, ""), unmet)
	if got, _ := r.get(bucket, "a"); got != "three" {
		r.errorf("at last it is %q", got)
	}
}

// oneWriteOfMany: of those who make an object at the same time, one does.
func oneWriteOfMany(r *run) {
	bucket := r.bucket()
	var all sync.WaitGroup
	var made, other atomic.Int64
	for i := range 16 {
		all.Go(func() {
			_, err := r.objects.PutObject(r.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a"),
				Body: strings.NewReader(fmt.Sprint(i)), IfNoneMatch: aws.String("*")})
			switch code := CodeOf(err); {
			case err == nil:
				made.Add(1)
			case code != unmet && code != "ConditionalRequestConflict":
				other.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 || other.Load() != 0 {
		r.errorf("%d made it, and %d failed otherwise", made.Load(), other.Load())
	}
}

// checksums that are wrong refuse the object, whatever the algorithm.
func checksums(r *run) {
	bucket := r.bucket()
	wrong := func(n int) *string { return aws.String(base64.StdEncoding.EncodeToString(make([]byte, n))) }
	sum := sha256.Sum256([]byte("content"))
	good := base64.StdEncoding.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		in   s3.PutObjectInput
		good bool
	}{
		"a good SHA-256":  {s3.PutObjectInput{ChecksumSHA256: &good}, true},
		"a good CRC-64":   {s3.PutObjectInput{ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme}, true},
		"a good CRC-32C":  {s3.PutObjectInput{ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c}, true},
		"a good SHA-512":  {s3.PutObjectInput{ChecksumAlgorithm: types.ChecksumAlgorithmSha512}, true},
		"a good SHA-1":    {s3.PutObjectInput{ChecksumAlgorithm: types.ChecksumAlgorithmSha1}, true},
		"a wrong SHA-256": {s3.PutObjectInput{ChecksumSHA256: wrong(32)}, false},
		"a wrong SHA-1":   {s3.PutObjectInput{ChecksumSHA1: wrong(20)}, false},
		"a wrong CRC-32":  {s3.PutObjectInput{ChecksumCRC32: wrong(4)}, false},
		"a wrong CRC-32C": {s3.PutObjectInput{ChecksumCRC32C: wrong(4)}, false},
		"a wrong CRC-64":  {s3.PutObjectInput{ChecksumCRC64NVME: wrong(8)}, false},
		"a wrong MD5":     {s3.PutObjectInput{ContentMD5: wrong(16)}, false},
		"a short SHA-256": {s3.PutObjectInput{ChecksumSHA256: wrong(31)}, false},
	} {
		c.in.Bucket, c.in.Key, c.in.Body = &bucket, aws.String("a"), strings.NewReader("content")
		if _, err := r.objects.PutObject(r.ctx, &c.in); (err == nil) != c.good {
			r.errorf("%s: %v", name, err)
		} else if !c.good && CodeOf(err) != "BadDigest" && CodeOf(err) != "InvalidRequest" {
			r.errorf("%s: %v", name, err)
		}
	}
}

func checksumOfARead(r *run) {
	bucket := r.bucket()
	sum := sha256.Sum256([]byte("content"))
	want := base64.StdEncoding.EncodeToString(sum[:])
	_, err := r.objects.PutObject(r.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a"),
		Body: strings.NewReader("content"), ChecksumSHA256: &want})
	r.must(err)
	out, err := r.objects.GetObject(r.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("a"),
		ChecksumMode: types.ChecksumModeEnabled})
	r.must(err)
	if got := r.read(out); got != "content" || aws.ToString(out.ChecksumSHA256) != want {
		r.errorf("%q with the checksum %v", got, aws.ToString(out.ChecksumSHA256))
	}
}

// chunksWithTrailers: a client that streams sends the checksum behind the content.
func chunksWithTrailers(r *run) {
	bucket := r.bucket()
	const content, good, bad = "0123456789abcdef", "aMTwMw==", "AAAAAA=="
	for trailer, want := range map[string]int{
		"x-amz-checksum-crc32:" + good: http.StatusOK, "x-amz-checksum-crc32:" + bad: http.StatusBadRequest,
	} {
		body := "a\r\n0123456789\r\n6\r\nabcdef\r\n0\r\n" + trailer + "\r\n\r\n"
		if got := r.putRaw(bucket, body, len(content)); got != want {
			r.errorf("%s: status %d, want %d", trailer, got, want)
		}
	}
	for name, body := range map[string]string{
		"a length that is none": "x\r\n0123456789\r\n0\r\n\r\n", "a chunk that is cut": "ff\r\n0123456789",
		"no last chunk": "a\r\n0123456789\r\n", "a chunk without its end": "4\r\n01234567890\r\n\r\n",
	} {
		if got := r.putRaw(bucket, body, 10); got != http.StatusBadRequest {
			r.errorf("%s: status %d", name, got)
		}
	}
	if got, _ := r.get(bucket, "chunked"); got != content {
		r.errorf("it is %q", got)
	}
}

// putRaw puts a body that is framed as aws-chunked, and returns the status.
func (r *run) putRaw(bucket, body string, length int) int {
	o := r.objects.Options()
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPut, *o.BaseEndpoint+"/"+bucket+"/chunked",
		bytes.NewReader([]byte(body)))
	r.must(err)
	const payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	req.Header.Set("X-Amz-Content-Sha256", payload)
	req.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(length))
	req.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
	req.Header.Set("Content-Encoding", "aws-chunked")
	credentials, err := o.Credentials.Retrieve(r.ctx)
	r.must(err)
	r.must(v4.NewSigner().SignHTTP(r.ctx, credentials, req, payload, "s3", o.Region, time.Now()))
	answer, err := o.HTTPClient.Do(req)
	r.must(err)
	_ = answer.Body.Close() // the status is enough
	return answer.StatusCode
}

func pagesOfAList(r *run) {
	bucket := r.bucket()
	var want []string
	for i := range 7 {
		key := fmt.Sprintf("p/%d", i)
		r.put(bucket, key, key)
		want = append(want, key)
	}
	r.put(bucket, "other", "x")
	list := func(in *s3.ListObjectsV2Input) (keys []string) {
		in.Bucket, in.Prefix, in.MaxKeys = &bucket, aws.String("p/"), aws.Int32(3)
		for range 10 {
			out, err := r.objects.ListObjectsV2(r.ctx, in)
			r.must(err)
			for _, o := range out.Contents {
				keys = append(keys, *o.Key)
				if *o.Size != 3 || o.LastModified == nil {
					r.errorf("%+v", o)
				}
			}
			if int(aws.ToInt32(out.KeyCount)) != len(out.Contents) || len(out.Contents) > 3 {
				r.errorf("a page of %d, which says %d", len(out.Contents), aws.ToInt32(out.KeyCount))
			}
			if in.ContinuationToken = out.NextContinuationToken; !aws.ToBool(out.IsTruncated) {
				return keys
			}
		}
		r.errorf("the list has no end")
		return keys
	}
	if got := list(&s3.ListObjectsV2Input{}); !slices.Equal(got, want) {
		r.errorf("listed %q", got)
	}
	if got := list(&s3.ListObjectsV2Input{StartAfter: aws.String("p/2")}); !slices.Equal(got, want[3:]) {
		r.errorf("listed after p/2: %q", got)
	}
}

// folders: what has the same beginning up to a delimiter is one entry.
func folders(r *run) {
	bucket := r.bucket()
	for _, key := range []string{"a", "b/1", "b/2", "b/c/3", "d/4", "e"} {
		r.put(bucket, key, "x")
	}
	for prefix, want := range map[string]string{"": "a b/ d/ e", "b/": "b/1 b/2 b/c/", "x": ""} {
		for _, size := range []int32{1, 2, 1000} {
			var got []string
			in := &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, Delimiter: aws.String("/"), MaxKeys: &size}
			for range 10 {
				out, err := r.objects.ListObjectsV2(r.ctx, in)
				r.must(err)
				for _, o := range out.Contents {
					got = append(got, *o.Key)
				}
				for _, p := range out.CommonPrefixes {
					got = append(got, *p.Prefix)
				}
				if in.ContinuationToken = out.NextContinuationToken; !aws.ToBool(out.IsTruncated) {
					break
				}
			}
			slices.Sort(got)
			if text := strings.Join(got, " "); text != want {
				r.errorf("%q by %d: %q, want %q", prefix, size, text, want)
			}
		}
	}
}

func ranges(r *run) {
	bucket := r.bucket()
	r.put(bucket, "a", "0123456789")
	for text, want := range map[string]string{"bytes=0-3": "0123", "bytes=8-": "89", "bytes=-2": "89",
		"bytes=3-99": "3456789"} {
		out, err := r.objects.GetObject(r.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("a"),
			Range: &text})
		r.must(err)
		if got := r.read(out); got != want || aws.ToString(out.ContentRange) == "" {
			r.errorf("%s: %q, %v", text, got, aws.ToString(out.ContentRange))
		}
	}
	_, err := r.objects.GetObject(r.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("a"),
		Range: aws.String("bytes=10-")})
	r.status("behind the end", err, http.StatusRequestedRangeNotSatisfiable)
}

func anotherOwner(r *run) {
	bucket, owner := r.bucket(), aws.String("999999999999")
	_, err := r.objects.PutObject(r.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a"),
		Body: strings.NewReader("x"), ExpectedBucketOwner: owner})
	r.refused("a write to another's bucket", err, "AccessDenied")
	_, err = r.objects.ListObjectsV2(r.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, ExpectedBucketOwner: owner})
	r.refused("a list of another's bucket", err, "AccessDenied")
}
