package trust

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
)

// clock is set by the test and read by anyone.
type clock struct{ nanos atomic.Int64 }

func newClock(t time.Time) *clock             { c := &clock{}; c.set(t); return c }
func (c *clock) set(t time.Time)              { c.nanos.Store(t.UnixNano()) }
func (c *clock) now() time.Time               { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration)      { c.nanos.Add(int64(d)) }
func versioned(t testing.TB, n int64) *Bundle { return versionedHint(t, n, 0) }

func versionedHint(t testing.TB, n int64, hint time.Duration) *Bundle {
	t.Helper()
	b, err := NewBundle(BundleOptions{Version: n, Issued: day(0), Expires: day(7), RefreshHint: hint},
		testKey(t, keys.Ed25519, nil))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type watched struct {
	t     *testing.T
	path  string
	clock *clock
	roots roots3
	mtime time.Time
	*FileSource
}

func newWatched(t *testing.T, first *Bundle, opts Options) *watched {
	t.Helper()
	w := &watched{t: t, path: filepath.Join(t.TempDir(), "bundle"), clock: newClock(day(1)),
		roots: newRoots3(t), mtime: day(0)}
	w.put(w.roots.sign(t, first, 0, 1))
	opts.Now = w.clock.now
	var err error
	if w.FileSource, err = WatchFile(w.path, w.roots.roots, &opts); err != nil {
		t.Fatal(err)
	}
	return w
}

// put replaces the file as a careful operator does, with an mtime that the fake clock has long passed.
func (w *watched) put(content []byte) {
	w.t.Helper()
	w.mtime = w.mtime.Add(time.Second)
	if err := os.WriteFile(w.path+".tmp", content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chtimes(w.path+".tmp", w.mtime, w.mtime); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.path+".tmp", w.path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) sign(b *Bundle) []byte { return w.roots.sign(w.t, b, 0, 1) }

func (w *watched) want(version int64, why BundleWhy) {
	w.t.Helper()
	b, err := w.Bundle(w.t.Context())
	if err != nil || b.Version() != version {
		w.t.Errorf("version %v (%v), want %d", b.Version(), err, version)
	}
	if why == "" && w.LastError() != nil {
		w.t.Errorf("last error %v", w.LastError())
	} else if why != "" {
		wantWhy(w.t, "last error", w.LastError(), why)
	}
}

func TestFileIsFollowed(t *testing.T) {
	w := newWatched(t, versioned(t, 1), Options{RefreshHint: 10 * time.Second})
	w.want(1, "")
	w.put(w.sign(versioned(t, 2)))
	w.want(1, "") // not looked at yet
	w.clock.advance(10*time.Second - 1)
	w.want(1, "")
	w.clock.advance(1)
	w.want(2, "")
	w.clock.advance(time.Hour) // a frozen process wakes up
	w.put(w.sign(versioned(t, 3)))
	w.want(3, "")
}

func TestFileIntervals(t *testing.T) {
	for name, c := range map[string]struct {
		option, hint, want time.Duration
	}{
		"option": {5 * time.Second, 20 * time.Second, 5 * time.Second},
		"bundle": {0, 20 * time.Second, 20 * time.Second}, "neither": {0, 0, defaultRefresh},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatched(t, versionedHint(t, 1, c.hint), Options{RefreshHint: c.option})
			w.put(w.sign(versioned(t, 2)))
			w.clock.advance(c.want - 1)
			w.want(1, "")
			w.clock.advance(1)
			w.want(2, "")
		})
	}
}

// A file that was caught while it was written is not left until the next regular look.
func TestFileCaughtHalfWritten(t *testing.T) {
	w := newWatched(t, versionedHint(t, 1, 12*time.Hour), Options{})
	next := w.sign(versionedHint(t, 2, 12*time.Hour))
	w.put(next[:len(next)/2])
	w.clock.advance(12 * time.Hour)
	w.want(1, WhyMalformed)
	w.put(next)
	w.clock.advance(defaultRefresh)
	w.want(2, "")
}

func TestFileRefusals(t *testing.T) {
	w := newWatched(t, versioned(t, 5), Options{RefreshHint: time.Second, MinVersion: 3})
	good, same := versioned(t, 6), versioned(t, 6)
	step := func(content []byte, version int64, why BundleWhy) {
		t.Helper()
		w.put(content)
		w.clock.advance(time.Second)
		w.want(version, why)
	}
	step(w.sign(versioned(t, 4)), 5, WhyRollback)
	step(w.sign(versioned(t, 2)), 5, WhyRollback)
	step([]byte("half a bun"), 5, WhyMalformed)
	step(nil, 5, WhyMalformed)
	step(w.roots.sign(t, versioned(t, 9), 0), 5, WhyThreshold)
	step(w.sign(good), 6, "")
	step(w.sign(same), 6, WhyEquivocate)
	step(w.roots.sign(t, good, 1, 2), 6, "") // the same payload, other signatures
	w.clock.set(day(8))
	step(w.sign(versioned(t, 7)), 6, WhyExpired)
}

// A replacement of the same size and time is told by the file's identity.
func TestFileOfSameSizeAndTime(t *testing.T) {
	w := newWatched(t, versioned(t, 1), Options{RefreshHint: time.Second})
	w.mtime = w.mtime.Add(-time.Second)
	w.put(w.sign(versioned(t, 2)))
	w.clock.advance(time.Second)
	w.want(2, "")
}

// Written in place within the grain of the file's time: read again although nothing shows.
func TestFileRewrittenAtOnce(t *testing.T) {
	w := newWatched(t, versioned(t, 1), Options{RefreshHint: time.Second})
	w.mtime = w.clock.now() // put adds a second: the mtime is that of the next look
	w.put(w.sign(versioned(t, 2)))
	w.clock.advance(time.Second)
	w.want(2, "")
	if err := os.WriteFile(w.path, w.sign(versioned(t, 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(w.path, w.mtime, w.mtime); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Second)
	w.want(3, "")
}

func TestFileVanishes(t *testing.T) {
	w := newWatched(t, versioned(t, 1), Options{RefreshHint: time.Second})
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Second)
	if b, err := w.Bundle(t.Context()); err != nil || b.Version() != 1 ||
		!errors.Is(w.LastError(), os.ErrNotExist) {
		t.Errorf("%v, last error %v", err, w.LastError())
	}
	if _, err := w.Refresh(t.Context(), w.clock.now()); !errors.Is(err, ErrUnavailable) ||
		!errors.Is(err, os.ErrNotExist) {
		t.Errorf("Refresh: %v", err)
	}
	w.put(w.sign(versioned(t, 1)))
	w.clock.advance(time.Second)
	_, err := w.Bundle(t.Context())
	wantWhy(t, "other content of version 1", w.LastError(), WhyEquivocate)
	if err != nil {
		t.Error(err)
	}
	if _, err := w.Refresh(t.Context(), w.clock.now()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Refresh of a refused file: %v", err)
	}
}

// Refresh looks at the file at once, as often as it is asked; once a second while the file is at fault.
func TestFileRefreshLooksAtOnce(t *testing.T) {
	w := newWatched(t, versioned(t, 1), Options{RefreshHint: time.Hour})
	refresh := func(since time.Time, want int64) {
		t.Helper()
		b, err := w.Refresh(t.Context(), since)
		if want == 0 && !errors.Is(err, ErrUnavailable) || want != 0 && (err != nil || b.Version() != want) {
			t.Errorf("version %v (%v), want %d", b, err, want)
		}
	}
	opened := w.clock.now()
	w.put(w.sign(versioned(t, 2)))
	refresh(opened, 1) // looked at this very moment, when it was opened
	w.clock.advance(1)
	refresh(opened, 1)
	refresh(w.clock.now(), 2)
	for n := int64(3); n < 9; n++ {
		w.put(w.sign(versioned(t, n)))
		w.clock.advance(1)
		refresh(w.clock.now(), n)
	}
	w.put([]byte("half"))
	w.clock.advance(1)
	refresh(w.clock.now(), 0)
	w.put(w.sign(versioned(t, 9)))
	w.clock.advance(minRefresh - 1)
	refresh(w.clock.now(), 0)
	w.clock.advance(1)
	refresh(w.clock.now(), 9)
	w.want(9, "")
}

// A file that was just written may change again and keep its time. Such a file is read at each look, and is
// verified only when its content is new.
func TestFileThatMayStillChangeIsReadAtEachLook(t *testing.T) {
	w := newWatched(t, versioned(t, 1), Options{})
	w.mtime = w.clock.now()
	w.put(w.sign(versioned(t, 2)))
	w.clock.advance(1)
	var b *Bundle
	for range 100 {
		next, err := w.Refresh(t.Context(), w.clock.now())
		if err != nil || next.Version() != 2 || b != nil && next != b {
			t.Fatalf("version %v, error %v", next, err)
		}
		b = next
		w.clock.advance(1)
	}
	w.put(w.sign(versioned(t, 3)))
	if err := os.Chtimes(w.path, w.mtime, w.mtime); err != nil {
		t.Fatal(err)
	}
	if b, err := w.Refresh(t.Context(), w.clock.now()); err != nil || b.Version() != 3 {
		t.Errorf("version %v, error %v", b, err)
	}
}

// A clock that goes back neither brings an old bundle back nor stops the watching.
func TestFileWithClockGoingBack(t *testing.T) {
	w := newWatched(t, versioned(t, 5), Options{RefreshHint: time.Minute})
	w.clock.set(day(0.5))
	w.put(w.sign(versioned(t, 6)))
	w.want(6, "")
	w.clock.set(day(0.25))
	w.put(w.sign(versioned(t, 5)))
	w.want(6, WhyRollback)
}

// A bundle that was refused as expired while the clock was wrong is adopted when the clock is right, although
// the file has not changed.
func TestFileRefusedByAWrongClock(t *testing.T) {
	w := newWatched(t, versioned(t, 1), Options{RefreshHint: time.Hour})
	w.clock.set(day(30))
	w.put(w.sign(versioned(t, 2)))
	w.want(1, WhyExpired)
	w.clock.set(day(2))
	w.want(2, "")
}

// However rarely the file is to be looked at, an expired bundle is not kept beside a fresh one on disk.
func TestFileIsLookedAtWhenTheBundleExpires(t *testing.T) {
	lives := func(version int64, from, to float64, hint time.Duration) *Bundle {
		b, err := NewBundle(BundleOptions{Version: version, Issued: day(from), Expires: day(to),
			RefreshHint: hint}, testKey(t, keys.Ed25519, nil))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct{ option, hint time.Duration }{
		"hint of the bundle": {0, 24 * time.Hour}, "option": {7 * 24 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatched(t, lives(1, 0, 1.5, c.hint), Options{RefreshHint: c.option})
			w.put(w.sign(lives(2, 1, 2.5, c.hint)))
			w.clock.set(day(1.5).Add(-1))
			w.want(1, "")
			w.clock.advance(1)
			w.want(2, "")
			w.clock.set(day(2.5)) // expired, and nothing fresh yet
			w.want(2, "")
			w.put(w.sign(lives(3, 2, 9, c.hint)))
			w.clock.advance(minRefresh - 1)
			w.want(2, "")
			w.clock.advance(1)
			w.want(3, "")
		})
	}
}

func TestWatchFileRefusesABadStart(t *testing.T) {
	dir, r := t.TempDir(), newRoots3(t)
	if _, err := WatchFile(filepath.Join(dir, "none"), r.roots, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := WatchFile(dir, r.roots, nil); err == nil {
		t.Error("a directory is accepted")
	}
	path := filepath.Join(dir, "b")
	if err := os.WriteFile(path, r.sign(t, versioned(t, 1), 0, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := WatchFile(path, nil, nil); err == nil {
		t.Error("no roots: accepted")
	}
	_, err := WatchFile(path, r.roots, &Options{Now: newClock(day(8)).now})
	wantWhy(t, "expired", err, WhyExpired)
	_, err = WatchFile(path, r.roots, &Options{Now: newClock(day(1)).now, MinVersion: 2})
	wantWhy(t, "too old", err, WhyRollback)
}

func TestFileIsSafeForConcurrentUse(t *testing.T) {
	w := newWatched(t, versioned(t, 1), Options{RefreshHint: time.Second})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			last := int64(0)
			for range 50 {
				b, err := w.Bundle(t.Context())
				if err != nil || b.Version() < last {
					t.Errorf("version %d after %d (%v)", b.Version(), last, err)
				}
				last = b.Version()
				_, _ = w.Refresh(t.Context(), w.clock.now())
				w.clock.advance(time.Second)
			}
		})
	}
	for n := int64(2); n < 8; n++ {
		w.put(w.sign(versioned(t, n)))
	}
	wg.Wait()
	w.clock.advance(time.Second)
	w.want(7, "")
}

func TestStaticSources(t *testing.T) {
	b := versioned(t, 1)
	if got, err := b.Bundle(t.Context()); err != nil || got != b {
		t.Error("a bundle is not its own source")
	}
	s := mustGenerate(t, keys.Ed25519)
	if got, err := keys.SignWith(s).Signers(day(0)); err != nil || len(got) != 1 || got[0] != keys.Signer(s) {
		t.Error("SignWith does not give its signer", err)
	}
	if _, err := keys.SignWith().Signers(day(0)); !errors.Is(err, keys.ErrNoSigner) {
		t.Errorf("no signers: %v", err)
	}
}

// restart watches the same file anew, as a process that starts.
func (w *watched) restart(opts Options) (*FileSource, error) {
	opts.Now = w.clock.now
	return WatchFile(w.path, w.roots.roots, &opts)
}

// A restart takes no older bundle than was seen, if there is a state file; without one it does, as
// documented.
func TestWatchFileStateStopsRollback(t *testing.T) {
	opts := Options{StateFile: filepath.Join(t.TempDir(), "state")}
	old, newer := versioned(t, 4), versioned(t, 7)
	w := newWatched(t, newer, opts)
	w.put(w.sign(old))
	if s, err := w.restart(Options{}); err != nil || s.state.Load().held.view.version != 4 {
		t.Fatalf("without a state file: %v", err)
	}
	for name, c := range map[string]struct {
		content []byte
		why     BundleWhy
	}{
		"older": {w.sign(old), WhyRollback}, "other content": {w.sign(versioned(t, 7)), WhyEquivocate},
		"damaged": {[]byte("{}"), WhyMalformed}, "the same": {w.roots.sign(t, newer, 1, 2), ""},
	} {
		w.put(c.content)
		var err error
		if w.FileSource, err = w.restart(opts); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.want(7, c.why)
	}
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	s, err := w.restart(opts)
	if err != nil || !errors.Is(s.LastError(), os.ErrNotExist) {
		t.Fatalf("no bundle: %v", err)
	}
	if _, err := s.Refresh(t.Context(), w.clock.now()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown key is judged by a bundle that is in no file: %v", err)
	}
	w.put(w.sign(versioned(t, 8)))
	if w.FileSource, err = w.restart(opts); err != nil {
		t.Fatal(err)
	}
	w.want(8, "")
	w.put(w.sign(newer))
	if w.FileSource, err = w.restart(opts); err != nil {
		t.Fatal(err)
	}
	w.want(8, WhyRollback)
	w.clock.set(day(8)) // what is remembered has expired
	if _, err := w.restart(opts); err == nil {
		t.Error("it starts with nothing good")
	}
}

// The state file has one form: what one source has seen counts for a source of another kind.
func TestWatchFileSharesState(t *testing.T) {
	s := newStateBench(t)
	s.publish(versioned(t, 9))
	s.mustStart(9)
	path := filepath.Join(t.TempDir(), "bundle")
	if err := os.WriteFile(path, s.roots.sign(t, versioned(t, 8), 0, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := WatchFile(path, s.roots.roots, &Options{Now: s.clock.now, StateFile: s.opts.StateFile})
	if err != nil {
		t.Fatal(err)
	}
	wantWhy(t, "older than fetched", w.LastError(), WhyRollback)
}

// While watching, another process can see a newer bundle first; and a state file that cannot be written keeps
// no newer bundle from being used, is told, and is tried again.
func TestWatchFileStateLater(t *testing.T) {
	opts := Options{RefreshHint: time.Second, StateFile: filepath.Join(t.TempDir(), "dir", "state")}
	if err := os.Mkdir(filepath.Dir(opts.StateFile), 0o700); err != nil {
		t.Fatal(err)
	}
	w := newWatched(t, versioned(t, 1), opts)
	dir := filepath.Dir(opts.StateFile)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	w.put(w.sign(versioned(t, 2)))
	w.clock.advance(time.Hour)
	if b, err := w.Bundle(t.Context()); err != nil || b.Version() != 2 ||
		!errors.Is(w.LastError(), os.ErrNotExist) {
		t.Fatalf("%v; last error %v", err, w.LastError())
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Hour)
	w.want(2, "")
	if h, err := recallHolding(opts.StateFile, 0, &holding{chain: chainOf(w.roots.roots)}); err != nil ||
		h.seen.version != 2 {
		t.Errorf("%+v, %v", h, err)
	}
	nine := versioned(t, 9)
	if _, err := keepHolding(t.Context(), opts.StateFile, holdingOf(w.roots.roots, nine, w.sign(nine))); err != nil {
		t.Fatal(err)
	}
	w.put(w.sign(versioned(t, 3)))
	w.clock.advance(time.Hour)
	w.want(9, WhyRollback)
}
