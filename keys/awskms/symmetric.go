package awskms

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/keys"
)

// The operations, as policies name them.
const (
	opGenerate  = "kms:GenerateDataKey"
	opEncrypt   = "kms:Encrypt"
	opDecrypt   = "kms:Decrypt"
	opDerive    = "kms:DeriveSharedSecret"
	opSign      = "kms:Sign"
	opPublicKey = "kms:GetPublicKey"
)

// contentKeySize is the size of a content key, in bytes.
const contentKeySize = 32

// maxCiphertext is the largest ciphertext that KMS decrypts, in bytes.
const maxCiphertext = 6144

// contextKey is the name in the encryption context whose value is the source of the events.
const contextKey = "sealbus:source"

func encryptionContext(source string) map[string]string { return map[string]string{contextKey: source} }

// encryptClient has the methods of *kms.Client that a Recipient calls.
type encryptClient interface {
	GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput,
		opts ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error)
	Encrypt(ctx context.Context, in *kms.EncryptInput, opts ...func(*kms.Options)) (*kms.EncryptOutput, error)
}

// decryptClient has the method of *kms.Client that an Identity calls.
type decryptClient interface {
	Decrypt(ctx context.Context, in *kms.DecryptInput, opts ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

var (
	_ encryptClient         = (*kms.Client)(nil)
	_ decryptClient         = (*kms.Client)(nil)
	_ keys.ServiceRecipient = (*Recipient)(nil)
	_ keys.ServiceIdentity  = (*Identity)(nil)
)

// Recipient is a symmetric key (SYMMETRIC_DEFAULT) to encrypt to. It is safe for concurrent use.
type Recipient struct {
	access
	client encryptClient
}

// NewRecipient makes a recipient of the key of that ARN, which may be in another account. It makes no call
// yet. The client is a *kms.Client, or has its methods GenerateDataKey and Encrypt.
func NewRecipient(client encryptClient, arn string, opts *Options) (*Recipient, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	a, err := newAccess(client, arn, opts)
	if err != nil {
		return nil, err
	}
	return &Recipient{a, client}, nil
}

// KeyID is the ARN.
func (r *Recipient) KeyID() string { return r.name }

// GenerateKey calls kms:GenerateDataKey.
func (r *Recipient) GenerateKey(ctx context.Context, source string) (key, encrypted []byte, err error) {
	err = r.call(ctx, opGenerate, func(ctx context.Context) error {
		out, err := r.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
			KeyId: &r.name, KeySpec: types.DataKeySpecAes256, EncryptionContext: encryptionContext(source),
			GrantTokens: r.opts.GrantTokens,
		}, again)
		if err != nil {
			return err
		}
		key, encrypted = out.Plaintext, out.CiphertextBlob
		return r.check(aws.ToString(out.KeyId), key, encrypted)
	})
	if err != nil {
		clear(key)
		return nil, nil, err
	}
	return key, encrypted, nil
}

// check compares an answer with the request.
func (a *access) check(arn string, key, encrypted []byte) error {
	switch {
	case arn != a.name:
		return wrong("it is about another key, %.100q", arn)
	case len(key) != contentKeySize:
		return wrong("the content key has %d bytes, not %d", len(key), contentKeySize)
	case len(encrypted) == 0:
		return wrong("the encrypted key is empty")
	}
	return nil
}

// EncryptKey calls kms:Encrypt.
func (r *Recipient) EncryptKey(ctx context.Context, source string, key []byte) (encrypted []byte, err error) {
	own := bytes.Clone(key)
	defer clear(own)
	err = r.call(ctx, opEncrypt, func(ctx context.Context) error {
		out, err := r.client.Encrypt(ctx, &kms.EncryptInput{
			KeyId: &r.name, Plaintext: own, EncryptionContext: encryptionContext(source),
			GrantTokens: r.opts.GrantTokens,
		}, again)
		if err != nil {
			return err
		}
		encrypted = out.CiphertextBlob
		return r.check(aws.ToString(out.KeyId), own, encrypted)
	})
	if err != nil {
		return nil, err
	}
	return encrypted, nil
}

// Identity is a symmetric key to open with. It is safe for concurrent use.
type Identity struct {
	access
	client decryptClient
}

// NewIdentity makes an identity of the key of that ARN. For a multi-Region key, give the ARN of the replica
// in the client's own region. It makes no call yet. The client is a *kms.Client, or has its method Decrypt.
func NewIdentity(client decryptClient, arn string, opts *Options) (*Identity, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	a, err := newAccess(client, arn, opts)
	if err != nil {
		return nil, err
	}
	return &Identity{a, client}, nil
}

// KeyID is the ARN.
func (i *Identity) KeyID() string { return i.name }

// Takes is true of the key's own ARN and, for a multi-Region key, of those of its replicas.
func (i *Identity) Takes(keyID string) bool { return sameSecret(i.name, keyID) }

// DecryptKey calls kms:Decrypt with this key. It does not use the key that the ciphertext names.
func (i *Identity) DecryptKey(ctx context.Context, source, keyID string, encrypted []byte) ([]byte, error) {
	if !i.Takes(keyID) {
		return nil, &keys.ServiceError{Op: opDecrypt, KeyID: i.name, Permanent: true,
			Cause: fmt.Sprintf("it was encrypted under another key, %.100q", keyID)}
	}
	if n := len(encrypted); n == 0 || n > maxCiphertext {
		return nil, &keys.ServiceError{Op: opDecrypt, KeyID: i.name, Permanent: true,
			Cause: fmt.Sprintf("the encrypted key has %d bytes: KMS makes 1 to %d", n, maxCiphertext)}
	}
	var key []byte
	err := i.call(ctx, opDecrypt, func(ctx context.Context) error {
		out, err := i.client.Decrypt(ctx, &kms.DecryptInput{
			KeyId: &i.name, CiphertextBlob: encrypted, EncryptionContext: encryptionContext(source),
			GrantTokens: i.opts.GrantTokens,
		}, again)
		if err != nil {
			return i.failed(opDecrypt, source, err)
		}
		key = out.Plaintext
		return i.check(aws.ToString(out.KeyId), key, encrypted)
	})
	if err != nil {
		clear(key)
		return nil, err
	}
	return key, nil
}
