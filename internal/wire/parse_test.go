package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// members makes an event of the required attributes and the members given, which come first.
func members(more string) string {
	return `{` + more + `"specversion":"1.0","id":"1","source":"/s","type":"t"}`
}

func mustParse(t testing.TB, text string) *Event {
	t.Helper()
	e, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%.200s): %v", text, err)
	}
	return e
}

type defect struct {
	name   string
	in     string
	member string
	large  bool
}

func (d defect) check(t *testing.T) {
	t.Helper()
	e, err := Parse([]byte(d.in))
	var fault *Error
	if !errors.As(err, &fault) {
		t.Fatalf("got %+v, %v; want an *Error", e, err)
	}
	if fault.Member != d.member || fault.TooLarge != d.large || fault.Unsupported {
		t.Errorf("got %+v (%v); want member %q, too large %v", *fault, err, d.member, d.large)
	}
	if e != nil {
		t.Errorf("got an event beside the error")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, d := range append(refusedAttributes, refusedData...) {
		t.Run(d.name, d.check)
	}
}

// tooLongText is longer than any attribute may be.
var tooLongText = strings.Repeat("x", MaxAttribute+1)

var refusedAttributes = []defect{
	// the document
	{name: "empty", in: ``},
	{name: "not an object", in: `[]`},
	{name: "null", in: `null`},
	{name: "trailing bytes", in: members(``) + `{}`},
	{name: "trailing nul", in: members(``) + "\x00"},
	{name: "byte order mark", in: "\ufeff" + members(``)},
	{name: "not closed", in: `{"specversion":"1.0"`, member: "specversion"},
	{name: "trailing comma", in: `{"id":"1",}`, member: "id"},
	{name: "no colon", in: `{"id" "1"}`, member: "id"},
	{name: "name without quotes", in: `{id:"1"}`},
	{name: "too large", in: members(`"data":"` + strings.Repeat("x", MaxEvent) + `",`), large: true},

	// names
	{name: "duplicate", in: members(`"id":"1",`), member: "id"},
	{name: "duplicate after unescaping", in: members(`"\u0069d":"1",`), member: "id"},
	{name: "duplicate of a null", in: members(`"x":null,"x":"1",`), member: "x"},
	{name: "duplicate data", in: members(`"data":1,"data":1,`), member: "data"},
	{name: "duplicate extension", in: members(`"x":1,"x":1,`), member: "x"},
	{name: "empty name", in: members(`"":"1",`), member: ""},
	{name: "capital", in: members(`"Exta":"1",`), member: "Exta"},
	{name: "capital core attribute", in: members(`"Id":"1",`), member: "Id"},
	{name: "underscore", in: members(`"a_b":"1",`), member: "a_b"},
	{name: "null under a bad name", in: members(`"a-b":null,`), member: "a-b"},
	{name: "letter beyond ASCII", in: members(`"é":"1",`), member: "é"},
	{name: "name of 65", in: members(`"` + strings.Repeat("n", 65) + `":"1",`),
		member: strings.Repeat("n", 64) + "..."},

	// required attributes
	{name: "no specversion", in: `{"id":"1","source":"/s","type":"t"}`, member: "specversion"},
	{name: "specversion null", in: `{"specversion":null,"id":"1","source":"/s","type":"t"}`,
		member: "specversion"},
	{name: "specversion number", in: `{"specversion":1.0,"id":"1","source":"/s","type":"t"}`,
		member: "specversion"},
	{name: "specversion 0.3", in: `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`,
		member: "specversion"},
	{name: "no id", in: `{"specversion":"1.0","source":"/s","type":"t"}`, member: "id"},
	{name: "empty id", in: `{"specversion":"1.0","id":"","source":"/s","type":"t"}`, member: "id"},
	{name: "no source", in: `{"specversion":"1.0","id":"1","type":"t"}`, member: "source"},
	{name: "empty source", in: `{"specversion":"1.0","id":"1","source":"","type":"t"}`, member: "source"},
	{name: "no type", in: `{"specversion":"1.0","id":"1","source":"/s"}`, member: "type"},
	{name: "null type", in: `{"specversion":"1.0","id":"1","source":"/s","type":null}`, member: "type"},

	// kinds of values
	{name: "id a number", in: `{"specversion":"1.0","id":1,"source":"/s","type":"t"}`, member: "id"},
	{name: "subject a boolean", in: members(`"subject":true,`), member: "subject"},
	{name: "time an object", in: members(`"time":{},`), member: "time"},
	{name: "dssematerial a number", in: members(`"dssematerial":1,`), member: "dssematerial"},
	{name: "dssematerial an object", in: members(`"dssematerial":{},`), member: "dssematerial"},
	{name: "extension an object", in: members(`"x":{},`), member: "x"},
	{name: "extension an array", in: members(`"x":[1],`), member: "x"},
	{name: "bad literal", in: members(`"x":nul,`), member: "x"},
	{name: "bad true", in: members(`"x":True,`), member: "x"},

	// integers
	{name: "1.0", in: members(`"x":1.0,`), member: "x"},
	{name: "1e2", in: members(`"x":1e2,`), member: "x"},
	{name: "-0", in: members(`"x":-0,`), member: "x"},
	{name: "01", in: members(`"x":01,`), member: "x"},
	{name: "+1", in: members(`"x":+1,`), member: "x"},
	{name: "-", in: members(`"x":-,`), member: "x"},
	{name: "2^31", in: members(`"x":2147483648,`), member: "x"},
	{name: "-2^31-1", in: members(`"x":-2147483649,`), member: "x"},
	{name: "many digits", in: members(`"x":` + strings.Repeat("1", 100000) + `,`), member: "x"},

	// text
	{name: "invalid UTF-8", in: members("\"x\":\"\xff\","), member: "x"},
	{name: "encoded surrogate", in: members("\"x\":\"\xed\xa0\x80\","), member: "x"},
	{name: "lone surrogate", in: members(`"x":"\ud800",`), member: "x"},
	{name: "lone low surrogate", in: members(`"x":"\udc00",`), member: "x"},
	{name: "swapped surrogates", in: members(`"x":"\udc00\ud800",`), member: "x"},
	{name: "raw control character", in: members("\"x\":\"\n\","), member: "x"},
	{name: "bad escape", in: members(`"x":"\x",`), member: "x"},
	{name: "U+0000", in: members(`"x":"\u0000",`), member: "x"},
	{name: "U+001F", in: members(`"x":"\u001f",`), member: "x"},
	{name: "U+007F", in: members("\"x\":\"\u007f\","), member: "x"},
	{name: "U+0085", in: members("\"x\":\"\u0085\","), member: "x"},
	{name: "U+009F", in: members(`"x":"\u009f",`), member: "x"},
	{name: "U+FDD0", in: members(`"x":"\ufdd0",`), member: "x"},
	{name: "U+FDEF", in: members(`"x":"\ufdef",`), member: "x"},
	{name: "U+FFFE", in: members(`"x":"\ufffe",`), member: "x"},
	{name: "U+FFFF", in: members("\"x\":\"\uffff\","), member: "x"},
	{name: "U+1FFFE", in: members("\"x\":\"\U0001fffe\","), member: "x"},
	{name: "U+10FFFF", in: members(`"x":"\udbff\udfff",`), member: "x"},
	{name: "control character in id", in: `{"specversion":"1.0","id":"\n","source":"/s","type":"t"}`,
		member: "id"},
	{name: "control character in dssematerial", in: members(`"dssematerial":"e30\n",`),
		member: "dssematerial"},

	// limits
	{name: "attribute", in: members(`"x":"` + tooLongText + `",`), member: "x", large: true},
	{name: "subject", in: members(`"subject":"` + tooLongText + `",`), member: "subject", large: true},
	{name: "dssematerial", in: members(`"dssematerial":"` + strings.Repeat("A", MaxMaterial+1) + `",`),
		member: "dssematerial", large: true},
	{name: "extensions", in: members(extensions(MaxExtensions + 1)), member: "x128", large: true},

	// time
	{name: "time", in: members(`"time":"yesterday",`), member: "time"},
	{name: "time 60", in: members(`"time":"2016-12-31T23:59:60Z",`), member: "time"},
}

var refusedData = []defect{
	// data
	{name: "data not JSON", in: members(`"data":{a},`), member: "data"},
	{name: "duplicate in data", in: members(`"data":{"a":[{"b":1,"\u0062":1}]},`), member: "data"},
	{name: "invalid UTF-8 in data", in: members("\"data\":[\"\xff\"],"), member: "data"},
	{name: "lone surrogate in data", in: members(`"data":["\udead"],`), member: "data"},
	{name: "deep data", in: members(`"data":` + nested(jsontext.MaxDepth+1) + `,`), member: "data"},
	{name: "both", in: members(`"data":1,"data_base64":"MQ==",`), member: "data_base64"},
	{name: "both, null", in: members(`"data":null,"data_base64":"MQ==",`), member: "data_base64"},
	{name: "both, empty", in: members(`"data":1,"data_base64":"",`), member: "data_base64"},
	{name: "data_base64 a number", in: members(`"data_base64":1,`), member: "data_base64"},
	{name: "base64 without padding", in: members(`"data_base64":"MQ",`), member: "data_base64"},
	{name: "base64 padding alone", in: members(`"data_base64":"====",`), member: "data_base64"},
	{name: "base64 trailing bits", in: members(`"data_base64":"MR==",`), member: "data_base64"},
	{name: "base64 line break", in: members(`"data_base64":"MQ=\n=",`), member: "data_base64"},
	{name: "base64 line break at the end", in: members(`"data_base64":"MQ==\r\n",`), member: "data_base64"},
	{name: "base64 space", in: members(`"data_base64":"MQ== ",`), member: "data_base64"},
	{name: "base64url", in: members(`"datacontenttype":"a/b","data_base64":"-_-_",`), member: "data_base64"},
	{name: "base64 of no JSON", in: members(`"data_base64":"` + b64(`{`) + `",`), member: "data_base64"},
	{name: "base64 of two values", in: members(`"data_base64":"` + b64(`1 2`) + `",`), member: "data_base64"},
	{name: "base64 of spaces", in: members(`"data_base64":"` + b64("  ") + `",`), member: "data_base64"},
	{name: "base64 of a duplicate", in: members(`"data_base64":"` + b64(`{"a":1,"a":1}`) + `",`),
		member: "data_base64"},
	{name: "base64 of invalid UTF-8", in: members(`"data_base64":"` + b64("\"\xff\"") + `",`),
		member: "data_base64"},
	{name: "bytes without a datacontenttype", in: members(`"data_base64":"\/\/79",`), member: "data_base64"},
	{name: "text data a number", in: members(`"data":1,"datacontenttype":"text/plain",`), member: "data"},
	{name: "text data null", in: members(`"data":null,"datacontenttype":"text/plain",`), member: "data"},
	{name: "text data an object", in: members(`"datacontenttype":"text/plain","data":{},`), member: "data"},
}

func extensions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"x%d":"v",`, i)
	}
	return b.String()
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// Inputs that cost a lot elsewhere: 10 MB is refused before it is looked at, what fits is refused at the
// first thing wrong.
func TestParseHostile(t *testing.T) {
	const big = 10 << 20
	fit := MaxEvent - 200
	for _, d := range []defect{
		{name: "10 MB of [", in: strings.Repeat("[", big), large: true},
		{name: "10 MB of objects", in: strings.Repeat(`{"a":`, big/5), large: true},
		{name: "10 MB string", in: members(`"data":"` + strings.Repeat("x", big) + `",`), large: true},
		{name: "100,000 extensions", in: members(extensions(100000)), large: true},
		{name: "1 MB of [", in: members(`"data":` + strings.Repeat("[", fit) + `,`), member: "data"},
		{name: "1 MB of objects", in: members(`"data":` + strings.Repeat(`{"a":`, fit/5) + `,`),
			member: "data"},
		{name: "1 MB of [ as an attribute", in: members(`"x":` + strings.Repeat("[", fit) + `,`),
			member: "x"},
		{name: "1 MB string", in: members(`"x":"` + strings.Repeat("x", fit) + `",`), member: "x",
			large: true},
		{name: "1 MB name", in: members(`"` + strings.Repeat("x", fit) + `":"",`),
			member: strings.Repeat("x", 64) + "..."},
		{name: "50,000 extensions", in: members(extensions(50000)), member: "x128", large: true},
	} {
		t.Run(d.name, d.check)
	}
}

func TestParseBounds(t *testing.T) {
	for _, in := range []string{
		members(`"x":"` + strings.Repeat("x", MaxAttribute) + `",`),
		members(`"x":"` + strings.Repeat(`\u00e9`, MaxAttribute/2) + `",`),
		members(`"dssematerial":"` + strings.Repeat("A", MaxMaterial) + `",`),
		members(extensions(MaxExtensions)),
		members(extensions(MaxExtensions) + `"dssematerial":"e30=","nothing":null,"empty":"",`),
		members(`"data":` + nested(jsontext.MaxDepth) + `,`),
		members(`"data_base64":"` + b64(nested(jsontext.MaxDepth)) + `",`),
		members(`"data":"` + strings.Repeat("x", MaxEvent-len(members(`"data":"",`))) + `",`),
		members(`"` + strings.Repeat("n", 64) + `":"1",`),
		members(`"x":2147483647,"y":-2147483648,"z":0,`),
	} {
		roundTrip(t, mustParse(t, in))
	}
}

func TestParse(t *testing.T) {
	e := mustParse(t, ` {
		"data": {"b" : 1, "a": [ "é\/" ]},
		"specversion": "1.0", "id": "a\"b\\c\u00e9\ud83d\ude00\/", "source": "https://x.example/a?b#c", "type": "com.example.t",
		"datacontenttype": "Application/Vnd.X+JSON; charset=\"utf-8", "dataschema": "urn:x", "subject": "s", "time": "2024-02-29T01:02:03.450+01:00",
		"yes": true, "no": false, "n": -12, "s": "true", "none": null, "empty": "",
		"dssematerial": "e30="
	} `)
	want := &Event{
		SpecVersion: "1.0", ID: "a\"b\\cé😀/", Source: "https://x.example/a?b#c", Type: "com.example.t",
		DataContentType: `Application/Vnd.X+JSON; charset="utf-8`, DataSchema: "urn:x", Subject: "s",
		Time:     "2024-02-29T01:02:03.450+01:00",
		Material: "e30=",
		Extensions: []Attribute{
			{"yes", Boolean, "true"}, {"no", Boolean, "false"}, {"n", Integer, "-12"}, {"s", String, "true"},
		},
		Form: JSONData, Data: []byte(`{"b" : 1, "a": [ "é\/" ]}`),
	}
	if !equalEvents(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
	const written = `{"specversion":"1.0","id":"a\"b\\cé😀/","source":"https://x.example/a?b#c","type":"com.example.t",` +
		`"datacontenttype":"Application/Vnd.X+JSON; charset=\"utf-8","dataschema":"urn:x","subject":"s","time":"2024-02-29T01:02:03.450+01:00",` +
		`"yes":true,"no":false,"n":-12,"s":"true","dssematerial":"e30="`
	if got, want := string(e.Append(nil)), written+`,"data":{"b" : 1, "a": [ "é\/" ]}}`; got != want {
		t.Errorf("Append: got  %s\nwant %s", got, want)
	}
	if got, want := string(e.AppendAttributes([]byte("x"))), "x"+written+`}`; got != want {
		t.Errorf("AppendAttributes: got  %s\nwant %s", got, want)
	}
	e.Base64 = true
	if got := string(e.Append(nil)); !strings.HasSuffix(got, `"data_base64":"`+b64(string(want.Data))+`"}`) {
		t.Errorf("Append with Base64: got %s", got)
	}
}

func TestParseData(t *testing.T) {
	for _, test := range []struct {
		members   string
		form      Form
		data      string
		canonical bool
		base64    bool
	}{
		{``, NoData, ``, false, false},
		{`"data_base64":null,`, NoData, ``, false, false},
		{`"data_base64":"",`, NoData, ``, false, false},
		{`"data":"","datacontenttype":"text/plain",`, NoData, ``, false, false},
		{`"data":1,"data_base64":null,`, JSONData, `1`, true, false},
		{`"data":null,`, JSONData, `null`, true, false},
		{`"data":"",`, JSONData, `""`, true, false},
		{`"data":"","datacontenttype":"",`, JSONData, `""`, true, false},
		{`"data":"x","datacontenttype":"text/json",`, JSONData, `"x"`, true, false},
		{`"data": {"a":1} ,`, JSONData, `{"a":1}`, true, false},
		{`"data":{"a": 1},`, JSONData, `{"a": 1}`, false, false},
		{`"data":{"b":1,"a":1},`, JSONData, `{"b":1,"a":1}`, false, false},
		{`"data":1e400,`, JSONData, `1e400`, false, false},
		{`"data_base64":"` + b64(`{"a":1}`) + `",`, JSONData, `{"a":1}`, true, true},
		{`"data_base64":"` + b64(" [1]\n") + `",`, JSONData, " [1]\n", false, true},
		{`"data":"<\u003e\n\u0000","datacontenttype":"text/plain",`, BinaryData, "<>\n\x00", false, false},
		{`"data_base64":"\/\/79","datacontenttype":"image/png",`, BinaryData, "\xff\xfe\xfd", false, true},
		{`"datacontenttype":"application/json-seq","data":"1",`, BinaryData, "1", false, false},
	} {
		e, err := Parse([]byte(members(test.members)))
		if err != nil {
			t.Errorf("%s: %v", test.members, err)
			continue
		}
		if e.Form != test.form || string(e.Data) != test.data || e.Canonical != test.canonical ||
			e.Base64 != test.base64 {
			t.Errorf("%s: got form %d, %q, canonical %v, base64 %v", test.members, e.Form, e.Data,
				e.Canonical, e.Base64)
		}
		if e.Form == NoData && e.Data != nil {
			t.Errorf("%s: data that is not nil", test.members)
		}
		roundTrip(t, e)
	}
}

// roundTrip checks that e is written so that it reads back the same, and no longer than what was read.
func roundTrip(t testing.TB, e *Event) {
	t.Helper()
	written := e.Append(nil)
	if !json.Valid(written) {
		t.Fatalf("Append wrote what is not JSON: %.300s", written)
	}
	again, err := Parse(written)
	if err != nil {
		t.Fatalf("Parse(Append): %v\n%.300s", err, written)
	}
	if !equalEvents(e, again) {
		t.Fatalf("Parse(Append) differs:\n%+v\n%+v", e, again)
	}
	if twice := again.Append(nil); !bytes.Equal(twice, written) {
		t.Fatalf("Append is no fixed point:\n%s\n%s", written, twice)
	}
	bare, err := Parse(e.AppendAttributes(nil))
	if err != nil {
		t.Fatalf("Parse(AppendAttributes): %v", err)
	}
	without := *e
	without.Form, without.Data, without.Canonical, without.Base64 = NoData, nil, false, false
	if !equalEvents(&without, bare) {
		t.Fatalf("Parse(AppendAttributes) differs:\n%+v\n%+v", without, bare)
	}
}

func samples(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/samples/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples (%v)", err)
	}
	all := make(map[string][]byte)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = text
	}
	return all
}

// Parse makes of a sample the same as encoding/json.
func TestSamples(t *testing.T) {
	for name, text := range samples(t) {
		t.Run(name, func(t *testing.T) {
			e := mustParse(t, string(text))
			roundTrip(t, e)
			want := make(map[string]any)
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			for member, value := range want {
				if value == nil {
					delete(want, member)
				}
			}
			got := make(map[string]any)
			if err := json.Unmarshal(e.Append(nil), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestAppendNeverBreaksJSON(t *testing.T) {
	e := Event{SpecVersion: "1.0", ID: "\x01\b\f\n\r\t", Extensions: []Attribute{
		{"a", Integer, "007"}, {"b", Boolean, `yes","c":1`}, {"d", 0, "x"}, {"e", Integer, "-0"},
	}, Form: BinaryData, Data: []byte("\xff")}
	const want = `{"specversion":"1.0","id":"\u0001\b\f\n\r\t","a":"007","b":"yes\",\"c\":1","d":"x","e":"-0","data_base64":"/w=="}`
	if got := string(e.Append(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e = Event{SpecVersion: "1.0", Form: JSONData, Data: []byte(" \n1\t ")}
	if got, want := string(e.Append(nil)), `{"specversion":"1.0","data":1}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDataAliases(t *testing.T) {
	in := []byte(members(`"data":{"a":1},"x":"text",`))
	e, err := Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(in, []byte(`{"a"`))
	if &e.Data[0] != &in[at] || cap(e.Data) != len(e.Data) {
		t.Error("the data is a copy, or appending to it would overwrite the input")
	}
	clear(in)
	if e.ID != "1" || e.Extensions[0].Value != "text" {
		t.Error("an attribute aliases the input")
	}
}

func TestSplit(t *testing.T) {
	deep := members(`"data":` + nested(jsontext.MaxDepth) + `,`)
	for _, test := range []struct {
		in   string
		want []string
	}{
		{`[]`, nil},
		{" [ \n] ", nil},
		{`[{}]`, []string{`{}`}},
		{` [ {"a":"]}\"\\"} , {"b":[{}]} ] `, []string{`{"a":"]}\"\\"}`, `{"b":[{}]}`}},
		{`[` + deep + `]`, []string{deep}},
	} {
		got, err := Split([]byte(test.in))
		if err != nil || len(got) != len(test.want) {
			t.Errorf("%s: got %q, %v", test.in, got, err)
			continue
		}
		for i := range got {
			if string(got[i]) != test.want[i] {
				t.Errorf("%s: element %d is %q", test.in, i, got[i])
			}
		}
	}
	if events, err := Split([]byte(batch(MaxBatch))); err != nil || len(events) != MaxBatch {
		t.Errorf("the largest batch: %d events, %v", len(events), err)
	}
}

func batch(n int) string { return `[{}` + strings.Repeat(`,{}`, n-1) + `]` }

func TestSplitRefuses(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{}`, `null`, `[`, `[ `, `[,]`, `[{}`, `[{},`, `[{},]`, `[{} {}]`, `[{}]]`, `[{}] x`, `[1]`,
		`[null]`, `[[]]`, `["{}"]`,
		`[{]`, `[{"a]`, `[{"a\`, `[{"a":"\"}]`, "[{}]\x00", strings.Repeat(`[{"a":`, 100000),
	} {
		var fault *Error
		if got, err := Split([]byte(in)); !errors.As(err, &fault) || fault.TooLarge {
			t.Errorf("%.40s: got %q, %v", in, got, err)
		}
	}
	var fault *Error
	if _, err := Split([]byte(batch(MaxBatch + 1))); !errors.As(err, &fault) || !fault.TooLarge {
		t.Errorf("a batch over the limit: %v", err)
	}
}

func TestIsJSON(t *testing.T) {
	for _, yes := range []string{"", "application/json", "APPLICATION/JSON", "text/json",
		"application/json;charset=utf-8",
		" application/json ; x", "application/vnd.a+json", "application/a+b+JSON; q=\"+xml", "a/+json",
		"application/json;"} {
		if !IsJSON(yes) {
			t.Errorf("%q is not JSON", yes)
		}
	}
	for _, no := range []string{" ", ";", "/", "json", "+json", "/json", "application/", "application/jsonx",
		"application/json-seq",
		"application/json/x", "application/x-json", "text/plain; application/json",
		"application/json, text/plain", "application;/json",
		"application/jose", "a/json+", "a/b+jsonx", "application/j\u017fon"} {
		if IsJSON(no) {
			t.Errorf("%q is JSON", no)
		}
	}
}

// The payload names each type as the standard does, and accepts no other name.
func TestType(t *testing.T) {
	for typ := Boolean; typ <= Timestamp; typ++ {
		p := &Payload{HasExt: true, Names: []string{"x", "recordedtime"},
			Profile: &Profile{Producer: "p", Types: []Type{typ, Timestamp}}}
		got, err := ParsePayload(p.Append(nil), &Event{})
		if err != nil || got.Profile.Types[0] != typ {
			t.Errorf("%s: %v", typ, err)
		}
		for _, name := range []string{"", "boolean", "URI-Reference", "Type(0)"} {
			doc := bytes.Replace(p.Append(nil), []byte(`["`+typ.String()+`",`), []byte(`["`+name+`",`), 1)
			if _, err := ParsePayload(doc, &Event{}); err == nil ||
				!strings.Contains(err.Error(), "no CloudEvents type") {
				t.Errorf("%s: %v", doc, err)
			}
		}
	}
	for _, typ := range []Type{0, Timestamp + 1, 255} {
		if got, want := typ.String(), "Type("+strconv.Itoa(int(typ))+")"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestErrorUnwraps(t *testing.T) {
	_, err := Parse([]byte(members(`"data":{"a":1,"a":2},`)))
	var cause *jsontext.Error
	if !errors.As(err, &cause) || cause.Fault != jsontext.Duplicate || cause.Pointer != "/a" {
		t.Errorf("no cause in %v", err)
	}
}

// An error quotes what was wrong, never a value: an event that is refused may hold secrets.
func TestErrorHoldsNoValue(t *testing.T) {
	const secret = "hunter2"
	for _, more := range []string{
		`"time":"` + secret + `",`, `"x":"` + secret + `\u0000",`, `"x":["` + secret + `"],`, `"data":{"` +
			secret + `"},`,
		`"data_base64":"` + secret + `",`, `"data":"` + secret + `\ud800",`, `"subject":"` + secret + `\q",`,
	} {
		_, err := Parse([]byte(members(more)))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", more, err)
		}
	}
}

func TestSplitSequence(t *testing.T) {
	for in, want := range map[string][]string{
		"":                           nil,
		" \n":                        nil,
		`{"a":1}`:                    {`{"a":1}`},
		"{\"a\":1}\n\r\n{\"b\":2}\n": {`{"a":1}`, `{"b":2}`},
		"{\n\"a\": \"}{\"\n}{}":      {"{\n\"a\": \"}{\"\n}", `{}`},
	} {
		got, err := SplitSequence([]byte(in))
		var texts []string
		for _, e := range got {
			texts = append(texts, string(e))
		}
		if err != nil || !slices.Equal(texts, want) {
			t.Errorf("%q: %q, %v", in, texts, err)
		}
	}
	for _, in := range []string{"x", "[]", `{"a":1},{"b":2}`, `{"a":1} 7`, `{"a":1`, `{"a":"}`} {
		var fault *Error
		if got, err := SplitSequence([]byte(in)); !errors.As(err, &fault) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

// equalEvents compares events, and leaves out how they were read.
func equalEvents(a, b *Event) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.Document, y.Document, x.hasData, y.hasData = jsontext.Document{}, jsontext.Document{}, false, false
	x.room, y.room = [4]Attribute{}, [4]Attribute{}
	return reflect.DeepEqual(x, y)
}
