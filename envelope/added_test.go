package envelope_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys/trust"
)

// hopNames are names of members that a hop may add: what tracers use, and what looks like a part of an event.
var hopNames = []string{"_datadog", "_lumigo", "x-amzn-trace-id", "traceId", "", "__proto__", "tenañt",
	strings.Repeat("x", 65),
	"Data", "ID", "ſource", "DATA_BASE64", "CloudEvent", "SpecVersion", "Audience", "Tenant", "Subject",
	"DsseMaterial", "\u0130d"}

// addHop adds a member to an object that a hop might see as the message: the event, the detail, or the
// attributes in it.
func addHop(r *rand.Rand, tree *node, values []place) {
	objects := []*node{tree}
	for _, p := range tree.places(nil) {
		if n := p.node(); n.kind == '{' && (n.name == "detail" || n.name == "cloudevent") {
			objects = append(objects, n)
		}
	}
	to := objects[r.IntN(len(objects))]
	added := &node{kind: 'r', text: tracer}
	if len(values) > 0 && r.IntN(2) == 0 {
		added = values[r.IntN(len(values))].node().clone()
	}
	added.name = hopNames[r.IntN(len(hopNames))]
	to.kids = slices.Insert(to.kids, r.IntN(len(to.kids)+1), added)
}

// TestHopMembers adds one member to every kind of sealed event, in every mode, and changes nothing else. The
// event opens with all that it had, or is refused: no name and no value that a hop adds changes what comes
// back.
func TestHopMembers(t *testing.T) {
	trust := everybody(t)
	for _, v := range victims(t) {
		for _, mode := range []envelope.Mode{envelope.Strict, envelope.Passthrough, envelope.CoreOnly} {
			opts := *v.opts
			opts.Mode = mode
			with := *v
			with.opts = &opts
			plain, err := with.open([]byte(v.tree.String()), trust)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range hopNames {
				for _, value := range []string{`"x"`, "null", tracer, "1e400", v.tree.String()} {
					where := fmt.Sprintf("%s, mode %d, %q: %.40s", v.name, mode, name, value)
					checkHop(t, where, &with, trust, plain, name, value)
				}
			}
		}
	}
}

// checkHop adds the member in front of all others, at the top of the event: no other place is read in another
// way.
func checkHop(t *testing.T, where string, v *victim, trust trust.Source, plain *envelope.Opened, name,
	value string) {
	t.Helper()
	tree := v.tree.clone()
	top := tree
	if v.bridge {
		top = tree.kids[slices.IndexFunc(tree.kids, func(n *node) bool { return n.name == "detail" })]
	}
	isEmbedded := slices.ContainsFunc(top.kids, func(n *node) bool { return n.name == "cloudevent" })
	top.kids = slices.Insert(top.kids, 0, &node{kind: 'r', name: name, text: value})
	opened, err := v.open([]byte(tree.String()), trust)
	switch reason := envelope.ReasonOf(err); {
	case err == nil:
		sameOpened(t, where, opened, plain)
		if len(opened.Ignored) != 1 {
			t.Errorf("%s: ignored %q", where, opened.Ignored)
		}
	case opened != nil:
		t.Errorf("%s: an event and %v", where, err)
	case isEmbedded && name != "_datadog":
		if reason != envelope.ReasonModified {
			t.Errorf("%s: %v", where, err)
		}
	case reason != envelope.ReasonMalformed || !strings.ContainsFunc(name,
		func(r rune) bool { return r < 'a' || r > 'z' }) ||
		strings.HasPrefix(name, "_") || strings.HasPrefix(name, "x-") || name == "traceId" || name == "":
		t.Errorf("%s: %v", where, err)
	}
}

// sameOpened compares all that an Opened says but the names of what was ignored.
func sameOpened(t *testing.T, where string, got, want *envelope.Opened) {
	t.Helper()
	if string(got.JSON()) != string(want.JSON()) || got.ContentDigest() != want.ContentDigest() ||
		got.Producer != want.Producer ||
		!slices.Equal(got.KeyIDs, want.KeyIDs) || !slices.Equal(got.SignedAttributes,
		want.SignedAttributes) ||
		!got.SignedAt.Equal(want.SignedAt) || !got.ExpiresAt.Equal(want.ExpiresAt) ||
		got.Foreign != want.Foreign ||
		!reflect.DeepEqual(got.Unverified, want.Unverified) ||
		!reflect.DeepEqual(got.Encryption, want.Encryption) ||
		got.Event.String() != want.Event.String() {
		t.Errorf("%s: opened\n%s\nnot\n%s", where, got.JSON(), want.JSON())
	}
}

// The names of what was ignored are reported: at most 8, and harmless on a terminal.
func TestIgnoredAreReported(t *testing.T) {
	trust := bundleOf(t, "orders")
	p := order("orders")
	p.Wire = func(o mint.Object) mint.Object {
		o = o.Add("_datadog", tracer).Add("\x1b[31m\u202e\u0085", "1").Add("a\"\\b",
			"2").Add(strings.Repeat("ü", 3000), "3")
		for i := range 20 {
			o = o.Add(fmt.Sprintf("_%d", i), "null")
		}
		return o
	}
	opened, err := envelope.Open(t.Context(), seal(p), trust,
		&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"_datadog", `\x1b[31m\u202e\u0085`, `a\"\\b`, strings.Repeat(`\u00fc`, 32), "_0", "_1",
		"_2", "_3"}
	if !slices.Equal(opened.Ignored, want) {
		t.Errorf("got  %q\nwant %q", opened.Ignored, want)
	}
	opened, err = envelope.Open(t.Context(), seal(order("orders")), trust,
		&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked})
	if err != nil || opened.Ignored != nil {
		t.Errorf("nothing was added: %q, %v", opened.Ignored, err)
	}
}

// embeddedWith is the delivery of the order event in the embedded layout, with members added to its detail.
func embeddedWith(members string) []byte {
	p := order("orders")
	detail := mint.Embedded(p.Seal())
	return []byte(mint.Delivery("https://orders.example/eu", "com.example.order.placed", "111122223333",
		detail[:len(detail)-1]+members+"}").String())
}

// A verdict on a detail that was changed names the members that look added, and what to do about them.
func TestModifiedNamesWhatWasAdded(t *testing.T) {
	for _, test := range []struct {
		name, members string
		ignore        []string
		cause         string // what is behind the general words
		fix           string
	}{
		{"a tracer's, not listed", `,"_datadog":{}`, []string{},
			"; members that look added on the way: _datadog", "--ignore-member"},
		{"listed, and not enough", `,"_datadog":{},"order2":1`, nil,
			"; members that look added on the way: _datadog", "IgnoreMembers"},
		{"several", `,"_a":1,"X-Trace":2,"traceparent":"3","\u001b_":4,"n":5`, nil,
			"; members that look added on the way: _a X-Trace traceparent", "tracer"},
		{"listed by an unusual name", `,"hop":1,"total":13`, []string{"hop"},
			"; members that look added on the way: hop", "tracer"},
		{"nothing of that kind", `,"hop":1`, nil, "", envelope.ReasonModified.Fix()},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc := embeddedWith(test.members)
			if test.name == "listed by an unusual name" {
				doc = []byte(strings.Replace(string(embeddedWith(`,"hop":1`)), `"total":12.5`, `"total":13`,
					1))
			}
			_, err := openEventBridge(t.Context(), doc, bundleOf(t, "orders"),
				&envelope.Policy{Now: fixed(vectorNow), IgnoreMembers: test.ignore, Unsafe: unchecked})
			e, _ := err.(*envelope.Error)
			if e == nil || e.Reason != envelope.ReasonModified ||
				e.Cause != "the data or a core attribute is not what was signed"+test.cause ||
				!strings.Contains(e.Fix(), test.fix) {
				t.Errorf("got %v, fix %q", err, e.Fix())
			}
		})
	}
}

// Members that are left out of a detail are reported, too.
func TestEmbeddedIgnored(t *testing.T) {
	opened, err := openEventBridge(t.Context(), embeddedWith(`,"_datadog":`+tracer), bundleOf(t, "orders"),
		&envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked})
	if err != nil || !slices.Equal(opened.Ignored, []string{"_datadog"}) ||
		strings.Contains(string(opened.JSON()), "datadog") {
		t.Fatalf("%v, %+v", err, opened)
	}
}

func TestCheckIgnoreMembers(t *testing.T) {
	for name, list := range map[string][]string{
		"17": make17(), "empty": {""}, "long": {strings.Repeat("x", 65)}, "no UTF-8": {"\xff"},
		"cloudevent": {"_a", "CloudEvent"}, "specversion": {"specversion"},
	} {
		if err := wire.CheckIgnoreMembers(list); err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, list := range [][]string{nil, {}, wire.DefaultIgnoreMembers, make17()[:16],
		{strings.Repeat("x", 64)}} {
		if err := wire.CheckIgnoreMembers(list); err != nil {
			t.Error(err)
		}
	}
}

func make17() (list []string) {
	for i := range 17 {
		list = append(list, fmt.Sprintf("_%d", i))
	}
	return list
}
