package loadkeys

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/tinkkeys/tinkawskms"
)

func openTinkIdentities(ctx context.Context, env *ui.Env, f *IdentityFlags,
	path string) (keys.IdentitySource, error) {
	if f.tinkKEK == "" || f.consumer == "" {
		return nil, ui.Usage("add --tink-kek ARN and --"+f.consumerFlag+
			" NAME", "%s is a Tink keyset: the key that it is under, and whose it is, must be known", path)
	}
	kek, err := TinkKEK(ctx, env, f.tinkKEK)
	if err != nil {
		return nil, err
	}
	ring, err := tinkkeys.Open(ctx, path, kek, tinkkeys.Consumer(f.consumer))
	if err != nil {
		return nil, TinkFailed(path, err)
	}
	return ring, nil
}

// TinkKEK is the key of KMS that a Tink keyset is encrypted under.
func TinkKEK(ctx context.Context, env *ui.Env, arn string) (tink.AEADWithContext, error) {
	key, err := awscli.ResolveKMS(ctx, env, arn, types.KeyUsageTypeEncryptDecrypt)
	if err != nil {
		return nil, err
	}
	kek, err := tinkawskms.KEK(ctx, key.Client, key.ARN)
	if err != nil {
		return nil, ui.Usage("give the ARN of a symmetric key in KMS with --tink-kek", "%w", err)
	}
	return kek, nil
}

// TinkFailed is the error of a Tink keyset.
func TinkFailed(path string, err error) error {
	if e, ok := errors.AsType[*keys.ServiceError](err); ok && !e.Permanent {
		return awscli.KMSFailed(err)
	}
	if errors.Is(err, privatefile.ErrLocked) || errors.Is(err, privatefile.ErrChanged) {
		return ui.Unavailable("run the command again", "%w", err)
	}
	if isDisk(err) {
		return ui.Unavailable("check the disk and try again", "%s: %w", path, err)
	}
	return ui.WrongFile("check that this is the file you mean, whose it is (--producer, --consumer) and the key it is under (--tink-kek)", "%s: %w", path, err)
}

func openTinkSigning(ctx context.Context, env *ui.Env, f *SignFlags) (Ring, keys.SignerSource, error) {
	kek, err := TinkKEK(ctx, env, f.tinkKEK)
	if err != nil {
		return nil, nil, err
	}
	set, err := tinkkeys.Open(ctx, f.Path, kek, tinkkeys.Producer(f.producer))
	if err != nil {
		return nil, nil, TinkFailed(f.Path, err)
	}
	u := unscoped{set, f.producer}
	if f.key == "" {
		return u, u, nil
	}
	id, err := MatchID(TinkIDs(set), f.key, "the keyset")
	if err != nil {
		return nil, nil, err
	}
	for _, e := range set.Entries() {
		if e.KeyID() == id && !e.Schedule.SignsAt(env.Now()) {
			return nil, nil, ui.Usage("use the key that `sealbus keys list` shows as signing",
				"key %s is %s: it does not sign now", id, e.Schedule.StateAt(env.Now()))
		}
	}
	signer, err := set.Export(id)
	if err != nil {
		return nil, nil, ui.Usage("use another key", "%w", err)
	}
	return u, keys.SignWith(signer), nil
}

func TinkIDs(set *tinkkeys.Keyset) (ids []string) {
	for _, e := range set.Entries() {
		if e.KeyID() != "" {
			ids = append(ids, e.KeyID())
		}
	}
	return ids
}
