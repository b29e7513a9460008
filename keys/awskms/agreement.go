package awskms

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/keys"
)

// agreementClient has the methods of *kms.Client that an AgreementIdentity calls.
type agreementClient interface {
	publicKeyClient
	DeriveSharedSecret(ctx context.Context, in *kms.DeriveSharedSecretInput,
		opts ...func(*kms.Options)) (*kms.DeriveSharedSecretOutput, error)
}

var (
	_ agreementClient = (*kms.Client)(nil)
	_ keys.Identity   = (*AgreementIdentity)(nil)
)

// AgreementIdentity is a key pair on P-256 for key agreement (KEY_AGREEMENT, ECC_NIST_P256) whose private
// half stays in KMS. Producers need no permission, only its public half, which the trust bundle has.
// It is safe for concurrent use.
type AgreementIdentity struct {
	access
	client    agreementClient
	recipient *keys.Recipient
}

// NewAgreementIdentity fetches the public half of the key with that ARN, ID or alias. The identity keeps that
// key, also if the alias changes. The client is a *kms.Client, or has its methods GetPublicKey and
// DeriveSharedSecret.
func NewAgreementIdentity(ctx context.Context, client agreementClient, key string,
	opts *Options) (*AgreementIdentity, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	a, public, err := fetchPublic(ctx, client, key, types.KeyUsageTypeKeyAgreement, opts)
	if err != nil {
		return nil, err
	}
	pair, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("awskms: %s: an identity needs the key spec ECC_NIST_P256", a.name)
	}
	point, err := pair.ECDH()
	if err != nil {
		return nil, fmt.Errorf("awskms: %s: an identity needs the key spec ECC_NIST_P256", a.name)
	}
	r, err := keys.NewRecipient(point)
	if err != nil {
		return nil, fmt.Errorf("awskms: %s: an identity needs the key spec ECC_NIST_P256: %w", a.name, err)
	}
	return &AgreementIdentity{a, client, r}, nil
}

// Recipient is the public half.
func (i *AgreementIdentity) Recipient() *keys.Recipient { return i.recipient }

// ARN is the ARN of the key.
func (i *AgreementIdentity) ARN() string { return i.name }

// ECDH calls kms:DeriveSharedSecret.
func (i *AgreementIdentity) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	if peer == nil || peer.Curve() != ecdh.P256() {
		return nil, &keys.ServiceError{Op: opDerive, KeyID: i.name, Permanent: true,
			Cause: "the other key is not on P-256"}
	}
	spki, err := x509.MarshalPKIXPublicKey(peer)
	if err != nil {
		return nil, &keys.ServiceError{Op: opDerive, KeyID: i.name, Permanent: true,
			Cause: "the other key has no DER form", Err: err}
	}
	var secret []byte
	err = i.call(ctx, opDerive, func(ctx context.Context) error {
		out, err := i.client.DeriveSharedSecret(ctx, i.derive(spki), again)
		if err != nil {
			return err
		}
		secret = out.SharedSecret
		switch {
		case !i.isNamed(aws.ToString(out.KeyId)):
			return wrong("it is about another key, %.100q", aws.ToString(out.KeyId))
		case len(secret) != contentKeySize:
			return wrong("the shared secret has %d bytes, not %d", len(secret), contentKeySize)
		}
		return nil
	})
	if err != nil {
		clear(secret)
		return nil, err
	}
	return secret, nil
}

// isNamed reports whether an answer names the key, by its ARN or its ID. The documentation does not say which
// of the two this operation answers with.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_DeriveSharedSecret.html
func (i *AgreementIdentity) isNamed(answer string) bool {
	own, ok := parseARN(i.name)
	return answer == i.name || ok && answer == own.id
}

func (i *AgreementIdentity) derive(spki []byte) *kms.DeriveSharedSecretInput {
	return &kms.DeriveSharedSecretInput{
		KeyId: &i.name, PublicKey: spki, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh,
		GrantTokens: i.opts.GrantTokens,
	}
}
