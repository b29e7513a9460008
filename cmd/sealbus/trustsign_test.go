package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Junk under Bob's key ID is no signature of Bob's, and is not told as one.
func TestSignTellsNoForgedSigner(t *testing.T) {
	b := newBench(t)
	bob, err := trust.GenerateRootKey(keys.Ed25519)
	b.check(err)
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: b.now, Expires: b.now.Add(48 * time.Hour)})
	b.check(err)
	forged := &dsse.Envelope{
		PayloadType: trust.BundleType, Payload: bundle.Payload(),
		Signatures: []dsse.Signature{{KeyID: bob.Verifier().KeyID(), Sig: []byte("not a signature")}},
	}
	b.check(os.WriteFile(b.path("t.dsse"), forged.Append(nil), 0o600))
	b.must("", "trust", "root", "new", "--out", b.path("alice"), "--insecure-no-passphrase")
	alice := b.must("", "trust", "sign", "--root", b.path("alice"), "--insecure-no-passphrase", b.path("t.dsse"))
	if strings.Contains(alice, bob.Verifier().KeyID()) || strings.Contains(alice, "signed by") || !strings.Contains(alice, "1 signature more, not verified here") {
		t.Errorf("without --roots:\n%s", alice)
	}
	public, err := os.ReadFile(b.path("alice.pub"))
	b.check(err)
	v, err := keys.ParseJWK(public)
	b.check(err)
	roots, err := trust.NewRoots(1, 2, v, bob.Verifier())
	b.check(err)
	b.check(os.WriteFile(b.path("roots.json"), roots.Payload(), 0o600))
	var told signedResult
	out := b.must("", "trust", "sign", "--root", b.path("alice"), "--insecure-no-passphrase", "--roots", b.path("roots.json"), "--output", "json", b.path("t.dsse"))
	b.check(json.Unmarshal([]byte(out), &told))
	if len(told.SignedBy) != 1 || told.SignedBy[0] != v.KeyID() || told.Threshold != 2 || told.Unverified != 1 || len(told.Added) != 0 || len(told.Already) != 1 {
		t.Errorf("with --roots: %+v", told)
	}
}
