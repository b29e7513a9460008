package trust

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/internal/privatefile"
)

const (
	// defaultRefresh is how often a watched file is looked at when neither its reader nor the bundle says.
	defaultRefresh = time.Minute
	// minRefresh bounds how often unknown key IDs, which anybody can invent, cause a look at the file.
	minRefresh = time.Second
	// lockPatience is how long a look at the file waits for another process that writes the state file: it is
	// small.
	lockPatience = 2 * time.Second
	// mtimeGrain is how coarse a file system's times may be: a file changed this shortly before it was read
	// may change again without a new time.
	mtimeGrain = 2 * time.Second
)

// FileOptions says how WatchFile judges. The zero value is the strict one.
type FileOptions struct {
	Now        func() time.Time // nil = time.Now
	MinVersion int64            // refuse lower versions; 0 = accept every version
	// RefreshHint is how often the file is looked at, at most; 0 = as the bundle says, else one minute. The
	// file is looked at when the bundle expires in any case, and from then on once a second until there is a
	// fresh one; and one minute after a look that found something wrong.
	RefreshHint time.Duration
	// StateFile keeps the newest bundle that was seen, as FetchOptions.StateFile does and in the same form: an
	// older one is refused from then on, after a restart too, and a start survives a bundle file that is
	// missing, refused or older. It is another file than the bundle, in a directory that only the program can
	// write to, with its lock (.lock) beside it; neither may be a symbolic link. "" = in memory only: a program
	// that starts takes an older bundle that has not expired, if that is what the file holds, and with it a key
	// that was revoked since.
	StateFile string
}

// FileSource is a Source that follows a file. It has no goroutine: whether to look at the file is decided
// when it is used, by the clock. It is safe for concurrent use.
type FileSource struct {
	path  string
	roots *Roots
	opts  FileOptions
	now   func() time.Time

	mu    sync.Mutex // held while looking at the file
	state atomic.Pointer[fileState]
}

var _ Refresher = (*FileSource)(nil)

// fileState is immutable.
type fileState struct {
	bundle  *Bundle // the last good one
	seen    seen
	info    os.FileInfo // of the content that was read last, good or not
	settled bool        // info tells any later change
	checked time.Time   // when the file was looked at last
	err     error       // what was wrong then

	unkept []byte // what is still to be written to the state file
	kept   error  // why it could not be
}

// WatchFile reads a signed bundle and follows the file from then on: it reads it again when the time, size or
// identity of the file has changed, keeps the last good bundle when the new one is refused, and never goes
// back to a lower version, nor to another content of the same version. It fails if there is no good bundle in
// the file, unless opts.StateFile has one that still is good: then that is used, and LastError tells why.
func WatchFile(path string, roots *Roots, opts *FileOptions) (*FileSource, error) {
	if opts == nil {
		opts = &FileOptions{}
	}
	if roots == nil {
		return nil, errors.New("trust: no roots to verify the bundle with")
	}
	f := &FileSource{path: path, roots: roots, opts: *opts, now: clockOr(opts.Now)}
	first := &fileState{}
	var err error
	if first.bundle, first.seen, err = recall(opts.StateFile, roots, opts.MinVersion); err != nil {
		return nil, err
	}
	state := f.look(first, f.now())
	switch {
	case state.kept != nil: // better found out at the start than at the first restart
		return nil, fmt.Errorf("trust: %w", state.kept)
	case state.err != nil && (state.bundle == nil || !f.now().Before(state.bundle.expires)):
		return nil, state.err
	}
	f.state.Store(state)
	return f, nil
}

// Bundle is the last good bundle, after a look at the file if the last one is longer ago than the refresh
// hint. A caller judges its expiry. LastError tells what is wrong with the file.
func (f *FileSource) Bundle(context.Context) (*Bundle, error) {
	return f.lookAfter(f.interval).bundle, nil
}

// Refresh looks at the file, but at most once a second. The error is ErrUnavailable if it cannot be read or
// is refused: then it is not known whether the key is unknown.
func (f *FileSource) Refresh(context.Context, string) (*Bundle, error) {
	state := f.lookAfter(func(*fileState) time.Duration { return minRefresh })
	if state.err != nil {
		return nil, fmt.Errorf("trust: %s: %w: %w", f.path, ErrUnavailable, state.err)
	}
	return state.bundle, nil
}

// LastError is what was wrong with the file, or with writing the state file, at the last look; nil = nothing.
func (f *FileSource) LastError() error {
	state := f.state.Load()
	return errors.Join(state.err, state.kept)
}

// interval is the refresh hint, cut at the expiry of the bundle: with an expired one, nothing is judged any
// more. After a failure it is short: the file may have been caught while it was written.
func (f *FileSource) interval(s *fileState) time.Duration {
	hint := cmp.Or(max(f.opts.RefreshHint, 0), s.bundle.refreshHint, defaultRefresh)
	if s.err != nil || s.kept != nil {
		hint = min(hint, defaultRefresh)
	}
	return min(hint, max(s.bundle.expires.Sub(s.checked), minRefresh))
}

// lookAfter looks at the file if the last look is at least the interval ago.
func (f *FileSource) lookAfter(interval func(*fileState) time.Duration) *fileState {
	state := f.state.Load()
	if !due(state, f.now(), interval(state)) {
		return state
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	state = f.state.Load() // another caller may have looked meanwhile
	if now := f.now(); due(state, now, interval(state)) {
		state = f.look(state, now)
		f.state.Store(state)
	}
	return state
}

// due is true of a clock that was set back, too: waiting for it to catch up could take for ever.
func due(s *fileState, now time.Time, interval time.Duration) bool {
	return since(s.checked, now, interval)
}

// look is the state after a look at the file.
func (f *FileSource) look(was *fileState, now time.Time) *fileState {
	next := *was
	next.checked = now
	if next.unkept != nil { // what could not be written before
		if err := f.keep(&next, next.seen, next.unkept); err != nil {
			next.kept, next.unkept = err, nil // another process has seen a newer one
		}
	}
	info, err := os.Stat(f.path)
	if err != nil {
		next.err = fmt.Errorf("trust: %w", err)
		next.info = nil // whatever comes back is read
		return &next
	}
	if was.settled && was.info != nil && sameFile(was.info, info) {
		return &next
	}
	signed, info, err := privatefile.ReadBounded(f.path, MaxSigned)
	if err != nil {
		next.err, next.info = err, nil
		return &next
	}
	next.info = info
	next.settled = now.Sub(info.ModTime()) >= mtimeGrain
	next.err = f.adopt(&next, signed, now)
	if isExpired(next.err) {
		next.info = nil // by this clock, which may be set right: the same file is read again
	}
	return &next
}

func isExpired(err error) bool {
	var e *BundleError
	return errors.As(err, &e) && e.Why == WhyExpired
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// adopt makes the signed bundle the state's, unless it is refused or goes back.
func (f *FileSource) adopt(s *fileState, signed []byte, now time.Time) error {
	b, err := OpenBundle(signed, f.roots, &OpenBundleOptions{
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

// keep makes the state file remember the bundle. It refuses one that is older than what the file remembers,
// perhaps of another process. Newer is safer: a file that cannot be written keeps no bundle from being used,
// and is tried again.
func (f *FileSource) keep(s *fileState, is seen, signed []byte) error {
	if f.opts.StateFile == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	err := keepState(ctx, f.opts.StateFile, &kept{is, signed})
	if isRefusal(err) {
		return err
	}
	s.kept, s.unkept = err, nil
	if err != nil {
		s.unkept = signed
	}
	return nil
}
