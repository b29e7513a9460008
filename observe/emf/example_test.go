package emf_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/observe/emf"
)

func Example() {
	// A producer and the keepers of the trust do this elsewhere.
	clock := func() time.Time { return start } // so that the output is always the same
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		panic(err)
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{Expires: start.Add(24 * time.Hour)}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"com.example.order.*"},
	})
	if err != nil {
		panic(err)
	}
	ev := event.New()
	ev.SetID("1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	sealed, err := envelope.Seal(context.Background(), ev, signer, &envelope.SealOptions{Now: clock})
	if err != nil {
		panic(err)
	}

	metrics, err := emf.New(&emf.Options{Writer: os.Stdout, Namespace: "Shop"})
	if err != nil {
		panic(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Now: clock}
	c, err := consumer.New("billing", bundle, replay.NewMemory(&replay.MemoryOptions{Now: clock}), policy,
		&consumer.Options{
			Observer: metrics, Logger: slog.New(slog.DiscardHandler),
		})
	if err != nil {
		panic(err)
	}
	handler := func(context.Context, consumer.Delivery[[]byte]) error { return nil }
	if _, err := c.Handle(context.Background(), consumer.Message{Body: sealed.JSON()}, handler); err != nil {
		panic(err)
	}
	if err := c.Flush(context.Background()); err != nil { // at the end of the invocation
		fmt.Println(err)
	}
	// Output:
	// {"_aws":{"Timestamp":1772366400000,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["Consumer","Outcome"],["Consumer","Outcome","Reason"],["Consumer","Producer"]],"Metrics":[{"Name":"Deliveries","Unit":"Count"}]},{"Namespace":"Shop","Dimensions":[["Consumer"]],"Metrics":[{"Name":"Rejections","Unit":"Count"},{"Name":"ReplayHits","Unit":"Count"},{"Name":"Latency","Unit":"Milliseconds"},{"Name":"HandlerLatency","Unit":"Milliseconds"},{"Name":"ClaimHeld","Unit":"Seconds"},{"Name":"EventAge","Unit":"Seconds"},{"Name":"BundleSecondsLeft","Unit":"Seconds"}]}]},"Consumer":"billing","Outcome":"handled","Reason":"none","Producer":"orders","Deliveries":1,"Rejections":0,"ReplayHits":0,"Latency":[0],"HandlerLatency":[0],"ClaimHeld":[0],"EventAge":[0],"BundleSecondsLeft":86400}
}
