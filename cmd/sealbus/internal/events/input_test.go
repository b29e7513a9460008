package events_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
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
func verdictsOf(b *clitest.Bench, r clitest.Ran) (list []string) {
	b.T.Helper()
	for line := range strings.Lines(r.Stdout) {
		var v struct{ Verdict, Reason string }
		b.Check(json.Unmarshal([]byte(line), &v))
		if v.Reason != "" {
			v.Verdict = v.Reason
		}
		list = append(list, v.Verdict)
	}
	return list
}

// Whatever separates the events of a file, open reads them, in their order.
func TestOpenReadsSequences(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	one := b.Must(clitest.OrderEvent, b.Seal()...)
	one = strings.TrimSpace(one)
	bus := clitest.Deliveries(t, b.Must(clitest.OrderEvent, b.Seal("--to", "eventbridge")...),
		"111122223333")[0]
	const ok = "verified"
	for name, test := range map[string]struct {
		doc  string
		want []string
	}{
		"lines":              {one + "\n" + bus + "\n", []string{ok, ok}},
		"lines of Windows":   {one + "\r\n" + bus + "\r\n\r\n", []string{ok, ok}},
		"Firehose":           {bus + bus, []string{ok, ok}},
		"a BOM":              {bom + one, []string{ok}},
		"files joined":       {bom + one + "\n" + bom + bus, []string{ok, ok}},
		"JSON text sequence": {"\x1e" + one + "\n\x1e" + one + "\n", []string{ok, ok}},
		"pretty": {clitest.Reformatted(t, []byte(one)) +
			clitest.Reformatted(t, []byte(bus)), []string{ok, ok}},
		"an array and a line": {"[" + one + "," + bus + "]\n" + one, []string{ok, ok, ok}},
		"a line that is cut": {one + "\n" + one[:len(one)/2] + "\n" +
			bus, []string{ok, "malformed", ok}},
		"a line cut after a value": {one + "\n{\"a\":1\n" + bus, []string{ok, "malformed", ok}},
		"a line of text":           {one + "\nhello\n" + bus, []string{ok, "malformed", ok}},
		"a line of numbers":        {"1\n" + bus, []string{"malformed", ok}},
		"one that is edited": {one + strings.Replace(one, "chair", "table", 1) +
			bus, []string{ok, "modified", ok}},
		"one of an array": {"[" + one + ",1,\"x\"," + bus +
			"]", []string{ok, "malformed", "malformed", ok}},
		"an end that is missing": {one + "\n" + bus + "\n" +
			one[:len(one)-1], []string{ok, ok, "malformed"}},
		"an array that breaks off": {one + "\n[" + bus + "," + bus, []string{ok, "malformed"}},
		"no comma":                 {"[" + one + bus + "]\n" + bus, []string{"malformed", ok}},
		"a large one": {one + "\n" + strings.Replace(one, "chair", strings.Repeat("x", 2<<20),
			1) + "\n" + bus, []string{ok, "too_large", ok}},
		"log lines": {"2026-11-21T12:00:00.000000+00:00 stream/1 " + bus +
			"\n2026-11-21T12:00:00 " + bus + "\n", []string{ok, ok}},
		"a line before a log line": {"START RequestId: 1\n2026-11-21T12:00:00 s " +
			bus, []string{"malformed", ok}},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.On(t)
			r := b.Run(test.doc, b.Open(clitest.OrderSource, "--output", "json")...)
			bad := slices.ContainsFunc(test.want, func(v string) bool { return v != ok })
			if got := verdictsOf(b, r); !slices.Equal(got, test.want) || (r.Code == ui.ExitRejected) != bad ||
				!bad && r.Code != ui.ExitDone {
				t.Errorf("exit %d, %v, want %v\n%s", r.Code, got, test.want, r.Stderr)
			}
			plain := b.Run(test.doc, b.Open(clitest.OrderSource)...)
			if n := strings.Count(plain.Stdout, "\n"); plain.Code != r.Code ||
				n < len(test.want)-strings.Count(plain.Stderr, "rejected:") {
				t.Errorf("exit %d, %d lines\n%s", plain.Code, n, plain.Stderr)
			}
			inspected := b.Run(test.doc, "inspect", "--short")
			if n := strings.Count(inspected.Stdout, "unverified"); n+
				strings.Count(inspected.Stderr, "rejected:") != len(test.want) {
				t.Errorf("inspect shows %d of %d\n%s", n, len(test.want), inspected.Stderr)
			}
		})
	}
	r := b.Run(one+"\nhello\n", b.Open(clitest.OrderSource)...)
	if want := fmt.Sprintf("record 2 (at byte %d)", len(one)+1); !strings.Contains(r.Stderr, want) ||
		!strings.Contains(r.Stderr, "event 2: malformed") {
		t.Errorf("it does not say where: %s", r.Stderr)
	}
}

// Files are read one after the other, - is standard input, and what is wrong is said with its file.
func TestOpenFiles(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	one := b.Must(clitest.OrderEvent, b.Seal()...)
	b.Check(os.WriteFile(b.Path("a.json"), []byte(one+one), 0o600))
	b.Check(os.WriteFile(b.Path("b.json"), []byte(strings.Replace(one, "chair", "table", 1)), 0o600))
	b.Check(os.WriteFile(b.Path("empty.json"), nil, 0o600))
	if out := b.Must("", b.Open(clitest.OrderSource, b.Path("a.json"))...); strings.Count(out, "\n") != 2 {
		t.Errorf("%s", out)
	}
	r := b.Run(one, b.Open(clitest.OrderSource, b.Path("a.json"), "-", b.Path("b.json"), b.Path("empty.json"),
		b.Path("a.json"))...)
	if r.Code != ui.ExitUsage || strings.Count(r.Stdout, "\n") != 5 ||
		!strings.Contains(r.Stderr, b.Path("b.json")+": event 4: modified") ||
		!strings.Contains(r.Stderr, b.Path("empty.json")+" is empty") {
		t.Errorf("exit %d, %d lines\n%s", r.Code, strings.Count(r.Stdout, "\n"), r.Stderr)
	}
	missing := b.Run(one, b.Open(clitest.OrderSource, b.Path("a.json"), b.Path("none.json"))...)
	if missing.Code == ui.ExitDone || missing.Stdout != "" ||
		!strings.Contains(missing.Stderr, "none.json does not exist") {
		t.Errorf("exit %d: %s%s", missing.Code, missing.Stdout, missing.Stderr)
	}
	if out := b.Must("", "inspect", "--short", b.Path("a.json")); strings.Count(out, "\n") != 2 {
		t.Errorf("%s", out)
	}
	b.Check(os.WriteFile(b.Path("order.json"), []byte(bom+clitest.OrderEvent), 0o600))
	if out := b.Must("", b.Seal(b.Path("order.json"), b.Path("order.json"))...); strings.Count(out,
		"\n") != 2 {
		t.Errorf("%s", out)
	}
}

// Every command names the encoding of an input that is not JSON in UTF-8, and says what to do.
func TestInputEncodings(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := b.Must(clitest.OrderEvent, b.Seal()...)
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
		for command, args := range map[string][]string{"open": b.Open(clitest.OrderSource), "seal": b.Seal(),
			"inspect": {"inspect"}} {
			r := b.Run(test.doc, args...)
			if r.Code != ui.ExitRejected || r.Stdout != "" || !strings.Contains(r.Stderr, test.says) ||
				strings.Count(r.Stderr, "\n") > 4 {
				t.Errorf("%s of %s: exit %d\n%s%s", command, name, r.Code, r.Stdout, r.Stderr)
			}
		}
	}
}

// seal reads what open writes, and the other way round.
func TestSealSequences(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	second := strings.Replace(clitest.OrderEvent, "o-1", "o-2", 1)
	for name, test := range map[string]struct {
		doc   string
		array bool
		lines int
	}{
		"lines":      {clitest.OrderEvent + "\n" + second + "\n", false, 2},
		"no space":   {clitest.OrderEvent + second, false, 2},
		"a BOM":      {bom + clitest.OrderEvent, false, 1},
		"array":      {bom + "[" + clitest.OrderEvent + "," + second + "]", true, 2},
		"two arrays": {"[" + clitest.OrderEvent + "]\n[" + second + "]", false, 2},
	} {
		out := b.Must(test.doc, b.Seal()...)
		if strings.HasPrefix(out, "[") != test.array || strings.Count(out, "\n") != test.lines {
			t.Errorf("%s: %s", name, out)
		}
		opened := b.Must(out, b.Open(clitest.OrderSource)...)
		if strings.Count(opened, "\n") != test.lines {
			t.Errorf("%s: opened %s", name, opened)
		}
		if entries := b.Must(out, "inspect", "--short"); strings.Count(entries, "digests fit") != test.lines {
			t.Errorf("%s: %s", name, entries)
		}
	}
	// All or nothing, and the one that is wrong is named.
	r := b.Run(clitest.OrderEvent+"\n{\"a\":1}\n", b.Seal()...)
	if r.Code != ui.ExitRejected || r.Stdout != "" || !strings.Contains(r.Stderr, "event 2 of 2") {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	for doc, says := range map[string]string{
		clitest.OrderEvent + "\n" + clitest.OrderEvent[:40]:                           "record 2 (at byte ",
		`{"Type":"Notification","TopicArn":"a","Message":"x"}`:                        "an SNS envelope",
		`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`:                              "a notification of S3",
		`{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}`:                         "a message of a queue or bus",
		`{"unverified_id":"x","mac":"x"}`:                                             "a quarantine record",
		`{"detail-type":"t","source":"s","detail":{}}`:                                "an EventBridge event, not a CloudEvent",
		`{"key1":"value1","key2":"value2","key3":"value3"}`:                           "test event of the Lambda console",
		"[" + strings.Repeat(clitest.OrderEvent+",", 1000) + clitest.OrderEvent + "]": "one event a line",
	} {
		if r := b.Run(doc, b.Seal()...); r.Code != ui.ExitRejected || r.Stdout != "" ||
			!strings.Contains(r.Stderr, says) {
			t.Errorf("%.80s: exit %d\n%s", doc, r.Code, r.Stderr)
		}
	}
}

// Every wrapper is taken off. The account in it counts only if --from names that wrapper; without it the
// event is judged as one of which no account is known, and the fix says so.
func TestOpenWrappers(t *testing.T) {
	b := clitest.New(t)
	b.Org([]string{"111122223333"}, clitest.OrderSource)
	event := clitest.Deliveries(t, b.Must(clitest.OrderEvent, b.Seal("--to", "eventbridge")...),
		"111122223333")[0]
	for kind, doc := range clitest.CliWrappers(t, event) {
		t.Run(kind, func(t *testing.T) {
			b := b.On(t)
			docs := []string{doc}
			if kind != "sqs" {
				docs = append(docs, clitest.Wrapped(t,
					`{"Records":[{"messageId":"1","eventSource":"aws:sqs","body":%s}]}`, []string{doc}),
					clitest.Wrapped(t, `{"Messages":[{"Body":%s}]}`, []string{doc}))
			}
			for _, doc := range docs {
				if out := b.Must(doc, b.Open(clitest.OrderSource, "--from", kind)...); !strings.Contains(out,
					`"id":"o-1"`) {
					t.Errorf("%s", out)
				}
				v := rejection(b, b.Run(doc, b.Open(clitest.OrderSource, "--output", "json")...))
				if v.Reason != "account_mismatch" || !strings.Contains(v.Fix, "--from "+kind) ||
					!strings.Contains(v.Fix, "hides the account") {
					t.Errorf("%+v", v)
				}
				b.Must(doc, b.Open(clitest.OrderSource, "--account", "111122223333")...)
				if v := rejection(b, b.Run(doc, b.Open(clitest.OrderSource, "--account", "999988887777",
					"--output", "json")...)); v.Reason != "account_mismatch" {
					t.Errorf("%+v", v)
				}
				if r := b.Run(doc, "inspect"); r.Code != ui.ExitDone ||
					strings.Contains(r.Stdout, "  account") {
					t.Errorf("inspect shows an account that no service vouches for: %s%s", r.Stdout, r.Stderr)
				}
				for _, other := range wrapper.Kinds() {
					if string(other) == kind || other == wrapper.SQS {
						continue
					}
					if v := rejection(b, b.Run(doc,
						b.Open(clitest.OrderSource, "--from", string(other), "--output",
							"json")...)); v.Reason != "malformed" {
						t.Errorf("--from %s: %+v", string(other), v)
					}
				}
			}
			edited := strings.Replace(event, "chair", "table", 1)
			if v := rejection(b, b.Run(clitest.CliWrappers(t, edited)[kind],
				b.Open(clitest.OrderSource, "--from", kind, "--output", "json")...)); v.Reason != "modified" {
				t.Errorf("an edited event: %+v", v)
			}
		})
	}
	for _, from := range []string{input.FromCloudEvent, input.FromEventBridge} {
		v := rejection(b, b.Run(clitest.CliWrappers(t, event)["sns"],
			b.Open(clitest.OrderSource, "--from", from, "--output", "json")...))
		if v.Reason != "malformed" || v.Cause != "this is an SNS envelope" ||
			!strings.Contains(v.Fix, "--from sns") {
			t.Errorf("--from %s: %+v", from, v)
		}
	}
	if help := b.Must("", "open", "--help"); !strings.Contains(strings.Join(strings.Fields(help), " "),
		strings.Join(input.NewFrom().Words[3:], ", ")) {
		t.Errorf("the help does not name the wrappers: %s", help)
	}
	// Of SQS itself, which hands out whole answers, the account counts as it always did.
	b.Must(clitest.Wrapped(t, `{"Records":[{"messageId":"1","eventSource":"aws:sqs","body":%s}]}`,
		[]string{event}), b.Open(clitest.OrderSource)...)
	b.Must(event, b.Open(clitest.OrderSource)...)
}

// An event that could be forged by what its sender chooses is not believed: a detail that looks like a
// wrapper, a wrapper in a wrapper, two candidates; and a sealed event that looks like a wrapper is that
// event.
func TestOpenHostileWrappers(t *testing.T) {
	b := clitest.New(t)
	b.Org([]string{"111122223333"}, clitest.OrderSource)
	sealed := strings.TrimSpace(b.Must(clitest.OrderEvent, b.Seal()...))
	event := clitest.Deliveries(t, b.Must(clitest.OrderEvent, b.Seal("--to", "eventbridge")...),
		"111122223333")[0]
	all := clitest.CliWrappers(t, event)
	sns := clitest.CliWrappers(t, event)["sns"]
	inDetail := func(detail string) string {
		return `{"version":"0","source":"evil","detail-type":"evil","account":"111122223333","detail":` +
			detail + `}`
	}
	for name, test := range map[string]struct {
		doc, from string
		reasons   []string
	}{
		"in the detail":       {inDetail(sns), "sns", []string{"malformed"}},
		"in the detail, auto": {inDetail(sns), "auto", []string{"unsigned"}},
		"SNS in SNS":          {clitest.CliWrappers(t, "{}")["sns"], "sns", []string{"malformed"}},
		"twice": {strings.Replace(sns, "{", `{"Message":`+
			clitest.Wrapped(t, "%s", []string{event})+",", 1), "sns", []string{"malformed"}},
		"two candidates": {strings.Replace(sns, "{", `{"requestContext":{},"requestPayload":`+event+
			",", 1), "sns", []string{"malformed"}},
		"SNS in on-failure": {strings.Replace(all["on-failure"], event, sns, 1), "on-failure",
			[]string{"malformed"}},
		"many in on-failure": {strings.Replace(all["on-failure"], event,
			`{"Records":[{"eventSource":"aws:sqs","body":`+clitest.Wrapped(t, "%s", []string{event})+
				`}]}`, 1), "on-failure", []string{"malformed"}},
		"SNS in two queues": {clitest.Wrapped(t, `{"Records":[{"body":%s}]}`,
			[]string{clitest.Wrapped(t, `{"Records":[{"body":%s}]}`, []string{event})}), "auto",
			[]string{"malformed"}},
		"a queue in a queue": {clitest.Wrapped(t, `{"Messages":[{"Body":%s}]}`,
			[]string{clitest.Wrapped(t, `{"body":%s}`, []string{event})}), "auto",
			[]string{"account_mismatch"}},
		"a bare body": {clitest.Wrapped(t, `{"body":%s}`, []string{event}), "auto",
			[]string{"account_mismatch"}},
		"event and SNS": {`{"Type":"Notification","TopicArn":"a","Message":` +
			clitest.Wrapped(t, "%s", []string{event}) + "," + sealed[1:], "sns", []string{"malformed"}},
	} {
		r := b.Run(test.doc, b.Open(clitest.OrderSource, "--from", test.from, "--output", "json")...)
		if got := verdictsOf(b, r); !slices.Equal(got, test.reasons) {
			t.Errorf("%s: %v, want %v\n%s", name, got, test.reasons, r.Stdout)
		}
	}
}

// Named, with what to do: what AWS sends that holds no event.
func TestOpenNamed(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
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
		for _, args := range [][]string{b.Open(clitest.OrderSource), {"inspect"}} {
			if r := b.Run(doc, args...); r.Code != ui.ExitRejected || !strings.Contains(r.Stderr, says) ||
				strings.Contains(r.Stderr, "evil") {
				t.Errorf("%s of %s: exit %d\n%s", args[0], doc, r.Code, r.Stderr)
			}
		}
	}
}
