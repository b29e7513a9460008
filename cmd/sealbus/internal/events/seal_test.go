package events_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/events"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func TestSealRefuses(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	edit := func(old, text string) string {
		doc := strings.Replace(clitest.OrderEvent, old, text, 1)
		if doc == clitest.OrderEvent {
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
		"source out of scope": {edit("https://shop.", "https://billing."), nil, ui.ExitRejected,
			"source_not_allowed"},
		"sealed already": {b.Must(clitest.OrderEvent, b.Seal()...), nil, ui.ExitRejected, ""},
		"no id":          {edit(`"id":"o-1",`, ""), nil, ui.ExitRejected, "malformed"},
		"two ids": {edit(`"id":"o-1"`, `"id":"o-1","id":"o-2"`), nil, ui.ExitRejected,
			"malformed"},
		"a number that rounds": {edit("12.50", "0.10000000000000001"), nil, ui.ExitRejected, ""},
		"too large": {edit("chair", strings.Repeat("x", 1<<20)), nil, ui.ExitRejected,
			"too_large"},
		"nothing":              {"", nil, ui.ExitRejected, "malformed"},
		"no JSON":              {"hello", nil, ui.ExitRejected, "malformed"},
		"an EventBridge event": {`{"detail-type":"x","detail":{}}`, nil, ui.ExitRejected, "malformed"},
		"a broken batch":       {"[" + clitest.OrderEvent, nil, ui.ExitRejected, "malformed"},
		"one bad of a batch": {"[" + clitest.OrderEvent + "," + edit(`"id":"o-1",`, "") +
			"]", nil, ui.ExitRejected, "malformed"},
		"a wide integer": {edit("12.50", "9223372036854775808"), []string{"--to", "eventbridge"},
			ui.ExitRejected, ""},
		"no object to embed in": {edit(`{"total":12.50,"item":"chair"}`, `[1]`),
			[]string{"--to", "eventbridge", "--layout", "embedded"}, ui.ExitRejected, ""},
		"layout of nothing": {clitest.OrderEvent, []string{"--layout", "embedded"}, ui.ExitUsage, ""},
		"bus of nothing":    {clitest.OrderEvent, []string{"--bus", "central"}, ui.ExitUsage, ""},
		"no life":           {clitest.OrderEvent, []string{"--expires", "0s"}, ui.ExitUsage, ""},
		"unknown key":       {clitest.OrderEvent, []string{"--key", "nonesuch1"}, ui.ExitUsage, ""},
		"unknown target":    {clitest.OrderEvent, []string{"--to", "kafka"}, ui.ExitUsage, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.Run(test.doc, b.Seal(append(test.args, "--output", "json")...)...)
			var e ui.ErrorResult
			if err := json.Unmarshal([]byte(r.Stdout), &e); err != nil {
				t.Fatalf("%v: %s", err, r.Stdout)
			}
			if r.Code != test.code || e.Reason != test.reason || e.Message == "" || e.Fix == "" {
				t.Errorf("exit %d, %+v", r.Code, e)
			}
			if len(e.Message) > 500 {
				t.Errorf("a message of %d bytes", len(e.Message))
			}
		})
	}
}

func TestSealExactAndExpires(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := b.Must(clitest.OrderEvent, b.Seal("--exact", "--expires", "2h", "--audience", "central")...)
	var got map[string]any
	b.Check(json.Unmarshal([]byte(sealed), &got))
	if got["data_base64"] == nil || got["expirytime"] != "2026-11-21T14:00:00Z" ||
		got["audience"] != "central" || got["recordedtime"] != "2026-11-21T12:00:00Z" {
		t.Errorf("%s", sealed)
	}
	opened := b.Must(sealed, b.Open(clitest.OrderSource)...)
	if !strings.Contains(opened, `"data":{"total":12.50,"item":"chair"}`) {
		t.Errorf("the exact data is gone: %s", opened)
	}
}

// PutEvents takes ten entries: the eleventh is written, with a warning.
func TestSealWarnsOfTooManyEntries(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	events := make([]string, cmd.MaxPutEntries+1)
	for i := range events {
		events[i] = strings.Replace(clitest.OrderEvent, "o-1", fmt.Sprintf("o-%d", i), 1)
	}
	for n, warned := range map[int]bool{cmd.MaxPutEntries: false, cmd.MaxPutEntries + 1: true} {
		r := b.Run("["+strings.Join(events[:n], ",")+
			"]", b.Seal("--to", "eventbridge", "--bus", "central")...)
		var list []cmd.PutEntry
		b.Check(json.Unmarshal([]byte(r.Stdout), &list))
		if r.Code != 0 || len(list) != n || list[0].EventBusName != "central" ||
			strings.Contains(r.Stderr, "warning") != warned {
			t.Errorf("%d events: exit %d, %d entries, %s", n, r.Code, len(list), r.Stderr)
		}
	}
	if r := b.Run("[]", b.Seal("--to", "eventbridge")...); r.Code != 0 || r.Stdout != "[]\n" {
		t.Errorf("an empty batch: exit %d, %s", r.Code, r.Stdout)
	}
}
