package main

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// identityFlags say what encrypted data is opened with.
type identityFlags struct {
	paths   []string
	private *privateFlags // how the keyrings among them are protected
}

// register registers --identity, and the flags of keyrings unless the command has them already.
func (f *identityFlags) register(cmd *cobra.Command, private *privateFlags) {
	cmd.Flags().StringArrayVar(&f.paths, "identity", nil, "open encrypted data with the keys in `FILE`: a consumer's keyring, or a private JWK; or with a KMS key, by its ARN")
	if f.private = private; private == nil {
		f.private = &privateFlags{}
		f.private.register(cmd)
	}
}

// decrypter opens what those that --identity names can open; nil = it names none.
func (a *app) decrypter(ctx context.Context, f *identityFlags) (*envelope.Decrypter, error) {
	if len(f.paths) == 0 {
		return nil, nil
	}
	i := identities{app: a, private: f.private}
	for _, path := range f.paths {
		if err := i.add(ctx, path); err != nil {
			return nil, asUnavailable("", err) // whatever is wrong with it, no event was judged
		}
	}
	with := envelope.DecryptWith{Services: i.services}
	if len(i.local) > 0 {
		with.Identities = i.local
	}
	d, err := envelope.NewDecrypter(with)
	if err != nil {
		return nil, unavailable("report this as a bug", "%w", err)
	}
	return d, nil
}

// identities are those that were named so far.
type identities struct {
	app      *app
	private  *privateFlags
	local    identitySources
	services []keys.ServiceIdentity
}

func (i *identities) add(ctx context.Context, path string) error {
	if isARN(path) {
		return i.addService(ctx, path)
	}
	if err := checkPrivateFile(path, "check the path, or make a keyring with `sealbus keys new --use enc`"); err != nil {
		return err
	}
	ref, err := i.app.referenceAt(path)
	if err != nil {
		return err
	}
	if ref != nil {
		return i.addReference(ctx, ref)
	}
	data, err := i.app.readFile(path, keys.MaxPrivateFile)
	if err != nil {
		return err
	}
	defer clear(data)
	if !isKeyring(data) {
		return i.addJWK(path, data)
	}
	return i.addKeyring(path, data)
}

func (i *identities) addKeyring(path string, data []byte) error {
	ring, err := i.openKeyring(path, data)
	if err != nil {
		return err
	}
	switch {
	case ring.Consumer() == "":
		return usage("give the keyring of a consumer, made with `sealbus keys new --use enc`", "%s is the keyring of %s, whose keys sign", path, ownerOf(ring))
	case len(ring.Identities(i.app.now())) == 0:
		return unavailable("make a key with `sealbus keys new --use enc`", "%s: all keys of %s have expired", path, ownerOf(ring))
	}
	i.local = append(i.local, ring)
	return nil
}

// openKeyring opens the file, or what came out of a pipe, which can be read once only.
func (i *identities) openKeyring(path string, data []byte) (*keys.Keyring, error) {
	if isRegular(path) || !bytes.HasPrefix(data, []byte(ageHeader)) {
		return i.app.openKeyring(&keyringFlags{path: path, privateFlags: *i.private})
	}
	pass, err := i.app.passphrase(i.private, path, false)
	if err != nil {
		return nil, err
	}
	ring, err := keys.ParseKeyring(data, pass)
	if err != nil {
		return nil, privateFailed(path, err)
	}
	return ring, nil
}

// addJWK adds private keys as other tools keep them: one JWK, or a JWK Set. No error quotes anything in it.
func (i *identities) addJWK(path string, data []byte) error {
	const fix = "give a consumer's keyring, or a private JWK of X25519 or P-256"
	if checkObject(data) != nil || !hasMember(data, "kty") && !hasMember(data, "keys") {
		return usage(fix, "%s is neither a keyring nor a private JWK", path)
	}
	docs, err := splitJWKs(data)
	if err == nil && !isPrivateJWK(data) {
		return usage("give the file that has the private half", "%s has public keys only, which open nothing", path)
	}
	var list []keys.Identity
	for _, doc := range docs {
		identity, err := keys.ParseIdentityJWK(doc)
		if err != nil {
			return usage(fix, "%s: %w", path, err)
		}
		list = append(list, identity)
	}
	if err != nil {
		return usage(fix, "%s is not a JWK", path) // what is wrong may quote it
	}
	i.app.warnShared(path)
	i.local = append(i.local, keys.OpenWith(list...))
	return nil
}

// identitySources are several, as one.
type identitySources []keys.IdentitySource

func (s identitySources) Identities(now time.Time) []keys.Identity {
	var list []keys.Identity
	for _, source := range s {
		list = append(list, source.Identities(now)...)
	}
	return list
}

// ageHeader begins what is encrypted under a passphrase.
const ageHeader = "age-encryption.org/"

// isKeyring tells a keyring, with or without a passphrase, from a JSON Web Key.
func isKeyring(data []byte) bool {
	return bytes.HasPrefix(data, []byte(ageHeader)) || checkObject(data) == nil && hasMember(data, "keys") && (hasMember(data, "consumer") || hasMember(data, "producer"))
}

// isPrivateJWK reports whether a JWK, or one of a set, has a private member.
func isPrivateJWK(data []byte) bool {
	docs, err := splitJWKs(data)
	return err == nil && slices.ContainsFunc(docs, func(doc []byte) bool {
		return slices.ContainsFunc([]string{"d", "priv", "k"}, func(member string) bool { return hasMember(doc, member) })
	})
}
