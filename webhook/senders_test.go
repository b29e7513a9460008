package webhook_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
	"github.com/sealbus/sealbus/webhook"
)

// defect is one defect of a delivery.
type defect struct {
	name   string
	change func(r *webhook.Request)
	want   envelope.Reason
}

// clone copies a request, so that a defect does not change the sound one.
func clone(r webhook.Request) webhook.Request {
	r.Header, r.Body = slices.Clone(r.Header), slices.Clone(r.Body)
	return r
}

// header is the value of a header of the request, to be changed in place.
func header(t testing.TB, r *webhook.Request, name string) *string {
	t.Helper()
	for i := range r.Header {
		if strings.EqualFold(r.Header[i].Name, name) {
			return &r.Header[i].Value
		}
	}
	t.Fatalf("no header %s", name)
	return nil
}

// without removes a header.
func without(r *webhook.Request, name string) {
	r.Header = slices.DeleteFunc(r.Header, func(f webhook.Field) bool {
		return strings.EqualFold(f.Name, name)
	})
}

// refuses checks that each defect is refused with its Reason, that no error has the text of a genuine
// signature, and that the sound request still passes afterwards.
func refuses(t *testing.T, v *webhook.Verifier, sound webhook.Request, at time.Time, secrets []string,
	list []defect,
) {
	t.Helper()
	for _, n := range list {
		t.Run(n.name, func(t *testing.T) {
			r := clone(sound)
			n.change(&r)
			got, err := v.Verify(context.Background(), r, at)
			if webhook.ReasonOf(err) != n.want || got != nil {
				t.Fatalf("%v, %v; want %s", got, err, n.want)
			}
			if e, ok := errors.AsType[*webhook.Error](err); !ok || e.Provider != v.Provider() {
				t.Errorf("%#v is no Error of %s", err, v.Provider())
			}
			for _, secret := range secrets {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q has %q", err, secret)
				}
			}
		})
	}
	if _, err := v.Verify(context.Background(), sound, at); err != nil {
		t.Error(err)
	}
}

// base64Header are the negatives of a signature in base64 in a header.
func base64Header(t *testing.T, name string) []defect {
	of := func(change func(string) string) func(*webhook.Request) {
		return func(r *webhook.Request) { p := header(t, r, name); *p = change(*p) }
	}
	return []defect{
		{"missing header", func(r *webhook.Request) { without(r, name) }, "unsigned"},
		{"header of another provider", func(r *webhook.Request) {
			r.Header = append(r.Header, webhook.Field{Name: "X-Hub-Signature-256",
				Value: *header(t, r, name)})
			without(r, name)
		}, "unsigned"},
		{"empty signature", of(func(string) string { return "" }), "malformed"},
		{"truncated signature", of(func(s string) string { return s[:len(s)-4] }), "malformed"},
		{"prefix of a signature", of(func(s string) string { return s[:8] }), "malformed"},
		{"over-long signature", of(func(s string) string { return "AAAA" + s }), "malformed"},
		{"signature over 4 KiB", of(func(s string) string { return strings.Repeat("A", 5000) }), "too_large"},
		{"wrong alphabet", of(func(s string) string { return "_" + s[1:] }), "malformed"},
		{"hexadecimal", of(func(s string) string { return "0x" + s[2:] + " " }), "malformed"},
		{"trailing bits", of(func(s string) string { return trailingBits(t, s) }), "malformed"},
		{"line break", of(func(s string) string { return s[:4] + "\n" + s[4:] }), "malformed"},
		{"two signatures", of(func(s string) string { return s + "," + s }), "malformed"},
		{"wrong signature", of(func(s string) string {
			if s[0] == 'A' {
				return "B" + s[1:]
			}
			return "A" + s[1:]
		}), "bad_signature"},
		{"second header line", func(r *webhook.Request) {
			r.Header = append(r.Header, webhook.Field{Name: strings.ToUpper(name),
				Value: *header(t, r, name)})
		}, "malformed"},
		{"10 MiB body", func(r *webhook.Request) { r.Body = make([]byte, 10<<20) }, "too_large"},
	}
}

// trailingBits is another text of the same base64 value.
func trailingBits(t *testing.T, text string) string {
	for i := range 64 {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		bare := strings.TrimRight(text, "=")
		other := bare[:len(bare)-1] + alphabet[i:i+1] + text[len(bare):]
		a, _ := base64.StdEncoding.DecodeString(text)
		b, err := base64.StdEncoding.DecodeString(other)
		if err == nil && other != text && string(a) == string(b) {
			return other
		}
	}
	t.Fatal("no other text")
	return ""
}

// verifier makes a Verifier of a provider.
func verifier(t testing.TB, provider string, secrets []webhook.Secret,
	o webhook.SchemeOptions) *webhook.Verifier {
	t.Helper()
	scheme, err := webhook.Provider(provider)
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "in", secrets, &webhook.Options{Scheme: o})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestNoSenderPrintsItsSecret: a Verifier that a program logs by mistake.
func TestNoSenderPrintsItsSecret(t *testing.T) {
	for _, s := range goSubjects(t) {
		if s.scheme == nil {
			s.scheme, _ = webhook.Provider(s.provider)
		}
		if s.verifies != nil {
			continue // public keys
		}
		s.secret = cmp.Or(s.secret, "a long enough secret")
		key, err := hex.DecodeString(s.secret)
		if err != nil {
			key = []byte(s.secret)
		}
		v := s.verifier(t, s.secret)
		for _, printed := range append(secrettest.Prints(struct{ V *webhook.Verifier }{v}),
			secrettest.Prints(v)...) {
			secrettest.NotShown(t, s.provider, printed, key, s.secret)
		}
	}
}

// TestSendersRefuseToOpen: a scheme in Go does not open without its secrets and its settings.
func TestSendersRefuseToOpen(t *testing.T) {
	const topic = "arn:aws:sns:eu-west-1:123456789012:orders"
	hexKey := strings.Repeat("ab", 32)
	type secrets = []webhook.Secret
	for _, c := range []struct {
		name, provider string
		secrets        secrets
		options        webhook.SchemeOptions
	}{
		{"no secret", "twilio", nil, webhook.SchemeOptions{BaseURL: "https://a.example"}},
		{"empty secret", "twilio", secrets{{}}, webhook.SchemeOptions{BaseURL: "https://a.example"}},
		{"no base URL", "twilio", secrets{{Text: "s"}}, webhook.SchemeOptions{}},
		{"base URL with a path", "twilio", secrets{{Text: "s"}},
			webhook.SchemeOptions{BaseURL: "https://a.example/"}},
		{"base URL with a user", "twilio", secrets{{Text: "s"}},
			webhook.SchemeOptions{BaseURL: "https://u@a.example"}},
		{"no secret", "adyen", nil, webhook.SchemeOptions{}},
		{"empty secret", "adyen", secrets{{}}, webhook.SchemeOptions{}},
		{"no hexadecimal", "adyen", secrets{{Text: hexKey[:63] + "g"}}, webhook.SchemeOptions{}},
		{"short key", "adyen", secrets{{Text: "abcd"}}, webhook.SchemeOptions{}},
		{"no topic", "sns", nil, webhook.SchemeOptions{}},
		{"topic with a wildcard", "sns", nil, webhook.SchemeOptions{Topics: []string{topic[:36] + "*"}}},
		{"topic of another service", "sns", nil, webhook.SchemeOptions{Topics: []string{
			"arn:aws:sqs:eu-west-1:123456789012:orders"}}},
		{"region with a dot", "sns", nil, webhook.SchemeOptions{Topics: []string{
			"arn:aws:sns:eu-west-1.evil:123456789012:orders"}}},
		{"no certificate", "sns", secrets{{Text: "s"}}, webhook.SchemeOptions{Topics: []string{topic}}},
		{"no webhook ID", "paypal", nil, webhook.SchemeOptions{}},
		{"webhook ID with a bar", "paypal", nil, webhook.SchemeOptions{WebhookID: "1|2"}},
		{"the simulator's webhook ID", "paypal", nil, webhook.SchemeOptions{WebhookID: "WEBHOOK_ID"}},
		{"no certificate", "paypal", secrets{{Text: "s"}}, webhook.SchemeOptions{WebhookID: "1"}},
	} {
		t.Run(c.provider+" "+c.name, func(t *testing.T) {
			scheme, err := webhook.Provider(c.provider)
			if err != nil {
				t.Fatal(err)
			}
			v, err := webhook.New(scheme, "in", c.secrets, &webhook.Options{Scheme: c.options})
			if err == nil {
				t.Errorf("%+v", v)
			}
		})
	}
}
