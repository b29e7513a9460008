package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// The canaries are what encrypted data has in it: a value, a number and the name of a member.
const (
	canaryText   = "tangerine-zeppelin-0451"
	canaryNumber = "4111222233334444555"
	canaryName   = "marmalade-submarine-1138"
	canaryData   = `{"amount":` + canaryNumber + `,"item":"` + canaryText + `",` +
		`"lines":{"` + canaryName + `":{"count":"` + canaryText + `"}}}`
)

// parts of the canaries: a text that was clipped still has one.
var canaries = []string{"tangerine", "zeppelin", "4111222233", "marmalade", "submarine"}

// exits is a consumer of which every way out is recorded.
type exits struct {
	*world
	log     bytes.Buffer
	reports []consumer.Result
	text    strings.Builder // all that came out
}

func (e *exits) Delivered(_ context.Context, r consumer.Result) { e.reports = append(e.reports, r) }

// watch has what leaves the consumer of w go into the exits. The log is at debug level, in both forms.
func watch(w *world) *exits {
	e := &exits{world: w}
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	w.opts.Logger = bothForms(&e.log, all)
	w.opts.Observer = e
	return e
}

func bothForms(to io.Writer, opts *slog.HandlerOptions) *slog.Logger {
	return slog.New(slog.NewMultiHandler(slog.NewJSONHandler(to, opts), slog.NewTextHandler(to, opts)))
}

// collect prints the result of a delivery in all ways that a program may.
func (e *exits) collect(r consumer.Result, err error) string {
	e.Helper()
	joined, around := errors.Join(err, errors.New("another")), fmt.Errorf("around: %w", err)
	printed := []any{err, r, r.Verdict, joined, around}
	for _, rec := range e.bin.records {
		if len(rec.Message.Body) > 1<<20 {
			rec.Message.Body = nil // it takes long to print, and is as it was delivered
		}
		printed = append(printed, rec.Cause, rec)
		e.text.Write(marshal(e, rec, macKey))
	}
	for _, report := range e.reports {
		printed = append(printed, report)
		if report.Verdict != nil {
			printed = append(printed, report.Verdict.Fix(), report.Verdict.Err)
		}
	}
	readiness := consumer.NewReadiness(&e.trust)
	for _, report := range e.reports {
		readiness.Delivered(e.Context(), report)
	}
	printed = append(printed, readiness.Producers(e.Context()))
	logger := bothForms(&e.log, nil)
	for _, v := range printed {
		for _, verb := range []string{"%v\n", "%+v\n", "%#v\n", "%s\n", "%q\n"} {
			fmt.Fprintf(&e.text, verb, v)
		}
		logger.Info("printed", "value", v)
		if doc, err := json.Marshal(v); err == nil {
			e.text.Write(doc)
		}
	}
	e.text.WriteString(e.log.String())
	return e.text.String()
}

// noCanary fails if a canary flew out.
func noCanary(t *testing.T, what, text string) {
	t.Helper()
	if text == "" {
		t.Fatalf("%s: nothing came out at all", what)
	}
	for _, c := range canaries {
		if i := strings.Index(text, c); i >= 0 {
			t.Errorf("%s: decrypted text came out: ...%s...", what, text[max(0, i-120):min(len(text), i+60)])
		}
	}
}

// quoting is a handler whose error quotes the data.
func quoting(_ context.Context, d consumer.Delivery[[]byte]) error {
	return fmt.Errorf("cannot book %s", d.Data)
}

// For every Reason, nothing of the decrypted data is in the log, the record, a report or an error, however
// it is printed, even if the handler's error quotes it.
func TestNoReasonTellsDecryptedData(t *testing.T) {
	for _, fields := range [][]string{nil, {"/amount", "/item", "/lines"}} {
		for _, c := range reasonCases {
			t.Run(fmt.Sprintf("%s %d", c.reason, len(fields)), func(t *testing.T) {
				w := newWorld(t)
				w.keepSecrets()
				w.data, w.fields = json.RawMessage(canaryData), fields
				switch c.reason {
				case envelope.ReasonNotEncrypted:
					w.data = nil // what came in the clear is no secret
				case envelope.ReasonDecryptFailed:
					w.fields = nil // its event is made by hand
				}
				e := watch(w)
				if c.reason == envelope.ReasonHandlerFailed {
					c.handler = func(*world) consumer.Handler { return quoting }
				}
				msg := c.encrypted(w)
				handler := consumer.Handler(w.handle)
				if c.handler != nil {
					handler = c.handler(w)
				}
				r, err := w.consumer().Handle(context.Background(), msg, handler)
				if r.Reason() != c.reason {
					t.Fatalf("reason %q: %v", r.Reason(), err)
				}
				noCanary(t, string(c.reason), e.collect(r, err))
			})
		}
	}
}

// ledgerError is an error that tells what it has in every way there is.
type ledgerError struct{ Data string }

func (l ledgerError) Error() string                { return l.Data }
func (l ledgerError) GoString() string             { return l.Data }
func (l ledgerError) LogValue() slog.Value         { return slog.StringValue(l.Data) }
func (l ledgerError) MarshalText() ([]byte, error) { return []byte(l.Data), nil }

// muteError cannot even say what it is.
type muteError struct{ data *string }

func (b *muteError) Error() string { return *b.data }
func (b *muteError) Unwrap() error { panic(canaryText) }

// picky reads itself, and quotes what it does not like.
type picky struct{}

func (*picky) UnmarshalJSON(b []byte) error { return fmt.Errorf("picky does not like %s", b) }

// failures are the ways in which a handler fails and quotes the data.
var failures = map[string]struct {
	handler consumer.Handler
	reason  envelope.Reason
}{
	"text": {quoting, envelope.ReasonHandlerFailed},
	"struct": {failing(func(d []byte) error {
		return ledgerError{string(d)}
	}), envelope.ReasonHandlerFailed},
	"joined": {failing(func(d []byte) error {
		return errors.Join(ledgerError{string(d)}, ledgerError{canaryName})
	}), envelope.ReasonHandlerFailed},
	"verdict": {failing(func(d []byte) error {
		return &envelope.Error{Reason: "malformed", Cause: string(d)}
	}), envelope.ReasonHandlerFailed},
	"broken": {failing(func([]byte) error { return &muteError{} }), envelope.ReasonHandlerFailed},
	"service": {failing(func(d []byte) error {
		return &keys.ServiceError{Op: "Sign", Cause: string(d), Fix: string(d)}
	}), envelope.ReasonHandlerFailed},
	"panic text":  {failing(func(d []byte) error { panic(string(d)) }), envelope.ReasonHandlerFailed},
	"panic bytes": {failing(func(d []byte) error { panic(d) }), envelope.ReasonHandlerFailed},
	"panic error": {failing(func(d []byte) error {
		panic(ledgerError{string(d)})
	}), envelope.ReasonHandlerFailed},
	"panic struct": {failing(func(d []byte) error {
		panic(struct{ D []byte }{d})
	}), envelope.ReasonHandlerFailed},
	"index": {consumer.Typed(func(_ context.Context, d consumer.Delivery[struct{ Amount int }]) error {
		_ = make([]int, 3)[d.Data.Amount] // "index out of range [4111222233334444555] with length 3"
		return nil
	}), envelope.ReasonHandlerFailed},
	"beside a safe one": {failing(func(d []byte) error {
		return fmt.Errorf("%s: %w", d, consumer.SafeText(errors.New("the ledger is closed")))
	}), envelope.ReasonHandlerFailed},
	"timed out": {failing(func(d []byte) error {
		return fmt.Errorf("booking %s: %w", d, context.DeadlineExceeded)
	}), envelope.ReasonHandlerFailed},
	"delivery": {func(_ context.Context, d consumer.Delivery[[]byte]) error {
		return fmt.Errorf("%+v", d.Event)
	}, envelope.ReasonHandlerFailed},
	"out of range": {typed[struct{ Amount int8 }](), envelope.ReasonSchemaInvalid},
	"wrong type":   {typed[struct{ Amount string }](), envelope.ReasonSchemaInvalid},
	"a map's key":  {typed[struct{ Lines map[int]any }](), envelope.ReasonSchemaInvalid},
	"a map's value": {typed[struct {
		Lines map[string]struct{ Count int }
	}](), envelope.ReasonSchemaInvalid},
	"its own method": {typed[struct{ Item picky }](), envelope.ReasonSchemaInvalid},
	"a time":         {typed[struct{ Item time.Time }](), envelope.ReasonSchemaInvalid},
	"a quoted number": {typed[struct {
		Item int `json:",string"`
	}](), envelope.ReasonSchemaInvalid},
	"wrapped": {func(ctx context.Context, d consumer.Delivery[[]byte]) error {
		return fmt.Errorf("reading %s: %w", d.Data, typed[struct{ Amount string }]()(ctx, d))
	}, envelope.ReasonHandlerFailed},
}

func failing(fail func(data []byte) error) consumer.Handler {
	return func(_ context.Context, d consumer.Delivery[[]byte]) error { return fail(d.Data) }
}

func typed[T any]() consumer.Handler {
	return consumer.Typed(func(context.Context, consumer.Delivery[T]) error { return nil })
}

// However a handler fails, what it says of encrypted data stays inside; errors.As still finds it.
func TestNoFailureTellsDecryptedData(t *testing.T) {
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			for _, fields := range [][]string{nil, {"/amount", "/item", "/lines"}} {
				w := newWorld(t)
				w.keepSecrets()
				w.data, w.fields = json.RawMessage(canaryData), fields
				e := watch(w)
				r, err := w.consumer().Handle(t.Context(), body(w.event("1")), f.handler)
				if r.Reason() != f.reason {
					t.Fatalf("reason %q: %v", r.Reason(), err)
				}
				noCanary(t, name, e.collect(r, err))
				if inner := errors.Unwrap(r.Verdict.Err); inner == nil {
					t.Error("the error itself is lost")
				}
			}
		})
	}
}

// The error of a Migration's Handle is as silent about an event that was decrypted, and so is the verdict
// that it gets. The event expires while its schema is asked, after it was decrypted.
func TestMigrationTellsNoDecryptedData(t *testing.T) {
	w := newWorld(t)
	w.keepSecrets()
	w.data = json.RawMessage(canaryData)
	told := ""
	w.opts.UnsafeMigration = []consumer.Migration{{
		Source: source, Type: "*", Until: start.AddDate(2, 0, 0),
		Handle: func(_ context.Context, _ consumer.Message, verdict *envelope.Error) error {
			told = fmt.Sprintf("%+v %#v", verdict, verdict)
			return errors.New(canaryText)
		},
	}}
	w.opts.Schemas = judge(func(envelope.Document) error {
		w.clock.Advance(365 * 24 * time.Hour)
		return nil
	})
	e := watch(w)
	r, err := w.consumer().Handle(t.Context(), body(w.event("1")), typed[struct{ Amount string }]())
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
	if !strings.Contains(told, string(envelope.ReasonExpired)) {
		t.Errorf("the verdict is %s", told)
	}
	noCanary(t, "the verdict", told)
	noCanary(t, "the failure", e.collect(r, err))
}

// The text that a handler declares safe is shown, and so are the errors of contexts; of a clear event,
// everything is.
func TestSafeText(t *testing.T) {
	closed := errors.New("the ledger is closed")
	for name, c := range map[string]struct {
		handler     consumer.Handler
		clear       string // part of the cause
		secret, not string
	}{
		"plain": {
			failing(func([]byte) error { return closed }),
			"the ledger is closed", "the handler failed with a *errors.errorString", "ledger",
		},
		"safe": {
			failing(func([]byte) error { return consumer.SafeText(closed) }),
			"the ledger is closed", "the ledger is closed", "withheld",
		},
		"around": {
			failing(func([]byte) error { return fmt.Errorf("a: %w", consumer.SafeText(closed)) }),
			"a: the ledger is closed", "the ledger is closed; the rest", "a:",
		},
		"panic": {
			failing(func([]byte) error { panic(consumer.SafeText(closed)) }),
			"panicked: the ledger is closed", "the ledger is closed", "withheld",
		},
		"a panic": {
			failing(func([]byte) error { panic("oh") }),
			"panicked: oh", "the handler panicked with a string", "oh",
		},
		"deadline": {
			failing(func([]byte) error { return fmt.Errorf("a: %w", context.DeadlineExceeded) }),
			"a: context deadline exceeded", "context deadline exceeded", "a:",
		},
		"lost": {
			failing(func([]byte) error { return replay.ErrClaimLost }),
			replay.ErrClaimLost.Error(), replay.ErrClaimLost.Error(), "no such text",
		},
	} {
		for _, secret := range []bool{false, true} {
			w := newWorld(t)
			want, not := c.clear, "withheld"
			if secret {
				w.keepSecrets()
				want, not = c.secret, c.not
			}
			r, err := w.consumer().Handle(t.Context(), body(w.event("1")), c.handler)
			w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
			if !strings.Contains(r.Verdict.Cause, want) || strings.Contains(r.Verdict.Cause, not) {
				t.Errorf("%s, secret %t: %s", name, secret, r.Verdict.Cause)
			}
		}
	}
	if consumer.SafeText(nil) != nil {
		t.Error("success is an error")
	}
	if !errors.Is(consumer.SafeText(closed), closed) {
		t.Error("the error is lost")
	}
}

// A verdict on data that does not fit names the field as Go does, its type and the place, and quotes no data.
func TestUnfitNamesTheField(t *testing.T) {
	type line struct {
		Count int `json:"n.of"`
	}
	type Base struct{ Ratio float64 }
	type doc struct {
		Base
		Lines map[string][]line `json:"lines"`
		One   *line             `json:"one,omitempty"`
		When  time.Time
	}
	const lines = `{"lines":{"` + canaryName + `":[{"n.of":0},{"n.of":"` + canaryText + `"}]}}`
	for data, want := range map[string]string{
		`[1]`: "it is not what a consumer_test.doc is read from, at byte 1",
		`{"Ratio":"` + canaryText +
			`"}`: "the field Base.Ratio is not what a float64 is read from, at byte 34",
		lines:                 "the field Lines.Count is not what a int is read from, at byte 82",
		`{"one":{"n.of":[]}}`: "the field One.Count is not what a int is read from, at byte 16",
		`{"lines":{"x":{}}}`:  "the field Lines is not what a []consumer_test.line is read from, at byte 15",
		`{"When":"` + canaryText +
			`"}`: "reading it as a consumer_test.doc fails with a *time.ParseError, whose text",
		`null`: "the data is null",
	} {
		w := newWorld(t)
		w.data = json.RawMessage(data)
		r, err := w.consumer().Handle(t.Context(), body(w.event("1")), typed[doc]())
		w.check(r, err, consumer.Quarantined, envelope.ReasonSchemaInvalid)
		if want = "consumer: the data does not fit: " + want; !strings.HasPrefix(r.Verdict.Cause, want) {
			t.Errorf("%s:\n got %s\nwant %s", data, r.Verdict.Cause, want)
		}
		if inner := errors.Unwrap(errors.Unwrap(r.Verdict)); inner == nil {
			t.Errorf("%s: the error itself is lost", data)
		}
	}
}

// tree is its own element, and says of what does not fit as what encoding/json would.
type tree map[string]tree

func (tree) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &struct {
		Name int `json:"name"`
	}{})
}

// talkative says of what does not fit that it is of a type whose name is the data.
type talkative struct{}

type toldType struct {
	reflect.Type
	name string
}

func (n toldType) String() string { return n.name }

func (*talkative) UnmarshalJSON(data []byte) error {
	text := string(data)
	told := toldType{reflect.TypeFor[int](), text}
	return &json.UnmarshalTypeError{Value: text, Type: told, Struct: text, Field: text}
}

// The name of a type is believed only if it is that of a type.
func TestUnfitOfAForeignType(t *testing.T) {
	w := newWorld(t)
	w.data = json.RawMessage(`"` + canaryText + `"`)
	r, err := w.consumer().Handle(t.Context(), body(w.event("1")), typed[talkative]())
	w.check(r, err, consumer.Quarantined, envelope.ReasonSchemaInvalid)
	noCanary(t, "the cause", r.Verdict.Cause)
}

// A type that is its own element has no fields to be found in, however far they are looked for.
func TestUnfitOfWhatHasNoEnd(t *testing.T) {
	w := newWorld(t)
	w.data = json.RawMessage(`{"name":"` + canaryText + `"}`)
	r, err := w.consumer().Handle(t.Context(), body(w.event("1")), typed[tree]())
	w.check(r, err, consumer.Quarantined, envelope.ReasonSchemaInvalid)
	noCanary(t, "the cause", r.Verdict.Cause)
}

// A delivery and an opened event print as what they are, without their data.
func TestDeliveriesPrintNoData(t *testing.T) {
	w := newWorld(t)
	w.keepSecrets()
	w.data = json.RawMessage(canaryData)
	w.want(w.event("1"), consumer.Handled, "")
	opts := &envelope.Policy{Sources: w.policy.Sources, Decrypter: w.policy.Decrypter, Now: w.clock.Now}
	opened, err := envelope.Open(t.Context(), w.event("2"), &w.trust, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{opened.Event.Data(), w.handled[0].Data} {
		if !strings.Contains(string(data), canaryText) {
			t.Fatal("not decrypted")
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v %+v\n", []any{opened, w.handled[0]}, map[int]any{1: opened})
	for _, v := range []any{w.handled[0], &w.handled[0], opened} {
		fmt.Fprintf(&b, "%v %+v %#v %s %d\n", v, v, v, v, v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("it", "value", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("it", "value", v)
	}
	noCanary(t, "printing", b.String())
	if text := b.String(); strings.Count(text, "orders") < 20 {
		t.Errorf("it says nothing of the producer: %s", text)
	}
}

// A handler may change the delivery that it gets. The result stays, and so does what is withheld of its
// error.
func TestHandlersChangeOnlyTheirDelivery(t *testing.T) {
	w := newWorld(t)
	w.keepSecrets()
	w.data = json.RawMessage(canaryData)
	seen := &exits{}
	w.opts.Observer = seen
	r, err := w.consumer().Handle(t.Context(), body(w.event("1")),
		func(_ context.Context, d consumer.Delivery[[]byte]) error {
			*d.Opened = envelope.Opened{}
			return errors.New(string(d.Data))
		})
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
	if r.Producer != "orders" || !r.SignedAt.Equal(start) || r.Age != 0 || seen.reports[0] != r {
		t.Errorf("%+v", r)
	}
	noCanary(t, "the error", err.Error())
}
