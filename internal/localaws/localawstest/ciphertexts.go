package localawstest

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func (r *run) dataKey(key *string, context map[string]string) (*kms.GenerateDataKeyOutput, error) {
	return r.keys.GenerateDataKey(r.ctx, &kms.GenerateDataKeyInput{KeyId: key,
		KeySpec: types.DataKeySpecAes256, EncryptionContext: context})
}

func dataKeys(r *run) {
	key := r.symmetric()
	one, err := r.dataKey(key, nil)
	r.must(err)
	two, err := r.dataKey(key, nil)
	r.must(err)
	if len(one.Plaintext) != 32 || bytes.Equal(one.Plaintext, two.Plaintext) ||
		bytes.Equal(one.CiphertextBlob, two.CiphertextBlob) || aws.ToString(one.KeyId) != *key {
		r.errorf("two data keys of %d bytes are not two of 32", len(one.Plaintext))
	}
	r.decrypts("a data key", key, one.CiphertextBlob, nil, string(one.Plaintext))
	bare, err := r.keys.GenerateDataKeyWithoutPlaintext(r.ctx,
		&kms.GenerateDataKeyWithoutPlaintextInput{KeyId: key, NumberOfBytes: aws.Int32(64)})
	r.must(err)
	if out, err := r.decrypt(key, bare.CiphertextBlob, nil); err != nil || len(out.Plaintext) != 64 {
		r.errorf("a data key of 64 bytes: %v", err)
	}
	for what, in := range map[string]*kms.GenerateDataKeyInput{
		"no size":    {KeyId: key},
		"two sizes":  {KeyId: key, KeySpec: types.DataKeySpecAes256, NumberOfBytes: aws.Int32(32)},
		"1025 bytes": {KeyId: key, NumberOfBytes: aws.Int32(1025)},
		"AES_512":    {KeyId: key, KeySpec: "AES_512"},
	} {
		_, err := r.keys.GenerateDataKey(r.ctx, in)
		r.refused("a data key of "+what, err, invalid)
	}
}

// encryptionContext: it has to be the same, in any order, to the letter.
func encryptionContext(r *run) {
	key, context := r.symmetric(), map[string]string{"sealbus:source": "orders", "ü": "\u2028 ", "empty": ""}
	made, err := r.dataKey(key, context)
	r.must(err)
	blobs := map[string][]byte{string(made.Plaintext): made.CiphertextBlob,
		"encrypted": r.encrypt(key, "encrypted", context)}
	for plaintext, blob := range blobs {
		r.decrypts("what was encrypted in a context", key, blob,
			map[string]string{"empty": "", "ü": "\u2028 ", "sealbus:source": "orders"}, plaintext)
		for what, other := range map[string]map[string]string{
			"none":          nil,
			"a part of it":  {"sealbus:source": "orders", "ü": "\u2028 "},
			"more":          {"sealbus:source": "orders", "ü": "\u2028 ", "empty": "", "a": "b"},
			"another value": {"sealbus:source": "refunds", "ü": "\u2028 ", "empty": ""},
			"another case":  {"sealbus:source": "Orders", "ü": "\u2028 ", "empty": ""},
			"another name":  {"sealbus:sourcf": "orders", "ü": "\u2028 ", "empty": ""},
		} {
			_, err := r.decrypt(key, blob, other)
			r.refused("the context "+what, err, badCiphertext)
		}
	}
	_, err = r.decrypt(key, r.encrypt(key, "bare", nil), context)
	r.refused("a context where there was none", err, badCiphertext)
	r.decrypts("an empty context", key, r.encrypt(key, "bare", map[string]string{}), nil, "bare")
}

// movedLetters: a name and a value are two texts, not one.
func movedLetters(r *run) {
	key := r.symmetric()
	_, err := r.decrypt(key, r.encrypt(key, "x", map[string]string{"sealbus:source": "orders"}),
		map[string]string{"sealbus:sourc": "eorders"})
	r.refused("a context whose letters have moved", err, badCiphertext)
}

func ciphertexts(r *run) {
	key := r.symmetric()
	blob := r.encrypt(key, "plaintext", nil)
	if bytes.Contains(blob, []byte("plaintext")) {
		r.errorf("nothing is encrypted")
	}
	if out := r.decrypts("without a key", nil, blob, nil, "plaintext"); aws.ToString(out.KeyId) != *key {
		r.errorf("decrypted by %q", aws.ToString(out.KeyId))
	}
	flipped := func(i int) []byte {
		b := bytes.Clone(blob)
		b[i] ^= 1
		return b
	}
	for what, b := range map[string][]byte{
		"its last bit": flipped(len(blob) - 1), "its end": blob[:len(blob)-1], "its beginning": blob[1:],
		"nothing of its own": []byte("no ciphertext"),
		"more":               append(bytes.Clone(blob), 0),
	} {
		_, err := r.decrypt(key, b, nil)
		r.refused("a ciphertext, changed in "+what, err, badCiphertext)
	}
}

// keyMaterial: an answer says with which material of the key it was made.
func keyMaterial(r *run) {
	key := r.symmetric()
	was := r.material(key)
	if out := r.decrypts("a ciphertext", key, r.encrypt(key, "x", nil), nil,
		"x"); aws.ToString(out.KeyMaterialId) != was {
		r.errorf("decrypted with %q, want %s", aws.ToString(out.KeyMaterialId), was)
	}
}

func anotherKey(r *run) {
	key, other := r.symmetric(), r.symmetric()
	_, err := r.decrypt(other, r.encrypt(key, "plaintext", nil), nil)
	r.refused("another key", err, wrongKey)
}

func anotherKindOfKey(r *run) {
	_, err := r.decrypt(signer(r), r.encrypt(r.symmetric(), "plaintext", nil), nil)
	r.refused("a key for signatures", err, wrongKey)
}

func encryptingAgain(r *run) {
	key, other := r.symmetric(), r.symmetric()
	blob := r.encrypt(key, "plaintext", nil)
	again, err := r.keys.ReEncrypt(r.ctx, &kms.ReEncryptInput{CiphertextBlob: blob, SourceKeyId: key,
		DestinationKeyId: other, DestinationEncryptionContext: map[string]string{"a": "b"}})
	r.must(err)
	r.decrypts("what was encrypted again", other, again.CiphertextBlob, map[string]string{"a": "b"},
		"plaintext")
	_, err = r.keys.ReEncrypt(r.ctx, &kms.ReEncryptInput{CiphertextBlob: blob, SourceKeyId: other,
		DestinationKeyId: other})
	r.refused("encrypting again with another source", err, wrongKey)
}

func (r *run) cannotEncrypt(key *string) {
	_, err := r.keys.Encrypt(r.ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
	r.refused("Encrypt", err, badUsage)
	_, err = r.dataKey(key, nil)
	r.refused("GenerateDataKey", err, badUsage)
}

func (r *run) cannotSign(key *string) {
	_, err := r.sign(key, "ECDSA_SHA_256", types.MessageTypeRaw, []byte("x"))
	r.refused("Sign", err, badUsage)
}

func (r *run) cannotAgree(key *string) {
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	r.must(err)
	spki, err := x509.MarshalPKIXPublicKey(peer.PublicKey())
	r.must(err)
	_, err = r.agree(key, spki)
	r.refused("DeriveSharedSecret", err, badUsage)
}

func (r *run) public(key *string) []byte {
	out, err := r.keys.GetPublicKey(r.ctx, &kms.GetPublicKeyInput{KeyId: key})
	r.must(err)
	return out.PublicKey
}

func (r *run) agree(key *string, public []byte) (*kms.DeriveSharedSecretOutput, error) {
	return r.keys.DeriveSharedSecret(r.ctx, &kms.DeriveSharedSecretInput{KeyId: key, PublicKey: public,
		KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh})
}

// agreedKeys: who has only the public half comes to the same secret.
func agreedKeys(r *run) {
	key := r.asymmetric(types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement)
	parsed, err := x509.ParsePKIXPublicKey(r.public(key))
	r.must(err)
	theirs, err := parsed.(interface {
		ECDH() (*ecdh.PublicKey, error)
	}).ECDH()
	r.must(err)
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	r.must(err)
	ours, err := ephemeral.ECDH(theirs)
	r.must(err)
	spki, err := x509.MarshalPKIXPublicKey(ephemeral.PublicKey())
	r.must(err)
	out, err := r.agree(key, spki)
	r.must(err)
	if !bytes.Equal(out.SharedSecret, ours) || aws.ToString(out.KeyId) != *key ||
		out.KeyAgreementAlgorithm != types.KeyAgreementAlgorithmSpecEcdh {
		r.errorf("the two sides do not agree: %s by %q", out.KeyAgreementAlgorithm, aws.ToString(out.KeyId))
	}
}

func refusedAgreement(r *run) {
	key := r.asymmetric(types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement)
	onAnotherCurve, err := ecdh.P384().GenerateKey(rand.Reader)
	r.must(err)
	p384, err := x509.MarshalPKIXPublicKey(onAnotherCurve.PublicKey())
	r.must(err)
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	r.must(err)
	ed25519Key, err := x509.MarshalPKIXPublicKey(edwards)
	r.must(err)
	offTheCurve := bytes.Clone(r.public(key))
	offTheCurve[len(offTheCurve)-1] ^= 1
	for what, public := range map[string][]byte{
		"no key": []byte("InvalidPublicKey"), "a point that is not on the curve": offTheCurve,
		"a key of P-384":   p384,
		"a key of Ed25519": ed25519Key,
	} {
		_, err := r.agree(key, public)
		r.refused("agreeing with "+what, err, invalid)
	}
}
