package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"

	"filippo.io/edwards25519"
	"github.com/go-jose/go-jose/v4"
)

func unhexT(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// testdata/vectors.json: RFC 8032 section 7.1, RFC 6979 appendix A.2.5 (P-256 with SHA-256), RFC 8037
// appendix A, RFC 7638 section 3.1.
type vectors struct {
	Ed25519 []struct{ Secret, Public, Message, Signature string }
	ES256   []struct{ Secret, X, Y, Message, R, S string }
	// Thumbprint: the members, as the RFC hashes them, and the result.
	Thumbprint []struct{ From, Members, Thumbprint string }
}

func loadVectors(t *testing.T) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Ed25519) < 3 || len(v.ES256) < 2 || len(v.Thumbprint) < 2 {
		t.Fatalf("vectors are missing: %+v", v)
	}
	return v
}

func TestRFC8032(t *testing.T) {
	for _, c := range loadVectors(t).Ed25519 {
		key := ed25519.NewKeyFromSeed(unhexT(t, c.Secret))
		s := mustLocal(t, key)
		if got := []byte(s.Verifier().Public().(ed25519.PublicKey)); !bytes.Equal(got, unhexT(t, c.Public)) {
			t.Errorf("public key %x", got)
		}
		checkSignature(t, s, unhexT(t, c.Message), unhexT(t, c.Signature))
	}
}

func TestRFC6979(t *testing.T) {
	for _, c := range loadVectors(t).ES256 {
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), unhexT(t, c.Secret))
		if err != nil {
			t.Fatal(err)
		}
		s := mustLocal(t, key).Deterministic()
		public, err := s.Verifier().Public().(*ecdsa.PublicKey).Bytes()
		if err != nil || !bytes.Equal(public[1:], unhexT(t, c.X+c.Y)) {
			t.Errorf("public key %x, %v", public, err)
		}
		checkSignature(t, s, []byte(c.Message), unhexT(t, c.R+c.S))
	}
}

func checkSignature(t *testing.T, s *LocalSigner, message, want []byte) {
	t.Helper()
	got, err := s.Sign(t.Context(), message)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("signature %x, want %x (%v)", got, want, err)
	}
	if !s.Verifier().Verify(message, want) {
		t.Error("the published signature does not verify")
	}
}

func TestThumbprints(t *testing.T) {
	for _, c := range loadVectors(t).Thumbprint {
		if got := thumbprint([]byte(c.Members)); got != c.Thumbprint {
			t.Errorf("%s: %s, want %s", c.From, got, c.Thumbprint)
		}
	}
}

func TestRFC8037Key(t *testing.T) {
	const private = `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	s, err := ParsePrivateJWK([]byte(private), "p")
	if err != nil {
		t.Fatal(err)
	}
	if want := "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; s.Verifier().KeyID() != want {
		t.Errorf("key ID %s", s.Verifier().KeyID())
	}
	if got := string(s.Verifier().ThumbprintJWK()); got != `{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}` {
		t.Error(got)
	}
}

// Ordinary signatures are randomised; those that ask for it are not.
func TestDeterministic(t *testing.T) {
	s := mustGenerate(t, ES256)
	sign := func(s *LocalSigner) string {
		sig, err := s.Sign(t.Context(), []byte("m"))
		if err != nil || !s.Verifier().Verify([]byte("m"), sig) {
			t.Fatal("does not verify", err)
		}
		return string(sig)
	}
	if one, two := sign(s), sign(s); one == two {
		t.Error("two randomised signatures are equal")
	}
	d := s.Deterministic()
	if one, two := sign(d), sign(d); one != two {
		t.Error("two deterministic signatures differ")
	}
	if one, two := sign(s), sign(s); one == two {
		t.Error("Deterministic changed its receiver")
	}
}

func TestVerifierRefusesWeakPoints(t *testing.T) {
	for name, h := range map[string]string{
		// The eight points of small order, and encodings of such points and others that are not canonical.
		"identity":               "0100000000000000000000000000000000000000000000000000000000000000",
		"order 2":                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 4":                "0000000000000000000000000000000000000000000000000000000000000000",
		"order 4, other":         "0000000000000000000000000000000000000000000000000000000000000080",
		"order 8, first":         "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"order 8, second":        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"order 8, third":         "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"order 8, fourth":        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"identity, not reduced":  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"y = p, not reduced":     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"x = 0 with a sign":      "0100000000000000000000000000000000000000000000000000000000000080",
		"y = p + 3, not reduced": "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"not on the curve":       "0200000000000000000000000000000000000000000000000000000000000000",
		"31 bytes":               "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc",
		"empty":                  "",
	} {
		if _, err := NewVerifier(ed25519.PublicKey(unhexT(t, h))); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	// A point of small order added to a good key gives a key of large order: accepted, as RFC 8032 does.
	good := mustGenerate(t, Ed25519).Verifier().Public().(ed25519.PublicKey)
	p, _ := new(edwards25519.Point).SetBytes(good)
	torsion, _ := new(edwards25519.Point).SetBytes(unhexT(t,
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))
	if _, err := NewVerifier(ed25519.PublicKey(p.Add(p, torsion).Bytes())); err != nil {
		t.Error(err)
	}
}

func TestVerifierRefusesOtherKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the supported ways make no point that is off the curve
	off := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	for name, k := range map[string]crypto.PublicKey{
		"P-384": &p384.PublicKey, "not on P-256": off, "nil": nil, "nil ECDSA": (*ecdsa.PublicKey)(nil),
		"text": "x", "empty ECDSA": &ecdsa.PublicKey{},
	} {
		if _, err := NewVerifier(k); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestVerifyRefusesScalarsOutOfRange(t *testing.T) {
	v := mustGenerate(t, ES256).Verifier()
	order := elliptic.P256().Params().N.FillBytes(make([]byte, 32))
	zero, one, ones := make([]byte, 32), append(make([]byte, 31), 1), bytes.Repeat([]byte{0xff}, 32)
	for _, r := range [][]byte{zero, one, order, ones} {
		for _, s := range [][]byte{zero, one, order, ones} {
			if v.Verify([]byte("m"), append(bytes.Clone(r), s...)) {
				t.Errorf("r %x, s %x verifies", r, s)
			}
		}
	}
}

// go-jose agrees on thumbprints and reads what is written; what it writes is read.
func TestJWKAgainstOracle(t *testing.T) {
	for _, alg := range []Algorithm{Ed25519, ES256} {
		for range 20 {
			s := mustGenerate(t, alg)
			var theirs jose.JSONWebKey
			if err := theirs.UnmarshalJSON(s.Verifier().JWK()); err != nil {
				t.Fatal(err)
			}
			sum, err := theirs.Thumbprint(crypto.SHA256)
			if err != nil || base64URL(sum) != s.Verifier().KeyID() || theirs.KeyID != s.Verifier().KeyID() {
				t.Errorf("%s: their thumbprint is %s (%v)", alg, base64URL(sum), err)
			}
			doc, err := jose.JSONWebKey{Key: s.Verifier().Public()}.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if v, err := ParseJWK(doc); err != nil || v.KeyID() != s.Verifier().KeyID() {
				t.Errorf("%s: their JWK %s: %v", alg, doc, err)
			}
			checkPrivateAgainstOracle(t, s)
		}
	}
}

func checkPrivateAgainstOracle(t *testing.T, s *LocalSigner) {
	t.Helper()
	doc, err := s.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	var theirs jose.JSONWebKey
	if err := theirs.UnmarshalJSON(doc); err != nil || !theirs.Valid() || theirs.IsPublic() {
		t.Fatalf("they do not read a private key: %v", err)
	}
	again, err := theirs.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParsePrivateJWK(again, "p")
	if err != nil {
		t.Fatal(err)
	}
	sig, err := back.Sign(context.Background(), []byte("m"))
	if err != nil || !s.Verifier().Verify([]byte("m"), sig) {
		t.Error("the private key came back as another", err)
	}
}

func TestForeignHalvesAreRefused(t *testing.T) {
	a, b := ed25519.NewKeyFromSeed(make([]byte, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	mixed := append(append(ed25519.PrivateKey{}, a[:32]...), b[32:]...)
	if _, err := NewLocalSigner(mixed, "p"); err == nil {
		t.Error("Ed25519: a foreign public half is accepted")
	}
	x, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	y, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	//lint:ignore SA1019 the supported ways make no key of two halves
	if _, err := NewLocalSigner(&ecdsa.PrivateKey{PublicKey: y.PublicKey, D: x.D}, "p"); err == nil {
		t.Error("ES256: a foreign public half is accepted")
	}
	if _, err := NewLocalSigner(nil, "p"); err == nil {
		t.Error("no key is accepted")
	}
	if _, err := NewLocalSigner(a[:32], "p"); err == nil {
		t.Error("a seed is accepted as a key")
	}
}

func TestCallersKeyIsCopied(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	s := mustLocal(t, key)
	public := s.Verifier().Public().(ed25519.PublicKey)
	clear(key)
	clear(public)
	sig, err := s.Sign(t.Context(), []byte("m"))
	if err != nil || !s.Verifier().Verify([]byte("m"), sig) {
		t.Error("clearing the caller's key changed the signer", err)
	}
}

func TestProducerNames(t *testing.T) {
	for _, ok := range []string{"orders", "A9", "team-a/orders.eu", "x@y", "a:b", "0_"} {
		if err := CheckProducer(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", " ", "a b", "-a", ".a", "/a", "é", "a\n", "a\x00", "a\"", "a,b",
		string(bytes.Repeat([]byte("a"), maxName+1))} {
		if CheckProducer(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
		if _, err := GenerateSigner(Ed25519, bad); err == nil {
			t.Errorf("a signer of %q is made", bad)
		}
	}
	if _, err := GenerateSigner("RS256", "p"); err == nil {
		t.Error("RS256 is accepted")
	}
}

func mustGenerate(t testing.TB, alg Algorithm) *LocalSigner {
	t.Helper()
	s, err := GenerateSigner(alg, "orders")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustLocal(t testing.TB, key crypto.Signer) *LocalSigner {
	t.Helper()
	s, err := NewLocalSigner(key, "orders")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Only a key that this process holds itself is in memory: a crypto.Signer may call another machine.
func TestInMemory(t *testing.T) {
	for _, alg := range []Algorithm{Ed25519, ES256, MLDSA65} {
		s := mustGenerate(t, alg)
		if !s.InMemory() || !s.Deterministic().InMemory() {
			t.Errorf("%s: a key that was made here is not in memory", alg)
		}
		if mustLocal(t, opaque{s.private()}).InMemory() {
			t.Errorf("%s: a key behind a crypto.Signer is in memory", alg)
		}
	}
}
