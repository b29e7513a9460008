package events_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/events"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// samples are events in shapes that public sources document; see the README beside them.
func samples(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../../../internal/wire/testdata/samples/*.json")
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
	form, err := jsontext.AppendCanonical(nil, p.Data)
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
				b := clitest.New(t)
				b.Org(nil, sample.Source)
				sealed := b.Run(doc, b.Seal("--to", "eventbridge", "--layout", layout)...)
				if layout == "embedded" && !strings.HasPrefix(string(sample.Data), "{") {
					if sealed.Code != ui.ExitRejected {
						t.Fatalf("exit %d for what this layout cannot carry", sealed.Code)
					}
					return
				}
				if sealed.Code != 0 {
					t.Fatal(sealed.Stderr)
				}
				delivery := clitest.Reformatted(t,
					[]byte(clitest.Deliveries(t, sealed.Stdout, "111122223333")[0]))
				wantEvent(b, b.Must(delivery, b.Open(sample.Source, "--from", "eventbridge")...), sample)
				wantModified(b, strings.Replace(delivery, `"id": "`+sample.ID, `"id": "x`+sample.ID, 1),
					sample.Source)
			})
		}
	}
}

// wantEvent compares id and data of the verified event.
func wantEvent(b *clitest.Bench, out string, want sampleParts) {
	b.T.Helper()
	var got sampleParts
	b.Check(json.Unmarshal([]byte(out), &got))
	if got.ID != want.ID || got.content(b.T) != want.content(b.T) {
		b.T.Errorf("opened %s, sealed %s %s", out, want.ID, want.Data)
	}
}

func wantModified(b *clitest.Bench, delivery, source string) {
	b.T.Helper()
	r := b.Run(delivery, b.Open(source, "--output", "json")...)
	if got := rejection(b, r); got.Reason != "modified" {
		b.T.Errorf("an edited delivery: %+v", got)
	}
}

// rejection is the one verdict of a run that was refused.
func rejection(b *clitest.Bench, r clitest.Ran) (v cmd.RejectedResult) {
	b.T.Helper()
	if r.Code == 0 {
		b.T.Fatalf("it was accepted: %s", r.Stdout)
	}
	if err := json.Unmarshal([]byte(r.Stdout), &v); err != nil {
		b.T.Fatalf("%v: %s%s", err, r.Stdout, r.Stderr)
	}
	if v.Cause == "" || v.Fix == "" {
		b.T.Errorf("a verdict without cause or fix: %+v", v)
	}
	return v
}

func TestOpenVerdict(t *testing.T) {
	b := clitest.New(t)
	b.Org([]string{"111122223333"}, clitest.OrderSource)
	sealed := b.Must(clitest.OrderEvent, b.Seal("--audience", "central billing", "--expires", "1h")...)
	delivery := clitest.Deliveries(t, b.Must(clitest.OrderEvent, b.Seal("--to", "eventbridge")...),
		"111122223333")[0]
	account := []string{"--account", "111122223333"}
	in := func(d time.Duration) []string {
		return append(account, "--now", b.Now.Add(d).Format(time.RFC3339))
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
		"type not allowed": {delivery, []string{"--allow-type", "com.example.refund.*"},
			"type_not_allowed"},
		"type allowed":   {delivery, []string{"--allow-type", "com.example.order.*"}, ""},
		"not an event":   {`{"a":1}`, nil, "malformed"},
		"not JSON":       {`hello`, nil, "malformed"},
		"nothing":        {"", nil, "malformed"},
		"null":           {"null", nil, "malformed"},
		"unsigned":       {clitest.OrderEvent, nil, "unsigned"},
		"said to be SQS": {delivery, []string{"--from", "sqs"}, "malformed"},
		"said to be CloudEvent": {delivery, []string{"--from", "cloudevent"},
			"malformed"},
		"said to be EventBridge": {sealed, []string{"--from", "eventbridge"}, "malformed"},
		"broken batch":           {"[" + delivery, nil, "malformed"},
		"endless batch":          {"[" + strings.Repeat("{},", 1000) + "{}]", nil, "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.On(t)
			r := b.Run(test.doc, b.Open(clitest.OrderSource,
				append([]string{"--output", "json"}, test.args...)...)...)
			if test.reason == "" {
				if r.Code != 0 {
					t.Errorf("exit %d: %s", r.Code, r.Stdout)
				}
				return
			}
			if v := rejection(b, r); r.Code != ui.ExitRejected || v.Verdict != "rejected" ||
				string(v.Reason) != test.reason {
				t.Errorf("exit %d, %+v", r.Code, v)
			}
		})
	}
}

// The consumer's own allowlist is looked at, not only the bundle's.
func TestOpenAllowlist(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := b.Must(clitest.OrderEvent, b.Seal()...)
	if v := rejection(b, b.Run(sealed, b.Open("https://other.example/*", "--output",
		"json")...)); v.Reason != "source_not_allowed" {
		t.Errorf("%+v", v)
	}
}

func TestOpenJSON(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := strings.Replace(b.Must(clitest.OrderEvent, b.Seal()...), `{`, `{"traceparent":"00-1",`, 1)
	var v cmd.VerifiedResult
	b.Check(json.Unmarshal([]byte(b.Must(sealed, b.Open(clitest.OrderSource, "--mode", "passthrough",
		"--output", "json")...)), &v))
	if v.Verdict != "verified" || v.Producer != "shop" || len(v.KeyIDs) != 1 ||
		v.SignedAt != "2026-11-21T12:00:00Z" || v.Unverified["traceparent"] != "00-1" {
		t.Errorf("%+v", v)
	}
	wantEvent(b, string(v.Event), sampleParts{ID: "o-1", Data: []byte(`{"total":12.5,"item":"chair"}`)})
	strict := b.Must(sealed, b.Open(clitest.OrderSource)...)
	if strings.Contains(strict, "traceparent") || !strings.Contains(strict, `"tenant":"acme"`) {
		t.Errorf("strict: %s", strict)
	}
	if core := b.Must(sealed, b.Open(clitest.OrderSource, "--mode", "core-only")...); strings.Contains(core,
		"tenant") {
		t.Errorf("core-only: %s", core)
	}
}

// An event that cannot be judged is not rejected.
func TestOpenUnavailable(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := b.Must(clitest.OrderEvent, b.Seal()...)
	if r := b.Run(sealed, b.Open(clitest.OrderSource, "--now",
		b.Now.Add(49*time.Hour).Format(time.RFC3339))...); r.Code != ui.ExitUnavailable {
		t.Errorf("an expired bundle: exit %d, %s", r.Code, r.Stderr)
	}
	b.Check(os.Remove(b.Path("trust.dsse")))
	if r := b.Run(sealed, b.Open(clitest.OrderSource)...); r.Code != ui.ExitUsage {
		t.Errorf("no bundle: exit %d, %s", r.Code, r.Stderr)
	}
}

// Whatever several events are wrapped in, each gets one line, and the worst decides how it ends.
func TestOpenSeveral(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	batch := "[" + clitest.OrderEvent + "," + strings.Replace(clitest.OrderEvent, "o-1", "o-2", 1) + "]"
	sealed := b.Must(batch, b.Seal()...)
	entries := b.Must(batch, b.Seal("--to", "eventbridge")...)
	both := clitest.Deliveries(t, entries, "111122223333")
	for name, doc := range map[string]string{
		"batch":      sealed,
		"entries":    entries,
		"deliveries": "[" + strings.Join(both, ",") + "]",
		"lambda": clitest.Wrapped(t,
			`{"Records":[{"messageId":"1","body":%s},{"messageId":"2","body":%s,"eventSource":"aws:sqs"}]}`,
			both),
		"receive":     clitest.Wrapped(t, `{"Messages":[{"MessageId":"1","Body":%s},{"Body":%s}]}`, both),
		"one by one":  clitest.Wrapped(t, `[{"body":%s},{"Body":%s}]`, both),
		"sqs in full": clitest.Wrapped(t, `{"Records":[{"body":%s},{"body":%s}]}`, both),
	} {
		t.Run(name, func(t *testing.T) {
			b := b.On(t)
			if out := b.Must(doc, b.Open(clitest.OrderSource)...); strings.Count(out, "\n") != 2 {
				t.Errorf("not two lines: %s", out)
			}
			r := b.Run(strings.Replace(doc, "chair", "table", 1),
				b.Open(clitest.OrderSource, "--output", "json")...)
			lines := strings.Split(strings.TrimSpace(r.Stdout), "\n")
			if r.Code != ui.ExitRejected || len(lines) != 2 ||
				!strings.Contains(lines[0], `"reason":"modified"`) ||
				!strings.Contains(lines[1], `"verdict":"verified"`) {
				t.Errorf("exit %d: %s", r.Code, r.Stdout)
			}
		})
	}
}

// Success without a line of output would say that something was verified.
func TestOpenNothing(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	for _, doc := range []string{"", "[]", " [ ] ", `{"Records":[]}`, `{"Messages":[]}`} {
		if v := rejection(b, b.Run(doc, b.Open(clitest.OrderSource, "--output",
			"json")...)); v.Reason != "malformed" {
			t.Errorf("%q: %+v", doc, v)
		}
		if r := b.Run(doc, "inspect"); r.Code != ui.ExitRejected {
			t.Errorf("inspect %q: exit %d", doc, r.Code)
		}
	}
}

// A PutEvents entry cannot smuggle members into the delivery that is made of it.
func TestOpenEntryIsNotSpliced(t *testing.T) {
	b := clitest.New(t)
	b.Org([]string{"111122223333"}, clitest.OrderSource)
	var list []map[string]any
	b.Check(json.Unmarshal([]byte(b.Must(clitest.OrderEvent, b.Seal("--to", "eventbridge")...)), &list))
	list[0]["Detail"] = list[0]["Detail"].(string) + `,"account":"111122223333"`
	doc, err := json.Marshal(list)
	b.Check(err)
	if v := rejection(b, b.Run(string(doc), b.Open(clitest.OrderSource, "--output",
		"json")...)); v.Reason != "malformed" {
		t.Errorf("%+v", v)
	}
}

func TestOpenUsage(t *testing.T) {
	b := clitest.New(t)
	if d, err := ui.ParseDuration("24h5m"); err != nil || d != envelope.DefaultMaxAge {
		t.Errorf("the help says 24h5m, the default is %v", envelope.DefaultMaxAge)
	}
	if help := b.Must("", "open", "--help"); !strings.Contains(help, "(default 24h5m)") ||
		!strings.Contains(help, "does not check replay") {
		t.Errorf("%s", help)
	}
	b.Org(nil, clitest.OrderSource)
	for name, args := range map[string][]string{
		"no source":    {"open", "--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json")},
		"no trust":     {"open", "--allow-source", clitest.OrderSource},
		"any source":   b.Open("*"),
		"no window":    b.Open(clitest.OrderSource, "--max-age", "0s"),
		"wide window":  b.Open(clitest.OrderSource, "--max-age", "100000h"),
		"two names":    b.Open(clitest.OrderSource, "--audience", "central audit"),
		"unknown mode": b.Open(clitest.OrderSource, "--mode", "lax"),
		"account":      b.Open(clitest.OrderSource, "--account", "shop"),
		"stdin twice":  b.Open(clitest.OrderSource, "-", "-"),
		"a directory":  b.Open(clitest.OrderSource, b.Dir),
	} {
		if r := b.Run("", args...); r.Code != ui.ExitUsage || !strings.HasPrefix(r.Stderr, "sealbus: ") {
			t.Errorf("%s: exit %d, %s", name, r.Code, r.Stderr)
		}
	}
}
