package awscli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
)

// IsKMS reports whether text names a key in AWS KMS: by an ARN, or an alias.
func IsKMS(text string) bool {
	return strings.HasPrefix(text, "arn:") || strings.HasPrefix(text, "alias/")
}

// KMSClient is a client of KMS in the region that the ARN names, or else the configured one.
func KMSClient(ctx context.Context, env *ui.Env, arn string) (*kms.Client, error) {
	region := ""
	if parts, ok := ParseARN(arn); ok {
		if parts.Service != "kms" {
			return nil, ui.Usage("give the ARN of a key in KMS: arn:aws:kms:REGION:ACCOUNT:key/ID",
				"%q is not of KMS", arn)
		}
		region = parts.Region
	}
	cfg, err := Load(ctx, region)
	if err != nil {
		return nil, err
	}
	return kms.NewFromConfig(cfg), nil
}

// KMSKey is a key in KMS that was looked up.
type KMSKey struct {
	ARN    string
	Usage  types.KeyUsageType
	State  types.KeyState // "" = unknown
	Client *kms.Client
}

// ResolveKMS looks up what a name stands for. A role that may use a key need not be allowed to see it
// (kms:DescribeKey): then what the key is for is told by its public half, and if that may not be seen either,
// the key is taken for what is expected of it.
func ResolveKMS(ctx context.Context, env *ui.Env, name string, expected types.KeyUsageType) (*KMSKey, error) {
	client, err := KMSClient(ctx, env, name)
	if err != nil {
		return nil, err
	}
	key, err := awskms.ResolveKey(ctx, client, name)
	switch {
	case err == nil:
		return &KMSKey{*key.Arn, key.KeyUsage, key.KeyState, client}, nil
	case !errtext.Denied(err) || !strings.Contains(name, ":key/"):
		return nil, KMSFailed(err)
	}
	return &KMSKey{ARN: name, Usage: usageOf(ctx, env, client, name, expected), Client: client}, nil
}

// usageOf is what the key is for, by its public half. To mistake a key for key agreement for a symmetric one
// would be to say of events that are for it that they are not.
func usageOf(ctx context.Context, env *ui.Env, client *kms.Client, arn string,
	expected types.KeyUsageType) types.KeyUsageType {
	out, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &arn})
	switch {
	case err == nil:
		return out.KeyUsage
	case errtext.Code(err) == "UnsupportedOperationException": // it has none
		return types.KeyUsageTypeEncryptDecrypt
	}
	if expected == types.KeyUsageTypeEncryptDecrypt {
		env.Sayf("%s is taken for a symmetric key, as KMS tells this role nothing of it; if it is one for key agreement, allow kms:GetPublicKey on it", arn)
	}
	return expected
}

// KMSFailed is the error of a key in KMS: with the fix that it has, and never a verdict on an event.
func KMSFailed(err error) error {
	e, ok := errors.AsType[*keys.ServiceError](err)
	if !ok {
		return ui.Usage("give a key that fits; `aws kms describe-key` shows what it is for", "%w", err)
	}
	return &ui.Error{
		Code: ServiceExit(e), Reason: "kms_unavailable", Fix: ServiceFix(e),
		Err: fmt.Errorf("%s with %s: %s", e.Op, e.KeyID, ServiceCause(e)),
	}
}

// ServiceExit tells what may pass by itself from what an operator must change first: a permission, a key.
func ServiceExit(e *keys.ServiceError) int {
	if e.Err == nil && !e.Permanent || errtext.MayPass(e) {
		return ui.ExitUnavailable
	}
	return ui.ExitUsage
}

// ServiceCause says which host was not reached, where that is the cause.
func ServiceCause(e *keys.ServiceError) string {
	if u, ok := errors.AsType[*errtext.Unreached](errtext.Reached("KMS", e.Err)); ok && e.Err != nil {
		return u.Error()
	}
	return e.Cause
}

// ServiceFix says what to do about a key in a service. A command does not get the event again by itself.
func ServiceFix(e *keys.ServiceError) string {
	switch {
	case e.Fix == "":
		return "try again"
	case ServiceExit(e) == ui.ExitUnavailable:
		return e.Fix + "; then run it again"
	}
	return e.Fix
}
