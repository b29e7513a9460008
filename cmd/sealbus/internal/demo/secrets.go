package demo

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
)

// secrets are what the demo encrypts with: the keys of the consumer, and of an eavesdropper.
type secrets struct {
	consumer, curious *keys.LocalIdentity
	encrypter         *envelope.Encrypter
	opens, reads      *envelope.Decrypter // of the consumer, of the curious one
}

func newSecrets() (*secrets, error) {
	s := &secrets{}
	for _, i := range []struct {
		identity  **keys.LocalIdentity
		decrypter **envelope.Decrypter
	}{{&s.consumer, &s.opens}, {&s.curious, &s.reads}} {
		var err error
		if *i.identity, err = keys.GenerateIdentity(keys.X25519); err != nil {
			return nil, err
		}
		if *i.decrypter, err = envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(*i.identity)}); err != nil {
			return nil, err
		}
	}
	var err error
	s.encrypter, err = envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{s.consumer.Recipient()}})
	return s, err
}

func secretScenes() []scene {
	return []scene{
		{"encrypted", "its data for the consumer only; delivered as it was sealed",
			func(s *act) { s.deliver(s.secret(), reader{}) }},
		{"one field encrypted", "the rest is legible, for rules to match on", func(s *act) {
			s.deliver(s.hides(s.publish(s.event(),
				by{encrypt: s.secrets.encrypter, fields: []string{"/note"}}), "Größe"), reader{})
		}},
		{"opened by a non-recipient", "a rule sent it to another consumer, too", func(s *act) {
			s.deliver(s.secret(), reader{decrypter: s.secrets.reads})
		}},
		{"ciphertext moved", "orders itself seals one event's ciphertext into another", func(s *act) {
			s.deliver(s.transplant(s.orders, s.jweOf(s.secret()), s.event()), reader{})
		}},
		{"re-signed by another producer", "of the same source, who cannot read it and says it is his",
			func(s *act) {
				s.deliver(s.transplant(s.rival, s.jweOf(s.secret()), s.sent), reader{})
			}},
		{"recipient list edited", "the curious one puts his own key there", func(s *act) {
			s.deliver(s.edit(s.secret(), s.secrets.consumer.Recipient().KeyID(),
				s.secrets.curious.Recipient().KeyID()), reader{})
		}},
		{"commitment wrong", "made by orders under one key, said to be under another", func(s *act) {
			ev := s.event()
			s.deliver(s.transplant(s.orders, s.jweUnder(ev, jwe.NewContentKey(), jwe.NewContentKey()), ev),
				reader{})
		}},
	}
}

func sessionScenes() []scene {
	return []scene{
		{"session key", "that the key of orders vouches for, for an hour", func(s *act) {
			s.deliver(s.publish(s.event(), by{delegator: s.session(s.orders, 0)}), reader{})
		}},
		{"session key past its hour", "a thief signs with a session key of two hours ago", func(s *act) {
			s.deliver(s.overtime(2*time.Hour), reader{})
		}},
		{"session of a revoked key", "made while the key was good; the key was stolen since", func(s *act) {
			s.deliver(s.publish(s.event(), by{delegator: s.session(s.revoked, 0)}), reader{})
		}},
	}
}

// secret is the delivery of a new order whose data is encrypted.
func (s *act) secret() []byte {
	return s.hides(s.publish(s.event(), by{encrypt: s.secrets.encrypter}), "chair")
}

// hides makes sure that the text cannot be read in the delivery.
func (s *act) hides(delivery []byte, text string) []byte {
	if bytes.Contains(delivery, []byte(text)) {
		s.fail(fmt.Errorf("%q can be read in the delivery", text))
	}
	return delivery
}

// session is a session that signer vouched for so long ago.
func (s *act) session(signer *keys.LocalSigner, ago time.Duration) *session.Session {
	scope := session.Scope{Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.*"}}
	session, err := session.Delegate(s.ctx, signer, scope, time.Hour,
		&session.Options{Now: func() time.Time { return s.now.Add(-ago) }})
	if err != nil {
		s.fail(err)
	}
	return session
}

// overtime is an event that a session key of so long ago signs now: sealing makes a new one, so the thief of
// the old one does it by hand.
func (s *act) overtime(ago time.Duration) []byte {
	old, fresh := s.session(s.orders, ago), s.session(s.orders, 0)
	if s.err != nil {
		return nil
	}
	key, err := old.Session(s.ctx, s.now.Add(-ago))
	if err != nil {
		s.fail(err)
		return nil
	}
	return s.resign(s.publish(s.event(), by{delegator: fresh}), func(e *dsse.Envelope) { s.signOver(e, key) })
}

// signOver puts the session key's own signature and statement in place of those that are there.
func (s *act) signOver(e *dsse.Envelope, key *session.Key) {
	old := bytes.Index(e.Payload, []byte(`"delegations":["`))
	if old < 0 {
		s.fail(fmt.Errorf("no delegations to attack"))
		return
	}
	binding := key.Binding()
	from := old + len(`"delegations":["`)
	copy(e.Payload[from:], base64.StdEncoding.EncodeToString(binding[:]))
	sig, err := key.Sign(s.ctx, dsse.PAE(nil, e.PayloadType, e.Payload))
	if err != nil {
		s.fail(err)
		return
	}
	e.Signatures = []dsse.Signature{{KeyID: key.Verifier().KeyID(), Sig: sig, Delegation: key.Statement()}}
}

// jweOf cuts the encrypted data out of a delivery.
func (s *act) jweOf(delivery []byte) json.RawMessage {
	var d struct {
		Detail struct{ Data json.RawMessage }
	}
	if err := json.Unmarshal(delivery, &d); err != nil {
		s.fail(err)
	}
	return d.Detail.Data
}

// jweUnder encrypts the event's data under key, with a valid authentication tag, and names another key in the
// header: what AES-GCM alone would let pass.
func (s *act) jweUnder(ev event.Event, key, named *jwe.ContentKey) json.RawMessage {
	recipients, err := s.wrap(key)
	if err != nil {
		s.fail(err)
		return nil
	}
	plain, err := jsontext.AppendCanonical(nil, ev.Data())
	if err != nil {
		s.fail(err)
		return nil
	}
	secret, err := key.Bytes()
	if err != nil {
		s.fail(err)
		return nil
	}
	encode := base64.RawURLEncoding.EncodeToString
	protected := encode(fmt.Appendf(nil, `{"cty":"application/json","enc":"A256GCM","kc":%q}`,
		named.Commitment()))
	aad := encode(fmt.Appendf(nil, `{"id":%q,"producer":"orders","source":%q,"type":%q}`, ev.ID(),
		ev.Source(), ev.Type()))
	nonce, ciphertext, tag, err := gcm(secret, plain, protected+"."+aad)
	if err != nil {
		s.fail(err)
	}
	return fmt.Appendf(nil, `{"aad":%q,"ciphertext":%q,"iv":%q,"protected":%q,"recipients":%s,"tag":%q}`,
		aad, encode(ciphertext), encode(nonce), protected, recipients, encode(tag))
}

// wrap is the content key for the consumer, as "recipients".
func (s *act) wrap(key *jwe.ContentKey) ([]byte, error) {
	r := s.secrets.consumer.Recipient()
	to, err := jwe.NewECDHRecipient(r.KeyID(), r.PublicKey())
	if err != nil {
		return nil, err
	}
	entry, err := to.Wrap(s.ctx, key)
	if err != nil {
		return nil, err
	}
	return jwe.AppendRecipients(nil, key, []jwe.WrappedKey{entry})
}

// gcm encrypts as RFC 7518 section 5.3 has it. A nonce of zeros will do for a key that is used once.
func gcm(key, plain []byte, bound string) (nonce, ciphertext, tag []byte, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, nil, err
	}
	nonce = make([]byte, aead.NonceSize())
	sealed := aead.Seal(nil, nonce, plain, []byte(bound))
	end := len(sealed) - aead.Overhead()
	return nonce, sealed[:end], sealed[end:], nil
}

// transplant has a producer seal ev around a ciphertext that was made elsewhere, as a program that does not
// use sealbus could.
func (s *act) transplant(signer *keys.LocalSigner, message json.RawMessage, ev event.Event) []byte {
	if s.err != nil {
		return nil
	}
	shell := ev.Clone()
	if err := shell.SetData("application/jose+json", []byte(message)); err != nil {
		s.fail(err)
		return nil
	}
	delivery := s.publish(shell, by{signer: signer})
	s.sent = ev
	return s.resign(delivery, func(e *dsse.Envelope) {
		e.Payload = bytes.TrimSuffix(e.Payload, []byte("}}"))
		e.Payload = append(e.Payload, `,"enc":"jwe"}}`...)
		e.Signatures = []dsse.Signature{s.sign(signer, e)}
	})
}
