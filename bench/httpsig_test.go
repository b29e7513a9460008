package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	dadrus "github.com/dadrus/httpsig"
	remitly "github.com/remitly-oss/httpsig-go"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// signedMessage is a POST of 1 KiB, and a key for all who sign it.
type signedMessage struct {
	body    []byte
	private crypto.Signer
	signer  *keys.LocalSigner
	alg     string
}

var covered = []string{"@method", "@target-uri", "content-digest"}

// wayToSign is one program: sign gives a request with its fields, verify judges one.
type wayToSign struct {
	sign   func(req *http.Request) error
	verify func(b *testing.B, req *http.Request) func() error
}

// BenchmarkHTTPSignatures signs and verifies HTTP messages (RFC 9421) beside two peers. "raw" is the
// signature of 300 bytes and SHA-256 of the body, and nothing else.
func BenchmarkHTTPSignatures(b *testing.B) {
	for _, alg := range []string{"ed25519", "ecdsa-p256-sha256"} {
		m := newSignedMessage(b, alg)
		ways := map[string]wayToSign{"raw": m.raw(b), "sealbus": m.sealbus(b), "dadrus": m.dadrus(b),
			"remitly": m.remitly(b)}
		for _, name := range []string{"raw", "sealbus", "dadrus", "remitly"} {
			way := ways[name]
			b.Run("sign/"+alg+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := way.sign(m.request(b)); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("verify/"+alg+"/"+name, func(b *testing.B) {
				req := m.request(b)
				if err := way.sign(req); err != nil {
					b.Fatal(err)
				}
				verify := way.verify(b, req)
				b.ReportAllocs()
				for b.Loop() {
					if err := verify(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func newSignedMessage(b *testing.B, alg string) *signedMessage {
	b.Helper()
	m := &signedMessage{body: bytes.Repeat([]byte("a"), 1<<10), alg: alg}
	var err error
	if alg == "ed25519" {
		_, m.private, err = ed25519.GenerateKey(rand.Reader)
	} else {
		m.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err == nil {
		m.signer, err = keys.NewLocalSigner(m.private, "bench")
	}
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (m *signedMessage) request(b *testing.B) *http.Request {
	req, err := http.NewRequest(http.MethodPost, "https://hooks.example/in?a=1", bytes.NewReader(m.body))
	if err != nil {
		b.Fatal(err)
	}
	return req
}

func (m *signedMessage) raw(b *testing.B) wayToSign {
	ctx, base := context.Background(), []byte(strings.Repeat("a", 300))
	sig, err := m.signer.Sign(ctx, base)
	if err != nil {
		b.Fatal(err)
	}
	return wayToSign{func(*http.Request) error {
		sum = sha256.Sum256(m.body)
		_, err := m.signer.Sign(ctx, base)
		return err
	}, func(b *testing.B, _ *http.Request) func() error {
		return func() error {
			if sum = sha256.Sum256(m.body); !m.signer.Verifier().Verify(base, sig) {
				b.Fatal("not verified")
			}
			return nil
		}
	}}
}

var sum [32]byte

func (m *signedMessage) sealbus(b *testing.B) wayToSign {
	ctx := context.Background()
	public := []webhook.Secret{{Text: string(m.signer.Verifier().JWK())}}
	v, err := webhook.New(httpsig.Scheme(nil), "in", public,
		&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://hooks.example"}})
	if err != nil {
		b.Fatal(err)
	}
	return wayToSign{func(req *http.Request) error {
		return httpsig.Sign(ctx, req, m.body, m.signer, nil, time.Now())
	}, func(_ *testing.B, req *http.Request) func() error {
		r := webhook.FromHTTP(req, m.body)
		return func() error {
			_, err := v.Verify(ctx, r, time.Now())
			return err
		}
	}}
}

func (m *signedMessage) dadrus(b *testing.B) wayToSign {
	alg := dadrus.SignatureAlgorithm(m.alg)
	s, err := dadrus.NewSigner(dadrus.Key{KeyID: "k", Algorithm: alg, Key: m.private},
		dadrus.WithComponents(covered...), dadrus.WithTag("t"), dadrus.WithTTL(time.Minute),
		dadrus.WithContentDigestAlgorithm(dadrus.Sha256))
	if err != nil {
		b.Fatal(err)
	}
	v, err := dadrus.NewVerifier(dadrus.Key{KeyID: "k", Algorithm: alg, Key: m.private.Public()},
		dadrus.WithRequiredComponents(covered...), dadrus.WithRequiredTag("t"),
		dadrus.WithMaxAge(time.Hour), dadrus.WithValidityTolerance(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	return wayToSign{func(req *http.Request) error {
		h, err := s.Sign(dadrus.MessageFromRequest(req))
		req.Header = h
		return err
	}, func(_ *testing.B, req *http.Request) func() error {
		return func() error { return v.Verify(dadrus.MessageFromRequest(req)) }
	}}
}

func (m *signedMessage) remitly(b *testing.B) wayToSign {
	s, err := remitly.NewSigner(remitly.SigningProfile{Algorithm: remitly.Algorithm(m.alg),
		Digest: remitly.DigestSHA256, Fields: remitly.Fields(covered...), Label: "sig1",
		Metadata: []remitly.Metadata{remitly.MetaCreated, remitly.MetaKeyID}},
		remitly.SigningKey{Key: m.private, MetaKeyID: "k"})
	if err != nil {
		b.Fatal(err)
	}
	p := remitly.DefaultVerifyProfile
	p.SignatureLabel, p.CreatedValidDuration = "sig1", time.Hour
	v, err := remitly.NewVerifier(oneKey{remitly.KeySpec{KeyID: "k", Algo: remitly.Algorithm(m.alg),
		PubKey: m.private.Public()}}, p)
	if err != nil {
		b.Fatal(err)
	}
	return wayToSign{s.Sign, func(_ *testing.B, req *http.Request) func() error {
		return func() error {
			req.Body = io.NopCloser(bytes.NewReader(m.body))
			_, err := v.Verify(req)
			return err
		}
	}}
}

// oneKey is the key, whatever the message says.
type oneKey struct{ spec remitly.KeySpec }

func (k oneKey) FetchByKeyID(context.Context, http.Header, string) (remitly.KeySpecer, error) {
	return k.spec, nil
}

func (k oneKey) Fetch(context.Context, http.Header, remitly.MetadataProvider) (remitly.KeySpecer, error) {
	return k.spec, nil
}
