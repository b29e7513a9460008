package webhook_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

const (
	snsTopic   = "arn:aws:sns:eu-west-1:123456789012:orders"
	snsHost    = "https://sns.eu-west-1.amazonaws.com/"
	snsAddress = snsHost + "SimpleNotificationService-0123456789abcdef.pem"
	snsConfirm = snsHost + "?Action=ConfirmSubscription&TopicArn=" + snsTopic + "&Token=2336412f37fb"
)

// snsWorld is an AWS with one certificate, and a receiver.
type snsWorld struct {
	web
	root         *issuer
	certificates *webhook.Certificates
}

// newSNS serves the chain that issue makes.
func newSNS(t testing.TB, chain func(root *issuer) []*x509.Certificate) *snsWorld {
	t.Helper()
	w := &snsWorld{root: newIssuer(t, "root", nil, nil)}
	w.certificates = &webhook.Certificates{Roots: w.root.pool(), Transport: &w.web}
	w.serve(snsAddress, 200, pemOf(chain(w.root)...))
	return w
}

// soundSNS serves a chain of three, as public certification authorities have it.
func soundSNS(t testing.TB) *snsWorld {
	return newSNS(t, func(root *issuer) []*x509.Certificate {
		between := newIssuer(t, "between", root, nil)
		return []*x509.Certificate{between.leaf(t, "sns.amazonaws.com", nil), between.cert}
	})
}

func (w *snsWorld) verifier(t testing.TB) *webhook.Verifier {
	return verifier(t, "sns", nil, webhook.SchemeOptions{Topics: []string{snsTopic},
		Certificates: w.certificates})
}

// snsFields is a message in the order of its members.
type snsFields map[string]string

func snsNotification() snsFields {
	return snsFields{"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
		"TopicArn": snsTopic, "Subject": "My First Message", "Message": "Hello\nworld! {\"a\": \"ü\"}",
		"Timestamp": "2026-06-01T12:00:00.000Z", "SignatureVersion": "2", "SigningCertURL": snsAddress,
		"UnsubscribeURL": snsHost + "?Action=Unsubscribe"}
}

func snsConfirmation(kind string) snsFields {
	return snsFields{"Type": kind, "MessageId": "165545c9", "Token": "2336412f37fb", "TopicArn": snsTopic,
		"Message": "You have chosen to subscribe.", "SubscribeURL": snsConfirm,
		"Timestamp": "2026-06-01T12:00:00.000Z", "SignatureVersion": "2", "SigningCertURL": snsAddress}
}

// signed signs the message with one of rsaKeys, and writes it.
func (m snsFields) signed(t testing.TB, key int) webhook.Request {
	t.Helper()
	names := []string{"Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn",
		"Type"}
	var text strings.Builder
	for _, name := range names {
		if value, ok := m[name]; ok {
			text.WriteString(name + "\n" + value + "\n")
		}
	}
	hash := crypto.SHA256
	if m["SignatureVersion"] == "1" {
		hash = crypto.SHA1
	}
	m["Signature"] = rsaSign(t, rsaKeys()[key], hash, text.String())
	return m.request(t)
}

func (m snsFields) request(t testing.TB) webhook.Request {
	t.Helper()
	body, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return webhook.Request{Method: "POST", Target: "/", Body: body, Header: []webhook.Field{
		{Name: "x-amz-sns-message-type", Value: m["Type"]},
		{Name: "Content-Type", Value: "text/plain; charset=UTF-8"}}}
}

// resign is a defect whose signature is genuine.
func resign(t testing.TB, base func() snsFields, change func(m snsFields)) func(*webhook.Request) {
	return func(r *webhook.Request) {
		m := base()
		change(m)
		*r = m.signed(t, 0)
	}
}

// reword is a defect that is changed after it was signed.
func reword(t testing.TB, name, value string) func(*webhook.Request) {
	return func(r *webhook.Request) {
		m := snsFields{}
		if err := json.Unmarshal(r.Body, &m); err != nil {
			t.Fatal(err)
		}
		if m[name] = value; value == "" {
			delete(m, name)
		}
		r.Body = m.request(t).Body
	}
}

func TestSNSAcceptsAndReports(t *testing.T) {
	w := soundSNS(t)
	v := w.verifier(t)
	withoutSubject := snsNotification()
	delete(withoutSubject, "Subject")
	for _, m := range []snsFields{snsNotification(), withoutSubject,
		snsConfirmation("UnsubscribeConfirmation")} {
		got, err := v.Verify(context.Background(), m.signed(t, 0), certAt)
		if err != nil {
			t.Fatal(err)
		}
		id, signed := got.ID()
		if id != m["MessageId"] || !signed || got.Type() != m["Type"] || got.Subject() != snsTopic ||
			!got.Time.Equal(certAt) || !strings.HasPrefix(got.KeyID, "sha256:") || got.Answer != nil {
			t.Errorf("%+v", got)
		}
	}
	if w.count() != 1 {
		t.Error("the certificate is not kept:", w.asked)
	}
}

func TestSNSRefuses(t *testing.T) {
	w := soundSNS(t)
	sound := snsNotification().signed(t, 0)
	set := func(name, value string) func(*webhook.Request) {
		return resign(t, snsNotification, func(m snsFields) { m[name] = value })
	}
	signature := func() string {
		m := snsFields{}
		_ = json.Unmarshal(sound.Body, &m)
		return m["Signature"]
	}()
	refuses(t, w.verifier(t), sound, certAt, []string{signature}, []defect{
		{"missing signature", reword(t, "Signature", ""), "unsigned"},
		{"raw delivery", func(r *webhook.Request) {
			r.Header, r.Body = []webhook.Field{{Name: "x-amz-sns-rawdelivery", Value: "true"}},
				[]byte("hello")
		}, "unsigned"},
		{"header of another provider", func(r *webhook.Request) {
			reword(t, "Signature", "")(r)
			r.Header = append(r.Header, webhook.Field{Name: "X-Hub-Signature-256", Value: signature})
		}, "unsigned"},
		{"truncated signature", reword(t, "Signature", signature[:len(signature)-4]), "malformed"},
		{"prefix of a signature", reword(t, "Signature", signature[:8]), "malformed"},
		{"over-long signature", reword(t, "Signature", "AAAA"+signature), "malformed"},
		{"wrong alphabet", reword(t, "Signature", "_"+signature[1:]), "malformed"},
		{"another key", func(r *webhook.Request) { *r = snsNotification().signed(t, 1) }, "bad_signature"},
		{"another message", reword(t, "Message", "Hello"), "bad_signature"},
		{"no subject", reword(t, "Subject", ""), "bad_signature"},
		{"another topic", set("TopicArn", snsTopic+"2"), "source_not_allowed"},
		{"topic in another case", set("TopicArn", strings.ToUpper(snsTopic)), "source_not_allowed"},
		{"second header line", func(r *webhook.Request) { r.Header = append(r.Header, r.Header[0]) },
			"malformed"},
		{"another type in the header", func(r *webhook.Request) {
			r.Header[0].Value = "SubscriptionConfirmation"
		}, "malformed"},
		{"unknown type", set("Type", "notification"), "malformed"},
		{"old", set("Timestamp", "2026-06-01T10:54:59.999Z"), "expired"},
		{"from the future", set("Timestamp", "2026-06-01T13:05:00.001Z"), "from_future"},
		{"timestamp with a zone", set("Timestamp", "2026-06-01T12:00:00+00:00"), "malformed"},
		{"timestamp with a comma", set("Timestamp", "2026-06-01T12:00:00,000Z"), "malformed"},
		{"timestamp with a space", set("Timestamp", " 2026-06-01T12:00:00Z"), "malformed"},
		{"timestamp with a short hour", set("Timestamp", "2026-06-01T9:00:00Z"), "malformed"},
		{"timestamp that is a number", set("Timestamp", "1780315200"), "malformed"},
		{"empty MessageId", set("MessageId", ""), "malformed"},
		{"long MessageId", set("MessageId", strings.Repeat("1", 257)), "malformed"},
		{"MessageId with a blank", set("MessageId", "1 2"), "malformed"},
		{"member twice", func(r *webhook.Request) {
			r.Body = append([]byte(`{"Message": "other",`), r.Body[1:]...)
		}, "malformed"},
		{"member in another case", set("message", "other"), "malformed"},
		{"unsigned Token", set("Token", "x"), "malformed"},
		{"unsigned SubscribeURL", set("SubscribeURL", "https://evil.example"), "malformed"},
		{"array", func(r *webhook.Request) { r.Body = []byte("[" + string(r.Body) + "]") }, "malformed"},
		{"trailing bytes", func(r *webhook.Request) { r.Body = append(r.Body, '{', '}') }, "malformed"},
		{"10 MiB body", func(r *webhook.Request) { r.Body = make([]byte, 10<<20) }, "too_large"},
		{"no SignatureVersion", reword(t, "SignatureVersion", ""), "unsupported"},
		{"SignatureVersion 3", reword(t, "SignatureVersion", "3"), "unsupported"},
	})
}

// TestSNSLineBreakMovesTheBorder: the signed text has each member on a line of its own.
func TestSNSLineBreakMovesTheBorder(t *testing.T) {
	v := soundSNS(t).verifier(t)
	for name, value := range map[string]string{"MessageId": "1\nSubject\nx", "Subject": "x\nTimestamp\ny",
		"Timestamp": "2026-06-01T12:00:00Z\nx"} {
		m := snsNotification()
		m[name] = value
		if _, err := v.Verify(context.Background(), m.signed(t, 0),
			certAt); webhook.ReasonOf(err) != "malformed" {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := snsNotification()
	m["Message"] = "x\nMessageId\n1\nTimestamp\n2"
	if _, err := v.Verify(context.Background(), m.signed(t, 0), certAt); err != nil {
		t.Error("the Message may have line breaks:", err)
	}
}

// TestSNSSHA1Fallback: a message with SignatureVersion 1 is taken by choice only, and neither version is
// tried for the other.
func TestSNSSHA1Fallback(t *testing.T) {
	w := soundSNS(t)
	old := snsNotification()
	old["SignatureVersion"] = "1"
	sha1Message := old.signed(t, 0)
	strict, lax := w.verifier(t), verifier(t, "sns", nil, webhook.SchemeOptions{Topics: []string{snsTopic},
		Certificates: w.certificates, UnsafeSHA1: true})
	if _, err := strict.Verify(context.Background(), sha1Message,
		certAt); webhook.ReasonOf(err) != "unsupported" {
		t.Error(err)
	}
	if _, err := lax.Verify(context.Background(), sha1Message, certAt); err != nil {
		t.Error(err)
	}
	for _, v := range []*webhook.Verifier{strict, lax} {
		relabelled := clone(sha1Message)
		reword(t, "SignatureVersion", "2")(&relabelled)
		if _, err := v.Verify(context.Background(), relabelled,
			certAt); webhook.ReasonOf(err) != "bad_signature" {
			t.Error(err)
		}
		if _, err := v.Verify(context.Background(), snsNotification().signed(t, 0), certAt); err != nil {
			t.Error(err)
		}
	}
	relabelled := snsNotification().signed(t, 0)
	reword(t, "SignatureVersion", "1")(&relabelled)
	_, err := lax.Verify(context.Background(), relabelled, certAt)
	if webhook.ReasonOf(err) != "bad_signature" {
		t.Error(err)
	}
}

// TestSNSReplayKey is that of the MessageId: neither the unsigned members nor the form of the body change it.
func TestSNSReplayKey(t *testing.T) {
	v := soundSNS(t).verifier(t)
	first, again := snsNotification().signed(t, 0), snsNotification().signed(t, 0)
	reword(t, "UnsubscribeURL", "https://sns.eu-west-1.amazonaws.com/?another")(&again)
	again.Body = append(again.Body, ' ')
	other := snsNotification()
	other["MessageId"] = "2"
	var all []webhook.Replay
	for _, r := range []webhook.Request{first, again, other.signed(t, 0)} {
		got, err := v.Verify(context.Background(), r, certAt)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got.Replay())
	}
	if all[0] != all[1] || all[0].Key == all[2].Key || all[0].Digest != [32]byte{} {
		t.Error(all)
	}
}

// TestSNSPinnedCertificate replaces the fetch: neither its chain nor its name is judged, but its validity is.
func TestSNSPinnedCertificate(t *testing.T) {
	w := soundSNS(t)
	pinned := newIssuer(t, "another root", nil, nil).leaf(t, "test.example", nil)
	v := verifier(t, "sns", []webhook.Secret{{ID: "pin", Text: strings.TrimSpace(string(pemOf(pinned)))}},
		webhook.SchemeOptions{Topics: []string{snsTopic}, Certificates: w.certificates})
	sound := snsNotification().signed(t, 0)
	if got, err := v.Verify(context.Background(), sound, certAt); err != nil || got.KeyID != "pin" {
		t.Error(got, err)
	}
	refuses(t, v, sound, certAt, nil, []defect{
		{"another key", func(r *webhook.Request) { *r = snsNotification().signed(t, 1) }, "bad_signature"},
		{"another host", resign(t, snsNotification, func(m snsFields) {
			m["SigningCertURL"] = "https://evil.example/a.pem"
		}), "unknown_key"},
	})
	_, err := v.Verify(context.Background(), sound, certTo.Add(time.Second))
	if webhook.ReasonOf(err) != "key_not_valid" || w.count() != 0 {
		t.Error(err, w.asked)
	}
}
