package trust

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// story is a life of an organisation, step by step. Each step publishes something; revoked is what a consumer
// that saw all steps so far must refuse.
func (d *desk) story() []func() (version int64, revoked []int) {
	one, two := d.bundle(1, 0, d.keys...), d.bundle(2, 0, d.keys...)
	three := d.bundle(3, 4, d.keys...) // overrules what the timestamps up to 4 say
	zero, other := d.keys[0].KeyID(), d.keys[1].KeyID()
	return []func() (int64, []int){
		func() (int64, []int) { d.publish(one); return 1, nil },
		func() (int64, []int) { d.renew(one, zero); return 1, []int{0} },
		func() (int64, []int) { d.renew(two); return 1, []int{0} }, // the bundle is late
		func() (int64, []int) { d.put(bundleFile(two), d.signBundle(two)); return 2, []int{0} },
		func() (int64, []int) { d.renew(two, other); return 2, []int{0, 1} },
		func() (int64, []int) { d.publish(three, other); return 3, []int{1} },
	}
}

// A consumer that is killed at any step, restarted, and then offered only what an attacker kept, stays where
// it was. The clock is that of a bubble.
func TestRestartAtEveryStep(t *testing.T) {
	steps := len(newDesk(t).story())
	for killed := range steps {
		t.Run(fmt.Sprint(killed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { restartAt(t, killed) })
		})
	}
}

func restartAt(t *testing.T, killed int) {
	d := newDesk(t)
	var kept []map[string][]byte // what the shelf had after each step
	var s *RemoteSource
	for i, step := range d.story() {
		version, revoked := step()
		d.clock.set(d.clock.now().Add(5 * time.Minute))
		time.Sleep(5 * time.Minute)
		kept = append(kept, cloneMap(d.files))
		if s == nil || i == killed {
			s = d.mustStart()
		}
		got, err := s.Bundle(t.Context())
		d.want(fmt.Sprint("step ", i), got, err, version, revoked...)
		for old := range kept { // each older offer is refused, by the running one and by a new one
			d.files = cloneMap(kept[old])
			d.clock.set(d.clock.now().Add(time.Minute))
			got, err := s.Refresh(t.Context(), d.clock.now())
			if err == nil {
				d.want(fmt.Sprint("step ", i, " offered ", old), got, err, version, revoked...)
			}
			got, err = d.mustStart().Bundle(t.Context())
			d.want(fmt.Sprint("step ", i, " restarted on ", old), got, err, version, revoked...)
		}
		d.files = cloneMap(kept[i])
		d.clock.set(d.clock.now().Add(5 * time.Minute))
	}
}

// A state file of a time without timestamps is read: its version counts, its bundle does without a timestamp
// not.
func TestOldStateFile(t *testing.T) {
	d := newDesk(t)
	five, err := NewBundle(BundleOptions{Version: 5, Issued: day(0), Expires: day(7)}, d.keys...)
	d.check(err)
	d.check(os.WriteFile(d.opts.StateFile, (&kept{seen: seenOf(five), signed: d.signBundle(five)}).append(nil), 0o600))
	if h, err := recallHolding(d.opts.StateFile, 0, d.nothing()); err != nil || h.bundle == nil ||
		h.view != nil { // a view that does not expire would be worse than none
		t.Errorf("%+v, %v", h, err)
	}
	d.publish(d.bundle(4, 0, d.keys...))
	_, err = d.start()
	wantWhy(t, "an older bundle", err, WhyRollback)
	d.files, d.last = map[string][]byte{}, nil
	if _, err := d.start(); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errDown) {
		t.Errorf("without a timestamp: %v", err)
	}
	d.renew(five) // a timestamp alone is enough, for the bundle is at hand
	got, err := d.mustStart().Bundle(t.Context())
	d.want("with a timestamp", got, err, 5)
}

// The roots of a program may not be older than those that the state file knows.
func TestStateFileKnowsTheRoots(t *testing.T) {
	d := newDesk(t)
	b, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7)}, d.keys...)
	d.check(err)
	d.roots = d.rootsOf(5)
	d.publish(b, d.keys[0].KeyID())
	d.mustStart()
	start := func(roots *Roots) (*RemoteSource, error) {
		return FetchFrom(t.Context(), d.shelf, roots, &d.opts)
	}
	_, err = start(d.rootsOf(4))
	wantWhy(t, "older", err, WhyRollback)
	other, err := NewRoots(5, 1, d.root.Verifier())
	d.check(err)
	_, err = start(other)
	wantWhy(t, "the same version without timestamp keys", err, WhyEquivocate)
	plain, err := NewRoots(4, 1, d.root.Verifier())
	d.check(err)
	_, err = start(plain)
	wantWhy(t, "older, without timestamp keys", err, WhyRollback)
	got, err := mustSource(t)(start(d.rootsOf(6))).Bundle(t.Context())
	d.want("newer", got, err, 1, 0)
	rotated, err := NewRoots(7, 1, d.root.Verifier())
	d.check(err)
	rotated, err = rotated.WithTimestampKeys(mustRoot(t).Verifier())
	d.check(err)
	if _, err := start(rotated); !errors.Is(err, ErrUnavailable) {
		t.Errorf("under a new timestamp key the old timestamp is worth nothing: %v", err)
	}
}

func mustSource(t *testing.T) func(*RemoteSource, error) *RemoteSource {
	return func(s *RemoteSource, err error) *RemoteSource {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// With newer roots that name another timestamp key, a timestamp of 2^53-1 by a thief is forgotten.
func TestRecoveryFromAStolenTimestampKey(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b)
	thief := *d.last
	thief.Version = maxBundleVersion
	thief.Revoked = map[string]Withdrawal{d.keys[0].KeyID(): {Revocation{At: day(1)}, 1},
		d.keys[1].KeyID(): {Revocation{At: day(1)}, 1}}
	d.put(keydoc.TimestampFile, d.sign(&thief))
	got, err := d.mustStart().Bundle(t.Context())
	d.want("the thief revokes everything", got, err, 1, 0, 1)
	d.key = mustRoot(t)
	d.roots = d.rootsOf(2)
	d.last = nil
	d.renew(b)
	got, err = d.mustStart().Bundle(t.Context())
	d.want("recovered", got, err, 1)
	if d.last.Version != 1 {
		t.Errorf("the new key starts at version %d", d.last.Version)
	}
}

// Two processes share the file. Each goes on with what the other has seen.
func TestTwoProcessesOneHolding(t *testing.T) {
	d := newDesk(t)
	b := d.bundle(1, 0, d.keys...)
	d.publish(b)
	ours := d.mustStart()
	other, err := FetchFrom(t.Context(), d.shelf, d.roots, &d.opts)
	d.check(err)
	d.renew(b, d.keys[0].KeyID())
	saved := cloneMap(d.files)
	got, err := d.pass(ours, 5*time.Minute)
	d.want("ours", got, err, 1, 0)
	forgetful := *d.last
	forgetful.Version, forgetful.Revoked = 3, nil
	d.put(keydoc.TimestampFile, d.sign(&forgetful)) // the other never saw timestamp 2
	got, err = d.pass(other, 5*time.Minute)
	d.want("the other learns by the file", got, err, 1, 0)
	d.files = saved
	got, err = d.pass(ours, 5*time.Minute)
	d.want("ours is offered 2 once more", got, err, 1, 0)
	k, err := recallHolding(d.opts.StateFile, 0, d.nothing())
	if err != nil || k.timestamp.Version != 3 || k.revoked.len() != 1 {
		t.Errorf("%+v, %v", k, err)
	}
}

// A file that is cut short or changed anywhere in its line stops the start.
func TestDamagedHolding(t *testing.T) {
	d := newDesk(t)
	d.publish(d.bundle(1, 0, d.keys...), d.keys[0].KeyID(), thumbprintOf([]byte("s")))
	d.mustStart()
	good, err := os.ReadFile(d.opts.StateFile)
	d.check(err)
	for cut := 0; cut < len(good); cut += 1 + len(good)/200 {
		d.check(os.WriteFile(d.opts.StateFile, good[:cut], 0o600))
		if s, err := d.start(); err == nil {
			t.Fatalf("cut after %d bytes: %v", cut, s.LastError())
		}
	}
	for _, doc := range [][]byte{append(bytes.Clone(good), ' '),
		bytes.Replace(good, []byte(`"version":1}`), []byte(`"version":1 }`), 1),
		bytes.Replace(good, []byte(`"sizes":[`), []byte(`"sizes":[-`), 1)} {
		d.check(os.WriteFile(d.opts.StateFile, doc, 0o600))
		if _, err := d.start(); err == nil || bytes.Equal(doc, good) {
			t.Error("a changed file is accepted")
		}
	}
}

// WatchFile follows the timestamp and the bundle beside it, in either place.
func TestWatchTimestamp(t *testing.T) {
	d := newDesk(t)
	dir := t.TempDir()
	write := func(name string, doc []byte) {
		d.check(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		d.check(os.WriteFile(filepath.Join(dir, name), doc, 0o600))
	}
	one, two := d.bundle(1, 0, d.keys...), d.bundle(2, 0, d.keys...)
	path := filepath.Join(dir, "trust.dsse")
	write("trust.dsse", d.signBundle(one))
	if _, err := WatchFile(path, d.roots, &d.opts); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a timestamp: %v", err)
	}
	d.renew(one)
	write(keydoc.TimestampFile, d.files[keydoc.TimestampFile])
	s, err := WatchFile(path, d.roots, &d.opts)
	d.check(err)
	d.clock.set(day(1.5))
	d.renew(two, d.keys[1].KeyID())
	write(keydoc.TimestampFile, d.files[keydoc.TimestampFile])
	got, err := d.pass(s, 5*time.Minute)
	d.want("the bundle is late", got, err, 1, 1)
	wantWhy(t, "late", s.LastError(), WhyOtherBundle)
	d.clock.set(day(2))
	_, err = s.Bundle(t.Context())
	wantWhy(t, "too late", err, WhyExpired)
	if _, err := s.Refresh(t.Context(), d.clock.now()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("too late: %v", err)
	}
	write(bundleFile(two), d.signBundle(two))
	got, err = d.pass(s, 5*time.Minute)
	d.want("there", got, err, 2, 1)
	if s.LastError() != nil {
		t.Error(s.LastError())
	}
	for _, opts := range []Options{{Timestamp: []byte{}}, {UnsafeNoTimestamp: true}} {
		if _, err := WatchFile(path, d.roots, &opts); err == nil {
			t.Error("WatchFile takes options of OpenBundle")
		}
		if _, err := FetchFrom(t.Context(), d.shelf, d.roots, &opts); err == nil {
			t.Error("FetchFrom takes options of OpenBundle")
		}
	}
}

// An origin that has nothing beside the bundle is no use.
func TestOriginIsNoDirectory(t *testing.T) {
	d := newDesk(t)
	if _, err := FetchFrom(t.Context(), &fixedOrigin{}, d.roots, &Options{}); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	o, err := HTTPSOrigin("https://trust.example/a/bundle.dsse?token=hush", nil)
	d.check(err)
	beside, isOrigin := o.(Directory).Beside("bundles/00").(httpsOrigin)
	if !isOrigin || beside.URL() != "https://trust.example/a/bundles/00?token=hush" ||
		beside.String() != "https://trust.example/a/bundles/00" {
		t.Errorf("%v", beside.URL())
	}
}

// No bundle is judged by halves while timestamps and bundles change: a key is revoked in every part of a
// view.
func TestNoViewIsHalf(t *testing.T) {
	d := newDesk(t)
	d.opts.MinInterval, d.opts.RefreshHint = time.Nanosecond, time.Nanosecond
	d.publish(d.bundle(1, 0, d.keys...))
	s := d.mustStart()
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 64 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				b, err := s.Bundle(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for _, k := range d.keys {
					id := k.KeyID()
					if (b.Key(id).Revoked != nil) != (b.Lookup(id)[0].Revoked != nil) {
						t.Error("half of a view")
					}
				}
			}
		})
	}
	for n := range int64(200) {
		d.clock.set(d.clock.now().Add(time.Second))
		d.publish(d.bundle(n+2, d.last.Version, d.keys...), d.keys[n%2].KeyID())
	}
	close(done)
	wg.Wait()
}

func FuzzHolding(f *testing.F) {
	o := newTimed(f)
	k := testKey(f, keys.Ed25519, nil)
	b := o.bundle(1, 0, k)
	ts := o.timestamp(b, nil, day(1), k.KeyID())
	h, err := judge(o.nothing(), ts, b, 0, day(1))
	o.check(err)
	h.signedTimestamp, h.signedBundle = o.sign(ts), o.signBundle(b)
	f.Add(h.appendState(nil))
	f.Add(o.nothing().appendState(nil))
	f.Fuzz(func(t *testing.T, doc []byte) {
		k, err := parseHolding(doc)
		if err != nil || !isHolding(doc) {
			return
		}
		h := k.head
		h.chain, h.signedTimestamp, h.signedBundle = k.chain, k.timestamp, k.bundle
		if again := h.appendState(nil); !bytes.Equal(again, doc) {
			t.Errorf("%q is written as %q", doc, again)
		}
		_, _ = k.holding(0, o.nothing())
	})
}
