package httpsig_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// BenchmarkVerify is beside BenchmarkVerifyRaw: the signature alone and SHA-256 of the body.
func BenchmarkVerify(b *testing.B) {
	each(b, func(b *testing.B, signer *keys.LocalSigner, content []byte) {
		ctx := context.Background()
		req := newRequest(b)
		check(b, httpsig.Sign(ctx, req, content, signer, nil, now))
		v, r := newVerifier(b, keysOf(signer), nil), webhook.FromHTTP(req, content)
		for b.Loop() {
			if _, err := v.Verify(ctx, r, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerifyRaw(b *testing.B) {
	each(b, func(b *testing.B, signer *keys.LocalSigner, content []byte) {
		base := bytes.Repeat([]byte("a"), 300)
		sig, err := signer.Sign(context.Background(), base)
		check(b, err)
		v := signer.Verifier()
		for b.Loop() {
			sink = sha256.Sum256(content)
			if !v.Verify(base, sig) {
				b.Fatal("not verified")
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	each(b, func(b *testing.B, signer *keys.LocalSigner, content []byte) {
		ctx := context.Background()
		req := newRequest(b)
		for b.Loop() {
			if err := httpsig.Sign(ctx, req, content, signer, nil, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSignRaw(b *testing.B) {
	each(b, func(b *testing.B, signer *keys.LocalSigner, content []byte) {
		ctx, base := context.Background(), bytes.Repeat([]byte("a"), 300)
		for b.Loop() {
			sink = sha256.Sum256(content)
			if _, err := signer.Sign(ctx, base); err != nil {
				b.Fatal(err)
			}
		}
	})
}

var sink [32]byte

func each(b *testing.B, do func(b *testing.B, signer *keys.LocalSigner, content []byte)) {
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.ES256} {
		for _, size := range []int{1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", algorithm, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				do(b, newSigner(b, algorithm), bytes.Repeat([]byte("a"), size))
			})
		}
	}
}

// TestAllocations: a verification allocates no more for a large body. Most of it is the reading of fields.
func TestAllocations(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	for _, size := range []int{1 << 10, 1 << 20} {
		content := bytes.Repeat([]byte("a"), size)
		req, err := http.NewRequest(http.MethodPost, baseURL+target, nil)
		check(t, err)
		ctx := context.Background()
		check(t, httpsig.Sign(ctx, req, content, signer, nil, now))
		v, r := newVerifier(t, keysOf(signer), nil), webhook.FromHTTP(req, content)
		n := testing.AllocsPerRun(50, func() {
			if _, err := v.Verify(ctx, r, now); err != nil {
				t.Fatal(err)
			}
		})
		if n > maxAllocations {
			t.Errorf("%v allocations at %d bytes", n, size)
		}
	}
}

const maxAllocations = 95
