package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

// source is the source of the events, which the key policies name as the encryption context.
const source = "https://orders.example/eu"

// secretFields are legible to the recipients only; rules on the bus still match on the rest.
var secretFields = []string{"/card/number"}

// newProducer makes what a producer process makes once: an Encrypter to the consumers' keys in KMS, and a
// session that the producer's own key in KMS vouches for.
func newProducer(ctx context.Context, client *kms.Client, signing string,
	recipients ...string) (*envelope.Encrypter, *session.Session, error) {
	root, err := awskms.NewSigner(ctx, client, signing, "orders", nil)
	if err != nil {
		return nil, nil, err
	}
	session, err := session.Delegate(ctx, root, session.Scope{Sources: []string{source},
		Types: []string{"com.example.order.*"}}, time.Hour, nil)
	if err != nil {
		return nil, nil, err
	}
	var to envelope.EncryptTo
	for _, arn := range recipients {
		r, err := awskms.NewRecipient(client, arn, nil)
		if err != nil {
			return nil, nil, err
		}
		to.Services = append(to.Services, r)
	}
	encrypter, err := envelope.NewEncrypter(to)
	return encrypter, session, err
}

// seal seals one event; producer.New with Options.Encrypt and Options.EncryptFields does it on the way to a
// bus.
func seal(ctx context.Context, ev event.Event, session *session.Session,
	encrypter *envelope.Encrypter) ([]byte, error) {
	sealed, err := envelope.Seal(ctx, ev, session,
		&envelope.SealOptions{Audience: "central", Encrypt: encrypter, EncryptFields: secretFields})
	if err != nil {
		return nil, err
	}
	return sealed.JSON(), nil
}

// consume handles deliveries as the consumer of that name, whose key in KMS is arn.
func consume(ctx context.Context, name string, client *kms.Client, arn string, trust trust.Source,
	deliveries [][]byte) (handled []string, err error) {
	identity, err := awskms.NewIdentity(client, arn, nil)
	if err != nil {
		return nil, err
	}
	decrypter, err := envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{identity}})
	if err != nil {
		return nil, err
	}
	policy := &envelope.Policy{
		Sources: []string{source}, Audience: "central", Decrypter: decrypter,
		RequireEncryptedFields: secretFields,
	}
	c, err := consumer.New(name, trust, replay.NewMemory(nil), policy, nil)
	if err != nil {
		return nil, err
	}
	for _, doc := range deliveries {
		_, err := c.Handle(ctx, consumer.Message{Body: doc},
			func(_ context.Context, d consumer.Delivery[[]byte]) error {
				handled = append(handled, string(d.Data))
				return nil
			})
		if err != nil {
			return handled, err
		}
	}
	return handled, nil
}

func order(n int) event.Event {
	ev := event.New()
	ev.SetID(fmt.Sprintf("o-%d", n))
	ev.SetSource(source)
	ev.SetType("com.example.order.placed")
	_ = ev.SetData("application/json",
		json.RawMessage(fmt.Sprintf(`{"card":{"number":"4111 1111 1111 1111","type":"visa"},"total":%d}`, n)))
	return ev
}

// clearPart is the data as everybody sees it.
func clearPart(doc []byte) json.RawMessage {
	var ev struct{ Data json.RawMessage }
	_ = json.Unmarshal(doc, &ev) // sealed by us
	return ev.Data
}
