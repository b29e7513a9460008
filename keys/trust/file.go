package trust

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sealbus/sealbus/internal/fetch"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/privatefile"
)

const (
	// defaultRefresh is how often a source looks when neither its reader nor the bundle says.
	defaultRefresh = keydoc.DefaultRefresh
	// minRefresh is the least time between two looks while the file is at fault, or has expired.
	minRefresh = time.Second
	// lockPatience is how long a look at the file waits for another process that writes the state file.
	// Writing it takes little time, because the file is small.
	lockPatience = 2 * time.Second
	// mtimeGrain is how coarse the times of a file system may be. A file that was changed so shortly before
	// it was read may change again and keep its time.
	mtimeGrain = 2 * time.Second
)

// FileSource is a Source that follows a file. It has no goroutine: when it is used, it decides by the clock
// whether to look at the file. It is safe for concurrent use.
type FileSource struct {
	path string
	opts Options
	now  func() time.Time

	mu    sync.Mutex // held while looking at the file
	state atomic.Pointer[fileState]
}

var _ Refresher = (*FileSource)(nil)

// fileState is immutable.
type fileState struct {
	memory
	info     os.FileInfo // of the bundle that was read last, good or not; not used with timestamps
	settled  bool        // info shows every later change of the file
	read     [32]byte    // SHA-256 of the bundle that was good last
	checked  time.Time   // when the files were looked at last
	rootsErr error       // what was wrong with the roots that follow then
	err      error       // what was wrong with the bundle or its timestamp
}

// fault is what was wrong at the last look.
func (s *fileState) fault() error { return joined(s.rootsErr, s.err) }

// WatchFile reads a signed bundle and follows its file. It reads the file again when its time, size or
// identity has changed. It keeps the last good bundle when a new one is refused, and never goes back to a
// lower version or to another content of the same version. It fails if the file has no good bundle, unless
// opts.StateFile has one that is still good. Then that bundle is used, and LastError has the fault of the
// file.
//
// Where the roots name timestamp keys, it also follows the file timestamp.dsse beside the bundle. The bundle
// may then be in bundles/ beside it instead, under the SHA-256 of its payload in hexadecimal. It follows the
// roots in roots/ beside the bundle as FetchBundle does.
//
// The file is always looked at when the bundle expires, and then once a second until it has a newer bundle.
// After a look that found a fault, the next one follows within a minute. The state file is another file than
// the bundle, and neither it nor its lock may be a symbolic link.
func WatchFile(path string, roots *Roots, opts *Options) (*FileSource, error) {
	if opts == nil {
		opts = &Options{}
	}
	switch {
	case path == "":
		return nil, errors.New("trust: no path of the bundle: name its file")
	case roots == nil:
		return nil, errors.New("trust: no roots to verify the bundle with: ParseRoots reads the roots file")
	case opts.MinInterval != 0 || opts.Timeout != 0 || opts.Client != nil || opts.UnsafeAllowHTTP:
		return nil, errors.New("trust: MinInterval, Timeout, Client and UnsafeAllowHTTP are not for a file")
	case opts.Timestamp != nil || opts.UnsafeNoTimestamp:
		return nil, errors.New("trust: Timestamp and UnsafeNoTimestamp are for OpenBundle only")
	}
	f := &FileSource{path: path, opts: *opts, now: clockOr(opts.Now)}
	remembered, err := startMemory(roots, opts, true)
	if err != nil {
		return nil, err
	}
	state := f.look(&fileState{memory: remembered}, f.now())
	switch {
	case state.kept != nil: // better reported at the start than found at the first restart
		return nil, fmt.Errorf("trust: %w", state.kept)
	case state.held.roots.needTimestamps() && !state.held.isAlive(f.now()):
		return nil, state.held.deadBecause(state.fault())
	case state.fault() != nil && !state.held.isAlive(f.now()):
		return nil, state.fault()
	}
	f.state.Store(state)
	return f, nil
}

// Bundle is the last good bundle. It looks at the file first, if the last look is longer ago than the refresh
// hint. The caller checks the expiry of the bundle. LastError has the fault of the file. The error is
// ErrUnavailable if the roots name timestamp keys, and there is no live timestamp for any bundle.
func (f *FileSource) Bundle(context.Context) (*Bundle, error) {
	return f.usable(f.lookIf(func(s *fileState, now time.Time) bool { return due(s, now, f.interval(s)) }))
}

// usable is the bundle of the state. With timestamps, the caller's clock alone cannot tell that it has
// expired.
func (f *FileSource) usable(s *fileState) (*Bundle, error) {
	if s.held.view == nil || s.held.roots.needTimestamps() && !s.held.isAlive(f.now()) {
		return nil, fmt.Errorf("trust: %s: %w: %w", f.path, ErrUnavailable, s.held.deadBecause(s.fault()))
	}
	return s.held.view, nil
}

// Refresh looks at the file, unless it looked since then. A look at a file that did not change costs little,
// so their number has no limit while the file is good. While it is at fault, Refresh looks once a second, and
// the error is ErrUnavailable.
func (f *FileSource) Refresh(_ context.Context, since time.Time) (*Bundle, error) {
	if now := f.now(); since.After(now) {
		since = now
	}
	state := f.lookIf(func(s *fileState, now time.Time) bool {
		return !isCheckedSince(s.checked, since, now) && (s.fault() == nil || due(s, now, minRefresh))
	})
	if err := state.fault(); err != nil {
		return nil, fmt.Errorf("trust: %s: %w: %w", f.path, ErrUnavailable, err)
	}
	if now := f.now(); !isCheckedSince(state.checked, since, now) {
		return nil, fmt.Errorf("trust: %s: %w: the clock was set back", f.path, ErrUnavailable)
	}
	return f.usable(state)
}

// LastError is the fault of the file, or of writing the state file, at the last look; nil = none.
func (f *FileSource) LastError() error {
	state := f.state.Load()
	return errors.Join(state.fault(), state.kept)
}

// interval is the refresh hint, and not longer than until the bundle expires. After a failure it is short,
// because the file may have been read while it was written.
func (f *FileSource) interval(s *fileState) time.Duration {
	if s.held.view == nil {
		return minRefresh
	}
	hint := cmp.Or(max(f.opts.RefreshHint, 0), s.held.view.refreshHint, defaultRefresh)
	if s.fault() != nil || s.kept != nil {
		hint = min(hint, defaultRefresh)
	}
	return min(hint, max(s.held.view.expires.Sub(s.checked), minRefresh))
}

// lookIf looks at the file if that is due.
func (f *FileSource) lookIf(isDue func(s *fileState, now time.Time) bool) *fileState {
	state := f.state.Load()
	if !isDue(state, f.now()) {
		return state
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	state = f.state.Load() // another caller may have looked meanwhile
	if now := f.now(); isDue(state, now) {
		state = f.look(state, now)
		f.state.Store(state)
	}
	return state
}

// due also returns true when the clock was set back. Until the clock catches up, it might take years.
func due(s *fileState, now time.Time, interval time.Duration) bool {
	return fetch.Since(s.checked, now, interval)
}

// look is the state after a look at the files.
func (f *FileSource) look(was *fileState, now time.Time) *fileState {
	next := *was
	next.checked = now
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	j := &judging{stateFile: f.opts.StateFile, minVersion: f.opts.MinVersion, now: func() time.Time { return now },
		read: f.read}
	next.rootsErr = next.followRoots(ctx, j)
	if next.held.roots != was.held.roots {
		next.info, next.read = nil, [32]byte{} // so that the same bundle is judged once more
	}
	if next.held.roots.needTimestamps() {
		next.info = nil
		next.err = f.lookAtTimestamp(ctx, &next, j)
	} else {
		f.lookAtBundle(ctx, &next, j)
	}
	return &next
}

// read is the reader of the files beside the bundle, which may also be at its own path.
func (f *FileSource) read(name string, most int64) ([]byte, error) {
	doc, _, err := privatefile.ReadBounded(filepath.Join(filepath.Dir(f.path), filepath.FromSlash(name)), most)
	isMissing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	switch {
	case isMissing && strings.HasPrefix(name, keydoc.BundlesDir):
		doc, _, err = privatefile.ReadBounded(f.path, most)
	case isMissing && strings.HasPrefix(name, keydoc.RootsDir):
		return nil, ErrNotFound
	}
	return doc, err
}

func (f *FileSource) lookAtTimestamp(ctx context.Context, s *fileState, j *judging) error {
	signed, err := f.read(keydoc.TimestampFile, keydoc.MaxTimestamp)
	if err != nil {
		return err
	}
	return s.takeTimestamp(ctx, j, signed)
}

// lookAtBundle reads the bundle if its file has changed.
func (f *FileSource) lookAtBundle(ctx context.Context, s *fileState, j *judging) {
	if s.kept != nil { // what could not be written before
		if err := s.take(ctx, j, s.held); err != nil {
			s.kept = err // another process has another history
		}
	}
	info, err := os.Stat(f.path)
	if err != nil {
		s.err = fmt.Errorf("trust: %w", err)
		s.info = nil // so that the file is read when it comes back
		return
	}
	if s.settled && s.info != nil && sameFile(s.info, info) {
		return
	}
	signed, info, err := privatefile.ReadBounded(f.path, keydoc.MaxSigned)
	if err != nil {
		s.err, s.info = err, nil
		return
	}
	s.info = info
	s.settled = j.now().Sub(info.ModTime()) >= mtimeGrain
	sum := sha256.Sum256(signed)
	if s.err == nil && sum == s.read {
		return // verifying it costs much more than reading it
	}
	if s.err = s.takeBundle(ctx, j, signed); s.err == nil {
		s.read = sum
	}
	if isExpired(s.err) {
		s.info = nil // so that the same file is read again, in case the clock was wrong and is corrected
	}
}

func isExpired(err error) bool {
	var e *BundleError
	return errors.As(err, &e) && e.Why == WhyExpired
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
