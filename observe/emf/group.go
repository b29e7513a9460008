package emf

import (
	"encoding/json"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

// key is one set of labels, all of them bounded.
type key struct {
	consumer, outcome, reason string
	producer                  string // "" = not verified
}

// group has the deliveries that were collected under one set of labels. It stays for the life of the
// Observer, so that a delivery under a known set allocates nothing.
type group struct {
	key
	at         time.Time // of the latest delivery
	deliveries int
	rejections int
	replayHits int
	tainted    int // deliveries
	dropped    int // deliveries whose values were not kept

	latency, handler, held, age []time.Duration // at most maxValues
	left                        time.Duration   // the least that a bundle had left
	bundle                      bool            // left is known
}

// group is the group of a Result.
func (o *Observer) group(r *consumer.Result) *group {
	k := key{consumer: o.consumers.of(r.Consumer), outcome: outcomeLabel(r.Outcome),
		reason: reasonLabel(r.Reason())}
	if p := r.Producer; p != "" {
		k.producer = o.producers.of(p)
	}
	g := o.groups[k]
	if g == nil {
		g = &group{key: k}
		o.groups[k], o.order = g, append(o.order, g)
	}
	return g
}

func (g *group) add(r *consumer.Result) {
	if g.deliveries == 0 || r.At.After(g.at) {
		g.at = r.At
	}
	g.deliveries++
	if v := r.Verdict; v != nil && v.Reason.Class() == envelope.Permanent && r.Outcome != consumer.Migrating {
		g.rejections++
	}
	if r.Outcome == consumer.Duplicate {
		g.replayHits++
	}
	if r.TaintedKeyID != "" {
		g.tainted++
	}
	if end := r.BundleExpires; !end.IsZero() {
		if left := end.Sub(r.At); !g.bundle || left < g.left {
			g.left, g.bundle = left, true
		}
	}
	g.addValues(r)
}

func (g *group) addValues(r *consumer.Result) {
	if len(g.latency) >= maxValues {
		g.dropped++
		return
	}
	g.latency = append(g.latency, r.Took)
	if r.Called {
		g.handler = append(g.handler, r.Handler)
	}
	if r.Claimed {
		g.held = append(g.held, r.Held)
	}
	if !r.SignedAt.IsZero() {
		g.age = append(g.age, r.Age)
	}
}

func (g *group) reset() {
	*g = group{key: g.key, latency: g.latency[:0], handler: g.handler[:0], held: g.held[:0], age: g.age[:0]}
}

// line is one line of
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
// with the labels and the numbers as target members. It is less than 16 KiB; CloudWatch Logs takes 256 KiB.
type line struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	} `json:"_aws"`

	Consumer, Outcome, Reason          string
	Producer                           string `json:",omitempty"`
	Deliveries, Rejections, ReplayHits int
	Latency                            []float64
	HandlerLatency                     []float64 `json:",omitempty"`
	ClaimHeld                          []float64 `json:",omitempty"`
	EventAge                           []float64 `json:",omitempty"`
	BundleSecondsLeft                  *int64    `json:",omitempty"`
	SamplesDropped                     int       `json:",omitempty"`
	TaintedKeys                        int       `json:",omitempty"`
}

// directive says by which dimension sets metrics are counted.
type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metric
}

type metric struct{ Name, Unit string }

// line is the group as JSON, and a newline.
func (g *group) line(namespace string) ([]byte, error) {
	l := line{
		Consumer: g.consumer, Outcome: g.outcome, Reason: g.reason, Producer: g.producer,
		Deliveries: g.deliveries, Rejections: g.rejections, ReplayHits: g.replayHits,
		SamplesDropped: g.dropped, TaintedKeys: g.tainted,
		Latency: in(time.Millisecond, g.latency), HandlerLatency: in(time.Millisecond, g.handler),
		ClaimHeld: in(time.Second, g.held), EventAge: in(time.Second, g.age),
	}
	byOutcome := directive{namespace, [][]string{{"Consumer", "Outcome"}, {"Consumer", "Outcome", "Reason"}},
		[]metric{{"Deliveries", "Count"}}}
	if g.producer != "" {
		byOutcome.Dimensions = append(byOutcome.Dimensions, []string{"Consumer", "Producer"})
	}
	l.AWS.Timestamp, l.AWS.CloudWatchMetrics = g.at.UnixMilli(), []directive{byOutcome}
	byConsumer := directive{Namespace: namespace, Dimensions: [][]string{{"Consumer"}}}
	add := func(present bool, name, unit string) {
		if present {
			byConsumer.Metrics = append(byConsumer.Metrics, metric{name, unit})
		}
	}
	if g.rejections > 0 {
		l.AWS.CloudWatchMetrics = append(l.AWS.CloudWatchMetrics, directive{
			namespace, [][]string{{"Consumer"}, {"Consumer", "Reason"}}, []metric{{"Rejections", "Count"}}})
	}
	if g.tainted > 0 { // only of verified events, which have a producer
		l.AWS.CloudWatchMetrics = append(l.AWS.CloudWatchMetrics, directive{
			namespace, [][]string{{"Consumer"}, {"Consumer", "Producer"}}, []metric{{"TaintedKeys", "Count"}}})
	}
	add(g.rejections == 0, "Rejections", "Count")
	add(true, "ReplayHits", "Count")
	add(true, "Latency", "Milliseconds")
	add(len(g.handler) > 0, "HandlerLatency", "Milliseconds")
	add(len(g.held) > 0, "ClaimHeld", "Seconds")
	add(len(g.age) > 0, "EventAge", "Seconds")
	if g.bundle {
		left := int64(g.left / time.Second)
		l.BundleSecondsLeft = &left
	}
	add(g.bundle, "BundleSecondsLeft", "Seconds")
	add(g.dropped > 0, "SamplesDropped", "Count")
	l.AWS.CloudWatchMetrics = append(l.AWS.CloudWatchMetrics, byConsumer)
	doc, err := json.Marshal(l)
	return append(doc, '\n'), err
}

// in is durations in a unit, to the microsecond.
func in(unit time.Duration, values []time.Duration) []float64 {
	numbers := make([]float64, len(values))
	for i, v := range values {
		numbers[i] = float64(v/time.Microsecond) / float64(unit/time.Microsecond)
	}
	return numbers
}
