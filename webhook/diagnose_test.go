package webhook_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

// endpoint is a Verifier of that provider.
func endpoint(t testing.TB, provider, name, secret, base string) *webhook.Verifier {
	t.Helper()
	scheme, err := webhook.Provider(provider)
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, name, []webhook.Secret{{ID: name + "-key", Text: secret}},
		&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: base}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	secretA = "first secret of the tests"
	secretB = "second secret of the tests"
)

// TestDiagnoseFindsChangedBodies: the signature is over the original, and a program on the way changed it.
func TestDiagnoseFindsChangedBodies(t *testing.T) {
	v := endpoint(t, "github", "a", secretA, "")
	for name, c := range map[string][2]string{ // the original, and what arrived
		"(compact)":                            {`{"b":1,"a":[2]}`, `{ "b": 1, "a": [ 2 ] }`},
		"(two spaces)":                         {"{\n  \"b\": 1\n}", `{"b":1}`},
		"(four spaces)":                        {"{\n    \"b\": 1\n}", `{"b":1}`},
		"(members sorted)":                     {`{"a":2,"b":1}`, `{"b":1,"a":2}`},
		"(a space after each colon and comma)": {`{"b": 1, "a": ["x,:\",", 2]}`, `{"b":1,"a":["x,:\",",2]}`},
		"removing the line break":              {"text", "text\n"},
		"adding a line break":                  {"text\n", "text"},
		"changing CR LF into LF":               {"a\nb", "a\r\nb"},
		"changing LF into CR LF":               {"a\r\nb\r\n", "a\nb\n"},
		"removing the byte order mark":         {"{}", "\xef\xbb\xbf{}"},
	} {
		r := githubRequest(t, secretA, c[0])
		r.Body = []byte(c[1])
		found := v.Diagnose(t.Context(), r, receiveStart)
		if len(found) != 1 || !strings.Contains(found[0], name) {
			t.Errorf("%s: %q", name, found)
		}
		if string(r.Body) != c[1] {
			t.Errorf("%s: the body was changed", name)
		}
	}
}

func githubRequest(t testing.TB, secret, body string) webhook.Request {
	return webhook.Request{Method: "POST", Target: "/", Body: []byte(body), Header: []webhook.Field{
		{Name: "X-Hub-Signature-256", Value: "sha256=" + hex.EncodeToString(hmacOf(secret, body))},
	}}
}

// TestDiagnoseFindsTheCause of other refusals, and shows no secret.
func TestDiagnoseFindsTheCause(t *testing.T) {
	a, b := endpoint(t, "github", "a", secretA, ""), endpoint(t, "github", "b", secretB, "")
	slack := endpoint(t, "slack", "s", secretA, "")
	late := receiveStart.Add(9 * time.Minute)
	signedTime := "1796040000" // receiveStart
	slackRequest := webhook.Request{Method: "POST", Target: "/", Body: []byte("x=1"), Header: []webhook.Field{
		{Name: "X-Slack-Request-Timestamp", Value: signedTime},
		{
			Name:  "X-Slack-Signature",
			Value: "v0=" + hex.EncodeToString(hmacOf(secretA, "v0:"+signedTime+":x=1")),
		},
	}}
	square := endpoint(t, "square", "q", secretA, "https://hooks.example")
	squareRequest := func(url string) webhook.Request {
		return webhook.Request{Method: "POST", Target: "/square", Body: []byte("{}"), Header: []webhook.Field{
			{Name: "X-Square-Hmacsha256-Signature", Value: base64Of(hmacOf(secretA, url+"{}"))},
			{Name: "X-Forwarded-Host", Value: "public.example"},
		}}
	}
	for name, c := range map[string]struct {
		v    *webhook.Verifier
		r    webhook.Request
		at   time.Time
		also []*webhook.Verifier
		want string // "" = nothing is found
	}{
		"sound": {a, githubRequest(t, secretA, "{}"), late, nil, ""},
		"forged": {a, githubRequest(t, "a forger's", "{}"), late,
			[]*webhook.Verifier{nil, a, b}, ""},
		"secret of endpoint B": {a, githubRequest(t, secretB, "{}"), late, []*webhook.Verifier{a, b},
			`the secret "b-key" of the endpoint "b"`},
		"B is not asked": {a, githubRequest(t, secretB, "{}"), late, nil, ""},
		"old": {slack, slackRequest, late, nil,
			"its clock differs by 9 minutes (behind)"},
		"new": {slack, slackRequest, receiveStart.Add(-400 * time.Second), nil,
			"differs by 7 minutes (ahead)"},
		"hours": {slack, slackRequest, receiveStart.Add(5 * time.Hour), nil,
			"differs by 5 hours (behind)"},
		"days": {slack, slackRequest, receiveStart.Add(100 * time.Hour), nil,
			"differs by 4 days (behind)"},
		"another header": {a, slackRequest, receiveStart, nil,
			"the signature of another provider's header: X-Slack-Signature (slack)"},
		"another header, known": {a, slackRequest, receiveStart, []*webhook.Verifier{slack},
			"X-Slack-Signature (slack)"},
		"no header": {a, webhook.Request{Method: "POST"}, receiveStart, nil, ""},
		"http": {square, squareRequest("http://hooks.example/square"), late, nil,
			`"http://hooks.example/square"`},
		"the address of a proxy": {square, squareRequest("https://public.example/square"), late, nil,
			`"https://public.example/square"`},
		"a slash at the end": {square, squareRequest("https://hooks.example/square/"), late, nil,
			`"https://hooks.example/square/"`},
		"an address not tried": {square, squareRequest("https://other.example/square"), late, nil, ""},
		"the address as it is": {square, squareRequest("https://hooks.example/square"), late, nil, ""},
		"endpoint of a provider": {square, githubRequest(t, secretA, "{}"), late, nil,
			"X-Hub-Signature-256 (github)"},
		"signature of Go's": {a,
			webhook.Request{Header: []webhook.Field{{Name: "x-twilio-signature",
				Value: "x"}}}, late, nil, "X-Twilio-Signature (twilio)"},
		"the other's time is old": {a, slackRequest, late, []*webhook.Verifier{slack},
			"X-Slack-Signature (slack)"},
	} {
		before, err := c.v.Verify(t.Context(), c.r, c.at)
		found := c.v.Diagnose(t.Context(), c.r, c.at, c.also...)
		text := strings.Join(found, "\n")
		if (c.want == "") != (found == nil) || !strings.Contains(text, c.want) {
			t.Errorf("%s (%v): %q, want %q", name, err, found, c.want)
		}
		if strings.Contains(text, secretA) || strings.Contains(text, secretB) {
			t.Errorf("%s: it shows a secret: %q", name, found)
		}
		if after, again := c.v.Verify(t.Context(), c.r, c.at); (after == nil) != (before == nil) ||
			webhook.ReasonOf(again) != webhook.ReasonOf(err) {
			t.Errorf("%s: the verdict changed from %v to %v", name, err, again)
		}
	}
}

// TestRecordsRoundTrip: what AppendRecord writes, ParseRecord reads, and it is one JSON object.
func TestRecordsRoundTrip(t *testing.T) {
	for _, body := range []string{"", "{}", "\x00\xff binary", strings.Repeat("x", 1<<16)} {
		want := signedAs("größe,\"1\"", []byte(body), receiveStart)
		want.Target = "/hooks/a%2Fb?x=%31&x="
		at := receiveStart.Add(123456789)
		doc, err := webhook.AppendRecord([]byte(" "), want, at)
		if err != nil {
			t.Fatal(err)
		}
		got, received, err := webhook.ParseRecord(doc)
		if err != nil || !received.Equal(at) || got.Method != want.Method || got.Target != want.Target ||
			!bytes.Equal(got.Body, want.Body) || len(got.Header) != len(want.Header) {
			t.Fatalf("%s: %+v %v %v", doc, got, received, err)
		}
		for i := range got.Header {
			if got.Header[i] != want.Header[i] {
				t.Errorf("header line %d is %v, want %v", i, got.Header[i], want.Header[i])
			}
		}
		if !json.Valid(doc) {
			t.Errorf("%s is no JSON", doc)
		}
	}
}

// TestRecordsRefuse what could be read in two ways, and what they cannot hold.
func TestRecordsRefuse(t *testing.T) {
	const sound = `{"received":"2026-11-30T05:00:00Z","method":"POST","target":"/",` +
		`"header":[["A","b"]],"body":"e30="}`
	if _, _, err := webhook.ParseRecord([]byte(sound)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"method":"POST",`, ``}, {`"method"`, `"Method"`}, {`"body"`, `"target"`}, {`"e30="`, `"e30"`},
		{`"e30="`, `"e31="`}, {`"e30="`, `null`}, {`["A","b"]`, `["A"]`}, {`["A","b"]`, `["A","b","c"]`},
		{`[["A","b"]]`, `null`}, {`2026-11-30T05:00:00Z`, `2026-11-30`}, {`2026-11-30T05:00:00Z`,
			`0001-01-01T00:00:00Z`},
		{`["A","b"]`, strings.Repeat(`["A","b"],`, webhook.MaxHeaders) + `["A","b"]`}, {`"POST"`, `1`},
		{`"}`, `"} ` + "x"}, {`"}`, `","x":1}`},
	} {
		doc := strings.Replace(sound, change[0], change[1], 1)
		if r, _, err := webhook.ParseRecord([]byte(doc)); err == nil || r.Method != "" || doc == sound {
			t.Errorf("%.200s was read", doc)
		}
	}
	for _, r := range []webhook.Request{{Method: "\xff"}, {Target: "\xff"},
		{Header: []webhook.Field{{Name: "\xff"}}}, {Header: []webhook.Field{{Value: "\xff"}}}} {
		if doc, err := webhook.AppendRecord([]byte("x"), r, receiveStart); err == nil || string(doc) != "x" {
			t.Errorf("%q was written: %s", r, doc)
		}
	}
}

// FuzzRecord: what is read is written and read again as the same.
func FuzzRecord(f *testing.F) {
	needCorpus(f, "FuzzRecord")
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, at, err := webhook.ParseRecord(doc)
		if err != nil {
			if r.Method != "" || r.Body != nil || r.Header != nil {
				t.Error("a record that was refused is a return value")
			}
			return
		}
		again, err := webhook.AppendRecord(nil, r, at)
		if err != nil {
			t.Fatal(err)
		}
		r2, at2, err := webhook.ParseRecord(again)
		if err != nil || !at.Equal(at2) || r2.Target != r.Target || !bytes.Equal(r2.Body, r.Body) ||
			len(r2.Header) != len(r.Header) {
			t.Errorf("%s became %s: %v", doc, again, err)
		}
	})
}
