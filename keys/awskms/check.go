package awskms

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/keys"
)

// Permission is the answer of KMS about one permission.
type Permission struct {
	Op    string             // "kms:Decrypt"
	KeyID string             // the ARN of the key
	Err   *keys.ServiceError // why it cannot be used now, and what to do; nil = it can
}

// dryRun asks KMS whether a call would succeed (DryRun).
// https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html
func (a *access) dryRun(ctx context.Context, op string, call func(context.Context) error) Permission {
	err := a.call(ctx, op, func(ctx context.Context) error {
		err := call(ctx)
		if api, ok := errors.AsType[smithy.APIError](err); ok &&
			api.ErrorCode() == "DryRunOperationException" {
			return nil
		}
		return err
	})
	p := Permission{Op: op, KeyID: a.name}
	p.Err, _ = errors.AsType[*keys.ServiceError](err)
	if p.Err != nil && p.Err.Permanent { // it would be a verdict on an event, and there is no event
		e := *p.Err
		e.Permanent = false
		e.Fix = "this KMS does not answer dry runs as AWS does (an emulator?), so the permission is not known: " +
			"look at the key policy, or use the key"
		p.Err = &e
	}
	return p
}

// Check asks for both permissions of a recipient, for events of that source.
func (r *Recipient) Check(ctx context.Context, source string) []Permission {
	return []Permission{
		r.dryRun(ctx, opGenerate, func(ctx context.Context) error {
			_, err := r.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
				KeyId: &r.name, KeySpec: types.DataKeySpecAes256,
				EncryptionContext: encryptionContext(source), GrantTokens: r.opts.GrantTokens,
				DryRun: aws.Bool(true),
			}, again)
			return err
		}),
		r.dryRun(ctx, opEncrypt, func(ctx context.Context) error {
			_, err := r.client.Encrypt(ctx, &kms.EncryptInput{
				KeyId: &r.name, Plaintext: []byte("?"), EncryptionContext: encryptionContext(source),
				GrantTokens: r.opts.GrantTokens, DryRun: aws.Bool(true),
			}, again)
			return err
		}),
	}
}

// Check asks for the permission of an identity, for events of that source. It has no ciphertext, so it tells
// KMS to ignore the ciphertext: the answer about a foreign ciphertext would not show the permission.
func (i *Identity) Check(ctx context.Context, source string) []Permission {
	return []Permission{i.dryRun(ctx, opDecrypt, func(ctx context.Context) error {
		_, err := i.client.Decrypt(ctx, &kms.DecryptInput{
			KeyId: &i.name, EncryptionContext: encryptionContext(source), GrantTokens: i.opts.GrantTokens,
			DryRun:          aws.Bool(true),
			DryRunModifiers: []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext},
		}, again)
		return err
	})}
}

// Check asks for the permission to derive. NewAgreementIdentity has used the one to get the public key.
func (i *AgreementIdentity) Check(ctx context.Context) []Permission {
	return []Permission{i.dryRun(ctx, opDerive, func(ctx context.Context) error {
		peer, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		spki, err := x509.MarshalPKIXPublicKey(peer.PublicKey())
		if err != nil {
			return err
		}
		in := i.derive(spki)
		in.DryRun = aws.Bool(true)
		_, err = i.client.DeriveSharedSecret(ctx, in, again)
		return err
	})}
}

// Check asks for the permission to sign. NewSigner has used the one to get the public key.
func (s *Signer) Check(ctx context.Context) []Permission {
	return []Permission{s.dryRun(ctx, opSign, func(ctx context.Context) error {
		in, err := s.input([]byte("?"))
		if err != nil {
			return err
		}
		in.DryRun = aws.Bool(true)
		_, err = s.client.Sign(ctx, in, again)
		return err
	})}
}
