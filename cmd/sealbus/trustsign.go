package main

import (
	"context"
	"slices"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
	"github.com/spf13/cobra"
)

// signedResult is the result of `trust sign`.
type signedResult struct {
	File     string   `json:"file"`
	Kind     string   `json:"kind"` // bundle or roots
	Version  int64    `json:"version"`
	SignedBy []string `json:"signed_by"`
}

func (a *app) trustSignCommand() *cobra.Command {
	var f privateFlags
	var root []string
	cmd := a.command(commandSpec{
		use: "sign --root FILE BUNDLE", short: "Add a root key's signature to a bundle or a roots file",
		long: "Add a root key's signature to a trust bundle, or to the roots file that follows the pinned one, in place.\n" +
			"The signatures that it has are kept. Look at what you sign first: `sealbus trust show`.",
		example: "sealbus trust sign --root bob.root trust.dsse",
		args:    exactly("BUNDLE"),
		run:     func(ctx context.Context, args []string) error { return a.trustSign(ctx, root, &f, args[0]) },
	})
	cmd.Flags().StringArrayVar(&root, "root", nil, "a private root key `FILE` to sign with")
	f.register(cmd)
	return cmd
}

func (a *app) trustSign(ctx context.Context, paths []string, f *privateFlags, file string) error {
	old, err := a.readFile(file, keys.MaxSigned)
	if err != nil {
		return err
	}
	roots, err := a.openRootKeys(paths, f)
	if err != nil {
		return err
	}
	signed := old
	for _, root := range roots {
		if signed, err = addSignature(ctx, signed, root); err != nil {
			return refused(file, err)
		}
	}
	result, err := describeSigned(file, signed)
	if err != nil {
		return err
	}
	if err := replaceFile(file, old, append(signed, '\n')); err != nil {
		return err
	}
	return a.emit(result, func(p *printer) {
		p.linef("%s  %s version %d, signed by %s", p.bold(clean(file)), result.Kind, result.Version, count(len(result.SignedBy), "root key"))
		printList(p, "  ", result.SignedBy)
	})
}

// addSignature signs a bundle, a signed roots file, or a bare roots file, which then becomes a signed one.
func addSignature(ctx context.Context, doc []byte, root keys.RootSigner) ([]byte, error) {
	signed, err := keys.AddSignature(ctx, doc, root)
	if err == nil {
		return signed, nil
	}
	if _, isEnvelope := dsse.Parse(doc); isEnvelope == nil {
		return nil, err
	}
	bare, other := keys.ParseRoots(doc)
	if other != nil {
		return nil, err
	}
	return keys.SignRoots(ctx, bare, root)
}

func describeSigned(file string, signed []byte) (*signedResult, error) {
	e, err := dsse.Parse(signed)
	if err != nil {
		return nil, refused(file, err)
	}
	result := &signedResult{File: file, Kind: "roots", SignedBy: keyIDs(e)}
	if e.PayloadType == keys.BundleType {
		b, err := keys.ParseBundle(e.Payload)
		if err != nil {
			return nil, refused(file, err)
		}
		result.Kind, result.Version = "bundle", b.Version()
		return result, nil
	}
	roots, err := keys.ParseRoots(e.Payload)
	if err != nil {
		return nil, refused(file, err)
	}
	result.Version = roots.Version()
	return result, nil
}

// signersOf are the key IDs that signatures name; nobody has verified them.
func signersOf(signed []byte) ([]string, error) {
	e, err := dsse.Parse(signed)
	if err != nil {
		return nil, rejected("check that this is a signed bundle", "%w", err)
	}
	return keyIDs(e), nil
}

func keyIDs(e *dsse.Envelope) []string {
	ids := []string{}
	for _, s := range e.Signatures {
		ids = append(ids, s.KeyID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// goodSigners are the IDs of the root keys whose signatures verify.
func goodSigners(roots *keys.Roots, signed []byte) []string {
	ids := []string{}
	e, err := dsse.Parse(signed)
	if err != nil {
		return ids
	}
	message := dsse.PAE(nil, e.PayloadType, e.Payload)
	for _, k := range roots.Keys() {
		if slices.ContainsFunc(e.Signatures, func(s dsse.Signature) bool { return s.KeyID == k.KeyID() && k.Verify(message, s.Sig) }) {
			ids = append(ids, k.KeyID())
		}
	}
	return ids
}

func missingSignatures(roots *keys.Roots, signed []byte) int {
	return max(0, roots.Threshold()-len(goodSigners(roots, signed)))
}
