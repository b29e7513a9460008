package throttle

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// defaultMaxKeys is room for all clients and tenants of a document. A key costs some 150 bytes.
const defaultMaxKeys = 100_000

// MemoryOptions adjust NewMemory.
type MemoryOptions struct {
	// MaxKeys is how many clients and tenants are remembered; 0 = 100,000. Those that have nothing to remember
	// are forgotten when it is reached. If all have, a request of another one is ErrUnavailable.
	MaxKeys int
	Now     func() time.Time // the wall clock; nil = time.Now
}

// memory is what NewMemory makes.
type memory struct {
	most int
	now  func() time.Time

	mu       sync.Mutex
	counters map[name]*counter
	swept    int64 // when idle counters were last looked for, in Unix nanoseconds
}

var _ Limiter = (*memory)(nil)

// name is what is counted.
type name struct{ policy, key string }

// counter is what was used of one Limit.
type counter struct {
	paid int64 // the state of its rate, in Unix nanoseconds
	day  int64 // since 1970, of used
	used int64 // requests of that day, if there is a quota
}

// NewMemory makes a Limiter of this process alone. A restart begins each quota anew.
func NewMemory(opts *MemoryOptions) (Limiter, error) {
	m := &memory{most: defaultMaxKeys, now: time.Now, counters: map[name]*counter{}}
	if opts != nil {
		if opts.MaxKeys < 0 {
			return nil, fmt.Errorf("throttle: MaxKeys is %d: give a number, or 0 for %d", opts.MaxKeys,
				defaultMaxKeys)
		}
		if opts.MaxKeys > 0 {
			m.most = opts.MaxKeys
		}
		if opts.Now != nil {
			m.now = opts.Now
		}
	}
	return m, nil
}

// Take is Limiter.Take.
func (m *memory) Take(_ context.Context, limits []Limit) (Verdict, error) {
	if err := CheckLimits(limits); err != nil {
		return Verdict{}, err
	}
	now := m.now().UnixNano()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.counters)+len(limits) > m.most { // before a counter is in hand, which could be idle
		m.sweep(now)
	}
	var counters [maxLimits]*counter
	var v Verdict
	for i := range limits {
		c := m.find(name{limits[i].Policy, limits[i].Key}, now)
		if c == nil {
			return Verdict{}, fmt.Errorf("%w: more than %d clients and tenants are active", ErrUnavailable, m.most)
		}
		counters[i] = c
		v.Wait = max(v.Wait, c.wait(&limits[i].Plan, now))
	}
	v.States = make([]State, len(limits))
	for i := range limits {
		p := &limits[i].Plan
		if v.Wait == 0 {
			counters[i].take(p, now)
		}
		v.States[i] = counters[i].state(limits[i].Policy, p, now)
	}
	return v, nil
}

// find is the counter of that name, of the day of now; nil = there is no room for another one.
func (m *memory) find(n name, now int64) *counter {
	c := m.counters[n]
	if c == nil {
		if len(m.counters) >= m.most {
			return nil
		}
		c = &counter{}
		m.counters[n] = c
	}
	c.turn(now)
	return c
}

// turn begins a new quota with a new day. After midnight the clock may be set back: the new day goes on then,
// as long as it is the next one.
func (c *counter) turn(now int64) {
	if today := now / int64(day); c.day < today || c.day > today+1 {
		c.day, c.used = today, 0
	}
}

// sweep forgets counters that remember nothing. It looks at all of them, so at most once a second.
func (m *memory) sweep(now int64) {
	if ago := now - m.swept; ago >= 0 && ago < int64(time.Second) {
		return
	}
	m.swept = now
	for n, c := range m.counters {
		if c.turn(now); c.paid <= now && c.used == 0 {
			delete(m.counters, n)
		}
	}
}

// midnight is how long it takes until the day of the counter ends.
func (c *counter) midnight(now int64) time.Duration { return time.Duration((c.day+1)*int64(day) - now) }

// wait is how long a request must wait; 0 = it may be made. Nothing is counted.
func (c *counter) wait(p *Plan, now int64) time.Duration {
	c.paid = p.rate().Clamp(c.paid, now)
	_, wait := p.rate().Take(c.paid, now)
	if p.Daily > 0 && c.used >= p.Daily {
		wait = max(wait, c.midnight(now))
	}
	return wait
}

// take counts a request that may be made.
func (c *counter) take(p *Plan, now int64) {
	c.paid = p.rate().Force(c.paid, now)
	if p.Daily > 0 {
		c.used++
	}
}

func (c *counter) state(policy string, p *Plan, now int64) State {
	s := State{Policy: policy, Plan: *p, Full: time.Duration(max(c.paid-now, 0))}
	s.Left, _ = p.rate().Left(c.paid, now)
	if p.Daily > 0 {
		s.DailyLeft, s.Midnight = max(p.Daily-c.used, 0), c.midnight(now)
	}
	return s
}
