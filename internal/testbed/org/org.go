// Package org is a producing organisation for tests and demonstrations: keys, trust bundle, clock, sealed
// events, and events that must be refused. Nothing in it is simulated: events are sealed by package envelope,
// and the broken ones are really signed. Package envelopetest is the same for use with testing.TB.
package org

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Audience is what events are sealed for, and what Policy asks for.
const Audience = "central"

// Account is the AWS account that deliveries name.
const Account = "111122223333"

// Window is the window of Policy.
const Window = 24*time.Hour + 5*time.Minute

// The keys of an organisation beside the one that signs, each fit for one refusal.
const (
	roleSigning   = "signing"
	roleUnlisted  = "unlisted"
	roleRevoked   = "revoked"
	roleExpired   = "expired"
	roleNoSources = "no sources"
	roleNoTypes   = "no types"
	roleNoAccount = "no accounts"
)

// Org is a producer with what its consumers need. It is safe for concurrent use.
type Org struct {
	producer string
	sources  []string
	keys     map[string]*keys.LocalSigner // by role
	bundle   *trust.Bundle
	identity *keys.LocalIdentity // of the consumer that events are encrypted to

	encrypter *envelope.Encrypter
	decrypter *envelope.Decrypter

	mu   sync.Mutex
	now  time.Time
	made int
}

// New makes an organisation with fresh keys, of which the bundle allows one to speak for these source
// patterns (keys.MatchSource) and every type. Its clock stands still at the present until Advance.
func New(producer string, sources ...string) (*Org, error) {
	if len(sources) == 0 {
		return nil, errors.New("an organisation needs a source pattern")
	}
	o := &Org{producer: producer, sources: sources, keys: map[string]*keys.LocalSigner{},
		now: time.Now().UTC().Truncate(time.Second)}
	for _, role := range []string{roleSigning, roleUnlisted, roleRevoked, roleExpired, roleNoSources,
		roleNoTypes, roleNoAccount} {
		s, err := keys.GenerateSigner(keys.Ed25519, producer)
		if err != nil {
			return nil, err
		}
		o.keys[role] = s
	}
	if err := o.newConsumer(); err != nil {
		return nil, err
	}
	var err error
	o.bundle, err = o.newBundle()
	return o, err
}

// newConsumer makes the key that events are encrypted to.
func (o *Org) newConsumer() (err error) {
	if o.identity, err = keys.GenerateIdentity(keys.X25519); err != nil {
		return err
	}
	if o.encrypter, err = envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{o.identity.Recipient()}}); err != nil {
		return err
	}
	o.decrypter, err = envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(o.identity)})
	return err
}

func (o *Org) newBundle() (*trust.Bundle, error) {
	return trust.NewBundle(
		trust.BundleOptions{Version: 1, Issued: o.now.Add(-time.Hour), Expires: o.now.AddDate(0, 0, 7),
			RefreshHint: 5 * time.Minute},
		o.entry(roleSigning, nil),
		o.entry(roleRevoked, func(k *trust.Key) {
			k.Revoked = &trust.Revocation{At: o.now.Add(-time.Hour), Reason: "lost"}
		}),
		o.entry(roleExpired, func(k *trust.Key) { k.Schedule.Expired = o.now.Add(-time.Hour) }),
		o.entry(roleNoSources, func(k *trust.Key) { k.Sources = nil }),
		o.entry(roleNoTypes, func(k *trust.Key) { k.Types = nil }),
		o.entry(roleNoAccount, func(k *trust.Key) { k.Accounts = []string{} }),
	)
}

func (o *Org) entry(role string, change func(*trust.Key)) *trust.Key {
	k := &trust.Key{Verifier: o.keys[role].Verifier(), Producer: o.producer, Sources: o.sources,
		Types: []string{"*"}}
	if change != nil {
		change(k)
	}
	return k
}

// Producer is the producer's name.
func (o *Org) Producer() string { return o.producer }

// Signer is the key that signs.
func (o *Org) Signer() *keys.LocalSigner { return o.keys[roleSigning] }

// Trust is the trust bundle, good for a week.
func (o *Org) Trust() trust.Source { return o.bundle }

// Identity is the consumer's private key that events are encrypted to.
func (o *Org) Identity() *keys.LocalIdentity { return o.identity }

// Encrypter encrypts to Identity.
func (o *Org) Encrypter() *envelope.Encrypter { return o.encrypter }

// Decrypter opens what Encrypter encrypted.
func (o *Org) Decrypter() *envelope.Decrypter { return o.decrypter }

// Now is the organisation's clock.
func (o *Org) Now() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

// Advance moves the clock, also backwards.
func (o *Org) Advance(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

// Policy is by which a consumer opens what the organisation seals.
func (o *Org) Policy() *envelope.Policy {
	return &envelope.Policy{Sources: slices.Clone(o.sources), Audience: Audience, MaxAge: Window, Now: o.Now,
		Decrypter: o.decrypter}
}

// Source is the source of the organisation's events: the first pattern, with "test" for its "*".
func (o *Org) Source() string {
	if prefix, ok := strings.CutSuffix(o.sources[0], "*"); ok {
		return prefix + "test"
	}
	return o.sources[0]
}

// NewEvent is an event that is not sealed yet, with an ID of its own. Data is anything that has JSON: a
// json.RawMessage stays as it is, and nil is no data.
func (o *Org) NewEvent(typ string, data any) (event.Event, error) {
	o.mu.Lock()
	o.made++
	id := fmt.Sprintf("%s-%d", o.producer, o.made)
	o.mu.Unlock()
	ev := event.New()
	ev.SetID(id)
	ev.SetSource(o.Source())
	ev.SetType(typ)
	ev.SetTime(o.Now())
	if data == nil {
		return ev, nil
	}
	doc, err := json.Marshal(data)
	if err != nil {
		return ev, err
	}
	return ev, ev.SetData("application/json", json.RawMessage(doc))
}
