package webhook_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// signedBody is a delivery of a provider of the common table with that body.
func signedBody(t testing.TB, provider, body string) (*webhook.Verifier, webhook.Request, time.Time) {
	t.Helper()
	for _, s := range subjects(t) {
		if s.provider == provider {
			d := s.delivery()
			d.body = body
			return s.verifier(t, s.secret), s.send(d), s.at
		}
	}
	t.Fatal("no provider", provider)
	return nil, webhook.Request{}, time.Time{}
}

func TestChallengesAreAnswered(t *testing.T) {
	zoomMAC := hexMAC("a secret", "qgg8vlvZRS6UYooatFL8Aw")
	for _, c := range []struct {
		name, provider, body, want string // "" = it is a delivery
		status                     int
	}{
		{"slack", "slack", `{"token":"x","challenge":"3eZbrw1a\"<b>","type":"url_verification"}`,
			`{"challenge":"3eZbrw1a\"<b>"}`, 200},
		{"slack event", "slack",
			`{"type":"event_callback","event":{"text":"url_verification","challenge":"x"}}`, "", 0},
		{"slack event that quotes a challenge", "slack",
			`{"type":"event_callback","challenge":"url_verification"}`, "", 0},
		{"slack without a challenge", "slack", `{"type":"url_verification"}`, "", 0},
		{"slack, form", "slack", `type=url_verification&challenge=x`, "", 0},
		{"slack, two types", "slack", `{"type":"event_callback","type":"url_verification","challenge":"x"}`,
			"", 0},
		{"zoom", "zoom",
			`{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1,"event":"endpoint.url_validation"}`,
			`{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"` + zoomMAC + `"}`, 200},
		{"zoom event", "zoom",
			`{"event":"meeting.started","payload":{"plainToken":"endpoint.url_validation"}}`, "", 0},
		{"zoom, the token is a signed text", "zoom",
			`{"payload":{"plainToken":"v0:1700000000:{}"},"event":"endpoint.url_validation"}`, "", 0},
		{"zoom, long token", "zoom", `{"payload":{"plainToken":"` + strings.Repeat("a", 257) +
			`"},"event":"endpoint.url_validation"}`, "", 0},
		{"discord", "discord", `{"type":1,"id":"1","user":{"type":2}}`, `{"type":1}`, 200},
		{"discord, ping of webhook events", "discord", `{"version":1,"application_id":"1","type":0}`, "",
			204},
		{"discord, webhook event", "discord", `{"version":1,"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}`,
			"", 0},
		{"discord, command", "discord", `{"type":2,"data":{"type":1}}`, "", 0},
		{"discord, type as text", "discord", `{"type":"1"}`, "", 0},
		{"discord, two types", "discord", `{"type":2,"type":1}`, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, r, at := signedBody(t, c.provider, c.body)
			got, err := v.Verify(context.Background(), r, at)
			switch {
			case err != nil:
				t.Fatal(err)
			case c.status == 0:
				if got.Answer != nil {
					t.Errorf("answered: %+v", got.Answer)
				}
			case got.Answer == nil || got.Answer.Status != c.status || string(got.Answer.Body) != c.want ||
				got.Answer.ContentType != "application/json" || got.Answer.Confirm != nil:
				t.Errorf("%+v", got.Answer)
			case c.want != "" && !json.Valid(got.Answer.Body):
				t.Errorf("%s", got.Answer.Body)
			}
		})
	}
}

// TestChallengeWithoutASignatureIsNotAnswered: neither with a wrong signature, nor with an old one.
func TestChallengeWithoutASignatureIsNotAnswered(t *testing.T) {
	for provider, body := range map[string]string{
		"slack":   `{"challenge":"x","type":"url_verification"}`,
		"zoom":    `{"payload":{"plainToken":"x"},"event":"endpoint.url_validation"}`,
		"discord": `{"type":1}`,
	} {
		v, sound, at := signedBody(t, provider, body)
		forged := clone(sound)
		forged.Body = append(forged.Body, ' ')
		for _, c := range []struct {
			r    webhook.Request
			at   time.Time
			want envelope.Reason
		}{{forged, at, "bad_signature"}, {sound, at.Add(time.Hour), "expired"}, {sound, at.Add(-time.Hour),
			"from_future"}} {
			if got, err := v.Verify(context.Background(), c.r, c.at); webhook.ReasonOf(err) != c.want ||
				got != nil {
				t.Error(provider, got, err)
			}
		}
	}
}

// TestDiscordPingOfAnotherKey is how Discord tests an endpoint: it sends wrong signatures, too.
func TestDiscordPingOfAnotherKey(t *testing.T) {
	v, r, at := signedBody(t, "discord", `{"type":1}`)
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signature := ed25519.Sign(other, []byte(strconv.FormatInt(at.Unix(), 10)+`{"type":1}`))
	*header(t, &r, "X-Signature-Ed25519") = hex.EncodeToString(signature)
	if _, err := v.Verify(context.Background(), r, at); webhook.ReasonOf(err) != "bad_signature" {
		t.Error(err)
	}
}

func TestSNSSubscriptionIsConfirmed(t *testing.T) {
	w := soundSNS(t)
	r := snsConfirmation("SubscriptionConfirmation").signed(t, 0)
	got, err := w.verifier(t).Verify(context.Background(), r, certAt)
	if err != nil {
		t.Fatal(err)
	}
	if got.Answer == nil || got.Answer.Status != 200 || got.Answer.Confirm == nil ||
		got.Type() != "SubscriptionConfirmation" {
		t.Fatalf("%+v", got.Answer)
	}
	if w.count() != 1 {
		t.Fatal("Verify has an effect outside:", w.asked)
	}
	const address = snsHost + "?Action=ConfirmSubscription&Token=2336412f37fb&TopicArn=" +
		"arn%3Aaws%3Asns%3Aeu-west-1%3A123456789012%3Aorders"
	for _, status := range []int{500, 302, 403} {
		w.serve(address, status, []byte("<ConfirmSubscriptionResponse/>"))
		if err := got.Answer.Confirm(context.Background()); webhook.ReasonOf(err) != "trust_unavailable" {
			t.Error(status, err)
		}
	}
	w.serve(address, 200, []byte("<ConfirmSubscriptionResponse/>"))
	if err := got.Answer.Confirm(context.Background()); err != nil {
		t.Error(err)
	}
	for _, asked := range w.asked[1:] {
		if asked != address {
			t.Error("asked", asked)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	w.answers[address] = nil
	if err := got.Answer.Confirm(ended); webhook.ReasonOf(err) != "trust_unavailable" || !errors.Is(err,
		errNoHost) {
		t.Error(err)
	}
}

// TestSNSSubscribeURLThatLeadsElsewhereIsRefused, although the signature is genuine.
func TestSNSSubscribeURLThatLeadsElsewhereIsRefused(t *testing.T) {
	w := soundSNS(t)
	v := w.verifier(t)
	const query = "?Action=ConfirmSubscription&TopicArn=" + snsTopic + "&Token=2336412f37fb"
	for name, address := range map[string]string{
		"http":             "http://sns.eu-west-1.amazonaws.com/" + query,
		"another host":     "https://evil.example/" + query,
		"host as a prefix": "https://sns.eu-west-1.amazonaws.com.evil.example/" + query,
		"user information": "https://sns.eu-west-1.amazonaws.com@evil.example/" + query,
		"port":             "https://sns.eu-west-1.amazonaws.com:443/" + query,
		"another region":   "https://sns.eu-west-2.amazonaws.com/" + query,
		"path":             snsHost + "x" + query,
		"another action":   snsHost + strings.Replace(query, "ConfirmSubscription", "Unsubscribe", 1),
		"another topic":    snsHost + strings.Replace(query, ":orders", ":others", 1),
		"another token":    snsConfirm + "x",
		"a second action":  snsConfirm + "&Action=Publish",
		"another member":   snsConfirm + "&AuthenticateOnUnsubscribe=true",
		"fragment":         snsConfirm + "#x",
		"no query":         snsHost,
		"empty":            "",
		"semicolons":       snsHost + strings.ReplaceAll(query, "&", ";"),
	} {
		m := snsConfirmation("SubscriptionConfirmation")
		m["SubscribeURL"] = address
		got, err := v.Verify(context.Background(), m.signed(t, 0), certAt)
		if webhook.ReasonOf(err) != "malformed" || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, m := range map[string]snsFields{
		"empty token": {"Token": "", "SubscribeURL": strings.Replace(snsConfirm, "2336412f37fb", "", 1)},
	} {
		full := snsConfirmation("SubscriptionConfirmation")
		full["Token"], full["SubscribeURL"] = m["Token"], m["SubscribeURL"]
		if _, err := v.Verify(context.Background(), full.signed(t, 0),
			certAt); webhook.ReasonOf(err) != "malformed" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.count() != 1 {
		t.Error(w.asked)
	}
}

// TestSNSSubscriptionIsNotConfirmedFor another topic, for a forgery, or for an old message; nor is the end
// of one followed.
func TestSNSSubscriptionIsNotConfirmedFor(t *testing.T) {
	w := soundSNS(t)
	v := w.verifier(t)
	topic := snsConfirmation("SubscriptionConfirmation")
	topic["TopicArn"] = "arn:aws:sns:eu-west-1:210987654321:orders"
	topic["SubscribeURL"] = strings.Replace(snsConfirm, snsTopic, topic["TopicArn"], 1)
	for _, c := range []struct {
		r    webhook.Request
		at   time.Time
		want envelope.Reason
	}{
		{topic.signed(t, 0), certAt, "source_not_allowed"},
		{snsConfirmation("SubscriptionConfirmation").signed(t, 1), certAt, "bad_signature"},
		{snsConfirmation("SubscriptionConfirmation").signed(t, 0), certAt.Add(2 * time.Hour), "expired"},
	} {
		if got, err := v.Verify(context.Background(), c.r, c.at); webhook.ReasonOf(err) != c.want ||
			got != nil {
			t.Error(got, err)
		}
	}
	got, err := v.Verify(context.Background(), snsConfirmation("UnsubscribeConfirmation").signed(t, 0),
		certAt)
	if err != nil || got.Answer != nil || got.Type() != "UnsubscribeConfirmation" {
		t.Error(got, err)
	}
	if w.count() != 1 {
		t.Error(w.asked)
	}
}
