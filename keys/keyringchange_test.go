package keys

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func ids(k *Keyring) (list []string) {
	for _, p := range k.PublicKeys() {
		list = append(list, p.KeyID())
	}
	return list
}

// A change is whole: a new key, new schedules and removed keys are in the file together, or none of them is.
func TestKeyringChange(t *testing.T) {
	first, second, third := mustGenerate(t, Ed25519), mustGenerate(t, Ed25519), mustGenerate(t, ES256)
	ring := newRing(t, KeyringOptions{Key: first})
	id := func(s *LocalSigner) string { return s.Verifier().KeyID() }
	end := Schedule{Retired: day(2), Expired: day(3)}
	if err := ring.Apply(&Change{Add: second, Schedule: Schedule{Active: day(1)},
		Reschedule: map[string]Schedule{id(first): end}}); err != nil {
		t.Fatal(err)
	}
	if err := ring.Apply(&Change{Add: third, Remove: []string{id(first)}}); err != nil {
		t.Fatal(err)
	}
	want := []string{id(second), id(third)}
	back, err := OpenKeyring(ring.path, passphrase, nil)
	if err != nil || !slices.Equal(ids(back), want) || !slices.Equal(ids(ring), want) {
		t.Errorf("%v, %v, %v", ids(back), ids(ring), err)
	}
	before, err := os.ReadFile(ring.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Change{
		"no such key to reschedule": {Add: mustGenerate(t, Ed25519), Reschedule: map[string]Schedule{id(first): {}}},
		"no such key to remove":     {Add: mustGenerate(t, Ed25519), Remove: []string{id(first)}},
		"removed twice":             {Remove: []string{id(second), id(second)}},
		"removed and rescheduled":   {Remove: []string{id(second)}, Reschedule: map[string]Schedule{id(second): {}}},
		"there already":             {Add: second, Remove: []string{id(third)}},
		"disordered":                {Reschedule: map[string]Schedule{id(second): {Retired: day(2), Expired: day(1)}}},
	} {
		_, err := ring.With(c)
		if ring.Apply(c) == nil || err == nil || !slices.Equal(ids(ring), want) {
			t.Errorf("%s: %v, %v", name, ids(ring), err)
		}
	}
	if after, err := os.ReadFile(ring.path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a refused change changed the file: %v", err)
	}
}

// A keyring that is kept elsewhere gives the content to store there, and stays as it is.
func TestKeyringWith(t *testing.T) {
	ring := newRing(t, KeyringOptions{Key: mustGenerate(t, Ed25519)})
	content, err := os.ReadFile(ring.path)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := ParseKeyring(content, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	c := &Change{Add: mustGenerate(t, Ed25519)}
	if err := stored.Apply(c); !errors.Is(err, errNoFile) {
		t.Errorf("without a file: %v", err)
	}
	next, err := stored.With(c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseKeyring(next, passphrase)
	if err != nil || len(back.PublicKeys()) != 2 || len(stored.PublicKeys()) != 1 {
		t.Errorf("%v, %v, %v", back, stored, err)
	}
	if err := stored.Rewrap(passphrase, nil); !errors.Is(err, errNoFile) {
		t.Errorf("Rewrap without a file: %v", err)
	}
}

// A new passphrase opens the file from then on, and the old one does not.
func TestKeyringRewrap(t *testing.T) {
	ring := newRing(t, KeyringOptions{Key: mustGenerate(t, Ed25519)})
	quick := &PrivateFileOptions{ScryptWorkFactor: 2}
	if err := ring.Rewrap("", quick); err == nil {
		t.Error("no passphrase")
	}
	if err := ring.Rewrap("another", quick); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(ring.path, passphrase, nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("the old passphrase: %v", err)
	}
	if err := ring.Add(mustGenerate(t, Ed25519), Schedule{}); err != nil {
		t.Fatal(err)
	}
	back, err := OpenKeyring(ring.path, "another", nil)
	if err != nil || len(back.PublicKeys()) != 2 {
		t.Fatalf("%v, %v", back, err)
	}
	if err := back.Rewrap("", &PrivateFileOptions{InsecureNoPassphrase: true}); err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(ring.path)
	if err != nil || !strings.HasPrefix(string(plain), `{"keys":`) {
		t.Errorf("%.20q, %v", plain, err)
	}
	if err := ring.Rewrap("third", quick); err == nil {
		t.Error("a file that another program changed was replaced")
	}
}
