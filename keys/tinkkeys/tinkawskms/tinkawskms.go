// Package tinkawskms encrypts Tink keysets (package tinkkeys) under a key of AWS KMS, by
// github.com/tink-crypto/tink-go-awskms/v3. Opening a keyset takes one call, and writing it one. Signing and
// decrypting an event take none. It is a package of its own so that tinkkeys links no AWS.
//
// The role needs kms:Decrypt on the key. To change the keyset it also needs kms:Encrypt. The encryption
// context is {"associatedData": HEX}, of the owner to which tinkkeys binds the keyset.
package tinkawskms

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/internal/awsname"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
)

// Client is the part of *kms.Client that the package uses.
type Client interface {
	Encrypt(ctx context.Context, in *kms.EncryptInput, opts ...func(*kms.Options)) (*kms.EncryptOutput, error)
	Decrypt(ctx context.Context, in *kms.DecryptInput, opts ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

var _ Client = (*kms.Client)(nil)

// KEK is the symmetric key of that ARN as a key encryption key. It makes no call yet. Its errors are
// *keys.ServiceError.
func KEK(ctx context.Context, client Client, arn string) (tink.AEADWithContext, error) {
	if client == nil {
		return nil, errors.New("tinkawskms: no client of KMS")
	}
	if err := nilcheck.Typed("tinkawskms: the client of KMS", client); err != nil {
		return nil, err
	}
	if a, ok := awsname.ParseARN(arn); !ok || a.KMSKey() == "" {
		return nil,
			fmt.Errorf("tinkawskms: %.100q is not the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID)", arn)
	}
	aead, err := awskms.NewAEADWithContext(ctx, arn, awskms.WithKMS(client))
	if err != nil {
		return nil, fmt.Errorf("tinkawskms: %w", err)
	}
	return &kek{arn, aead}, nil
}

type kek struct {
	arn  string
	aead tink.AEADWithContext
}

// EncryptWithContext encrypts.
func (k *kek) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	out, err := k.aead.EncryptWithContext(ctx, plaintext, associatedData)
	return out, k.failed("kms:Encrypt", err)
}

// DecryptWithContext decrypts.
func (k *kek) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	out, err := k.aead.DecryptWithContext(ctx, ciphertext, associatedData)
	return out, k.failed("kms:Decrypt", err)
}

// failed is permanent only if KMS says that the ciphertext is not its own. An operator can mend every other
// fault.
func (k *kek) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &keys.ServiceError{Op: op, KeyID: k.arn, Err: err, Cause: "KMS did not answer",
		Fix: fmt.Sprintf("allow %s on %s to this role, in the key policy or by IAM, and look at the key's state and at the network path to KMS", op, k.arn)}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		e.Cause = api.ErrorCode()
		e.Permanent = e.Cause == "InvalidCiphertextException" || e.Cause == "IncorrectKeyException"
	}
	return e
}
