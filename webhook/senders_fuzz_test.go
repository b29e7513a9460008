package webhook_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook"
)

// FuzzSNS: any body is judged without a panic. A body that is accepted says, to an ordinary reader of JSON,
// the same as the one that was signed.
func FuzzSNS(f *testing.F) {
	pin := strings.TrimSpace(string(pemOf(newIssuer(f, "root", nil, nil).leaf(f, "any.example", nil))))
	v := verifier(f, "sns", []webhook.Secret{{Text: pin}}, webhook.SchemeOptions{Topics: []string{snsTopic},
		UnsafeSHA1: true})
	sound := snsNotification()
	f.Add(sound.signed(f, 0).Body)
	f.Add(snsConfirmation("SubscriptionConfirmation").signed(f, 0).Body)
	f.Fuzz(func(t *testing.T, body []byte) {
		r := webhook.Request{Method: "POST", Target: "/", Body: body}
		got, err := v.Verify(context.Background(), r, certAt)
		if err != nil {
			if webhook.ReasonOf(err) == "" {
				t.Fatal(err)
			}
			return
		}
		var m struct{ Type, MessageID, TopicArn, Message, Subject string }
		if err := json.Unmarshal(body, &m); err != nil || m.TopicArn != snsTopic || m.Type != got.Type() {
			t.Fatalf("%s: %+v %v", body, m, err)
		}
		if m.Type == "Notification" && (m.Message != sound["Message"] || m.Subject != sound["Subject"]) {
			t.Fatalf("accepted: %s", body)
		}
	})
}

// adyenNotification is what an ordinary reader of JSON takes a notification for.
type adyenNotification struct {
	NotificationItems []struct {
		NotificationRequestItem struct {
			PspReference, OriginalReference, MerchantAccountCode, MerchantReference, EventCode, Success string

			Amount struct {
				Value    int64
				Currency string
			}
			AdditionalData struct{ HmacSignature string }
		}
	}
}

// FuzzAdyen: in a notification that is accepted, each item that an ordinary reader of JSON sees is signed.
func FuzzAdyen(f *testing.F) {
	v := adyenVerifier(f)
	key, err := hex.DecodeString(adyenKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(adyenBatch(adyenSigned(f, "1", "order-1", 100)).Body)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := v.Verify(context.Background(), webhook.Request{Method: "POST", Target: "/", Body: body},
			twilioAt)
		if err != nil {
			if webhook.ReasonOf(err) == "" {
				t.Fatal(err)
			}
			return
		}
		var m adyenNotification
		if err := json.Unmarshal(body, &m); err != nil || len(m.NotificationItems) == 0 {
			t.Fatalf("%s: %+v %v", body, got, err)
		}
		for _, item := range m.NotificationItems {
			i := item.NotificationRequestItem
			text := strings.Join([]string{i.PspReference, i.OriginalReference, i.MerchantAccountCode,
				i.MerchantReference, strconv.FormatInt(i.Amount.Value, 10), i.Amount.Currency, i.EventCode,
				i.Success},
				":")
			if b64MAC(string(key), text) != i.AdditionalData.HmacSignature {
				t.Fatalf("accepted: %s", body)
			}
		}
	})
}

// FuzzTwilioForm: a form is read as the standard library reads it, or refused.
func FuzzTwilioForm(f *testing.F) {
	v := twilioVerifier(f, "https://a.example")
	f.Add("a=1", []byte("Body=hi&From=%2B15&To=a+b"))
	f.Add("a=1&%61=2", []byte("A=1&A=2"))
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		form, err := url.ParseQuery(string(body))
		names := make([]string, 0, len(form))
		for name := range form {
			names = append(names, name)
		}
		slices.Sort(names)
		text := "https://a.example/in?" + query
		for _, name := range names {
			text += name + strings.Join(form[name], "")
		}
		r := webhook.Request{Method: "POST", Target: "/in?" + query, Body: body, Header: []webhook.Field{
			{Name: "Content-Type", Value: "application/x-www-form-urlencoded"},
			{Name: "X-Twilio-Signature", Value: twilioSign(text)}}}
		_, refused := v.Verify(context.Background(), r, twilioAt)
		switch reason := webhook.ReasonOf(refused); {
		case refused == nil && err != nil:
			t.Fatalf("accepted %q, which is no form: %v", body, err)
		case refused == nil && !hasOneEach(form):
			t.Fatalf("accepted %q, which has a name twice", body)
		case refused != nil && reason != "malformed" && reason != "too_large" && !strings.Contains(query,
			"bodySHA256"):
			// The signature is genuine, so nothing else is wrong with the delivery.
			if !strings.Contains(query, "%") {
				t.Fatalf("%q %q: %v", query, body, refused)
			}
		}
	})
}

func hasOneEach(form url.Values) bool {
	for _, values := range form {
		if len(values) > 1 {
			return false
		}
	}
	return true
}

// FuzzCertificate: whatever stands at the address of the certificate, only the genuine one is believed.
func FuzzCertificate(f *testing.F) {
	w := newSNS(f, func(root *issuer) []*x509.Certificate { return []*x509.Certificate{root.cert} })
	genuine := w.root.leaf(f, "sns.amazonaws.com", nil)
	message, sum := snsNotification().signed(f, 0), sha256.Sum256(genuine.Raw)
	f.Add(pemOf(genuine))
	f.Add(genuine.Raw)
	f.Add(pemOf(newIssuer(f, "root", nil, nil).leaf(f, "sns.amazonaws.com", nil), w.root.cert))
	f.Fuzz(func(t *testing.T, answer []byte) {
		w.serve(snsAddress, 200, answer)
		v := verifier(t, "sns", nil, webhook.SchemeOptions{Topics: []string{snsTopic},
			Certificates: &webhook.Certificates{Roots: w.root.pool(), Transport: &w.web}})
		got, err := v.Verify(context.Background(), message, certAt)
		switch {
		case err == nil && got.KeyID != "sha256:"+hex.EncodeToString(sum[:]):
			t.Fatal("believed", got.KeyID)
		case err != nil && webhook.ReasonOf(err) == "":
			t.Fatal(err)
		}
	})
}
