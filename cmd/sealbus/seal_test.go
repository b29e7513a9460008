package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestSealRefuses(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	edit := func(old, text string) string {
		doc := strings.Replace(orderEvent, old, text, 1)
		if doc == orderEvent {
			t.Fatalf("no %s", old)
		}
		return doc
	}
	for name, test := range map[string]struct {
		doc    string
		args   []string
		code   int
		reason string
	}{
		"source out of scope":   {edit("https://shop.", "https://billing."), nil, exitRejected, "source_not_allowed"},
		"sealed already":        {b.must(orderEvent, b.seal()...), nil, exitRejected, ""},
		"no id":                 {edit(`"id":"o-1",`, ""), nil, exitRejected, "malformed"},
		"two ids":               {edit(`"id":"o-1"`, `"id":"o-1","id":"o-2"`), nil, exitRejected, "malformed"},
		"a number that rounds":  {edit("12.50", "0.10000000000000001"), nil, exitRejected, ""},
		"too large":             {edit("chair", strings.Repeat("x", 1<<20)), nil, exitRejected, "too_large"},
		"nothing":               {"", nil, exitRejected, "malformed"},
		"no JSON":               {"hello", nil, exitRejected, "malformed"},
		"an EventBridge event":  {`{"detail-type":"x","detail":{}}`, nil, exitRejected, "malformed"},
		"a broken batch":        {"[" + orderEvent, nil, exitRejected, "malformed"},
		"one bad of a batch":    {"[" + orderEvent + "," + edit(`"id":"o-1",`, "") + "]", nil, exitRejected, "malformed"},
		"a wide integer":        {edit("12.50", "9223372036854775808"), []string{"--to", "eventbridge"}, exitRejected, ""},
		"no object to embed in": {edit(`{"total":12.50,"item":"chair"}`, `[1]`), []string{"--to", "eventbridge", "--layout", "embedded"}, exitRejected, ""},
		"layout of nothing":     {orderEvent, []string{"--layout", "embedded"}, exitUsage, ""},
		"bus of nothing":        {orderEvent, []string{"--bus", "central"}, exitUsage, ""},
		"no life":               {orderEvent, []string{"--expires", "0s"}, exitUsage, ""},
		"unknown key":           {orderEvent, []string{"--key", "nonesuch1"}, exitUsage, ""},
		"unknown target":        {orderEvent, []string{"--to", "kafka"}, exitUsage, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.run(test.doc, b.seal(append(test.args, "--output", "json")...)...)
			var e errorResult
			if err := json.Unmarshal([]byte(r.stdout), &e); err != nil {
				t.Fatalf("%v: %s", err, r.stdout)
			}
			if r.code != test.code || e.Reason != test.reason || e.Message == "" || e.Fix == "" {
				t.Errorf("exit %d, %+v", r.code, e)
			}
			if len(e.Message) > 500 {
				t.Errorf("a message of %d bytes", len(e.Message))
			}
		})
	}
}

func TestSealExactAndExpires(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	sealed := b.must(orderEvent, b.seal("--exact", "--expires", "2h", "--audience", "central")...)
	var got map[string]any
	b.check(json.Unmarshal([]byte(sealed), &got))
	if got["data_base64"] == nil || got["expirytime"] != "2026-11-21T14:00:00Z" || got["audience"] != "central" || got["recordedtime"] != "2026-11-21T12:00:00Z" {
		t.Errorf("%s", sealed)
	}
	opened := b.must(sealed, b.open(orderSource)...)
	if !strings.Contains(opened, `"data":{"total":12.50,"item":"chair"}`) {
		t.Errorf("the exact data is gone: %s", opened)
	}
}

// PutEvents takes ten entries: the eleventh is written, with a warning.
func TestSealWarnsOfTooManyEntries(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	events := make([]string, maxPutEntries+1)
	for i := range events {
		events[i] = strings.Replace(orderEvent, "o-1", fmt.Sprintf("o-%d", i), 1)
	}
	for n, warned := range map[int]bool{maxPutEntries: false, maxPutEntries + 1: true} {
		r := b.run("["+strings.Join(events[:n], ",")+"]", b.seal("--to", "eventbridge", "--bus", "central")...)
		var list []putEntry
		b.check(json.Unmarshal([]byte(r.stdout), &list))
		if r.code != 0 || len(list) != n || list[0].EventBusName != "central" || strings.Contains(r.stderr, "warning") != warned {
			t.Errorf("%d events: exit %d, %d entries, %s", n, r.code, len(list), r.stderr)
		}
	}
	if r := b.run("[]", b.seal("--to", "eventbridge")...); r.code != 0 || r.stdout != "[]\n" {
		t.Errorf("an empty batch: exit %d, %s", r.code, r.stdout)
	}
}
