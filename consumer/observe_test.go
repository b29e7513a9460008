package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// observed lets a world observe orders until an hour from now.
func observed(w *world, fail *error) *[]consumer.Observation {
	var seen []consumer.Observation
	w.opts.UnsafeObserve = []consumer.Observe{{
		Source: "https://orders.example/*", Type: "com.example.order.*", Until: start.Add(time.Hour),
		Handle: func(_ context.Context, o consumer.Observation) error { seen = append(seen, o); return *fail },
	}}
	return &seen
}

func TestObserve(t *testing.T) {
	w := newWorld(t)
	var fail error
	seen := observed(w, &fail)
	unsigned := edit(w.event("1"), "dssematerial", nil)
	modified := edit(w.event("2"), "data", "other")
	w.want(unsigned, consumer.Observed, envelope.ReasonUnsigned)
	w.want(modified, consumer.Observed, envelope.ReasonModified)
	if len(*seen) != 2 || !bytes.Equal((*seen)[0].Message.Body, unsigned) || (*seen)[0].Verdict.Reason != envelope.ReasonUnsigned ||
		(*seen)[0].UnverifiedSource != source || (*seen)[1].Verdict.Reason != envelope.ReasonModified {
		t.Fatalf("observed %+v", *seen)
	}
	w.want(w.event("3"), consumer.Handled, "") // what passes goes where it always went
	if len(w.bin.records) != 0 || len(*seen) != 2 {
		t.Errorf("%d in quarantine, %d observed", len(w.bin.records), len(*seen))
	}
}

// What cannot be judged now is neither observed nor lost.
func TestObserveJudgesFirst(t *testing.T) {
	w := newWorld(t)
	var fail error
	seen := observed(w, &fail)
	w.trust.err = trust.ErrUnavailable
	w.want(w.event("1"), consumer.Retry, envelope.ReasonTrustUnavailable)
	if len(*seen) != 0 {
		t.Errorf("observed %+v", *seen)
	}
}

func TestObserveLosesNothing(t *testing.T) {
	w := newWorld(t)
	fail := errors.New("no database")
	seen := observed(w, &fail)
	unsigned := edit(w.event("1"), "dssematerial", nil)
	c := w.consumer()
	r, err := c.Handle(t.Context(), body(unsigned), w.handle)
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
	if !errors.Is(err, fail) || error(r.Verdict) != err || reasonsOf(c.Counts()) != "handler_failed" {
		t.Fatalf("%+v, %v, %v", r, err, c.Counts())
	}
	if v := r.Verdict; v.UnverifiedID != "1" || v.UnverifiedSource != source || v.UnverifiedType != typ {
		t.Errorf("the verdict does not say which event it is: %+v", v)
	}
	fail = nil
	w.want(unsigned, consumer.Observed, envelope.ReasonUnsigned)
	w.opts.UnsafeObserve[0].Handle = func(context.Context, consumer.Observation) error { panic("at the disco") }
	if r, err = w.deliver(unsigned); r.Outcome != consumer.Retry || err == nil || len(*seen) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestObserveIsNarrow(t *testing.T) {
	w := newWorld(t)
	var fail error
	seen := observed(w, &fail)
	ev := edit(w.event("1"), "dssematerial", nil)
	w.want(edit(ev, "source", "https://billing.example/eu"), consumer.Quarantined, envelope.ReasonUnsigned)
	w.want(edit(ev, "type", "com.example.invoice.sent"), consumer.Quarantined, envelope.ReasonUnsigned)
	w.want([]byte(`{`), consumer.Quarantined, envelope.ReasonMalformed)
	if len(*seen) != 0 {
		t.Errorf("observed %+v", *seen)
	}
}

// It ends on its day, and stays ended when the clock is set back.
func TestObserveEnds(t *testing.T) {
	w := newWorld(t)
	var fail error
	observed(w, &fail)
	c := w.consumer()
	deliver := func(outcome consumer.Outcome) {
		t.Helper()
		r, err := c.Handle(t.Context(), body(edit(w.event("1"), "dssematerial", nil)), w.handle)
		w.check(r, err, outcome, envelope.ReasonUnsigned)
	}
	w.clock.Advance(time.Hour - time.Second)
	deliver(consumer.Observed)
	w.clock.Advance(time.Second)
	deliver(consumer.Quarantined)
	w.clock.Advance(-30 * time.Minute)
	deliver(consumer.Quarantined)
}

// On a bus that migrates there are events that are no CloudEvents at all, and some that are not well-formed.
func TestObserveEventBridge(t *testing.T) {
	w := newWorld(t)
	w.policy.Sources = []string{"orders.legacy"}
	var seen []consumer.Observation
	w.opts.UnsafeObserve = []consumer.Observe{{
		Source: "orders.legacy", Type: "*", Until: start.Add(time.Hour),
		Handle: func(_ context.Context, o consumer.Observation) error { seen = append(seen, o); return nil },
	}}
	sealed := w.delivery(w.seal(placed("1"), envelope.SealOptions{}), "111111111111")
	for _, c := range []struct {
		detail string
		reason envelope.Reason
	}{{`{"amount":1}`, envelope.ReasonUnsigned}, {`{"specversion":1}`, envelope.ReasonMalformed}} {
		doc := edit(edit(edit(sealed, "detail", json.RawMessage(c.detail)), "source", "orders.legacy"), "detail-type", "OrderPlaced")
		r, err := w.consumer().Handle(t.Context(), consumer.Message{Body: doc, Format: consumer.EventBridge}, w.handle)
		w.check(r, err, consumer.Observed, c.reason)
		if o := seen[len(seen)-1]; o.UnverifiedSource != "orders.legacy" || o.UnverifiedType != "OrderPlaced" {
			t.Errorf("observed %+v", o)
		}
	}
}
