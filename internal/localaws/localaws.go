// Package localaws is a part of AWS inside the process. The real SDK clients call it over real HTTP, with the
// real protocols. It has one account and one region, and these services:
//
//   - Amazon EventBridge with rules, archives and replays;
//   - Amazon SQS;
//   - AWS Lambda: event source mappings, the configuration of a function, and functions that are a handler in
//     Go, a URL or a program (Bootstrap);
//   - AWS KMS, in as many regions as clients ask for; its cryptography is real;
//   - Amazon DynamoDB, as a table of claims needs it;
//   - Amazon S3, as bundles and records of a quarantine need it;
//   - AWS STS: the identity of the caller.
//
// Its answers were recorded from the services (testdata) or follow their documentation. It delivers as badly
// as the services may: at least once, in any order, with JSON written anew.
//
// It believes every caller: a request must be signed, but the signature is not verified. Policies are kept
// but not obeyed. A page in a browser is no caller: a request with its marks, or for a name of another host,
// is refused.
//
// Nothing is kept after Close, unless Options.Dir names a directory. Then an answer comes when the disk has
// all that it acknowledges, and a server that starts with the same directory goes on from there, also after
// the process was killed. It delivers at least once: what it was about to deliver is delivered, perhaps
// again.
package localaws

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Options adjust Start. The zero value is a service that never fails and a delivery without surprises.
type Options struct {
	// Dir is a directory that keeps everything but the functions and their configuration, which are given again
	// after each start. Its file has private keys, and one process may use it. "" = nothing is kept.
	Dir string
	// Addr is where the server listens, as host:port; "" = a free port of 127.0.0.1.
	Addr string
	// UnsafeListen = true: Addr may be an address that other machines reach. They can do everything, then.
	UnsafeListen bool

	Account     string           // "" = 000000000000
	Region      string           // "" = us-east-1
	MaxPutBytes int              // the entries of a call must be smaller together; 0 = 1 MiB
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
	look     time.Duration // between looks at the clock

	mu      sync.Mutex
	random  *rand.Rand
	buses   map[string]*bus
	sinks   map[string]*sink       // by ARN
	held    map[string][]*shipment // for targets whose sink is not there yet
	calls   map[string]int         // by action
	queues  queues                 // with a lock of its own
	keys    keyStore               // the same
	tables  tableStore             // the same
	objects objectStore            // the same

	archives  []*archive
	replays   []*replay
	endpoints map[string]string    // ARNs by name, of those that were ever made
	functions map[string]*function // by name
	mappings  []*mapping

	journal *journal      // nil = nothing is kept
	order   atomic.Uint64 // the last number of newOrder

	background sync.WaitGroup // what Close waits for, besides the sinks

	pending *counter // deliveries that are not finished
}

// Start begins to serve: at Options.Addr, with what Options.Dir has.
func Start(opts *Options) (*Server, error) {
	s := newServer(opts)
	var err error
	if s.opts.Dir != "" {
		if s.journal, err = openJournal(s.opts.Dir); err != nil {
			return nil, err
		}
	}
	if err = s.listen(); err == nil {
		if err = s.loadAll(); err != nil {
			_ = s.listener.Close()
		}
	}
	if err != nil {
		s.stop()
		s.closeSinks()
		s.background.Wait()
		_ = s.journal.close() // the error is that of the start
		return nil, err
	}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.http.Serve(s.listener) }() // it ends with http.ErrServerClosed
	return s, nil
}

// newServer fills in what Options leave out.
func newServer(opts *Options) *Server {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.Account = cmp.Or(o.Account, "000000000000")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.MaxPutBytes = cmp.Or(o.MaxPutBytes, 1<<20)
	o.Delivery.Workers = cmp.Or(o.Delivery.Workers, 1)
	look := lookAtTestClock
	if o.Now == nil {
		o.Now, look = time.Now, lookAgain
	}
	s := &Server{
		opts: o, look: look, random: rand.New(rand.NewPCG(o.Seed, 0)),
		buses: map[string]*bus{}, sinks: map[string]*sink{}, held: map[string][]*shipment{},
		endpoints: map[string]string{}, functions: map[string]*function{},
		pending: newCounter(),
		calls:   map[string]int{},
		queues:  queues{byName: map[string]*queue{}, changed: make(chan struct{})},
		keys:    keyStore{byARN: map[string]*kmsKey{}, aliases: map[string]string{}},
		tables:  tableStore{byName: map[string]*table{}},
		objects: objectStore{buckets: map[string]*bucket{}},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// URL is the endpoint for the SDK clients of every service: BaseEndpoint, or AWS_ENDPOINT_URL.
func (s *Server) URL() string {
	addr := s.listener.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() { // it listens at every address
		return "http://127.0.0.1:" + strconv.Itoa(addr.Port)
	}
	return "http://" + addr.String()
}

// Close ends deliveries, also those under way, and returns when none is left. With Options.Dir, what was not
// delivered is delivered after the next start.
func (s *Server) Close() error {
	s.stop()
	err := s.http.Close()
	s.closeSinks()
	s.background.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, s.journal.close())
}

func (s *Server) closeSinks() {
	s.mu.Lock()
	sinks := slices.Collect(maps.Values(s.sinks))
	s.mu.Unlock()
	for _, k := range sinks {
		k.close()
	}
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
