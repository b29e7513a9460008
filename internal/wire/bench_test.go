package wire

import (
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
)

// sealed is an event as sealbus sends it, with JSON data of n bytes in canonical form.
func sealed(n int) string {
	const member = `{"amount":1250,"currency":"EUR","id":"4f9a","note":"two boxes"}`
	return `{"specversion":"1.0","id":"0191d3c2-7b1e-7c3a-9d55-0e6f2b9a4c11","source":"https://orders.example/eu/checkout",` +
		`"type":"com.example.order.placed","datacontenttype":"application/json","subject":"order/4f9a","time":"2024-05-06T07:08:09.12Z",` +
		`"audience":"central","recordedtime":"2024-05-06T07:08:10Z","dssematerial":"` +
		strings.Repeat("QUJD", 205) + `",` +
		`"data":[` + member + strings.Repeat(","+member, n/len(member)-1) + `]}`
}

func benchmark(b *testing.B, run func(in []byte, e *Event) error) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"16KiB", 16 << 10}} {
		b.Run(size.name, func(b *testing.B) {
			in := []byte(sealed(size.bytes))
			e := mustParse(b, string(in))
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if err := run(in, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	benchmark(b, func(in []byte, _ *Event) error {
		_, err := Parse(in)
		return err
	})
}

func BenchmarkAppend(b *testing.B) {
	var out []byte
	benchmark(b, func(_ []byte, e *Event) error {
		out = e.Append(out[:0])
		return nil
	})
}

func BenchmarkToSDK(b *testing.B) {
	benchmark(b, func(_ []byte, e *Event) error {
		_, err := e.ToSDK()
		return err
	})
}

func BenchmarkFromSDK(b *testing.B) {
	var ev event.Event
	var of *Event
	benchmark(b, func(_ []byte, e *Event) (err error) {
		if of != e {
			of = e
			if ev, err = e.ToSDK(); err != nil {
				return err
			}
		}
		_, err = FromSDK(&ev)
		return err
	})
}

// The budget of an Open is 20 allocations; these are the shares of this package.
// (Append takes one, and two under the race detector, where growing a slice does.)
func TestAllocations(t *testing.T) {
	in := []byte(sealed(1 << 10))
	e := mustParse(t, string(in))
	ev, err := e.ToSDK()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		most float64
		run  func()
	}{
		{"Parse", 4, func() { Parse(in) }},
		{"Append", 2, func() { e.Append(nil) }},
		{"ToSDK", 8, func() { e.ToSDK() }},
		{"FromSDK", 8, func() { FromSDK(&ev) }},
	} {
		got := testing.AllocsPerRun(100, test.run)
		t.Logf("%s: %v allocations", test.name, got)
		if got > test.most {
			t.Errorf("%s: %v allocations, at most %v were planned", test.name, got, test.most)
		}
	}
}
