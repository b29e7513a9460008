package main

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/tinkkeys"
)

// identityFlags say what encrypted data is opened with.
type identityFlags struct {
	privateFlags
	identities []string
	tinkKEK    string
	consumer   string
}

func (f *identityFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.identities, "identity", nil, "open encrypted data with this `KEY`: a consumer's keyring, a private JWK, a Tink keyset, or the ARN or alias of a key in KMS")
	cmd.Flags().StringVar(&f.tinkKEK, "tink-kek", "", "the `ARN` of the key in KMS that a Tink keyset is encrypted under")
	cmd.Flags().StringVar(&f.consumer, "consumer", "", "the `NAME` of the consumer whose Tink keyset it is")
	f.privateFlags.register(cmd)
}

// identitySources are several that are asked one after the other.
type identitySources []keys.IdentitySource

// Identities are those of all.
func (s identitySources) Identities(now time.Time) (list []keys.Identity) {
	for _, source := range s {
		list = append(list, source.Identities(now)...)
	}
	return list
}

// decrypter opens with what the flags name; nil = nothing was named.
func (a *app) decrypter(ctx context.Context, f *identityFlags) (*envelope.Decrypter, error) {
	if len(f.identities) == 0 {
		return nil, nil
	}
	var local identitySources
	with := envelope.DecryptWith{}
	for _, name := range f.identities {
		if isKMS(name) {
			if err := a.addKMSIdentity(ctx, name, &local, &with); err != nil {
				return nil, err
			}
			continue
		}
		source, err := a.openIdentities(ctx, f, name)
		if err != nil {
			return nil, err
		}
		local = append(local, source)
	}
	with.Identities = local
	return envelope.NewDecrypter(with)
}

func (a *app) addKMSIdentity(ctx context.Context, name string, local *identitySources, with *envelope.DecryptWith) error {
	key, err := a.resolveKMS(ctx, name, types.KeyUsageTypeEncryptDecrypt)
	if err != nil {
		return err
	}
	switch key.Usage {
	case types.KeyUsageTypeEncryptDecrypt:
		i, err := awskms.NewIdentity(key.client, key.ARN, nil)
		if err != nil {
			return kmsFailed(err)
		}
		with.Services = append(with.Services, i)
		return nil
	case types.KeyUsageTypeKeyAgreement:
		i, err := awskms.NewAgreementIdentity(ctx, key.client, key.ARN, nil)
		if err != nil {
			return kmsFailed(err)
		}
		*local = append(*local, keys.OpenWith(i))
		return nil
	}
	return usage("give a symmetric key, or one for key agreement on P-256", "--identity %s: it is a key for %s", name, key.Usage)
}

// openIdentities opens a file with private keys, whichever of the three kinds it is.
func (a *app) openIdentities(ctx context.Context, f *identityFlags, path string) (keys.IdentitySource, error) {
	if err := checkPrivateFile(path, "check the path, or make a key with `sealbus keys new --use enc`"); err != nil {
		return nil, err
	}
	doc, err := a.readFile(path, keys.MaxPrivateFile)
	if err != nil {
		return nil, err
	}
	defer clear(doc)
	s := shape{}
	if bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) {
		s = shapeOf(doc)
	}
	switch {
	case s.names["kty"] != 0:
		a.warnShared(path)
		i, err := keys.ParseIdentityJWK(doc)
		if err != nil {
			return nil, unavailable("give a private key for encryption: X25519 or P-256", "%s: %s", path, strings.TrimPrefix(err.Error(), "keys: "))
		}
		return keys.OpenWith(i), nil
	case s.names["encryptedKeyset"] != 0:
		return a.openTinkIdentities(ctx, f, path)
	}
	ring, err := a.openKeyring(&keyringFlags{path: path, privateFlags: f.privateFlags})
	if err != nil {
		return nil, err
	}
	if ring.Consumer() == "" {
		return nil, usage("give the consumer's keyring; `sealbus keys new --use enc` makes one", "%s is the keyring of %s: its keys sign", path, ownerOf(ring))
	}
	return ring, nil
}

func (a *app) openTinkIdentities(ctx context.Context, f *identityFlags, path string) (keys.IdentitySource, error) {
	if f.tinkKEK == "" || f.consumer == "" {
		return nil, usage("add --tink-kek ARN and --consumer NAME", "%s is a Tink keyset: the key that it is under, and whose it is, must be known", path)
	}
	kek, err := a.tinkKEK(ctx, f.tinkKEK)
	if err != nil {
		return nil, err
	}
	ring, err := tinkkeys.Open(ctx, path, kek, tinkkeys.Consumer(f.consumer))
	if err != nil {
		return nil, tinkFailed(path, err)
	}
	return ring, nil
}
