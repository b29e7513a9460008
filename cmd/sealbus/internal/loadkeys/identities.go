package loadkeys

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
)

// IdentityFlags say what encrypted data is opened with.
type IdentityFlags struct {
	PrivateFlags
	Identities []string
	tinkKEK    string
	consumer   string

	consumerFlag string // how --consumer is called, where that is something else
}

func (f *IdentityFlags) Register(cmd *cobra.Command) { f.RegisterWith(cmd, "consumer") }

// RegisterWith calls --consumer so.
func (f *IdentityFlags) RegisterWith(cmd *cobra.Command, consumer string) {
	f.consumerFlag = consumer
	cmd.Flags().StringArrayVar(&f.Identities, "identity", nil,
		"open encrypted data with this `KEY`: a consumer's keyring, a private JWK, a Tink keyset, or the ARN or alias of a key in KMS")
	cmd.Flags().StringVar(&f.tinkKEK, "tink-kek", "",
		"the `ARN` of the key in KMS that a Tink keyset is encrypted under")
	cmd.Flags().StringVar(&f.consumer, consumer, "", "the `NAME` of the consumer whose Tink keyset it is")
	f.PrivateFlags.Register(cmd)
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

// Decrypter opens with what the flags name; nil = nothing was named.
func Decrypter(ctx context.Context, env *ui.Env, f *IdentityFlags) (*envelope.Decrypter, error) {
	if len(f.Identities) == 0 {
		return nil, nil
	}
	var local identitySources
	with := envelope.DecryptWith{}
	for _, name := range f.Identities {
		if awscli.IsKMS(name) {
			if err := addKMSIdentity(ctx, env, name, &local, &with); err != nil {
				return nil, err
			}
			continue
		}
		source, err := openIdentities(ctx, env, f, name)
		if err != nil {
			return nil, ui.AsNeeded("", err) // whatever is wrong with it, no event was judged
		}
		local = append(local, source)
	}
	if len(local) > 0 {
		with.Identities = local
	}
	return envelope.NewDecrypter(with)
}

func addKMSIdentity(ctx context.Context, env *ui.Env, name string, local *identitySources,
	with *envelope.DecryptWith) error {
	key, err := awscli.ResolveKMS(ctx, env, name, types.KeyUsageTypeEncryptDecrypt)
	if err != nil {
		return err
	}
	switch key.Usage {
	case types.KeyUsageTypeEncryptDecrypt:
		i, err := awskms.NewIdentity(key.Client, key.ARN, nil)
		if err != nil {
			return awscli.KMSFailed(err)
		}
		with.Services = append(with.Services, i)
		return nil
	case types.KeyUsageTypeKeyAgreement:
		i, err := awskms.NewAgreementIdentity(ctx, key.Client, key.ARN, nil)
		if err != nil {
			return awscli.KMSFailed(err)
		}
		*local = append(*local, keys.OpenWith(i))
		return nil
	}
	return ui.Usage("give a symmetric key, or one for key agreement on P-256",
		"--identity %s: it is a key for %s", name, key.Usage)
}

// openIdentities opens a file with private keys, whichever of the three kinds it is.
func openIdentities(ctx context.Context, env *ui.Env, f *IdentityFlags,
	path string) (keys.IdentitySource, error) {
	if err := CheckPrivateFile(path,
		"check the path; if there never was one, `sealbus keys new --use enc` makes it"); err != nil {
		return nil, err
	}
	doc, err := env.ReadFile(path, privatefile.MaxSize)
	if err != nil {
		return nil, err
	}
	defer clear(doc)
	isObject := ui.CheckObject(doc) == nil
	switch {
	case isObject && hasMember(doc, "encryptedKeyset"):
		return openTinkIdentities(ctx, env, f, path)
	case isKeyring(doc):
		return openConsumerRing(env, &f.PrivateFlags, path, doc)
	case isObject && hasMember(doc, "kty"), filekind.Of(doc) == filekind.PrivateJWKSet:
		return openJWKs(env, path, doc)
	}
	if damage := filekind.DamagePrivate(doc); damage != nil {
		return nil, ui.Usage("see to the file: the keys in it are not lost", "%s: %w", path, damage)
	}
	if is := filekind.Of(doc); is != "" {
		return nil, ui.Usage(fixIdentity, "%s is %s: it opens nothing", path, is)
	}
	return nil, ui.Usage(fixIdentity, "%s is neither a keyring, a private JWK nor a Tink keyset", path)
}

const fixIdentity = "give the consumer's keyring, or a private JWK of X25519 or P-256: the file that has the private half"

// openJWKs opens private keys as other tools keep them: one JWK, or a JWK Set. No error quotes anything in
// it.
func openJWKs(env *ui.Env, path string, doc []byte) (keys.IdentitySource, error) {
	docs, err := splitJWKs(doc)
	switch {
	case err != nil:
		return nil, ui.Usage(fixIdentity, "%s is not a JWK", path) // what is wrong may quote it
	case !slices.ContainsFunc(docs, isPrivateJWK):
		return nil, ui.Usage("give the file that has the private half", "%s is %s: it opens nothing", path,
			filekind.Of(doc))
	}
	env.WarnShared(path)
	var list []keys.Identity
	for _, doc := range docs {
		i, err := keys.ParseIdentityJWK(doc)
		if err != nil {
			return nil, ui.Usage(fixIdentity, "%s: %w", path, err)
		}
		list = append(list, i)
	}
	return keys.OpenWith(list...), nil
}

func openConsumerRing(env *ui.Env, private *PrivateFlags, path string,
	content []byte) (keys.IdentitySource, error) {
	ring, err := openRingOnce(env, private, path, content)
	if err != nil {
		return nil, err
	}
	switch {
	case ring.Consumer() == "":
		return nil, ui.Usage("give the consumer's keyring", "%s is the keyring of %s: its keys sign", path,
			OwnerOf(ring))
	case len(ring.Identities(env.Now())) == 0:
		return nil, ui.WrongFile("make a key with `sealbus keys new --use enc`",
			"%s: all keys of %s have expired", path, OwnerOf(ring))
	}
	return ring, nil
}

// openRingOnce opens the file again, or else what came out of a pipe, which can be read once only.
func openRingOnce(env *ui.Env, private *PrivateFlags, path string, content []byte) (*keys.Keyring, error) {
	if ui.IsRegular(path) || !isEncrypted(content) {
		return OpenKeyring(env, &KeyringFlags{Path: path, PrivateFlags: *private})
	}
	pass, err := Passphrase(env, private, path, false)
	if err != nil {
		return nil, err
	}
	ring, err := OpenWith(pass, func(pass string) (*keys.Keyring, error) { return keys.ParseKeyring(content, pass) })
	if err != nil {
		return nil, PrivateFailed(path, err)
	}
	return ring, nil
}

// isKeyring tells a keyring, with or without a passphrase, from keys as other tools keep them.
func isKeyring(content []byte) bool {
	return isEncrypted(content) || ui.CheckObject(content) == nil && hasMember(content, "keys") &&
		(hasMember(content, "consumer") || hasMember(content, "producer"))
}

// isEncrypted reports whether it is encrypted with age, as what is under a passphrase.
func isEncrypted(content []byte) bool { return bytes.HasPrefix(content, []byte("age-encryption.org/")) }

// isPrivateJWK reports whether a JWK has a private member.
func isPrivateJWK(doc []byte) bool {
	return slices.ContainsFunc([]string{"d", "priv", "k"},
		func(member string) bool { return hasMember(doc, member) })
}
