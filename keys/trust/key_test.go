package trust

import (
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
)

func TestAllowsAccount(t *testing.T) {
	for _, c := range []struct {
		name     string
		accounts []string
		account  string
		want     bool
	}{
		{"unchecked", nil, "", true}, {"unchecked, named", nil, "111122223333", true},
		{"none", []string{}, "111122223333", false}, {"none, unnamed", []string{}, "", false},
		{"listed", []string{"1", "111122223333"}, "111122223333", true},
		{"not listed", []string{"111122223333"}, "444455556666", false},
		{"unnamed", []string{"111122223333"}, "", false}, {"empty entry", []string{""}, "", false},
	} {
		if got := (&Key{Accounts: c.accounts}).AllowsAccount(c.account); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestStateOfRevokedKey(t *testing.T) {
	for _, k := range []*Key{testKey(t, keys.Ed25519, nil), encEntry(t)} {
		k.Schedule = fullSchedule
		for _, now := range []time.Time{day(0), day(1), day(2), day(3), day(4)} {
			if got, want := k.StateAt(now), fullSchedule.StateAt(now); got != want {
				t.Errorf("%s: %s, want %s", now, got, want)
			}
		}
		k.Revoked = &Revocation{At: day(9)}
		for _, now := range []time.Time{day(0), day(1), day(2), day(3), day(4)} {
			if got := k.StateAt(now); got != keys.StateRevoked {
				t.Errorf("%s: %s although revoked", now, got)
			}
		}
	}
}

// An entry has one use, and the members of that use only.
func TestKeyHasOneUse(t *testing.T) {
	signing, encryption := testKey(t, keys.Ed25519, nil), encEntry(t)
	for name, change := range map[string]func(s, e *Key){
		"a recipient of a producer":   func(s, e *Key) { s.Recipient = e.Recipient },
		"a consumer's signing key":    func(s, e *Key) { s.Consumer = "billing" },
		"a producer's encryption key": func(s, e *Key) { e.Producer = "orders" },
		"sources":                     func(s, e *Key) { e.Sources = []string{"urn:a"} },
		"no types":                    func(s, e *Key) { e.Types = []string{} },
		"accounts":                    func(s, e *Key) { e.Accounts = []string{} },
		"aliases":                     func(s, e *Key) { e.Aliases = []string{"a"} },
	} {
		s, e := *signing, *encryption
		if _, err := NewBundle(BundleOptions{}, &s, &e); err != nil {
			t.Fatalf("%s: before the change: %v", name, err)
		}
		change(&s, &e)
		if _, err := NewBundle(BundleOptions{}, &s, &e); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
