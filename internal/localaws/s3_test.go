package localaws_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
)

func newObjectClient(url string) *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(url), UsePathStyle: true, Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}

func TestObjectContract(t *testing.T) {
	w := newWorld(t, &localaws.Options{Dir: t.TempDir()})
	localawstest.S3(t, newObjectClient(w.server.URL()), nil)
}

// TestObjectsOverAKill: the buckets and the objects, with all that was put with them.
func TestObjectsOverAKill(t *testing.T) {
	q := newKept(t)
	ctx, bucket := t.Context(), aws.String("sealbus")
	client := newObjectClient(q.server.URL())
	for _, name := range []string{"sealbus", "gone"} {
		_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
		q.check(err)
	}
	etags := map[string]string{}
	for _, key := range []string{"a/kept", "gone", "replaced"} {
		for _, content := range []string{"old", "\x00\xff of " + key} {
			out, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key,
				Body: strings.NewReader(content), ContentType: aws.String("text/plain"),
				ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
				Metadata:          map[string]string{"colour": "blue"}})
			q.check(err)
			etags[key] = *out.ETag
		}
	}
	_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("gone")})
	q.check(err)
	_, err = client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("gone")})
	q.check(err)

	q.kill()
	client = newObjectClient(q.server.URL())
	buckets, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
	q.check(err)
	if len(buckets.Buckets) != 1 || *buckets.Buckets[0].Name != "sealbus" {
		t.Errorf("the buckets are %+v", buckets.Buckets)
	}
	list, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	q.check(err)
	if len(list.Contents) != 2 {
		t.Errorf("listed %+v", list.Contents)
	}
	for _, key := range []string{"a/kept", "replaced"} {
		out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key,
			ChecksumMode: types.ChecksumModeEnabled})
		q.check(err)
		content, err := io.ReadAll(out.Body)
		q.check(err)
		if string(content) != "\x00\xff of "+key || *out.ETag != etags[key] || *out.ContentType != "text/plain" ||
			out.Metadata["colour"] != "blue" || aws.ToString(out.ChecksumCRC32) == "" ||
			!out.LastModified.Equal(q.clock.now()) {
			t.Errorf("%s: %q, %s, %v", key, content, *out.ContentType, out.Metadata)
		}
	}
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("replaced"),
		Body: strings.NewReader("x"), IfMatch: aws.String(etags["replaced"])})
	q.check(err) // a condition holds over the kill
}

// The local S3 refuses whatever it does not have. It never ignores it.
func TestS3RefusesWhatItDoesNotHave(t *testing.T) {
	w := newWorld(t, nil)
	client, bucket, key := newObjectClient(w.server.URL()), aws.String("sealbus"), aws.String("a")
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket})
	w.check(err)
	for name, call := range map[string]func() error{
		"versions": func() error {
			_, err := client.GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: bucket})
			return err
		},
		"a version": func() error {
			_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key,
				VersionId: aws.String("1")})
			return err
		},
		"parts": func() error {
			_, err := client.CreateMultipartUpload(t.Context(),
				&s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
			return err
		},
		"a copy": func() error {
			_, err := client.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: bucket, Key: key,
				CopySource: aws.String("sealbus/b")})
			return err
		},
		"the older list": func() error {
			_, err := client.ListObjects(t.Context(), &s3.ListObjectsInput{Bucket: bucket,
				Prefix: aws.String("a")})
			return err
		},
		"a conditional delete": func() error {
			_, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: key,
				IfMatch: aws.String("x")})
			return err
		},
	} {
		if err := call(); localawstest.CodeOf(err) != "NotImplemented" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestS3ObjectsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	client, bucket := newObjectClient(w.server.URL()), aws.String("sealbus")
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket})
	w.check(err)
	for size, fits := range map[int]bool{16 << 20: true, 16<<20 + 1: false} {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("a"),
			Body: bytes.NewReader(make([]byte, size))})
		if (err == nil) != fits {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// An object that was put without a checksum has one, so that the SDK does not log that there is none to
// verify.
func TestEveryObjectHasAChecksum(t *testing.T) {
	w := newWorld(t, nil)
	client := newObjectClient(w.server.URL())
	ctx, bucket, key := t.Context(), aws.String("sealbus"), aws.String("k")
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	w.check(err)
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key,
		Body: strings.NewReader("123456789")})
	w.check(err)
	var logged bytes.Buffer
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key}, func(o *s3.Options) {
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
		o.Logger = logging.NewStandardLogger(&logged)
	})
	w.check(err)
	content, err := io.ReadAll(out.Body)
	w.check(err)
	// The check value of CRC-64/NVME, of its catalogue: ae8b14860a799888.
	if sum := aws.ToString(out.ChecksumCRC64NVME); sum != "rosUhgp5mIg=" || string(content) != "123456789" ||
		logged.Len() > 0 {
		t.Errorf("checksum %q of %q; logged: %s", sum, content, logged.String())
	}
}
