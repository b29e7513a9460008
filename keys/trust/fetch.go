package trust

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sealbus/sealbus/internal/fetch"
	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/jitter"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

const (
	// defaultMinInterval is the least time between two fetches unless Options say otherwise.
	defaultMinInterval = 10 * time.Second
	// defaultTimeout is how long one fetch may take unless Options say otherwise.
	defaultTimeout = 10 * time.Second
	// maxPause is the longest pause between two attempts while an origin fails, unless MinInterval is longer.
	maxPause = time.Minute
)

// Options says how OpenBundle, WatchFile, FetchBundle and FetchFrom judge a bundle, and how the last three
// follow it. The zero value is the strict one. A function refuses the options that it cannot honour.
type Options struct {
	Now        func() time.Time // nil = time.Now
	MinVersion int64            // refuse lower versions; 0 = accept every version

	// RefreshHint is the time between two fetches, at least MinInterval, or between two looks at a file; 0 =
	// the bundle's own hint, or one minute if it has none. A max-age of the origin can only shorten it,
	// because it is not signed. The origin is always asked when the bundle expires.
	RefreshHint time.Duration
	// MinInterval is the least time between two fetches, also if an attacker invents key IDs; 0 = 10 s.
	MinInterval time.Duration
	// Timeout is how long one fetch may take; 0 = 10 s.
	Timeout time.Duration
	// StateFile keeps the newest bundle that was seen, across restarts and for all processes that share the
	// file. Older bundles are refused, and a start survives an outage of the origin or a missing bundle file.
	// "" = in memory only: a program that starts accepts an older bundle that has not expired, and with it a
	// key that was revoked since. One file serves one set of roots. It belongs in a directory that only the
	// program can write to. Its lock (.lock) is beside it.
	StateFile string

	// Timestamp is the signed timestamp that the bundle counts with, for OpenBundle under roots that name
	// timestamp keys; nil = there is none. Sources look for it beside the bundle.
	Timestamp []byte
	// UnsafeNoTimestamp has OpenBundle accept a bundle without a timestamp although the roots name timestamp
	// keys. It is for tools that build the next bundle or its timestamp: the bundle may be an old one, and
	// may have keys that were revoked.
	UnsafeNoTimestamp bool

	// Client fetches over HTTPS. Its transport can have a TLS configuration or a proxy of your own; nil = a
	// client that trusts the system's certificate authorities. Its CheckRedirect runs after the check of
	// FetchBundle. Only FetchBundle and HTTPSOrigin use it.
	Client *http.Client
	// UnsafeAllowHTTP permits URLs that begin with http://. The bundle is still signed. But an attacker on
	// the network can withhold a newer bundle until the old one expires, and can see who asks. Only
	// FetchBundle and HTTPSOrigin use it.
	UnsafeAllowHTTP bool
}

// RemoteSource is a Source that follows an Origin. It asks the origin at the refresh hint. It keeps the last
// good bundle until the bundle expires, also if the origin fails. It never goes back to a lower version, or
// to another content of the same version.
//
// It has no timer. When it is used, it decides by the clock whether to ask, so a process that was frozen for
// hours asks before it judges an event. Callers at the same time share one fetch, which goes on when the
// context of one of them ends. It is safe for concurrent use and needs no closing.
type RemoteSource struct {
	origin Origin
	beside Directory // the same origin; nil = it has nothing beside the bundle
	opts   Options   // filled in
	now    func() time.Time

	shared *fetch.Shared[remoteState]
}

var _ Refresher = (*RemoteSource)(nil)

// remoteState is immutable.
type remoteState struct {
	memory
	etag   string // of the bundle, or of the timestamp where the roots name timestamp keys
	maxAge time.Duration

	checked time.Time // when the origin was last asked and answered with a good bundle; zero = never
	tried   time.Time // when it was last asked, or when that attempt failed
	fails   int       // failures since then
	jitter  float64   // within [0,1), drawn with each answer
	err     error     // how the last attempt failed
}

// FetchBundle fetches a signed bundle over HTTPS and follows it. It fails if the first fetch fails, unless
// opts.StateFile has a bundle that is still good. Then that bundle is used, Checked is zero, and LastError
// has the failure when the attempt has ended. The attempt has half of the time that ctx has left.
//
// Where the roots name timestamp keys, it asks for the file timestamp.dsse beside the bundle, and gets the
// bundle from bundles/ beside it when the timestamp names another one. A new revocation counts at once, also
// if the new bundle cannot be had. The old bundle then lives until the last timestamp that named it expires.
//
// With each attempt it asks for the roots that follow those it knows, in roots/ beside the bundle, until
// there are none (ErrNotFound). Under newer roots it judges what it holds once more.
//
// The URL must be https, without user information. It is asked with If-None-Match; a redirect is followed
// only to the same host and only over HTTPS.
func FetchBundle(ctx context.Context, url string, roots *Roots, opts *Options) (*RemoteSource, error) {
	origin, err := HTTPSOrigin(url, opts)
	if err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &Options{}
	}
	ours := *opts
	ours.Client, ours.UnsafeAllowHTTP = nil, false // the origin has them
	return FetchFrom(ctx, origin, roots, &ours)
}

// FetchFrom is FetchBundle from any Origin.
func FetchFrom(ctx context.Context, origin Origin, roots *Roots, opts *Options) (*RemoteSource, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := nilcheck.Check("trust: the origin", origin); err != nil {
		return nil, err
	}
	if err := opts.check(roots); err != nil {
		return nil, err
	}
	s := &RemoteSource{origin: origin, opts: opts.filledIn(), now: clockOr(opts.Now)}
	s.beside, _ = origin.(Directory)
	remembered, err := startMemory(roots, opts, s.beside != nil)
	if err != nil {
		return nil, err
	}
	if remembered.held.roots.needTimestamps() && s.beside == nil {
		return nil, errNoDirectory
	}
	s.shared = fetch.NewShared(&remoteState{memory: remembered}, s.now, s.opts.Timeout, s.ask)
	if err := s.await(ctx, s.mayAsk, true); err != nil {
		return nil, s.unavailable(err)
	}
	state := s.shared.State()
	if state.kept != nil { // better reported at the start than found at the first restart
		return nil, fmt.Errorf("trust: %w", state.kept)
	}
	if _, err := s.usable(state); err != nil {
		return nil, err
	}
	return s, nil
}

var errNoDirectory = errors.New("trust: the roots name timestamp keys, and the origin is no Directory")

func (o *Options) check(roots *Roots) error {
	switch {
	case roots == nil:
		return errors.New("trust: no roots to verify the bundle with: ParseRoots reads the roots file")
	case o.RefreshHint < 0 || o.MinInterval < 0 || o.Timeout < 0:
		return errors.New("trust: a negative interval or timeout in Options")
	case o.Client != nil || o.UnsafeAllowHTTP:
		return errors.New("trust: Client and UnsafeAllowHTTP are for FetchBundle only")
	case o.Timestamp != nil || o.UnsafeNoTimestamp:
		return errors.New("trust: Timestamp and UnsafeNoTimestamp are for OpenBundle only")
	}
	return nil
}

func (o *Options) filledIn() Options {
	c := *o
	c.MinInterval = cmp.Or(c.MinInterval, defaultMinInterval)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	return c
}

// Bundle is the last good bundle. It asks the origin first if that is due. While the origin fails, one caller
// at a time waits for the next attempt, at most half of the time that its context has left. The others do not
// wait. The error is ErrUnavailable if every known bundle has expired.
func (s *RemoteSource) Bundle(ctx context.Context) (*Bundle, error) {
	if state := s.shared.State(); s.isDue(state, s.now()) {
		if err := s.await(ctx, s.isDue, true); err != nil {
			return nil, s.unavailable(err)
		}
	}
	return s.usable(s.shared.State())
}

// Refresh asks the origin unless it was asked since then, but at most once in MinInterval and less often
// while it fails. The error is ErrUnavailable if the last good answer is older than since.
func (s *RemoteSource) Refresh(ctx context.Context, since time.Time) (*Bundle, error) {
	if now := s.now(); since.After(now) {
		since = now
	}
	isDue := func(state *remoteState, now time.Time) bool {
		return !isCheckedSince(state.checked, since, now) && s.mayAsk(state, now)
	}
	if err := s.await(ctx, isDue, false); err != nil {
		return nil, s.unavailable(err)
	}
	state := s.shared.State()
	if now := s.now(); !isCheckedSince(state.checked, since, now) {
		return nil, s.unavailable(errors.Join(state.err, notCheckedSince(state.tried, now)))
	}
	return s.usable(state)
}

// notCheckedSince is why a bundle refuses no event for good.
func notCheckedSince(tried, now time.Time) error {
	return fmt.Errorf("it was last asked %s ago, before the event came, and is not asked again so soon: "+
		"deliver the event again", howlong.Text(now.Sub(tried)))
}

// LastError is the failure of the last fetch, or of writing the state file; nil = neither failed.
func (s *RemoteSource) LastError() error {
	state := s.shared.State()
	return errors.Join(state.err, state.kept)
}

// Checked is when the origin was last asked and answered with a good bundle; zero = never.
func (s *RemoteSource) Checked() time.Time { return s.shared.State().checked }

func (s *RemoteSource) unavailable(err error) error {
	return fmt.Errorf("trust: %s: %w: %w", s.origin, ErrUnavailable, err)
}

func (s *RemoteSource) usable(state *remoteState) (*Bundle, error) {
	if state.held.isAlive(s.now()) {
		return state.held.view, nil
	}
	return nil, s.unavailable(state.held.deadBecause(state.err))
}

// isDue reports whether Bundle asks: when the interval has passed, and then until the origin gives a good
// answer.
func (s *RemoteSource) isDue(state *remoteState, now time.Time) bool {
	return fetch.Since(state.checked, now, s.interval(state)) && s.mayAsk(state, now)
}

// mayAsk is the limit on how often the origin is asked, for any reason.
func (s *RemoteSource) mayAsk(state *remoteState, now time.Time) bool {
	return fetch.Since(state.tried, now, s.pause(state))
}

// interval is the hint, and not longer than the origin's max-age, than until the bundle expires, or than a
// third of the timestamp's life. It is a
// little shorter, at random, so that many consumers do not ask at once. mayAsk sets its lower bound.
func (s *RemoteSource) interval(state *remoteState) time.Duration {
	d := s.hint(state)
	if state.maxAge > 0 {
		d = min(d, state.maxAge)
	}
	d -= time.Duration(state.jitter * float64(d) / 10)
	if state.held.view != nil {
		d = min(d, state.held.view.expires.Sub(state.checked))
	}
	if state.held.timestamp != nil { // so that a short outage does no harm
		d = min(d, state.held.timestamp.Expires.Sub(state.held.timestamp.Issued)/3)
	}
	return d
}

func (s *RemoteSource) hint(state *remoteState) time.Duration {
	hint := s.opts.RefreshHint
	if hint == 0 && state.held.view != nil {
		hint = state.held.view.refreshHint
	}
	return max(cmp.Or(hint, defaultRefresh), s.opts.MinInterval)
}

// pause is the least time until the next attempt: it doubles with each failure.
func (s *RemoteSource) pause(state *remoteState) time.Duration {
	least := s.opts.MinInterval
	if state.fails == 0 || least >= maxPause {
		return least
	}
	d := min(least<<min(state.fails-1, 16), maxPause)
	return d + time.Duration(state.jitter*float64(d)/4)
}

// ask is the state after asking the origin once.
func (s *RemoteSource) ask(ctx context.Context, was *remoteState) *remoteState {
	next := *was
	start := s.now()
	next.jitter = jitter.Draw(ctx)
	if next.err = s.adopt(ctx, &next); next.err != nil {
		next.fails++
		next.tried, next.etag = s.now(), "" // without an ETag, the next answer has the whole bundle

		if ctx.Err() != nil { // the timeout caused every other fault of the answer
			next.err = fmt.Errorf("no complete answer within %s: %w", s.opts.Timeout, ctx.Err())
		}
		return &next
	}
	// The answer dates from when the origin was asked: the process may have been frozen since.
	next.fails, next.checked, next.tried = 0, start, start
	return &next
}

// adopt follows the roots, and then the timestamp or the bundle. If newer roots cannot be had, a timestamp
// may still revoke keys, and the error is about the roots all the same.
func (s *RemoteSource) adopt(ctx context.Context, state *remoteState) error {
	was := state.held.roots
	j := &judging{stateFile: s.opts.StateFile, minVersion: s.opts.MinVersion, now: s.now}
	half, cancel := context.WithTimeout(ctx, s.opts.Timeout/2) // so that slow roots leave time for revocations
	defer cancel()
	j.read = s.reader(half)
	err := state.followRoots(ctx, j)
	j.read = s.reader(ctx)
	if state.held.roots != was {
		state.etag = ""
	}
	was = state.held.roots
	err = joined(err, s.adoptNewest(ctx, state, j))
	if state.held.roots != was { // another process had newer ones, under which another file counts
		state.etag = ""
	}
	return err
}

// reader reads the files beside the bundle until ctx ends; nil = the origin has none.
func (s *RemoteSource) reader(ctx context.Context) besideReader {
	if s.beside == nil {
		return nil
	}
	return func(name string, most int64) ([]byte, error) { return fetchBounded(ctx, s.beside.Beside(name), most) }
}

// adoptNewest asks for the timestamp if the roots name timestamp keys, and for the bundle otherwise.
func (s *RemoteSource) adoptNewest(ctx context.Context, state *remoteState, j *judging) error {
	etag := state.etag
	if !state.held.isAlive(s.now()) {
		etag = "" // an answer that nothing changed would not help
	}
	origin, most, take := s.origin, int64(keydoc.MaxSigned), state.takeBundle
	if state.held.roots.needTimestamps() {
		if s.beside == nil {
			return errNoDirectory
		}
		origin, most, take = s.beside.Beside(keydoc.TimestampFile), keydoc.MaxTimestamp, state.takeTimestamp
	}
	got, err := origin.Fetch(ctx, etag)
	var signed []byte
	var unchanged bool
	if err == nil {
		signed, unchanged, err = got.read(etag, most)
	}
	if err != nil && origin != s.origin {
		return fmt.Errorf("%s: %w", origin, err)
	}
	if err != nil {
		return err
	}
	if err := take(ctx, j, signed); err != nil {
		return err
	}
	if !unchanged {
		state.etag = got.ETag
	}
	state.maxAge = got.MaxAge
	return nil
}

func isRefusal(err error) bool {
	var e *BundleError
	return errors.As(err, &e)
}
