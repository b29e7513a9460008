package webhook_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

const (
	paypalAddress = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"
	paypalSandbox = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"
	paypalName    = "messageverificationcerts.paypal.com"
	paypalBody    = `{"id":"WH-2","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"id":"27M47624"}}`
)

// paypalRequest is a delivery that the first of rsaKeys signed.
func paypalRequest(t testing.TB, id, at, body string) webhook.Request {
	t.Helper()
	text := fmt.Sprintf("%s|%s|1JE4291016473214C|%d", id, at, crc32.ChecksumIEEE([]byte(body)))
	return webhook.Request{Method: "POST", Target: "/", Body: []byte(body), Header: []webhook.Field{
		{Name: "Paypal-Transmission-Id", Value: id}, {Name: "Paypal-Transmission-Time", Value: at},
		{Name: "Paypal-Transmission-Sig", Value: rsaSign(t, rsaKeys()[0], crypto.SHA256, text)},
		{Name: "Paypal-Cert-Url", Value: paypalAddress}, {Name: "Paypal-Auth-Algo", Value: "SHA256withRSA"}}}
}

func soundPayPal(t testing.TB) webhook.Request {
	return paypalRequest(t, "69cd13f0-d67a-11e5-baa3-778b53f4ae55", "2026-06-01T12:00:00Z", paypalBody)
}

// paypalWorld serves the certificates of PayPal and of its sandbox.
func paypalWorld(t testing.TB) (*web, *webhook.Verifier) {
	t.Helper()
	w, root := &web{}, newIssuer(t, "root", nil, nil)
	between := newIssuer(t, "between", root, nil)
	serve := func(address, name string) {
		w.serve(address, 200, pemOf([]*x509.Certificate{between.leaf(t, name, nil), between.cert}...))
	}
	serve(paypalAddress, paypalName)
	serve(paypalSandbox, "messageverificationcerts.sandbox.paypal.com")
	serve("https://www.paypal.com/v1/notifications/certs/sandbox",
		"messageverificationcerts.sandbox.paypal.com")
	return w, verifier(t, "paypal", nil, webhook.SchemeOptions{WebhookID: "1JE4291016473214C",
		Certificates: &webhook.Certificates{Roots: root.pool(), Transport: w}})
}

func TestPayPalAcceptsAndReports(t *testing.T) {
	w, v := paypalWorld(t)
	sandbox := soundPayPal(t)
	*header(t, &sandbox, "PAYPAL-CERT-URL") = paypalSandbox
	for _, r := range []webhook.Request{soundPayPal(t), sandbox} {
		got, err := v.Verify(context.Background(), r, certAt.Add(72*time.Hour)) // PayPal tries for three days
		if err != nil {
			t.Fatal(err)
		}
		id, signed := got.ID()
		if id != "69cd13f0-d67a-11e5-baa3-778b53f4ae55" || !signed ||
			got.Type() != "PAYMENT.CAPTURE.COMPLETED" || !slices.Contains(got.Unsigned(), "type") ||
			got.Subject() != "27M47624" || !got.Time.Equal(certAt) {
			t.Errorf("%+v", got)
		}
		if replay := got.Replay(); replay.Digest == [32]byte{} {
			t.Error("another body with the same CRC-32 would be taken for a copy")
		}
	}
	if w.count() != 2 {
		t.Error(w.asked)
	}
}

func TestPayPalRefuses(t *testing.T) {
	_, v := paypalWorld(t)
	sound := soundPayPal(t)
	set := func(name, value string) func(*webhook.Request) {
		return func(r *webhook.Request) { *header(t, r, name) = value }
	}
	signed := func(id, at string) func(*webhook.Request) {
		return func(r *webhook.Request) { *r = paypalRequest(t, id, at, paypalBody) }
	}
	again := func(name string) func(*webhook.Request) {
		return func(r *webhook.Request) {
			r.Header = append(r.Header, webhook.Field{Name: name, Value: *header(t, r, name)})
		}
	}
	secrets := []string{*header(t, &sound, "PAYPAL-TRANSMISSION-SIG")}
	refuses(t, v, sound, certAt, secrets, append(base64Header(t, "PAYPAL-TRANSMISSION-SIG"), []defect{
		{"another body", func(r *webhook.Request) { r.Body = append(r.Body, ' ') }, "bad_signature"},
		{"another ID", set("PAYPAL-TRANSMISSION-ID", "1"), "bad_signature"},
		{"another time", set("PAYPAL-TRANSMISSION-TIME", "2026-06-01T12:00:01Z"), "bad_signature"},
		{"no ID", func(r *webhook.Request) { without(r, "PAYPAL-TRANSMISSION-ID") }, "malformed"},
		{"no time", func(r *webhook.Request) { without(r, "PAYPAL-TRANSMISSION-TIME") }, "malformed"},
		{"no algorithm", func(r *webhook.Request) { without(r, "PAYPAL-AUTH-ALGO") }, "unsupported"},
		{"no certificate", func(r *webhook.Request) { without(r, "PAYPAL-CERT-URL") }, "unknown_key"},
		{"another algorithm", set("PAYPAL-AUTH-ALGO", "SHA1withRSA"), "unsupported"},
		{"no algorithm by name", set("PAYPAL-AUTH-ALGO", "none"), "unsupported"},
		{"second ID", again("PAYPAL-TRANSMISSION-ID"), "malformed"},
		{"second time", again("PAYPAL-TRANSMISSION-TIME"), "malformed"},
		{"second algorithm", again("PAYPAL-AUTH-ALGO"), "malformed"},
		{"second certificate", again("PAYPAL-CERT-URL"), "malformed"},
		{"bar in the ID", signed("1|2026-06-01T12:00:00Z|x", "2026-06-01T12:00:00Z"), "malformed"},
		{"colon in the ID", signed("a:b", "2026-06-01T12:00:00Z"), "malformed"},
		{"dot in the ID", signed("a.b", "2026-06-01T12:00:00Z"), "malformed"},
		{"old", signed("1", "2026-05-29T10:59:59Z"), "expired"},
		{"from the future", signed("1", "2026-06-04T13:00:01Z"), "from_future"},
		{"time with a zone", signed("1", "2026-06-01T12:00:00+00:00"), "malformed"},
		{"time in lower case", signed("1", "2026-06-01t12:00:00z"), "malformed"},
		{"time with a plus", signed("1", "+2026-06-01T12:00:00Z"), "malformed"},
		{"time that is a number", signed("1", "1780315200"), "malformed"},
		{"time with a space", signed("1", "2026-06-01T12:00:00Z "), "malformed"},
		{"the sandbox' certificate on a live host", set("PAYPAL-CERT-URL",
			"https://www.paypal.com/v1/notifications/certs/sandbox"), "key_not_valid"},
	}...))
}

// TestPayPalWebhookIDIsSigned: a delivery to another webhook, which an attacker may have made, is refused.
func TestPayPalWebhookIDIsSigned(t *testing.T) {
	pin := string(pemOf(newIssuer(t, "root", nil, nil).leaf(t, "any.example", nil)))
	for id, want := range map[string]string{"1JE4291016473214C": "", "1JE4291016473214D": "bad_signature"} {
		v := verifier(t, "paypal", []webhook.Secret{{Text: pin[:len(pin)-1]}},
			webhook.SchemeOptions{WebhookID: id})
		_, err := v.Verify(context.Background(), soundPayPal(t), certAt)
		if string(webhook.ReasonOf(err)) != want {
			t.Error(id, err)
		}
	}
}
