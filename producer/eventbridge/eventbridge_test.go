package eventbridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	sealbus "github.com/sealbus/sealbus/producer/eventbridge"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var signer = func() *keys.LocalSigner {
	s, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		panic(err)
	}
	return s
}()

// sized is an event whose data has so many bytes.
func sized(id string, bytes int) event.Event {
	ev := event.New()
	ev.SetID(id)
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	ev.SetTime(start)
	if err := ev.SetData("application/json", []byte(`{"pad":"`+strings.Repeat("x", bytes-len(`{"pad":""}`))+
		`"}`)); err != nil {
		panic(err)
	}
	return ev
}

func seal(t testing.TB, n, bytes int) []*envelope.Sealed {
	t.Helper()
	list := make([]*envelope.Sealed, n)
	for i := range list {
		var err error
		if list[i], err = envelope.Seal(t.Context(), sized(fmt.Sprint("o-", i), bytes), signer,
			nil); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func entrySize(t *testing.T, s *envelope.Sealed, layout envelope.Layout) int {
	t.Helper()
	e, err := s.EventBridge(layout)
	if err != nil {
		t.Fatal(err)
	}
	return e.Size()
}

// client answers as a test wants, and remembers what it was sent. An answer gets the IDs of the events of the
// call, and how many calls were before.
type client struct {
	mu     sync.Mutex
	calls  []*eventbridge.PutEventsInput
	answer func(ids []string, call int) (*eventbridge.PutEventsOutput, error)
}

func (c *client) PutEvents(ctx context.Context, in *eventbridge.PutEventsInput,
	_ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.calls)
	c.calls = append(c.calls, in)
	var ids []string
	for _, e := range in.Entries {
		_, id, _ := strings.Cut(*e.Detail, `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		ids = append(ids, id)
	}
	if c.answer == nil {
		return accepted(len(ids)), nil
	}
	return c.answer(ids, n)
}

func accepted(n int) *eventbridge.PutEventsOutput {
	out := &eventbridge.PutEventsOutput{}
	for range n {
		out.Entries = append(out.Entries, types.PutEventsResultEntry{EventId: aws.String("id")})
	}
	return out
}

// failing answers each entry with a code; "" = accepted.
func failing(codes ...string) *eventbridge.PutEventsOutput {
	out := accepted(len(codes))
	for i, code := range codes {
		if code != "" {
			out.FailedEntryCount++
			out.Entries[i] = types.PutEventsResultEntry{ErrorCode: aws.String(code),
				ErrorMessage: aws.String("so it is.")}
		}
	}
	return out
}

// clock moves only when a test sleeps by it.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	sleeps []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.sleeps = append(c.sleeps, d)
	return ctx.Err()
}

// sendErrors is the error of each event.
func sendErrors(b producer.Bus, ctx context.Context, events []*envelope.Sealed) []error {
	outcomes := b.Send(ctx, events)
	errs := make([]error, len(outcomes))
	for i, o := range outcomes {
		errs[i] = o.Err
	}
	return errs
}

func newBus(t *testing.T, c sealbus.Client, opts *sealbus.Options) (producer.Bus, *clock) {
	t.Helper()
	if opts == nil {
		opts = &sealbus.Options{}
	}
	clk := &clock{now: start}
	opts.Now = clk.Now
	bus, err := sealbus.New(c, "central", opts)
	if err != nil {
		t.Fatal(err)
	}
	bus.(*sealbus.Bus).SetSleep(clk.Sleep)
	bus.(*sealbus.Bus).SetJitter(0.5)
	return bus, clk
}

func TestNew(t *testing.T) {
	const arn = "arn:aws-cn:events:cn-north-1:111122223333:event-bus/central"
	for name, c := range map[string]struct {
		client sealbus.Client
		bus    string
		opts   *sealbus.Options
		ok     bool
	}{
		"defaults":             {&client{}, "central", nil, true},
		"ARN":                  {&client{}, arn, nil, true},
		"the account's own":    {&client{}, "default", nil, true},
		"partner":              {&client{}, "aws.partner/example.com/1", nil, true},
		"no client":            {nil, "central", nil, false},
		"no bus":               {&client{}, "", nil, false},
		"a URL":                {&client{}, "https://central", nil, false},
		"ARN of something":     {&client{}, strings.Replace(arn, "event-bus", "rule", 1), nil, false},
		"ARN without a name":   {&client{}, strings.TrimSuffix(arn, "central"), nil, false},
		"two lines":            {&client{}, "central\n", nil, false},
		"unknown layout":       {&client{}, "central", &sealbus.Options{Layout: 7}, false},
		"negative size":        {&client{}, "central", &sealbus.Options{MaxBytes: -1}, false},
		"negative concurrency": {&client{}, "central", &sealbus.Options{Concurrency: -1}, false},
		"cannot check":         {&client{}, "central", &sealbus.Options{CheckBus: true}, false},
	} {
		if bus, err := sealbus.New(c.client, c.bus, c.opts); (err == nil) != c.ok || (bus != nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEntries: what is put is what the sealed event says, in both layouts.
func TestEntries(t *testing.T) {
	for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
		c := &client{}
		bus, _ := newBus(t, c, &sealbus.Options{Layout: layout, EndpointID: "abcde.veo"})
		sealed := seal(t, 1, 100)
		if errs := sendErrors(bus, t.Context(), sealed); errs[0] != nil {
			t.Fatal(errs)
		}
		want, err := sealed[0].EventBridge(layout)
		if err != nil {
			t.Fatal(err)
		}
		in := c.calls[0]
		e := in.Entries[0]
		if *e.Source != want.Source || *e.DetailType != want.DetailType || *e.Detail != string(want.Detail) ||
			!e.Time.Equal(want.Time) ||
			*e.EventBusName != "central" || e.TraceHeader != nil || e.Resources != nil ||
			*in.EndpointId != "abcde.veo" {
			t.Errorf("put %+v", e)
		}
	}
	c := &client{}
	bus, _ := newBus(t, c, nil)
	ev := sized("o-1", 50)
	ev.Context.(*event.EventContextV1).Time = nil
	s, err := envelope.Seal(t.Context(), ev, signer, nil)
	if err != nil {
		t.Fatal(err)
	}
	if sendErrors(bus, t.Context(), []*envelope.Sealed{s}); c.calls[0].Entries[0].Time != nil ||
		c.calls[0].EndpointId != nil {
		t.Errorf("put %+v", c.calls[0])
	}
}

// TestPacking: calls are filled in order, up to 10 entries and to less than MaxBytes.
func TestPacking(t *testing.T) {
	sealed := seal(t, 25, 1000)
	size := entrySize(t, sealed[0], envelope.Structured) // IDs of two digits are a byte longer
	for _, test := range []struct {
		name  string
		bytes int
		want  []int
	}{
		{"by number", 1 << 20, []int{10, 10, 5}},
		{"three at a time", 3*size + 10, []int{3, 3, 3, 3, 3, 3, 3, 3, 1}},
		{"two, as three would fill it", 3 * size, []int{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &client{}
			bus, _ := newBus(t, c, &sealbus.Options{MaxBytes: test.bytes, Concurrency: 1})
			for i, err := range sendErrors(bus, t.Context(), sealed) {
				if err != nil {
					t.Errorf("event %d: %v", i, err)
				}
			}
			got := map[string]int{}
			for _, call := range c.calls {
				bytes := 0
				for _, e := range call.Entries {
					bytes += len(*e.Source) + len(*e.DetailType) + len(*e.Detail) + 14
				}
				if bytes >= test.bytes {
					t.Errorf("a call of %d bytes", bytes)
				}
				got[fmt.Sprint(len(call.Entries))]++
			}
			want := map[string]int{}
			for _, n := range test.want {
				want[fmt.Sprint(n)]++
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("calls by entries %v, want %v", got, want)
			}
		})
	}
}

// TestTooLarge: refused before sending, at the very byte, and the others are sent.
func TestTooLarge(t *testing.T) {
	sealed := seal(t, 3, 1000)
	large, err := envelope.Seal(t.Context(), sized("large", 2000), signer, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed[1] = large
	size := entrySize(t, large, envelope.Structured)
	for limit, refused := range map[int]bool{size: true, size + 1: false} {
		c := &client{}
		bus, _ := newBus(t, c, &sealbus.Options{MaxBytes: limit})
		errs := sendErrors(bus, t.Context(), sealed)
		if errors.Is(errs[1], sealbus.ErrTooLarge) != refused || errs[0] != nil || errs[2] != nil {
			t.Fatalf("limit %d: %v", limit, errs)
		}
		if errors.Is(errs[1], envelope.ErrTooLarge) != refused {
			t.Errorf("limit %d: errors.Is does not find envelope.ErrTooLarge in %v", limit, errs[1])
		}
		if refused && !strings.Contains(errs[1].Error(), fmt.Sprintf("has %d bytes", size)) {
			t.Errorf("error %v", errs[1])
		}
	}
}

// An event that the bus could not carry fails alone.
func TestUnfit(t *testing.T) {
	sealed := seal(t, 2, 100)
	ev := sized("scalar", 100)
	if err := ev.SetData("application/json", []byte(`7`)); err != nil {
		t.Fatal(err)
	}
	s, err := envelope.Seal(t.Context(), ev, signer, nil)
	if err != nil {
		t.Fatal(err)
	}
	bus, _ := newBus(t, &client{}, &sealbus.Options{Layout: envelope.Embedded})
	errs := sendErrors(bus, t.Context(), []*envelope.Sealed{sealed[0], s, sealed[1]})
	if _, ok := errors.AsType[*envelope.SealError](errs[1]); !ok || errs[0] != nil || errs[2] != nil {
		t.Errorf("errors %v", errs)
	}
}

// TestPartialFailure: only what may be accepted another time is sent again, and every event has its own
// answer.
func TestPartialFailure(t *testing.T) {
	c := &client{answer: func(ids []string, call int) (*eventbridge.PutEventsOutput, error) {
		switch call {
		case 0:
			return failing("", "ThrottlingException", "MalformedDetail", "InternalFailure", "",
				"NotAuthorizedForSource"), nil
		case 1:
			if fmt.Sprint(ids) != "[o-1 o-3]" {
				t.Errorf("tried again: %v", ids)
			}
			return failing("ThrottlingException", ""), nil
		case 2:
			if fmt.Sprint(ids) != "[o-1]" {
				t.Errorf("tried again: %v", ids)
			}
		}
		return accepted(len(ids)), nil
	}}
	bus, clk := newBus(t, c, nil)
	errs := sendErrors(bus, t.Context(), seal(t, 6, 100))
	for i, want := range []string{"", "", "MalformedDetail", "", "", "NotAuthorizedForSource"} {
		e, _ := errors.AsType[*sealbus.Error](errs[i])
		if got := e; want == "" && errs[i] != nil || want != "" &&
			(got == nil || got.Code != want || got.Temporary || got.Tries() != 1) {
			t.Errorf("event %d: %v, want %q", i, errs[i], want)
		}
	}
	if len(c.calls) != 3 || fmt.Sprint(clk.sleeps) != "[50ms 100ms]" {
		t.Errorf("%d calls, slept %v", len(c.calls), clk.sleeps)
	}
}

// TestCodes: the codes are those that EventBridge documents for entries.
func TestCodes(t *testing.T) {
	for code, temporary := range map[string]bool{
		"ThrottlingException": true, "InternalFailure": true,
		"AccessDeniedException": false, "InvalidAccountIdException": false, "InvalidArgument": false,
		"MalformedDetail":  false,
		"RedactionFailure": false, "NotAuthorizedForSourceException": false,
		"NotAuthorizedForDetailTypeException": false, "Unheard": false,
	} {
		c := &client{answer: func([]string, int) (*eventbridge.PutEventsOutput, error) { return failing(code), nil }}
		bus, _ := newBus(t, c, &sealbus.Options{RetryFor: time.Second})
		e, ok := errors.AsType[*sealbus.Error](sendErrors(bus, t.Context(), seal(t, 1, 100))[0])
		if !ok || e.Code != code || e.Temporary != temporary || (len(c.calls) > 1) != temporary ||
			e.Tries() != len(c.calls) {
			t.Errorf("%s: %d calls, %+v", code, len(c.calls), e)
		}
	}
}

// TestBackoff: waits grow to the longest, and end with RetryFor.
func TestBackoff(t *testing.T) {
	always := func([]string, int) (*eventbridge.PutEventsOutput, error) { return failing("ThrottlingException"), nil }
	for _, test := range []struct {
		name   string
		jitter float64
		retry  time.Duration
		want   string
	}{
		{"longest", 1, 20 * time.Second, "[100ms 200ms 400ms 800ms 1.6s 3.2s 5s 5s]"},
		{"half", 0.5, 2 * time.Second, "[50ms 100ms 200ms 400ms 800ms]"},
		{"never", 0.5, -1, "[]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &client{answer: always}
			bus, clk := newBus(t, c, &sealbus.Options{RetryFor: test.retry})
			bus.(*sealbus.Bus).SetJitter(test.jitter)
			err := sendErrors(bus, t.Context(), seal(t, 1, 100))[0]
			if e, ok := errors.AsType[*sealbus.Error](err); !ok || e.Tries() != len(clk.sleeps)+1 ||
				fmt.Sprint(clk.sleeps) != test.want {
				t.Errorf("%v after %v", err, clk.sleeps)
			}
		})
	}
}

// The jitter of the house is in its bounds, and not always the same.
func TestJitter(t *testing.T) {
	c := &client{answer: func([]string, int) (*eventbridge.PutEventsOutput, error) { return failing("ThrottlingException"), nil }}
	clk := &clock{now: start}
	bus, err := sealbus.New(c, "central", &sealbus.Options{Now: clk.Now})
	if err != nil {
		t.Fatal(err)
	}
	bus.(*sealbus.Bus).SetSleep(clk.Sleep)
	sendErrors(bus, t.Context(), seal(t, 1, 100))
	different := map[time.Duration]bool{}
	for _, d := range clk.sleeps {
		different[d] = true
		if d < 0 || d >= 5*time.Second {
			t.Errorf("slept %v", d)
		}
	}
	if len(different) < 4 {
		t.Errorf("slept %v", clk.sleeps)
	}
}

// TestCallErrors: a whole call fails.
func TestCallErrors(t *testing.T) {
	api := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "so it is."} }
	for name, c := range map[string]struct {
		err       error
		temporary bool
		noAnswer  bool
	}{
		"throttled":     {api("ThrottlingException"), true, false},
		"internal":      {api("InternalException"), true, false},
		"validation":    {api("ValidationException"), false, false},
		"access denied": {api("AccessDeniedException"), false, false},
		"cannot be sent": {&smithy.OperationError{Err: &smithy.SerializationError{Err: errors.New("x")}},
			false, true},
		"by the SDK": {api("RequestLimitExceeded"), true, false},
		"answer cut": {&smithy.OperationError{Err: &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}},
			true, true},
		"reset":   {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true, true},
		"timeout": {context.DeadlineExceeded, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &client{answer: func(ids []string, call int) (*eventbridge.PutEventsOutput, error) { return nil, c.err }}
			bus, _ := newBus(t, fake, &sealbus.Options{RetryFor: time.Second})
			for _, err := range sendErrors(bus, t.Context(), seal(t, 2, 100)) {
				e, ok := errors.AsType[*sealbus.Error](err)
				if !ok || e.Temporary != c.temporary || !errors.Is(err, c.err) ||
					errors.Is(err, producer.ErrNoAnswer) != c.noAnswer ||
					(len(fake.calls) > 1) != c.temporary {
					t.Errorf("%d calls, %v", len(fake.calls), err)
				}
			}
		})
	}
}

// TestNoAnswerBefore: what an earlier try may have put on the bus, a later refusal does not take back.
func TestNoAnswerBefore(t *testing.T) {
	for name, later := range map[string]func() (*eventbridge.PutEventsOutput, error){
		"entry": func() (*eventbridge.PutEventsOutput, error) {
			return failing("", "NotAuthorizedForSourceException"), nil
		},
		"call": func() (*eventbridge.PutEventsOutput, error) {
			return nil, &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}
		},
		"throttled for ever": func() (*eventbridge.PutEventsOutput, error) {
			return nil, &smithy.GenericAPIError{Code: "ThrottlingException", Message: "slowly"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &client{answer: func(_ []string, call int) (*eventbridge.PutEventsOutput, error) {
				if call == 0 {
					return nil, &net.OpError{Op: "read", Err: syscall.ECONNRESET}
				}
				return later()
			}}
			bus, _ := newBus(t, fake, nil)
			err := sendErrors(bus, t.Context(), seal(t, 2, 100))[1]
			e, ok := errors.AsType[*sealbus.Error](err)
			if !ok || e.Code == "" || e.Tries() < 2 || !errors.Is(err, producer.ErrNoAnswer) ||
				!strings.Contains(err.Error(), "may be on the bus") {
				t.Errorf("%+v: %v", e, err)
			}
		})
	}
}

// TestNonsense: an answer that does not say what became of each entry.
func TestNonsense(t *testing.T) {
	for name, out := range map[string]*eventbridge.PutEventsOutput{
		"too few": accepted(1), "too many": accepted(3), "none": {}, "nil": nil,
		"neither": {Entries: make([]types.PutEventsResultEntry, 2)},
	} {
		bus, _ := newBus(t, &client{answer: func([]string, int) (*eventbridge.PutEventsOutput, error) { return out, nil }}, nil)
		for i, err := range sendErrors(bus, t.Context(), seal(t, 2, 100)) {
			if !errors.Is(err, producer.ErrNoAnswer) {
				t.Errorf("%s: event %d: %v", name, i, err)
			}
		}
	}
}

// TestConcurrency: no more calls than allowed, over all Sends; and results in the order of the events.
func TestConcurrency(t *testing.T) { synctest.Test(t, testConcurrency) }

func testConcurrency(t *testing.T) {
	const most, sends, events = 3, 4, 50
	var mu sync.Mutex
	running, highest := 0, 0
	c := clientFunc(func(_ context.Context, in *eventbridge.PutEventsInput) (*eventbridge.PutEventsOutput,
		error) {
		mu.Lock()
		running++
		highest = max(highest, running)
		mu.Unlock()
		time.Sleep(time.Millisecond) // in the time of synctest: until every other goroutine waits
		mu.Lock()
		running--
		mu.Unlock()
		out := accepted(len(in.Entries))
		for i, e := range in.Entries {
			if strings.Contains(*e.Detail, `7"`) && strings.Contains(*e.Detail, `"id":"o-`) {
				_, id, _ := strings.Cut(*e.Detail, `"id":"o-`)
				if id, _, _ = strings.Cut(id, `"`); strings.HasSuffix(id, "7") {
					out.Entries[i] = types.PutEventsResultEntry{
						ErrorCode: aws.String("InvalidArgument"), ErrorMessage: aws.String(id)}
				}
			}
		}
		return out, nil
	})
	bus, _ := newBus(t, c, &sealbus.Options{Concurrency: most})
	sealed := seal(t, events, 100)
	var wg sync.WaitGroup
	for range sends {
		wg.Go(func() {
			for i, err := range sendErrors(bus, t.Context(), sealed) {
				e, failed := errors.AsType[*sealbus.Error](err)
				if failed != (i%10 == 7) || failed && e.Message() != fmt.Sprint(i) {
					t.Errorf("event %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if highest != most {
		t.Errorf("%d calls at a time", highest)
	}
}

type clientFunc func(ctx context.Context, in *eventbridge.PutEventsInput) (*eventbridge.PutEventsOutput,
	error)

func (f clientFunc) PutEvents(ctx context.Context, in *eventbridge.PutEventsInput,
	_ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	return f(ctx, in)
}

// A client that ends its goroutine, as t.FailNow does, does not make its events look accepted. A panic of it
// is one of the caller, and comes when no other call is under way any more.
func TestClientDoesNotReturn(t *testing.T) {
	var calls, inside atomic.Int64
	var end func()
	c := clientFunc(func(_ context.Context, in *eventbridge.PutEventsInput) (*eventbridge.PutEventsOutput,
		error) {
		inside.Add(1)
		defer inside.Add(-1)
		if calls.Add(1)%3 == 2 {
			end()
		}
		return accepted(len(in.Entries)), nil
	})
	bus, _ := newBus(t, c, &sealbus.Options{Concurrency: 2})
	sealed := seal(t, 30, 100)
	end = runtime.Goexit
	unknown := 0
	for i, r := range bus.Send(t.Context(), sealed) {
		if r.MaybeTwice != (r.Err != nil) || r.Err != nil && !errors.Is(r.Err, producer.ErrNoAnswer) {
			t.Errorf("event %d: %+v", i, r)
		}
		if r.Err != nil {
			unknown++
		}
	}
	if unknown != 10 {
		t.Errorf("one of three calls did not return, and %d events have no answer", unknown)
	}
	end = func() { panic("of the client") }
	got := func() (v any) {
		defer func() { v = recover() }()
		bus.Send(t.Context(), sealed)
		return nil
	}()
	if got != "of the client" || inside.Load() != 0 {
		t.Errorf("panic %v, and %d calls are under way", got, inside.Load())
	}
	end = func() {}
	for i, err := range sendErrors(bus, t.Context(), sealed) { // all slots are free again
		if err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
}

// TestCancelled: what was not sent says so, what was sent without an answer says that.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	c := clientFunc(func(ctx context.Context, _ *eventbridge.PutEventsInput) (*eventbridge.PutEventsOutput,
		error) {
		cancel(why)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	bus, clk := newBus(t, c, &sealbus.Options{Concurrency: 1})
	for i, err := range sendErrors(bus, ctx, seal(t, 25, 100)) {
		want := producer.ErrNotSent
		if i < 10 {
			want = producer.ErrNoAnswer
		}
		if !errors.Is(err, want) || !errors.Is(err, why) {
			t.Errorf("event %d: %v", i, err)
		}
	}
	if len(clk.sleeps) > 0 {
		t.Errorf("slept %v", clk.sleeps)
	}
}

// Nothing is sent under a context that is over already, whichever a free slot or the context is noticed
// first.
func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &client{}
	bus, _ := newBus(t, c, nil)
	sealed := seal(t, 1, 100)
	for range 50 {
		if err := sendErrors(bus, ctx, sealed)[0]; !errors.Is(err, producer.ErrNotSent) ||
			!errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if len(c.calls) > 0 {
		t.Errorf("%d calls", len(c.calls))
	}
}

// A wait that would outlast the caller's deadline is not begun: the caller learns why instead.
func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	c := &client{answer: func([]string, int) (*eventbridge.PutEventsOutput, error) { return failing("ThrottlingException"), nil }}
	bus, clk := newBus(t, c, &sealbus.Options{RetryFor: 1e6 * time.Hour})
	bus.(*sealbus.Bus).SetJitter(1e6)
	err := sendErrors(bus, ctx, seal(t, 1, 100))[0]
	if e, ok := errors.AsType[*sealbus.Error](err); !ok || e.Code != "ThrottlingException" ||
		len(clk.sleeps) != 0 {
		t.Errorf("%v after %v", err, clk.sleeps)
	}
}

// A call that hangs is given up and tried again.
func TestCallTimeout(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	c := clientFunc(func(ctx context.Context, in *eventbridge.PutEventsInput) (*eventbridge.PutEventsOutput,
		error) {
		mu.Lock()
		calls++
		first := calls == 1
		mu.Unlock()
		if first {
			<-ctx.Done()
			return nil, errors.New("canceled, in the words of the SDK")
		}
		return accepted(len(in.Entries)), nil
	})
	bus, clk := newBus(t, c, nil)
	bus.(*sealbus.Bus).SetTimeout(time.Millisecond)
	if errs := sendErrors(bus, t.Context(), seal(t, 1, 100)); errs[0] != nil || calls != 2 ||
		len(clk.sleeps) != 1 {
		t.Errorf("%v after %d calls", errs, calls)
	}
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceHeader(t *testing.T) {
	const xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	lambda := context.WithValue(t.Context(), "x-amzn-trace-id", xray) //lint:ignore SA1029 aws-lambda-go's
	for name, c := range map[string]struct {
		ctx  context.Context
		opts sealbus.Options
		want string
	}{
		"none":      {t.Context(), sealbus.Options{}, ""},
		"in Lambda": {lambda, sealbus.Options{}, xray},
		"W3C": {producer.WithTrace(t.Context(), parent, ""), sealbus.Options{},
			"Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"},
		"W3C, unsampled": {producer.WithTrace(t.Context(), parent[:53]+"0a", ""), sealbus.Options{},
			"Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=0"},
		"both": {producer.WithTrace(lambda, parent, ""), sealbus.Options{}, xray},
		"too long": {context.WithValue(t.Context(), "x-amzn-trace-id", strings.Repeat("x", 501)), //lint:ignore SA1029 the same
			sealbus.Options{}, ""},
	} {
		fake := &client{}
		bus, _ := newBus(t, fake, &c.opts)
		sendErrors(bus, c.ctx, seal(t, 1, 100))
		if got := aws.ToString(fake.calls[0].Entries[0].TraceHeader); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// describer is a client that also knows the bus, or not.
type describer struct {
	client
	asked int
	err   error
}

func (d *describer) DescribeEventBus(_ context.Context, in *eventbridge.DescribeEventBusInput,
	_ ...func(*eventbridge.Options)) (*eventbridge.DescribeEventBusOutput, error) {
	d.asked++
	if *in.Name != "central" {
		return nil, errors.New("asked for another bus")
	}
	return &eventbridge.DescribeEventBusOutput{}, d.err
}

// TestCheckBus: events for a bus that does not exist are kept back; a caller who may not ask is believed.
func TestCheckBus(t *testing.T) {
	missing, denied := &types.ResourceNotFoundException{},
		&smithy.GenericAPIError{Code: "AccessDeniedException"}
	down := &smithy.GenericAPIError{Code: "InternalException"}
	d := &describer{}
	bus, clk := newBus(t, d, &sealbus.Options{CheckBus: true})
	sealed := seal(t, 2, 100)
	send := func(after time.Duration, answer error, want error, asked bool) {
		t.Helper()
		_ = clk.Sleep(t.Context(), after)
		d.err = answer
		before, calls := d.asked, len(d.calls)
		for _, err := range sendErrors(bus, t.Context(), sealed) {
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%v: %v, want %v", answer, err, want)
			}
		}
		if (d.asked > before) != asked || (len(d.calls) > calls) != (want == nil) {
			t.Errorf("%v: asked %d times, %d calls", answer, d.asked-before, len(d.calls)-calls)
		}
	}
	send(0, down, producer.ErrNotSent, true) // unknown whether it exists, and never was known
	send(0, missing, sealbus.ErrNoBus, true)
	send(0, missing, sealbus.ErrNoBus, true) // it may be created meanwhile
	send(0, nil, nil, true)
	send(time.Second, missing, nil, false)               // believed for a while
	send(time.Hour, down, nil, true)                     // it did exist
	send(time.Hour, missing, sealbus.ErrNoBus, true)     // deleted
	send(0, down, producer.ErrNotSent, true)             // what was known is forgotten
	send(0, denied, nil, true)                           // PutEvents alone is enough
	send(time.Second, missing, nil, false)               // and is not asked for again and again
	send(-24*time.Hour, missing, sealbus.ErrNoBus, true) // a clock that was set back: asked at once
	unchecked, _ := newBus(t, &describer{err: missing}, nil)
	if errs := sendErrors(unchecked, t.Context(), sealed); errs[0] != nil {
		t.Errorf("unchecked: %v", errs)
	}
}

// flaky is a client whose bus check fails so many times before it answers.
type flaky struct {
	client
	asked, fails int
	err          error
}

func (f *flaky) DescribeEventBus(context.Context, *eventbridge.DescribeEventBusInput,
	...func(*eventbridge.Options)) (*eventbridge.DescribeEventBusOutput, error) {
	if f.asked++; f.asked <= f.fails {
		return nil, f.err
	}
	return &eventbridge.DescribeEventBusOutput{}, nil
}

// TestCheckBusIsTriedAgain: RetryFor is for the check of the bus as well. An error that does not pass by
// itself ends the check at once.
func TestCheckBusIsTriedAgain(t *testing.T) {
	throttled, refused := &smithy.GenericAPIError{Code: "ThrottlingException"},
		&smithy.GenericAPIError{Code: "UnrecognizedClientException"}
	for name, c := range map[string]struct {
		err      error
		fails    int
		retryFor time.Duration
		asked    int // 0 = until the time is over
		want     error
	}{
		"throttled for a while":    {throttled, 4, 0, 5, nil},
		"no answer for a while":    {context.DeadlineExceeded, 3, 0, 4, nil},
		"throttled to the end":     {throttled, 1 << 30, time.Minute, 0, producer.ErrNotSent},
		"never again":              {throttled, 1, -1, 1, producer.ErrNotSent},
		"unknown credentials":      {refused, 1, 0, 1, producer.ErrNotSent},
		"there is no bus":          {&types.ResourceNotFoundException{}, 1, 0, 1, sealbus.ErrNoBus},
		"may not ask, is believed": {&smithy.GenericAPIError{Code: "AccessDeniedException"}, 1, 0, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &flaky{fails: c.fails, err: c.err}
			bus, clk := newBus(t, f, &sealbus.Options{CheckBus: true, RetryFor: c.retryFor})
			before := clk.Now()
			err := sendErrors(bus, t.Context(), seal(t, 1, 100))[0]
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if c.asked > 0 && f.asked != c.asked || c.asked == 0 && f.asked < 5 {
				t.Errorf("asked %d times, want %d", f.asked, c.asked)
			}
			if spent := clk.Now().Sub(before); c.retryFor > 0 && spent > c.retryFor {
				t.Errorf("%s were spent of %s", spent, c.retryFor)
			}
		})
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  *sealbus.Error
		want string
	}{
		{sealbus.NewError("ThrottlingException", "Slow down.", true, 4),
			"(4 tries): publish the event again"},
		{&sealbus.Error{Code: "AccessDeniedException"}, "events:PutEvents"},
		{&sealbus.Error{Code: "NotAuthorizedForSourceException"}, "policy"},
		{sealbus.NewError("ValidationException",
			"Total size of the entries in the request is over the limit.", false, 0), "262144"},
		{&sealbus.Error{Err: errors.New("no route")}, "no route"},
	} {
		if got := c.err.Error(); !strings.HasPrefix(got, "eventbridge: ") || !strings.Contains(got, c.want) {
			t.Errorf("%q", got)
		}
	}
}
