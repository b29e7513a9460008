package main

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// addedDelivery is the order event in the embedded layout, with a member that a hop added beside the data.
func (b *bench) addedDelivery(member string) string {
	b.t.Helper()
	delivery := deliveries(b.t, b.must(orderEvent, b.seal("--to", "eventbridge", "--layout", "embedded")...), "111122223333")[0]
	return strings.Replace(delivery, `"detail":{`, `"detail":{"`+member+`":{"x":1},`, 1)
}

// open shows what a hop added to the data: it names the member and how to open without it. A consumer, and
// listen, try without what Datadog adds.
func TestOpenEmbeddedWithAddedMember(t *testing.T) {
	b := newListenBench(t)
	delivery := b.addedDelivery("_datadog")
	v := b.rejection(b.run(delivery, b.open(orderSource, "--output", "json")...))
	if v.Reason != "modified" || !strings.Contains(v.Cause, "look added on the way: _datadog") || !strings.Contains(v.Fix, "--ignore-member") {
		t.Errorf("got %+v", v)
	}
	var opened verifiedResult
	b.check(json.Unmarshal([]byte(b.must(delivery, b.open(orderSource, "--output", "json", "--ignore-member", "_datadog")...)), &opened))
	if opened.Verdict != "verified" || !slices.Equal(opened.Ignored, []string{"_datadog"}) || strings.Contains(string(opened.Event), "datadog") {
		t.Errorf("got %+v", opened)
	}
	view := b.inspectJSON(delivery)
	if view.Digests["core"] != "fits" || !slices.Equal(view.Event.Ignored, []string{"_datadog"}) || len(view.Problems) > 0 {
		t.Errorf("inspect: %+v", view)
	}
	if view := b.inspectJSON(b.addedDelivery("_lumigo")); view.Digests["core"] != "does not fit" || len(view.Problems) == 0 {
		t.Errorf("inspect of what is not listed: %+v", view)
	}
	l := b.serve("--output", "json")
	if status, h := l.post(delivery); status != 200 || h.Verdict != verdictVerified || !slices.Equal(h.Ignored, []string{"_datadog"}) {
		t.Errorf("listen: %d %+v", status, h)
	}
	if status, h := l.post(b.addedDelivery("_lumigo")); status != 403 || h.Reason != "modified" {
		t.Errorf("listen, not listed: %d %+v", status, h)
	}
	l.end()
	l = b.serve("--ignore-member", "_lumigo", "--ignore-member", "_x")
	l.post(b.addedDelivery("_lumigo"))
	l.end()
	if out := l.stdout.String(); !strings.Contains(out, "ignored, added on the way: _lumigo") {
		t.Errorf("listen for people: %s", out)
	}
}

// seal keeps what was recorded before, unless told otherwise, and says so. An event that is sealed is none to
// seal.
func TestSealKeepsRecordedTime(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	recorded := strings.Replace(orderEvent, `"id":"o-1"`, `"id":"o-1","recordedtime":"2019-01-01T00:00:00.5Z"`, 1)
	r := b.run(recorded, b.seal()...)
	if r.code != 0 || !strings.Contains(r.stdout, `"originalrecordedtime":"2019-01-01T00:00:00Z"`) || !strings.Contains(r.stdout, `"recordedtime":"2026-11-21T12:00:00Z"`) ||
		!strings.Contains(r.stderr, "sealbus: note: 1 event had a recordedtime: it is kept as originalrecordedtime") {
		t.Errorf("exit %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := b.run(recorded, b.seal("--keep-recordedtime=false")...); r.code != exitRejected || !strings.Contains(r.stderr, "originalrecordedtime") {
		t.Errorf("refused: exit %d, %s", r.code, r.stderr)
	}
	if again := b.run(r.stdout, b.seal()...); again.code != exitRejected || !strings.Contains(again.stderr, "dssematerial") || strings.Contains(again.stderr, "note") {
		t.Errorf("sealed twice: exit %d, %s", again.code, again.stderr)
	}
}

// publish does the same.
func TestPublishKeepsRecordedTime(t *testing.T) {
	recorded := strings.Replace(orderEvent, `"id":"o-1"`, `"id":"o-1","recordedtime":"2019-01-01T00:00:00Z"`, 1)
	b, bus := newShop(t, nil)
	r := b.run(recorded, b.publish(bus)...)
	bus.drain()
	if r.code != 0 || len(bus.got) != 1 || !strings.Contains(r.stderr, "note: 1 event had a recordedtime") {
		t.Fatalf("exit %d, %d deliveries, %s", r.code, len(bus.got), r.stderr)
	}
	if out := b.must(bus.got[0], b.open(orderSource)...); !strings.Contains(out, `"originalrecordedtime":"2019-01-01T00:00:00Z"`) {
		t.Errorf("opened %s", out)
	}
	r = b.run(recorded, b.publish(bus, "--keep-recordedtime=false")...)
	if r.code != exitRejected || strings.Contains(r.stderr, "note:") || !strings.Contains(r.stderr, "originalrecordedtime") {
		t.Errorf("refused: exit %d, %s", r.code, r.stderr)
	}
}

// seal warns once of what relays change, however many events are concerned.
func TestSealWarnsOfDigits(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	fragile := strings.Replace(strings.Replace(orderEvent, "12.50", "0.30000000000000004", 1), "59:00.25Z", "59:00.123456Z", 1)
	r := b.run("["+fragile+","+fragile+"]", b.seal()...)
	if r.code != 0 || strings.Count(r.stderr, "numbers of 17 digits") != 1 || strings.Count(r.stderr, "time has 6 digits") != 1 || !strings.Contains(r.stderr, "(2 events)") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	if r := b.run(orderEvent, b.seal()...); r.stderr != "" {
		t.Errorf("an ordinary event: %s", r.stderr)
	}
}

// A source that ends in # is refused, with what to do; a dataschema is sealed as it is.
func TestSealEmptyFragment(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	r := b.run(strings.Replace(orderEvent, `"source":"https://shop.example/eu"`, `"source":"https://shop.example/eu#"`, 1), b.seal()...)
	if r.code != exitRejected || !strings.Contains(r.stderr, "drop the #") {
		t.Errorf("source: exit %d, %s", r.code, r.stderr)
	}
	schema := `"dataschema":"https://schemas.example/order.json#"`
	sealed := b.must(strings.Replace(orderEvent, `"id":"o-1"`, `"id":"o-1",`+schema, 1), b.seal()...)
	if out := b.must(sealed, b.open(orderSource)...); !strings.Contains(sealed, schema) || !strings.Contains(out, schema) {
		t.Errorf("sealed %s, opened %s", sealed, out)
	}
}

// A signature that names no key is tried; refused, the advice is not to add a key that is there.
func TestOpenNameless(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	var sealed map[string]json.RawMessage
	b.check(json.Unmarshal([]byte(b.must(orderEvent, b.seal()...)), &sealed))
	var material []byte
	b.check(json.Unmarshal(sealed["dssematerial"], &material))
	envelope, signatures := map[string]json.RawMessage{}, []map[string]string{}
	b.check(json.Unmarshal(material, &envelope))
	b.check(json.Unmarshal(envelope["signatures"], &signatures))
	nameless := func(sig string) string {
		envelope["signatures"], _ = json.Marshal([]map[string]string{{"sig": sig}}) // maps of strings have JSON
		doc, _ := json.Marshal(envelope)
		sealed["dssematerial"], _ = json.Marshal(base64.StdEncoding.EncodeToString(doc))
		doc, _ = json.Marshal(sealed)
		return string(doc)
	}
	b.must(nameless(signatures[0]["sig"]), b.open(orderSource)...)
	if out := b.must(nameless(signatures[0]["sig"]), "inspect"); !strings.Contains(out, "(names no key)") {
		t.Errorf("inspect: %s", out)
	}
	v := b.rejection(b.run(nameless(base64.StdEncoding.EncodeToString(make([]byte, 64))), b.open(orderSource, "--output", "json")...))
	if v.Reason != "unknown_key" || !strings.Contains(v.Cause, "names no key") || strings.Contains(v.Fix, "add its key") {
		t.Errorf("got %+v", v)
	}
}
