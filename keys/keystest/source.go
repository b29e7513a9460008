package keystest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// sourceHint is the refresh hint of the bundles that TestSource publishes. The source has no hint of its own.
const sourceHint = time.Minute

// TestSource runs the tests that every trust.Refresher must pass that follows a published bundle. open
// publishes first and opens a source that follows it, with these roots, and with the Now and the MinInterval
// of opts. Its second result puts a signed bundle in the place of the published one, all at once; without a
// bundle (nil), it makes the place fail until the next one.
func TestSource(t *testing.T, open func(t testing.TB, first []byte, roots *trust.Roots,
	opts *trust.Options) (trust.Refresher, func(signed []byte))) {
	for name, test := range map[string]func(*sourceTest){
		"follows":              (*sourceTest).follows,
		"refuses":              (*sourceTest).refuses,
		"refresh":              (*sourceTest).refreshes,
		"refresh since":        (*sourceTest).refreshesSince,
		"outage":               (*sourceTest).outage,
		"expiry":               (*sourceTest).expiry,
		"clock set back":       (*sourceTest).clockSetBack,
		"refused by the clock": (*sourceTest).refusedByTheClock,
		"frozen":               (*sourceTest).frozen,
		"concurrent":           (*sourceTest).concurrent,
	} {
		t.Run(name, func(t *testing.T) { test(newSourceTest(t, open)) })
	}
}

// sourceTest has a source at version 1 of a bundle that lives for a week.
type sourceTest struct {
	*testing.T
	trust.Refresher
	publish func(signed []byte) // nil = withdraw
	clock   atomic.Int64
	roots   []*trust.RootKey
}

// sourceStart is when each case begins.
var sourceStart = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const (
	sourceLife  = 7 * 24 * time.Hour
	sourceLeast = time.Second
)

func newSourceTest(t *testing.T, open func(testing.TB, []byte, *trust.Roots, *trust.Options) (trust.Refresher,
	func([]byte))) *sourceTest {
	s := &sourceTest{T: t, roots: []*trust.RootKey{Root(t, "a"), Root(t, "b"), Root(t, "c")}}
	s.set(sourceStart)
	s.Refresher, s.publish = open(t, s.signed(1, sourceLife), Roots(t, 2, s.roots...),
		&trust.Options{Now: s.now, MinInterval: sourceLeast})
	return s
}

func (s *sourceTest) now() time.Time          { return time.Unix(0, s.clock.Load()).UTC() }
func (s *sourceTest) set(t time.Time)         { s.clock.Store(t.UnixNano()) }
func (s *sourceTest) advance(d time.Duration) { s.clock.Add(int64(d)) }

// signed is a bundle that was issued at the start.
func (s *sourceTest) signed(version int64, life time.Duration, producers ...string) []byte {
	s.Helper()
	var list []*trust.Key
	for _, p := range producers {
		list = append(list, &trust.Key{Verifier: Signer(s, keys.Ed25519, p, "a").Verifier(), Producer: p,
			Sources: []string{"urn:" + p}, Types: []string{"*"}})
	}
	b, err := trust.NewBundle(trust.BundleOptions{Version: version, Issued: sourceStart,
		Expires: sourceStart.Add(life), RefreshHint: sourceHint}, list...)
	if err != nil {
		s.Fatal(err)
	}
	return s.sign(b, s.roots[0], s.roots[1])
}

func (s *sourceTest) sign(b *trust.Bundle, roots ...trust.RootSigner) []byte {
	s.Helper()
	signed, err := trust.SignBundle(context.Background(), b, roots...)
	if err != nil {
		s.Fatal(err)
	}
	return signed
}

func (s *sourceTest) want(version int64) {
	s.Helper()
	b, err := s.Bundle(s.Context())
	if err != nil || b.Version() != version || !s.now().Before(b.Expires()) {
		s.Fatalf("bundle %v, error %v: not version %d", versionOf(b), err, version)
	}
}

// wantNone wants no usable bundle. An expired bundle counts as none, because the caller checks the expiry.
func (s *sourceTest) wantNone() {
	s.Helper()
	b, err := s.Bundle(s.Context())
	if err == nil && s.now().Before(b.Expires()) {
		s.Fatalf("version %d is handed out", b.Version())
	}
	if err != nil && !errors.Is(err, trust.ErrUnavailable) {
		s.Fatalf("%v is not ErrUnavailable", err)
	}
	s.wantUnknowable()
}

// wantUnknowable wants Refresh to return no bundle that shows whether a key is unknown.
func (s *sourceTest) wantUnknowable() {
	s.Helper()
	b, err := s.Refresh(s.Context(), s.now())
	if err == nil && s.now().Before(b.Expires()) || err != nil && !errors.Is(err, trust.ErrUnavailable) {
		s.Fatalf("Refresh: version %d, error %v", versionOf(b), err)
	}
}

func versionOf(b *trust.Bundle) int64 {
	if b == nil {
		return 0
	}
	return b.Version()
}

func (s *sourceTest) follows() {
	s.want(1)
	s.publish(s.signed(2, sourceLife))
	s.want(1)
	s.advance(sourceHint / 2)
	s.want(1) // no earlier than the hint, or nearly
	s.advance(sourceHint / 2)
	s.want(2)
	s.publish(s.signed(7, sourceLife)) // some versions were never seen
	s.advance(sourceHint)
	s.want(7)
}

// refuses: a bad bundle does not replace the good one, and the source goes on looking.
func (s *sourceTest) refuses() {
	good := s.signed(5, sourceLife)
	s.publish(good)
	s.advance(sourceHint)
	s.want(5)
	for name, bad := range map[string][]byte{
		"older": s.signed(4, sourceLife), "first": s.signed(1, sourceLife),
		"same version, other content": s.signed(5, sourceLife, "orders"),
		"expired":                     s.signed(9, time.Minute+time.Second), "empty": {},
		"half": good[:len(good)/2],
		"text": []byte("<html>"), "null": []byte("null"),
		"one root": s.byOneRoot(9), "other roots": s.byOtherRoots(9), "roots file": s.rootsFile(),
	} {
		s.publish(bad)
		s.advance(2 * sourceHint) // attempts may become rarer while they fail
		s.want(5)
		if b, err := s.Refresh(s.Context(), s.now()); !errors.Is(err, trust.ErrUnavailable) {
			s.Errorf("%s: Refresh has version %d, error %v", name, versionOf(b), err)
		}
	}
	s.publish(good)
	s.advance(2 * sourceHint)
	s.want(5)
	s.publish(s.signed(6, sourceLife))
	s.advance(2 * sourceHint)
	s.want(6)
}

func (s *sourceTest) bundle(version int64) *trust.Bundle {
	s.Helper()
	b, err := trust.NewBundle(trust.BundleOptions{Version: version, Issued: sourceStart,
		Expires: sourceStart.Add(sourceLife)})
	if err != nil {
		s.Fatal(err)
	}
	return b
}

func (s *sourceTest) byOneRoot(version int64) []byte { return s.sign(s.bundle(version), s.roots[0]) }

func (s *sourceTest) byOtherRoots(version int64) []byte {
	return s.sign(s.bundle(version), Root(s, "x"), Root(s, "y"), s.roots[0])
}

func (s *sourceTest) rootsFile() []byte {
	s.Helper()
	signed, err := trust.SignRoots(context.Background(), Roots(s, 2, s.roots...), s.roots[0], s.roots[1])
	if err != nil {
		s.Fatal(err)
	}
	return signed
}

// refreshes: the source looks for a newer bundle at once, but not more often than MinInterval. A bundle that
// it has not looked for since then is not conclusive.
func (s *sourceTest) refreshes() {
	s.publish(s.signed(2, sourceLife))
	s.wantSince(s.now(), 1) // looked at this very moment, when it was opened
	s.advance(sourceLeast)
	s.wantSince(s.now(), 2)
	s.publish(s.signed(3, sourceLife))
	s.advance(sourceLeast - 1)
	if b, err := s.Refresh(s.Context(), s.now()); err == nil && b.Version() != 3 ||
		err != nil && !errors.Is(err, trust.ErrUnavailable) {
		s.Fatalf("Refresh too early: version %d, error %v", versionOf(b), err)
	}
	s.advance(1)
	s.wantSince(s.now(), 3)
	s.want(3)
}

// refreshesSince: a check that was made since then is enough, and is not made again. A moment in the future
// counts as now.
func (s *sourceTest) refreshesSince() {
	s.advance(sourceLeast)
	delivered := s.now()
	s.advance(sourceLeast)
	s.wantSince(delivered, 1)
	s.publish(s.signed(2, sourceLife))
	s.advance(sourceLeast)
	s.wantSince(delivered, 1) // as it was checked since then
	s.wantSince(s.now().Add(-sourceLeast), 1)
	s.wantSince(s.now().Add(-sourceLeast+1), 2)
	s.advance(sourceLeast)
	s.publish(s.signed(3, sourceLife))
	s.wantSince(s.now().Add(time.Hour), 3)
	s.publish(nil)
	s.advance(sourceLeast)
	s.wantUnknowable()
}

// wantSince wants Refresh to give this version.
func (s *sourceTest) wantSince(since time.Time, version int64) {
	s.Helper()
	b, err := s.Refresh(s.Context(), since)
	if err != nil || b.Version() != version {
		s.Fatalf("Refresh: version %d, error %v, want version %d", versionOf(b), err, version)
	}
}

func (s *sourceTest) outage() {
	s.publish(nil)
	for range 30 {
		s.advance(sourceHint)
		s.want(1)
		s.wantUnknowable()
	}
	s.set(sourceStart.Add(sourceLife - 1))
	s.want(1)
	s.advance(1)
	s.wantNone()
	s.publish(s.signed(1, sourceLife)) // the same, expired
	s.advance(2 * sourceHint)
	s.wantNone()
	s.publish(s.signed(2, 2*sourceLife))
	s.advance(2 * sourceHint)
	s.want(2)
}

// expiry: the source looks for the next bundle when its own expires, also before the refresh hint.
func (s *sourceTest) expiry() {
	s.publish(s.signed(2, sourceHint+sourceHint/2))
	s.advance(sourceHint)
	s.want(2)
	s.publish(s.signed(3, sourceLife))
	s.advance(sourceHint/2 - 1)
	s.want(2)
	s.advance(1)
	s.want(3)
}

func (s *sourceTest) clockSetBack() {
	s.publish(s.signed(6, sourceLife))
	s.set(sourceStart.Add(-time.Hour))
	s.want(6)
	s.publish(s.signed(5, sourceLife))
	s.set(sourceStart.Add(-2 * time.Hour))
	s.want(6)
	s.wantUnknowable()
	s.publish(s.signed(7, sourceLife))
	s.advance(2 * sourceHint)
	s.want(7)
	// The check lies in the future now, and was made before the delivery began.
	s.publish(s.signed(8, sourceLife))
	s.set(sourceStart.Add(-3 * time.Hour))
	s.wantSince(s.now(), 8)
}

// refusedByTheClock: a bundle that was refused while the clock was wrong is accepted when the clock is right,
// although nothing new was published.
func (s *sourceTest) refusedByTheClock() {
	s.set(sourceStart.Add(2 * sourceLife))
	s.publish(s.signed(2, sourceLife))
	s.wantNone()
	s.set(sourceStart.Add(time.Hour))
	s.want(2)
}

// frozen: a process that stood still for hours looks before it judges.
func (s *sourceTest) frozen() {
	s.publish(s.signed(2, sourceLife))
	s.advance(9 * time.Hour)
	s.want(2)
	s.publish(s.signed(3, sourceLife))
	s.advance(9 * time.Hour)
	if b, err := s.Refresh(s.Context(), s.now()); err != nil || b.Version() != 3 {
		s.Errorf("Refresh after a freeze: version %d, error %v", versionOf(b), err)
	}
}

func (s *sourceTest) concurrent() {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { s.neverGoesBack(50) })
	}
	const last = 8
	for v := int64(2); v <= last; v++ {
		s.publish(s.signed(v, sourceLife))
	}
	wg.Wait()
	s.advance(2 * sourceHint)
	s.want(last)
}

func (s *sourceTest) neverGoesBack(rounds int) {
	last := int64(0)
	for range rounds {
		b, err := s.Bundle(s.Context())
		if err != nil || b.Version() < last {
			s.Errorf("version %d after %d, error %v", versionOf(b), last, err)
			return
		}
		last = b.Version()
		_, _ = s.Refresh(s.Context(), s.now()) // may be asked too often
		s.advance(sourceLeast)
	}
}
