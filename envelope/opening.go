package envelope

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// opening is one event on its way through the steps of Opener.Open. A step keeps here what it has verified,
// and the next ones use it.
type opening struct {
	*Opener
	step    Step
	account string // that a service wrote; "" = none did
	outer   *Outer // what the transport says of the event; nil = nothing

	in *wire.Event // as received: unverified until checkDigests
	// not nil: the data is what is left of this EventBridge detail, and only its canonical form has bytes
	detail *wire.Delivery
	env    dsse.Envelope // of the attribute dssematerial

	now           time.Time // read after the bundle is at hand: fetching it may have taken long
	bundleExpires time.Time // of the latest bundle at hand; zero = never, or none was

	// Verified by checkDigests.
	payload *wire.Payload
	time    string           // the text of the attribute time
	data    []byte           // the bytes whose digest was signed
	dataSum digest           // SHA-256 of data
	leftOut bool             // detail.Ignored is no part of what was signed
	exts    []wire.Attribute // the extensions
	sealed  time.Time        // recordedtime, else time; zero = neither
	expiry  time.Time        // expirytime

	// Found by judge.
	counted  []valid // the signatures that count, all of one producer
	producer string
	bundle   *trust.Bundle // by which they count

	// Room for what most events need, so that it takes no allocations of its own.
	hash        wire.Hasher
	validRoom   [2]valid
	countRoom   [2]valid
	secondsRoom [20]byte
	docRoom     [3 << 9]byte
	paeRoom     [760]byte
}

// readMaterial reads the attribute dssematerial: is the event signed, in a form that we know?
func (o *opening) readMaterial() *Error {
	if o.in.Material == "" {
		return reject(ReasonUnsigned, "no attribute dssematerial")
	}
	doc, err := jsontext.Base64.AppendDecode(o.docRoom[:0], []byte(o.in.Material))
	if err != nil {
		return reject(ReasonMalformed, "dssematerial is not strict base64")
	}
	env := &o.env
	if err := env.Read(doc); errors.Is(err, dsse.ErrTooMany) {
		return reject(ReasonTooLarge, "dssematerial has more than %d signatures", dsse.MaxSignatures)
	} else if err != nil {
		return reject(ReasonMalformed, "dssematerial: %v", err)
	}
	delegated := 0
	for i := range env.Signatures {
		if env.Signatures[i].Delegation != nil {
			delegated++
		}
	}
	switch {
	case delegated > MaxDelegations:
		return reject(ReasonTooLarge, "dssematerial has more than %d delegations", MaxDelegations)
	case env.PayloadType != wire.PayloadType:
		return reject(ReasonUnsupported, "payload type %.100q", env.PayloadType)
	}
	return nil
}

// authenticate verifies signatures, digests and what the keys may do. If a key is unknown and nothing else
// decided, it looks once for a newer bundle: only a bundle that was just checked may say that a key is
// unknown.
func (o *opening) authenticate(ctx context.Context) *Error {
	bundle, err := o.trust.Bundle(ctx)
	if err != nil {
		return unavailable(err)
	}
	verdict, unknown := o.judge(bundle)
	if verdict == nil || !unknown.is {
		return verdict
	}
	live, ok := o.trust.(trust.Refresher)
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

// judge holds the event against one bundle, and says whether a newer one may have a key that this one does
// not have.
func (o *opening) judge(bundle *trust.Bundle) (verdict *Error, missing unknown) {
	o.now = o.step.Now()
	if bundle == nil {
		return unavailable(trust.ErrUnavailable), unknown{}
	}
	o.bundleExpires = bundle.Expires()
	if end := o.bundleExpires; !end.IsZero() && !o.now.Before(end) {
		return reject(ReasonTrustUnavailable, "the trust bundle expired at %s",
			end.UTC().Format(time.RFC3339)), unknown{}
	}
	var failed failure
	signed, missing := o.verified(bundle, &failed)
	if len(signed) == 0 {
		return failed.verdict(), missing
	}
	if err := o.checkDigests(); err != nil {
		return err, unknown{}
	}
	o.counted, o.bundle = o.countRoom[:0], bundle
	for i := range signed {
		if o.counts(&signed[i], &failed) {
			o.counted = append(o.counted, signed[i])
		}
	}
	if len(o.counted) == 0 {
		return failed.verdict(), missing
	}
	if lacks := o.nameProducer(); lacks != "" {
		return reject(ReasonBadSignature, "no counted signature by %s, which this consumer requires",
			lacks), missing
	}
	return nil, missing
}

// nameProducer says who sealed the event: the producer that the payload names (counts saw that the keys are
// its), or for an event of another implementation, the producer of the lowest key ID among those that meet
// the required algorithms. Signatures of others are then forgotten. It returns the first required algorithm
// by which the producer has no counted signature, or "".
func (o *opening) nameProducer() (lacks keys.Algorithm) {
	slices.SortFunc(o.counted, func(a, b valid) int { return strings.Compare(a.key.KeyID(), b.key.KeyID()) })
	missing := func(producer string) keys.Algorithm {
		for _, want := range o.policy.RequiredAlgorithms {
			signed := func(v valid) bool { return v.key.Producer == producer && v.algorithm() == want }
			if !slices.ContainsFunc(o.counted, signed) {
				return want
			}
		}
		return ""
	}
	o.producer = o.counted[0].key.Producer
	lacks = missing(o.producer)
	for i := 1; i < len(o.counted) && lacks != ""; i++ {
		if p := o.counted[i].key.Producer; missing(p) == "" {
			o.producer, lacks = p, ""
		}
	}
	o.counted = slices.DeleteFunc(o.counted, func(v valid) bool { return v.key.Producer != o.producer })
	return lacks
}

// algorithm is the one that signed the event: a delegated signature has its session key's.
func (v *valid) algorithm() keys.Algorithm {
	if v.session != nil {
		return v.session.session.Algorithm()
	}
	return v.key.Verifier.Algorithm()
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
	sealed := o.time
	for i := range o.exts {
		switch o.exts[i].Name {
		case attrRecordedTime:
			sealed = o.exts[i].Value
		case attrExpiryTime:
			o.expiry, _ = wire.ParseTime(o.exts[i].Value)
		}
	}
	if sealed != "" {
		o.sealed, _ = wire.ParseTime(sealed)
	}
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

// appendSeconds appends the form in which the standard hashes the attribute time: nothing if it is absent.
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
// attempt: without the members that hops are known to add to it. The bytes are in o.data then.
func (o *opening) matchCore(p *wire.Payload, seconds []byte) bool {
	match := func(data []byte, sum digest) bool {
		o.data, o.dataSum = data, sum
		core := o.hash.CoreDigest(o.in, seconds, &o.dataSum)
		return equalDigest(&core, &p.Core)
	}
	switch {
	case o.in.Form == wire.NoData:
		return match(nil, wire.Absent)
	case (o.in.Canonical || o.detail == nil) && match(o.in.Data, sha256.Sum256(o.in.Data)):
		return true
	}
	if o.in.Form == wire.JSONData && !o.in.Canonical {
		if doc := &o.in.Document; doc.Err == nil && match(doc.Canonical, sha256.Sum256(doc.Canonical)) {
			return true
		}
	}
	if o.detail == nil || len(o.detail.Ignored) == 0 {
		return false
	}
	form, err := jsontext.AppendCanonical(nil, o.detail.WithoutIgnored())
	o.leftOut = err == nil && match(form, sha256.Sum256(form))
	return o.leftOut
}

// checkAddress holds the verified event against what the transport says of it, and against the sources, types
// and audience that the policy accepts.
func (o *opening) checkAddress() *Error {
	outer, p := o.outer, &o.policy
	switch {
	case outer != nil && outer.Source != o.in.Source:
		return reject(ReasonEnvelopeMismatch, "the transport says source %.100q, signed is %.100q", outer.Source,
			o.in.Source)
	case outer != nil && outer.DetailType != o.in.Type:
		return reject(ReasonEnvelopeMismatch, "the transport says detail-type %.100q, signed is type %.100q",
			outer.DetailType, o.in.Type)
	case !p.Unsafe.AnySource && !keys.MatchSource(p.Sources, o.in.Source):
		return reject(ReasonSourceNotAllowed, "this consumer does not allow source %.200q%s", o.in.Source,
			unfitSource(o.in.Source))
	case p.Types != nil && !keys.MatchType(p.Types, o.in.Type):
		return reject(ReasonTypeNotAllowed, "this consumer does not allow type %.200q", o.in.Type)
	case p.Audience == "":
		return nil
	}
	i := slices.IndexFunc(o.exts, func(a wire.Attribute) bool { return a.Name == attrAudience })
	if i < 0 {
		return reject(ReasonAudienceMismatch, "no audience is signed, this is %.100q", p.Audience)
	}
	for name := range strings.SplitSeq(o.exts[i].Value, " ") {
		if name == p.Audience {
			return nil
		}
	}
	return reject(ReasonAudienceMismatch, "sealed for %.100q, this is %.100q", o.exts[i].Value, p.Audience)
}

// unfitSource says why no pattern allows the source, where that is so: one may seem to cover it.
func unfitSource(source string) string {
	if err := keys.CheckSource(source); err != nil {
		return ": no key may: " + err.Error()
	}
	return ""
}

// checkFreshness judges a signed expirytime always, and the time of sealing by the window. Both ends of the
// window are judged on what the producer signed, at one reading of our clock.
func (o *opening) checkFreshness() *Error {
	if !o.expiry.IsZero() && !o.now.Before(o.expiry) {
		return reject(ReasonExpired, "expirytime was %s", o.expiry.UTC().Format(time.RFC3339))
	}
	maxAge, why := o.policy.MaxAge, ""
	if o.step.Admit != nil {
		admitted, because := o.step.Admit(o.sealed)
		maxAge, why = max(maxAge, admitted), because
	}
	unsafe := &o.policy.Unsafe
	if unsafe.AnyAge || o.sealed.IsZero() && unsafe.AllowUndated {
		return nil
	}
	if o.sealed.IsZero() {
		return reject(ReasonUndated, "neither recordedtime nor time is signed")
	}
	age := o.now.Sub(o.sealed)
	if -o.policy.Skew <= age && age <= maxAge {
		return nil
	}
	sealed, distance := o.sealed.UTC().Format(time.RFC3339), howlong.Text(age)
	if age < 0 {
		return reject(ReasonFromFuture, "sealed at %s, which is %s from now", sealed, distance)
	}
	e := reject(ReasonExpired, "sealed at %s, %s ago; the window is %s", sealed, distance, maxAge)
	if why != "" {
		e.Cause += "; " + why
	}
	return e
}
