package loadtrust_test

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

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// served is a bundle of the bench on an HTTPS server.
func served(b *clitest.Bench) *httptest.Server {
	b.T.Helper()
	signed, err := os.ReadFile(b.Path("trust.dsse"))
	b.Check(err)
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
	b.T.Cleanup(srv.Close)
	b.Client = srv.Client()
	return srv
}

// inS3 is the bundle as an object of a fake S3 that the configuration of AWS names.
func inS3(b *clitest.Bench) string {
	b.T.Helper()
	signed, err := os.ReadFile(b.Path("trust.dsse"))
	b.Check(err)
	backend := s3mem.New()
	b.Check(backend.CreateBucket("trust-bucket"))
	_, err = backend.PutObject("trust-bucket", "a/trust.dsse", nil, strings.NewReader(string(signed)),
		int64(len(signed)), nil)
	b.Check(err)
	srv := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	b.T.Cleanup(srv.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": srv.URL, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hush",
		"AWS_REGION":      "eu-west-1",
		"AWS_CONFIG_FILE": b.Path("none"), "AWS_SHARED_CREDENTIALS_FILE": b.Path("none"),
		"AWS_MAX_ATTEMPTS": "1",
	} {
		b.T.Setenv(name, value)
	}
	return "s3://trust-bucket/a/trust.dsse"
}

func TestTrustFromTheNetwork(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, "urn:shop")
	sealed := b.Must(`{"specversion":"1.0","id":"1","source":"urn:shop","type":"t","data":{}}`, "seal",
		"--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase")
	https := served(b).URL + "/trust.dsse?token=hush"
	for _, where := range []string{https, inS3(b)} {
		r := b.Run(sealed, "open", "--trust", where, "--roots", b.Path("roots.json"), "--allow-source",
			"urn:shop")
		if r.Code != 0 || !strings.Contains(r.Stderr, "verified") {
			t.Errorf("open by %s: exit %d, %s", where, r.Code, r.Stderr)
		}
		var shown struct {
			Verified bool
			Verdict  string
			Expired  bool
		}
		b.Check(json.Unmarshal([]byte(b.Must("", "trust", "verify", "--roots", b.Path("roots.json"), where,
			"--output", "json")), &shown))
		if shown.Verdict != "verified" {
			t.Errorf("trust verify %s: %+v", where, shown)
		}
		b.Check(json.Unmarshal([]byte(b.Must("", "trust", "show", "--roots", b.Path("roots.json"), where,
			"--output", "json")), &shown))
		if !shown.Verified {
			t.Errorf("trust show %s: %+v", where, shown)
		}
		late := b.Now.Add(30 * 24 * time.Hour).Format(time.RFC3339)
		if r := b.Run(sealed, "open", "--trust", where, "--roots", b.Path("roots.json"), "--allow-source",
			"urn:shop", "--now", late, "--output", "json"); r.Code != ui.ExitUnavailable ||
			!strings.Contains(r.Stdout, `"reason":"trust_unavailable"`) {
			t.Errorf("open by %s, late: exit %d, %s", where, r.Code, r.Stdout)
		}
		if r := b.Run("", "trust", "verify", "--roots", b.Path("roots.json"), where, "--now",
			late); r.Code != ui.ExitRejected {
			t.Errorf("trust verify %s, late: exit %d, %s", where, r.Code, r.Stderr)
		}
	}
}

func TestTrustThatCannotBeFetched(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, "urn:shop")
	base := served(b).URL
	inS3(b)
	for where, want := range map[string]int{
		base + "/missing?token=hush": ui.ExitUsage, base +
			"/page": ui.ExitRejected, "s3://trust-bucket/missing": ui.ExitUsage,
		"http" + strings.TrimPrefix(base, "https") +
			"/trust.dsse": ui.ExitUsage, "s3://trust-bucket": ui.ExitUsage, "s3:///a": ui.ExitUsage,
		"ftp://trust.example/b": ui.ExitUsage, "https://": ui.ExitUsage,
		"https://u:hush@trust.example/b": ui.ExitUsage,
	} {
		r := b.Run("", "trust", "verify", "--roots", b.Path("roots.json"), where)
		if r.Code != want || strings.Contains(r.Stderr, "hush") || strings.Contains(r.Stderr, "keys:") {
			t.Errorf("%s: exit %d, want %d: %s", where, r.Code, want, r.Stderr)
		}
	}
}

func TestLiveTrust(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, "urn:shop")
	srv := served(b)
	var now atomic.Int64
	now.Store(b.Now.UnixNano())
	env := ui.NewEnv(nil, io.Discard, io.Discard, ui.System{
		Now: func() time.Time { return time.Unix(0, now.Load()) }, Getenv: func(string) string { return "" },
		Terminal: func(io.Writer) bool { return false },
		Client:   b.Client,
	})
	for _, where := range []string{b.Path("trust.dsse"), srv.URL + "/trust.dsse", inS3(b)} {
		source, err := loadtrust.Live(t.Context(), env,
			&loadtrust.TrustFlags{Trust: where, Roots: b.Path("roots.json")})
		b.Check(err)
		bundle, err := source.Bundle(t.Context())
		b.Check(err)
		if bundle.Version() != 1 {
			t.Errorf("%s: version %d", where, bundle.Version())
		}
	}
	now.Store(b.Now.Add(30 * 24 * time.Hour).UnixNano())
	for _, where := range []string{"-", b.Path("none"), b.Path("trust.dsse"), srv.URL +
		"/trust.dsse", srv.URL + "/none", "s3://x"} {
		source, err := loadtrust.Live(t.Context(), env,
			&loadtrust.TrustFlags{Trust: where, Roots: b.Path("roots.json")})
		if source != nil || err == nil {
			t.Errorf("%s: %v, %v", where, source, err)
		}
	}
}
