package wire

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// The wire is written into one piece of memory of the right size, also where an extension is a JSON text.
func TestAppendNeedsOneAllocation(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(most int) string { return strings.Repeat("x", random.IntN(most)) }
	for range 500 {
		e := &Event{SpecVersion: "1.0", ID: text(40), Source: text(100), Type: text(40), Subject: text(40),
			DataContentType: text(20), DataSchema: text(60), Time: text(30), Material: text(2000)}
		for range random.IntN(12) {
			e.Extensions = append(e.Extensions, Attribute{Name: "x" + text(20), Type: String,
				Value: "v" + text(50) + strings.Repeat(`{"kid":"`+text(9)+`"}`, random.IntN(8))})
		}
		if e.Form = Form(random.IntN(3)); e.Form != NoData {
			e.Data, e.Base64 = []byte(`"`+text(20_000)+`"`), e.Form == BinaryData || random.IntN(3) == 0
		}
		var out []byte
		if n := testing.AllocsPerRun(1, func() { out = e.Append(nil) }); n != 1 {
			t.Fatalf("%v allocations for %d bytes", n, len(out))
		}
		if spare := e.size() - len(out); spare < 0 || spare > len(`,"data_base64":""`) {
			t.Fatalf("room for %d bytes was made, the wire has %d", e.size(), len(out))
		}
	}
}
