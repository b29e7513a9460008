package sender_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/internal/testbed/secrettest"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
	"github.com/sealbus/sealbus/webhook/sender"
)

func edKey(t *testing.T) *keys.LocalSigner {
	t.Helper()
	k, err := keys.GenerateSigner(keys.Ed25519, "hooks")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// public is the text of a key for receivers.
func public(t *testing.T, k keys.Signer) string {
	t.Helper()
	set, err := keys.FormatJWKSet(keys.PublicKey{Verifier: k.Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := webhook.SecretsOf(set)
	if err != nil {
		t.Fatal(err)
	}
	return secrets[0].Text
}

func secretOf(n byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(n), 32)))
}

// During a rotation one header has the signatures of the old secret, the new one and the keys. Each receiver
// takes it; before and after, only the valid ones sign.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		key := edKey(t)
		signing, err := sender.StandardWebhooks([]webhook.Secret{
			{ID: "old", Text: secretOf('o'), NotAfter: now.Add(time.Hour)},
			{ID: "new", Text: secretOf('n'), NotBefore: now.Add(-time.Hour)},
			{ID: "next", Text: secretOf('x'), NotBefore: now.Add(time.Hour)},
		}, key)
		if err != nil {
			t.Fatal(err)
		}
		e := endpoint("a")
		e.Signing = signing
		w := newWorld(t, sender.Options{}, e)
		check := func(list string, want map[string]bool) {
			t.Helper()
			r := w.got[len(w.got)-1]
			var versions []string
			for item := range strings.FieldsSeq(r.Header.Get("Webhook-Signature")) {
				version, _, _ := strings.Cut(item, ",")
				versions = append(versions, version)
			}
			if got := strings.Join(versions, " "); got != list || len(r.Header["Webhook-Signature"]) != 1 {
				t.Errorf("signed by %q, want %q", got, list)
			}
			for secret, accepted := range want {
				if err := r.verify(verifier(t, secret)); (err == nil) != accepted {
					t.Errorf("a receiver with %.12s: %v, want accepted: %t", secret, err, accepted)
				}
			}
		}
		once := func(id string) {
			t.Helper()
			w.send("a", id)
			if _, err := w.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		once("m1")
		check("v1 v1 v1a", map[string]bool{secretOf('o'): true, secretOf('n'): true, secretOf('x'): false,
			public(t, key): true, public(t, edKey(t)): false})
		time.Sleep(2 * time.Hour)
		once("m2")
		check("v1 v1 v1a", map[string]bool{secretOf('o'): false, secretOf('n'): true, secretOf('x'): true,
			public(t, key): true})
	})
}

// service is a key in a key service.
type service struct {
	keys.Signer
	calls int
}

func (s *service) InMemory() bool { return false }

func (s *service) Sign(ctx context.Context, message []byte) ([]byte, error) {
	s.calls++
	return s.Signer.Sign(ctx, message)
}

// A key service signs 4,096 bytes and no more: the message dies before the service is called.
func TestServiceSignsShortMessagesOnly(t *testing.T) {
	for size, want := range map[int]sender.State{4096: sender.Delivered, 4097: sender.Dead} {
		bubble(fmt.Sprint(size), t, func(t *testing.T) {
			key := &service{Signer: edKey(t)}
			e := endpoint("a")
			var err error
			if e.Signing, err = sender.StandardWebhooks(nil, key); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, sender.Options{}, e)
			before := fmt.Sprintf("m1.%d.", time.Now().Unix())
			m := sender.Message{ID: "m1", Body: []byte(strings.Repeat("x", size-len(before)))}
			if err := w.Send(t.Context(), "a", m); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			if a := w.attempts[0]; a.State != want || len(w.got) != key.calls {
				t.Errorf("reported as %+v, %d calls, %d requests", a, key.calls, len(w.got))
			}
			if want == sender.Dead && (key.calls != 0 || w.dead()["m1"] != sender.CauseSigning) {
				t.Errorf("%d calls, dead %v", key.calls, w.dead())
			}
		})
	}
}

// A receiver with the same Profile verifies each attempt of a large body, and handles both as one delivery.
func TestHTTPSignature(t *testing.T) {
	for _, alg := range []keys.Algorithm{keys.Ed25519, "ES256"} {
		bubble(string(alg), t, func(t *testing.T) {
			local, err := keys.GenerateSigner(alg, "hooks")
			if err != nil {
				t.Fatal(err)
			}
			e := endpoint("a")
			if e.Signing, err = sender.HTTPSignature(&service{Signer: local}, nil); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, sender.Options{}, e)
			w.answer = func(*request) *http.Response { return status(503) }
			m := sender.Message{ID: "m1", Body: bytes.Repeat([]byte("x"), sender.MaxBody)}
			if err := w.Send(t.Context(), "a", m); err != nil {
				t.Fatal(err)
			}
			w.run(10 * time.Second)
			profile := &httpsig.Profile{ID: "webhook-id",
				Components: []string{"@method", "@target-uri", "content-digest", "webhook-id"}}
			v, err := webhook.New(httpsig.Scheme(profile), "a",
				[]webhook.Secret{{Text: string(local.Verifier().JWK())}},
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://a.example"}})
			if err != nil {
				t.Fatal(err)
			}
			if len(w.got) != 2 {
				t.Fatalf("%d requests, want 2", len(w.got))
			}
			var replays [2]webhook.Replay
			for i, r := range w.got {
				got, err := v.Verify(t.Context(), webhook.FromHTTP(r.Request, r.body), r.at)
				if err != nil {
					t.Fatal(err)
				}
				replays[i] = got.Replay()
			}
			first, second := w.got[0].Header.Get("Signature"), w.got[1].Header.Get("Signature")
			if replays[0].Key != replays[1].Key || first == second {
				t.Error("two attempts are two deliveries, or one signature")
			}
		})
	}
}

// A Profile that does not cover the ID would have two attempts handled twice.
func TestHTTPSignatureRefuses(t *testing.T) {
	for name, p := range map[string]*httpsig.Profile{
		"the zero one":  {},
		"no ID":         {Components: []string{"@method", "@target-uri", "content-digest", "webhook-id"}},
		"not covered":   {ID: "webhook-id", Components: []string{"@method", "@target-uri", "content-digest"}},
		"another field": {ID: "x-id", Components: []string{"@method", "@target-uri", "content-digest", "x-id"}},
	} {
		if s, err := sender.HTTPSignature(edKey(t), p); err == nil || s != nil {
			t.Errorf("%s: %v, %v, want an error", name, s, err)
		}
	}
}

// failing is a Signing that fails.
type failing struct{ err error }

func (f failing) Sign(context.Context, *http.Request, []byte, time.Time) error {
	if f.err == nil {
		panic("SECRET")
	}
	return f.err
}

// A message that cannot be signed is not sent.
func TestSigningFails(t *testing.T) {
	expired, err := sender.StandardWebhooks([]webhook.Secret{{Text: secretText, NotAfter: time.Unix(1, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		signing sender.Signing
		state   sender.State
	}{
		"an error": {failing{errors.New("the service is down")}, sender.Again},
		"a panic":  {failing{}, sender.Again},
		"for ever": {failing{fmt.Errorf("x: %w", sender.ErrUnsignable)}, sender.Dead},
		"expired":  {expired, sender.Again},
	} {
		bubble(name, t, func(t *testing.T) {
			e := endpoint("a")
			e.Signing = c.signing
			w := newWorld(t, sender.Options{}, e)
			w.send("a", "m1")
			if _, err := w.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			a := w.attempts[0]
			if len(w.got) != 0 || a.Cause != sender.CauseSigning || a.State != c.state || a.StatusClass != 0 {
				t.Errorf("%d requests, reported as %+v", len(w.got), a)
			}
		})
	}
}

// slow is a Signing during which the process is frozen once.
type slow struct {
	sender.Signing
	frozen time.Duration
}

func (s *slow) Sign(ctx context.Context, req *http.Request, body []byte, at time.Time) error {
	time.Sleep(s.frozen)
	s.frozen = 0
	return s.Signing.Sign(context.WithoutCancel(ctx), req, body, at)
}

// An attempt that could not end within the lease is not made: another worker may make it.
func TestLateAttemptIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endpoint("a")
		e.Signing = &slow{e.Signing, lease - timeout + time.Second}
		w := newWorld(t, sender.Options{}, e)
		w.send("a", "m1")
		if _, err := w.Once(t.Context()); err != nil || len(w.got)+len(w.attempts) != 0 {
			t.Errorf("%d requests, %d attempts, %v, want none", len(w.got), len(w.attempts), err)
		}
		time.Sleep(timeout)
		if _, err := w.Once(t.Context()); err != nil || len(w.got) != 1 || w.attempts[0].Number != 1 {
			t.Errorf("%d requests, %+v, %v, want the first attempt", len(w.got), w.attempts, err)
		}
	})
}

func TestStandardWebhooksRefuses(t *testing.T) {
	p256, err := keys.GenerateSigner("ES256", "hooks")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		secrets []webhook.Secret
		signers []keys.Signer
	}{
		"nothing":           {},
		"an empty secret":   {secrets: []webhook.Secret{{}}},
		"a public key":      {secrets: []webhook.Secret{{Text: public(t, edKey(t))}}},
		"a short secret":    {secrets: []webhook.Secret{{Text: "whsec_c2hvcnQ="}}},
		"a P-256 key":       {signers: []keys.Signer{p256}},
		"a nil key":         {signers: []keys.Signer{nil}},
		"a bad one beside":  {secrets: []webhook.Secret{{ID: "1", Text: secretText}, {ID: "2", Text: "x"}}},
		"a nil pointer key": {signers: []keys.Signer{(*keys.LocalSigner)(nil)}},
	} {
		if s, err := sender.StandardWebhooks(c.secrets, c.signers...); err == nil || s != nil {
			t.Errorf("%s: %v, %v, want an error", name, s, err)
		}
	}
}

// Nothing prints a secret, a token in a URL, or a body.
func TestNothingIsShown(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	text := "whsec_" + base64.StdEncoding.EncodeToString(secret)
	signing, err := sender.StandardWebhooks([]webhook.Secret{{Text: text}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := sender.NewLocalKey("2026", secret)
	if err != nil {
		t.Fatal(err)
	}
	body := string(secret)
	m := sender.Message{ID: "m", Body: secret}
	d := sender.Delivery{Key: sender.Key{Endpoint: "a", ID: "m"}, Body: secret}
	e := sender.Endpoint{ID: "a", URL: "https://a.example/" + body, Signing: signing}
	for _, v := range []any{signing, e, &e, m, &m, d, &d, sender.Taken{Delivery: d},
		sender.DeadDelivery{Delivery: d}, key} {
		for _, text := range secrettest.Prints(v) {
			secrettest.NotShown(t, fmt.Sprintf("%T", v), text, secret, body)
		}
	}
}
