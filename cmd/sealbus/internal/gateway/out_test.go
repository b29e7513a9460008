package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/webhook"
)

// The secrets of the partner, of these tests only.
const (
	oldSecret = "whsec_b2xkIHNlY3JldCBvZiBhIHBhcnRuZXIsIGZvciB0ZXN0cw=="
	newSecret = "whsec_bmV3IHNlY3JldCBvZiBhIHBhcnRuZXIsIGZvciB0ZXN0cw=="
)

// partner receives webhooks, verifies them as Standard Webhooks says, and handles each once.
type partner struct {
	*httptest.Server
	receiver http.Handler
	hold     chan struct{} // an attempt waits for it; nil = none waits

	mu      sync.Mutex
	answers []int // of the next attempts, before the receiver is asked
	got     []webhook.Request
	handled []string // bodies
}

func newPartner(b *clitest.Bench, answers ...int) *partner {
	p := &partner{answers: answers}
	next := func(_ context.Context, v *webhook.Verified) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.handled = append(p.handled, string(v.Body))
		return nil
	}
	clock := func() time.Time { return b.Now }
	var err error
	p.receiver, err = webhook.Handler(standard(b, oldSecret),
		replay.NewMemory(&replay.MemoryOptions{Now: clock}), next,
		&webhook.ReceiverOptions{Now: clock, Logger: slog.New(slog.DiscardHandler)})
	b.Check(err)
	p.Server = httptest.NewServer(p)
	b.T.Cleanup(p.Close)
	return p
}

// standard verifies by one secret.
func standard(b *clitest.Bench, secret string) *webhook.Verifier {
	scheme, err := webhook.Provider("standardwebhooks")
	b.Check(err)
	v, err := webhook.New(scheme, "partner", []webhook.Secret{{ID: "1", Text: secret}}, nil)
	b.Check(err)
	return v
}

func (p *partner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.got = append(p.got, webhook.FromHTTP(r, body))
	status, hold := 0, p.hold
	if len(p.answers) > 0 {
		status, p.answers = p.answers[0], p.answers[1:]
	}
	p.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.receiver.ServeHTTP(w, r)
}

// attempts are the requests so far.
func (p *partner) attempts() []webhook.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]webhook.Request(nil), p.got...)
}

// verified are the bodies that were handled so far.
func (p *partner) verified() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.handled...)
}

// outBench has a queue, a Redis and a partner.
type outBench struct {
	*clitest.Bench
	queue   *clitest.Queue
	redis   *miniredis.Miniredis
	partner *partner
}

func newOutBench(t *testing.T, answers ...int) *outBench {
	b := clitest.NewListenBench(t)
	o := &outBench{Bench: b, queue: clitest.NewQueue(b, map[string]string{"VisibilityTimeout": "1"}),
		redis: miniredis.RunT(t), partner: newPartner(b, answers...)}
	o.later(0)
	b.Check(os.WriteFile(b.Path("acme.secret"), []byte(oldSecret+"\n"), 0o600))
	b.Check(os.WriteFile(b.Path("new.secret"), []byte(newSecret+"\n"), 0o600))
	o.configure("[\"file:acme.secret\"]")
	return o
}

func (o *outBench) configure(secrets string) {
	o.T.Helper()
	o.Check(os.WriteFile(o.Path("out.yaml"), fmt.Appendf(nil, `out:
  acme:
    url: %s/hooks
    secrets: %s
    sources: ["https://shop.example/*"]
    types: [com.example.order.*]
`, o.partner.URL, secrets), 0o600))
}

// args are those of a gateway that sends to the partner.
func (o *outBench) args(more ...string) []string {
	port := o.partner.URL[strings.LastIndexByte(o.partner.URL, ':')+1:]
	return append([]string{"gateway", "--config", o.Path("out.yaml"), "--admin", "127.0.0.1:0",
		"--queue", o.queue.URL, "--endpoint", o.queue.Server.URL(), "--redis", "redis://" + o.redis.Addr(),
		"--trust", o.Path("trust.dsse"), "--roots", o.Path("roots.json"), "--allow-source",
		clitest.OrderSource, "--allow", "127.0.0.0/8", "--insecure-http", "--allow-port", port}, more...)
}

// later sets the clock of Redis, by which deliveries are due.
func (o *outBench) later(d time.Duration) { o.redis.SetTime(o.Now.Add(d)) }

// start starts a gateway, and waits until it runs.
func (o *outBench) start(more ...string) *clitest.Listening {
	o.T.Helper()
	l := o.Start(o.args(more...)...)
	l.Until("it runs", func() bool { return strings.Contains(l.Stderr.String(), "Ctrl-C ends it") })
	return l
}

// counted waits until the metrics have the line.
func (o *outBench) counted(l *clitest.Listening, line string) {
	o.T.Helper()
	l.Until(line, func() bool {
		_, text := get(o.T, admin(l)+"metrics")
		return strings.Contains(text, line)
	})
}

// A delivery that fails is made again, with the same ID and the same body, and handled once. Then the queue
// is empty, and the metrics have both attempts.
func TestOutIsSentAgainUntilDelivered(t *testing.T) {
	o := newOutBench(t, 500)
	o.queue.Send(o.Sealed("o-1"))
	l := o.start()
	o.counted(l, `sealbus_gateway_attempts_total{endpoint="acme",state="again",cause="status"} 1`)
	o.counted(l, `sealbus_gateway_out{state="pending"} 1`)
	o.later(10 * time.Second)
	o.counted(l, `sealbus_gateway_attempts_total{endpoint="acme",state="delivered",cause=""} 1`)
	o.counted(l, `sealbus_gateway_out{state="pending"} 0`)
	got := o.partner.attempts()
	first, _ := got[0].HeaderValue("Webhook-Id")
	second, _ := got[1].HeaderValue("Webhook-Id")
	if len(got) != 2 || first == "" || first != second || !bytes.Equal(got[0].Body, got[1].Body) {
		t.Errorf("attempts: %d, IDs %q and %q", len(got), first, second)
	}
	handled := o.partner.verified()
	if len(handled) != 1 || !strings.Contains(handled[0], `"id":"o-1"`) ||
		strings.Contains(handled[0], "dssematerial") {
		t.Errorf("the partner handled %q", handled)
	}
	if code := l.End(); code != ui.ExitDone || o.queue.Left() != "0+0" {
		t.Errorf("exit %d, left %s\n%s", code, o.queue.Left(), l.Stderr.String())
	}
	if strings.Contains(l.Stderr.String(), "b2xkIHN") {
		t.Errorf("a secret in the log:\n%s", l.Stderr.String())
	}
}

// 410 disables the endpoint. The delivery is in the dead list with its cause, and is sent again on demand.
func TestOutThatIsGone(t *testing.T) {
	o := newOutBench(t, 410)
	redis := []string{"--redis", "redis://" + o.redis.Addr()}
	o.queue.Send(o.Sealed("o-1"))
	l := o.start()
	list := append([]string{"webhook", "dead", "list", "--output", "json"}, redis...)
	l.Until("it is dead", func() bool { return strings.Contains(o.Must("", list...), `"cause":"gone"`) })
	dead := clitest.JSONLines[struct {
		Endpoint, ID, Cause string
		Attempts            int
	}](t, o.Must("", list...))
	if len(dead) != 1 || dead[0].Endpoint != "acme" || dead[0].Attempts != 1 {
		t.Fatalf("%+v", dead)
	}
	o.queue.Send(o.Sealed("o-2"))
	l.Until("the second is dead, too", func() bool {
		return strings.Contains(o.Must("", list...), `"cause":"disabled"`)
	})
	if n := len(o.partner.attempts()); n != 1 {
		t.Errorf("%d attempts: the endpoint is disabled", n)
	}
	retry := append([]string{"webhook", "dead", "retry", "--endpoint", "acme"}, redis...)
	if r := o.Run("", append(retry, "none")...); r.Code != ui.ExitRejected {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
	o.Must("", append(retry, "--all", "--enable")...)
	l.Until("both are delivered", func() bool { return len(o.partner.verified()) == 2 })
	l.Until("none is dead", func() bool { return o.Must("", list...) == "" })
	if code := l.End(); code != ui.ExitDone {
		t.Errorf("exit %d\n%s", code, l.Stderr.String())
	}
}

// An event that is forged goes into quarantine, and never to the partner. One that the endpoint does not want
// is handled by that.
func TestOutSendsNothingForged(t *testing.T) {
	o := newOutBench(t)
	o.Must("", "quarantine", "key", "new", "--out", o.Path("q.key"))
	o.queue.Send(strings.Replace(o.Sealed("o-1"), `"chair"`, `"throne"`, 1))
	o.queue.Send(clitest.Order("o-2"))
	other := strings.Replace(clitest.Order("o-3"), "com.example.order.placed", "com.example.cart", 1)
	o.queue.Send(o.Must(other, o.Seal()...))
	o.queue.Send(`{"source":"https://shop.example/eu","detail-type":"com.example.order.placed",` +
		`"account":"000000000000","detail":` + strings.TrimSpace(o.Sealed("o-4")) + `}`)
	l := o.start("--quarantine", "dir:"+o.Path("q"), "--quarantine-key-file", o.Path("q.key"))
	l.Until("all are done with", func() bool {
		return o.queue.Left() == "0+0" && len(o.partner.verified()) > 0
	})
	l.End()
	if got := strings.Join(o.partner.verified(), "\n"); len(o.partner.attempts()) != 1 ||
		!strings.Contains(got, `"id":"o-4"`) {
		t.Errorf("the partner handled %s", got)
	}
	if files, _ := filepath.Glob(o.Path("q/*.json")); len(files) != 2 {
		t.Errorf("in quarantine: %v", files)
	}
}

// After SIGHUP, both the old and the new secret sign. The URL of Redis may be a reference, because it may
// have a password.
func TestOutRotatesSecrets(t *testing.T) {
	o := newOutBench(t)
	o.redis.RequireAuth("hush")
	t.Setenv("OUT_REDIS", "redis://:hush@"+o.redis.Addr())
	l := o.start("--redis", "env:OUT_REDIS")
	o.configure(`["file:acme.secret", "file:new.secret"]`)
	signal(t, syscall.SIGHUP)
	l.Until("it reads the file again", func() bool {
		return strings.Contains(l.Stderr.String(), "the configuration was loaded again")
	})
	o.queue.Send(o.Sealed("o-1"))
	l.Until("it is delivered", func() bool { return len(o.partner.verified()) == 1 })
	for _, secret := range []string{oldSecret, newSecret} {
		if _, err := standard(o.Bench, secret).Verify(t.Context(), o.partner.attempts()[0], o.Now); err != nil {
			t.Errorf("%v", err)
		}
	}
	l.End()
}

// At SIGTERM an attempt that is under way is finished and recorded. One that must be made again is made by
// the next gateway. Nothing is lost, and nothing is handled twice.
func TestOutEndsInTheMiddle(t *testing.T) {
	o := newOutBench(t, 500)
	o.queue.Send(o.Sealed("o-1"))
	l := o.start()
	o.counted(l, `state="again"`)
	release := make(chan struct{})
	o.partner.mu.Lock()
	o.partner.hold = release
	o.partner.mu.Unlock()
	o.queue.Send(o.Sealed("o-2"))
	l.Until("the second is under way", func() bool { return len(o.partner.attempts()) == 2 })
	signal(t, syscall.SIGTERM)
	l.Until("it is not ready", func() bool {
		status, _ := get(t, admin(l)+"readyz")
		return status == http.StatusServiceUnavailable
	})
	close(release)
	if code := l.Wait(); code != ui.ExitDone {
		t.Fatalf("exit %d\n%s", code, l.Stderr.String())
	}
	if handled := o.partner.verified(); len(handled) != 1 || !strings.Contains(handled[0], `"id":"o-2"`) {
		t.Errorf("handled before the end: %q", handled)
	}
	o.later(10 * time.Second)
	l = o.start()
	l.Until("the first is delivered", func() bool { return len(o.partner.verified()) == 2 })
	if code := l.End(); code != ui.ExitDone {
		t.Errorf("exit %d\n%s", code, l.Stderr.String())
	}
	if n := len(o.partner.attempts()); n != 3 || o.queue.Left() != "0+0" {
		t.Errorf("%d attempts, left %s", n, o.queue.Left())
	}
}

// An endpoint at an address that is not public is refused when the file is read, with its line, and the error
// says which flag allows it. No flag allows the metadata service of the cloud.
func TestOutRefusesAddresses(t *testing.T) {
	o := newOutBench(t)
	check := func(url string, more ...string) clitest.Ran {
		o.Check(os.WriteFile(o.Path("out.yaml"), fmt.Appendf(nil,
			"out:\n  acme:\n    url: %s\n    secrets: [\"file:acme.secret\"]\n"+
				"    sources: [\"https://shop.example/*\"]\n", url), 0o600))
		return o.Run("", append([]string{"gateway", "--config", o.Path("out.yaml"), "--check"}, more...)...)
	}
	for _, c := range []struct {
		url, says string
		flags     []string
	}{
		{"https://169.254.169.254/latest", "no flag allows this address", nil},
		{"https://169.254.169.254/latest", "no flag allows this address", []string{"--allow", "0.0.0.0/0"}},
		{"https://127.0.0.1/hooks", "add --allow CIDR", nil},
		{"https://localhost/hooks", "write 127.0.0.1", []string{"--allow", "127.0.0.0/8"}},
		{"http://acme.example/hooks", "add --insecure-http", nil},
		{"https://acme.example:8443/hooks", "add --allow-port", nil},
		{"https://2130706433/", "with a plain name or address", nil},
	} {
		r := check(c.url, c.flags...)
		if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "line 3: out.acme.url: refused: ") ||
			!strings.Contains(r.Stderr, c.says) {
			t.Errorf("%s %v: exit %d\n%s", c.url, c.flags, r.Code, r.Stderr)
		}
	}
	for url, flags := range map[string][]string{
		"https://acme.example/hooks": nil, "https://127.0.0.1/hooks": {"--allow", "127.0.0.0/8"},
		"http://acme.example/": {"--insecure-http"}, "https://acme.example:8443/": {"--allow-port", "8443"},
	} {
		if r := check(url, flags...); r.Code != ui.ExitDone {
			t.Errorf("%s: exit %d\n%s", url, r.Code, r.Stderr)
		}
	}
}
