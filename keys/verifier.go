package keys

import (
	"context"
	"crypto"
)

// Algorithm is a signature algorithm, by its JOSE name. It belongs to a key, never to a message.
type Algorithm string

// The algorithms of signing keys.
const (
	Ed25519 Algorithm = "Ed25519" // RFC 8032, RFC 9864; signature 64 bytes
	ES256   Algorithm = "ES256"   // ECDSA P-256 with SHA-256, RFC 7518 section 3.4; signature r||s, 64 bytes
)

// Verifier is the public half of a signing key. It is immutable and safe for concurrent use.
type Verifier struct {
	alg    Algorithm
	id     string
	public crypto.PublicKey
}

// Signer makes signatures. Implementations are safe for concurrent use.
type Signer interface {
	// Verifier is the public half.
	Verifier() *Verifier
	// Producer is the name of the producer that this key speaks for, as the trust policy has it.
	Producer() string
	// Sign signs message (the whole message, not a digest).
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// KeyID is the key's ID: its JWK thumbprint (RFC 7638), SHA-256, base64url without padding.
func (v *Verifier) KeyID() string { return v.id }

// Algorithm is the one algorithm that this key verifies.
func (v *Verifier) Algorithm() Algorithm { return v.alg }
