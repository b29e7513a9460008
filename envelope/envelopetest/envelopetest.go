// Package envelopetest makes sealed events for other people's tests: sound ones, and one that must be refused
// for each Reason. It is the real implementation with real keys, not a mock.
//
//	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
//	good := org.Event(t, "com.example.order.placed", Order{ID: "o-1"})
//	opened, err := envelope.Open(ctx, good.JSON(), org.Trust(), org.Policy())
//
//	bad := org.Broken(t, envelope.ReasonModified)
//	_, err = envelope.Open(ctx, bad.JSON, bad.Trust, bad.Policy) // envelope.ReasonOf(err) is bad.Reason
//
// A consumer under test has such a Policy: the sources, the audience Audience, the clock Org.Now, the Decrypter
// Org.Decrypter; for a Broken event, it has the Policy of the event.
package envelopetest

import (
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/org"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

const (
	// Audience is what events are sealed for, and what Policy asks for.
	Audience = org.Audience
	// Account is the AWS account that deliveries name, and Region their region.
	Account = org.Account
	Region  = "eu-central-1"
)

// Broken is an event that must be rejected for exactly one Reason by a consumer that is configured as it
// says.
type Broken struct {
	Reason envelope.Reason
	JSON   []byte           // the event in the CloudEvents JSON format
	Outer  *envelope.Outer  // what the transport says beside it (Received.Outer); nil except for envelope_mismatch
	Trust  trust.Source     // the organisation's own, except for trust_unavailable
	Policy *envelope.Policy // the organisation's own, except for not_encrypted

	broken *org.Broken
}

// EventBridge is the event as EventBridge delivers it, in the structured layout.
func (b *Broken) EventBridge() []byte { return b.broken.EventBridge() }

// Org is a producing organisation: keys, trust bundle, clock. It is safe for concurrent use.
type Org struct{ org *org.Org }

// NewOrg makes an organisation with fresh keys, one of which may speak for these source patterns
// (keys.MatchSource) and every type. Its clock stands still at the present until Advance.
func NewOrg(t testing.TB, producer string, sources ...string) *Org {
	t.Helper()
	o, err := org.New(producer, sources...)
	must(t, err)
	return &Org{o}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("envelopetest: %v", err)
	}
}

// Trust is the trust bundle to open with, good for a week.
func (o *Org) Trust() trust.Source { return o.org.Trust() }

// Signer is the key that signs the organisation's events.
func (o *Org) Signer() keys.Signer { return o.org.Signer() }

// Identity is the private key of the consumer that the organisation encrypts to.
func (o *Org) Identity() keys.Identity { return o.org.Identity() }

// Encrypter encrypts to Identity.
func (o *Org) Encrypter() *envelope.Encrypter { return o.org.Encrypter() }

// Decrypter opens what is encrypted to Identity.
func (o *Org) Decrypter() *envelope.Decrypter { return o.org.Decrypter() }

// Source is the source of the organisation's events: the first pattern, with "test" for its "*".
func (o *Org) Source() string { return o.org.Source() }

// Now is the organisation's clock.
func (o *Org) Now() time.Time { return o.org.Now() }

// Advance moves the clock, also backwards.
func (o *Org) Advance(d time.Duration) { o.org.Advance(d) }

// Policy is by which a consumer opens what the organisation seals: its sources, its audience, its clock, a
// window of a day, its Decrypter. It is the caller's to change.
func (o *Org) Policy() *envelope.Policy { return o.org.Policy() }

// NewEvent is an event that is not sealed yet, with an ID of its own, at Source and Now. Data is anything
// that has JSON: a json.RawMessage stays as it is, and nil is no data.
func (o *Org) NewEvent(t testing.TB, typ string, data any) event.Event {
	t.Helper()
	ev, err := o.org.NewEvent(typ, data)
	must(t, err)
	return ev
}

// Event is a sealed event with that data, see NewEvent.
func (o *Org) Event(t testing.TB, typ string, data any) *envelope.Sealed {
	t.Helper()
	return o.Seal(t, o.NewEvent(t, typ, data), nil)
}

// Seal seals ev with the organisation's key and clock, for Audience unless opts (nil = none) say otherwise.
func (o *Org) Seal(t testing.TB, ev event.Event, opts *envelope.SealOptions) *envelope.Sealed {
	t.Helper()
	with := envelope.SealOptions{}
	if opts != nil {
		with = *opts
	}
	if with.Audience == "" {
		with.Audience = Audience
	}
	if with.Now == nil {
		with.Now = o.Now
	}
	sealed, err := envelope.Seal(t.Context(), ev, o.Signer(), &with)
	must(t, err)
	return sealed
}

// EncryptedEvent is a sealed event with that data, see NewEvent, encrypted to Identity: all of it, or only
// the fields that these JSON Pointers name.
func (o *Org) EncryptedEvent(t testing.TB, typ string, data any, fields ...string) *envelope.Sealed {
	t.Helper()
	return o.Seal(t, o.NewEvent(t, typ, data), &envelope.SealOptions{Encrypt: o.Encrypter(), EncryptFields: fields})
}

// Broken makes an event that must be refused for that Reason, one of BrokenReasons.
func (o *Org) Broken(t testing.TB, reason envelope.Reason) *Broken {
	t.Helper()
	b, err := o.org.Broken(reason)
	must(t, err)
	return &Broken{Reason: b.Reason, JSON: b.JSON, Trust: b.Trust, Outer: b.Outer, Policy: b.Policy, broken: b}
}

// BrokenReasons are the reasons that Broken knows: all that opening an event can give.
func BrokenReasons() []envelope.Reason { return org.BrokenReasons() }
