package trust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
)

// BundleWhy says, for programs, why a bundle, a roots file or a timestamp was refused.
type BundleWhy string

// The values of BundleWhy.
const (
	WhyMalformed  BundleWhy = "malformed"  // syntax, a key that may not stand there, unknown members
	WhyTooLarge   BundleWhy = "too_large"  // too many bytes, keys or signatures
	WhyType       BundleWhy = "wrong_type" // signed as another kind of document
	WhyThreshold  BundleWhy = "threshold"  // too few distinct root keys signed it
	WhyExpired    BundleWhy = "expired"    // its time is over
	WhyRollback   BundleWhy = "rollback"   // a lower version than was seen or than is wanted
	WhyEquivocate BundleWhy = "equivocate" // the same version as was seen, with another content

	WhyFuture      BundleWhy = "from_future"  // a timestamp that is issued later than now
	WhyNoTimestamp BundleWhy = "no_timestamp" // it counts only with a timestamp, and there is none
	WhyOtherBundle BundleWhy = "other_bundle" // not the bundle that the timestamp names
	WhyNewerRoots  BundleWhy = "newer_roots"  // it names or follows roots that are not at hand
	WhyLifetime    BundleWhy = "lifetime"     // it lives longer than such a bundle may
)

// BundleError is why a bundle, a roots file or a timestamp was refused.
type BundleError struct {
	Why BundleWhy
	Err error
}

func (e *BundleError) Error() string {
	return "trust: refused (" + string(e.Why) + "): " + e.Err.Error()
}

// Unwrap is the cause.
func (e *BundleError) Unwrap() error { return e.Err }

// explainedRefusal is err, or an error with the same Why that says which kind of file doc is, if doc is not
// the kind that was expected.
func explainedRefusal(doc []byte, err error, expected string, kinds ...filekind.Kind) error {
	var refusal *BundleError
	if err == nil || !errors.As(err, &refusal) || refusal.Why != WhyMalformed && refusal.Why != WhyType {
		return err
	}
	why := keydoc.Explained(doc, refusal.Err, expected, kinds...)
	if why == refusal.Err {
		return err
	}
	return &BundleError{Why: refusal.Why, Err: why}
}

func refuse(why BundleWhy, format string, args ...any) error {
	return &BundleError{Why: why, Err: fmt.Errorf(format, args...)}
}

// RootSigner signs bundles and roots files. Every keys.Signer is a RootSigner, so a root key can also live in
// a key management service.
type RootSigner interface {
	Verifier() *keys.Verifier
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// SignBundle signs the bundle, which needs a version, issued and expires, with at least one root key.
func SignBundle(ctx context.Context, b *Bundle, roots ...RootSigner) ([]byte, error) {
	if b == nil {
		return nil, errors.New("trust: no bundle to sign")
	}
	payload := b.Payload()
	if _, err := ParseBundle(payload); err != nil {
		return nil, fmt.Errorf("trust: this bundle cannot be published: %w", err)
	}
	return signPayload(ctx, keydoc.BundleType, payload, roots)
}

func signPayload(ctx context.Context, payloadType string, payload []byte,
	roots []RootSigner) ([]byte, error) {
	if len(roots) == 0 {
		return nil, errors.New("trust: no root key to sign with")
	}
	if err := nilcheck.Each("trust: roots", roots); err != nil {
		return nil, err
	}
	e := &dsse.Envelope{PayloadType: payloadType, Payload: payload}
	for _, root := range roots {
		if err := sign(ctx, e, root); err != nil {
			return nil, err
		}
	}
	return e.Append(nil), nil
}

// AddSignature adds a root key's signature to a signed bundle or roots file. It checks the payload, and not
// the other signatures. An earlier signature of the same key is replaced.
func AddSignature(ctx context.Context, signed []byte, root RootSigner) ([]byte, error) {
	if err := nilcheck.Check("trust: the root key", root); err != nil {
		return nil, err
	}
	e, err := parseSigned(signed)
	if err != nil {
		return nil, err
	}
	switch e.PayloadType {
	case keydoc.BundleType:
		_, err = ParseBundle(e.Payload)
	case keydoc.RootsType:
		_, err = parseRootsPayload(e.Payload)
	default:
		err = refuse(WhyType, "payload type %q is neither a bundle nor a roots file",
			keydoc.Clip(e.PayloadType))
	}
	if err != nil {
		return nil, err
	}
	if err := sign(ctx, e, root); err != nil {
		return nil, err
	}
	return e.Append(nil), nil
}

func sign(ctx context.Context, e *dsse.Envelope, root RootSigner) error {
	id := root.Verifier().KeyID()
	e.Signatures = slices.DeleteFunc(e.Signatures, func(s dsse.Signature) bool { return s.KeyID == id })
	if len(e.Signatures) == dsse.MaxSignatures {
		return refuse(WhyTooLarge, "more than %d signatures", dsse.MaxSignatures)
	}
	sig, err := root.Sign(ctx, dsse.PAE(nil, e.PayloadType, e.Payload))
	if err != nil {
		return err
	}
	e.Signatures = append(e.Signatures, dsse.Signature{KeyID: id, Sig: sig})
	return nil
}

func parseSigned(signed []byte) (*dsse.Envelope, error) {
	if len(signed) > keydoc.MaxSigned {
		return nil, refuse(WhyTooLarge, "more than %d bytes", keydoc.MaxSigned)
	}
	e, err := dsse.Parse(signed)
	switch {
	case errors.Is(err, dsse.ErrTooMany):
		return nil, &BundleError{Why: WhyTooLarge, Err: err}
	case err != nil:
		return nil, &BundleError{Why: WhyMalformed, Err: err}
	}
	return e, nil
}

// refusalOf names the document that is refused: a person who opens several has to know which one it is.
func refusalOf(document string, err error) error {
	refusal, ok := err.(*BundleError)
	if !ok {
		return err
	}
	return &BundleError{Why: refusal.Why, Err: fmt.Errorf("%s: %w", document, refusal.Err)}
}

// OpenBundle verifies a signed bundle under the roots and reads it. Every refusal is a *BundleError. Of the
// options it takes Now, MinVersion, Timestamp and UnsafeNoTimestamp.
func OpenBundle(signed []byte, roots *Roots, opts *Options) (*Bundle, error) {
	if opts == nil {
		opts = &Options{}
	}
	if opts.StateFile != "" || opts.Client != nil {
		return nil, errors.New("trust: StateFile and Client are not for OpenBundle: it only reads the bundle")
	}
	now := clockOr(opts.Now)()
	b, err := openLive(signed, roots, opts.MinVersion, now)
	switch {
	case err != nil:
		return nil, err
	case opts.UnsafeNoTimestamp:
		return b, nil
	case roots.needTimestamps():
		return openWithTimestamp(b, roots, opts.Timestamp, now)
	}
	return b.until(roots.limits.Expires), nil
}

// openLive verifies a signed bundle and reads it as it was signed. Neither it nor its roots have expired.
func openLive(signed []byte, roots *Roots, minVersion int64, now time.Time) (*Bundle, error) {
	b, err := openAnyTime(signed, roots)
	if err != nil {
		return nil, err
	}
	if b.version < minVersion {
		return nil, refuse(WhyRollback, "version %d is lower than %d, which is the lowest wanted", b.version,
			minVersion)
	}
	if err := roots.checkTime(now); err != nil {
		return nil, err
	}
	if !now.Before(b.expires) {
		return nil, refuse(WhyExpired, "bundle %d expired at %s: build and sign a new one", b.version,
			b.expires.Format(keydoc.TimeFormat))
	}
	return b, nil
}

// openWithTimestamp is the bundle as the signed timestamp has it.
func openWithTimestamp(b *Bundle, roots *Roots, signed []byte, now time.Time) (*Bundle, error) {
	if signed == nil {
		return nil, refuse(WhyNoTimestamp, "the roots name timestamp keys: give the timestamp beside the bundle")
	}
	ts, err := openTimestamp(signed, roots)
	if err != nil {
		return nil, err
	}
	h, err := judge(&holding{chain: chainOf(roots)}, ts, b, 0, now)
	if err != nil {
		return nil, err
	}
	return h.view, nil
}

// openAnyTime verifies a signed bundle and reads it, also if it has expired.
func openAnyTime(signed []byte, roots *Roots) (*Bundle, error) {
	if roots == nil {
		return nil, errors.New("trust: no roots to verify the bundle with: ParseRoots reads the roots file")
	}
	e, err := parseSigned(signed)
	if err == nil && e.PayloadType != keydoc.BundleType {
		err = refuse(WhyType, "payload type %q is not that of a bundle", keydoc.Clip(e.PayloadType))
	}
	if err != nil {
		return nil, explainedRefusal(signed, refusalOf("bundle", err), "a signed trust bundle", filekind.SignedBundle)
	}
	if err := roots.verify(e); err != nil {
		return nil, err
	}
	b, err := ParseBundle(e.Payload)
	if err != nil {
		return nil, err
	}
	if err := roots.checkLife(b); err != nil {
		return nil, err
	}
	return b, nil
}

// checkLife refuses a bundle that is older, or lives longer, than its roots allow. Roots without timestamp
// keys leave that to the builder of the bundle, but a bundle that needs a timestamp is not for them.
func (r *Roots) checkLife(b *Bundle) error {
	switch life := b.expires.Sub(b.issued); {
	case b.version < r.limits.MinBundle:
		return refuse(WhyRollback, "bundle %d, and the roots want %d at least", b.version, r.limits.MinBundle)
	case !r.needTimestamps() && b.needsTimestamp:
		return refuse(WhyNoTimestamp,
			"bundle %d counts only with a timestamp, and the roots name no timestamp keys", b.version)
	case !r.needTimestamps():
		return nil
	case life > keydoc.MaxVouchedFor, life > MaxBundleLifetime && !b.needsTimestamp:
		return refuse(WhyLifetime, "bundle %d lives for %s: at most %s, or %s with \"timestamp\":%q", b.version,
			howlong.Text(life), howlong.Text(MaxBundleLifetime), howlong.Text(keydoc.MaxVouchedFor),
			timestampRequired)
	}
	return nil
}

func clockOr(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}
