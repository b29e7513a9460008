package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
)

// costly is a world with events of about 1 KiB of data, as producers make them.
func costly(t testing.TB, events int) (*world, [][]byte) {
	w := newWorld(t)
	const line = `{"amount":1250,"currency":"EUR","id":"4f9a","note":"two boxes"}`
	w.data = json.RawMessage("[" + line + strings.Repeat(","+line, 15) + "]")
	bodies := make([][]byte, events)
	for i := range bodies {
		ev := placed(fmt.Sprint("0191d3c2-7b1e-7c3a-9d55-", i))
		ev.SetSubject("order/4f9a")
		ev.SetTime(start)
		bodies[i] = w.seal(ev, envelope.SealOptions{Audience: "central"}).JSON()
	}
	w.policy.Audience = "central"
	return w, bodies
}

func succeed(context.Context, consumer.Delivery[[]byte]) error { return nil }

// The budget of allocations of one Handle with the store in memory. Open has 20 of them.
func TestHandleAllocations(t *testing.T) {
	const budget, runs = 30, 200
	w, bodies := costly(t, runs+1)
	c, next := w.consumer(), 0
	got := testing.AllocsPerRun(runs, func() {
		r, err := c.Handle(context.Background(), body(bodies[next]), succeed)
		w.check(r, err, consumer.Handled, "")
		next++
	})
	if got > budget {
		t.Errorf("%v allocations, the budget is %v", got, budget)
	}
}

// BenchmarkHandle handles events with the store in memory. It reports how many it handles in a second, and
// how many verifications one of them costs.
func BenchmarkHandle(b *testing.B) {
	const events = 1024
	w, bodies := costly(b, events)
	signer, message := w.signers["orders"], make([]byte, 700) // about what is signed of an event
	sig, err := signer.Sign(b.Context(), message)
	if err != nil {
		b.Fatal(err)
	}
	var c *consumer.Consumer
	var own, raw time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%events == 0 { // a store that knows none of them
			w.store.Store = replay.NewMemory(&replay.MemoryOptions{Now: w.clock.Now})
			c = w.consumer()
		}
		began := time.Now()
		if r, err := c.Handle(b.Context(), body(bodies[i%events]), succeed); err != nil ||
			r.Outcome != consumer.Handled {
			b.Fatal(r, err)
		}
		middle := time.Now()
		if !signer.Verifier().Verify(message, sig) {
			b.Fatal("the signature does not verify")
		}
		own, raw = own+middle.Sub(began), raw+time.Since(middle)
	}
	b.ReportMetric(float64(b.N)/own.Seconds(), "events/s")
	b.ReportMetric(float64(own)/float64(raw), "verifications")
}
