package localaws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// s3API is Amazon S3 with path-style addresses, as far as bundles and records of a quarantine need it:
// buckets, objects of at most 16 MiB, conditional reads and writes, checksums, lists. The rest is
// NotImplemented: among other things versions, parts, copies and presigned URLs. The last write of an object
// wins.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
var s3API = &api{
	contentType: "application/xml", iam: "s3",
	actions: map[string]action{
		"ListBuckets":   onObjects((*Server).listBuckets),
		"CreateBucket":  onObjects((*Server).createBucket),
		"HeadBucket":    onObjects((*Server).headBucket),
		"DeleteBucket":  onObjects((*Server).deleteBucket),
		"ListObjectsV2": onObjects((*Server).listObjects),
		"PutObject":     onObjects((*Server).putObject),
		"GetObject":     onObjects((*Server).getObject),
		"HeadObject":    onObjects((*Server).getObject),
		"DeleteObject":  onObjects((*Server).deleteObject),
		"":              onObjects((*Server).notInS3),
	},
	throttled: &fault{status: http.StatusServiceUnavailable, code: "SlowDown",
		message: "Please reduce your request rate."},
	broken: &fault{status: http.StatusInternalServerError, code: "InternalError",
		message: "We encountered an internal error. Please try again."},
	denied: func(s *Server, action string) error {
		return s3Fault(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: s3:%s",
			s.caller(), action)
	},
	encode: encodeS3,
}

func s3Fault(status int, code, format string, args ...any) error {
	return &fault{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// encodeS3 writes an answer, or an error as S3 has it.
func encodeS3(out any, f *fault) ([]byte, error) {
	if f != nil {
		out = struct {
			XMLName                  xml.Name `xml:"Error"`
			Code, Message, RequestID string
		}{Code: f.code, Message: f.message, RequestID: newUUID()}
	}
	body, err := xml.Marshal(out)
	return append([]byte(xml.Header), body...), err
}

// objectStore are the buckets. Its lock makes each operation atomic.
type objectStore struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

// bucket is one of them, and its row in the journal.
type bucket struct {
	Created time.Time

	objects map[string]*object // by key; they are not changed, but replaced
}

// object is one of them, and its row in the journal.
type object struct {
	Content  []byte
	ETag     string            // with its quotes
	Header   map[string]string // what it was put with, such as Content-Type, and its checksum
	Modified time.Time
}

// The journal's rows of S3. The key of an object is the name of its bucket, "/" and its key.
const (
	bucketRows = "s3.buckets"
	objectRows = "s3.objects"
)

// loadObjects reads what the journal has. It is called before the server serves.
func (s *Server) loadObjects() error {
	err := s.journal.load(bucketRows, func(name string, row []byte) error {
		b := &bucket{objects: map[string]*object{}}
		s.objects.buckets[name] = b
		return json.Unmarshal(row, b)
	})
	if err != nil {
		return err
	}
	return s.journal.load(objectRows, func(at string, row []byte) error {
		name, key, _ := strings.Cut(at, "/")
		b, o := s.objects.buckets[name], &object{}
		if b == nil {
			return fmt.Errorf("its bucket is missing")
		}
		b.objects[key] = o
		return json.Unmarshal(row, o)
	})
}

// s3Call is a request to S3, as the JSON that its actions read.
type s3Call struct {
	Method, Bucket, Key string
	Length              int64 // of the body, as the request says; -1 = it does not
	Query               map[string][]string
	Header              http.Header
	Body                []byte
}

// isS3 reports whether a request is signed for S3.
func isS3(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Authorization"), "/s3/aws4_request")
}

// ofBuckets and ofObjects are the actions by their methods; those of objects have a key.
var (
	ofBuckets = map[string]string{"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
	ofObjects = map[string]string{"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject",
		"DELETE": "DeleteObject"}
)

// s3Request is the action of a request to S3, and its input; "" = it has none.
func s3Request(r *http.Request, body []byte) (action string, in []byte) {
	c := s3Call{Method: r.Method, Length: r.ContentLength, Query: r.URL.Query(), Header: r.Header, Body: body}
	c.Bucket, c.Key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	in = plainJSON(c)
	query := maps.Clone(c.Query)
	delete(query, "x-id") // a name of the operation, for logs
	list := r.Method == http.MethodGet && c.Key == "" && r.URL.Query().Get("list-type") == "2"
	switch {
	case list && c.Bucket != "":
		return "ListObjectsV2", in
	case len(query) > 0 || r.Header.Get("X-Amz-Copy-Source") != "" || !utf8.ValidString(r.URL.Path):
		return "", in
	case c.Bucket == "" && r.Method == http.MethodGet:
		return "ListBuckets", in
	case c.Key == "":
		return ofBuckets[r.Method], in
	}
	return ofObjects[r.Method], in
}

// onObjects is decoded for an action of S3. It runs with the lock of the objects held. A bucket has one
// owner, the account.
func onObjects[Out any](f func(*Server, *s3Call) (Out, error)) action {
	return decoded(func(s *Server, c *s3Call) (out Out, err error) {
		if owner := c.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != s.opts.Account {
			return out, s3Fault(http.StatusForbidden, "AccessDenied", "Access Denied")
		}
		s.objects.mu.Lock()
		defer s.objects.mu.Unlock()
		return f(s, c)
	})
}

func (s *Server) notInS3(c *s3Call) (nothing, error) {
	return nothing{}, s3Fault(http.StatusNotImplemented, "NotImplemented",
		"The local S3 does not have this operation or parameter: %s of a bucket or object, with the query %v",
		c.Method, sortedKeys(c.Query))
}

func (s *Server) findBucket(name string) (*bucket, error) {
	if b := s.objects.buckets[name]; b != nil {
		return b, nil
	}
	return nil, s3Fault(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
}

// answerOfS3 is an answer that is not XML.
type answerOfS3 struct {
	status int
	header map[string]string
	call   *s3Call
	object *object // nil = the answer has no body
}

// write has net/http judge the conditions and the range of a read.
func (a *answerOfS3) write(w http.ResponseWriter) {
	w.Header().Set("X-Amz-Request-Id", newUUID())
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	if a.object == nil {
		w.WriteHeader(a.status)
		return
	}
	r := &http.Request{Method: a.call.Method, Header: a.call.Header}
	http.ServeContent(w, r, "", a.object.Modified, bytes.NewReader(a.object.Content))
}

type bucketEntry struct{ Name, CreationDate string }

type listBucketsOutput struct {
	XMLName xml.Name      `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
	Owner   string        `xml:"Owner>ID"`
	Buckets []bucketEntry `xml:"Buckets>Bucket"`
}

// s3Time is how S3 writes a time in XML.
const s3Time = "2006-01-02T15:04:05.000Z"

func (s *Server) listBuckets(*s3Call) (*listBucketsOutput, error) {
	out := &listBucketsOutput{Owner: s.opts.Account}
	for _, name := range sortedKeys(s.objects.buckets) {
		out.Buckets = append(out.Buckets,
			bucketEntry{name, s.objects.buckets[name].Created.UTC().Format(s3Time)})
	}
	return out, nil
}

var bucketNames = expression(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (s *Server) createBucket(c *s3Call) (*answerOfS3, error) {
	out := &answerOfS3{status: http.StatusOK, header: map[string]string{"Location": "/" + c.Bucket}}
	switch {
	case !matches(bucketNames, c.Bucket):
		return nil, s3Fault(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.")
	case s.objects.buckets[c.Bucket] != nil && s.opts.Region == "us-east-1":
		return out, nil // there, and only there, S3 answers so
	case s.objects.buckets[c.Bucket] != nil:
		return nil, s3Fault(http.StatusConflict, "BucketAlreadyOwnedByYou",
			"Your previous request to create the named bucket succeeded and you already own it.")
	}
	b := &bucket{Created: s.opts.Now(), objects: map[string]*object{}}
	s.objects.buckets[c.Bucket] = b
	s.journal.put(bucketRows, c.Bucket, b)
	return out, nil
}

func (s *Server) headBucket(c *s3Call) (*answerOfS3, error) {
	_, err := s.findBucket(c.Bucket)
	return &answerOfS3{status: http.StatusOK,
		header: map[string]string{"X-Amz-Bucket-Region": s.opts.Region}}, err
}

func (s *Server) deleteBucket(c *s3Call) (*answerOfS3, error) {
	b, err := s.findBucket(c.Bucket)
	switch {
	case err != nil:
		return nil, err
	case len(b.objects) > 0:
		return nil, s3Fault(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty")
	}
	delete(s.objects.buckets, c.Bucket)
	s.journal.remove(bucketRows, c.Bucket)
	return &answerOfS3{status: http.StatusNoContent}, nil
}
