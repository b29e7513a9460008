package envelope

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// opening is one event on its way through the checks. What a step has verified, the next ones use.
type opening struct {
	opts   *OpenOptions
	in     *wire.Event    // as received: unverified until checkDigests
	detail *wire.Delivery // not nil: the data is the rest of this EventBridge detail, and only its canonical form has bytes
	env    dsse.Envelope

	now  time.Time // read after the bundle is at hand: fetching it may have taken long
	skew time.Duration

	payload  *wire.Payload
	time     string           // the verified text of the attribute time
	data     []byte           // the bytes whose digest was signed
	dataSum  digest           // SHA-256 of data
	leftOut  bool             // detail.Ignored is no part of what was signed
	exts     []wire.Attribute // the verified extensions
	sealed   time.Time        // verified recordedtime, else verified time; zero = neither
	expiry   time.Time        // verified expirytime
	failed   failure
	counted  []valid
	bundle   *trust.Bundle // by which they count
	producer string

	// Room for what most events need, so that it takes no allocations of its own.
	hash        wire.Hasher
	validRoom   [2]valid
	countRoom   [2]valid
	secondsRoom [20]byte
	docRoom     [3 << 9]byte
	paeRoom     [760]byte
}

func newOpening(in *wire.Event, opts *OpenOptions) *opening {
	if opts == nil {
		opts = &OpenOptions{}
	}
	o := &opening{in: in, opts: opts, skew: opts.Skew}
	if o.skew == 0 {
		o.skew = DefaultSkew
	}
	return o
}

// readMaterial reads dssematerial: is the event signed, in a form that we know?
func (o *opening) readMaterial() *Error {
	if o.in.Material == "" {
		return reject(ReasonUnsigned, "no attribute dssematerial")
	}
	doc, err := jsontext.DecodeBase64(o.docRoom[:0], []byte(o.in.Material))
	if err != nil {
		return reject(ReasonMalformed, "dssematerial is not strict base64")
	}
	env := &o.env
	err = env.Read(doc)
	switch {
	case errors.Is(err, dsse.ErrTooMany):
		return reject(ReasonTooLarge, "dssematerial has more than %d signatures", dsse.MaxSignatures)
	case err != nil:
		return reject(ReasonMalformed, "dssematerial: %v", err)
	case delegations(env) > MaxDelegations:
		return reject(ReasonTooLarge, "dssematerial has more than %d delegations", MaxDelegations)
	case env.PayloadType != wire.PayloadType:
		return reject(ReasonUnsupported, "payload type %.100q", env.PayloadType)
	}
	return nil
}

func delegations(env *dsse.Envelope) (n int) {
	for i := range env.Signatures {
		if env.Signatures[i].Delegation != nil {
			n++
		}
	}
	return n
}

// authenticate verifies signatures, digests and what the keys may do. If a key is unknown and nothing else
// decided, it looks once for a newer bundle: only a bundle that was just checked may say that a key is
// unknown.
func (o *opening) authenticate(ctx context.Context, trust trust.Source) *Error {
	if err := nilcheck.Check("the trust", trust); err != nil {
		return unavailable(fmt.Errorf("%w: %w", trust.ErrUnavailable, err))
	}
	bundle, err := trust.Bundle(ctx)
	if err != nil {
		return unavailable(err)
	}
	verdict, unknown := o.judge(bundle)
	if verdict == nil || !unknown.is {
		return verdict
	}
	live, ok := trust.(trust.Refresher)
	if !ok {
		return verdict
	}
	fresh, err := live.Refresh(ctx, unknown.keyID)
	if err != nil {
		return unavailable(err)
	}
	if fresh == bundle {
		return verdict // a forger's event costs its verifications once
	}
	verdict, _ = o.judge(fresh)
	return verdict
}

func unavailable(err error) *Error {
	return &Error{Reason: ReasonTrustUnavailable, Cause: err.Error(), Err: err}
}

// unknown says that a newer bundle may have the key of a signature.
type unknown struct {
	is    bool
	keyID string // "" = the signature names none
}

// judge holds the event against one bundle, and says whether a newer one may have a key that this one has
// not.
func (o *opening) judge(bundle *trust.Bundle) (verdict *Error, missing unknown) {
	o.failed = failure{}
	o.now = clock(o.opts.Now)
	if bundle == nil {
		return unavailable(trust.ErrUnavailable), unknown{}
	}
	if end := bundle.Expires(); !end.IsZero() && !o.now.Before(end) {
		return reject(ReasonTrustUnavailable, "the trust bundle expired at %s", end.UTC().Format(time.RFC3339)), unknown{}
	}
	signed, missing := o.verified(&o.env, bundle)
	if len(signed) == 0 {
		return o.failed.verdict(), missing
	}
	if err := o.checkDigests(); err != nil {
		return err, unknown{}
	}
	o.counted = o.countRoom[:0]
	for i := range signed {
		if o.counts(&signed[i], bundle) {
			o.counted = append(o.counted, signed[i])
		}
	}
	if len(o.counted) == 0 {
		return o.failed.verdict(), missing
	}
	o.bundle = bundle
	o.nameProducer()
	return o.checkAlgorithms(), missing
}

func clock(now func() time.Time) time.Time {
	if now == nil {
		return time.Now()
	}
	return now()
}

// nameProducer says who sealed the event: whom the payload names (counts saw that the keys are its), or for
// an event of another implementation, the producer of the lowest key ID among those that meet the required
// algorithms. Signatures of others are then forgotten.
func (o *opening) nameProducer() {
	slices.SortFunc(o.counted, func(a, b valid) int { return strings.Compare(a.key.KeyID(), b.key.KeyID()) })
	o.producer = o.counted[0].key.Producer
	for i := range o.counted {
		if p := o.counted[i].key.Producer; o.missing(p) == "" {
			o.producer = p
			break
		}
	}
	o.counted = slices.DeleteFunc(o.counted, func(v valid) bool { return v.key.Producer != o.producer })
}

// checkDigests reads the payload, whose signature verified, and holds the event against it.
func (o *opening) checkDigests() *Error {
	if o.payload != nil {
		return nil // done under an earlier bundle; it does not depend on keys
	}
	p, err := wire.ParsePayload(o.env.Payload, o.in)
	switch {
	case errors.Is(err, wire.ErrVersion):
		return reject(ReasonUnsupported, "%v", err)
	case errors.Is(err, wire.ErrLimit):
		return reject(ReasonTooLarge, "signed payload: %v", err)
	case err != nil:
		return reject(ReasonMalformed, "signed payload: %v", err)
	}
	for _, name := range p.Names {
		if twin := o.in.CaseTwin(name); twin != "" {
			return reject(ReasonMalformed, "%.80q is the signed attribute %s but for the case of its letters, "+
				"and some readers ignore case", twin, name)
		}
	}
	if e := o.checkCore(p); e != nil {
		return e
	}
	if e := o.checkExtensions(p); e != nil {
		return e
	}
	o.payload = p
	o.readTimes()
	return nil
}

// checkCore compares the digest of core attributes and data, and settles the exact text of time.
func (o *opening) checkCore(p *wire.Payload) *Error {
	seconds, at, err := appendSeconds(o.secondsRoom[:0], o.in.Time)
	if err != nil {
		return reject(ReasonMalformed, "time: %v", err)
	}
	if !o.matchCore(p, seconds) {
		return o.modified(p)
	}
	if p.Profile == nil {
		o.time = string(seconds)
		return nil
	}
	o.time = p.Profile.Time
	if o.time == o.in.Time {
		return nil
	}
	if o.time == "" || o.in.Time == "" || wire.FormatTime(at) != o.time {
		e := reject(ReasonModified, "time is not the instant that was signed")
		if hint := o.timeHint(p); hint != "" {
			e.Cause += "; " + hint
		}
		return e
	}
	return nil
}

// appendSeconds appends what the standard hashes for the attribute time: nothing if it is absent.
func appendSeconds(dst []byte, text string) ([]byte, time.Time, error) {
	if text == "" {
		return dst, time.Time{}, nil
	}
	at, err := wire.ParseTime(text)
	if err != nil {
		return dst, at, err
	}
	return wire.AppendSeconds(dst, at), at, nil
}

// matchCore finds the bytes of data under which the core digest is the signed one: those received, or their
// canonical form if the data is JSON that was re-serialised on its way. Of a detail, there is one more
// attempt: without what hops are known to add to it.
func (o *opening) matchCore(p *wire.Payload, seconds []byte) bool {
	if o.in.Form == wire.NoData {
		o.dataSum = wire.Absent
		sum := o.hash.CoreDigest(o.in, seconds, &o.dataSum)
		return equalDigest(&sum, &p.Core)
	}
	if (o.in.Canonical || o.detail == nil) && o.matchData(p, seconds, o.in.Data) {
		return true
	}
	if o.in.Form == wire.JSONData && !o.in.Canonical {
		form, err := o.in.Document.AppendCanonical(nil)
		if err == nil && o.matchData(p, seconds, form) {
			return true
		}
	}
	if o.detail == nil || len(o.detail.Ignored) == 0 {
		return false
	}
	form, err := jsontext.AppendCanonical(nil, o.detail.WithoutIgnored())
	o.leftOut = err == nil && o.matchData(p, seconds, form)
	return o.leftOut
}

// matchData tries these bytes. They stay in o.data, and are verified if it matches.
func (o *opening) matchData(p *wire.Payload, seconds, data []byte) bool {
	o.data, o.dataSum = data, sha256.Sum256(data)
	sum := o.hash.CoreDigest(o.in, seconds, &o.dataSum)
	return equalDigest(&sum, &p.Core)
}

// readTimes takes the time of sealing and the expiry from what was verified.
func (o *opening) readTimes() {
	text := o.time
	for i := range o.exts {
		switch o.exts[i].Name {
		case attrRecordedTime:
			text = o.exts[i].Value
		case attrExpiryTime:
			o.expiry, _ = wire.ParseTime(o.exts[i].Value)
		}
	}
	if text != "" {
		o.sealed, _ = wire.ParseTime(text)
	}
}

// checkAlgorithms meets a policy of required algorithms with counted signatures only.
func (o *opening) checkAlgorithms() *Error {
	if want := o.missing(o.producer); want != "" {
		return reject(ReasonBadSignature, "no counted signature by %s, which this consumer requires", want)
	}
	return nil
}

// missing is the first required algorithm by which the producer has no counted signature, or "".
func (o *opening) missing(producer string) keys.Algorithm {
	for _, want := range o.opts.RequiredAlgorithms {
		if !slices.ContainsFunc(o.counted, func(v valid) bool {
			return v.key.Producer == producer && v.algorithm() == want
		}) {
			return want
		}
	}
	return ""
}

// algorithm is the one that signed the event: a delegated signature has its session key's.
func (v *valid) algorithm() keys.Algorithm {
	if v.session != nil {
		return v.session.session.Algorithm()
	}
	return v.key.Algorithm()
}

func (o *opening) checkOuter() *Error {
	switch outer := o.opts.Outer; {
	case outer == nil:
		return nil
	case outer.Source != o.in.Source:
		return reject(ReasonEnvelopeMismatch, "the transport says source %.100q, signed is %.100q", outer.Source, o.in.Source)
	case outer.DetailType != o.in.Type:
		return reject(ReasonEnvelopeMismatch, "the transport says detail-type %.100q, signed is type %.100q", outer.DetailType, o.in.Type)
	}
	return nil
}

// unfitSource says why no pattern allows the source, where that is so: one may seem to cover it.
func unfitSource(source string) string {
	if err := keys.CheckSource(source); err != nil {
		return ": no key may: " + err.Error()
	}
	return ""
}

func (o *opening) checkAllowlist() *Error {
	if o.opts.Sources != nil && !keys.MatchSource(o.opts.Sources, o.in.Source) {
		return reject(ReasonSourceNotAllowed, "this consumer does not allow source %.200q%s", o.in.Source, unfitSource(o.in.Source))
	}
	if o.opts.Types != nil && !keys.MatchType(o.opts.Types, o.in.Type) {
		return reject(ReasonTypeNotAllowed, "this consumer does not allow type %.200q", o.in.Type)
	}
	return nil
}

// checkAudience looks for our name among the space-separated names of the verified audience.
func (o *opening) checkAudience() *Error {
	want := o.opts.Audience
	if want == "" {
		return nil
	}
	for i := range o.exts {
		if o.exts[i].Name != attrAudience {
			continue
		}
		for name := range strings.SplitSeq(o.exts[i].Value, " ") {
			if name == want {
				return nil
			}
		}
		return reject(ReasonAudienceMismatch, "sealed for %.100q, this is %.100q", o.exts[i].Value, want)
	}
	return reject(ReasonAudienceMismatch, "no audience is signed, this is %.100q", want)
}

// checkFreshness judges expirytime always and the age of the event when there is a window. Both ends of the
// window are judged on what the producer signed, at one reading of our clock.
func (o *opening) checkFreshness() *Error {
	if !o.expiry.IsZero() && !o.now.Before(o.expiry) {
		return reject(ReasonExpired, "expirytime was %s", o.expiry.UTC().Format(time.RFC3339))
	}
	if o.opts.MaxAge == 0 {
		return nil
	}
	switch age := o.now.Sub(o.sealed); {
	case o.sealed.IsZero() && o.opts.UnsafeAllowUndated:
	case o.sealed.IsZero():
		return reject(ReasonUndated, "neither recordedtime nor time is signed")
	case age < -o.skew:
		return reject(ReasonFromFuture, "sealed at %s, which is %s from now",
			o.sealed.UTC().Format(time.RFC3339), howlong.Text(age))
	case age > o.opts.MaxAge:
		return reject(ReasonExpired, "sealed at %s, %s ago; the window is %s",
			o.sealed.UTC().Format(time.RFC3339), howlong.Text(age), o.opts.MaxAge)
	}
	return nil
}
