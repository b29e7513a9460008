package awslambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

// holder notes what it is asked to hold.
type holder struct {
	held map[string]time.Duration
	err  error
}

func (h *holder) Hold(_ context.Context, receipts []string, d time.Duration) error {
	for _, r := range receipts {
		h.held[r] = d
	}
	return h.err
}

// away is a source of trust that is unavailable.
type away struct{}

func (away) Bundle(context.Context) (*trust.Bundle, error) { return nil, trust.ErrUnavailable }

// stale is a source whose origin cannot be asked, with a bundle that may be used.
type stale struct{ trust.Source }

func (stale) Refresh(context.Context, time.Time) (*trust.Bundle, error) {
	return nil, trust.ErrUnavailable
}

// While trust is unavailable, a message is held as long as it has waited, at most 15 minutes, and never for
// less than the visibility timeout of the queue would be, which the times of its deliveries bound.
func TestMessagesAreHeldWhileTrustIsUnavailable(t *testing.T) {
	held := map[string]time.Duration{"r/180": 3 * time.Minute, "r/1200": 15 * time.Minute, "r/3600": 15 * time.Minute}
	for name, c := range map[string]struct {
		trust func(w *world) trust.Source
		err   error
		want  map[string]time.Duration
		log   string
	}{
		"unavailable": {func(*world) trust.Source { return away{} }, nil,
			held, "messages are held"},
		"and the queue does not answer": {func(*world) trust.Source { return away{} }, errors.New("throttled"),
			held, "throttled"},
		"there": {func(w *world) trust.Source { return w.org.Trust() }, nil, map[string]time.Duration{}, ""},
		"forged events, whose check is due": {func(*world) trust.Source {
			empty, err := trust.NewBundle(trust.BundleOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return stale{empty}
		}, nil, map[string]time.Duration{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.trust = c.trust(w)
			h := &holder{held: map[string]time.Duration{}, err: c.err}
			w.opts.Hold, w.opts.Now = h, w.org.Now
			var records []string
			for _, m := range []struct{ age, receives int }{ // age: seconds since it was received first
				{0, 1}, {59, 2}, {180, 2}, {1200, 3},
				{100, 1},          // the timeout of its queue is longer than the 100 s that the function ran
				{1201, 2},         // the timeout may be more than 15 minutes
				{3 * 5400, 4},     // and is
				{3600, 5}, {7, 0}, // 15 minutes each; not said
			} {
				body, err := json.Marshal(string(w.delivery(fmt.Sprint(m.age))))
				if err != nil {
					t.Fatal(err)
				}
				first := w.org.Now().Add(-time.Duration(m.age) * time.Second).UnixMilli()
				records = append(records, fmt.Sprintf(`{"messageId":"m%d","receiptHandle":"r\/%d","body":%s,
					"attributes":{"ApproximateFirstReceiveTimestamp":"%d","ApproximateReceiveCount":"%d"},
					"eventSource":"aws:sqs"}`, m.age, m.age, body, first, m.receives))
			}
			_, _ = w.sqs()(t.Context(), []byte(`{"Records":[`+strings.Join(records, ",")+`]}`))
			if !maps.Equal(h.held, c.want) {
				t.Errorf("held %v, want %v", h.held, c.want)
			}
			if c.log != "" && !strings.Contains(w.log.String(), c.log) {
				t.Errorf("log: %s", w.log.String())
			}
		})
	}
}
