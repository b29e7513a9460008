package localawstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/x509"

	"filippo.io/mldsa"
	mldsax509 "filippo.io/mldsa/x509"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func (r *run) sign(key *string, algorithm types.SigningAlgorithmSpec, kind types.MessageType,
	message []byte) ([]byte, error) {
	out, err := r.keys.Sign(r.ctx, &kms.SignInput{KeyId: key, Message: message, MessageType: kind,
		SigningAlgorithm: algorithm})
	if err != nil {
		return nil, err
	}
	if aws.ToString(out.KeyId) != *key || out.SigningAlgorithm != algorithm {
		r.errorf("%q signed with %s, want %s with %s", aws.ToString(out.KeyId), out.SigningAlgorithm, *key,
			algorithm)
	}
	return out.Signature, nil
}

// verifies wants the service to accept a signature of a message, and of no other.
func (r *run) verifies(key *string, algorithm types.SigningAlgorithmSpec, kind types.MessageType, message,
	signature []byte) {
	in := &kms.VerifyInput{KeyId: key, Message: message, MessageType: kind, Signature: signature,
		SigningAlgorithm: algorithm}
	out, err := r.keys.Verify(r.ctx, in)
	r.must(err)
	if !out.SignatureValid {
		r.errorf("%s: not valid", algorithm)
	}
	in.Message = append([]byte{message[0] ^ 1}, message[1:]...)
	_, err = r.keys.Verify(r.ctx, in)
	r.refused("a signature of another message", err, badSignature)
}

var message = []byte("a message that is signed")

func ecdsaSignatures(r *run) {
	key := r.asymmetric(types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	parsed, err := x509.ParsePKIXPublicKey(r.public(key))
	r.must(err)
	sum := sha256.Sum256(message)
	for kind, input := range map[types.MessageType][]byte{types.MessageTypeRaw: message,
		types.MessageTypeDigest: sum[:], "": message} {
		signature, err := r.sign(key, types.SigningAlgorithmSpecEcdsaSha256, kind, input)
		r.must(err)
		if !ecdsa.VerifyASN1(parsed.(*ecdsa.PublicKey), sum[:], signature) {
			r.errorf("%s: no signature in DER by the public key", kind)
		}
		r.verifies(key, types.SigningAlgorithmSpecEcdsaSha256, kind, input, signature)
	}
}

// ed25519Signatures: the prehashed variant takes a digest, and hashes it once more.
func ed25519Signatures(r *run) {
	key := r.asymmetric(types.KeySpecEccNistEdwards25519, types.KeyUsageTypeSignVerify)
	parsed, err := x509.ParsePKIXPublicKey(r.public(key))
	r.must(err)
	public := parsed.(ed25519.PublicKey)
	signature, err := r.sign(key, types.SigningAlgorithmSpecEd25519Sha512, types.MessageTypeRaw, message)
	r.must(err)
	if !ed25519.Verify(public, message, signature) {
		r.errorf("no signature by the public key")
	}
	r.verifies(key, types.SigningAlgorithmSpecEd25519Sha512, types.MessageTypeRaw, message, signature)
	sum := sha512.Sum512(message)
	prehashed, err := r.sign(key, types.SigningAlgorithmSpecEd25519PhSha512, types.MessageTypeDigest, sum[:])
	r.must(err)
	if twice := sha512.Sum512(sum[:]); ed25519.VerifyWithOptions(public, twice[:], prehashed,
		&ed25519.Options{Hash: crypto.SHA512}) != nil {
		r.errorf("no prehashed signature by the public key")
	}
	r.verifies(key, types.SigningAlgorithmSpecEd25519PhSha512, types.MessageTypeDigest, sum[:], prehashed)
}

func (r *run) mldsaSignatures(spec types.KeySpec) {
	key := r.asymmetric(spec, types.KeyUsageTypeSignVerify)
	parsed, err := mldsax509.ParsePKIXPublicKey(r.public(key))
	r.must(err)
	public := parsed.(*mldsa.PublicKey)
	for kind, input := range map[types.MessageType][]byte{types.MessageTypeRaw: message,
		types.MessageTypeExternalMu: externalMu(public, message)} {
		signature, err := r.sign(key, types.SigningAlgorithmSpecMlDsaShake256, kind, input)
		r.must(err)
		if err := mldsa.Verify(public, message, signature, nil); err != nil {
			r.errorf("%s, %s: no signature by the public key: %v", spec, kind, err)
		}
		r.verifies(key, types.SigningAlgorithmSpecMlDsaShake256, types.MessageTypeRaw, message, signature)
	}
}

// externalMu is the message representative without a context. FIPS 204, algorithm 7, line 6, and algorithm 2,
// line 10.
func externalMu(public *mldsa.PublicKey, message []byte) []byte {
	tr := make([]byte, 64)
	h := sha3.NewSHAKE256()
	h.Write(public.Bytes())
	h.Read(tr)
	mu := make([]byte, 64)
	h.Reset()
	h.Write(append(tr, 0, 0))
	h.Write(message)
	h.Read(mu)
	return mu
}

// notSigned is a message that a key does not sign.
type notSigned struct {
	what      string
	algorithm types.SigningAlgorithmSpec
	kind      types.MessageType
	message   []byte
	code      string
}

func (r *run) refusesToSign(key *string, list ...notSigned) {
	for _, c := range list {
		_, err := r.sign(key, c.algorithm, c.kind, c.message)
		r.refused(c.what, err, c.code)
	}
}

func refusedECDSA(r *run) {
	key, digest := signer(r), make([]byte, 64)
	r.refusesToSign(key,
		notSigned{"a digest that is too long", types.SigningAlgorithmSpecEcdsaSha256, types.MessageTypeDigest,
			digest, invalid},
		notSigned{"a mu for ECDSA", types.SigningAlgorithmSpecEcdsaSha256, types.MessageTypeExternalMu,
			digest, invalid},
		notSigned{"the algorithm of another key", types.SigningAlgorithmSpecEd25519Sha512,
			types.MessageTypeRaw, digest, badUsage},
		notSigned{"a kind of message that does not exist", types.SigningAlgorithmSpecEcdsaSha256, "COOKED",
			digest, invalid},
	)
}

func noSignature(r *run) {
	_, err := r.keys.Verify(r.ctx, &kms.VerifyInput{KeyId: signer(r), Message: message,
		Signature: []byte("no signature"), SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	r.refused("bytes that are no signature", err, badSignature)
}

func refusedEd25519(r *run) {
	r.refusesToSign(r.asymmetric(types.KeySpecEccNistEdwards25519, types.KeyUsageTypeSignVerify),
		notSigned{"a digest for Ed25519", types.SigningAlgorithmSpecEd25519Sha512, types.MessageTypeDigest,
			make([]byte, 64), invalid},
		notSigned{"a message for prehashed Ed25519", types.SigningAlgorithmSpecEd25519PhSha512,
			types.MessageTypeRaw, make([]byte, 64), invalid},
	)
}

func refusedMLDSA(r *run) {
	r.refusesToSign(r.asymmetric(types.KeySpecMlDsa65, types.KeyUsageTypeSignVerify),
		notSigned{"a digest for ML-DSA", types.SigningAlgorithmSpecMlDsaShake256, types.MessageTypeDigest,
			make([]byte, 64), invalid},
		notSigned{"a mu that is too short", types.SigningAlgorithmSpecMlDsaShake256,
			types.MessageTypeExternalMu, make([]byte, 32), invalid},
	)
}
