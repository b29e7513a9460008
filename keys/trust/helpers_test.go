package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func day(n float64) time.Time { return epoch.Add(time.Duration(n * 24 * float64(time.Hour))) }

var fullSchedule = keys.Schedule{Published: day(1), Active: day(2), Retired: day(3), Expired: day(4)}

// cheap makes passphrases quick to try.
var cheap = keys.PrivateFileOptions{ScryptWorkFactor: 2}

const passphrase = "correct horse battery staple"

// goodX25519 is the public key of Alice in RFC 7748 section 6.1.
const goodX25519 = `{"kty":"OKP","crv":"X25519","x":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}`

func mustGenerate(t testing.TB, alg keys.Algorithm) *keys.LocalSigner {
	t.Helper()
	s, err := keys.GenerateSigner(alg, "orders")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustIdentity(t testing.TB, c keys.Curve) *keys.LocalIdentity {
	t.Helper()
	i, err := keys.GenerateIdentity(c)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// thumbprintOf is what a thumbprint looks like.
func thumbprintOf(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
