package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
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

// readPublicKeys reads files with one JWK or a JWK Set each (RFC 7517).
func (a *app) readPublicKeys(paths []string) ([]keys.PublicKey, error) {
	var list []keys.PublicKey
	for _, path := range paths {
		data, err := a.readFile(path, trust.MaxBundle)
		if err != nil {
			return nil, err
		}
		found, err := keys.ParseJWKSet(data)
		switch is := filekind.Of(data); {
		case err == nil:
			list = append(list, found...)
		case is == "" || is == filekind.JWK || is == filekind.JWKSet:
			return nil, rejected(fixPublicKeys(is, path), "%s: %w", path, unprefixed(err))
		case is == filekind.PrivateJWK || is == filekind.PrivateJWKSet:
			return nil, wrongFile(fixPublicKeys(is, path), "%s: %w", path, unprefixed(err))
		default:
			return nil, wrongFile(fixPublicKeys(is, path), "%s: this is %s, not public keys", path, is)
		}
	}
	return list, nil
}

// fixPublicKeys is where the public keys are, if the file that was named is of that kind.
func fixPublicKeys(is filekind.Kind, path string) string {
	switch is {
	case filekind.RootKey:
		return "give its public half, which is in the file with the suffix " + trust.PublicSuffix
	case filekind.Keyring:
		return "export its public half: `sealbus keys export --keyring " + path + " --out FILE`"
	}
	return "give public keys as `sealbus keys export` writes them"
}

// unprefixed takes the name of the package off its error.
func unprefixed(err error) error {
	if text, ok := strings.CutPrefix(err.Error(), "keys: "); ok {
		return errors.New(text)
	}
	return err
}

// splitJWKs is the JWKs of a set, or the one that stands alone.
func splitJWKs(data []byte) ([][]byte, error) {
	r := jsontext.NewDecoder(data)
	var docs [][]byte
	isSet := false
	for obj := r.Object(); r.Member(&obj); {
		if string(obj.Name) != "keys" {
			r.SkipValue()
			continue
		}
		isSet = true
		for a := r.Array(); r.Element(&a); {
			docs = append(docs, r.ReadValue())
		}
	}
	switch err := r.End(); {
	case err != nil:
		return nil, err
	case !isSet:
		return [][]byte{data}, nil
	case len(docs) == 0:
		return nil, errors.New("a JWK Set without keys")
	case len(docs) > trust.MaxKeys:
		return nil, fmt.Errorf("more than %d keys", trust.MaxKeys)
	}
	return docs, nil
}

// hasMember reports whether doc is an object with that member.
func hasMember(doc []byte, name string) bool {
	found := false
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); r.SkipValue() {
		found = found || string(obj.Name) == name
	}
	return found
}

// openRootKeys opens root key files, of which there must be one at least.
func (a *app) openRootKeys(paths []string, f *privateFlags) ([]trust.RootSigner, error) {
	if len(paths) == 0 {
		return nil, usage("add --root FILE, as `sealbus trust root new` made it", "missing flag --root")
	}
	var roots []trust.RootSigner
	for _, path := range paths {
		k, err := a.openRootKey(path, f)
		if err != nil {
			return nil, err
		}
		roots = append(roots, k)
	}
	return roots, nil
}

func (a *app) openRootKey(path string, f *privateFlags) (*trust.RootKey, error) {
	if err := checkPrivateFile(path, "check the path"); err != nil {
		return nil, err
	}
	if err := a.checkProtected(path, f); err != nil {
		return nil, err
	}
	a.warnShared(path)
	pass, err := a.passphrase(f, path, false)
	if err != nil {
		return nil, err
	}
	k, err := openWith(pass, func(pass string) (*trust.RootKey, error) {
		if pass == "" {
			return trust.OpenInsecureRootKey(path)
		}
		return trust.OpenRootKey(path, pass)
	})
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
