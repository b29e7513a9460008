package sealbus_test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// An event is sealed and opened. Then an attacker changes one letter of it.
func Example() {
	ctx := context.Background()
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		panic(err)
	}
	// In production a trust bundle is signed by offline root keys, and consumers fetch it.
	bundle, err := trust.NewBundle(trust.BundleOptions{Expires: time.Now().Add(time.Hour)}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders",
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.order.*"},
	})
	if err != nil {
		panic(err)
	}

	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	if err := ev.SetData("application/json", map[string]string{"item": "pen"}); err != nil {
		panic(err)
	}
	sealed, err := envelope.Seal(ctx, ev, signer, nil)
	if err != nil {
		panic(err)
	}

	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, MaxAge: time.Hour}
	opened, err := envelope.Open(ctx, sealed.JSON(), bundle, policy)
	if err != nil {
		panic(err)
	}
	fmt.Println(opened.Producer, "says", string(opened.Event.Data()))

	changed := bytes.Replace(sealed.JSON(), []byte(`"pen"`), []byte(`"pan"`), 1)
	_, err = envelope.Open(ctx, changed, bundle, policy)
	fmt.Println(envelope.ReasonOf(err))
	// Output:
	// orders says {"item":"pen"}
	// modified
}
