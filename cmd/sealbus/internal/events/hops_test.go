package events_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/events"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// addedDelivery is the order event in the embedded layout, with a member that a hop added beside the data.
func addedDelivery(b *clitest.Bench, member string) string {
	b.T.Helper()
	delivery := clitest.Deliveries(b.T, b.Must(clitest.OrderEvent,
		b.Seal("--to", "eventbridge", "--layout", "embedded")...), "111122223333")[0]
	return strings.Replace(delivery, `"detail":{`, `"detail":{"`+member+`":{"x":1},`, 1)
}

// open shows what a hop added to the data: it names the member and how to open without it. A consumer, and
// listen, try without what Datadog adds.
func TestOpenEmbeddedWithAddedMember(t *testing.T) {
	b := clitest.NewListenBench(t)
	delivery := addedDelivery(b, "_datadog")
	v := rejection(b, b.Run(delivery, b.Open(clitest.OrderSource, "--output", "json")...))
	if v.Reason != "modified" || !strings.Contains(v.Cause, "look added on the way: _datadog") ||
		!strings.Contains(v.Fix, "--ignore-member") {
		t.Errorf("got %+v", v)
	}
	var opened cmd.VerifiedResult
	b.Check(json.Unmarshal([]byte(b.Must(delivery,
		b.Open(clitest.OrderSource, "--output", "json", "--ignore-member", "_datadog")...)), &opened))
	if opened.Verdict != "verified" || !slices.Equal(opened.Ignored, []string{"_datadog"}) ||
		strings.Contains(string(opened.Event), "datadog") {
		t.Errorf("got %+v", opened)
	}
	view := inspectJSON(b, delivery)
	if view.Digests["core"] != "fits" || !slices.Equal(view.Event.Ignored, []string{"_datadog"}) ||
		len(view.Problems) > 0 {
		t.Errorf("inspect: %+v", view)
	}
	if view := inspectJSON(b, addedDelivery(b, "_lumigo")); view.Digests["core"] != "does not fit" ||
		len(view.Problems) == 0 {
		t.Errorf("inspect of what is not listed: %+v", view)
	}
	l := b.Serve("--output", "json")
	if status, h := l.Post(delivery); status != 200 || h.Verdict != ui.VerdictVerified ||
		!slices.Equal(h.Ignored, []string{"_datadog"}) {
		t.Errorf("listen: %d %+v", status, h)
	}
	if status, h := l.Post(addedDelivery(b, "_lumigo")); status != 403 || h.Reason != "modified" {
		t.Errorf("listen, not listed: %d %+v", status, h)
	}
	l.End()
	l = b.Serve("--ignore-member", "_lumigo", "--ignore-member", "_x")
	l.Post(addedDelivery(b, "_lumigo"))
	l.End()
	if out := l.Stdout.String(); !strings.Contains(out, "ignored, added on the way: _lumigo") {
		t.Errorf("listen for people: %s", out)
	}
}

// seal keeps what was recorded before, unless told otherwise, and says so. An event that is sealed is none to
// seal.
func TestSealKeepsRecordedTime(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	recorded := strings.Replace(clitest.OrderEvent, `"id":"o-1"`,
		`"id":"o-1","recordedtime":"2019-01-01T00:00:00.5Z"`, 1)
	r := b.Run(recorded, b.Seal()...)
	if r.Code != 0 || !strings.Contains(r.Stdout, `"originalrecordedtime":"2019-01-01T00:00:00Z"`) ||
		!strings.Contains(r.Stdout, `"recordedtime":"2026-11-21T12:00:00Z"`) ||
		!strings.Contains(r.Stderr,
			"sealbus: note: 1 event had a recordedtime: it is kept as originalrecordedtime") {
		t.Errorf("exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := b.Run(recorded, b.Seal("--keep-recordedtime=false")...); r.Code != ui.ExitRejected ||
		!strings.Contains(r.Stderr, "originalrecordedtime") {
		t.Errorf("refused: exit %d, %s", r.Code, r.Stderr)
	}
	if again := b.Run(r.Stdout, b.Seal()...); again.Code != ui.ExitRejected ||
		!strings.Contains(again.Stderr, "dssematerial") || strings.Contains(again.Stderr, "note") {
		t.Errorf("sealed twice: exit %d, %s", again.Code, again.Stderr)
	}
}

// publish does the same.
func TestPublishKeepsRecordedTime(t *testing.T) {
	recorded := strings.Replace(clitest.OrderEvent, `"id":"o-1"`,
		`"id":"o-1","recordedtime":"2019-01-01T00:00:00Z"`, 1)
	b, bus := clitest.NewShop(t, nil)
	r := b.Run(recorded, b.Publish(bus)...)
	bus.Drain()
	if r.Code != 0 || len(bus.Got) != 1 || !strings.Contains(r.Stderr, "note: 1 event had a recordedtime") {
		t.Fatalf("exit %d, %d deliveries, %s", r.Code, len(bus.Got), r.Stderr)
	}
	if out := b.Must(bus.Got[0], b.Open(clitest.OrderSource)...); !strings.Contains(out,
		`"originalrecordedtime":"2019-01-01T00:00:00Z"`) {
		t.Errorf("opened %s", out)
	}
	r = b.Run(recorded, b.Publish(bus, "--keep-recordedtime=false")...)
	if r.Code != ui.ExitRejected || strings.Contains(r.Stderr, "note:") ||
		!strings.Contains(r.Stderr, "originalrecordedtime") {
		t.Errorf("refused: exit %d, %s", r.Code, r.Stderr)
	}
}

// seal warns once of what relays change, however many events are concerned.
func TestSealWarnsOfDigits(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	fragile := strings.Replace(strings.Replace(clitest.OrderEvent, "12.50", "0.30000000000000004", 1),
		"59:00.25Z", "59:00.123456Z", 1)
	r := b.Run("["+fragile+","+fragile+"]", b.Seal()...)
	if r.Code != 0 || strings.Count(r.Stderr, "numbers of 17 digits") != 1 ||
		strings.Count(r.Stderr, "time has 6 digits") != 1 || !strings.Contains(r.Stderr, "(2 events)") {
		t.Errorf("exit %d, %s", r.Code, r.Stderr)
	}
	if r := b.Run(clitest.OrderEvent, b.Seal()...); r.Stderr != "" {
		t.Errorf("an ordinary event: %s", r.Stderr)
	}
}

// A source that ends in # is refused, with what to do; a dataschema is sealed as it is.
func TestSealEmptyFragment(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	r := b.Run(strings.Replace(clitest.OrderEvent, `"source":"https://shop.example/eu"`,
		`"source":"https://shop.example/eu#"`, 1), b.Seal()...)
	if r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, "drop the #") {
		t.Errorf("source: exit %d, %s", r.Code, r.Stderr)
	}
	schema := `"dataschema":"https://schemas.example/order.json#"`
	sealed := b.Must(strings.Replace(clitest.OrderEvent, `"id":"o-1"`, `"id":"o-1",`+schema, 1), b.Seal()...)
	if out := b.Must(sealed, b.Open(clitest.OrderSource)...); !strings.Contains(sealed, schema) ||
		!strings.Contains(out, schema) {
		t.Errorf("sealed %s, opened %s", sealed, out)
	}
}

// A signature that names no key is tried; refused, the advice is not to add a key that is there.
func TestOpenNameless(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	var sealed map[string]json.RawMessage
	b.Check(json.Unmarshal([]byte(b.Must(clitest.OrderEvent, b.Seal()...)), &sealed))
	var material []byte
	b.Check(json.Unmarshal(sealed["dssematerial"], &material))
	envelope, signatures := map[string]json.RawMessage{}, []map[string]string{}
	b.Check(json.Unmarshal(material, &envelope))
	b.Check(json.Unmarshal(envelope["signatures"], &signatures))
	nameless := func(sig string) string {
		envelope["signatures"], _ = json.Marshal([]map[string]string{{"sig": sig}}) // maps of strings have JSON
		doc, _ := json.Marshal(envelope)
		sealed["dssematerial"], _ = json.Marshal(base64.StdEncoding.EncodeToString(doc))
		doc, _ = json.Marshal(sealed)
		return string(doc)
	}
	b.Must(nameless(signatures[0]["sig"]), b.Open(clitest.OrderSource)...)
	if out := b.Must(nameless(signatures[0]["sig"]), "inspect"); !strings.Contains(out, "(names no key)") {
		t.Errorf("inspect: %s", out)
	}
	v := rejection(b, b.Run(nameless(base64.StdEncoding.EncodeToString(make([]byte, 64))),
		b.Open(clitest.OrderSource, "--output", "json")...))
	if v.Reason != "unknown_key" || !strings.Contains(v.Cause, "names no key") ||
		strings.Contains(v.Fix, "add its key") {
		t.Errorf("got %+v", v)
	}
}
