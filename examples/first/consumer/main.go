// Command consumer takes deliveries from standard input, one a line, and handles those that it can verify. It is the
// consumer of the README.
package main

import (
	"bufio"
	"context"
	"log"
	"os"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/keys"
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
	roots, err := keys.ParseRoots(pinned)
	if err != nil {
		log.Fatal(err)
	}
	trust, err := keys.WatchFile("trust.dsse", roots, nil)
	if err != nil {
		log.Fatal(err)
	}
	claims := replay.NewMemory(nil) // for one process; package replay/redis or replay/dynamodb for many
	c, err := consumer.New("billing", trust, claims, &consumer.Options{
		Sources:  []string{"https://orders.example/*"},
		Audience: "central",
	})
	if err != nil {
		log.Fatal(err)
	}
	handle := consumer.Typed(func(ctx context.Context, d consumer.Delivery[order]) error {
		log.Printf("%s says: order %s, %.2f", d.Verified.Producer, d.Data.Order, d.Data.Total)
		return nil
	})

	deliveries := bufio.NewScanner(os.Stdin)
	deliveries.Buffer(nil, 2<<20)
	for deliveries.Scan() {
		message := consumer.Message{Body: deliveries.Bytes(), Format: consumer.EventBridge}
		result, err := c.Handle(context.Background(), message, handle)
		if err != nil {
			log.Print(err) // a queue would deliver it again
			continue
		}
		log.Print(result.Outcome, " ", result.Reason)
	}
	if err := deliveries.Err(); err != nil {
		log.Fatal(err)
	}
}
