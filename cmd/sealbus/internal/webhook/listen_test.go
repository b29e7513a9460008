package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
)

const localSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// deliver posts a delivery of GitHub.
func deliver(t *testing.T, url, secret, body string) int {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"hooks?a=b",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"X-GitHub-Event": "push", "Authorization": "Bearer canary",
		"Cookie": "canary=1", "Webhook-Id": "no word", "X-Forwarded-For": "192.0.2.1",
		"Content-Type":        "application/json",
		"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil))} {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // the status says it all
	return resp.StatusCode
}

func newBench(t *testing.T) *clitest.Bench {
	b := clitest.New(t)
	b.Check(os.WriteFile(b.Path("github.secret"), []byte("secret\n"), 0o600))
	b.Check(os.WriteFile(b.Path("local.secret"), []byte(localSecret+"\n"), 0o600))
	return b
}

// Each delivery has a verdict, and only verified ones are recorded. A record is verified again as of its
// arrival.
func TestListenRecords(t *testing.T) {
	b := newBench(t)
	l := b.Start("webhook", "listen", "--provider", "github", "--secret-file",
		b.Path("github.secret"), "--record",
		b.Path("kept"), "--http", "127.0.0.1:0", "--limit", "4")
	url := l.Address()
	for _, c := range []struct {
		secret, body string
		status       int
	}{{"secret", `{"n":1}`, 200}, {"secret", `{"n":1}`, 200}, {"other", `{"n":2}`, 401},
		{"secret", `{"n":3}`, 200}} {
		if got := deliver(t, url, c.secret, c.body); got != c.status {
			t.Errorf("%+v: status %d", c, got)
		}
	}
	if code := l.Wait(); code != ui.ExitDone {
		t.Fatalf("exit %d\n%s", code, l.Stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(l.Stdout.String()), "\n")
	for i, want := range []string{`^\d\d:\d\d:\d\d  verified   push, recorded as \S+\.json$`,
		`  duplicate  replayed: `, `  rejected   bad_signature: no secret made the signature`,
		`  verified   push, recorded as `} {
		if i >= len(lines) || !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d is not %s:\n%s", i, want, l.Stdout.String())
		}
	}
	if !strings.Contains(l.Stderr.String(), "2 verified, 1 duplicate, 1 rejected") {
		t.Errorf("the summary:\n%s", l.Stderr.String())
	}
	names, err := filepath.Glob(b.Path("kept/*.json"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, %v", names, err)
	}
	verify := []string{"webhook", "verify", "--provider", "github", "--secret-file", b.Path("github.secret"),
		"--record", names[0]}
	if got := b.Must("", verify...); got != `{"n":1}` {
		t.Errorf("the record has %q", got)
	}
	if r := b.Run("", append(verify, "--header", "A: b")...); r.Code != ui.ExitUsage {
		t.Errorf("--header beside --record: exit %d", r.Code)
	}
}

// A sender whose delivery has no line, and no record, is to come again.
func TestListenAcknowledgesNothingUntold(t *testing.T) {
	b := newBench(t)
	for want, args := range map[int][]string{503: nil, 200: {"--record", b.Path("kept")}} {
		l := b.Start(append([]string{"webhook", "listen", "--provider", "github", "--secret-file",
			b.Path("github.secret"), "--http", "127.0.0.1:0"}, args...)...)
		url := l.Address()
		l.Stdout.Cut()
		if got := deliver(t, url, "secret", `{"n":1}`); got != want {
			t.Errorf("%s: status %d", args, got)
		}
		if code := l.Wait(); code != ui.ExitUnavailable {
			t.Errorf("%s: exit %d\n%s", args, code, l.Stderr.String())
		}
	}
}

// receiver is a program that verifies what is sent again.
type receiver struct {
	*httptest.Server
	status int
	got    []http.Header
	bodies []string
	ids    []string
}

func newReceiver(t *testing.T, b *clitest.Bench) *receiver {
	scheme, err := webhook.Provider("standardwebhooks")
	b.Check(err)
	v, err := webhook.New(scheme, "local", []webhook.Secret{{Text: localSecret}}, nil)
	b.Check(err)
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		d, err := v.Verify(req.Context(), webhook.FromHTTP(req, body), b.Now)
		if err != nil {
			t.Error(err)
			return
		}
		id, _ := d.ID()
		r.got, r.bodies, r.ids = append(r.got, req.Header), append(r.bodies, string(body)), append(r.ids, id)
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

// Records are sent in their order, signed anew, with one ID each time, and without what is no business of the
// program.
func TestResend(t *testing.T) {
	b := newBench(t)
	l := b.Start("webhook", "listen", "--provider", "github", "--secret-file",
		b.Path("github.secret"), "--record",
		b.Path("kept"), "--http", "127.0.0.1:0", "--limit", "2")
	url := l.Address()
	first := deliver(t, url, "secret", `{"n":1}`)
	second := deliver(t, url, "secret", `{"n":2}`)
	if first != 200 || second != 200 || l.Wait() != ui.ExitDone {
		t.Fatalf("%d, %d\n%s", first, second, l.Stdout.String())
	}
	r := newReceiver(t, b)
	args := []string{"webhook", "resend", b.Path("kept"), "--to", r.URL + "/app", "--secret-file",
		b.Path("local.secret")}
	for range 2 {
		if out := b.Must("", args...); strings.Count(out, ".json  200\n") != 2 {
			t.Errorf("it said\n%s", out)
		}
	}
	if len(r.ids) != 4 || r.ids[0] != r.ids[2] || r.ids[1] != r.ids[3] || r.ids[0] == r.ids[1] {
		t.Errorf("IDs %q", r.ids)
	}
	h := r.got[0]
	if h.Get("X-GitHub-Event") != "push" || h.Get("Content-Type") != "application/json" ||
		h.Get("Authorization")+h.Get("Cookie")+h.Get("X-Forwarded-For") != "" {
		t.Errorf("headers %v", h)
	}
	for status, want := range map[int]int{400: ui.ExitRejected, 302: ui.ExitRejected, 503: ui.ExitUnavailable,
		409: ui.ExitUnavailable} {
		r.status = status
		if got := b.Run("", args...); got.Code != want {
			t.Errorf("answered %d: exit %d\n%s", status, got.Code, got.Stdout)
		}
	}
	args[4] = "http://127.0.0.1:1" // the system hands out no such port to another test
	if got := b.Run("", append(args, "--output", "json")...); got.Code != ui.ExitUnavailable ||
		!strings.Contains(got.Stdout, `"status":0,"message":"connection refused`) {
		t.Errorf("not reached: exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	b.Check(os.Mkdir(b.Path("empty"), 0o700))
	args[2] = b.Path("empty")
	got := b.Run("", args...)
	if got.Code != ui.ExitUsage || !strings.Contains(got.Stderr, "has no records") {
		t.Errorf("no records: exit %d\n%s", got.Code, got.Stderr)
	}
}
