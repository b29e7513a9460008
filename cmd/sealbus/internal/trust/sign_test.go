package trust_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/trust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// A root holder who does not say yes signs nothing, and the key is opened only after that.
func TestSignAsksBeforeAKeyIsOpened(t *testing.T) {
	b := clitest.New(t)
	b.Must("", "trust", "root", "new", "--out", b.Path("alice"), "--insecure-no-passphrase")
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: b.Now, Expires: b.Now.Add(48 * time.Hour)})
	b.Check(err)
	unsigned := &dsse.Envelope{PayloadType: keydoc.BundleType, Payload: bundle.Payload(),
		Signatures: []dsse.Signature{{KeyID: "x", Sig: []byte("not a signature")}}}
	before := unsigned.Append(nil)
	for _, c := range []struct {
		key, answer string
		code        int
		signed      bool
	}{
		{"alice", "no", ui.ExitUsage, false}, {"alice", "", ui.ExitUsage, false}, {"alice", "yes\n", ui.ExitDone, true},
		{"missing", "no", ui.ExitUsage, false},
	} {
		b.Check(os.WriteFile(b.Path("t.dsse"), before, 0o600))
		f := &clitest.FakeRun{Typed: []string{c.answer}}
		code := f.Run(t, "trust", "sign", "--show", "--root", b.Path(c.key), "--insecure-no-passphrase", b.Path("t.dsse"))
		after, err := os.ReadFile(b.Path("t.dsse"))
		b.Check(err)
		told := f.Stderr.String()
		if code != c.code || (string(after) != string(before)) != c.signed || !strings.Contains(told, "a trust bundle, version 1") ||
			strings.Contains(told, "not signed: the answer was not yes") == c.signed {
			t.Errorf("%s, %q: exit %d, %s", c.key, c.answer, code, told)
		}
	}
}

// Junk under Bob's key ID is no signature of Bob's, and is not told as one.
func TestSignTellsNoForgedSigner(t *testing.T) {
	b := clitest.New(t)
	bob, err := trust.GenerateRootKey(keys.Ed25519)
	b.Check(err)
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: b.Now,
		Expires: b.Now.Add(48 * time.Hour)})
	b.Check(err)
	forged := &dsse.Envelope{
		PayloadType: keydoc.BundleType, Payload: bundle.Payload(),
		Signatures: []dsse.Signature{{KeyID: bob.Verifier().KeyID(), Sig: []byte("not a signature")}},
	}
	b.Check(os.WriteFile(b.Path("t.dsse"), forged.Append(nil), 0o600))
	b.Must("", "trust", "root", "new", "--out", b.Path("alice"), "--insecure-no-passphrase")
	alice := b.Must("", "trust", "sign", "--root", b.Path("alice"), "--insecure-no-passphrase",
		b.Path("t.dsse"))
	if strings.Contains(alice, bob.Verifier().KeyID()) || strings.Contains(alice, "signed by") ||
		!strings.Contains(alice, "1 signature more, not verified here") {
		t.Errorf("without --roots:\n%s", alice)
	}
	public, err := os.ReadFile(b.Path("alice.pub"))
	b.Check(err)
	v, err := keys.ParseJWK(public)
	b.Check(err)
	roots, err := trust.NewRoots(1, 2, v, bob.Verifier())
	b.Check(err)
	b.Check(os.WriteFile(b.Path("roots.json"), roots.Payload(), 0o600))
	var told cmd.SignedResult
	out := b.Must("", "trust", "sign", "--root", b.Path("alice"), "--insecure-no-passphrase", "--roots",
		b.Path("roots.json"), "--output", "json", b.Path("t.dsse"))
	b.Check(json.Unmarshal([]byte(out), &told))
	if len(told.SignedBy) != 1 || told.SignedBy[0] != v.KeyID() || told.Threshold != 2 ||
		told.Unverified != 1 || len(told.Added) != 0 || len(told.Already) != 1 {
		t.Errorf("with --roots: %+v", told)
	}
}
