package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/internal/localaws"
)

const bucket = "acme-quarantine"

var at = time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)

// fake is an S3 with one bucket, and the real client for it.
type fake struct {
	*awss3.Client
	server  *httptest.Server
	handler http.Handler // what answers; may be replaced before the first call
}

func newFake(t *testing.T) *fake {
	t.Helper()
	objects, err := localaws.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = objects.Close() }) // nothing is kept
	there, err := url.Parse(objects.URL())
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{handler: httputil.NewSingleHostReverseProxy(there)}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }))
	t.Cleanup(f.server.Close)
	f.Client = awss3.New(awss3.Options{
		Region: "us-east-1", BaseEndpoint: &f.server.URL, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
		Retryer:     aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
	})
	if _, err := f.CreateBucket(t.Context(),
		&awss3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	return f
}

func newStore(t *testing.T, client s3.Client, keys consumer.QuarantineKeys,
	opts *s3.Options) quarantine.Store {
	t.Helper()
	s, err := s3.New(client, bucket, keys, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put puts any object.
func (f *fake) put(t *testing.T, key string, doc []byte) {
	t.Helper()
	if _, err := f.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: &key,
		Body: bytes.NewReader(doc)}); err != nil {
		t.Fatal(err)
	}
}

// keys are those of all objects.
func (f *fake) keys(t *testing.T) (keys []string) {
	t.Helper()
	out, err := f.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}

func keyOf(id string) string {
	return "billing/" + id[:4] + "/" + id[4:6] + "/" + id[6:8] + "/" + id + ".json"
}

func TestStore(t *testing.T) {
	quarantinetest.Run(t, func(t *testing.T) *quarantinetest.Place {
		f := newFake(t)
		return &quarantinetest.Place{
			Open: func(t *testing.T, keys consumer.QuarantineKeys) quarantine.Store {
				return newStore(t, f, keys, &s3.Options{Prefix: "billing"})
			},
			Inject: func(t *testing.T, id string, doc []byte) { f.put(t, keyOf(id), doc) },
			Down:   func(*testing.T) { f.server.CloseClientConnections(); f.server.Close() },
			Fits:   2 << 20, TooLarge: 34 << 20,
		}
	})
}

func list(t *testing.T, s quarantine.Store, opts *quarantine.ListOptions) (entries []quarantine.Entry) {
	t.Helper()
	for e, err := range s.List(t.Context(), opts) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// A key says when, and nothing that an attacker can choose.
func TestKey(t *testing.T) {
	f := newFake(t)
	r := quarantinetest.Record(at, "../../../etc/passwd?x=y#z\x00")
	for _, c := range []struct{ prefix, want string }{
		{"billing", `^billing/2026/03/01/20260301T120000\.000000005Z-[0-9a-f]{32}\.json$`},
		{"", `^2026/03/01/20260301T120000\.000000005Z-[0-9a-f]{32}\.json$`},
		{"a=1/b.c", `^a=1/b\.c/2026/03/01/20260301T120000\.000000005Z-[0-9a-f]{32}\.json$`},
	} {
		s := newStore(t, f, quarantinetest.Keys("bin"), &s3.Options{Prefix: c.prefix})
		if err := s.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, key := range f.keys(t) {
			found = found || regexp.MustCompile(c.want).MatchString(key)
		}
		if !found {
			t.Errorf("prefix %q: keys %q", c.prefix, f.keys(t))
		}
	}
}

// Stores of different prefixes do not see each other's records, also if one prefix begins with the other.
func TestPrefixesAreApart(t *testing.T) {
	f := newFake(t)
	billing := newStore(t, f, quarantinetest.Keys("bin"), &s3.Options{Prefix: "billing"})
	billing2 := newStore(t, f, quarantinetest.Keys("bin"), &s3.Options{Prefix: "billing2"})
	if err := billing2.Put(t.Context(), quarantinetest.Record(at, "o-1")); err != nil {
		t.Fatal(err)
	}
	if got := list(t, billing, nil); len(got) != 0 {
		t.Errorf("listed %+v", got)
	}
	if got := list(t, billing2, nil); len(got) != 1 || got[0].Err != nil {
		t.Errorf("listed %+v", got)
	}
}

// A Put that is retried writes over itself.
func TestPutIsTriedAgain(t *testing.T) {
	f := newFake(t)
	inner, puts := f.handler, 0
	f.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			inner.ServeHTTP(w, r)
			return
		}
		if puts++; puts > 1 {
			inner.ServeHTTP(w, r)
			return
		}
		inner.ServeHTTP(httptest.NewRecorder(), r) // it is written, and the answer is lost
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	again := awss3.New(f.Options(), func(o *awss3.Options) {
		o.Retryer = aws.NopRetryer{}
	})
	s := newStore(t, again, quarantinetest.Keys("bin"), nil)
	r := quarantinetest.Record(at, "o-1")
	if err := s.Put(t.Context(), r); err == nil {
		t.Fatal("the answer that was lost is no error")
	}
	if err := s.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, nil); len(got) != 1 || got[0].Err != nil {
		t.Errorf("listed %+v", got)
	}
}

// recorder is a Client that keeps what it is asked.
type recorder struct {
	s3.Client
	put  *awss3.PutObjectInput
	body []byte
	get  *awss3.GetObjectOutput
	page func(*awss3.ListObjectsV2Input) *awss3.ListObjectsV2Output
	wait bool
	err  error
}

func (r *recorder) PutObject(ctx context.Context, in *awss3.PutObjectInput,
	_ ...func(*awss3.Options)) (*awss3.PutObjectOutput, error) {
	if r.wait {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	r.put = in
	r.body, _ = io.ReadAll(in.Body)
	return &awss3.PutObjectOutput{}, r.err
}

func (r *recorder) GetObject(context.Context, *awss3.GetObjectInput,
	...func(*awss3.Options)) (*awss3.GetObjectOutput, error) {
	return r.get, r.err
}

func (r *recorder) ListObjectsV2(_ context.Context, in *awss3.ListObjectsV2Input,
	_ ...func(*awss3.Options)) (*awss3.ListObjectsV2Output, error) {
	return r.page(in), nil
}

func TestPutSaysWhatItIs(t *testing.T) {
	r := &recorder{}
	s := newStore(t, r, quarantinetest.Keys("bin"), &s3.Options{BucketOwner: "111111111111"})
	if err := s.Put(t.Context(), quarantinetest.Record(at, "o-1")); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(r.body)
	if got := aws.ToString(r.put.ChecksumSHA256); got != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("checksum %s", got)
	}
	if got := aws.ToString(r.put.ExpectedBucketOwner); got != "111111111111" {
		t.Errorf("owner %s", got)
	}
	if len(r.put.Metadata) > 0 || r.put.Tagging != nil {
		t.Errorf("something of the event is beside it: %+v", r.put)
	}
}

// An answer that never comes is an error, in the time of the options or of the context.
func TestTimeout(t *testing.T) {
	r := &recorder{wait: true}
	s := newStore(t, r, quarantinetest.Keys("bin"), &s3.Options{Timeout: time.Millisecond})
	if err := s.Put(t.Context(), quarantinetest.Record(at, "o-1")); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("Put: %v", err)
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }
func (e *endless) Close() error               { return nil }

// Nothing is read beyond the limit, whatever S3 says, or does not say, about the size.
func TestGetIsBounded(t *testing.T) {
	id := quarantine.TimeID(at) + "-" + strings.Repeat("a", 32)
	for name, c := range map[string]struct {
		length *int64
		most   int
	}{
		"said":     {aws.Int64(5 << 40), 0},
		"not said": {nil, 2 * consumer.MaxRecord},
		"a lie":    {aws.Int64(10), 2 * consumer.MaxRecord},
	} {
		body := &endless{}
		s := newStore(t, &recorder{get: &awss3.GetObjectOutput{Body: body, ContentLength: c.length}},
			quarantinetest.Keys("bin"), nil)
		if _, err := s.Get(t.Context(), id); !errors.Is(err, quarantine.ErrTooLarge) ||
			!errors.Is(err, consumer.ErrNotAuthentic) {
			t.Errorf("%s: %v", name, err)
		}
		if body.read > c.most {
			t.Errorf("%s: %d bytes were read", name, body.read)
		}
	}
}

// A list that does not end is an error; one that has foreign objects in it goes on.
func TestListIsBounded(t *testing.T) {
	r := &recorder{page: func(*awss3.ListObjectsV2Input) *awss3.ListObjectsV2Output {
		return &awss3.ListObjectsV2Output{IsTruncated: aws.Bool(true),
			NextContinuationToken: aws.String("same")}
	}}
	for _, err := range newStore(t, r, quarantinetest.Keys("bin"), nil).List(t.Context(), nil) {
		if err == nil {
			t.Error("no error")
		}
	}
}

func TestListPages(t *testing.T) {
	f := newFake(t)
	s := newStore(t, &pages{fake: f}, quarantinetest.Keys("bin"), &s3.Options{Prefix: "billing"})
	for i := range 7 {
		if err := s.Put(t.Context(), quarantinetest.Record(at.Add(time.Duration(i)*time.Hour),
			fmt.Sprint("o-", i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, s, nil); len(got) != 7 {
		t.Errorf("%d listed", len(got))
	}
	if got := list(t, s, &quarantine.ListOptions{From: at.Add(5 * time.Hour)}); len(got) != 2 {
		t.Errorf("%d listed", len(got))
	}
}

// pages are small.
type pages struct{ *fake }

func (p *pages) ListObjectsV2(ctx context.Context, in *awss3.ListObjectsV2Input,
	with ...func(*awss3.Options)) (*awss3.ListObjectsV2Output, error) {
	small := *in
	small.MaxKeys = aws.Int32(2)
	return p.Client.ListObjectsV2(ctx, &small, with...)
}

// One object that cannot be read, such as one under an attacker's encryption key, does not hide the others.
func TestOneUnreadable(t *testing.T) {
	f := newFake(t)
	s := newStore(t, f, quarantinetest.Keys("bin"), &s3.Options{Prefix: "billing"})
	for i := range 3 {
		if err := s.Put(t.Context(), quarantinetest.Record(at.Add(time.Duration(i)*time.Hour),
			fmt.Sprint("o-", i))); err != nil {
			t.Fatal(err)
		}
	}
	second := f.keys(t)[1]
	inner := f.handler
	f.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, second) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r)
	})
	got := list(t, s, nil)
	if len(got) != 3 || got[0].Err != nil || got[1].Err == nil || got[2].Err != nil ||
		errors.Is(got[1].Err, consumer.ErrNotAuthentic) {
		t.Errorf("listed %+v", got)
	}
}

func TestForeignObjects(t *testing.T) {
	f := newFake(t)
	s := newStore(t, f, quarantinetest.Keys("bin"), &s3.Options{Prefix: "billing"})
	if err := s.Put(t.Context(), quarantinetest.Record(at, "o-1")); err != nil {
		t.Fatal(err)
	}
	record := list(t, s, nil)[0]
	moved := "billing/2026/03/02/" + record.ID + ".json" // not the day in its name
	f.put(t, "billing/2026/", nil)
	f.put(t, "billing/notes+more %41.txt", []byte("x"))
	f.put(t, moved, record.Document)
	want := map[string]bool{"notes+more %41.txt": true, strings.TrimPrefix(moved, "billing/"): true}
	for _, e := range list(t, s, nil) {
		if e.ID == record.ID {
			continue
		}
		if !want[e.ID] || !errors.Is(e.Err, consumer.ErrNotAuthentic) {
			t.Errorf("listed %+v", e)
		}
		delete(want, e.ID)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

// A key with a control character, which an attacker put there, does not make the whole list unreadable: S3 is
// asked to encode keys.
func TestKeysWithControlCharacters(t *testing.T) {
	f := newFake(t)
	s := newStore(t, f, quarantinetest.Keys("bin"), &s3.Options{Prefix: "billing"})
	if err := s.Put(t.Context(), quarantinetest.Record(at, "o-1")); err != nil {
		t.Fatal(err)
	}
	key := f.keys(t)[0]
	inner := f.handler
	f.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("list-type") != "2" {
			inner.ServeHTTP(w, r)
			return
		}
		encode := func(key string) string { return key }
		if r.URL.Query().Get("encoding-type") == "url" {
			encode = url.QueryEscape
		}
		fmt.Fprintf(w,
			`<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Contents><Key>%s</Key><Size>1</Size></Contents>`+
				`<Contents><Key>%s</Key><Size>1</Size></Contents><Contents><Key>%%zz</Key><Size>1</Size></Contents></ListBucketResult>`,
			encode("billing/\x1b[2J\x01"), encode(key))
	})
	got := list(t, s, nil)
	if len(got) != 3 || got[0].ID != "\x1b[2J\x01" || got[0].Err == nil || got[1].Err != nil ||
		got[2].ID != "%zz" || got[2].Err == nil {
		t.Errorf("listed %+v", got)
	}
}

// A missing object is told from a missing bucket.
func TestGetNotFound(t *testing.T) {
	id := quarantine.TimeID(at) + "-" + strings.Repeat("a", 32)
	s := newStore(t, &recorder{err: &types.NoSuchKey{}}, quarantinetest.Keys("bin"), nil)
	if _, err := s.Get(t.Context(), id); !errors.Is(err, quarantine.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	f := newFake(t)
	missing, err := s3.New(f, "no-such-bucket", quarantinetest.Keys("bin"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := missing.Get(t.Context(), id); err == nil || errors.Is(err, quarantine.ErrNotFound) {
		t.Errorf("a missing bucket: %v", err)
	}
	if err := missing.Put(t.Context(), quarantinetest.Record(at, "o-1")); err == nil {
		t.Error("a missing bucket took a record")
	}
}

func TestNew(t *testing.T) {
	client := awss3.New(awss3.Options{})
	for name, try := range map[string]func() error{
		"no client":       func() error { _, err := s3.New(nil, bucket, quarantinetest.Keys("bin"), nil); return err },
		"no bucket":       func() error { _, err := s3.New(client, "", quarantinetest.Keys("bin"), nil); return err },
		"no keys":         func() error { _, err := s3.New(client, bucket, consumer.QuarantineKeys{}, nil); return err },
		"leading slash":   func() error { return prefix(client, "/billing") },
		"trailing slash":  func() error { return prefix(client, "billing/") },
		"empty segment":   func() error { return prefix(client, "a//b") },
		"policy wildcard": func() error { return prefix(client, "a*") },
		"long prefix":     func() error { return prefix(client, strings.Repeat("a", 513)) },
		"negative": func() error {
			_, err := s3.New(client, bucket, quarantinetest.Keys("bin"), &s3.Options{Timeout: -1})
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func prefix(client s3.Client, prefix string) error {
	_, err := s3.New(client, bucket, quarantinetest.Keys("bin"), &s3.Options{Prefix: prefix})
	return err
}
