package keys

import (
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/edtable"
)

// VerifyOften is Verify for every algorithm: before there is a table of the key, and with one.
func TestVerifyOften(t *testing.T) {
	for _, alg := range Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			signer, err := GenerateSigner(alg, "orders")
			if err != nil {
				t.Fatal(err)
			}
			message := []byte("message")
			sig, err := signer.Sign(t.Context(), message)
			if err != nil {
				t.Fatal(err)
			}
			v := signer.Verifier()
			for range 2 {
				checkOften(t, v, message, sig)
				time.Sleep(edtable.BuildInterval)
			}
		})
	}
}

// checkOften verifies so often that there is a table, if the algorithm has any.
func checkOften(t *testing.T, v *Verifier, message, sig []byte) {
	t.Helper()
	for range edtable.EvictionWorth + 2 {
		if !v.VerifyOften(message, sig) {
			t.Fatal("a genuine signature does not verify")
		}
		if v.VerifyOften([]byte("another"), sig) || v.VerifyOften(message, sig[:len(sig)-1]) ||
			v.VerifyOften(message, append(sig, 0)) || v.VerifyOften(message, nil) {
			t.Fatal("a signature verifies that is none")
		}
	}
	for i := 0; i < len(sig); i += len(sig) / signatureSize {
		sig[i] ^= 1
		if got, want := v.VerifyOften(message, sig), v.Verify(message, sig); got != want {
			t.Errorf("byte %d changed: %v, and Verify says %v", i, got, want)
		}
		sig[i] ^= 1
	}
}
