package gateway

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

// delivery is one kind of answer. Endpoints come from the configuration and Reasons are fixed, so senders
// cannot make kinds.
type delivery struct {
	endpoint string
	status   int
	reason   envelope.Reason
}

// attempt is one kind of end of an attempt to send. Causes are fixed, so receivers cannot make kinds.
type attempt struct {
	endpoint string
	state    sender.State
	cause    sender.Cause
}

// metrics count what happened since the start.
type metrics struct {
	inFlight, loaded atomic.Int64 // loaded: Unix seconds
	good, failed     atomic.Int64 // reloads

	mu         sync.Mutex
	deliveries map[delivery]uint64
	attempts   map[attempt]uint64
	events     map[consumer.Outcome]uint64
}

var _ sender.Observer = (*metrics)(nil)

// Attempted counts an attempt to send.
func (m *metrics) Attempted(_ context.Context, a sender.Attempt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attempts[attempt{a.Endpoint, a.State, a.Cause}]++
}

// event counts an event of the queue.
func (m *metrics) event(o consumer.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events[o]++
}

func (m *metrics) count(endpoint string, r *webhook.Response) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deliveries[delivery{endpoint, r.Status, r.Reason}]++
}

func (m *metrics) reloaded(err error) {
	if err != nil {
		m.failed.Add(1)
		return
	}
	m.good.Add(1)
}

// text is the metrics in the text format of Prometheus.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
func (m *metrics) text() string {
	m.mu.Lock()
	counts, attempts, events := maps.Clone(m.deliveries), maps.Clone(m.attempts), maps.Clone(m.events)
	m.mu.Unlock()
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b delivery) int {
		return cmp.Or(strings.Compare(a.endpoint, b.endpoint), a.status-b.status,
			strings.Compare(string(a.reason), string(b.reason)))
	})
	var b strings.Builder
	b.WriteString("# HELP sealbus_gateway_deliveries_total Answers, by endpoint, status and reason.\n" +
		"# TYPE sealbus_gateway_deliveries_total counter\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "sealbus_gateway_deliveries_total{endpoint=%q,status=\"%d\",reason=%q} %d\n",
			k.endpoint, k.status, string(k.reason), counts[k])
	}
	appendSent(&b, attempts, events)
	fmt.Fprintf(&b, "# HELP sealbus_gateway_reloads_total Reloads of the configuration.\n"+
		"# TYPE sealbus_gateway_reloads_total counter\n"+
		"sealbus_gateway_reloads_total{result=\"done\"} %d\n"+
		"sealbus_gateway_reloads_total{result=\"failed\"} %d\n", m.good.Load(), m.failed.Load())
	fmt.Fprintf(&b, "# HELP sealbus_gateway_config_timestamp_seconds When the configuration was loaded.\n"+
		"# TYPE sealbus_gateway_config_timestamp_seconds gauge\n"+
		"sealbus_gateway_config_timestamp_seconds %d\n", m.loaded.Load())
	fmt.Fprintf(&b, "# HELP sealbus_gateway_in_flight Deliveries that are being handled.\n"+
		"# TYPE sealbus_gateway_in_flight gauge\n"+
		"sealbus_gateway_in_flight %d\n", m.inFlight.Load())
	return b.String()
}

// appendSent writes what became of events of the queue, and of attempts to send them.
func appendSent(b *strings.Builder, attempts map[attempt]uint64, events map[consumer.Outcome]uint64) {
	if len(events) > 0 {
		b.WriteString("# HELP sealbus_gateway_events_total Events of the queue, by outcome.\n" +
			"# TYPE sealbus_gateway_events_total counter\n")
	}
	for _, o := range slices.Sorted(maps.Keys(events)) {
		fmt.Fprintf(b, "sealbus_gateway_events_total{outcome=%q} %d\n", string(o), events[o])
	}
	if len(attempts) > 0 {
		b.WriteString("# HELP sealbus_gateway_attempts_total Attempts to send, by endpoint, state and cause.\n" +
			"# TYPE sealbus_gateway_attempts_total counter\n")
	}
	kinds := slices.SortedFunc(maps.Keys(attempts), func(a, b attempt) int {
		return cmp.Or(strings.Compare(a.endpoint, b.endpoint), cmp.Compare(a.state, b.state),
			cmp.Compare(a.cause, b.cause))
	})
	for _, k := range kinds {
		fmt.Fprintf(b, "sealbus_gateway_attempts_total{endpoint=%q,state=%q,cause=%q} %d\n", k.endpoint,
			string(k.state), string(k.cause), attempts[k])
	}
}

// Admin has GET /healthz (the process answers), /readyz (it takes deliveries: 503 after Drain) and /metrics
// (in the text format of Prometheus). Serve it where senders cannot reach it.
func (g *Gateway) Admin() http.Handler {
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text)) // if it fails, the caller has gone
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if g.draining.Load() {
			say(w, http.StatusServiceUnavailable, "ending\n")
			return
		}
		say(w, http.StatusOK, "ready\n")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write([]byte(g.metrics.text() + g.counts(r.Context())))
	})
	return mux
}

// countTimeout is how long the store may take to count.
const countTimeout = 2 * time.Second

// counts are how many deliveries wait in Pending, as metrics; "" = it does not count, or not now.
func (g *Gateway) counts(ctx context.Context) string {
	store, ok := g.opts.Pending.(interface {
		Count(ctx context.Context) (pending, dead int, err error)
	})
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	pending, dead, err := store.Count(ctx)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("# HELP sealbus_gateway_out Deliveries in the store, of all gateways that share it.\n"+
		"# TYPE sealbus_gateway_out gauge\n"+
		"sealbus_gateway_out{state=\"pending\"} %d\nsealbus_gateway_out{state=\"dead\"} %d\n", pending, dead)
}
