package entry_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/entry"
)

// TestHandshakeIsNoDelivery: an entry that lets OPTIONS pass without a token stands in front of nothing that
// takes OPTIONS for a delivery.
func TestHandshakeIsNoDelivery(t *testing.T) {
	w := newWorld(t, "{rate: 1}")
	inner := w.receiver(sourceOf(0))
	w.options.Handshake = true
	if e, err := entry.New(inner, &w.options); err == nil || !strings.Contains(err.Error(), "Handshake") {
		t.Errorf("%v %v", e, err)
	}
}

// TestNoOtherWayIn: a request with anything else than one good token in its place is answered 401, and the
// receiver does not see it.
func TestNoOtherWayIn(t *testing.T) {
	w := newWorld(t, "{rate: 1000, burst: 1000}")
	to, good := w.receiver(sourceOf(0)), w.writer(0)
	line := func(name, value string) webhook.Field { return webhook.Field{Name: name, Value: value} }
	for name, lines := range map[string][]webhook.Field{
		"none":            nil,
		"empty":           {line("Authorization", "")},
		"the scheme only": {line("Authorization", "Bearer")},
		"Basic":           {line("Authorization", "Basic "+good)},
		"DPoP":            {line("Authorization", "DPoP "+good)},
		"two spaces":      {line("Authorization", "Bearer  "+good)},
		"a tab":           {line("Authorization", "Bearer\t"+good)},
		"twice in one":    {line("Authorization", "Bearer "+good+", Bearer "+good)},
		"two lines":       {line("Authorization", "Bearer "+good), line("Authorization", "Bearer "+good)},
		"two cases":       {line("authorization", "Bearer x"), line("AUTHORIZATION", "Bearer "+good)},
		"another header":  {line("X-Authorization", "Bearer "+good)},
		"forwarded":       {line("X-Forwarded-Authorization", "Bearer "+good)},
		"a cookie":        {line("Cookie", "access_token="+good)},
		"an underscore":   {line("Authorization_", "Bearer "+good)},
		"a space after":   {line("Authorization ", "Bearer "+good)},
		"a byte more":     {line("Authorization", "Bearer "+good+"A")},
		"a byte less":     {line("Authorization", "Bearer "+good[:len(good)-1])},
	} {
		r := w.delivery("/?access_token="+good, "")
		r.Header = append(r.Header, lines...)
		if got := to.Receive(t.Context(), r, w.now()); got.Status != http.StatusUnauthorized ||
			strings.Contains(fmt.Sprint(got), good) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if w.handled != 0 {
		t.Errorf("%d were handled", w.handled)
	}
	r := w.delivery("/", good)
	if got := to.Receive(t.Context(), r, w.now()); got.Status != http.StatusOK || w.handled != 1 {
		t.Errorf("good: %+v", got)
	}
}

// TestEventsAmongOthers: an event of another tenant does not pass among a tenant's own, and neither does one
// whose source two readers could read differently. None of them stays claimed.
func TestEventsAmongOthers(t *testing.T) {
	w := newWorld(t, "{rate: 1000, burst: 1000}")
	to := w.eventReceiver()
	line := func(name, value string) webhook.Field { return webhook.Field{Name: name, Value: value} }
	structured, batch := line("Content-Type", "application/cloudevents+json"),
		line("Content-Type", "application/cloudevents-batch+json")
	send := func(what string, i, status, handled int, body []byte, header ...webhook.Field) string {
		t.Helper()
		before := w.handled
		a := overHTTP(w, to, w.request("/", w.writer(i), body, header...))
		if a.status != status || w.handled != before+handled {
			t.Errorf("%s: %+v, %d handled", what, a, w.handled-before)
		}
		return a.body
	}
	foreign := w.sealed(sourceOf(1), typeOf(1)).JSON()
	own := func() []byte { return w.sealed(sourceOf(0), typeOf(0)).JSON() }
	const want = `"events":[{"status":204},{"status":403,"reason":"source_not_allowed"},{"status":204}]}`
	if body := send("a batch", 0, 403, 2, bytes.Join([][]byte{[]byte("[" + string(own())), foreign,
		append(own(), ']')}, []byte(",")), batch); !strings.HasSuffix(body, want) {
		t.Errorf("a batch: %s", body)
	}
	rename := func(b []byte, old, new string) []byte {
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("there is no %s in %s", old, b)
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	}
	for what, b := range map[string][]byte{
		"two sources":       rename(foreign, `{`, `{"source":"`+sourceOf(0)+`",`),
		"two cases":         rename(foreign, `{`, `{"Source":"`+sourceOf(0)+`",`),
		"an escaped name":   rename(foreign, `{`, `{"s\u006furce":"`+sourceOf(0)+`",`),
		"another source":    rename(foreign, `"source":"`+sourceOf(1)+`"`, `"source":"`+sourceOf(0)+`"`),
		"another type":      rename(own(), `"type":"`+typeOf(0)+`"`, `"type":"`+typeOf(1)+`"`),
		"more behind it":    append(own(), foreign...),
		"a batch in a list": []byte(`[[` + string(own()) + `]]`),
	} {
		header := structured
		if b[0] == '[' {
			header = batch
		}
		a := overHTTP(w, to, w.request("/", w.writer(0), b, header))
		if a.status < 400 || a.status == 503 || w.handled != 2 {
			t.Errorf("%s: %+v, %d handled", what, a, w.handled)
		}
	}
	// A header of binary mode says nothing about a structured event, and two of them nothing at all.
	send("a header", 0, 403, 0, foreign, structured, line("ce-source", sourceOf(0)))
	header, body, err := w.sealed(sourceOf(1), typeOf(1)).HTTP()
	if err != nil {
		t.Fatal(err)
	}
	var lines []webhook.Field
	for name, values := range header {
		lines = append(lines, line(name, values[0]))
	}
	send("binary", 0, 403, 0, body, lines...)
	send("binary, two sources", 0, 400, 0, body, append(lines, line("ce-source", sourceOf(0)))...)
	send("its own tenant", 1, 204, 1, foreign, structured)
	send("its own tenant, binary", 1, 204, 1, body, lines...)
}
