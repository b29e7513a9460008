package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"filippo.io/mldsa"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
)

// The working group's example of ML-DSA-65 in JOSE (RFC 9964; examples/jose/examples/ML_DSA_65.jose.json of
// cose-wg/draft-ietf-cose-dilithium): the key whose seed is zero, its thumbprint, and a JWS with a
// deterministic signature, of which this is the SHA-256.
const (
	rfc9964Thumbprint = "Suiu29qbfuaBaR4Ats-c6XQBePB_OpAxAwcTR_0KXVM"
	rfc9964Input      = "eyJhbGciOiJNTC1EU0EtNjUiLCJraWQiOiJTdWl1MjlxYmZ1YUJhUjRBdHMtYzZYUUJlUEJfT3BBeEF3Y1RSXzBLWFZNIn0" +
		".SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4"
	rfc9964SignatureSum = "2d3d1ba6581e89392226d707e2fe24e3326f80b9f7c6865707be9bd6f89d6ec6"
)

func zeroSeed(t testing.TB, p mldsa.Parameters) *mldsa.PrivateKey {
	t.Helper()
	key, err := mldsa.NewPrivateKey(p, make([]byte, mldsa.PrivateKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRFC9964(t *testing.T) {
	s := mustLocal(t, zeroSeed(t, mldsa.MLDSA65())).Deterministic()
	if got := s.Verifier().KeyID(); got != rfc9964Thumbprint {
		t.Errorf("key ID %s", got)
	}
	sig, err := s.Sign(t.Context(), []byte(rfc9964Input))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(sig); hex.EncodeToString(sum[:]) != rfc9964SignatureSum {
		t.Errorf("another signature: its SHA-256 is %x", sum)
	}
	if !s.Verifier().Verify([]byte(rfc9964Input), sig) {
		t.Error("the signature does not verify")
	}
}

// akpJWK is the public key of the zero seed in members that a test can change.
func akpJWK(t testing.TB) (doc, pub string) {
	pub = base64URL(zeroSeed(t, mldsa.MLDSA65()).PublicKey().Bytes())
	return `{"kty":"AKP","alg":"ML-DSA-65","pub":"` + pub + `"}`, pub
}

func TestParseAKP(t *testing.T) {
	good, pub := akpJWK(t)
	for name, doc := range map[string]string{
		"bare": good, "use": with(good, `"use":"sig"`), "kid": with(good, `"kid":"mine"`),
		"key_ops": with(good, `"key_ops":["verify"]`),
	} {
		v, err := ParseJWK([]byte(doc))
		if err != nil || v.KeyID() != rfc9964Thumbprint || v.Algorithm() != MLDSA65 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := ParseJWK(v.JWK()); err != nil || !bytes.Equal(again.JWK(), v.JWK()) {
			t.Errorf("%s: does not come back: %v", name, err)
		}
	}
	raw := zeroSeed(t, mldsa.MLDSA65()).PublicKey().Bytes()
	other := base64URL(zeroSeed(t, mldsa.MLDSA44()).PublicKey().Bytes())
	replace := func(pub string) string { return `{"kty":"AKP","alg":"ML-DSA-65","pub":"` + pub + `"}` }
	for name, doc := range map[string]string{
		"no alg":           strings.Replace(good, `"alg":"ML-DSA-65",`, ``, 1),
		"alg ML-DSA-44":    strings.Replace(good, "ML-DSA-65", "ML-DSA-44", 1),
		"alg ML-DSA-87":    strings.Replace(good, "ML-DSA-65", "ML-DSA-87", 1),
		"alg in lower":     strings.Replace(good, "ML-DSA-65", "ml-dsa-65", 1),
		"alg Ed25519":      strings.Replace(good, "ML-DSA-65", "Ed25519", 1),
		"kty OKP":          strings.Replace(good, "AKP", "OKP", 1),
		"kty akp":          strings.Replace(good, "AKP", "akp", 1),
		"no pub":           `{"kty":"AKP","alg":"ML-DSA-65"}`,
		"pub empty":        replace(""),
		"pub null":         `{"kty":"AKP","alg":"ML-DSA-65","pub":null}`,
		"pub short":        replace(base64URL(raw[:len(raw)-1])),
		"pub long":         replace(base64URL(append(bytes.Clone(raw), 0))),
		"pub of ML-DSA-44": replace(other),
		"pub zero":         replace(base64URL(make([]byte, len(raw)))),
		"t1 zero": replace(base64URL(append(bytes.Clone(raw[:mldsaSeedSize]),
			make([]byte, len(raw)-mldsaSeedSize)...))),
		"pub padded":     replace(pub + "="),
		"pub standard":   replace(strings.NewReplacer("-", "+", "_", "/").Replace(pub)),
		"pub line break": replace(pub[:76] + `\n` + pub[76:]),
		"pub twice":      with(good, `"pub":"`+pub+`"`),
		"crv beside":     with(good, `"crv":"P-256"`),
		"x beside":       with(good, `"x":"AAAA"`),
		"y beside":       with(good, `"y":""`),
		"use enc":        with(good, `"use":"enc"`),
		"private":        with(good, `"priv":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`),
		"pub beside OKP": with(goodOKP, `"pub":"AAAA"`),
		"pub beside EC":  with(goodEC, `"pub":"AAAA"`),
	} {
		if _, err := ParseJWK([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestParsePrivateAKP(t *testing.T) {
	s := mustGenerate(t, MLDSA65)
	good, err := s.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	if cap(good) != maxPrivateJWK {
		t.Error("the private JWK was grown, which leaves copies behind")
	}
	k, err := parseJWK(good)
	if err != nil {
		t.Fatal(err)
	}
	seed := base64URL(k.d)
	change := func(old, new string) string { return strings.Replace(string(good), old, new, 1) }
	for name, doc := range map[string]string{
		"public": string(s.Verifier().JWK()), "another seed": change(seed, strings.Repeat("A", 43)),
		"short": change(seed, "AAAA"),
		"empty": change(seed, ""), "d": change(`"priv"`, `"d"`),
		"d beside": with(string(good), `"d":"`+seed+`"`), "twice": with(string(good), `"priv":"`+seed+`"`),
		"semi-expanded": change(seed, seed+strings.Repeat("A", 5376-43)),
		"of an OKP key": with(goodOKP, `"priv":"`+seed+`"`),
	} {
		_, err := ParsePrivateJWK([]byte(doc), "p")
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), seed) {
			t.Errorf("%s: the error has the secret", name)
		}
	}
	back, err := ParsePrivateJWK(good, "p")
	if err != nil || back.Verifier().KeyID() != s.Verifier().KeyID() {
		t.Fatal(err)
	}
	for _, text := range secrettest.Prints(s) {
		secrettest.NotShown(t, "LocalSigner", text, k.d, passphrase)
	}
}

func TestVerifyMLDSARefuses(t *testing.T) {
	s, message := mustGenerate(t, MLDSA65), []byte("m")
	sig, err := s.Sign(t.Context(), message)
	if err != nil || len(sig) != MLDSA65.SignatureSize() {
		t.Fatal(len(sig), err)
	}
	flipped := bytes.Clone(sig)
	flipped[100] ^= 1
	hints := bytes.Clone(sig)
	hints[len(hints)-1] = 0xff
	ed, err := mustGenerate(t, Ed25519).Sign(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	inContext, err := s.private().(*mldsa.PrivateKey).Sign(nil, message, &mldsa.Options{Context: "other"})
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nil": nil, "empty": {}, "short": sig[:len(sig)-1], "long": append(bytes.Clone(sig), 0),
		"twice":   append(bytes.Clone(sig), sig...),
		"flipped": flipped, "hints": hints, "zero": make([]byte, len(sig)),
		"ones":       bytes.Repeat([]byte{0xff}, len(sig)),
		"of Ed25519": ed, "in a context": inContext,
	} {
		if s.Verifier().Verify(message, bad) {
			t.Errorf("%s: accepted", name)
		}
	}
	if mustGenerate(t, Ed25519).Verifier().Verify(message, sig) ||
		mustGenerate(t, ES256).Verifier().Verify(message, sig) || (&Verifier{}).Verify(message, nil) {
		t.Error("a signature verifies under a key of another algorithm, or under none")
	}
}

func TestOtherMLDSAKeysAreRefused(t *testing.T) {
	for name, key := range map[string]*mldsa.PrivateKey{
		"nil": nil, "zero": {}, "44": zeroSeed(t, mldsa.MLDSA44()), "87": zeroSeed(t, mldsa.MLDSA87()),
	} {
		if _, err := NewLocalSigner(key, "p"); err == nil {
			t.Errorf("%s: accepted as a private key", name)
		}
		var public *mldsa.PublicKey
		switch name {
		case "zero":
			public = &mldsa.PublicKey{}
		case "44", "87":
			public = key.PublicKey()
		}
		if _, err := NewVerifier(public); err == nil {
			t.Errorf("%s: accepted as a public key", name)
		}
	}
}
