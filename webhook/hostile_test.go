package webhook_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// TestAPublicKeyIsNoSecretOfAnHMAC: everyone knows a public key. In a recipe with several ways it would
// otherwise be the secret of the way with HMAC.
func TestAPublicKeyIsNoSecretOfAnHMAC(t *testing.T) {
	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	v1a := strings.Replace(editedText(t, migrating, `"v1,"`, `"v1a,"`), `"whsec"`, `"whpk"`, 1)
	v1a = editedText(t, v1a, `{"prefix": "v1a,", "encoding": "base64", "algorithm": "hmac-sha256"`,
		`{"prefix": "v1a,", "encoding": "base64", "algorithm": "ed25519"`)
	scheme, err := webhook.ParseRecipe([]byte(v1a))
	if err != nil {
		t.Fatal(err)
	}
	text := "whpk_" + base64.StdEncoding.EncodeToString(public)
	v, err := webhook.New(scheme, "in", []webhook.Secret{{Text: text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := post(jsonBody, "X-Acme-Hmac", b64MAC(text, jsonBody), "X-Acme-Delivery", "d1")
	if got := reason(t, v, forged, now); got != envelope.ReasonBadSignature {
		t.Errorf("signed with the public key: %q", got)
	}
	for _, form := range []string{"hex", "base64"} {
		found := fmt.Sprint(webhook.Lint([]byte(editedText(t, v1a, `"whpk"`, `"`+form+`"`))))
		if !strings.Contains(found, "everyone knows") {
			t.Errorf("a way with HMAC beside a public key as %s: %s", form, found)
		}
	}
	github, err := webhook.Provider("github")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := webhook.New(github, "in", []webhook.Secret{{Text: text}}, nil); err == nil {
		t.Error("a public key is taken for a secret of GitHub")
	}
}

func editedText(t testing.TB, doc, old, with string) string { return string(edited(t, doc, old, with)) }

// TestTheSignedStringOfOneWayIsNoBodyOfAnother: both ways have one secret. The captured delivery would pass
// again, with another replay key, as a body that the provider never sent.
func TestTheSignedStringOfOneWayIsNoBodyOfAnother(t *testing.T) {
	doc := editedText(t, migrating, `"secret": "whsec"`, `"secret": "text"`)
	scheme, err := webhook.ParseRecipe([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "in", []webhook.Secret{{Text: "s"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := "1." + fmt.Sprint(now.Unix()) + "."
	captured := post(jsonBody, "webhook-signature", "v1,"+b64MAC("s", text+jsonBody), "webhook-id", "1",
		"webhook-timestamp", fmt.Sprint(now.Unix()))
	if got := reason(t, v, captured, now); got != "" {
		t.Fatal(got)
	}
	for _, body := range []string{text + jsonBody, "", "1", `{"a":1}.1`} {
		moved := post(body, "X-Acme-Hmac", b64MAC("s", body))
		if got := reason(t, v, moved, now); got != envelope.ReasonMalformed {
			t.Errorf("%q: %q", body, got)
		}
	}
}

// untils records what is to be remembered up to when.
type untils struct {
	replay.Store
	all []time.Time
}

func (s *untils) Claim(ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration) (
	replay.Claim, replay.Status, error,
) {
	s.all = append(s.all, until)
	return s.Store.Claim(ctx, key, digest, until, lease)
}

// TestADeliveryFromAQueueIsRemembered for as long as a queue may deliver it again, because it is judged as of
// its arrival each time, and so never becomes stale.
func TestADeliveryFromAQueueIsRemembered(t *testing.T) {
	w := newReceiving(t)
	store := &untils{Store: w.store.Store}
	w.store.Store = store
	w.clock.Advance(time.Minute)
	r := signedAs("", []byte("{}"), receiveStart)
	for range 2 {
		if resp := w.receiver().Receive(t.Context(), r, receiveStart); resp.Status != 200 {
			t.Fatal(resp)
		}
		w.clock.Advance(time.Hour)
	}
	if want := receiveStart.Add(time.Minute + webhook.RememberFor); store.all[0].Before(want) {
		t.Errorf("remembered up to %v, want %v", store.all[0], want)
	}
	if len(w.handled) != 1 {
		t.Errorf("handled %d times", len(w.handled))
	}
}

// TestSNSInProgressIsSentAgain: Amazon SNS takes a 4xx for final, and the worker at it may fail.
func TestSNSInProgressIsSentAgain(t *testing.T) {
	w := newReceiving(t)
	sns := soundSNS(t)
	r := snsNotification().signed(t, 0)
	at := time.Date(2026, 6, 1, 12, 0, 1, 0, time.UTC)
	var c *webhook.Receiver
	w.opts.Now = func() time.Time { return at }
	var second webhook.Response
	next := func(ctx context.Context, _ *webhook.Verified) error {
		second = c.Receive(ctx, r, time.Time{})
		return context.Canceled
	}
	c, err := webhook.NewReceiver(sns.verifier(t), replay.NewMemory(nil), next, &w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if first := c.Receive(t.Context(), r, time.Time{}); first.Status != 503 {
		t.Errorf("first: %d %v", first.Status, first.Err)
	}
	if second.Status != 503 || second.Reason != envelope.ReasonInProgress {
		t.Errorf("second: %d %v", second.Status, second.Err)
	}
	w.opts.Limit = func(time.Time) time.Duration { return time.Second }
	if c, err = webhook.NewReceiver(sns.verifier(t), replay.NewMemory(nil), next, &w.opts); err != nil {
		t.Fatal(err)
	}
	third := c.Receive(t.Context(), r, time.Time{})
	if third.Status != 503 || headerOf(third, "Retry-After") != "1" {
		t.Errorf("over the limit: %d %v", third.Status, third.Err)
	}
}

// TestNoErrorHasTheAddressOfAReceiver: it may have a token in its query (CloudEvents Web Hooks, section 3.2).
func TestNoErrorHasTheAddressOfAReceiver(t *testing.T) {
	const address = "https://a.example/in?access_token=s3cr3t"
	down := errors.New("down")
	fails := func(*http.Request) (*http.Response, error) { return nil, down }
	client := &http.Client{Transport: roundTrip(fails)}
	_, err := webhook.AskPermission(t.Context(), client, address, "b.example", 0)
	if !errors.Is(err, down) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("%v", err)
	}
	client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			return nil, down
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{
			"Webhook-Allowed-Origin": {"b.example"}}}, nil
	})
	p, err := webhook.AskPermission(t.Context(), client, address, "b.example", 0)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.Send(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, down) || strings.Contains(fmt.Sprintf("%v %+v %#v %d", err, p, p, p), "s3cr3t") {
		t.Errorf("%v %+v", err, p)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTwilioTextOfAFormIsNoBodySHA256: the sender of a message chooses its text, which Twilio signs. As a
// part of the query it would name the digest of any body.
func TestTwilioTextOfAFormIsNoBodySHA256(t *testing.T) {
	evil := `{"paid":true}`
	sum := sha256.Sum256([]byte(evil))
	text := "&bodySHA256=" + hex.EncodeToString(sum[:])
	for name, message := range map[string]string{"another parameter": text + "&z=",
		"no parameter": text + "&"} {
		signed := twilioForm("Body=" + strings.NewReplacer("&", "%26", "=", "%3D").Replace(message) +
			"&From=15")
		rest := "Body" + message + "From15"
		*header(t, &signed, "X-Twilio-Signature") = twilioSign("https://a.example/in?a=1" + rest)
		v := twilioVerifier(t, "https://a.example")
		if got := reason(t, v, signed, twilioAt); got != "" {
			t.Fatal(got)
		}
		forged := clone(signed)
		forged.Target, forged.Body = forged.Target+rest, []byte(evil)
		*header(t, &forged, "Content-Type") = "application/json"
		if got := reason(t, v, forged, twilioAt); got != envelope.ReasonMalformed {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestZoomChallengeBesideAPublicKey: a public key makes no MAC, and no panic.
func TestZoomChallengeBesideAPublicKey(t *testing.T) {
	doc := editedText(t, ownRecipe, `"secret": "text"`, `"secret": "hex"`)
	doc = editedText(t, doc, `"hmac-sha256"`, `"ed25519"`)
	doc = editedText(t, doc, `"name"`, `"challenge": "zoom", "name"`)
	scheme, err := webhook.ParseRecipe([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	v, err := webhook.New(scheme, "in",
		[]webhook.Secret{{Text: hex.EncodeToString(private.Public().(ed25519.PublicKey))}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}`
	stamp := fmt.Sprint(now.Unix())
	signature := hex.EncodeToString(ed25519.Sign(private, []byte("1."+stamp+"."+body)))
	r := post(body, "X-Acme-Id", "1", "X-Acme-Signature", "t="+stamp+",v1="+signature)
	got, err := v.Verify(t.Context(), r, now)
	if err != nil || got.Answer != nil {
		t.Error(got, err)
	}
}
