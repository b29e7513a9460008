package trust

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
)

// adoptTimestamp is adopt where the roots name timestamp keys. It asks for the timestamp, and for the bundle
// only if the timestamp names another one. The revocations of the timestamp count also if the bundle cannot
// be had, and that is then the error.
func (s *RemoteSource) adoptTimestamp(ctx context.Context, state *remoteState, etag string) error {
	got, err := s.timestamps.Fetch(ctx, etag)
	if err != nil {
		return fmt.Errorf("%s: %w", s.timestamps, err)
	}
	signed, unchanged, err := got.read(etag, keydoc.MaxTimestamp)
	if err != nil {
		return fmt.Errorf("%s: %w", s.timestamps, err)
	}
	h := state.held
	if !unchanged {
		if h, err = h.holdSigned(s.roots, signed, s.opts.MinVersion, s.now()); err != nil {
			return errors.Join(err, s.takeHeld(ctx, state, h)) // its revocations may count
		}
	}
	if err := s.takeHeld(ctx, state, h); err != nil { // first, for the host may withhold the bundle for long
		return err
	}
	h, pending := state.held.useNamed(s.roots, s.now(), func(name string) ([]byte, error) {
		return FetchSigned(ctx, s.origin.(Directory).Beside(name))
	})
	if h != state.held {
		if err := s.takeHeld(ctx, state, h); err != nil {
			return err
		}
	}
	if pending != nil && !state.held.isCurrent(s.roots) { // otherwise another process had the bundle
		return pending
	}
	if !unchanged {
		state.etag = got.ETag
	}
	state.maxAge = got.MaxAge
	return nil
}

// takeHeld stores the holding in state and in the state file. If the file refuses it, only its revocations
// count.
func (s *RemoteSource) takeHeld(ctx context.Context, state *remoteState, h *holding) error {
	if h == state.held && state.kept == nil {
		return nil
	}
	kept, err := keepHolding(ctx, s.opts.StateFile, s.roots, h)
	if isRefusal(err) {
		state.kept = nil
		state.held = state.held.withhold(h.revoked)
		state.bundle = state.held.view
		return err
	}
	state.held, state.bundle, state.kept = kept, kept.view, err
	return nil
}

// holdSigned is hold of a signed timestamp. With an error, at most its revocations were added.
func (h *holding) holdSigned(roots *Roots, signed []byte, minVersion int64, now time.Time) (*holding, error) {
	ts, err := openTimestamp(signed, roots)
	if err != nil {
		return h, err
	}
	next, err := h.hold(roots, ts, minVersion, now)
	if err != nil || next == h {
		return next, err
	}
	next.signedTimestamp = signed
	return next, nil
}

// useNamed is the holding with the bundle that its timestamp names, which read gets by its name unless it is
// in use already. With an error, the holding is as it was.
func (h *holding) useNamed(roots *Roots, now time.Time,
	read func(name string) ([]byte, error)) (*holding, error) {
	pending := h.pending(roots)
	if pending == nil || whyOf(pending) != WhyOtherBundle {
		return h, pending
	}
	signed, err := read(keydoc.BundlesDir + hex.EncodeToString(h.timestamp.BundleSHA256[:]))
	if err != nil {
		return h, errors.Join(pending, err)
	}
	b, err := openAnyTime(signed, roots)
	if err != nil {
		return h, err
	}
	next, err := h.use(roots, b, now)
	if err != nil {
		return h, err
	}
	next.signedBundle = signed
	return next, nil
}

// deadBecause is why no bundle may be used, and how the last attempt to get one failed.
func (h *holding) deadBecause(roots *Roots, last error) error {
	switch {
	case h.view == nil && last != nil:
		return last
	case h.view == nil:
		return h.pending(roots)
	case h.until.Before(h.bundle.expires):
		return errors.Join(refuse(WhyExpired, "the newest timestamp for bundle %d expired at %s: sign a new one",
			h.bundle.version, h.until.Format(keydoc.TimeFormat)), last)
	}
	return errors.Join(refuse(WhyExpired, "bundle %d expired at %s: publish a new one", h.bundle.version,
		h.bundle.expires.Format(keydoc.TimeFormat)), last)
}
