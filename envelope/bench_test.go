package envelope_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// benchmarkEvent is an event as producers make them, with about size bytes of canonical JSON data.
func benchmarkEvent(b testing.TB, size int) event.Event {
	b.Helper()
	const line = `{"amount":1250,"currency":"EUR","id":"4f9a","note":"two boxes"}`
	ev := event.New()
	ev.SetID("0191d3c2-7b1e-7c3a-9d55-0e6f2b9a4c11")
	ev.SetSource("https://orders.example/eu/checkout")
	ev.SetType("com.example.order.placed")
	ev.SetSubject("order/4f9a")
	ev.SetTime(time.Date(2026, 11, 21, 11, 59, 0, 120_000_000, time.UTC))
	ev.SetDataContentType("application/json")
	ev.DataEncoded = []byte("[" + line + strings.Repeat(","+line, size/(len(line)+1)-1) + "]")
	return ev
}

// sizes runs a benchmark for each algorithm and size of data.
func sizes(b *testing.B, run func(b *testing.B, signer *keys.LocalSigner, ev event.Event)) {
	for _, name := range []string{"orders", "es256"} {
		for _, size := range []int{1 << 10, 16 << 10} {
			signer := cast[name]
			b.Run(fmt.Sprintf("%s/%dKiB", signer.Verifier().Algorithm(), size>>10), func(b *testing.B) {
				b.ReportAllocs()
				run(b, signer, benchmarkEvent(b, size))
			})
		}
	}
}

// raw is what any signature of the event costs: the primitive over the same bytes, and one SHA-256 of the
// data.
type raw struct {
	message, sig, data []byte
	signer             *keys.LocalSigner
}

func rawOf(b *testing.B, signer *keys.LocalSigner, sealed *envelope.Sealed, data []byte) *raw {
	b.Helper()
	tree := parseTree(b, string(sealed.JSON()))
	var payload string
	for _, p := range tree.places(nil) {
		if p.node().name == "payload" {
			payload = p.node().kids[0].String()
		}
	}
	message := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(mint.PayloadType), mint.PayloadType, len(payload),
		payload)
	return &raw{message: message, sig: []byte(mint.Sign(signer, mint.PayloadType, payload)), data: data,
		signer: signer}
}

var sink byte

func (r *raw) sign(b *testing.B) {
	sum := sha256.Sum256(r.data)
	sig, err := r.signer.Sign(b.Context(), r.message)
	if err != nil {
		b.Fatal(err)
	}
	sink = sig[0] + sum[0]
}

func (r *raw) verify(b *testing.B) {
	sum := sha256.Sum256(r.data)
	if sink = sum[0]; !r.signer.Verifier().Verify(r.message, r.sig) {
		b.Fatal("the raw signature does not verify")
	}
}

// interleaved times ours and raw in turns, so that both have the same share of whatever else the machine
// does, and reports the ratio of the totals.
func interleaved(b *testing.B, ours, raw func()) {
	var own, bare time.Duration
	for b.Loop() {
		start := time.Now()
		ours()
		middle := time.Now()
		raw()
		own += middle.Sub(start)
		bare += time.Since(middle)
	}
	b.ReportMetric(float64(own)/float64(bare), "ratio")
	b.ReportMetric(float64(bare.Nanoseconds())/float64(b.N), "raw-ns/op")
}

func BenchmarkSeal(b *testing.B) {
	sizes(b, func(b *testing.B, signer *keys.LocalSigner, ev event.Event) {
		opts := &envelope.SealOptions{Audience: "central", Now: fixedNow}
		for b.Loop() {
			if _, err := envelope.Seal(b.Context(), ev, signer, opts); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	sizes(b, func(b *testing.B, signer *keys.LocalSigner, ev event.Event) {
		trust, opts := benchmarkTrust(b, signer)
		sealed := benchmarkSealed(b, signer, ev)
		for b.Loop() {
			if _, err := envelope.Open(b.Context(), sealed.JSON(), trust, opts); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The ratios that SPEC's numbers are about. Allocations here are those of both sides.
func BenchmarkSealRatio(b *testing.B) {
	sizes(b, func(b *testing.B, signer *keys.LocalSigner, ev event.Event) {
		opts := &envelope.SealOptions{Audience: "central", Now: fixedNow}
		bare := rawOf(b, signer, benchmarkSealed(b, signer, ev), ev.DataEncoded)
		interleaved(b, func() {
			if _, err := envelope.Seal(b.Context(), ev, signer, opts); err != nil {
				b.Fatal(err)
			}
		}, func() { bare.sign(b) })
	})
}

func BenchmarkOpenRatio(b *testing.B) {
	sizes(b, func(b *testing.B, signer *keys.LocalSigner, ev event.Event) {
		trust, opts := benchmarkTrust(b, signer)
		sealed := benchmarkSealed(b, signer, ev)
		bare := rawOf(b, signer, sealed, ev.DataEncoded)
		interleaved(b, func() {
			if _, err := envelope.Open(b.Context(), sealed.JSON(), trust, opts); err != nil {
				b.Fatal(err)
			}
		}, func() { bare.verify(b) })
	})
}

func benchmarkSealed(b testing.TB, signer *keys.LocalSigner, ev event.Event) *envelope.Sealed {
	b.Helper()
	sealed, err := envelope.Seal(b.Context(), ev, signer,
		&envelope.SealOptions{Audience: "central", Now: fixedNow})
	if err != nil {
		b.Fatal(err)
	}
	return sealed
}

func benchmarkTrust(b testing.TB, signer *keys.LocalSigner) (trust.Source, *envelope.Policy) {
	b.Helper()
	opts := &envelope.Policy{Audience: "central", MaxAge: 5 * time.Minute,
		Sources: []string{"https://orders.example/*"}, Now: fixedNow}
	return trusting(b, keyOf(signer, "https://orders.example/*")), opts
}

// The budget of allocations per Open of an Opener, for the event that the benchmarks open.
func TestOpenAllocations(t *testing.T) {
	const budget = 20
	signer := cast["orders"]
	sealed := benchmarkSealed(t, signer, benchmarkEvent(t, 1<<10))
	trust, opts := benchmarkTrust(t, signer)
	opener, err := envelope.NewOpener(trust, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(200, func() {
		if _, err := opener.Open(t.Context(), envelope.Received{Body: sealed.JSON()},
			envelope.Step{}); err != nil {
			t.Fatal(err)
		}
	}); got > budget {
		t.Errorf("%v allocations, the budget is %v", got, budget)
	}
}

func elapsed(do func()) (microseconds float64) {
	start := time.Now()
	do()
	return float64(time.Since(start).Nanoseconds()) / 1e3
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
