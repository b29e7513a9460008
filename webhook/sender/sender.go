package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// The defaults of Options.
const (
	defaultLease    = 2 * maxTimeout
	minLease        = time.Second
	defaultPoll     = time.Second
	defaultUnderWay = 256
	mostUnderWay    = 1 << 14
	mostTaken       = 64 // deliveries that one call takes
)

// Options adjust New.
type Options struct {
	// Schedule is how long after each attempt the next one follows, each +-20 %; nil = DefaultSchedule. After
	// the last one a delivery is dead.
	Schedule []time.Duration
	// Concurrency is how many attempts are under way at a time, of all endpoints; 0 = 256. It should be several
	// times the number of endpoints that may hang at once: each of these has one attempt under way.
	Concurrency int
	// Lease is how long a delivery is this process's alone; 0 = 2 minutes, at least a second. After the death
	// of a process its deliveries are sent again when their leases are over. Timeouts are cut to half of it.
	Lease time.Duration
	// Poll is how often the store is asked when nothing happens in this process; 0 = 1 s.
	Poll time.Duration
	// Observer is told of each attempt; nil = none is.
	Observer Observer
	// Logger gets what went wrong; nil = slog.Default().
	Logger *slog.Logger
	// Network says which addresses may be called; nil = https at public addresses.
	Network *Network
	// Now is the clock, by which attempts are dated; nil = time.Now.
	Now func() time.Time
	// UnsafeTransport goes past the guard that keeps the sender out of the own network: for tests, and for
	// programs that have another guard. nil = the guard.
	UnsafeTransport http.RoundTripper
	// UnsafeForwardDecrypted lets Forward send on the data of events that were encrypted: it is in the clear
	// in the store, and for the endpoint.
	UnsafeForwardDecrypted bool
}

// Sender sends messages to endpoints. It is safe for concurrent use.
type Sender struct {
	store     Store
	endpoints Endpoints
	opts      Options
	transport http.RoundTripper
	wake      chan struct{} // something may be due

	mu       sync.Mutex
	lanes    map[string]*lane
	underWay int
	next     time.Time // when the store is asked again although nothing happens
	done     sync.WaitGroup
}

// New makes a sender over the store. It sends nothing before Run or Once is called. A process that only
// accepts messages calls Send alone.
func New(store Store, endpoints Endpoints, opts *Options) (*Sender, error) {
	s := &Sender{store: store, endpoints: endpoints, wake: make(chan struct{}, 1), lanes: map[string]*lane{}}
	if opts != nil {
		s.opts = *opts
	}
	o := &s.opts
	err := errors.Join(nilcheck.Check("sender: the store", store),
		nilcheck.Check("sender: the endpoints", endpoints),
		nilcheck.Typed("sender: Options.Observer", o.Observer),
		nilcheck.Logger("sender: Options.Logger", o.Logger),
		nilcheck.Typed("sender: Options.UnsafeTransport", o.UnsafeTransport))
	if err != nil {
		return nil, err
	}
	if o.Schedule == nil {
		o.Schedule = DefaultSchedule()
	}
	o.Schedule = slices.Clone(o.Schedule)
	o.Concurrency, o.Lease = cmp.Or(o.Concurrency, defaultUnderWay), cmp.Or(o.Lease, defaultLease)
	o.Poll = cmp.Or(o.Poll, defaultPoll)
	switch {
	case slices.ContainsFunc(o.Schedule, func(d time.Duration) bool { return d <= 0 || d > 30*24*time.Hour }):
		return nil, errors.New("sender: each wait of the Schedule must be above 0, and at most 30 days")
	case o.Concurrency < 0 || o.Concurrency > mostUnderWay:
		return nil, fmt.Errorf("sender: %d attempts at a time: give at most %d", o.Concurrency, mostUnderWay)
	case o.Lease < minLease:
		return nil, fmt.Errorf("sender: Lease is %v: give at least %v, or 0 for the default", o.Lease, minLease)
	case o.Poll < 0:
		return nil, errors.New("sender: Poll must not be negative")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if s.transport = o.UnsafeTransport; s.transport == nil {
		s.transport = newGuard(o.Network)
	}
	return s, nil
}

func (s *Sender) now() time.Time { return s.opts.Now() }

// Send accepts a message for an endpoint. After nil it is in the store, and ends as delivered or in the dead
// list. A message with an ID that the endpoint has, or had within the time for which the store remembers, is
// not sent again: nil if the content is the same, else ErrIDReused. ErrNoEndpoint, ErrIDReused and an ID or a
// size that Message does not allow are permanent. Any other error is transient: send it again, with the same
// ID.
func (s *Sender) Send(ctx context.Context, endpoint string, m Message) error {
	e, err := s.lookup(ctx, endpoint)
	if err != nil {
		return fmt.Errorf("sender: endpoint %.*q: %w", MaxEndpoint, endpoint, err)
	}
	d, err := newDelivery(e, m)
	if err != nil {
		return err
	}
	return s.put(ctx, d)
}

func (s *Sender) put(ctx context.Context, d Delivery) error {
	if err := s.store.Put(ctx, d); err != nil {
		return err
	}
	s.signal()
	return nil
}

// signal has Run ask the store.
func (s *Sender) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // it is about to
	}
}

// sooner has Run ask the store at that time, if it would otherwise ask later.
func (s *Sender) sooner(at time.Time) {
	if s.next.IsZero() || at.Before(s.next) {
		s.next = at
	}
}

// Run sends what is due until ctx ends. Then it begins no more attempts, finishes those that are under way,
// and returns nil. Any number of processes may run on one store. One Sender runs once at a time.
func (s *Sender) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		n, err := s.begin(ctx)
		if err != nil && ctx.Err() == nil {
			s.opts.Logger.WarnContext(ctx, "sealbus: the store gives no deliveries", "error", err)
		}
		if n == 0 {
			s.rest(ctx, err != nil)
		}
	}
	s.done.Wait()
	return nil
}

// rest waits until something may be due. After an error it waits for the whole of Poll.
func (s *Sender) rest(ctx context.Context, failed bool) {
	s.mu.Lock()
	pause := s.opts.Poll
	if now := s.now(); !failed && !s.next.IsZero() {
		pause = max(min(pause, s.next.Sub(now)), time.Millisecond)
	}
	s.next = time.Time{}
	s.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	wake := s.wake
	if failed {
		wake = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	}
}

// Once sends what is due now, waits for the answers, and returns how many deliveries it took: for a function
// that a timer calls, such as a Lambda function. When ctx ends, it begins no more attempts. The error is that
// of the store.
func (s *Sender) Once(ctx context.Context) (int, error) {
	total := 0
	for ctx.Err() == nil {
		s.mu.Lock()
		busy := s.underWay > 0 // before it asks: an attempt that ends meanwhile makes room
		s.mu.Unlock()
		n, err := s.begin(ctx)
		total += n
		switch {
		case err != nil:
			s.done.Wait()
			return total, err
		case n > 0:
		case !busy:
			return total, nil
		default:
			s.done.Wait()
		}
	}
	s.done.Wait()
	return total, nil
}

// begin takes deliveries that are due and begins their attempts.
func (s *Sender) begin(ctx context.Context) (int, error) {
	taking := s.now()
	s.mu.Lock()
	w := s.want(taking)
	s.mu.Unlock()
	if w.Most <= 0 {
		return 0, nil
	}
	list, err := s.store.Take(ctx, w)
	if err != nil {
		return 0, err
	}
	now := s.now()
	s.mu.Lock()
	for i := range list {
		l := s.lanes[list[i].Endpoint]
		if l == nil {
			l = &lane{limit: 1}
			s.lanes[list[i].Endpoint] = l
		}
		l.begin(1, now)
	}
	s.underWay += len(list)
	s.mu.Unlock()
	for _, t := range list {
		s.done.Go(func() {
			defer s.finished()
			s.attempt(context.WithoutCancel(ctx), t, taking.Add(w.Lease))
		})
	}
	return len(list), nil
}

func (s *Sender) finished() {
	s.mu.Lock()
	s.underWay--
	s.mu.Unlock()
	s.signal()
}

// want is what there is room for. It forgets endpoints that have nothing under way.
func (s *Sender) want(now time.Time) Want {
	w := Want{Most: min(s.opts.Concurrency-s.underWay, mostTaken), Room: map[string]int{},
		Lease: s.opts.Lease}
	maps.DeleteFunc(s.lanes, func(_ string, l *lane) bool { return l.isIdle(now) })
	for id, l := range s.lanes {
		n, again := l.room(now)
		w.Room[id] = n
		if !again.IsZero() {
			s.sooner(again)
		}
	}
	return w
}

// learn keeps how many attempts of an endpoint may be under way.
func (s *Sender) learn(e *Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[e.ID]
	counted := l.rate.Each() > 0
	l.limit = e.concurrency()
	if l.setRate(e.Rate, e.Burst); !counted { // this attempt is the first that counts
		l.paid = l.rate.Force(l.paid, s.now().UnixNano())
	}
	s.signal()
}
