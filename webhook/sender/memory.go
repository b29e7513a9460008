package sender

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// DefaultRemember is how long a store remembers what was delivered, so that it is not sent again.
const DefaultRemember = 72 * time.Hour

// The sizes of a memory unless told otherwise.
const (
	defaultCapacity = 1_000_000
	defaultBytes    = 256 << 20
)

// MemoryOptions adjust NewMemory.
type MemoryOptions struct {
	Capacity int              // deliveries: pending, dead, and delivered ones that are remembered; 0 = 1,000,000
	Bytes    int64            // of the bodies that are pending or dead; 0 = 256 MiB
	Remember time.Duration    // how long a delivered ID is remembered; 0 = 72 hours
	Now      func() time.Time // nil = time.Now
}

// memory is what NewMemory makes.
type memory struct {
	opts MemoryOptions

	mu       sync.Mutex
	entries  map[Key]*entry
	lanes    map[laneKey]*memoryLane
	due      heapOf[*memoryLane] // by the moment at which they are looked at next
	dead     []Key               // sorted
	disabled map[string]bool
	forget   []remembered // in the order of their ends
	bytes    int64
	sequence uint64
}

var _ BackEnd = (*memory)(nil)

// laneKey names a queue: an endpoint has one of ordered deliveries and one of the others.
type laneKey struct {
	endpoint string
	ordered  bool
}

// memoryLane is the queue of the deliveries of one endpoint that are not settled.
type memoryLane struct {
	laneKey
	queue  heapOf[*entry]
	look   time.Time // when it is looked at next
	served uint64    // when it was served last
	index  int
}

// entry is one delivery.
type entry struct {
	d        Delivery
	state    State // Again = pending
	due      time.Time
	sequence uint64
	token    [16]byte
	leased   bool
	cause    Cause
	at       time.Time
	index    int
}

type remembered struct {
	key Key
	end time.Time
}

// NewMemory makes an empty store for one process: what it has is lost with the process. When it is full, Put
// is ErrUnavailable.
func NewMemory(opts *MemoryOptions) BackEnd {
	m := &memory{entries: map[Key]*entry{}, lanes: map[laneKey]*memoryLane{}, disabled: map[string]bool{}}
	if opts != nil {
		m.opts = *opts
	}
	m.opts.Capacity = cmp.Or(max(m.opts.Capacity, 0), defaultCapacity)
	m.opts.Bytes = cmp.Or(max(m.opts.Bytes, 0), defaultBytes)
	m.opts.Remember = cmp.Or(max(m.opts.Remember, 0), DefaultRemember)
	if m.opts.Now == nil {
		m.opts.Now = time.Now
	}
	m.due.before = func(a, b *memoryLane) bool {
		if c := a.look.Compare(b.look); c != 0 {
			return c < 0
		}
		return a.served < b.served
	}
	m.due.place = func(l *memoryLane, i int) { l.index = i }
	return m
}

// Put is Store.Put. It copies the body.
func (m *memory) Put(ctx context.Context, d Delivery) error {
	if err := d.Check(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.opts.Now()
	m.forgetUntil(now)
	if e := m.entries[d.Key]; e != nil {
		if subtle.ConstantTimeCompare(e.d.Digest[:], d.Digest[:]) != 1 {
			return ErrIDReused
		}
		return nil
	}
	if len(m.entries) >= m.opts.Capacity || m.bytes+int64(len(d.Body)) > m.opts.Bytes {
		return fmt.Errorf("%w: it is full", ErrUnavailable)
	}
	d.Body, d.Attempts = slices.Clone(d.Body), 0
	m.bytes += int64(len(d.Body))
	e := &entry{d: d}
	m.entries[d.Key] = e
	m.enqueue(e, now)
	return nil
}

// enqueue makes an entry due now, after all that are due now or in order.
func (m *memory) enqueue(e *entry, now time.Time) {
	m.sequence++
	e.state, e.due, e.sequence, e.leased = Again, now, m.sequence, false
	m.insert(e, now)
}

// insert puts an entry into its lane.
func (m *memory) insert(e *entry, now time.Time) {
	k := laneKey{e.d.Endpoint, e.d.Ordered}
	l := m.lanes[k]
	if l == nil {
		l = &memoryLane{laneKey: k, look: e.due}
		l.queue.before = func(a, b *entry) bool {
			if c := a.due.Compare(b.due); c != 0 && !k.ordered {
				return c < 0
			}
			return a.sequence < b.sequence
		}
		l.queue.place = func(e *entry, i int) { e.index = i }
		m.lanes[k] = l
		heap.Push(&m.due, l)
	}
	heap.Push(&l.queue, e)
	m.refresh(l, now)
}

// refresh sets the moment at which a lane is looked at next. A lane that waits for its turn keeps its place.
func (m *memory) refresh(l *memoryLane, now time.Time) {
	if len(l.queue.list) == 0 {
		heap.Remove(&m.due, l.index)
		delete(m.lanes, l.laneKey)
		return
	}
	due := l.queue.list[0].due
	if l.look.Before(due) || l.look.After(now) {
		l.look = due
		heap.Fix(&m.due, l.index)
	}
}

// Take is Store.Take. The bodies are not to be changed.
func (m *memory) Take(ctx context.Context, w Want) ([]Taken, error) {
	switch {
	case w.Most <= 0 || w.Lease <= 0:
		return nil, errors.New("sender: Most and Lease must be above 0")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.opts.Now()
	used := map[string]int{}
	var out []Taken
	var seen []*memoryLane
	for len(out) < w.Most && len(m.due.list) > 0 && !m.due.list[0].look.After(now) {
		l := heap.Pop(&m.due).(*memoryLane)
		seen = append(seen, l)
		room, named := w.Room[l.endpoint]
		if !named {
			room = 1
		}
		for len(out) < w.Most && used[l.endpoint] < room && !l.queue.list[0].due.After(now) {
			used[l.endpoint]++
			out = append(out, m.lease(l, now.Add(w.Lease)))
			m.sequence++
			l.served, l.look = m.sequence, now // behind the lanes that wait
		}
	}
	for _, l := range seen {
		l.look = later(l.look, l.queue.list[0].due)
		heap.Push(&m.due, l)
	}
	return out, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// lease gives the first entry of a lane to a worker.
func (m *memory) lease(l *memoryLane, end time.Time) Taken {
	e := l.queue.list[0]
	e.due, e.leased = end, true
	_, _ = rand.Read(e.token[:]) // never fails
	heap.Fix(&l.queue, 0)
	return Taken{Delivery: e.d, Token: e.token, Disabled: m.disabled[e.d.Endpoint]}
}

// Settle is Store.Settle.
func (m *memory) Settle(ctx context.Context, t Taken, s Settlement) error {
	if err := s.Check(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.opts.Now()
	e := m.entries[t.Key]
	switch {
	case e == nil || t.Token == [16]byte{} || subtle.ConstantTimeCompare(e.token[:], t.Token[:]) != 1:
		return ErrLeaseLost
	case !e.leased:
		return nil
	}
	if s.Disable {
		m.disabled[t.Endpoint] = true
	}
	l := m.lanes[laneKey{e.d.Endpoint, e.d.Ordered}]
	heap.Remove(&l.queue, e.index)
	e.leased, e.state, e.cause, e.d.Attempts, e.at = false, s.State, s.Cause, s.Attempts, now
	switch s.State {
	case Again:
		e.due = now.Add(s.After)
		heap.Push(&l.queue, e)
	case Dead:
		i, _ := slices.BinarySearchFunc(m.dead, t.Key, compare)
		m.dead = slices.Insert(m.dead, i, t.Key)
	case Delivered:
		m.remember(e, now)
	}
	m.refresh(l, now)
	return nil
}

// Check refuses a settlement that makes no sense. A Store calls it in Settle.
func (s *Settlement) Check() error {
	switch {
	case s.State != Delivered && s.State != Again && s.State != Dead:
		return fmt.Errorf("sender: no state %.80q", s.State)
	case s.After < 0 || s.Attempts < 0:
		return errors.New("sender: After and Attempts must not be negative")
	case (s.State == Delivered) != (s.Cause == "") || s.Cause != "" && !isVisible(string(s.Cause), maxCause):
		return errors.New("sender: a delivery that was not delivered has a cause, a word, and only such a one")
	}
	return nil
}

// compare is the order of the dead list.
func compare(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.ID, b.ID))
}

// remember drops the body of an entry, and keeps its ID for a while.
func (m *memory) remember(e *entry, now time.Time) {
	m.bytes -= int64(len(e.d.Body))
	e.d.Body, e.state = nil, Delivered
	m.forget = append(m.forget, remembered{e.d.Key, now.Add(m.opts.Remember)})
}

func (m *memory) forgetUntil(now time.Time) {
	n := 0
	for n < len(m.forget) && !m.forget[n].end.After(now) {
		delete(m.entries, m.forget[n].key)
		n++
	}
	m.forget = m.forget[n:]
}

// Dead is DeadLetters.Dead.
func (m *memory) Dead(_ context.Context, after Key, n int) ([]DeadDelivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, found := slices.BinarySearchFunc(m.dead, after, compare)
	if found {
		i++
	}
	var out []DeadDelivery
	for _, k := range m.dead[i:min(len(m.dead), i+max(n, 0))] {
		e := m.entries[k]
		out = append(out, DeadDelivery{e.d, e.cause, e.at})
	}
	return out, nil
}

// Resend is DeadLetters.Resend.
func (m *memory) Resend(_ context.Context, k Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.bury(k)
	if err != nil {
		return err
	}
	e.d.Attempts = 0
	m.enqueue(e, m.opts.Now())
	return nil
}

// Discard is DeadLetters.Discard.
func (m *memory) Discard(_ context.Context, k Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.bury(k)
	if err != nil {
		return err
	}
	m.remember(e, m.opts.Now())
	return nil
}

// bury takes a delivery out of the dead list.
func (m *memory) bury(k Key) (*entry, error) {
	i, found := slices.BinarySearchFunc(m.dead, k, compare)
	if !found {
		return nil, ErrNotDead
	}
	m.dead = slices.Delete(m.dead, i, i+1)
	return m.entries[k], nil
}

// Disable is Switch.Disable.
func (m *memory) Disable(_ context.Context, endpoint string, disabled bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if disabled {
		m.disabled[endpoint] = true
	} else {
		delete(m.disabled, endpoint)
	}
	return nil
}

// heapOf is a heap.Interface whose elements know their places.
type heapOf[T any] struct {
	list   []T
	before func(a, b T) bool
	place  func(e T, i int)
}

func (h *heapOf[T]) Len() int           { return len(h.list) }
func (h *heapOf[T]) Less(i, j int) bool { return h.before(h.list[i], h.list[j]) }
func (h *heapOf[T]) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.place(h.list[i], i)
	h.place(h.list[j], j)
}

// Push is for package heap.
func (h *heapOf[T]) Push(e any) {
	h.place(e.(T), len(h.list))
	h.list = append(h.list, e.(T))
}

// Pop is for package heap.
func (h *heapOf[T]) Pop() any {
	last := len(h.list) - 1
	e := h.list[last]
	var none T
	h.list[last] = none
	h.list = h.list[:last]
	return e
}
