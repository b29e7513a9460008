package awss3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

const (
	bucket = "trust-bucket"
	object = "published/bundle.dsse"
)

// store is a fake S3 with one bucket, spoken to by the real client.
type store struct {
	testing.TB
	*s3.Client
	failing  atomic.Pointer[http.HandlerFunc] // instead of S3
	requests atomic.Int64                     // without those for roots that follow
	chain    atomic.Int64                     // those
	asked    atomic.Value                     // If-None-Match of the last request
}

func newStore(t testing.TB) *store {
	s := &store{TB: t}
	objects, err := localaws.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = objects.Close() }) // nothing is kept
	there, err := url.Parse(objects.URL())
	if err != nil {
		t.Fatal(err)
	}
	fake := httputil.NewSingleHostReverseProxy(there)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isRoots := strings.Contains(r.URL.Path, "/"+keydoc.RootsDir)
		if isRoots {
			s.chain.Add(1)
		} else if r.Method == http.MethodGet {
			s.requests.Add(1)
			s.asked.Store(r.Header.Get("If-None-Match"))
		}
		if h := s.failing.Load(); h != nil && r.Method == http.MethodGet {
			(*h)(w, r)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.Client = s3.New(s3.Options{
		BaseEndpoint: &srv.URL, UsePathStyle: true, Region: "eu-west-1", RetryMaxAttempts: 1,
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "hush", ""),
	})
	if _, err := s.CreateBucket(context.Background(),
		&s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) put(key string, content []byte, encoding string) {
	s.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(content)}
	if encoding != "" {
		in.ContentEncoding = &encoding
	}
	if _, err := s.PutObject(context.Background(), in); err != nil {
		s.Error(err)
	}
}

func (s *store) Publish(signed []byte) {
	if signed == nil {
		s.Withdraw()
		return
	}
	s.failing.Store(nil)
	s.put(object, signed, "")
}

func (s *store) Withdraw() { s.fail(http.StatusServiceUnavailable, "SlowDown") }

// fail makes S3 answer as it does when it refuses.
func (s *store) fail(status int, code string) {
	s.serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w,
			`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>no</Message></Error>`, code)
	})
}

func (s *store) serve(h http.HandlerFunc) { s.failing.Store(&h) }

func TestConforms(t *testing.T) {
	keystest.TestSource(t, func(t testing.TB, first []byte, roots *trust.Roots,
		opts *trust.Options) (trust.Refresher, func([]byte)) {
		s := newStore(t)
		s.Publish(first)
		source, err := awss3.FetchBundle(t.Context(), s, bucket, object, roots, opts)
		if err != nil {
			t.Fatal(err)
		}
		return source, s.Publish
	})
}

func TestChain(t *testing.T) {
	keystest.TestChain(t, func(t testing.TB, roots *trust.Roots,
		opts *trust.Options) (func(string, []byte), func() (trust.Refresher, error)) {
		s := newStore(t)
		put := func(name string, doc []byte) {
			if key := "published/" + name; doc != nil {
				s.put(key, doc, "")
			} else if _, err := s.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key}); err != nil {
				t.Error(err)
			}
		}
		return put, func() (trust.Refresher, error) {
			return awss3.FetchBundle(t.Context(), s, bucket, object, roots, opts)
		}
	})
}

// Only an object that may be missing ends the chain. S3 hides it where the program may not list the bucket.
func TestNotFound(t *testing.T) {
	s := newStore(t)
	o, err := awss3.Origin(s, bucket, object)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status int
		code   string
		want   bool
	}{
		{404, "NoSuchKey", true}, {403, "AccessDenied", true}, {404, "NoSuchBucket", false}, {403, "ExpiredToken", false},
		{403, "SignatureDoesNotMatch", false}, {500, "InternalError", false}, {503, "SlowDown", false},
	} {
		s.fail(c.status, c.code)
		_, err := o.(trust.Directory).Beside("roots/2").Fetch(t.Context(), "")
		if err == nil || errors.Is(err, trust.ErrNotFound) != c.want {
			t.Errorf("%d %s: %v", c.status, c.code, err)
		}
	}
}

func roots(t testing.TB) *trust.Roots { return keystest.Roots(t, 1, keystest.Root(t, "a")) }

func signed(t testing.TB) []byte {
	t.Helper()
	now := time.Now()
	b, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: now, Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := trust.SignBundle(t.Context(), b, keystest.Root(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestAsksWithETag(t *testing.T) {
	s := newStore(t)
	s.Publish(signed(t))
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	source, err := awss3.FetchBundle(t.Context(), s, bucket, object, roots(t), &trust.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	later.Store(int64(10 * time.Minute))
	if _, err := source.Refresh(t.Context(), now()); err != nil || source.LastError() != nil {
		t.Errorf("304: %v, %v", err, source.LastError())
	}
	if s.asked.Load() == "" || s.requests.Load() != 2 || s.chain.Load() != 2 || now().Sub(source.Checked()) > 5*time.Minute {
		t.Errorf("%d requests, the last with ETag %q; checked at %s", s.requests.Load(), s.asked.Load(),
			source.Checked())
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	s := newStore(t)
	for _, c := range []struct {
		status     int
		code, want string
	}{
		{403, "AccessDenied", `"s3:GetObject","Resource":"arn:aws:s3:::trust-bucket/published/bundle.dsse"`},
		{403, "ExpiredToken", "credentials"},
		{403, "SignatureDoesNotMatch", "credentials"},
		{404, "NoSuchKey", "published"},
		{404, "NoSuchBucket", "account"},
		{301, "PermanentRedirect", "region"},
		{503, "SlowDown", "SlowDown"},
		{304, "NotModified", "nothing changed, although"},
	} {
		s.fail(c.status, c.code)
		source, err := awss3.FetchBundle(t.Context(), s, bucket, object, roots(t), nil)
		if source != nil || !errors.Is(err, trust.ErrUnavailable) || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", c.code, err)
		}
	}
	s.failing.Store(nil)
	if _, err := awss3.FetchBundle(t.Context(), s, bucket, "missing", roots(t), nil); !errors.Is(err,
		trust.ErrUnavailable) || !strings.Contains(err.Error(), "s3://trust-bucket/missing: ") {
		t.Error(err)
	}
}

func TestRefusesObjects(t *testing.T) {
	s := newStore(t)
	s.put("encoded", signed(t), "gzip")
	if _, err := awss3.FetchBundle(t.Context(), s, bucket, "encoded", roots(t), nil); err == nil ||
		!strings.Contains(err.Error(), "gzip") {
		t.Errorf("encoded: %v", err)
	}
	s.serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(int64(1)<<40))
		_, _ = w.Write([]byte("{"))
	})
	wantTooLarge(t, s)
	s.serve(func(w http.ResponseWriter, r *http.Request) {
		for chunk := make([]byte, 1<<20); r.Context().Err() == nil; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	wantTooLarge(t, s)
}

func wantTooLarge(t *testing.T, s *store) {
	t.Helper()
	_, err := awss3.FetchBundle(t.Context(), s, bucket, object, roots(t),
		&trust.Options{Timeout: time.Minute})
	var refused *trust.BundleError
	if !errors.As(err, &refused) || refused.Why != trust.WhyTooLarge {
		t.Error(err)
	}
}

func TestRefusesCalls(t *testing.T) {
	s := newStore(t)
	s.Publish(signed(t))
	for name, call := range map[string]func() error{
		"no client": func() error { _, err := awss3.Origin(nil, bucket, object); return err },
		"no bucket": func() error { _, err := awss3.Origin(s, "", object); return err },
		"no key":    func() error { _, err := awss3.OpenKeyring(t.Context(), s, bucket, "", "p"); return err },
		"no roots":  func() error { _, err := awss3.FetchBundle(t.Context(), s, bucket, object, nil, nil); return err },
		"an HTTP client": func() error {
			_, err := awss3.FetchBundle(t.Context(), s, bucket, object, roots(t),
				&trust.Options{Client: http.DefaultClient})
			return err
		},
	} {
		if call() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKeyring(t *testing.T) {
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "ring")
	signer := keystest.Signer(t, keys.Ed25519, "orders", "a")
	_, err := keys.CreateKeyring(path, "hush", "orders", &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 2}, Key: signer,
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.put("ring", content, "")
	ring, err := awss3.OpenKeyring(t.Context(), s, bucket, "ring", "hush")
	if err != nil {
		t.Fatal(err)
	}
	signers, err := ring.Signers(time.Now())
	if err != nil || ring.Producer() != "orders" ||
		signers[0].Verifier().KeyID() != signer.Verifier().KeyID() {
		t.Errorf("%v, %v", ring, err)
	}
	if err := ring.Add(keystest.Signer(t, keys.Ed25519, "orders", "b"), keys.Schedule{}); err == nil {
		t.Error("a key is added to a keyring without a file")
	}
	if _, err := awss3.OpenKeyring(t.Context(), s, bucket, "ring", "wrong"); !errors.Is(err,
		keys.ErrPassphrase) || strings.Contains(err.Error(), "wrong ") {
		t.Errorf("wrong passphrase: %v", err)
	}
	s.put("clear", []byte(`{"keys":[],"producer":"orders","version":1}`), "")
	s.put("large", make([]byte, privatefile.MaxSize+1), "")
	for _, key := range []string{"clear", "large", "missing"} {
		if _, err := awss3.OpenKeyring(t.Context(), s, bucket, key, "hush"); err == nil ||
			!strings.Contains(err.Error(), "s3://trust-bucket/"+key) ||
			strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := awss3.OpenKeyring(t.Context(), s, bucket, "ring", ""); err == nil {
		t.Error("an empty passphrase is accepted")
	}
}

// TestReplace: a writer overwrites only what it has read.
func TestReplace(t *testing.T) {
	s := newStore(t)
	write := func(etag, content string) error {
		return awss3.Replace(t.Context(), s, bucket, object, etag, []byte(content))
	}
	etag := func() string {
		t.Helper()
		origin, err := awss3.Origin(s, bucket, object)
		if err != nil {
			t.Fatal(err)
		}
		got, err := origin.Fetch(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		return got.ETag
	}
	if err := write("", "first"); err != nil {
		t.Fatal(err)
	}
	first := etag()
	if err := write("", "another first"); !errors.Is(err, awss3.ErrChanged) {
		t.Errorf("over one that is there: %v", err)
	}
	if err := write(first, "second"); err != nil {
		t.Error(err)
	}
	if err := write(first, "another second"); !errors.Is(err, awss3.ErrChanged) || etag() == first {
		t.Errorf("over one that was not read: %v", err)
	}
	second := etag()
	if _, err := s.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket),
		Key: aws.String(object)}); err != nil {
		t.Fatal(err)
	}
	if err := write(second, "third"); !errors.Is(err, awss3.ErrChanged) {
		t.Errorf("over one that was deleted: %v", err)
	}
	err := awss3.Replace(t.Context(), s, "no-bucket", object, "", nil)
	if err == nil || errors.Is(err, awss3.ErrChanged) || !strings.Contains(err.Error(), "s3://no-bucket/"+object) {
		t.Error(err)
	}
}
