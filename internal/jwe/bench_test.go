package jwe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// benchPlaintext is 1 KiB of JSON data.
var benchPlaintext = []byte(`{"text":"` + strings.Repeat("The quick brown fox. ", 48) + `1234567"}`)

// benchMessage is under a cached content key, for two recipients.
func benchMessage(b *testing.B) (*ContentKey, []WrappedKey, []byte) {
	b.Helper()
	if len(benchPlaintext) != 1<<10+2 {
		b.Fatalf("%d bytes", len(benchPlaintext))
	}
	key := NewContentKey()
	to := []WrappedKey{newParty(b, strings.Repeat("p", 43), ecdh.P256()).wrap(b, key),
		newParty(b, strings.Repeat("x", 43), ecdh.X25519()).wrap(b, key)}
	return key, to, must[[]byte](b)(Encrypt(key, benchPlaintext, "application/json", testAAD, to))
}

func BenchmarkEncrypt(b *testing.B) {
	key, to, _ := benchMessage(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encrypt(key, benchPlaintext, "application/json", testAAD, to); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecrypt is of a message whose headers were seen before.
func BenchmarkDecrypt(b *testing.B) {
	var p Parser
	key, _, doc := benchMessage(b)
	b.ReportAllocs()
	for b.Loop() {
		m, err := p.Parse(doc)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Decrypt(key, testAAD); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse is of a message whose headers are new.
func BenchmarkParse(b *testing.B) {
	_, _, doc := benchMessage(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDigest is what a look-up in a cache of content keys adds.
func BenchmarkDigest(b *testing.B) {
	_, to, _ := benchMessage(b)
	b.ReportAllocs()
	for b.Loop() {
		to[0].Digest()
	}
}

// The raw side: AES-256-GCM with a random nonce, and nothing else.

func rawGCM(b *testing.B) cipher.AEAD {
	b.Helper()
	return must[cipher.AEAD](b)(cipher.NewGCMWithRandomNonce(must[cipher.Block](b)(aes.NewCipher(make([]byte,
		KeySize)))))
}

func BenchmarkRawSeal(b *testing.B) {
	aead := rawGCM(b)
	b.ReportAllocs()
	for b.Loop() {
		aead.Seal(nil, nil, benchPlaintext, testAAD)
	}
}

func BenchmarkRawOpen(b *testing.B) {
	aead := rawGCM(b)
	sealed := aead.Seal(nil, nil, benchPlaintext, testAAD)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := aead.Open(nil, nil, sealed, testAAD); err != nil {
			b.Fatal(err)
		}
	}
}

// The other library with a key that is cached, too: alg dir, in the JSON serialization.

func joseDirect(b *testing.B) (jose.Encrypter, []byte) {
	b.Helper()
	key := must[[]byte](b)(NewContentKey().Bytes())
	options := (&jose.EncrypterOptions{}).WithContentType("application/json")
	return must[jose.Encrypter](b)(jose.NewEncrypter(jose.A256GCM,
		jose.Recipient{Algorithm: jose.DIRECT, Key: key, KeyID: "k"}, options)), key
}

func BenchmarkGoJoseEncryptDirect(b *testing.B) {
	encrypter, _ := joseDirect(b)
	b.ReportAllocs()
	for b.Loop() {
		m, err := encrypter.EncryptWithAuthData(benchPlaintext, testAAD)
		if err != nil || m.FullSerialize() == "" {
			b.Fatal(err)
		}
	}
}

func BenchmarkGoJoseDecryptDirect(b *testing.B) {
	encrypter, key := joseDirect(b)
	doc := must[*jose.JSONWebEncryption](b)(encrypter.EncryptWithAuthData(benchPlaintext,
		testAAD)).FullSerialize()
	b.ReportAllocs()
	for b.Loop() {
		m, err := jose.ParseEncryptedJSON(doc, joseAlgs, []jose.ContentEncryption{jose.A256GCM})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Decrypt(key); err != nil {
			b.Fatal(err)
		}
	}
}

// A key agreement for each message, which a cached key saves.

func BenchmarkWrap(b *testing.B) {
	for name, curve := range map[string]ecdh.Curve{"P-256": ecdh.P256(), "X25519": ecdh.X25519()} {
		p, key := newParty(b, "k", curve), NewContentKey()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p.wrap(b, key)
			}
		})
	}
}

func BenchmarkUnwrap(b *testing.B) {
	for name, curve := range map[string]ecdh.Curve{"P-256": ecdh.P256(), "X25519": ecdh.X25519()} {
		p, key := newParty(b, "k", curve), NewContentKey()
		w := p.wrap(b, key)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.identity.Unwrap(b.Context(), &w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGoJoseEncryptP256(b *testing.B) {
	private := must[*ecdsa.PrivateKey](b)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	to := jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: &private.PublicKey, KeyID: "k"}
	encrypter := must[jose.Encrypter](b)(jose.NewEncrypter(jose.A256GCM, to, nil))
	for b.Loop() {
		if _, err := encrypter.EncryptWithAuthData(benchPlaintext, testAAD); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompact(b *testing.B) {
	key := NewContentKey()
	b.ReportAllocs()
	for b.Loop() {
		field, err := EncryptCompact(key, []byte(`"4111111111111111"`), testContext)
		if err != nil {
			b.Fatal(err)
		}
		c, err := ParseCompact(field)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Decrypt(key, testContext); err != nil {
			b.Fatal(err)
		}
	}
}
