package webhook_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/webhook"
)

// A sender posts a sealed event in binary mode, twice. It is handled once.
func ExampleEvents() {
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		panic(err)
	}
	source := []string{"https://orders.example/*"}
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{Verifier: signer.Verifier(),
		Producer: "orders", Sources: source, Types: []string{"com.example.*"}})
	if err != nil {
		panic(err)
	}
	c, err := consumer.New("billing", bundle, replay.NewMemory(nil), &envelope.Policy{Sources: source}, nil)
	if err != nil {
		panic(err)
	}
	receiver, err := webhook.Events(c, func(_ context.Context, d consumer.Delivery[[]byte]) error {
		fmt.Printf("handled %s of %s: %s\n", d.Event.ID(), d.Producer, d.Data)
		return nil
	}, nil)
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(receiver)
	defer server.Close()

	ev := event.New()
	ev.SetID("1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	if err := ev.SetData("application/json", map[string]int{"total": 12}); err != nil {
		panic(err)
	}
	sealed, err := envelope.Seal(context.Background(), ev, signer, nil)
	if err != nil {
		panic(err)
	}
	header, content, err := sealed.HTTP()
	if err != nil {
		panic(err)
	}
	for range 2 {
		req, err := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(content))
		if err != nil {
			panic(err)
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(err)
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	// Output:
	// handled 1 of orders: {"total":12}
	// 204 No Content
	// 204 No Content
}
