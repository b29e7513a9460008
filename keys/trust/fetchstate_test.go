package trust

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fixedOrigin has one bundle, or fails.
type fixedOrigin struct{ signed []byte }

var errDown = errors.New("the origin is down")

func (o *fixedOrigin) String() string { return "fixed" }
func (o *fixedOrigin) Fetch(context.Context, string) (*Fetched, error) {
	if o.signed == nil {
		return nil, errDown
	}
	return &Fetched{Body: io.NopCloser(bytes.NewReader(o.signed))}, nil
}

// stateBench starts sources on one state file.
type stateBench struct {
	*testing.T
	origin fixedOrigin
	roots  roots3
	clock  *clock
	opts   Options
}

func newStateBench(t *testing.T) *stateBench {
	s := &stateBench{T: t, roots: newRoots3(t), clock: newClock(day(1))}
	s.opts = Options{StateFile: filepath.Join(t.TempDir(), "state"), Now: s.clock.now}
	return s
}

func (s *stateBench) publish(b *Bundle) []byte {
	s.Helper()
	s.origin.signed = s.roots.sign(s, b, 0, 1)
	return s.origin.signed
}

func (s *stateBench) start() (*RemoteSource, error) {
	return FetchFrom(s.Context(), &s.origin, s.roots.roots, &s.opts)
}

func (s *stateBench) mustStart(version int64) *RemoteSource {
	s.Helper()
	source, err := s.start()
	if err != nil {
		s.Fatal(err)
	}
	b, err := source.Bundle(s.Context())
	if err != nil || b.Version() != version {
		s.Fatalf("%v, %v: not version %d", b, err, version)
	}
	return source
}

// file is what the state file holds.
func (s *stateBench) file() seen {
	s.Helper()
	h, err := recallHolding(s.opts.StateFile, 0, &holding{chain: chainOf(s.roots.roots)})
	if err != nil {
		s.Fatal(err)
	}
	return h.seen
}

// holdingOf holds a bundle that is in use without a timestamp.
func holdingOf(roots *Roots, b *Bundle, signed []byte) *holding {
	h := &holding{chain: chainOf(roots), bundle: b, seen: seenOf(b), signedBundle: signed}
	h.look()
	return h
}

func TestStateFileStopsRollback(t *testing.T) {
	s := newStateBench(t)
	old := versioned(t, 4)
	seven := versioned(t, 7)
	s.publish(seven)
	s.mustStart(7)
	if info, err := os.Stat(s.opts.StateFile); err != nil || runtime.GOOS != "windows" &&
		info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	s.publish(old)
	source := s.mustStart(7) // from the file
	wantWhy(t, "older", source.LastError(), WhyRollback)
	s.publish(versioned(t, 7))
	wantWhy(t, "other content", s.mustStart(7).LastError(), WhyEquivocate)
	s.origin.signed = s.roots.sign(t, seven, 1, 2)
	if err := s.mustStart(7).LastError(); err != nil {
		t.Errorf("the same with other signatures: %v", err)
	}
	s.publish(versioned(t, 8))
	s.mustStart(8)
	if k := s.file(); k.version != 8 {
		t.Errorf("version %d is kept", k.version)
	}
}

func TestStateFileSurvivesAnOutage(t *testing.T) {
	s := newStateBench(t)
	if _, err := s.start(); !errors.Is(err, errDown) || !errors.Is(err, ErrUnavailable) {
		t.Fatalf("nothing at hand: %v", err)
	}
	s.publish(versioned(t, 2))
	s.mustStart(2)
	s.origin.signed = nil
	source := s.mustStart(2)
	if !errors.Is(source.LastError(), errDown) || !source.Checked().IsZero() {
		t.Errorf("last error %v, checked %s", source.LastError(), source.Checked())
	}
	if _, err := source.Refresh(t.Context(), s.clock.now()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown key is judged by a bundle that nobody checked: %v", err)
	}
	s.clock.set(day(7)) // expired
	if _, err := s.start(); !errors.Is(err, errDown) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("an expired bundle: %v", err)
	}
	wantWhy(t, "expired", func() error { _, err := s.start(); return err }(), WhyExpired)
	s.clock.set(day(2))
	s.opts.MinVersion = 3
	if _, err := s.start(); !errors.Is(err, errDown) {
		t.Errorf("below MinVersion: %v", err)
	}
}

// A state file of the first format does not know its roots: what other ones signed is not used, but its
// version counts.
func TestStateFileOfOtherRoots(t *testing.T) {
	s := newStateBench(t)
	five := versioned(t, 5)
	old := &kept{seen: seenOf(five), signed: s.roots.sign(t, five, 0, 1)}
	if err := os.WriteFile(s.opts.StateFile, old.append(nil), 0o600); err != nil {
		t.Fatal(err)
	}
	s.mustStart(5)
	s.roots = newRoots3(t)
	if _, err := s.start(); !errors.Is(err, errDown) {
		t.Errorf("the bundle of other roots is used: %v", err)
	}
	s.publish(versioned(t, 4))
	_, err := s.start()
	wantWhy(t, "older", err, WhyRollback)
	s.publish(versioned(t, 6))
	s.mustStart(6)
	s.origin.signed = nil
	s.mustStart(6)
}

func TestDamagedStateFile(t *testing.T) {
	s := newStateBench(t)
	five := versioned(t, 5)
	s.publish(five)
	good := (&kept{seen: seenOf(five), signed: s.origin.signed}).append(nil)
	if err := os.WriteFile(s.opts.StateFile, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s.mustStart(5)
	head, signed, _ := bytes.Cut(good, []byte("\n"))
	other := s.roots.sign(t, versioned(t, 6), 0, 1)
	relabelled := bytes.Replace(good, []byte(`"version":5`), []byte(`"version":4`), 1)
	for name, content := range map[string][]byte{
		"empty": {}, "text": []byte("hello"), "head alone": head,
		"head and newline": append(bytes.Clone(head), '\n'), "bundle alone": signed,
		"cut off": good[:len(good)-1], "longer": append(bytes.Clone(good), "{}"...),
		"another bundle": append(append(bytes.Clone(head), '\n'), other...),
		"spaced head":    bytes.Replace(good, []byte(`,"version"`), []byte(`, "version"`), 1),
		"lower version":  relabelled,
		"version 0":      bytes.Replace(good, []byte(`"version":5`), []byte(`"version":0`), 1),
		"unknown member": bytes.Replace(good, []byte(`"version":5`), []byte(`"version":5,"x":1`), 1),
		"another format": bytes.Replace(good, []byte("/v1"), []byte("/v2"), 1),
		"long head":      append(bytes.Repeat([]byte(" "), 300), good...),
	} {
		if bytes.Equal(content, good) {
			t.Fatalf("%s: nothing is changed", name)
		}
		if err := os.WriteFile(s.opts.StateFile, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.start(); err == nil || !strings.Contains(err.Error(), s.opts.StateFile) ||
			!strings.Contains(err.Error(), "remove") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStateFileThatCannotBeUsed(t *testing.T) {
	s := newStateBench(t)
	s.publish(versioned(t, 1))
	for name, path := range map[string]string{"no directory": filepath.Join(t.TempDir(), "none", "state"),
		"a directory": t.TempDir()} {
		s.opts.StateFile = path
		if _, err := s.start(); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Newer is safer, remembered or not: a state file that can no longer be written keeps no bundle from being
// used, is told by LastError, and is written when that is possible again.
func TestStateFileThatFailsLater(t *testing.T) {
	s := newStateBench(t)
	dir := filepath.Dir(s.opts.StateFile)
	s.publish(versioned(t, 1))
	source := s.mustStart(1)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	s.publish(versioned(t, 2))
	s.clock.advance(time.Hour)
	if b, err := source.Bundle(t.Context()); err != nil || b.Version() != 2 ||
		!errors.Is(source.LastError(), fs.ErrNotExist) {
		t.Fatalf("%v, %v; last error %v", b, err, source.LastError())
	}
	if _, err := source.Refresh(t.Context(), s.clock.now()); err != nil {
		t.Errorf("the origin was asked, and yet: %v", err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	s.clock.advance(time.Hour)
	if _, err := source.Bundle(t.Context()); err != nil || source.LastError() != nil ||
		s.file().version != 2 {
		t.Errorf("%v; last error %v; version %d is kept", err, source.LastError(), s.file().version)
	}
}

// A version that another process has seen counts for this one, which goes on with it.
func TestStateFileIsShared(t *testing.T) {
	s := newStateBench(t)
	s.publish(versioned(t, 1))
	one := s.mustStart(1)
	s.publish(versioned(t, 9))
	s.mustStart(9)
	s.publish(versioned(t, 3)) // newer than what the first knows
	s.clock.advance(time.Hour)
	if b, err := one.Bundle(t.Context()); err != nil || b.Version() != 9 {
		t.Errorf("%v, %v", b, err)
	}
	wantWhy(t, "older than another process's", one.LastError(), WhyRollback)
}

// In a directory that others can write to, a link would make the program read or write another file: the
// state file and its lock follow none, whether or not there is something behind it, and wait for no pipe.
func TestStateFileFollowsNoLink(t *testing.T) {
	for _, suffix := range []string{"", ".lock"} {
		for _, behind := range []bool{true, false} {
			s := newStateBench(t)
			s.publish(versioned(t, 1))
			target := filepath.Join(t.TempDir(), "target")
			if behind && suffix == "" {
				s.mustStart(1)
				if err := os.Rename(s.opts.StateFile, target); err != nil {
					t.Fatal(err)
				}
			} else if behind {
				if err := os.WriteFile(target, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(target, s.opts.StateFile+suffix); err != nil {
				if runtime.GOOS == "windows" {
					t.Skip("links need a privilege there")
				}
				t.Fatal(err)
			}
			s.publish(versioned(t, 2))
			if _, err := s.start(); err == nil || !strings.Contains(err.Error(), "symbolic link") ||
				errors.Is(err, ErrUnavailable) {
				t.Errorf("%q, something behind it %v: %v", suffix, behind, err)
			}
			path := filepath.Join(t.TempDir(), "bundle")
			if err := os.WriteFile(path, s.origin.signed, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := WatchFile(path, s.roots.roots,
				&Options{Now: s.clock.now, StateFile: s.opts.StateFile}); err == nil ||
				!strings.Contains(err.Error(), "symbolic link") {
				t.Errorf("WatchFile: %q, something behind it %v: %v", suffix, behind, err)
			}
			if _, err := os.Lstat(target); !behind && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q: a file was made behind the link", suffix)
			}
		}
	}
}

// A file that is being written stands beside the state file for a moment: a link of that name is removed, not
// followed.
func TestStateFileBesideALink(t *testing.T) {
	s := newStateBench(t)
	s.publish(versioned(t, 1))
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, s.opts.StateFile+".new"); err != nil {
		if runtime.GOOS == "windows" {
			t.Skip("links need a privilege there")
		}
		t.Fatal(err)
	}
	s.mustStart(1)
	if content, err := os.ReadFile(target); err != nil || string(content) != "precious" {
		t.Errorf("%q, %v", content, err)
	}
}

// writeVersions keeps the bundles of a directory, which are named by their versions, one after the other.
func writeVersions(ctx context.Context, dir string) error {
	doc, err := os.ReadFile(filepath.Join(dir, "roots"))
	if err != nil {
		return err
	}
	roots, err := ParseRoots(doc)
	if err != nil {
		return err
	}
	for v := 1; v <= stateVersions; v++ {
		signed, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(v)))
		if err != nil {
			return err
		}
		b, err := openAnyTime(signed, roots)
		if err != nil {
			return err
		}
		if _, err := keepHolding(ctx, filepath.Join(dir, "state"), holdingOf(roots, b, signed)); err != nil {
			return err
		}
	}
	return nil
}

const (
	stateVersions = 30
	stateWriter   = "SEALBUS_TEST_STATE_DIR" // set in the processes that TestStateFileNeverGoesBack starts
)

// Many writers of one file, in this process and in others: what is read meanwhile never goes back, is never
// half written, and in the end is the highest.
func TestStateFileNeverGoesBack(t *testing.T) {
	if dir := os.Getenv(stateWriter); dir != "" {
		if err := writeVersions(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir, r := t.TempDir(), newRoots3(t)
	path := filepath.Join(dir, "state")
	err := os.WriteFile(filepath.Join(dir, "roots"), r.roots.Payload(), 0o600)
	for v := 1; v <= stateVersions && err == nil; v++ {
		err = os.WriteFile(filepath.Join(dir, strconv.Itoa(v)), r.sign(t, versioned(t, int64(v)), 0, 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := writeVersions(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStateFileNeverGoesBack$")
			cmd.Env = append(os.Environ(), stateWriter+"="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	last := int64(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		h, err := recallHolding(path, 0, &holding{chain: chainOf(r.roots)})
		if err != nil {
			t.Error(err)
			break
		}
		if h.seen.version < last {
			t.Errorf("version %d after %d", h.seen.version, last)
		}
		last = h.seen.version
	}
	<-done
	if last != stateVersions {
		t.Errorf("version %d in the end", last)
	}
}

// The lock of a process that holds it for too long ends the wait, not the process.
func TestStateFileLocked(t *testing.T) {
	s := newStateBench(t)
	unlock, err := tryLock(s.opts.StateFile + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	s.publish(versioned(t, 1))
	s.opts.Timeout = 50 * time.Millisecond
	if _, err := s.start(); !errors.Is(err, errLocked) {
		t.Errorf("locked: %v", err)
	}
	unlock()
	s.opts.Timeout = 0
	s.mustStart(1)
}

// stateOf is a state of the first format whose head fits its bundle, but for the version, which is verified
// apart.
func stateOf(version int64, signed []byte) *kept {
	e, err := parseSigned(signed)
	if err != nil {
		panic(err)
	}
	b, err := ParseBundle(e.Payload)
	if err != nil {
		panic(err)
	}
	is := seenOf(b)
	is.version = version
	return &kept{seen: is, signed: signed}
}

// FuzzState: what parses is written back byte for byte, and has a head that fits.
func FuzzState(f *testing.F) {
	r := newRoots3(f)
	for v := range int64(3) {
		signed := r.sign(f, versioned(f, v+1), 0, 1)
		f.Add(stateOf(v+1, signed).append(nil))
		f.Add(signed)
	}
	f.Add([]byte(`{"format":"` + stateFormat + `","payload":"` + strings.Repeat("A", 43) + `","version":1}` +
		"\n{}"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		k, err := parseState(doc)
		if err != nil {
			return
		}
		if again := k.append(nil); !bytes.Equal(again, doc) {
			t.Errorf("%q is written back as %q", doc, again)
		}
		if k.version < 1 || k.version > maxBundleVersion ||
			!bytes.Contains(doc, []byte(`"version":`+strconv.FormatInt(k.version, 10))) {
			t.Errorf("version %d of %q", k.version, doc)
		}
	})
}
