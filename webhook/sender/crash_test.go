package sender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/webhook/sender"
)

// The sender may die at each call of the store and at each request, and each answer may be lost. Every
// message that was accepted is delivered or dead in the end, nothing is recorded as delivered that was not
// answered 2xx, and each ID has one body.
func TestCrashes(t *testing.T) {
	for seed := range cases.Of(400) {
		synctest.Test(t, func(t *testing.T) { newCrashing(t, uint64(seed)).play() })
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// crashing is a history of processes over one store.
type crashing struct {
	t     *testing.T
	store sender.BackEnd

	mu       sync.Mutex
	random   *rand.Rand
	faults   bool
	bodies   map[string][]byte           // what was sent, by endpoint and ID
	answered map[sender.Key]bool         // 2xx was answered
	ended    map[sender.Key]sender.State // as the store was told, and said yes
	order    []string                    // IDs of the ordered endpoint as they ended
}

func newCrashing(t *testing.T, seed uint64) *crashing {
	return &crashing{t: t, store: sender.NewMemory(nil), random: rand.New(rand.NewPCG(seed, 1)), faults: true,
		bodies: map[string][]byte{}, answered: map[sender.Key]bool{}, ended: map[sender.Key]sender.State{}}
}

// chance is true once in n times while there are faults.
func (c *crashing) chance(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults && c.random.IntN(n) == 0
}

// process is one life of a sender. After its death its calls have no effect.
type process struct {
	*crashing
	died bool
}

var errDied = fmt.Errorf("%w: the process is dead", sender.ErrUnavailable)

// dies decides whether the process dies now.
func (p *process) dies(n int) bool {
	died := p.chance(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.died = p.died || died
	return p.died
}

// call does something with the store, which may fail, and its answer may be lost.
func (p *process) call(do func() error) error {
	if p.dies(60) || p.chance(25) {
		return errDied
	}
	err := do()
	if p.dies(60) || p.chance(25) {
		return errDied
	}
	return err
}

func (p *process) Put(ctx context.Context, d sender.Delivery) error {
	return p.call(func() error { return p.store.Put(ctx, d) })
}

func (p *process) Take(ctx context.Context, w sender.Want) (list []sender.Taken, err error) {
	err = p.call(func() (err error) { list, err = p.store.Take(ctx, w); return err })
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (p *process) Settle(ctx context.Context, t sender.Taken, s sender.Settlement) error {
	return p.call(func() error {
		err := p.store.Settle(ctx, t, s)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil || s.State == sender.Again || p.ended[t.Key] != "" {
			return err
		}
		if p.ended[t.Key] = s.State; s.State == sender.Delivered && !p.answered[t.Key] {
			p.t.Errorf("%v is recorded as delivered, and was not answered 2xx", t.Key)
		}
		if t.Endpoint == "ordered" {
			p.order = append(p.order, t.ID)
		}
		return nil
	})
}

// RoundTrip is a receiver that may fail, hang, or answer without being heard.
func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if p.dies(60) {
		return nil, errDied
	}
	host, _, _ := bytes.Cut([]byte(r.Host), []byte("."))
	key := sender.Key{Endpoint: string(host), ID: r.Header.Get("Webhook-Id")}
	p.mu.Lock()
	name := key.Endpoint + " " + key.ID
	if was, sent := p.bodies[name]; sent && !bytes.Equal(was, body) {
		p.t.Errorf("%s has two bodies", name)
	}
	p.bodies[name] = body
	p.mu.Unlock()
	switch {
	case p.chance(4):
		return status(500), nil
	case p.chance(20):
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	p.mu.Lock()
	p.answered[key] = true
	p.mu.Unlock()
	if p.dies(60) || p.chance(20) {
		return nil, errors.New("connection reset")
	}
	return status(200), nil
}

// start begins a new life.
func (c *crashing) start() (*process, *sender.Sender) {
	c.t.Helper()
	list := []sender.Endpoint{endpoint("a"), endpoint("b"), endpoint("ordered")}
	list[2].Ordered = true
	endpoints, err := sender.NewEndpoints(list...)
	if err != nil {
		c.t.Fatal(err)
	}
	p := &process{crashing: c}
	s, err := sender.New(p, endpoints, &sender.Options{UnsafeTransport: p, Logger: slog.New(slog.DiscardHandler),
		Schedule: []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute}, Concurrency: 8})
	if err != nil {
		c.t.Fatal(err)
	}
	return p, s
}

func (c *crashing) play() {
	ctx := c.t.Context()
	accepted := map[sender.Key]bool{}
	var ordered []string // as accepted
	p, s := c.start()
	for i := range 30 {
		for _, e := range []string{"a", "b", "ordered"} {
			m := sender.Message{ID: fmt.Sprint("m", i), Body: fmt.Appendf(nil, `{"n":%d,"to":%q}`, i, e)}
			for s.Send(ctx, e, m) != nil {
				if p.died {
					p, s = c.start()
				}
			}
			accepted[sender.Key{Endpoint: e, ID: m.ID}] = true
			if e == "ordered" {
				ordered = append(ordered, m.ID)
			}
		}
		_, _ = s.Once(ctx)
		time.Sleep(time.Duration(c.random.IntN(60)) * time.Second)
		if p.died {
			p, s = c.start()
		}
	}
	c.faults = false
	_, s = c.start()
	for range 300 {
		if _, err := s.Once(ctx); err != nil {
			c.t.Fatal(err)
		}
		time.Sleep(time.Minute)
	}
	c.check(accepted, ordered)
}

func (c *crashing) check(accepted map[sender.Key]bool, ordered []string) {
	dead, err := c.store.Dead(c.t.Context(), sender.Key{}, 1000)
	if err != nil {
		c.t.Fatal(err)
	}
	isDead := map[sender.Key]bool{}
	for _, d := range dead {
		isDead[d.Key] = true
		if d.Attempts < 4 {
			c.t.Errorf("%v died after %d attempts", d.Key, d.Attempts)
		}
	}
	for k := range accepted {
		if state := c.ended[k]; state == "" || (state == sender.Dead) != isDead[k] {
			c.t.Errorf("%v was accepted, and is %q; in the dead list: %t", k, state, isDead[k])
		}
	}
	if !slices.Equal(c.order, ordered) {
		c.t.Errorf("the ordered ones ended as %v", c.order)
	}
}
