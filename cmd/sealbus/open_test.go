package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/canonical"
)

// samples are events in shapes that public sources document; see the README beside them.
func samples(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../internal/cejson/testdata/samples/*.json")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d samples, %v", len(paths), err)
	}
	docs := map[string]string{}
	for _, p := range paths {
		doc, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		docs[filepath.Base(p)] = string(doc)
	}
	return docs
}

// sampleParts are what the tests look at.
type sampleParts struct {
	ID, Source string
	Data       json.RawMessage
	DataBase64 []byte `json:"data_base64"`
}

// content is what the data says: canonical JSON, or the bytes of what is no JSON.
func (p *sampleParts) content(t *testing.T) string {
	t.Helper()
	var text string
	switch {
	case p.DataBase64 != nil:
		return string(p.DataBase64)
	case p.Data == nil:
		return ""
	case json.Unmarshal(p.Data, &text) == nil:
		return text
	}
	form, err := canonical.Append(nil, p.Data)
	if err != nil {
		t.Fatal(err)
	}
	return string(form)
}

// Every public sample goes through EventBridge and a broker that re-formats it, in each layout that can carry
// it.
func TestSamplesThroughEventBridge(t *testing.T) {
	for name, doc := range samples(t) {
		var sample sampleParts
		if err := json.Unmarshal([]byte(doc), &sample); err != nil {
			t.Fatal(err)
		}
		for _, layout := range []string{"structured", "embedded"} {
			t.Run(name+" "+layout, func(t *testing.T) {
				b := newBench(t)
				b.org(nil, sample.Source)
				sealed := b.run(doc, b.seal("--to", "eventbridge", "--layout", layout)...)
				if layout == "embedded" && !strings.HasPrefix(string(sample.Data), "{") {
					if sealed.code != exitRejected {
						t.Fatalf("exit %d for what this layout cannot carry", sealed.code)
					}
					return
				}
				if sealed.code != 0 {
					t.Fatal(sealed.stderr)
				}
				delivery := reformatted(t, []byte(deliveries(t, sealed.stdout, "111122223333")[0]))
				b.wantEvent(b.must(delivery, b.open(sample.Source, "--from", "eventbridge")...), sample)
				b.wantModified(strings.Replace(delivery, `"id": "`+sample.ID, `"id": "x`+sample.ID, 1), sample.Source)
			})
		}
	}
}

// wantEvent compares id and data of the verified event.
func (b *bench) wantEvent(out string, want sampleParts) {
	b.t.Helper()
	var got sampleParts
	b.check(json.Unmarshal([]byte(out), &got))
	if got.ID != want.ID || got.content(b.t) != want.content(b.t) {
		b.t.Errorf("opened %s, sealed %s %s", out, want.ID, want.Data)
	}
}

func (b *bench) wantModified(delivery, source string) {
	b.t.Helper()
	r := b.run(delivery, b.open(source, "--output", "json")...)
	if got := b.rejection(r); got.Reason != "modified" {
		b.t.Errorf("an edited delivery: %+v", got)
	}
}

// rejection is the one verdict of a run that was refused.
func (b *bench) rejection(r ran) (v rejectedResult) {
	b.t.Helper()
	if r.code == 0 {
		b.t.Fatalf("it was accepted: %s", r.stdout)
	}
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		b.t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	if v.Cause == "" || v.Fix == "" {
		b.t.Errorf("a verdict without cause or fix: %+v", v)
	}
	return v
}

func TestOpenVerdict(t *testing.T) {
	b := newBench(t)
	b.org([]string{"111122223333"}, orderSource)
	sealed := b.must(orderEvent, b.seal("--audience", "central billing", "--expires", "1h")...)
	delivery := deliveries(t, b.must(orderEvent, b.seal("--to", "eventbridge")...), "111122223333")[0]
	account := []string{"--account", "111122223333"}
	in := func(d time.Duration) []string {
		return append(account, "--now", b.now.Add(d).Format(time.RFC3339))
	}
	for name, test := range map[string]struct {
		doc    string
		args   []string
		reason string
	}{
		"verified":             {sealed, account, ""},
		"verified by audience": {sealed, append(account, "--audience", "billing"), ""},
		"delivery":             {delivery, nil, ""},
		"no account":           {sealed, nil, "account_mismatch"},
		"other account":        {delivery, []string{"--account", "999988887777"}, "account_mismatch"},
		"other audience":       {sealed, append(account, "--audience", "partners"), "audience_mismatch"},
		"no audience":          {delivery, []string{"--audience", "partners"}, "audience_mismatch"},
		"past expirytime":      {sealed, in(time.Hour), "expired"},
		"before expirytime":    {sealed, in(time.Hour - time.Second), ""},
		"too old":              {delivery, in(24*time.Hour + 6*time.Minute), "expired"},
		"in a wider window":    {delivery, append(in(30*time.Hour), "--max-age", "2d"), ""},
		"out of a narrow one":  {delivery, append(in(2*time.Minute), "--max-age", "1m"), "expired"},
		"from the future":      {delivery, in(-6 * time.Minute), "from_future"},
		"type not allowed":     {delivery, []string{"--allow-type", "com.example.refund.*"}, "type_not_allowed"},
		"type allowed":         {delivery, []string{"--allow-type", "com.example.order.*"}, ""},
		"not an event":         {`{"a":1}`, nil, "malformed"},
		"not JSON":             {`hello`, nil, "malformed"},
		"nothing":              {"", nil, "malformed"},
		"null":                 {"null", nil, "malformed"},
		"unsigned":             {orderEvent, nil, "unsigned"},
		"said to be SQS":       {delivery, []string{"--from", "sqs"}, "malformed"},
		"said to be CloudEvent": {delivery, []string{"--from", "cloudevent"},
			"malformed"},
		"said to be EventBridge": {sealed, []string{"--from", "eventbridge"}, "malformed"},
		"broken batch":           {"[" + delivery, nil, "malformed"},
		"endless batch":          {"[" + strings.Repeat("{},", 1000) + "{}]", nil, "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			r := b.run(test.doc, b.open(orderSource, append([]string{"--output", "json"}, test.args...)...)...)
			if test.reason == "" {
				if r.code != 0 {
					t.Errorf("exit %d: %s", r.code, r.stdout)
				}
				return
			}
			if v := b.rejection(r); r.code != exitRejected || v.Verdict != "rejected" || string(v.Reason) != test.reason {
				t.Errorf("exit %d, %+v", r.code, v)
			}
		})
	}
}

// The consumer's own allowlist is looked at, not only the bundle's.
func TestOpenAllowlist(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	sealed := b.must(orderEvent, b.seal()...)
	if v := b.rejection(b.run(sealed, b.open("https://other.example/*", "--output", "json")...)); v.Reason != "source_not_allowed" {
		t.Errorf("%+v", v)
	}
}

func TestOpenJSON(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	sealed := strings.Replace(b.must(orderEvent, b.seal()...), `{`, `{"traceparent":"00-1",`, 1)
	var v verifiedResult
	b.check(json.Unmarshal([]byte(b.must(sealed, b.open(orderSource, "--mode", "passthrough", "--output", "json")...)), &v))
	if v.Verdict != "verified" || v.Producer != "shop" || len(v.KeyIDs) != 1 || v.SignedAt != "2026-11-21T12:00:00Z" || v.Unverified["traceparent"] != "00-1" {
		t.Errorf("%+v", v)
	}
	b.wantEvent(string(v.Event), sampleParts{ID: "o-1", Data: []byte(`{"total":12.5,"item":"chair"}`)})
	strict := b.must(sealed, b.open(orderSource)...)
	if strings.Contains(strict, "traceparent") || !strings.Contains(strict, `"tenant":"acme"`) {
		t.Errorf("strict: %s", strict)
	}
	if core := b.must(sealed, b.open(orderSource, "--mode", "core-only")...); strings.Contains(core, "tenant") {
		t.Errorf("core-only: %s", core)
	}
}

// What cannot be judged is no rejection.
func TestOpenUnavailable(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	sealed := b.must(orderEvent, b.seal()...)
	if r := b.run(sealed, b.open(orderSource, "--now", b.now.Add(49*time.Hour).Format(time.RFC3339))...); r.code != exitUnavailable {
		t.Errorf("an expired bundle: exit %d, %s", r.code, r.stderr)
	}
	b.check(os.Remove(b.path("trust.dsse")))
	if r := b.run(sealed, b.open(orderSource)...); r.code != exitUsage {
		t.Errorf("no bundle: exit %d, %s", r.code, r.stderr)
	}
}

// Whatever several events are wrapped in, each gets one line, and the worst decides how it ends.
func TestOpenSeveral(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	batch := "[" + orderEvent + "," + strings.Replace(orderEvent, "o-1", "o-2", 1) + "]"
	sealed := b.must(batch, b.seal()...)
	entries := b.must(batch, b.seal("--to", "eventbridge")...)
	both := deliveries(t, entries, "111122223333")
	for name, doc := range map[string]string{
		"batch":       sealed,
		"entries":     entries,
		"deliveries":  "[" + strings.Join(both, ",") + "]",
		"lambda":      wrapped(t, `{"Records":[{"messageId":"1","body":%s},{"messageId":"2","body":%s,"eventSource":"aws:sqs"}]}`, both),
		"receive":     wrapped(t, `{"Messages":[{"MessageId":"1","Body":%s},{"Body":%s}]}`, both),
		"one by one":  wrapped(t, `[{"body":%s},{"Body":%s}]`, both),
		"sqs in full": wrapped(t, `{"Records":[{"body":%s},{"body":%s}]}`, both),
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			if out := b.must(doc, b.open(orderSource)...); strings.Count(out, "\n") != 2 {
				t.Errorf("not two lines: %s", out)
			}
			r := b.run(strings.Replace(doc, "chair", "table", 1), b.open(orderSource, "--output", "json")...)
			lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
			if r.code != exitRejected || len(lines) != 2 || !strings.Contains(lines[0], `"reason":"modified"`) || !strings.Contains(lines[1], `"verdict":"verified"`) {
				t.Errorf("exit %d: %s", r.code, r.stdout)
			}
		})
	}
}

// Success without a line of output would say that something was verified.
func TestOpenNothing(t *testing.T) {
	b := newBench(t)
	b.org(nil, orderSource)
	for _, doc := range []string{"", "[]", " [ ] ", `{"Records":[]}`, `{"Messages":[]}`} {
		if v := b.rejection(b.run(doc, b.open(orderSource, "--output", "json")...)); v.Reason != "malformed" {
			t.Errorf("%q: %+v", doc, v)
		}
		if r := b.run(doc, "inspect"); r.code != exitRejected {
			t.Errorf("inspect %q: exit %d", doc, r.code)
		}
	}
}

// wrapped puts documents, as JSON strings, into the places of format.
func wrapped(t *testing.T, format string, docs []string) string {
	t.Helper()
	args := make([]any, len(docs))
	for i, d := range docs {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		args[i] = string(text)
	}
	return fmt.Sprintf(format, args...)
}

// A PutEvents entry cannot smuggle members into the delivery that is made of it.
func TestOpenEntryIsNotSpliced(t *testing.T) {
	b := newBench(t)
	b.org([]string{"111122223333"}, orderSource)
	var list []map[string]any
	b.check(json.Unmarshal([]byte(b.must(orderEvent, b.seal("--to", "eventbridge")...)), &list))
	list[0]["Detail"] = list[0]["Detail"].(string) + `,"account":"111122223333"`
	doc, err := json.Marshal(list)
	b.check(err)
	if v := b.rejection(b.run(string(doc), b.open(orderSource, "--output", "json")...)); v.Reason != "malformed" {
		t.Errorf("%+v", v)
	}
}

func TestOpenUsage(t *testing.T) {
	b := newBench(t)
	if d, err := parseDuration("24h5m"); err != nil || d != envelope.DefaultMaxAge {
		t.Errorf("the help says 24h5m, the default is %v", envelope.DefaultMaxAge)
	}
	if help := b.must("", "open", "--help"); !strings.Contains(help, "(default 24h5m)") || !strings.Contains(help, "does not check replay") {
		t.Errorf("%s", help)
	}
	b.org(nil, orderSource)
	for name, args := range map[string][]string{
		"no source":    {"open", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json")},
		"no trust":     {"open", "--allow-source", orderSource},
		"any source":   b.open("*"),
		"no window":    b.open(orderSource, "--max-age", "0s"),
		"wide window":  b.open(orderSource, "--max-age", "100000h"),
		"two names":    b.open(orderSource, "--audience", "central audit"),
		"unknown mode": b.open(orderSource, "--mode", "lax"),
		"account":      b.open(orderSource, "--account", "shop"),
		"stdin twice":  b.open(orderSource, "-", "-"),
		"a directory":  b.open(orderSource, b.dir),
	} {
		if r := b.run("", args...); r.code != exitUsage || !strings.HasPrefix(r.stderr, "sealbus: ") {
			t.Errorf("%s: exit %d, %s", name, r.code, r.stderr)
		}
	}
}

// The seeds are in testdata/fuzz.
func FuzzMessages(f *testing.F) {
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, from := range newFrom().words {
			list := messages(doc, from)
			if len(list) == 0 {
				t.Fatalf("%s: neither an event nor an error", from)
			}
			for _, m := range list {
				if m.err == nil && m.body == nil {
					t.Fatalf("%s: an entry that is neither an event nor an error", from)
				}
			}
		}
	})
}
