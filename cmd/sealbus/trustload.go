package main

import (
	"errors"

	"github.com/sealbus/sealbus/keys"
	"github.com/spf13/cobra"
)

// trustFlags name what to judge with.
type trustFlags struct{ trust, roots string }

func (f *trustFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.trust, "trust", "", "the signed trust bundle, a `FILE`")
	cmd.Flags().StringVar(&f.roots, "roots", "", "the pinned roots that sign the bundle, a `FILE`")
}

// reasonTrustUnavailable is envelope.ReasonTrustUnavailable, for bundles and roots that cannot be used.
const reasonTrustUnavailable = "trust_unavailable"

// openTrust reads the bundle and verifies it under the roots, at a.now(). Whatever is wrong with them, the
// event could not be judged: it is never a rejection.
func (a *app) openTrust(f *trustFlags) (*keys.Bundle, error) {
	if err := need(required{"trust", f.trust}, required{"roots", f.roots}); err != nil {
		return nil, err
	}
	roots, err := a.readRoots(f.roots)
	if err != nil {
		return nil, asUnavailable(reasonTrustUnavailable, err)
	}
	b, err := a.openBundle(f.trust, roots)
	return b, asUnavailableOrNil(err)
}

func asUnavailableOrNil(err error) error {
	if err == nil {
		return nil
	}
	return asUnavailable(reasonTrustUnavailable, err)
}

// readRoots reads a pinned roots file.
func (a *app) readRoots(path string) (*keys.Roots, error) {
	data, err := a.readFile(path, keys.MaxSigned)
	if err != nil {
		return nil, err
	}
	roots, err := keys.ParseRoots(data)
	if err != nil {
		return nil, refused(path, err)
	}
	return roots, nil
}

// openBundle reads a signed bundle and verifies it at a.now().
func (a *app) openBundle(path string, roots *keys.Roots) (*keys.Bundle, error) {
	data, err := a.readFile(path, keys.MaxSigned)
	if err != nil {
		return nil, err
	}
	b, err := keys.OpenBundle(data, roots, &keys.OpenBundleOptions{Now: a.now})
	if err != nil {
		return nil, refused(path, err)
	}
	return b, nil
}

// refused turns the refusal of a bundle or roots file into a rejection with its reason and what to do.
func refused(path string, err error) error {
	var b *keys.BundleError
	if !errors.As(err, &b) {
		return rejected("check the file", "%s: %w", path, err)
	}
	return &exitError{code: exitRejected, reason: string(b.Why), err: inFile(path, b.Err), fix: refusalFix[b.Why]}
}

// refusalFix says what to do about each refusal.
var refusalFix = map[keys.BundleWhy]string{
	keys.WhyMalformed:  "check that this is the file you mean, and that nothing edited it",
	keys.WhyTooLarge:   "check that this is the file you mean",
	keys.WhyType:       "check which file is which: a bundle and roots are different documents",
	keys.WhyThreshold:  "have more root keys sign it with `sealbus trust sign`, or check that these are its roots",
	keys.WhyExpired:    "fetch the newest bundle, or build one with `sealbus trust build`",
	keys.WhyRollback:   "fetch the newest bundle",
	keys.WhyEquivocate: "find out who signed two bundles of one version; build one with a higher version",
}
