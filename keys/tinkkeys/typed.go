package tinkkeys

import (
	"crypto/ecdh"
	stded25519 "crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"crypto/ecdsa"

	stdmldsa "filippo.io/mldsa"
	"github.com/tink-crypto/tink-go/v2/hybrid/hpke"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/key"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	tinkecdsa "github.com/tink-crypto/tink-go/v2/signature/ecdsa"
	tinked25519 "github.com/tink-crypto/tink-go/v2/signature/ed25519"
	tinkmldsa "github.com/tink-crypto/tink-go/v2/signature/mldsa"

	"github.com/sealbus/sealbus/keys"
)

var token insecuresecretdataaccess.Token

// read is an entry of a keyset. A destroyed key has only its status.
func (k *Keyset) read(e *keyset.Entry) (Entry, error) {
	entry := Entry{id: e.KeyID(), Status: e.KeyStatus(), Primary: e.IsPrimary()}
	if entry.Status == keyset.Destroyed {
		return entry, nil
	}
	typed, err := k.entryOf(e.Key())
	if err != nil {
		return Entry{}, err
	}
	typed.id, typed.Status, typed.Primary = entry.id, entry.Status, entry.Primary
	return typed, nil
}

// entryOf reads a key of Tink: a signer of a producer, or an identity of a consumer.
func (k *Keyset) entryOf(typed key.Key) (Entry, error) {
	identity, isIdentity := typed.(*hpke.PrivateKey)
	switch {
	case isIdentity && k.owner.consumer == "":
		return Entry{}, errors.New("a producer's keyset has signing keys only, and this one decrypts")
	case !isIdentity && k.owner.producer == "":
		return Entry{}, fmt.Errorf("a consumer's keyset has private keys of HPKE only, not %T", typed)
	case isIdentity:
		i, err := identityOf(identity)
		if err != nil {
			return Entry{}, err
		}
		return Entry{PublicKey: keys.PublicKey{Recipient: i.Recipient(), Consumer: k.owner.consumer},
			identity: i}, nil
	}
	s, err := signerOf(typed, k.owner.producer)
	if err != nil {
		return Entry{}, err
	}
	return Entry{PublicKey: keys.PublicKey{Verifier: s.Verifier(), Producer: k.owner.producer}, signer: s},
		nil
}

func signerOf(typed key.Key, producer string) (*keys.LocalSigner, error) {
	switch k := typed.(type) {
	case *tinked25519.PrivateKey:
		seed := k.PrivateKeyBytes().Data(token)
		defer clear(seed)
		return keys.NewLocalSigner(stded25519.NewKeyFromSeed(seed), producer)
	case *tinkecdsa.PrivateKey:
		p := k.Parameters().(*tinkecdsa.Parameters)
		if p.CurveType() != tinkecdsa.NistP256 || p.HashType() != tinkecdsa.SHA256 {
			return nil, fmt.Errorf("an ECDSA key on %s with %s: P-256 with SHA-256 is needed", p.CurveType(),
				p.HashType())
		}
		scalar := k.PrivateKeyValue().Data(token)
		defer clear(scalar)
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), fixed(scalar))
		if err != nil {
			return nil, errors.New("not a private key on P-256")
		}
		return keys.NewLocalSigner(private, producer)
	case *tinkmldsa.PrivateKey:
		if k.Parameters().(*tinkmldsa.Parameters).Instance() != tinkmldsa.MLDSA65 {
			return nil, errors.New("an ML-DSA key must be of ML-DSA-65")
		}
		seed := k.PrivateKeyBytes().Data(token)
		defer clear(seed)
		private, err := stdmldsa.NewPrivateKey(stdmldsa.MLDSA65(), seed)
		if err != nil {
			return nil, errors.New("not a private key of ML-DSA-65")
		}
		return keys.NewLocalSigner(private, producer)
	}
	return nil, fmt.Errorf("%T does not sign events: use Ed25519, ECDSA on P-256 or ML-DSA-65", typed)
}

// fixed is a scalar of P-256 in 32 bytes. Tink's form may have a zero in front, or may lack leading zeros.
func fixed(scalar []byte) []byte {
	for len(scalar) > 32 && scalar[0] == 0 {
		scalar = scalar[1:]
	}
	if len(scalar) > 32 {
		return scalar // it is too long, and the caller refuses it
	}
	return append(make([]byte, 32-len(scalar), 32), scalar...)
}

func identityOf(k *hpke.PrivateKey) (*keys.LocalIdentity, error) {
	curve := ecdh.X25519()
	switch kem := k.Parameters().(*hpke.Parameters).KEMID(); kem {
	case hpke.DHKEM_X25519_HKDF_SHA256:
	case hpke.DHKEM_P256_HKDF_SHA256:
		curve = ecdh.P256()
	default:
		return nil, fmt.Errorf("an HPKE key of %s: X25519 or P-256 is needed", kem)
	}
	scalar := k.PrivateKeyBytes().Data(token)
	defer clear(scalar)
	private, err := curve.NewPrivateKey(fixed(scalar))
	if err != nil {
		return nil, errors.New("not a private key of its curve")
	}
	return keys.NewLocalIdentity(private)
}

// generate makes a new key.
func generate[Kind keys.Algorithm | keys.Curve](kind Kind) (key.Key, error) {
	switch kind := any(kind).(type) {
	case keys.Curve:
		identity, err := keys.GenerateIdentity(kind)
		if err != nil {
			return nil, err
		}
		return typedIdentity(identity)
	case keys.Algorithm:
		signer, err := keys.GenerateSigner(kind, "new")
		if err != nil {
			return nil, err
		}
		return typedSigner(signer)
	}
	return nil, errors.New("tinkkeys: neither an algorithm nor a curve")
}

// typedSigner is a signing key as Tink has it, without an output prefix.
func typedSigner(signer *keys.LocalSigner) (key.Key, error) {
	secret, err := privateOf(signer)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	data := secretdata.NewBytesFromData(secret, token)
	switch signer.Verifier().Algorithm() {
	case keys.Ed25519:
		p, err := tinked25519.NewParameters(tinked25519.VariantNoPrefix)
		if err != nil {
			return nil, err
		}
		return tinked25519.NewPrivateKey(data, 0, p)
	case keys.ES256:
		p, err := tinkecdsa.NewParameters(tinkecdsa.NistP256, tinkecdsa.SHA256, tinkecdsa.IEEEP1363,
			tinkecdsa.VariantNoPrefix)
		if err != nil {
			return nil, err
		}
		return tinkecdsa.NewPrivateKey(data, 0, p)
	}
	p, err := tinkmldsa.NewParameters(tinkmldsa.MLDSA65, tinkmldsa.VariantNoPrefix)
	if err != nil {
		return nil, err
	}
	return tinkmldsa.NewPrivateKey(data, 0, p)
}

// typedIdentity is an identity as Tink has it: the private key of an HPKE key.
func typedIdentity(identity *keys.LocalIdentity) (key.Key, error) {
	secret, err := privateOf(identity)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	opts := hpke.ParametersOpts{KEMID: hpke.DHKEM_X25519_HKDF_SHA256, KDFID: hpke.HKDFSHA256,
		AEADID: hpke.AES256GCM, Variant: hpke.VariantNoPrefix}
	if identity.Recipient().Curve() == keys.P256 {
		opts.KEMID = hpke.DHKEM_P256_HKDF_SHA256
	}
	p, err := hpke.NewParameters(opts)
	if err != nil {
		return nil, err
	}
	return hpke.NewPrivateKey(secretdata.NewBytesFromData(secret, token), 0, p)
}

// privateOf is the secret of a key, which has 32 bytes in every kind of JWK.
func privateOf(k interface{ UnsafePrivateJWK() ([]byte, error) }) ([]byte, error) {
	doc, err := k.UnsafePrivateJWK()
	if err != nil {
		return nil, err
	}
	defer clear(doc)
	var jwk struct{ D, Priv string }
	if err := json.Unmarshal(doc, &jwk); err != nil {
		return nil, errors.New("tinkkeys: the private JWK is not JSON")
	}
	return base64.RawURLEncoding.DecodeString(jwk.D + jwk.Priv)
}
