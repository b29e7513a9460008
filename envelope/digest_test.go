package envelope_test

import (
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
)

// contentDigest seals the order event, changed, opens it in every mode and returns the digest of its content.
func contentDigest(t *testing.T, change func(*event.Event), opts envelope.SealOptions) [32]byte {
	t.Helper()
	ev := orderEvent(t)
	if change != nil {
		change(&ev)
	}
	if opts.Now == nil {
		opts.Now = fixedNow
	}
	sealed, err := envelope.Seal(t.Context(), ev, cast["orders"], &opts)
	if err != nil {
		t.Fatal(err)
	}
	var digests [3][32]byte
	for mode := range digests {
		opened, err := envelope.Open(t.Context(), sealed.JSON(), bundleOf(t, "orders"),
			&envelope.Policy{Now: opts.Now, Mode: envelope.Mode(mode), Unsafe: unchecked})
		if err != nil {
			t.Fatal(err)
		}
		digests[mode] = opened.ContentDigest()
	}
	if digests[0] != digests[1] || digests[0] != digests[2] {
		t.Error("the digest depends on the mode")
	}
	return digests[0]
}

// The digest tells whether two events with one ID are the same event, published twice.
func TestContentDigest(t *testing.T) {
	want := contentDigest(t, nil, envelope.SealOptions{})
	for _, test := range []struct {
		name   string
		change func(*event.Event)
		opts   envelope.SealOptions
		same   bool
	}{
		{"published again an hour later", nil,
			envelope.SealOptions{Now: func() time.Time { return testNow.Add(time.Hour) }}, true},
		{"with another life", nil, envelope.SealOptions{Expires: time.Hour}, true},
		{"time stamped anew", func(ev *event.Event) { ev.SetTime(testNow) }, envelope.SealOptions{}, true},
		{"another trace", extension("traceparent", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
			envelope.SealOptions{}, true},
		{"without a trace", extension("traceparent", nil), envelope.SealOptions{}, true},
		{"another partition", extension("partitionkey", "7"), envelope.SealOptions{}, true},
		{"data spelled differently", jsonData(`{ "order":"o-1", "total": 1.25e1 }`), envelope.SealOptions{},
			true},
		{"another ID and source, which are the claim's own",
			func(ev *event.Event) { ev.SetID("2"); ev.SetSource("https://orders.example/us") },
			envelope.SealOptions{}, true},
		{"other data", jsonData(`{"order":"o-2","total":12.5}`), envelope.SealOptions{}, false},
		{"no data", jsonData(""), envelope.SealOptions{}, false},
		{"another subject", func(ev *event.Event) { ev.SetSubject("x") }, envelope.SealOptions{}, false},
		{"another type", func(ev *event.Event) { ev.SetType("com.example.order.cancelled") },
			envelope.SealOptions{}, false},
		{"another schema", func(ev *event.Event) { ev.SetDataSchema("https://schema.example/2") },
			envelope.SealOptions{}, false},
		{"another content type", func(ev *event.Event) { ev.SetDataContentType("application/vnd.x+json") },
			envelope.SealOptions{}, false},
		{"another signed extension", extension("tenant", "other"), envelope.SealOptions{}, false},
		{"a signed extension of another type", extension("vip", "true"), envelope.SealOptions{}, false},
		{"a signed extension less", extension("tenant", nil), envelope.SealOptions{}, false},
		{"another audience", nil, envelope.SealOptions{Audience: "audit"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := contentDigest(t, test.change, test.opts); (got == want) != test.same {
				t.Errorf("the same digest: %v, want %v", got == want, test.same)
			}
		})
	}
}

// No two lists of attributes run together: the value of one is not the name of the next.
func TestContentDigestBoundaries(t *testing.T) {
	a := contentDigest(t, func(ev *event.Event) { ev.SetSubject("ab"); extension("x", "c")(ev) },
		envelope.SealOptions{})
	b := contentDigest(t, func(ev *event.Event) { ev.SetSubject("a"); extension("x", "bc")(ev) },
		envelope.SealOptions{})
	c := contentDigest(t, func(ev *event.Event) { ev.SetSubject("ab"); extension("xc", "c")(ev) },
		envelope.SealOptions{})
	if a == b || a == c || b == c {
		t.Error("different events have one digest")
	}
}
