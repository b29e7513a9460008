// Package awsssm reads keyrings from the SSM Parameter Store.
//
//	fetch, err := awsssm.Keyring(ssm.NewFromConfig(cfg), "/orders/keyring")
//	ring, err := keys.WatchKeyring(ctx, fetch, "", &keys.WatchOptions{InsecureNoPassphrase: true})
//	p, err := producer.New(ring, bus, nil)
//
// The parameter is a SecureString with the content of the keyring's file, in base64 or JSON. It has at most 8
// KB: some ten keys of Ed25519, or two of ML-DSA-65. Use package awssecrets for more.
//
// # Permissions
//
// The program needs ssm:GetParameter on that parameter, and kms:Decrypt if it is encrypted under a key of
// your own.
//
// # Threat model
//
// As of package awssecrets. A parameter that is not a SecureString is refused: every reader of the account's
// parameters could have read it.
//
// # Stability
//
// The function stays as it is.
package awsssm

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/sealbus/sealbus/internal/awscall"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
)

// Client has the method of *ssm.Client that the package calls.
type Client interface {
	GetParameter(ctx context.Context, in *ssm.GetParameterInput, opts ...func(*ssm.Options)) (*ssm.GetParameterOutput,
		error)
}

var _ Client = (*ssm.Client)(nil)

// Keyring reads the keyring from the newest version of the parameter of that name or ARN, for
// keys.WatchKeyring.
func Keyring(client Client, name string) (keys.KeyringFetch, error) {
	if err := nilcheck.Check("awsssm: the client", client); err != nil {
		return nil, err
	}
	if name == "" {
		return nil, errors.New("awsssm: the name of the parameter is empty")
	}
	return func(ctx context.Context) ([]byte, error) {
		out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)},
			func(o *ssm.Options) { o.Retryer = awscall.Retryer(o.Retryer) })
		switch {
		case err != nil:
			return nil, fmt.Errorf("awsssm: %s: %w", name, err)
		case out.Parameter == nil || out.Parameter.Value == nil:
			return nil, fmt.Errorf("awsssm: %s: the parameter has no value", name)
		case out.Parameter.Type != types.ParameterTypeSecureString:
			return nil, fmt.Errorf("awsssm: %s: a private key in a parameter of type %s: make it a SecureString, and "+
				"change the keys, which others may have read", name, out.Parameter.Type)
		}
		content, err := privatefile.FromText(*out.Parameter.Value)
		if err != nil {
			return nil, fmt.Errorf("awsssm: %s: %w", name, err)
		}
		return content, nil
	}, nil
}
