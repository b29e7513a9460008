package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// origin is an HTTPS server with one bundle.
type origin struct {
	*httptest.Server
	requests atomic.Int64
	roots    atomic.Int64 // requests for roots that follow, of which there are none; not among the others

	mu      sync.Mutex
	body    []byte
	etag    bool
	header  http.Header
	handler http.HandlerFunc // instead of the bundle
	asked   []string         // If-None-Match of each request
}

func newOrigin(t testing.TB, body []byte) *origin {
	o := &origin{body: body, etag: true}
	o.Server = httptest.NewTLSServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/roots/") {
		o.roots.Add(1)
		http.NotFound(w, r)
		return
	}
	o.requests.Add(1)
	o.mu.Lock()
	body, handler, etag := o.body, o.handler, o.etag
	o.asked = append(o.asked, r.Header.Get("If-None-Match"))
	for name, values := range o.header {
		w.Header()[name] = values
	}
	o.mu.Unlock()
	switch {
	case handler != nil:
		handler(w, r)
	case etag:
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, keysum(body)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	default:
		_, _ = w.Write(body)
	}
}

func keysum(b []byte) (n uint64) {
	for _, c := range b {
		n = n*1099511628211 ^ uint64(c)
	}
	return n
}

func (o *origin) Publish(signed []byte) {
	if signed == nil {
		o.Withdraw()
		return
	}
	o.set(func() { o.body, o.handler = signed, nil })
}

func (o *origin) Withdraw() { o.answer(http.StatusServiceUnavailable) }

func (o *origin) answer(status int) {
	o.serve(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the text of an error", status) })
}

func (o *origin) serve(h http.HandlerFunc) { o.set(func() { o.handler = h }) }

func (o *origin) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

func (o *origin) lastAsked() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[len(o.asked)-1]
}

// org is a set of roots with a clock and what it needs to publish.
type org struct {
	testing.TB
	nanos atomic.Int64
	root  *trust.RootKey
	roots *trust.Roots
}

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newOrg(t testing.TB) *org {
	o := &org{TB: t, root: keystest.Root(t, "a")}
	o.roots = keystest.Roots(t, 1, o.root)
	o.set(start)
	return o
}

func (o *org) now() time.Time          { return time.Unix(0, o.nanos.Load()).UTC() }
func (o *org) set(t time.Time)         { o.nanos.Store(t.UnixNano()) }
func (o *org) advance(d time.Duration) { o.nanos.Add(int64(d)) }

// bundle lives for a week from the start, and is to be asked for every five minutes.
func (o *org) bundle(version int64, list ...*trust.Key) []byte {
	o.Helper()
	return o.signedBy(o.root, version, list...)
}

func (o *org) signedBy(root *trust.RootKey, version int64, list ...*trust.Key) []byte {
	o.Helper()
	b, err := trust.NewBundle(trust.BundleOptions{
		Version: version, Issued: start, Expires: start.Add(7 * 24 * time.Hour), RefreshHint: 5 * time.Minute,
	}, list...)
	o.check(err)
	signed, err := trust.SignBundle(o.Context(), b, root)
	o.check(err)
	return signed
}

func (o *org) check(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func (o *org) options(srv *origin) *trust.Options {
	return &trust.Options{Now: o.now, Client: srv.Client()}
}

func (o *org) fetch(srv *origin, opts *trust.Options) *trust.RemoteSource {
	o.Helper()
	s, err := o.tryFetch(srv, opts)
	o.check(err)
	return s
}

func (o *org) tryFetch(srv *origin, opts *trust.Options) (*trust.RemoteSource, error) {
	if opts == nil {
		opts = o.options(srv)
	}
	return trust.FetchBundle(o.Context(), srv.URL+"/bundle.dsse?token=hush", o.roots, opts)
}

// want wants this version from Bundle, with the last attempt as good (nil) or bad as that.
func (o *org) want(s *trust.RemoteSource, version int64, why error) {
	o.Helper()
	b, err := s.Bundle(o.Context())
	if err != nil || b.Version() != version {
		o.Fatalf("%v, error %v, not version %d", b, err, version)
	}
	last := s.LastError()
	if why == nil && last != nil || why != nil && !errors.Is(last, why) {
		o.Errorf("last error %v, want %v", last, why)
	}
	if last != nil && strings.Contains(last.Error(), "hush") {
		o.Errorf("the error shows the query: %v", last)
	}
}

func whyOf(err error) trust.BundleWhy {
	var e *trust.BundleError
	if errors.As(err, &e) {
		return e.Why
	}
	return ""
}

func TestHTTPSConforms(t *testing.T) {
	for name, etag := range map[string]bool{"with ETag": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			keystest.TestSource(t, func(t testing.TB, first []byte, roots *trust.Roots,
				opts *trust.Options) (trust.Refresher, func([]byte)) {
				srv := newOrigin(t, first)
				srv.etag = etag
				s, err := trust.FetchBundle(t.Context(), srv.URL, roots, &trust.Options{
					Now: opts.Now, MinInterval: opts.MinInterval, Client: srv.Client(),
				})
				if err != nil {
					t.Fatal(err)
				}
				return s, srv.Publish
			})
		})
	}
}

func TestHTTPSChain(t *testing.T) {
	keystest.TestChain(t, func(t testing.TB, roots *trust.Roots,
		opts *trust.Options) (func(string, []byte), func() (trust.Refresher, error)) {
		var files sync.Map
		srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			doc, ok := files.Load(r.URL.Path)
			if !ok {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write(doc.([]byte))
		}))
		t.Cleanup(srv.Close)
		put := func(name string, doc []byte) {
			files.Store("/a/"+name, doc)
			if doc == nil {
				files.Delete("/a/" + name)
			}
		}
		return put, func() (trust.Refresher, error) {
			return trust.FetchBundle(t.Context(), srv.URL+"/a/bundle.dsse", roots, &trust.Options{
				Now: opts.Now, MinInterval: opts.MinInterval, Client: srv.Client()})
		}
	})
}

func TestFileChain(t *testing.T) {
	keystest.TestChain(t, func(t testing.TB, roots *trust.Roots,
		opts *trust.Options) (func(string, []byte), func() (trust.Refresher, error)) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "roots"), 0o700); err != nil {
			t.Fatal(err)
		}
		bundle := &followed{TB: t, path: filepath.Join(dir, "bundle.dsse"), mtime: opts.Now().Add(-1000 * time.Hour)}
		put := func(name string, doc []byte) {
			f := &followed{TB: t, path: filepath.Join(dir, name)}
			if name == "bundle.dsse" {
				f = bundle
			}
			f.Publish(doc)
		}
		return put, func() (trust.Refresher, error) {
			return trust.WatchFile(bundle.path, roots, &trust.Options{Now: opts.Now})
		}
	})
}

// A file called roots beside the bundle is no directory of roots, and none is missed.
func TestFileWithoutChain(t *testing.T) {
	o := newOrg(t)
	f := &followed{TB: t, path: filepath.Join(t.TempDir(), "bundle"), mtime: o.now().Add(-1000 * time.Hour)}
	f.Publish(o.bundle(1))
	o.check(os.WriteFile(filepath.Join(filepath.Dir(f.path), "roots"), []byte("{}"), 0o600))
	s, err := trust.WatchFile(f.path, o.roots, &trust.Options{Now: o.now})
	if err != nil || s.LastError() != nil {
		t.Errorf("%v, %v", err, s.LastError())
	}
}

// 404 and 403 end the chain. Every other failure is one of the refresh. The bundle is in use all the same.
func TestEndOfTheChain(t *testing.T) {
	o := newOrg(t)
	for status, ends := range map[int]bool{404: true, 403: true, 401: false, 410: false, 429: false, 500: false, 503: false, 302: false} {
		srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bundle.dsse" {
				_, _ = w.Write(o.bundle(1))
				return
			}
			w.WriteHeader(status)
		}))
		s, err := trust.FetchBundle(t.Context(), srv.URL+"/bundle.dsse?token=hush", o.roots,
			&trust.Options{Now: o.now, Client: srv.Client()})
		o.check(err)
		_, err = s.Refresh(t.Context(), o.now())
		if (err == nil) != ends || (s.LastError() == nil) != ends || errors.Is(err, trust.ErrNotFound) {
			t.Errorf("%d: Refresh: %v, last error %v", status, err, s.LastError())
		}
		if err != nil && (!strings.Contains(err.Error(), "/roots/2") || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%d: %v", status, err)
		}
		srv.Close()
	}
}

// followed is a file that a FileSource follows. Its time is one that the clock of the test has long passed,
// and another one with each change.
type followed struct {
	testing.TB
	path  string
	mtime time.Time
}

func (f *followed) Publish(signed []byte) {
	if signed == nil {
		f.Withdraw()
		return
	}
	f.mtime = f.mtime.Add(time.Second)
	for _, err := range []error{
		os.WriteFile(f.path+".tmp", signed, 0o600), os.Chtimes(f.path+".tmp", f.mtime, f.mtime),
		os.Rename(f.path+".tmp", f.path),
	} {
		if err != nil {
			f.Error(err)
		}
	}
}

func (f *followed) Withdraw() {
	if err := os.Remove(f.path); err != nil {
		f.Error(err)
	}
}

func TestFileConforms(t *testing.T) {
	keystest.TestSource(t, func(t testing.TB, first []byte, roots *trust.Roots,
		opts *trust.Options) (trust.Refresher, func([]byte)) {
		f := &followed{TB: t, path: filepath.Join(t.TempDir(), "bundle"),
			mtime: opts.Now().Add(-1000 * time.Hour)}
		f.Publish(first)
		s, err := trust.WatchFile(f.path, roots, &trust.Options{Now: opts.Now})
		if err != nil {
			t.Fatal(err)
		}
		return s, f.Publish
	})
}

func TestFetchAsksWithETag(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	s := o.fetch(srv, nil)
	first, err := s.Bundle(t.Context())
	o.check(err)
	if srv.lastAsked() != "" {
		t.Errorf("the first request asks with %s", srv.lastAsked())
	}
	o.advance(5 * time.Minute)
	o.want(s, 1, nil)
	if again, _ := s.Bundle(t.Context()); srv.lastAsked() == "" || srv.requests.Load() != 2 ||
		again != first {
		t.Errorf("asked %d times, last with %q", srv.requests.Load(), srv.lastAsked())
	}
	if !s.Checked().Equal(o.now()) {
		t.Errorf("304 does not count: checked at %s", s.Checked())
	}
	srv.answer(http.StatusBadGateway)
	o.advance(5 * time.Minute)
	_, err = s.Bundle(t.Context())
	o.check(err)
	o.advance(5 * time.Minute) // after a failure, the answer is read whatever it is
	_, err = s.Bundle(t.Context())
	o.check(err)
	if srv.lastAsked() != "" || srv.requests.Load() != 4 {
		t.Errorf("asked %d times, last with %q", srv.requests.Load(), srv.lastAsked())
	}
	srv.Publish(o.bundle(1))
	o.advance(5 * time.Minute)
	o.want(s, 1, nil)
	o.set(start.Add(8 * 24 * time.Hour)) // that the expired one is unchanged would not help
	if _, err = s.Bundle(t.Context()); whyOf(err) != trust.WhyExpired || srv.lastAsked() != "" ||
		srv.requests.Load() != 6 {
		t.Errorf("%v; asked %d times, last with %q", err, srv.requests.Load(), srv.lastAsked())
	}
}

// An ETag that could not be sent back would end the looking.
func TestFetchIgnoresBadETags(t *testing.T) {
	for _, etag := range []string{`"é"`, `"a b"`, `"` + strings.Repeat("x", 2000) + `"`} {
		o := newOrg(t)
		srv := newOrigin(t, o.bundle(1))
		srv.etag = false
		srv.header = http.Header{"Etag": {etag}}
		s := o.fetch(srv, nil)
		srv.Publish(o.bundle(2))
		o.advance(5 * time.Minute)
		o.want(s, 2, nil)
		if srv.lastAsked() != "" {
			t.Errorf("asked with %q", srv.lastAsked())
		}
	}
}

func TestFetchRefusesAnswers(t *testing.T) {
	o := newOrg(t)
	good := o.bundle(2)
	for name, h := range map[string]http.HandlerFunc{
		"304 to a first request": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"204":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"206":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206); _, _ = w.Write(good) },
		"203":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(203); _, _ = w.Write(good) },
		"300":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(300); _, _ = w.Write(good) },
		"403":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403); _, _ = w.Write(good) },
		"404":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); _, _ = w.Write(good) },
		"429":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429); _, _ = w.Write(good) },
		"500":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = w.Write(good) },
		"encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(good)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(good)
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := newOrigin(t, nil)
			srv.serve(h)
			s, err := o.tryFetch(srv, nil)
			if s != nil || !errors.Is(err, trust.ErrUnavailable) {
				t.Fatalf("%v, error %v", s, err)
			}
			if text := err.Error(); strings.Contains(text, "hush") || strings.Contains(text, "payload") {
				t.Errorf("the error shows the query or the answer: %v", err)
			}
		})
	}
}

func TestFetchBoundsTheBody(t *testing.T) {
	o := newOrg(t)
	var written atomic.Int64
	endless := func(w http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for r.Context().Err() == nil {
			n, err := w.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	declared := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(int64(1)<<40))
		_, _ = w.Write([]byte("{"))
	}
	for name, h := range map[string]http.HandlerFunc{"endless": endless, "declared": declared} {
		srv := newOrigin(t, nil)
		srv.serve(h)
		opts := o.options(srv)
		opts.Timeout = time.Minute
		_, err := o.tryFetch(srv, opts)
		if whyOf(err) != trust.WhyTooLarge || !errors.Is(err, trust.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := written.Load(); n > 4*keydoc.MaxSigned {
		t.Errorf("%d bytes were taken", n)
	}
}

// A bomb is not unpacked.
func TestFetchUnpacksNothing(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, nil)
	asked := make(chan string, 1)
	srv.serve(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("\x1f\x8b\x08"))
	})
	if _, err := o.tryFetch(srv, nil); !errors.Is(err, trust.ErrUnavailable) ||
		!strings.Contains(err.Error(), "gzip") {
		t.Error(err)
	}
	if got := <-asked; got != "identity" {
		t.Errorf("asked for encoding %q", got)
	}
	// A transport that unpacks all the same is read within bounds.
	opts := o.options(srv)
	opts.Client = &http.Client{Transport: unpacking{}}
	if _, err := o.tryFetch(srv, opts); whyOf(err) != trust.WhyTooLarge {
		t.Errorf("unpacked: %v", err)
	}
}

// unpacking answers with a body without end, as a transport does that unpacks a bomb.
type unpacking struct{}

func (unpacking) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, Uncompressed: true, ContentLength: -1, Header: http.Header{}, Request: r,
		Body: io.NopCloser(spaces{}),
	}, nil
}

type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// A slow body ends with the timeout, and the last good bundle stays.
func TestFetchOfASlowBodyEnds(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	opts := o.options(srv)
	opts.Timeout = 100 * time.Millisecond
	for { // a slow machine may need more
		if _, err := o.tryFetch(srv, opts); err == nil {
			break
		}
		opts.Timeout *= 2
	}
	s := o.fetch(srv, opts)
	srv.serve(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("{"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	o.advance(5 * time.Minute)
	o.want(s, 1, context.DeadlineExceeded)
	if _, err := s.Refresh(t.Context(), o.now()); !errors.Is(err, trust.ErrUnavailable) {
		t.Errorf("Refresh: %v", err)
	}
}

func TestFetchRedirects(t *testing.T) {
	o := newOrg(t)
	elsewhere := newOrigin(t, o.bundle(1))
	plain := httptest.NewServer(elsewhere)
	defer plain.Close()
	for name, c := range map[string]struct {
		to   func(*origin) string
		good bool
	}{
		"same host":        {func(s *origin) string { return s.URL + "/moved" }, true},
		"relative":         {func(*origin) string { return "/moved" }, true},
		"another host":     {func(*origin) string { return elsewhere.URL }, false},
		"http":             {func(*origin) string { return plain.URL }, false},
		"http, same host":  {func(s *origin) string { return "http" + strings.TrimPrefix(s.URL, "https") + "/moved" }, false},
		"user information": {func(s *origin) string { return "https://u:p@" + strings.TrimPrefix(s.URL, "https://") + "/moved" }, false},
		"for ever":         {func(*origin) string { return "/bundle.dsse" }, false},
		"file":             {func(*origin) string { return "file:///etc/passwd" }, false},
		"nowhere":          {func(*origin) string { return "https:///moved" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			srv := newOrigin(t, nil)
			srv.serve(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/moved" {
					_, _ = w.Write(o.bundle(1))
					return
				}
				http.Redirect(w, r, c.to(srv), http.StatusFound)
			})
			_, err := o.tryFetch(srv, nil)
			if c.good != (err == nil) || !c.good && !errors.Is(err, trust.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
			if n := srv.requests.Load(); n > 5 {
				t.Errorf("%d requests", n)
			}
		})
	}
	if n := elsewhere.requests.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// The caller's own rule for redirects can only add to ours.
func TestFetchAsksTheClientAboutRedirects(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	srv.serve(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/moved", http.StatusFound) })
	never := errors.New("never")
	opts := o.options(srv)
	opts.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return never }
	if _, err := o.tryFetch(srv, opts); !errors.Is(err, never) {
		t.Error(err)
	}
}

func TestFetchRefusesURLs(t *testing.T) {
	o := newOrg(t)
	for _, u := range []string{
		"", "bundle.dsse", "/bundle.dsse", "https://", "https:///b", "https:b", "http://trust.example/b",
		"ftp://trust.example/b", "file:///b", "//trust.example/b",
		"https://u:hush@trust.example/b", "https://trust.example/b#f", "https://trust.example/%zz",
		"https://trust.example:x/b", " https://trust.example/b",
	} {
		s, err := trust.FetchBundle(t.Context(), u, o.roots,
			&trust.Options{Client: &http.Client{Transport: unpacking{}}})
		if s != nil || err == nil || errors.Is(err, trust.ErrUnavailable) {
			t.Errorf("%s: %v", u, err)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error shows the password: %v", u, err)
		}
	}
}

func TestUnsafeAllowHTTP(t *testing.T) {
	o := newOrg(t)
	inner := newOrigin(t, o.bundle(1))
	plain := httptest.NewServer(inner)
	defer plain.Close()
	if _, err := trust.FetchBundle(t.Context(), plain.URL, o.roots, &trust.Options{Now: o.now}); err == nil {
		t.Error("http is allowed")
	}
	s, err := trust.FetchBundle(t.Context(), plain.URL, o.roots,
		&trust.Options{Now: o.now, UnsafeAllowHTTP: true})
	o.check(err)
	o.want(s, 1, nil)
}

func TestFetchOptionsAreChecked(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	for name, opts := range map[string]*trust.Options{
		"hint": {RefreshHint: -1}, "interval": {MinInterval: -1}, "timeout": {Timeout: -1},
	} {
		opts.Client = srv.Client()
		if _, err := o.tryFetch(srv, opts); err == nil {
			t.Errorf("a negative %s is accepted", name)
		}
	}
	if _, err := trust.FetchBundle(t.Context(), srv.URL, nil, o.options(srv)); err == nil {
		t.Error("no roots are accepted")
	}
	at, err := trust.HTTPSOrigin(srv.URL, o.options(srv))
	o.check(err)
	if _, err := trust.FetchFrom(t.Context(), at, o.roots, o.options(srv)); err == nil {
		t.Error("FetchFrom takes a Client that it would not use")
	}
}

func TestFetchOfAnotherTrust(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.signedBy(keystest.Root(t, "b"), 1))
	if _, err := o.tryFetch(srv, nil); whyOf(err) != trust.WhyThreshold {
		t.Errorf("other roots: %v", err)
	}
	srv.Publish(o.bundle(4))
	opts := o.options(srv)
	opts.MinVersion = 5
	if _, err := o.tryFetch(srv, opts); whyOf(err) != trust.WhyRollback {
		t.Errorf("below MinVersion: %v", err)
	}
	o.advance(8 * 24 * time.Hour)
	if _, err := o.tryFetch(srv, nil); whyOf(err) != trust.WhyExpired {
		t.Errorf("expired: %v", err)
	}
}

// blocking answers when it is told to.
func (o *origin) blocking() (arrived, release chan struct{}) {
	arrived, release = make(chan struct{}, 100), make(chan struct{})
	o.mu.Lock()
	body := o.body
	o.mu.Unlock()
	o.serve(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
			_, _ = w.Write(body)
		case <-r.Context().Done():
		}
	})
	return arrived, release
}

// Callers at the same time share one fetch, and one that gives up leaves it to the others.
func TestFetchIsShared(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	s := o.fetch(srv, nil)
	srv.set(func() { srv.body = o.bundle(2) })
	arrived, release := srv.blocking()
	o.advance(5 * time.Minute)

	hasty, giveUp := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := s.Bundle(hasty)
		gaveUp <- err
	}()
	<-arrived // the fetch is the hasty one's
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			get := s.Bundle
			if i%2 == 0 {
				get = func(ctx context.Context) (*trust.Bundle, error) { return s.Refresh(ctx, o.now()) }
			}
			if b, err := get(t.Context()); err != nil || b.Version() != 2 {
				t.Errorf("%v, %v", b, err)
			}
		})
	}
	giveUp()
	if err := <-gaveUp; !errors.Is(err, trust.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up: %v", err)
	}
	close(release)
	wg.Wait()
	if n := srv.requests.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// A caller that has a bundle at hand keeps half of its time.
func TestFetchLeavesTimeToTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrg(t)
		hung := newHungOrigin(t, o.bundle(1))
		s, err := trust.FetchFrom(t.Context(), hung, o.roots, &trust.Options{Now: o.now, Timeout: time.Hour})
		o.check(err)
		o.advance(5 * time.Minute)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if b, err := s.Bundle(ctx); err != nil || b.Version() != 1 {
			t.Errorf("%v, %v", b, err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Bundle returned after %s", took)
		}
		if _, err := s.Refresh(ctx, o.now()); !errors.Is(err, trust.ErrUnavailable) {
			t.Errorf("Refresh without an answer: %v", err)
		}
	})
}

// While the origin fails, one caller tries again; the others are not held up.
func TestFetchOutageHoldsUpOne(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	s := o.fetch(srv, nil)
	srv.Withdraw()
	o.advance(5 * time.Minute)
	if _, err := s.Bundle(t.Context()); err != nil || s.LastError() == nil {
		t.Fatal(err, s.LastError())
	}
	arrived, release := srv.blocking()
	o.advance(5 * time.Minute)
	one := make(chan error)
	go func() {
		_, err := s.Bundle(t.Context())
		one <- err
	}()
	<-arrived
	for range 100 {
		o.want1(s)
	}
	select {
	case <-one:
		t.Error("the one that tries does not wait for the answer")
	default:
	}
	close(release)
	o.check(<-one)
	if s.LastError() != nil {
		t.Error(s.LastError())
	}
}

func (o *org) want1(s *trust.RemoteSource) {
	o.Helper()
	if b, err := s.Bundle(o.Context()); err != nil || b.Version() != 1 {
		o.Fatal(b, err)
	}
}

// Forged key IDs cost one fetch in MinInterval, whatever their number, and do not keep a new key from being
// found.
func TestForgedKeyIDsAreLimited(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	s := o.fetch(srv, nil)
	for round := range int64(5) {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 20 {
					if _, err := s.Refresh(t.Context(), o.now()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := srv.requests.Load(); n != 1+round {
			t.Fatalf("%d requests after %d intervals", n, round)
		}
		o.advance(trust.DefaultMinInterval)
	}
	srv.Publish(o.bundle(2))
	if b, err := s.Refresh(t.Context(), o.now()); err != nil || b.Version() != 2 {
		t.Errorf("a new key is not found: %v, %v", b, err)
	}
}

// While the origin fails nothing is known of unknown keys, and it is not asked without limit.
func TestForgedKeyIDsInAnOutage(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	s := o.fetch(srv, nil)
	srv.Withdraw()
	for range 30 * 60 { // half an hour
		o.advance(time.Second)
		if _, err := s.Bundle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o.now().Sub(start) < trust.DefaultMinInterval {
			continue // the answer from the start counts
		}
		if b, err := s.Refresh(t.Context(), o.now()); !errors.Is(err, trust.ErrUnavailable) {
			t.Fatalf("after %s: %v, %v", o.now().Sub(start), b, err)
		}
	}
	if n := srv.requests.Load(); n < 20 || n > 40 {
		t.Errorf("%d requests in half an hour of outage", n)
	}
	srv.Publish(o.bundle(2))
	o.advance(75 * time.Second) // the longest pause
	if b, err := s.Refresh(t.Context(), o.now()); err != nil || b.Version() != 2 {
		t.Errorf("after the outage: %v, %v", b, err)
	}
}

// Only a longer pause than the origin's max-age is cut: no one signed it, so it lengthens nothing, and is no
// way to have it asked all the time.
func TestFetchMaxAge(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"max-age=60": time.Minute, "public, MAX-AGE=\"60\" , immutable": time.Minute,
		"max-age=1": trust.DefaultMinInterval, "max-age=86400": 5 * time.Minute,
		"max-age=0": 5 * time.Minute, "no-cache": 5 * time.Minute, "max-age=-1": 5 * time.Minute,
		"max-age=x":                    5 * time.Minute,
		"max-age=99999999999999999999": 5 * time.Minute, "s-maxage=60": 5 * time.Minute, "": 5 * time.Minute,
	} {
		t.Run(header, func(t *testing.T) {
			o := newOrg(t)
			srv := newOrigin(t, o.bundle(1))
			srv.header = http.Header{"Cache-Control": {header}}
			s := o.fetch(srv, nil)
			srv.Publish(o.bundle(2))
			o.advance(max(want*9/10, trust.DefaultMinInterval) - 1) // less the jitter
			o.want(s, 1, nil)
			o.advance(want/10 + 1)
			o.want(s, 2, nil)
		})
	}
}

// An answer that was asked for before the process was frozen is not taken for a fresh one.
func TestFetchBeforeAFreeze(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	opts := o.options(srv)
	opts.Timeout = time.Hour
	s := o.fetch(srv, opts)
	arrived, release := srv.blocking()
	o.advance(5 * time.Minute)
	got := make(chan *trust.Bundle)
	go func() {
		b, _ := s.Bundle(t.Context())
		got <- b
	}()
	<-arrived
	o.advance(time.Hour) // within twice the timeout: the fetch may still be good
	srv.Publish(o.bundle(2))
	close(release)
	if b := <-got; b.Version() != 2 {
		t.Errorf("version %d, an hour old", b.Version())
	}
	if n := srv.requests.Load(); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// A fetch that by the clock should have ended long ago is not waited for.
func TestFetchLostInAFreeze(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, o.bundle(1))
	opts := o.options(srv)
	opts.Timeout = time.Hour
	s := o.fetch(srv, opts)
	arrived, release := srv.blocking()
	defer close(release)
	o.advance(5 * time.Minute)
	lost := make(chan error, 1)
	go func() {
		_, err := s.Bundle(t.Context())
		lost <- err
	}()
	<-arrived
	srv.Publish(o.bundle(2))
	o.advance(3 * time.Hour)
	o.want(s, 2, nil)
	o.check(<-lost)
	o.want(s, 2, nil)
}

// lateOrigin answers the second request when it is released, whatever its context says, and with what it had
// then.
type lateOrigin struct {
	signed           atomic.Pointer[[]byte]
	asked            atomic.Int64
	arrived, release chan struct{}
}

func (*lateOrigin) String() string { return "late" }
func (l *lateOrigin) Fetch(context.Context, string) (*trust.Fetched, error) {
	signed := *l.signed.Load()
	if l.asked.Add(1) == 2 {
		close(l.arrived)
		<-l.release
	}
	return &trust.Fetched{Body: io.NopCloser(bytes.NewReader(signed))}, nil
}

// How a lost fetch ends does not count: it knows an older state.
func TestFetchThatWasLostComesBack(t *testing.T) {
	o := newOrg(t)
	one, two := o.bundle(1), o.bundle(2)
	late := &lateOrigin{arrived: make(chan struct{}), release: make(chan struct{})}
	late.signed.Store(&one)
	s, err := trust.FetchFrom(t.Context(), late, o.roots, &trust.Options{Now: o.now, Timeout: time.Hour})
	o.check(err)
	o.advance(5 * time.Minute)
	lost := make(chan error)
	go func() {
		_, err := s.Bundle(t.Context())
		lost <- err
	}()
	<-late.arrived
	late.signed.Store(&two)
	o.advance(3 * time.Hour)
	o.want(s, 2, nil)
	close(late.release)
	o.check(<-lost)
	o.want(s, 2, nil)
	if n := late.asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

// FetchSigned gives what is there, verified or not, and says where from.
func TestFetchSigned(t *testing.T) {
	o := newOrg(t)
	srv := newOrigin(t, []byte("anything"))
	at, err := trust.HTTPSOrigin(srv.URL+"/b?token=hush", o.options(srv))
	o.check(err)
	if got, err := trust.FetchSigned(t.Context(), at); err != nil || string(got) != "anything" {
		t.Errorf("%q, %v", got, err)
	}
	endless, err := trust.HTTPSOrigin(srv.URL, &trust.Options{Client: &http.Client{Transport: unpacking{}}})
	o.check(err)
	if _, err := trust.FetchSigned(t.Context(), endless); whyOf(err) != trust.WhyTooLarge {
		t.Errorf("without end: %v", err)
	}
	srv.Withdraw()
	if _, err := trust.FetchSigned(t.Context(), at); err == nil ||
		!strings.Contains(err.Error(), srv.URL+"/b: ") || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
}

// brokenOrigin breaks the contract of Origin.
type brokenOrigin struct{}

func (brokenOrigin) Fetch(context.Context, string) (*trust.Fetched, error) { return nil, nil }
func (brokenOrigin) String() string                                        { return "broken" }

func TestFetchFromABrokenOrigin(t *testing.T) {
	if _, err := trust.FetchFrom(t.Context(), brokenOrigin{}, newOrg(t).roots, nil); !errors.Is(err,
		trust.ErrUnavailable) {
		t.Error(err)
	}
}

// hungOrigin answers once, and then not before the test ends, whatever its context says.
type hungOrigin struct {
	signed []byte // of the first answer; nil = it does not answer at all
	end    chan struct{}
}

func newHungOrigin(t *testing.T, signed []byte) *hungOrigin {
	h := &hungOrigin{signed: signed, end: make(chan struct{})}
	t.Cleanup(func() { close(h.end) })
	return h
}

func (*hungOrigin) String() string { return "hung" }
func (h *hungOrigin) Fetch(context.Context, string) (*trust.Fetched, error) {
	signed := h.signed
	if h.signed = nil; signed == nil {
		<-h.end
	}
	return &trust.Fetched{Body: io.NopCloser(bytes.NewReader(signed))}, nil
}

func TestFetchDoesNotHangWithItsOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrg(t)
		s, err := trust.FetchFrom(t.Context(), newHungOrigin(t, o.bundle(1)), o.roots,
			&trust.Options{Now: o.now})
		o.check(err)
		o.advance(5 * time.Minute)
		o.want1(s)
		if _, err := s.Refresh(t.Context(), o.now()); !errors.Is(err, trust.ErrUnavailable) {
			t.Error(err)
		}
		began := time.Now()
		if _, err := trust.FetchFrom(t.Context(), newHungOrigin(t, nil), o.roots, nil); !errors.Is(err,
			trust.ErrUnavailable) {
			t.Error(err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 15*time.Second {
			t.Errorf("the first fetch, with the default timeout of 10 s, ended after %s", took)
		}
	})
}

// Over HTTPS, the timestamp and the bundles are beside the bundle, with the same query.
func TestHTTPSTimestamp(t *testing.T) {
	o := newOrg(t)
	key := keystest.Root(t, "timestamps")
	roots, err := o.roots.WithTimestampKeys(key.Verifier())
	o.check(err)
	b, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: start, Expires: start.AddDate(0, 0, 90),
		TimestampRequired: true})
	o.check(err)
	bundle, err := trust.SignBundle(t.Context(), b, o.root)
	o.check(err)
	ts, err := trust.NewTimestamp(roots, b, nil, trust.TimestampOptions{Now: start})
	o.check(err)
	timestamp, err := trust.SignTimestamp(t.Context(), ts, key)
	o.check(err)
	var asked []string
	srv := newOrigin(t, nil)
	srv.serve(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		switch r.URL.Path {
		case "/a/timestamp.dsse":
			_, _ = w.Write(timestamp)
		case fmt.Sprintf("/a/bundles/%x", ts.BundleSHA256):
			_, _ = w.Write(bundle)
		default:
			http.NotFound(w, r)
		}
	})
	s, err := trust.FetchBundle(t.Context(), srv.URL+"/a/bundle.dsse?token=hush", roots, o.options(srv))
	o.check(err)
	o.want(s, 1, nil)
	want := []string{"/a/roots/2?token=hush", "/a/timestamp.dsse?token=hush", fmt.Sprintf("/a/bundles/%x?token=hush", ts.BundleSHA256)}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	o.set(start.Add(24 * time.Hour))
	if _, err := s.Bundle(t.Context()); whyOf(err) != trust.WhyExpired || !errors.Is(err, trust.ErrUnavailable) ||
		strings.Contains(err.Error(), "hush") {
		t.Errorf("the timestamp has expired: %v", err)
	}
}
