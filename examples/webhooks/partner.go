package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

// partnerSecret is shared with the partner. In production it is random, and comes from a secret manager.
var partnerSecret = webhook.Secret{ID: "acme", Text: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}

// newPartner is another company. It verifies webhooks as Standard Webhooks says, and knows nothing of sealed
// events.
func newPartner(out io.Writer) (http.Handler, error) {
	scheme, err := webhook.Provider("standardwebhooks")
	if err != nil {
		return nil, err
	}
	verifier, err := webhook.New(scheme, "our-events", []webhook.Secret{partnerSecret}, nil)
	if err != nil {
		return nil, err
	}
	next := func(_ context.Context, v *webhook.Verified) error {
		var event struct{ Type, Source string }
		if err := json.Unmarshal(v.Body, &event); err != nil {
			return err
		}
		fmt.Fprintf(out, "  partner: %s from %s\n", event.Type, event.Source)
		return nil
	}
	return webhook.Handler(verifier, replay.NewMemory(nil), next, &webhook.ReceiverOptions{Logger: quiet})
}

// newForwarder sends each event on to the partner after it was verified. A forged one goes nowhere.
func newForwarder(bundle *trust.Bundle, out io.Writer, address string,
) (func(context.Context, []byte) error, error) {
	s, err := newSender(address)
	if err != nil {
		return nil, err
	}
	policy := &envelope.Policy{Sources: []string{source}, Audience: "central"}
	c, err := consumer.New("partners", bundle, replay.NewMemory(nil), policy, &consumer.Options{Logger: quiet})
	if err != nil {
		return nil, err
	}
	send := s.Forward(func(context.Context, consumer.Delivery[[]byte]) ([]string, error) {
		return []string{"acme"}, nil // the endpoints that get this event
	})
	return func(ctx context.Context, delivery []byte) error {
		result, err := c.Handle(ctx, consumer.Message{Body: delivery, Format: consumer.EventBridge}, send)
		switch {
		case err != nil && result.Reason().Class() == envelope.Permanent:
			fmt.Fprintf(out, "  sender: refused, %s\n", result.Reason())
			return nil
		case err != nil:
			return err
		}
		_, err = s.Once(ctx) // a service runs s.Run beside its consumer, which tries again for three days
		return err
	}, nil
}

// newSender sends to the partner at that address.
func newSender(address string) (*sender.Sender, error) {
	signing, err := sender.StandardWebhooks([]webhook.Secret{partnerSecret})
	if err != nil {
		return nil, err
	}
	endpoints, err := sender.NewEndpoints(
		sender.Endpoint{ID: "acme", URL: "http://" + address + "/hooks", Signing: signing})
	if err != nil {
		return nil, err
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	// For several processes, and so that a restart loses nothing: package sender/redis. The partner of this
	// example is on this machine; without a Network, only https at public addresses is called.
	return sender.New(sender.NewMemory(nil), endpoints, &sender.Options{Logger: quiet,
		Network: &sender.Network{Allow: []netip.Prefix{netip.PrefixFrom(to.Addr(), to.Addr().BitLen())},
			Ports: []uint16{to.Port()}, UnsafePlainHTTP: true}})
}
