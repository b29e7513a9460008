package trust

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
)

const maxRemembered = keydoc.MaxRemembered

// holding is all that a consumer knows of roots, bundles and timestamps. It is immutable. One with roots
// alone knows nothing else. docs/trust.md has the rules by which it changes.
type holding struct {
	chain                // the newest roots, which verified all this
	timestamp *Timestamp // the newest that counted; nil = none
	latest    time.Time  // when the newest timestamp was issued; one that was forgotten has none
	bundle    *Bundle    // in use, as the root keys signed it; nil = none
	seen      seen       // the newest bundle that was in use
	until     time.Time  // when the newest timestamp that named the bundle expires
	revoked   withdrawn  // all that it ever saw, and on which no bundle in use decided

	view *Bundle // bundle with the revocations, which expires at until; nil = there is no bundle

	signedTimestamp []byte // for the state file, and for newer roots
	signedBundle    []byte // that of seen, also if it is not in use; nil = it is not at hand
}

// judge is the whole judgement: the holding after a timestamp and a bundle, of which the signatures are good.
// A nil bundle is not at hand. If one of them is refused, the holding is what the other made of it.
func judge(was *holding, ts *Timestamp, b *Bundle, minVersion int64, now time.Time) (*holding, error) {
	h, err := was.hold(ts, minVersion, now)
	if err != nil || b == nil {
		return h, err
	}
	return h.use(b, now)
}

// adopt is the holding under newer roots. A version is forgotten only if these roots no longer verify the
// signatures of its document: so root holders recover from stolen keys, whose thief may have signed version
// 2^53-1. A timestamp is forgotten with its revocations.
func (h *holding) adopt(c chain) *holding {
	next := *h
	if h.signedTimestamp != nil && !isSignedUnder(h.signedTimestamp, c.roots.verifyTimestamp) {
		next = holding{bundle: h.bundle, seen: h.seen, signedBundle: h.signedBundle}
	}
	next.chain = c
	if h.signedBundle != nil && !isSignedUnder(h.signedBundle, c.roots.verify) {
		next.bundle, next.seen, next.signedBundle = nil, seen{}, nil
	}
	next.settle()
	return &next
}

func isSignedUnder(signed []byte, verify func(*dsse.Envelope) error) bool {
	e, err := parseSigned(signed)
	return err == nil && verify(e) == nil
}

// settle takes a bundle out of use that the roots do not take, and says until when the one in use lives.
func (h *holding) settle() {
	if h.bundle != nil && h.roots.checkLife(h.bundle) != nil {
		h.bundle = nil // its version counts on
	}
	switch {
	case h.timestamp == nil:
		h.until = time.Time{}
	case h.roots.admit(h.timestamp) != nil:
		h.until = time.Time{}
	case h.isCurrent():
		h.until = h.timestamp.Expires
	}
	h.look()
}

// clock is the time by which this consumer judges. Setting the clock back makes nothing valid again.
//
// Whether a newer timestamp, or the roots with it, has expired is judged by the clock alone. It may be issued
// before the one that is held: then the clock of both the signer and this consumer was ahead, as in a home,
// and has been set right. Otherwise each right timestamp would be refused as expired until the wrong moment
// has come, and its revocations with it.
func (h *holding) clock(now time.Time) time.Time { return later(now, h.latest.Add(-timestampSkew)) }

// hold is the holding after a timestamp, whose revocations count at once. They also count if it may not come
// after what is held, as where two operators signed at once: it is genuine, and withholds only.
func (h *holding) hold(ts *Timestamp, minVersion int64, now time.Time) (*holding, error) {
	floor, end := h.clock(now), h.clock(now)
	if h.timestamp != nil && ts.Version > h.timestamp.Version {
		end = now
	}
	if err := cmp.Or(h.roots.checkTime(end), ts.checkIssued(floor), ts.checkExpires(end)); err != nil {
		return h, err
	}
	if err := cmp.Or(h.roots.admit(ts), h.follows(ts, minVersion)); err != nil {
		return h.withhold(withdrawnBy(ts)), err
	}
	if h.timestamp != nil && h.timestamp.Version == ts.Version && h.isCurrent() {
		return h, nil // the same once more
	}
	next := *h
	next.timestamp, next.latest = ts, ts.Issued
	next.revoked = next.undecided(withdrawnBy(ts))
	if err := next.checkMemory(); err != nil {
		return h, err
	}
	next.bound()
	if !next.isCurrent() && ts.Issued.Before(h.latest) && !h.isAlive(now) {
		next.until = time.Time{} // it is dead, and a clock that goes back does not revive it
	}
	next.look()
	return &next, nil
}

// bound says until when the bundle in use lives by the timestamp that is held. Another one may have named it,
// perhaps with a clock that was ahead.
func (h *holding) bound() {
	if h.isCurrent() {
		h.until = h.timestamp.Expires
	} else if most := h.timestamp.Issued.Add(keydoc.MaxFreshness); most.Before(h.until) {
		h.until = most
	}
}

// isCurrent reports whether the newest timestamp names the bundle in use, and no newer roots.
func (h *holding) isCurrent() bool { return h.pending() == nil }

// follows refuses a timestamp that may not come after what is held.
func (h *holding) follows(ts *Timestamp, minVersion int64) error {
	was := cmp.Or(h.timestamp, &Timestamp{})
	least := max(minVersion, was.BundleVersion, h.seen.version)
	switch named := ts.named(); {
	case ts.Version < was.Version:
		return refuse(WhyRollback, "timestamp %d, after %d was seen", ts.Version, was.Version)
	case ts.RootsVersion < was.RootsVersion:
		return refuse(WhyRollback, "the timestamp names roots version %d, after %d was seen", ts.RootsVersion,
			was.RootsVersion)
	case named.version < least:
		return refuse(WhyRollback, "the timestamp names bundle %d, and the lowest that is wanted is %d",
			named.version, least)
	case ts.Version == was.Version && string(ts.Payload()) != string(was.Payload()):
		return refuse(WhyEquivocate, "timestamp %d with another content than was seen", ts.Version)
	case named.differs(was.named()) || named.differs(h.seen):
		return refuse(WhyEquivocate, "the timestamp names bundle %d with another content than was seen",
			named.version)
	}
	return nil
}

// undecided are the revocations of h, and more, on which the bundle in use did not decide.
func (h *holding) undecided(more withdrawn) withdrawn {
	all := h.revoked.plus(more)
	if h.bundle == nil {
		return all
	}
	return all.after(h.bundle.timestamps)
}

func (h *holding) checkMemory() error {
	if h.revoked.len() > maxRemembered {
		return refuse(WhyTooLarge, "more than %d revocations that no bundle took over: "+
			"build one with --timestamp", maxRemembered)
	}
	return nil
}

// pending is why the bundle in use is not the one that the newest timestamp names; nil = it is.
func (h *holding) pending() error {
	switch ts := h.timestamp; {
	case ts == nil:
		return refuse(WhyNoTimestamp, "the roots name timestamp keys, and there is no timestamp")
	case ts.RootsVersion > h.roots.version:
		return refuse(WhyNewerRoots, "timestamp %d names roots version %d, but version %d is at hand: "+
			"publish the roots between beside the bundle, or give this program the newer roots file", ts.Version,
			ts.RootsVersion, h.roots.version)
	case h.roots.admit(ts) != nil:
		return h.roots.admit(ts)
	case h.bundle == nil || h.seen != ts.named():
		return refuse(WhyOtherBundle, "the bundle that timestamp %d names, version %d, is not at hand",
			ts.Version, ts.BundleVersion)
	}
	return nil
}

// use is the holding after the bundle came into use, which is the one that the timestamp names.
func (h *holding) use(b *Bundle, now time.Time) (*holding, error) {
	ts, is := h.timestamp, seenOf(b)
	switch {
	case ts == nil || ts.RootsVersion > h.roots.version || h.roots.admit(ts) != nil:
		return h, h.pending()
	case is != ts.named():
		return h, refuse(WhyOtherBundle, "this is bundle %d, and timestamp %d names another: version %d",
			b.version, ts.Version, ts.BundleVersion)
	case h.roots.checkTime(h.clock(now)) != nil:
		return h, h.roots.checkTime(h.clock(now))
	case !h.clock(now).Before(b.expires):
		return h, refuse(WhyExpired, "bundle %d expired at %s: build and sign a new one", b.version,
			b.expires.Format(keydoc.TimeFormat))
	case b.timestamps >= ts.Version:
		return h, refuse(WhyRollback, "bundle %d decided on timestamps up to %d, and this is timestamp %d",
			b.version, b.timestamps, ts.Version)
	case h.bundle != nil && b.timestamps < h.bundle.timestamps:
		return h, refuse(WhyRollback, "bundle %d decided on timestamps up to %d, and its predecessor up to %d",
			b.version, b.timestamps, h.bundle.timestamps)
	}
	next := *h
	next.bundle, next.seen, next.until = b, is, ts.Expires
	next.revoked = next.undecided(withdrawn{})
	next.look()
	return &next, nil
}

// join is the holding of two that share a state file, of which the other has no older roots. It never goes
// back behind either of them. Two that no honest signer can have led to are refused.
func (h *holding) join(other *holding) (*holding, error) {
	if other.roots.version > h.roots.version {
		h = h.adopt(other.chain)
	}
	next := *h
	if other.seen.differs(h.seen) {
		return nil, refuse(WhyEquivocate, "bundle %d with another content than was seen", other.seen.version)
	}
	switch ts := other.timestamp; {
	case ts == nil:
	case h.timestamp != nil && h.timestamp.Version > ts.Version:
		if err := other.follows(h.timestamp, 0); err != nil {
			return nil, err
		}
	default:
		if err := h.follows(ts, 0); err != nil {
			return nil, err
		}
		if h.timestamp == nil || h.timestamp.Version < ts.Version {
			next.latest = other.latest
		}
		next.timestamp, next.signedTimestamp = ts, other.signedTimestamp
	}
	if other.seen.version > h.seen.version {
		next.bundle, next.seen, next.signedBundle = other.bundle, other.seen, other.signedBundle
		next.until = other.until
	} else if other.seen == h.seen && other.until.Before(h.until) {
		next.until = other.until
	}
	if next.signedBundle == nil && other.seen == h.seen {
		next.signedBundle = other.signedBundle
	}
	if next.timestamp != nil {
		next.bound()
	}
	next.revoked = next.undecided(other.revoked)
	next.look()
	return &next, next.checkMemory()
}

// withhold is h with more revocations, and h itself if it has them all or cannot remember them. They are of a
// timestamp that is not held, whose version may be forged: no bundle could decide on it, and newer roots
// forget only what is held. So none is since more than the timestamp that is.
func (h *holding) withhold(more withdrawn) *holding {
	if h.timestamp == nil {
		return h
	}
	next := *h
	next.revoked = h.undecided(more.upTo(h.timestamp.Version))
	if next.revoked.equals(h.revoked) || next.checkMemory() != nil {
		return h
	}
	next.look()
	return &next
}

// look makes the view.
func (h *holding) look() {
	h.view = nil
	switch {
	case h.bundle == nil:
	case !h.roots.needTimestamps():
		h.view = h.bundle.until(h.roots.limits.Expires)
	case !h.until.IsZero(): // a bundle without an expiry would never expire
		h.view = h.bundle.withheld(h.revoked, h.until).until(h.roots.limits.Expires)
		if h.timestamp != nil { // if it names a later bundle, this one was named before
			h.view.since = h.timestamp.BundleSince
		}
		if h.timestamp != nil && h.timestamp.named() == h.seen {
			h.view.stamp = h.timestamp
		}
	}
}

func whyOf(err error) BundleWhy {
	var e *BundleError
	if errors.As(err, &e) {
		return e.Why
	}
	return ""
}

// until is b, but no longer in force than the roots that signed it; zero = they have no end.
func (b *Bundle) until(end time.Time) *Bundle {
	if end.IsZero() || !end.Before(b.expires) {
		return b
	}
	c := *b
	c.expires = end
	return &c
}

// withheld is b with these revocations, and no longer in force than until. It shares with b what is the same.
func (b *Bundle) withheld(revoked withdrawn, until time.Time) *Bundle {
	c := *b
	if until.Before(c.expires) {
		c.expires = until
	}
	c.revokedSess = maps.Clone(b.revokedSess)
	for id := range revoked.sessions {
		c.revokedSess[id] = struct{}{}
	}
	replaced := map[*Key]*Key{}
	for id, r := range revoked.keys {
		k := b.Key(id)
		if k == nil { // perhaps it is a session key
			c.revokedSess[id] = struct{}{}
		} else if k.Revoked == nil {
			replaced[k] = k.clone()
			replaced[k].Revoked = &Revocation{At: r.At, Reason: r.Reason}
		}
	}
	if len(c.revokedSess) > len(b.revoked) {
		c.revoked = slices.Sorted(maps.Keys(c.revokedSess))
	}
	if len(replaced) > 0 {
		c.keys = replacedIn(b.keys, replaced)
		c.signing = make(map[string][]*Key, len(b.signing))
		for id, list := range b.signing {
			c.signing[id] = replacedIn(list, replaced)
		}
	}
	return &c
}

// replacedIn is the list with the replacements, and the list itself if there are none.
func replacedIn(list []*Key, replaced map[*Key]*Key) []*Key {
	if !slices.ContainsFunc(list, func(k *Key) bool { return replaced[k] != nil }) {
		return list
	}
	list = slices.Clone(list)
	for i, k := range list {
		if by := replaced[k]; by != nil {
			list[i] = by
		}
	}
	return list
}
