package localaws

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxObjectKey is the limit of S3, in bytes.
const maxObjectKey = 1024

// maxMetadata is the limit of S3 for metadata of a user, in bytes.
const maxMetadata = 2 << 10

// keptHeaders come back with an object as they were put.
var keptHeaders = []string{"Content-Type", "Cache-Control", "Content-Disposition", "Content-Language",
	"Expires"}

const (
	metadataPrefix = "X-Amz-Meta-"
	checksumPrefix = "X-Amz-Checksum-"
)

// checksums are the algorithms, by the end of their header.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
var checksums = map[string]func() hash.Hash{
	"Crc32":  func() hash.Hash { return crc32.NewIEEE() },
	"Crc32c": func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"Crc64nvme": func() hash.Hash {
		const nvme = 0x9a6c9329ac4bc9b5 // the polynomial of NVM Express, in the order of its bits that Go wants
		return crc64.New(crc64.MakeTable(nvme))
	},
	"Md5":    md5.New,
	"Sha1":   sha1.New,
	"Sha256": sha256.New,
	"Sha512": sha512.New,
}

// defaultChecksum is that of an object that was put without one.
const defaultChecksum = "Crc64nvme"

// putObject judges the content before the condition, as S3 does.
func (s *Server) putObject(c *s3Call) (*answerOfS3, error) {
	b, err := s.findBucket(c.Bucket)
	switch {
	case err != nil:
		return nil, err
	case len(c.Key) > maxObjectKey:
		return nil, s3Fault(http.StatusBadRequest, "KeyTooLongError", "Your key is too long")
	case c.Length < 0 && c.Header.Get("X-Amz-Decoded-Content-Length") == "":
		return nil, s3Fault(http.StatusLengthRequired, "MissingContentLength",
			"You must provide the Content-Length HTTP header.")
	}
	o, err := c.content()
	if err != nil {
		return nil, err
	}
	o.Modified = s.opts.Now()
	old := b.objects[c.Key]
	if err := c.mayPut(old); err != nil {
		return nil, err
	}
	b.objects[c.Key] = o
	s.journal.put(objectRows, c.Bucket+"/"+c.Key, o)
	return &answerOfS3{status: http.StatusOK, header: map[string]string{"ETag": o.ETag}}, nil
}

// mayPut judges the condition of a write.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (c *s3Call) mayPut(old *object) error {
	unmet := s3Fault(http.StatusPreconditionFailed, "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold")
	none, match := c.Header.Get("If-None-Match"), c.Header.Get("If-Match")
	switch {
	case none != "" && match != "" || none != "" && none != "*":
		return s3Fault(http.StatusNotImplemented, "NotImplemented",
			"A header you provided implies functionality that is not implemented")
	case none != "" && old != nil:
		return unmet
	case match != "" && old == nil:
		return noObject()
	case match != "" && match != "*" && strings.Trim(match, `"`) != strings.Trim(old.ETag, `"`):
		return unmet
	}
	return nil
}

func noObject() error {
	return s3Fault(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
}

// content is the object of a request, whose checksums hold.
func (c *s3Call) content() (*object, error) {
	o := &object{Content: c.Body, Header: map[string]string{}}
	digest := c.Header.Get("X-Amz-Content-Sha256")
	if strings.HasPrefix(digest, "STREAMING-") {
		var err error
		if o.Content, err = c.unchunked(); err != nil {
			return nil, err
		}
	} else if sum := sha256.Sum256(o.Content); digest != "UNSIGNED-PAYLOAD" &&
		digest != hex.EncodeToString(sum[:]) {
		return nil, s3Fault(http.StatusBadRequest, "XAmzContentSHA256Mismatch",
			"The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	sum := md5.Sum(o.Content)
	o.ETag = `"` + hex.EncodeToString(sum[:]) + `"`
	if want := c.Header.Get("Content-Md5"); want != "" && want != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, badDigest("Content-MD5")
	}
	hasSum := false
	for name, values := range c.Header {
		algorithm, isSum := strings.CutPrefix(name, checksumPrefix)
		if _, isMeta := strings.CutPrefix(name, metadataPrefix); isMeta || slices.Contains(keptHeaders, name) {
			o.Header[name] = strings.Join(values, ",")
		}
		if !isSum || algorithm == "Algorithm" || algorithm == "Type" || algorithm == "Mode" {
			continue
		}
		if err := o.check(algorithm, values[0]); err != nil {
			return nil, err
		}
		o.Header[name], hasSum = values[0], true
	}
	if !hasSum { // then S3 takes this one
		o.Header[checksumPrefix+defaultChecksum] = o.checksum(checksums[defaultChecksum])
	}
	var encodings []string // without how the request was framed
	for encoding := range strings.SplitSeq(c.Header.Get("Content-Encoding"), ",") {
		if encoding = strings.TrimSpace(encoding); encoding != "" && encoding != "aws-chunked" {
			encodings = append(encodings, encoding)
		}
	}
	if len(encodings) > 0 {
		o.Header["Content-Encoding"] = strings.Join(encodings, ",")
	}
	size := 0
	for name, value := range o.Header {
		if strings.HasPrefix(name, metadataPrefix) {
			size += len(name) - len(metadataPrefix) + len(value)
		}
	}
	if size > maxMetadata {
		return nil, s3Fault(http.StatusBadRequest, "MetadataTooLarge",
			"Your metadata headers exceed the maximum allowed metadata size")
	}
	return o, nil
}

func badDigest(what string) error {
	return s3Fault(http.StatusBadRequest, "BadDigest",
		"The %s you specified did not match the calculated checksum.", what)
}

// check compares the checksum of an algorithm.
func (o *object) check(algorithm, want string) error {
	start := checksums[algorithm]
	if start == nil {
		return s3Fault(http.StatusNotImplemented, "NotImplemented",
			"The local S3 does not have the checksum %.40q", algorithm)
	}
	if o.checksum(start) != want {
		return badDigest(strings.ToUpper(algorithm))
	}
	return nil
}

func (o *object) checksum(start func() hash.Hash) string {
	h := start()
	h.Write(o.Content)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// unchunked is the content of a body that is framed as aws-chunked. The checksum in its trailer becomes a
// header of the call. The signatures of the chunks are not verified, as no signature is.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
func (c *s3Call) unchunked() ([]byte, error) {
	framed := s3Fault(http.StatusBadRequest, "IncompleteBody", "The body is not framed as aws-chunked")
	var content []byte
	rest := c.Body
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		hexadecimal, _, _ := strings.Cut(string(line), ";")
		size, err := strconv.ParseUint(hexadecimal, 16, 32)
		if !ok || err != nil || size > uint64(len(after)) {
			return nil, framed
		}
		if rest = after; size == 0 {
			break // what is left is the trailer
		}
		content = append(content, rest[:size]...)
		if rest, ok = bytes.CutPrefix(rest[size:], []byte("\r\n")); !ok {
			return nil, framed
		}
	}
	if c.Header.Get("X-Amz-Decoded-Content-Length") != strconv.Itoa(len(content)) {
		return nil, framed
	}
	for line := range strings.SplitSeq(string(rest), "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if name = textproto.CanonicalMIMEHeaderKey(name); ok && strings.HasPrefix(name, checksumPrefix) {
			c.Header.Set(name, strings.TrimSpace(value))
		}
	}
	return content, nil
}

func (s *Server) getObject(c *s3Call) (*answerOfS3, error) {
	b, err := s.findBucket(c.Bucket)
	if err != nil {
		return nil, err
	}
	o := b.objects[c.Key]
	if o == nil {
		return nil, noObject()
	}
	header := map[string]string{"Content-Type": "binary/octet-stream", "ETag": o.ETag}
	withSum := c.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && c.Header.Get("Range") == ""
	for name, value := range o.Header {
		if withSum || !strings.HasPrefix(name, checksumPrefix) {
			header[name] = value
		}
	}
	return &answerOfS3{header: header, call: c, object: o}, nil
}

// deleteObject does not tell whether there was one, as S3 does not.
func (s *Server) deleteObject(c *s3Call) (*answerOfS3, error) {
	b, err := s.findBucket(c.Bucket)
	switch {
	case err != nil:
		return nil, err
	case c.Header.Get("If-Match") != "":
		return nil, s3Fault(http.StatusNotImplemented, "NotImplemented",
			"The local S3 does not have conditional deletes")
	}
	if b.objects[c.Key] != nil {
		delete(b.objects, c.Key)
		s.journal.remove(objectRows, c.Bucket+"/"+c.Key)
	}
	return &answerOfS3{status: http.StatusNoContent}, nil
}

type objectEntry struct {
	Key, LastModified, ETag string
	Size                    int
	StorageClass            string
}

type prefixEntry struct{ Prefix string }

type listObjectsOutput struct {
	XMLName                                  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name, Prefix                             string
	Delimiter, StartAfter                    string `xml:",omitempty"`
	EncodingType                             string `xml:",omitempty"`
	ContinuationToken, NextContinuationToken string `xml:",omitempty"`
	KeyCount, MaxKeys                        int
	IsTruncated                              bool
	Contents                                 []objectEntry
	CommonPrefixes                           []prefixEntry
}

// mostObjects is how many entries one answer has.
const mostObjects = 1000

// listParameters are those of ListObjectsV2 that are there.
var listParameters = []string{"list-type", "x-id", "prefix", "delimiter", "start-after", "continuation-token",
	"max-keys", "encoding-type", "fetch-owner"}

func (s *Server) listObjects(c *s3Call) (*listObjectsOutput, error) {
	b, err := s.findBucket(c.Bucket)
	if err != nil {
		return nil, err
	}
	q := url.Values(c.Query)
	for name := range q {
		if !slices.Contains(listParameters, name) {
			return nil, s3Fault(http.StatusNotImplemented, "NotImplemented",
				"The local S3 does not have the parameter %.80q", name)
		}
	}
	out := &listObjectsOutput{
		Name: c.Bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), StartAfter: q.Get("start-after"),
		EncodingType: q.Get("encoding-type"), ContinuationToken: q.Get("continuation-token"),
		MaxKeys: mostObjects,
	}
	if text := q.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, invalidArgument("Provided max-keys not an integer or within integer range")
		}
		out.MaxKeys = min(n, mostObjects)
	}
	after := out.StartAfter
	if out.ContinuationToken != "" {
		token, err := base64.URLEncoding.DecodeString(out.ContinuationToken)
		if err != nil {
			return nil, invalidArgument("The continuation token provided is incorrect")
		}
		after = string(token)
	}
	if out.EncodingType != "" && out.EncodingType != "url" {
		return nil, invalidArgument("Invalid Encoding Method specified in Request")
	}
	out.fill(b, after)
	return out, nil
}

func invalidArgument(message string) error {
	return s3Fault(http.StatusBadRequest, "InvalidArgument", "%s", message)
}

// fill adds the objects that come after a key, or after the keys that begin with a common prefix.
func (out *listObjectsOutput) fill(b *bucket, after string) {
	last, plain := "", out.Prefix
	encode := func(text string) string { return text }
	if out.EncodingType == "url" {
		encode = func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "%2F", "/") }
	}
	for _, key := range sortedKeys(b.objects) {
		rest, in := strings.CutPrefix(key, plain)
		folder := ""
		if i := strings.Index(rest, out.Delimiter); out.Delimiter != "" && i >= 0 {
			folder = plain + rest[:i+len(out.Delimiter)]
		}
		switch {
		case !in || key <= after || folder != "" && (folder == last || folder == after):
			continue
		case out.KeyCount == out.MaxKeys:
			out.IsTruncated = out.MaxKeys > 0
			if out.IsTruncated {
				out.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(last))
			}
			out.encodeNames(encode)
			return
		case folder != "":
			out.CommonPrefixes, last = append(out.CommonPrefixes, prefixEntry{encode(folder)}), folder
		default:
			o := b.objects[key]
			out.Contents, last = append(out.Contents, objectEntry{encode(key),
				o.Modified.UTC().Format(s3Time), o.ETag, len(o.Content), "STANDARD"}), key
		}
		out.KeyCount++
	}
	out.encodeNames(encode)
}

// encodeNames encodes what the request gave.
func (out *listObjectsOutput) encodeNames(encode func(string) string) {
	out.Prefix, out.Delimiter, out.StartAfter = encode(out.Prefix), encode(out.Delimiter), encode(out.StartAfter)
}
