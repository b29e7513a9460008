package main

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

const (
	canary       = "tangerine-zeppelin-0451"
	canaryNumber = "4111222233334444555"
	canaryOrder  = `{"specversion":"1.0","id":"o-1","source":"https://shop.example/eu",` +
		`"type":"com.example.order","data":{"card":{"` + canary + `":` + canaryNumber + `,"item":"` +
		canary + `"},"total":12.5}}`
)

func (b *bench) noCanary(what, text string) {
	b.t.Helper()
	for _, c := range []string{"tangerine", "zeppelin", "4111222233"} {
		if strings.Contains(text, c) {
			b.t.Errorf("%s: decrypted text came out: %s", what, text)
		}
	}
	if text == "" {
		b.t.Errorf("%s: nothing came out", what)
	}
}

// encryptedOrders are the canary's order, encrypted whole and in part to the keyring billing.keyring.
func (b *bench) encryptedOrders() []string {
	b.t.Helper()
	ring := []string{"--keyring", b.path("billing.keyring"), "--insecure-no-passphrase"}
	b.must("", append([]string{"keys", "new", "--use", "enc", "--consumer", "billing"}, ring...)...)
	b.must("", append([]string{"keys", "export", "--out", b.path("billing.pub.json")}, ring...)...)
	seal := b.seal("--encrypt-to", b.path("billing.pub.json"))
	whole := b.must(canaryOrder, seal...)
	second := strings.Replace(canaryOrder, "o-1", "o-2", 1)
	return []string{whole, b.must(second, append(seal, "--field", "/card")...)}
}

// What the receiver of --forward-to says of a decrypted event may quote it: the line, the answer and the
// terminal have the status only.
func TestListenTellsNoDecryptedData(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		b := newListenBench(t)
		b.terminal = terminal
		orders := b.encryptedOrders()
		to := newReceiver(t, 422)
		to.answer = "no such " + canary + " as " + canaryNumber
		identity := b.path("billing.keyring")
		l := b.serve("--forward-to", to.URL, "--identity", identity, "--insecure-no-passphrase")
		for _, sealed := range orders {
			status, h := l.post(sealed)
			if status != 503 || h.Reason != "handler_failed" || !strings.Contains(h.Cause, "it answers 422") {
				t.Errorf("%d %+v", status, h)
			}
			b.noCanary("the answer", h.Cause+h.Fix)
		}
		if got := to.received(); len(got) != 2 || !strings.Contains(got[0]+got[1], canary) {
			t.Errorf("the receiver did not get what was decrypted: %+v", got)
		}
		l.end()
		b.noCanary("listen", l.stdout.String()+l.stderr.String())
	}
}

// If nothing receives a decrypted event, the line says why, as the words of the network quote no event. Words
// about an answer that is no HTTP may.
func TestListenTellsWhatWasNotReached(t *testing.T) {
	b := newListenBench(t)
	orders := b.encryptedOrders()
	closed := newReceiver(t, 200)
	closed.Close()
	garbage := newGarbage(t, "tangerine zeppelin 4111222233\r\n\r\n")
	for to, want := range map[string]string{closed.URL: "connection refused", garbage: "withheld"} {
		l := b.serve("--forward-to", to, "--identity", b.path("billing.keyring"), "--insecure-no-passphrase")
		status, h := l.post(orders[0])
		if status != 503 || h.Reason != "handler_failed" || !strings.Contains(h.Cause, want) {
			t.Errorf("%d %+v", status, h)
		}
		l.end()
		b.noCanary(want, l.stdout.String()+l.stderr.String())
	}
}

// newGarbage is the URL of what answers each connection with a text that is no HTTP.
func newGarbage(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1<<16))
			_, _ = c.Write([]byte(text))
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// A record of an event whose decrypted data did not fit tells the field and no data, in every form of
// showing it.
func TestQuarantineShowTellsNoDecryptedData(t *testing.T) {
	q := inDir(t)
	orders := q.encryptedOrders()
	ring, err := keys.OpenInsecureKeyring(q.path("billing.keyring"))
	q.check(err)
	d, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: ring})
	q.check(err)
	type data struct {
		Card struct {
			Number int8 `json:"tangerine-zeppelin-0451"`
		}
	}
	typed := consumer.Typed(func(context.Context, consumer.Delivery[data]) error { return nil })
	c := q.decrypting("billing", d)
	for _, sealed := range orders {
		r, err := c.Handle(t.Context(), consumer.Message{Body: []byte(sealed), Account: shopAccount}, typed)
		if err != nil || r.Reason() != envelope.ReasonSchemaInvalid || r.Outcome != consumer.Quarantined {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	judged := append(q.trustFlags(), "--identity", q.path("billing.keyring"), "--insecure-no-passphrase")
	for _, id := range q.ids() {
		for _, more := range [][]string{{id}, append(judged, id), {"--body", id}} {
			for _, form := range []string{"text", "json"} {
				r := q.run("", q.command("show", append(more, "--output", form)...)...)
				q.noCanary("show", r.stdout+r.stderr)
			}
		}
		if r := q.run("", q.command("show", id)...); !strings.Contains(r.stdout, "Card.Number") {
			t.Errorf("it does not say which field: %s", r.stdout)
		}
	}
	for _, more := range [][]string{nil, {"--output", "json"}} {
		r := q.run("", q.command("list", more...)...)
		q.noCanary("list", r.stdout+r.stderr)
	}
}

// decrypting is a consumer of everything, with the keys to open it.
func (q *bin) decrypting(name string, d *envelope.Decrypter) *consumer.Consumer {
	q.t.Helper()
	now := func() time.Time { return q.now }
	policy := &envelope.Policy{Sources: []string{orderSource}, Decrypter: d, Now: now}
	c, err := consumer.New(name, q.bundle(), replay.NewMemory(nil), policy, &consumer.Options{
		Quarantine: q.store, Logger: slog.New(slog.DiscardHandler),
	})
	q.check(err)
	return c
}
