package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// served is a bundle of the bench on an HTTPS server.
func (b *bench) served() *httptest.Server {
	b.t.Helper()
	signed, err := os.ReadFile(b.path("trust.dsse"))
	b.check(err)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/trust.dsse":
			_, _ = w.Write(signed)
		case "/page":
			_, _ = io.WriteString(w, "<html>")
		default:
			http.NotFound(w, r)
		}
	}))
	b.t.Cleanup(srv.Close)
	b.client = srv.Client()
	return srv
}

// inS3 is the bundle as an object of a fake S3 that the configuration of AWS names.
func (b *bench) inS3() string {
	b.t.Helper()
	signed, err := os.ReadFile(b.path("trust.dsse"))
	b.check(err)
	backend := s3mem.New()
	b.check(backend.CreateBucket("trust-bucket"))
	_, err = backend.PutObject("trust-bucket", "a/trust.dsse", nil, strings.NewReader(string(signed)), int64(len(signed)), nil)
	b.check(err)
	srv := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	b.t.Cleanup(srv.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": srv.URL, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": "eu-west-1",
		"AWS_CONFIG_FILE": b.path("none"), "AWS_SHARED_CREDENTIALS_FILE": b.path("none"), "AWS_MAX_ATTEMPTS": "1",
	} {
		b.t.Setenv(name, value)
	}
	return "s3://trust-bucket/a/trust.dsse"
}

func TestTrustFromTheNetwork(t *testing.T) {
	b := newBench(t)
	b.org(nil, "urn:shop")
	sealed := b.must(`{"specversion":"1.0","id":"1","source":"urn:shop","type":"t","data":{}}`, "seal", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase")
	https := b.served().URL + "/trust.dsse?token=hush"
	for _, where := range []string{https, b.inS3()} {
		r := b.run(sealed, "open", "--trust", where, "--roots", b.path("roots.json"), "--allow-source", "urn:shop")
		if r.code != 0 || !strings.Contains(r.stderr, "verified") {
			t.Errorf("open by %s: exit %d, %s", where, r.code, r.stderr)
		}
		var shown struct {
			Verified bool
			Verdict  string
			Expired  bool
		}
		b.check(json.Unmarshal([]byte(b.must("", "trust", "verify", "--roots", b.path("roots.json"), where, "--output", "json")), &shown))
		if shown.Verdict != "verified" {
			t.Errorf("trust verify %s: %+v", where, shown)
		}
		b.check(json.Unmarshal([]byte(b.must("", "trust", "show", "--roots", b.path("roots.json"), where, "--output", "json")), &shown))
		if !shown.Verified {
			t.Errorf("trust show %s: %+v", where, shown)
		}
		late := b.now.Add(30 * 24 * time.Hour).Format(time.RFC3339)
		if r := b.run(sealed, "open", "--trust", where, "--roots", b.path("roots.json"), "--allow-source", "urn:shop", "--now", late, "--output", "json"); r.code != exitUnavailable || !strings.Contains(r.stdout, `"reason":"trust_unavailable"`) {
			t.Errorf("open by %s, late: exit %d, %s", where, r.code, r.stdout)
		}
		if r := b.run("", "trust", "verify", "--roots", b.path("roots.json"), where, "--now", late); r.code != exitRejected {
			t.Errorf("trust verify %s, late: exit %d, %s", where, r.code, r.stderr)
		}
	}
}

func TestTrustThatCannotBeFetched(t *testing.T) {
	b := newBench(t)
	b.org(nil, "urn:shop")
	base := b.served().URL
	b.inS3()
	for where, want := range map[string]int{
		base + "/missing?token=hush": exitUsage, base + "/page": exitRejected, "s3://trust-bucket/missing": exitUsage,
		"http" + strings.TrimPrefix(base, "https") + "/trust.dsse": exitUsage, "s3://trust-bucket": exitUsage, "s3:///a": exitUsage,
		"ftp://trust.example/b": exitUsage, "https://": exitUsage, "https://u:hush@trust.example/b": exitUsage,
	} {
		r := b.run("", "trust", "verify", "--roots", b.path("roots.json"), where)
		if r.code != want || strings.Contains(r.stderr, "hush") || strings.Contains(r.stderr, "keys:") {
			t.Errorf("%s: exit %d, want %d: %s", where, r.code, want, r.stderr)
		}
	}
}

func TestLiveTrust(t *testing.T) {
	b := newBench(t)
	b.org(nil, "urn:shop")
	srv := b.served()
	var now atomic.Int64
	now.Store(b.now.UnixNano())
	a := newApp(nil, io.Discard, io.Discard, environment{
		now: func() time.Time { return time.Unix(0, now.Load()) }, getenv: func(string) string { return "" }, terminal: func(io.Writer) bool { return false },
		client: b.client,
	})
	for _, where := range []string{b.path("trust.dsse"), srv.URL + "/trust.dsse", b.inS3()} {
		source, err := a.liveTrust(t.Context(), &trustFlags{trust: where, roots: b.path("roots.json")})
		b.check(err)
		bundle, err := source.Bundle(t.Context())
		b.check(err)
		if bundle.Version() != 1 {
			t.Errorf("%s: version %d", where, bundle.Version())
		}
	}
	now.Store(b.now.Add(30 * 24 * time.Hour).UnixNano())
	for _, where := range []string{"-", b.path("none"), b.path("trust.dsse"), srv.URL + "/trust.dsse", srv.URL + "/none", "s3://x"} {
		source, err := a.liveTrust(t.Context(), &trustFlags{trust: where, roots: b.path("roots.json")})
		if source != nil || err == nil {
			t.Errorf("%s: %v, %v", where, source, err)
		}
	}
}
