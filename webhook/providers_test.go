package webhook_test

import (
	"cmp"
	"context"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// subjects are all providers, sorted.
func subjects(t testing.TB) []subject {
	t.Helper()
	list := slices.Concat(bodySubjects(), timedSubjects(), convoySubjects(), keySubjects(t),
		standardSubjects(),
		goSubjects(t))
	for i := range list {
		s := &list[i]
		s.secret, s.other = cmp.Or(s.secret, "a secret"), cmp.Or(s.other, "another secret")
		s.body = cmp.Or(s.body, jsonBody)
		if s.at.IsZero() {
			s.at = now
		}
		if s.scheme == nil {
			var err error
			if s.scheme, err = webhook.Provider(s.provider); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.SortFunc(list, func(a, b subject) int {
		return strings.Compare(a.provider+a.prefix, b.provider+b.prefix)
	})
	return list
}

// verifier verifies what the secret signs.
func (s *subject) verifier(t testing.TB, secret string) *webhook.Verifier {
	t.Helper()
	v, err := s.open(secret)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (s *subject) open(secret string) (*webhook.Verifier, error) {
	return webhook.New(s.scheme, "in", s.verifying(secret), &s.options)
}

// verifying is what verifies the signatures of a secret.
func (s *subject) verifying(secret string) []webhook.Secret {
	if s.verifies != nil {
		secret = s.verifies[secret]
	}
	return []webhook.Secret{{ID: "k1", Text: secret}}
}

// delivery is a sound one.
func (s *subject) delivery() delivery {
	return delivery{body: s.body, id: "msg_1", secret: s.secret, time: s.time(s.at)}
}

func (s *subject) time(at time.Time) string {
	if s.layout != "" {
		return at.UTC().Format(s.layout)
	}
	if s.unit == 1000 {
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// edited is a sound delivery with another text of the signature.
func (s *subject) edited(edit func(string) string) webhook.Request {
	r := s.send(s.delivery())
	if s.tamper != nil {
		return s.tamper(r, edit)
	}
	for i, f := range r.Header {
		if strings.EqualFold(f.Name, s.signature) {
			at := 0
			if s.prefix != "" {
				at = strings.LastIndex(f.Value, s.prefix) + len(s.prefix)
			}
			r.Header[i].Value = f.Value[:at] + edit(f.Value[at:])
		}
	}
	return r
}

// negative is one way in which a delivery is not sound.
type negative struct {
	name string
	want envelope.Reason
	// send makes the delivery; false = this provider has no such case.
	send func(s *subject) (webhook.Request, bool)
}

// timed sends a sound delivery with that text of the time, correctly signed.
func timed(text func(s *subject) string) func(*subject) (webhook.Request, bool) {
	return func(s *subject) (webhook.Request, bool) {
		if s.unit == 0 && s.layout == "" {
			return webhook.Request{}, false
		}
		d := s.delivery()
		d.time = text(s)
		return s.send(d), true
	}
}

func changed(edit func(string) string) func(*subject) (webhook.Request, bool) {
	return func(s *subject) (webhook.Request, bool) { return s.edited(edit), true }
}

// withID sends a delivery whose ID holds a separator, correctly signed.
func withID(id string) func(*subject) (webhook.Request, bool) {
	return func(s *subject) (webhook.Request, bool) {
		d := s.delivery()
		d.id = id
		return s.send(d), s.signedID
	}
}

// signatureNegatives are those that the signature decides.
var signatureNegatives = []negative{
	{"no signature", envelope.ReasonUnsigned, func(s *subject) (webhook.Request, bool) {
		r := s.send(s.delivery())
		r.Header = slices.DeleteFunc(r.Header, func(f webhook.Field) bool {
			return strings.EqualFold(f.Name, s.signature)
		})
		return r, s.signature != ""
	}},
	{"empty signature", envelope.ReasonMalformed, changed(func(string) string { return "" })},
	{"truncated signature", envelope.ReasonMalformed, changed(func(v string) string { return v[:len(v)/2] })},
	{"signature less one", envelope.ReasonMalformed, changed(func(v string) string { return v[:len(v)-1] })},
	{"over-long signature", envelope.ReasonMalformed, changed(func(v string) string { return v + v })},
	{"wrong alphabet", envelope.ReasonMalformed, changed(func(v string) string { return "!" + v[1:] })},
	{"another secret", envelope.ReasonBadSignature, func(s *subject) (webhook.Request, bool) {
		d := s.delivery()
		d.secret = s.other
		return s.send(d), true
	}},
	{"another body", envelope.ReasonBadSignature, func(s *subject) (webhook.Request, bool) {
		r := s.send(s.delivery())
		r.Body = []byte(strings.Replace(string(r.Body), "paid", "free", 1))
		return r, true
	}},
	{"re-serialised body", envelope.ReasonBadSignature, func(s *subject) (webhook.Request, bool) {
		r := s.send(s.delivery())
		r.Body = []byte(strings.Replace(string(r.Body), `":`, `": `, 1))
		return r, true
	}},
	{"second header line", envelope.ReasonMalformed, func(s *subject) (webhook.Request, bool) {
		r := s.send(s.delivery())
		for _, f := range r.Header {
			if strings.EqualFold(f.Name, s.signature) {
				r.Header = append(r.Header, webhook.Field{Name: strings.ToUpper(f.Name), Value: f.Value})
				return r, true
			}
		}
		return r, false
	}},
	{"another provider", envelope.ReasonUnsigned, func(s *subject) (webhook.Request, bool) {
		r := s.send(s.delivery())
		r.Header = []webhook.Field{{Name: "X-Other-Signature", Value: "sha256=00"}}
		return r, true
	}},
	{"10 MiB body", envelope.ReasonTooLarge, func(s *subject) (webhook.Request, bool) {
		r := s.send(s.delivery())
		r.Body = make([]byte, 10<<20) // it is refused before anything is computed
		return r, true
	}},
}

// timeNegatives are those that time and ID decide. All of them are correctly signed.
var timeNegatives = []negative{
	{"too old", envelope.ReasonExpired, timed(func(s *subject) string {
		return s.time(s.at.Add(-73*time.Hour - 1e9)) // PayPal tolerates 73 hours
	})},
	{"in the future", envelope.ReasonFromFuture, timed(func(s *subject) string {
		return s.time(s.at.Add(73*time.Hour + 1e9))
	})},
	{"+ before the time", envelope.ReasonMalformed, timed(func(s *subject) string {
		return "+" + s.time(s.at)
	})},
	{"0 before the time", envelope.ReasonMalformed, timed(func(s *subject) string {
		return "0" + s.time(s.at)
	})},
	{"blank after the time", envelope.ReasonMalformed, timed(func(s *subject) string {
		return s.time(s.at) + " "
	})},
	{"fraction of the time", envelope.ReasonMalformed, timed(func(s *subject) string {
		return s.time(s.at) + ".0"
	})},
	{"time beyond 64 bits", envelope.ReasonMalformed, timed(func(s *subject) string {
		if s.unit == 0 {
			return "99999999" + s.time(s.at)
		}
		beyond := new(big.Int).Lsh(big.NewInt(1), 64) // which a careless reader takes for the time itself
		return beyond.Add(beyond, big.NewInt(s.at.Unix()*s.unit)).String()
	})},
	{". in the ID", envelope.ReasonMalformed, withID("msg.1")},
	{": in the ID", envelope.ReasonMalformed, withID("msg:1")},
	{"no ID", envelope.ReasonMalformed, withID("")},
}

// TestEachProviderRefusesEachDefect: every provider, every negative, the exact Reason.
func TestEachProviderRefusesEachDefect(t *testing.T) {
	for _, s := range subjects(t) {
		t.Run(s.provider+s.prefix, func(t *testing.T) {
			v := s.verifier(t, s.secret)
			got, err := v.Verify(context.Background(), s.send(s.delivery()), s.at)
			if err != nil || got.KeyID != "k1" {
				t.Fatalf("a sound delivery: %v %v", got, err)
			}
			for _, n := range slices.Concat(signatureNegatives, timeNegatives) {
				if got, want := s.judge(t, v, n), s.wants(n); got != want {
					t.Errorf("%s: %q, want %q", n.name, got, want)
				}
			}
			if _, err := s.open(""); err == nil {
				t.Error("an empty secret is accepted")
			}
		})
	}
}

// TestACheckerReturnsNothingBesideAnError: nothing unverified is a return value, not even in part.
func TestACheckerReturnsNothingBesideAnError(t *testing.T) {
	for _, s := range subjects(t) {
		checker, err := s.scheme.Open(s.verifying(s.secret), s.options.Scheme)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range slices.Concat(signatureNegatives, timeNegatives) {
			r, ok := n.send(&s)
			if !ok {
				continue
			}
			got, err := checker.Check(context.Background(), r, s.at)
			if err != nil && got != (webhook.Signed{}) {
				t.Errorf("%s, %s: it returns something beside %v", s.provider, n.name, err)
			}
		}
	}
}

// wants is the Reason that the negative must have; "" = there is no such case.
func (s *subject) wants(n negative) envelope.Reason {
	if want, ok := s.want[n.name]; ok {
		return want
	}
	if _, ok := n.send(s); !ok {
		return ""
	}
	return n.want
}

// judge is the Reason of the delivery; "" = there is no such case.
func (s *subject) judge(t *testing.T, v *webhook.Verifier, n negative) envelope.Reason {
	t.Helper()
	r, ok := n.send(s)
	if want, known := s.want[n.name]; !ok || known && want == "" {
		return ""
	}
	got, err := v.Verify(context.Background(), r, s.at)
	e, typed := errors.AsType[*webhook.Error](err)
	if got != nil || !typed || e.Provider != s.provider {
		t.Errorf("%s: %v, %v", n.name, got, err)
		return "accepted"
	}
	return e.Reason
}

// TestEmptySecretAccepted: each scheme refuses one itself, also when it is opened without New, alone and
// beside a sound one. No provider is left out.
func TestEmptySecretAccepted(t *testing.T) {
	tried := map[string]bool{}
	for _, s := range subjects(t) {
		text := s.secret
		if s.verifies != nil {
			text = s.verifies[s.secret]
		}
		sound := webhook.Secret{ID: "sound", Text: text}
		if _, err := s.scheme.Open([]webhook.Secret{sound}, s.options.Scheme); err != nil {
			t.Errorf("%s refuses a sound secret: %v", s.provider, err)
		}
		empty := webhook.Secret{ID: "empty"}
		for _, secrets := range [][]webhook.Secret{{empty}, {sound, empty}, {empty, sound}} {
			if c, err := s.scheme.Open(secrets, s.options.Scheme); err == nil || c != nil {
				t.Errorf("%s opens %v: %v", s.provider, secrets, err)
			}
		}
		tried[s.provider] = true
	}
	for _, name := range append(webhook.Providers(), "google-pubsub", "plaid") {
		if !tried[name] {
			t.Errorf("%s was not tried", name)
		}
	}
}
