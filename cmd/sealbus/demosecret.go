package main

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/canonical"
	"github.com/sealbus/sealbus/internal/cejson"
	"github.com/sealbus/sealbus/internal/jsonwrite"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/mint"
	"github.com/sealbus/sealbus/internal/strictjson"
	"github.com/sealbus/sealbus/keys"
)

// demoReader is the consumer that the demo encrypts to.
const demoReader = "payments"

func secretScenes() []scene {
	return []scene{
		{"encrypted", "only the consumer payments can read it", func(s *act) { s.deliver(s.encrypted(), reader{}) }},
		{"one field encrypted", "rules still match on the rest", func(s *act) {
			s.deliver(s.hides(s.publish(s.event(), by{encrypt: true, fields: []string{"/note"}}), "Größe"), reader{})
		}},
		{"opened by a non-recipient", "a consumer with another key gets it from the same bus", func(s *act) {
			s.deliver(s.encrypted(), reader{identity: s.otherReader})
		}},
		{"recipient list edited", "the key ID of payments became that of another consumer", func(s *act) {
			s.deliver(s.edit(s.encrypted(), s.payments.Recipient().KeyID(), s.otherReader.Recipient().KeyID()), reader{})
		}},
		{"ciphertext moved", "into another event, with a genuine signature around it", func(s *act) {
			secret := dataOf(s.encrypted())
			s.deliver(s.put(s.event(), signed{data: secret}), reader{})
		}},
		{"re-signed by another producer", "partner, trusted for the same source, says that it wrote it", func(s *act) {
			secret := dataOf(s.encrypted())
			s.deliver(s.put(s.sent, signed{data: secret, key: s.partner}), reader{})
		}},
		{"commitment wrong", "its sender names another content key than it used", func(s *act) {
			ev := s.event()
			s.deliver(s.put(ev, signed{data: s.uncommitted(ev)}), reader{})
		}},
	}
}

func sessionScenes() []scene {
	return []scene{
		{"session key", "the key of orders vouches for it, for an hour", func(s *act) {
			s.deliver(s.put(s.event(), signed{by: s.orders, since: 10 * time.Minute}), reader{})
		}},
		{"session key past its hour", "which was over a minute before it signed", func(s *act) {
			s.deliver(s.put(s.event(), signed{by: s.orders, since: 61 * time.Minute}), reader{})
		}},
		{"session of a revoked key", "orders had revoked the key that vouches for it", func(s *act) {
			s.deliver(s.put(s.event(), signed{by: s.revoked, since: 10 * time.Minute}), reader{})
		}},
	}
}

// encrypted is the delivery of a new order that only demoReader can read.
func (s *act) encrypted() []byte { return s.hides(s.publish(s.event(), by{encrypt: true}), "chair") }

// hides makes sure that the delivery does not show the text.
func (s *act) hides(delivery []byte, text string) []byte {
	if bytes.Contains(delivery, []byte(text)) {
		s.fail(fmt.Errorf("%q can be read in the delivery", text))
	}
	return delivery
}

// signed is how somebody signs an event with tools of their own. The zero value is with the key of orders.
type signed struct {
	key   *keys.LocalSigner // nil = that of orders
	data  string            // a JWE in place of the data; "" = the event's own
	by    *keys.LocalSigner // who vouches for a session key that signs instead; nil = nobody
	since time.Duration     // how long ago the hour of the session key began
}

// put seals the event so, puts it on the bus, which does not ask who, and is the EventBridge event that arrives.
func (s *act) put(ev event.Event, how signed) (delivery []byte) {
	s.sent, s.by = ev, cmp.Or(how.by, how.key, s.orders)
	plan := mint.Plan{Event: s.members(ev), By: []mint.Signature{{Key: cmp.Or(how.key, s.orders)}}}
	if how.data != "" {
		plan.Event = plan.Event.Set("data", how.data).Set("datacontenttype", `"application/jose+json"`)
		plan.Profile = func(o mint.Object) mint.Object { return o.Add("enc", `"jwe"`) }
	}
	if how.by != nil {
		plan.By[0] = s.session(how)
	}
	if s.err != nil {
		return nil
	}
	_, err := s.bus.client.PutEvents(s.ctx, &awseventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		EventBusName: aws.String(demoAudience), Source: aws.String(ev.Source()), DetailType: aws.String(ev.Type()),
		Detail: aws.String(plan.Seal().String()), Time: aws.Time(ev.Time()),
	}}})
	if err != nil {
		s.fail(err)
		return nil
	}
	if delivery, err = s.bus.take(s.ctx); err != nil {
		s.fail(err)
	}
	return delivery
}

// session is a signature by a session key that lives an hour.
func (s *act) session(how signed) mint.Signature {
	key, err := keys.GenerateSigner(keys.Ed25519, how.by.Producer())
	if err != nil {
		s.fail(err)
		return mint.Signature{}
	}
	return mint.Signature{Key: key, Delegation: &mint.Delegation{
		By: how.by, From: s.now.Add(-how.since), Life: envelope.MaxSessionLife,
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.*"},
	}}
}

// members are those of the event as it is sealed, without a signature. Its data is in canonical form.
func (s *act) members(ev event.Event) mint.Object {
	in, err := cejson.FromSDK(&ev)
	if err != nil {
		s.fail(err)
		return nil
	}
	o := objectOf(in.Append(nil))
	data, err := canonical.Append(nil, []byte(o.Get("data")))
	if err != nil {
		s.fail(err)
	}
	return o.Set("data", string(data)).Set("recordedtime", mint.Quote(cejson.FormatSeconds(s.now))).Set("audience", mint.Quote(demoAudience))
}

// dataOf is the data of a delivery in the structured layout, as JSON; "" = there is none.
func dataOf(delivery []byte) string {
	return objectOf([]byte(objectOf(delivery).Get("detail"))).Get("data")
}

func objectOf(doc []byte) (o mint.Object) {
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); {
		name := string(obj.Name)
		o = o.Add(name, string(r.Span()))
	}
	return o
}

// uncommitted is the event's data for demoReader, in a JWE whose protected header commits to another key.
func (s *act) uncommitted(ev event.Event) string {
	text, err := s.jweWith(ev, jwe.NewContentKey(), jwe.NewContentKey())
	if err != nil {
		s.fail(err)
	}
	return text
}

// jweWith encrypts under key, and names another.
func (s *act) jweWith(ev event.Event, key, named *jwe.ContentKey) (string, error) {
	r := s.payments.Recipient()
	to, err := jwe.NewECDHRecipient(r.KeyID(), r.PublicKey())
	if err != nil {
		return "", err
	}
	entry, err := to.Wrap(s.ctx, key)
	if err != nil {
		return "", err
	}
	recipients, err := jwe.AppendRecipients(nil, key, []jwe.WrappedKey{entry})
	if err != nil {
		return "", err
	}
	secret, err := key.Bytes()
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	protected := encode(fmt.Appendf(nil, `{"cty":"application/json","enc":"A256GCM","kc":%q}`, named.Commitment()))
	bound := encode(fmt.Appendf(nil, `{"id":%s,"producer":"orders","source":%s,"type":%s}`,
		jsonwrite.AppendString(nil, ev.ID()), jsonwrite.AppendString(nil, ev.Source()), jsonwrite.AppendString(nil, ev.Type())))
	nonce, ciphertext, tag, err := gcm(secret, s.members(ev).Get("data"), protected+"."+bound)
	return fmt.Sprintf(`{"aad":%q,"ciphertext":%q,"iv":%q,"protected":%q,"recipients":%s,"tag":%q}`,
		bound, encode(ciphertext), encode(nonce), protected, recipients, encode(tag)), err
}

// gcm encrypts as RFC 7518 section 5.3 has it. A nonce of zeros will do for a key that is used once.
func gcm(key []byte, plain, bound string) (nonce, ciphertext, tag []byte, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, nil, err
	}
	nonce = make([]byte, aead.NonceSize())
	sealed := aead.Seal(nil, nonce, []byte(plain), []byte(bound))
	end := len(sealed) - aead.Overhead()
	return nonce, sealed[:end], sealed[end:], nil
}
