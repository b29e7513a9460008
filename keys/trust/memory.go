package trust

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
)

// memory is what a source remembers, in the process and in its state file. It is copied with the state of the
// source.
type memory struct {
	held *holding
	kept error // why the state file could not be written; nil = it was
}

// judging is what a source judges with.
type judging struct {
	stateFile  string
	minVersion int64
	now        func() time.Time
	read       besideReader // nil = the origin has nothing beside the bundle
}

// besideReader reads a file beside the bundle, of at most most bytes. If there is no such file, the error is
// ErrNotFound or fs.ErrNotExist.
type besideReader func(name string, most int64) ([]byte, error)

// startMemory is the memory that a source starts from. It is not at hand yet if the state file begins with
// newer roots and the origin may have those between: the first look is to find them.
func startMemory(roots *Roots, opts *Options, hasChain bool) (memory, error) {
	h, err := recallHolding(opts.StateFile, opts.MinVersion, &holding{chain: chainOf(roots)})
	if hasChain && errors.Is(err, errBehind) {
		return memory{held: &holding{chain: chainOf(roots)}, kept: err}, nil
	}
	if err != nil {
		return memory{}, fmt.Errorf("trust: %w", err)
	}
	return memory{held: h}, nil
}

// take stores the holding in the state file, and goes on with what is in there then. If the file refuses it,
// only its revocations count. A file that begins with newer roots refuses timestamps; without timestamp keys,
// a newer bundle is safer, although it cannot be stored.
func (m *memory) take(ctx context.Context, stateFile string, h *holding) error {
	if h == m.held && m.kept == nil {
		return nil
	}
	kept, err := keepHolding(ctx, stateFile, h)
	switch {
	case errors.Is(err, errBehind) && h.roots.needTimestamps():
		m.held, m.kept = m.held.withhold(h.revoked), err
		return err
	case isRefusal(err) && !errors.Is(err, errBehind):
		m.held, m.kept = m.held.withhold(h.revoked), nil
		return err
	}
	m.held, m.kept = kept, err
	return nil
}

// followRoots adopts the roots that follow, one step at a time. Each is stored before the next is asked for.
func (m *memory) followRoots(ctx context.Context, j *judging) error {
	if j.read == nil {
		return nil
	}
	var behind error
	for range maxRootsSteps {
		if m.held.roots.version == maxBundleVersion {
			return behind
		}
		signed, err := j.read(keydoc.RootsDir+strconv.FormatInt(m.held.roots.version+1, 10), keydoc.MaxRoots)
		if errors.Is(err, ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return behind
		}
		if err != nil {
			return err
		}
		c, err := m.held.next(signed)
		if err != nil {
			return err
		}
		h := m.held.adopt(c)
		behind = m.take(ctx, j.stateFile, h)
		switch {
		case errors.Is(behind, errBehind): // the file cannot be read before it is reached
			m.held = h
		case behind != nil:
			return behind
		}
	}
	return fmt.Errorf("more than %d roots follow: the next look goes on with version %d", maxRootsSteps,
		m.held.roots.version)
}

// takeTimestamp judges a signed timestamp; nil = it has not changed. It reads the bundle only if the
// timestamp names another one. The revocations of the timestamp count also if the bundle cannot be had, and
// that is then the error.
func (m *memory) takeTimestamp(ctx context.Context, j *judging, signed []byte) error {
	h, err := m.held, error(nil)
	if signed != nil {
		if h, err = h.holdSigned(signed, j.minVersion, j.now()); err != nil {
			return joined(err, m.take(ctx, j.stateFile, h)) // its revocations may count
		}
	}
	if err := m.take(ctx, j.stateFile, h); err != nil { // first, for the host may withhold the bundle for long
		return err
	}
	h, pending := m.held.useNamed(j.now(), j.read)
	if h != m.held {
		if err := m.take(ctx, j.stateFile, h); err != nil {
			return err
		}
	}
	if pending != nil && !m.held.isCurrent() { // otherwise another process had the bundle
		return pending
	}
	return nil
}

// takeBundle judges a signed bundle where the roots name no timestamp keys; nil = it has not changed.
func (m *memory) takeBundle(ctx context.Context, j *judging, signed []byte) error {
	if signed == nil {
		return m.take(ctx, j.stateFile, m.held) // what could not be written before
	}
	b, err := OpenBundle(signed, m.held.roots, &Options{Now: j.now, MinVersion: j.minVersion})
	if err != nil {
		return err
	}
	is := seenOf(b)
	if err := m.held.seen.follows(is); err != nil {
		return err
	}
	next := *m.held
	h := m.held
	if h.bundle == nil || is != h.seen { // otherwise it is the same, perhaps with other signatures
		next.bundle, next.seen, next.signedBundle = b, is, signed
		next.look()
		h = &next
	}
	if err := m.take(ctx, j.stateFile, h); err != nil {
		return err
	}
	return m.held.seen.follows(is) // another process may have seen a newer one
}

// joined is both errors, and no list of one.
func joined(a, b error) error {
	if a != nil && b != nil {
		return errors.Join(a, b)
	}
	return cmp.Or(a, b)
}

// holdSigned is hold of a signed timestamp. With an error, at most its revocations were added.
func (h *holding) holdSigned(signed []byte, minVersion int64, now time.Time) (*holding, error) {
	ts, err := openTimestamp(signed, h.roots)
	if err != nil {
		return h, err
	}
	next, err := h.hold(ts, minVersion, now)
	if err != nil || next == h {
		return next, err
	}
	next.signedTimestamp = signed
	return next, nil
}

// useNamed is the holding with the bundle that its timestamp names, which is read by its name unless it is in
// use already. With an error, the holding is as it was.
func (h *holding) useNamed(now time.Time, read besideReader) (*holding, error) {
	pending := h.pending()
	if pending == nil || whyOf(pending) != WhyOtherBundle {
		return h, pending
	}
	signed, err := read(keydoc.BundlesDir+hex.EncodeToString(h.timestamp.BundleSHA256[:]), keydoc.MaxSigned)
	if err != nil {
		return h, errors.Join(pending, err)
	}
	b, err := openAnyTime(signed, h.roots)
	if err != nil {
		return h, err
	}
	next, err := h.use(b, now)
	if err != nil {
		return h, err
	}
	next.signedBundle = signed
	return next, nil
}

// deadBecause is why no bundle may be used, and how the last attempt to get one failed.
func (h *holding) deadBecause(last error) error {
	switch end := h.roots.limits.Expires; {
	case h.view == nil && last != nil:
		return last
	case h.view == nil && h.roots.needTimestamps():
		return h.pending()
	case h.view == nil:
		return refuse(WhyThreshold, "there is no bundle that roots version %d signed", h.roots.version)
	case !end.IsZero() && !h.view.expires.Before(end):
		return joined(h.roots.checkTime(end), last)
	case h.roots.needTimestamps() && h.until.Before(h.bundle.expires):
		return joined(refuse(WhyExpired, "the newest timestamp for bundle %d expired at %s: sign a new one",
			h.bundle.version, h.until.Format(keydoc.TimeFormat)), last)
	}
	return joined(refuse(WhyExpired, "bundle %d expired at %s: publish a new one", h.bundle.version,
		h.bundle.expires.Format(keydoc.TimeFormat)), last)
}
