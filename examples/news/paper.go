package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/news/newsroom"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/authn"
)

const audience = "central"

// paper is the news and both ends of the bus. The API only asks for a deletion. The consumer, which knows no
// token, does it when it has verified the event.
type paper struct {
	out      io.Writer
	desk     newsroom.Desk
	consumer *consumer.Consumer

	mu    sync.Mutex
	items []newsroom.Item
	last  []byte // what the bus delivered last
}

func newPaper(out io.Writer) (*paper, error) {
	p := &paper{out: out, items: newsroom.Today()}
	signer, err := keys.GenerateSigner(keys.Ed25519, "newsroom")
	if err != nil {
		return nil, err
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{ // in production: signed by root keys
		Verifier: signer.Verifier(), Producer: "newsroom", Sources: []string{newsroom.Source},
		Types: []string{newsroom.Deleted},
	})
	if err != nil {
		return nil, err
	}
	policy := &envelope.Policy{Sources: []string{newsroom.Source}, Audience: audience}
	opts := &consumer.Options{Logger: slog.New(slog.DiscardHandler)} // this program says itself what happens
	if p.consumer, err = consumer.New("paper", bundle, replay.NewMemory(nil), policy, opts); err != nil {
		return nil, err
	}
	bus := producer.NewLocalBus(nil) // on AWS: package producer/eventbridge
	bus.Subscribe(p.take)
	p.desk.Producer, err = producer.New(keys.SignWith(signer), bus, &producer.Options{Audience: audience})
	if err != nil {
		return nil, err
	}
	p.desk.Callers, err = authcontext.NewKey([]byte(rand.Text() + rand.Text())) // in production: a secret
	return p, err
}

// routes are the API.
func (p *paper) routes(verifier *authn.Verifier) (*http.ServeMux, error) {
	guarded, err := authn.Guard(verifier, newsroom.MayDelete(), http.HandlerFunc(p.delete))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /news", p.list)
	mux.Handle("DELETE /news/{id}", guarded)
	return mux, nil
}

func (p *paper) list(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	items := slices.Clone(p.items)
	p.mu.Unlock()
	answer(w, http.StatusOK, items)
}

// delete is behind the guard: the caller is in the group. 202: the bus has the event, and the consumer
// deletes.
func (p *paper) delete(w http.ResponseWriter, r *http.Request) {
	item := newsroom.Deletion{ID: r.PathValue("id")}
	p.mu.Lock()
	known := slices.ContainsFunc(p.items, func(i newsroom.Item) bool { return i.ID == item.ID })
	p.mu.Unlock()
	if !known {
		answer(w, http.StatusNotFound, item)
		return
	}
	if err := p.desk.Delete(r.Context(), item.ID, authn.FromContext(r.Context())); err != nil {
		w.Header().Set("Retry-After", "5")
		answer(w, http.StatusServiceUnavailable, item)
		return
	}
	answer(w, http.StatusAccepted, item)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// take is the other end of the bus.
func (p *paper) take(ctx context.Context, delivery []byte) error {
	p.mu.Lock()
	p.last = slices.Clone(delivery)
	p.mu.Unlock()
	handle := consumer.Typed(func(_ context.Context, d consumer.Delivery[newsroom.Deletion]) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.items = slices.DeleteFunc(p.items, func(i newsroom.Item) bool { return i.ID == d.Data.ID })
		who, err := authcontext.Of(d.Opened)
		fmt.Fprintf(p.out, "  consumer: news %q deleted for an %s, vouched for by %s\n", d.Data.ID, who.Type,
			d.Producer)
		return err
	})
	handle = authcontext.Require(handle, authcontext.AppUser) // no deletion without a user
	result, err := p.consumer.Handle(ctx, consumer.Message{Body: delivery, Format: consumer.EventBridge}, handle)
	if err != nil && result.Reason().Class() == envelope.Permanent {
		fmt.Fprintf(p.out, "  consumer: refused, %s\n", result.Reason())
		return nil
	}
	return err
}

// changed is the last event as an attacker on the bus changes it: it deletes the other news.
func (p *paper) changed() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.ReplaceAll(p.last, []byte(`{"id":"1"}`), []byte(`{"id":"2"}`))
}

// reprint has all news again.
func (p *paper) reprint() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.items = newsroom.Today()
}
