// Package emf writes CloudWatch metrics about a consumer. It writes lines of JSON in the Embedded Metric
// Format, and CloudWatch Logs makes metrics of them. On Lambda these lines go to standard output. That needs
// no call, no permission and no AWS module.
//
//	metrics, err := emf.New(nil)                                       // to os.Stdout
//	c, err := consumer.New("billing", trust, store, policy, &consumer.Options{Observer: metrics})
//	...
//	err = c.Flush(ctx)                                                 // at the end of each invocation
//
// # Metrics
//
// Namespace [DefaultNamespace], unless [Options] say otherwise. A dimension set is a metric of its own in
// CloudWatch: an alarm names one of the sets of its row, with exactly these dimensions.
//
//	metric             unit          statistic          dimension sets
//	Deliveries         Count         Sum                Consumer+Outcome | Consumer+Outcome+Reason |
//	                                                    Consumer+Producer
//	Rejections         Count         Sum                Consumer | Consumer+Reason
//	ReplayHits         Count         Sum                Consumer
//	Latency            Milliseconds  p50, p99, Maximum  Consumer
//	HandlerLatency     Milliseconds  p50, p99, Maximum  Consumer
//	ClaimHeld          Seconds       p99, Maximum       Consumer
//	EventAge           Seconds       p50, p99, Maximum  Consumer
//	BundleSecondsLeft  Seconds       Minimum            Consumer
//	TaintedKeys        Count         Sum                Consumer | Consumer+Producer
//	SamplesDropped     Count         Sum                Consumer
//
// Deliveries counts each delivery once. Rejections counts those that can never pass, whether or not the
// quarantine has them yet; deliveries that UnsafeMigration accepted are not among them. It is also written
// when it is 0, by Consumer, so that an alarm on it has data whenever there are deliveries. ReplayHits
// counts events that had been handled before. Latency is from the call of Handle to its outcome.
// HandlerLatency is the handler's part of it, if the handler was called. ClaimHeld is how long the event was
// claimed, if it was. EventAge is the time from the signed sealing to the handling of a verified event. An
// event that is older than the window has none; it has the Reason expired.
//
// BundleSecondsLeft is how long the trust bundle may still be used. It is written with each delivery that
// the bundle judged. Without a bundle there is none, and deliveries are retried with the Reason
// trust_unavailable: alarm on both. TaintedKeys counts deliveries of events that a tainted key signed. When
// it is absent for as long as events may wait in a queue, the key can be revoked. SamplesDropped counts
// deliveries whose measured values were not kept while the writer failed; the deliveries themselves are
// counted. Both are absent if there are none.
//
// Outcome is one of the consumer's Outcome constants. Reason is one of envelope.Reasons, or "none" when
// handled. Producer is a verified producer; a delivery that was not verified has none.
//
// # Threats
//
// Each set of labels costs money every month, and an attacker who can reach the consumer can send it
// anything. So no label is made of unverified text: the claimed source, type, ID or producer of a rejected
// event is in no line. At most Options.MaxProducers producers have a label of their own for the life of the
// process, and at most 50 consumers; the others are "other". These labels bound the memory, also while the
// writer fails: then counts stay exact and are written later, and the first 100 measured values per set of
// labels are kept. Not stopped: a program of the account that may write to any log, or call PutMetricData,
// can make metrics of the same names, also negative ones.
//
// Stable: the table above, New, Options.
package emf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// DefaultNamespace is the CloudWatch namespace of the metrics.
const DefaultNamespace = "Sealbus"

// Bounds of what is collected and written.
const (
	// maxValues is how many values an array in a line may have, by the section "Target members" of the
	// specification:
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
	// At most so many deliveries are collected. The next one first has them written.
	maxValues = 100
	// maxDelay is the longest time between the first delivery that was collected and the latest. A delivery
	// after that first has the others written: CloudWatch keeps metrics by the minute, and a line has one
	// time.
	maxDelay = time.Minute
	// defaultMaxProducers is how many producers have a label of their own.
	defaultMaxProducers = 50
	// maxConsumers is how many consumers that share one Observer have a label of their own.
	maxConsumers = 50
)

// Options adjust an Observer.
type Options struct {
	Writer io.Writer // each line is one Write; nil = os.Stdout. It is never closed
	// Namespace is that of the metrics: at most 255 printable ASCII characters, not AWS/...;
	// "" = DefaultNamespace.
	Namespace string
	// MaxProducers is how many verified producers have a label of their own; the others are "other". 0 = 50.
	MaxProducers int
}

// Observer collects how deliveries ended, and writes it at Flush. It is safe for concurrent use, also by
// several consumers.
type Observer struct {
	namespace string

	mu        sync.Mutex
	out       lineWriter
	consumers labels
	producers labels
	groups    map[key]*group
	order     []*group  // the groups, by first appearance
	collected int       // deliveries since the last attempt to write them
	since     time.Time // when the first of these ended
}

var _ consumer.Observer = (*Observer)(nil)

// New makes an Observer; nil options are the defaults.
func New(opts *Options) (*Observer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Writer == nil {
		o.Writer = os.Stdout
	}
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.MaxProducers == 0 {
		o.MaxProducers = defaultMaxProducers
	}
	if err := nilcheck.Typed("emf: Options.Writer", o.Writer); err != nil {
		return nil, err
	}
	if err := checkNamespace(o.Namespace); err != nil {
		return nil, err
	}
	if o.MaxProducers < 0 {
		return nil, fmt.Errorf("emf: MaxProducers is %d: give how many producers have a label of their own, "+
			"or 0 for %d", o.MaxProducers, defaultMaxProducers)
	}
	return &Observer{
		namespace: o.Namespace, out: lineWriter{w: o.Writer}, groups: map[key]*group{},
		consumers: newLabels(maxConsumers), producers: newLabels(o.MaxProducers),
	}, nil
}

// checkNamespace holds a namespace against
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
func checkNamespace(ns string) error {
	switch {
	case len(ns) > 255:
		return fmt.Errorf("emf: Namespace has %d characters: at most 255", len(ns))
	case strings.ContainsFunc(ns, func(r rune) bool { return r < ' ' || r > '~' }) ||
		strings.TrimSpace(ns) == "":
		return fmt.Errorf("emf: the namespace %q is not printable ASCII", ns)
	case ns[0] == ':' || strings.HasPrefix(ns, "AWS/"):
		return fmt.Errorf("emf: the namespace %q is one that CloudWatch keeps for itself: "+
			"begin with neither ':' nor \"AWS/\"", ns)
	}
	return nil
}

// Delivered collects a Result. If it already has 100 deliveries, or one that is older than a minute, it
// writes them first. If that fails, they are kept, and Flush says why.
func (o *Observer) Delivered(_ context.Context, r consumer.Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	age := r.At.Sub(o.since)
	if o.collected >= maxValues || o.collected > 0 && (age >= maxDelay || age <= -maxDelay) {
		_ = o.write() // Flush tries again what could not be written
	}
	if o.collected == 0 {
		o.since = r.At
	}
	o.collected++
	o.group(&r).add(&r)
}

// Flush writes all that was collected. Lines that could not be written are kept for the next time. They are
// then written again as a whole, so nothing is counted twice.
func (o *Observer) Flush(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.write(); err != nil {
		return fmt.Errorf("emf: %d deliveries are not in the metrics yet: %w", o.unwritten(), err)
	}
	return nil
}

func (o *Observer) unwritten() (n int) {
	for _, g := range o.order {
		n += g.deliveries
	}
	return n
}

// write writes each group that has deliveries. After a failure, the next delivery does not try again at
// once, because a writer that fails may also be slow.
func (o *Observer) write() error {
	o.collected = 0
	if err := o.out.repair(); err != nil {
		return err
	}
	for _, g := range o.order {
		if g.deliveries == 0 {
			continue
		}
		line, err := g.line(o.namespace)
		if err != nil {
			return err
		}
		written, err := o.out.write(line)
		if written {
			g.reset()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lineWriter writes whole lines.
type lineWriter struct {
	w      io.Writer
	broken bool // the last line has no end
}

// write reports whether the whole line was written. If a line was cut short, its rest is not written later,
// because another program may have written to the same place in between. repair ends such a line, and it is
// no JSON then.
func (l *lineWriter) write(line []byte) (written bool, err error) {
	l.broken = true // if Write panics
	n, err := l.w.Write(line)
	if n < len(line) && err == nil {
		err = io.ErrShortWrite
	}
	l.broken = n > 0 && n < len(line)
	return n >= len(line)-1, err // a line that lacks only its newline is whole
}

var newline = []byte{'\n'}

// repair ends a line that was cut short.
func (l *lineWriter) repair() error {
	if !l.broken {
		return nil
	}
	if n, err := l.w.Write(newline); n == 0 {
		return errors.Join(err, io.ErrShortWrite)
	}
	l.broken = false
	return nil
}
