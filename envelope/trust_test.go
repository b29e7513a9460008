package envelope_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// liveSource is a Refresher that counts what it is asked for.
type liveSource struct {
	held, fresh *trust.Bundle
	err         error
	asked       []time.Time
	onCall      func()
}

func (s *liveSource) Bundle(context.Context) (*trust.Bundle, error) {
	if s.onCall != nil {
		s.onCall()
	}
	return s.held, nil
}

func (s *liveSource) Refresh(_ context.Context, since time.Time) (*trust.Bundle, error) {
	s.asked = append(s.asked, since)
	if s.err != nil {
		return nil, s.err
	}
	s.held = s.fresh
	return s.fresh, nil
}

var _ trust.Refresher = (*liveSource)(nil)

func fixed(text string) func() time.Time { return func() time.Time { return moment(text) } }

func seal(p mint.Plan) []byte { return []byte(p.Seal().String()) }

func bundleOf(t testing.TB, list ...string) *trust.Bundle {
	t.Helper()
	var entries []*trust.Key
	for _, k := range mainKeys() {
		for _, name := range list {
			if k.KeyID() == cast[name].Verifier().KeyID() {
				entries = append(entries, k)
			}
		}
	}
	return trusting(t, entries...)
}

func id(name string) string { return cast[name].Verifier().KeyID() }

// Where a newer bundle may accept the event, it is looked for once. The verdict under the refreshed bundle is
// final.
func TestRefresh(t *testing.T) {
	both := []keys.Algorithm{keys.Ed25519, keys.ES256}
	for _, test := range []struct {
		name        string
		plan        mint.Plan
		held, fresh []string
		err         error
		algorithms  []keys.Algorithm
		asked       bool
		want        envelope.Reason
	}{
		{"known", order("orders"), []string{"orders"}, nil, nil, nil, false, ""},
		{"rotated in", order("next"), []string{"orders"}, []string{"orders", "next"}, nil, nil,
			true, ""},
		{"really unknown", order("next"), []string{"orders"}, []string{"orders"}, nil, nil, true,
			envelope.ReasonUnknownKey},
		{"cannot ask", order("next"), []string{"orders"}, nil, trust.ErrUnavailable, nil, true,
			envelope.ReasonTrustUnavailable},
		{"no bundle", order("next"), []string{"orders"}, nil, nil, nil, true,
			envelope.ReasonTrustUnavailable},
		{"one of two is known", order("next", "orders"), []string{"orders"}, nil, nil, nil, false, ""},
		{"the known one does not count", order("revoked", "next"), []string{"revoked"},
			[]string{"revoked", "next"}, nil, nil, true, ""},
		{"the known one is broken", brokenSignature(order("orders", "next")), []string{"orders"},
			[]string{"orders", "next"}, nil, nil, true, ""},
		{"no key is unknown", order("revoked"), []string{"revoked"}, []string{"revoked"}, nil, nil, true,
			envelope.ReasonRevokedKey},
		{"the unknown one has the required algorithm", order("orders", "es256"), []string{"orders"},
			[]string{"orders", "es256"}, nil, both, true, ""},
		{"and still does not", order("orders", "es256"), []string{"orders"}, []string{"orders"}, nil, both,
			true, envelope.ReasonBadSignature},
		{"who vouches is unknown", delegated("next", "session"), []string{"orders"}, []string{"next"}, nil,
			nil, true, ""},
		{"modified, beside an unknown key", modified(order("orders", "next")), []string{"orders"}, nil, nil,
			nil, false, envelope.ReasonModified},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := &liveSource{held: bundleOf(t, test.held...), err: test.err}
			if test.fresh != nil {
				source.fresh = bundleOf(t, test.fresh...)
			}
			_, err := envelope.Open(t.Context(), seal(test.plan), source,
				&envelope.Policy{Now: fixed(vectorNow), RequiredAlgorithms: test.algorithms,
					Unsafe: unchecked})
			if got := envelope.ReasonOf(err); got != test.want || test.err != nil &&
				!errors.Is(err, test.err) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			var asked []time.Time
			if test.asked { // since the bundle was at hand, as the Step says nothing else
				asked = []time.Time{moment(vectorNow)}
			}
			if !slices.Equal(source.asked, asked) {
				t.Errorf("asked for a check since %s, want %s", source.asked, asked)
			}
		})
	}
}

// TestRefreshWithoutChange: an event is judged again only by another bundle, so that naming an unknown key
// does not double what a forged event costs.
func TestRefreshWithoutChange(t *testing.T) {
	for name, test := range map[string]struct {
		fresh *trust.Bundle // nil = the one at hand
		want  int
	}{"the same bundle": {nil, 1}, "another": {bundleOf(t, "orders"), 2}} {
		held := bundleOf(t, "orders")
		source := &liveSource{held: held, fresh: test.fresh}
		if test.fresh == nil {
			source.fresh = held
		}
		judged := 0
		now := func() time.Time { judged++; return moment(vectorNow) }
		_, err := envelope.Open(t.Context(), seal(order("next")), source,
			&envelope.Policy{Now: now, Unsafe: unchecked})
		if envelope.ReasonOf(err) != envelope.ReasonUnknownKey || judged != test.want ||
			len(source.asked) != 1 {
			t.Errorf("%s: got %v, judged %d times, asked %s", name, err, judged, source.asked)
		}
	}
}

// An alias outlives the key behind it: that the keys held under it do not verify is final only in a bundle
// that was just checked.
func TestRefreshOfAnAlias(t *testing.T) {
	under := func(name string) *trust.Key {
		return entry(name, func(k *trust.Key) { k.Aliases = []string{"kid-1"} })
	}
	direct := order("next")
	direct.By[0].Edit = set("keyid", `"kid-1"`)
	vouching := delegated("next", "session")
	vouching.By[0].Edit = func(o mint.Object) mint.Object {
		return o.Set("delegation", replace(id("next"), "kid-1")(o.Get("delegation")))
	}
	for name, plan := range map[string]mint.Plan{"direct": direct, "vouching": vouching} {
		old, both := trusting(t, under("orders")), trusting(t, under("orders"), under("next"))
		source := &liveSource{held: old, fresh: both}
		if _, err := envelope.Open(t.Context(), seal(plan), source,
			&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked}); err != nil ||
			len(source.asked) != 1 {
			t.Errorf("%s: got %v, asked %s", name, err, source.asked)
		}
		source = &liveSource{held: old, fresh: old}
		if _, err := envelope.Open(t.Context(), seal(plan), source,
			&envelope.Policy{Now: fixed(vectorNow),
				Unsafe: unchecked}); envelope.ReasonOf(err) != envelope.ReasonBadSignature {
			t.Errorf("%s, and no newer key: got %v", name, err)
		}
	}
}

func TestNilTrust(t *testing.T) {
	if _, err := envelope.Open(t.Context(), seal(order("orders")), nil,
		&envelope.Policy{Unsafe: unchecked}); envelope.ReasonOf(err) != envelope.ReasonTrustUnavailable {
		t.Errorf("got %v", err)
	}
}

func brokenSignature(p mint.Plan) mint.Plan {
	p.By[0].Edit = set("sig", `"AAAA"`)
	return p
}

func modified(p mint.Plan) mint.Plan {
	p.Wire = set("subject", `"order/2"`)
	return p
}

// A static bundle is final: there is no source to ask for another.
func TestStaticBundle(t *testing.T) {
	if _, err := envelope.Open(t.Context(), seal(order("next")), bundleOf(t, "orders"),
		&envelope.Policy{Now: fixed(vectorNow),
			Unsafe: unchecked}); envelope.ReasonOf(err) != envelope.ReasonUnknownKey {
		t.Errorf("got %v", err)
	}
}

type failingSource struct{ err error }

func (s failingSource) Bundle(context.Context) (*trust.Bundle, error) { return nil, s.err }

func TestNoBundle(t *testing.T) {
	for _, cause := range []error{trust.ErrUnavailable, errors.New("disk on fire"), nil} {
		_, err := envelope.Open(t.Context(), seal(order("orders")), failingSource{cause},
			&envelope.Policy{Unsafe: unchecked})
		if envelope.ReasonOf(err) != envelope.ReasonTrustUnavailable ||
			envelope.ReasonOf(err).Class() != envelope.Transient {
			t.Errorf("%v: got %v", cause, err)
		}
		if cause != nil && !errors.Is(err, cause) {
			t.Errorf("%v is not in %v", cause, err)
		}
	}
}

// Whether the event is well-formed and signed at all does not depend on the bundle.
func TestSyntaxBeforeTrust(t *testing.T) {
	p := order("orders")
	p.Wire = del("dssematerial")
	if _, err := envelope.Open(t.Context(), seal(p), failingSource{trust.ErrUnavailable},
		&envelope.Policy{Unsafe: unchecked}); envelope.ReasonOf(err) != envelope.ReasonUnsigned {
		t.Errorf("got %v", err)
	}
}

// The process may be frozen for an hour while the bundle is fetched: the clock is read after that, and
// everything is judged at that one moment.
func TestClockAfterBundle(t *testing.T) {
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Expires: on("12:30")}, mainKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		by    string
		jump  time.Duration
		after time.Duration // between the readings of the clock that follow
		want  envelope.Reason
	}{
		{"no jump", "orders", 0, 0, ""},
		{"an hour: the bundle has expired", "orders", time.Hour, 0, envelope.ReasonTrustUnavailable},
		{"ten minutes: the window is over", "orders", 10 * time.Minute, 0, envelope.ReasonExpired},
		{"an hour back: the event is of the future", "orders", -time.Hour, 0, envelope.ReasonFromFuture},
		{"six hours back: the key is not published yet", "scheduled", -6 * time.Hour, 0,
			envelope.ReasonKeyNotValid},
		{"the clock is read once", "orders", 0, time.Hour, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := moment(vectorNow)
			source := &liveSource{held: bundle, fresh: bundle, onCall: func() { now = now.Add(test.jump) }}
			clock := func() time.Time {
				read := now
				now = now.Add(test.after)
				return read
			}
			_, err := envelope.Open(t.Context(), seal(order(test.by)), source,
				&envelope.Policy{Now: clock, MaxAge: 5 * time.Minute, Unsafe: anySource})
			if got := envelope.ReasonOf(err); got != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// A trusted producer that names itself as another is told from a wrong date: the advice speaks of a forgery.
func TestAdviceOnAnotherProducer(t *testing.T) {
	for name, want := range map[string]bool{"sales": true, "orders": false} {
		k := entry("orders", func(k *trust.Key) {
			if k.Producer = name; name == "orders" {
				k.Schedule.Active = on("12:30") // later than the event
			}
		})
		bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Expires: on("16:00")}, k)
		if err != nil {
			t.Fatal(err)
		}
		_, err = envelope.Open(t.Context(), seal(order("orders")), &liveSource{held: bundle, fresh: bundle},
			&envelope.Policy{Now: func() time.Time { return moment(vectorNow) }, Unsafe: anySource})
		e, ok := errors.AsType[*envelope.Error](err)
		if !ok || e.Reason != envelope.ReasonKeyNotValid || strings.Contains(e.Fix(), "forgery") != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// After a refresh that took an hour, everything is judged again at the new time.
func TestClockAfterRefresh(t *testing.T) {
	now := moment(vectorNow)
	source := &slowRefresh{liveSource: liveSource{held: bundleOf(t, "orders"), fresh: bundleOf(t, "next")},
		now: &now}
	_, err := envelope.Open(t.Context(), seal(order("next")), source,
		&envelope.Policy{Now: func() time.Time { return now }, MaxAge: 5 * time.Minute, Unsafe: anySource})
	if envelope.ReasonOf(err) != envelope.ReasonExpired {
		t.Errorf("got %v", err)
	}
}

type slowRefresh struct {
	liveSource
	now *time.Time
}

func (s *slowRefresh) Refresh(ctx context.Context, since time.Time) (*trust.Bundle, error) {
	*s.now = s.now.Add(time.Hour)
	return s.liveSource.Refresh(ctx, since)
}

// A pattern seems to cover a source with an escape for a slash: the verdict says what keeps every key from
// speaking for it.
func TestVerdictNamesTheEscape(t *testing.T) {
	v := readVectors(t)["source-slash-encoded"]
	if v == nil {
		t.Fatal("no such vector")
	}
	_, err := openVector(t, v, readBundle(t, v.Bundle), false)
	if err == nil || !strings.Contains(err.Error(), "%2F") {
		t.Errorf("%v does not name the escape", err)
	}
}
