package keystest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"sync"
	"testing"

	"github.com/sealbus/sealbus/keys"
)

// maxMessage is the size of the largest message in the tests. Some key services sign no larger message.
const maxMessage = 4096

// TestSigner runs the tests that every keys.Signer must pass. It calls open once for each case. open may
// return the same signer each time.
func TestSigner(t *testing.T, open func(t testing.TB) keys.Signer) {
	t.Run("identity", func(t *testing.T) { testIdentity(t, open(t)) })
	t.Run("signs", func(t *testing.T) { testSigns(t, open(t)) })
	t.Run("only this message", func(t *testing.T) { testOnlyThis(t, open(t)) })
	t.Run("buffers", func(t *testing.T) { testBuffers(t, open(t)) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, open(t)) })
	t.Run("concurrent", func(t *testing.T) { testConcurrent(t, open(t)) })
}

func testIdentity(t *testing.T, s keys.Signer) {
	v := s.Verifier()
	sum := sha256.Sum256(v.ThumbprintJWK())
	if id := base64.RawURLEncoding.EncodeToString(sum[:]); v.KeyID() != id {
		t.Errorf("key ID %s is not the thumbprint %s", v.KeyID(), id)
	}
	if again := s.Verifier(); v.KeyID() != again.KeyID() {
		t.Errorf("the verifier changes: %s, then %s", v.KeyID(), again.KeyID())
	}
	back, err := keys.ParseJWK(v.JWK())
	if err != nil || back.KeyID() != v.KeyID() {
		t.Errorf("the public JWK does not give the same key: %v", err)
	}
	if err := keys.CheckProducer(s.Producer()); err != nil {
		t.Error(err)
	}
}

func testSigns(t *testing.T, s keys.Signer) {
	for _, size := range []int{0, 1, 63, 64, 65, 1024, maxMessage} {
		message := bytes.Repeat([]byte{byte(size), 0x5a}, size)[:size]
		sig := mustSign(t, s, message)
		if !s.Verifier().Verify(message, sig) {
			t.Errorf("the signature of %d bytes does not verify", size)
		}
		if want := s.Verifier().Algorithm().SignatureSize(); len(sig) != want {
			t.Errorf("a signature of %d bytes, not %d", len(sig), want)
		}
	}
}

func testOnlyThis(t *testing.T, s keys.Signer) {
	message, v := []byte("a message"), s.Verifier()
	sig := mustSign(t, s, message)
	for name, other := range map[string][]byte{
		"none": nil, "another": []byte("a messagf"), "shorter": message[:8],
		"longer": append([]byte("a message"), 0),
	} {
		if v.Verify(other, sig) {
			t.Errorf("the signature verifies for %s message", name)
		}
	}
	for i := range sig {
		bad := bytes.Clone(sig)
		bad[i] ^= 1
		if v.Verify(message, bad) {
			t.Errorf("the signature verifies with byte %d changed", i)
		}
	}
	if v.Verify(message, sig[:len(sig)-1]) || v.Verify(message, append(bytes.Clone(sig), 0)) ||
		v.Verify(message, nil) {
		t.Error("a signature of another length verifies")
	}
	if Signer(t, keys.Ed25519, "keystest", "other").Verifier().Verify(message, sig) ||
		Signer(t, keys.ES256, "keystest", "other").Verifier().Verify(message, sig) ||
		Signer(t, keys.MLDSA65, "keystest", "other").Verifier().Verify(message, sig) {
		t.Error("the signature verifies under another key")
	}
}

// testBuffers: Sign does not change the message, and signatures do not share memory.
func testBuffers(t *testing.T, s keys.Signer) {
	message := []byte("kept as it is")
	want := bytes.Clone(message)
	first := mustSign(t, s, message)
	kept := bytes.Clone(first)
	second := mustSign(t, s, []byte("another message"))
	clear(second)
	if !bytes.Equal(message, want) {
		t.Error("Sign changes the message")
	}
	if !slices.Equal(first, kept) {
		t.Error("a later Sign changes an earlier signature")
	}
}

func testCancelled(t *testing.T, s keys.Signer) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if sig, err := s.Sign(ctx, []byte("late")); err == nil {
		t.Error("Sign ignores a context that is cancelled")
	} else if sig != nil {
		t.Error("Sign gives a signature beside an error")
	}
}

func testConcurrent(t *testing.T, s keys.Signer) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			message := bytes.Repeat([]byte{byte(i)}, 100+i)
			for range 4 {
				sig, err := s.Sign(context.Background(), message)
				if err != nil {
					t.Error(err)
					return
				}
				if !s.Verifier().Verify(message, sig) {
					t.Error("a signature made at the same time as others does not verify")
				}
			}
		})
	}
	wg.Wait()
}

func mustSign(t *testing.T, s keys.Signer, message []byte) []byte {
	t.Helper()
	sig, err := s.Sign(context.Background(), message)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}
