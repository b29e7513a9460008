package sender

import (
	"math"
	"testing"
	"time"
)

// A Burst beyond all bounds is a large one, and no clock of the future.
func TestHugeBurst(t *testing.T) {
	l := lane{limit: 1}
	l.setRate(1e-9, math.MaxInt)
	for range 3 {
		if n, _ := l.room(epoch); n != 1 {
			t.Fatalf("there is room for %d", n)
		}
		l.begin(1, epoch)
		l.inFlight = 0
	}
}

// A lane without a rate has room for all of its attempts. With one, it says when the next may begin.
func TestLaneHasARate(t *testing.T) {
	l := lane{limit: 4}
	if n, again := l.room(epoch); n != 4 || !again.IsZero() {
		t.Errorf("without a rate there is room for %d, again at %v", n, again)
	}
	l.setRate(2, 3)
	l.begin(3, epoch)
	l.inFlight = 0
	if n, again := l.room(epoch); n != 0 || !again.Equal(epoch.Add(500*time.Millisecond)) {
		t.Errorf("there is room for %d, again at %v", n, again)
	}
	if l.isIdle(epoch) || !l.isIdle(epoch.Add(1500*time.Millisecond)) {
		t.Error("a lane is idle when its attempts are paid for")
	}
}

// An attempt without a request says nothing about the receiver: the breaker stays as it is.
func TestNoRequestLeavesTheBreaker(t *testing.T) {
	until := epoch.Add(time.Minute)
	for _, r := range []result{{cause: CauseSigning, attempted: true}, {cause: CauseRefused, attempted: true},
		{cause: CauseDisabled, permanent: true}, {cause: causeLate},
		{cause: CauseLookup, after: time.Second}} {
		l := lane{limit: 4, inFlight: 1, failures: breakAfter, until: until}
		l.end(t.Context(), &r, epoch)
		if n, again := l.room(epoch); l.failures != breakAfter || n != 0 || !again.Equal(until) {
			t.Errorf("%s: %d failures, room for %d, until %v", r.cause, l.failures, n, again)
		}
	}
	l := lane{limit: 4, inFlight: 1, failures: breakAfter}
	l.end(t.Context(), &result{cause: CauseStatus, attempted: true, class: 4}, epoch)
	if n, _ := l.room(epoch); n != 4 {
		t.Errorf("after an answer there is room for %d", n)
	}
}
