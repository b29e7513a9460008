package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
	"github.com/sealbus/sealbus/producer"
)

// process is one process of a producer.
type process struct {
	Producer
	seals  *producer.Producer
	source string           // of its events
	sealed *envelope.Sealed // what it sent last
}

// Send is the bus of the process.
func (p *process) Send(_ context.Context, events []*envelope.Sealed) []producer.Result {
	p.sealed = events[0]
	return make([]producer.Result, len(events))
}

// makeProducers gives each process the keyring of its producer.
func (r *run) makeProducers() error {
	for _, o := range r.Producers {
		ring := &liveRing{run: r, of: &o}
		if _, err := ring.now(); err != nil {
			return err
		}
		p := &process{Producer: o}
		now := r.clock.ahead(o.Skew)
		var source trust.Source = noTrust{}
		var err error
		if !o.CutOff {
			origin := &view{host: &r.host, clock: &r.clock, name: bundleFile, lag: o.Lag, bytes: &r.rec.Bytes,
				asked: &r.rec.Asked}
			if source, err = trust.FetchFrom(r.ctx, origin, r.roots, &trust.Options{Now: now}); err != nil {
				return err
			}
		}
		p.seals, err = producer.New(ring, p, &producer.Options{Now: now, Trust: source,
			Warn: func(producer.Warning) {}})
		if err != nil {
			return err
		}
		p.source = r.sourceOf(o.Name)
		r.producers = append(r.producers, p)
	}
	return nil
}

// noTrust is the source of a process that cannot reach the host.
type noTrust struct{}

func (noTrust) Bundle(context.Context) (*trust.Bundle, error) { return nil, trust.ErrUnavailable }

// liveRing is the keyring of a process. A change comes into it when its bundle is built, and no sooner.
type liveRing struct {
	run *run
	of  *Producer
}

func (l *liveRing) now() (*keys.Keyring, error) {
	var list []policy.Key
	for _, k := range ofProducer(l.of.known(l.run.Publications, l.run.clock.now).lives(), l.of.Name) {
		list = append(list, policy.Key{ID: k.id, Schedule: k.schedule})
	}
	return l.run.Cast.keyring(l.of.Name, list)
}

// Signers makes it a keys.SignerSource.
func (l *liveRing) Signers(now time.Time) ([]keys.Signer, error) {
	ring, err := l.now()
	if err != nil {
		return nil, err
	}
	return ring.Signers(now)
}

// Candidates are those of the keyring, as keys.LiveKeyring has them.
func (l *liveRing) Candidates(now time.Time) (due, others []keys.Signer) {
	ring, err := l.now()
	if err != nil {
		return nil, nil // Signers has the error
	}
	return ring.Candidates(now)
}

// known are the publications that the keyring of the process follows at that moment.
func (o *Producer) known(list []Publication, at time.Time) *Plan {
	n := 1
	for n < len(list)-o.Behind && !list[n].Built.After(at) {
		n++
	}
	return &Plan{Publications: list[:n]}
}

// sourceOf is a source that the producer may use.
func (r *run) sourceOf(name string) string {
	for _, p := range r.Publications[0].Policy.Producers {
		if p.Name == name && len(p.Sources) > 0 {
			return fitting(p.Sources[0])
		}
	}
	return "https://rehearsal.example/"
}

// send has a producer seal an event, and puts it into the queue of each consumer.
func (r *run) send(i int) {
	s := r.Sends[i]
	p := r.producers[s.By]
	ev := event.New()
	ev.SetID(fmt.Sprintf("event-%d", i+1))
	ev.SetSource(p.source)
	ev.SetType(s.Type)
	_ = ev.SetData(event.ApplicationJSON, map[string]int{"n": i + 1}) // is valid JSON
	if _, err := p.seals.Publish(r.ctx, ev); err != nil {
		r.tell(OfEvents, "%s cannot seal event %d: %s", p.Name, i+1, r.Cast.relabel(cause(err)))
		r.rec.Verdicts = append(r.rec.Verdicts, Verdict{Send: i, Consumer: -1, Sealed: r.clock.now, At: r.clock.now,
			Outcome: unsealed(err)})
		return
	}
	key := p.sealed.KeyIDs()[0]
	r.tell(OfEvents, "%s seals event %d with key %s%s", p.Name, i+1, r.Cast.Label(key), offBy(p.Skew))
	body := p.sealed.JSON()
	for n, c := range r.consumers {
		m := &message{Verdict: Verdict{Send: i, Consumer: n, KeyID: key, Sealed: r.clock.now}, body: body, to: c}
		r.clock.at(r.clock.now.Add(s.Delay), func() { r.deliver(m) })
	}
}

func offBy(skew time.Duration) string {
	switch {
	case skew > 0:
		return fmt.Sprintf(", by a clock that is %s fast", skew)
	case skew < 0:
		return fmt.Sprintf(", by a clock that is %s slow", -skew)
	}
	return ""
}

// reader is one process of a consumer.
type reader struct {
	Consumer
	run     *run
	source  *trust.RemoteSource
	handles *consumer.Consumer
	had     int64     // version of the bundle that it had when the story last spoke of it
	asked   time.Time // likewise
	index   int
	heard   bool // of a revocation
}

func (r *run) makeConsumers() error {
	for i, o := range r.Consumers {
		c := &reader{Consumer: o, run: r, index: i}
		origin := &view{host: &r.host, clock: &r.clock, name: bundleFile, lag: o.Lag, withheld: o.Withheld,
			bytes: &r.rec.Bytes, asked: &r.rec.Asked}
		now := r.clock.ahead(o.Skew)
		var err error
		if c.source, err = trust.FetchFrom(r.ctx, origin, r.roots, &trust.Options{Now: now}); err != nil {
			return err
		}
		c.handles, err = consumer.New("rehearsal", c.source, replay.NewMemory(&replay.MemoryOptions{Now: now}),
			&envelope.Policy{
				MaxAge: r.MaxAge, Now: now, Unsafe: envelope.Unsafe{AnySource: true}, // the bundle alone decides
			}, &consumer.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		c.had, c.asked = 1, c.source.Checked()
		r.consumers = append(r.consumers, c)
	}
	return nil
}

// poll has the consumer look at its bundle, as other traffic does.
func (c *reader) poll() {
	if c.heard { // then only its events matter, which look as well
		return
	}
	b, err := c.source.Bundle(c.run.ctx) // an outage is told where it matters
	c.listen(b, err)
	c.look()
}

// look tells that the consumer asked the host, and what it got.
func (c *reader) look() {
	if c.source.Checked().Equal(c.asked) {
		return
	}
	c.asked = c.source.Checked()
	b, err := c.source.Bundle(c.run.ctx)
	switch {
	case err != nil:
	case b.Version() != c.had:
		c.run.tell(OfConsumers, "%s asks the host and gets bundle %d", c.Name, b.Version())
		c.had = b.Version()
	case c.Lag > 0 && b.Version() < c.run.current.Version():
		c.run.tell(OfConsumers, "%s asks, and a cache still serves bundle %d", c.Name, b.Version())
	default:
		c.run.tell(OfConsumers, "%s asks, and bundle %d is the newest", c.Name, b.Version())
	}
}

// message is one event in the queue of one consumer.
type message struct {
	Verdict
	body  []byte
	to    *reader
	first time.Time // when it came first, by the clock of the queue
	tries int
}

// deliver opens the message, and puts it back if it could not be judged.
func (r *run) deliver(m *message) {
	c := m.to
	msg := consumer.Message{Body: m.body}
	if m.tries++; m.tries == 1 {
		m.first = r.clock.now
	} else {
		msg.FirstReceived = m.first
	}
	_, err := c.handles.Handle(r.ctx, msg, handled)
	c.look()
	m.Reason = envelope.ReasonOf(err)
	if m.Reason.Class() == envelope.Transient && m.tries < r.Receives {
		r.clock.at(r.clock.now.Add(r.Visibility), func() { r.deliver(m) })
		return
	}
	m.At = r.clock.now
	m.Outcome = r.outcomeOf(c, m.KeyID, m.Reason)
	if m.Outcome == Accepted {
		r.tell(OfEvents, "%s accepts event %d", c.Name, m.Send+1)
	} else {
		r.tell(OfEvents, "%s refuses event %d: %s%s (%v)", c.Name, m.Send+1, m.Reason, offBy(c.Skew),
			r.Cast.relabel(cause(err)))
	}
	r.rec.Verdicts = append(r.rec.Verdicts, m.Verdict)
}

// handled is the handler of all consumers.
func handled(context.Context, consumer.Delivery[[]byte]) error { return nil }

// unsealed is what an error of Publish means.
func unsealed(err error) Outcome {
	if _, ok := errors.AsType[*producer.TrustError](err); ok {
		return HeldBack
	}
	return Unsealed
}

// cause is the error as the story has it.
func cause(err error) string {
	if e, ok := errors.AsType[*envelope.Error](err); ok {
		return e.Cause
	}
	if e, ok := errors.AsType[*producer.TrustError](err); ok {
		return e.Cause
	}
	text := err.Error()
	if at := strings.LastIndex(text, ": "); at >= 0 {
		text = text[at+2:]
	}
	return text
}
