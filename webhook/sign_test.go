package webhook_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
)

// TestSignMakesThePublishedSignatures: the headers of the specification, byte by byte.
func TestSignMakesThePublishedSignatures(t *testing.T) {
	seen := 0
	for _, c := range readVectors(t) {
		if c.Provider != "standardwebhooks" {
			continue
		}
		seen++
		text := c.Secret + c.PrivateKey
		got, err := webhook.Sign(c.Headers["webhook-id"], time.Unix(c.Now, 999), []byte(c.Body),
			[]webhook.Secret{{Text: text}})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got {
			if want := c.Headers[strings.ToLower(f.Name)]; f.Value != want || want == "" {
				t.Errorf("%s: %q, want %q", f.Name, f.Value, want)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d cases", seen)
	}
}

// TestSignWithSecretsSideBySide: each that is valid at the time signs.
func TestSignWithSecretsSideBySide(t *testing.T) {
	const public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	const private = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	secrets := []webhook.Secret{{ID: "a", Text: standardSecret(t, "one"), NotAfter: now},
		{ID: "b", Text: private}, {ID: "c", Text: standardSecret(t, "two"), NotBefore: now.Add(1)}}
	got, err := webhook.Sign("msg_1", now, []byte("{}"), secrets)
	if err != nil {
		t.Fatal(err)
	}
	items := strings.Split(got[2].Value, " ")
	if len(items) != 2 || !strings.HasPrefix(items[0], "v1,") || !strings.HasPrefix(items[1], "v1a,") {
		t.Fatal(items)
	}
	for _, text := range []string{standardSecret(t, "one"), public} {
		v, err := webhook.New(find(t, "standardwebhooks").scheme, "in", []webhook.Secret{{Text: text}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := reason(t, v, webhook.Request{Header: got, Body: []byte("{}")}, now); got != "" {
			t.Error(got)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	good := webhook.Secret{Text: standardSecret(t, "one")}
	for name, c := range map[string]struct {
		id     string
		at     time.Time
		secret webhook.Secret
	}{
		"no ID":          {"", now, good},
		"a dot":          {"a.b", now, good},
		"a blank":        {"a b", now, good},
		"a comma":        {"a,b", now, good},
		"a line":         {"a\nb", now, good},
		"a long ID":      {strings.Repeat("a", 257), now, good},
		"no time":        {"a", time.Time{}, good},
		"text":           {"a", now, webhook.Secret{Text: "secret"}},
		"a public key":   {"a", now, webhook.Secret{Text: "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="}},
		"a short secret": {"a", now, webhook.Secret{Text: "whsec_AAAA"}},
		"a seed alone":   {"a", now, webhook.Secret{Text: "whsk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="}},
		"two halves":     {"a", now, webhook.Secret{Text: "whsk_" + strings.Repeat("A", 86) + "=="}},
		"no secret":      {"a", now, webhook.Secret{}},
		"an old secret":  {"a", now, webhook.Secret{Text: good.Text, NotAfter: now.Add(-1)}},
	} {
		if got, err := webhook.Sign(c.id, c.at, nil, []webhook.Secret{c.secret}); err == nil || got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSecretsOfJWKSet: the Ed25519 keys of a published set verify; other keys are left out.
func TestSecretsOfJWKSet(t *testing.T) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	verifier, err := keys.NewVerifier(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	const p256 = `{"kty":"EC","crv":"P-256","use":"sig","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",` +
		`"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`
	set := fmt.Sprintf(`{"keys":[%s,%s]}`, p256, verifier.JWK())
	secrets, err := webhook.SecretsOf([]byte(set))
	if err != nil || len(secrets) != 1 || secrets[0].ID != verifier.KeyID() {
		t.Fatal(secrets, err)
	}
	v, err := webhook.New(find(t, "standardwebhooks").scheme, "in", secrets, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("whsk_%s", b64(private))
	headers, err := webhook.Sign("msg_1", now, []byte("{}"), []webhook.Secret{{Text: text}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(context.Background(), webhook.Request{Header: headers, Body: []byte("{}")}, now)
	if err != nil || got.KeyID != verifier.KeyID() {
		t.Error(got, err)
	}
	for _, doc := range []string{"", "{}", `{"keys":[` + p256 + `]}`} {
		if _, err := webhook.SecretsOf([]byte(doc)); err == nil {
			t.Errorf("%s has secrets", doc)
		}
	}
}
