package sender_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook/httpsig"
	"github.com/sealbus/sealbus/webhook/sender"
)

// database is an Endpoints that counts how often it is asked.
type database struct {
	mu    sync.Mutex
	e     sender.Endpoint
	err   error
	takes time.Duration
	asked int
}

func (d *database) Endpoint(ctx context.Context, _ string) (*sender.Endpoint, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(d.takes):
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return &d.e, d.err
}

func (d *database) set(err error) (asked int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked, d.asked, d.err = d.asked, 0, err
	return asked
}

// over has the world send by that database.
func (w *world) over(d *database, o sender.Options) {
	w.t.Helper()
	o.UnsafeTransport, o.Observer, o.Logger = w, w, slog.New(slog.DiscardHandler)
	s, err := sender.New(w.store, d, &o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Sender = s
}

// A database that is down is not asked for each of a thousand deliveries, and none of them is lost.
func TestDatabaseThatIsDownIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d := newWorld(t, sender.Options{}), &database{e: endpoint("a")}
		w.over(d, sender.Options{})
		for i := range 1000 {
			w.send("a", fmt.Sprint("m", i))
		}
		d.set(errors.New("the database is down"))
		w.run(5 * time.Minute)
		if asked := d.set(nil); asked < 5 || asked > 11 {
			t.Errorf("asked %d times in 5 minutes, want about one each 30 s", asked)
		}
		w.run(2 * time.Minute)
		if n := len(w.to("a")); n != 1000 || len(w.dead()) != 0 {
			t.Errorf("%d of 1000 were sent, dead: %v", n, w.dead())
		}
	})
}

// A slow database and a short lease: the attempt is reported, and not given up in silence each time.
func TestSlowDatabaseIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d := newWorld(t, sender.Options{}), &database{e: endpoint("a"), takes: 600 * time.Millisecond}
		if err := w.store.Put(t.Context(), delivery("a", "m1", "{}")); err != nil {
			t.Fatal(err)
		}
		w.over(d, sender.Options{Lease: time.Second})
		if n, err := w.Once(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if len(w.attempts) != 1 || w.attempts[0].Cause != sender.CauseLookup || len(w.got) != 0 {
			t.Errorf("%d requests, reported as %+v", len(w.got), w.attempts)
		}
	})
}

// A key or a Profile by which no delivery could be signed is refused when it is set up, and no service is
// called for that.
func TestHTTPSignatureThatNeverSigns(t *testing.T) {
	mldsa, err := keys.GenerateSigner(keys.MLDSA65, "hooks")
	if err != nil {
		t.Fatal(err)
	}
	key := &service{Signer: edKey(t)}
	all := []string{"@method", "@target-uri", "content-digest", "webhook-id"}
	for name, c := range map[string]struct {
		signer     keys.Signer
		components []string
	}{
		"an algorithm without a name": {mldsa, all},
		"no method":                   {key, all[1:]},
		"no target":                   {key, []string{"@method", "content-digest", "webhook-id"}},
		"no digest":                   {key, []string{"@method", "@target-uri", "webhook-id"}},
		"a field that is never there": {key, append(all, "x-tenant")},
		"an unknown component":        {key, append(all, "@body")},
		"a field twice":               {key, append(all, "webhook-id")},
	} {
		p := &httpsig.Profile{ID: "webhook-id", Components: c.components}
		if s, err := sender.HTTPSignature(c.signer, p); err == nil || s != nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	p := &httpsig.Profile{ID: "webhook-id", Components: append(all, "content-type", "user-agent")}
	if _, err := sender.HTTPSignature(key, p); err != nil || key.calls != 0 {
		t.Errorf("%v, %d calls of the service", err, key.calls)
	}
}

// An attacker who writes to the store cannot have an encrypted body sent as another type.
func TestEncryptedBodyHasItsContentType(t *testing.T) {
	ctx, key, memory := t.Context(), localKey(t, 1), sender.NewMemory(nil)
	s, err := sender.EncryptBodies(memory, key)
	if err != nil {
		t.Fatal(err)
	}
	d := delivery("a", "1", "<script>")
	d.ContentType = "text/plain"
	if err := s.Put(ctx, d); err != nil {
		t.Fatal(err)
	}
	list, err := memory.Take(ctx, sender.Want{Most: 1, Lease: time.Minute})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	for media, want := range map[string]int{"text/plain": 1, "text/html": 0, "text/plain ": 0} {
		other := sender.NewMemory(nil)
		stored := list[0].Delivery
		stored.ContentType = media
		if err := other.Put(ctx, stored); err != nil && want > 0 {
			t.Fatal(err)
		}
		if s, err = sender.EncryptBodies(other, key); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Take(ctx, sender.Want{Most: 1, Lease: time.Minute}); err != nil || len(got) != want {
			t.Errorf("as %q: %v, %v, want %d", media, got, err, want)
		}
	}
}

// An answer 101 hands the connection over. It is a failure, and holds nothing up.
func TestOtherProtocol(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(io.Discard, conn) // until the sender hangs up
		_ = conn.Close()
	}))
	defer s.Close()
	a := realSender(t, s.URL, networkOf(t, s))
	if a.State != sender.Again || a.Cause != sender.CauseStatus || a.StatusClass != 1 {
		t.Errorf("reported as %+v", a)
	}
}

// asleep is a Signing during which the process is frozen once, for that long.
type asleep struct {
	sender.Signing
	d atomic.Int64 // nanoseconds
}

func (a *asleep) Sign(ctx context.Context, req *http.Request, body []byte, at time.Time) error {
	time.Sleep(time.Duration(a.d.Swap(0)))
	return a.Signing.Sign(ctx, req, body, at)
}

// A process that wakes up when its lease is over, or nearly, makes no request: another one may be making it.
// The delivery is made after its lease.
func TestNoRequestAfterTheLease(t *testing.T) {
	const lease, last = 2 * time.Minute, 100 * time.Second // the defaults: 20 s are left for an attempt
	for frozen, want := range map[time.Duration]time.Duration{0: 0, last: last, last + 1: lease, lease: lease,
		10 * lease: lease} {
		bubble(frozen.String(), t, func(t *testing.T) {
			e := endpoint("a")
			signing := &asleep{Signing: e.Signing}
			signing.d.Store(int64(frozen))
			e.Signing = signing
			w := newWorld(t, sender.Options{}, e)
			w.send("a", "m1")
			began := time.Now()
			w.run(20 * lease)
			if len(w.got) != 1 || len(w.attempts) != 1 {
				t.Fatalf("%d requests, reported as %+v, want one", len(w.got), w.attempts)
			}
			at := w.got[0].at.Sub(began)
			if at < want || at > want+time.Second {
				t.Errorf("the request is made after %v, want %v", at, want)
			}
		})
	}
}

// A database that gives the endpoint of another tenant is not believed.
func TestEndpointOfAnotherTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d := newWorld(t, sender.Options{}), &database{e: endpoint("b")}
		w.over(d, sender.Options{})
		if err := w.Send(t.Context(), "a", sender.Message{ID: "m1"}); err == nil {
			t.Error("a message is accepted")
		}
		if err := w.store.Put(t.Context(), delivery("a", "m1", "{}")); err != nil {
			t.Fatal(err)
		}
		if n, err := w.Once(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if len(w.got) != 0 || w.attempts[0].Cause != sender.CauseLookup || w.attempts[0].State != sender.Again {
			t.Errorf("%d requests, reported as %+v", len(w.got), w.attempts)
		}
	})
}
