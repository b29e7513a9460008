package awskms

import (
	"context"
	"crypto/sha256"
	"crypto/sha3"
	"fmt"

	"filippo.io/mldsa"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/internal/ecdsasig"
	"github.com/sealbus/sealbus/keys"
)

// maxMessage is the largest message that KMS signs unhashed, in bytes.
const maxMessage = 4096

// signClient has the methods of *kms.Client that a Signer calls.
type signClient interface {
	publicKeyClient
	Sign(ctx context.Context, in *kms.SignInput, opts ...func(*kms.Options)) (*kms.SignOutput, error)
}

var (
	_ signClient  = (*kms.Client)(nil)
	_ keys.Signer = (*Signer)(nil)
)

// Signer signs with a key in KMS: ECC_NIST_EDWARDS25519, ECC_NIST_P256 or ML_DSA_65. Each signature is a
// call; see session.Delegate. It is safe for concurrent use.
type Signer struct {
	access
	client   signClient
	producer string
	verifier *keys.Verifier
}

// NewSigner fetches the public half of the key with that ARN, ID or alias. The Signer keeps that key, also if
// the alias changes. The producer is the owner of the key, as in the trust policy. The client is a
// *kms.Client, or has its methods GetPublicKey and Sign.
func NewSigner(ctx context.Context, client signClient, key, producer string, opts *Options) (*Signer, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	if err := keys.CheckProducer(producer); err != nil {
		return nil, err
	}
	a, public, err := fetchPublic(ctx, client, key, types.KeyUsageTypeSignVerify, opts)
	if err != nil {
		return nil, err
	}
	v, err := keys.NewVerifier(public)
	if err != nil {
		return nil,
			fmt.Errorf("awskms: %s: a signer needs the key spec ECC_NIST_EDWARDS25519, ECC_NIST_P256 or ML_DSA_65: %w", a.name, err)
	}
	return &Signer{a, client, producer, v}, nil
}

// Verifier is the public half.
func (s *Signer) Verifier() *keys.Verifier { return s.verifier }

// Producer is the name of the producer that owns the key.
func (s *Signer) Producer() string { return s.producer }

// ARN is the ARN of the key.
func (s *Signer) ARN() string { return s.name }

// Sign has KMS sign message, and verifies the signature. The error is a *keys.ServiceError.
func (s *Signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	in, err := s.input(message)
	if err != nil {
		return nil, err
	}
	var signature []byte
	err = s.call(ctx, opSign, func(ctx context.Context) error {
		out, err := s.client.Sign(ctx, in, again)
		if err != nil {
			return err
		}
		signature = out.Signature
		if s.verifier.Algorithm() == keys.ES256 {
			if signature, err = ecdsasig.RawFromDER(signature); err != nil {
				return wrong("the signature is none of ECDSA in DER")
			}
		}
		if aws.ToString(out.KeyId) != s.name || !s.verifier.Verify(message, signature) {
			return wrong("the signature is not one of this key over this message")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return signature, nil
}

// input is the request to sign message, as the key's algorithm needs it.
func (s *Signer) input(message []byte) (*kms.SignInput, error) {
	in := &kms.SignInput{KeyId: &s.name, Message: message, MessageType: types.MessageTypeRaw,
		GrantTokens: s.opts.GrantTokens}
	switch s.verifier.Algorithm() {
	case keys.ES256:
		digest := sha256.Sum256(message)
		in.Message, in.MessageType, in.SigningAlgorithm = digest[:], types.MessageTypeDigest,
			types.SigningAlgorithmSpecEcdsaSha256
	case keys.MLDSA65:
		in.SigningAlgorithm = types.SigningAlgorithmSpecMlDsaShake256
		if len(message) > maxMessage {
			in.Message, in.MessageType = s.mu(message), types.MessageTypeExternalMu
		}
	default:
		in.SigningAlgorithm = types.SigningAlgorithmSpecEd25519Sha512
		if len(message) > maxMessage {
			return nil, &keys.ServiceError{Op: opSign, KeyID: s.name, Permanent: true,
				Cause: fmt.Sprintf("the message has %d bytes, and KMS signs at most %d with an Ed25519 key",
					len(message), maxMessage),
				Fix: "sign with a session key that this key vouches for (session.Delegate), with a P-256 key, or fewer extension attributes"}
		}
	}
	return in, nil
}

// mu is the message representative that an ML-DSA key signs (FIPS 204 algorithm 7, line 6), with an empty
// context. Its 64 bytes stand for a message of any size.
func (s *Signer) mu(message []byte) []byte {
	public := s.verifier.Public().(*mldsa.PublicKey)
	h := sha3.NewSHAKE256()
	_, _ = h.Write(sha3.SumSHAKE256(public.Bytes(), 64))
	_, _ = h.Write([]byte{0, 0})
	_, _ = h.Write(message)
	mu := make([]byte, 64)
	_, _ = h.Read(mu)
	return mu
}
