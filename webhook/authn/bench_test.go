package authn_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

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

// BenchmarkVerify measures a token beside the check of its signature alone. They take turns in short rounds,
// and the fastest round of each counts: what else the machine does spares neither.
func BenchmarkVerify(b *testing.B) {
	const round = 20
	text := token("r", rs256, claims())
	v := verifier(b, &authn.Options{ClientIDs: []string{"c1"}})
	dot := strings.LastIndexByte(text, '.')
	signature := must(base64.RawURLEncoding.DecodeString(text[dot+1:]))
	key := &testKeys().rsa.PublicKey
	verify := func() error { return errOf(v.Verify(b.Context(), text, at)) }
	check := func() error {
		sum := sha256.Sum256([]byte(text[:dot]))
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
	}
	best := [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		for i, f := range [2]func() error{verify, check} {
			start := time.Now()
			for range round {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			best[i] = min(best[i], time.Since(start))
		}
	}
	b.ReportMetric(float64(best[0])/round, "ns/token")
	b.ReportMetric(float64(best[1])/round, "ns/signature")
	b.ReportMetric(float64(best[0])/float64(best[1]), "ratio")
}
