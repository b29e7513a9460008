package sqs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/internal/awscall"
)

// batch is how many messages SQS hands out, or takes back, in one call.
const batch = 10

// rounds is how many answers in a row may hold nothing new before a listing ends. If a listing takes longer
// than Visibility, messages come a second time, and without this limit it would never end.
const rounds = 3

// foreign begins the ID of a message that is no authentic record. Its MessageId follows.
const foreign = "message-"

// ErrIncomplete ends a List that may lack up to ten messages for each answer that was lost: SQS has hidden
// them. They are visible again when Options.Visibility is over. Then list again.
var ErrIncomplete = errors.New(
	"quarantine/sqs: an answer of SQS was lost, and the messages in it are hidden for a while")

// List receives all messages and makes them visible again at its end: see New.
func (s *store) List(ctx context.Context, opts *quarantine.ListOptions) iter.Seq2[quarantine.Entry, error] {
	return func(yield func(quarantine.Entry, error) bool) {
		l := &listing{store: s, seen: make(map[string]bool)}
		defer l.handBack(ctx)
		for old := 0; old < rounds; old++ {
			until := l.wall().Add(l.opts.Visibility - l.opts.Timeout) // with time left for one call
			messages, err := l.receive(ctx)
			if err != nil {
				yield(quarantine.Entry{}, err)
				return
			}
			if len(messages) == 0 {
				break
			}
			for _, e := range l.fresh(messages, until) {
				old = -1
				if opts.Has(e) && !yield(e, nil) {
					return
				}
			}
		}
		if l.lost {
			yield(quarantine.Entry{}, fmt.Errorf("%w: list again in %v", ErrIncomplete, l.opts.Visibility))
		}
	}
}

// listing is one List.
type listing struct {
	*store
	seen map[string]bool // IDs
	mine []receipt
	lost bool // an answer was lost that may have had messages in it
}

// receipt is the right to delete a message that was received. It ends when the message is visible again.
type receipt struct {
	id, message, handle string
	until               time.Time
}

// receive takes up to a batch of messages.
func (l *listing) receive(ctx context.Context) ([]types.Message, error) {
	ctx, done := context.WithTimeout(ctx, l.opts.Timeout+l.opts.Wait)
	defer done()
	var call awscall.Call
	out, err := l.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &l.url, MaxNumberOfMessages: batch,
		WaitTimeSeconds: seconds(l.opts.Wait), VisibilityTimeout: seconds(l.opts.Visibility),
	}, again, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, call.Watch) })
	if err != nil {
		return nil, l.failed("sqs:ReceiveMessage", err)
	}
	l.lost = l.lost || call.Unclear(nil)
	return out.Messages, nil
}

func seconds(d time.Duration) int32 { return int32(d / time.Second) }

// fresh has the entries of the messages that the listing did not have before. It notes the receipts of all.
func (l *listing) fresh(messages []types.Message, until time.Time) (entries []quarantine.Entry) {
	for i := range messages {
		m := &messages[i]
		e := l.entry(m)
		l.hold(receipt{e.ID, aws.ToString(m.MessageId), aws.ToString(m.ReceiptHandle), until})
		if !l.seen[e.ID] {
			l.seen[e.ID] = true
			entries = append(entries, e)
		}
	}
	return entries
}

func (s *store) entry(m *types.Message) quarantine.Entry {
	e, err := quarantine.Decode(s.keys, []byte(aws.ToString(m.Body)))
	if err != nil {
		return quarantine.Entry{ID: foreign + aws.ToString(m.MessageId), Err: err}
	}
	return e
}

// hold notes a receipt. A message that comes again has a new handle, and its old one is worthless.
func (l *listing) hold(r receipt) {
	l.mine = append(l.mine, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.DeleteFunc(l.held[r.id], func(old receipt) bool { return old.message == r.message })
	l.held[r.id] = append(list, r)
}

// letGo forgets a receipt, and reports whether it was noted.
func (s *store) letGo(r receipt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.held[r.id]
	i := slices.Index(list, r)
	if i < 0 {
		return false
	}
	if s.held[r.id] = slices.Delete(list, i, i+1); len(s.held[r.id]) == 0 {
		delete(s.held, r.id)
	}
	return true
}

// handBack makes the messages visible to others again, also if the context was cancelled. A message that it
// does not reach is visible again when Options.Visibility is over.
func (l *listing) handBack(ctx context.Context) {
	cancelled := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	if cancelled { // the caller is waiting for the end
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, l.opts.Timeout)
		defer done()
	}
	// Without those that were removed, or received again.
	l.mine = slices.DeleteFunc(l.mine, func(r receipt) bool { return !l.letGo(r) })
	for part := range slices.Chunk(l.mine, batch) {
		if l.show(ctx, part) != nil {
			return
		}
	}
}

func (s *store) show(ctx context.Context, receipts []receipt) error {
	ctx, done := context.WithTimeout(ctx, s.opts.Timeout)
	defer done()
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(receipts))
	for i := range receipts {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &receipts[i].handle, VisibilityTimeout: 0,
		}
	}
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &s.url, Entries: entries}
	_, err := s.client.ChangeMessageVisibilityBatch(ctx, in, again)
	return err
}

// Get goes through the queue until it finds the record.
func (s *store) Get(ctx context.Context, id string) (quarantine.Entry, error) {
	for e, err := range s.List(ctx, nil) {
		switch {
		case err != nil:
			return quarantine.Entry{}, err
		case e.ID != id:
		case e.Err != nil:
			return quarantine.Entry{}, e.Err
		default:
			return e, nil
		}
	}
	return quarantine.Entry{}, notFound(id)
}

func notFound(id string) error {
	return fmt.Errorf("%w: %.80q (or another program is reading it now)", quarantine.ErrNotFound, id)
}

// Remove deletes the messages of the record that a List has received. If there are none, it goes through the
// queue until it finds one.
func (s *store) Remove(ctx context.Context, id string) error {
	if found, err := s.remove(ctx, id); found {
		return err
	}
	for e, err := range s.List(ctx, nil) {
		if err != nil {
			return err
		}
		if e.ID == id {
			_, err := s.remove(ctx, id)
			return err
		}
	}
	return notFound(id)
}

// remove deletes the messages of the noted receipts. It skips a receipt that has expired: SQS would answer
// without an error and delete nothing.
func (s *store) remove(ctx context.Context, id string) (found bool, err error) {
	s.mu.Lock()
	list := slices.Clone(s.held[id])
	s.mu.Unlock()
	for _, r := range list {
		if !s.wall().Before(r.until) {
			continue
		}
		found = true
		if err := s.delete(ctx, r); err != nil {
			return true, err
		}
		s.letGo(r)
	}
	return found, nil
}

// wall is the wall clock alone: the monotonic clock stands still while the machine sleeps.
func (s *store) wall() time.Time { return s.opts.Now().Round(0) }

func (s *store) delete(ctx context.Context, r receipt) error {
	ctx, done := context.WithTimeout(ctx, s.opts.Timeout)
	defer done()
	in := &sqs.DeleteMessageInput{QueueUrl: &s.url, ReceiptHandle: &r.handle}
	if _, err := s.client.DeleteMessage(ctx, in, again); err != nil {
		return s.failed("sqs:DeleteMessage", err)
	}
	return nil
}
