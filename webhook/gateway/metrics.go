package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// delivery is one kind of answer. Endpoints come from the configuration and Reasons are fixed, so senders
// cannot make kinds.
type delivery struct {
	endpoint string
	status   int
	reason   envelope.Reason
}

// metrics count what happened since the start.
type metrics struct {
	inFlight, loaded atomic.Int64 // loaded: Unix seconds
	good, failed     atomic.Int64 // reloads

	mu         sync.Mutex
	deliveries map[delivery]uint64
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
	counts := maps.Clone(m.deliveries)
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
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write([]byte(g.metrics.text()))
	})
	return mux
}
