package sender_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

func localKey(t *testing.T, seed byte) *sender.LocalKey {
	t.Helper()
	k, err := sender.NewLocalKey("2026", bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var someSecret = webhook.Secret{ID: "2026", Text: secretText, NotBefore: time.Unix(1_700_000_000, 0).UTC(),
	NotAfter: time.Unix(1_800_000_000, 0).UTC()}

func TestSealSecret(t *testing.T) {
	ctx, key := t.Context(), localKey(t, 1)
	sealed, err := sender.SealSecret(ctx, key, "tenant-a", someSecret)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sender.OpenSecret(ctx, key, "tenant-a", sealed)
	if err != nil || got != someSecret {
		t.Errorf("opened as %+v, %v", got, err)
	}
	if strings.Contains(string(sealed), secretText) {
		t.Error("the sealed secret shows the secret")
	}
	again, err := sender.SealSecret(ctx, key, "tenant-a", someSecret)
	if err != nil || bytes.Equal(again, sealed) {
		t.Errorf("the same text twice, %v", err)
	}
}

// A secret opens for its own endpoint, under its own key, and unchanged.
func TestOpenSecretRefuses(t *testing.T) {
	ctx, key := t.Context(), localKey(t, 1)
	sealed, err := sender.SealSecret(ctx, key, "tenant-a", someSecret)
	if err != nil {
		t.Fatal(err)
	}
	other, err := sender.NewLocalKey("2027", bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	rebound := bindTo(t, sealed, "urn:sealbus:webhook-endpoint:tenant-b")
	for name, c := range map[string]struct {
		key      *sender.LocalKey
		endpoint string
		doc      []byte
	}{
		"another endpoint":         {key, "tenant-b", sealed},
		"bound to another one":     {key, "tenant-b", rebound},
		"another key":              {localKey(t, 2), "tenant-a", sealed},
		"a key of another name":    {other, "tenant-a", sealed},
		"nothing":                  {key, "tenant-a", nil},
		"not a JWE":                {key, "tenant-a", []byte(`{}`)},
		"cut off":                  {key, "tenant-a", sealed[:len(sealed)-2]},
		"the text of the endpoint": {key, "tenant-a", []byte("tenant-a")},
	} {
		got, err := sender.OpenSecret(ctx, c.key, c.endpoint, c.doc)
		if !errors.Is(err, sender.ErrNotSealed) || got != (webhook.Secret{}) {
			t.Errorf("%s: %+v, %v, want ErrNotSealed", name, got, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if got, err := sender.OpenSecret(ctx, key, "tenant-a", changed); !errors.Is(err, sender.ErrNotSealed) ||
			got != (webhook.Secret{}) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

// bindTo changes what a sealed secret says that it is bound to.
func bindTo(t *testing.T, sealed []byte, to string) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(sealed, &doc); err != nil {
		t.Fatal(err)
	}
	doc["aad"] = base64url(to)
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSealSecretRefuses(t *testing.T) {
	ctx, key := t.Context(), localKey(t, 1)
	for name, c := range map[string]struct {
		endpoint string
		secret   webhook.Secret
	}{
		"no endpoint":   {"", someSecret},
		"a blank":       {"a b", someSecret},
		"an empty text": {"a", webhook.Secret{ID: "1"}},
	} {
		if out, err := sender.SealSecret(ctx, key, c.endpoint, c.secret); err == nil || out != nil {
			t.Errorf("%s: %q, %v, want an error", name, out, err)
		}
	}
	for name, secret := range map[string][]byte{
		"short": bytes.Repeat([]byte{1}, 31), "zeros": make([]byte, 32), "nil": nil,
	} {
		if k, err := sender.NewLocalKey("a", secret); err == nil || k != nil {
			t.Errorf("%s: a key was made", name)
		}
	}
}

// The store has no body in the clear, and a body that was put elsewhere, or changed, is not sent.
func TestEncryptBodies(t *testing.T) {
	ctx := t.Context()
	memory := sender.NewMemory(nil)
	s, err := sender.EncryptBodies(memory, localKey(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	want := sender.Want{Most: 1, Lease: time.Minute}
	d := delivery("a", "1", "the body of the first message")
	if err := s.Put(ctx, d); err != nil {
		t.Fatal(err)
	}
	list, err := memory.Take(ctx, want)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	stored := list[0].Delivery
	if bytes.Contains(stored.Body, []byte("first")) || stored.Digest == d.Digest {
		t.Error("the store has the body or its digest in the clear")
	}
	changed := bytes.Clone(stored.Body)
	changed[len(changed)-1] ^= 1
	for id, body := range map[string][]byte{"moved": stored.Body, "changed": changed, "short": []byte("x")} {
		if err := memory.Put(ctx, delivery("a", id, string(body))); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Take(ctx, want); err != nil || len(got) != 0 {
			t.Errorf("%s: %v, %v, want nothing", id, got, err)
		}
	}
	dead, err := s.Dead(ctx, sender.Key{}, 10)
	if err != nil || len(dead) != 3 {
		t.Fatalf("dead: %v, %v", dead, err)
	}
	for _, d := range dead {
		if d.Cause != sender.CauseUnreadable || len(d.Body) == 0 {
			t.Errorf("dead: %v, %s, %d bytes", d.Key, d.Cause, len(d.Body))
		}
	}
}
