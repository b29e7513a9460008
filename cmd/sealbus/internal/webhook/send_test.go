package webhook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// partner keeps what it is sent, and answers with a status.
type partner struct {
	*httptest.Server
	status int
	got    []webhook.Request
}

func newPartner(t *testing.T) *partner {
	p := &partner{status: 200}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.got = append(p.got, webhook.FromHTTP(r, body))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(p.status)
	}))
	t.Cleanup(p.Close)
	return p
}

// sent is what the command writes with --output json.
type sent struct {
	Headers map[string]string
	Signed  string
	Status  int
	Message string
}

// The exit status is that of the answer. A redirect is not followed.
func TestSendExits(t *testing.T) {
	b, p := newBench(t), newPartner(t)
	args := []string{"webhook", "send", p.URL + "/hooks", "--allow", "127.0.0.0/8", "--secret-file",
		b.Path("local.secret"), "--output", "json"}
	for i, c := range []struct{ status, exit int }{{200, ui.ExitDone}, {204, ui.ExitDone},
		{302, ui.ExitRejected}, {404, ui.ExitRejected}, {410, ui.ExitRejected}, {409, ui.ExitUnavailable},
		{429, ui.ExitUnavailable}, {503, ui.ExitUnavailable}} {
		p.status = c.status
		r := b.Run(`{"n":1}`, args...)
		var s sent
		if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil || r.Code != c.exit || s.Status != c.status {
			t.Errorf("%d: exit %d, %+v, %v\n%s", c.status, r.Code, s, err, r.Stderr)
		}
		if len(p.got) != i+1 {
			t.Errorf("%d: %d requests, want %d", c.status, len(p.got), i+1)
		}
	}
	p.Close()
	if r := b.Run(`{"n":1}`, args...); r.Code != ui.ExitUnavailable ||
		!strings.Contains(r.Stdout, `"status":0`) {
		t.Errorf("without a server: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// A receiver verifies v1 and v1a of one request, and RFC 9421 by the key of the keyring.
func TestSendIsVerified(t *testing.T) {
	b, p := newBench(t), newPartner(t)
	private := ed25519.NewKeyFromSeed([]byte("a seed of 32 bytes, of this test"))
	public := base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	b.Check(os.WriteFile(b.Path("v1a.secret"),
		[]byte("whsk_"+base64.StdEncoding.EncodeToString(private)+"\n"), 0o600))
	b.Org(nil, clitest.OrderSource)
	jwk := b.Must("", "keys", "export", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase")
	to := []string{"webhook", "send", p.URL + "/hooks?a=b", "--allow", "127.0.0.0/8", "--id", "m1",
		"--content-type", "text/plain", "--header", "X-Tenant: 7"}
	standard, err := webhook.Provider("standardwebhooks")
	b.Check(err)
	signature := httpsig.Scheme(&httpsig.Profile{ID: "webhook-id", Components: []string{"@method",
		"@target-uri", "content-digest", "webhook-id"}, Optional: []string{"content-type"}})
	for name, c := range map[string]struct {
		flags  []string
		scheme webhook.Scheme
		keys   []string
	}{
		"standard": {[]string{"--secret-file", b.Path("local.secret"), "--secret-file", b.Path("v1a.secret")},
			standard, []string{localSecret, "whpk_" + public}},
		"RFC 9421": {[]string{"--http-signature", "--keyring", b.Path("shop.keyring"),
			"--insecure-no-passphrase"}, signature, []string{jwk}},
	} {
		b.Must("Hello", append(to, c.flags...)...)
		got := p.got[len(p.got)-1]
		for _, key := range c.keys {
			v, err := webhook.New(c.scheme, "partner", []webhook.Secret{{Text: strings.TrimSpace(key)}},
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: p.URL}})
			b.Check(err)
			d, err := v.Verify(t.Context(), got, b.Now)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if id, signed := d.ID(); id != "m1" || !signed || string(d.Body) != "Hello" {
				t.Errorf("%s: ID %q (signed %t), body %q", name, id, signed, d.Body)
			}
		}
		if tenant, _ := got.HeaderValue("X-Tenant"); tenant != "7" {
			t.Errorf("%s: X-Tenant is %q", name, tenant)
		}
	}
}

// A receiver that asks who is calling gets an access token. It is not shown, and goes to this receiver by
// https, or to this machine. If the issuer refuses, nothing is sent.
func TestSendWithToken(t *testing.T) {
	b, p := newBench(t), newPartner(t)
	status := 200
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, secret, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		if secret != clitest.Canary || status != 200 {
			w.WriteHeader(status)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"the-token","token_type":"Bearer"}`)
	}))
	defer issuer.Close()
	b.Env = map[string]string{"SEALBUS_CLIENT_SECRET": clitest.Canary}
	args := []string{"webhook", "send", p.URL + "/hooks", "--allow", "127.0.0.0/8", "--secret-file",
		b.Path("local.secret"), "--token-url", issuer.URL, "--token-client", "c"}
	for _, more := range [][]string{nil, {"--output", "json"}} {
		r := b.Run("{}", append(args, more...)...)
		if r.Code != ui.ExitDone || strings.Contains(r.Stdout+r.Stderr, "the-token") {
			t.Fatalf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		if got, _ := p.got[len(p.got)-1].HeaderValue("Authorization"); got != "Bearer the-token" {
			t.Errorf("the receiver got %q", got)
		}
	}
	p.status = 401
	if r := b.Run("{}", args...); r.Code != ui.ExitRejected || len(p.got) != 3 {
		t.Errorf("exit %d after %d requests", r.Code, len(p.got))
	}
	for refused, exit := range map[int]int{401: ui.ExitRejected, 503: ui.ExitUnavailable} {
		status = refused
		r := b.Run("{}", args...)
		if r.Code != exit || len(p.got) != 3 {
			t.Errorf("the issuer says %d: exit %d after %d requests", refused, r.Code, len(p.got))
		}
		b.NoCanary("refused", r.Stderr)
	}
	args[2] = "http://receiver.example/hooks"
	if r := b.Run("{}", append(args, "--insecure-http")...); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "use https://") {
		t.Errorf("http: exit %d\n%s", r.Code, r.Stderr)
	}
	if r := b.Run("{}", append(args, "--dry-run")...); r.Code != ui.ExitDone {
		t.Errorf("--dry-run asks for a token: exit %d\n%s", r.Code, r.Stderr)
	}
}

// A long body is cut where it is shown, and sent whole.
func TestSendCutsWhatItShows(t *testing.T) {
	b, p := newBench(t), newPartner(t)
	body := strings.Repeat("a", 5000)
	r := b.Run(body, "webhook", "send", p.URL, "--allow", "127.0.0.0/8", "--secret-file",
		b.Path("local.secret"))
	if r.Code != ui.ExitDone || !strings.Contains(r.Stderr, "... (a body of 5000 bytes)") ||
		len(r.Stderr) > 1000 || !strings.Contains(r.Stderr, "200 OK") {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
	if len(p.got) != 1 || string(p.got[0].Body) != body {
		t.Errorf("%d requests", len(p.got))
	}
	if strings.Contains(r.Stdout+r.Stderr, localSecret) {
		t.Error("the secret is shown")
	}
}
