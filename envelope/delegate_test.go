package envelope_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

// root is a long-term key that counts its signatures, and fails on demand.
type root struct {
	keys.Signer
	calls atomic.Int64
	fail  atomic.Pointer[error]
	slow  chan struct{} // each signature waits for it; nil = none does
}

func (r *root) Sign(ctx context.Context, message []byte) ([]byte, error) {
	r.calls.Add(1)
	if r.slow != nil {
		select {
		case <-r.slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := r.fail.Load(); err != nil {
		return nil, *err
	}
	return r.Signer.Sign(ctx, message)
}

func newRoot(t testing.TB, alg keys.Algorithm) *root {
	t.Helper()
	return &root{Signer: testSigner(t, alg, "orders")}
}

var orderScope = session.Scope{Sources: []string{"https://orders.example/*"},
	Types: []string{"com.example.order.*"}}

// clockwork is a clock that tests move.
type clockwork struct{ nanos atomic.Int64 }

func newClockwork() *clockwork {
	c := &clockwork{}
	c.nanos.Store(testNow.UnixNano())
	return c
}

func (c *clockwork) now() time.Time      { return time.Unix(0, c.nanos.Load()) }
func (c *clockwork) add(d time.Duration) { c.nanos.Add(int64(d)) }

func delegate(t testing.TB, r keys.Signer, c *clockwork, ttl time.Duration) *session.Session {
	t.Helper()
	s, err := session.Delegate(t.Context(), r, orderScope, ttl, &session.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sealAt(t testing.TB, signer keys.Signer, c *clockwork) (*envelope.Sealed, error) {
	t.Helper()
	return envelope.Seal(t.Context(), secretEvent(`{"a":1}`), signer, &envelope.SealOptions{Now: c.now})
}

// An event that a session key signed opens under its root, of any kind. The event names the session key, the
// result names the root.
func TestDelegate(t *testing.T) {
	for _, alg := range keys.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			r, c := newRoot(t, alg), newClockwork()
			s := delegate(t, r, c, time.Hour)
			trust := trusting(t, keyOf(r, "https://orders.example/*"))
			for range 5 {
				sealed, err := sealAt(t, s, c)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(sealed.KeyIDs(), []string{s.KeyIDs()[0]}) {
					t.Errorf("signed by %v", sealed.KeyIDs())
				}
				opened, err := envelope.Open(t.Context(), sealed.JSON(), trust,
					&envelope.Policy{Now: c.now, RequiredAlgorithms: []keys.Algorithm{keys.Ed25519},
						Unsafe: unchecked})
				if err != nil || opened.Producer != "orders" ||
					!slices.Equal(opened.KeyIDs, []string{r.Verifier().KeyID()}) {
					t.Fatalf("opened %+v: %v", opened, err)
				}
			}
			if n := r.calls.Load(); n != 1 {
				t.Errorf("the root signed %d times", n)
			}
		})
	}
}

func TestDelegateRefuses(t *testing.T) {
	r, c := newRoot(t, keys.Ed25519), newClockwork()
	s := delegate(t, r, c, time.Hour)
	many := make([]string, session.MaxPatterns+1)
	for i := range many {
		many[i] = fmt.Sprintf("https://orders.example/%d", i)
	}
	for name, test := range map[string]struct {
		root  keys.Signer
		scope session.Scope
		ttl   time.Duration
		want  string
	}{
		"no root":    {nil, orderScope, time.Hour, "no key to vouch"},
		"a session":  {s, orderScope, time.Hour, "cannot vouch for another"},
		"too long":   {r, orderScope, time.Hour + time.Second, "lives from 1m0s to 1h0m0s"},
		"too short":  {r, orderScope, 59 * time.Second, "lives from"},
		"a fraction": {r, orderScope, 90*time.Second + 1, "whole seconds"},
		"no sources": {r, session.Scope{Types: []string{"*"}}, time.Hour, "may say nothing"},
		"no types": {r, session.Scope{Sources: []string{"https://orders.example/*"}}, time.Hour,
			"may say nothing"},
		"many": {r, session.Scope{Sources: many, Types: []string{"*"}}, time.Hour, "1 to 64 sources"},
		"bad source": {r, session.Scope{Sources: []string{"https://*"}, Types: []string{"*"}}, time.Hour,
			"https://*"},
		"bad pattern": {r, session.Scope{Sources: []string{"https://orders.example/*"},
			Types: []string{"a*"}}, time.Hour, "a*"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := session.Delegate(t.Context(), test.root, test.scope, test.ttl, nil); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := s.Sign(t.Context(), []byte("m")); err == nil {
		t.Error("signed what carries no statement")
	}
	other := secretEvent(`1`)
	other.SetType("com.example.invoice")
	_, err := envelope.Seal(t.Context(), other, s, &envelope.SealOptions{Now: c.now})
	wantSealError(t, err, "outside of the session key's scope")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text := fmt.Sprintf(verb, s); !strings.Contains(text, "[redacted]") || len(text) > 100 {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// The verdict on a delegated event is that of the moment, however often the statement was seen before.
func TestDelegatedVerdicts(t *testing.T) {
	r, c := newRoot(t, keys.ES256), newClockwork()
	s := delegate(t, r, c, time.Hour)
	sealed, err := sealAt(t, s, c)
	if err != nil {
		t.Fatal(err)
	}
	good := func() *trust.Key { return keyOf(r, "https://orders.example/*") }
	revoked, elsewhere, otherType, expired, stranger := good(), good(), good(), good(),
		keyOf(testSigner(t, keys.ES256, "orders"), "https://orders.example/*")
	revoked.Revoked = &trust.Revocation{At: testNow, Reason: "stolen"}
	elsewhere.Sources = []string{"https://mail.example/*"}
	otherType.Types = []string{"com.example.invoice"}
	expired.Schedule.Expired = testNow.Add(-time.Second)
	withSession, err := trust.NewBundle(trust.BundleOptions{Version: 1,
		RevokedSessions: []string{s.KeyIDs()[0]}}, good())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time the statement is known
		for _, test := range []struct {
			trust trust.Source
			want  envelope.Reason
		}{
			{trusting(t, good()), ""}, {trusting(t, revoked), envelope.ReasonRevokedKey},
			{withSession, envelope.ReasonRevokedKey},
			{trusting(t, elsewhere), envelope.ReasonSourceNotAllowed},
			{trusting(t, otherType), envelope.ReasonTypeNotAllowed},
			{trusting(t, expired), envelope.ReasonKeyNotValid},
			{trusting(t, stranger), envelope.ReasonUnknownKey},
		} {
			_, err := envelope.Open(t.Context(), sealed.JSON(), test.trust,
				&envelope.Policy{Now: c.now, Unsafe: unchecked})
			wantReason(t, err, test.want)
		}
	}
}

// A day of sealing costs one root signature an hour, and not one event notices the change.
func TestRootSignsOnceAnHour(t *testing.T) {
	r, c := newRoot(t, keys.Ed25519), newClockwork()
	s := delegate(t, r, c, time.Hour)
	trust := trusting(t, keyOf(r, "https://orders.example/*"))
	sessions := map[string]bool{}
	for range 24 * 60 {
		sealed, err := sealAt(t, s, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := envelope.Open(t.Context(), sealed.JSON(), trust,
			&envelope.Policy{Now: c.now, Skew: time.Nanosecond, Unsafe: unchecked}); err != nil {
			t.Fatalf("%s: %v", c.now(), err)
		}
		sessions[sealed.KeyIDs()[0]] = true
		c.add(time.Minute)
	}
	// Those of the 24 hours, and in the last minutes the one of the hour that follows.
	if n := r.calls.Load(); n != 25 || len(sessions) != 24 {
		t.Errorf("%d root signatures, %d sessions", n, len(sessions))
	}
}

// A root that is down for a minute when the next session is due is not noticed. When there is nothing left to
// go on with, its error comes out, and as soon as it is back all is well.
func TestRootIsDown(t *testing.T) {
	r, c := newRoot(t, keys.Ed25519), newClockwork()
	s := delegate(t, r, c, time.Hour)
	var down error = &keys.ServiceError{Op: "kms:Sign", KeyID: "arn", Cause: "throttled", Fix: "wait"}
	c.add(56 * time.Minute)
	r.fail.Store(&down)
	for range 60 {
		if _, err := sealAt(t, s, c); err != nil {
			t.Fatal(err)
		}
		c.add(time.Second)
	}
	if n := r.calls.Load(); n != 1+4 {
		t.Errorf("in a minute a root that is down was asked %d times", n-1)
	}
	first := s.KeyIDs()[0]
	c.add(3 * time.Minute) // the session is over
	for range 100 {
		_, err := sealAt(t, s, c)
		if e, ok := errors.AsType[*keys.ServiceError](err); !ok || e.Op != "kms:Sign" {
			t.Fatalf("got %v", err)
		}
	}
	if n := r.calls.Load(); n != 1+4+1 {
		t.Errorf("a batch asked a root that is down %d times", n-5)
	}
	r.fail.Store(nil)
	c.add(time.Second)
	if _, err := sealAt(t, s, c); err != nil || s.KeyIDs()[0] == first {
		t.Errorf("when the root is back: %v", err)
	}
}

// A process that was frozen, or whose clock was set back, has a new session: none is used beyond its time.
func TestSessionIsOfTheMoment(t *testing.T) {
	for _, jump := range []time.Duration{7 * time.Hour, time.Hour, -2 * time.Hour} {
		r, c := newRoot(t, keys.Ed25519), newClockwork()
		s := delegate(t, r, c, time.Hour)
		trust := trusting(t, keyOf(r, "https://orders.example/*"))
		first := s.KeyIDs()[0]
		c.add(jump)
		sealed, err := sealAt(t, s, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := envelope.Open(t.Context(), sealed.JSON(), trust,
			&envelope.Policy{Now: c.now, Unsafe: unchecked}); err != nil || s.KeyIDs()[0] == first ||
			r.calls.Load() != 2 {
			t.Errorf("%s: %v, %d root signatures", jump, err, r.calls.Load())
		}
	}
}

// Many callers who need a session wait for one signature. One caller that leaves does not stop the others.
func TestOneAsksTheRoot(t *testing.T) {
	r, c := newRoot(t, keys.Ed25519), newClockwork()
	s := delegate(t, r, c, time.Hour)
	c.add(2 * time.Hour)
	r.slow = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var left atomic.Int64
	wg.Go(func() {
		if _, err := s.Session(ctx, c.now()); errors.Is(err, context.Canceled) {
			left.Add(1)
		}
	})
	for r.calls.Load() < 2 {
		time.Sleep(time.Millisecond) // until the one who leaves is the one who asks
	}
	for range 64 {
		wg.Go(func() {
			if _, err := sealAt(t, s, c); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	close(r.slow)
	wg.Wait()
	if n := r.calls.Load(); n > 3 || left.Load() > 1 {
		t.Errorf("%d root signatures for two sessions and a caller who left", n)
	}
}

// A session key and a post-quantum key sign one event together; the required algorithms are met by both.
func TestDelegatedHybrid(t *testing.T) {
	r, c := newRoot(t, keys.ES256), newClockwork()
	s, pq := delegate(t, r, c, time.Hour), testSigner(t, keys.MLDSA65, "orders")
	trust := trusting(t, keyOf(r, "https://orders.example/*"), keyOf(pq, "https://orders.example/*"))
	sealed, err := envelope.Seal(t.Context(), secretEvent(`1`), s,
		&envelope.SealOptions{Now: c.now, CoSigners: []keys.Signer{pq}})
	if err != nil {
		t.Fatal(err)
	}
	opts := &envelope.Policy{Now: c.now, RequiredAlgorithms: []keys.Algorithm{keys.Ed25519, keys.MLDSA65},
		Unsafe: unchecked}
	if _, err := envelope.Open(t.Context(), sealed.JSON(), trust, opts); err != nil {
		t.Error(err)
	}
	opts.RequiredAlgorithms = []keys.Algorithm{keys.ES256} // the root's own algorithm signed no event
	_, err = envelope.Open(t.Context(), sealed.JSON(), trust, opts)
	wantReason(t, err, envelope.ReasonBadSignature)
}

// A statement counts only where the signed payload binds it.
func TestStatementOfAnotherSession(t *testing.T) {
	r, c := newRoot(t, keys.Ed25519), newClockwork()
	trust := trusting(t, keyOf(r, "https://orders.example/*"))
	one, err := sealAt(t, delegate(t, r, c, time.Hour), c)
	if err != nil {
		t.Fatal(err)
	}
	other, err := delegate(t, r, c, time.Hour).Session(t.Context(), c.now())
	if err != nil {
		t.Fatal(err)
	}
	swapped := withDelegation(t, one.JSON(), string(other.Statement()))
	_, err = envelope.Open(t.Context(), swapped, trust, &envelope.Policy{Now: c.now, Unsafe: unchecked})
	wantReason(t, err, envelope.ReasonBadSignature)
}

// withDelegation puts another statement into the envelope of an event.
func withDelegation(t testing.TB, doc []byte, statement string) []byte {
	t.Helper()
	return changedMaterial(t, doc, func(env map[string]any) {
		env["signatures"].([]any)[0].(map[string]any)["delegation"] = rawJSON(statement)
	})
}
