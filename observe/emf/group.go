package emf

import (
	"strconv"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// key is one set of labels, all of them bounded.
type key struct {
	consumer, outcome, reason string
	producer                  string // "" = not verified
}

// group is what was collected under one set of labels. It stays for the life of the Observer, so that
// collecting allocates nothing once a set has been seen.
type group struct {
	key
	at         time.Time // of the latest delivery
	deliveries int
	rejections int
	replayHits int
	dropped    int // deliveries whose values were not kept

	latency, handler, held, age []time.Duration // at most maxValues
	left                        time.Duration   // the least that a bundle had left
	bundle                      bool            // left is known
}

// group is the group of a report.
func (o *Observer) group(r *consumer.Result) *group {
	k := key{consumer: o.consumers.of(r.Consumer), outcome: outcomeLabel(r.Outcome), reason: reasonLabel(r.Reason())}
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

// appendLine appends the group as one document of
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
// and a newline: a MetricDirective for each list of dimension sets, then the target members, which are the
// labels and the numbers. It is less than 16 KiB; CloudWatch Logs takes 256 KiB or more.
func (g *group) appendLine(b []byte, namespace string) []byte {
	b = append(b, `{"_aws":{"Timestamp":`...)
	b = strconv.AppendInt(b, g.at.UnixMilli(), 10)
	b = append(b, `,"CloudWatchMetrics":[`...)
	b = g.appendDirectives(b, namespace)
	b = append(b, `]}`...)
	b = appendLabel(b, "Consumer", g.consumer)
	b = appendLabel(b, "Outcome", g.outcome)
	b = appendLabel(b, "Reason", g.reason)
	if g.producer != "" {
		b = appendLabel(b, "Producer", g.producer)
	}
	return append(g.appendNumbers(b), "}\n"...)
}

func appendLabel(b []byte, name, value string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	return jsontext.AppendQuote(append(b, `":`...), value)
}

// The dimension sets of the table in the package comment.
const (
	byProducer = `["Consumer","Outcome"],["Consumer","Outcome","Reason"],["Consumer","Producer"]`
	byOutcome  = `["Consumer","Outcome"],["Consumer","Outcome","Reason"]`
	byReason   = `["Consumer"],["Consumer","Reason"]`
	byConsumer = `["Consumer"]`
)

func (g *group) appendDirectives(b []byte, namespace string) []byte {
	sets := byOutcome
	if g.producer != "" {
		sets = byProducer
	}
	b = appendDirective(b, namespace, sets)
	b = append(appendMetric(b, "Deliveries", "Count"), `]},`...)
	if g.rejections > 0 {
		b = appendDirective(b, namespace, byReason)
		b = append(appendMetric(b, "Rejections", "Count"), `]},`...)
	}
	b = appendDirective(b, namespace, byConsumer)
	if g.rejections == 0 {
		b = appendMetric(b, "Rejections", "Count")
	}
	for i := range metrics {
		if m := &metrics[i]; m.has(g) {
			b = appendMetric(b, m.name, m.unit)
		}
	}
	return append(b, `]}`...)
}

func appendDirective(b []byte, namespace, sets string) []byte {
	b = jsontext.AppendQuote(append(b, `{"Namespace":`...), namespace)
	b = append(b, `,"Dimensions":[`...)
	b = append(b, sets...)
	return append(b, `],"Metrics":[`...)
}

func appendMetric(b []byte, name, unit string) []byte {
	b = appendComma(b, '[')
	b = append(b, `{"Name":"`...)
	b = append(b, name...)
	b = append(b, `","Unit":"`...)
	b = append(b, unit...)
	return append(b, `"}`...)
}

// appendComma separates what comes from what is there, unless that is the beginning.
func appendComma(b []byte, beginning byte) []byte {
	if b[len(b)-1] == beginning {
		return b
	}
	return append(b, ',')
}

// metrics are those that are never by anything but Consumer.
var metrics = [...]struct {
	name, unit string
	has        func(*group) bool
	append     func([]byte, *group) []byte
}{
	{"ReplayHits", "Count", always, func(b []byte, g *group) []byte { return appendInt(b, g.replayHits) }},
	{"Latency", "Milliseconds", always, func(b []byte, g *group) []byte { return appendValues(b, g.latency, time.Millisecond) }},
	{"HandlerLatency", "Milliseconds", func(g *group) bool { return len(g.handler) > 0 }, func(b []byte, g *group) []byte { return appendValues(b, g.handler, time.Millisecond) }},
	{"ClaimHeld", "Seconds", func(g *group) bool { return len(g.held) > 0 }, func(b []byte, g *group) []byte { return appendValues(b, g.held, time.Second) }},
	{"EventAge", "Seconds", func(g *group) bool { return len(g.age) > 0 }, func(b []byte, g *group) []byte { return appendValues(b, g.age, time.Second) }},
	{"BundleSecondsLeft", "Seconds", func(g *group) bool { return g.bundle }, func(b []byte, g *group) []byte { return appendInt(b, int(g.left/time.Second)) }},
	{"SamplesDropped", "Count", func(g *group) bool { return g.dropped > 0 }, func(b []byte, g *group) []byte { return appendInt(b, g.dropped) }},
}

func always(*group) bool { return true }

func (g *group) appendNumbers(b []byte) []byte {
	b = appendInt(append(b, `,"Deliveries":`...), g.deliveries)
	b = appendInt(append(b, `,"Rejections":`...), g.rejections)
	for i := range metrics {
		m := &metrics[i]
		if !m.has(g) {
			continue
		}
		b = append(b, `,"`...)
		b = append(b, m.name...)
		b = m.append(append(b, `":`...), g)
	}
	return b
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

// appendValues appends durations in a unit, to the microsecond.
func appendValues(b []byte, values []time.Duration, unit time.Duration) []byte {
	b = append(b, '[')
	for _, v := range values {
		b = appendComma(b, '[')
		b = strconv.AppendFloat(b, float64(v/time.Microsecond)/float64(unit/time.Microsecond), 'f', -1, 64)
	}
	return append(b, ']')
}
