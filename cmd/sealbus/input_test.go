package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wrapper"
)

const bom = "\xef\xbb\xbf"

// utf16LE is what PowerShell 5 writes for > FILE.
func utf16LE(text string) string {
	out := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return string(out)
}

// verdictsOf are the verdicts or reasons of a run with --output json, one for each line.
func (b *bench) verdictsOf(r ran) (list []string) {
	b.t.Helper()
	for line := range strings.Lines(r.stdout) {
		var v struct{ Verdict, Reason string }
		b.check(json.Unmarshal([]byte(line), &v))
		if v.Reason != "" {
			v.Verdict = v.Reason
		}
		list = append(list, v.Verdict)
	}
	return list
}

// Whatever separates the events of a file, open reads them, in their order.
func TestOpenReadsSequences(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	one := b.must(orderEvent, b.seal()...)
	one = strings.TrimSpace(one)
	bus := deliveries(t, b.must(orderEvent, b.seal("--to", "eventbridge")...), "111122223333")[0]
	const ok = "verified"
	for name, test := range map[string]struct {
		doc  string
		want []string
	}{
		"lines":                    {one + "\n" + bus + "\n", []string{ok, ok}},
		"lines of Windows":         {one + "\r\n" + bus + "\r\n\r\n", []string{ok, ok}},
		"Firehose":                 {bus + bus, []string{ok, ok}},
		"a BOM":                    {bom + one, []string{ok}},
		"files joined":             {bom + one + "\n" + bom + bus, []string{ok, ok}},
		"JSON text sequence":       {"\x1e" + one + "\n\x1e" + one + "\n", []string{ok, ok}},
		"pretty":                   {reformatted(t, []byte(one)) + reformatted(t, []byte(bus)), []string{ok, ok}},
		"an array and a line":      {"[" + one + "," + bus + "]\n" + one, []string{ok, ok, ok}},
		"a line that is cut":       {one + "\n" + one[:len(one)/2] + "\n" + bus, []string{ok, "malformed", ok}},
		"a line cut after a value": {one + "\n{\"a\":1\n" + bus, []string{ok, "malformed", ok}},
		"a line of text":           {one + "\nhello\n" + bus, []string{ok, "malformed", ok}},
		"a line of numbers":        {"1\n" + bus, []string{"malformed", ok}},
		"one that is edited":       {one + strings.Replace(one, "chair", "table", 1) + bus, []string{ok, "modified", ok}},
		"one of an array":          {"[" + one + ",1,\"x\"," + bus + "]", []string{ok, "malformed", "malformed", ok}},
		"an end that is missing":   {one + "\n" + bus + "\n" + one[:len(one)-1], []string{ok, ok, "malformed"}},
		"an array that breaks off": {one + "\n[" + bus + "," + bus, []string{ok, "malformed"}},
		"no comma":                 {"[" + one + bus + "]\n" + bus, []string{"malformed", ok}},
		"a large one":              {one + "\n" + strings.Replace(one, "chair", strings.Repeat("x", 2<<20), 1) + "\n" + bus, []string{ok, "too_large", ok}},
		"log lines":                {"2026-11-21T12:00:00.000000+00:00 stream/1 " + bus + "\n2026-11-21T12:00:00 " + bus + "\n", []string{ok, ok}},
		"a line before a log line": {"START RequestId: 1\n2026-11-21T12:00:00 s " + bus, []string{"malformed", ok}},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			r := b.run(test.doc, b.open(orderSource, "--output", "json")...)
			bad := slices.ContainsFunc(test.want, func(v string) bool { return v != ok })
			if got := b.verdictsOf(r); !slices.Equal(got, test.want) || (r.code == exitRejected) != bad || !bad && r.code != exitDone {
				t.Errorf("exit %d, %v, want %v\n%s", r.code, got, test.want, r.stderr)
			}
			plain := b.run(test.doc, b.open(orderSource)...)
			if n := strings.Count(plain.stdout, "\n"); plain.code != r.code || n < len(test.want)-strings.Count(plain.stderr, "rejected:") {
				t.Errorf("exit %d, %d lines\n%s", plain.code, n, plain.stderr)
			}
			inspected := b.run(test.doc, "inspect", "--short")
			if n := strings.Count(inspected.stdout, "unverified"); n+strings.Count(inspected.stderr, "rejected:") != len(test.want) {
				t.Errorf("inspect shows %d of %d\n%s", n, len(test.want), inspected.stderr)
			}
		})
	}
	r := b.run(one+"\nhello\n", b.open(orderSource)...)
	if want := fmt.Sprintf("record 2 (at byte %d)", len(one)+1); !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, "event 2: malformed") {
		t.Errorf("it does not say where: %s", r.stderr)
	}
}

// Files are read one after the other, - is standard input, and what is wrong is said with its file.
func TestOpenFiles(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	one := b.must(orderEvent, b.seal()...)
	b.check(os.WriteFile(b.path("a.json"), []byte(one+one), 0o600))
	b.check(os.WriteFile(b.path("b.json"), []byte(strings.Replace(one, "chair", "table", 1)), 0o600))
	b.check(os.WriteFile(b.path("empty.json"), nil, 0o600))
	if out := b.must("", b.open(orderSource, b.path("a.json"))...); strings.Count(out, "\n") != 2 {
		t.Errorf("%s", out)
	}
	r := b.run(one, b.open(orderSource, b.path("a.json"), "-", b.path("b.json"), b.path("empty.json"), b.path("a.json"))...)
	if r.code != exitRejected || strings.Count(r.stdout, "\n") != 5 ||
		!strings.Contains(r.stderr, b.path("b.json")+": event 4: modified") || !strings.Contains(r.stderr, b.path("empty.json")+" is empty") {
		t.Errorf("exit %d, %d lines\n%s", r.code, strings.Count(r.stdout, "\n"), r.stderr)
	}
	missing := b.run(one, b.open(orderSource, b.path("a.json"), b.path("none.json"))...)
	if missing.code == exitDone || missing.stdout != "" || !strings.Contains(missing.stderr, "none.json does not exist") {
		t.Errorf("exit %d: %s%s", missing.code, missing.stdout, missing.stderr)
	}
	if out := b.must("", "inspect", "--short", b.path("a.json")); strings.Count(out, "\n") != 2 {
		t.Errorf("%s", out)
	}
	b.check(os.WriteFile(b.path("order.json"), []byte(bom+orderEvent), 0o600))
	if out := b.must("", b.seal(b.path("order.json"), b.path("order.json"))...); strings.Count(out, "\n") != 2 {
		t.Errorf("%s", out)
	}
}

// What is not JSON in UTF-8 is named, with what to do, and by every command.
func TestInputEncodings(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	sealed := b.must(orderEvent, b.seal()...)
	for name, test := range map[string]struct{ doc, says string }{
		"UTF-16":           {utf16LE(sealed), "UTF-16 (PowerShell's > writes it)"},
		"UTF-16, no BOM":   {utf16LE(sealed)[2:], "UTF-16"},
		"UTF-16, reversed": {"\xfe\xff\x00{\x00}", "UTF-16"},
		"UTF-16, array":    {"\x00[\x00]", "UTF-16"},
		"UTF-32":           {"\xff\xfe\x00\x00{\x00\x00\x00", "UTF-32"},
		"gzip":             {"\x1f\x8b\x08\x00", "gzip"},
		"zip":              {"PK\x03\x04", "an archive"},
		"Parquet":          {"PAR1\x15", "Parquet"},
	} {
		for command, args := range map[string][]string{"open": b.open(orderSource), "seal": b.seal(), "inspect": {"inspect"}} {
			r := b.run(test.doc, args...)
			if r.code != exitRejected || r.stdout != "" || !strings.Contains(r.stderr, test.says) || strings.Count(r.stderr, "\n") > 4 {
				t.Errorf("%s of %s: exit %d\n%s%s", command, name, r.code, r.stdout, r.stderr)
			}
		}
	}
}

// seal reads what open writes, and the other way round.
func TestSealSequences(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	second := strings.Replace(orderEvent, "o-1", "o-2", 1)
	for name, test := range map[string]struct {
		doc   string
		array bool
		lines int
	}{
		"lines":      {orderEvent + "\n" + second + "\n", false, 2},
		"no space":   {orderEvent + second, false, 2},
		"a BOM":      {bom + orderEvent, false, 1},
		"array":      {bom + "[" + orderEvent + "," + second + "]", true, 2},
		"two arrays": {"[" + orderEvent + "]\n[" + second + "]", false, 2},
	} {
		out := b.must(test.doc, b.seal()...)
		if strings.HasPrefix(out, "[") != test.array || strings.Count(out, "\n") != test.lines {
			t.Errorf("%s: %s", name, out)
		}
		opened := b.must(out, b.open(orderSource)...)
		if strings.Count(opened, "\n") != test.lines {
			t.Errorf("%s: opened %s", name, opened)
		}
		if entries := b.must(out, "inspect", "--short"); strings.Count(entries, "digests fit") != test.lines {
			t.Errorf("%s: %s", name, entries)
		}
	}
	// All or nothing, and the one that is wrong is named.
	r := b.run(orderEvent+"\n{\"a\":1}\n", b.seal()...)
	if r.code != exitRejected || r.stdout != "" || !strings.Contains(r.stderr, "event 2 of 2") {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	for doc, says := range map[string]string{
		orderEvent + "\n" + orderEvent[:40]:                           "record 2 (at byte ",
		`{"Type":"Notification","TopicArn":"a","Message":"x"}`:        "an SNS envelope",
		`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`:              "a notification of S3",
		`{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}`:         "a message of a queue or bus",
		`{"unverified_id":"x","mac":"x"}`:                             "a quarantine record",
		`{"detail-type":"t","source":"s","detail":{}}`:                "an EventBridge event, not a CloudEvent",
		`{"key1":"value1","key2":"value2","key3":"value3"}`:           "test event of the Lambda console",
		"[" + strings.Repeat(orderEvent+",", 1000) + orderEvent + "]": "one event a line",
	} {
		if r := b.run(doc, b.seal()...); r.code != exitRejected || r.stdout != "" || !strings.Contains(r.stderr, says) {
			t.Errorf("%.80s: exit %d\n%s", doc, r.code, r.stderr)
		}
	}
}

// cliWrappers are what AWS puts around an event, by the words of --from; beside each, the same in a message
// of SQS.
func cliWrappers(t *testing.T, event string) map[string]string {
	text := func(s string) string { return wrapped(t, "%s", []string{s}) }
	encoded := base64.StdEncoding.EncodeToString([]byte(event))
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(event), &m); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"sns":         `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:111122223333:t","Message":` + text(event) + `}`,
		"on-failure":  `{"version":"1.0","requestContext":{},"requestPayload":` + event + `,"responseContext":{}}`,
		"sqs":         `[{"messageId":"1","eventSource":"aws:sqs","body":` + text(event) + `}]`,
		"kinesis":     `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"data":"` + encoded + `"}}]}`,
		"kafka":       `{"eventSource":"aws:kafka","records":{"t-0":[{"topic":"t","partition":0,"offset":1,"value":"` + encoded + `"}]}}`,
		"logs":        `{"timestamp":1,"ingestionTime":2,"message":` + text(event) + `}`,
		"text-detail": strings.Replace(event, `"detail":`+string(m["detail"]), `"detail":`+text(string(m["detail"])), 1),
	}
}

// Every wrapper is taken off. The account in it counts only if --from names that wrapper; without it the
// event is judged as one of which no account is known, and the fix says so.
func TestOpenWrappers(t *testing.T) {
	b := newBench(t)
	b.org([]string{"111122223333"}, orderSource)
	event := deliveries(t, b.must(orderEvent, b.seal("--to", "eventbridge")...), "111122223333")[0]
	for kind, doc := range cliWrappers(t, event) {
		t.Run(kind, func(t *testing.T) {
			b := *b
			b.t = t
			docs := []string{doc}
			if kind != "sqs" {
				docs = append(docs, wrapped(t, `{"Records":[{"messageId":"1","eventSource":"aws:sqs","body":%s}]}`, []string{doc}), wrapped(t, `{"Messages":[{"Body":%s}]}`, []string{doc}))
			}
			for _, doc := range docs {
				if out := b.must(doc, b.open(orderSource, "--from", kind)...); !strings.Contains(out, `"id":"o-1"`) {
					t.Errorf("%s", out)
				}
				v := b.rejection(b.run(doc, b.open(orderSource, "--output", "json")...))
				if v.Reason != "account_mismatch" || !strings.Contains(v.Fix, "--from "+kind) || !strings.Contains(v.Fix, "hides the account") {
					t.Errorf("%+v", v)
				}
				b.must(doc, b.open(orderSource, "--account", "111122223333")...)
				if v := b.rejection(b.run(doc, b.open(orderSource, "--account", "999988887777", "--output", "json")...)); v.Reason != "account_mismatch" {
					t.Errorf("%+v", v)
				}
				if r := b.run(doc, "inspect"); r.code != exitDone || strings.Contains(r.stdout, "  account") {
					t.Errorf("inspect shows an account that nobody vouches for: %s%s", r.stdout, r.stderr)
				}
				for _, other := range wrapper.Kinds() {
					if string(other) == kind || other == wrapper.SQS {
						continue
					}
					if v := b.rejection(b.run(doc, b.open(orderSource, "--from", string(other), "--output", "json")...)); v.Reason != "malformed" {
						t.Errorf("--from %s: %+v", string(other), v)
					}
				}
			}
			edited := strings.Replace(event, "chair", "table", 1)
			if v := b.rejection(b.run(cliWrappers(t, edited)[kind], b.open(orderSource, "--from", kind, "--output", "json")...)); v.Reason != "modified" {
				t.Errorf("an edited event: %+v", v)
			}
		})
	}
	for _, from := range []string{fromCloudEvent, fromEventBridge} {
		v := b.rejection(b.run(cliWrappers(t, event)["sns"], b.open(orderSource, "--from", from, "--output", "json")...))
		if v.Reason != "malformed" || v.Cause != "this is an SNS envelope" || !strings.Contains(v.Fix, "--from sns") {
			t.Errorf("--from %s: %+v", from, v)
		}
	}
	if help := b.must("", "open", "--help"); !strings.Contains(strings.Join(strings.Fields(help), " "), strings.Join(newFrom().words[3:], ", ")) {
		t.Errorf("the help does not name the wrappers: %s", help)
	}
	// Of SQS itself, which hands out whole answers, the account counts as it always did.
	b.must(wrapped(t, `{"Records":[{"messageId":"1","eventSource":"aws:sqs","body":%s}]}`, []string{event}), b.open(orderSource)...)
	b.must(event, b.open(orderSource)...)
}

// An event that could be forged by what its sender chooses is not believed: a detail that looks like a
// wrapper, a wrapper in a wrapper, two candidates; and a sealed event that looks like a wrapper is that
// event.
func TestOpenHostileWrappers(t *testing.T) {
	b := newBench(t)
	b.org([]string{"111122223333"}, orderSource)
	sealed := strings.TrimSpace(b.must(orderEvent, b.seal()...))
	event := deliveries(t, b.must(orderEvent, b.seal("--to", "eventbridge")...), "111122223333")[0]
	all := cliWrappers(t, event)
	sns := cliWrappers(t, event)["sns"]
	inDetail := func(detail string) string {
		return `{"version":"0","source":"evil","detail-type":"evil","account":"111122223333","detail":` + detail + `}`
	}
	for name, test := range map[string]struct {
		doc, from string
		reasons   []string
	}{
		"in the detail":       {inDetail(sns), "sns", []string{"malformed"}},
		"in the detail, auto": {inDetail(sns), "auto", []string{"unsigned"}},
		"SNS in SNS":          {cliWrappers(t, "{}")["sns"], "sns", []string{"malformed"}},
		"twice":               {strings.Replace(sns, "{", `{"Message":`+wrapped(t, "%s", []string{event})+",", 1), "sns", []string{"malformed"}},
		"two candidates":      {strings.Replace(sns, "{", `{"requestContext":{},"requestPayload":`+event+",", 1), "sns", []string{"malformed"}},
		"SNS in on-failure":   {strings.Replace(all["on-failure"], event, sns, 1), "on-failure", []string{"malformed"}},
		"many in on-failure":  {strings.Replace(all["on-failure"], event, `{"Records":[{"eventSource":"aws:sqs","body":`+wrapped(t, "%s", []string{event})+`}]}`, 1), "on-failure", []string{"malformed"}},
		"SNS in two queues":   {wrapped(t, `{"Records":[{"body":%s}]}`, []string{wrapped(t, `{"Records":[{"body":%s}]}`, []string{event})}), "auto", []string{"malformed"}},
		"a queue in a queue":  {wrapped(t, `{"Messages":[{"Body":%s}]}`, []string{wrapped(t, `{"body":%s}`, []string{event})}), "auto", []string{"account_mismatch"}},
		"a bare body":         {wrapped(t, `{"body":%s}`, []string{event}), "auto", []string{"account_mismatch"}},
		"event and SNS":       {`{"Type":"Notification","TopicArn":"a","Message":` + wrapped(t, "%s", []string{event}) + "," + sealed[1:], "sns", []string{"malformed"}},
	} {
		r := b.run(test.doc, b.open(orderSource, "--from", test.from, "--output", "json")...)
		if got := b.verdictsOf(r); !slices.Equal(got, test.reasons) {
			t.Errorf("%s: %v, want %v\n%s", name, got, test.reasons, r.stdout)
		}
	}
}

// Named, with what to do: what AWS sends that holds no event.
func TestOpenNamed(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	for doc, says := range map[string]string{
		`{"Records":[{"eventSource":"aws:s3","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}`:                "aws s3 cp s3://BUCKET/KEY - | sealbus open",
		`{"Records":[{"body":"{\"Records\":[{\"eventSource\":\"aws:s3\",\"s3\":{}}]}","eventSource":"aws:sqs"}]}`: "aws s3 cp",
		`{"key1":"value1","key2":"value2","key3":"value3"}`:                                                       "test event of the Lambda console",
		`{"Records":[{"body":"Hello from SQS!","eventSource":"aws:sqs"}]}`:                                        "test event of the Lambda console",
		``:                                "aws sqs receive-message` writes nothing while a queue gives no message",
		`{}`:                              "--wait-time-seconds 20",
		`{"Messages":[]}`:                 "--wait-time-seconds 20",
		`{"awslogs":{"data":"H4sI"}}`:     "base64 -d | gunzip",
		`{"unverified_id":"x","mac":"x"}`: "sealbus quarantine show --body",
		`{"Type":"SubscriptionConfirmation","TopicArn":"a","SubscribeURL":"https://evil.example"}`: "confirm the subscription",
	} {
		for _, args := range [][]string{b.open(orderSource), {"inspect"}} {
			if r := b.run(doc, args...); r.code != exitRejected || !strings.Contains(r.stderr, says) || strings.Contains(r.stderr, "evil") {
				t.Errorf("%s of %s: exit %d\n%s", args[0], doc, r.code, r.stderr)
			}
		}
	}
}

// A record is bounded, and what follows one that is too large is read.
func TestRecordReader(t *testing.T) {
	r := newRecordReader(strings.NewReader(`{"a":"`+strings.Repeat("x", 100)+`"}{"b":1}[1,2] x`), 64)
	var got []string
	for {
		rec, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		b := fmt.Sprintf("%d@%d %s", rec.number, rec.offset, rec.doc)
		if rec.err != nil {
			b += fmt.Sprint(rec.err.large)
		}
		got = append(got, b)
	}
	if want := []string{"1@0 true", `2@108 {"b":1}`, "3@115 [1,2]", "4@121 false"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	failing := newRecordReader(io.MultiReader(strings.NewReader(`{"a":1}{"b"`), failingReader{}), 64)
	if rec, err := failing.next(); err != nil || string(rec.doc) != `{"a":1}` {
		t.Errorf("%v, %v", rec, err)
	}
	if _, err := failing.next(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a reader that fails: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Whatever is read is an object or array that was in the input, in its order, or an error; and what
// encoding/json reads as a sequence of objects is read as the same.
func FuzzRecordReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, doc []byte) {
		r := newRecordReader(bytes.NewReader(doc), 1<<10)
		var got [][]byte
		bad := false
		for last := int64(-1); ; {
			rec, err := r.next()
			if err != nil {
				break
			}
			if rec.offset < last || rec.number != len(got)+1 && !bad || (rec.doc == nil) != (rec.err != nil) {
				t.Fatalf("record %+v after %d", rec, last)
			}
			if rec.err == nil && !bytes.Equal(doc[rec.offset:rec.offset+int64(len(rec.doc))], rec.doc) {
				t.Fatalf("%s is not at %d", rec.doc, rec.offset)
			}
			bad = bad || rec.err != nil
			last = rec.offset
			got = append(got, rec.doc)
		}
		var want []json.RawMessage
		for dec := json.NewDecoder(bytes.NewReader(doc)); ; {
			var v json.RawMessage
			err := dec.Decode(&v)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || v[0] != '{' && v[0] != '[' || len(v) > 1<<10 {
				return
			}
			want = append(want, v)
		}
		if len(got) != len(want) {
			t.Fatalf("%d records, encoding/json has %d", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("record %d is %s, encoding/json has %s", i, got[i], want[i])
			}
		}
	})
}

// What is refused names its reason as envelope has it.
func TestRefusal(t *testing.T) {
	for err, want := range map[error]envelope.Reason{
		inputErrorf("f", "c"):                          envelope.ReasonMalformed,
		&inputError{cause: "c", large: true}:           envelope.ReasonTooLarge,
		&wrapper.Problem{Cause: "c", Large: true}:      envelope.ReasonTooLarge,
		&wrapper.Problem{Cause: "c", Fix: "do"}:        envelope.ReasonMalformed,
		errors.New("PutEvents entry: it is no object"): envelope.ReasonMalformed,
	} {
		if v := (&message{err: err}).refusal(); v.Reason != want || v.Cause != err.Error() || v.Fix() == "" {
			t.Errorf("%v: %+v", err, v)
		}
	}
}
