package gateway_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

const config = `endpoints:
  github:
    path: /hooks/github
    provider: github
    secrets: ["file:github.secret"]
    source: https://shop.example/eu/github
`

// newBench has a keyring and a configuration.
func newBench(t *testing.T) *clitest.Bench {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	b.Check(os.WriteFile(b.Path("github.secret"), []byte("secret\n"), 0o600))
	b.Check(os.WriteFile(b.Path("hooks.yaml"), []byte(config), 0o600))
	return b
}

func start(b *clitest.Bench, more ...string) *clitest.Listening {
	return b.Start(append([]string{"gateway", "--config", b.Path("hooks.yaml"), "--keyring",
		b.Path("shop.keyring"), "--insecure-no-passphrase", "--http", "127.0.0.1:0", "--admin",
		"127.0.0.1:0"}, more...)...)
}

// deliver posts a delivery of GitHub; 0 = there was no answer.
func deliver(t *testing.T, url, secret, body string) int {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"hooks/github",
		strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("X-GitHub-Event", "push")
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close() // the status says it all
	return resp.StatusCode
}

func get(t *testing.T, url string) (int, string) {
	resp, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(body)
}

// admin is the URL of health and metrics.
func admin(l *clitest.Listening) string {
	return regexp.MustCompile(`metrics on (http://\S+/)metrics`).FindStringSubmatch(l.Stderr.String())[1]
}

func signal(t *testing.T, s syscall.Signal) {
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

// An event that the gateway writes with --bus - opens. SIGHUP takes a good configuration, and keeps
// the old one in the place of a broken one. SIGTERM ends it with 0.
func TestGateway(t *testing.T) {
	b := newBench(t)
	l := start(b, "--bus", "-")
	url := l.Address()
	if got := deliver(t, url, "secret", `{"n":1}`); got != 200 {
		t.Fatalf("status %d\n%s", got, l.Stderr.String())
	}
	opened := b.Must(l.Stdout.String(), b.Open(clitest.OrderSource)...)
	if !strings.Contains(opened, `"data":{"n":1}`) ||
		!strings.Contains(opened, `"type":"webhook.github.push"`) {
		t.Errorf("the event:\n%s", opened)
	}
	b.Check(os.WriteFile(b.Path("github.secret"), []byte("second\n"), 0o600))
	signal(t, syscall.SIGHUP)
	l.Until("it reads the file again", func() bool {
		return strings.Contains(l.Stderr.String(), "the configuration was loaded again")
	})
	old, next := deliver(t, url, "secret", `{"n":2}`), deliver(t, url, "second", `{"n":3}`)
	if old != 401 || next != 200 {
		t.Errorf("the old secret %d, the new one %d", old, next)
	}
	b.Check(os.WriteFile(b.Path("hooks.yaml"), []byte(config+"    speed: 1\n"), 0o600))
	signal(t, syscall.SIGHUP)
	l.Until("it refuses the file", func() bool {
		return strings.Contains(l.Stderr.String(),
			"not loaded again, the old one stays: line 7: endpoints.github.speed")
	})
	if got := deliver(t, url, "second", `{"n":4}`); got != 200 {
		t.Errorf("with the old configuration: %d", got)
	}
	if _, metrics := get(t, admin(l)+"metrics"); !strings.Contains(metrics,
		`sealbus_gateway_deliveries_total{endpoint="github",status="200",reason=""} 3`) ||
		!strings.Contains(metrics, `sealbus_gateway_reloads_total{result="failed"} 1`) {
		t.Errorf("the metrics:\n%s", metrics)
	}
	signal(t, syscall.SIGTERM)
	if code := l.Wait(); code != ui.ExitDone {
		t.Errorf("exit %d\n%s", code, l.Stderr.String())
	}
	if strings.Contains(l.Stderr.String(), "second") {
		t.Errorf("a secret in the log:\n%s", l.Stderr.String())
	}
}

// At SIGTERM a delivery that is under way is finished and answered, and no other is accepted.
func TestGatewayFinishesWhatIsUnderWay(t *testing.T) {
	b := newBench(t)
	held, release := make(chan struct{}, 1), make(chan struct{})
	clitest.AwsStub(t, func(action string) (int, string) {
		if action == "DescribeEventBus" {
			return 200, `{"Name":"central"}`
		}
		held <- struct{}{}
		<-release
		return 200, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`
	})
	l := start(b, "--bus", "central")
	url := l.Address()
	answer := make(chan int)
	go func() { answer <- deliver(t, url, "secret", `{"n":1}`) }()
	<-held
	signal(t, syscall.SIGTERM)
	l.Until("it is not ready", func() bool {
		status, _ := get(t, admin(l)+"readyz")
		return status == http.StatusServiceUnavailable
	})
	l.Until("it accepts no more", func() bool { return deliver(t, url, "other", `{"n":2}`) == 0 })
	close(release)
	if got := <-answer; got != 200 {
		t.Errorf("what was under way: %d", got)
	}
	if code := l.Wait(); code != ui.ExitDone {
		t.Errorf("exit %d\n%s", code, l.Stderr.String())
	}
}

// A delivery that is not on the bus is not acknowledged.
func TestGatewayWithoutABus(t *testing.T) {
	b := newBench(t)
	clitest.AwsStub(t, func(string) (int, string) {
		return 400, clitest.AwsError("ResourceNotFoundException")
	})
	l := start(b, "--bus", "central")
	if got := deliver(t, l.Address(), "secret", `{"n":1}`); got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
	if code := l.End(); code != ui.ExitDone || !strings.Contains(l.Stderr.String(), "status=503") {
		t.Errorf("exit %d\n%s", code, l.Stderr.String())
	}
}

// Secrets come from AWS by name. A parameter that everyone may read is none, and a service that is busy is a
// reason to try again.
func TestSecretsFromAWS(t *testing.T) {
	b := newBench(t)
	status, body := 200, ""
	clitest.AwsStub(t, func(string) (int, string) { return status, body })
	check := []string{"gateway", "--check", "--config", b.Path("hooks.yaml")}
	for _, c := range []struct {
		reference string
		status    int
		body      string
		exit      int
		says      string
	}{
		{"secretsmanager:hooks", 200, `{"SecretString":"secret"}`, ui.ExitDone, "is good"},
		{"secretsmanager:hooks#github", 200, `{"SecretString":"{\"github\":\"secret\"}"}`, ui.ExitDone,
			"is good"},
		{"secretsmanager:hooks#gitlab", 200, `{"SecretString":"{\"github\":\"canary\"}"}`, ui.ExitUsage,
			"no such member"},
		{"secretsmanager:hooks", 400, clitest.AwsError("ResourceNotFoundException"), ui.ExitUsage,
			"line 5: endpoints.github.secrets.0: ResourceNotFoundException"},
		{"secretsmanager:hooks", 400, clitest.AwsError("ThrottlingException"), ui.ExitUnavailable,
			"try again"},
		{"ssm:/hooks", 200, `{"Parameter":{"Type":"SecureString","Value":"secret"}}`, ui.ExitDone, "is good"},
		{"ssm:/hooks", 200, `{"Parameter":{"Type":"String","Value":"canary"}}`, ui.ExitUsage,
			"not a SecureString"},
		{"ssm:/hooks", 200, `{"Parameter":{"Type":"SecureString","Value":""}}`, ui.ExitUsage, "is empty"},
	} {
		status, body = c.status, c.body
		b.Check(os.WriteFile(b.Path("hooks.yaml"),
			[]byte(strings.Replace(config, "file:github.secret", c.reference, 1)), 0o600))
		if r := b.Run("", check...); r.Code != c.exit || !strings.Contains(r.Stderr, c.says) ||
			strings.Contains(r.Stderr, "canary") {
			t.Errorf("%s %s: exit %d\n%s", c.reference, c.body, r.Code, r.Stderr)
		}
	}
}

// A source for which the keyring does not speak is refused before anything is taken.
func TestSourceOfAnotherProducer(t *testing.T) {
	b := newBench(t)
	other := strings.Replace(config, "shop.example", "bank.example", 1)
	b.Check(os.WriteFile(b.Path("hooks.yaml"), []byte(other), 0o600))
	r := b.Run("", "gateway", "--config", b.Path("hooks.yaml"), "--keyring", b.Path("shop.keyring"),
		"--insecure-no-passphrase", "--bus", "-", "--http", "0", "--admin", "0")
	if r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "line 6: endpoints.github.source: producer shop does not speak") {
		t.Errorf("exit %d\n%s", r.Code, r.Stderr)
	}
}

// With --trust, an event that consumers would refuse is not sent, and the provider sends the delivery again.
// The gateway starts anew with another clock, and takes it when consumers know the key.
func TestGatewayTrust(t *testing.T) {
	b := newBench(t)
	b.SecretOrg() // its bundle is new, and lists the consumer billing
	more := b.WithTrust("--bus", "-", "--encrypt-to", "billing", "--require-trust")
	for _, c := range []struct {
		later  time.Duration
		status int
	}{{0, 503}, {time.Hour, 200}, {30 * 24 * time.Hour, 503}} {
		b.Now = b.Now.Add(c.later)
		if c.later > time.Hour { // the bundle has expired: it does not start
			if r := b.Run("", append([]string{"gateway", "--config", b.Path("hooks.yaml"), "--keyring",
				b.Path("shop.keyring"), "--insecure-no-passphrase"},
				more...)...); r.Code != ui.ExitUnavailable {
				t.Errorf("exit %d\n%s", r.Code, r.Stderr)
			}
			continue
		}
		l := start(b, more...)
		if got := deliver(t, l.Address(), "secret", `{"n":1}`); got != c.status {
			t.Errorf("after %v: status %d\n%s", c.later, got, l.Stderr.String())
		}
		if sent := l.Stdout.String(); (sent != "") != (c.status == 200) || strings.Contains(sent, `"n":1`) {
			t.Errorf("after %v: the bus has %s", c.later, sent)
		}
		l.End()
	}
	for _, c := range [][]string{{"--require-trust"}, {"--trust", b.Path("trust.dsse")}} {
		r := b.Run("", append([]string{"gateway", "--config", b.Path("hooks.yaml"), "--keyring",
			b.Path("shop.keyring"), "--insecure-no-passphrase", "--bus", "-"}, c...)...)
		if r.Code != ui.ExitUsage {
			t.Errorf("%v: exit %d\n%s", c, r.Code, r.Stderr)
		}
	}
}
