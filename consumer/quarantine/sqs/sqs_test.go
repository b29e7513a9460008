package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/internal/localaws"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)

// fake is an SQS with one queue, and the real client for it.
type fake struct {
	*awssqs.Client
	server *localaws.Server
	url    string
	clock  *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newFake(t *testing.T, opts localaws.Options) *fake {
	t.Helper()
	c := &clock{now: at}
	opts.Now = c.Now
	server, err := localaws.Start(&opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	f := &fake{server: server, clock: c}
	f.Client = awssqs.New(awssqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
	})
	f.url = f.queue(t, "quarantine", nil)
	return f
}

func (f *fake) queue(t *testing.T, name string, attributes map[string]string) string {
	t.Helper()
	out, err := f.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// send sends any message.
func (f *fake) send(t *testing.T, body string) {
	t.Helper()
	if _, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &f.url,
		MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

// store has a client without waiting: the fake has one server, and an empty answer of it is true.
func (f *fake) store(t *testing.T, keys consumer.QuarantineKeys, opts sqs.Options) quarantine.Store {
	t.Helper()
	opts.Now = f.clock.Now
	s, err := sqs.New(&hasty{f.Client}, f.url, keys, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type hasty struct{ *awssqs.Client }

func (h *hasty) ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput,
	with ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error) {
	short := *in
	short.WaitTimeSeconds = 0
	return h.Client.ReceiveMessage(ctx, &short, with...)
}

func TestStoreKeepsTheContract(t *testing.T) {
	quarantinetest.Run(t, func(t *testing.T) *quarantinetest.Place {
		f := newFake(t, localaws.Options{})
		return &quarantinetest.Place{
			Open: func(t *testing.T, keys consumer.QuarantineKeys) quarantine.Store {
				return f.store(t, keys, sqs.Options{})
			},
			Inject: func(t *testing.T, _ string, doc []byte) {
				f.send(t, strings.ToValidUTF8(string(doc), "?"))
			},
			Down: func(t *testing.T) {
				if err := f.server.Close(); err != nil {
					t.Error(err)
				}
			},
			Fits: 740 << 10, TooLarge: 800 << 10, Unordered: true,
		}
	})
}

func list(t *testing.T, s quarantine.Store) (entries []quarantine.Entry) {
	t.Helper()
	for e, err := range s.List(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func put(t *testing.T, s quarantine.Store, n int) {
	t.Helper()
	for i := range n {
		if err := s.Put(t.Context(), quarantinetest.Record(at.Add(time.Duration(i)),
			fmt.Sprint("o-", i))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTooLargeSaysWhatToDo(t *testing.T) {
	f := newFake(t, localaws.Options{})
	s := f.store(t, quarantinetest.Keys("bin"), sqs.Options{MaxBytes: 256 << 10})
	r := quarantinetest.Record(at, "o-1")
	r.Message.Body = make([]byte, 200<<10)
	err := s.Put(t.Context(), r)
	if !errors.Is(err, quarantine.ErrTooLarge) || !strings.Contains(err.Error(), "quarantine/s3") {
		t.Errorf("Put: %v", err)
	}
	if got := list(t, s); len(got) != 0 {
		t.Errorf("listed %+v", got)
	}
}

// The next list sees the records that a list had in hand. Meanwhile they are hidden for no longer than
// Visibility.
func TestListHidesRecordsOnlyForVisibility(t *testing.T) {
	f := newFake(t, localaws.Options{})
	s := f.store(t, quarantinetest.Keys("bin"), sqs.Options{Visibility: time.Minute})
	put(t, s, 3)
	for range s.List(t.Context(), nil) {
		if other := list(t, f.store(t, quarantinetest.Keys("bin"), sqs.Options{})); len(other) != 0 {
			t.Errorf("another list saw %d", len(other))
		}
		f.clock.advance(time.Minute)
		if other := list(t, f.store(t, quarantinetest.Keys("bin"), sqs.Options{})); len(other) != 3 {
			t.Errorf("another list saw %d after Visibility", len(other))
		}
		break
	}
	if got := list(t, s); len(got) != 3 {
		t.Errorf("%d listed", len(got))
	}
}

// A receipt that has lapsed deletes nothing, although SQS says yes. Remove knows, and takes the message
// again.
func TestRemoveAfterVisibility(t *testing.T) {
	f := newFake(t, localaws.Options{})
	s := f.store(t, quarantinetest.Keys("bin"), sqs.Options{Visibility: time.Minute})
	put(t, s, 1)
	for e, err := range s.List(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		f.clock.advance(time.Minute)
		if err := s.Remove(t.Context(), e.ID); err != nil {
			t.Error(err)
		}
	}
	if got := list(t, s); len(got) != 0 {
		t.Errorf("listed %+v", got)
	}
}

// A record that another list has in hand cannot be removed, and the error says so.
func TestRemoveWhatIsInOtherHands(t *testing.T) {
	f := newFake(t, localaws.Options{})
	s, other := f.store(t, quarantinetest.Keys("bin"), sqs.Options{}),
		f.store(t, quarantinetest.Keys("bin"), sqs.Options{})
	put(t, s, 1)
	for e, err := range other.List(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(t.Context(), e.ID); !errors.Is(err, quarantine.ErrNotFound) {
			t.Errorf("Remove: %v", err)
		}
	}
	if got := list(t, s); len(got) != 1 {
		t.Errorf("listed %+v", got)
	}
}

// Looking takes longer than Visibility: nothing is listed twice, and the list ends.
func TestSlowList(t *testing.T) {
	f := newFake(t, localaws.Options{})
	s := f.store(t, quarantinetest.Keys("bin"), sqs.Options{Visibility: time.Minute})
	put(t, s, 25)
	seen := make(map[string]int)
	for e, err := range s.List(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.ID]++
		f.clock.advance(20 * time.Second)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was listed %d times", id, n)
		}
	}
	if got := list(t, s); len(got) != 25 {
		t.Errorf("%d are left", len(got))
	}
}

// Copies of one record are one record, and go together where one list has met both.
func TestCopiesAreOneRecord(t *testing.T) {
	f := newFake(t, localaws.Options{})
	s := f.store(t, quarantinetest.Keys("bin"), sqs.Options{})
	put(t, s, 1)
	put(t, s, 1)
	got := list(t, s)
	if len(got) != 1 {
		t.Fatalf("listed %+v", got)
	}
	for e, err := range s.List(t.Context(), nil) {
		if err == nil {
			err = s.Remove(t.Context(), e.ID)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if got := list(t, s); len(got) != 0 {
		t.Errorf("listed %+v", got)
	}
}

// A copy that was hidden when its record was removed is there the next time.
func TestListingsOfOneStore(t *testing.T) {
	f := newFake(t, localaws.Options{})
	s := f.store(t, quarantinetest.Keys("bin"), sqs.Options{})
	put(t, s, 15)
	var inner int
	for e, err := range s.List(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if inner == 0 {
			inner = len(list(t, s)) // takes those that the first has not taken yet, and hands them back
		}
		if err := s.Remove(t.Context(), e.ID); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if got := list(t, s); len(got) != 0 || inner != 5 {
		t.Errorf("%d are left, the inner list saw %d", len(got), inner)
	}
}

// Who is refused to receive, delete or hand back learns which permission is missing.
func TestErrorNamesTheMissingPermission(t *testing.T) {
	for _, c := range []struct {
		deny string
		do   func(s quarantine.Store, id string) error
	}{
		{"SendMessage", func(s quarantine.Store, _ string) error {
			return s.Put(context.Background(), quarantinetest.Record(at, "o-2"))
		}},
		{"ReceiveMessage", func(s quarantine.Store, id string) error { _, err := s.Get(context.Background(), id); return err }},
		{"DeleteMessage", func(s quarantine.Store, id string) error { return s.Remove(context.Background(), id) }},
	} {
		var denied string
		f := newFake(t, localaws.Options{Deny: func(action string) bool { return action == denied }})
		s := f.store(t, quarantinetest.Keys("bin"), sqs.Options{})
		put(t, s, 1)
		id := list(t, s)[0].ID
		denied = c.deny
		if err := c.do(s, id); err == nil || !strings.Contains(err.Error(), "sqs:"+c.deny) ||
			errors.Is(err, quarantine.ErrNotFound) {
			t.Errorf("%s: %v", c.deny, err)
		}
		denied = ""
		if got := list(t, s); len(got) != 1 {
			t.Errorf("%s: %d are left", c.deny, len(got))
		}
	}
}

// silent is a client that never answers, or says nothing.
type silent struct {
	sqs.Client
	wait bool
}

func (s *silent) SendMessage(ctx context.Context, _ *awssqs.SendMessageInput,
	_ ...func(*awssqs.Options)) (*awssqs.SendMessageOutput, error) {
	if s.wait {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &awssqs.SendMessageOutput{}, nil
}

func TestPutIsDoneWhenSQSSaysSo(t *testing.T) {
	const url = "https://sqs.us-east-1.amazonaws.com/111111111111/q"
	s, err := sqs.New(&silent{wait: true}, url, quarantinetest.Keys("bin"),
		&sqs.Options{Timeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), quarantinetest.Record(at, "o-1")); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	if s, err = sqs.New(&silent{}, url, quarantinetest.Keys("bin"), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), quarantinetest.Record(at, "o-1")); err == nil {
		t.Error("an answer without a message passes")
	}
}

func TestReopenSendsTheRecord(t *testing.T) {
	f := newFake(t, localaws.Options{})
	entry := list(t, full(t))[0]
	for _, target := range []string{f.url, f.queue(t, "orders.fifo",
		map[string]string{"FifoQueue": "true"})} {
		for range 2 {
			if err := sqs.Reopen(t.Context(), f, target, entry); err != nil {
				t.Fatal(err)
			}
		}
		out, err := f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &target,
			MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) != 2 { // SQS drops none of them as a duplicate
			t.Errorf("%d messages in %s", len(out.Messages), target)
		}
		for _, m := range out.Messages {
			if r, err := quarantinetest.Keys("bin").Parse([]byte(*m.Body)); err != nil ||
				r.UnverifiedID != "o-1" {
				t.Errorf("sent %+v, %v", r, err)
			}
		}
	}
}

func full(t *testing.T) quarantine.Store {
	t.Helper()
	s := quarantinetest.New(t, quarantinetest.Keys("bin"))
	if err := s.Put(t.Context(), quarantinetest.Record(at, "o-1")); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReopenRefuses(t *testing.T) {
	f := newFake(t, localaws.Options{})
	good := list(t, full(t))[0]
	if err := sqs.Reopen(t.Context(), f, f.url, quarantine.Entry{ID: good.ID,
		Err: consumer.ErrNotAuthentic}); err == nil {
		t.Error("what is not authentic was sent")
	}
	if err := sqs.Reopen(t.Context(), f, "orders", good); err == nil {
		t.Error("sent to no URL")
	}
	if err := sqs.Reopen(t.Context(), f, f.url+"-missing", good); err == nil {
		t.Error("sent to no queue")
	}
	large := good
	large.Document = make([]byte, 1<<20+1)
	if err := sqs.Reopen(t.Context(), f, f.url, large); !errors.Is(err, quarantine.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	narrow := f.queue(t, "narrow", map[string]string{"MaximumMessageSize": "1024"})
	large.Document = make([]byte, 1025)
	for i := range large.Document {
		large.Document[i] = ' '
	}
	if err := sqs.Reopen(t.Context(), f, narrow, large); !errors.Is(err, quarantine.ErrTooLarge) {
		t.Errorf("too large for that queue: %v", err)
	}
	if got := list(t, f.store(t, quarantinetest.Keys("bin"), sqs.Options{})); len(got) != 0 {
		t.Errorf("sent %+v", got)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	const url = "https://sqs.us-east-1.amazonaws.com/111111111111/q"
	client := awssqs.New(awssqs.Options{})
	with := func(o sqs.Options) func() error {
		return func() error { _, err := sqs.New(client, url, quarantinetest.Keys("bin"), &o); return err }
	}
	for name, try := range map[string]func() error{
		"no client": func() error { _, err := sqs.New(nil, url, quarantinetest.Keys("bin"), nil); return err },
		"no keys":   func() error { _, err := sqs.New(client, url, consumer.QuarantineKeys{}, nil); return err },
		"a name":    func() error { _, err := sqs.New(client, "quarantine", quarantinetest.Keys("bin"), nil); return err },
		"an ARN": func() error {
			_, err := sqs.New(client, "arn:aws:sqs:us-east-1:111111111111:q", quarantinetest.Keys("bin"), nil)
			return err
		},
		"FIFO":              func() error { _, err := sqs.New(client, url+".fifo", quarantinetest.Keys("bin"), nil); return err },
		"negative size":     with(sqs.Options{MaxBytes: -1}),
		"short visibility":  with(sqs.Options{Visibility: time.Millisecond}),
		"long visibility":   with(sqs.Options{Visibility: 13 * time.Hour}),
		"no wait":           with(sqs.Options{Wait: time.Millisecond}),
		"long wait":         with(sqs.Options{Wait: time.Minute}),
		"negative time":     with(sqs.Options{Timeout: -1}),
		"slower than shown": with(sqs.Options{Visibility: 5 * time.Second}),
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
