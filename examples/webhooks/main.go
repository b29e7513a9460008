// Command webhooks plays the way of a GitHub webhook to a consumer and to a partner: a receiver verifies it,
// publishes it as a sealed event, and the consumer verifies that. A sender verifies it, too, and sends it on
// to the partner as a webhook that is signed anew. All of them are in this process.
//
//	go run ./examples/webhooks
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/ingest"
)

const source = "https://hooks.example/deployments"

// quiet is for the log of receiver and consumer: this program says itself what became of a delivery.
var quiet = slog.New(slog.DiscardHandler)

func main() {
	if err := play(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "webhooks:", err)
		os.Exit(1)
	}
}

// push is the data that the consumer reads.
type push struct {
	Ref        string `json:"ref"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
}

// play tells the story on out.
func play(ctx context.Context, out io.Writer) error {
	signer, err := keys.GenerateSigner(keys.Ed25519, "hooks")
	if err != nil {
		return err
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{ // in production: signed by root keys
		Verifier: signer.Verifier(), Producer: "hooks", Sources: []string{source},
		Types: []string{"webhook.github.*"},
	})
	if err != nil {
		return err
	}
	bus := producer.NewLocalBus(nil) // on AWS: package producer/eventbridge
	deliver, err := newConsumer(bundle, out)
	if err != nil {
		return err
	}
	partner, err := newPartner(out)
	if err != nil {
		return err
	}
	address, stopPartner, err := serve(partner)
	if err != nil {
		return err
	}
	defer stopPartner()
	forward, err := newForwarder(bundle, out, address)
	if err != nil {
		return err
	}
	var sealed []byte
	bus.Subscribe(func(ctx context.Context, delivery []byte) error {
		sealed = bytes.Clone(delivery)
		return errors.Join(deliver(ctx, delivery), forward(ctx, delivery))
	})
	const current, previous = "the secret since June", "the secret until June"
	handler, err := newReceiver(signer, bus, out, []webhook.Secret{
		{ID: "june", Text: current},
		{ID: "may", Text: previous}, // in production: with Secret.NotAfter, the end of the rotation
	})
	if err != nil {
		return err
	}
	address, stop, err := serve(handler)
	if err != nil {
		return err
	}
	defer stop()
	url := "http://" + address + "/hooks/github"

	body := []byte(`{"ref":"refs/heads/main","repository":{"full_name":"acme/shop"}}`)
	second := bytes.Replace(body, []byte("main"), []byte("next"), 1)
	forged := bytes.Replace(body, []byte("acme"), []byte("evil"), 1)
	for _, d := range []delivery{
		{"GitHub sends a push", "d-1", body, sign(current, body)},
		{"GitHub sends it again", "d-1", body, sign(current, body)},
		{"an attacker sends a captured one under a new ID", "d-2", body, sign(current, body)},
		{"GitHub still signs with the previous secret", "d-3", second, sign(previous, second)},
		{"an attacker changes the body", "d-4", forged, sign(current, body)},
		{"an attacker signs with a guessed secret", "d-5", forged, sign("guess", forged)},
	} {
		fmt.Fprintf(out, "%s\n", d.what)
		if err := d.post(ctx, url); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "an attacker changes the sealed event on the bus")
	changed := bytes.ReplaceAll(sealed, []byte("acme"), []byte("evil"))
	return errors.Join(deliver(ctx, changed), forward(ctx, changed))
}

// newReceiver verifies deliveries of GitHub, and publishes each as a sealed event.
func newReceiver(
	signer keys.Signer, bus producer.Bus, out io.Writer, secrets []webhook.Secret,
) (http.Handler, error) {
	scheme, err := webhook.Provider("github")
	if err != nil {
		return nil, err
	}
	verifier, err := webhook.New(scheme, "deployments", secrets, nil)
	if err != nil {
		return nil, err
	}
	opts := &ingest.Options{Producer: &producer.Options{Audience: "central"}}
	next, err := ingest.New(keys.SignWith(signer), bus, source, opts)
	if err != nil {
		return nil, err
	}
	claims := replay.NewMemory(nil) // for one process; package replay/redis or replay/dynamodb for many
	tell := func(_ context.Context, r *webhook.Response) {
		fmt.Fprintf(out, "  receiver: %d %s\n", r.Status, cmp.Or(r.Reason, "handled"))
	}
	return webhook.Handler(verifier, claims, next, &webhook.ReceiverOptions{Observe: tell, Logger: quiet})
}

// newConsumer is the other end of the bus: it trusts the key of the receiver, for this source and the events
// of GitHub only, and knows no secret of GitHub.
func newConsumer(bundle *trust.Bundle, out io.Writer) (func(context.Context, []byte) error, error) {
	policy := &envelope.Policy{Sources: []string{source}, Audience: "central"}
	c, err := consumer.New("deploy", bundle, replay.NewMemory(nil), policy, &consumer.Options{Logger: quiet})
	if err != nil {
		return nil, err
	}
	handle := consumer.Typed(func(_ context.Context, d consumer.Delivery[push]) error {
		fmt.Fprintf(out, "  consumer: %s of %s, vouched for by %s\n", d.Data.Ref, d.Data.Repository.FullName,
			d.Producer)
		return nil
	})
	return func(ctx context.Context, delivery []byte) error {
		m := consumer.Message{Body: delivery, Format: consumer.EventBridge}
		result, err := c.Handle(ctx, m, handle)
		if err != nil && result.Reason().Class() == envelope.Permanent {
			fmt.Fprintf(out, "  consumer: refused, %s\n", result.Reason())
			return nil // a consumer in production has a quarantine for it
		}
		return err
	}, nil
}

// delivery is one request to the receiver.
type delivery struct {
	what, id  string
	body      []byte
	signature string
}

// sign is what GitHub does: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// post sends the delivery.
func (d *delivery) post(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-GitHub-Event", "push")
	r.Header.Set("X-GitHub-Delivery", d.id)
	r.Header.Set("X-Hub-Signature-256", d.signature)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	return resp.Body.Close() // GitHub reads the status only
}

// serve serves the handler on a free port of this machine.
func serve(handler http.Handler) (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}
