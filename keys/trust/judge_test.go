package trust

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/keys"
)

// model is the judgement once more, as slow and simple as can be: it keeps everything that counted, and asks
// the whole history each time.
type model struct {
	*world
	min   int64
	held  []*Timestamp // those that counted
	late  []late       // those that are genuine, but did not follow what was held
	used  []*Bundle    // those that came into use
	until time.Time
}

func (m *model) clock(now time.Time) time.Time {
	if n := len(m.held); n > 0 {
		now = later(now, m.held[n-1].Issued.Add(-5*time.Minute))
	}
	return now
}

// late is a timestamp that did not count, and the version that was held then.
type late struct {
	ts   *Timestamp
	held int64
}

// step judges as the list of rules in docs/trust.md is written.
func (m *model) step(ts *Timestamp, b *Bundle, now time.Time) BundleWhy {
	if why := m.refusal(ts, now); why != "" {
		if n := len(m.held); n > 0 && (why == WhyRollback || why == WhyEquivocate) {
			m.late = append(m.late, late{ts, m.held[n-1].Version})
		}
		return why
	}
	dead := len(m.used) == 0 || !m.clock(now).Before(earlier(m.until, earlier(m.end, m.used[len(m.used)-1].expires)))
	backward := len(m.held) > 0 && ts.Issued.Before(m.held[len(m.held)-1].Issued)
	m.held = append(m.held, ts)
	if m.names(ts) && ts.RootsVersion <= m.roots.version {
		m.until = ts.Expires
	} else if dead && backward {
		m.until = time.Time{}
	}
	m.until = earlier(m.until, ts.Issued.Add(7*24*time.Hour)) // no honest timestamp lives longer
	if b == nil {
		return ""
	}
	return m.stepBundle(ts, b, now)
}

func (m *model) refusal(ts *Timestamp, now time.Time) BundleWhy {
	end := m.clock(now)
	if n := len(m.held); n > 0 && ts.Version > m.held[n-1].Version {
		end = now // it was signed after all that are held, by a clock that may be right again
	}
	switch {
	case !end.Before(m.end) || !end.Before(ts.Expires):
		return WhyExpired
	case ts.Issued.Sub(m.clock(now)) > 5*time.Minute:
		return WhyFuture
	}
	equivocates := false
	for _, was := range m.held {
		if ts.Version < was.Version || ts.RootsVersion < was.RootsVersion || ts.BundleVersion < was.BundleVersion {
			return WhyRollback
		}
		equivocates = equivocates || ts.Version == was.Version && string(ts.Payload()) != string(was.Payload()) ||
			ts.BundleVersion == was.BundleVersion && ts.BundleSHA256 != was.BundleSHA256
	}
	switch {
	case ts.BundleVersion < m.min:
		return WhyRollback
	case equivocates:
		return WhyEquivocate
	}
	return ""
}

// names reports whether the timestamp names the bundle in use.
func (m *model) names(ts *Timestamp) bool {
	return len(m.used) > 0 && m.seenOf(m.used[len(m.used)-1]).digest == ts.BundleSHA256
}

func (m *model) stepBundle(ts *Timestamp, b *Bundle, now time.Time) BundleWhy {
	switch {
	case ts.RootsVersion > m.roots.version:
		return WhyNewerRoots
	case b.Version() != ts.BundleVersion || m.seenOf(b).digest != ts.BundleSHA256:
		return WhyOtherBundle
	case !m.clock(now).Before(b.Expires()) || !m.clock(now).Before(m.end):
		return WhyExpired
	case b.Timestamps() >= ts.Version:
		return WhyRollback
	case len(m.used) > 0 && b.Timestamps() < m.used[len(m.used)-1].Timestamps():
		return WhyRollback
	}
	m.used, m.until = append(m.used, b), ts.Expires
	return ""
}

// revoked reports whether a timestamp ever revoked the ID since a version on which the bundle in use did not
// decide.
func (m *model) revoked(id string) bool {
	decided := m.used[len(m.used)-1].Timestamps()
	since := func(ts *Timestamp) int64 { return max(ts.Revoked[id].Since, ts.RevokedSessions[id]) }
	return slices.ContainsFunc(m.held, func(ts *Timestamp) bool { return since(ts) > decided }) ||
		slices.ContainsFunc(m.late, func(l late) bool { return min(since(l.ts), l.held) > decided })
}

// world has the few documents that scenarios choose from.
type world struct {
	roots    *Roots
	end      time.Time // of the roots
	bundles  []*Bundle
	keys     []string // of each bundle
	sessions []string
	reached  map[BundleWhy]int
	seen     map[*Bundle]seen // as seenOf, which takes long
}

func (w *world) seenOf(b *Bundle) seen { return w.seen[b] }

func newWorld(t testing.TB) *world {
	o := newTimed(t)
	w := &world{end: day(25), sessions: []string{thumbprintOf([]byte("s"))},
		reached: map[BundleWhy]int{}, seen: map[*Bundle]seen{}}
	var err error
	w.roots, err = o.rootsOf(2).WithLimits(RootsLimits{Expires: w.end})
	o.check(err)
	var list []*Key
	for range 2 {
		k := testKey(t, keys.Ed25519, nil)
		list, w.keys = append(list, k), append(w.keys, k.KeyID())
	}
	for version := range int64(3) {
		for timestamps := range int64(4) {
			expires := []time.Time{moments[3], moments[6], day(10), day(40)}[timestamps]
			b, err := NewBundle(BundleOptions{Version: version + 1, Timestamps: timestamps * 2, Issued: day(0),
				Expires: expires}, list...)
			o.check(err)
			w.bundles, w.seen[b] = append(w.bundles, b), seenOf(b)
		}
	}
	return w
}

// reader takes choices from bytes; when there are none left, it takes the first.
type reader []byte

func (r *reader) choose(n int) int {
	if len(*r) == 0 {
		return 0
	}
	c := int((*r)[0]) % n
	*r = (*r)[1:]
	return c
}

// moments are minutes apart, as clocks are, and days, as after a clock that was ahead.
var moments = []time.Time{day(1), minutes(2), minutes(4), minutes(6), minutes(8), minutes(12), minutes(16),
	minutes(20), day(4), day(8), day(8.5), day(9), day(15), day(20), day(24.9), day(26)}

func minutes(n int) time.Time { return day(1).Add(time.Duration(n) * time.Minute) }

// timestamp is one of a few hundred.
func (w *world) timestamp(r *reader) *Timestamp {
	b := w.bundles[r.choose(len(w.bundles))]
	issued := moments[r.choose(len(moments))]
	lives := []time.Duration{4 * time.Minute, 12 * time.Minute, 24 * time.Hour, 7 * 24 * time.Hour}
	ts := &Timestamp{Version: int64(r.choose(8) + 1), RootsVersion: int64(max(r.choose(4), 1)),
		BundleVersion: b.version, BundleSHA256: w.seenOf(b).digest, BundleSince: day(1), Issued: issued,
		Expires: issued.Add(lives[r.choose(len(lives))]),
		Revoked: map[string]Withdrawal{}, RevokedSessions: map[string]int64{}}
	which := r.choose(8)
	since := func() int64 { return ts.Version - int64(r.choose(int(ts.Version))) } // a thief may say any
	for i, id := range w.keys {
		if which>>i&1 == 1 {
			ts.Revoked[id] = Withdrawal{Revocation{At: day(1)}, since()}
		}
	}
	if which>>2&1 == 1 {
		ts.RevokedSessions[w.sessions[0]] = since()
	}
	return ts
}

// play plays a scenario to the judgement and to the model, which must agree at each step.
func (w *world) play(t *testing.T, choices []byte) {
	r := reader(choices)
	h := &holding{chain: chainOf(w.roots)}
	m := &model{world: w, min: int64(r.choose(3))}
	for n := 0; len(r) > 0; n++ {
		ts := w.timestamp(&r)
		now := moments[r.choose(len(moments))]
		var b *Bundle
		switch r.choose(4) {
		case 0:
		case 1:
			b = w.bundles[r.choose(len(w.bundles))]
		default: // the one that is named
			i := slices.IndexFunc(w.bundles, func(b *Bundle) bool { return w.seenOf(b) == ts.named() })
			b = w.bundles[i]
		}
		was := *h
		next, err := judge(h, ts, b, m.min, now)
		if want := m.step(ts, b, now); whyOf(err) != want || (err == nil) != (want == "") {
			t.Fatalf("step %d: %v, want %q", n, err, want)
		}
		w.reached[whyOf(err)]++
		if h.timestamp != was.timestamp || !h.revoked.equals(was.revoked) {
			t.Fatal("a holding was changed")
		}
		h = next
		for id, r := range h.revoked.keys {
			if r.Since > h.timestamp.Version {
				t.Fatalf("step %d: %s is revoked since %d, on which no bundle can decide", n, id, r.Since)
			}
		}
		w.compare(t, n, h, m, now)
	}
}

func (w *world) compare(t *testing.T, n int, h *holding, m *model, now time.Time) {
	if !h.clock(now).Equal(m.clock(now)) {
		t.Fatalf("step %d: it is %s, want %s", n, h.clock(now), m.clock(now))
	}
	if (h.view == nil) != (len(m.used) == 0 || m.until.IsZero()) {
		t.Fatalf("step %d: bundle %v, want %v", n, h.view, m.used)
	}
	if h.view == nil {
		return
	}
	used := m.used[len(m.used)-1]
	if until := earlier(m.until, earlier(m.end, used.expires)); h.view.version != used.version || !h.view.expires.Equal(until) {
		t.Fatalf("step %d: version %d until %s, want %d until %s", n, h.view.version, h.view.expires,
			used.version, until)
	}
	for _, id := range w.keys {
		if got := h.view.Key(id).Revoked != nil; got != m.revoked(id) || got != (h.view.Lookup(id)[0].Revoked != nil) {
			t.Fatalf("step %d: key %s revoked %t, want %t", n, id, got, !got)
		}
	}
	if got := h.view.SessionRevoked(w.sessions[0]); got != m.revoked(w.sessions[0]) {
		t.Fatalf("step %d: session revoked %t", n, got)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// randomly fills a scenario. Small numbers make histories in which versions grow and repeat.
func randomly(rng *rand.Rand, n int) []byte {
	choices := make([]byte, n)
	for i := range choices {
		choices[i] = byte(rng.Uint32())
	}
	return choices
}

func TestJudgeAgreesWithTheModel(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for range cases.Of(50_000) {
		w.play(t, randomly(rng, rng.IntN(80)))
	}
	for _, why := range []BundleWhy{"", WhyExpired, WhyFuture, WhyRollback, WhyEquivocate, WhyOtherBundle, WhyNewerRoots} {
		if w.reached[why] < 100 {
			t.Errorf("only %d steps ended in %q", w.reached[why], why)
		}
	}
	t.Logf("steps by their end: %v", w.reached)
}

func FuzzJudge(f *testing.F) {
	w := newWorld(f)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 4 {
		f.Add(randomly(rng, 40))
	}
	f.Fuzz(func(t *testing.T, choices []byte) { w.play(t, choices[:min(len(choices), 400)]) })
}

// Operators revoke and renew while root holders take long to sign a bundle that overrules all that they saw.
// A consumer that sees some of it ends with the revocations that were made after they looked, and no others.
func TestRootHoldersDecideHoweverLongTheyTake(t *testing.T) {
	o := newTimed(t)
	list := []*Key{testKey(t, keys.Ed25519, nil), testKey(t, keys.Ed25519, nil), testKey(t, keys.Ed25519, nil)}
	var bundles [6][40]*Bundle // by version and by what is decided
	bundleOf := func(version, decided int64) *Bundle {
		b := &bundles[version][decided]
		if *b == nil {
			*b = o.bundle(version, decided, list...)
		}
		return *b
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for range cases.Of(2_000) {
		made := map[string]int64{} // the version of the last revocation by hand
		b, h := bundleOf(1, 0), o.nothing()
		ts := o.timestamp(b, nil, day(1))
		lookedAt := ts.Version
		for range 4 + rng.IntN(20) {
			var revoke []string
			switch op := rng.IntN(6); {
			case op == 0:
				revoke = []string{list[rng.IntN(len(list))].KeyID()}
				made[revoke[0]] = ts.Version + 1
			case op == 1:
				lookedAt = ts.Version
			case op == 2 && b.version < 5:
				b = bundleOf(b.version+1, lookedAt)
			}
			ts = o.timestamp(b, ts, day(1), revoke...)
			if rng.IntN(2) == 0 {
				h = seeing(t, o.roots, h, ts, b, rng)
			}
		}
		h = seeing(t, o.roots, h, ts, b, nil)
		for id, version := range made {
			if got := h.view.Key(id).Revoked != nil; got != (version > b.timestamps) {
				t.Fatalf("revoked by timestamp %d, decided up to %d, revoked %t", version, b.timestamps, got)
			}
			if _, got := ts.Revoked[id]; got != (version > b.timestamps) {
				t.Fatalf("revoked by timestamp %d, decided up to %d, takes room: %t", version, b.timestamps, got)
			}
		}
	}
}

// seeing is the holding after a timestamp, with its bundle or sometimes without.
func seeing(t *testing.T, roots *Roots, h *holding, ts *Timestamp, b *Bundle, rng *rand.Rand) *holding {
	t.Helper()
	if rng != nil && rng.IntN(2) == 0 {
		b = nil
	}
	next, err := judge(h, ts, b, 0, day(1))
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// A holding that is withheld from changes with each revocation that says more, and otherwise not at all: the
// state file is not written for nothing.
func TestWithhold(t *testing.T) {
	o := newTimed(t)
	k, session := thumbprintOf([]byte("k")), thumbprintOf([]byte("s"))
	ts := o.timestamp(o.bundle(1, 0), nil, day(2), k, session)
	ts.Version, ts.RevokedSessions = 3, map[string]int64{session: 1}
	h, err := judge(o.nothing(), ts, o.bundle(1, 0), 0, day(2))
	o.check(err)
	of := func(at time.Time, since int64) map[string]Withdrawal {
		return map[string]Withdrawal{k: {Revocation{at, "another reason"}, since}}
	}
	full := withdrawn{keys: map[string]Withdrawal{}}
	for i := range maxRemembered {
		full.keys[thumbprintOf(fmt.Append(nil, i))] = Withdrawal{Revocation{At: day(1)}, 1}
	}
	for name, c := range map[string]struct {
		more    withdrawn
		changes bool
	}{
		"nothing":              {withdrawn{}, false},
		"the same":             {h.revoked, false},
		"later, and as before": {withdrawn{keys: of(day(3), 1)}, false},
		"since a higher one":   {withdrawn{keys: of(day(3), 2)}, true},
		"earlier":              {withdrawn{keys: of(day(1), 1)}, true},
		"another key":          {withdrawn{keys: map[string]Withdrawal{session + "x": {Revocation{day(1), "r"}, 1}}}, true},
		"session since higher": {withdrawn{sessions: map[string]int64{session: 2}}, true},
		"too many":             {full, false},
	} {
		next := h.withhold(c.more)
		if (next != h) != c.changes {
			t.Errorf("%s: changes: %t", name, !c.changes)
		}
		if next = next.withhold(withdrawn{keys: of(day(3), 9)}); next.revoked.keys[k].Since != 3 {
			t.Errorf("%s: since %d, on which no bundle can decide", name, next.revoked.keys[k].Since)
		}
	}
	if h := o.nothing().withhold(h.revoked); h.revoked.len() != 0 {
		t.Error("remembered without a timestamp, with which newer roots would forget it")
	}
}

// honest are two consumers of one honest signer, who saw some of its timestamps, with or without the bundle.
func (w *world) honest(t *testing.T, rng *rand.Rand) (both [2]*holding) {
	both = [2]*holding{{chain: chainOf(w.roots)}, {chain: chainOf(w.roots)}}
	for version := range int64(8) {
		b := w.bundles[[]int{0, 0, 0, 5, 5, 10, 10, 10}[version]] // which decides on timestamps below
		ts := &Timestamp{Version: version + 1, RootsVersion: 1, BundleVersion: b.version,
			BundleSHA256: w.seenOf(b).digest, BundleSince: day(1), Issued: minutes(rng.IntN(5)), Expires: day(2),
			Revoked: map[string]Withdrawal{w.keys[rng.IntN(2)]: {Revocation{At: day(1)}, 1 + rng.Int64N(version+1)}}}
		for i, h := range both {
			if rng.IntN(2) == 0 {
				continue
			}
			at := b
			if rng.IntN(2) == 0 {
				at = nil
			}
			var err error
			if both[i], err = judge(h, ts, at, 0, day(1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return both
}

// A join of two holdings goes back behind neither of them, and joining once more changes nothing.
func TestJoinNeverGoesBack(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for range cases.Of(50_000) {
		both := w.honest(t, rng)
		j, err := both[0].join(both[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range both {
			if err := goesBack(h, j); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := j.join(both[1]); err != nil || goesBack(j, again) != nil {
			t.Fatalf("joined again: %v, %v", err, goesBack(j, again))
		}
		if other, err := both[1].join(both[0]); err != nil || !sameHolding(j, other) {
			t.Fatalf("the other way round: %+v, %+v, %v", j, other, err)
		}
	}
}

func sameHolding(a, b *holding) bool {
	if a.view == nil || b.view == nil {
		return a.view == b.view && a.timestamp == b.timestamp && a.seen == b.seen
	}
	return a.timestamp == b.timestamp && a.seen == b.seen && string(a.view.Payload()) == string(b.view.Payload())
}

// Holdings of two histories cannot be joined.
func TestJoinRefusesTwoHistories(t *testing.T) {
	o := newTimed(t)
	b := o.bundle(2, 0)
	at := func(ts *Timestamp, b *Bundle) *holding {
		h, err := judge(o.nothing(), ts, b, 0, day(1))
		o.check(err)
		return h
	}
	first := o.timestamp(b, nil, day(1))
	fork := o.timestamp(b, nil, day(1), thumbprintOf([]byte("k")))
	older := o.bundle(1, 0)
	back := o.timestamp(older, nil, day(1))
	back.Version = 9
	other := o.bundle(2, 0, testKey(t, keys.Ed25519, nil))
	for name, c := range map[string]struct {
		a, b *holding
		want BundleWhy
	}{
		"one version of timestamps": {at(first, b), at(fork, b), WhyEquivocate},
		"one version of bundles":    {at(first, b), at(o.timestamp(other, nil, day(1)), other), WhyEquivocate},
		"a bundle that goes back":   {at(first, b), at(back, older), WhyRollback},
	} {
		_, err := c.a.join(c.b)
		wantWhy(t, name, err, c.want)
		_, err = c.b.join(c.a)
		wantWhy(t, name+", the other way round", err, c.want)
	}
}

// goesBack says in which way next forgets something of h.
func goesBack(h, next *holding) error {
	switch {
	case h.timestamp != nil && next.timestamp.Version < h.timestamp.Version:
		return fmt.Errorf("timestamp %d after %d", next.timestamp.Version, h.timestamp.Version)
	case next.seen.version < h.seen.version:
		return fmt.Errorf("bundle %d after %d", next.seen.version, h.seen.version)
	case next.timestamp != nil && !next.latest.Equal(next.timestamp.Issued):
		return fmt.Errorf("the clock is not before %s, and the timestamp is issued at %s", next.latest,
			next.timestamp.Issued)
	}
	for id, r := range h.revoked.keys {
		if next.revoked.keys[id].Since < r.Since && (next.bundle == nil || r.Since > next.bundle.timestamps) {
			return fmt.Errorf("the revocation of %s since timestamp %d is forgotten", id, r.Since)
		}
	}
	return nil
}

// The memory for revocations is bounded: beyond it a timestamp is refused, and the consumer comes to a halt.
func TestRememberedRevocationsAreBounded(t *testing.T) {
	o := newTimed(t)
	h, b := o.nothing(), o.bundle(1, 0)
	var err error
	for n := range int64(maxRemembered/1000 + 1) {
		ts := o.timestamp(b, nil, day(1))
		ts.Version, ts.Revoked = n+1, map[string]Withdrawal{}
		for i := range 1000 {
			ts.Revoked[thumbprintOf(fmt.Append(nil, n, i))] = Withdrawal{Revocation{At: day(1)}, n + 1}
		}
		if h, err = judge(h, ts, b, 0, day(1)); n < maxRemembered/1000 && err != nil {
			t.Fatal(err)
		}
	}
	wantWhy(t, "one more", err, WhyTooLarge)
	if h.timestamp.Version != maxRemembered/1000 {
		t.Errorf("timestamp %d is held", h.timestamp.Version)
	}
	if decided, err := judge(h, o.timestamp(o.bundle(2, maxRemembered/1000), nil, day(1)),
		o.bundle(2, maxRemembered/1000), 0, day(1)); err != nil || decided.revoked.len() != 0 {
		t.Errorf("after a bundle that took them over: %v", err)
	}
}

// BenchmarkView is what a new timestamp costs a consumer of 20,000 keys, of which it revokes 10.
func BenchmarkView(b *testing.B) {
	o := newTimed(b)
	var list []*Key
	for range 20_000 {
		list = append(list, testKey(b, keys.Ed25519, nil))
	}
	bundle := o.bundle(1, 0, list...)
	revoked := withdrawn{keys: map[string]Withdrawal{}}
	for _, k := range list[:10] {
		revoked.keys[k.KeyID()] = Withdrawal{Revocation{At: day(1)}, 1}
	}
	for b.Loop() {
		bundle.withheld(revoked, day(2))
	}
}

// TestWrongClockIsSetRight: the clock of the signer and of the consumer was ahead, as in a home. All that the
// signer says by the right clock counts: revocations, bundles, and when the bundle in use dies.
func TestWrongClockIsSetRight(t *testing.T) {
	o := newTimed(t)
	key := testKey(t, keys.Ed25519, nil)
	b, next := o.bundle(1, 0, key), o.bundle(2, 0, key)
	step := func(h *holding, ts *Timestamp, b *Bundle, now time.Time) *holding {
		t.Helper()
		h, err := judge(h, ts, b, 0, now)
		o.check(err)
		return h
	}
	first := o.timestamp(b, nil, day(1))
	before := step(o.nothing(), first, b, day(1))
	ahead := o.timestamp(b, first, day(60))
	wrong := step(before, ahead, b, day(60))
	right := o.timestamp(b, ahead, day(1.1), key.KeyID())
	after := step(wrong, right, nil, day(1.1))
	if after.view.Key(key.KeyID()).Revoked == nil || !after.view.expires.Equal(right.Expires) ||
		!after.clock(day(1.1)).Equal(day(1.1)) {
		t.Errorf("revoked %v, until %s, now %s", after.view.Key(key.KeyID()).Revoked, after.view.expires,
			after.clock(day(1.1)))
	}
	withheld := step(wrong, o.timestamp(next, ahead, day(1.1)), nil, day(1.1))
	most := day(1.1).Add(7 * 24 * time.Hour)
	if withheld.view.expires.After(most) {
		t.Errorf("a bundle that another follows lives until %s", withheld.view.expires)
	}
	if used := step(withheld, withheld.timestamp, next, day(1.2)); used.view.version != 2 {
		t.Errorf("version %d is in use", used.view.version)
	}
	_, err := judge(withheld, first, b, 0, day(1.2))
	wantWhy(t, "the first timestamp once more", err, WhyRollback)
	fresh, err := keys.GenerateSigner(keys.Ed25519, "operators")
	o.check(err)
	other, err := NewRoots(3, 1, o.root.Verifier())
	o.check(err)
	other, err = other.WithTimestampKeys(fresh.Verifier())
	o.check(err)
	signed := *wrong
	signed.signedTimestamp = o.sign(ahead)
	if h := signed.adopt(chainOf(other)); h.timestamp != nil || !h.clock(day(1.1)).Equal(day(1.1)) {
		t.Errorf("roots with another timestamp key: now is %s", h.clock(day(1.1)))
	}
	for _, pair := range [][2]*holding{{wrong, withheld}, {withheld, wrong}, {after, wrong}, {wrong, after}} {
		j, err := pair[0].join(pair[1])
		o.check(err)
		if j.timestamp.Version != 3 || !j.clock(day(1.1)).Equal(day(1.1)) || j.view.expires.After(most) {
			t.Errorf("joined: timestamp %d, now %s, until %s", j.timestamp.Version, j.clock(day(1.1)), j.view.expires)
		}
	}
}
