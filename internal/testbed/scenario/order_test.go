package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
)

var groups = []string{"a", "b", "c"}

// ordered is a FIFO queue with the function behind it. An event's ID begins with its group.
type ordered struct {
	*world
	*function
	failures map[string]int      // by event: how often its handler is still to fail
	genuine  map[string][]string // by group
	all      []string            // of these
	forged   []string
	left     map[string]int // by group: messages in the queue
}

func newOrdered(t *testing.T, seed uint64, down *outage) *ordered {
	t.Helper()
	w := newWorld(t, seed, localaws.Delivery{})
	o := &ordered{world: w, failures: map[string]int{}, genuine: map[string][]string{},
		left: map[string]int{}}
	p := w.start(w.trust(w.key(newTeam("orders"))), w.store(down), w.options(),
		hooks{before: func(id string) error {
			if o.failures[id]--; o.failures[id] >= 0 {
				return errors.New("not now")
			}
			return nil
		}})
	from := w.queue("ordered.fifo", map[string]string{"FifoQueue": "true", "VisibilityTimeout": "180"})
	o.function = w.feed(from, func(ctx context.Context, payload json.RawMessage) (any, error) {
		response, err := p.run(ctx, payload)
		o.count(payload, response, err)
		return response, err
	})
	return o
}

func groupOf(id string) string { return id[:1] }

// count notes what was done.
func (o *ordered) count(payload json.RawMessage, response any, err error) {
	var b batch
	o.check(json.Unmarshal(payload, &b))
	stays := failed(&b, response, err)
	for _, r := range b.Records {
		id, err := idOf([]byte(r.Body))
		o.check(err)
		if !slices.Contains(stays, r.MessageID) {
			o.mu.Lock()
			o.left[groupOf(id)]--
			o.mu.Unlock()
		}
	}
}

// send sends a batch of ten, of which one in six is forged, and half of the others fail up to twice.
func (o *ordered) send(number int) {
	o.Helper()
	var batch []types.SendMessageBatchRequestEntry
	for i := range 10 {
		group := groups[o.random.IntN(len(groups))]
		id := fmt.Sprintf("%s-%02d-%d", group, number, i)
		sealer := newTeam("orders")
		if o.random.IntN(6) == 0 {
			sealer.label, o.forged = "a thief's", append(o.forged, id)
		} else {
			o.failures[id] = max(0, o.random.IntN(6)-3)
			o.genuine[group], o.all = append(o.genuine[group], id), append(o.all, id)
		}
		s, err := envelope.Seal(o.Context(), o.event(sealer, id), o.signer(sealer),
			&envelope.SealOptions{Audience: audience, Now: o.clock.Now})
		o.check(err)
		batch = append(batch, types.SendMessageBatchRequestEntry{
			Id: &id, MessageBody: aws.String(string(s.JSON())), MessageGroupId: &group,
			MessageDeduplicationId: &id,
		})
	}
	o.mu.Lock()
	for _, m := range batch {
		o.left[*m.MessageGroupId]++
	}
	o.mu.Unlock()
	out, err := o.sqs.SendMessageBatch(o.Context(),
		&sqs.SendMessageBatchInput{QueueUrl: &o.from.url, Entries: batch})
	o.check(err)
	if len(out.Failed) > 0 {
		o.Fatal(out.Failed)
	}
}

// rest is settle for a FIFO queue. There, a visible message is not delivered while one before it in its group
// is hidden. It returns how many messages are left.
func (o *ordered) rest() (left int) {
	o.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		before, idle := o.state()
		visible, hidden := o.depth(o.from)
		left, stuck := o.stuck()
		if after, _ := o.state(); idle && before == after && stuck && hidden == o.waiting() && visible+
			hidden == left {
			return left
		}
		if time.Now().After(end) {
			o.Fatalf("the function does not come to rest: %d messages visible, %d hidden, %d left", visible,
				hidden, left)
		}
	}
}

// stuck reports whether each group that has messages left has a hidden one.
func (o *ordered) stuck() (left int, stuck bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	stuck = true
	for group, n := range o.left {
		left += n
		stuck = stuck && (n == 0 || o.hides(group))
	}
	return left, stuck
}

// hides is called with the lock held.
func (o *ordered) hides(group string) bool {
	for id, until := range o.hidden {
		if until.After(o.clock.Now()) && groupOf(o.orders[id]) == group {
			return true
		}
	}
	return false
}

// A FIFO queue: batches of ten in three groups, with handlers that fail, an outage of the store and forged
// events in between. Within its group each event is handled after all that were sent before it, once.
func TestOrderOverRedelivery(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { testOrder(t, seed) })
	}
}

func testOrder(t *testing.T, seed uint64) {
	o := newOrdered(t, seed, &outage{from: 10 * time.Minute, to: 10*time.Minute + lasting})
	for number := range 8 {
		o.send(number)
		o.rest()
		o.clock.Advance(5 * time.Minute)
		o.rest()
	}
	for o.rest() > 0 {
		if o.since() > 24*time.Hour {
			t.Fatalf("a day later these are not handled: %v", o.books.unhandled(o.all))
		}
		o.clock.Advance(o.visibility)
	}
	if o.mostReceipts() < 5 {
		t.Error("nothing was delivered again and again: the scenario shows nothing")
	}
	o.books.wantOnce(t, o.all)
	for _, group := range groups {
		got := slices.DeleteFunc(slices.Clone(o.books.order),
			func(id string) bool { return !strings.HasPrefix(id, group) })
		if !slices.Equal(got, o.genuine[group]) {
			t.Errorf("group %s: handled as %v, sent as %v", group, got, o.genuine[group])
		}
	}
	if got := o.inQuarantine()[envelope.ReasonUnknownKey]; len(o.forged) == 0 ||
		!slices.Equal(sorted(got), sorted(o.forged)) {
		t.Errorf("in quarantine: %v, not %v", got, o.forged)
	}
}
