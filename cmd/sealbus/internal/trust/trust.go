// Package trust has the commands that keep the trust: the policy file, bundles, roots and their signatures.
package trust

import (
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

func Command(env *ui.Env) *cobra.Command {
	root := env.Group("root", "Make and change the root keys, which sign the trust",
		"Root keys sign trust bundles and stay offline.", rootNewCommand(env), rotateCommand(env))
	return env.Group("trust", "Keep the trust: which keys may speak for what",
		"Trust is built from a reviewed policy file and public keys, and signed by root keys that stay offline.\n"+
			"No trust command reads a producer's private key.\n\n"+
			"  once       trust root new, trust roots\n"+
			"  per key    trust add, and a review of the policy file\n"+
			"  regularly  trust diff, trust build, trust sign, trust verify; publish the bundle\n"+
			"  hourly     trust timestamp, where the roots name timestamp keys\n"+
			"  yearly     trust root rotate, trust sign; publish it as roots/N\n"+
			"  at worst   trust taint, trust revoke, then build; trust timestamp --revoke at once",
		root, rootsCommand(env), addCommand(env), buildCommand(env), signCommand(env), timestampCommand(env),
		showCommand(env), verifyCommand(env), diffCommand(env), taintCommand(env), serveCommand(env),
		revokeCommand(env), simulateCommand(env))
}

// readPublicKeys reads files with one JWK or a JWK Set each (RFC 7517).
func readPublicKeys(env *ui.Env, paths []string) ([]keys.PublicKey, error) {
	var list []keys.PublicKey
	for _, path := range paths {
		data, err := env.ReadFile(path, keydoc.MaxBundle)
		if err != nil {
			return nil, err
		}
		found, err := keys.ParseJWKSet(data)
		switch is := filekind.Of(data); {
		case err == nil:
			list = append(list, found...)
		case is == "" || is == filekind.JWK || is == filekind.JWKSet:
			return nil, ui.Rejected(fixPublicKeys(is, path), "%s: %w", path, err)
		case is == filekind.PrivateJWK || is == filekind.PrivateJWKSet:
			return nil, ui.WrongFile(fixPublicKeys(is, path), "%s: %w", path, err)
		default:
			return nil, ui.WrongFile(fixPublicKeys(is, path), "%s: this is %s, not public keys", path, is)
		}
	}
	return list, nil
}

// fixPublicKeys is where the public keys are, if the file that was named is of that kind.
func fixPublicKeys(is filekind.Kind, path string) string {
	switch is {
	case filekind.RootKey:
		return "give its public half, which is in the file with the suffix " + keydoc.PublicSuffix
	case filekind.Keyring:
		return "export its public half: `sealbus keys export --keyring " + path + " --out FILE`"
	}
	return "give public keys as `sealbus keys export` writes them"
}

// openRootKeys opens root key files, of which there must be one at least.
func openRootKeys(env *ui.Env, paths []string, f *loadkeys.PrivateFlags) ([]trust.RootSigner, error) {
	if len(paths) == 0 {
		return nil, ui.Usage("add --root FILE, as `sealbus trust root new` made it", "%w", ui.MissingFlag("root"))
	}
	var roots []trust.RootSigner
	for _, path := range paths {
		k, err := openRootKey(env, path, f)
		if err != nil {
			return nil, err
		}
		roots = append(roots, k)
	}
	return roots, nil
}

func openRootKey(env *ui.Env, path string, f *loadkeys.PrivateFlags) (*trust.RootKey, error) {
	if err := loadkeys.CheckPrivateFile(path, "check the path"); err != nil {
		return nil, err
	}
	if err := loadkeys.CheckProtected(env, path, f); err != nil {
		return nil, err
	}
	env.WarnShared(path)
	pass, err := loadkeys.Passphrase(env, f, path, false)
	if err != nil {
		return nil, err
	}
	k, err := loadkeys.OpenWith(pass, func(pass string) (*trust.RootKey, error) {
		return trust.OpenRootKey(path, pass, &keys.PrivateFileOptions{InsecureNoPassphrase: pass == ""})
	})
	if err != nil {
		return nil, loadkeys.PrivateFailed(path, err)
	}
	return k, nil
}

// ReadPolicy reads and checks a policy file.
func ReadPolicy(env *ui.Env, path string) ([]byte, *policy.Policy, error) {
	doc, err := env.ReadFile(path, keydoc.MaxPolicy)
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
	return &ui.Error{Code: ui.ExitRejected, Reason: "policy", Err: ui.InFile(path, err),
		Fix: "correct the policy file and have the change reviewed"}
}
