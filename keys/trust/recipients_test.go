package trust

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

func encryptionKey(t testing.TB, consumer string, schedule keys.Schedule) *Key {
	return &Key{Recipient: mustIdentity(t, keys.X25519).Recipient(), Consumer: consumer, Schedule: schedule}
}

func TestBundleRecipients(t *testing.T) {
	old, next, steady := encryptionKey(t, "billing",
		keys.Schedule{Active: day(0), Retired: day(3), Expired: day(9)}),
		encryptionKey(t, "billing", keys.Schedule{Published: day(1), Active: day(2)}),
		encryptionKey(t, "steady", keys.Schedule{})
	revoked := encryptionKey(t, "gone", keys.Schedule{})
	revoked.Revoked = &Revocation{At: day(1), Reason: "stolen"}
	if _, err := NewBundle(BundleOptions{}, encryptionKey(t, "later",
		keys.Schedule{Published: day(4), Active: day(3)})); err == nil {
		t.Error("a schedule out of order is accepted")
	}
	b, err := NewBundle(BundleOptions{}, old, next, steady, revoked,
		encryptionKey(t, "later", keys.Schedule{Published: day(4)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		consumer string
		now      time.Time
		want     []*Key
	}{
		{"billing", day(0), []*Key{old}}, {"billing", day(1.5), []*Key{old}},
		{"billing", day(2), []*Key{old, next}},
		{"billing", day(3), []*Key{next}}, {"steady", day(99), []*Key{steady}},
	} {
		got, err := b.Recipients(c.consumer, c.now)
		if err != nil || len(got) != len(c.want) {
			t.Fatalf("%s at %s: %v, %v", c.consumer, c.now, got, err)
		}
		for _, want := range c.want {
			if got[0].KeyID() != want.Recipient.KeyID() && got[len(got)-1].KeyID() != want.Recipient.KeyID() {
				t.Errorf("%s at %s: %s is missing", c.consumer, c.now, want.KeyID())
			}
		}
		if len(got) == 2 && got[0].KeyID() > got[1].KeyID() {
			t.Error("not in the order of the IDs")
		}
	}
	for _, c := range []struct {
		consumer string
		now      time.Time
		says     string
	}{
		{"nobody", day(1), "lists none"}, {"", day(1), "lists none"}, {"Billing", day(1), "lists none"},
		{"billing", day(-1), "2026-01-01T00:00:00Z"},
		{"gone", day(0), "revoked"}, {"later", day(3), "2026-01-05T00:00:00Z"},
	} {
		if got, err := b.Recipients(c.consumer, c.now); !errors.Is(err, ErrNoRecipient) || got != nil ||
			!strings.Contains(err.Error(), c.says) {
			t.Errorf("%s at %s: %v, %v", c.consumer, c.now, got, err)
		}
	}
}

// Producers encrypt to a tainted key only if the consumer has no other.
func TestTaintedRecipients(t *testing.T) {
	good, bad := encryptionKey(t, "billing", keys.Schedule{}), encryptionKey(t, "billing", keys.Schedule{})
	bad.Tainted = true
	for name, list := range map[string][]*Key{"beside another": {bad, good}, "alone": {bad}} {
		b, err := NewBundle(BundleOptions{}, list...)
		if err != nil {
			t.Fatal(err)
		}
		want := list[len(list)-1].KeyID()
		if got, err := b.Recipients("billing", day(0)); err != nil || len(got) != 1 || got[0].KeyID() != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestExpiredBundleHasNoRecipients(t *testing.T) {
	key := encryptionKey(t, "billing", keys.Schedule{})
	b, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7)}, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Recipients("billing", day(7).Add(-time.Second)); err != nil || len(got) != 1 {
		t.Errorf("before its end: %v, %v", got, err)
	}
	if got, err := b.Recipients("billing", day(7)); !errors.Is(err, ErrUnavailable) ||
		errors.Is(err, ErrNoRecipient) || got != nil {
		t.Errorf("at its end: %v, %v", got, err)
	}
}

func TestBundleEncryptionKeysComeBack(t *testing.T) {
	one := encryptionKey(t, "billing", fullSchedule)
	one.Revoked = &Revocation{At: day(1), Reason: "stolen"}
	two := &Key{Recipient: mustIdentity(t, keys.P256).Recipient(), Consumer: "audit/eu"}
	b, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7)}, one, two,
		testKey(t, keys.Ed25519, nil))
	if err != nil {
		t.Fatal(err)
	}
	payload := b.Payload()
	one.Revoked.Reason, one.Consumer = "x", "evil"
	if !bytes.Equal(b.Payload(), payload) {
		t.Error("changing the caller's key changed the bundle")
	}
	back, err := ParseBundle(payload)
	if err != nil || !bytes.Equal(back.Payload(), payload) || len(back.EncryptionKeys()) != 2 ||
		len(back.SigningKeys()) != 1 {
		t.Fatalf("the bundle does not come back: %v", err)
	}
	for i, k := range back.EncryptionKeys() {
		want := b.EncryptionKeys()[i].append(nil, new(keydoc.Object))
		if got := k.append(nil, new(keydoc.Object)); !bytes.Equal(got, want) || back.Lookup(k.KeyID()) != nil {
			t.Errorf("%s came back as %s, or verifies", want, got)
		}
	}
	if got := back.EncryptionKeys()[0].StateAt(day(1)); got != back.EncryptionKeys()[0].Schedule.StateAt(day(1)) && got != keys.StateRevoked {
		t.Errorf("state %s", got)
	}
}

func TestBundleRefusesEncryptionKeys(t *testing.T) {
	good := encryptionKey(t, "billing", keys.Schedule{})
	shared := mustGenerate(t, keys.ES256)
	public, err := keys.ParseRecipientJWK(bytes.Replace(bytes.Replace(shared.Verifier().JWK(),
		[]byte(`"alg":"ES256",`), nil, 1), []byte(`"use":"sig",`), nil, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]*Key{
		"nil": {nil}, "no recipient": {{Consumer: "billing"}}, "no consumer": {{Recipient: good.Recipient}},
		"bad name": {{Recipient: good.Recipient, Consumer: "a b"}},
		"twice":    {good, good}, "two consumers": {good, {Recipient: good.Recipient, Consumer: "audit"}},
		"revoked without a time": {{Recipient: good.Recipient, Consumer: "a", Revoked: &Revocation{}}},
		"for signing too":        {{Recipient: public, Consumer: "a"}},
	} {
		signing := &Key{Verifier: shared.Verifier(), Producer: "orders"}
		if _, err := NewBundle(BundleOptions{}, append(slices.Clone(list), signing)...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	b, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7)}, good)
	if err != nil {
		t.Fatal(err)
	}
	payload := string(b.Payload())
	for name, c := range map[string]struct{ old, new string }{
		"unknown member": {`"use":"enc"`, `"use":"enc","w":1`},
		"sources":        {`"use":"enc"`, `"sources":["a"],"use":"enc"`},
		"producer":       {`"use":"enc"`, `"producer":"a","use":"enc"`},
		"no consumer":    {`"consumer":"billing",`, ``}, "consumer a number": {`"billing"`, `7`},
		"private": {`"kid":`, `"d":"AAAA","kid":`}, "no alg": {`"alg":"ECDH-ES+A256KW",`, ``},
		"another alg": {`ECDH-ES+A256KW`, `ECDH-ES`}, "kid is not the ID": {good.KeyID(), thumbprintOf(nil)},
		"no kid": {`"kid":"` + good.KeyID() + `",`, ``},
		"no use": {`"use":"enc",`, ``}, "use sig": {`"use":"enc"`, `"use":"sig"`},
		"key_ops": {`"kty"`, `"key_ops":["deriveKey"],"kty"`}, "x of another key": {`"x":"`, `"x":"A`},
	} {
		changed := strings.Replace(payload, c.old, c.new, 1)
		if changed == payload {
			t.Fatalf("%s: nothing was changed in %s", name, payload)
		}
		wantWhy(t, name, parseErr(changed), WhyMalformed)
	}
}
