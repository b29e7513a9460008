package sender

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

// mediaEvent is the content type of an event in the CloudEvents JSON format (structured mode).
const mediaEvent = "application/cloudevents+json"

// maxCopies bounds the endpoints of one event: each is kept with a body of its own.
const maxCopies = 1000

// Pick names the endpoints that get an event; none is fine. It must give the same ones when the event is
// delivered again.
type Pick func(ctx context.Context, d consumer.Delivery[[]byte]) ([]string, error)

// Forward is a handler that sends each verified event on, to the endpoints that pick names. The body is the
// event in the CloudEvents JSON format, without its signature: sign it by StandardWebhooks or HTTPSignature.
//
// It returns nil when the store has all copies. Otherwise the event is delivered again, and copies that the
// store has are not sent twice: the ID of a copy is computed from source and id of the event and from the
// endpoint. Events that were encrypted are refused: use Relay, or Options.UnsafeForwardDecrypted.
func (s *Sender) Forward(pick Pick) consumer.Handler {
	if pick == nil {
		return nil // consumer.Handle says that there is no handler
	}
	return func(ctx context.Context, d consumer.Delivery[[]byte]) error {
		if d.Encryption != nil && !s.opts.UnsafeForwardDecrypted {
			return consumer.SafeText(errors.New("sender: the data was encrypted, and is not sent on in the clear"))
		}
		return s.forward(ctx, d, pick, d.JSON())
	}
}

// Relay has the consumer handle a message, and sends the sealed event on as it came, with its signatures and
// still encrypted, to the endpoints that pick names. They verify the producer themselves: their Signing may
// be Unsigned. Only messages with Format CloudEvent can be relayed. It returns what Handle returns.
func (s *Sender) Relay(ctx context.Context, c *consumer.Consumer, m consumer.Message, pick Pick,
) (consumer.Result, error) {
	if m.Format != consumer.CloudEvent || pick == nil {
		err := errors.New("sender: Relay takes messages with Format CloudEvent, and needs a Pick")
		return consumer.Result{Outcome: consumer.Retry, Err: err}, err
	}
	return c.Handle(ctx, m, func(ctx context.Context, d consumer.Delivery[[]byte]) error {
		return s.forward(ctx, d, pick, m.Body)
	})
}

// forward sends one event to all endpoints that pick names. No error but that of pick may quote the event.
func (s *Sender) forward(ctx context.Context, d consumer.Delivery[[]byte], pick Pick, body []byte) error {
	to, err := pick(ctx, d)
	switch {
	case err != nil:
		return fmt.Errorf("sender: the endpoints of the event: %w", err)
	case len(to) > maxCopies:
		return consumer.SafeText(fmt.Errorf("sender: %d endpoints for one event, more than %d", len(to), maxCopies))
	}
	var errs []error
	for _, id := range to {
		if err := s.copyTo(ctx, id, d.Opened, body); err != nil {
			errs = append(errs, fmt.Errorf("endpoint %.*q: %w", MaxEndpoint, id, err))
		}
	}
	if len(errs) > 0 {
		return consumer.SafeText(errors.Join(errs...))
	}
	return nil
}

// copyTo puts one copy into the store. The digest is that of the content: an event that its producer
// published twice has two texts, and is one event.
func (s *Sender) copyTo(ctx context.Context, endpoint string, ev *envelope.Opened, body []byte) error {
	e, err := s.lookup(ctx, endpoint)
	if err != nil {
		return err
	}
	m := Message{ID: copyID(ev.Event.Source(), ev.Event.ID(), endpoint), ContentType: mediaEvent, Body: body}
	delivery, err := newDelivery(e, m)
	if err != nil {
		return err
	}
	delivery.Digest = ev.ContentDigest()
	return s.put(ctx, delivery)
}

// copyID is the ID of the copy of an event for an endpoint.
func copyID(source, id, endpoint string) string {
	h := sha256.New()
	for _, part := range []string{"sealbus/v1/webhook-copy", source, id, endpoint} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return "msg_" + hex.EncodeToString(h.Sum(nil)[:16])
}
