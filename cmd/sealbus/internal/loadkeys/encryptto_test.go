package loadkeys_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys/trust"
)

// TestEncryptToRefuses: whom to encrypt to is never guessed, and no private key is taken for a public one.
func TestEncryptToRefuses(t *testing.T) {
	b := clitest.New(t)
	identity := b.SecretOrg()
	private, err := identity.UnsafePrivateJWK()
	b.Check(err)
	b.Check(os.WriteFile(b.Path("private.jwk"), private, 0o600))
	b.Check(os.WriteFile(b.Path("private.jwks"), []byte(`{"keys":[`+string(private)+`]}`), 0o600))
	b.Check(os.WriteFile(b.Path("empty"), nil, 0o600))
	b.Must("", "keys", "export", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase", "--out",
		b.Path("shop.pub.json"))
	public := b.Path("billing.pub.json")
	for name, test := range map[string]struct {
		args []string
		code int
		want string // in the error
		fix  string // in the advice
	}{
		"a private JWK": {[]string{"--encrypt-to", b.Path("private.jwk")}, ui.ExitUsage,
			"private.jwk: this is a private key", "sealbus keys export"},
		"a private JWK Set": {[]string{"--encrypt-to", b.Path("private.jwks")}, ui.ExitUsage,
			"private.jwks: this is a private key", "sealbus keys export"},
		"a keyring": {[]string{"--encrypt-to", b.Path("billing.keyring")}, ui.ExitUsage,
			"billing.keyring is a keyring, with private keys", "sealbus keys export --keyring "},
		"a signing key": {[]string{"--encrypt-to", b.Path("shop.pub.json")}, ui.ExitUsage,
			"is for signing", "keys new --use enc"},
		"a bundle": {[]string{"--encrypt-to", b.Path("trust.dsse")}, ui.ExitUsage,
			"this is a signed trust bundle, not public keys", "sealbus keys export"},
		"an empty file": {[]string{"--encrypt-to", b.Path("empty")}, ui.ExitUsage, "empty is empty",
			"check what should have written it"},
		"no such file": {[]string{"--encrypt-to", b.Path("nowhere.json")}, ui.ExitUsage,
			"there is no such file", "check the path"},
		"a name without a trust": {[]string{"--encrypt-to", "billing"}, ui.ExitUsage, "needs a trust bundle",
			"add --trust and --roots"},
		"an unknown name": {b.WithTrust("--encrypt-to", "biling"), ui.ExitUsage,
			"lists no key of such a consumer", "sealbus trust add --consumer biling"},
		"twice, by file": {[]string{"--encrypt-to", public, "--encrypt-to", public}, ui.ExitUsage,
			"is given twice", "name each recipient once"},
		"twice, by name": {b.WithTrust("--encrypt-to", "billing", "--encrypt-to", "billing"),
			ui.ExitUsage, "billing: it is given twice", "name each recipient once"},
		"fields to no one": {[]string{"--field", "/item"}, ui.ExitUsage, "--field needs a recipient",
			"add --encrypt-to"},
		"trust for no one": {b.WithTrust(), ui.ExitUsage, "to look up whom to encrypt to",
			"or drop them"},
		"half a trust": {[]string{"--encrypt-to", "billing", "--trust", b.Path("trust.dsse")},
			ui.ExitUsage, "belong together", "add the other"},
		"no pointer": {[]string{"--encrypt-to", public, "--field", "item"}, ui.ExitUsage,
			`--field "item"`, "write it like /card/number"},
		"no such field": {[]string{"--encrypt-to", public, "--field", "/iban"}, ui.ExitRejected,
			`--field: there is nothing at "/iban"`, "correct --field, or the data"},
		"one field in another": {[]string{"--encrypt-to", public, "--field", "/item", "--field", "/item"},
			ui.ExitRejected, "--field", "correct --field, or the data"},
		"fields of exact data": {[]string{"--encrypt-to", public, "--field", "/item", "--exact"},
			ui.ExitRejected, "not with Exact", "correct --field, or the data"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.On(t)
			r := b.Run(clitest.OrderEvent, b.Seal(append(test.args, "--output", "json")...)...)
			var e ui.ErrorResult
			b.Check(json.Unmarshal([]byte(r.Stdout), &e))
			if r.Code != test.code || !strings.Contains(e.Message, test.want) ||
				!strings.Contains(e.Fix, test.fix) {
				t.Errorf("exit %d, %+v", r.Code, e)
			}
			if d := privatePart(t, private); strings.Contains(r.Stdout+r.Stderr, d) {
				t.Error("the private key is in the error")
			}
		})
	}
}

func privatePart(t *testing.T, jwk []byte) string {
	var k struct{ D string }
	if err := json.Unmarshal(jwk, &k); err != nil || k.D == "" {
		t.Fatalf("no d: %v", err)
	}
	return k.D
}

// TestIdentityRefuses: a wrong identity is no verdict on the event.
func TestIdentityRefuses(t *testing.T) {
	b := clitest.New(t)
	private, err := b.SecretOrg().UnsafePrivateJWK()
	b.Check(err)
	sealed := b.Must(clitest.OrderEvent, b.Seal("--encrypt-to", b.Path("billing.pub.json"))...)
	write := func(name, text string) string {
		b.Check(os.WriteFile(b.Path(name), []byte(text), 0o600))
		return b.Path(name)
	}
	good := write("private.jwk", string(private))
	spoiled := write("spoiled.jwk", strings.Replace(string(private), `"crv":"P-256"`, `"crv":"X25519"`, 1))
	for name, test := range map[string]struct {
		args []string
		code int
		want string
		fix  string
	}{
		"a private JWK": {[]string{"--identity", good}, ui.ExitDone, "decrypted: the data", ""},
		"a private JWK Set": {[]string{"--identity", write("set", `{"keys":[`+string(private)+`]}`)},
			ui.ExitDone, "decrypted: the data", ""},
		"two, of which one": {[]string{"--identity", write("other.jwk", clitest.OtherIdentity(t)),
			"--identity", good}, ui.ExitDone, "decrypted: the data", ""},
		"a public key": {[]string{"--identity", b.Path("billing.pub.json")}, ui.ExitUsage,
			"is a public JWK: it opens nothing", "the file that has the private half"},
		"a producer's keyring": {[]string{"--identity", b.Path("shop.keyring"), "--insecure-no-passphrase"},
			ui.ExitUsage, "keyring of producer shop", "give the consumer's keyring"},
		"no passphrase": {[]string{"--identity", b.Path("billing.keyring")}, ui.ExitUsage,
			"and is not encrypted", "--insecure-no-passphrase"},
		"no such file": {[]string{"--identity", b.Path("nowhere")}, ui.ExitUsage, "does not exist",
			"keys new --use enc"},
		"an event": {[]string{"--identity", write("event", clitest.OrderEvent)}, ui.ExitUsage,
			"is an event: it opens nothing", "X25519 or P-256"},
		"a broken key": {[]string{"--identity", spoiled}, ui.ExitUsage, "spoiled.jwk: ",
			"X25519 or P-256"},
		"nothing to open": {[]string{"--identity", good, "--keep-encrypted"}, ui.ExitUsage,
			"leaves nothing to do", "drop one"},
		"no pointer": {[]string{"--identity", good, "--require-encrypted-field", "item"},
			ui.ExitUsage, "--require-encrypted-field", "write it like /card/number"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.On(t)
			r := b.Run(sealed, b.Open(clitest.OrderSource, test.args...)...)
			if r.Code != test.code || !strings.Contains(r.Stderr, test.want) ||
				!strings.Contains(r.Stderr, test.fix) {
				t.Errorf("exit %d, %s", r.Code, r.Stderr)
			}
			if strings.Contains(r.Stdout+r.Stderr, privatePart(t, private)) {
				t.Error("the private key is in the error")
			}
		})
	}
}

// TestRecipientWithoutKey: a consumer whose keys are all over is not left out in silence.
func TestRecipientWithoutKey(t *testing.T) {
	b := clitest.New(t)
	identity := b.SecretOrg()
	b.TrustWith([]*trust.Key{{Recipient: identity.Recipient(), Consumer: "billing",
		Revoked: &trust.Revocation{At: b.Now, Reason: "stolen"}}})
	r := b.Run(clitest.OrderEvent, b.Seal(b.WithTrust("--encrypt-to", "billing")...)...)
	if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "retired, expired or revoked") ||
		!strings.Contains(r.Stderr, "have the consumer make a key") {
		t.Errorf("exit %d, %s", r.Code, r.Stderr)
	}
}
