// Package awskms uses keys in AWS KMS, which never leave it. It has a Signer, a Recipient and an Identity of
// a symmetric key, and an AgreementIdentity of a key pair.
//
//	signer, err := awskms.NewSigner(ctx, client, "arn:aws:kms:...", "orders", nil)
//	to, err := awskms.NewRecipient(client, "arn:aws:kms:...", nil)      // for envelope.EncryptTo
//	from, err := awskms.NewIdentity(client, "arn:aws:kms:...", nil)     // for envelope.DecryptWith
//
// # Costs
//
// A call of KMS takes milliseconds, money and quota. An Encrypter calls it 12 times an hour for each source
// and each key, a Decrypter once for each content key. A Signer calls it for each signature. Use it to vouch
// for a session key (session.Delegate), which takes one call an hour.
//
// # Permissions
//
// A Signer needs kms:GetPublicKey once and kms:Sign. The first Recipient of an envelope.EncryptTo needs
// kms:GenerateDataKey, the others need kms:Encrypt. An Identity needs kms:Decrypt. An AgreementIdentity needs
// kms:GetPublicKey once and kms:DeriveSharedSecret. Check asks KMS for these permissions by dry runs. Content
// keys are encrypted under the encryption context {"sealbus:source": source}, so policies can grant one
// source by the condition key kms:EncryptionContext:sealbus:source, and CloudTrail has it in clear. A key
// agreement has no encryption context: a role that may derive may do so for every source.
//
// # Threats
//
// An attacker who reads the process' memory finds the content keys of the moment and credentials, but no key
// of KMS. A thief of the role can sign and decrypt until the role is withdrawn. CloudTrail records each use.
// KMS itself is trusted with the secret keys. But signatures are verified in process before they are used,
// and answers are checked against the requests.
//
// # Stability
//
// The constructors and types stay; the texts of errors do not.
package awskms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/internal/awscall"
	"github.com/sealbus/sealbus/internal/awsname"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// defaultTimeout is how long one operation may take, with all tries of the SDK. An event waits for it.
const defaultTimeout = 5 * time.Second

// Options adjusts the calls of KMS. The zero value suits most programs.
type Options struct {
	Timeout     time.Duration // of one operation, with the SDK's own retries; 0 = 5 s
	GrantTokens []string      // of new grants, which KMS may not see everywhere yet; at most 10
}

func (o *Options) clone() (Options, error) {
	var c Options
	if o != nil {
		c = Options{Timeout: o.Timeout, GrantTokens: append([]string(nil), o.GrantTokens...)}
	}
	switch {
	case c.Timeout < 0:
		return c, fmt.Errorf("awskms: a timeout of %v", c.Timeout)
	case len(c.GrantTokens) > 10:
		return c, fmt.Errorf("awskms: %d grant tokens: KMS takes 10", len(c.GrantTokens))
	case c.Timeout == 0:
		c.Timeout = defaultTimeout
	}
	return c, nil
}

// describeClient has the method of *kms.Client that ResolveKey calls.
type describeClient interface {
	DescribeKey(ctx context.Context, in *kms.DescribeKeyInput,
		opts ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
}

// ResolveKey finds the key that an ID, an alias ("alias/NAME") or an ARN of either names now. An alias may
// name another key tomorrow, so keep the ARN, which the result always has. It needs kms:DescribeKey. The
// client is a *kms.Client, or has its method DescribeKey.
func ResolveKey(ctx context.Context, client describeClient, name string) (*types.KeyMetadata, error) {
	if err := checkClient(client); err != nil {
		return nil, err
	}
	a := access{name: name, region: regionOf(client), opts: Options{Timeout: defaultTimeout}}
	var key *types.KeyMetadata
	err := a.call(ctx, "kms:DescribeKey", func(ctx context.Context) error {
		out, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name}, again)
		if err != nil {
			return err
		}
		m := out.KeyMetadata
		if m == nil || !isKeyARN(aws.ToString(m.Arn)) || isKeyARN(name) && *m.Arn != name {
			return wrong("it is not about this key")
		}
		key = m
		return nil
	})
	return key, err
}

func checkClient(client any) error {
	if client == nil {
		return errors.New("awskms: no client of KMS")
	}
	return nilcheck.Typed("awskms: the client of KMS", client)
}

// access is one key and the options of its calls.
type access struct {
	name   string // ARN, or what names the key until its ARN is known
	region string // that the client asks, "" = unknown
	opts   Options
}

func newAccess(client any, arn string, opts *Options) (access, error) {
	o, err := opts.clone()
	if err != nil {
		return access{}, err
	}
	if !isKeyARN(arn) {
		return access{},
			fmt.Errorf("awskms: %.100q is not the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID): events name the key by it, and an alias may name another tomorrow; ResolveKey finds it", arn)
	}
	return access{name: arn, region: regionOf(client), opts: o}, nil
}

// call makes one call under the timeout and turns its error into a *keys.ServiceError.
func (a *access) call(ctx context.Context, op string, do func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return a.left(op, err)
	}
	limited, cancel := context.WithTimeout(ctx, a.opts.Timeout)
	defer cancel()
	err := do(limited)
	if e := ctx.Err(); e != nil && errors.Is(err, e) {
		return a.left(op, e)
	}
	return a.failed(op, "", err)
}

// again has the SDK repeat a call whose answer broke off. Each call here may be made twice without harm.
func again(o *kms.Options) { o.Retryer = awscall.Retryer(o.Retryer) }

// regionOf is the region of a client of the SDK; "" = unknown.
func regionOf(client any) string {
	if c, ok := client.(interface{ Options() kms.Options }); ok {
		return c.Options().Region
	}
	return ""
}

// arnParts are region, account and ID of the ARN of a key: arn:PARTITION:kms:REGION:ACCOUNT:key/ID.
type arnParts struct{ partition, region, account, id string }

func parseARN(arn string) (p arnParts, ok bool) {
	a, ok := awsname.ParseARN(arn)
	p = arnParts{partition: a.Partition, region: a.Region, account: a.Account, id: a.KMSKey()}
	return p, ok && p.id != ""
}

func isKeyARN(arn string) bool {
	_, ok := parseARN(arn)
	return ok
}

// sameSecret reports whether both ARNs name one key, or replicas of one multi-Region key, which share the ID
// "mrk-...".
// https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
func sameSecret(a, b string) bool {
	if a == b {
		return true
	}
	x, ok := parseARN(a)
	y, ok2 := parseARN(b)
	return ok && ok2 && strings.HasPrefix(x.id, "mrk-") && x.id == y.id && x.account == y.account &&
		x.partition == y.partition
}
