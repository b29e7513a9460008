package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

const twilioToken = "12345"

// twilioSign is Twilio's signature of a text.
func twilioSign(text string) string {
	mac := hmac.New(sha1.New, []byte(twilioToken))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// twilioForm is a form to /in?a=1, whose parameters are in the order of the signature.
func twilioForm(body string) webhook.Request {
	text := strings.NewReplacer("=", "", "&", "").Replace(body)
	return webhook.Request{Method: "POST", Target: "/in?a=1", Body: []byte(body), Header: []webhook.Field{
		{Name: "Content-Type", Value: "application/x-www-form-urlencoded; charset=UTF-8"},
		{Name: "X-Twilio-Signature", Value: twilioSign("https://a.example/in?a=1" + text)}}}
}

// twilioJSON is a JSON delivery.
func twilioJSON(body string) webhook.Request {
	sum := sha256.Sum256([]byte(body))
	target := "/in?a=1&bodySHA256=" + hex.EncodeToString(sum[:])
	return webhook.Request{Method: "POST", Target: target, Body: []byte(body), Header: []webhook.Field{
		{Name: "Content-Type", Value: "application/json"},
		{Name: "X-Twilio-Signature", Value: twilioSign("https://a.example" + target)}}}
}

func twilioVerifier(t testing.TB, base string) *webhook.Verifier {
	return verifier(t, "twilio", []webhook.Secret{{ID: "old", Text: "other"}, {ID: "new", Text: twilioToken}},
		webhook.SchemeOptions{BaseURL: base})
}

var twilioAt = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func TestTwilioRefusesAForm(t *testing.T) {
	sound := twilioForm("Body=hi&From=15&To=16")
	secrets := []string{twilioToken, *header(t, &sound, "X-Twilio-Signature")}
	refuses(t, twilioVerifier(t, "https://a.example"), sound, twilioAt, secrets, append(
		base64Header(t, "X-Twilio-Signature"), []defect{
			{"another body", func(r *webhook.Request) { r.Body = []byte("Body=ho&From=15&To=16") },
				"bad_signature"},
			{"added parameter", func(r *webhook.Request) { r.Body = append(r.Body, "&Z=1"...) },
				"bad_signature"},
			{"parameter of the form twice", func(r *webhook.Request) { r.Body = append(r.Body, "&To=16"...) },
				"malformed"},
			{"duplicate query parameter", func(r *webhook.Request) { r.Target += "&a=1" }, "malformed"},
			{"duplicate query parameter, escaped", func(r *webhook.Request) { r.Target += "&%61=2" },
				"malformed"},
			{"another path", func(r *webhook.Request) { r.Target = "/out?a=1" }, "bad_signature"},
			{"no target", func(r *webhook.Request) { r.Target = "" }, "malformed"},
			{"absolute target", func(r *webhook.Request) { r.Target = "https://a.example/in?a=1" },
				"malformed"},
			{"fragment", func(r *webhook.Request) { r.Target += "#x" }, "malformed"},
			{"semicolon", func(r *webhook.Request) { r.Body = append(r.Body, ";Z=1"...) }, "malformed"},
			{"broken escape", func(r *webhook.Request) { r.Body = append(r.Body, "%zz"...) }, "malformed"},
			{"too many parameters", func(r *webhook.Request) {
				r.Body = []byte(strings.Repeat("a&", 1000) + "b")
			}, "too_large"},
			{"no form", func(r *webhook.Request) { *header(t, r, "Content-Type") = "text/plain" },
				"unsigned"},
			{"no content type", func(r *webhook.Request) { without(r, "Content-Type") }, "unsigned"},
			{"second content type", func(r *webhook.Request) {
				r.Header = append(r.Header, webhook.Field{Name: "content-type", Value: "text/plain"})
			}, "malformed"},
			{"two IDs in one", func(r *webhook.Request) {
				r.Header = append(r.Header, webhook.Field{Name: "I-Twilio-Idempotency-Token", Value: "a,b"})
			}, "malformed"},
			{"HMAC-SHA256 of a shared key", func(r *webhook.Request) {
				*header(t, r, "X-Twilio-Signature") = base64Of(hmacOf(twilioToken,
					"https://a.example/in?a=1"))
				r.Header = append(r.Header, webhook.Field{Name: "X-Twilio-Webhooks-Signature-Settings",
					Value: "key=k,algorithm=HMAC_SHA256"})
			}, "unsupported"},
			{"forwarded host", func(r *webhook.Request) {
				r.Header = append(r.Header, webhook.Field{Name: "X-Forwarded-Host", Value: "b.example"})
				*header(t, r, "X-Twilio-Signature") = twilioSign("https://b.example/in?a=1BodyhiFrom15To16")
			}, "bad_signature"},
		}...))
}

func TestTwilioRefusesJSON(t *testing.T) {
	sound := twilioJSON(`{"a": 1}`)
	hash := sound.Target[len("/in?a=1&bodySHA256="):]
	sign := func(t *testing.T, r *webhook.Request, target string) {
		r.Target = target
		*header(t, r, "X-Twilio-Signature") = twilioSign("https://a.example" + target)
	}
	refuses(t, twilioVerifier(t, "https://a.example"), sound, twilioAt, []string{twilioToken}, []defect{
		{"another body", func(r *webhook.Request) { r.Body = []byte(`{"a": 2}`) }, "bad_signature"},
		{"body that is not the raw body", func(r *webhook.Request) { r.Body = []byte(`{"a":1}`) },
			"bad_signature"},
		{"duplicate bodySHA256", func(r *webhook.Request) { sign(t, r, sound.Target+"&bodySHA256="+hash) },
			"malformed"},
		{"second bodySHA256, escaped", func(r *webhook.Request) {
			sign(t, r, sound.Target+"&body%53HA256="+hash)
		}, "malformed"},
		{"no bodySHA256", func(r *webhook.Request) { sign(t, r, "/in?a=1") }, "unsigned"},
		{"upper-case bodySHA256", func(r *webhook.Request) {
			sign(t, r, "/in?a=1&bodySHA256="+strings.ToUpper(hash))
		}, "malformed"},
		{"short bodySHA256", func(r *webhook.Request) { sign(t, r, "/in?a=1&bodySHA256="+hash[:62]) },
			"malformed"},
		{"empty bodySHA256", func(r *webhook.Request) { sign(t, r, "/in?a=1&bodySHA256=") }, "malformed"},
		{"no body", func(r *webhook.Request) { r.Body = nil }, "bad_signature"},
		{"10 MiB body", func(r *webhook.Request) { r.Body = make([]byte, 10<<20) }, "too_large"},
	})
}

// TestTwilioTriesTheURLWithAndWithoutThePort: Twilio signs one of both forms.
func TestTwilioTriesTheURLWithAndWithoutThePort(t *testing.T) {
	for _, c := range []struct {
		base, signed string
		want         bool
	}{
		{"https://a.example", "https://a.example", true},
		{"https://a.example", "https://a.example:443", true},
		{"https://a.example:443", "https://a.example", true},
		{"https://a.example:8443", "https://a.example:8443", true},
		{"https://a.example:8443", "https://a.example", true},
		{"http://a.example", "http://a.example:80", true},
		{"https://[::1]:8443", "https://[::1]", true},
		{"https://a.example:8443", "https://a.example:443", false},
		{"https://a.example", "https://a.example:8443", false},
		{"https://a.example", "http://a.example", false},
	} {
		r := webhook.Request{Method: "GET", Target: "/in", Header: []webhook.Field{
			{Name: "x-twilio-signature", Value: twilioSign(c.signed + "/in")}}}
		got, err := twilioVerifier(t, c.base).Verify(context.Background(), r, twilioAt)
		if c.want && (err != nil || got.KeyID != "new") || !c.want &&
			webhook.ReasonOf(err) != "bad_signature" {
			t.Errorf("%s, %s: %v", c.base, c.signed, err)
		}
	}
}

// TestTwilioSecretOutOfItsDates: the secret is known, and no longer valid.
func TestTwilioSecretOutOfItsDates(t *testing.T) {
	v := verifier(t, "twilio", []webhook.Secret{{Text: twilioToken, NotAfter: twilioAt}},
		webhook.SchemeOptions{BaseURL: "https://a.example"})
	if _, err := v.Verify(context.Background(), twilioForm("A=1"), twilioAt); err != nil {
		t.Error(err)
	}
	_, err := v.Verify(context.Background(), twilioForm("A=1"), twilioAt.Add(time.Second))
	if webhook.ReasonOf(err) != "key_not_valid" {
		t.Error(err)
	}
}

// TestTwilioMovedBorderHasTheSameReplayKey: Twilio does not mark where a name ends, so the signature of a
// moved border is genuine. It is recognised as a copy all the same.
func TestTwilioMovedBorderHasTheSameReplayKey(t *testing.T) {
	v := twilioVerifier(t, "https://a.example")
	sound := twilioForm("Body=hi&To=16")
	moved := clone(sound)
	moved.Body = []byte("Bodyhi=&To=16")
	var keys []webhook.Replay
	for _, r := range []webhook.Request{sound, moved} {
		r.Header = append(r.Header, webhook.Field{Name: "I-Twilio-Idempotency-Token",
			Value: string(r.Body[:5])})
		got, err := v.Verify(context.Background(), r, twilioAt)
		if err != nil {
			t.Fatal(err)
		}
		if id, signed := got.ID(); id == "" || signed {
			t.Errorf("%q is signed: %t", id, signed)
		}
		keys = append(keys, got.Replay())
	}
	if keys[0] != keys[1] || keys[0].Until != twilioAt.Add(webhook.RememberFor) {
		t.Error(keys)
	}
}
