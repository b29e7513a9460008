package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	replayredis "github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/redis"
	"github.com/sealbus/sealbus/webhook/sender/sendertest"
)

// deliveryStores counts the stores of deliveries: each has a prefix of its own.
var deliveryStores atomic.Int32

func newDeliveryStore(tb testing.TB, client replayredis.Client[*goredis.Cmd]) sender.BackEnd {
	tb.Helper()
	s, err := redis.New(client, &redis.Options{Prefix: fmt.Sprintf("{out%d}:", deliveryStores.Add(1))})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// testDeliveryContract has the clock of the test inside the real server.
func testDeliveryContract(t *testing.T, client replayredis.Client[*goredis.Cmd]) {
	t.Helper()
	sendertest.Contract{}.Run(t, func(t *testing.T, clock *replaytest.Clock) sender.BackEnd {
		return newDeliveryStore(t, timed{client, clock.Now})
	})
}

func TestDeliveryStoreContract(t *testing.T) {
	_, client := startRedis(t, "--appendfsync", "no")
	testDeliveryContract(t, client)
}

// TestDeliveryStoreClusterContract: a cluster takes the scripts, whose keys are declared and in one slot.
func TestDeliveryStoreClusterContract(t *testing.T) {
	testDeliveryContract(t, startCluster(t))
}

const (
	kills    = 20
	between  = 15 // deliveries that are handled between two kills
	accepted = 40 // before each kill
)

// TestSenderKilled kills a sender 20 times under load. No delivery is lost, and no ID is handled twice,
// although attempts are signed anew; the ordered ones are handled in their order.
func TestSenderKilled(t *testing.T) {
	r := newReceivers(t)
	server, client := startRedis(t)
	program := filepath.Join(t.TempDir(), "hooks")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./hooks")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	config := r.config(server.addr())
	accept := acceptor(t, client, config)
	for n := range kills {
		accept(n*accepted, (n+1)*accepted)
		r.drain()
		end := startHooks(t, program, config)
		r.wait(between)
		end(true)
	}
	end := startHooks(t, program, config)
	left := func() int64 { return client.HLen(t.Context(), config.Prefix+"records").Val() }
	for deadline := time.Now().Add(time.Minute); left() > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d deliveries are left", left())
		}
	}
	end(false)
	r.check(config, kills*accepted)
}

// hooksConfig is the configuration of the program in hooks.
type hooksConfig struct {
	Redis, Prefix, URL string
	Port               uint16
	Secret             string
	IDs                []string
	Ordered            string
}

// acceptor puts messages with the numbers from one to before another into the store, for all endpoints in
// turn.
func acceptor(t *testing.T, client *goredis.Client, c hooksConfig) func(from, to int) {
	t.Helper()
	store, err := redis.New(client, &redis.Options{Prefix: c.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	var list []sender.Endpoint
	for _, id := range c.IDs {
		list = append(list, sender.Endpoint{ID: id, URL: "https://example.com/", Signing: sender.Unsigned(),
			Ordered: id == c.Ordered})
	}
	endpoints, err := sender.NewEndpoints(list...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sender.New(store, endpoints, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(from, to int) {
		for i := from; i < to; i++ {
			m := sender.Message{ID: fmt.Sprint("msg_", i), Body: fmt.Appendf(nil, `{"n":%d}`, i)}
			if err := s.Send(t.Context(), c.IDs[i%len(c.IDs)], m); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// startHooks starts the program. The result ends it: by SIGKILL, or by the end of its input.
func startHooks(t *testing.T, program string, c hooksConfig) (end func(kill bool)) {
	t.Helper()
	in, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(in); err != nil {
		t.Fatal(err)
	}
	return func(kill bool) {
		if kill {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return
		}
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the sender ends with %v\n%s", err, &stderr)
		}
	}
}

// receivers are partners who verify, and handle each ID once. Some answers are failures, and some are lost.
type receivers struct {
	t       *testing.T
	url     *url.URL
	handled chan string // an ID for each delivery that was handled

	mu     sync.Mutex
	number int // of requests
	bodies map[string]string
	times  map[string]int      // how often an ID was handled
	order  map[string][]string // IDs as they were handled, by endpoint
}

func newReceivers(t *testing.T) *receivers {
	t.Helper()
	r := &receivers{t: t, handled: make(chan string, 1<<16), bodies: map[string]string{},
		times: map[string]int{}, order: map[string][]string{}}
	scheme, err := webhook.Provider("standardwebhooks")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, id := range hookIDs {
		v, err := webhook.New(scheme, id, []webhook.Secret{{Text: whsec(1)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		next := func(_ context.Context, v *webhook.Verified) error {
			r.note(id, v)
			return nil
		}
		h, err := webhook.Handler(v, replay.NewMemory(nil), next,
			&webhook.ReceiverOptions{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		mux.Handle("/"+id, r.failing(h))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	if r.url, err = url.Parse(server.URL); err != nil {
		t.Fatal(err)
	}
	return r
}

var hookIDs = []string{"a", "b", "c", "ordered"}

// failing answers some requests 503, and hangs up on some that were handled.
func (r *receivers) failing(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.number++
		n := r.number
		r.mu.Unlock()
		if n%7 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, req)
		if n%11 == 0 {
			panic(http.ErrAbortHandler)
		}
	})
}

// note notes a delivery that is handled.
func (r *receivers) note(endpoint string, v *webhook.Verified) {
	id, signed := v.ID()
	if !signed {
		r.t.Errorf("the ID %q is not signed", id)
	}
	r.mu.Lock()
	r.times[id]++
	r.bodies[id] = string(v.Body)
	r.order[endpoint] = append(r.order[endpoint], id)
	r.mu.Unlock()
	r.handled <- id
}

// drain forgets what was handled up to now.
func (r *receivers) drain() {
	for len(r.handled) > 0 {
		<-r.handled
	}
}

// wait waits until so many more are handled.
func (r *receivers) wait(n int) {
	r.t.Helper()
	deadline := time.After(time.Minute)
	for range n {
		select {
		case <-r.handled:
		case <-deadline:
			r.t.Fatal("the sender does not go on")
		}
	}
}

func (r *receivers) config(redis string) hooksConfig {
	r.t.Helper()
	port, err := strconv.ParseUint(r.url.Port(), 10, 16)
	if err != nil {
		r.t.Fatal(err)
	}
	return hooksConfig{Redis: redis, Prefix: "{killed}:", URL: r.url.String() + "/", Port: uint16(port),
		Secret: whsec(1), IDs: hookIDs, Ordered: "ordered"}
}

// check compares what was handled with what was accepted.
func (r *receivers) check(c hooksConfig, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := map[string][]string{}
	for i := range n {
		id := fmt.Sprint("msg_", i)
		endpoint := c.IDs[i%len(c.IDs)]
		want[endpoint] = append(want[endpoint], id)
		if r.times[id] != 1 || r.bodies[id] != fmt.Sprintf(`{"n":%d}`, i) {
			r.t.Errorf("%s was handled %d times, as %q", id, r.times[id], r.bodies[id])
		}
	}
	if !slices.Equal(r.order[c.Ordered], want[c.Ordered]) {
		r.t.Errorf("the ordered ones were handled as %v", r.order[c.Ordered])
	}
	if r.number <= n {
		r.t.Errorf("%d requests for %d deliveries: no attempt was made again", r.number, n)
	}
}

// collected is a transport that keeps requests and answers 200.
type collected struct{ list []webhookJob }

func (c *collected) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	headers := map[string]string{}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = values[0]
	}
	c.list = append(c.list, webhookJob{Headers: headers, Body: string(body)})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
}

// TestSentWebhooksAtPeers has the packages of Standard Webhooks and Svix judge what a sender sends during a
// rotation: signed by the old secret, the new one, and a key.
func TestSentWebhooksAtPeers(t *testing.T) {
	key, err := keys.GenerateSigner(keys.Ed25519, "hooks")
	if err != nil {
		t.Fatal(err)
	}
	signing, err := sender.StandardWebhooks([]webhook.Secret{{ID: "old", Text: whsec(1),
		NotAfter: webhookNow.Add(time.Hour)}, {ID: "next", Text: whsec(2)}}, key)
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := sender.NewEndpoints(sender.Endpoint{ID: "a", URL: "https://a.example/", Signing: signing})
	if err != nil {
		t.Fatal(err)
	}
	var got collected
	at := webhookNow
	s, err := sender.New(sender.NewMemory(nil), endpoints, &sender.Options{UnsafeTransport: &got,
		Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for i, after := range []time.Duration{0, 2 * time.Hour} {
		at = webhookNow.Add(after)
		m := sender.Message{ID: fmt.Sprint("msg_", i), Body: []byte(webhookBody)}
		if err := s.Send(t.Context(), "a", m); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Once(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	var jobs []webhookJob
	var want []bool
	for _, peer := range []string{"standardwebhooks", "svix"} {
		for i, r := range got.list {
			for n, secret := range []string{whsec(1), whsec(2), whsec(3)} {
				job := r
				job.Do, job.Peer, job.Secrets = "verify", peer, []string{secret}
				job.At = webhookNow.Unix() + int64(i)*7200
				jobs = append(jobs, job)
				want = append(want, n == 1 || n == 0 && i == 0)
			}
		}
	}
	for i, r := range webhookPeers(t, jobs) {
		if r.Verified != want[i] {
			t.Errorf("%s with %v at %d: verified %t, want %t", jobs[i].Peer, jobs[i].Secrets, jobs[i].At, r.Verified,
				want[i])
		}
	}
	if list := strings.Fields(got.list[0].Headers["webhook-signature"]); len(list) != 3 {
		t.Errorf("%d signatures, want those of two secrets and a key", len(list))
	}
}

// TestRelayedEventsAtCloudEvents has the CloudEvents SDK read what Relay and Forward send, and send it on in
// binary mode: the signature of the relayed event holds.
func TestRelayedEventsAtCloudEvents(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	endpoints, err := sender.NewEndpoints(sender.Endpoint{ID: "a", URL: "https://a.example/",
		Signing: sender.Unsigned()})
	if err != nil {
		t.Fatal(err)
	}
	var got collected
	s, err := sender.New(sender.NewMemory(nil), endpoints, &sender.Options{UnsafeTransport: &got})
	if err != nil {
		t.Fatal(err)
	}
	sealed := org.Event(t, "com.example.order.placed", map[string]int{"total": 7})
	msg := consumer.Message{Body: sealed.JSON()}
	pick := func(context.Context, consumer.Delivery[[]byte]) ([]string, error) { return []string{"a"}, nil }
	for _, relay := range []bool{true, false} { // the second is a copy of the first, and has another store
		c, err := consumer.New("hooks", org.Trust(), replay.NewMemory(&replay.MemoryOptions{Now: org.Now}),
			org.Policy(), &consumer.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if relay {
			_, err = s.Relay(t.Context(), c, msg, pick)
		} else if s, err = sender.New(sender.NewMemory(nil), endpoints,
			&sender.Options{UnsafeTransport: &got}); err == nil {
			_, err = c.Handle(t.Context(), msg, s.Forward(pick))
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, err := s.Once(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	url, handled := httpReceiver(t, org)
	want := []int{http.StatusNoContent, http.StatusUnauthorized} // Forward sends no signature of the producer
	var messages []httpMessage
	for _, r := range got.list {
		messages = append(messages, httpMessage{Headers: r.Headers, Body: r.Body})
	}
	statuses := forwardByNode(t, url, messages)
	if !slices.Equal(statuses, want) || len(*handled) != 1 {
		t.Errorf("answered %v, want %v; handled %v", statuses, want, *handled)
	}
}
