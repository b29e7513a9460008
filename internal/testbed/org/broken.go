package org

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Broken is an event that must be refused for exactly one Reason by a consumer that is configured as it says.
type Broken struct {
	Reason envelope.Reason
	JSON   []byte           // the event in the CloudEvents JSON format; sound for envelope_mismatch
	Trust  trust.Source     // the organisation's own, but for trust_unavailable
	Policy *envelope.Policy // the organisation's own, but for not_encrypted

	source, typ string       // what EventBridge says of it
	secret      *mint.Secret // how its data is encrypted; nil = it is not
}

// brokenType is the type of every broken event.
const brokenType = "com.example.broken"

// defects says for each Reason that Open can give how an event comes by it.
var defects = map[envelope.Reason]func(o *Org, b *Broken, p *mint.Plan){
	envelope.ReasonMalformed: func(_ *Org, _ *Broken, p *mint.Plan) {
		p.Wire = func(e mint.Object) mint.Object { return e.Add("id", e.Get("id")) }
	},
	envelope.ReasonTooLarge: func(_ *Org, _ *Broken, p *mint.Plan) {
		p.Event = p.Event.Add("note", mint.Quote(strings.Repeat("x", 8<<10+1)))
	},
	envelope.ReasonUnsigned: func(_ *Org, _ *Broken, p *mint.Plan) {
		p.Wire = func(e mint.Object) mint.Object { return e.Del("dssematerial") }
	},
	envelope.ReasonUnsupported: func(_ *Org, _ *Broken, p *mint.Plan) {
		p.Profile = func(s mint.Object) mint.Object { return s.Set("v", "2") }
	},
	envelope.ReasonBadSignature: func(o *Org, _ *Broken, p *mint.Plan) {
		p.By[0] = mint.Signature{Key: o.keys[roleUnlisted], Edit: func(s mint.Object) mint.Object {
			return s.Set("keyid", mint.Quote(o.Signer().Verifier().KeyID()))
		}}
	},
	envelope.ReasonModified: func(_ *Org, _ *Broken, p *mint.Plan) {
		p.Wire = func(e mint.Object) mint.Object { return e.Set("data", `{"amount":1000}`) }
	},
	envelope.ReasonUnknownKey:       signedAs(roleUnlisted),
	envelope.ReasonRevokedKey:       signedAs(roleRevoked),
	envelope.ReasonKeyNotValid:      signedAs(roleExpired),
	envelope.ReasonSourceNotAllowed: signedAs(roleNoSources),
	envelope.ReasonTypeNotAllowed:   signedAs(roleNoTypes),
	envelope.ReasonAccountMismatch:  signedAs(roleNoAccount),
	envelope.ReasonEnvelopeMismatch: func(_ *Org, b *Broken, _ *mint.Plan) {
		b.typ = "com.example.other"
	},
	envelope.ReasonAudienceMismatch: func(_ *Org, _ *Broken, p *mint.Plan) { p.Event = p.Event.Set("audience", `"elsewhere"`) },
	envelope.ReasonUndated: func(_ *Org, _ *Broken, p *mint.Plan) {
		p.Foreign = true
		p.Event = p.Event.Del("time", "recordedtime")
	},
	envelope.ReasonExpired: func(o *Org, _ *Broken, p *mint.Plan) {
		p.Event = p.Event.Add("expirytime", seconds(o.Now()))
	},
	envelope.ReasonFromFuture: func(o *Org, _ *Broken, p *mint.Plan) {
		p.Event = p.Event.Set("recordedtime", seconds(o.Now().Add(24*time.Hour)))
	},
	envelope.ReasonNotEncrypted: func(_ *Org, b *Broken, _ *mint.Plan) { b.Policy.RequireEncrypted = true },
	envelope.ReasonNotARecipient: func(_ *Org, b *Broken, _ *mint.Plan) {
		b.secret = &mint.Secret{To: []*keys.Recipient{mint.SeededIdentity(keys.X25519,
			"somebody else").Recipient()}}
	},
	envelope.ReasonDecryptFailed: func(o *Org, b *Broken, _ *mint.Plan) { // it was moved here from another event
		b.secret = &mint.Secret{To: []*keys.Recipient{o.identity.Recipient()},
			Binding: func(of mint.Object) mint.Object {
				return of.Set("id", `"another"`)
			}}
	},
	envelope.ReasonTrustUnavailable: func(_ *Org, b *Broken, _ *mint.Plan) { b.Trust = noTrust{} },
}

func signedAs(role string) func(*Org, *Broken, *mint.Plan) {
	return func(o *Org, _ *Broken, p *mint.Plan) { p.By[0].Key = o.keys[role] }
}

func seconds(t time.Time) string { return mint.Quote(t.UTC().Format("2006-01-02T15:04:05Z")) }

// noTrust is a Source that has no bundle.
type noTrust struct{}

func (noTrust) Bundle(context.Context) (*trust.Bundle, error) { return nil, trust.ErrUnavailable }

// BrokenReasons are the reasons that there is a broken event for: all that opening an event can give, in the
// order of envelope.Reasons.
func BrokenReasons() (list []envelope.Reason) {
	for _, r := range envelope.Reasons() {
		if defects[r] != nil {
			list = append(list, r)
		}
	}
	return list
}

// Broken makes an event that must be refused for that Reason. There are none for the reasons that
// only a consumer gives.
func (o *Org) Broken(reason envelope.Reason) (*Broken, error) {
	defect := defects[reason]
	if defect == nil {
		return nil, fmt.Errorf("opening an event never gives the reason %q", reason)
	}
	b := &Broken{Reason: reason, Trust: o.Trust(), Policy: o.Policy(), source: o.Source(), typ: brokenType}
	o.mu.Lock()
	o.made++
	id := fmt.Sprintf("%s-broken-%d", o.producer, o.made)
	o.mu.Unlock()
	p := &mint.Plan{By: []mint.Signature{{Key: o.Signer()}}, Event: mint.Object{
		{Name: "specversion", Raw: `"1.0"`}, {Name: "id", Raw: mint.Quote(id)},
		{Name: "source", Raw: mint.Quote(b.source)},
		{Name: "type", Raw: mint.Quote(b.typ)}, {Name: "datacontenttype", Raw: `"application/json"`},
		{Name: "time", Raw: seconds(o.Now())},
		{Name: "audience", Raw: mint.Quote(Audience)}, {Name: "recordedtime", Raw: seconds(o.Now())},
		{Name: "data", Raw: `{"amount":1}`},
	}}
	defect(o, b, p)
	if b.secret != nil {
		p = p.Encrypt(b.secret)
	}
	b.JSON = []byte(p.Seal().String())
	return b, nil
}

// EventBridge is the event as EventBridge delivers it, in the structured layout.
func (b *Broken) EventBridge() []byte {
	return []byte(mint.Delivery(b.source, b.typ, Account, string(b.JSON)).String())
}
