package keys

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
)

func TestParseRecipientJWK(t *testing.T) {
	for name, doc := range map[string]string{
		"X25519": goodX25519, "P-256": goodEC, "use": with(goodX25519, `"use":"enc"`),
		"alg":         with(goodEC, `"alg":"ECDH-ES+A256KW"`),
		"another kid": with(goodEC, `"kid":"mine"`), "no key_ops": with(goodEC, `"key_ops":[]`),
		"deriveBits":    with(goodX25519, `"key_ops":["deriveBits"]`),
		"other members": with(goodX25519, `"x5c":["AAAA"],"z":{"d":1}`), "white space": " " + goodX25519 +
			"\n",
	} {
		r, err := ParseRecipientJWK([]byte(doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !jsontext.Value(r.JWK()).IsCanonical() || r.KeyID() != thumbprintOf(r) {
			t.Errorf("%s: %s is not canonical, or has another ID", name, r.JWK())
		}
		if again, err := ParseRecipientJWK(r.JWK()); err != nil || again.KeyID() != r.KeyID() ||
			!bytes.Equal(again.JWK(), r.JWK()) {
			t.Errorf("%s: does not come back: %v", name, err)
		}
	}
	x := func(raw string) string { return `{"kty":"OKP","crv":"X25519","x":"` + base64URL([]byte(raw)) + `"}` }
	refused := map[string]string{
		"nothing": ``, "null": `null`, "Ed25519": goodOKP,
		"X448":  strings.Replace(goodX25519, "X25519", "X448", 1),
		"P-384": strings.Replace(goodEC, "P-256", "P-384", 1),
		"AKP":   `{"kty":"AKP","alg":"ML-DSA-65","pub":"AAAA"}`, "RSA": `{"kty":"RSA","n":"AQAB","e":"AQAB"}`,
		"private": with(goodX25519, `"d":"AAAA"`), "private of another type": with(goodX25519, `"k":"AAAA"`),
		"priv":    with(goodX25519, `"priv":"AAAA"`),
		"use sig": with(goodX25519, `"use":"sig"`), "alg ECDH-ES": with(goodX25519, `"alg":"ECDH-ES"`),
		"alg dir": with(goodEC, `"alg":"dir"`), "alg ES256": with(goodEC, `"alg":"ES256"`),
		"key_ops": with(goodEC, `"key_ops":["verify"]`), "pub": with(goodEC, `"pub":"AAAA"`),
		"off the curve": strings.Replace(goodEC, `"DHgr`, `"DHgs`, 1),
		"short":         `{"kty":"OKP","crv":"X25519","x":"AAAA"}`, "no x": `{"kty":"OKP","crv":"X25519"}`,
		"y": with(goodX25519, `"y":"AAAA"`), "empty y": with(goodX25519, `"y":""`),
		"no y":                 `{"kty":"EC","crv":"P-256","x":"Z805D3eqNZywjCI19lInBJOp7YMrCrzAH3CVTAOQ0jg"}`,
		"lopsided coordinates": `{"kty":"EC","crv":"P-256","x":"Z805D3eqNZywjCI19lInBJOp7YMrCrzAH3CVTAOQ0jgM","y":"eCvVTiaRJaRPRDOv8UMs6U4SvKc6pnrIDOoSYI3fdA"}`,
		"x padded":             strings.Replace(goodX25519, `Tmo"`, `Tmo="`, 1),
		"x trailing bits":      strings.Replace(goodX25519, `Tmo"`, `Tmp"`, 1),
		"x twice":              with(goodX25519, `"x":"AAAA"`),
		"the prime":            x("\xed" + strings.Repeat("\xff", 30) + "\x7f"),
		"beyond the prime":     x("\xf6" + strings.Repeat("\xff", 30) + "\x7f"),
		"all ones":             x(strings.Repeat("\xff", 32)),
		"top bit":              x("\x09" + strings.Repeat("\x00", 30) + "\x80"),
	}
	for i, u := range smallOrder {
		refused["small order "+string(rune('0'+i))] = x(u)
	}
	for name, doc := range refused {
		if _, err := ParseRecipientJWK([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestSmallOrder: those points are what they are said to be, and give no secret.
func TestSmallOrder(t *testing.T) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range smallOrder {
		public, err := ecdh.X25519().NewPublicKey([]byte(u))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.ECDH(public); err == nil {
			t.Errorf("point %d gives a secret", i)
		}
	}
}

func TestNewRecipientRefuses(t *testing.T) {
	p384, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, public := range map[string]*ecdh.PublicKey{"nil": nil, "P-384": p384.PublicKey()} {
		if _, err := NewRecipient(public); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, private := range map[string]*ecdh.PrivateKey{"nil": nil, "P-384": p384} {
		if _, err := NewLocalIdentity(private); err == nil {
			t.Errorf("%s: accepted as an identity", name)
		}
	}
	for _, c := range []Curve{"", "P-384", "Ed25519", Curve(strings.Repeat("x", 1000))} {
		if _, err := GenerateIdentity(c); err == nil || len(err.Error()) > 200 {
			t.Errorf("%.10s: %v", c, err)
		}
	}
}

func mustIdentity(t testing.TB, c Curve) *LocalIdentity {
	t.Helper()
	i, err := GenerateIdentity(c)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// RFC 7748 section 6.1: Alice and Bob.
func TestRFC7748(t *testing.T) {
	const alice = `{"kty":"OKP","crv":"X25519","d":"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo","x":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}`
	i, err := ParseIdentityJWK([]byte(alice))
	if err != nil {
		t.Fatal(err)
	}
	bob, err := ecdh.X25519().NewPublicKey(unhexT(t,
		"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := i.ECDH(t.Context(), bob)
	if err != nil || !bytes.Equal(secret, unhexT(t,
		"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")) {
		t.Errorf("the secret is not that of RFC 7748: %v", err)
	}
}

func TestParseIdentityJWK(t *testing.T) {
	for _, curve := range Curves() {
		i := mustIdentity(t, curve)
		good, err := i.UnsafePrivateJWK()
		if err != nil {
			t.Fatal(err)
		}
		other, err := mustIdentity(t, curve).UnsafePrivateJWK()
		if err != nil {
			t.Fatal(err)
		}
		secret := func(jwk []byte) []byte { k, _ := parseJWK(jwk); return k.d }
		d := base64URL(secret(good))
		for name, doc := range map[string]string{
			"public":           string(i.Recipient().JWK()),
			"d of another key": strings.Replace(string(good), d, base64URL(secret(other)), 1),
			"d short":          strings.Replace(string(good), d, "AAAA", 1),
			"d long":           strings.Replace(string(good), d, base64URL(append(secret(good), 0)), 1),
			"priv":             strings.Replace(string(good), `"d"`, `"priv"`, 1),
			"d twice":          with(string(good), `"d":"`+d+`"`),
			"use sig":          strings.Replace(string(good), `"enc"`, `"sig"`, 1),
			"d not base64":     strings.Replace(string(good), d, d+"!", 1), "trailing": string(good) +
				string(good),
		} {
			_, err := ParseIdentityJWK([]byte(doc))
			if err == nil {
				t.Errorf("%s %s: accepted", curve, name)
			} else {
				secrettest.NotShown(t, name, err.Error(), secret(good), passphrase)
			}
		}
		back, err := ParseIdentityJWK(good)
		if err != nil || back.Recipient().KeyID() != i.Recipient().KeyID() {
			t.Errorf("%s: %v", curve, err)
		}
		if _, err := ParsePrivateJWK(good, "p"); err == nil {
			t.Errorf("%s: an identity is accepted as a signing key", curve)
		}
		type holder struct {
			i    *LocalIdentity
			v    LocalIdentity
			s    Identity
			zero LocalIdentity
		}
		for _, text := range secrettest.Prints(holder{i, *i, i, LocalIdentity{}}) {
			secrettest.NotShown(t, "holder", text, secret(good), passphrase)
		}
		for _, text := range append(secrettest.Prints(i), secrettest.Prints(LocalIdentity{})...) {
			secrettest.NotShown(t, "LocalIdentity", text, secret(good), passphrase)
		}
	}
}

// go-jose reads our public and private keys on P-256 and writes ones that we read.
func TestRecipientAgainstOracle(t *testing.T) {
	i := mustIdentity(t, P256)
	private, err := i.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range [][]byte{i.Recipient().JWK(), private} {
		var theirs jose.JSONWebKey
		if err := json.Unmarshal(doc, &theirs); err != nil || !theirs.Valid() ||
			theirs.KeyID != i.Recipient().KeyID() || theirs.Use != "enc" {
			t.Fatalf("go-jose: %v", err)
		}
		public := theirs.Public()
		written, err := public.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseRecipientJWK(written); err != nil || back.KeyID() != i.Recipient().KeyID() {
			t.Errorf("%s: %v", written, err)
		}
	}
}

func newConsumerRing(t testing.TB, opts KeyringOptions) *Keyring {
	t.Helper()
	opts.PrivateFileOptions = cheap
	k, err := CreateConsumerKeyring(filepath.Join(t.TempDir(), "ring"), passphrase, "billing", &opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestConsumerKeyringComesBack(t *testing.T) {
	first, second := mustIdentity(t, X25519), mustIdentity(t, P256)
	ring := newConsumerRing(t, KeyringOptions{Key: first, Schedule: fullSchedule})
	if err := ring.Add(second, Schedule{Active: day(2)}); err != nil {
		t.Fatal(err)
	}
	back, err := OpenKeyring(ring.path, passphrase, nil)
	if err != nil {
		t.Fatal(err)
	}
	if back.Consumer() != "billing" || back.Producer() != "" || len(back.PublicKeys()) != 2 ||
		back.PublicKeys()[1].Verifier != nil || back.PublicKeys()[0].Schedule != fullSchedule {
		t.Errorf("came back as %v", back)
	}
	for _, i := range []*LocalIdentity{first, second} {
		found, ok := back.find(i.Recipient().KeyID())
		if !ok || !found.identity.private().Equal(i.private()) {
			t.Errorf("identity %v is not found", i)
		}
		if _, ok := back.Find(i.Recipient().KeyID()); ok {
			t.Errorf("%v is found as a signer", i)
		}
	}
	if got := len(back.Identities(fullSchedule.Expired.Add(-time.Second))); got != 2 {
		t.Errorf("%d identities", got)
	}
	if got := back.Identities(fullSchedule.Expired); len(got) != 1 ||
		got[0].Recipient().KeyID() != second.Recipient().KeyID() {
		t.Errorf("%v: an identity that has expired, or none", got)
	}
	if _, err := back.Signers(day(3)); !errors.Is(err, ErrNoSigner) ||
		!strings.Contains(err.Error(), "consumer") {
		t.Errorf("signers of a consumer's keyring: %v", err)
	}
	for _, text := range secrettest.Prints(back) {
		secrettest.NotShown(t, "ring", text, first.private().Bytes(), passphrase)
		secrettest.NotShown(t, "ring", text, second.private().Bytes(), passphrase)
	}
}

func TestKeyringOfOneOwner(t *testing.T) {
	producer, consumer := newRing(t, KeyringOptions{}), newConsumerRing(t, KeyringOptions{})
	if producer.Add(mustIdentity(t, X25519), Schedule{}) == nil ||
		consumer.Add(mustGenerate(t, Ed25519), Schedule{}) == nil || consumer.Add(nil, Schedule{}) == nil {
		t.Error("a key that is not the owner's is added")
	}
	i := mustIdentity(t, P256)
	if err := consumer.Add(i, Schedule{}); err != nil {
		t.Fatal(err)
	}
	if consumer.Add(i, Schedule{}) == nil || consumer.Add(mustIdentity(t, P256),
		Schedule{Active: day(2), Retired: day(1)}) == nil {
		t.Error("an identity is added twice, or with a schedule out of order")
	}
	if _, err := CreateConsumerKeyring(filepath.Join(t.TempDir(), "ring"), passphrase, "", nil); err == nil {
		t.Error("a keyring of nobody")
	}
	plain, err := consumer.plain(consumer.keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseKeyring(plain); err != nil {
		t.Fatal(err)
	}
	signer, err := newRing(t, KeyringOptions{Key: mustGenerate(t, ES256)}).keys[0].append(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := string(plain)
	for name, c := range map[string]struct{ old, new string }{
		"two owners": {`],"version"`, `],"producer":"orders","version"`},
		"no owner":   {`"consumer":"billing",`, ``}, "of a producer": {`"consumer":"billing",`, ``},
		"sources": {`],"version"`, `],"sources":["a"],"version"`}, "bad name": {`"billing"`, `"bil ling"`},
		"a signing key": {`"keys":[`, `"keys":[` + string(signer) + `,`},
		"use sig":       {`"use":"enc"`, `"use":"sig"`}, "no alg": {`"alg":"ECDH-ES+A256KW",`, ``},
		"no private half": {`"d":`, `"dd":`},
	} {
		changed := strings.Replace(good, c.old, c.new, 1)
		if name == "of a producer" {
			changed = strings.Replace(changed, `],"version"`, `],"producer":"billing","version"`, 1)
		}
		if changed == good {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := parseKeyring([]byte(changed)); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			secrettest.NotShown(t, name, err.Error(), i.private().Bytes(), passphrase)
		}
	}
	secrettest.Misplace(t, plain, func(doc []byte) error { _, err := parseKeyring(doc); return keydoc.Unquoted(err) })
}

// TestKeyringSignsHybrid: of the two kinds of algorithms one key signs each.
func TestKeyringSignsHybrid(t *testing.T) {
	ring := newRing(t, KeyringOptions{})
	ids := map[string]string{}
	for _, k := range []struct {
		alg      Algorithm
		schedule Schedule
	}{{Ed25519, Schedule{Retired: day(6)}}, {MLDSA65, Schedule{Active: day(1)}},
		{ES256, Schedule{Active: day(2), Retired: day(6)}},
		{MLDSA65, Schedule{Active: day(3), Retired: day(4)}}} {
		s := mustGenerate(t, k.alg)
		ids[s.Verifier().KeyID()] = string(k.alg) + " " + s.Verifier().KeyID()[:4]
		if err := ring.Add(s, k.schedule); err != nil {
			t.Fatal(err)
		}
	}
	all := ring.PublicKeys()
	for _, c := range []struct {
		now  time.Time
		want []int
	}{{day(0), []int{0}}, {day(1), []int{0, 1}}, {day(2), []int{2, 1}}, {day(3), []int{2, 3}},
		{day(4), []int{2, 1}}, {day(6), []int{1}}} {
		got, err := ring.Signers(c.now)
		if err != nil || len(got) != len(c.want) {
			t.Fatalf("%s: %v, %v", c.now, got, err)
		}
		for i, s := range got {
			if s.Verifier().KeyID() != all[c.want[i]].Verifier.KeyID() {
				t.Errorf("%s: signer %d is %s", c.now, i, ids[s.Verifier().KeyID()])
			}
		}
	}
}

func thumbprintOf(r *Recipient) string { return thumbprint(r.thumbprintJWK()) }
