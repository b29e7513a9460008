package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

const adyenKey = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"

// adyenSigned is an item, whose signed text comes from the same fields.
func adyenSigned(t testing.TB, psp, reference string, value int) string {
	t.Helper()
	key, err := hex.DecodeString(adyenKey)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s::Shop:%s:%d:EUR:AUTHORISATION:true", psp, reference, value)
	return adyenItem(psp, reference, value, base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func adyenItem(psp, reference string, value int, signature string) string {
	return fmt.Sprintf(`{"NotificationRequestItem":{"additionalData":{"hmacSignature":%q},`+
		`"amount":{"value":%d,"currency":"EUR"},"pspReference":%q,"eventCode":"AUTHORISATION","merchantAccountCode":"Shop",`+
		`"merchantReference":%q,"success":"true"}}`, signature, value, psp, reference)
}

func adyenBatch(items ...string) webhook.Request {
	return webhook.Request{Method: "POST", Target: "/", Body: []byte(
		`{"live":"true","notificationItems":[` + strings.Join(items, ",") + `]}`)}
}

func adyenVerifier(t testing.TB) *webhook.Verifier {
	return verifier(t, "adyen", []webhook.Secret{{ID: "old", Text: strings.Repeat("ab", 32)},
		{ID: "new", Text: adyenKey}}, webhook.SchemeOptions{})
}

// TestAdyenOneForgedItemInABatchOfSignedOnes: a library that verifies the first item only takes this batch.
func TestAdyenOneForgedItemInABatchOfSignedOnes(t *testing.T) {
	a, b := adyenSigned(t, "1", "order-1", 100), adyenSigned(t, "2", "order-2", 200)
	signature := a[strings.Index(a, `hmacSignature":"`)+16:][:44]
	sound := adyenBatch(a, b)
	batch := func(items ...string) func(*webhook.Request) {
		return func(r *webhook.Request) { r.Body = adyenBatch(items...).Body }
	}
	refuses(t, adyenVerifier(t), sound, twilioAt, []string{adyenKey, signature}, []defect{
		{"forged last item", batch(a, b, adyenItem("3", "order-3", 1, signature)), "bad_signature"},
		{"forged first item", batch(adyenItem("3", "order-3", 1, signature), a, b), "bad_signature"},
		{"unsigned item", batch(a, adyenItem("3", "order-3", 1, "")), "unsigned"},
		{"item without additionalData", batch(a,
			`{"NotificationRequestItem":{"pspReference":"3","eventCode":"A"}}`),
			"unsigned"},
		{"the same item twice", batch(a, b, a), "malformed"},
		{"empty entry", batch(a, "{}"), "malformed"},
		{"null entry", batch(a, "null"), "malformed"},
		{"101 items", batch(strings.Split(strings.Repeat(a+"\n", 101), "\n")[:101]...), "malformed"},
	})
}

func TestAdyenRefuses(t *testing.T) {
	sound := adyenBatch(adyenSigned(t, "1", "order-1", 100))
	replace := func(old, new string) func(*webhook.Request) {
		return func(r *webhook.Request) {
			if !strings.Contains(string(r.Body), old) {
				t.Fatalf("%s has no %s", r.Body, old)
			}
			r.Body = []byte(strings.Replace(string(r.Body), old, new, 1))
		}
	}
	refuses(t, adyenVerifier(t), sound, twilioAt, []string{adyenKey}, []defect{
		{"empty batch", replace(string(sound.Body), `{"notificationItems":[]}`), "malformed"},
		{"no batch", replace(string(sound.Body), `{}`), "malformed"},
		{"no JSON", replace(string(sound.Body), `notificationItems=`), "malformed"},
		{"empty body", func(r *webhook.Request) { r.Body = nil }, "malformed"},
		{"header of another provider", func(r *webhook.Request) {
			replace(`"additionalData"`, `"x"`)(r)
			r.Header = append(r.Header, webhook.Field{Name: "hmacSignature", Value: "AAAA"})
		}, "unsigned"},
		{"truncated signature", replace(`="}`, `"}`), "malformed"},
		{"over-long signature", replace(`hmacSignature":"`, `hmacSignature":"AAAA`), "malformed"},
		{"wrong alphabet", replace(`="}`, `!"}`), "malformed"},
		{"a second signature", replace(`"hmacSignature"`, `"hmacSignature":"","hmacSignature"`), "malformed"},
		{"another amount", replace(`100`, `1`), "bad_signature"},
		{"amount with a fraction", replace(`100`, `100.0`), "malformed"},
		{"amount as text", replace(`100`, `"100"`), "malformed"},
		{"another currency", replace(`EUR`, `JPY`), "bad_signature"},
		{"a failure turned into a success", replace(`"success":"true"`, `"success":"TRUE"`), "bad_signature"},
		{"success as a boolean", replace(`"success":"true"`, `"success":true`), "malformed"},
		{"long field", replace(`order-1`, strings.Repeat("1", 257)), "malformed"},
		{"no reference", replace(`"pspReference":"1"`, `"pspReference":""`), "malformed"},
		{"spelled otherwise", replace(`"success"`, `"Success":"false","success"`), "malformed"},
		{"second batch, spelled otherwise", replace(`"live"`, `"NotificationItems":[],"live"`), "malformed"},
		{"10 MiB body", func(r *webhook.Request) { r.Body = make([]byte, 10<<20) }, "too_large"},
	})
}

// TestAdyenColonMovesTheBorder: both items have one signed text, and a genuine signature.
func TestAdyenColonMovesTheBorder(t *testing.T) {
	v := adyenVerifier(t)
	for _, item := range []string{
		adyenSigned(t, "1", "order:1", 100),
		strings.Replace(adyenSigned(t, "1", "x:Shop:1", 1), `"merchantReference":"x:Shop:1"`,
			`"merchantReference":"x","originalReference":"Shop:1"`, 1),
		adyenSigned(t, `1:`, "order-1", 100),
	} {
		if _, err := v.Verify(context.Background(), adyenBatch(item),
			twilioAt); webhook.ReasonOf(err) != "malformed" {
			t.Errorf("%s: %v", item, err)
		}
	}
}

// TestAdyenReplayKey depends on the signed fields only: neither on the order of the items nor on the form
// of the body.
func TestAdyenReplayKey(t *testing.T) {
	a, b := adyenSigned(t, "1", "order-1", 100), adyenSigned(t, "2", "order-2", 200)
	seen := map[[32]byte]int{}
	for _, r := range []webhook.Request{adyenBatch(a, b), adyenBatch(b, a), adyenBatch(b, "\n "+a),
		adyenBatch(a)} {
		got, err := adyenVerifier(t).Verify(context.Background(), r, twilioAt)
		if err != nil || got.KeyID != "new" {
			t.Fatal(got, err)
		}
		seen[got.Replay().Key]++
	}
	if len(seen) != 2 {
		t.Error(seen)
	}
	got, err := adyenVerifier(t).Verify(context.Background(), adyenBatch(a), twilioAt)
	if err != nil || got.Type() != "AUTHORISATION" || got.Subject() != "1" {
		t.Error(got, err)
	}
}

// TestAdyenItemsPutTogetherAnew: no replay key stands for a notification of captured items.
func TestAdyenItemsPutTogetherAnew(t *testing.T) {
	a, b := adyenSigned(t, "1", "order-1", 100), adyenSigned(t, "2", "order-2", 200)
	calls := 0
	next := func(context.Context, *webhook.Verified) error { calls++; return nil }
	r, err := webhook.NewReceiver(adyenVerifier(t), replay.NewMemory(nil), next, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		sent   webhook.Request
		status int
		reason envelope.Reason
		calls  int
	}{
		{adyenBatch(a), 200, "", 1},
		{adyenBatch(a), 200, envelope.ReasonReplayed, 1},
		{adyenBatch(a, b), 400, envelope.ReasonUnsupported, 1},
		{adyenBatch(b, a), 400, envelope.ReasonUnsupported, 1},
		{adyenBatch(b), 200, "", 2},
	} {
		resp := r.Receive(t.Context(), step.sent, time.Time{})
		if resp.Status != step.status || resp.Reason != step.reason || calls != step.calls {
			t.Errorf("status %d, reason %q, %d calls; want %+v", resp.Status, resp.Reason, calls, step)
		}
	}
}
