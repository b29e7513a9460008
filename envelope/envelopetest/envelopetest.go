// Package envelopetest makes sealed events for the tests of other modules: sound ones, and a broken one for
// each Reason. It is the real implementation with real keys, not a mock.
//
//	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
//	good := org.Event(t, "com.example.order.placed", Order{ID: "o-1"})
//	opened, err := envelope.Open(ctx, good.JSON(), org.Trust(), org.Policy())
//
//	bad := org.Broken(t, envelope.ReasonModified)
//	_, err = envelope.Open(ctx, bad.JSON, bad.Trust, bad.Policy) // envelope.ReasonOf(err) is ReasonModified
//
// A consumer under test has a Policy like Org.Policy: the sources, the audience Audience, the clock Org.Now,
// the same Decrypter. For a broken event, it has the Policy of that event.
package envelopetest

import (
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/org"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Audience is the audience of the events, and that of Policy.
const Audience = org.Audience

// Org is a producing organisation: keys, trust bundle, clock. It is safe for concurrent use.
type Org struct{ org *org.Org }

// NewOrg makes an organisation with fresh keys. One of them may speak for these source patterns
// (keys.MatchSource) and every type. The clock stands still at the present until Advance.
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

// Trust is the trust bundle of the organisation. It expires after a week.
func (o *Org) Trust() trust.Source { return o.org.Trust() }

// Signer is the key that signs the organisation's events. With envelope.Seal it seals events that Event does
// not make.
func (o *Org) Signer() keys.Signer { return o.org.Signer() }

// Policy is the acceptance policy of a consumer of the organisation: its sources, Audience, its clock, a
// window of a day and five minutes, and a Decrypter for encrypted events. The caller may change it.
func (o *Org) Policy() *envelope.Policy { return o.org.Policy() }

// Now is the organisation's clock.
func (o *Org) Now() time.Time { return o.org.Now() }

// Advance moves the clock. A negative d moves it back.
func (o *Org) Advance(d time.Duration) { o.org.Advance(d) }

// Event is a sealed event for Audience, with an ID of its own. Its source is the first pattern, with "test"
// for its "*". Data is any value that encoding/json can marshal: a json.RawMessage stays as it is, and nil is
// no data.
func (o *Org) Event(t testing.TB, typ string, data any) *envelope.Sealed {
	t.Helper()
	return o.seal(t, typ, data, &envelope.SealOptions{})
}

// EncryptedEvent is Event, encrypted to the consumers that have the Decrypter of Policy: all of the data, or
// only the fields that these JSON Pointers name.
func (o *Org) EncryptedEvent(t testing.TB, typ string, data any, fields ...string) *envelope.Sealed {
	t.Helper()
	return o.seal(t, typ, data, &envelope.SealOptions{Encrypt: o.org.Encrypter(), EncryptFields: fields})
}

func (o *Org) seal(t testing.TB, typ string, data any, opts *envelope.SealOptions) *envelope.Sealed {
	t.Helper()
	ev, err := o.org.NewEvent(typ, data)
	must(t, err)
	opts.Audience, opts.Now = Audience, o.org.Now
	sealed, err := envelope.Seal(t.Context(), ev, o.org.Signer(), opts)
	must(t, err)
	return sealed
}

// Broken is an event that a consumer rejects for exactly one Reason, if it has this trust bundle and this
// Policy.
type Broken struct {
	// JSON is the event in the CloudEvents JSON format. That of envelope_mismatch is sound: only EventBridge
	// says of it what is not signed.
	JSON   []byte
	Trust  trust.Source     // the organisation's own, except for trust_unavailable
	Policy *envelope.Policy // the organisation's own, except for not_encrypted

	broken *org.Broken
}

// Broken makes an event that must be rejected for that Reason, one of BrokenReasons.
func (o *Org) Broken(t testing.TB, reason envelope.Reason) *Broken {
	t.Helper()
	b, err := o.org.Broken(reason)
	must(t, err)
	return &Broken{JSON: b.JSON, Trust: b.Trust, Policy: b.Policy, broken: b}
}

// EventBridge is the event as EventBridge delivers it, in the structured layout.
func (b *Broken) EventBridge() []byte { return b.broken.EventBridge() }

// BrokenReasons are the reasons for which Broken has an event: all that opening an event can give.
func BrokenReasons() []envelope.Reason { return org.BrokenReasons() }
