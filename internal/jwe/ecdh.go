package jwe

import (
	"context"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
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

// ECDHIdentity decrypts the content keys that an ECDHRecipient encrypted.
type ECDHIdentity struct {
	keyID string
	curve ecdh.Curve
	crv   string
	agree Agree
}

// NewECDHIdentity is for a private key in the process, on P-256 or X25519. Another key is ErrKey.
func NewECDHIdentity(keyID string, key *ecdh.PrivateKey) (*ECDHIdentity, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no private key", ErrKey)
	}
	agree := func(_ context.Context, epk *ecdh.PublicKey) ([]byte, error) { return key.ECDH(epk) }
	return NewRemoteIdentity(keyID, key.Curve(), agree)
}

// NewRemoteIdentity is for a private key in a key management service: agree asks the service for the key
// agreement.
func NewRemoteIdentity(keyID string, curve ecdh.Curve, agree Agree) (*ECDHIdentity, error) {
	id := &ECDHIdentity{keyID: keyID, curve: curve, agree: agree}
	switch curve {
	case ecdh.P256():
		id.crv = crvP256
	case ecdh.X25519():
		id.crv = crvX25519
	}
	if id.crv == "" || agree == nil {
		return nil, fmt.Errorf("%w: a private key on P-256 or X25519 was expected", ErrKey)
	}
	return id, nil
}

// Takes reports whether the entry is of ECDH-ES+A256KW on this identity's curve, and has this identity's key
// ID or none. Other libraries may leave the key ID out.
func (id *ECDHIdentity) Takes(w *WrappedKey) bool {
	return w.Alg == AlgECDH && string(w.epk.crv) == id.crv && (w.KeyID == "" || w.KeyID == id.keyID)
}

// Unwrap decrypts the entry. The error is ErrNotRecipient if Takes declines the entry, ErrMalformed if its
// ephemeral key is not a point of the curve in full length, and ErrUnwrap if the agreed key does not open it.
// The ctx is for a remote identity.
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
	case isNone: // the private side is at fault, because no key agrees with this point on zeros
		return nil, fmt.Errorf("%w: the key agreement gave no secret", ErrUnwrap)
	}
	kek := concatKDF(z, AlgECDH, w.apu, w.apv, KeySize)
	defer clear(kek)
	secret := unwrapKey(kek, w.EncryptedKey)
	if secret == nil {
		return nil, ErrUnwrap
	}
	defer clear(secret)
	return ContentKeyFrom(secret)
}

// ofSmallOrder reports whether every key agrees with epk on zeros. It is called after an error of agree,
// because that error does not tell that the message is at fault. A caller that took it for an outage would
// retry for ever.
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
		size := len(point) + coordinateSize
		var err error
		if point, err = jsontext.Base64URL.AppendDecode(point, text); err != nil || len(point) != size {
			return nil, fmt.Errorf("%w: a coordinate of an epk is not base64url of %d bytes", ErrMalformed,
				coordinateSize)
		}
	}
	key, err := curve.NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("%w: an epk that is not on its curve", ErrMalformed)
	}
	return key, nil
}

// concatKDF is the Concat KDF of NIST SP 800-56A section 5.8.1 as RFC 7518 section 4.6.2 uses it, for keys of
// at most 32 bytes, which one round of SHA-256 gives. The caller clears the result.
func concatKDF(z []byte, algorithm string, apu, apv []byte, size int) []byte {
	info := make([]byte, 0, 4+len(z)+3*4+len(algorithm)+len(apu)+len(apv)+4)
	info = binary.BigEndian.AppendUint32(info, 1) // the number of the round
	info = append(info, z...)
	for _, part := range [...][]byte{[]byte(algorithm), apu, apv} {
		info = append(binary.BigEndian.AppendUint32(info, uint32(len(part))), part...)
	}
	info = binary.BigEndian.AppendUint32(info, uint32(size)*8)
	key := sha256.Sum256(info)
	clear(info)
	return key[:size]
}

// The AES key wrap of RFC 3394 is written out here. The standard library does not export its own. The one of
// the JOSE library would link that library into every consumer.
const (
	wrapBlock = 8                  // bytes: RFC 3394 works on halves of AES blocks
	wrapIV    = 0xa6a6a6a6a6a6a6a6 // section 2.2.3.1: it tells an intact key
)

// unwrapKey is RFC 3394 section 2.2.2. It returns nil if wrapKey did not make wrapped under kek.
func unwrapKey(kek, wrapped []byte) []byte {
	n := len(wrapped)/wrapBlock - 1
	if n < 2 || len(wrapped)%wrapBlock != 0 {
		return nil
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil
	}
	out := append([]byte(nil), wrapped[wrapBlock:]...)
	var b [aes.BlockSize]byte
	copy(b[:], wrapped[:wrapBlock])
	for t := 6*n - 1; t >= 0; t-- {
		r := out[t%n*wrapBlock:][:wrapBlock]
		binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(t+1))
		copy(b[wrapBlock:], r)
		block.Decrypt(b[:], b[:])
		copy(r, b[wrapBlock:])
	}
	intact := subtle.ConstantTimeCompare(b[:wrapBlock], binary.BigEndian.AppendUint64(nil, wrapIV)) == 1
	clear(b[:])
	if !intact {
		clear(out)
		return nil
	}
	return out
}

// wrapKey is RFC 3394 section 2.2.1, in place as it describes: key is a multiple of 8 bytes, at least 16.
func wrapKey(kek, key []byte) []byte {
	block, err := aes.NewCipher(kek)
	if err != nil {
		panic("jwe: a key encryption key of a wrong size") // they are all made by concatKDF
	}
	n := len(key) / wrapBlock
	out := append(make([]byte, wrapBlock, wrapBlock+len(key)), key...)
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint64(b[:], wrapIV)
	for t := range 6 * n {
		r := out[(t%n+1)*wrapBlock:][:wrapBlock]
		copy(b[wrapBlock:], r)
		block.Encrypt(b[:], b[:])
		copy(r, b[wrapBlock:])
		binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(t+1))
	}
	copy(out, b[:wrapBlock])
	clear(b[:])
	return out
}

// ECDHRecipient encrypts content keys to a public key with ECDH-ES+A256KW.
type ECDHRecipient struct {
	keyID string
	key   *ecdh.PublicKey
}

// NewECDHRecipient is for a key on P-256 or X25519. Another key is ErrKey. The caller computes the key ID
// from the key.
func NewECDHRecipient(keyID string, key *ecdh.PublicKey) (*ECDHRecipient, error) {
	if key == nil || key.Curve() != ecdh.P256() && key.Curve() != ecdh.X25519() {
		return nil, fmt.Errorf("%w: a public key on P-256 or X25519 was expected", ErrKey)
	}
	return &ECDHRecipient{keyID: keyID, key: key}, nil
}

// Wrap encrypts the content key under an ephemeral key of its own. It does no I/O.
func (r *ECDHRecipient) Wrap(_ context.Context, key *ContentKey) (WrappedKey, error) {
	private, err := r.key.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return WrappedKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
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

func encode(b []byte) []byte { return base64url.AppendEncode(nil, b) }
