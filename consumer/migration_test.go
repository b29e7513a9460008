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

// unverified is a call of a Migration's Handle.
type unverified struct {
	Message consumer.Message
	Verdict *envelope.Error
}

// migrates says that orders is migrating until an hour from now. It returns the calls of its Handle.
func migrates(w *world, fail *error) *[]unverified {
	var seen []unverified
	w.opts.UnsafeMigration = []consumer.Migration{{
		Source: "https://orders.example/*", Type: "com.example.order.*", Until: start.Add(time.Hour),
		Handle: func(_ context.Context, msg consumer.Message, verdict *envelope.Error) error {
			seen = append(seen, unverified{msg, verdict})
			return *fail
		},
	}}
	return &seen
}

func TestMigrationHandlesWhatWouldBeQuarantined(t *testing.T) {
	w := newWorld(t)
	var fail error
	seen := migrates(w, &fail)
	unsigned := edit(w.event("1"), "dssematerial", nil)
	modified := edit(w.event("2"), "data", "other")
	w.want(unsigned, consumer.Migrating, envelope.ReasonUnsigned)
	w.want(modified, consumer.Migrating, envelope.ReasonModified)
	if len(*seen) != 2 || !bytes.Equal((*seen)[0].Message.Body, unsigned) ||
		(*seen)[0].Verdict.Reason != envelope.ReasonUnsigned ||
		(*seen)[0].Verdict.UnverifiedSource != source ||
		(*seen)[1].Verdict.Reason != envelope.ReasonModified {
		t.Fatalf("its Handle got %+v", *seen)
	}
	w.want(w.event("3"), consumer.Handled, "") // what passes goes where it always went
	if len(w.bin.records) != 0 || len(*seen) != 2 {
		t.Errorf("%d in quarantine, Handle was called %d times", len(w.bin.records), len(*seen))
	}
}

// An event that cannot be judged now is retried.
func TestMigrationJudgesFirst(t *testing.T) {
	w := newWorld(t)
	var fail error
	seen := migrates(w, &fail)
	w.trust.err = trust.ErrUnavailable
	w.want(w.event("1"), consumer.Retry, envelope.ReasonTrustUnavailable)
	if len(*seen) != 0 {
		t.Errorf("its Handle got %+v", *seen)
	}
}

func TestMigrationLosesNothing(t *testing.T) {
	w := newWorld(t)
	fail := errors.New("no database")
	seen := migrates(w, &fail)
	unsigned := edit(w.event("1"), "dssematerial", nil)
	c := w.consumer()
	r, err := c.Handle(t.Context(), body(unsigned), w.handle)
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
	if !errors.Is(err, fail) || error(r.Verdict) != err {
		t.Fatalf("%+v, %v", r, err)
	}
	if v := r.Verdict; v.UnverifiedID != "1" || v.UnverifiedSource != source || v.UnverifiedType != typ {
		t.Errorf("the verdict does not say which event it is: %+v", v)
	}
	fail = nil
	w.want(unsigned, consumer.Migrating, envelope.ReasonUnsigned)
	w.opts.UnsafeMigration[0].Handle = func(context.Context, consumer.Message, *envelope.Error) error { panic("at the disco") }
	if r, err = w.deliver(unsigned); r.Outcome != consumer.Retry || err == nil || len(*seen) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMigrationIsNarrow(t *testing.T) {
	w := newWorld(t)
	var fail error
	seen := migrates(w, &fail)
	ev := edit(w.event("1"), "dssematerial", nil)
	w.want(edit(ev, "source", "https://billing.example/eu"), consumer.Quarantined, envelope.ReasonUnsigned)
	w.want(edit(ev, "type", "com.example.invoice.sent"), consumer.Quarantined, envelope.ReasonUnsigned)
	w.want([]byte(`{`), consumer.Quarantined, envelope.ReasonMalformed)
	if len(*seen) != 0 {
		t.Errorf("its Handle got %+v", *seen)
	}
}

// A migration ends on its day, and stays ended when the clock is set back.
func TestMigrationEnds(t *testing.T) {
	w := newWorld(t)
	var fail error
	migrates(w, &fail)
	c := w.consumer()
	deliver := func(outcome consumer.Outcome) {
		t.Helper()
		r, err := c.Handle(t.Context(), body(edit(w.event("1"), "dssematerial", nil)), w.handle)
		w.check(r, err, outcome, envelope.ReasonUnsigned)
	}
	w.clock.Advance(time.Hour - time.Second)
	deliver(consumer.Migrating)
	w.clock.Advance(time.Second)
	deliver(consumer.Quarantined)
	w.clock.Advance(-30 * time.Minute)
	deliver(consumer.Quarantined)
}

// On a bus that migrates there are events that are no CloudEvents at all, and some that are not well-formed.
func TestMigrationOnABus(t *testing.T) {
	w := newWorld(t)
	w.policy.Sources = []string{"orders.legacy"}
	seen := migrates(w, new(error))
	w.opts.UnsafeMigration[0].Source, w.opts.UnsafeMigration[0].Type = "orders.legacy", "*"
	sealed := w.delivery(w.seal(placed("1"), envelope.SealOptions{}), "111111111111")
	for _, c := range []struct {
		detail string
		reason envelope.Reason
	}{{`{"amount":1}`, envelope.ReasonUnsigned}, {`{"specversion":1}`, envelope.ReasonMalformed}} {
		doc := edit(edit(edit(sealed, "detail", json.RawMessage(c.detail)), "source", "orders.legacy"),
			"detail-type", "OrderPlaced")
		r, err := w.consumer().Handle(t.Context(), consumer.Message{Body: doc, Format: consumer.EventBridge},
			w.handle)
		w.check(r, err, consumer.Migrating, c.reason)
		if v := (*seen)[len(*seen)-1].Verdict; v.UnverifiedSource != "orders.legacy" ||
			v.UnverifiedType != "OrderPlaced" {
			t.Errorf("its Handle got %+v", v)
		}
	}
}
