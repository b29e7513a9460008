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
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/privatefile"
)

const (
	// defaultRefresh is how often a source looks when neither its reader nor the bundle says.
	defaultRefresh = keydoc.DefaultRefresh
	// minRefresh is the least time between two looks while the file is at fault, or has expired.
	minRefresh = time.Second
	// lockPatience is how long a look at the file waits for another process that writes the state file. Writing
	// it takes little time, because the file is small.
	lockPatience = 2 * time.Second
	// mtimeGrain is how coarse the times of a file system may be. A file that was changed so shortly before it
	// was read may change again and keep its time.
	mtimeGrain = 2 * time.Second
)

// FileSource is a Source that follows a file. It has no goroutine: when it is used, it decides by the clock
// whether to look at the file. It is safe for concurrent use.
type FileSource struct {
	path  string
	roots *Roots
	opts  Options
	now   func() time.Time

	mu    sync.Mutex // held while looking at the file
	state atomic.Pointer[fileState]
}

var _ Refresher = (*FileSource)(nil)

// fileState is immutable.
type fileState struct {
	bundle  *Bundle // the last good one
	seen    seen
	info    os.FileInfo // of the file that was read last, good or not
	settled bool        // info shows every later change of the file
	read    [32]byte    // SHA-256 of the file that was good last
	checked time.Time   // when the file was looked at last
	err     error       // what was wrong then

	unkept []byte // what is still to be written to the state file
	kept   error  // why it could not be

	held *holding // nil = the roots name no timestamp keys; otherwise bundle is its view, and info is not used
}

// WatchFile reads a signed bundle and follows its file. It reads the file again when its time, size or
// identity has changed. It keeps the last good bundle when a new one is refused, and never goes back to a
// lower version or to another content of the same version. It fails if the file has no good bundle, unless
// opts.StateFile has one that is still good. Then that bundle is used, and LastError has the fault of the
// file.
//
// Where the roots name timestamp keys, it also follows the file timestamp.dsse beside the bundle. The bundle
// may then be in bundles/ beside it instead, under the SHA-256 of its payload in hexadecimal.
//
// The file is always looked at when the bundle expires, and then once a second until it has a newer bundle.
// After a look that found a fault, the next one follows within a minute. The state file is another file than
// the bundle, and neither it nor its lock may be a symbolic link.
func WatchFile(path string, roots *Roots, opts *Options) (*FileSource, error) {
	if opts == nil {
		opts = &Options{}
	}
	switch {
	case roots == nil:
		return nil, errors.New("trust: no roots to verify the bundle with")
	case opts.MinInterval != 0 || opts.Timeout != 0 || opts.Client != nil || opts.UnsafeAllowHTTP:
		return nil, errors.New("trust: MinInterval, Timeout, Client and UnsafeAllowHTTP are not for a file")
	case opts.Timestamp != nil || opts.UnsafeNoTimestamp:
		return nil, errors.New("trust: Timestamp and UnsafeNoTimestamp are for OpenBundle only")
	}
	f := &FileSource{path: path, roots: roots, opts: *opts, now: clockOr(opts.Now)}
	first := &fileState{}
	var err error
	if roots.needTimestamps() {
		if first.held, err = recallHolding(opts.StateFile, roots, opts.MinVersion, &holding{}); err != nil {
			return nil, fmt.Errorf("trust: %w", err)
		}
	} else if first.bundle, first.seen, err = recall(opts.StateFile, roots, opts.MinVersion); err != nil {
		return nil, err
	}
	state := f.look(first, f.now())
	switch {
	case state.kept != nil: // better reported at the start than found at the first restart
		return nil, fmt.Errorf("trust: %w", state.kept)
	case state.held != nil && !state.held.isAlive(f.now()):
		return nil, state.held.deadBecause(roots, state.err)
	case state.held == nil && state.err != nil && (state.bundle == nil || !f.now().Before(state.bundle.expires)):
		return nil, state.err
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
	if s.held != nil && !s.held.isAlive(f.now()) {
		return nil, fmt.Errorf("trust: %s: %w: %w", f.path, ErrUnavailable,
			s.held.deadBecause(f.roots, s.err))
	}
	return s.bundle, nil
}

// Refresh looks at the file, unless it looked since then. A look at a file that did not change costs little,
// so their number has no limit while the file is good. While it is at fault, Refresh looks once a second, and
// the error is ErrUnavailable.
func (f *FileSource) Refresh(_ context.Context, since time.Time) (*Bundle, error) {
	if now := f.now(); since.After(now) {
		since = now
	}
	state := f.lookIf(func(s *fileState, now time.Time) bool {
		return !isCheckedSince(s.checked, since, now) && (s.err == nil || due(s, now, minRefresh))
	})
	if state.err != nil {
		return nil, fmt.Errorf("trust: %s: %w: %w", f.path, ErrUnavailable, state.err)
	}
	if now := f.now(); !isCheckedSince(state.checked, since, now) {
		return nil, fmt.Errorf("trust: %s: %w: the clock was set back", f.path, ErrUnavailable)
	}
	return f.usable(state)
}

// LastError is the fault of the file, or of writing the state file, at the last look; nil = none.
func (f *FileSource) LastError() error {
	state := f.state.Load()
	return errors.Join(state.err, state.kept)
}

// interval is the refresh hint, and not longer than until the bundle expires. After a failure it is short,
// because the file may have been read while it was written.
func (f *FileSource) interval(s *fileState) time.Duration {
	if s.bundle == nil { // only with timestamps
		return minRefresh
	}
	hint := cmp.Or(max(f.opts.RefreshHint, 0), s.bundle.refreshHint, defaultRefresh)
	if s.err != nil || s.kept != nil {
		hint = min(hint, defaultRefresh)
	}
	return min(hint, max(s.bundle.expires.Sub(s.checked), minRefresh))
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
	return since(s.checked, now, interval)
}

// look is the state after a look at the file.
func (f *FileSource) look(was *fileState, now time.Time) *fileState {
	next := *was
	next.checked = now
	if was.held != nil {
		next.err = f.lookAtTimestamp(&next, now)
		return &next
	}
	if next.unkept != nil { // what could not be written before
		if err := f.keep(&next, next.seen, next.unkept); err != nil {
			next.kept, next.unkept = err, nil // another process has seen a newer one
		}
	}
	info, err := os.Stat(f.path)
	if err != nil {
		next.err = fmt.Errorf("trust: %w", err)
		next.info = nil // so that the file is read when it comes back
		return &next
	}
	if was.settled && was.info != nil && sameFile(was.info, info) {
		return &next
	}
	signed, info, err := privatefile.ReadBounded(f.path, keydoc.MaxSigned)
	if err != nil {
		next.err, next.info = err, nil
		return &next
	}
	next.info = info
	next.settled = now.Sub(info.ModTime()) >= mtimeGrain
	sum := sha256.Sum256(signed)
	if next.err == nil && sum == next.read {
		return &next // verifying it costs much more than reading it
	}
	if next.err = f.adopt(&next, signed, now); next.err == nil {
		next.read = sum
	}
	if isExpired(next.err) {
		next.info = nil // so that the same file is read again, in case the clock was wrong and is corrected
	}
	return &next
}

// lookAtTimestamp is the look where the roots name timestamp keys. It reads the bundle only if the timestamp
// names another one.
func (f *FileSource) lookAtTimestamp(s *fileState, now time.Time) error {
	dir := filepath.Dir(f.path)
	signed, _, err := privatefile.ReadBounded(filepath.Join(dir, keydoc.TimestampFile), keydoc.MaxTimestamp)
	if err != nil {
		return err
	}
	h, err := s.held.holdSigned(f.roots, signed, f.opts.MinVersion, now)
	isHeld := err == nil // otherwise at most its revocations count
	if isHeld {
		h, err = h.useNamed(f.roots, now, func(name string) ([]byte, error) {
			signed, _, err := privatefile.ReadBounded(filepath.Join(dir, filepath.FromSlash(name)), keydoc.MaxSigned)
			if errors.Is(err, fs.ErrNotExist) {
				signed, _, err = privatefile.ReadBounded(f.path, keydoc.MaxSigned)
			}
			return signed, err
		})
	}
	if h != s.held || s.kept != nil {
		ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
		defer cancel()
		kept, unkept := keepHolding(ctx, f.opts.StateFile, f.roots, h)
		if isRefusal(unkept) { // the revocations count all the same
			s.held, s.kept = s.held.withhold(h.revoked), nil
			s.bundle = s.held.view
			return errors.Join(err, unkept)
		}
		h, s.kept = kept, unkept
	}
	s.held, s.bundle = h, h.view
	if isHeld && h.isCurrent(f.roots) { // perhaps another process had the bundle
		return nil
	}
	return err
}

func isExpired(err error) bool {
	var e *BundleError
	return errors.As(err, &e) && e.Why == WhyExpired
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// adopt stores the signed bundle in s, unless it is refused or goes back.
func (f *FileSource) adopt(s *fileState, signed []byte, now time.Time) error {
	b, err := OpenBundle(signed, f.roots, &Options{
		Now: func() time.Time { return now }, MinVersion: f.opts.MinVersion,
	})
	if err != nil {
		return err
	}
	is := seenOf(b)
	if err := s.seen.follows(is); err != nil {
		return err
	}
	if s.bundle != nil && is == s.seen {
		return nil // the same, perhaps with other signatures
	}
	if err := f.keep(s, is, signed); err != nil {
		return err
	}
	s.bundle, s.seen = b, is
	return nil
}

// keep stores the bundle in the state file. It refuses a bundle that is older than the stored one, which
// another process may have written. A newer bundle is used even if the state file cannot be written, because
// it is safer than the old one. Writing is then tried again.
func (f *FileSource) keep(s *fileState, is seen, signed []byte) error {
	if f.opts.StateFile == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	err := keepState(ctx, f.opts.StateFile, f.roots, &kept{seen: is, signed: signed})
	if isRefusal(err) {
		return err
	}
	s.kept, s.unkept = err, nil
	if err != nil {
		s.unkept = signed
	}
	return nil
}
