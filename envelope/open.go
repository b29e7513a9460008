package envelope

import (
	"context"
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

// Received is one message as the transport delivered it.
type Received struct {
	Body []byte // not changed; Opened has memory of its own

	// EventBridge is true if the body is an EventBridge event whose detail is a sealed event, in either
	// Layout. Its source and detail-type must then equal the signed source and type. false: the body is a
	// sealed event in the CloudEvents JSON format (structured mode).
	EventBridge bool

	// HTTP is true if the body is an HTTP message in the binary mode of CloudEvents, as HTTPMessage gives it:
	// attributes in header lines, the data as the content. It says nothing beside EventBridge.
	HTTP bool

	// Account is the AWS account that a service wrote beside the body, where the sender cannot write; "" =
	// none. It overrides the account inside an EventBridge event. Believe that one only where no one but the
	// service can deliver.
	Account string
}

// Step is what differs from one opening to the next under one Policy. The zero Step is the usual one.
type Step struct {
	// Now is the clock of this delivery; nil = that of the Policy.
	Now func() time.Time

	// Admit may widen the window for one event; nil = the window of the Policy alone. Open calls it once for
	// each event that passed all earlier checks, whether the event is fresh or not. signedAt is the signed
	// time of sealing; zero = none was signed. The longer of maxAge and the window of the Policy then counts.
	// If the event is older, why is added to the cause; "" = nothing is added. Admit changes no other check.
	Admit func(signedAt time.Time) (maxAge time.Duration, why string)

	// Since is when this delivery began, or when the transport handed the message out first. A newer trust
	// bundle may accept what the one at hand refuses. So a bundle refuses the event for good only if it was
	// checked at Since or later. zero = when the bundle was at hand; in the future = now.
	Since time.Time

	// KeepEncrypted is true if encrypted data is to be verified and to come back encrypted, for
	// Opened.Decrypt.
	KeepEncrypted bool
}

// Open verifies a sealed event in the CloudEvents JSON format (structured mode). It returns an event or an
// *Error with the Reason. A key that may speak for the source signed every byte of the event. The error of a
// Transient Reason says nothing about the event: try again.
//
// A program that opens many events makes an Opener, which also opens those of EventBridge. If
// NewOpener refuses the policy, Open returns trust_unavailable: nothing was judged.
func Open(ctx context.Context, sealed []byte, trust trust.Source, p *Policy) (*Opened, error) {
	return openOne(ctx, Received{Body: sealed}, trust, p)
}

func openOne(ctx context.Context, r Received, trust trust.Source, p *Policy) (*Opened, error) {
	o, err := newOpener(trust, p)
	if err != nil {
		verdict := reject(ReasonTrustUnavailable, "%w", err)
		verdict.Advice = "correct the program: nothing was judged, and the event can be opened again"
		return nil, verdict
	}
	return o.Open(ctx, r, Step{})
}

// Open verifies one message. Its results are those of the function Open.
func (o *Opener) Open(ctx context.Context, r Received, s Step) (*Opened, error) {
	v := &opening{Opener: o, step: s, account: r.Account}
	if v.step.Now == nil {
		v.step.Now = o.policy.Now
	}
	// Each step relies on those before it: none may move up, and each Reason keeps its place in the order.
	verdict := v.parse(&r)
	if verdict == nil {
		verdict = v.readMaterial()
	}
	if verdict == nil {
		verdict = v.authenticate(ctx)
	}
	if verdict == nil {
		verdict = v.checkAddress()
	}
	if verdict == nil {
		verdict = v.checkFreshness()
	}
	if verdict == nil {
		verdict = v.checkEncryption()
	}
	var opened *Opened
	if verdict == nil {
		opened, verdict = v.result()
	}
	if verdict == nil && opened.IsEncrypted() && !s.KeepEncrypted {
		verdict = opened.decrypt(ctx, o.policy.Decrypter)
	}
	if verdict == nil {
		return opened, nil
	}
	if v.in != nil { // the event says what it claims to be
		verdict.UnverifiedID, verdict.UnverifiedSource, verdict.UnverifiedType = v.in.ID, v.in.Source,
			v.in.Type
	}
	verdict.BundleExpires = v.bundleExpires
	return nil, verdict
}

// opening is one event on its way through the steps of Opener.Open. A step keeps here what it has verified,
// and the next ones use it.
type opening struct {
	*Opener
	step    Step
	account string // that a service wrote; "" = none did

	in    *wire.Event    // as received: unverified until checkDigests
	outer *wire.Delivery // the EventBridge event around it; nil = none
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

	// Set by verifyUnder.
	counted  []valid // the signatures that count, all of one producer
	producer string
	bundle   *trust.Bundle // the signatures count by its keys

	// Room for what most events need, so that it takes no allocations of its own.
	validRoom   [2]valid
	payloadRoom wire.Payload
	docRoom     [3 << 9]byte
	paeRoom     [760]byte
}

// parse reads the event out of the message, with what is around it in an EventBridge event.
func (o *opening) parse(r *Received) *Error {
	if !r.EventBridge {
		read := wire.ParseSealed
		if r.HTTP {
			read = wire.ParseHTTP
		}
		in, err := read(r.Body)
		if err != nil {
			return parseError(err)
		}
		o.in = in
		return nil
	}
	d, err := wire.ParseDelivery(r.Body, o.policy.IgnoreMembers)
	if err != nil {
		return parseError(err)
	}
	o.outer = d
	if o.account == "" {
		o.account = d.Account
	}
	if o.in, err = d.ParseEvent(); err != nil {
		return parseError(err)
	}
	if d.Embedded {
		o.detail = d
	}
	return nil
}

// parseError turns an error of the event's syntax into a verdict.
func parseError(err error) *Error {
	reason := ReasonMalformed
	if e, ok := errors.AsType[*wire.Error](err); ok {
		switch {
		case e.TooLarge:
			reason = ReasonTooLarge
		case e.Unsupported:
			reason = ReasonUnsupported
		}
	}
	return reject(reason, "%w", err)
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
	if err := env.Read(doc, doc[len(doc):cap(doc)]); errors.Is(err, dsse.ErrTooMany) {
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
	case delegated > wire.MaxDelegations:
		return reject(ReasonTooLarge, "dssematerial has more than %d delegations", wire.MaxDelegations)
	case env.PayloadType != wire.PayloadType:
		return reject(ReasonUnsupported, "payload type %.100q", env.PayloadType)
	}
	return nil
}

// authenticate verifies signatures, digests and what the keys may do. If a newer bundle may accept what the
// one at hand refuses, it looks for one: only a bundle that was checked since the delivery began may refuse.
func (o *opening) authenticate(ctx context.Context) *Error {
	bundle, err := o.trust.Bundle(ctx)
	if err != nil {
		return reject(ReasonTrustUnavailable, "%w", err)
	}
	verdict, mayChange := o.verifyUnder(bundle)
	live, ok := o.trust.(trust.Refresher)
	if verdict == nil || !mayChange || !ok {
		return verdict
	}
	since := o.step.Since
	if since.IsZero() {
		since = o.now
	}
	fresh, notChecked := live.Refresh(ctx, since)
	if notChecked != nil { // a check that was under way before may have found a bundle that accepts the event
		if fresh, err = o.trust.Bundle(ctx); err != nil {
			fresh = bundle
		}
	}
	if fresh != bundle { // a forger's event costs its verifications once
		verdict, mayChange = o.verifyUnder(fresh)
	}
	if verdict != nil && mayChange && notChecked != nil {
		verdict = reject(ReasonTrustUnavailable,
			"%s (%s) under a bundle that was not checked since the event came: %w",
			verdict.Reason, verdict.Cause, notChecked)
		verdict.Advice = "nothing, if it is judged when it is delivered again; " +
			"otherwise see why the bundle cannot be fetched"
	}
	return verdict
}

// verifyUnder verifies the event with the keys of one bundle. mayChange is true if a newer bundle may change
// the verdict.
func (o *opening) verifyUnder(bundle *trust.Bundle) (verdict *Error, mayChange bool) {
	o.now = o.step.Now()
	if bundle == nil {
		return reject(ReasonTrustUnavailable, "%w", trust.ErrUnavailable), false
	}
	o.bundle, o.bundleExpires = bundle, bundle.Expires()
	if end := o.bundleExpires; !end.IsZero() && !o.now.Before(end) {
		return reject(ReasonTrustUnavailable, "the trust bundle expired at %s",
			end.UTC().Format(time.RFC3339)), false
	}
	s := signatures{bundle: bundle, noTables: o.policy.NoKeyTables, valid: o.validRoom[:0],
		tries: maxNamelessTries}
	s.collect(o)
	if len(s.valid) == 0 {
		return s.failed, s.mayChange
	}
	if err := o.checkDigests(); err != nil {
		return err, false // no key changes that
	}
	o.counted = s.valid[:0]
	for _, v := range s.valid {
		if why, mayChange := o.refuse(v); why != nil {
			s.note(why, mayChange)
		} else {
			o.counted = append(o.counted, v)
		}
	}
	if len(o.counted) == 0 {
		return s.failed, s.mayChange
	}
	return o.nameProducer(), s.mayChange
}

// nameProducer says who sealed the event: the producer that the payload names (the keys are its), or for an
// event of another implementation, the producer of the lowest key ID among those that meet the required
// algorithms. Signatures of others are then forgotten.
func (o *opening) nameProducer() *Error {
	slices.SortFunc(o.counted, func(a, b valid) int { return strings.Compare(a.key.KeyID(), b.key.KeyID()) })
	var lacks keys.Algorithm // the first one that the first producer did not sign by
	for i, candidate := range o.counted {
		producer := candidate.key.Producer
		missing := slices.IndexFunc(o.policy.RequiredAlgorithms, func(want keys.Algorithm) bool {
			return !slices.ContainsFunc(o.counted, func(v valid) bool {
				return v.key.Producer == producer && v.verifier.Algorithm() == want
			})
		})
		if missing < 0 {
			o.producer = producer
			o.counted = slices.DeleteFunc(o.counted, func(v valid) bool { return v.key.Producer != producer })
			return nil
		}
		if i == 0 {
			lacks = o.policy.RequiredAlgorithms[missing]
		}
	}
	e := reject(ReasonBadSignature, "no counted signature by %s, which this consumer requires", lacks)
	e.Advice = "have the producer sign by " + string(lacks) + ", too; if it does already, find out who took that " +
		"signature off on the way, or who has its other key"
	return e
}

// checkAddress holds the verified event against what the transport says of it, and against the sources, types
// and audience that the policy accepts.
func (o *opening) checkAddress() *Error {
	outer, p := o.outer, &o.policy
	switch {
	case outer != nil && outer.Source != o.in.Source:
		return reject(ReasonEnvelopeMismatch, "the transport says source %.100q, signed is %.100q",
			outer.Source,
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
	i := slices.IndexFunc(o.exts, func(a wire.Attribute) bool { return a.Name == wire.AttrAudience })
	if i < 0 {
		return reject(ReasonAudienceMismatch,
			"the event was sealed for no audience, and this consumer is %.100q", p.Audience)
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
