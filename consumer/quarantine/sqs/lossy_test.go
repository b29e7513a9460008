package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/lossy"
)

// operator is a Store as its user has it: who is told that a list is incomplete waits, and lists again.
type operator struct {
	quarantine.Store
	f *fake
}

func (o operator) List(ctx context.Context, opts *quarantine.ListOptions) iter.Seq2[quarantine.Entry, error] {
	return func(yield func(quarantine.Entry, error) bool) {
		seen := make(map[string]bool)
		for again := true; again; {
			again = false
			for e, err := range o.Store.List(ctx, opts) {
				if again = errors.Is(err, sqs.ErrIncomplete); again || seen[e.ID] {
					continue
				}
				seen[e.ID] = true
				if !yield(e, err) {
					return
				}
			}
			if again {
				o.f.clock.advance(sqs.DefaultVisibility)
			}
		}
	}
}

func (o operator) Get(ctx context.Context, id string) (quarantine.Entry, error) {
	e, err := o.Store.Get(ctx, id)
	for errors.Is(err, sqs.ErrIncomplete) {
		o.f.clock.advance(sqs.DefaultVisibility)
		e, err = o.Store.Get(ctx, id)
	}
	return e, err
}

func (o operator) Remove(ctx context.Context, id string) error {
	err := o.Store.Remove(ctx, id)
	for errors.Is(err, sqs.ErrIncomplete) {
		o.f.clock.advance(sqs.DefaultVisibility)
		err = o.Store.Remove(ctx, id)
	}
	return err
}

// lossyClient is a client of the fake whose answers are lost now and then. It repeats calls as the SDK does
// by default.
func (f *fake) lossyClient(t *testing.T, phase int) (*awssqs.Client, *lossy.Proxy) {
	t.Helper()
	proxy := lossy.Start(t, f.server.URL(), phase)
	return awssqs.New(f.Options(), func(o *awssqs.Options) { o.BaseEndpoint, o.Retryer = &proxy.URL, lossy.Retryer() }), proxy
}

// TestStoreKeepsTheContractWithLostAnswers runs the contract while one answer in twenty is lost after SQS
// has acted.
func TestStoreKeepsTheContractWithLostAnswers(t *testing.T) {
	for _, phase := range lossy.Runs(lossy.Phases) {
		t.Run(fmt.Sprint(phase), func(t *testing.T) {
			quarantinetest.Run(t, func(t *testing.T) *quarantinetest.Place {
				f := newFake(t, localaws.Options{})
				behind := &fake{server: f.server, url: f.url, clock: f.clock}
				behind.Client, _ = f.lossyClient(t, phase)
				return &quarantinetest.Place{
					Open: func(t *testing.T, keys consumer.QuarantineKeys) quarantine.Store {
						return operator{behind.store(t, keys, sqs.Options{}), f}
					},
					Inject:    func(t *testing.T, _ string, doc []byte) { f.send(t, strings.ToValidUTF8(string(doc), "?")) },
					Down:      func(t *testing.T) { _ = f.server.Close() },
					Unordered: true, Repeats: true,
				}
			})
		})
	}
}

// TestListIncomplete: a list that may lack messages says so at its end, and so does a search. Nothing is
// lost: the messages are there when Visibility is over.
func TestListIncomplete(t *testing.T) {
	f := newFake(t, localaws.Options{})
	put(t, f.store(t, quarantinetest.Keys("bin"), sqs.Options{}), 12)
	behind := &fake{server: f.server, url: f.url, clock: f.clock}
	behind.Client, _ = f.lossyClient(t, 0) // the first receive loses its answer, and is repeated
	s := behind.store(t, quarantinetest.Keys("bin"), sqs.Options{})
	var got []quarantine.Entry
	var last error
	for e, err := range s.List(t.Context(), nil) {
		if last = err; err == nil {
			got = append(got, e)
		}
	}
	if len(got) != 2 || !errors.Is(last, sqs.ErrIncomplete) ||
		!strings.Contains(last.Error(), "list again in 5m0s") {
		t.Errorf("%d listed, and then %v", len(got), last)
	}
	f.clock.advance(sqs.DefaultVisibility)
	if got := list(t, s); len(got) != 12 {
		t.Errorf("%d listed later", len(got))
	}
}

// TestReopenLossy: a record whose reopening lost its answer is there twice, as the same record, for which a
// consumer has one claim; in a FIFO queue SQS drops the second.
func TestReopenLossy(t *testing.T) {
	f := newFake(t, localaws.Options{})
	entry := list(t, full(t))[0]
	for target, want := range map[string]int{f.url: 2,
		f.queue(t, "orders.fifo", map[string]string{"FifoQueue": "true"}): 1} {
		client, proxy := f.lossyClient(t, 0)
		if err := sqs.Reopen(t.Context(), client, target, entry); err != nil || proxy.Lost() != 1 {
			t.Fatalf("%d answers lost, %v", proxy.Lost(), err)
		}
		out, err := f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &target,
			MaxNumberOfMessages: 10})
		if err != nil || len(out.Messages) != want {
			t.Fatalf("%d messages in %s, want %d: %v", len(out.Messages), target, want, err)
		}
		for _, m := range out.Messages {
			if *m.Body != string(entry.Document) {
				t.Errorf("sent %s", *m.Body)
			}
		}
	}
}
