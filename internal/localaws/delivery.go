package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// event is one that was accepted.
type event struct {
	id, detailType, source, account, region string
	at                                      time.Time
	resources                               []string
	detail                                  []byte
	replay                                  string // the replay that brings it again; "" = none
	order                                   uint64 // in archives that are kept
}

// json is the event as it is delivered. The detail's bytes are those that were put, unless the server
// re-serialises.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
func (e *event) json(detail []byte) []byte {
	resources := e.resources
	if resources == nil {
		resources = []string{}
	}
	doc := []byte{'{'}
	for _, m := range [...]struct {
		name  string
		value any
	}{
		{"version", "0"}, {"id", e.id}, {"detail-type", e.detailType}, {"source", e.source},
		{"account", e.account},
		{"time", e.at.Format("2006-01-02T15:04:05Z")}, {"region", e.region}, {"replay-name", e.replay},
		{"resources", resources},
	} {
		if m.value == "" && m.name == "replay-name" {
			continue
		}
		doc = append(doc, `"`+m.name+`":`...)
		doc = append(append(doc, plainJSON(m.value)...), ',')
	}
	return append(append(append(doc, `"detail":`...), detail...), '}')
}

// plainJSON is json.Marshal without the escapes for HTML.
func plainJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // strings, and lists of them
	}
	return bytes.TrimSpace(b.Bytes())
}

// route gives the event to the targets of every rule that matches, of those in only if there are any. An
// event that came from another bus is not forwarded to a third one.
func (s *Server) route(busName string, e *event, forwarded bool, only ...string) {
	doc := e.json(e.detail)
	fields, err := decode(doc)
	if err != nil {
		return // it was checked when it was put
	}
	targets := s.targetsFor(busName, fields, only)
	s.opts.Watch.routed(busName, doc, targets)
	for _, t := range targets {
		if to, isBus := strings.CutPrefix(t.Arn, s.arn("event-bus/")); isBus {
			if !forwarded {
				copied := *e
				copied.id = newUUID()
				s.route(to, &copied, true)
			}
			continue
		}
		s.enqueue(t, e)
	}
}

func (s *Server) targetsFor(busName string, fields any, only []string) (found []ruleTarget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buses[busName]
	if b == nil {
		return nil
	}
	found = []ruleTarget{}
	for _, r := range b.rules {
		if chosen := len(only) == 0 || slices.Contains(only, s.ruleARN(b, r)); chosen && r.enabled &&
			r.pattern.matches(fields) {
			found = append(found, r.targets...)
		}
	}
	return found
}

// enqueue makes the deliveries of an event to a target, with what Delivery wants to go wrong.
func (s *Server) enqueue(t ruleTarget, e *event) {
	copies := 1
	if s.chance(s.opts.Delivery.Duplicate) {
		copies = 2
	}
	for range copies {
		detail := e.detail
		if s.opts.Delivery.Reserialise {
			detail = s.reserialise(detail)
		}
		d := &shipment{doc: e.json(detail), target: t, since: s.opts.Now()}
		s.saveShipment(d)
		s.pending.add(1)
		s.later(func() { s.ship(d) })
	}
}

// ship gives a delivery to its sink. The function of a rule that the journal had may be there later only.
func (s *Server) ship(d *shipment) {
	s.mu.Lock()
	k := s.sinks[d.target.Arn]
	if k == nil {
		s.held[d.target.Arn] = append(s.held[d.target.Arn], d)
	}
	s.mu.Unlock()
	if k != nil {
		d.tries = s.tries(k, d.target)
		k.add(d)
	}
}

// tries is how often a delivery is attempted.
func (s *Server) tries(k *sink, t ruleTarget) int {
	switch {
	case !s.opts.Delivery.Retry:
		return 1
	case k.function != "":
		return 1 + s.functionRetries(k.function)
	}
	return 1 + t.retries()
}

// later holds f back for a random time.
func (s *Server) later(f func()) {
	if d := time.Duration(s.pick(int64(s.opts.Delivery.Delay) + 1)); d > 0 {
		time.AfterFunc(d, f)
		return
	}
	f()
}

// shipment is one event on its way to one target.
type shipment struct {
	key    string // of its row in the journal; "" = it has none
	doc    []byte
	target ruleTarget
	tries  int // how many there may be
	made   int
	since  time.Time
}

// sink is where deliveries end: a function or an endpoint, with the queue before it.
type sink struct {
	server   *Server
	function string // its name; "" = it is none
	take     func(ctx context.Context, d *shipment) error
	first    bool // it replaces no other, whose deliveries would be gone

	mu      sync.Mutex
	waiting *sync.Cond
	queue   []*shipment
	closed  bool
	workers sync.WaitGroup
}

// permanent is the error of a delivery that is not to be repeated.
type permanent struct{ error }

// Function makes a target of f and returns the ARN to put targets with. An error of f is a failed invocation,
// which is repeated if Delivery.Retry says so.
func (s *Server) Function(name string, f func(ctx context.Context, event []byte) error) (arn string) {
	arn = s.functionARN(name)
	s.mu.Lock()
	s.ensureFunction(name)
	s.mu.Unlock()
	s.addSink(arn, &sink{function: name, take: func(ctx context.Context, d *shipment) error { return f(ctx, bytes.Clone(d.doc)) }})
	return arn
}

// Endpoint makes a target of an HTTP endpoint, as an API destination, and returns the ARN to put targets
// with. It gets each event as a POST; a status of 200 to 299 takes it.
func (s *Server) Endpoint(name, url string) (arn string) {
	s.mu.Lock()
	if arn = s.endpoints[name]; arn == "" || s.sinks[arn] != nil {
		arn = s.arn("api-destination/" + name + "/" + newUUID())
		s.endpoints[name] = arn
		s.journal.put(bucketEndpoints, name, arn)
	}
	s.mu.Unlock()
	s.journal.flush()
	s.addSink(arn, &sink{take: func(ctx context.Context, d *shipment) error { return post(ctx, url, d.doc) }})
	return arn
}

func (s *Server) addSink(arn string, k *sink) {
	k.server, k.waiting = s, sync.NewCond(&k.mu)
	s.mu.Lock()
	old, held := s.sinks[arn], s.held[arn]
	if old != nil && k.first {
		s.mu.Unlock()
		return
	}
	s.sinks[arn] = k
	delete(s.held, arn)
	s.mu.Unlock()
	if old != nil {
		old.close()
	}
	for _, d := range held {
		s.ship(d)
	}
	for range s.opts.Delivery.Workers {
		k.workers.Go(k.work)
	}
}

// endpointTimeout is that of an API destination.
const endpointTimeout = 5 * time.Second

// post tells what is worth a retry as EventBridge does: 401, 407, 409, 429 and 5xx.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
func post(ctx context.Context, url string, event []byte) error {
	ctx, cancel := context.WithTimeout(ctx, endpointTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(event))
	if err != nil {
		return permanent{err}
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Amazon/EventBridge/ApiDestinations")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection is used again
	err = fmt.Errorf("localaws: the endpoint answered %s", resp.Status)
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == 401, code == 407, code == 409, code == 429, code >= 500:
		return err
	}
	return permanent{err}
}

// add queues a delivery. After close it is finished at once.
func (k *sink) add(d *shipment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		k.server.pending.add(-1)
		return
	}
	k.queue = append(k.queue, d)
	k.waiting.Signal()
}

// next waits for a delivery; nil = the sink is closed.
func (k *sink) next() *shipment {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.queue) == 0 && !k.closed {
		k.waiting.Wait()
	}
	if k.closed || k.server.ctx.Err() != nil {
		return nil
	}
	i := int(k.server.pick(int64(min(len(k.queue), 1+k.server.opts.Delivery.Reorder))))
	d := k.queue[i]
	k.queue = append(k.queue[:i:i], k.queue[i+1:]...)
	return d
}

func (k *sink) work() {
	for d := k.next(); d != nil; d = k.next() {
		k.deliver(d)
	}
}

// deliver makes one attempt. A failed delivery goes to the end of the queue, so others overtake it.
func (k *sink) deliver(d *shipment) {
	s := k.server
	err := k.take(s.ctx, d)
	d.made++
	if err == nil {
		s.finish(d)
		return
	}
	condition := k.exhausted(d, err)
	if condition == "" && s.ctx.Err() == nil {
		s.later(func() { k.add(d) })
		return
	}
	if s.ctx.Err() != nil {
		s.pending.add(-1) // the next start tries again
		return
	}
	k.giveUp(d, err, condition)
	s.finish(d)
}

// finish forgets a delivery.
func (s *Server) finish(d *shipment) {
	s.journal.change(d.arrived()...)
	s.journal.flush()
	s.pending.add(-1)
}

// The conditions that a dead-letter queue is told.
const (
	outOfAttempts = "MaximumRetryAttempts"
	outOfTime     = "MaximumEventAgeInSeconds"
	notTried      = "none" // the error is one that does not pass
)

// exhausted is why there is no further attempt; "" = there is one.
func (k *sink) exhausted(d *shipment, err error) string {
	_, final := err.(permanent)
	switch {
	case final:
		return notTried
	case d.made >= d.tries:
		return outOfAttempts
	case k.function == "" && k.server.opts.Now().Sub(d.since) >= d.target.maxAge():
		return outOfTime
	}
	return ""
}

// giveUp hands over what was not taken: EventBridge to the target's dead-letter queue; Lambda, which took the
// event before the function failed, to the function's destination.
func (k *sink) giveUp(d *shipment, err error, condition string) {
	s := k.server
	if s.opts.OnFailure != nil {
		s.opts.OnFailure(d.target.Arn, d.doc)
	}
	if k.function != "" {
		s.toDestination(k.function, d, err)
		return
	}
	if dead := d.target.DeadLetterConfig; dead != nil {
		s.deadLetter(dead.Arn, d, err, condition)
	}
}

// close drops what is queued and waits for what is under way.
func (k *sink) close() {
	k.mu.Lock()
	k.closed = true
	k.server.pending.add(-len(k.queue))
	k.queue = nil
	k.waiting.Broadcast()
	k.mu.Unlock()
	k.workers.Wait()
}
