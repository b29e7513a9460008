package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/tinkkeys/tinkawskms"
)

// isKMS reports whether text names a key in AWS KMS: by an ARN, or an alias.
func isKMS(text string) bool {
	return strings.HasPrefix(text, "arn:") || strings.HasPrefix(text, "alias/")
}

// kmsClient is a client of KMS in the region that the ARN names, or else the configured one.
func (a *app) kmsClient(ctx context.Context, arn string) (*kms.Client, error) {
	region := ""
	if parts, ok := parseARN(arn); ok {
		if parts.service != "kms" {
			return nil, usage("give the ARN of a key in KMS: arn:aws:kms:REGION:ACCOUNT:key/ID", "%q is not of KMS", arn)
		}
		region = parts.region
	}
	cfg, err := loadAWS(ctx, region)
	if err != nil {
		return nil, err
	}
	return kms.NewFromConfig(cfg), nil
}

// kmsKey is a key in KMS that was looked up.
type kmsKey struct {
	*awskms.Key
	client *kms.Client
}

// resolveKMS looks up what a name stands for. A role that may use a key need not be allowed to see it
// (kms:DescribeKey): then what the key is for is told by its public half, and if that may not be seen either,
// the key is taken for what is expected of it.
func (a *app) resolveKMS(ctx context.Context, name string, expected types.KeyUsageType) (*kmsKey, error) {
	client, err := a.kmsClient(ctx, name)
	if err != nil {
		return nil, err
	}
	key, err := awskms.ResolveKey(ctx, client, name)
	switch {
	case err == nil:
		return &kmsKey{key, client}, nil
	case !isDenied(err) || !strings.Contains(name, ":key/"):
		return nil, kmsFailed(err)
	}
	return &kmsKey{&awskms.Key{ARN: name, Usage: a.usageOf(ctx, client, name, expected)}, client}, nil
}

func isDenied(err error) bool {
	e, ok := errors.AsType[*keys.ServiceError](err)
	return ok && strings.HasPrefix(e.Cause, "AccessDenied")
}

// usageOf is what the key is for, by its public half. To mistake a key for key agreement for a symmetric one
// would be to say of events that are for it that they are not.
func (a *app) usageOf(ctx context.Context, client *kms.Client, arn string, expected types.KeyUsageType) types.KeyUsageType {
	out, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &arn})
	switch {
	case err == nil:
		return out.KeyUsage
	case errorCode(err) == "UnsupportedOperationException": // it has none
		return types.KeyUsageTypeEncryptDecrypt
	}
	if expected == types.KeyUsageTypeEncryptDecrypt {
		a.sayf("%s is taken for a symmetric key, as KMS tells this role nothing of it; if it is one for key agreement, allow kms:GetPublicKey on it", arn)
	}
	return expected
}

// kmsFailed is the error of a key in KMS: with the fix that it has, and never a verdict on an event.
func kmsFailed(err error) error {
	e, ok := errors.AsType[*keys.ServiceError](err)
	if !ok {
		return usage("give a key that fits; `aws kms describe-key` shows what it is for", "%s", strings.TrimPrefix(err.Error(), "awskms: "))
	}
	return &exitError{
		code: serviceExit(e), reason: "kms_unavailable", fix: serviceFix(e),
		err: fmt.Errorf("%s with %s: %s", e.Op, e.KeyID, serviceCause(e)),
	}
}

// serviceExit tells what may pass by itself from what somebody has to change first: a permission, a key.
func serviceExit(e *keys.ServiceError) int {
	if e.Err == nil && !e.Permanent || mayPass(e) {
		return exitUnavailable
	}
	return exitUsage
}

// serviceCause says which host was not reached, where that is the cause.
func serviceCause(e *keys.ServiceError) string {
	if u, ok := errors.AsType[*unreached](reached("KMS", e.Err)); ok && e.Err != nil {
		return u.Error()
	}
	return e.Cause
}

// triedAgain is how a service's fix ends for a consumer, which gets the event again. A command has ended.
const triedAgain = "; it is tried again"

// serviceFix is what to do about a key in a service for those who ran a command.
func serviceFix(e *keys.ServiceError) string {
	if e.Fix == "" {
		return "try again"
	}
	return forCommand(e.Fix)
}

// forCommand is the fix of a consumer's verdict for a command, which does not get the event again by itself.
func forCommand(fix string) string { return strings.ReplaceAll(fix, triedAgain, "; then run it again") }

// tinkKEK is the key of KMS that a Tink keyset is encrypted under.
func (a *app) tinkKEK(ctx context.Context, arn string) (tink.AEADWithContext, error) {
	key, err := a.resolveKMS(ctx, arn, types.KeyUsageTypeEncryptDecrypt)
	if err != nil {
		return nil, err
	}
	kek, err := tinkawskms.KEK(ctx, key.client, key.ARN)
	if err != nil {
		return nil, usage("give the ARN of a symmetric key in KMS with --tink-kek", "%w", err)
	}
	return kek, nil
}

// tinkFailed is the error of a Tink keyset.
func tinkFailed(path string, err error) error {
	if e, ok := errors.AsType[*keys.ServiceError](err); ok && !e.Permanent {
		return kmsFailed(err)
	}
	return wrongFile("check that this is the file you mean, whose it is (--producer, --consumer) and the key it is under (--tink-kek)", "%s: %s", path, strings.TrimPrefix(err.Error(), "tinkkeys: "))
}
