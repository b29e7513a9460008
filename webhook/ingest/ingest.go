// Package ingest brings verified webhooks onto the bus: each delivery becomes a sealed CloudEvent. It is the
// next of a webhook.Receiver, which answers the provider 2xx only when the bus has the event.
//
//	next, err := ingest.New(ring, bus, "https://hooks.example/github", nil)
//	r, err := webhook.NewReceiver(verifier, store, next, nil)
//
// # The event
//
//	id                 the delivery ID, if the signature covers it; else the hex SHA-256 of the signed bytes
//	source             that of New, one for each endpoint
//	type               the prefix and the provider's word, such as webhook.github.push
//	subject, time      the provider's, if it gives them and signs a time
//	data               the body; datacontenttype is that of the request
//	webhookprovider    the name of the scheme
//	webhookkeyid       the ID of the secret that made the signature
//	webhookverifiedat  when the delivery was verified, in whole seconds
//	webhooksignature   the hex SHA-256 of the provider's signature
//	webhookbodysha256  the hex SHA-256 of the body as it came
//	webhookid          the delivery ID, if the signature does not cover it: believe it no more than a log
//	authtype, authid, authclaims
//	                   who called, if Options.Callers is set
//	webhookunsigned    which of type and subject the provider's signature does not cover: "type", "subject",
//	                   "type subject"; absent = none. datacontenttype is never covered
//
// A provider that sends a delivery again, because the answer was lost, gives an event with the same id and
// the same content. Consumers recognise the duplicate.
//
// JSON is sealed in its canonical form, so that rules of EventBridge match its members. A body without a
// canonical form that every relay keeps is sealed byte for byte, as data_base64: JSON with integers beyond
// 2^53 or numbers of 17 digits, and everything that is not JSON. A body that says it is JSON and is not, or
// has a member twice, is sealed as application/octet-stream, with its own content type as webhookcontenttype.
// No body is refused for its form. A bus with the embedded layout takes JSON objects only: use the structured
// one.
//
// Threats: an attacker who changes an event on its way to a consumer (it is sealed); an attacker who sends a
// captured body under another unsigned delivery ID (the id does not come from it). Not stopped: an attacker
// who keeps a delivery back and sends it on under another type or subject, where the provider has them in a
// header that it does not sign, as GitHub does. webhookunsigned says where, and sealing does not make them
// true. Rules that route may use them; rules on security use the data.
//
// Stable: New, Options, and the attributes.
package ingest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
)

// The longest attributes, in bytes. EventBridge takes a detail type of 128 characters and a source of 256.
const (
	maxType    = 128
	maxSource  = 256
	maxPrefix  = 64
	maxID      = 256
	maxSubject = 1 << 10
	maxMedia   = 256 // of a content type
)

// unnamed is the word for a delivery to which the provider gives no type, or none that fits.
const unnamed = "delivery"

// opaque is the content type of bytes that are not what they say.
const opaque = "application/octet-stream"

// Options adjust New. The zero value seals for every audience, in the clear.
type Options struct {
	// TypePrefix stands before the provider's word for the type, such as "com.example.github.", at most 64
	// bytes; "" = "webhook.", the provider's name and a dot.
	TypePrefix string
	// Producer says how events are sealed and published; nil = the zero producer.Options. Where a body lacks
	// one of EncryptFields, all of it is encrypted.
	Producer *producer.Options
	// Callers true: each event says who called, in the attributes of package webhook/authcontext. The program
	// that verified the caller put it into the context (authcontext.With). A delivery without a caller is not
	// published, and its sender is to send it again. The attributes are content: if the key or the claims change
	// before a delivery comes again, and the replay store has lost it, consumers that handled it take it for
	// id_reused in the place of a duplicate. false = events have no such attributes.
	Callers bool
}

// ingester publishes the deliveries of one endpoint.
type ingester struct {
	source, prefix string
	now            func() time.Time
	fields         []string // EncryptFields of fine
	bytes          bool     // everything is sealed byte for byte
	callers        bool     // Options.Callers
	// Producers of JSON in its canonical form, of the same with all data encrypted that is to be, and of data
	// byte for byte.
	fine, whole, exact *producer.Producer
}

// New makes the next of a webhook.Receiver. It publishes each delivery as a sealed event with that source,
// signed by the keys of ring, through bus. Give each endpoint a source of its own: id and source together
// name an event.
//
// It returns nil when the bus has the event. These are a *webhook.Error: an event that is too large, once
// sealed (too_large); data that does not follow a schema of Producer or of the caller (schema_invalid); an
// event for which the caller may not speak (webhook.WithCaller). Every other error makes the provider send
// the delivery again.
func New(ring keys.SignerSource, bus producer.Bus, source string, opts *Options) (
	func(ctx context.Context, v *webhook.Verified) error, error,
) {
	var o Options
	if opts != nil {
		o = *opts
	}
	var po producer.Options
	if o.Producer != nil {
		po = *o.Producer
	}
	if err := keys.CheckSource(source); err != nil {
		return nil, fmt.Errorf("ingest: the source %.80q: %w", source, err)
	}
	switch {
	case utf8.RuneCountInString(source) > maxSource || strings.HasPrefix(source, "aws."):
		return nil, fmt.Errorf(`ingest: the source %.80q: EventBridge takes at most %d characters, `+
			`not beginning with "aws."`, source, maxSource)
	case len(o.TypePrefix) > maxPrefix || wire.CheckText("type", o.TypePrefix, maxPrefix) != nil:
		return nil, fmt.Errorf("ingest: the TypePrefix %.80q: at most %d bytes of printable text",
			o.TypePrefix, maxPrefix)
	}
	in := &ingester{source: source, prefix: o.TypePrefix, fields: po.EncryptFields, bytes: po.Exact,
		now: po.Now, callers: o.Callers}
	if in.now == nil {
		in.now = time.Now
	}
	var errs [3]error
	in.fine, errs[0] = producer.New(ring, bus, &po)
	po.EncryptFields = nil
	in.whole, errs[1] = producer.New(ring, bus, &po)
	po.Exact = true
	in.exact, errs[2] = producer.New(ring, bus, &po)
	if err := errors.Join(errs[0], errs[1], errs[2]); err != nil {
		return nil, fmt.Errorf("ingest: %w", errs[0])
	}
	return in.publish, nil
}

// publish seals the delivery and puts it on the bus.
func (in *ingester) publish(ctx context.Context, v *webhook.Verified) error {
	ev := in.describe(v)
	if in.callers {
		caller, err := authcontext.From(ctx)
		if err == nil {
			err = caller.Set(&ev)
		}
		if err != nil {
			return err
		}
	}
	seals := in.setData(&ev, v)
	if caller := webhook.CallerOf(ctx); caller != nil {
		if err := ask(caller, &ev); err != nil {
			return refusal(v, cmp.Or(webhook.ReasonOf(err), envelope.ReasonHandlerFailed), err)
		}
	}
	_, err := seals.Publish(ctx, ev)
	if errors.Is(err, envelope.ErrTooLarge) {
		return refusal(v, envelope.ReasonTooLarge, err)
	}
	return refusal(v, "", err)
}

// ask judges whether the caller may speak for the event, and its data by the caller's schemas.
func ask(caller consumer.Caller, ev *event.Event) error {
	if err := caller.Check(ev.Source(), ev.Type()); err != nil {
		return err
	}
	return caller.Validate(envelope.Document{Type: ev.Type(), DataSchema: ev.DataSchema(),
		ContentType: ev.DataContentType(), Data: ev.Data()})
}

// refusal is an error with its Reason; "" = it has none, unless data does not follow its schema.
func refusal(v *webhook.Verified, reason envelope.Reason, err error) error {
	if _, ok := errors.AsType[*envelope.SchemaError](err); ok {
		reason = envelope.ReasonSchemaInvalid
	}
	if reason == "" {
		return err
	}
	return &webhook.Error{Reason: reason, Provider: v.Provider, Err: err}
}

// describe is the event without its data.
func (in *ingester) describe(v *webhook.Verified) event.Event {
	ev := event.New()
	ev.SetSource(in.source)
	id, signed := v.ID()
	if id != "" && !fits(id, maxID) {
		id = ""
	}
	if signed && id != "" {
		ev.SetID(id)
	} else { // an attacker who captured the delivery chooses an ID that is not signed
		digest := v.SignedDigest()
		ev.SetID(hex.EncodeToString(digest[:]))
		if id != "" {
			ev.SetExtension(wire.AttrWebhookID, id)
		}
	}
	prefix := in.prefix
	if prefix == "" {
		prefix = "webhook." + v.Provider + "."
	}
	word := v.Type()
	if word == "" || !fits(prefix+word, maxType) {
		word = unnamed
	}
	ev.SetType(prefix + word)
	if subject := v.Subject(); subject != "" && fits(subject, maxSubject) {
		ev.SetSubject(subject)
	}
	if !v.Time.IsZero() { // relays keep three digits of a second
		ev.SetTime(v.Time.UTC().Truncate(time.Millisecond))
	}
	signature, body := v.SignatureDigest(), sha256.Sum256(v.Body)
	ev.SetExtension("webhookprovider", v.Provider)
	if v.KeyID != "" && fits(v.KeyID, maxID) {
		ev.SetExtension(wire.AttrWebhookKeyID, v.KeyID)
	}
	ev.SetExtension(wire.AttrWebhookVerifiedAt, types.Timestamp{Time: in.now().UTC().Truncate(time.Second)})
	ev.SetExtension(wire.AttrWebhookSignature, hex.EncodeToString(signature[:]))
	ev.SetExtension("webhookbodysha256", hex.EncodeToString(body[:]))
	if names := v.Unsigned(); len(names) > 0 {
		ev.SetExtension("webhookunsigned", strings.Join(names, " "))
	}
	return ev
}

// fits reports whether an attribute can hold the text.
func fits(text string, most int) bool {
	return len(text) <= most && wire.CheckText("", text, most) == nil
}

// setData sets the data of the event and gives the producer that can seal it.
func (in *ingester) setData(ev *event.Event, v *webhook.Verified) *producer.Producer {
	media := v.ContentType
	if len(v.Body) == 0 {
		return in.whole
	}
	ev.DataEncoded = v.Body
	if isJSON(media, v.Body) {
		d := jsontext.NewDecoder(v.Body)
		doc := d.ReadDocument()
		if d.End() == nil {
			if !wire.IsJSON(media) || media == "" || !fits(media, maxMedia) {
				media = "application/json"
			}
			ev.SetDataContentType(media)
			return in.ofJSON(ev, &doc)
		}
		if media != "" && fits(media, maxMedia) {
			ev.SetExtension("webhookcontenttype", media)
		}
		media = opaque
	}
	if !fits(media, maxMedia) {
		media = opaque
	}
	ev.SetDataContentType(media)
	return in.exact
}

// isJSON reports whether the body is to be read as JSON: its content type says so, or there is none, or it is
// an object as plain text, which SNS sends.
func isJSON(media string, body []byte) bool {
	kind, _, _ := strings.Cut(media, ";")
	kind = strings.ToLower(strings.Trim(kind, " \t"))
	if kind == "text/plain" {
		i := jsontext.SkipSpace(body, 0)
		return i < len(body) && body[i] == '{'
	}
	return wire.IsJSON(media) // also none
}

// ofJSON is the producer for that data. Data that will be sealed in its canonical form is set in it, so that
// sealing does not compute it again.
func (in *ingester) ofJSON(ev *event.Event, doc *jsontext.Document) *producer.Producer {
	if in.bytes || doc.Err != nil || jsontext.AnyNumber(doc.Canonical, jsontext.IsFragile) {
		return in.exact
	}
	ev.DataEncoded = doc.Canonical
	if len(in.fields) > 0 {
		for _, at := range jsontext.FindAll(doc.Canonical, in.fields) {
			if at.End <= at.Start {
				return in.whole
			}
		}
	}
	return in.fine
}
