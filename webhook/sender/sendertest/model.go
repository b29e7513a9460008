package sendertest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sealbus/sealbus/webhook/sender"
)

const modelSteps, modelIDs = 600, 150

// model holds random operations against a list that is searched from its beginning each time.
func model(e *env) {
	m := &list{env: e, random: rand.New(rand.NewPCG(1, 2)), off: map[string]bool{}}
	for step := range modelSteps {
		e.clock.Advance(time.Duration(1+m.random.IntN(20)) * time.Second)
		switch m.random.IntN(12) {
		case 0, 1, 2, 3:
			m.put()
		case 4, 5, 6:
			m.take()
		case 7, 8:
			m.settle()
		case 9:
			m.raise()
		case 10:
			m.disable()
		case 11:
			m.list()
		}
		if e.Failed() {
			e.Fatalf("at step %d", step)
		}
	}
	if m.delivered < 10 || m.lost < 5 || m.died < 10 || m.raised < 5 {
		e.Errorf("%d were delivered, %d leases were lost, %d died, %d were sent again: too few", m.delivered,
			m.lost, m.died, m.raised)
	}
}

// list is what a store should have.
type list struct {
	*env
	random                        *rand.Rand
	all                           []*item
	held                          []sender.Taken // perhaps no longer
	off                           map[string]bool
	serial                        int
	delivered, lost, died, raised int
}

type item struct {
	d      sender.Delivery
	state  sender.State // Again = pending
	due    time.Time
	serial int
	token  [16]byte
	leased bool
	cause  sender.Cause
	at     time.Time // of its death, or of its end as delivered
}

func (m *list) find(k sender.Key) *item {
	for _, i := range m.all {
		if i.d.Key == k {
			return i
		}
	}
	return nil
}

// check compares an error.
func (m *list) check(what string, got, want error) {
	m.Helper()
	if !errors.Is(got, want) {
		m.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (m *list) put() {
	d := delivery(fmt.Sprint("e", m.random.IntN(3)), fmt.Sprint(m.random.IntN(modelIDs)))
	if d.Ordered = d.Endpoint == "e0"; m.random.IntN(8) == 0 {
		d.Digest[0] ^= 1
	}
	now := m.clock.Now()
	m.all = slices.DeleteFunc(m.all, func(i *item) bool {
		return i.state == sender.Delivered && !now.Before(i.at.Add(m.contract.Remember))
	})
	var want error
	if i := m.find(d.Key); i == nil {
		m.serial++
		m.all = append(m.all, &item{d: d, state: sender.Again, due: now, serial: m.serial})
	} else if i.d.Digest != d.Digest {
		want = sender.ErrIDReused
	}
	m.check("Put", m.Put(m.Context(), d), want)
}

// take takes all that is due for some of the endpoints.
func (m *list) take() {
	w := sender.Want{Most: 1000, Room: map[string]int{}, Lease: lease}
	want := map[string][]string{}
	now := m.clock.Now()
	for n := range 3 {
		endpoint := fmt.Sprint("e", n)
		if w.Room[endpoint] = 1000 * m.random.IntN(2); w.Room[endpoint] > 0 {
			want[endpoint] = m.due(endpoint, now)
		}
	}
	got, err := m.Take(m.Context(), w)
	m.check("Take", err, nil)
	ids := map[string][]string{}
	for _, t := range got {
		ids[t.Endpoint] = append(ids[t.Endpoint], t.ID)
		i := m.find(t.Key)
		if i == nil || t.Attempts != i.d.Attempts || !bytes.Equal(t.Body, i.d.Body) || t.Ordered != i.d.Ordered ||
			t.Disabled != m.off[t.Endpoint] {
			m.Fatalf("%v was taken as %+v", t.Key, t)
		}
		i.leased, i.token, i.due = true, t.Token, now.Add(lease)
	}
	maps.DeleteFunc(want, func(_ string, ids []string) bool { return len(ids) == 0 })
	if !maps.EqualFunc(ids, want, slices.Equal) {
		m.Errorf("took %v, want %v", ids, want)
	}
	m.held = append(m.held, got...)
}

// due are the IDs of an endpoint that are due, in their order.
func (m *list) due(endpoint string, now time.Time) (ids []string) {
	var pending []*item
	for _, i := range m.all {
		if i.d.Endpoint == endpoint && i.state == sender.Again {
			pending = append(pending, i)
		}
	}
	slices.SortFunc(pending, func(a, b *item) int {
		if a.d.Ordered {
			return cmp.Compare(a.serial, b.serial)
		}
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.serial, b.serial))
	})
	for n, i := range pending {
		if !i.due.After(now) && (n == 0 || !i.d.Ordered) {
			ids = append(ids, i.d.ID)
		}
	}
	return ids
}

// settle settles one that was taken, perhaps long ago, perhaps twice.
func (m *list) settle() {
	if len(m.held) == 0 {
		return
	}
	n := m.random.IntN(len(m.held))
	if m.random.IntN(2) == 0 { // one of the last
		n = max(n, len(m.held)-4)
	}
	t, s := m.held[n], delivered
	switch m.random.IntN(3) {
	case 0:
		s = later(time.Duration(1+m.random.IntN(300)) * time.Second)
		s.Attempts = t.Attempts + 1
	case 1:
		s = dead
	}
	if m.random.IntN(4) > 0 {
		m.held = slices.Delete(m.held, n, n+1)
	}
	i, want := m.find(t.Key), error(nil)
	switch {
	case i == nil: // it is forgotten, or about to be
		return
	case i.token != t.Token:
		want = sender.ErrLeaseLost
		m.lost++
	case i.leased:
		now := m.clock.Now()
		i.leased, i.state, i.cause, i.at, i.d.Attempts = false, s.State, s.Cause, now, s.Attempts
		switch s.State {
		case sender.Again:
			i.due = now.Add(s.After)
		case sender.Dead:
			m.died++
		case sender.Delivered:
			m.delivered++
		}
	}
	m.check("Settle", m.Settle(m.Context(), t, s), want)
}

// raise sends a dead one again, or discards it, or tries to.
func (m *list) raise() {
	k := sender.Key{Endpoint: fmt.Sprint("e", m.random.IntN(3)), ID: fmt.Sprint(m.random.IntN(modelIDs))}
	if m.random.IntN(3) > 0 { // one that is there
		for _, i := range m.all {
			if i.state == sender.Dead {
				k = i.d.Key
			}
		}
	}
	i, want := m.find(k), error(nil)
	if i == nil || i.state != sender.Dead {
		want = sender.ErrNotDead
	}
	if m.random.IntN(3) == 0 {
		if want == nil {
			i.state, i.at = sender.Delivered, m.clock.Now()
		}
		m.check("Discard", m.Discard(m.Context(), k), want)
		return
	}
	if want == nil {
		m.serial++
		m.raised++
		i.state, i.due, i.serial, i.d.Attempts = sender.Again, m.clock.Now(), m.serial, 0
	}
	m.check("Resend", m.Resend(m.Context(), k), want)
}

func (m *list) disable() {
	endpoint := fmt.Sprint("e", m.random.IntN(3))
	m.off[endpoint] = m.random.IntN(2) == 0
	m.check("Disable", m.Disable(m.Context(), endpoint, m.off[endpoint]), nil)
}

// list compares the dead list.
func (m *list) list() {
	var want []string
	for _, i := range m.all {
		if i.state == sender.Dead {
			want = append(want, dump(i.d, i.cause, i.at))
		}
	}
	slices.Sort(want)
	list, err := m.Dead(m.Context(), sender.Key{}, 1000)
	m.check("Dead", err, nil)
	var got []string
	for _, d := range list {
		got = append(got, dump(d.Delivery, d.Cause, d.At))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		m.Errorf("dead: %q, want %q", got, want)
	}
}

func dump(d sender.Delivery, cause sender.Cause, at time.Time) string {
	return fmt.Sprintf("%s %s %d %s %d", d.Endpoint, d.ID, d.Attempts, cause, at.Unix())
}
