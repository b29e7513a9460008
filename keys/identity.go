package keys

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/redact"
)

// Identity is the private half of an encryption key. It opens events that were encrypted to its Recipient. It
// may live in another process or service, and every Identity except *LocalIdentity is treated as one that
// does: for one event it is called at most 4 times. Implementations are safe for
// concurrent use.
type Identity interface {
	// Recipient is the public half.
	Recipient() *Recipient
	// ECDH returns the secret of 32 bytes that the identity and the holder of peer's private half agree on (RFC
	// 7518 section 4.6). The caller derives a key from it and clears it. peer is untrusted: a point on another
	// curve or of small order is an error.
	ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error)
}

// LocalIdentity is an Identity whose private key is in memory. It prints, logs and marshals as redacted.
type LocalIdentity struct {
	redacted
	recipient *Recipient
	private   redact.Hidden[*ecdh.PrivateKey]
}

var _ Identity = (*LocalIdentity)(nil)

// GenerateIdentity makes a new private key.
func GenerateIdentity(curve Curve) (*LocalIdentity, error) {
	c, err := curve.ecdh()
	if err != nil {
		return nil, err
	}
	key, err := c.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return NewLocalIdentity(key)
}

func (c Curve) ecdh() (ecdh.Curve, error) {
	switch c {
	case X25519:
		return ecdh.X25519(), nil
	case P256:
		return ecdh.P256(), nil
	}
	return nil, fmt.Errorf("keys: no curve %q for encryption: use %s or %s", keydoc.Clip(string(c)), X25519,
		P256)
}

// NewLocalIdentity makes an identity of a private key on X25519 or P-256.
func NewLocalIdentity(private *ecdh.PrivateKey) (*LocalIdentity, error) {
	if private == nil {
		return nil, errors.New("keys: no private key")
	}
	r, err := NewRecipient(private.PublicKey())
	if err != nil {
		return nil, err
	}
	return &LocalIdentity{
		redacted: redact.Key("LocalIdentity", r.id), recipient: r, private: redact.Hide(private),
	}, nil
}

// ParseIdentityJWK reads a private encryption key (RFC 8037 section 2, RFC 7518 section 6.2.2). The public
// half must be present and belong to it.
func ParseIdentityJWK(doc []byte) (*LocalIdentity, error) {
	k, err := parseJWK(doc)
	if err != nil {
		return nil, explainedPrivateJWK(doc, err)
	}
	i, err := k.identity()
	return i, explainedPrivateJWK(doc, err)
}

func (k *jwk) identity() (*LocalIdentity, error) {
	r, err := k.recipient()
	if err != nil {
		return nil, err
	}
	switch {
	case k.private != "d":
		return nil, errors.New(`keys: JWK: no private key (member "d")`)
	case len(k.d) != scalarSize:
		return nil, errors.New(`keys: JWK: "d" has 32 bytes`)
	}
	private, err := r.public.Curve().NewPrivateKey(k.d)
	if err != nil || !private.PublicKey().Equal(r.public) {
		return nil, errors.New(`keys: JWK: "d" does not belong to the public key`)
	}
	return NewLocalIdentity(private)
}

// Recipient is the public half.
func (i *LocalIdentity) Recipient() *Recipient { return i.recipient }

// ECDH is the secret that i and peer agree on.
func (i *LocalIdentity) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if peer == nil || peer.Curve() != i.recipient.public.Curve() {
		return nil, fmt.Errorf("keys: agreeing with %s: the other key is not on %s", i.recipient.id,
			i.recipient.curve)
	}
	secret, err := i.private().ECDH(peer)
	if err != nil {
		return nil, fmt.Errorf("keys: agreeing with %s: %w", i.recipient.id, err)
	}
	return secret, nil
}

// UnsafePrivateJWK is the private key as a JWK in canonical JSON. Unsafe because the holder of these bytes
// can open the consumer's events: keep them in a Keyring.
func (i *LocalIdentity) UnsafePrivateJWK() ([]byte, error) {
	d := i.private().Bytes()
	defer clear(d)
	return i.recipient.appendJWK(make([]byte, 0, maxPrivateJWK), d), nil // growing would leave copies behind
}
