package interop_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/claimtable"
)

// emulator is AWS's own emulator of the Lambda runtime API, which runs a bootstrap as Lambda does.
type emulator struct {
	tb testing.TB
	*server
}

// startRIE runs the program of an example, with invocations that may take so many seconds. The program starts
// with the first invocation.
func startRIE(tb testing.TB, rie string, w *orderstest.World, program string, env []string,
	seconds int) *emulator {
	tb.Helper()
	bootstrap := orderstest.Build(tb, program)
	env = append(append([]string{fmt.Sprint("AWS_LAMBDA_FUNCTION_TIMEOUT=", seconds), "HOME=" +
		w.Dir(), "TMPDIR=" + tb.TempDir()}, w.AWSEnv()...), env...)
	s := startServer(tb, func(port string) *exec.Cmd {
		cmd := exec.Command(rie, "--runtime-interface-emulator-address", net.JoinHostPort("127.0.0.1", port),
			"--runtime-api-address", net.JoinHostPort("127.0.0.1", freePort(tb)), bootstrap)
		cmd.Dir, cmd.Env = w.Dir(), env
		return cmd
	})
	return &emulator{tb, s}
}

// want invokes the function, and wants its answer: the status and the body, or its error as Lambda shows it.
func (e *emulator) want(what string, payload []byte, want string) {
	e.tb.Helper()
	answer, err := http.Post("http://"+e.addr()+"/2015-03-31/functions/function/invocations",
		"application/json", bytes.NewReader(payload))
	if err != nil {
		e.tb.Fatalf("%s: %v\n%s", what, err, e.output)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		e.tb.Fatal(err)
	}
	if got := fmt.Sprintf("%d %s", answer.StatusCode, body); got != want {
		e.tb.Errorf("%s: answered %s, want %s\n%s", what, got, want, e.output)
	}
}

// charged wants the billing function to have charged these orders, each once, and no other.
func (e *emulator) charged(orders ...string) {
	e.tb.Helper()
	log := e.output.String()
	for _, id := range orders {
		if n := strings.Count(log, fmt.Sprintf("order %q of orders: ", id)); n != 1 {
			e.tb.Errorf("%s was charged %d times\n%s", id, n, log)
		}
	}
	if n := strings.Count(log, "charged now: true"); n != len(orders) {
		e.tb.Errorf("%d charges, want %d\n%s", n, len(orders), log)
	}
}

// gate is a server that can be frozen: it then takes requests, acts on none, and answers none.
type gate struct {
	next http.Handler

	mu     sync.Mutex
	frozen chan struct{} // closed when it thaws; nil = it is not frozen
}

func (g *gate) freeze() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frozen = make(chan struct{})
}

func (g *gate) thaw() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.frozen != nil {
		close(g.frozen)
	}
	g.frozen = nil
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	frozen := g.frozen
	g.mu.Unlock()
	if frozen == nil {
		g.next.ServeHTTP(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // else it is not noticed that the client goes away
	select {
	case <-frozen:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// newGatedWorld is a World whose tables are on an emulator of DynamoDB that can be frozen.
func newGatedWorld(t *testing.T) (*orderstest.World, *gate) {
	t.Helper()
	server, client := startDynalite(t)
	for _, table := range orderstest.TableNames() {
		if created, err := claimtable.Ensure(t.Context(), client, table); !created ||
			!errors.Is(err, claimtable.ErrNoTTL) {
			t.Fatalf("Ensure = %v, %v, want a table without time to live", created, err)
		}
	}
	g := &gate{next: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: server.addr()})}
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	t.Cleanup(g.thaw) // before: Close waits for requests
	return orderstest.New(t, &orderstest.Options{Dynamo: front.URL}), g
}

func placed(w *orderstest.World, id, total string) []byte {
	return w.Delivered(id, map[string]any{"order": id, "total": json.Number(total), "currency": "EUR"})
}

// forged is an order whose total was changed on the way.
func forged(w *orderstest.World, id string) []byte {
	return bytes.Replace(placed(w, id, "1"), []byte(`"total":1`), []byte(`"total":0`), 1)
}

const allDone = `200 {"batchItemFailures":[]}`

// TestOrdersOnRIE runs the functions of examples/orders on AWS's own emulator of Lambda (aws-lambda-rie), as
// they are deployed: as bootstraps that ask the runtime API for work. Each answer is what Lambda gets, to the
// byte.
func TestOrdersOnRIE(t *testing.T) {
	rie := tool(t, "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie")
	w, store := newGatedWorld(t)
	t.Run("billing", func(t *testing.T) { billingOnRIE(t, rie, w) })
	t.Run("a store that freezes", func(t *testing.T) { frozenOnRIE(t, rie, w, store) })
	t.Run("mailer", func(t *testing.T) { mailerOnRIE(t, rie, w) })
	t.Run("producer", func(t *testing.T) {
		e := startRIE(t, rie, w, "examples/orders/producer", w.ProducerEnv("default"), 30)
		e.want("an order", []byte(`{"order":"o-1","total":1,"currency":"EUR"}`), "200 null")
		e.want("no order", []byte(`{"total":1}`),
			`200 {"errorMessage":"an order needs an ID","errorType":"errorString"}`)
		if n := w.Bus.CallsOf("PutEvents"); n != 1 {
			t.Errorf("%d calls of PutEvents\n%s", n, e.output)
		}
	})
}

// TestGatewayOnRIE runs the gateway of examples/webhooks in the same way, with claims in an emulator of
// DynamoDB. A store that freezes is answered 503, before Lambda ends the invocation.
func TestGatewayOnRIE(t *testing.T) {
	rie := tool(t, "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie")
	w, store := newGatedWorld(t)
	w.PutSecret("github", "secret")
	e := startRIE(t, rie, w, "examples/webhooks/gateway", []string{"BUS=default", "AUDIENCE=central",
		"KEYRING_SECRET=" + w.KeyringSecret(), "REPLAY_TABLE=" + orderstest.TableNames()[0],
		"HOOKS=endpoints: {github: {path: /hooks, provider: github, source: urn:hooks, " +
			"secrets: [secretsmanager:github]}}"}, 4)
	delivery := func(body, secret string) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		doc, err := json.Marshal(map[string]any{"version": "2.0", "rawPath": "/hooks", "body": body,
			"headers": map[string]string{"content-type": "application/json", "x-github-event": "push",
				"x-hub-signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil))},
			"requestContext": map[string]any{"http": map[string]string{"method": "POST"}}})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	const done = `200 {"statusCode":200,"headers":{},"body":"","isBase64Encoded":false}`
	refused := func(status int, title, reason, header string) string {
		return fmt.Sprintf(`200 {"statusCode":%d,"headers":{"Content-Type":"application/problem+json"%s},`+
			`"body":"{\"title\":\"%s\",\"status\":%d,\"reason\":\"%s\"}","isBase64Encoded":false}`, status, header,
			title, status, reason)
	}
	e.want("a push", delivery(`{"n":1}`, "secret"), done)
	e.want("redelivered", delivery(`{"n":1}`, "secret"), done)
	e.want("forged", delivery(`{"n":2}`, "guess"), refused(401, "Unauthorized", "bad_signature", ""))
	store.freeze()
	e.want("frozen", delivery(`{"n":3}`, "secret"), refused(503, "Service Unavailable", "store_unavailable",
		`,"Retry-After":"5"`))
	store.thaw()
	e.want("thawed", delivery(`{"n":3}`, "secret"), done)
	if n := w.Bus.CallsOf("PutEvents"); n != 2 {
		t.Errorf("%d calls of PutEvents\n%s", n, e.output)
	}
}

func billingOnRIE(t *testing.T, rie string, w *orderstest.World) {
	e := startRIE(t, rie, w, "examples/orders/billing", w.ConsumerEnv(), 30)
	good, bad, garbage := placed(w, "o-1", "12.50"), forged(w, "o-2"), []byte("garbage")
	huge := func(size int) []byte { return bytes.Repeat([]byte("x"), size) }
	e.want("good, forged and garbage", awslambdatest.SQS(t, good, bad, garbage), allDone)
	e.want("once more, and a duplicate", awslambdatest.SQS(t, garbage, good, bad, good), allDone)
	twice := placed(w, "o-6", "1")
	e.want("the same event twice in one batch, for the first time", awslambdatest.SQS(t, twice, twice),
		allDone)
	e.want("an oversized message among others", awslambdatest.SQS(t, huge(2<<20), placed(w, "o-3", "1")),
		allDone)
	// The emulator cuts what is beyond Lambda's own limit of 6 MB. Nothing of it is begun: all of it comes
	// again.
	e.want("an oversized batch", awslambdatest.SQS(t, placed(w, "o-4", "1"), huge(7<<20)),
		`200 {"errorMessage":"unexpected EOF","errorType":"errorString"}`)
	e.want("no JSON", garbage,
		`200 {"errorMessage":"invalid character 'g' looking for beginning of value","errorType":"SyntaxError"}`)
	e.want("what came after", awslambdatest.SQS(t, placed(w, "o-5", "1")), allDone)
	want := map[envelope.Reason]int{envelope.ReasonModified: 2, envelope.ReasonMalformed: 2,
		envelope.ReasonTooLarge: 1}
	if got := w.Reasons("billing"); !maps.Equal(got, want) {
		t.Errorf("in quarantine: %v, not %v", got, want)
	}
	e.charged("o-1", "o-3", "o-5", "o-6")
}

// frozenOnRIE: a store that takes requests and answers none makes the function answer in time, with what is
// to come again.
func frozenOnRIE(t *testing.T, rie string, w *orderstest.World, store *gate) {
	before := w.Reasons("billing")[envelope.ReasonModified]
	e := startRIE(t, rie, w, "examples/orders/billing", w.ConsumerEnv(), 4)
	e.want("before", awslambdatest.SQS(t, placed(w, "o-10", "1")), allDone)
	batch := awslambdatest.SQS(t, placed(w, "o-11", "1"), forged(w, "o-12"), placed(w, "o-13", "1"))
	store.freeze()
	e.want("frozen", batch,
		`200 {"batchItemFailures":[{"itemIdentifier":"message-1"},{"itemIdentifier":"message-3"}]}`)
	store.thaw()
	e.want("thawed", awslambdatest.SQS(t, placed(w, "o-11", "1"), placed(w, "o-13", "1")), allDone)
	e.charged("o-10", "o-11", "o-13")
	if n := w.Reasons("billing")[envelope.ReasonModified]; n != before+1 {
		t.Errorf("%d forgeries in quarantine, want one more than %d", n, before)
	}
}

func mailerOnRIE(t *testing.T, rie string, w *orderstest.World) {
	e := startRIE(t, rie, w, "examples/orders/mailer", w.ConsumerEnv(), 30)
	good := placed(w, "o-1", "12.50")
	e.want("good", good, "200 {}")
	e.want("a duplicate", good, "200 {}")
	e.want("forged", forged(w, "o-2"), "200 {}")
	e.want("oversized", []byte(`{"detail":"`+strings.Repeat("x", 2<<20)+`"}`), "200 {}")
	want := map[envelope.Reason]int{envelope.ReasonModified: 1, envelope.ReasonTooLarge: 1}
	if got := w.Reasons("mailer"); !maps.Equal(got, want) {
		t.Errorf("in quarantine: %v, not %v", got, want)
	}
	if n := strings.Count(e.output.String(), `order "o-1": confirmed`); n != 1 {
		t.Errorf("confirmed %d times\n%s", n, e.output)
	}
}
