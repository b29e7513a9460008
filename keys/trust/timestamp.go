package trust

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

const timestampSkew = keydoc.TimestampSkew

// defaultFreshness is how long a timestamp lives unless its maker says otherwise.
const defaultFreshness = 24 * time.Hour

// Timestamp says which bundle is the newest, and which keys are revoked, for a short time. A timestamp key
// signs it, on line, so that the root holders need not (the timestamp role of The Update Framework). It can
// withhold and revoke, and never grant. Where the roots name timestamp keys, a bundle counts only together
// with a live timestamp that names it.
type Timestamp struct {
	Version       int64             // 1 to 2^53-1; each timestamp has a higher one than the last
	RootsVersion  int64             // of the newest roots that the signer knows
	BundleVersion int64             // of the bundle that counts
	BundleSHA256  [sha256.Size]byte // of that bundle's Payload
	BundleSince   time.Time         // when a timestamp named this bundle first
	Issued        time.Time         // whole seconds
	Expires       time.Time         // whole seconds; at most 7 days after Issued

	Revoked         map[string]Withdrawal // by key ID; at most 1,000
	RevokedSessions map[string]int64      // Since by the ID of a session key; at most 1,000
}

// Withdrawal is a Revocation that timestamps make. Since is the version of the timestamp that made it, 1 to
// 2^53-1. Those that only carry it over keep that version, so that root holders can decide on it although
// timestamps are renewed while they sign: it ends with a bundle whose Timestamps are Since or higher.
type Withdrawal struct {
	Revocation
	Since int64
}

// TimestampOptions is what a new Timestamp says in addition to its bundle.
type TimestampOptions struct {
	Now      time.Time     // when it is issued; required
	Lifetime time.Duration // at most 7 days; 0 = 24 hours
	// Revoke are the keys that it revokes, by key ID, in addition to those of the previous one.
	Revoke         map[string]Revocation
	RevokeSessions []string // likewise, the IDs of session keys
}

// NewTimestamp makes the timestamp of the bundle that follows previous; nil = this is the first. It carries
// over each revocation of previous, unless the bundle's Timestamps say that the root holders have decided on
// it. A key that is revoked once more is revoked since this timestamp: a bundle that was built before did not
// decide on that. The bundle may not be older than that of previous.
func NewTimestamp(roots *Roots, b *Bundle, previous *Timestamp, opts TimestampOptions) (*Timestamp, error) {
	if roots == nil || b == nil || opts.Now.IsZero() {
		return nil, errors.New("trust: a timestamp needs roots, a bundle and the time")
	}
	named := seenOf(b)
	ts := &Timestamp{
		Version: max(b.timestamps+1, roots.limits.MinTimestamp), RootsVersion: roots.version, BundleVersion: named.version,
		BundleSHA256: named.digest, Issued: keydoc.WholeSecond(opts.Now),
	}
	if err := errors.Join(roots.admit(ts), roots.checkTime(opts.Now)); err != nil {
		return nil, err
	}
	ts.BundleSince = ts.Issued
	ts.Expires = keydoc.WholeSecond(ts.Issued.Add(defaultFreshness))
	if opts.Lifetime != 0 {
		ts.Expires = keydoc.WholeSecond(ts.Issued.Add(opts.Lifetime))
	}
	var all withdrawn
	if previous != nil {
		if err := previous.named().follows(named); err != nil {
			return nil, err
		}
		ts.Version = max(ts.Version, previous.Version+1)
		ts.RootsVersion = max(ts.RootsVersion, previous.RootsVersion)
		// a clock that was ahead may have named it later than now
		if previous.named() == named && previous.BundleSince.Before(ts.Issued) {
			ts.BundleSince = previous.BundleSince
		}
		all = withdrawnBy(previous).after(b.timestamps)
	}
	added := withdrawn{map[string]Withdrawal{}, map[string]int64{}}
	for id, r := range opts.Revoke {
		added.keys[id] = Withdrawal{Revocation{keydoc.WholeSecond(r.At), r.Reason}, ts.Version}
	}
	for _, id := range opts.RevokeSessions {
		added.sessions[id] = ts.Version
	}
	all = all.plus(added)
	ts.Revoked, ts.RevokedSessions = all.keys, all.sessions
	payload := ts.Payload()
	most := max(len(ts.Revoked), len(ts.RevokedSessions))
	if most > keydoc.MaxWithdrawn || len(payload) > keydoc.MaxTimestamp {
		return nil, refuse(WhyTooLarge, "%d revoked keys and %d sessions (at most %d of each) in %d bytes "+
			"(at most %d): have the root holders sign a bundle that takes over those of the previous timestamp",
			len(ts.Revoked), len(ts.RevokedSessions), keydoc.MaxWithdrawn, len(payload), keydoc.MaxTimestamp)
	}
	return ParseTimestamp(payload)
}

// named is the bundle that the timestamp names.
func (ts *Timestamp) named() seen { return seen{ts.BundleVersion, ts.BundleSHA256} }

// Payload is the timestamp in canonical JSON. A timestamp key signs these bytes.
func (ts *Timestamp) Payload() []byte {
	var o keydoc.Object
	o.String("bundle_sha256", hex.EncodeToString(ts.BundleSHA256[:]))
	o.Time("bundle_since", ts.BundleSince)
	o.Int("bundle_version", ts.BundleVersion)
	o.Time("expires", ts.Expires)
	o.Time("issued", ts.Issued)
	if len(ts.Revoked) > 0 {
		o.Raw("revoked", appendRevoked(ts.Revoked))
	}
	if len(ts.RevokedSessions) > 0 {
		o.Raw("revoked_sessions", appendSessions(ts.RevokedSessions))
	}
	o.Int("roots_version", ts.RootsVersion)
	o.Int("version", ts.Version)
	return o.Append(nil)
}

// ParseTimestamp reads the payload of a timestamp and does not verify it; OpenTimestamp does. It accepts only
// the canonical form, without unknown members. Every refusal is a *BundleError.
func ParseTimestamp(payload []byte) (*Timestamp, error) {
	if len(payload) > keydoc.MaxTimestamp {
		return nil, refuse(WhyTooLarge, "a timestamp of more than %d bytes", keydoc.MaxTimestamp)
	}
	ts := &Timestamp{}
	r := jsontext.NewDecoder(payload)
	for obj := r.Object(); r.Member(&obj); {
		ts.readMember(string(obj.Name), &r)
	}
	err := r.End()
	if err == nil {
		err = ts.check()
	}
	if err == nil && string(ts.Payload()) != string(payload) {
		err = keydoc.ErrNotCanonical
	}
	if err != nil {
		return nil, &BundleError{Why: WhyMalformed, Err: fmt.Errorf("timestamp: %w", err)}
	}
	return ts, nil
}

func (ts *Timestamp) readMember(name string, r *jsontext.Decoder) {
	switch name {
	case "version":
		ts.Version = r.Int()
	case "roots_version":
		ts.RootsVersion = r.Int()
	case "bundle_version":
		ts.BundleVersion = r.Int()
	case "bundle_sha256":
		digest, err := hex.DecodeString(r.String())
		if err != nil || len(digest) != sha256.Size {
			r.Failf("bundle_sha256 is not 64 hexadecimal digits")
			return
		}
		ts.BundleSHA256 = [sha256.Size]byte(digest)
	case "bundle_since":
		ts.BundleSince = keydoc.ReadTime(r)
	case "issued":
		ts.Issued = keydoc.ReadTime(r)
	case "expires":
		ts.Expires = keydoc.ReadTime(r)
	case "revoked":
		ts.Revoked = readRevoked(r, keydoc.MaxWithdrawn)
	case "revoked_sessions":
		ts.RevokedSessions = readSessions(r, keydoc.MaxWithdrawn)
	default:
		r.Failf("unknown member %q", keydoc.Clip(name))
	}
}

// check judges the timestamp on its own.
func (ts *Timestamp) check() error {
	for _, v := range []int64{ts.Version, ts.RootsVersion, ts.BundleVersion} {
		if v < 1 || v > maxBundleVersion {
			return fmt.Errorf("a version %d is not within 1 to 2^53-1", v)
		}
	}
	switch {
	case ts.Issued.IsZero() || ts.Expires.IsZero() || ts.BundleSince.IsZero():
		return errors.New("issued, expires or bundle_since is missing")
	case !writable(ts.Issued) || !writable(ts.Expires) || !writable(ts.BundleSince):
		return errors.New("a year is not within 1 to 9999")
	case ts.BundleSince.After(ts.Issued):
		return errors.New("bundle_since is after issued")
	case !ts.Issued.Before(ts.Expires):
		return errors.New("expires is not after issued")
	case ts.Expires.Sub(ts.Issued) > keydoc.MaxFreshness:
		return fmt.Errorf("it lives for more than %s", keydoc.MaxFreshness)
	case len(ts.Revoked) > keydoc.MaxWithdrawn || len(ts.RevokedSessions) > keydoc.MaxWithdrawn:
		return fmt.Errorf("more than %d revocations", keydoc.MaxWithdrawn)
	}
	for id, r := range ts.Revoked {
		if !keydoc.IsThumbprint(id) {
			return fmt.Errorf("revoked key %q is not a thumbprint", keydoc.Clip(id))
		}
		if err := keydoc.CheckRevocation(r.At, r.Reason); err != nil {
			return err
		}
		if err := ts.checkSince(id, r.Since); err != nil {
			return err
		}
	}
	for id, since := range ts.RevokedSessions {
		if !keydoc.IsThumbprint(id) {
			return fmt.Errorf("revoked session %q is not a thumbprint", keydoc.Clip(id))
		}
		if err := ts.checkSince(id, since); err != nil {
			return err
		}
	}
	return nil
}

func (ts *Timestamp) checkSince(id string, since int64) error {
	if since < 1 || since > ts.Version {
		return fmt.Errorf("%s is revoked since timestamp %d, which is not within 1 to %d", id, since, ts.Version)
	}
	return nil
}

// SignTimestamp signs the timestamp with a timestamp key, which may live in a key management service.
func SignTimestamp(ctx context.Context, ts *Timestamp, key RootSigner) ([]byte, error) {
	if ts == nil {
		return nil, errors.New("trust: no timestamp to sign")
	}
	if err := nilcheck.Check("trust: the timestamp key", key); err != nil {
		return nil, err
	}
	payload := ts.Payload()
	if _, err := ParseTimestamp(payload); err != nil {
		return nil, fmt.Errorf("trust: this timestamp cannot be published: %w", err)
	}
	signed, err := signPayload(ctx, keydoc.TimestampType, payload, []RootSigner{key})
	if err == nil && len(signed) > keydoc.MaxTimestamp {
		return nil, refuse(WhyTooLarge, "a timestamp of more than %d bytes: shorten the reasons, "+
			"or build a bundle that takes the revocations over", keydoc.MaxTimestamp)
	}
	return signed, err
}

// OpenTimestamp verifies a signed timestamp under the roots, at now, and reads it. Every refusal is a
// *BundleError. It does not know which timestamps were seen before; a source does.
func OpenTimestamp(signed []byte, roots *Roots, now time.Time) (*Timestamp, error) {
	ts, err := openTimestamp(signed, roots)
	if err != nil {
		return nil, err
	}
	if err := roots.admit(ts); err != nil {
		return nil, err
	}
	if err := roots.checkTime(now); err != nil {
		return nil, err
	}
	if err := ts.checkTime(now); err != nil {
		return nil, err
	}
	return ts, nil
}

// OpenPreviousTimestamp verifies a signed timestamp that the next one follows, for NewTimestamp. It also
// takes one that has expired, or that the limits of the roots refuse: its revocations are carried over all
// the same. Every refusal is a *BundleError.
func OpenPreviousTimestamp(signed []byte, roots *Roots) (*Timestamp, error) {
	return openTimestamp(signed, roots)
}

// admit refuses a timestamp that is older, or names an older bundle, than the roots allow.
func (r *Roots) admit(ts *Timestamp) error {
	switch limits := r.limits; {
	case ts.Version < limits.MinTimestamp:
		return refuse(WhyRollback, "timestamp %d, and the roots want %d at least", ts.Version,
			limits.MinTimestamp)
	case ts.BundleVersion < limits.MinBundle:
		return refuse(WhyRollback, "the timestamp names bundle %d, and the roots want %d at least",
			ts.BundleVersion, limits.MinBundle)
	}
	return nil
}

// openTimestamp verifies a signed timestamp and reads it, also if it has expired.
func openTimestamp(signed []byte, roots *Roots) (*Timestamp, error) {
	if len(signed) > keydoc.MaxTimestamp {
		return nil, refuse(WhyTooLarge, "a timestamp of more than %d bytes", keydoc.MaxTimestamp)
	}
	e, err := parseSigned(signed)
	if err == nil && e.PayloadType != keydoc.TimestampType {
		err = refuse(WhyType, "payload type %q is not that of a timestamp", keydoc.Clip(e.PayloadType))
	}
	if err != nil {
		return nil, explainedRefusal(signed, refusalOf("timestamp", err), "a trust timestamp", filekind.Timestamp)
	}
	if err := roots.verifyTimestamp(e); err != nil {
		return nil, err
	}
	return ParseTimestamp(e.Payload)
}

// checkTime refuses a timestamp that has expired, or that is not issued yet.
func (ts *Timestamp) checkTime(now time.Time) error {
	return cmp.Or(ts.checkIssued(now), ts.checkExpires(now))
}

func (ts *Timestamp) checkIssued(now time.Time) error {
	if !ts.Issued.After(now.Add(timestampSkew)) {
		return nil
	}
	return refuse(WhyFuture, "timestamp %d is issued at %s, which is in the future: check the clocks",
		ts.Version, ts.Issued.Format(keydoc.TimeFormat))
}

func (ts *Timestamp) checkExpires(now time.Time) error {
	if now.Before(ts.Expires) {
		return nil
	}
	return refuse(WhyExpired, "timestamp %d expired at %s: sign a new one", ts.Version,
		ts.Expires.Format(keydoc.TimeFormat))
}
