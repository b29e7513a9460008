package authn_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook/authn"
)

// maxAllocations of a token that is verified under keys that are known. The check of an RS256 signature makes
// most of them.
const maxAllocations = 30

// TestAllocations: a token costs at most 30 allocations.
func TestAllocations(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	text := token("r", rs256, claims())
	n := testing.AllocsPerRun(100, func() {
		if _, err := v.Verify(t.Context(), text, at); err != nil {
			t.Fatal(err)
		}
	})
	if n > maxAllocations {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkVerify measures a token beside the check of its signature alone.
func BenchmarkVerify(b *testing.B) {
	text := token("r", rs256, claims())
	b.Run("token", func(b *testing.B) {
		v := verifier(b, &authn.Options{ClientIDs: []string{"c1"}})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), text, at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signature", func(b *testing.B) {
		dot := strings.LastIndexByte(text, '.')
		signature := must(base64.RawURLEncoding.DecodeString(text[dot+1:]))
		key := &testKeys().rsa.PublicKey
		b.ReportAllocs()
		for b.Loop() {
			sum := sha256.Sum256([]byte(text[:dot]))
			if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
				b.Fatal(err)
			}
		}
	})
}
