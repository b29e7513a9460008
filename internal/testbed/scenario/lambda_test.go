package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys/trust"
)

// functionTimeout is that of a modelled invocation.
const functionTimeout = 30 * time.Second

// code is what a function runs: of lambda.Start, with any response.
type code func(ctx context.Context, payload json.RawMessage) (any, error)

// function is a Lambda function behind a queue. It knows which messages are to come again and when, so that
// the test can tell when nothing is under way. One invocation is made at a time.
type function struct {
	*world
	from       queue
	visibility time.Duration

	mu       sync.Mutex
	code     code
	running  bool
	changes  int                  // counts invocations that began or ended
	hidden   map[string]time.Time // by messageId: until when a message that failed is hidden
	receipts map[string]int       // by messageId: how often it was received
	orders   map[string]string    // by messageId: which order it holds
}

// feed makes the function behind the queue.
func (w *world) feed(from queue, c code) *function {
	w.Helper()
	seconds, err := strconv.Atoi(w.attributes(from)["VisibilityTimeout"])
	w.check(err)
	f := &function{
		world: w, from: from, visibility: time.Duration(seconds) * time.Second, code: c,
		hidden: map[string]time.Time{}, receipts: map[string]int{}, orders: map[string]string{},
	}
	w.check(w.aws.MapQueue(from.arn, "billing", localaws.Handler(f.invoke),
		&localaws.Mapping{ReportBatchItemFailures: true}))
	return f
}

// deploy has every invocation from now on run other code.
func (f *function) deploy(c code) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.code = c
}

// batch is what of a batch of messages matters here.
type batch struct {
	Records []struct {
		MessageID string `json:"messageId"`
		Body      string
	}
}

func (f *function) invoke(ctx context.Context, payload json.RawMessage) (any, error) {
	var b batch
	if err := json.Unmarshal(payload, &b); err != nil {
		f.Error(err)
		return nil, err
	}
	began := f.clock.Now()
	f.mu.Lock()
	run := f.code
	f.running, f.changes = true, f.changes+1
	for _, r := range b.Records {
		f.receipts[r.MessageID]++
		f.orders[r.MessageID], _ = idOf([]byte(r.Body)) // a quarantine record has none
		delete(f.hidden, r.MessageID)
	}
	f.mu.Unlock()

	ctx, end := f.invocation(ctx)
	defer end()
	response, err := run(ctx, payload)

	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range failed(&b, response, err) {
		f.hidden[id] = began.Add(f.visibility)
	}
	f.running, f.changes = false, f.changes+1
	return response, err
}

// failed are the messages that come again.
func failed(b *batch, response any, err error) (ids []string) {
	if err == nil {
		if r, ok := response.(awslambda.SQSResponse); ok {
			for _, item := range r.BatchItemFailures {
				ids = append(ids, item.ItemIdentifier)
			}
		}
		return ids
	}
	for _, r := range b.Records {
		ids = append(ids, r.MessageID)
	}
	return ids
}

// settle waits until the function has tried all that is to be had: what is left failed, and is hidden.
func (f *function) settle() {
	f.Helper()
	f.delivered()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		before, idle := f.state()
		visible, hidden := f.depth(f.from)
		after, _ := f.state()
		if idle && before == after && visible == 0 && hidden == f.waiting() {
			return
		}
		if time.Now().After(end) {
			f.Fatalf("the function does not come to rest: %d messages visible, %d hidden, %d waiting",
				visible, hidden, f.waiting())
		}
	}
}

func (f *function) state() (changes int, idle bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes, !f.running
}

// waiting is how many messages failed and are hidden.
func (f *function) waiting() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, until := range f.hidden {
		if until.After(f.clock.Now()) {
			n++
		}
	}
	return n
}

// pass lets time pass when nothing is under way, and the function do what is then due.
func (f *function) pass(d time.Duration) {
	f.Helper()
	f.settle()
	f.clock.Advance(d)
	f.settle()
}

// mostReceipts is how often the unluckiest message was received.
func (f *function) mostReceipts() (most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.receipts {
		most = max(most, n)
	}
	return most
}

// invocation is the context of a modelled invocation. Code that waits until its time is up calls hang. The
// clock does not move for that: on Lambda, other invocations would run at the same time.
func (w *world) invocation(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadline(ctx, w.clock.Now().Add(functionTimeout))
	return context.WithValue(ctx, timeUpKey{}, cancel), cancel
}

type timeUpKey struct{}

// hang is a call without an answer. It ends with its context, whose time is modelled. A call that outlives
// the invocation has a limit of its own in real time, and ends at once.
func hang(ctx context.Context) error {
	timeUp, _ := ctx.Value(timeUpKey{}).(context.CancelFunc)
	if _, limited := ctx.Deadline(); timeUp == nil || !limited {
		return errors.New("scenario: a call without an end")
	}
	timeUp()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return context.DeadlineExceeded
}

// process is one execution environment of a function, which may be killed.
type process struct {
	*world
	store *store
	code  code

	dead   chan struct{} // closed when it is killed
	buried chan struct{} // closed when the test ends, so that nothing is left behind
	left   sync.WaitGroup
}

// hooks are what a handler does besides keeping the books; nil = nothing.
type hooks struct {
	before func(id string) error             // its effect
	after  func(p *process, id string) error // it, and before it returns
}

// start starts a process.
func (w *world) start(trust trust.Source, store *store, opts *consumer.Options, h hooks) *process {
	w.Helper()
	p := &process{world: w, store: store.connection(), dead: make(chan struct{}), buried: make(chan struct{})}
	c, err := consumer.New("billing", trust, p.store, &w.policy, opts)
	w.check(err)
	handle := func(ctx context.Context, d consumer.Delivery[order]) error {
		if h.before != nil {
			if err := h.before(d.Event.ID()); err != nil {
				return err
			}
		}
		if err := w.books.handle(ctx, d); err != nil || h.after == nil {
			return err
		}
		return h.after(p, d.Event.ID())
	}
	// One at a time, so that a seed gives one run.
	adapter := &awslambda.Options{Now: w.clock.Now, Logger: opts.Logger, Parallel: 1}
	behindQueue, direct := awslambda.SQS(c, handle, adapter), awslambda.EventBridge(c, handle, adapter)
	p.code = func(ctx context.Context, payload json.RawMessage) (any, error) {
		if isBatch(payload) {
			return behindQueue(ctx, payload)
		}
		return direct(ctx, payload)
	}
	w.Cleanup(func() {
		close(p.buried)
		p.left.Wait()
	})
	return p
}

func isBatch(payload json.RawMessage) bool {
	var b batch
	return json.Unmarshal(payload, &b) == nil && b.Records != nil
}

var errKilled = errors.New("scenario: the process was killed")

// run is the code of the process, until it is killed.
func (p *process) run(ctx context.Context, payload json.RawMessage) (response any, err error) {
	type answer struct {
		response any
		err      error
	}
	answered := make(chan answer, 1)
	p.left.Go(func() {
		response, err := p.code(ctx, payload)
		answered <- answer{response, err}
	})
	select {
	case a := <-answered:
		return a.response, a.err
	case <-p.dead:
		return nil, errKilled
	}
}

// kill ends the process where it stands: nothing that it began goes on, or reaches the store.
func (p *process) kill() error {
	p.store.cut()
	close(p.dead)
	<-p.buried
	return errKilled
}

// store is a connection to a replay store, which may be down.
type store struct {
	replay.Store
	clock func() time.Time
	down  *outage

	mu  *sync.Mutex
	end error // of this connection
}

func (w *world) store(down *outage) *store {
	memory := replay.NewMemory(&replay.MemoryOptions{Now: w.clock.Now})
	return &store{Store: memory, clock: w.clock.Now, down: down, mu: new(sync.Mutex)}
}

// connection is another one to the same store.
func (s *store) connection() *store {
	c := *s
	c.mu = new(sync.Mutex)
	return &c
}

func (s *store) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = errKilled
}

// reach is why the store cannot be reached; nil = it can.
func (s *store) reach(ctx context.Context) error {
	s.mu.Lock()
	end := s.end
	s.mu.Unlock()
	switch {
	case end != nil:
		return errors.Join(replay.ErrUnavailable, end)
	case !s.down.at(s.clock()):
		return nil
	case s.down.hangs:
		return errors.Join(replay.ErrUnavailable, hang(ctx))
	}
	return errors.Join(replay.ErrUnavailable, errors.New("connection refused"))
}

func (s *store) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	if err := s.reach(ctx); err != nil {
		return replay.Claim{}, 0, err
	}
	return s.Store.Claim(ctx, key, digest, until, lease)
}

func (s *store) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	if err := s.reach(ctx); err != nil {
		return err
	}
	return s.Store.Renew(ctx, claim, lease)
}

func (s *store) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	if err := s.reach(ctx); err != nil {
		return err
	}
	return s.Store.Complete(ctx, claim, until)
}

func (s *store) Release(ctx context.Context, claim replay.Claim) error {
	if err := s.reach(ctx); err != nil {
		return err
	}
	return s.Store.Release(ctx, claim)
}

// outage is when something is down. nil = never.
type outage struct {
	from, to time.Duration // after start
	hangs    bool          // true: there is no answer, instead of an error
}

func (o *outage) at(now time.Time) bool {
	if o == nil {
		return false
	}
	since := now.Sub(start)
	return o.from <= since && since < o.to
}
