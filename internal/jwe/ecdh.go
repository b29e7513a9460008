package jwe

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Names of RFC 7518 section 6.2 and RFC 8037 section 2.
const (
	ktyEC, crvP256    = "EC", "P-256"
	ktyOKP, crvX25519 = "OKP", "X25519"
)

const (
	coordinateSize = 32 // of P-256, of X25519, and of an agreed secret
	uncompressed   = 4  // first byte of an uncompressed point, SEC 1 section 2.3.3
)

// Agree is the private side of a key agreement. It returns the 32 bytes on which its key and an ephemeral
// public key agree (RFC 7748 section 6.1; the x coordinate on P-256). The public key is on the same curve,
// and that was checked. The result is cleared after use. Its errors come back wrapped.
type Agree func(ctx context.Context, epk *ecdh.PublicKey) ([]byte, error)

// ECDHRecipient encrypts content keys to a public key with ECDH-ES+A256KW.
type ECDHRecipient struct {
	keyID string
	key   *ecdh.PublicKey
}

// ECDHIdentity decrypts the content keys that an ECDHRecipient encrypted.
type ECDHIdentity struct {
	keyID string
	curve ecdh.Curve
	crv   string
	agree Agree
}

var (
	_ Recipient = (*ECDHRecipient)(nil)
	_ Identity  = (*ECDHIdentity)(nil)
)

// NewECDHRecipient is for a key on P-256 or X25519. Another key is ErrKey. The caller computes the key ID
// from the key.
func NewECDHRecipient(keyID string, key *ecdh.PublicKey) (*ECDHRecipient, error) {
	if key == nil || curveName(key.Curve()) == "" {
		return nil, fmt.Errorf("%w: a public key on P-256 or X25519 was expected", ErrKey)
	}
	return &ECDHRecipient{keyID: keyID, key: key}, nil
}

// NewECDHIdentity is for a private key in the process, on P-256 or X25519. Another key is ErrKey.
func NewECDHIdentity(keyID string, key *ecdh.PrivateKey) (*ECDHIdentity, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no private key", ErrKey)
	}
	return NewRemoteIdentity(keyID, key.Curve(), func(_ context.Context, epk *ecdh.PublicKey) ([]byte, error) {
		z, err := key.ECDH(epk)
		if err != nil { // X25519: a point of low order
			return nil, ErrSmallOrder
		}
		return z, nil
	})
}

// NewRemoteIdentity is for a private key in a key management service: agree asks the service for the key
// agreement.
func NewRemoteIdentity(keyID string, curve ecdh.Curve, agree Agree) (*ECDHIdentity, error) {
	crv := curveName(curve)
	if crv == "" || agree == nil {
		return nil, fmt.Errorf("%w: a private key on P-256 or X25519 was expected", ErrKey)
	}
	return &ECDHIdentity{keyID: keyID, curve: curve, crv: crv, agree: agree}, nil
}

func curveName(curve ecdh.Curve) string {
	switch curve {
	case ecdh.P256():
		return crvP256
	case ecdh.X25519():
		return crvX25519
	}
	return ""
}

// Wrap encrypts the content key under an ephemeral key of its own. It does no I/O.
func (r *ECDHRecipient) Wrap(_ context.Context, key *ContentKey) (WrappedKey, error) {
	private, err := r.key.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return WrappedKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return r.wrap(key, private)
}

func (r *ECDHRecipient) wrap(key *ContentKey, private *ecdh.PrivateKey) (WrappedKey, error) {
	secret, err := key.Bytes()
	if err != nil {
		return WrappedKey{}, err
	}
	defer clear(secret)
	z, err := private.ECDH(r.key)
	if err != nil { // X25519: the recipient is a point of low order
		return WrappedKey{}, fmt.Errorf("%w: the key agreement with the recipient is refused", ErrKey)
	}
	defer clear(z)
	kek := concatKDF(z, AlgECDH, nil, nil, KeySize)
	defer clear(kek)
	w := WrappedKey{Alg: AlgECDH, KeyID: r.keyID, EncryptedKey: wrapKey(kek, secret)}
	text := w.setEphemeral(private.PublicKey())
	return newWrappedKey(key, w, text)
}

// setEphemeral notes the public key in the entry and returns it as a JWK in canonical JSON.
func (w *WrappedKey) setEphemeral(key *ecdh.PublicKey) (jwk []byte) {
	point := key.Bytes()
	if key.Curve() == ecdh.X25519() {
		w.epk = ephemeral{kty: []byte(ktyOKP), crv: []byte(crvX25519), x: encode(point)}
		return fmt.Appendf(nil, `{"crv":"X25519","kty":"OKP","x":"%s"}`, w.epk.x)
	}
	x, y := point[1:1+coordinateSize], point[1+coordinateSize:]
	w.epk = ephemeral{kty: []byte(ktyEC), crv: []byte(crvP256), x: encode(x), y: encode(y)}
	return fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, w.epk.x, w.epk.y)
}

func encode(b []byte) []byte { return base64.RawURLEncoding.AppendEncode(nil, b) }

// Takes reports whether the entry is of ECDH-ES+A256KW on this identity's curve, and has this identity's key
// ID or none. Other libraries may leave the key ID out.
func (id *ECDHIdentity) Takes(w *WrappedKey) bool {
	return w.Alg == AlgECDH && string(w.epk.crv) == id.crv && (w.KeyID == "" || w.KeyID == id.keyID)
}

// Unwrap decrypts the entry. The error is ErrMalformed if its ephemeral key is not a point of the curve in
// full length, and ErrUnwrap if the agreed key does not open it. The ctx is for a remote identity.
func (id *ECDHIdentity) Unwrap(ctx context.Context, w *WrappedKey) (*ContentKey, error) {
	if !id.Takes(w) {
		return nil, ErrNotRecipient
	}
	epk, err := w.epk.publicKey(id.curve)
	if err != nil {
		return nil, err
	}
	z, err := id.agree(ctx, epk)
	defer clear(z)
	isNone := len(z) != coordinateSize || subtle.ConstantTimeCompare(z, make([]byte, coordinateSize)) == 1
	switch {
	case (err != nil || isNone) && ofSmallOrder(epk):
		return nil, ErrSmallOrder
	case err != nil:
		return nil, fmt.Errorf("jwe: key agreement: %w", err)
	case isNone: // the private side is at fault: with this point no key agrees on zeros
		return nil, fmt.Errorf("%w: the key agreement gave no secret", ErrUnwrap)
	}
	return w.unwrap(z)
}

// ofSmallOrder reports whether every key agrees with epk on zeros. It is called after an error of agree,
// because that error does not say that the message is at fault. A caller that takes it for an outage would
// try for ever.
func ofSmallOrder(epk *ecdh.PublicKey) bool {
	if epk.Curve() != ecdh.X25519() {
		return false // there is no such point
	}
	anyKey, err := ecdh.X25519().NewPrivateKey(make([]byte, coordinateSize)) // RFC 7748 makes a scalar of it
	if err != nil {
		return false
	}
	_, err = anyKey.ECDH(epk)
	return err != nil
}

func (w *WrappedKey) unwrap(z []byte) (*ContentKey, error) {
	kek := concatKDF(z, AlgECDH, w.apu, w.apv, KeySize)
	defer clear(kek)
	secret := unwrapKey(kek, w.EncryptedKey)
	if secret == nil {
		return nil, ErrUnwrap
	}
	defer clear(secret)
	return ContentKeyFrom(secret)
}

// publicKey decodes an epk of the curve. crypto/ecdh checks that the point is on it.
func (e *ephemeral) publicKey(curve ecdh.Curve) (*ecdh.PublicKey, error) {
	kty, point := ktyOKP, make([]byte, 0, 1+2*coordinateSize)
	texts := [][]byte{e.x}
	if curve == ecdh.P256() {
		kty, point = ktyEC, append(point, uncompressed)
		texts = append(texts, e.y)
	}
	if string(e.kty) != kty {
		return nil, fmt.Errorf("%w: an epk of the wrong kty", ErrMalformed)
	}
	for _, text := range texts {
		before := len(point)
		var err error
		if point, err = jsontext.Base64URL.AppendDecode(point, text); err != nil || len(point) != before+coordinateSize {
			return nil, fmt.Errorf("%w: a coordinate of an epk is not base64url of %d bytes", ErrMalformed, coordinateSize)
		}
	}
	key, err := curve.NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("%w: an epk that is not on its curve", ErrMalformed)
	}
	return key, nil
}
