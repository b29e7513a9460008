// Command consumer takes deliveries from standard input, one a line, and handles those that it can verify.
// It is the consumer of the README.
package main

import (
	"bufio"
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

type order struct {
	Order string  `json:"order"`
	Total float64 `json:"total"`
}

func main() {
	log.SetFlags(0)
	pinned, err := os.ReadFile("roots.json") // the one file that a consumer trusts
	if err != nil {
		log.Fatal(err)
	}
	roots, err := trust.ParseRoots(pinned)
	if err != nil {
		log.Fatal(err)
	}
	// The state file keeps a restarted consumer from accepting an older bundle than it has seen.
	source, err := trust.WatchFile("trust.dsse", roots, &trust.Options{StateFile: "trust.state"})
	if err != nil {
		log.Fatal(err)
	}
	claims := replay.NewMemory(nil) // for one process; package replay/redis or replay/dynamodb for many
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Audience: "central"}
	c, err := consumer.New("billing", source, claims, policy, &consumer.Options{
		Logger: slog.New(slog.DiscardHandler), // this program says itself what became of an event
	})
	if err != nil {
		log.Fatal(err)
	}
	handle := consumer.Typed(func(ctx context.Context, d consumer.Delivery[order]) error {
		log.Printf("%s says: order %s, %.2f", d.Producer, d.Data.Order, d.Data.Total)
		return nil
	})

	deliveries := bufio.NewScanner(os.Stdin)
	deliveries.Buffer(nil, 2<<20)
	for deliveries.Scan() {
		message := consumer.Message{Body: deliveries.Bytes(), Format: consumer.EventBridge}
		result, err := c.Handle(context.Background(), message, handle)
		switch {
		case err != nil: // a queue would deliver it again; a Quarantine in the options would keep a rejected event
			log.Printf("%s: %s", result.Reason(), result.Verdict.Cause)
		case result.Outcome != consumer.Handled:
			log.Print(result.Outcome)
		}
	}
	if err := deliveries.Err(); err != nil {
		log.Fatal(err)
	}
}
