package trust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// maxRoots bounds the root keys: no more could sign one envelope.
const maxRoots = dsse.MaxSignatures

// Roots says which root keys sign bundles, and how many of them must sign. It is immutable. Its zero value
// accepts no bundle.
type Roots struct {
	version   int64
	threshold int
	keys      []*keys.Verifier

	timestampKeys []*keys.Verifier // none = bundles need no timestamp
	limits        RootsLimits
}

// RootsLimits are optional members of roots. They bound what counts under them, also if it was accepted
// before.
type RootsLimits struct {
	// Expires is when nothing counts any more under these roots, except the roots that follow them; cut to
	// whole seconds; zero = never.
	Expires      time.Time
	MinBundle    int64 // refuse bundles of lower versions; at most 2^53-1; 0 = accept every version
	MinTimestamp int64 // likewise for timestamps
}

// WithLimits is a copy of r with these limits.
func (r *Roots) WithLimits(limits RootsLimits) (*Roots, error) {
	c := *r
	c.limits = limits
	c.limits.Expires = keydoc.WholeSecond(limits.Expires)
	if err := c.check(); err != nil {
		return nil, &BundleError{Why: WhyMalformed, Err: err}
	}
	return &c, nil
}

// Limits are the limits of the roots.
func (r *Roots) Limits() RootsLimits { return r.limits }

// checkTime refuses what comes under roots that have expired.
func (r *Roots) checkTime(now time.Time) error {
	if end := r.limits.Expires; !end.IsZero() && !now.Before(end) {
		return refuse(WhyExpired, "roots version %d expired at %s: publish the roots that follow as %s%d",
			r.version, end.Format(keydoc.TimeFormat), keydoc.RootsDir, r.version+1)
	}
	return nil
}

// NewRoots makes roots of version (at least 1): a bundle needs the signatures of threshold of the keys. A
// threshold of 0 means 1 for a single key and is refused for several.
func NewRoots(version int64, threshold int, list ...*keys.Verifier) (*Roots, error) {
	r := &Roots{version: version, threshold: threshold, keys: slices.Clone(list)}
	if threshold == 0 && len(list) == 1 {
		r.threshold = 1
	}
	if err := r.check(); err != nil {
		return nil, &BundleError{Why: WhyMalformed, Err: err}
	}
	sortByID(r.keys)
	return r, nil
}

func sortByID(list []*keys.Verifier) {
	slices.SortFunc(list, func(x, y *keys.Verifier) int { return strings.Compare(x.KeyID(), y.KeyID()) })
}

// WithTimestampKeys is a copy of r that names these keys as its timestamp keys: at most 16, and no root keys.
// A bundle then counts only together with a Timestamp that one of them signed. Without any keys, bundles need
// no timestamp.
func (r *Roots) WithTimestampKeys(list ...*keys.Verifier) (*Roots, error) {
	c := *r
	c.timestampKeys = slices.Clone(list)
	if err := c.check(); err != nil {
		return nil, &BundleError{Why: WhyMalformed, Err: err}
	}
	sortByID(c.timestampKeys)
	return &c, nil
}

// TimestampKeys are the keys that sign timestamps, in the order of their IDs. If there are none, bundles need
// no timestamp.
func (r *Roots) TimestampKeys() []*keys.Verifier { return slices.Clone(r.timestampKeys) }

func (r *Roots) needTimestamps() bool { return r != nil && len(r.timestampKeys) > 0 }

func (r *Roots) check() error {
	switch {
	case r.version < 1 || r.version > maxBundleVersion:
		return errors.New("roots: the version is not within 1 to 2^53-1")
	case len(r.keys) == 0 || len(r.keys) > maxRoots:
		return fmt.Errorf("roots: %d keys, not 1 to %d", len(r.keys), maxRoots)
	case r.threshold == 0:
		return errors.New("roots: the threshold is missing: say how many of the keys must sign")
	case r.threshold < 0 || r.threshold > len(r.keys):
		return fmt.Errorf("roots: the threshold is %d, and the number of keys is %d", r.threshold,
			len(r.keys))
	case len(r.timestampKeys) > maxRoots:
		return fmt.Errorf("roots: more than %d timestamp keys", maxRoots)
	case min(r.limits.MinBundle, r.limits.MinTimestamp) < 0,
		max(r.limits.MinBundle, r.limits.MinTimestamp) > maxBundleVersion:
		return errors.New("roots: min_bundle or min_timestamp is not within 1 to 2^53-1")
	case !writable(r.limits.Expires):
		return errors.New("roots: the year of expires is not within 1 to 9999")
	}
	seen := map[string]bool{}
	for _, k := range slices.Concat(r.keys, r.timestampKeys) { // one that is on line cannot be kept off line
		if k == nil || seen[k.KeyID()] {
			return errors.New("roots: a key is missing or stands twice")
		}
		seen[k.KeyID()] = true
	}
	return nil
}

// Version is the version of the roots, which only grows.
func (r *Roots) Version() int64 { return r.version }

// Threshold is how many distinct root keys must sign.
func (r *Roots) Threshold() int { return r.threshold }

// Keys are the root keys, in the order of their IDs.
func (r *Roots) Keys() []*keys.Verifier { return slices.Clone(r.keys) }

// Payload is the roots file as canonical JSON: {"keys","threshold","version"}, and "timestamp_keys",
// "expires", "min_bundle" and "min_timestamp" if there are any. Consumers can pin it without signatures as
// their first roots file.
func (r *Roots) Payload() []byte {
	appendJWK := func(dst []byte, v *keys.Verifier) []byte { return append(dst, v.JWK()...) }
	var o keydoc.Object
	o.Raw("keys", keydoc.AppendArray(nil, r.keys, appendJWK))
	o.Time("expires", r.limits.Expires)
	if r.limits.MinBundle > 0 {
		o.Int("min_bundle", r.limits.MinBundle)
	}
	if r.limits.MinTimestamp > 0 {
		o.Int("min_timestamp", r.limits.MinTimestamp)
	}
	o.Int("threshold", int64(r.threshold))
	if len(r.timestampKeys) > 0 {
		o.Raw("timestamp_keys", keydoc.AppendArray(nil, r.timestampKeys, appendJWK))
	}
	o.Int("version", r.version)
	return o.Append(nil)
}

// SignRoots signs a roots file. The successor of a roots file needs the threshold of the old root keys and
// the threshold of the new ones.
func SignRoots(ctx context.Context, r *Roots, roots ...RootSigner) ([]byte, error) {
	if r == nil {
		return nil, errors.New("trust: no roots file to sign")
	}
	return signPayload(ctx, keydoc.RootsType, r.Payload(), roots)
}

// ParseRoots reads the roots file that a consumer pins. The file must come from a trusted place, because its
// content is believed. It is bare JSON, or it is signed by a threshold of its own keys. Its JSON need not be
// canonical, but has no unknown members.
func ParseRoots(doc []byte) (*Roots, error) {
	if len(doc) > keydoc.MaxSigned {
		return nil, refuse(WhyTooLarge, "more than %d bytes", keydoc.MaxSigned)
	}
	var r *Roots
	var err error
	if isEnvelope(doc) {
		r, err = openRoots(doc)
	} else {
		r, err = parseRootsPayload(doc)
	}
	return r, explainedRefusal(doc, err, "a roots file", filekind.Roots, filekind.SignedRoots)
}

// UnmarshalJSON fills zero Roots as ParseRoots does. Roots that are filled already refuse it.
func (r *Roots) UnmarshalJSON(doc []byte) error {
	if r.threshold != 0 {
		return refuse(WhyMalformed, "roots: these are filled already: read others into new ones")
	}
	parsed, err := ParseRoots(doc)
	if err != nil {
		return err
	}
	*r = *parsed
	return nil
}

// isEnvelope reports whether doc is an object with a member "payloadType".
func isEnvelope(doc []byte) bool {
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); r.SkipValue() {
		if string(obj.Name) == "payloadType" {
			return true
		}
	}
	return false
}

// openRoots reads a signed roots file and verifies it under its own keys.
func openRoots(signed []byte) (*Roots, error) {
	e, err := parseSigned(signed)
	if err != nil {
		return nil, err
	}
	if e.PayloadType != keydoc.RootsType {
		return nil, refuse(WhyType, "payload type %q is not that of a roots file", keydoc.Clip(e.PayloadType))
	}
	r, err := parseRootsPayload(e.Payload)
	if err != nil {
		return nil, err
	}
	if err := r.verify(e); err != nil {
		return nil, err
	}
	return r, nil
}

// Next reads the roots that follow r, as they are published in roots/ beside the bundle: at most 256 KiB,
// with a payload in canonical JSON. Their version is one more than that of r, and they have signatures of the
// threshold of the old and of the new root keys. Neither r nor they need to be in force still.
func (r *Roots) Next(signed []byte) (*Roots, error) {
	if len(signed) > keydoc.MaxRoots {
		return nil, refuse(WhyTooLarge, "roots of more than %d bytes", keydoc.MaxRoots)
	}
	e, err := parseSigned(signed)
	if err != nil {
		return nil, err
	}
	if e.PayloadType != keydoc.RootsType {
		return nil, refuse(WhyType, "payload type %q is not that of a roots file", keydoc.Clip(e.PayloadType))
	}
	if err := r.verify(e); err != nil {
		return nil, fmt.Errorf("trust: under the old roots: %w", err)
	}
	next, err := openRoots(signed)
	switch {
	case err != nil:
		return nil, err
	case string(next.Payload()) != string(e.Payload):
		return nil, &BundleError{Why: WhyMalformed, Err: fmt.Errorf("roots: %w", keydoc.ErrNotCanonical)}
	case next.version <= r.version:
		return nil, refuse(WhyRollback, "roots version %d does not follow %d", next.version, r.version)
	case next.version > r.version+1:
		return nil, refuse(WhyNewerRoots, "roots version %d follows %d, and version %d is at hand", next.version,
			next.version-1, r.version)
	}
	return next, nil
}

func parseRootsPayload(doc []byte) (*Roots, error) {
	var version int64
	var threshold int
	var list, timestampKeys []*keys.Verifier
	var limits RootsLimits
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "version":
			version = r.Int()
		case "threshold":
			threshold = readThreshold(&r)
		case "keys":
			list = readRootKeys(&r)
		case "timestamp_keys":
			if timestampKeys = readRootKeys(&r); len(timestampKeys) == 0 {
				r.Failf("timestamp_keys is empty: leave it out")
			}
		case "expires":
			limits.Expires = keydoc.ReadTime(&r)
		case "min_bundle":
			limits.MinBundle = readFloor(&r)
		case "min_timestamp":
			limits.MinTimestamp = readFloor(&r)
		default:
			r.Failf("unknown member %q", keydoc.Clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, &BundleError{Why: WhyMalformed, Err: fmt.Errorf("roots: %w", err)}
	}
	roots, err := NewRoots(version, threshold, list...)
	if err == nil && len(timestampKeys) > 0 {
		roots, err = roots.WithTimestampKeys(timestampKeys...)
	}
	if err == nil && limits != (RootsLimits{}) {
		roots, err = roots.WithLimits(limits)
	}
	return roots, err
}

// readFloor reads a version. A floor of 0 would say nothing, and is left out.
func readFloor(r *jsontext.Decoder) int64 {
	n := r.Int()
	if n < 1 || n > maxBundleVersion {
		r.Failf("min_bundle or min_timestamp is not within 1 to 2^53-1")
	}
	return n
}

func readThreshold(r *jsontext.Decoder) int {
	n := r.Int()
	if n < 1 || n > maxRoots {
		r.Failf("threshold is not within 1 to %d", maxRoots)
		return 0
	}
	return int(n)
}

func readRootKeys(r *jsontext.Decoder) []*keys.Verifier {
	var list []*keys.Verifier
	for a := r.Array(); r.Element(&a); {
		if len(list) == maxRoots {
			r.Failf("more than %d keys", maxRoots)
			return nil
		}
		k, err := keys.ParseJWK(r.ReadValue())
		if err != nil {
			r.Failf("keys[%d]: %w", len(list), err)
			return nil
		}
		list = append(list, k)
	}
	return list
}

// verify counts the distinct root keys whose signature is good. A signature is tried only with the root key
// that it names.
func (r *Roots) verify(e *dsse.Envelope) error {
	if r == nil || r.threshold < 1 { // not made by NewRoots: no signature at all would be enough
		return refuse(WhyThreshold,
			"no roots to verify the signatures with: make them with ParseRoots or NewRoots")
	}
	if good := countSigners(e, r.keys); good < r.threshold {
		return refuse(WhyThreshold, "signed by %d of the root keys, but %d must sign (roots version %d)", good,
			r.threshold, r.version)
	}
	return nil
}

// verifyTimestamp wants a good signature of one timestamp key.
func (r *Roots) verifyTimestamp(e *dsse.Envelope) error {
	switch {
	case !r.needTimestamps():
		return refuse(WhyThreshold, "the roots name no timestamp keys")
	case countSigners(e, r.timestampKeys) == 0:
		return refuse(WhyThreshold, "signed by none of the timestamp keys (roots version %d)", r.version)
	}
	return nil
}

// countSigners is how many of the keys made a good signature.
func countSigners(e *dsse.Envelope, list []*keys.Verifier) int {
	message := dsse.PAE(nil, e.PayloadType, e.Payload)
	good := map[string]bool{}
	for _, s := range e.Signatures {
		if k := findKey(list, s.KeyID); k != nil && !good[s.KeyID] && k.Verify(message, s.Sig) {
			good[s.KeyID] = true
		}
	}
	return len(good)
}

func findKey(list []*keys.Verifier, id string) *keys.Verifier {
	for _, k := range list {
		if k.KeyID() == id {
			return k
		}
	}
	return nil
}
