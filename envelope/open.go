package envelope

import (
	"context"
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys/trust"
)

// Format is what the body of a received message is.
type Format int

// The formats.
const (
	CloudEvent  Format = iota // a sealed event in the CloudEvents JSON format (structured mode)
	EventBridge               // an EventBridge event whose detail is a sealed event, in either Layout
)

// Received is one message as the transport delivered it.
type Received struct {
	Body   []byte // not changed; Opened has memory of its own
	Format Format // 0 = CloudEvent

	// Account is the AWS account that a service, not the sender, wrote beside the body; "" = none. For
	// EventBridge, it overrides the account inside the body. Believe the account in the body only where no
	// one but the service can deliver.
	Account string

	// Outer is what the transport says of the event, if it does so outside of the body. For EventBridge,
	// source and detail-type in the body are used instead. nil = nothing.
	Outer *Outer
}

// Outer is what the transport itself says of an event. It must equal what is signed.
type Outer struct {
	Source     string // must equal the signed source
	DetailType string // must equal the signed type
}

// Step is what differs from one opening to the next under one Policy. The zero Step is the usual one.
type Step struct {
	// Now is the clock of this delivery; nil = that of the Policy.
	Now func() time.Time

	// Admit may widen the window for one event; nil = the window of the Policy alone. It is asked once for
	// every event that passed all earlier checks, a signed expirytime included, whether the event is fresh or
	// not. signedAt is the signed time of sealing, or zero if none was signed. The event passes if it is no
	// older than maxAge or than the window of the Policy, whichever is longer. If it is older, why is added to
	// the cause; "" = nothing is. All other checks stay, that of the future included.
	Admit func(signedAt time.Time) (maxAge time.Duration, why string)

	// KeepEncrypted is true if encrypted data is to be verified and to come back encrypted, for
	// Opened.Decrypt.
	KeepEncrypted bool
}

// Opened is a verified event. Printed or logged, it says which event it is and shows none of its data.
// Marshalled as JSON, it has the data, decrypted.
type Opened struct {
	Event            event.Event       // what was signed, and only that
	Producer         string            // who sealed it
	KeyIDs           []string          // the producer's keys whose signatures counted, sorted
	SignedAt         time.Time         // the signed moment of sealing; zero = none was signed
	ExpiresAt        time.Time         // the signed expirytime; zero = none
	SignedAttributes []string          // names of the attributes that were verified: core, then extensions
	Foreign          bool              // sealed by another implementation of the standard
	Encryption       *Encryption       // how the data was encrypted; nil = it was not
	Unverified       map[string]string // Passthrough only: the unsigned extension attributes; believe none
	// BundleExpires is when the trust bundle that judged it may no longer be used; zero = never.
	BundleExpires time.Time

	// Ignored are the names of members that a hop added, such as a tracer, and that are no part of Event.
	// There are at most 8 of them, cut after 64 bytes, and all but printable ASCII is escaped as Go does. An
	// attacker can add some, since they are not signed: show them, and never act on them. nil = none.
	Ignored []string

	content wire.Event // the verified event, all signed extensions included
	data    digest     // SHA-256 of its data as signed
	secret  *secret    // what was encrypted; nil = nothing
	opened  bool       // it was decrypted
	mode    Mode
}

// Open verifies a sealed event in the CloudEvents JSON format (structured mode). It returns either an event
// of which every byte was signed by a key that may speak for its source, or an *Error with the Reason. The
// error of a Transient reason says nothing about the event: ask again.
//
// A program that opens many events makes an Opener, which also opens those of EventBridge. A policy that
// NewOpener refuses is trust_unavailable here, since it judged nothing.
func Open(ctx context.Context, sealed []byte, trust trust.Source, p *Policy) (*Opened, error) {
	o, err := newOpener(trust, p)
	if err != nil {
		verdict := unavailable(err)
		verdict.Advice = "correct the program: nothing was judged, and the event can be opened again"
		return nil, verdict
	}
	return o.Open(ctx, Received{Body: sealed}, Step{})
}

// Open verifies one message. Its results are those of the function Open.
func (o *Opener) Open(ctx context.Context, r Received, s Step) (*Opened, error) {
	v := &opening{Opener: o, step: s, account: r.Account, outer: r.Outer}
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
		verdict.UnverifiedID, verdict.UnverifiedSource, verdict.UnverifiedType = v.in.ID, v.in.Source, v.in.Type
	}
	verdict.BundleExpires = v.bundleExpires
	return nil, verdict
}

// parse reads the event out of the message, with what is around it in an EventBridge event.
func (o *opening) parse(r *Received) *Error {
	if r.Format != EventBridge {
		in, err := wire.ParseSealed(r.Body)
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
	o.outer = &Outer{Source: d.Source, DetailType: d.DetailType}
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
	return &Error{Reason: reason, Cause: err.Error(), Err: err}
}
