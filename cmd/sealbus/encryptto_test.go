package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// TestEncryptToRefuses: whom to encrypt to is never guessed, and no private key is taken for a public one.
func TestEncryptToRefuses(t *testing.T) {
	b := newBench(t)
	identity := b.secretOrg()
	private, err := identity.UnsafePrivateJWK()
	b.check(err)
	b.check(os.WriteFile(b.path("private.jwk"), private, 0o600))
	b.check(os.WriteFile(b.path("private.jwks"), []byte(`{"keys":[`+string(private)+`]}`), 0o600))
	b.check(os.WriteFile(b.path("empty"), nil, 0o600))
	b.must("", "keys", "export", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase", "--out", b.path("shop.pub.json"))
	public := b.path("billing.pub.json")
	for name, test := range map[string]struct {
		args []string
		code int
		want string // in the error
		fix  string // in the advice
	}{
		"a private JWK":          {[]string{"--encrypt-to", b.path("private.jwk")}, exitUsage, "private.jwk: this is a private key", "sealbus keys export"},
		"a private JWK Set":      {[]string{"--encrypt-to", b.path("private.jwks")}, exitUsage, "private.jwks: this is a private key", "sealbus keys export"},
		"a keyring":              {[]string{"--encrypt-to", b.path("billing.keyring")}, exitUsage, "billing.keyring is a keyring, with private keys", "sealbus keys export --keyring "},
		"a signing key":          {[]string{"--encrypt-to", b.path("shop.pub.json")}, exitUsage, "is for signing", "keys new --use enc"},
		"a bundle":               {[]string{"--encrypt-to", b.path("trust.dsse")}, exitUsage, "this is a signed trust bundle, not public keys", "sealbus keys export"},
		"an empty file":          {[]string{"--encrypt-to", b.path("empty")}, exitUsage, "empty is empty", "check what should have written it"},
		"no such file":           {[]string{"--encrypt-to", b.path("nowhere.json")}, exitUsage, "there is no such file", "check the path"},
		"a name without a trust": {[]string{"--encrypt-to", "billing"}, exitUsage, "needs a trust bundle", "add --trust and --roots"},
		"an unknown name":        {b.withTrust("--encrypt-to", "biling"), exitUsage, "lists no key of such a consumer", "sealbus trust add --consumer biling"},
		"twice, by file":         {[]string{"--encrypt-to", public, "--encrypt-to", public}, exitUsage, "is given twice", "name each recipient once"},
		"twice, by name":         {b.withTrust("--encrypt-to", "billing", "--encrypt-to", "billing"), exitUsage, "billing: it is given twice", "name each recipient once"},
		"fields to nobody":       {[]string{"--field", "/item"}, exitUsage, "nobody to encrypt it to", "add --encrypt-to"},
		"trust for nobody":       {b.withTrust(), exitUsage, "to look up whom to encrypt to", "or drop them"},
		"half a trust":           {[]string{"--encrypt-to", "billing", "--trust", b.path("trust.dsse")}, exitUsage, "belong together", "add the other"},
		"no pointer":             {[]string{"--encrypt-to", public, "--field", "item"}, exitUsage, `--field "item"`, "write it like /card/number"},
		"no such field":          {[]string{"--encrypt-to", public, "--field", "/iban"}, exitRejected, `--field: there is nothing at "/iban"`, "correct --field, or the data"},
		"one field in another":   {[]string{"--encrypt-to", public, "--field", "/item", "--field", "/item"}, exitRejected, "--field", "correct --field, or the data"},
		"fields of exact data":   {[]string{"--encrypt-to", public, "--field", "/item", "--exact"}, exitRejected, "not with Exact", "correct --field, or the data"},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			r := b.run(orderEvent, b.seal(append(test.args, "--output", "json")...)...)
			var e errorResult
			b.check(json.Unmarshal([]byte(r.stdout), &e))
			if r.code != test.code || !strings.Contains(e.Message, test.want) || !strings.Contains(e.Fix, test.fix) {
				t.Errorf("exit %d, %+v", r.code, e)
			}
			if d := privatePart(t, private); strings.Contains(r.stdout+r.stderr, d) {
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

// A file that lies in the directory by chance, or by somebody's design, is not taken for the consumer of that
// name.
func TestEncryptToIsNotGuessed(t *testing.T) {
	b := newBench(t)
	b.secretOrg()
	stranger, err := keys.GenerateIdentity(keys.X25519)
	b.check(err)
	t.Chdir(b.dir)
	b.check(os.WriteFile("billing", stranger.Recipient().JWK(), 0o600))
	r := b.run(orderEvent, b.seal(b.withTrust("--encrypt-to", "billing")...)...)
	if r.code != exitUsage || !strings.Contains(r.stderr, "both a file here and a consumer in the bundle") || !strings.Contains(r.stderr, "write ./billing for the file") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	if e := b.inspectJSON(b.must(orderEvent, b.seal(b.withTrust("--encrypt-to", "./billing")...)...)).Sealed.Encryption; e.Recipients[0].KeyID != stranger.Recipient().KeyID() {
		t.Errorf("%+v", e)
	}
}

// TestIdentityRefuses: a wrong identity is no verdict on the event.
func TestIdentityRefuses(t *testing.T) {
	b := newBench(t)
	private, err := b.secretOrg().UnsafePrivateJWK()
	b.check(err)
	sealed := b.must(orderEvent, b.seal("--encrypt-to", b.path("billing.pub.json"))...)
	write := func(name, text string) string {
		b.check(os.WriteFile(b.path(name), []byte(text), 0o600))
		return b.path(name)
	}
	good := write("private.jwk", string(private))
	spoiled := write("spoiled.jwk", strings.Replace(string(private), `"crv":"P-256"`, `"crv":"X25519"`, 1))
	for name, test := range map[string]struct {
		args []string
		code int
		want string
		fix  string
	}{
		"a private JWK":        {[]string{"--identity", good}, exitDone, "decrypted: the data", ""},
		"a private JWK Set":    {[]string{"--identity", write("set", `{"keys":[`+string(private)+`]}`)}, exitDone, "decrypted: the data", ""},
		"two, of which one":    {[]string{"--identity", write("other.jwk", otherIdentity(t)), "--identity", good}, exitDone, "decrypted: the data", ""},
		"a public key":         {[]string{"--identity", b.path("billing.pub.json")}, exitUsage, "is a public JWK: it opens nothing", "the file that has the private half"},
		"a producer's keyring": {[]string{"--identity", b.path("shop.keyring"), "--insecure-no-passphrase"}, exitUsage, "keyring of producer shop", "give the consumer's keyring"},
		"no passphrase":        {[]string{"--identity", b.path("billing.keyring")}, exitUsage, "and is not encrypted", "--insecure-no-passphrase"},
		"no such file":         {[]string{"--identity", b.path("nowhere")}, exitUsage, "does not exist", "keys new --use enc"},
		"an event":             {[]string{"--identity", write("event", orderEvent)}, exitUsage, "is an event: it opens nothing", "X25519 or P-256"},
		"a broken key":         {[]string{"--identity", spoiled}, exitUsage, "spoiled.jwk: ", "X25519 or P-256"},
		"nothing to open":      {[]string{"--identity", good, "--keep-encrypted"}, exitUsage, "leaves nothing to do", "drop one"},
		"no pointer":           {[]string{"--identity", good, "--require-encrypted-field", "item"}, exitUsage, "--require-encrypted-field", "write it like /card/number"},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			r := b.run(sealed, b.open(orderSource, test.args...)...)
			if r.code != test.code || !strings.Contains(r.stderr, test.want) || !strings.Contains(r.stderr, test.fix) {
				t.Errorf("exit %d, %s", r.code, r.stderr)
			}
			if strings.Contains(r.stdout+r.stderr, privatePart(t, private)) {
				t.Error("the private key is in the error")
			}
		})
	}
}

func otherIdentity(t *testing.T) string {
	t.Helper()
	i, err := keys.GenerateIdentity(keys.X25519)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := i.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	return string(jwk)
}

// TestRecipientWithoutKey: a consumer whose keys are all over is not left out in silence.
func TestRecipientWithoutKey(t *testing.T) {
	b := newBench(t)
	identity := b.secretOrg()
	b.trustWith([]*trust.Key{{Recipient: identity.Recipient(), Consumer: "billing", Revoked: &trust.Revocation{At: b.now, Reason: "stolen"}}})
	r := b.run(orderEvent, b.seal(b.withTrust("--encrypt-to", "billing")...)...)
	if r.code != exitUsage || !strings.Contains(r.stderr, "retired, expired or revoked") || !strings.Contains(r.stderr, "have the consumer make a key") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}

func TestPublishEncrypted(t *testing.T) {
	b, bus := newShop(t, nil)
	identity := b.secretOrg()
	if r := b.run(order("o-1"), b.publish(bus, "--encrypt-to", "nobody")...); r.code != exitUsage {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	b.must(order("o-1")+"\n"+order("o-2"), b.publish(bus, b.withTrust("--encrypt-to", "billing", "--field", "/item", "--layout", "embedded")...)...)
	bus.drain()
	if len(bus.got) != 2 {
		t.Fatalf("%d deliveries", len(bus.got))
	}
	jwk, err := identity.UnsafePrivateJWK()
	b.check(err)
	b.check(os.WriteFile(b.path("private.jwk"), jwk, 0o600))
	for _, delivery := range bus.got {
		if strings.Contains(delivery, "chair") || !strings.Contains(delivery, `"total":12.5`) {
			t.Errorf("%s", delivery)
		}
		if out := b.must(delivery, b.open(orderSource, "--identity", b.path("private.jwk"))...); !strings.Contains(out, `"item":"chair"`) {
			t.Errorf("%s", out)
		}
	}
}

func TestListenDecrypts(t *testing.T) {
	b := newBench(t)
	b.secretOrg()
	seal := func(id string, more ...string) string { return b.must(order(id), b.seal(more...)...) }
	to := []string{"--encrypt-to", b.path("billing.pub.json")}
	receiver := newReceiver(t, 200)
	l := b.serve("--identity", b.path("billing.keyring"), "--insecure-no-passphrase", "--require-encrypted-field", "/item", "--forward-to", receiver.URL, "--output", "json")
	if status, h := l.post(seal("o-1", to...)); status != 200 || h.Encryption == nil || h.Encryption.Fields != nil || h.Encryption.OpenedWith == "" {
		t.Errorf("%d, %+v", status, h)
	}
	if status, h := l.post(seal("o-2")); status == 200 || h.Reason != envelope.ReasonNotEncrypted {
		t.Errorf("%d, %+v", status, h)
	}
	if got := receiver.received(); len(got) != 1 || !strings.Contains(got[0], "chair") {
		t.Errorf("forwarded %q", got)
	}
	blind := b.serve()
	if status, h := blind.post(seal("o-3", to...)); status == 200 || h.Reason != envelope.ReasonNotARecipient {
		t.Errorf("%d, %+v", status, h)
	}
	if l := b.listen("--http", "1", "--require-encrypted"); l.wait() != exitUsage || !strings.Contains(l.stderr.String(), "add --identity KEY") {
		t.Errorf("%s", l.stderr.String())
	}
}

// TestQuarantineOfEncrypted: without an identity a record is judged as far as that goes, and can be reopened;
// with one it is seen whether it opens.
func TestQuarantineOfEncrypted(t *testing.T) {
	q := inDir(t)
	q.secretOrg()
	sealed := q.must(order("o-1"), q.seal("--encrypt-to", q.path("billing.pub.json"))...)
	blind := q.consumer("billing", replay.NewMemory(nil), nil)
	r, err := blind.Handle(t.Context(), consumer.Message{Body: []byte(sealed)}, func(context.Context, consumer.Delivery[[]byte]) error { return nil })
	if err != nil || r.Reason() != envelope.ReasonNotARecipient || r.Outcome != consumer.Quarantined {
		t.Fatalf("%+v, %v", r, err)
	}
	id := q.ids()[0]
	show := func(more ...string) (v recordView) {
		r := q.run("", q.command("show", append(append(more, q.trustFlags()...), "--output", "json", id)...)...)
		q.check(json.Unmarshal([]byte(r.stdout), &v))
		return v
	}
	if v := show(); v.Now.Verdict != "verified" || !v.Now.Unread {
		t.Errorf("%+v", v.Now)
	}
	if v := show("--identity", q.path("billing.keyring"), "--insecure-no-passphrase"); v.Now.Verdict != "verified" || v.Now.Unread {
		t.Errorf("%+v", v.Now)
	}
	other := filepath.Join(q.dir, "other.jwk")
	q.check(os.WriteFile(other, []byte(otherIdentity(t)), 0o600))
	if v := show("--identity", other); v.Now.Reason != envelope.ReasonNotARecipient {
		t.Errorf("%+v", v.Now)
	}
	q.must("", q.command("reopen", append(q.trustFlags(), "--to-queue", q.queue, id)...)...)
	if n := len(q.received()); n != 1 {
		t.Errorf("%d records were sent", n)
	}
}

// secretOrg makes an organisation whose producer is shop and whose consumer is billing: keyrings, public
// halves, trust.
func (b *bench) secretOrg() *keys.LocalIdentity {
	b.t.Helper()
	_ = os.Remove(b.path("shop.keyring")) // of an organisation without secrets
	insecure := keys.PrivateFileOptions{InsecureNoPassphrase: true}
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.check(err)
	_, err = keys.CreateKeyring(b.path("shop.keyring"), "", "shop", &keys.KeyringOptions{PrivateFileOptions: insecure, Key: signer})
	b.check(err)
	identity, err := keys.GenerateIdentity(keys.P256)
	b.check(err)
	_, err = keys.CreateConsumerKeyring(b.path("billing.keyring"), "", "billing", &keys.ConsumerKeyringOptions{PrivateFileOptions: insecure, Identity: identity})
	b.check(err)
	b.check(os.WriteFile(b.path("billing.pub.json"), identity.Recipient().JWK(), 0o600))
	b.trustWith([]*trust.Key{{Recipient: identity.Recipient(), Consumer: "billing"}},
		&trust.Key{Verifier: signer.Verifier(), Producer: "shop", Sources: []string{orderSource}, Types: []string{"*"}})
	return identity
}

func (b *bench) withTrust(args ...string) []string {
	return append(args, "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"))
}

func (b *bench) inspectJSON(doc string, args ...string) inspected {
	b.t.Helper()
	var v inspected
	b.check(json.Unmarshal([]byte(b.must(doc, append([]string{"inspect", "--output", "json"}, args...)...)), &v))
	return v
}
