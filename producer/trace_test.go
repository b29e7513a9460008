package producer_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/producer"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// wireOf publishes under ctx and is what the bus was given.
func wireOf(t *testing.T, ctx context.Context, own string, opts *producer.Options) map[string]any {
	t.Helper()
	var wire map[string]any
	o := newOrg(t)
	p := newProducer(t, o, busFunc(func(ctx context.Context, events []*envelope.Sealed) []error {
		if err := json.Unmarshal(events[0].JSON(), &wire); err != nil {
			t.Fatal(err)
		}
		if p, _ := producer.TraceFrom(ctx); own == "" && wire["traceparent"] != nil &&
			p != wire["traceparent"] {
			t.Errorf("the bus sees %q, the event carries %v", p, wire["traceparent"])
		}
		return make([]error, len(events))
	}), opts)
	ev := placed("1")
	if own != "" {
		ev.SetExtension("traceparent", own)
	}
	before := len(ev.Extensions())
	if _, err := p.Publish(ctx, ev); err != nil {
		t.Fatal(err)
	}
	if len(ev.Extensions()) != before {
		t.Error("publishing changed the caller's event")
	}
	return wire
}

func TestTrace(t *testing.T) {
	const own = "00-11111111111111111111111111111111-2222222222222222-00"
	for name, c := range map[string]struct {
		parent, state, own    string
		wantParent, wantState any
	}{
		"none":              {},
		"of the context":    {parent: parent, state: "vendor=1", wantParent: parent, wantState: "vendor=1"},
		"the event's own":   {parent: parent, state: "vendor=1", own: own, wantParent: own},
		"without state":     {parent: parent, wantParent: parent},
		"state too long":    {parent: parent, state: strings.Repeat("v", 513), wantParent: parent},
		"state with a line": {parent: parent, state: "a=1\nb=2", wantParent: parent},
		"capitals":          {parent: strings.ToUpper(parent)},
		"no trace ID":       {parent: "00-00000000000000000000000000000000-b7ad6b7169203331-01"},
		"no parent ID":      {parent: "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"},
		"another version":   {parent: "ff" + parent[2:]},
		"cut":               {parent: parent[:54]},
		"no dashes":         {parent: strings.ReplaceAll(parent, "-", "_")},
	} {
		t.Run(name, func(t *testing.T) {
			wire := wireOf(t, producer.WithTrace(t.Context(), c.parent, c.state), c.own, nil)
			if wire["traceparent"] != c.wantParent || wire["tracestate"] != c.wantState {
				t.Errorf("traceparent %v, tracestate %v", wire["traceparent"], wire["tracestate"])
			}
		})
	}
}

// A tracer that keeps its span in the context in its own way is asked through Options.
func TestTraceOption(t *testing.T) {
	opts := &producer.Options{Trace: func(context.Context) (string, string) { return parent, "a=1" }}
	if wire := wireOf(t, t.Context(), "", opts); wire["traceparent"] != parent ||
		wire["tracestate"] != "a=1" {
		t.Errorf("wire %v", wire)
	}
}
