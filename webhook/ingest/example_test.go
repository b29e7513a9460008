package ingest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/ingest"
)

// A provider of Standard Webhooks sends a delivery, and sends it again.
func Example() {
	signer, err := keys.GenerateSigner(keys.Ed25519, "hooks")
	if err != nil {
		panic(err)
	}
	bus := producer.NewLocalBus(nil)
	bus.Subscribe(func(context.Context, []byte) error {
		fmt.Println("the bus has a sealed event")
		return nil
	})
	next, err := ingest.New(keys.SignWith(signer), bus, "https://hooks.example/acme", nil)
	if err != nil {
		panic(err)
	}
	scheme, err := webhook.Provider("standardwebhooks")
	if err != nil {
		panic(err)
	}
	secrets := []webhook.Secret{{Text: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
	verifier, err := webhook.New(scheme, "acme", secrets, nil)
	if err != nil {
		panic(err)
	}
	receiver, err := webhook.NewReceiver(verifier, replay.NewMemory(nil), next, nil)
	if err != nil {
		panic(err)
	}
	body := []byte(`{"paid":true}`)
	header, err := webhook.Sign("msg_1", time.Now(), body, secrets)
	if err != nil {
		panic(err)
	}
	for range 2 {
		delivery := webhook.Request{Method: "POST", Header: header, Body: body}
		r := receiver.Receive(context.Background(), delivery, time.Time{})
		fmt.Printf("%d %q\n", r.Status, r.Reason)
	}
	// Output:
	// the bus has a sealed event
	// 200 ""
	// 200 "replayed"
}
