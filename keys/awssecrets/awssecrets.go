// Package awssecrets reads keyrings from AWS Secrets Manager.
//
//	fetch, err := awssecrets.Keyring(secretsmanager.NewFromConfig(cfg), "orders/keyring")
//	ring, err := keys.WatchKeyring(ctx, fetch, "", &keys.WatchOptions{InsecureNoPassphrase: true})
//	p, err := producer.New(ring, bus, nil)
//
// The secret is the content of the keyring's file: binary, or text in base64 or JSON. Secrets Manager
// encrypts it under a key of KMS, so the keyring needs no passphrase of its own. A passphrase helps if it is
// kept apart.
//
// # Permissions
//
// The program needs secretsmanager:GetSecretValue on that secret, and kms:Decrypt if it is encrypted under a
// key of your own.
//
// # Threat model
//
// An attacker who can read the secret has the private keys. An attacker who can write it can stop the
// producer, but a running one keeps its last good keyring; and consumers follow the trust bundle alone.
// Errors hold the name of the secret, and never its value.
//
// # Stability
//
// The function stays as it is.
package awssecrets

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/sealbus/sealbus/internal/awscall"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
)

// Client has the method of *secretsmanager.Client that the package calls.
type Client interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput,
		opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

var _ Client = (*secretsmanager.Client)(nil)

// Keyring reads the keyring from the current version of the secret of that name or ARN, for
// keys.WatchKeyring.
func Keyring(client Client, secretID string) (keys.KeyringFetch, error) {
	if err := nilcheck.Check("awssecrets: the client", client); err != nil {
		return nil, err
	}
	if secretID == "" {
		return nil, errors.New("awssecrets: the name of the secret is empty")
	}
	return func(ctx context.Context) ([]byte, error) {
		out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secretID},
			func(o *secretsmanager.Options) { o.Retryer = awscall.Retryer(o.Retryer) })
		switch {
		case err != nil:
			return nil, fmt.Errorf("awssecrets: %s: %w", secretID, err)
		case len(out.SecretBinary) > privatefile.MaxSize:
			return nil, fmt.Errorf("awssecrets: %s: more than %d bytes", secretID, privatefile.MaxSize)
		case out.SecretBinary != nil:
			return out.SecretBinary, nil
		case out.SecretString == nil:
			return nil, fmt.Errorf("awssecrets: %s: the secret has no value", secretID)
		}
		content, err := privatefile.FromText(*out.SecretString)
		if err != nil {
			return nil, fmt.Errorf("awssecrets: %s: %w", secretID, err)
		}
		return content, nil
	}, nil
}
