package envelope_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

// A producer seals, a consumer opens. An event that was changed on the way is an error with a Reason.
func Example() {
	ctx := context.Background()
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders") // in production: of a keyring, or in KMS
	if err != nil {
		log.Fatal(err)
	}
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	if err := ev.SetData("application/json", map[string]any{"total": 12.5}); err != nil {
		log.Fatal(err)
	}
	sealed, err := envelope.Seal(ctx, ev, signer, &envelope.SealOptions{Audience: "central"})
	if err != nil {
		log.Fatal(err)
	}

	// A Bundle is a source of trust; a program follows a signed one: trust.WatchFile, trust.FetchBundle.
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"com.example.order.*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Audience: "central"}
	opened, err := envelope.Open(ctx, sealed.JSON(), bundle, policy)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s says %s\n", opened.Producer, opened.Event.Data())

	forged := bytes.Replace(sealed.JSON(), []byte("12.5"), []byte("1.25"), 1)
	_, err = envelope.Open(ctx, forged, bundle, policy)
	fmt.Println(err)
	reason := envelope.ReasonOf(err)
	fmt.Println(reason.Class(), reason.Page())
	// Output:
	// orders says {"total":12.5}
	// envelope: modified: the data or a core attribute is not what was signed
	// permanent docs/reasons.md#modified
}

// A producer encrypts one member of its events to a consumer, and signs with a session key that its long-term
// key vouches for.
func Example_confidential() {
	ctx := context.Background()
	root, err := keys.GenerateSigner(keys.ES256, "orders") // in KMS: awskms.NewSigner
	if err != nil {
		log.Fatal(err)
	}
	billing, err := keys.GenerateIdentity(keys.X25519) // in a keyring, or in KMS: awskms.NewIdentity
	if err != nil {
		log.Fatal(err)
	}

	// Once per process of the producer.
	encrypter, err := envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{billing.Recipient()}})
	if err != nil {
		log.Fatal(err)
	}
	session, err := session.Delegate(ctx, root, session.Scope{Sources: []string{"https://orders.example/*"},
		Types: []string{"com.example.order.*"}}, time.Hour, nil)
	if err != nil {
		log.Fatal(err)
	}
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	if err := ev.SetData("application/json", map[string]any{"card": "4111 1111", "total": 12.5}); err != nil {
		log.Fatal(err)
	}
	sealed, err := envelope.Seal(ctx, ev, session,
		&envelope.SealOptions{Encrypt: encrypter, EncryptFields: []string{"/card"}})
	if err != nil {
		log.Fatal(err)
	}

	// Once per process of the consumer; consumer.Options.Decrypter opens after the claim.
	decrypter, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(billing)})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: root.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"com.example.order.*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	opened, err := envelope.Open(ctx, sealed.JSON(), bundle, &envelope.Policy{
		Sources: []string{"https://orders.example/*"}, MaxAge: time.Hour,
		Decrypter: decrypter, RequireEncryptedFields: []string{"/card"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s says %s; secret on the way: %s\n", opened.Producer, opened.Event.Data(),
		opened.Encryption.Fields)
	// Output: orders says {"card":"4111 1111","total":12.5}; secret on the way: [/card]
}

// A program that opens many events makes one Opener. It takes deliveries of EventBridge, too.
func ExampleOpener() {
	ctx := context.Background()
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		log.Fatal(err)
	}
	trust, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	opener, err := envelope.NewOpener(trust, &envelope.Policy{Sources: []string{"https://orders.example/*"}})
	if err != nil {
		log.Fatal(err) // it says what the policy lacks
	}

	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	sealed, err := envelope.Seal(ctx, ev, signer, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, typ := range []string{"com.example.order.placed", "com.example.order.cancelled"} {
		delivery := fmt.Appendf(nil, `{"source":%q,"detail-type":%q,"detail":%s}`, ev.Source(), typ,
			sealed.JSON())
		opened, err := opener.Open(ctx, envelope.Received{Body: delivery, EventBridge: true}, envelope.Step{})
		if err != nil {
			fmt.Println(envelope.ReasonOf(err))
			continue
		}
		fmt.Println(opened.Event.ID(), "by", opened.Producer)
	}
	// Output:
	// o-1 by orders
	// envelope_mismatch
}
