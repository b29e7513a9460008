package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/sealbus/sealbus/keys"
)

// TestMLDSAEverywhere: a key of this algorithm goes wherever others go.
func TestMLDSAEverywhere(t *testing.T) {
	dir := t.TempDir()
	if _, err := CreateRootKey(filepath.Join(dir, "root"), "p", keys.MLDSA65,
		&keys.PrivateFileOptions{ScryptWorkFactor: 1}); err != nil {
		t.Fatal(err)
	}
	root, err := OpenRootKey(filepath.Join(dir, "root"), "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := ParseRoots(mustRoots(t, 1, 1, root).Payload())
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBundle(BundleOptions{Version: 1, Issued: day(0), Expires: day(7)},
		testKey(t, keys.MLDSA65, nil), testKey(t, keys.Ed25519, nil), testKey(t, keys.ES256, nil))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := SignBundle(context.Background(), b, root)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := OpenBundle(signed, roots, at(day(1)))
	if err != nil || !bytes.Equal(opened.Payload(), b.Payload()) {
		t.Fatalf("the bundle does not come back: %v", err)
	}
	ring, err := keys.CreateKeyring(filepath.Join(dir, "ring"), "p", "orders",
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 1},
			Key: mustGenerate(t, keys.MLDSA65)})
	if err != nil {
		t.Fatal(err)
	}
	again, err := keys.OpenKeyring(filepath.Join(dir, "ring"), "p", nil)
	if err != nil || again.PublicKeys()[0].Verifier.KeyID() != ring.PublicKeys()[0].Verifier.KeyID() {
		t.Fatalf("the keyring does not come back: %v", err)
	}
}

// The plain set is for libraries of which some refuse all of it for one key type that they do not know.
func TestJWKSLeavesOutWhatOthersDoNotKnow(t *testing.T) {
	b, err := NewBundle(BundleOptions{}, testKey(t, keys.MLDSA65, nil), testKey(t, keys.Ed25519, nil))
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b.JWKS(nil), &set); err != nil || len(set.Keys) != 1 {
		t.Errorf("%d keys, %v", len(set.Keys), err)
	}
	all := b.JWKS(func(*Key) bool { return true })
	if !bytes.Contains(all, []byte(`"AKP"`)) {
		t.Error("what is asked for is left out")
	}
	if json.Unmarshal(all, &set) == nil {
		t.Error("go-jose knows AKP now: leave nothing out")
	}
}
