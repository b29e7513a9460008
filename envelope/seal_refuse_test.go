package envelope_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// otherSigner is a Signer of another type.
type otherSigner struct {
	keys.Signer
	producer string
	err      error
}

func (s otherSigner) Producer() string { return s.producer }

func (s otherSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Signer.Sign(ctx, message)
}

// jsonData sets the data past the SDK's own JSON encoder, which would refuse or change it.
func jsonData(text string) func(*event.Event) {
	return func(ev *event.Event) { ev.DataEncoded = []byte(text) }
}

func extension(name string, value any) func(*event.Event) {
	return func(ev *event.Event) {
		c := ev.Context.(*event.EventContextV1)
		if c.Extensions == nil {
			c.Extensions = map[string]any{}
		}
		c.Extensions[name] = value
	}
}

type sealOpts = envelope.SealOptions

// sealRefusals are events and options that Seal refuses, and the member that it names.
var sealRefusals = []struct {
	name   string
	change func(*event.Event)
	opts   sealOpts
	member string
}{
	{"no id", func(ev *event.Event) { ev.Context.(*event.EventContextV1).ID = "" }, sealOpts{}, "id"},
	{"control character", func(ev *event.Event) { ev.SetSubject("a\x07") }, sealOpts{}, "subject"},
	{"attribute too long", func(ev *event.Event) { ev.SetSubject(strings.Repeat("s", 8193)) }, sealOpts{},
		"subject"},
	{"source with userinfo", func(ev *event.Event) { ev.SetSource("https://a@orders.example/x") }, sealOpts{},
		"source"},
	{"source with dots", func(ev *event.Event) { ev.SetSource("https://orders.example/../x") }, sealOpts{},
		"source"},
	{"source with an encoded slash",
		func(ev *event.Event) { ev.SetSource("https://orders.example/a%2Fb") }, sealOpts{}, "source"},
	{"sealed already", extension("dssematerial", "e30="), sealOpts{}, "dssematerial"},
	{"recordedtime is ours", extension("recordedtime", testNow), sealOpts{}, "recordedtime"},
	{"audience twice", extension("audience", "audit"), sealOpts{Audience: "central"}, "audience"},
	{"audience with two spaces", extension("audience", "a  b"), sealOpts{}, "audience"},
	{"audience with a space first", nil, sealOpts{Audience: " a"}, "audience"},
	{"audience with a space last", nil, sealOpts{Audience: "a "}, "audience"},
	{"audience with a control character", nil, sealOpts{Audience: "a\nb"}, "audience"},
	{"audience that is not UTF-8", nil, sealOpts{Audience: "a\xff"}, "audience"},
	{"audience too long", nil, sealOpts{Audience: strings.Repeat("a", 8193)}, "audience"},
	{"life too short", nil, sealOpts{Expires: time.Millisecond}, "expirytime"},
	{"negative life", nil, sealOpts{Expires: -time.Hour}, "expirytime"},
	{"life beyond the calendar", nil, sealOpts{Expires: 1<<63 - 1,
		Now: func() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }}, "expirytime"},
	{"expirytime twice", extension("expirytime", testNow.Add(time.Hour)), sealOpts{Expires: time.Minute},
		"expirytime"},
	{"expirytime with a fraction", extension("expirytime", testNow), sealOpts{}, "expirytime"},
	{"expirytime that is none", extension("expirytime", "soon"), sealOpts{}, "expirytime"},
	{"timestamp with a fraction", extension("due", testNow), sealOpts{}, "due"},
	{"documented integer that is none", extension("sampledrate", "often"), sealOpts{}, "sampledrate"},
	{"documented boolean that is none", extension("deprecated", "yes"), sealOpts{}, "deprecated"},
	{"documented URI-reference that is none", extension("dataref", "a b"), sealOpts{}, "dataref"},
	{"documented URI-reference that would be rewritten", extension("dataref", "HTTPS://blobs.example/1"),
		sealOpts{}, "dataref"},
	{"documented URI that would be rewritten", extension("deprecationmigration", "https://x.example/{a}"),
		sealOpts{}, "deprecationmigration"},
	{"undeclared Binary", extension("token", []byte{1}), sealOpts{}, "token"},
	{"Binary declared as something else", extension("token", []byte{1}),
		sealOpts{ExtensionTypes: map[string]string{"token": "String"}}, "token"},
	{"extension of no type", extension("x", 1.5), sealOpts{}, "x"},
	{"extension name", extension("Tenant", "x"), sealOpts{}, "Tenant"},
	{"128 extensions and ours", func(ev *event.Event) {
		for i := range 124 {
			extension(fmt.Sprintf("x%d", i), "v")(ev)
		}
	}, sealOpts{Audience: "central"}, ""},
	{"data that is not JSON", jsonData(`{`), sealOpts{}, "data"},
	{"duplicate member", jsonData(`{"a":1,"a":1}`), sealOpts{}, "data"},
	{"duplicate member, exact", jsonData(`{"a":1,"a":1}`), sealOpts{Exact: true}, "data"},
	{"depth 65", jsonData(strings.Repeat("[", 65) + strings.Repeat("]", 65)), sealOpts{}, "data"},
	{"number without a canonical form", jsonData(`[0.10000000000000001]`), sealOpts{}, "data"},
	{"number beyond float64", jsonData(`[1e400]`), sealOpts{}, "data"},
	{"unpaired surrogate", jsonData(`"\ud800"`), sealOpts{}, "data"},
	{"data that is not UTF-8", jsonData("\"\xff\""), sealOpts{}, "data"},
	{"too large", jsonData(`"` + strings.Repeat("x", 1<<20-1000) + `"`), sealOpts{}, ""},
	{"larger than an event", jsonData(`"` + strings.Repeat("x", 1<<20) + `"`), sealOpts{}, "data"},
	{"too large in base64", jsonData(`"` + strings.Repeat("x", 800_000) + `"`), sealOpts{Exact: true}, ""},
	{"Binary under a documented name of another type", extension("correlationid", []byte("abc")),
		sealOpts{ExtensionTypes: map[string]string{"correlationid": "Binary"}}, "correlationid"},
	{"expirytime at the moment of sealing", extension("expirytime",
		testNow.Truncate(time.Second).Format(time.RFC3339)), sealOpts{}, "expirytime"},
	{"dataref with a character that no URI has", extension("dataref", "urn:a<b"), sealOpts{}, "dataref"},
	{"no co-signer", nil, sealOpts{CoSigners: []keys.Signer{nil}}, ""},
	{"co-signer of another producer", nil, sealOpts{CoSigners: []keys.Signer{cast["shipping"]}}, ""},
	{"17 signatures", nil, sealOpts{CoSigners: slicesRepeat[keys.Signer](cast["next"], 16)}, ""},
}

func TestSealRefuses(t *testing.T) {
	for _, test := range sealRefusals {
		t.Run(test.name, func(t *testing.T) {
			ev := orderEvent(t)
			if test.change != nil {
				test.change(&ev)
			}
			if test.opts.Now == nil {
				test.opts.Now = fixedNow
			}
			sealed, err := envelope.Seal(t.Context(), ev, cast["orders"], &test.opts)
			var refused *envelope.SealError
			if !errors.As(err, &refused) || sealed != nil {
				t.Fatalf("got %v", err)
			}
			if refused.Member != test.member || refused.Problem == "" {
				t.Errorf("got member %q (%v), want %q", refused.Member, err, test.member)
			}
			large := []string{"attribute too long", "too large", "too large in base64",
				"larger than an event"}
			if got := errors.Is(err, envelope.ErrTooLarge); got != slices.Contains(large, test.name) {
				t.Errorf("it is an ErrTooLarge: %v", got)
			}
		})
	}
}

func slicesRepeat[T any](v T, n int) (list []T) {
	for range n {
		list = append(list, v)
	}
	return list
}

func TestSealSigner(t *testing.T) {
	seal := func(s keys.Signer) error {
		_, err := envelope.Seal(t.Context(), orderEvent(t), s, nil)
		return err
	}
	for _, producer := range []string{"", "two words", "a\xff", strings.Repeat("p", 257)} {
		var refused *envelope.SealError
		if err := seal(otherSigner{Signer: cast["orders"], producer: producer}); !errors.As(err, &refused) ||
			refused.Member != "" {
			t.Errorf("producer %q: got %v", producer, err)
		}
	}
	var refused *envelope.SealError
	if err := seal(nil); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	throttled := errors.New("throttled")
	if err := seal(otherSigner{Signer: cast["orders"], producer: "orders", err: throttled}); !errors.Is(err,
		throttled) || errors.As(err, &refused) && refused.Err == throttled {
		t.Errorf("got %v", err)
	}
}

// Sealing changes neither the event that it is given nor, later, what it made of it.
func TestSealDoesNotShare(t *testing.T) {
	ev := orderEvent(t)
	ev.SetExtension("empty", "")
	before, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	data := ev.DataEncoded
	for _, exact := range []bool{false, true} {
		sealed, err := envelope.Seal(t.Context(), ev, cast["orders"],
			&envelope.SealOptions{Now: fixedNow, Exact: exact, Audience: "a", Expires: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if after, err := json.Marshal(ev); err != nil || string(after) != string(before) {
			t.Errorf("the event became %s", after)
		}
		wire := string(sealed.JSON())
		for i := range data {
			data[i] ^= 0x40
		}
		if string(sealed.JSON()) != wire {
			t.Error("the sealed event shares the data")
		}
		if _, err := sealed.EventBridge(envelope.Structured); err != nil {
			t.Error(err)
		}
		for i := range data {
			data[i] ^= 0x40
		}
	}
}

func TestSealed(t *testing.T) {
	signer := cast["orders"]
	sealed, err := envelope.Seal(t.Context(), orderEvent(t), signer, &envelope.SealOptions{
		Now: fixedNow, Audience: "central audit", Expires: time.Hour, CoSigners: []keys.Signer{cast["es256"]},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := sealed.KeyIDs(); len(got) != 2 || got[0] != id("orders") || got[1] != id("es256") {
		t.Errorf("got %q", got)
	}
	opened, err := envelope.Open(t.Context(), sealed.JSON(), bundleOf(t, "orders", "es256"),
		&envelope.Policy{Now: fixedNow, Audience: "audit", Unsafe: unchecked})
	if err != nil {
		t.Fatal(err)
	}
	if !opened.ExpiresAt.Equal(testNow.Truncate(time.Second).Add(time.Hour)) ||
		!opened.SignedAt.Equal(testNow.Truncate(time.Second)) || opened.Foreign || len(opened.KeyIDs) != 2 {
		t.Errorf("got %+v", opened)
	}
	got := strings.Join(opened.SignedAttributes, " ")
	if got != "id source specversion type datacontenttype time data audience expirytime recordedtime sampledrate tenant vip" {
		t.Errorf("signed attributes: %s", got)
	}
	if v := opened.Event.Extensions()["expirytime"]; v != (types.Timestamp{Time: opened.ExpiresAt}) {
		t.Errorf("got %#v", v)
	}
	if opened.Event.Extensions()["traceparent"] != nil {
		t.Error("traceparent is not signed")
	}
}

// An empty Sealed is refused, without a panic.
func TestEventBridgeOfAnEmptySealed(t *testing.T) {
	var refused *envelope.SealError
	if _, err := new(envelope.Sealed).EventBridge(envelope.Structured); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

func TestEventBridgeRefuses(t *testing.T) {
	long := strings.Repeat("t", 129)
	for _, test := range []struct {
		name   string
		change func(*event.Event)
		exact  bool
		layout envelope.Layout
		member string
	}{
		{"unknown layout", nil, false, 7, ""},
		{"type too long", func(ev *event.Event) { ev.SetType(long) }, false, envelope.Structured, "type"},
		{"source too long", func(ev *event.Event) { ev.SetSource("https://orders.example/" + long + long) },
			false, envelope.Structured, "source"},
		{"source of AWS", func(ev *event.Event) { ev.SetSource("aws.s3") }, false, envelope.Structured,
			"source"},
		{"integer beyond int64", jsonData(`{"a":[9223372036854775808]}`), false, envelope.Structured, "data"},
		{"integer below int64", jsonData(`{"a":-9223372036854775809}`), false, envelope.Embedded, "data"},
		{"extension called cloudevent", extension("cloudevent", "x"), false, envelope.Structured,
			"cloudevent"},
		{"embedded without data", func(ev *event.Event) { ev.DataEncoded = nil }, false, envelope.Embedded,
			"data"},
		{"embedded array", jsonData(`[1]`), false, envelope.Embedded, "data"},
		{"embedded text", func(ev *event.Event) { ev.SetDataContentType("text/plain") }, false,
			envelope.Embedded, "data"},
		{"embedded exact", nil, true, envelope.Embedded, "data"},
		{"embedded beyond the limit", jsonData(`{"a":"` + strings.Repeat("x", largestEmbedded(t)) + `"}`),
			false, envelope.Embedded, ""},
		{"embedded with specversion", jsonData(`{"specversion":1}`), false, envelope.Embedded, "data"},
		{"embedded with cloudevent", jsonData(`{"cloudevent":1}`), false, envelope.Embedded, "data"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ev := orderEvent(t)
			if test.change != nil {
				test.change(&ev)
			}
			sealed, err := envelope.Seal(t.Context(), ev, cast["orders"],
				&envelope.SealOptions{Now: fixedNow, Exact: test.exact})
			if err != nil {
				t.Fatal(err)
			}
			_, err = sealed.EventBridge(test.layout)
			var refused *envelope.SealError
			if !errors.As(err, &refused) || refused.Member != test.member {
				t.Errorf("got %v, want member %q", err, test.member)
			}
			if got := errors.Is(err, envelope.ErrTooLarge); got != strings.HasSuffix(test.name, "the limit") {
				t.Errorf("it is an ErrTooLarge: %v", got)
			}
		})
	}
}

// Some texts only look like a number that is too wide: in strings, as a fraction, at the ends of int64.
func TestEventBridgeNumbers(t *testing.T) {
	for _, data := range []string{
		`{"a":9223372036854775807,"b":-9223372036854775808}`, `{"a":"9223372036854775808"}`,
		`{"9223372036854775808":1}`,
		`{"a":"\"9223372036854775808"}`, `{"a":1e300}`, `{"a":-1.5e-300}`,
	} {
		ev := orderEvent(t)
		jsonData(data)(&ev)
		sealed, err := envelope.Seal(t.Context(), ev, cast["orders"], &envelope.SealOptions{Now: fixedNow})
		if err != nil {
			t.Fatal(err)
		}
		for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
			if _, err := sealed.EventBridge(layout); err != nil {
				t.Errorf("%s: %v", data, err)
			}
		}
	}
}

func TestEntrySize(t *testing.T) {
	sealed, err := envelope.Seal(t.Context(), orderEvent(t), cast["orders"],
		&envelope.SealOptions{Now: fixedNow})
	if err != nil {
		t.Fatal(err)
	}
	entry, err := sealed.EventBridge(envelope.Structured)
	if err != nil {
		t.Fatal(err)
	}
	without := len("https://orders.example/eu") + len("com.example.order.placed") + len(entry.Detail)
	if entry.Size() != 14+without || !entry.Time.Equal(time.Date(2026, 11, 21, 11, 59, 0, 123_000_000,
		time.UTC)) {
		t.Errorf("size %d, time %s", entry.Size(), entry.Time)
	}
	entry.Time = time.Time{}
	if entry.Size() != without {
		t.Errorf("size %d, want %d", entry.Size(), without)
	}
}

// largestEmbedded is how long a text in the order event's data is when the sealed event, but not the embedded
// detail, fits the limit: the latter has a few bytes more.
func largestEmbedded(t *testing.T) int {
	t.Helper()
	ev := orderEvent(t)
	jsonData(`{"a":""}`)(&ev)
	sealed, err := envelope.Seal(t.Context(), ev, cast["orders"], &envelope.SealOptions{Now: fixedNow})
	if err != nil {
		t.Fatal(err)
	}
	return 1<<20 - len(sealed.JSON())
}

// derSigner signs as KMS answers: a P-256 signature in DER.
type derSigner struct{ keys.Signer }

func (s derSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	sig, err := s.Signer.Sign(ctx, message)
	return append([]byte{0x30, 0x44, 2, 32}, sig...), err
}

// A signature that no consumer would take does not leave.
func TestSealRefusesDER(t *testing.T) {
	if _, err := envelope.Seal(t.Context(), orderEvent(t), derSigner{cast["es256"]}, nil); err == nil ||
		!strings.Contains(err.Error(), "68 bytes") {
		t.Errorf("got %v", err)
	}
}
