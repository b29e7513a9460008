package webhook_test

import (
	"cmp"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
	"github.com/sealbus/sealbus/webhook"
)

// The tests of this file are defects of well-known libraries.

func reason(t *testing.T, v *webhook.Verifier, r webhook.Request, at time.Time) envelope.Reason {
	t.Helper()
	got, err := v.Verify(context.Background(), r, at)
	if (got == nil) == (err == nil) {
		t.Errorf("%v and %v", got, err)
	}
	return webhook.ReasonOf(err)
}

func find(t testing.TB, provider string) *subject {
	t.Helper()
	for _, s := range subjects(t) {
		if s.provider == provider {
			return &s
		}
	}
	t.Fatalf("no subject %s", provider)
	return nil
}

// TestNoSecretIsEmpty: no secret, an empty one, one that decodes to nothing, blanks around it.
func TestNoSecretIsEmpty(t *testing.T) {
	for provider, texts := range map[string][]string{
		"github": {"", " ", "secret\n", " secret"},
		"standardwebhooks": {"", "whsec_", "whsec_AAAA", "whpk_", "secret", "whsk_AAAA",
			strings.Repeat("A", 32)},
		"discord": {"", strings.Repeat("00", 32), "01" + strings.Repeat("00", 31), "abc",
			strings.Repeat("ab", 31)},
		"sendgrid": {"", "AAAA", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"},
	} {
		scheme, err := webhook.Provider(provider)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := webhook.New(scheme, "in", nil, nil); err == nil {
			t.Errorf("%s: no secret is accepted", provider)
		}
		for _, text := range texts {
			if _, err := webhook.New(scheme, "in", []webhook.Secret{{ID: "a", Text: text}}, nil); err == nil {
				t.Errorf("%s: the secret %q is accepted", provider, text)
			}
		}
	}
}

// TestPrefixOfSignatureIsRefused is CVE-2024-21491: svix compared only as many bytes as the header had.
func TestPrefixOfSignatureIsRefused(t *testing.T) {
	for _, s := range subjects(t) {
		v := s.verifier(t, s.secret)
		size := 0
		s.edited(func(text string) string { size = len(text); return text })
		if size == 0 {
			t.Fatalf("%s: no signature", s.provider)
		}
		for n := range size {
			if got := reason(t, v, s.edited(func(text string) string { return text[:n] }), s.at); got == "" {
				t.Errorf("%s: %d of %d characters are accepted", s.provider, n, size)
			}
		}
	}
}

// TestBoundaryCannotMove: the signed bytes stay the same, and are cut into other parts.
func TestBoundaryCannotMove(t *testing.T) {
	const stamp, earlier = "1700000000", "170000000"
	standard, discord, hubspot, paddle := find(t, "standardwebhooks"), find(t, "discord"), find(t, "hubspot"),
		find(t, "paddle")
	// The dot: the ID swallows the time, and the body begins with a time.
	r := standard.send(delivery{body: stamp + ".{}", id: "msg", time: stamp, secret: standard.secret})
	r.Header[0].Value, r.Body = "msg."+stamp, []byte("{}")
	if got := reason(t, standard.verifier(t, standard.secret), r, now); got != envelope.ReasonMalformed {
		t.Errorf("the dot: %q", got)
	}
	// No separator: a digit of the body goes into the time.
	r = discord.send(delivery{body: "0{}", time: earlier, secret: discord.secret})
	r.Header[0].Value, r.Body = stamp, []byte("{}")
	if got := reason(t, discord.verifier(t, discord.secret), r, now); got != "" {
		t.Errorf("the same bytes: %q", got)
	}
	r = discord.send(delivery{body: "0{}", time: stamp, secret: discord.secret})
	r.Header[0].Value, r.Body = stamp+"0", []byte("{}")
	if got := reason(t, discord.verifier(t, discord.secret), r, now); got != envelope.ReasonFromFuture {
		t.Errorf("a digit: %q", got)
	}
	// The URL swallows the body's first bytes.
	r = hubspot.send(hubspot.delivery())
	r.Target, r.Body = r.Target+string(r.Body[:1]), r.Body[1:]
	if got := reason(t, hubspot.verifier(t, hubspot.secret), r, now); got != envelope.ReasonMalformed {
		t.Errorf("the URL: %q", got)
	}
	// The colon: the time swallows it.
	r = paddle.send(delivery{body: "1:{}", time: stamp, secret: paddle.secret})
	r.Header[0].Value = strings.Replace(r.Header[0].Value, stamp, stamp+":1", 1)
	r.Body = []byte("{}")
	if got := reason(t, paddle.verifier(t, paddle.secret), r, now); got != envelope.ReasonMalformed {
		t.Errorf("the colon: %q", got)
	}
}

// TestSHA1IsNoFallback: the old header of GitHub, and the old prefix.
func TestSHA1IsNoFallback(t *testing.T) {
	for provider, want := range map[string]envelope.Reason{
		"github": envelope.ReasonUnsigned, "atlassian": envelope.ReasonMalformed,
	} {
		s := find(t, provider)
		r := post(jsonBody, "X-Hub-Signature", "sha1="+sha1MAC(s.secret, jsonBody))
		if got := reason(t, s.verifier(t, s.secret), r, now); got != want {
			t.Errorf("%s: %q", provider, got)
		}
	}
}

// TestErrorsTellNothing: no error has the right signature, the secret or the body.
func TestErrorsTellNothing(t *testing.T) {
	for _, s := range subjects(t) {
		v, right := s.verifier(t, s.secret), ""
		s.edited(func(text string) string { right = text; return text })
		for _, n := range append(signatureNegatives, timeNegatives...) {
			r, ok := n.send(&s)
			if want, known := s.want[n.name]; !ok || known && want == "" || strings.Contains(n.name, "ID") {
				continue
			}
			_, err := v.Verify(context.Background(), r, s.at)
			for _, text := range []string{right[:min(12, len(right))], s.secret, "order.paid"} {
				if len(text) > 3 && strings.Contains(err.Error(), text) {
					t.Errorf("%s, %s: %v", s.provider, n.name, err)
				}
			}
		}
	}
}

// TestShortHeadersDoNotPanic: every header of every provider, cut at each place, and emptied.
func TestShortHeadersDoNotPanic(t *testing.T) {
	for _, s := range subjects(t) {
		v, sound := s.verifier(t, s.secret), s.send(s.delivery())
		for i := range sound.Header {
			value := sound.Header[i].Value
			for n := range value {
				r := s.send(s.delivery())
				r.Header[i].Value = value[:n]
				reason(t, v, r, s.at)
			}
		}
	}
}

// TestSecondHeaderLineIsRefused: of every header that a recipe reads, in any case.
func TestSecondHeaderLineIsRefused(t *testing.T) {
	for _, provider := range []string{"github", "shopify", "atlassian", "slack", "hubspot", "discord",
		"sendgrid", "standardwebhooks", "svix", "stripe", "paddle", "convoy", "square"} {
		s := find(t, provider)
		for _, f := range s.send(s.delivery()).Header {
			r := s.send(s.delivery())
			r.Header = append(r.Header, webhook.Field{Name: strings.ToUpper(f.Name), Value: f.Value})
			if got := reason(t, s.verifier(t, s.secret), r, s.at); got != envelope.ReasonMalformed {
				t.Errorf("%s, %s: %q", provider, f.Name, got)
			}
			joined := s.send(s.delivery()) // as some gateways hand two lines on
			for i := range joined.Header {
				if joined.Header[i].Name == f.Name {
					joined.Header[i].Value += "," + f.Value
				}
			}
			if got := reason(t, s.verifier(t, s.secret), joined, s.at); got != envelope.ReasonMalformed {
				t.Errorf("%s, %s joined: %q", provider, f.Name, got)
			}
		}
	}
}

// TestToleranceIsToTheSecondBothWays: at the tolerance a delivery passes, one second beyond it does not.
func TestToleranceIsToTheSecondBothWays(t *testing.T) {
	for _, s := range subjects(t) {
		if s.unit == 0 && s.layout == "" {
			continue
		}
		v := s.verifier(t, s.secret)
		tolerance := time.Duration(cmp.Or(s.tolerance, 300)) * time.Second
		for d, reasonWanted := range map[time.Duration]envelope.Reason{
			tolerance: "", tolerance + 1: envelope.ReasonExpired,
			-tolerance: "", -tolerance - 1: envelope.ReasonFromFuture,
		} {
			if got := reason(t, v, s.send(s.delivery()), s.at.Add(d)); got != reasonWanted {
				t.Errorf("%s, %s later: %q, want %q", s.provider, d, got, reasonWanted)
			}
		}
	}
}

// TestNothingPrintsASecret: secrets, verifiers, schemes, and errors about wrong secrets.
func TestNothingPrintsASecret(t *testing.T) {
	const text = "correct horse battery staple"
	s := webhook.Secret{ID: "k1", Text: text}
	scheme, err := webhook.Provider("github")
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "in", []webhook.Secret{s}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(context.Background(), post(jsonBody), now); err == nil {
		t.Fatal("accepted")
	}
	for _, value := range []any{s, &s, []webhook.Secret{s}, v, *v, struct{ V any }{v}} {
		for _, printed := range secrettest.Prints(value) {
			secrettest.NotShown(t, "a secret", printed, []byte(text), text)
		}
	}
	for _, provider := range webhook.Providers() {
		scheme, err := webhook.Provider(provider)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := webhook.New(scheme, "in", []webhook.Secret{s, s}, nil); err != nil {
			secrettest.NotShown(t, provider, err.Error(), []byte(text), text)
		}
		if _, err := webhook.New(scheme, "in", []webhook.Secret{s}, nil); err != nil {
			secrettest.NotShown(t, provider, err.Error(), []byte(text), text)
		}
	}
}

// TestOneGoodSignatureOfSeveral: wherever it stands among those of other keys, it counts.
func TestOneGoodSignatureOfSeveral(t *testing.T) {
	s := find(t, "pagerduty")
	good, bad := "v1="+hexMAC(s.secret, jsonBody), "v1="+hexMAC("old", jsonBody)
	for _, value := range []string{good, good + "," + bad, bad + "," + good, bad + "," + good + "," + bad} {
		r := post(jsonBody, "X-PagerDuty-Signature", value)
		if got := reason(t, s.verifier(t, s.secret), r, now); got != "" {
			t.Errorf("%s: %q", value, got)
		}
	}
	for _, value := range []string{good + "," + bad[:20], good + ",", "," + good, good + ",," + bad} {
		r := post(jsonBody, "X-PagerDuty-Signature", value)
		if got := reason(t, s.verifier(t, s.secret), r, now); got != envelope.ReasonMalformed {
			t.Errorf("a broken one beside a good one: %s: %q", value, got)
		}
	}
}

// TestURLIsKnownAndPlain: where the URL is signed, the request line is known, and the body is JSON.
func TestURLIsKnownAndPlain(t *testing.T) {
	for _, provider := range []string{"square", "hubspot"} {
		s := find(t, provider)
		for _, target := range []string{"", "hooks", "https://hooks.example/hooks/in?a=1", "/hooks/in?a=1#x",
			"/a b",
			"/a\n", "/{", "/["} {
			r := s.send(s.delivery())
			r.Target = target
			if got := reason(t, s.verifier(t, s.secret), r, now); got != envelope.ReasonMalformed {
				t.Errorf("%s, %q: %q", provider, target, got)
			}
		}
		for body, want := range map[string]envelope.Reason{"": envelope.ReasonMalformed,
			"a=1": envelope.ReasonMalformed, " {}": envelope.ReasonMalformed, "[]": ""} {
			d := s.delivery()
			d.body = body
			if got := reason(t, s.verifier(t, s.secret), s.send(d), now); got != want {
				t.Errorf("%s, the body %q: %q", provider, body, got)
			}
		}
		r := s.send(s.delivery())
		r.Target = "/hooks/in?a=2"
		if got := reason(t, s.verifier(t, s.secret), r, now); got != envelope.ReasonBadSignature {
			t.Errorf("%s, another query: %q", provider, got)
		}
	}
}
