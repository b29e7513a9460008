package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	stripe "github.com/stripe/stripe-go/v82/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/sealbus/sealbus/webhook"
)

const (
	hookKey    = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	hookSecret = "whsec_" + hookKey
	hookID     = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
)

// notDearer is how many times a naive HMAC a verification may take, and hookAllocations how often it may
// allocate.
const (
	notDearer       = 1.10
	hookAllocations = 2
)

// hook is a delivery of one provider. It is signed anew before each turn, because the peers judge its time by
// the clock.
type hook struct {
	title    string // "Stripe"
	size     int
	body     []byte
	verifier *webhook.Verifier
	headers  func(now time.Time) map[string]string // those that sign
	received *http.Request                         // as net/http gives it to a handler
	request  webhook.Request
	at       time.Time // when it was signed
	naive    *operation
}

// newHook makes the delivery whose signed string is head and the body.
func newHook(provider, title string, size int, key []byte, head string) (*hook, error) {
	h := &hook{title: title, size: size, body: document(size)}
	scheme, err := webhook.Provider(provider)
	if err != nil {
		return nil, err
	}
	h.verifier, err = webhook.New(scheme, "in", []webhook.Secret{{Text: hookSecret}}, nil)
	naive := func() []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(head))
		m.Write(h.body)
		return m.Sum(nil)
	}
	sum := naive()
	h.naive = &operation{name: h.label("naive HMAC"), primitive: true, run: func() {
		must(hmac.Equal(naive(), sum))
	}}
	return h, err
}

func (h *hook) label(by string) string {
	return fmt.Sprintf("Verify, %s, %s, %s", h.title, by, sizeName(h.size))
}

// sign makes the request of this moment.
func (h *hook) sign(int) {
	h.at = time.Now()
	h.received = &http.Request{Method: http.MethodPost, RequestURI: "/hooks/in", Header: http.Header{}}
	for name, value := range h.headers(h.at) {
		h.received.Header.Set(name, value)
	}
	for _, usual := range [][2]string{{"Accept", "*/*"}, {"Content-Length", fmt.Sprint(len(h.body))},
		{"Content-Type", "application/json"}, {"User-Agent", "hooks/1.0"}} {
		h.received.Header.Set(usual[0], usual[1])
	}
	h.request = webhook.FromHTTP(h.received, h.body)
}

// rows are sealbus' and then the peer's.
func (h *hook) rows(peer string, verify func(header http.Header) error) []row {
	operation := func(by string, run func() error) *operation {
		return &operation{name: h.label(by), prepare: h.sign, run: func() { must(run() == nil) }}
	}
	verifies := func(r webhook.Request) error {
		_, err := h.verifier.Verify(context.Background(), r, h.at)
		return err
	}
	ours := operation("sealbus", func() error { return verifies(h.request) })
	wanted := fmt.Sprintf("Verify, %s, %s", h.title, sizeName(h.size))
	return []row{
		{operation: ours, beside: h.naive, target: notDearer, wanted: wanted + ", x naive HMAC"},
		{operation: ours, kind: allocs, target: hookAllocations, wanted: wanted + ", allocations"},
		{operation: operation("sealbus with FromHTTP", func() error {
			return verifies(webhook.FromHTTP(h.received, h.body))
		}), beside: h.naive},
		{operation: operation(peer, func() error { return verify(h.received.Header) }), beside: h.naive,
			peer: true},
	}
}

// webhooks are verified by sealbus, by the libraries of those who send them, and by a naive HMAC.
func webhooks(size int) (group, error) {
	g := group{title: "webhooks, " + sizeName(size)}
	for _, rowsOf := range []func(size int) ([]row, error){standardRows, svixRows, stripeRows} {
		rows, err := rowsOf(size)
		if err != nil {
			return g, err
		}
		g.rows = append(g.rows, rows...)
	}
	return g, nil
}

func standardRows(size int) ([]row, error) {
	peer, err := standardwebhooks.NewWebhook(hookSecret)
	if err != nil {
		return nil, err
	}
	h, err := standardHook("standardwebhooks", "Standard Webhooks", "Webhook-", size)
	if err != nil {
		return nil, err
	}
	return h.rows("standardwebhooks", func(header http.Header) error { return peer.Verify(h.body, header) }), nil
}

func svixRows(size int) ([]row, error) {
	peer, err := svix.NewWebhook(hookSecret)
	if err != nil {
		return nil, err
	}
	h, err := standardHook("svix", "Svix", "Svix-", size)
	if err != nil {
		return nil, err
	}
	return h.rows("svix", func(header http.Header) error { return peer.Verify(h.body, header) }), nil
}

// standardHook is signed by the library of Standard Webhooks. The names of its headers have that prefix.
func standardHook(provider, title, prefix string, size int) (*hook, error) {
	key, err := base64.StdEncoding.DecodeString(hookKey)
	if err != nil {
		return nil, err
	}
	signer, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		return nil, err
	}
	h, err := newHook(provider, title, size, key, fmt.Sprintf("%s.%d.", hookID, time.Now().Unix()))
	if err != nil {
		return nil, err
	}
	h.headers = func(now time.Time) map[string]string {
		signature, err := signer.Sign(hookID, now, h.body)
		must(err == nil)
		return map[string]string{prefix + "Id": hookID, prefix + "Signature": signature,
			prefix + "Timestamp": fmt.Sprint(now.Unix())}
	}
	return h, nil
}

func stripeRows(size int) ([]row, error) {
	h, err := newHook("stripe", "Stripe", size, []byte(hookSecret), fmt.Sprintf("%d.", time.Now().Unix()))
	if err != nil {
		return nil, err
	}
	const name = "Stripe-Signature"
	h.headers = func(now time.Time) map[string]string {
		sum := stripe.ComputeSignature(now, h.body, hookSecret)
		return map[string]string{name: fmt.Sprintf("t=%d,v1=%s", now.Unix(), hex.EncodeToString(sum))}
	}
	return h.rows("stripe-go", func(header http.Header) error {
		return stripe.ValidatePayload(h.body, header.Get(name), hookSecret)
	}), nil
}

func (p *plan) webhookTable() string {
	libraries := versions([]library{
		{"github.com/standard-webhooks/standard-webhooks/libraries", "standardwebhooks"},
		{"github.com/svix/svix-webhooks", "svix"}, {"github.com/stripe/stripe-go/v82", "stripe-go"}})
	var b strings.Builder
	b.WriteString("### Webhooks\n\n")
	b.WriteString(filled("Microseconds for the verification of one delivery with one secret, and in brackets " +
		"how many times a naive HMAC: a new one each time, of the same bytes. The body was read, verifiers " +
		"were made beforehand, and no replay store is asked. The libraries (" + libraries + ") take the " +
		"headers of net/http as they are, of which FromHTTP makes a Request. They read the clock, which " +
		"costs less than 0.1 us. Verify of sealbus is given the judging time."))
	b.WriteString("\n| Verify | 1 KiB | 16 KiB | allocations |\n|---|---:|---:|---:|\n")
	small, large := p.webhooks[1<<10].rows, p.webhooks[16<<10].rows
	for i, r := range small {
		if r.kind != ratio {
			continue
		}
		name := func(o *operation) string {
			return strings.TrimSuffix(strings.TrimPrefix(o.name, "Verify, "), ", "+sizeName(1<<10))
		}
		if r.target > 0 { // the first one beside its HMAC
			fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.0f |\n", name(r.beside), r.beside.least(),
				large[i].beside.least(), r.beside.allocations)
		}
		fmt.Fprintf(&b, "| %s | %.2f (%.2f) | %.2f (%.2f) | %.0f |\n", name(r.operation), r.least(), r.value(),
			large[i].least(), large[i].value(), r.allocations)
	}
	return b.String()
}
