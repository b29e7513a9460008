package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// seal is an event of that source, signed by these.
func (o *org) seal(source string, signers ...keys.Signer) []byte {
	o.Helper()
	ev := event.New()
	ev.SetID("1")
	ev.SetSource(source)
	ev.SetType("com.example.order.placed")
	o.check(ev.SetData("application/json", map[string]int{"amount": 1}))
	sealed, err := envelope.Seal(o.Context(), ev, signers[0],
		&envelope.SealOptions{Now: o.now, CoSigners: signers[1:]})
	o.check(err)
	return sealed.JSON()
}

// mayFor lets the one key speak for urn:shop in bundles of even versions and the other in those of odd ones.
// Of an event that both signed, each bundle counts exactly one signature; of half a bundle and half of the
// next, none or both would count.
func mayFor(version int64, a, b *keys.LocalSigner) []*trust.Key {
	sources := [2]string{"urn:shop", "urn:elsewhere"}
	if version%2 == 1 {
		slices.Reverse(sources[:])
	}
	return []*trust.Key{
		{Verifier: a.Verifier(), Producer: "shop", Sources: sources[:1], Types: []string{"*"}},
		{Verifier: b.Verifier(), Producer: "shop", Sources: sources[1:], Types: []string{"*"}},
	}
}

// 64 goroutines open events while each request finds another bundle, a thousand in a second of the clock. No
// caller sees half a bundle, a version that goes back, or none.
func TestNoCallerSeesHalfABundle(t *testing.T) {
	const openers = 64
	changes := int64(cases.Of(1000))
	o := newOrg(t)
	a, b := keystest.Signer(t, keys.Ed25519, "shop", "a"), keystest.Signer(t, keys.Ed25519, "shop", "b")
	sealed := o.seal("urn:shop", a, b)
	srv := newOrigin(t, nil)
	var version atomic.Int64
	srv.serve(func(w http.ResponseWriter, _ *http.Request) {
		v := version.Add(1)
		_, _ = w.Write(o.bundle(v, mayFor(v, a, b)...))
	})
	opts := o.options(srv)
	opts.MinInterval, opts.RefreshHint = time.Millisecond, time.Millisecond
	s := o.fetch(srv, opts)
	var wg sync.WaitGroup
	for range openers {
		wg.Go(func() {
			for last := int64(0); last < changes; o.advance(time.Millisecond) {
				opened, err := envelope.Open(t.Context(), sealed, s,
					&envelope.Policy{Now: o.now, Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
				if err != nil || len(opened.KeyIDs) != 1 {
					t.Errorf("opened as %+v: %v", opened, err)
					return
				}
				b, err := s.Bundle(t.Context())
				if err != nil || b.Version() < last {
					t.Errorf("version %v after %d: %v", b, last, err)
					return
				}
				last = b.Version()
			}
		})
	}
	wg.Wait()
}

// press publishes the next bundle and timestamp whenever it is asked for the timestamp.
type press struct {
	*org
	roots   *trust.Roots
	key     *trust.RootKey
	a, b    *keys.LocalSigner
	mu      sync.Mutex
	last    *trust.Timestamp
	bundles map[string][]byte
}

func (p *press) String() string { return "press" }
func (p *press) Fetch(context.Context, string) (*trust.Fetched, error) {
	return nil, errors.New("not asked for")
}
func (p *press) Beside(name string) trust.Origin { return beside{p, name} }

type beside struct {
	*press
	name string
}

func (f beside) Fetch(context.Context, string) (*trust.Fetched, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	signed, ok := f.bundles[f.name]
	switch {
	case f.name == keydoc.TimestampFile:
		signed = f.next()
	case !ok:
		return nil, trust.ErrNotFound
	}
	return &trust.Fetched{Body: io.NopCloser(bytes.NewReader(signed))}, nil
}

// next signs bundle and timestamp of the next version. Each third timestamp revokes the key that its bundle
// allows. The bundle decided on all earlier ones. Its expiry tells it from all others.
func (p *press) next() []byte {
	v := int64(1)
	if p.last != nil {
		v = p.last.Version + 1
	}
	b, err := trust.NewBundle(trust.BundleOptions{Version: v, Issued: start, Expires: pressExpiry(v),
		RefreshHint: time.Second, Timestamps: v - 1}, mayFor(v, p.a, p.b)...)
	p.check(err)
	signed, err := trust.SignBundle(context.Background(), b, p.root)
	p.check(err)
	opts := trust.TimestampOptions{Now: start, Lifetime: 7 * 24 * time.Hour}
	if v%3 == 0 {
		opts.Revoke = map[string]trust.Revocation{p.allowed(v).Verifier().KeyID(): {At: start, Reason: "a test"}}
	}
	p.last, err = trust.NewTimestamp(p.roots, b, p.last, opts)
	p.check(err)
	p.bundles[fmt.Sprintf("%s%x", keydoc.BundlesDir, p.last.BundleSHA256)] = signed
	doc, err := trust.SignTimestamp(context.Background(), p.last, p.key)
	p.check(err)
	return doc
}

// allowed is the key that bundle v allows for urn:shop.
func (p *press) allowed(v int64) *keys.LocalSigner {
	if v%2 == 1 {
		return p.b
	}
	return p.a
}

func pressExpiry(v int64) time.Time { return start.Add(24*time.Hour + time.Duration(v)*time.Second) }

// 64 goroutines open events while bundle and timestamp change a thousand times in a second of the clock. Each
// verdict is that of exactly one published pair, which the expiry of its bundle names.
func TestNoCallerSeesHalfATimestamp(t *testing.T) {
	const openers = 64
	changes := int64(cases.Of(1000))
	o := newOrg(t)
	p := &press{org: o, key: keystest.Root(t, "timestamps"), bundles: map[string][]byte{},
		a: keystest.Signer(t, keys.Ed25519, "shop", "a"), b: keystest.Signer(t, keys.Ed25519, "shop", "b")}
	var err error
	p.roots, err = o.roots.WithTimestampKeys(p.key.Verifier())
	o.check(err)
	sealed := o.seal("urn:shop", p.a, p.b)
	s, err := trust.FetchFrom(t.Context(), p, p.roots,
		&trust.Options{Now: o.now, MinInterval: time.Millisecond, RefreshHint: time.Millisecond})
	o.check(err)
	var wg sync.WaitGroup
	for range openers {
		wg.Go(func() {
			for last := int64(0); last < changes; o.advance(time.Millisecond) {
				opened, err := envelope.Open(t.Context(), sealed, s,
					&envelope.Policy{Now: o.now, Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
				v, ok := p.explain(opened, err)
				if !ok || v < last {
					t.Errorf("after %d: opened as %+v: %v", last, opened, err)
					return
				}
				last = v
			}
		})
	}
	wg.Wait()
}

// explain is the version of the pair by which an event was judged, and whether it gives this verdict. Where
// the allowed key is revoked, the other one got further. Its refusal is not for good under a bundle that was
// not checked since.
func (p *press) explain(opened *envelope.Opened, err error) (version int64, ok bool) {
	if err == nil {
		v := int64(opened.BundleExpires.Sub(pressExpiry(0)) / time.Second)
		return v, v%3 != 0 && len(opened.KeyIDs) == 1 && opened.KeyIDs[0] == p.allowed(v).Verifier().KeyID()
	}
	verdict, _ := errors.AsType[*envelope.Error](err)
	v := int64(verdict.BundleExpires.Sub(pressExpiry(0)) / time.Second)
	return v, v%3 == 0 && (verdict.Reason == envelope.ReasonSourceNotAllowed ||
		verdict.Reason == envelope.ReasonTrustUnavailable && strings.HasPrefix(verdict.Cause, "source_not_allowed"))
}

// An origin that is down for half an hour loses no event, and one that stays down loses none to a rejection.
func TestOutageOfTheOrigin(t *testing.T) {
	o := newOrg(t)
	shop, late := keystest.Signer(t, keys.Ed25519, "shop", "a"),
		keystest.Signer(t, keys.Ed25519, "shop", "late")
	key := func(s keys.Signer) *trust.Key {
		return &trust.Key{Verifier: s.Verifier(), Producer: "shop", Sources: []string{"urn:shop"},
			Types: []string{"*"}}
	}
	srv := newOrigin(t, o.bundle(1, key(shop)))
	s := o.fetch(srv, nil)
	open := func(sealed []byte, want envelope.Reason) {
		t.Helper()
		_, err := envelope.Open(t.Context(), sealed, s,
			&envelope.Policy{Now: o.now, Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
		if got := envelope.ReasonOf(err); got != want {
			t.Fatalf("after %s: %q (%v), want %q", o.now().Sub(start), got, err, want)
		}
	}
	known, unknown := o.seal("urn:shop", shop), o.seal("urn:shop", late)
	open(known, "")
	open(unknown, envelope.ReasonUnknownKey)
	srv.Withdraw()
	for range 30 {
		o.advance(time.Minute)
		open(known, "")
		open(unknown, envelope.ReasonTrustUnavailable)
	}
	srv.Publish(o.bundle(2, key(shop), key(late)))
	o.advance(75 * time.Second)
	open(unknown, "") // it came again, and was not lost
	srv.Withdraw()
	o.set(start.Add(7*24*time.Hour - 1))
	open(known, "")
	o.advance(1)
	open(known, envelope.ReasonTrustUnavailable)
	if s.LastError() == nil {
		t.Error("LastError is silent")
	}
	srv.Publish(o.signedUntil(3, start.Add(9*24*time.Hour), key(shop)))
	o.advance(75 * time.Second)
	open(known, "")
}

func (o *org) signedUntil(version int64, expires time.Time, list ...*trust.Key) []byte {
	o.Helper()
	b, err := trust.NewBundle(trust.BundleOptions{Version: version, Issued: start, Expires: expires}, list...)
	o.check(err)
	signed, err := trust.SignBundle(o.Context(), b, o.root)
	o.check(err)
	return signed
}
