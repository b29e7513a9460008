package sendertest

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
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

// Crashes plays histories of a sender over the store. Its processes die at calls of the store and at
// requests, are frozen for longer than their leases, and lose answers; receivers fail. In the end every
// message that was accepted is delivered or dead, nothing is recorded as delivered that was not answered 2xx,
// each ID had one body, and the ordered ones ended in their order. Each history is played one step after the
// other, so a seed gives the same one each time.
func (c Contract) Crashes(t *testing.T, seeds int,
	open func(t *testing.T, clock *replaytest.Clock) sender.BackEnd) {
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			clock := replaytest.NewClock(time.Now().Truncate(time.Second))
			h := &history{T: t, store: open(t, clock), clock: clock, faults: true,
				random: rand.New(rand.NewPCG(uint64(seed), 1)), bodies: map[sender.Key][]byte{},
				answered: map[sender.Key]bool{}, ended: map[sender.Key]sender.State{}}
			h.play()
		})
	}
}

// history is one of several processes over one store.
type history struct {
	*testing.T
	store    sender.BackEnd
	clock    *replaytest.Clock
	random   *rand.Rand
	faults   bool
	asleep   bool                        // a process is frozen, and another one runs
	bodies   map[sender.Key][]byte       // of the requests
	answered map[sender.Key]bool         // with 2xx
	ended    map[sender.Key]sender.State // as the store was told, and said yes
	order    []string                    // IDs of the ordered endpoint as they ended
	deaths   int
}

const orderedEndpoint = "ordered"

// chance is true once in n times while there are faults.
func (h *history) chance(n int) bool { return h.faults && h.random.IntN(n) == 0 }

// process is one life of a sender. After its death its calls have no effect.
type process struct {
	*history
	died bool
}

var errDied = fmt.Errorf("%w: the process is dead, or the answer is lost", sender.ErrUnavailable)

// dies decides whether the process dies now.
func (p *process) dies() bool {
	if !p.died && p.chance(60) {
		p.died = true
		p.deaths++
	}
	return p.died
}

// call does something with the store, which may fail, and its answer may be lost.
func (p *process) call(do func() error) error {
	if p.dies() || p.chance(25) {
		return errDied
	}
	err := do()
	if p.dies() || p.chance(25) {
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
		if err != nil || s.State == sender.Again || p.ended[t.Key] != "" {
			return err
		}
		if p.ended[t.Key] = s.State; s.State == sender.Delivered && !p.answered[t.Key] {
			p.Errorf("%v is recorded as delivered, and was not answered 2xx", t.Key)
		}
		if t.Endpoint == orderedEndpoint {
			p.order = append(p.order, t.ID)
		}
		return nil
	})
}

// RoundTrip is a receiver that may fail, or answer without being heard, while the process may be frozen.
func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || p.dies() {
		return nil, errDied
	}
	endpoint, _, _ := strings.Cut(r.Host, ".")
	key := sender.Key{Endpoint: endpoint, ID: r.Header.Get("Webhook-Id")}
	if was, sent := p.bodies[key]; sent && !bytes.Equal(was, body) {
		p.Errorf("%v has two bodies", key)
	}
	p.bodies[key] = body
	answer := http.StatusOK
	switch {
	case p.chance(4):
		answer = http.StatusInternalServerError
	case p.chance(20):
		return nil, context.DeadlineExceeded
	default:
		p.answered[key] = true
	}
	if !p.asleep && p.chance(15) {
		p.asleep = true
		p.clock.Advance(2 * lease)
		_, other := p.start()
		_, _ = other.Once(p.Context())
		p.asleep = false
	}
	if p.dies() || p.chance(20) {
		return nil, errors.New("connection reset")
	}
	return &http.Response{StatusCode: answer, Header: http.Header{}, Body: http.NoBody}, nil
}

// start begins a new life.
func (h *history) start() (*process, *sender.Sender) {
	h.Helper()
	signing, err := sender.StandardWebhooks([]webhook.Secret{{Text: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}})
	if err != nil {
		h.Fatal(err)
	}
	var list []sender.Endpoint
	for _, id := range []string{"a", "b", orderedEndpoint} {
		list = append(list, sender.Endpoint{ID: id, URL: "https://" + id + ".example/", Signing: signing,
			Ordered: id == orderedEndpoint})
	}
	endpoints, err := sender.NewEndpoints(list...)
	if err != nil {
		h.Fatal(err)
	}
	p := &process{history: h}
	s, err := sender.New(p, endpoints, &sender.Options{UnsafeTransport: p, Now: h.clock.Now, Concurrency: 1,
		Logger: slog.New(slog.DiscardHandler), Schedule: []time.Duration{5 * time.Second, time.Minute,
			5 * time.Minute}})
	if err != nil {
		h.Fatal(err)
	}
	return p, s
}

func (h *history) play() {
	var accepted []sender.Key
	p, s := h.start()
	for i := range 20 {
		for _, e := range []string{"a", "b", orderedEndpoint} {
			m := sender.Message{ID: fmt.Sprint("m", i), Body: fmt.Appendf(nil, `{"n":%d,"to":%q}`, i, e)}
			for s.Send(h.Context(), e, m) != nil {
				if p.died {
					p, s = h.start()
				}
			}
			accepted = append(accepted, sender.Key{Endpoint: e, ID: m.ID})
		}
		_, _ = s.Once(h.Context())
		h.clock.Advance(time.Duration(h.random.IntN(60)) * time.Second)
		if p.died {
			p, s = h.start()
		}
	}
	h.faults = false
	_, s = h.start()
	for left := 20; left > 0; left-- { // until nothing happens for longer than each wait
		n, err := s.Once(h.Context())
		if err != nil {
			h.Fatal(err)
		}
		if n > 0 {
			left = 20
		}
		h.clock.Advance(time.Minute)
	}
	h.check(accepted)
}

func (h *history) check(accepted []sender.Key) {
	list, err := h.store.Dead(h.Context(), sender.Key{}, 1000)
	if err != nil {
		h.Fatal(err)
	}
	isDead := map[sender.Key]bool{}
	for _, d := range list {
		isDead[d.Key] = true
		if d.Attempts != 4 {
			h.Errorf("%v died after %d attempts", d.Key, d.Attempts)
		}
	}
	var order []string
	for _, k := range accepted {
		if state := h.ended[k]; state == "" || (state == sender.Dead) != isDead[k] {
			h.Errorf("%v was accepted, and is %q; in the dead list: %t", k, state, isDead[k])
		}
		if k.Endpoint == orderedEndpoint {
			order = append(order, k.ID)
		}
	}
	if !slices.Equal(h.order, order) {
		h.Errorf("the ordered ones ended as %v", h.order)
	}
	if h.deaths == 0 {
		h.Error("no process died: the history shows nothing")
	}
}
