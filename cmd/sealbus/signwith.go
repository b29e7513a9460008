package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/tinkkeys"
)

// signFlags say what is signed with: a keyring, a Tink keyset, or a key in KMS.
type signFlags struct {
	keyringFlags
	key      string
	kms      string
	tinkKEK  string
	producer string
}

func (f *signFlags) register(cmd *cobra.Command) {
	f.keyringFlags.register(cmd)
	cmd.Flags().StringVar(&f.key, "key", "", "sign with this key: its `ID` or the first characters of it (default the one that signs now)")
	cmd.Flags().StringVar(&f.kms, "kms", "", "instead of a keyring: the `ARN` or alias of a signing key in KMS")
	cmd.Flags().StringVar(&f.tinkKEK, "tink-kek", "", "the keyring is a Tink keyset, encrypted under the key in KMS of this `ARN`")
	cmd.Flags().StringVar(&f.producer, "producer", "", "with --kms or --tink-kek: the producer's `NAME`, as the trust policy has it")
}

// check refuses flags that contradict each other.
func (f *signFlags) check() error {
	switch {
	case f.kms != "" && (f.path != "" || f.tinkKEK != "" || f.key != ""):
		return usage("drop one of the two", "--kms is instead of --keyring, --key and --tink-kek")
	case f.kms == "" && f.path == "":
		return need(required{"keyring", f.path})
	case (f.kms != "" || f.tinkKEK != "") && f.producer == "":
		return usage("add --producer NAME, as the trust policy has it", "whose key it is, neither KMS nor a Tink keyset says")
	case f.kms == "" && f.tinkKEK == "" && f.producer != "":
		return usage("drop it", "--producer is for --kms and --tink-kek: a keyring says whose it is")
	}
	return nil
}

// ring is what signs, and what it says of itself.
type ring interface {
	keys.SignerSource
	Producer() string
	AllowsSource(source string) bool
	AllowsType(typ string) bool
	Sources() []string
	Types() []string
}

// openSigning opens what the flags name, and says which of its keys are to sign.
func (a *app) openSigning(ctx context.Context, f *signFlags) (ring, keys.SignerSource, error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	switch {
	case f.kms != "":
		return a.openKMSSigning(ctx, f)
	case f.tinkKEK != "":
		return a.openTinkSigning(ctx, f)
	}
	r, err := a.openKeyring(&f.keyringFlags)
	if err != nil {
		return nil, nil, err
	}
	source, err := a.signers(r, f.key)
	return r, source, err
}

func (a *app) openKMSSigning(ctx context.Context, f *signFlags) (ring, keys.SignerSource, error) {
	client, err := a.kmsClient(ctx, f.kms)
	if err != nil {
		return nil, nil, err
	}
	signer, err := awskms.NewSigner(ctx, client, f.kms, f.producer, nil)
	if err != nil {
		return nil, nil, kmsFailed(err)
	}
	u := unscoped{keys.SignWith(signer), f.producer}
	return u, u, nil
}

func (a *app) openTinkSigning(ctx context.Context, f *signFlags) (ring, keys.SignerSource, error) {
	kek, err := a.tinkKEK(ctx, f.tinkKEK)
	if err != nil {
		return nil, nil, err
	}
	set, err := tinkkeys.Open(ctx, f.path, kek, tinkkeys.Producer(f.producer))
	if err != nil {
		return nil, nil, tinkFailed(f.path, err)
	}
	u := unscoped{set, f.producer}
	if f.key == "" {
		return u, u, nil
	}
	id, err := matchID(tinkIDs(set), f.key, "the keyset")
	if err != nil {
		return nil, nil, err
	}
	signer, err := set.Export(id)
	if err != nil {
		return nil, nil, usage("use another key", "%w", err)
	}
	return u, keys.SignWith(signer), nil
}

func tinkIDs(set *tinkkeys.Keyset) (ids []string) {
	for _, e := range set.Entries() {
		if e.KeyID != "" {
			ids = append(ids, e.KeyID)
		}
	}
	return ids
}

// unscoped is a ring that records nothing of what its producer may say: the trust policy alone does.
type unscoped struct {
	keys.SignerSource
	producer string
}

func (u unscoped) Producer() string         { return u.producer }
func (u unscoped) AllowsSource(string) bool { return true }
func (u unscoped) AllowsType(string) bool   { return true }
func (u unscoped) Sources() []string        { return nil }
func (u unscoped) Types() []string          { return nil }

var _ ring = (*keys.Keyring)(nil)

// signersNow are who is to sign now.
func (a *app) signersNow(source keys.SignerSource) ([]keys.Signer, error) {
	signers, err := source.Signers(a.now())
	if err != nil {
		return nil, wrongFile("see `sealbus keys list`", "%w", err)
	}
	return signers, nil
}
