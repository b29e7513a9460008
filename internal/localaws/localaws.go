// Package localaws is a part of AWS inside the process. The real SDK clients call it over real HTTP, with the
// real protocols. It has one account and one region, and these services:
//
//   - Amazon EventBridge with rules, archives and replays;
//   - Amazon SQS;
//   - AWS Lambda: event source mappings, and the configuration of a function;
//   - AWS KMS, in as many regions as clients ask for; its cryptography is real;
//   - AWS STS: the identity of the caller.
//
// Its answers were recorded from the services (testdata) or follow their documentation. It delivers as badly
// as the services may: at least once, in any order, with JSON written anew.
//
// It believes every caller: a request must be signed, but the signature is not verified. Policies are kept
// but not obeyed. Nothing is kept after Close.
package localaws

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options adjust Start. The zero value is a service that never fails and a delivery without surprises.
type Options struct {
	Account     string           // "" = 000000000000
	Region      string           // "" = us-east-1
	MaxPutBytes int              // the entries of a call must be smaller together; 0 = 1 MiB
	Dir         string           // keeps what was acknowledged; "" = nothing is kept
	Seed        uint64           // of all random choices: it repeats a run, as far as scheduling allows
	Delivery    Delivery         // how events reach targets
	Queues      Queues           // how messages reach those who receive them from a queue
	Faults      Faults           // what goes wrong with calls
	Now         func() time.Time // judges everything but the real time that a long poll waits; nil = time.Now
	// Deny refuses an action, such as "DescribeEventBus" or "ReceiveMessage", as its service does; nil = all
	// are allowed.
	Deny func(action string) bool
	// Replaying is called when a replay starts, which goes on when it returns; nil = at once.
	Replaying func(name string)
	// OnFailure takes what a target did not take in all its tries, as a dead-letter queue would; nil = it is
	// dropped.
	OnFailure func(targetARN string, event []byte)
}

// Delivery is how events reach targets.
type Delivery struct {
	Duplicate float64       // the share of deliveries that are made twice
	Reorder   int           // how many deliveries may overtake an earlier one; 0 = in order
	Delay     time.Duration // the longest time that a delivery is held back
	// Reserialise = true: each delivery writes detail anew, with another order, other white space, other
	// escapes and other spellings of the same numbers.
	Reserialise bool
	// Retry = true: a failed delivery is repeated. A function gets two more attempts, as from Lambda. An
	// endpoint gets those of its retry policy.
	Retry   bool
	Workers int // deliveries to one target at a time; 0 = 1
}

// Queues is how messages reach those who receive them.
type Queues struct {
	// Duplicate is the share of messages of a standard queue that are delivered once more than they should
	// be: half of them while they are in flight, the others after they were deleted, as a server that missed
	// it delivers them.
	Duplicate float64
}

// Faults are what goes wrong with calls.
type Faults struct {
	EntryThrottled float64 // the share of entries that fail with ThrottlingException
	EntryInternal  float64 // the share of entries that fail with InternalFailure
	Call           float64 // the share of calls of PutEvents that fail, by CallFault in turn
	QueueCall      float64 // the same of calls of SQS
	KeyCall        float64 // the same of calls of KMS
	// Script decides of each call, counted from 0 over all actions; nil = none fails by script. It may be
	// called by several calls at a time.
	Script func(action string, call int) CallFault
}

// CallFault is a way in which a whole call fails.
type CallFault int

// The ways.
const (
	NoFault        CallFault = iota
	Throttled                // ThrottlingException, status 400
	InternalError            // InternalException, status 500
	CutBefore                // the connection is closed, and nothing was done
	CutAfter                 // the call is carried out, and then the connection is closed
	GarbageAnswer            // the call is carried out, and a proxy answers "502 Bad Gateway" in HTML
	numberOfFaults           // not a fault
)

// Server is the fake. It is safe for concurrent use.
type Server struct {
	opts     Options
	listener net.Listener
	http     *http.Server
	ctx      context.Context // of deliveries; ends with Close
	stop     context.CancelFunc

	mu      sync.Mutex
	random  *rand.Rand
	buses   map[string]*bus
	sinks   map[string]*sink // by ARN
	calls   map[string]int   // by action
	queues  queues           // with a lock of its own
	keys    keyStore         // the same
	tables  tableStore       // the same
	objects objectStore      // the same

	archives  []*archive
	replays   []*replay
	functions map[string]*function // by name
	mappings  []*mapping

	background sync.WaitGroup // what Close waits for, besides the sinks

	pending *counter // deliveries that are not finished

	journal *journal // nil = nothing is kept
}

// Start begins to serve on a free port of the loopback interface.
func Start(opts *Options) (*Server, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Account == "" {
		o.Account = "000000000000"
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.MaxPutBytes == 0 {
		o.MaxPutBytes = 1 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Delivery.Workers == 0 {
		o.Delivery.Workers = 1
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("localaws: %w", err)
	}
	s := &Server{
		opts: o, listener: listener, random: rand.New(rand.NewPCG(o.Seed, 0)),
		buses: map[string]*bus{}, sinks: map[string]*sink{}, functions: map[string]*function{},
		pending: newCounter(),
		calls:   map[string]int{},
		queues:  queues{byName: map[string]*queue{}, changed: make(chan struct{})},
		keys:    keyStore{byARN: map[string]*kmsKey{}, aliases: map[string]string{}},
	}
	if o.Dir != "" {
		if s.journal, err = openJournal(o.Dir); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(s.loadTables(), s.loadObjects()); err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.buses["default"] = &bus{name: "default", created: o.Now()}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.http.Serve(listener) }() // it ends with http.ErrServerClosed
	return s, nil
}

// URL is the endpoint for the SDK clients of every service: BaseEndpoint, or AWS_ENDPOINT_URL.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close ends deliveries, also those under way, and returns when none is left.
func (s *Server) Close() error {
	s.stop()
	err := s.http.Close()
	s.mu.Lock()
	sinks := make([]*sink, 0, len(s.sinks))
	for _, k := range s.sinks {
		sinks = append(sinks, k)
	}
	s.mu.Unlock()
	for _, k := range sinks {
		k.close()
	}
	s.background.Wait()
	err = errors.Join(err, s.journal.close())
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Drain waits until every event that was accepted has been delivered, or dropped.
func (s *Server) Drain(ctx context.Context) error { return s.pending.wait(ctx) }

// Calls is how many calls came in, whatever became of them.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total()
}

// CallsOf is how many calls of an action came in, such as "GenerateDataKey", whatever became of them.
func (s *Server) CallsOf(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[action]
}

func (s *Server) total() (n int) {
	for _, of := range s.calls {
		n += of
	}
	return n
}

func (s *Server) arn(what string) string {
	return "arn:aws:events:" + s.opts.Region + ":" + s.opts.Account + ":" + what
}

// chance is true for this share of its calls.
func (s *Server) chance(share float64) bool {
	if share == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.Float64() < share
}

// pick is a number below n.
func (s *Server) pick(n int64) int64 {
	if n <= 1 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.Int64N(n)
}

// counter counts what is not finished, and lets others wait for zero.
type counter struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed while n is 0
}

func newCounter() *counter {
	c := &counter{zero: make(chan struct{})}
	close(c.zero)
	return c
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.n
	c.n += n
	switch {
	case was == 0 && c.n > 0:
		c.zero = make(chan struct{})
	case was > 0 && c.n == 0:
		close(c.zero)
	}
}

func (c *counter) wait(ctx context.Context) error {
	c.mu.Lock()
	zero := c.zero
	c.mu.Unlock()
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
