package awskms

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"filippo.io/mldsa"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// publicKeyClient has the method of *kms.Client that gets the public half of a key pair.
type publicKeyClient interface {
	GetPublicKey(ctx context.Context, in *kms.GetPublicKeyInput,
		opts ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error)
}

// fetchPublic gets the public half of a key for that usage, and the ARN of the key.
func fetchPublic(ctx context.Context, client publicKeyClient, name string, usage types.KeyUsageType,
	opts *Options) (access, crypto.PublicKey, error) {
	if name == "" {
		return access{}, nil, errors.New("awskms: no key: give its ARN, its ID or an alias (alias/NAME)")
	}
	o, err := opts.clone()
	if err != nil {
		return access{}, nil, err
	}
	a := access{name: name, region: regionOf(client), opts: o}
	var public crypto.PublicKey
	var other error // the key exists but is unsuitable: no fault of KMS
	arn := name
	err = a.call(ctx, opPublicKey, func(ctx context.Context) error {
		out, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &name, GrantTokens: o.GrantTokens},
			again)
		if err != nil {
			return err
		}
		if arn = aws.ToString(out.KeyId); !isKeyARN(arn) || isKeyARN(name) && arn != name {
			return wrong("it is about another key, %.100q", arn)
		}
		if out.KeyUsage != usage {
			other = fmt.Errorf("awskms: %s is a key for %s, and %s is needed", arn, out.KeyUsage, usage)
			return nil
		}
		public, err = parsePublic(out.PublicKey)
		if err != nil {
			other = fmt.Errorf("awskms: %s: the key spec %s is not supported: %w", arn, out.KeySpec, err)
		}
		return nil
	})
	if err != nil {
		return a, nil, err
	}
	a.name = arn
	return a, public, other
}

// oidMLDSA65 is id-ml-dsa-65 (RFC 9881 section 2).
var oidMLDSA65 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}

// parsePublic reads a SubjectPublicKeyInfo in DER. It also reads ML-DSA-65 (RFC 9881 section 4), which
// crypto/x509 does not know yet.
func parsePublic(der []byte) (crypto.PublicKey, error) {
	var info struct {
		Algorithm struct {
			OID    asn1.ObjectIdentifier
			Params asn1.RawValue `asn1:"optional"`
		}
		Key asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || len(rest) > 0 {
		return nil, errors.New("not a public key in DER")
	}
	if !info.Algorithm.OID.Equal(oidMLDSA65) {
		return x509.ParsePKIXPublicKey(der)
	}
	if len(info.Algorithm.Params.FullBytes) > 0 {
		return nil, errors.New("an ML-DSA key with parameters")
	}
	return mldsa.NewPublicKey(mldsa.MLDSA65(), info.Key.RightAlign())
}
