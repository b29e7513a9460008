package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
)

// dynasty is a desk whose roots change. Every version has a root key and, while it is on line, a timestamp
// key of its own.
type dynasty struct {
	*desk
	pinned *Roots
	root   map[int64]*RootKey
	stamps map[int64]*RootKey // nil = those roots name no timestamp key
	limits map[int64]RootsLimits
}

// newDynasty has roots up to that version, which name timestamp keys or none.
func newDynasty(t testing.TB, last int64, timestamps bool) *dynasty {
	d := &dynasty{desk: newDesk(t), root: map[int64]*RootKey{}, stamps: map[int64]*RootKey{},
		limits: map[int64]RootsLimits{}}
	for version := int64(1); version <= last; version++ {
		d.root[version] = mustRoot(t)
		if timestamps {
			d.stamps[version] = mustRoot(t)
		}
	}
	d.reign(1)
	d.pinned = d.roots
	return d
}

func (d *dynasty) rootsAt(version int64) *Roots {
	d.Helper()
	r, err := NewRoots(version, 1, d.root[version].Verifier())
	d.check(err)
	if key := d.stamps[version]; key != nil {
		r, err = r.WithTimestampKeys(key.Verifier())
		d.check(err)
	}
	r, err = r.WithLimits(d.limits[version])
	d.check(err)
	return r
}

// reign makes the organisation sign with the keys of that version.
func (d *dynasty) reign(version int64) {
	d.timed.root, d.key, d.roots, d.last = d.root[version], d.stamps[version], d.rootsAt(version), nil
}

func rootsFile(version int64) string { return fmt.Sprint(keydoc.RootsDir, version) }

// rotate publishes the roots of that version, and reigns with them.
func (d *dynasty) rotate(version int64) {
	d.Helper()
	d.reign(version)
	d.put(rootsFile(version), signRoots(d, d.roots, d.root[version-1], d.root[version]))
}

// short is a bundle that needs no timestamp.
func (d *dynasty) short(version int64) *Bundle {
	b, err := NewBundle(BundleOptions{Version: version, Issued: day(0), Expires: day(7)}, d.keys...)
	d.check(err)
	return b
}

// issue publishes a bundle as the roots want it.
func (d *dynasty) issue(version int64) {
	b := d.short(version)
	d.put("bundle.dsse", d.signBundle(b))
	if d.key != nil {
		d.publish(b)
	}
}

func (d *dynasty) start() (*RemoteSource, error) {
	return FetchFrom(d.Context(), d.shelf, d.pinned, &d.opts)
}

func (d *dynasty) mustStart() *RemoteSource {
	d.Helper()
	s, err := d.start()
	d.check(err)
	return s
}

// file is what the state file holds, for a program with the pinned roots.
func (d *dynasty) file() *holding {
	d.Helper()
	h, err := recallHolding(d.opts.StateFile, 0, &holding{chain: chainOf(d.pinned)})
	d.check(err)
	return h
}

var errKilled = errors.New("killed")

// mortal is a Directory whose reader is killed before the request of that number, or while it writes the
// state file after it.
type mortal struct {
	*shelf
	left  int
	kill  func() // at the end of its life
	onAsk func(name string)
}

func (m *mortal) Fetch(ctx context.Context, etag string) (*Fetched, error) {
	return m.Beside("bundle.dsse").Fetch(ctx, etag)
}

func (m *mortal) Beside(name string) Origin { return &mortalFile{m.shelf.Beside(name), m, name} }

type mortalFile struct {
	Origin
	of   *mortal
	name string
}

func (f *mortalFile) Fetch(ctx context.Context, etag string) (*Fetched, error) {
	if f.of.left--; f.of.left < 0 {
		if f.of.kill != nil {
			f.of.kill()
			f.of.kill = nil
		}
		return nil, errKilled
	}
	if f.of.onAsk != nil {
		f.of.onAsk(f.name)
	}
	return f.Origin.Fetch(ctx, etag)
}

// A consumer that is pinned to roots 1 reaches 12, although it is killed before each of its requests, and at
// each write of its state file. Its state file never goes back, and each step is stored before the next
// is asked for.
func TestChainThroughCrashes(t *testing.T) {
	const last = 12
	for _, timestamps := range []bool{false, true} {
		d := newDynasty(t, last, timestamps)
		d.issue(1)
		d.mustStart()
		for version := int64(2); version <= last; version++ {
			d.rotate(version)
		}
		d.issue(2)
		reached := int64(1)
		for life := 0; reached < last || d.file().seen.version < 2; life++ {
			if life > 4*last {
				t.Fatalf("it is stuck at %d", reached)
			}
			m := &mortal{shelf: d.shelf, left: 1 + life%3}
			var lost []byte
			m.onAsk = func(name string) {
				if want := rootsFile(d.file().roots.version + 1); name != want && name > rootsFile(0) && name < "roots/A" {
					t.Fatalf("asked for %s before %s is stored", name, want)
				}
			}
			m.kill = func() { // a write was under way: the file beside is half
				doc, err := os.ReadFile(d.opts.StateFile)
				d.check(err)
				lost = doc[:len(doc)/2]
				d.check(os.WriteFile(d.opts.StateFile+".new", lost, 0o600))
			}
			_, err := FetchFrom(t.Context(), m, d.pinned, &d.opts)
			if err != nil && !errors.Is(err, errKilled) && m.left < 0 {
				t.Fatal(err)
			}
			d.clock.advance(time.Hour / 4)
			is := d.file().roots.version
			if is < reached || lost == nil && is < last {
				t.Fatalf("life %d: roots version %d after %d", life, is, reached)
			}
			reached = is
		}
		got, err := d.mustStart().Bundle(t.Context())
		d.want("at the end", got, err, 2)
		if len(d.file().steps) != last-1 {
			t.Errorf("%d steps are kept", len(d.file().steps))
		}
	}
}

// A state file that cannot be written keeps no step from being adopted. It is told, and written later.
func TestChainWithoutDisk(t *testing.T) {
	d := newDynasty(t, 3, true)
	d.issue(1)
	s := d.mustStart()
	dir := filepath.Dir(d.opts.StateFile)
	d.check(os.Rename(dir, dir+".away"))
	d.rotate(2)
	d.rotate(3)
	d.issue(2)
	got, err := d.pass(s, time.Hour)
	d.want("without a disk", got, err, 2)
	if !errors.Is(s.LastError(), os.ErrNotExist) {
		t.Errorf("last error %v", s.LastError())
	}
	d.check(os.Rename(dir+".away", dir))
	got, err = d.pass(s, time.Hour)
	d.want("with it", got, err, 2)
	if h := d.file(); s.LastError() != nil || h.roots.version != 3 || h.seen.version != 2 {
		t.Errorf("%v, roots %d, bundle %d", s.LastError(), h.roots.version, h.seen.version)
	}
}

// Without a state file the chain is held in memory.
func TestChainInMemory(t *testing.T) {
	d := newDynasty(t, 3, false)
	d.opts.StateFile = ""
	d.issue(1)
	s := d.mustStart()
	d.rotate(2)
	d.rotate(3)
	d.issue(2)
	got, err := d.pass(s, time.Hour)
	d.want("followed", got, err, 2)
	if d.asked[rootsFile(2)] != 2 || d.asked[rootsFile(3)] != 1 || d.asked[rootsFile(4)] != 1 {
		t.Errorf("asked %v", d.asked)
	}
	got, err = d.pass(s, time.Hour)
	d.want("followed once", got, err, 2)
	if d.asked[rootsFile(2)] != 2 || d.asked[rootsFile(4)] != 2 {
		t.Errorf("asked %v", d.asked)
	}
}

// A thief of k-1 root keys, and everyone else who is short of a threshold, adds nothing to the chain.
func TestChainNeedsBothThresholds(t *testing.T) {
	d := newDesk(t)
	a, b, c, x := mustRoot(t), mustRoot(t), mustRoot(t), mustRoot(t)
	stamped := func(r *Roots) *Roots {
		r, err := r.WithTimestampKeys(d.key.Verifier())
		d.check(err)
		return r
	}
	pinned := stamped(mustRoots(t, 1, 2, a, b, c))
	next := stamped(mustRoots(t, 2, 2, b, c, x))
	d.roots = pinned
	bundle := d.bundle(1, 0, d.keys...)
	signed, err := SignBundle(t.Context(), bundle, a, b, c)
	d.check(err)
	d.put(bundleFile(bundle), signed)
	d.renew(bundle)
	s, err := FetchFrom(t.Context(), d.shelf, pinned, &d.opts)
	d.check(err)
	for name, c := range map[string]struct {
		signed []byte
		want   BundleWhy
	}{
		"k-1 of the old":        {signRoots(t, next, b, x), WhyThreshold},
		"k-1 of the new":        {signRoots(t, next, a, b), WhyThreshold},
		"one root twice":        {doubled(t, signRoots(t, next, b, x)), WhyThreshold},
		"a root not in a set":   {signRoots(t, next, b, mustRoot(t), mustRoot(t)), WhyThreshold},
		"the thief's own set":   {signRoots(t, mustRoots(t, 2, 1, x), a, x), WhyThreshold},
		"a version left out":    {signRoots(t, stamped(mustRoots(t, 3, 2, b, c, x)), b, c), WhyNewerRoots},
		"the version once more": {signRoots(t, mustRoots(t, 1, 2, b, c), b, c), WhyRollback},
		"a bundle":              {signed, WhyType},
		"more than 256 KiB":     {append(signRoots(t, next, b, c), bytes.Repeat([]byte(" "), keydoc.MaxRoots)...), WhyTooLarge},
	} {
		d.put(rootsFile(2), c.signed)
		d.renew(bundle, d.keys[0].KeyID())
		got, err := d.pass(s, 5*time.Minute)
		d.want(name+", whose timestamp counts all the same", got, err, 1, 0)
		wantWhy(t, name, s.LastError(), c.want)
		if _, err := s.Refresh(t.Context(), d.clock.now()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if h, err := recallHolding(d.opts.StateFile, 0, &holding{chain: chainOf(pinned)}); err != nil || h.roots.version != 1 {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
	d.put(rootsFile(2), signRoots(t, next, b, c))
	_, err = d.pass(s, 5*time.Minute)
	if errors.Is(err, ErrUnavailable) || s.LastError() != nil {
		t.Errorf("good: %v, %v", err, s.LastError())
	}
}

// Roots that have expired still lead to those that follow. Under the newest ones, if they have expired,
// nothing counts, not even what was in use.
func TestExpiredRoots(t *testing.T) {
	for _, timestamps := range []bool{false, true} {
		d := newDynasty(t, 4, timestamps)
		d.limits[1], d.limits[2] = RootsLimits{Expires: day(0.5)}, RootsLimits{Expires: day(0.6)}
		d.limits[3], d.limits[4] = RootsLimits{Expires: day(1.5)}, RootsLimits{Expires: day(5)}
		d.reign(1)
		d.pinned = d.roots
		d.put("bundle.dsse", d.signBundle(d.short(1)))
		_, err := d.start()
		if !errors.Is(err, ErrUnavailable) || !timestamps && whyOf(err) != WhyExpired {
			t.Errorf("pinned to expired roots: %v", err)
		}
		d.rotate(2)
		d.rotate(3)
		d.issue(1)
		s := d.mustStart()
		got, err := s.Bundle(t.Context())
		d.want("expired in the middle", got, err, 1)
		if !got.Expires().Equal(day(1.5)) {
			t.Errorf("it expires at %s, after its roots", got.Expires())
		}
		d.clock.set(day(1.4))
		d.issue(2)
		got, err = d.pass(s, time.Minute)
		d.want("while the roots live", got, err, 2)
		d.clock.set(day(1.5))
		d.roots, err = d.roots.WithLimits(RootsLimits{}) // a signer that does not look
		d.check(err)
		d.issue(3)
		_, err = s.Bundle(t.Context())
		wantWhy(t, "the newest have expired", err, WhyExpired)
		wantWhy(t, "the answer is refused", s.LastError(), WhyExpired)
		_, err = d.start()
		wantWhy(t, "after a restart", err, WhyExpired)
		d.rotate(4)
		d.issue(3)
		got, err = d.pass(s, time.Hour)
		d.want("newer roots", got, err, 3)
	}
}

// A program that opens a bundle once uses it until its roots expire, at most. A tool gets it as it was
// signed.
func TestOpenBundleEndsWithItsRoots(t *testing.T) {
	d := newDynasty(t, 1, false)
	d.limits[1] = RootsLimits{Expires: day(2)}
	d.reign(1)
	signed := d.signBundle(d.short(1))
	for unsafe, want := range map[bool]time.Time{false: day(2), true: day(7)} {
		b, err := OpenBundle(signed, d.roots, &Options{Now: d.clock.now, UnsafeNoTimestamp: unsafe})
		if err != nil || !b.Expires().Equal(want) {
			t.Errorf("UnsafeNoTimestamp %t: %v, %v, want %s", unsafe, b, err, want)
		}
	}
}

// A bundle that ended with its roots lives on under those that follow, which expire later.
func TestBundleOutlivesRootsThatAreFollowed(t *testing.T) {
	d := newDynasty(t, 1, false)
	d.limits[1] = RootsLimits{Expires: day(2)}
	d.reign(1)
	d.pinned = d.roots
	d.issue(1)
	s := d.mustStart()
	d.limits[2], d.root[2] = RootsLimits{Expires: day(6)}, d.root[1]
	next := d.rootsAt(2)
	d.put(rootsFile(2), signRoots(d, next, d.root[1]))
	d.clock.set(day(3))
	b, err := s.Bundle(t.Context())
	if err != nil || !b.Expires().Equal(day(6)) {
		t.Errorf("%v, %v", b, err)
	}
}

// wantLive wants that version, after a look without a fault.
func (d *dynasty) wantLive(name string, s *RemoteSource, version int64) {
	d.Helper()
	got, err := d.pass(s, 5*time.Minute)
	d.want(name, got, err, version)
	if s.LastError() != nil {
		d.Errorf("%s: %v", name, s.LastError())
	}
}

// Thieves of root keys signed bundle 2^53-1. Roots without their keys forget it, in a running program and in
// the state file, and no lower version that the new ones still vouch for.
func TestBundleFastForwardRecovery(t *testing.T) {
	d := newDynasty(t, 3, false)
	d.issue(4)
	s := d.mustStart()
	d.issue(maxBundleVersion)
	d.wantLive("the thief's", s, maxBundleVersion)
	d.issue(5)
	_, err := d.pass(s, 5*time.Minute)
	d.check(err)
	wantWhy(t, "before the rotation", s.LastError(), WhyRollback)
	state, err := os.ReadFile(d.opts.StateFile)
	d.check(err)
	d.limits[2] = RootsLimits{MinBundle: 5}
	d.rotate(2)
	d.issue(4)
	_, err = d.pass(s, 5*time.Minute)
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("nothing counts under the new roots yet: %v", err)
	}
	wantWhy(t, "below the floor", s.LastError(), WhyRollback)
	d.issue(5)
	d.wantLive("recovered", s, 5)
	d.check(os.WriteFile(d.opts.StateFile, state, 0o600)) // another machine, that starts now
	d.wantLive("recovered at a start", d.mustStart(), 5)
	d.issue(4)
	_, err = d.pass(s, 5*time.Minute)
	d.check(err)
	wantWhy(t, "remembered again", s.LastError(), WhyRollback)
}

// With timestamps, the stolen keys are those of both roles: a timestamp that is held names the bundle.
func TestFastForwardRecoveryOfBoth(t *testing.T) {
	for _, running := range []bool{true, false} {
		d := newDynasty(t, 3, true)
		d.issue(4)
		s := d.mustStart()
		thief := d.short(maxBundleVersion)
		d.put(bundleFile(thief), d.signBundle(thief))
		d.last = d.timestamp(thief, d.last, d.clock.now(), d.keys[1].KeyID())
		d.last.Version = maxBundleVersion
		d.last.Revoked = map[string]Withdrawal{d.keys[1].KeyID(): {Revocation{At: day(1)}, maxBundleVersion}}
		d.put(keydoc.TimestampFile, d.sign(d.last))
		got, err := d.pass(s, 5*time.Minute)
		d.want("the thief's", got, err, maxBundleVersion, 1)
		d.limits[2] = RootsLimits{MinBundle: 5, MinTimestamp: 9}
		d.rotate(2)
		five := d.short(5)
		d.put(bundleFile(five), d.signBundle(five))
		d.last = d.timestamp(five, nil, d.clock.now())
		if d.last.Version != 9 {
			t.Errorf("the first timestamp is version %d, below the floor", d.last.Version)
		}
		d.put(keydoc.TimestampFile, d.sign(d.last))
		if !running {
			s = d.mustStart()
		}
		d.wantLive("recovered", s, 5)
		if h := d.file(); h.timestamp.Version != 9 || h.revoked.len() != 0 {
			t.Errorf("timestamp %d, %d revocations", h.timestamp.Version, h.revoked.len())
		}
	}
}

// New root keys alone, beside the timestamp key that there was, forget neither a timestamp nor a revocation.
func TestRotationForgetsNothingElse(t *testing.T) {
	d := newDynasty(t, 3, true)
	d.stamps[2] = d.stamps[1]
	first := d.short(1)
	d.publish(first, d.keys[0].KeyID())
	last := d.last
	s := d.mustStart()
	d.rotate(2)
	d.last = last
	d.renew(d.short(1)) // the same bundle, which the new roots have signed, too
	d.put(bundleFile(first), d.signBundle(first))
	got, err := d.pass(s, 5*time.Minute)
	if d.check(errors.Join(err, s.LastError())); got.Version() != 1 || got.Key(d.keys[0].KeyID()).Revoked == nil {
		t.Errorf("%v", got)
	}
	old := *last
	d.put(keydoc.TimestampFile, d.sign(&old))
	_, err = d.pass(s, 5*time.Minute)
	d.check(err)
	wantWhy(t, "an older timestamp", s.LastError(), WhyRollback)
}

// Floors hold for what is in the state file, too, and do not forget revocations.
func TestFloorsHoldForTheStateFile(t *testing.T) {
	for name, limits := range map[string]RootsLimits{"bundle": {MinBundle: 2}, "timestamp": {MinTimestamp: 4}} {
		d := newDynasty(t, 2, true)
		d.root[2], d.stamps[2] = d.root[1], d.stamps[1]
		d.publish(d.short(1), d.keys[0].KeyID())
		s := d.mustStart()
		last := d.last
		d.limits[2] = limits
		d.rotate(2)
		_, err := d.pass(s, 5*time.Minute)
		if whyOf(err) != WhyRollback || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		wantWhy(t, name, s.LastError(), WhyRollback)
		if _, err := d.start(); whyOf(err) != WhyRollback {
			t.Errorf("%s: a start: %v", name, err)
		}
		d.last = last
		d.publish(d.short(2))
		got, err := d.pass(s, 5*time.Minute)
		d.want(name+", above the floor", got, err, 2, 0)
	}
}

// Roots that switch timestamps on and off again. A program that has older roots alone is not confused.
func TestTimestampsSwitchedOnAndOff(t *testing.T) {
	d := newDynasty(t, 3, false)
	d.root[2], d.root[3] = d.root[1], d.root[1]
	d.issue(1)
	s := d.mustStart()
	d.stamps[2] = mustRoot(t)
	d.rotate(2)
	_, err := d.pass(s, 5*time.Minute)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errDown) {
		t.Errorf("on, before a timestamp is published: %v", err)
	}
	d.issue(2)
	d.wantLive("on", s, 2)
	d.wantLive("on, started", d.mustStart(), 2)
	isolated := &isolatedShelf{d.shelf}
	behind, err := FetchFrom(t.Context(), isolated, d.rootsAt(2), &Options{Now: d.clock.now})
	d.check(err)
	d.renew(d.short(2), d.keys[0].KeyID())
	got, err := d.pass(s, 5*time.Minute)
	d.want("revoked", got, err, 2, 0)
	until := got.Expires()
	d.rotate(3)
	d.issue(3)
	d.put(keydoc.TimestampFile, nil)
	d.wantLive("off: the revocation is forgotten, and no timestamp is asked for", s, 3)
	d.wantLive("off, started", d.mustStart(), 3)
	got, err = behind.Bundle(t.Context())
	d.want("behind: what it has", got, err, 2)
	d.clock.set(until.Add(time.Minute))
	if _, err := behind.Bundle(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("behind, after the last timestamp: %v", err)
	}
	if _, err := d.mustStart().Bundle(t.Context()); err != nil {
		t.Error(err)
	}
}

// isolatedShelf serves no roots.
type isolatedShelf struct{ *shelf }

func (s *isolatedShelf) Beside(name string) Origin {
	if name >= keydoc.RootsDir && name < "roots0" {
		name = "roots/none"
	}
	return s.shelf.Beside(name)
}

// Roots that a timestamp names are fetched first. If they cannot be, the bundle in use lives until the last
// timestamp that named older ones ends.
func TestRootsThatTheTimestampNames(t *testing.T) {
	d := newDynasty(t, 2, true)
	d.root[2], d.stamps[2] = d.root[1], d.stamps[1]
	d.issue(1)
	s := d.mustStart()
	last := d.last
	d.rotate(2)
	roots := d.files[rootsFile(2)]
	d.put(rootsFile(2), nil)
	d.last = last
	d.clock.advance(time.Hour)
	d.renew(d.short(1), d.keys[0].KeyID())
	got, err := d.pass(s, 5*time.Minute)
	d.want("withheld", got, err, 1, 0)
	wantWhy(t, "withheld", s.LastError(), WhyNewerRoots)
	if !got.Expires().Equal(last.Expires) {
		t.Errorf("it lives until %s", got.Expires())
	}
	d.clock.set(last.Expires)
	if _, err := s.Bundle(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("withheld for long: %v", err)
	}
	d.put(rootsFile(2), roots)
	got, err = d.pass(s, time.Hour/2)
	d.want("published", got, err, 1, 0)
}

// An endless chain takes a bounded number of steps, and each look goes on.
func TestEndlessChain(t *testing.T) {
	d := newDynasty(t, 1, false)
	d.issue(1)
	s := d.mustStart()
	const all = maxRootsSteps + maxKeptSteps
	for version := int64(2); version <= all; version++ {
		d.root[version] = d.root[1]
		d.rotate(version)
	}
	got, err := d.pass(s, 5*time.Minute)
	d.want("the first look", got, err, 1)
	if h := s.shared.State().held; s.LastError() == nil || h.roots.version != 1+maxRootsSteps {
		t.Errorf("%v, roots %d", s.LastError(), h.roots.version)
	}
	d.wantLive("the second", s, 1)
	if s.shared.State().held.roots.version != all || len(s.shared.State().held.steps) != maxKeptSteps {
		t.Errorf("roots %d, %d steps kept", s.shared.State().held.roots.version, len(s.shared.State().held.steps))
	}
	if info, err := os.Stat(d.opts.StateFile); err != nil || info.Size() > 64<<10 {
		t.Errorf("%v, %v", info.Size(), err)
	}
	// The file begins with newer roots than are pinned. A program that starts fetches those between.
	started := d.mustStart()
	d.wantLive("started", started, 1)
	if version := started.shared.State().held.roots.version; version != all {
		t.Errorf("started: roots %d", version)
	}
	d.put(rootsFile(9), nil)
	_, err = d.start()
	wantWhy(t, "started, and one of those between is away", err, WhyRollback)
}

// Two processes on one state file, of which one is ahead in roots: the other goes on with its roots, also if
// the host withholds them, and neither writes over what the other knows.
func TestTwoProcessesOneIsAhead(t *testing.T) {
	d := newDynasty(t, 3, true)
	for version := int64(2); version <= 3; version++ {
		d.root[version], d.stamps[version] = d.root[1], d.stamps[1]
	}
	d.issue(1)
	ahead := d.mustStart()
	behind, err := FetchFrom(t.Context(), &isolatedShelf{d.shelf}, d.pinned, &d.opts)
	d.check(err)
	last := d.last
	d.rotate(2)
	d.rotate(3)
	d.last = last
	d.renew(d.short(1), d.keys[0].KeyID())
	got, err := d.pass(ahead, 5*time.Minute)
	d.want("ahead", got, err, 1, 0)
	got, err = d.pass(behind, 5*time.Minute)
	d.want("behind", got, err, 1, 0)
	if v := behind.shared.State().held.roots.version; v != 3 || behind.LastError() != nil {
		t.Errorf("behind is at roots %d: %v", v, behind.LastError())
	}
	if h := d.file(); h.roots.version != 3 || h.timestamp.Version != d.last.Version {
		t.Errorf("the file has roots %d, timestamp %d", h.roots.version, h.timestamp.Version)
	}
}

// Of the pinned roots and those of the state file the newer ones count. One version has one content.
func TestPinnedRootsAndTheStateFile(t *testing.T) {
	for _, timestamps := range []bool{false, true} {
		d := newDynasty(t, 5, timestamps)
		d.issue(1)
		d.mustStart()
		d.rotate(2)
		d.rotate(3)
		d.issue(2)
		d.mustStart()
		chain := []string{rootsFile(2), rootsFile(3)}
		docs := map[string][]byte{}
		for _, name := range chain {
			docs[name] = d.files[name]
			d.put(name, nil)
		}
		at := func(r *Roots) (*RemoteSource, error) { return FetchFrom(t.Context(), d.shelf, r, &d.opts) }
		for version := int64(1); version <= 3; version++ { // older or the same; the state file has the rest
			s, err := at(d.rootsAt(version))
			d.check(err)
			d.wantLive(fmt.Sprint("pinned ", version), s, 2)
		}
		for version := int64(1); version <= 3; version++ {
			other := mustRoots(t, version, 1, mustRoot(t))
			if _, err := at(other); whyOf(err) != WhyEquivocate && version == 3 || err == nil {
				t.Errorf("other roots %d: %v", version, err)
			}
		}
		d.reign(5) // a program with newer roots
		d.issue(3)
		s, err := at(d.rootsAt(5))
		d.check(err)
		d.wantLive("pinned 5", s, 3)
		last := d.last
		_, err = at(d.rootsAt(1))
		wantWhy(t, "pinned 1, and the state file begins with 5", err, WhyRollback)
		for version := int64(4); version <= 5; version++ {
			d.rotate(version)
		}
		for name, doc := range docs {
			d.put(name, doc)
		}
		d.last = last
		d.issue(3)
		s, err = at(d.rootsAt(1))
		d.check(err)
		d.wantLive("pinned 1, and those between are published", s, 3)
	}
}

// Newer roots in a state file are refused unless the older ones signed them: it is not enough to write to the
// file.
func TestStateFileCannotForgeRoots(t *testing.T) {
	d := newDynasty(t, 3, false)
	d.issue(1)
	d.mustStart()
	d.rotate(2)
	d.issue(2)
	d.mustStart()
	good, err := os.ReadFile(d.opts.StateFile)
	d.check(err)
	thief := mustRoot(t)
	forged := mustRoots(t, 3, 1, thief)
	h := d.file()
	h.chain = chain{roots: forged, first: h.first, steps: append(h.steps[:1:1], signRoots(t, forged, thief))}
	for name, doc := range map[string][]byte{
		"a step that the thief signed": h.appendState(nil),
		"a signature is damaged":       bytes.Replace(good, []byte(`"sig":"`), []byte(`"sig":"AA`), 1),
		"bare roots":                   (&holding{chain: chainOf(forged)}).appendState(nil),
	} {
		d.check(os.WriteFile(d.opts.StateFile, doc, 0o600))
		if s, err := d.start(); err == nil {
			t.Errorf("%s: %v", name, s.LastError())
		}
		if after, err := os.ReadFile(d.opts.StateFile); err != nil || !bytes.Equal(after, doc) {
			t.Errorf("%s: the file was written over", name)
		}
	}
}

// A damaged bundle or timestamp in the state file is no reason to forget a version, also under newer roots.
func TestDamagedStateIsNotForgotten(t *testing.T) {
	for _, timestamps := range []bool{false, true} {
		d := newDynasty(t, 2, timestamps)
		d.issue(5)
		d.mustStart()
		good, err := os.ReadFile(d.opts.StateFile)
		d.check(err)
		d.reign(2)
		d.pinned = d.roots
		d.issue(1)
		for at := bytes.Index(good, []byte(`"sig":"`)) + 9; at > 9; {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			d.check(os.WriteFile(d.opts.StateFile, bad, 0o600))
			if s, err := d.start(); err == nil {
				t.Errorf("forgotten: %v", s.LastError())
			}
			next := bytes.Index(good[at:], []byte(`"sig":"`))
			if next < 0 {
				break
			}
			at += next + 9
		}
	}
}

// A source whose origin has nothing beside the bundle has no chain.
func TestOriginWithoutChain(t *testing.T) {
	d := newDynasty(t, 2, false)
	b := d.short(1)
	s, err := FetchFrom(t.Context(), &fixedOrigin{d.signBundle(b)}, d.pinned, &Options{Now: d.clock.now})
	if err != nil || s.LastError() != nil {
		t.Fatal(err)
	}
	d.rotate(2)
	d.clock.advance(time.Hour)
	if got, err := s.Bundle(t.Context()); err != nil || got.Version() != 1 || s.shared.State().held.roots.version != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// FuzzNextRoots: roots that follow have one form, and are one version higher.
func FuzzNextRoots(f *testing.F) {
	a, b := mustRoot(f), mustRoot(f)
	old := mustRoots(f, 1, 1, a)
	next := mustRoots(f, 2, 1, b)
	limited, err := next.WithLimits(RootsLimits{Expires: day(9), MinBundle: 7, MinTimestamp: 8})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(old.Payload()))
	f.Add([]byte(limited.Payload()))
	f.Add([]byte(`{"keys":[],"threshold":1,"version":2}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := parseRootsPayload(payload)
		if err != nil {
			return
		}
		again, err := parseRootsPayload(r.Payload())
		if err != nil || string(again.Payload()) != string(r.Payload()) || again.limits != r.limits {
			t.Errorf("%s is read as %s, %v", payload, r.Payload(), err)
		}
		got, err := old.Next(sealedRoots(t, payload, a, b))
		if err == nil && (got.version != 2 || string(got.Payload()) != string(payload)) {
			t.Errorf("%s follows version 1", payload)
		}
	})
}
