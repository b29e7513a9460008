package sender_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

// receiverOf is a partner who verifies with these secrets.
func receiverOf(secrets []webhook.Secret) http.Handler {
	scheme, err := webhook.Provider("standardwebhooks")
	if err != nil {
		panic(err)
	}
	verifier, err := webhook.New(scheme, "orders", secrets, nil)
	if err != nil {
		panic(err)
	}
	next := func(_ context.Context, v *webhook.Verified) error {
		fmt.Printf("the partner has %s\n", v.Body)
		return nil
	}
	h, err := webhook.Handler(verifier, replay.NewMemory(nil), next, nil)
	if err != nil {
		panic(err)
	}
	return h
}

// Verified events go to a partner, during the rotation of a secret.
func ExampleSender_Forward() {
	var (
		ctx           context.Context
		store         sender.Store       // of webhook/sender/redis
		c             *consumer.Consumer // of the bus
		msg           consumer.Message   // from the bus
		old, secret   string
		endOfRotation time.Time
	)
	signing, err := sender.StandardWebhooks([]webhook.Secret{
		{ID: "2025", Text: old, NotAfter: endOfRotation}, {ID: "2026", Text: secret},
	})
	if err != nil {
		log.Fatal(err)
	}
	endpoints, err := sender.NewEndpoints(sender.Endpoint{
		ID: "partner", URL: "https://partner.example/hooks", Signing: signing,
	})
	if err != nil {
		log.Fatal(err)
	}
	s, err := sender.New(store, endpoints, nil)
	if err != nil {
		log.Fatal(err)
	}
	go s.Run(ctx)
	toPartner := func(context.Context, consumer.Delivery[[]byte]) ([]string, error) {
		return []string{"partner"}, nil
	}
	_, err = c.Handle(ctx, msg, s.Forward(toPartner)) // c is a *consumer.Consumer
	if err != nil {
		log.Fatal(err)
	}
}

// A message goes to a partner, who verifies it by package webhook.
func Example() {
	secrets := []webhook.Secret{{Text: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
	partner := httptest.NewTLSServer(receiverOf(secrets))
	defer partner.Close()

	signing, err := sender.StandardWebhooks(secrets)
	if err != nil {
		panic(err)
	}
	endpoints, err := sender.NewEndpoints(sender.Endpoint{
		ID: "partner", URL: partner.URL + "/hooks", Signing: signing,
	})
	if err != nil {
		panic(err)
	}
	s, err := sender.New(sender.NewMemory(nil), endpoints, &sender.Options{
		UnsafeTransport: partner.Client().Transport, // for this example: a partner is at a public address
	})
	if err != nil {
		panic(err)
	}
	m := sender.Message{ID: "msg_1", Body: []byte(`{"type":"order.placed","data":{"total":7}}`)}
	if err := s.Send(context.Background(), "partner", m); err != nil {
		panic(err)
	}
	n, err := s.Once(context.Background()) // a server calls s.Run(ctx)
	fmt.Println(n, err)
	// Output:
	// the partner has {"type":"order.placed","data":{"total":7}}
	// 1 <nil>
}
