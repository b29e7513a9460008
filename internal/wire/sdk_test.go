package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

func sdkEvent(change func(*event.Event)) *event.Event {
	ev := event.New()
	ev.SetID("1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order")
	if change != nil {
		change(&ev)
	}
	return &ev
}

// put puts a value into the extensions past SetExtension, as a struct literal or a codec may.
func put(name string, value any) func(*event.Event) {
	return func(ev *event.Event) {
		c := ev.Context.(*event.EventContextV1)
		if c.Extensions == nil {
			c.Extensions = make(map[string]any)
		}
		c.Extensions[name] = value
	}
}

func TestFromSDK(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 120000000, time.FixedZone("", -3600))
	ev := sdkEvent(func(ev *event.Event) {
		ev.SetDataSchema("https://schema.example/order#1")
		ev.SetSubject("order 7")
		ev.SetTime(at)
		ev.SetExtension("yes", true)
		ev.SetExtension("num", int64(-7))
		ev.SetExtension("text", "<&>")
		ev.SetExtension("bin", []byte{0xff})
		ev.SetExtension("uri", url.URL{Scheme: "urn", Opaque: "x"})
		ev.SetExtension("ref", &types.URIRef{URL: url.URL{Path: "/a"}})
		ev.SetExtension("at", at)
		ev.SetExtension("empty", "")
		ev.SetExtension("dssematerial", "e30=")
		put("raw", uint8(5))(ev)
		put("nothing", nil)(ev)
		put("nouri", (*types.URI)(nil))(ev)
		put("nobytes", []byte{})(ev)
		put("noref", types.URIRef{})(ev)
		put("when", &at)(ev)
		if err := ev.SetData("application/json", json.RawMessage(` {"a":1}`)); err != nil {
			t.Fatal(err)
		}
	})
	got, err := FromSDK(ev)
	want := &Event{
		SpecVersion: "1.0", ID: "1", Source: "https://orders.example/eu", Type: "com.example.order",
		DataContentType: "application/json",
		DataSchema:      "https://schema.example/order#1", Subject: "order 7",
		Time:     "2024-05-06T08:08:09.12Z",
		Material: "e30=",
		Extensions: []Attribute{
			{"at", Timestamp, "2024-05-06T08:08:09.12Z"}, {"bin", Binary, "/w=="}, {"num", Integer, "-7"},
			{"raw", Integer, "5"},
			{"ref", URIReference, "/a"}, {"text", String, "<&>"}, {"uri", URI, "urn:x"},
			{"when", Timestamp, "2024-05-06T08:08:09.12Z"},
			{"yes", Boolean, "true"},
		},
		Form: JSONData, Data: ev.DataEncoded, Canonical: string(ev.DataEncoded) == `{"a":1}`,
	}
	if err != nil || !equalEvents(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	back, err := got.ToSDK()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"yes": true, "num": int32(-7), "text": "<&>", "bin": []byte{0xff},
		"uri": types.URI{URL: url.URL{Scheme: "urn", Opaque: "x"}},
		"ref": types.URIRef{URL: url.URL{Path: "/a"}}, "at": types.Timestamp{Time: at.UTC()},
		"dssematerial": "e30=",
	} {
		if got := back.Extensions()[name]; !reflect.DeepEqual(got, value) {
			t.Errorf("%s: got %#v, want %#v", name, got, value)
		}
		if stored, err := types.Validate(value); err != nil || !reflect.DeepEqual(stored, value) {
			t.Errorf("%s: the SDK would store %#v (%v)", name, stored, err)
		}
	}
	if err := back.Validate(); err != nil {
		t.Error(err)
	}
	again, err := FromSDK(&back)
	if err != nil || !equalEvents(again, got) {
		t.Errorf("got  %+v, %v\nwant %+v", again, err, got)
	}
}

// An empty fragment, which no url.URL tells from none, stays.
func TestEmptyFragment(t *testing.T) {
	for _, text := range []string{"https://schema.example/order#", "https://schema.example?#", "urn:x#",
		"a/b#", "//schema.example#"} {
		e := &Event{SpecVersion: "1.0", ID: "1", Source: "/a", Type: "b", DataSchema: text,
			Extensions: []Attribute{
				{"docs", URI, text}, {"ref", URIReference, text},
			}}
		ev, err := e.ToSDK()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		back, err := FromSDK(&ev)
		if err != nil || ev.DataSchema() != text || !equalEvents(back, e) {
			t.Errorf("%s: got %q, %+v, %v", text, ev.DataSchema(), back, err)
		}
	}
	for _, text := range []string{"https://schema.example/##", "https://schema.example/a b#",
		"HTTPS://schema.example/#", "#"} {
		_, err := (&Event{SpecVersion: "1.0", ID: "1", Source: "/a", Type: "b", DataSchema: text}).ToSDK()
		if e, _ := errors.AsType[*Error](err); e == nil || e.Member != "dataschema" || !e.Unsupported {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := (&Event{SpecVersion: "1.0", ID: "1", Source: "https://a.example/b#", Type: "b"}).ToSDK()
	if e, _ := errors.AsType[*Error](err); e == nil || e.Member != "source" || !e.Unsupported ||
		!strings.Contains(e.Msg, "drop the #") {
		t.Errorf("source: %v", err)
	}
}

func TestFromSDKData(t *testing.T) {
	for _, test := range []struct {
		contentType string
		data        string
		base64      bool
		form        Form
	}{
		{"application/json", `{"a":1}`, false, JSONData},
		{"application/json", ` {"a": 1}`, true, JSONData},
		{"", `"x"`, true, JSONData},
		{"", ``, true, NoData},
		{"application/json", ``, false, NoData},
		{"text/plain", `x`, false, BinaryData},
		{"image/png", "\x00\xff", true, BinaryData},
	} {
		ev := sdkEvent(func(ev *event.Event) {
			ev.SetDataContentType(test.contentType)
			ev.DataEncoded, ev.DataBase64 = []byte(test.data), test.base64
		})
		e, err := FromSDK(ev)
		if err != nil || e.Form != test.form || string(e.Data) != test.data ||
			e.Base64 != (test.form == BinaryData) {
			t.Errorf("%+v: got %+v, %v", test, e, err)
			continue
		}
		back, err := e.ToSDK()
		if err != nil || string(back.DataEncoded) != test.data ||
			back.DataBase64 != (test.form == BinaryData) {
			t.Errorf("%+v: back as %+v, %v", test, back, err)
		}
	}
}

// sdkRefusal is an event of the SDK that has no form here.
type sdkRefusal struct {
	name   string
	ev     *event.Event
	member string
	class  string // of large, unsupported, or neither
}

func sdkRefusals() []sdkRefusal {
	tooMany := func(ev *event.Event) {
		for i := range MaxExtensions + 1 {
			put(fmt.Sprintf("x%d", i), "v")(ev)
		}
	}
	type P *string
	pi := new(int)
	return []sdkRefusal{
		{"nil", nil, "", ""},
		{"no context", &event.Event{}, "specversion", ""},
		{"nil context", &event.Event{Context: (*event.EventContextV1)(nil)}, "specversion", ""},
		{"0.3", func() *event.Event { ev := event.New("0.3"); return &ev }(), "specversion", ""},
		{"no id", sdkEvent(func(ev *event.Event) { ev.Context.(*event.EventContextV1).ID = "" }), "id", ""},
		{"no source",
			sdkEvent(func(ev *event.Event) { ev.Context.(*event.EventContextV1).Source = types.URIRef{} }),
			"source", ""},
		{"no type", sdkEvent(func(ev *event.Event) { ev.SetType(" ") }), "type", ""},
		{"a setter failed", sdkEvent(func(ev *event.Event) { ev.SetSource(":") }), "source", ""},
		{"control character", sdkEvent(func(ev *event.Event) { ev.SetSubject("a\x00b") }), "subject", ""},
		{"invalid UTF-8", sdkEvent(func(ev *event.Event) { ev.SetSubject("a\xffb") }), "subject", ""},
		{"long", sdkEvent(func(ev *event.Event) { ev.SetType(strings.Repeat("t", MaxAttribute+1)) }), "type",
			"large"},
		{"source that parses to another", sdkEvent(func(ev *event.Event) {
			ev.Context.(*event.EventContextV1).Source = types.URIRef{URL: url.URL{Scheme: "HTTP", Host: "x"}}
		}), "source", "unsupported"},
		{"source that does not parse", sdkEvent(func(ev *event.Event) {
			ev.Context.(*event.EventContextV1).Source = types.URIRef{URL: url.URL{Opaque: "%zz"}}
		}), "source", "unsupported"},
		{"dataschema", sdkEvent(func(ev *event.Event) {
			ev.Context.(*event.EventContextV1).DataSchema = &types.URI{URL: url.URL{Scheme: "A", Opaque: "b"}}
		}), "dataschema", "unsupported"},
		{"year 10000",
			sdkEvent(func(ev *event.Event) { ev.SetTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) }),
			"time", ""},
		{"year 0", sdkEvent(func(ev *event.Event) { ev.SetTime(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)) }),
			"time", ""},
		{"year 0 in an extension", sdkEvent(put("x", time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))), "x", ""},
		{"name", sdkEvent(put("Exta", "1")), "Exta", ""},
		{"empty name", sdkEvent(put("", "1")), "", ""},
		{"long name", sdkEvent(put(strings.Repeat("n", 65), "1")), strings.Repeat("n", 64) + "...", ""},
		{"data", sdkEvent(put("data", "1")), "data", ""},
		{"data_base64", sdkEvent(put("data_base64", "1")), "data_base64", ""},
		{"core name", sdkEvent(put("subject", "1")), "subject", ""},
		{"specversion", sdkEvent(put("specversion", "1.0")), "specversion", ""},
		{"float", sdkEvent(put("x", 1.5)), "x", ""},
		{"float pointer", sdkEvent(put("x", func() *float64 { f := 1.5; return &f }())), "x", ""},
		{"int pointer", sdkEvent(put("x", pi)), "x", ""},
		{"out of range", sdkEvent(put("x", 1<<31)), "x", ""},
		{"struct", sdkEvent(put("x", struct{}{})), "x", ""},
		{"nil pointer", sdkEvent(put("x", (*time.Time)(nil))), "x", ""},
		{"named nil pointer", sdkEvent(put("x", P(nil))), "x", ""},
		{"extension control character", sdkEvent(put("x", "\n")), "x", ""},
		{"extension too long", sdkEvent(put("x", strings.Repeat("x", MaxAttribute+1))), "x", "large"},
		{"binary too long", sdkEvent(put("x", make([]byte, MaxAttribute))), "x", "large"},
		{"binary far too long", sdkEvent(put("x", make([]byte, MaxMaterial))), "x", "large"},
		{"extension URI", sdkEvent(put("x", types.URI{URL: url.URL{Scheme: "A", Opaque: "b"}})), "x",
			"unsupported"},
		{"too many", sdkEvent(tooMany), "", "large"},
		{"dssematerial a number", sdkEvent(put("dssematerial", 1)), "dssematerial", ""},
		{"dssematerial too long", sdkEvent(put("dssematerial", strings.Repeat("A", MaxMaterial+1))),
			"dssematerial", "large"},
		{"not JSON", sdkEvent(func(ev *event.Event) { ev.DataEncoded = []byte("{") }), "data", ""},
		{"duplicate", sdkEvent(func(ev *event.Event) { ev.DataEncoded = []byte(`{"a":1,"a":1}`) }), "data",
			""},
		{"two values", sdkEvent(func(ev *event.Event) { ev.DataEncoded = []byte(`1 1`) }), "data", ""},
		{"large data", sdkEvent(func(ev *event.Event) {
			ev.SetDataContentType("a/b")
			ev.DataEncoded = make([]byte, MaxEvent+1)
		}), "data", "large"},
	}
}

func TestFromSDKRefuses(t *testing.T) {
	for _, test := range sdkRefusals() {
		t.Run(test.name, func(t *testing.T) {
			e, err := FromSDK(test.ev)
			checkFault(t, err, test.member, test.class)
			if e != nil {
				t.Error("got an event beside the error")
			}
		})
	}
}

func checkFault(t *testing.T, err error, member, class string) {
	t.Helper()
	var fault *Error
	if !errors.As(err, &fault) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if fault.Member != member || fault.TooLarge != (class == "large") ||
		fault.Unsupported != (class == "unsupported") {
		t.Errorf("got %+v (%v); want member %q, class %q", *fault, err, member, class)
	}
}

func TestToSDKRefuses(t *testing.T) {
	good := Event{SpecVersion: "1.0", ID: "1", Source: "/s", Type: "t"}
	with := func(change func(*Event)) *Event {
		e := good
		change(&e)
		return &e
	}
	ext := func(typ Type, value string) *Event {
		return with(func(e *Event) { e.Extensions = []Attribute{{"x", typ, value}} })
	}
	for _, test := range []struct {
		name   string
		e      *Event
		member string
		class  string
	}{
		{"rewritten source", with(func(e *Event) { e.Source = "HTTP://Ex.com/%7ea b" }), "source",
			"unsupported"},
		{"empty fragment", with(func(e *Event) { e.Source = "https://x.example/#" }), "source",
			"unsupported"},
		{"no URL", with(func(e *Event) { e.Source = "%zz" }), "source", "unsupported"},
		{"empty source", with(func(e *Event) { e.Source = "" }), "source", "unsupported"},
		{"dataschema", with(func(e *Event) { e.DataSchema = "#" }), "dataschema", "unsupported"},
		{"time", with(func(e *Event) { e.Time = "x" }), "time", ""},
		{"boolean", ext(Boolean, "True"), "x", ""},
		{"integer", ext(Integer, "007"), "x", ""},
		{"integer out of range", ext(Integer, "2147483648"), "x", ""},
		{"binary", ext(Binary, "_w=="), "x", ""},
		{"timestamp", ext(Timestamp, "2024-01-01"), "x", ""},
		{"uri", ext(URI, "A:b"), "x", "unsupported"},
		{"uri reference", ext(URIReference, "a b"), "x", "unsupported"},
		{"no type", ext(0, "x"), "x", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ev, err := test.e.ToSDK()
			checkFault(t, err, test.member, test.class)
			if !reflect.DeepEqual(ev, event.Event{}) {
				t.Error("got an event beside the error")
			}
		})
	}
}

// The SDK's own validation accepts every sample that came through here.
func TestSamplesThroughSDK(t *testing.T) {
	for name, text := range samples(t) {
		e := mustParse(t, string(text))
		throughSDK(t, e)
		ev, err := e.ToSDK()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := ev.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// throughSDK checks that e comes back out of the SDK's event, or is refused as Unsupported. The SDK's event
// has no place for the zone of a time, and none for the member that carried the data.
func throughSDK(t testing.TB, e *Event) {
	t.Helper()
	ev, err := e.ToSDK()
	if err != nil {
		var fault *Error
		if !errors.As(err, &fault) || !fault.Unsupported {
			t.Fatalf("ToSDK: %v", err)
		}
		return
	}
	got, err := FromSDK(&ev)
	if err != nil {
		t.Fatalf("FromSDK(ToSDK): %v", err)
	}
	want := *e
	want.Base64 = e.Form == BinaryData
	want.Extensions = sorted(e.Extensions)
	if e.Time != "" {
		at, err := ParseTime(e.Time)
		if err != nil {
			t.Fatal(err)
		}
		want.Time = at.Format(time.RFC3339Nano)
	}
	if !equalEvents(got, &want) {
		t.Fatalf("FromSDK(ToSDK) differs:\n%+v\n%+v", got, &want)
	}
}

// The SDK refuses no ID but an empty one.
func TestFromSDKWithoutID(t *testing.T) {
	ev := sdkEvent(func(ev *event.Event) { ev.SetID(" ") })
	_, err := FromSDK(ev)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Member != "id" || e.Msg != "is empty" {
		t.Errorf("got %v", err)
	}
}
