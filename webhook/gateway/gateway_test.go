package gateway_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/awslambda"
	"github.com/sealbus/sealbus/webhook/gateway"
)

// A delivery is on the bus before the provider is answered, once, however often it is sent.
func TestDeliveryBecomesAnEventOnce(t *testing.T) {
	w := newWorld(t, oneEndpoint, nil)
	for range 2 {
		if got := w.send("first", `{"n":1}`); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	events := w.bus.events()
	if len(events) != 1 || !strings.Contains(events[0], `"source":"https://hooks.example/github"`) ||
		!strings.Contains(events[0], `"type":"webhook.github.push"`) {
		t.Errorf("the bus has %q", events)
	}
	_, metrics := w.admin("/metrics")
	for _, line := range []string{
		`sealbus_gateway_deliveries_total{endpoint="github",status="200",reason=""} 1`,
		`sealbus_gateway_deliveries_total{endpoint="github",status="200",reason="replayed"} 1`,
		`sealbus_gateway_config_timestamp_seconds 1796040000`, `sealbus_gateway_in_flight 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no line %s in\n%s", line, metrics)
		}
	}
}

const several = oneEndpoint + `    max_body: 100
    content_types: [application/json]
  slow:
    path: /hooks/slow
    provider: github
    secrets: [env:GITHUB_SECRET]
    source: https://hooks.example/slow
    rate: 0.5
`

func TestEachStatus(t *testing.T) {
	w := newWorld(t, several, nil)
	with := func(change func(r *http.Request)) *http.Request {
		r := signed(t, w.url+"/hooks/github", "first", `{}`)
		change(r)
		return r
	}
	for name, c := range map[string]struct {
		request *http.Request
		status  int
		reason  string
	}{
		"no such path": {signed(t, w.url+"/hooks", "first", `{}`), 404, ""},
		"another case": {signed(t, w.url+"/Hooks/github", "first", `{}`), 404, ""},
		"escaped path": {signed(t, w.url+"/hooks/git%68ub", "first", `{}`), 404, ""},
		"a slash more": {signed(t, w.url+"/hooks/github/", "first", `{}`), 404, ""},
		"GET":          {with(func(r *http.Request) { r.Method = "GET" }), 405, ""},
		"no signature": {with(func(r *http.Request) { r.Header.Del("X-Hub-Signature-256") }),
			401, "unsigned"},
		"two signatures": {with(func(r *http.Request) { r.Header.Add("X-Hub-Signature-256", "sha256=00") }),
			400, "malformed"},
		"another secret": {signed(t, w.url+"/hooks/github", "other", `{}`), 401, "bad_signature"},
		"too large": {signed(t, w.url+"/hooks/github", "first", strings.Repeat("x", 101)),
			413, "too_large"},
		"form": {with(func(r *http.Request) { r.Header.Set("Content-Type", "text/xml") }), 415, ""},
	} {
		status, body, header := do(t, c.request)
		var problem struct {
			Status int
			Reason string
		}
		if err := json.Unmarshal([]byte(body), &problem); err != nil || status != c.status ||
			problem.Status != c.status || problem.Reason != c.reason ||
			header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %v", name, status, body, header)
		}
	}
	if events := w.bus.events(); len(events) != 0 {
		t.Errorf("the bus has %q", events)
	}
	w.bus.fail(errors.New("the bus is away"))
	status, body, header := do(t, signed(t, w.url+"/hooks/github", "first", `{}`))
	if status != 503 || header.Get("Retry-After") == "" || strings.Contains(body, "away") {
		t.Errorf("without a bus: %d %s", status, body)
	}
	w.bus.fail(nil)
	if got := w.send("first", `{}`); got != 200 || len(w.bus.events()) != 1 {
		t.Errorf("sent again: %d, %q", got, w.bus.events())
	}
	first, _, _ := do(t, signed(t, w.url+"/hooks/slow", "first", `{}`))
	second, _, header := do(t, signed(t, w.url+"/hooks/slow", "first", `{"n":2}`))
	if first != 200 || second != 429 || header.Get("Retry-After") != "2" {
		t.Errorf("over the rate: %d, %d, Retry-After %q", first, second, header.Get("Retry-After"))
	}
}

// A delivery that another worker has in hand is answered 409, and the one in hand is not disturbed.
func TestInProgress(t *testing.T) {
	w := newWorld(t, oneEndpoint, nil)
	release := w.bus.block()
	first := make(chan int)
	go func() { first <- w.send("first", `{}`) }()
	<-w.bus.held
	if got := w.send("first", `{}`); got != http.StatusConflict {
		t.Errorf("a second copy: %d", got)
	}
	if _, metrics := w.admin("/metrics"); !strings.Contains(metrics, "sealbus_gateway_in_flight 1\n") {
		t.Errorf("in flight:\n%s", metrics)
	}
	release()
	if got := <-first; got != 200 || len(w.bus.events()) != 1 {
		t.Errorf("the first copy: %d, %q", got, w.bus.events())
	}
}

// The bodies of all endpoints share one budget.
func TestEndpointsShareTheBudget(t *testing.T) {
	opts := options()
	var err error
	if opts.Budget, err = webhook.NewBudget(100); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, several+"    max_body: 100\n", opts)
	release := w.bus.block()
	first := make(chan int)
	go func() { first <- w.send("first", `{"a":"`+strings.Repeat("x", 80)+`"}`) }()
	<-w.bus.held
	body := `{"b":"` + strings.Repeat("x", 80) + `"}`
	second := webhook.FromHTTP(signed(t, w.url+"/hooks/slow", "first", body), []byte(body))
	if got := w.Receive(t.Context(), second, time.Time{}); got.Status != http.StatusServiceUnavailable {
		t.Errorf("beyond the budget: %d", got.Status)
	}
	release()
	if got := <-first; got != 200 {
		t.Errorf("within the budget: %d", got)
	}
}

// Reload: what is in flight is finished by the old configuration, what comes later is judged by the new one,
// and a configuration with an error changes nothing.
func TestReload(t *testing.T) {
	w := newWorld(t, oneEndpoint, nil)
	release := w.bus.block()
	old := make(chan int)
	go func() { old <- w.send("first", `{"n":1}`) }()
	<-w.bus.held
	t.Setenv("SECOND_SECRET", "second")
	next := strings.NewReplacer("GITHUB_SECRET", "SECOND_SECRET").Replace(oneEndpoint)
	if err := w.Reload(t.Context(), []byte(next)); err != nil {
		t.Fatal(err)
	}
	release()
	if got := <-old; got != 200 {
		t.Errorf("in flight: %d", got)
	}
	check := func(when string) {
		t.Helper()
		if got := w.send("first", `{"n":2}`); got != 401 {
			t.Errorf("%s, the old secret: %d", when, got)
		}
		if got := w.send("second", `{"n":3,"when":"`+when+`"}`); got != 200 {
			t.Errorf("%s, the new secret: %d", when, got)
		}
	}
	check("after")
	for _, broken := range []string{"", "endpoints: {}", next + "    speed: 1\n",
		strings.Replace(next, "env:SECOND_SECRET", "env:NOT_SET_ANYWHERE", 1)} {
		if _, ok := errors.AsType[*gateway.ConfigError](w.Reload(t.Context(), []byte(broken))); !ok {
			t.Errorf("%q was loaded", broken)
		}
	}
	check("after errors")
	if got := w.send("second", `{"n":3,"when":"after"}`); got != 200 || len(w.bus.events()) != 3 {
		t.Errorf("a copy from before: %d, %d events", got, len(w.bus.events()))
	}
	if _, metrics := w.admin("/metrics"); !strings.Contains(metrics, `{result="done"} 1`) ||
		!strings.Contains(metrics, `{result="failed"} 4`) {
		t.Errorf("the metrics:\n%s", metrics)
	}
}

// While the configuration is replaced again and again, no delivery is refused.
func TestReloadLosesNothing(t *testing.T) {
	w := newWorld(t, oneEndpoint, nil)
	var senders sync.WaitGroup
	var done atomic.Bool
	var sent atomic.Int64
	for i := range 4 {
		senders.Go(func() {
			for n := 0; !done.Load(); n++ {
				body, err := json.Marshal(map[string]int{"sender": i, "n": n})
				if got := w.send("first", string(body)); got != 200 || err != nil {
					t.Errorf("status %d, %v", got, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	for i := 0; i < 20 || sent.Load() < 50; i++ {
		if err := w.Reload(t.Context(), []byte(oneEndpoint)); err != nil {
			t.Error(err)
			break
		}
	}
	done.Store(true)
	senders.Wait()
	if int64(len(w.bus.events())) != sent.Load() {
		t.Errorf("%d events of %d deliveries", len(w.bus.events()), sent.Load())
	}
}

// A file, a variable, another service and a member of a JSON object have the secret.
func TestSecretsByReference(t *testing.T) {
	opts := options()
	opts.Dir = t.TempDir()
	fetch := func(_ context.Context, name string) (string, error) {
		if name != "/hooks/github" {
			return "", errors.New("no such parameter")
		}
		return `{"old":"zero","new":"first"}`, nil
	}
	opts.Secrets = map[string]gateway.SecretFetch{"ssm": fetch}
	for name, content := range map[string]string{"s": "first\n", "empty": "\n",
		"large": strings.Repeat("x", 1<<17)} {
		if err := os.WriteFile(filepath.Join(opts.Dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("EMPTY", "")
	w := newWorld(t, oneEndpoint, opts)
	for _, good := range []string{"env:GITHUB_SECRET", "file:s", "file:" + filepath.Join(opts.Dir, "s"),
		"ssm:/hooks/github#new"} {
		config := strings.Replace(oneEndpoint, "env:GITHUB_SECRET", good, 1)
		if err := w.Reload(t.Context(), []byte(config)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
		if got := w.send("first", `{"from":"`+good+`"}`); got != 200 {
			t.Errorf("%s: %d", good, got)
		}
	}
	for _, bad := range []string{"env:NOT_SET_ANYWHERE", "env:EMPTY", "file:none", "file:empty", "file:large",
		"file:.", "ssm:/hooks/other", "ssm:/hooks/github#none", "vault:x", "ssm:", "first"} {
		err := w.Reload(t.Context(), []byte(strings.Replace(oneEndpoint, "env:GITHUB_SECRET", bad, 1)))
		e, ok := errors.AsType[*gateway.ConfigError](err)
		if !ok || e.Line != 6 || e.Field != "endpoints.github.secrets.0" {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// During a rotation there are two secrets, each with its dates.
func TestSecretsHaveDates(t *testing.T) {
	t.Setenv("SECOND_SECRET", "second")
	w := newWorld(t, strings.Replace(oneEndpoint, "[env:GITHUB_SECRET]", `
      - {ref: "env:GITHUB_SECRET", id: old, not_after: 2026-11-30T11:59:59Z}
      - ref: env:SECOND_SECRET
        not_before: 2026-11-30T12:00:00Z`, 1), nil)
	if old, next := w.send("first", `{}`), w.send("second", `{}`); old != 401 || next != 200 {
		t.Errorf("the old one %d, the new one %d", old, next)
	}
	if e := w.bus.events(); len(e) != 1 || !strings.Contains(e[0], `"webhookkeyid":"env:SECOND_SECRET"`) {
		t.Errorf("%q", e)
	}
}

// The same gateway as a Lambda function, behind three front ends.
func TestLambda(t *testing.T) {
	w := newWorld(t, several, nil)
	payload := func(front awslambda.FrontEnd, path, secret, body string) json.RawMessage {
		r := signed(t, "https://x"+path, secret, body)
		one, many := map[string]string{}, map[string][]string{}
		for name, values := range r.Header {
			one[name], many[name] = values[0], values
		}
		encoded := base64.StdEncoding.EncodeToString([]byte(body))
		p := map[string]any{"version": "2.0", "rawPath": path, "rawQueryString": "", "headers": one,
			"requestContext": map[string]any{"http": map[string]any{"method": "POST", "path": path}},
			"body":           encoded, "isBase64Encoded": true}
		if front == awslambda.RESTAPI {
			p = map[string]any{"version": "1.0", "path": path, "httpMethod": "POST", "headers": one,
				"multiValueHeaders": many, "queryStringParameters": nil,
				"multiValueQueryStringParameters": nil,
				"requestContext":                  map[string]any{"path": path, "httpMethod": "POST"},
				"body":                            encoded,
				"isBase64Encoded":                 true}
		}
		doc, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	for _, front := range []awslambda.FrontEnd{awslambda.FunctionURL, awslambda.HTTPAPI, awslambda.RESTAPI} {
		f := awslambda.Handler(w.Gateway, front)
		for _, c := range []struct {
			path, secret string
			status       int
		}{{"/hooks/github", "first", 200}, {"/hooks/github", "other", 401}, {"/hooks/none", "first", 404}} {
			before := len(w.bus.events())
			resp, err := f(t.Context(), payload(front, c.path, c.secret, `{"front":"`+front.String()+`"}`))
			if err != nil || resp.StatusCode != c.status ||
				len(w.bus.events())-before != map[int]int{200: 1}[c.status] {
				t.Errorf("%v %s %s: %+v, %v", front, c.path, c.secret, resp, err)
			}
		}
	}
}

// A front end that does not tell the path reaches the only endpoint, and none of several.
func TestUnknownTarget(t *testing.T) {
	r := webhook.FromHTTP(signed(t, "https://x/hooks/github", "first", `{}`), []byte(`{}`))
	r.Target = ""
	if got := newWorld(t, oneEndpoint, nil).Receive(t.Context(), r, time.Time{}); got.Status != 200 {
		t.Errorf("the only endpoint: %+v", got)
	}
	got := newWorld(t, several, nil).Receive(t.Context(), r, time.Time{})
	if got.Status != 400 || got.Err == nil {
		t.Errorf("one of several: %+v", got)
	}
}

func TestAdmin(t *testing.T) {
	w := newWorld(t, oneEndpoint, nil)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404} {
		if got, _ := w.admin(path); got != want {
			t.Errorf("%s: %d", path, got)
		}
	}
	w.Drain()
	ready, _ := w.admin("/readyz")
	health, _ := w.admin("/healthz")
	if ready != 503 || health != 200 || w.send("first", `{}`) != 200 {
		t.Errorf("while it drains: ready %d, healthy %d", ready, health)
	}
}

// The log says why, and has no secret.
func TestLogHasDiagnosis(t *testing.T) {
	opts := options()
	logger, lines := logged()
	opts.Logger = logger
	w := newWorld(t, oneEndpoint, opts)
	r := signed(t, w.url+"/hooks/github", "first", `{"n":1}`)
	spaced := signed(t, w.url+"/hooks/github", "first", `{"n": 1}`)
	spaced.Header = r.Header
	if status, _, _ := do(t, spaced); status != 401 {
		t.Fatalf("status %d", status)
	}
	if text := lines.String(); !strings.Contains(text, "re-serialising") ||
		!strings.Contains(text, "endpoint=github") ||
		strings.Contains(text, "first") {
		t.Errorf("the log:\n%s", text)
	}
}

// deadlines is a ResponseWriter that notes read deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

// TestNoEndpointHoldsNoConnection: net/http waits for a body that was announced before it answers. Without a
// deadline that is for ever, also when the gateway is to end.
func TestNoEndpointHoldsNoConnection(t *testing.T) {
	w := newWorld(t, oneEndpoint, nil)
	for target, method := range map[string]string{"/elsewhere": "POST", "/hooks/github": "PUT"} {
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		w.ServeHTTP(d, httptest.NewRequest(method, target, strings.NewReader("{}")))
		if d.Code < 400 || len(d.set) != 1 || d.set[0].IsZero() {
			t.Errorf("%s %s: status %d, deadlines %v", method, target, d.Code, d.set)
		}
	}
}
