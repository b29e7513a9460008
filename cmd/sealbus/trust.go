package main

import (
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/strictjson"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/policy"
	"github.com/spf13/cobra"
)

func (a *app) trustCommand() *cobra.Command {
	root := a.group("root", "Make the root keys, which sign the trust", "Root keys sign trust bundles and stay offline.", a.trustRootNewCommand())
	return a.group("trust", "Keep the trust: which keys may speak for what",
		"Trust is built from a reviewed policy file and public keys, and signed by root keys that stay offline.\n"+
			"No trust command reads a producer's private key.\n\n"+
			"  once       trust root new, trust roots\n"+
			"  per key    trust add, and a review of the policy file\n"+
			"  regularly  trust build, trust sign, trust verify; publish the bundle\n"+
			"  at worst   trust revoke, then build",
		root, a.trustRootsCommand(), a.trustAddCommand(), a.trustBuildCommand(), a.trustSignCommand(),
		a.trustShowCommand(), a.trustVerifyCommand(), a.trustRevokeCommand())
}

// publicKey is one submitted public key, of which nothing is read but the key itself.
type publicKey struct {
	id         string
	signing    *keys.Verifier  // nil = for encryption
	encryption *keys.Recipient // nil = for signing
}

// readPublicKeys reads files with one JWK or a JWK Set each (RFC 7517).
func (a *app) readPublicKeys(paths []string) ([]publicKey, error) {
	var list []publicKey
	for _, path := range paths {
		data, err := a.readFile(path, keys.MaxBundle)
		if err != nil {
			return nil, err
		}
		found, err := parsePublicKeys(data)
		if err != nil {
			return nil, rejected("give public keys as `sealbus keys export` writes them", "%s: %w", path, err)
		}
		list = append(list, found...)
	}
	return list, nil
}

func parsePublicKeys(data []byte) ([]publicKey, error) {
	if err := checkObject(data); err != nil {
		return nil, err
	}
	docs, err := splitJWKs(data)
	if err != nil {
		return nil, err
	}
	list := make([]publicKey, 0, len(docs))
	for _, doc := range docs {
		k, err := parsePublicKey(doc)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}

// splitJWKs is the JWKs of a set, or the one that stands alone.
func splitJWKs(data []byte) ([][]byte, error) {
	r := strictjson.NewReader(data)
	var docs [][]byte
	isSet := false
	for obj := r.Object(); r.Member(&obj); {
		if string(obj.Name) != "keys" {
			r.Skip()
			continue
		}
		isSet = true
		for a := r.Array(); r.Element(&a); {
			docs = append(docs, r.Raw())
		}
	}
	switch err := r.End(); {
	case err != nil:
		return nil, err
	case !isSet:
		return [][]byte{data}, nil
	case len(docs) == 0:
		return nil, errors.New("a JWK Set without keys")
	case len(docs) > keys.MaxKeys:
		return nil, fmt.Errorf("more than %d keys", keys.MaxKeys)
	}
	return docs, nil
}

// parsePublicKey takes a key for a signing key, unless it can only be one for encryption.
func parsePublicKey(doc []byte) (publicKey, error) {
	v, err := keys.ParseJWK(doc)
	if err == nil {
		return publicKey{id: v.KeyID(), signing: v}, nil
	}
	if r, other := keys.ParseRecipientJWK(doc); other == nil {
		return publicKey{id: r.KeyID(), encryption: r}, nil
	}
	if !hasMember(doc, "kty") {
		err = errors.New(`not a JSON Web Key: it has no "kty"`)
	}
	return publicKey{}, err
}

// hasMember reports whether doc is an object with that member.
func hasMember(doc []byte, name string) bool {
	found := false
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); r.Skip() {
		found = found || string(obj.Name) == name
	}
	return found
}

// openRootKeys opens root key files, of which there must be one at least.
func (a *app) openRootKeys(paths []string, f *privateFlags) ([]keys.RootSigner, error) {
	if len(paths) == 0 {
		return nil, usage("add --root FILE, as `sealbus trust root new` made it", "missing flag --root")
	}
	var roots []keys.RootSigner
	for _, path := range paths {
		k, err := a.openRootKey(path, f)
		if err != nil {
			return nil, err
		}
		roots = append(roots, k)
	}
	return roots, nil
}

func (a *app) openRootKey(path string, f *privateFlags) (*keys.RootKey, error) {
	if err := checkPrivateFile(path, "check the path"); err != nil {
		return nil, err
	}
	a.warnShared(path)
	pass, err := a.passphrase(f, path, false)
	if err != nil {
		return nil, err
	}
	open := func() (*keys.RootKey, error) { return keys.OpenRootKey(path, pass) }
	if pass == "" {
		open = func() (*keys.RootKey, error) { return keys.OpenInsecureRootKey(path) }
	}
	k, err := open()
	if err != nil {
		return nil, privateFailed(path, err)
	}
	return k, nil
}

// readPolicy reads and checks a policy file.
func (a *app) readPolicy(path string) ([]byte, *policy.Policy, error) {
	doc, err := a.readFile(path, policy.MaxPolicy)
	if err != nil {
		return nil, nil, err
	}
	p, err := policy.Parse(doc)
	if err != nil {
		return nil, nil, policyRefused(path, err)
	}
	return doc, p, nil
}

func policyRefused(path string, err error) error {
	return &exitError{code: exitRejected, reason: "policy", err: inFile(path, err), fix: "correct the policy file and have the change reviewed"}
}
