package envelope_test

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
)

const (
	maxEvent    = 1 << 20
	maxMaterial = 64 << 10
	maxDelivery = maxEvent + 64<<10
)

// verdict opens in and returns the Reason with the bytes that were allocated on the way.
func verdict(t *testing.T, form string, in []byte) (envelope.Reason, uint64) {
	t.Helper()
	trust := bundleOf(t, "orders")
	opts := &envelope.Policy{Now: fixed(vectorNow), Unsafe: unchecked}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var opened *envelope.Opened
	var err error
	if form == formEventBridge {
		opened, err = openEventBridge(t.Context(), in, trust, opts)
	} else {
		opened, err = envelope.Open(t.Context(), in, trust, opts)
	}
	runtime.ReadMemStats(&after)
	if (opened == nil) != (err != nil) {
		t.Errorf("got %v and %v", opened, err)
	}
	return envelope.ReasonOf(err), after.TotalAlloc - before.TotalAlloc
}

// padded is the order event with data such that the sealed event has n bytes.
func padded(n int) mint.Plan {
	p := order("orders")
	p.Event = p.Event.Set("data", `""`)
	p.Event = p.Event.Set("data", mint.Quote(strings.Repeat("x", n-len(p.Seal().String()))))
	return p
}

// The limits in bytes are exact.
func TestByteLimits(t *testing.T) {
	material := func(n int) mint.Plan {
		p := order("orders")
		p.Material = func(s string) string { return s + strings.Repeat(" ", n/4*3-len(s)) }
		return p
	}
	event := func(p mint.Plan) string { return p.Seal().String() }
	delivery := func(n int) string {
		p := order("orders")
		d := mint.Delivery("https://orders.example/eu", "com.example.order.placed", "111122223333", event(p))
		return d.Set("resources", "["+mint.Quote(strings.Repeat("r", n-len(d.String())-2))+"]").String()
	}
	embedded := func(n int) string {
		p := order("orders")
		p.Event = p.Event.Set("data", `{"x":""}`)
		size := len(mint.Embedded(p.Seal()))
		p.Event = p.Event.Set("data", `{"x":`+mint.Quote(strings.Repeat("x", n-size))+`}`)
		return mint.Delivery("https://orders.example/eu", "com.example.order.placed", "111122223333",
			mint.Embedded(p.Seal())).String()
	}
	for _, test := range []struct {
		name, form, in string
		want           envelope.Reason
	}{
		{"largest event", formCloudEvent, event(padded(maxEvent)), ""},
		{"event too large", formCloudEvent, event(padded(maxEvent + 1)), envelope.ReasonTooLarge},
		{"white space counts", formCloudEvent, event(padded(maxEvent)) + " ", envelope.ReasonTooLarge},
		{"largest dssematerial", formCloudEvent, event(material(maxMaterial)), ""},
		{"dssematerial too large", formCloudEvent, event(material(maxMaterial + 4)), envelope.ReasonTooLarge},
		{"largest delivery", formEventBridge, delivery(maxDelivery), ""},
		{"delivery too large", formEventBridge, delivery(maxDelivery + 1), envelope.ReasonTooLarge},
		{"largest embedded detail", formEventBridge, embedded(maxEvent), ""},
		{"embedded detail too large", formEventBridge, embedded(maxEvent + 1), envelope.ReasonTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := verdict(t, test.form, []byte(test.in)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Input that is built to cost much is refused, for little: nothing beyond a limit is allocated for, and what
// lies within costs a small multiple of its size.
func TestStructuralAttacks(t *testing.T) {
	const huge = 10 << 20
	repeat := func(s string, bytes int) string { return strings.Repeat(s, bytes/len(s)) }
	list := func(n int, item func(int) string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = item(i)
		}
		return strings.Join(items, ",")
	}
	extensions := func(n int) string {
		return `{"specversion":"1.0",` + list(n, func(i int) string { return fmt.Sprintf(`"x%d":1`, i) }) +
			"}"
	}
	signatures := func(n int) string {
		return inMaterial(`{"payloadType":"` + mint.PayloadType + `","payload":"e30=","signatures":[` +
			list(n, func(int) string { return `{"sig":""}` }) + "]}")
	}
	attacks := map[string]string{
		"brackets":                  repeat("[", huge),
		"objects":                   repeat(`{"a":`, huge),
		"one string":                `"` + repeat("x", huge) + `"`,
		"one string in an event":    `{"id":"` + repeat("x", huge) + `"}`,
		"100,000 extensions":        extensions(100_000),
		"10,000 signatures":         signatures(10_000),
		"brackets within the limit": repeat("[", maxEvent),
		"objects within the limit":  repeat(`{"a":`, maxEvent),
		"data of brackets":          `{"specversion":"1.0","data":` + repeat("[", maxEvent-100),
		"data of objects":           `{"specversion":"1.0","data":` + repeat(`{"a":`, maxEvent-100),
		"data of escapes": `{"specversion":"1.0","data":"` +
			repeat(`\u0061`, maxEvent-100),
		"a data object of 100,000 members": `{"specversion":"1.0","data":{` +
			list(100_000, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }) + "}}",
		"a long name":                 `{"` + repeat("x", maxEvent-10) + `":1}`,
		"extensions within the limit": extensions(70_000),
		"signatures within the limit": signatures(4000),
		"dssematerial of brackets":    inMaterial(repeat("[", 48_000)),
		"dssematerial of objects":     inMaterial(repeat(`{"a":`, 48_000)),
		"a delegation of brackets": inMaterial(`{"payloadType":"` + mint.PayloadType +
			`","payload":"e30=","signatures":[{"sig":"","delegation":` + repeat("[", 40_000) +
			repeat("]", 40_000) + "}]}"),
		"base64 of nothing but padding": `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"a/b","data_base64":"` + repeat("=", maxEvent-200) + `"}`,
		"members of dssematerial": inMaterial("{" +
			list(3000, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }) + "}"),
		"white space":                 repeat(" ", huge),
		"white space before an event": repeat(" ", maxEvent-100) + "{}",
		"commas":                      "{" + repeat(",", maxEvent-10),
		"a number of a megabyte": `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` +
			repeat("9", maxEvent-200) + "}",
		"a number with a vast exponent": `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1e` +
			repeat("9", maxEvent-200) + "}",
		"a detail of objects, not an event's": `{"source":"/s","detail-type":"t","detail":` +
			repeat(`{"a":`, maxEvent),
	}
	for name, in := range attacks {
		t.Run(name, func(t *testing.T) {
			forms := map[string]string{formCloudEvent: in,
				formEventBridge: `{"source":"/s","detail-type":"t","detail":` + in + `}`}
			for form, in := range forms {
				got, allocated := verdict(t, form, []byte(in))
				if got != envelope.ReasonMalformed && got != envelope.ReasonTooLarge &&
					got != envelope.ReasonUnsigned {
					t.Errorf("%s: got %q", form, got)
				}
				if got == envelope.ReasonUnsigned && strings.Contains(in, "dssematerial") {
					t.Errorf("%s: taken for unsigned", form)
				}
				limit := uint64(24*len(in) + 64<<10) // 100,000 member names are remembered, in maps that grow
				if len(in) > maxDelivery {
					limit = 16 << 10
				}
				if allocated > limit {
					t.Errorf("%s: %d bytes were allocated for %d", form, allocated, len(in))
				}
			}
		})
	}
}

func inMaterial(text string) string {
	return `{"specversion":"1.0","id":"1","source":"/s","type":"t","dssematerial":"` +
		base64.StdEncoding.EncodeToString([]byte(text)) + `"}`
}

// A signed payload is no smaller a risk: who signs may be an attacker.
func TestSignedAttacks(t *testing.T) {
	for name, text := range map[string]string{
		"brackets": strings.Repeat("[", 20_000), "objects": strings.Repeat(`{"a":`, 4000),
		"names": `{"signedextattrs":[` + strings.Repeat(`"a",`, 5000) + `"b"]}`,
		"digests": `{"sealbus":{"v":1,"delegations":[` +
			strings.Repeat(`"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",`, 400) + `""]}}`,
		"types": `{"sealbus":{"v":1,"types":[` + strings.Repeat(`"String",`, 2000) + `""]}}`,
	} {
		p := order("orders")
		p.PayloadText = always(text)
		got, allocated := verdict(t, formCloudEvent, []byte(p.Seal().String()))
		if got != envelope.ReasonMalformed && got != envelope.ReasonTooLarge {
			t.Errorf("%s: got %q", name, got)
		}
		if allocated > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", name, allocated)
		}
	}
}
