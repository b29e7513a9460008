package interop_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// webhookJob is a job of peers/webhooks.mjs, and webhookResult its result.
type webhookJob struct {
	Do      string            `json:"do"`
	Peer    string            `json:"peer"`
	Secrets []string          `json:"secrets"`
	ID      string            `json:"id,omitempty"`
	At      int64             `json:"at"` // seconds
	Target  string            `json:"target,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body"`
	Form    map[string]string `json:"form,omitempty"`
}

type webhookResult struct {
	Target   string            `json:"target"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Verified bool              `json:"verified"`
}

// webhookPeers does the jobs with the packages of the providers.
func webhookPeers(t *testing.T, jobs []webhookJob) []webhookResult {
	t.Helper()
	needPackages(t)
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	var out []webhookResult
	if err := json.Unmarshal(node(t, in, "peers/webhooks.mjs"), &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != len(jobs) {
		t.Fatalf("%d results of %d jobs", len(out), len(jobs))
	}
	return out
}

var webhookNow = time.Unix(1_790_000_000, 0)

// webhookSender is a provider with a package that signs. Its secrets have the form that the provider shows.
type webhookSender struct {
	name             string // of our provider, and of the peer in peers/webhooks.mjs
	old, next, wrong string
	isTimed          bool // the time is signed: 300 s both ways
	isList           bool // one delivery has a signature of each secret during a rotation
	form             map[string]string
}

const webhookBody = "{\"id\": \"evt_1\",\n \"state\":\"paid\", \"n\":1.50," +
	" \"text\":\"\u00fc \U0001f511 \\u00e9\"}\n"

var webhookForm = map[string]string{"Body": "paid & 100%+ \u00fc\n\U0001f511", "From": "+15550100",
	"Empty": "", "a.b-c_d~": "*'()!"}

var webhookSenders = map[string]webhookSender{
	"standardwebhooks": {name: "standardwebhooks", isTimed: true, isList: true, old: whsec(1), next: whsec(2),
		wrong: whsec(3)},
	"svix": {name: "svix", isTimed: true, isList: true, old: whsec(1), next: whsec(2), wrong: whsec(3)},
	"stripe": {name: "stripe", isTimed: true, isList: true, old: "whsec_old", next: "whsec_next",
		wrong: "whsec_wrong"},
	"@octokit/webhooks-methods": {name: "github", old: "old \u00fc", next: "next", wrong: "wrong"},
	"twilio, a form": {name: "twilio", old: "old", next: "next", wrong: "wrong",
		form: webhookForm},
	"twilio, JSON": {name: "twilio", old: "old", next: "next", wrong: "wrong"},
}

// whsec is a secret of Standard Webhooks. Its base64 has characters that base64url has not.
func whsec(i byte) string { return fmt.Sprintf("whsec_+/%030dA%d+/", 0, i) }

// signed are the deliveries that the package makes, by the secrets that signed them.
func (s *webhookSender) signed(t *testing.T) map[string]webhook.Request {
	t.Helper()
	by := map[string][]string{"old": {s.old}, "next": {s.next}}
	if s.isList {
		by["old and next"] = []string{s.old, s.next}
	}
	names := slices.Sorted(maps.Keys(by))
	jobs := make([]webhookJob, len(names))
	for i, name := range names {
		jobs[i] = webhookJob{Do: "sign", Peer: s.name, Secrets: by[name], ID: "msg_" + fmt.Sprint(i),
			At: webhookNow.Unix(), Target: "/hooks/in?a=1&b=%C3%BC%20", Body: webhookBody, Form: s.form}
	}
	out := map[string]webhook.Request{}
	for i, r := range webhookPeers(t, jobs) {
		request := webhook.Request{Method: "POST", Target: r.Target, Body: []byte(r.Body)}
		for name, value := range r.Headers {
			request.Header = append(request.Header, webhook.Field{Name: name, Value: value})
		}
		out[names[i]] = request
	}
	return out
}

// verify is the verdict of our verifier with these secrets: the ID of the key, or a Reason.
func (s *webhookSender) verify(
	t *testing.T, r webhook.Request, at time.Time, secrets []webhook.Secret,
) string {
	t.Helper()
	scheme, err := webhook.Provider(s.name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "interop", secrets,
		&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(t.Context(), r, at)
	if err != nil {
		return string(webhook.ReasonOf(err))
	}
	return got.KeyID
}

// TestWebhooksOfPeers has our verifier judge deliveries that the packages of the providers signed, during the
// rotation of a secret.
func TestWebhooksOfPeers(t *testing.T) {
	for name, sender := range webhookSenders {
		t.Run(name, func(t *testing.T) {
			for by, r := range sender.signed(t) {
				t.Run("signed by "+by, func(t *testing.T) { sender.judge(t, by, r) })
			}
		})
	}
}

// verdicts are the wanted ones on three deliveries: signed by the old secret, by the new one, and by both.
type verdicts struct{ old, next, both string }

func always(verdict string) verdicts { return verdicts{verdict, verdict, verdict} }

func (v verdicts) of(by string) string {
	return map[string]string{"old": v.old, "next": v.next, "old and next": v.both}[by]
}

// judge compares each verdict on a delivery that by signed.
func (s *webhookSender) judge(t *testing.T, by string, r webhook.Request) {
	const bad, ended = string(envelope.ReasonBadSignature), string(envelope.ReasonKeyNotValid)
	genuine := verdicts{"old", "next", "old"}
	late, early := always(string(envelope.ReasonExpired)), always(string(envelope.ReasonFromFuture))
	if !s.isTimed {
		late, early = genuine, genuine
	}
	old, next := webhook.Secret{ID: "old", Text: s.old}, webhook.Secret{ID: "next", Text: s.next}
	past := old
	past.NotAfter = webhookNow.Add(-time.Second)
	rotation, wrong := []webhook.Secret{old, next}, []webhook.Secret{{ID: "wrong", Text: s.wrong}}
	changed := r
	changed.Body = []byte(strings.Replace(string(r.Body), "paid", "pais", 1))
	for name, row := range map[string]struct {
		request webhook.Request
		at      time.Duration
		secrets []webhook.Secret
		want    verdicts
	}{
		"both secrets":             {r, 0, rotation, genuine},
		"the old secret":           {r, 0, rotation[:1], verdicts{"old", bad, "old"}},
		"the new secret":           {r, 0, rotation[1:], verdicts{bad, "next", "next"}},
		"the old one ended":        {r, 0, []webhook.Secret{past, next}, verdicts{ended, "next", "next"}},
		"only an ended one":        {r, 0, []webhook.Secret{past}, verdicts{ended, bad, ended}},
		"another secret":           {r, 0, wrong, always(bad)},
		"another body":             {changed, 0, rotation, always(bad)},
		"another body, a year old": {changed, 365 * 24 * time.Hour, rotation, always(bad)},
		"300 s late":               {r, 300 * time.Second, rotation, genuine},
		"301 s late":               {r, 301 * time.Second, rotation, late},
		"300 s early":              {r, -300 * time.Second, rotation, genuine},
		"301 s early":              {r, -301 * time.Second, rotation, early},
	} {
		if got := s.verify(t, row.request, webhookNow.Add(row.at), row.secrets); got != row.want.of(by) {
			t.Errorf("%s: %s, want %s", name, got, row.want.of(by))
		}
	}
}

// TestSignedWebhooksAtPeers has the packages of Standard Webhooks and Svix judge the headers that
// webhook.Sign makes with the old secret, the new one, and an Ed25519 key, which the packages pass over.
func TestSignedWebhooksAtPeers(t *testing.T) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	headers, err := webhook.Sign("msg_1", webhookNow.Add(time.Second/2), []byte(webhookBody),
		[]webhook.Secret{
			{ID: "ed25519", Text: "whsk_" + base64.StdEncoding.EncodeToString(private)},
			{ID: "old", Text: whsec(1)}, {ID: "next", Text: whsec(2)}})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, h := range headers {
		names[h.Name] = h.Value
	}
	changed := strings.Replace(webhookBody, "paid", "pais", 1)
	rows := []struct {
		name   string
		secret string
		body   string
		at     int64 // seconds after the signature
		want   bool
	}{
		{"the old secret", whsec(1), webhookBody, 0, true},
		{"the new secret", whsec(2), webhookBody, 0, true},
		{"another secret", whsec(3), webhookBody, 0, false},
		{"another body", whsec(1), changed, 0, false},
		{"300 s late", whsec(1), webhookBody, 300, true},
		{"301 s late", whsec(1), webhookBody, 301, false},
		{"300 s early", whsec(2), webhookBody, -300, true},
		{"301 s early", whsec(2), webhookBody, -301, false},
	}
	for _, peer := range []string{"standardwebhooks", "svix"} {
		t.Run(peer, func(t *testing.T) {
			jobs := make([]webhookJob, len(rows))
			for i, row := range rows {
				jobs[i] = webhookJob{Do: "verify", Peer: peer, Secrets: []string{row.secret}, Headers: names,
					At: webhookNow.Unix() + row.at, Body: row.body}
			}
			for i, r := range webhookPeers(t, jobs) {
				if r.Verified != rows[i].want {
					t.Errorf("%s: verified is %t", rows[i].name, r.Verified)
				}
			}
		})
	}
}
