package scenario

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// origin serves the trust bundle over HTTPS, or fails to.
type origin struct {
	*world
	server *httptest.Server
	down   *outage

	mu      sync.Mutex
	signed  []byte
	version int64
	asked   int // while it was down
}

// hint is how often consumers ask for a newer bundle.
const hint = 5 * time.Minute

// origin serves a bundle of these keys.
func (w *world) origin(down *outage, life time.Duration, list ...*trust.Key) *origin {
	w.Helper()
	o := &origin{world: w, down: down}
	o.publish(life, list...)
	o.server = httptest.NewTLSServer(o)
	w.Cleanup(o.server.Close)
	return o
}

// publish replaces the bundle.
func (o *origin) publish(life time.Duration, list ...*trust.Key) {
	o.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.version++
	now := o.clock.Now()
	b, err := trust.NewBundle(trust.BundleOptions{Version: o.version, Issued: now, Expires: now.Add(life),
		RefreshHint: hint}, list...)
	o.check(err)
	o.signed, err = trust.SignBundle(o.Context(), b, keystest.Root(o, "root"))
	o.check(err)
}

// ServeHTTP closes the connection while it is down, or answers as a proxy before it would.
func (o *origin) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	signed, tag, down := o.signed, fmt.Sprintf(`"%d"`, o.version), o.down.at(o.clock.Now())
	if down {
		o.asked++
	}
	asked := o.asked
	o.mu.Unlock()
	switch {
	case down && asked%2 == 0:
		panic(http.ErrAbortHandler)
	case down:
		http.Error(rw, "no healthy upstream", http.StatusServiceUnavailable)
	case strings.Contains(r.URL.Path, "/roots/"):
		http.NotFound(rw, r) // the roots never change
	case r.Header.Get("If-None-Match") == tag:
		rw.WriteHeader(http.StatusNotModified)
	default:
		rw.Header().Set("ETag", tag)
		_, _ = rw.Write(signed)
	}
}

// fetch is the trust of a process that starts now.
func (o *origin) fetch() *trust.RemoteSource {
	o.Helper()
	trust, err := o.tryFetch()
	o.check(err)
	return trust
}

func (o *origin) tryFetch() (*trust.RemoteSource, error) {
	return trust.FetchBundle(o.Context(), o.server.URL+
		"/trust.dsse", keystest.Roots(o, 1, keystest.Root(o, "root")), &trust.Options{
		Now: o.clock.Now, Client: o.server.Client(),
	})
}

// trust is a bundle that needs no origin and never expires.
func (w *world) trust(list ...*trust.Key) *trust.Bundle {
	w.Helper()
	b, err := trust.NewBundle(trust.BundleOptions{}, list...)
	w.check(err)
	return b
}
