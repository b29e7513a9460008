// Package sendertest is the contract of sender.Store, DeadLetters and Switch as tests. Every implementation
// runs it:
//
//	func TestStore(t *testing.T) {
//		sendertest.Contract{}.Run(t, func(t *testing.T, clock *replaytest.Clock) sender.BackEnd {
//			return sender.NewMemory(&sender.MemoryOptions{Now: clock.Now})
//		})
//	}
//
// Times are whole seconds and differ by seconds, so that a store may be as coarse as milliseconds.
package sendertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/sender"
)

const lease = 2 * time.Minute

// Contract says what a store must satisfy.
type Contract struct {
	// Remember is how long the store remembers what was delivered; 0 = sender.DefaultRemember.
	Remember time.Duration
}

// Run runs the contract. Open makes an empty store, which takes its time from the clock, and closes its
// resources in t.Cleanup.
func (c Contract) Run(t *testing.T, open func(t *testing.T, clock *replaytest.Clock) sender.BackEnd) {
	if c.Remember == 0 {
		c.Remember = sender.DefaultRemember
	}
	for _, part := range []struct {
		name string
		test func(*env)
	}{
		{"lifecycle", lifecycle},
		{"the first content counts", firstContentCounts},
		{"delivered IDs are remembered", remembered},
		{"a lease", aLease},
		{"a stale token", staleToken},
		{"a token that was never given", foreignToken},
		{"settled twice", settledTwice},
		{"again", again},
		{"room", room},
		{"fair", fair},
		{"due first, sent first", dueFirst},
		{"ordered", ordered},
		{"ordered, crash of the first", orderedCrash},
		{"ordered beside unordered", orderedBesideUnordered},
		{"dead list", deadList},
		{"dead list in pages", deadPages},
		{"send again", resend},
		{"discard", discard},
		{"disabled", disabled},
		{"disabled by a settlement", disabledBySettlement},
		{"binary bodies", binaryBodies},
		{"arguments", arguments},
		{"cancelled context", cancelled},
		{"many workers", manyWorkers},
		{"model", model},
	} {
		t.Run(part.name, func(t *testing.T) {
			clock := replaytest.NewClock(time.Now().Truncate(time.Second))
			part.test(&env{T: t, BackEnd: open(t, clock), contract: c, clock: clock})
		})
	}
}

// env is one store.
type env struct {
	*testing.T
	sender.BackEnd
	contract Contract
	clock    *replaytest.Clock
}

func delivery(endpoint, id string) sender.Delivery {
	body := []byte(`{"endpoint":"` + endpoint + `","id":"` + id + `"}`)
	return sender.Delivery{Key: sender.Key{Endpoint: endpoint, ID: id}, ContentType: "application/json",
		Body: body, Digest: sha256.Sum256(body)}
}

func (e *env) put(list ...sender.Delivery) {
	e.Helper()
	for _, d := range list {
		if err := e.Put(e.Context(), d); err != nil {
			e.Fatalf("Put: %v", err)
		}
	}
}

// take takes and wants these, in this order: "endpoint id".
func (e *env) take(w sender.Want, want ...string) []sender.Taken {
	e.Helper()
	if w.Lease == 0 {
		w.Lease = lease
	}
	list, err := e.Take(e.Context(), w)
	if err != nil {
		e.Fatalf("Take: %v", err)
	}
	var got []string
	for _, t := range list {
		got = append(got, t.Endpoint+" "+t.ID)
	}
	if !slices.Equal(got, want) {
		e.Fatalf("took %q, want %q", got, want)
	}
	return list
}

func (e *env) settle(t sender.Taken, s sender.Settlement, want error) {
	e.Helper()
	if err := e.Settle(e.Context(), t, s); !errors.Is(err, want) {
		e.Fatalf("Settle of %s: %v, want %v", t.ID, err, want)
	}
}

var (
	one       = sender.Want{Most: 1}
	ten       = sender.Want{Most: 10}
	delivered = sender.Settlement{State: sender.Delivered}
	dead      = sender.Settlement{State: sender.Dead, Attempts: 3, Cause: sender.CauseStatus}
)

func later(d time.Duration) sender.Settlement {
	return sender.Settlement{State: sender.Again, After: d, Attempts: 1, Cause: sender.CauseTimeout}
}

func roomFor(endpoint string, n int) sender.Want {
	return sender.Want{Most: 10, Room: map[string]int{endpoint: n}}
}

func lifecycle(e *env) {
	e.take(ten)
	d := delivery("a", "1")
	e.put(d)
	got := e.take(ten, "a 1")[0]
	if got.ContentType != d.ContentType || !bytes.Equal(got.Body, d.Body) || got.Ordered || got.Attempts != 0 ||
		got.Disabled || got.Token == [16]byte{} {
		e.Errorf("taken as %+v, put as %+v", got, d)
	}
	e.settle(got, delivered, nil)
	e.clock.Advance(lease * 10)
	e.take(ten)
}

func firstContentCounts(e *env) {
	first, other := delivery("a", "1"), delivery("a", "1")
	other.Body, other.Digest = []byte("other"), sha256.Sum256([]byte("other"))
	rewritten := first
	rewritten.Body = []byte("the same content in another text")
	check := func(when string) {
		e.Helper()
		if err := e.Put(e.Context(), other); !errors.Is(err, sender.ErrIDReused) {
			e.Errorf("%s: another content is %v, want ErrIDReused", when, err)
		}
		e.put(first, rewritten)
	}
	e.put(first)
	check("pending")
	got := e.take(ten, "a 1")[0]
	if !bytes.Equal(got.Body, first.Body) {
		e.Errorf("the body is %q, want the first one", got.Body)
	}
	check("taken")
	e.take(ten)
	e.settle(got, dead, nil)
	check("dead")
	e.take(ten)
	if err := e.Resend(e.Context(), first.Key); err != nil {
		e.Fatal(err)
	}
	e.settle(e.take(ten, "a 1")[0], delivered, nil)
	check("delivered")
	e.take(ten)
	e.put(delivery("b", "1"))
	e.take(ten, "b 1")
}

func remembered(e *env) {
	e.put(delivery("a", "1"), delivery("b", "1"))
	e.settle(e.take(one, "a 1")[0], delivered, nil)
	e.clock.Advance(e.contract.Remember - time.Second)
	e.put(delivery("a", "1"))
	e.settle(e.take(ten, "b 1")[0], dead, nil)
	e.clock.Advance(time.Second)
	e.put(delivery("a", "1"), delivery("b", "1")) // a delivered one is forgotten, a dead one never
	e.take(ten, "a 1")
}

func aLease(e *env) {
	e.put(delivery("a", "1"))
	first := e.take(ten, "a 1")[0]
	e.clock.Advance(lease - time.Second)
	e.take(ten)
	e.clock.Advance(time.Second)
	second := e.take(ten, "a 1")[0]
	if first.Token == second.Token {
		e.Error("the same token twice")
	}
	if !bytes.Equal(first.Body, second.Body) || second.Attempts != 0 {
		e.Errorf("taken again as %+v", second)
	}
	e.clock.Advance(lease * 2)
	e.settle(second, delivered, nil) // the lease is over, and no other worker took it
	e.take(ten)
}

func staleToken(e *env) {
	e.put(delivery("a", "1"))
	stale := e.take(ten, "a 1")[0]
	e.clock.Advance(lease)
	fresh := e.take(ten, "a 1")[0]
	for _, s := range []sender.Settlement{delivered, dead, later(time.Second)} {
		e.settle(stale, s, sender.ErrLeaseLost)
	}
	e.take(ten)
	e.settle(fresh, later(time.Second), nil)
	e.settle(stale, delivered, sender.ErrLeaseLost)
	e.clock.Advance(time.Second)
	e.settle(e.take(ten, "a 1")[0], delivered, nil)
	e.settle(stale, dead, sender.ErrLeaseLost)
	e.settle(fresh, dead, sender.ErrLeaseLost)
}

func foreignToken(e *env) {
	e.put(delivery("a", "1"))
	for _, token := range [][16]byte{{}, {1}} {
		e.settle(sender.Taken{Delivery: delivery("a", "1"), Token: token}, delivered, sender.ErrLeaseLost)
		e.settle(sender.Taken{Delivery: delivery("a", "2"), Token: token}, delivered, sender.ErrLeaseLost)
	}
	e.take(ten, "a 1")
}

func settledTwice(e *env) {
	e.put(delivery("a", "1"))
	t := e.take(ten, "a 1")[0]
	e.settle(t, later(time.Minute), nil)
	e.settle(t, delivered, nil) // the same call with a lost answer would say the same as before
	e.clock.Advance(time.Minute - time.Second)
	e.take(ten)
	e.clock.Advance(time.Second)
	t = e.take(ten, "a 1")[0]
	e.settle(t, delivered, nil)
	e.settle(t, delivered, nil)
	e.settle(t, dead, nil)
	if list, err := e.Dead(e.Context(), sender.Key{}, 10); len(list) != 0 || err != nil {
		e.Errorf("the dead list has %v, %v", list, err)
	}
}

func again(e *env) {
	d := delivery("a", "1")
	e.put(d)
	for n := range 4 {
		t := e.take(ten, "a 1")[0]
		if t.Attempts != n || !bytes.Equal(t.Body, d.Body) {
			e.Errorf("after %d attempts it is %d, %q", n, t.Attempts, t.Body)
		}
		s := later(time.Hour)
		s.Attempts = n + 1
		e.settle(t, s, nil)
		e.clock.Advance(time.Hour - time.Second)
		e.take(ten)
		e.clock.Advance(time.Second)
	}
}

func room(e *env) {
	for i := range 6 {
		e.put(delivery("a", fmt.Sprint(i)))
	}
	e.put(delivery("b", "0"), delivery("b", "1"))
	e.take(roomFor("a", 0), "b 0")
	e.take(roomFor("a", -1), "b 1")
	e.take(roomFor("a", 2), "a 0", "a 1")
	e.take(one, "a 2")
	e.take(sender.Want{Most: 2, Room: map[string]int{"a": 10}}, "a 3", "a 4")
	e.take(roomFor("a", 10), "a 5")
}

// fair: an endpoint with many deliveries that wait for long does not hold up one with a new delivery.
func fair(e *env) {
	names := []string{"a", "b", "c", "d"}
	for i := range 5 {
		for _, name := range names[:3] {
			e.put(delivery(name, fmt.Sprint(i)))
		}
	}
	e.clock.Advance(time.Second)
	for round := range 5 {
		served := map[string]int{}
		if round == 2 {
			e.put(delivery("d", "0"))
		}
		for range 4 {
			list, err := e.Take(e.Context(), sender.Want{Most: 1, Lease: time.Hour})
			if err != nil {
				e.Fatal(err)
			}
			for _, t := range list {
				served[t.Endpoint]++
			}
			e.clock.Advance(time.Second)
		}
		for _, name := range names[:3] {
			if n := served[name]; n == 0 && round < 4 || n > 2 {
				e.Errorf("round %d: %s was served %d times of 4", round, name, n)
			}
		}
		if round == 2 && served["d"] != 1 {
			e.Errorf("the endpoint with a new delivery was not served: %v", served)
		}
	}
}

func dueFirst(e *env) {
	e.put(delivery("a", "z"), delivery("a", "y"), delivery("a", "x"))
	list := e.take(roomFor("a", 3), "a z", "a y", "a x") // as they were put
	e.settle(list[0], later(3*time.Second), nil)
	e.settle(list[1], later(time.Second), nil)
	e.settle(list[2], later(2*time.Second), nil)
	e.clock.Advance(3 * time.Second)
	e.take(roomFor("a", 3), "a y", "a x", "a z") // as they are due
}

func inOrder(id string) sender.Delivery {
	d := delivery("o", id)
	d.Ordered = true
	return d
}

func ordered(e *env) {
	e.put(inOrder("z"), inOrder("y"), inOrder("x"))
	first := e.take(roomFor("o", 3), "o z")[0]
	if !first.Ordered {
		e.Error("it is not ordered any more")
	}
	e.take(roomFor("o", 3))
	e.settle(first, later(time.Hour), nil)
	e.clock.Advance(time.Hour - time.Second)
	e.take(roomFor("o", 3))
	e.clock.Advance(time.Second)
	e.settle(e.take(roomFor("o", 3), "o z")[0], dead, nil)
	e.settle(e.take(roomFor("o", 3), "o y")[0], delivered, nil)
	if err := e.Resend(e.Context(), first.Key); err != nil {
		e.Fatal(err)
	}
	e.settle(e.take(roomFor("o", 3), "o x")[0], delivered, nil)
	e.take(roomFor("o", 3), "o z") // it was sent again, so it is the last one
}

func orderedCrash(e *env) {
	e.put(inOrder("1"), inOrder("2"))
	e.take(ten, "o 1")
	e.clock.Advance(lease - time.Second)
	e.take(ten)
	e.clock.Advance(time.Second)
	e.settle(e.take(ten, "o 1")[0], delivered, nil)
	e.take(ten, "o 2")
}

func orderedBesideUnordered(e *env) {
	unordered := delivery("o", "u")
	e.put(inOrder("1"), inOrder("2"), unordered)
	list := e.take(roomFor("o", 10), "o 1", "o u")
	e.settle(list[0], delivered, nil)
	e.take(roomFor("o", 10), "o 2")
	e.put(inOrder("3"), delivery("o", "v"))
	e.take(roomFor("o", 1), "o v")
}

// kill puts deliveries and settles them as dead.
func (e *env) kill(list ...sender.Delivery) {
	e.Helper()
	e.put(list...)
	for range list {
		got, err := e.Take(e.Context(), sender.Want{Most: 1, Lease: lease})
		if err != nil || len(got) != 1 {
			e.Fatalf("took %v, %v", got, err)
		}
		e.settle(got[0], dead, nil)
	}
}

// dead lists.
func (e *env) dead(after sender.Key, n int, want ...string) []sender.DeadDelivery {
	e.Helper()
	list, err := e.Dead(e.Context(), after, n)
	var got []string
	for _, d := range list {
		got = append(got, d.Endpoint+" "+d.ID)
	}
	if err != nil || !slices.Equal(got, want) {
		e.Fatalf("dead after %v: %q, %v, want %q", after, got, err, want)
	}
	return list
}

func deadList(e *env) {
	e.dead(sender.Key{}, 10)
	d := inOrder("1")
	e.kill(d)
	at := e.clock.Now()
	e.clock.Advance(lease * 3)
	e.take(ten)
	got := e.dead(sender.Key{}, 10, "o 1")[0]
	if got.Cause != dead.Cause || got.Attempts != dead.Attempts || !got.At.Equal(at) || !got.Ordered ||
		!bytes.Equal(got.Body, d.Body) || got.ContentType != d.ContentType {
		e.Errorf("dead as %+v", got)
	}
}

func deadPages(e *env) {
	e.kill(delivery("b", "2"), delivery("a", "1"), delivery("ab", "1"), delivery("a!", "1"), delivery("b", "1"),
		delivery("a", "2"))
	all := []string{"a 1", "a 2", "a! 1", "ab 1", "b 1", "b 2"}
	e.dead(sender.Key{}, 10, all...)
	e.dead(sender.Key{}, 2, all[:2]...)
	e.dead(sender.Key{Endpoint: "a", ID: "2"}, 2, all[2:4]...)
	e.dead(sender.Key{Endpoint: "a", ID: "11"}, 1, all[1])
	e.dead(sender.Key{Endpoint: "b"}, 10, all[4:]...)
	e.dead(sender.Key{Endpoint: "b", ID: "2"}, 10)
	e.dead(sender.Key{}, 0)
}

func resend(e *env) {
	d := delivery("a", "1")
	if err := e.Resend(e.Context(), d.Key); !errors.Is(err, sender.ErrNotDead) {
		e.Errorf("Resend of nothing: %v", err)
	}
	e.put(d)
	if err := e.Resend(e.Context(), d.Key); !errors.Is(err, sender.ErrNotDead) {
		e.Errorf("Resend of a pending one: %v", err)
	}
	e.settle(e.take(ten, "a 1")[0], dead, nil)
	if err := e.Resend(e.Context(), d.Key); err != nil {
		e.Fatal(err)
	}
	e.dead(sender.Key{}, 10)
	got := e.take(ten, "a 1")[0]
	if got.Attempts != 0 || !bytes.Equal(got.Body, d.Body) {
		e.Errorf("sent again as %+v", got)
	}
	e.settle(got, delivered, nil)
	if err := e.Resend(e.Context(), d.Key); !errors.Is(err, sender.ErrNotDead) {
		e.Errorf("Resend of a delivered one: %v", err)
	}
}

func discard(e *env) {
	d := delivery("a", "1")
	if err := e.Discard(e.Context(), d.Key); !errors.Is(err, sender.ErrNotDead) {
		e.Errorf("Discard of nothing: %v", err)
	}
	e.kill(d)
	if err := e.Discard(e.Context(), d.Key); err != nil {
		e.Fatal(err)
	}
	e.dead(sender.Key{}, 10)
	e.put(d)
	e.take(ten)
}

func disabled(e *env) {
	e.put(delivery("a", "1"), delivery("b", "1"))
	set := func(off bool) {
		e.Helper()
		if err := e.Disable(e.Context(), "a", off); err != nil {
			e.Fatal(err)
		}
	}
	set(true)
	e.put(delivery("a", "2"))
	list := e.take(roomFor("a", 2), "a 1", "a 2", "b 1")
	if !list[0].Disabled || !list[1].Disabled || list[2].Disabled {
		e.Errorf("disabled: %v %v %v", list[0].Disabled, list[1].Disabled, list[2].Disabled)
	}
	set(false)
	set(false)
	e.settle(list[0], later(time.Second), nil)
	e.clock.Advance(time.Second)
	if e.take(ten, "a 1")[0].Disabled {
		e.Error("it is still disabled")
	}
}

func disabledBySettlement(e *env) {
	e.put(delivery("a", "1"), delivery("a", "2"), delivery("b", "1"))
	s := dead
	s.Disable, s.Cause = true, sender.CauseGone
	e.settle(e.take(one, "a 1")[0], s, nil)
	e.dead(sender.Key{}, 10, "a 1")
	list := e.take(ten, "b 1", "a 2")
	if list[0].Disabled || !list[1].Disabled {
		e.Errorf("disabled: %v %v", list[0].Disabled, list[1].Disabled)
	}
}

func binaryBodies(e *env) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, body := range [][]byte{nil, all, {0}, []byte("\xff\xfe"), bytes.Repeat([]byte("x"), sender.MaxBody)} {
		d := delivery("a", fmt.Sprint(i))
		d.Body, d.ContentType = body, `text/plain; charset="x y"`
		e.put(d)
		got := e.take(ten, "a "+d.ID)[0]
		if !bytes.Equal(got.Body, body) || got.ContentType != d.ContentType {
			e.Errorf("%d: %d bytes came back as %d, %q", i, len(body), len(got.Body), got.ContentType)
		}
		e.settle(got, delivered, nil)
	}
}

func arguments(e *env) {
	for _, change := range []func(*sender.Delivery){
		func(d *sender.Delivery) { d.Endpoint = "" },
		func(d *sender.Delivery) { d.Endpoint = "a b" },
		func(d *sender.Delivery) { d.Endpoint = strings.Repeat("a", sender.MaxEndpoint+1) },
		func(d *sender.Delivery) { d.Endpoint = "a\x00" },
		func(d *sender.Delivery) { d.ID = "" },
		func(d *sender.Delivery) { d.ID = "a.b" },
		func(d *sender.Delivery) { d.ID = "a,b" },
		func(d *sender.Delivery) { d.ID = "ä" },
		func(d *sender.Delivery) { d.ID = strings.Repeat("a", sender.MaxID+1) },
		func(d *sender.Delivery) { d.ContentType = "a\r\nb" },
	} {
		d := delivery("a", "1")
		change(&d)
		if err := e.Put(e.Context(), d); err == nil || errors.Is(err, sender.ErrUnavailable) {
			e.Errorf("Put of %q %q: %v, want a permanent error", d.Endpoint, d.ID, err)
		}
	}
	for _, w := range []sender.Want{
		{}, {Most: 1}, {Lease: lease}, {Most: -1, Lease: lease}, {Most: 1, Lease: -1},
	} {
		if _, err := e.Take(e.Context(), w); err == nil || errors.Is(err, sender.ErrUnavailable) {
			e.Errorf("Take of %+v: %v, want a permanent error", w, err)
		}
	}
	longest := delivery(strings.Repeat("e", sender.MaxEndpoint), strings.Repeat("~", sender.MaxID))
	e.put(longest)
	t := e.take(ten, longest.Endpoint+" "+longest.ID)[0]
	for _, s := range []sender.Settlement{{}, {State: "other"}, {State: sender.Dead}, {State: sender.Again},
		{State: sender.Delivered, Cause: sender.CauseStatus}, {State: sender.Dead, Cause: "a b"},
		{State: sender.Again, Cause: sender.CauseStatus, After: -1},
		{State: sender.Dead, Cause: sender.CauseStatus, Attempts: -1}} {
		err := e.Settle(e.Context(), t, s)
		if err == nil || errors.Is(err, sender.ErrUnavailable) || errors.Is(err, sender.ErrLeaseLost) {
			e.Errorf("Settle as %+v: %v, want a permanent error", s, err)
		}
	}
	e.settle(t, dead, nil)
	e.dead(sender.Key{}, 10, longest.Endpoint+" "+longest.ID)
}

func cancelled(e *env) {
	e.put(delivery("a", "1"))
	t := e.take(ten, "a 1")[0]
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	_, taking := e.Take(ctx, sender.Want{Most: 1, Lease: lease})
	for _, err := range []error{e.Put(ctx, delivery("a", "2")), taking, e.Settle(ctx, t, delivered)} {
		if !errors.Is(err, sender.ErrUnavailable) {
			e.Errorf("with a cancelled context: %v, want ErrUnavailable", err)
		}
	}
	e.clock.Advance(lease)
	e.take(roomFor("a", 2), "a 1")
}

func manyWorkers(e *env) {
	const n = 60
	for i := range n {
		e.put(delivery(fmt.Sprint("e", i%7), fmt.Sprint(i)))
	}
	var mu sync.Mutex
	seen := map[sender.Key]int{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				list, err := e.Take(e.Context(), sender.Want{Most: 5, Lease: lease})
				if err != nil {
					e.Errorf("Take: %v", err)
				}
				if len(list) == 0 || err != nil {
					return
				}
				for _, t := range list {
					if err := e.Settle(e.Context(), t, delivered); err != nil {
						e.Errorf("Settle: %v", err)
					}
					mu.Lock()
					seen[t.Key]++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	for k, times := range seen {
		if times != 1 {
			e.Errorf("%v was given %d times", k, times)
		}
	}
	if len(seen) != n {
		e.Errorf("%d of %d were given", len(seen), n)
	}
}
