package loadkeys

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
)

// SignFlags say what is signed with: a keyring, a Tink keyset, or a key in KMS.
type SignFlags struct {
	KeyringFlags
	key      string
	kms      string
	tinkKEK  string
	producer string
}

func (f *SignFlags) Register(cmd *cobra.Command) {
	f.KeyringFlags.Register(cmd)
	cmd.Flags().StringVar(&f.key, "key", "",
		"sign with this key: its `ID` or the first characters of it (default the one that signs now)")
	cmd.Flags().StringVar(&f.kms, "kms", "",
		"instead of a keyring: the `ARN` or alias of a signing key in KMS")
	cmd.Flags().StringVar(&f.tinkKEK, "tink-kek", "",
		"the keyring is a Tink keyset, encrypted under the key in KMS of this `ARN`")
	cmd.Flags().StringVar(&f.producer, "producer", "",
		"with --kms or --tink-kek: the producer's `NAME`, as the trust policy has it")
}

// Named reports whether the flags name what is signed with.
func (f *SignFlags) Named() bool { return f.Path != "" || f.kms != "" }

// Check refuses flags that contradict each other.
func (f *SignFlags) Check() error {
	switch {
	case f.kms != "" && (f.Path != "" || f.tinkKEK != "" || f.key != ""):
		return ui.Usage("drop one of the two", "--kms is instead of --keyring, --key and --tink-kek")
	case f.kms == "" && f.Path == "":
		return ui.Need(ui.Flag("keyring", f.Path))
	case (f.kms != "" || f.tinkKEK != "") && f.producer == "":
		return ui.Usage("add --producer NAME, as the trust policy has it",
			"whose key it is, neither KMS nor a Tink keyset says")
	case f.kms == "" && f.tinkKEK == "" && f.producer != "":
		return ui.Usage("drop it", "--producer is for --kms and --tink-kek: a keyring says whose it is")
	}
	return nil
}

// Ring is what signs, and what it says of itself.
type Ring interface {
	keys.SignerSource
	Producer() string
	Scope() (sources, types []string) // nil = it is not recorded
}

// OpenSigning opens what the flags name, and says which of its keys are to sign.
func OpenSigning(ctx context.Context, env *ui.Env, f *SignFlags) (Ring, keys.SignerSource, error) {
	if err := f.Check(); err != nil {
		return nil, nil, err
	}
	switch {
	case f.kms != "":
		return openKMSSigning(ctx, env, f)
	case f.tinkKEK != "":
		return openTinkSigning(ctx, env, f)
	}
	r, err := OpenKeyring(env, &f.KeyringFlags)
	if err != nil {
		return nil, nil, err
	}
	source, err := signers(env, r, f.key)
	return r, source, err
}

func openKMSSigning(ctx context.Context, env *ui.Env, f *SignFlags) (Ring, keys.SignerSource, error) {
	client, err := awscli.KMSClient(ctx, env, f.kms)
	if err != nil {
		return nil, nil, err
	}
	signer, err := awskms.NewSigner(ctx, client, f.kms, f.producer, nil)
	if err != nil {
		return nil, nil, awscli.KMSFailed(err)
	}
	u := unscoped{keys.SignWith(signer), f.producer}
	return u, u, nil
}

// unscoped is a ring that records nothing of what its producer may say: the trust policy alone does.
type unscoped struct {
	keys.SignerSource
	producer string
}

func (u unscoped) Producer() string                 { return u.producer }
func (u unscoped) Scope() (sources, types []string) { return nil, nil }

var _ Ring = (*keys.Keyring)(nil)

// SignersNow are who is to sign now.
func SignersNow(env *ui.Env, source keys.SignerSource) ([]keys.Signer, error) {
	signers, err := source.Signers(env.Now())
	if err != nil {
		return nil, ui.WrongFile("see `sealbus keys list`", "%w", err)
	}
	return signers, nil
}
