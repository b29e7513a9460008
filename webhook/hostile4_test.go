package webhook_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// slowly is a body during whose arrival so much time passes.
type slowly struct {
	*strings.Reader
	pass func()
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.pass != nil {
		s.pass()
		s.pass = nil
	}
	return s.Reader.Read(p)
}

// TestASlowBodyOutlivesNoMemory: the header of a captured delivery comes when it is still fresh, and its body
// when the store has forgotten the delivery. It must not be handled again.
func TestASlowBodyOutlivesNoMemory(t *testing.T) {
	w := newReceiving(t)
	w.store.Store = &forgetful{Store: w.store.Store, now: w.clock.Now, until: map[[32]byte]time.Time{}}
	d := signedAs("", []byte("{}"), receiveStart)
	w.receive(d, 200, "", 1)
	w.clock.Advance(5*time.Minute - time.Second)
	w.receive(d, 200, envelope.ReasonReplayed, 1)

	body := &slowly{strings.NewReader("{}"), func() { w.clock.Advance(5 * time.Second) }}
	r := httptest.NewRequest("POST", "/hooks", body)
	r.ContentLength = 2
	for _, f := range d.Header {
		r.Header.Add(f.Name, f.Value)
	}
	answer := httptest.NewRecorder()
	w.receiver().ServeHTTP(answer, r)
	if answer.Code < 400 || len(w.handled) != 1 {
		t.Errorf("handled %d times, answered %d", len(w.handled), answer.Code)
	}
}

// forgetful forgets each delivery at the moment at which it may: others forget it later.
type forgetful struct {
	replay.Store
	now   func() time.Time
	until map[[32]byte]time.Time
	again byte
}

func (s *forgetful) Claim(ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration) (
	replay.Claim, replay.Status, error,
) {
	if end, ok := s.until[key]; ok && !s.now().Before(end) {
		s.again++
	}
	if _, ok := s.until[key]; !ok || !s.now().Before(s.until[key]) {
		s.until[key] = until
	}
	key[0] ^= s.again // another key: the old one is forgotten
	return s.Store.Claim(ctx, key, digest, until, lease)
}

// TestARefusedRequestHoldsNoConnection: net/http waits for a body that was announced before it answers, and
// for a connection without a deadline that is for ever.
func TestARefusedRequestHoldsNoConnection(t *testing.T) {
	e := newEventWorld(t).receiver()
	for _, method := range []string{"POST", "PUT", "OPTIONS"} {
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		e.ServeHTTP(d, httptest.NewRequest(method, "/", strings.NewReader("{}")))
		if d.Code < 400 || len(d.set) != 1 || d.set[0].IsZero() {
			t.Errorf("%s: status %d, deadlines %v", method, d.Code, d.set)
		}
	}
}

// TestAnErrorOfNextIsNoSuccess, whatever its Reason: the claim is released, and nothing has been handled.
func TestAnErrorOfNextIsNoSuccess(t *testing.T) {
	w := newReceiving(t)
	fails := true
	w.next = func(context.Context, *webhook.Verified) error {
		if fails {
			return &webhook.Error{Reason: envelope.ReasonReplayed, Err: errors.New("another receiver said so")}
		}
		return nil
	}
	d := signedAs("1", []byte("{}"), receiveStart)
	w.receive(d, 503, envelope.ReasonHandlerFailed, 1)
	fails = false
	w.receive(d, 200, "", 2)
}
