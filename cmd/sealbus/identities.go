package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/filekind"
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

	consumerFlag string // how --consumer is called, where that is something else
}

func (f *identityFlags) register(cmd *cobra.Command) { f.registerWith(cmd, "consumer") }

// registerWith calls --consumer so.
func (f *identityFlags) registerWith(cmd *cobra.Command, consumer string) {
	f.consumerFlag = consumer
	cmd.Flags().StringArrayVar(&f.identities, "identity", nil, "open encrypted data with this `KEY`: a consumer's keyring, a private JWK, a Tink keyset, or the ARN or alias of a key in KMS")
	cmd.Flags().StringVar(&f.tinkKEK, "tink-kek", "", "the `ARN` of the key in KMS that a Tink keyset is encrypted under")
	cmd.Flags().StringVar(&f.consumer, consumer, "", "the `NAME` of the consumer whose Tink keyset it is")
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
			return nil, asNeeded("", err) // whatever is wrong with it, no event was judged
		}
		local = append(local, source)
	}
	if len(local) > 0 {
		with.Identities = local
	}
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
	if err := checkPrivateFile(path, "check the path; if there never was one, `sealbus keys new --use enc` makes it"); err != nil {
		return nil, err
	}
	doc, err := a.readFile(path, keys.MaxPrivateFile)
	if err != nil {
		return nil, err
	}
	defer clear(doc)
	isObject := checkObject(doc) == nil
	switch {
	case isObject && hasMember(doc, "encryptedKeyset"):
		return a.openTinkIdentities(ctx, f, path)
	case isKeyring(doc):
		return a.openConsumerRing(&f.privateFlags, path, doc)
	case isObject && hasMember(doc, "kty"), filekind.Of(doc) == filekind.PrivateJWKSet:
		return a.openJWKs(path, doc)
	}
	if damage := filekind.DamagePrivate(doc); damage != nil {
		return nil, usage("see to the file: the keys in it are not lost", "%s: %w", path, damage)
	}
	if is := filekind.Of(doc); is != "" {
		return nil, usage(fixIdentity, "%s is %s: it opens nothing", path, is)
	}
	return nil, usage(fixIdentity, "%s is neither a keyring, a private JWK nor a Tink keyset", path)
}

const fixIdentity = "give the consumer's keyring, or a private JWK of X25519 or P-256: the file that has the private half"

// openJWKs opens private keys as other tools keep them: one JWK, or a JWK Set. No error quotes anything in
// it.
func (a *app) openJWKs(path string, doc []byte) (keys.IdentitySource, error) {
	docs, err := splitJWKs(doc)
	switch {
	case err != nil:
		return nil, usage(fixIdentity, "%s is not a JWK", path) // what is wrong may quote it
	case !slices.ContainsFunc(docs, isPrivateJWK):
		return nil, usage("give the file that has the private half", "%s is %s: it opens nothing", path, filekind.Of(doc))
	}
	a.warnShared(path)
	var list []keys.Identity
	for _, doc := range docs {
		i, err := keys.ParseIdentityJWK(doc)
		if err != nil {
			return nil, usage(fixIdentity, "%s: %s", path, strings.TrimPrefix(err.Error(), "keys: "))
		}
		list = append(list, i)
	}
	return keys.OpenWith(list...), nil
}

func (a *app) openConsumerRing(private *privateFlags, path string, content []byte) (keys.IdentitySource, error) {
	ring, err := a.openRingOnce(private, path, content)
	if err != nil {
		return nil, err
	}
	switch {
	case ring.Consumer() == "":
		return nil, usage("give the consumer's keyring", "%s is the keyring of %s: its keys sign", path, ownerOf(ring))
	case len(ring.Identities(a.now())) == 0:
		return nil, wrongFile("make a key with `sealbus keys new --use enc`", "%s: all keys of %s have expired", path, ownerOf(ring))
	}
	return ring, nil
}

// openRingOnce opens the file again, or else what came out of a pipe, which can be read once only.
func (a *app) openRingOnce(private *privateFlags, path string, content []byte) (*keys.Keyring, error) {
	if isRegular(path) || !isEncrypted(content) {
		return a.openKeyring(&keyringFlags{path: path, privateFlags: *private})
	}
	pass, err := a.passphrase(private, path, false)
	if err != nil {
		return nil, err
	}
	ring, err := openWith(pass, func(pass string) (*keys.Keyring, error) { return keys.ParseKeyring(content, pass) })
	if err != nil {
		return nil, privateFailed(path, err)
	}
	return ring, nil
}

// isKeyring tells a keyring, with or without a passphrase, from keys as other tools keep them.
func isKeyring(content []byte) bool {
	return isEncrypted(content) || checkObject(content) == nil && hasMember(content, "keys") &&
		(hasMember(content, "consumer") || hasMember(content, "producer"))
}

// isEncrypted reports whether it is encrypted with age, as what is under a passphrase.
func isEncrypted(content []byte) bool { return bytes.HasPrefix(content, []byte("age-encryption.org/")) }

// isPrivateJWK reports whether a JWK has a private member.
func isPrivateJWK(doc []byte) bool {
	return slices.ContainsFunc([]string{"d", "priv", "k"}, func(member string) bool { return hasMember(doc, member) })
}

func (a *app) openTinkIdentities(ctx context.Context, f *identityFlags, path string) (keys.IdentitySource, error) {
	if f.tinkKEK == "" || f.consumer == "" {
		return nil, usage("add --tink-kek ARN and --"+f.consumerFlag+" NAME", "%s is a Tink keyset: the key that it is under, and whose it is, must be known", path)
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
