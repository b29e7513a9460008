package emf_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/observe/emf"
)

var (
	update = flag.Bool("update", false, "write testdata/golden.jsonl")
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func newObserver(t testing.TB, opts emf.Options) *emf.Observer {
	t.Helper()
	o, err := emf.New(&opts)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// handled is a report of an event that a producer sealed and the handler handled.
func handled(producer string) consumer.Result {
	return consumer.Result{
		Consumer: "billing", At: start, Took: 12500 * time.Microsecond,
		Outcome: consumer.Handled, Producer: producer, Source: "https://orders.example/eu", Type: "t",
		ID:     "1",
		Called: true, Handler: 10 * time.Millisecond, Claimed: true, Held: 11 * time.Millisecond,
		SignedAt: start.Add(-90 * time.Second), Age: 90 * time.Second,
		BundleExpires: start.Add(48 * time.Hour),
	}
}

func duplicate(producer string) consumer.Result {
	r := handled(producer)
	r.Outcome, r.Verdict = consumer.Duplicate, &envelope.Error{Reason: envelope.ReasonReplayed}
	r.Called, r.Handler, r.Claimed, r.Held = false, 0, false, 0
	return r
}

// forged is a report of an event that claims to be what it is not.
func forged(reason envelope.Reason, claims string) consumer.Result {
	return consumer.Result{
		Consumer: "billing", At: start, Took: 40 * time.Microsecond, BundleExpires: start.Add(48 * time.Hour),
		Outcome: consumer.Quarantined, Verdict: &envelope.Error{
			Reason: reason, Cause: "it says " + claims, UnverifiedID: claims, UnverifiedSource: claims,
			UnverifiedType: claims,
		},
	}
}

// TestGolden is a batch as Lambda has it, and its lines.
func TestGolden(t *testing.T) {
	var out bytes.Buffer
	o := newObserver(t, emf.Options{Writer: &out})
	unjudged := consumer.Result{
		Consumer: "billing", At: start, Took: time.Second, Err: errors.New("no trust"),
		Outcome: consumer.Retry, Verdict: &envelope.Error{Reason: envelope.ReasonTrustUnavailable},
	}
	late := handled("orders")
	late.At, late.Took, late.BundleExpires = start.Add(1500*time.Millisecond), 1512345678*time.Nanosecond,
		start.Add(47*time.Hour)
	migrating := forged(envelope.ReasonUnsigned, "legacy")
	migrating.Outcome = consumer.Migrating
	for _, r := range []consumer.Result{
		handled("orders"), late, handled("refunds"), duplicate("orders"),
		forged(envelope.ReasonModified, "evil"),
		forged(envelope.ReasonModified, "worse"), migrating, unjudged,
	} {
		o.Delivered(t.Context(), r)
	}
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustParse(t, out.Bytes())
	const file = "testdata/golden.jsonl"
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("wrote\n%swant\n%s", out.Bytes(), want)
	}
	out.Reset()
	if err := o.Flush(t.Context()); err != nil || out.Len() > 0 {
		t.Errorf("a second Flush wrote %s, %v", out.Bytes(), err)
	}
}

// TestTaintedKeys: events under a tainted key are counted by consumer and by producer. The key is in no line.
func TestTaintedKeys(t *testing.T) {
	var out bytes.Buffer
	o := newObserver(t, emf.Options{Writer: &out})
	tainted := handled("orders")
	tainted.TaintedKeyID = "the-key"
	for _, r := range []consumer.Result{tainted, handled("orders"), tainted, handled("refunds")} {
		o.Delivered(t.Context(), r)
	}
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	docs := mustParse(t, out.Bytes())
	if n := total(docs, "TaintedKeys"); n != 2 || len(docs) != 2 || docs[1].values["TaintedKeys"] != nil {
		t.Errorf("%v of %d lines: %s", n, len(docs), out.Bytes())
	}
	if bytes.Contains(out.Bytes(), []byte("the-key")) {
		t.Errorf("the key is in %s", out.Bytes())
	}
}

// TestBatchIsOneLine: what is collected costs by the set of labels, not by the delivery.
func TestBatchIsOneLine(t *testing.T) {
	var out bytes.Buffer
	o := newObserver(t, emf.Options{Writer: &out, Namespace: "Shop/Billing"})
	for range 10 {
		o.Delivered(t.Context(), handled("orders"))
	}
	if out.Len() > 0 {
		t.Fatalf("before Flush it wrote %s", out.Bytes())
	}
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	docs := mustParse(t, out.Bytes())
	if len(docs) != 1 || total(docs, "Deliveries") != 10 || count(docs, "Latency") != 10 ||
		!strings.Contains(out.String(), `"Namespace":"Shop/Billing"`) {
		t.Errorf("%s", out.Bytes())
	}
}

// TestWritesByItself at its bounds, and each delivery once: by number, by age, and when the clock was set
// back.
func TestWritesByItself(t *testing.T) {
	var out bytes.Buffer
	o := newObserver(t, emf.Options{Writer: &out})
	deliver := func(at time.Time, want int) {
		t.Helper()
		r := handled("orders")
		r.At = at
		o.Delivered(t.Context(), r)
		if got := total(mustParse(t, out.Bytes()), "Deliveries"); got != float64(want) {
			t.Fatalf("%v deliveries are written, want %d", got, want)
		}
	}
	for range emf.MaxValues {
		deliver(start, 0)
	}
	deliver(start, 100)
	deliver(start.Add(emf.MaxDelay-1), 100)
	deliver(start.Add(emf.MaxDelay), 102)
	deliver(start, 103)
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if docs := mustParse(t, out.Bytes()); total(docs, "Deliveries") != 104 || count(docs, "Latency") != 104 ||
		total(docs, "SamplesDropped") != 0 {
		t.Errorf("%s", out.Bytes())
	}
}

// TestAttacker: whatever an attacker sends, also with the key of one producer, the labels are few and none is
// theirs.
func TestAttacker(t *testing.T) {
	const deliveries, known, most = 100_000, 1000, 50
	random := rand.New(rand.NewPCG(1, 2))
	reasons := envelope.Reasons()
	var out bytes.Buffer
	o := newObserver(t, emf.Options{Writer: &out})
	sets, written := map[string]bool{}, 0.0
	collect := func() {
		docs := mustParse(t, out.Bytes())
		if i := bytes.Index(out.Bytes(), []byte("evil")); i >= 0 {
			t.Fatalf("what the attacker wrote is in the metrics: %.300s", out.Bytes()[i:])
		}
		for _, d := range docs {
			sets[fmt.Sprint(d.labels)] = true
		}
		written += total(docs, "Deliveries")
		out.Reset()
	}
	for i := range deliveries {
		r := forged(reasons[i/1000%len(reasons)], fmt.Sprintf("evil-%x\n\"\x00", random.Uint64()))
		switch i % 10 {
		case 0:
			r = handled(fmt.Sprintf("producer-%d", random.IntN(known)))
		case 1: // not what a consumer says, but a bound is a bound
			r.Outcome = consumer.Outcome(fmt.Sprint("evil", i))
		case 2:
			r.Verdict = &envelope.Error{Reason: envelope.Reason(fmt.Sprint("evil", i))}
		}
		o.Delivered(t.Context(), r)
		if i%1000 == 0 {
			collect()
		}
	}
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	collect()
	bound := 2*(len(reasons)+1) + most + 1
	if written != deliveries || len(sets) > bound || len(sets) < most {
		t.Errorf("%v deliveries under %d sets of labels, want %d under at most %d", written, len(sets),
			deliveries, bound)
	}
	if groups, values := o.Held(); groups > bound || values > bound*4*2*emf.MaxValues {
		t.Errorf("it holds %d groups and %d values", groups, values)
	}
}

// TestProducersBeyondTheBound are one label, also when the known ones come again.
func TestProducersBeyondTheBound(t *testing.T) {
	var out bytes.Buffer
	o := newObserver(t, emf.Options{Writer: &out, MaxProducers: 2})
	for _, p := range []string{"a", "b", "c", "d", "a", "c"} {
		o.Delivered(t.Context(), handled(p))
	}
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	by := map[string]float64{}
	for _, d := range mustParse(t, out.Bytes()) {
		by[d.labels["Producer"]] += total([]*document{d}, "Deliveries")
	}
	if want := map[string]float64{"a": 2, "b": 1, "other": 3}; fmt.Sprint(by) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", by, want)
	}
}

// TestLongestLine: names that CloudWatch would refuse are spelled so that it takes them, and no line is too
// long.
func TestLongestLine(t *testing.T) {
	for _, name := range []string{"", " ", "\t\n", "é\x00\xff", strings.Repeat(`"\`, 3000),
		strings.Repeat("é", 3000), "\u2028"} {
		var out bytes.Buffer
		o := newObserver(t, emf.Options{Writer: &out, Namespace: strings.Repeat(`"`, 255)})
		for range emf.MaxValues {
			r := handled(name)
			r.Consumer = name
			r.Took, r.Handler, r.Held, r.Age = math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64
			r.BundleExpires = start.Add(-math.MaxInt64)
			o.Delivered(t.Context(), r)
		}
		if err := o.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if docs := mustParse(t, out.Bytes()); len(docs) != 1 || count(docs, "EventAge") != emf.MaxValues {
			t.Errorf("%.20q: %s", name, out.Bytes())
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, opts := range []emf.Options{
		{Namespace: " "}, {Namespace: "AWS/Lambda"}, {Namespace: ":x"}, {Namespace: "é"}, {Namespace: "a\n"},
		{Namespace: strings.Repeat("x", 256)}, {MaxProducers: -1},
	} {
		if _, err := emf.New(&opts); err == nil {
			t.Errorf("%+v was taken", opts)
		}
	}
	if _, err := emf.New(nil); err != nil {
		t.Error(err)
	}
}

// faulty is a writer that takes a number of bytes, and then fails until it is repaired.
type faulty struct {
	bytes.Buffer
	room int // < 0: it takes all
	err  error
}

func (f *faulty) Write(b []byte) (int, error) {
	if f.room < 0 || len(b) <= f.room {
		if f.room > 0 {
			f.room -= len(b)
		}
		return f.Buffer.Write(b)
	}
	n := f.room
	f.Buffer.Write(b[:n])
	f.room = 0
	return n, f.err
}

// TestWriterFails: counts survive an outage exactly, and Flush says that there is one.
func TestWriterFails(t *testing.T) {
	out := &faulty{err: errors.New("disk full")}
	o := newObserver(t, emf.Options{Writer: out})
	for range 450 {
		o.Delivered(t.Context(), handled("orders"))
		o.Delivered(t.Context(), forged(envelope.ReasonUnsigned, "evil"))
	}
	err := o.Flush(t.Context())
	if !errors.Is(err, out.err) || !strings.Contains(err.Error(), "900 deliveries") || out.Len() > 0 {
		t.Fatalf("%v; wrote %s", err, out.Bytes())
	}
	if _, values := o.Held(); values > 2*4*2*emf.MaxValues {
		t.Errorf("it holds %d values", values)
	}
	out.room = -1
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	docs := mustParse(t, out.Bytes())
	if total(docs, "Deliveries") != 900 || total(docs, "Rejections") != 450 ||
		count(docs, "Latency") != 200 || total(docs, "SamplesDropped") != 700 {
		t.Errorf("%s", out.Bytes())
	}
}

// TestCutShort: wherever a write is cut short, the next Flush makes good for it, and CloudWatch, which
// ignores what is not JSON, counts each delivery once.
func TestCutShort(t *testing.T) {
	whole := func(out io.Writer) *emf.Observer {
		o := newObserver(t, emf.Options{Writer: out})
		o.Delivered(t.Context(), handled("orders"))
		o.Delivered(t.Context(), duplicate("orders"))
		return o
	}
	var good bytes.Buffer
	if err := whole(&good).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, fail := range []error{nil, io.ErrClosedPipe} {
		for cut := range good.Len() {
			out := &faulty{room: cut, err: fail}
			o := whole(out)
			if err := o.Flush(t.Context()); err == nil || fail != nil && !errors.Is(err, fail) {
				t.Fatalf("cut after %d: %v", cut, err)
			}
			out.room = -1
			if err := o.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := total(valid(out.Bytes()), "Deliveries"); got != 2 ||
				!bytes.HasSuffix(out.Bytes(), []byte("\n")) {
				t.Fatalf("cut after %d: %v deliveries are written: %s", cut, got, out.Bytes())
			}
		}
	}
}

// valid are the lines that are documents.
func valid(written []byte) (docs []*document) {
	for line := range bytes.Lines(written) {
		if doc, err := parseLine(line); err == nil {
			docs = append(docs, doc)
		}
	}
	return docs
}

type panickingWriter struct{ faulty }

func (p *panickingWriter) Write(b []byte) (int, error) {
	if p.room == 0 {
		panic("at the disco")
	}
	return p.faulty.Write(b)
}

// TestWriterPanics: the consumer makes an error of it; the Observer goes on.
func TestWriterPanics(t *testing.T) {
	out := &panickingWriter{}
	o := newObserver(t, emf.Options{Writer: out})
	o.Delivered(t.Context(), handled("orders"))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = o.Flush(t.Context())
	}()
	out.room = -1
	if err := o.Flush(t.Context()); err != nil || total(valid(out.Bytes()), "Deliveries") != 1 {
		t.Errorf("%v, %s", err, out.Bytes())
	}
}

// TestConcurrently: each delivery is written once, whatever flushes meanwhile.
func TestConcurrently(t *testing.T) {
	var out bytes.Buffer // written under the Observer's lock only
	o := newObserver(t, emf.Options{Writer: &out})
	const workers, each = 8, 500
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			for j := range each {
				o.Delivered(context.Background(), handled(fmt.Sprint("producer-", i%3)))
				if j%50 == 0 {
					if err := o.Flush(context.Background()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	docs := mustParse(t, out.Bytes())
	if total(docs, "Deliveries") != workers*each || count(docs, "Latency") != workers*each ||
		labelSets(docs) != 3 {
		t.Errorf("%v deliveries, %d values, %d sets of labels", total(docs, "Deliveries"),
			count(docs, "Latency"), labelSets(docs))
	}
}
