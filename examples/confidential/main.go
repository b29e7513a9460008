// Command confidential plays a small story: the producer orders, whose keys are in AWS KMS, encrypts its
// events to two consumers in other accounts, billing and shipping. A third party owns a rule on the bus and
// gets every event; it may do everything in KMS that its own account can allow, which is not enough. It runs
// against a KMS inside the process; functions.go is what programs in AWS would have, too.
//
//	go run ./examples/confidential
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/sealbus/sealbus/envelope"
)

func main() {
	if err := play(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "confidential:", err)
		os.Exit(1)
	}
}

// play tells the story on out.
func play(ctx context.Context, out io.Writer) error {
	s, err := newStage(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	encrypter, session, err := newProducer(ctx, s.client("producer"), s.signing, s.billing, s.shipping)
	if err != nil {
		return err
	}
	trust, err := s.trustIn(session)
	if err != nil {
		return err
	}
	const events = 100
	fmt.Fprintf(out,
		"orders seals %d events: signed with a session key that its KMS key vouches for,\nthe card number encrypted to billing and shipping.\n\n", events)
	var deliveries [][]byte
	for i := range events {
		doc, err := seal(ctx, order(i), session, encrypter)
		if err != nil {
			return err
		}
		deliveries = append(deliveries, doc)
	}
	for _, who := range []struct{ name, key string }{{"billing", s.billing}, {"shipping", s.shipping}} {
		handled, err := consume(ctx, who.name, s.client(who.name), who.key, trust, deliveries)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-9s read %d of %d, the first  %s\n", who.name, len(handled), events, handled[0])
	}
	_, err = consume(ctx, "curious", s.client("curious"), s.billing, trust, deliveries[:1])
	fmt.Fprintf(out,
		"curious   got every event, too, and reads  %.52s...\n          and what KMS tells him is %s: no key policy names his role\n\n", clearPart(deliveries[0]), envelope.ReasonOf(err))
	fmt.Fprintf(out, "What KMS was asked for all of that:\n")
	for _, c := range s.calls() {
		fmt.Fprintf(out, "  %-9s %-20s %d\n", c.role, c.action, c.count)
	}
	return nil
}
