package doctor

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
)

// kmsUses are what a role is to be able to do with keys in KMS.
type kmsUses struct {
	sign, encrypt, decrypt []string // ARNs or aliases
	source                 string   // of the events, for the encryption context
}

func (u *kmsUses) any() bool { return len(u.sign)+len(u.encrypt)+len(u.decrypt) > 0 }

// checkKMS asks KMS, by dry runs, whether these credentials may do what they are to. Nothing is signed or
// decrypted.
func (d *doctor) checkKMS(ctx context.Context) {
	u := &d.f.kms
	for _, use := range []struct {
		check string
		names []string
		ask   func(context.Context, *awscli.KMSKey) ([]awskms.Permission, error)
	}{
		{"kms sign", u.sign, d.maySign}, {"kms encrypt", u.encrypt, d.mayEncrypt},
		{"kms decrypt", u.decrypt, d.mayDecrypt},
	} {
		for _, name := range use.names {
			d.checkKey(ctx, use.check, name, use.ask)
		}
	}
}

func (d *doctor) checkKey(ctx context.Context, check, name string,
	ask func(context.Context, *awscli.KMSKey) ([]awskms.Permission, error)) {
	key, err := awscli.ResolveKMS(ctx, d.env, name, "")
	if err == nil && key.State != "" && key.State != types.KeyStateEnabled {
		d.problem(check, "enable the key, or cancel its deletion: `aws kms enable-key --key-id "+key.ARN+
			"`", "%s is %s", key.ARN, key.State)
		return
	}
	var list []awskms.Permission
	if err == nil {
		list, err = ask(ctx, key)
	}
	if err != nil {
		if _, done := err.(*ui.Error); !done {
			err = awscli.KMSFailed(err)
		}
		if e := ui.AsExit(err); e.Code == ui.ExitUnavailable {
			d.silent(check, e.Fix, "%s: %s", name, errtext.Plain(e.Err))
		} else {
			d.problem(check, e.Fix, "%s: %s", name, errtext.Plain(e.Err))
		}
		return
	}
	for _, p := range list {
		d.tellPermission(check, &p)
	}
}

// tellPermission is the finding on one permission. No event is involved: no advice speaks of one.
func (d *doctor) tellPermission(check string, p *awskms.Permission) {
	switch e := p.Err; {
	case e == nil:
		d.ok(check, "%s on %s", p.Op, p.KeyID)
	case errtext.Denied(e):
		d.problem(check, awscli.ServiceFix(e), "%s on %s: %s", p.Op, p.KeyID, awscli.ServiceCause(e))
	case isDryRunUnknown(e):
		d.unknown(check, awscli.ServiceFix(e), "%s on %s: %s", p.Op, p.KeyID, awscli.ServiceCause(e))
	case awscli.ServiceExit(e) == ui.ExitUnavailable:
		d.silent(check, awscli.ServiceFix(e), "%s on %s: %s", p.Op, p.KeyID, awscli.ServiceCause(e))
	default:
		d.problem(check, awscli.ServiceFix(e), "%s on %s: %s", p.Op, p.KeyID, awscli.ServiceCause(e))
	}
}

// isDryRunUnknown reports whether KMS judged a ciphertext in a dry run that has none: emulators do.
func isDryRunUnknown(e *keys.ServiceError) bool {
	switch errtext.Code(e) {
	case "InvalidCiphertextException", "IncorrectKeyException", "ValidationException":
		return true
	}
	return false
}

func (d *doctor) maySign(ctx context.Context, key *awscli.KMSKey) ([]awskms.Permission, error) {
	s, err := awskms.NewSigner(ctx, key.Client, key.ARN, "doctor", nil)
	if err != nil {
		return nil, err
	}
	return append(publicKeyOf(key), s.Check(ctx)...), nil
}

func (d *doctor) mayEncrypt(ctx context.Context, key *awscli.KMSKey) ([]awskms.Permission, error) {
	if key.Usage == types.KeyUsageTypeKeyAgreement {
		return publicKeyOf(key), fetchable(ctx, key.Client, key.ARN) // the public half is enough
	}
	r, err := awskms.NewRecipient(key.Client, key.ARN, nil)
	if err != nil {
		return nil, err
	}
	return r.Check(ctx, d.f.kms.source), nil
}

func (d *doctor) mayDecrypt(ctx context.Context, key *awscli.KMSKey) ([]awskms.Permission, error) {
	if key.Usage == types.KeyUsageTypeKeyAgreement {
		i, err := awskms.NewAgreementIdentity(ctx, key.Client, key.ARN, nil)
		if err != nil {
			return nil, err
		}
		return append(publicKeyOf(key), i.Check(ctx)...), nil
	}
	i, err := awskms.NewIdentity(key.Client, key.ARN, nil)
	if err != nil {
		return nil, err
	}
	return i.Check(ctx, d.f.kms.source), nil
}

func fetchable(ctx context.Context, client *kms.Client, arn string) error {
	_, err := awskms.NewAgreementIdentity(ctx, client, arn, nil)
	return err
}

// publicKeyOf is the permission that was used to get the public half.
func publicKeyOf(key *awscli.KMSKey) []awskms.Permission {
	return []awskms.Permission{{Op: "kms:GetPublicKey", KeyID: key.ARN}}
}
