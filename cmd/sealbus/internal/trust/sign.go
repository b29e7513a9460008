package trust

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// signedResult is the result of `trust sign`. Who else signed is not told without --roots: a signature names
// its key without proof.
type signedResult struct {
	File    string   `json:"file"`
	Kind    string   `json:"kind"` // bundle or roots
	Version int64    `json:"version"`
	Expires string   `json:"expires,omitempty"` // of a bundle
	Keys    int      `json:"keys"`              // signing keys of a bundle, root keys of roots
	Added   []string `json:"added"`
	Already []string `json:"already_signed"` // keys of --root whose good signatures it had
	// beside those of the keys above, or verified under --roots
	Unverified int      `json:"unverified_signatures"`
	SignedBy   []string `json:"signed_by,omitempty"` // verified under --roots
	Threshold  int      `json:"threshold,omitempty"` // of --roots
}

// signFlags are those of `trust sign`.
type signFlags struct {
	loadkeys.PrivateFlags
	root      []string
	roots     string
	show, yes bool
	previous  string
}

func signCommand(env *ui.Env) *cobra.Command {
	var f signFlags
	cmd := env.Command(ui.Command{
		Use: "sign --root FILE [--show [--previous FILE]] BUNDLE", Short: "Add a root key's signature to a bundle or a roots file",
		Long: "Add a root key's signature to a trust bundle, or to the roots file that follows the pinned one, in place.\n" +
			"The signatures that it has are kept, and not verified without --roots.\n\n" +
			"With --show it first tells in sentences what you are about to sign, and what it did not verify, and asks whether to\n" +
			"go on. No key is opened before. Without --root it only tells.",
		Example: "sealbus trust sign --show --previous old.dsse --roots roots.json --root bob.root trust.dsse",
		Args:    ui.Exactly("BUNDLE"),
		Run:     func(ctx context.Context, args []string) error { return trustSign(ctx, env, &f, args[0]) },
	})
	cmd.Flags().StringArrayVar(&f.root, "root", nil, "a private root key `FILE` to sign with")
	cmd.Flags().StringVar(&f.roots, "roots", "", "the pinned roots `FILE`: says how many of them have signed")
	cmd.Flags().BoolVar(&f.show, "show", false, "tell what is signed before a key is opened")
	cmd.Flags().StringVar(&f.previous, "previous", "",
		"with --show: the signed bundle or the roots `FILE` that this one follows, to tell what changes")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "with --show: do not ask")
	f.Register(cmd)
	return cmd
}

func trustSign(ctx context.Context, env *ui.Env, f *signFlags, file string) error {
	old, err := env.ReadFile(file, keydoc.MaxSigned)
	if err != nil {
		return err
	}
	pinned, err := pinnedRoots(env, f.roots)
	if err != nil {
		return err
	}
	if goOn, err := f.showFirst(env, file, old, pinned); err != nil || !goOn {
		return err
	}
	roots, err := openRootKeys(env, f.root, &f.PrivateFlags)
	if err != nil {
		return err
	}
	if err := checkRootKeys(ctx, env, f.roots, pinned, file, f.root, roots); err != nil {
		return err
	}
	signed := old
	added, already := []string{}, []string{}
	for _, root := range roots {
		if v := root.Verifier(); hasSignature(old, v) {
			already = append(already, v.KeyID())
			continue
		}
		added = append(added, root.Verifier().KeyID())
		if signed, err = addSignature(ctx, signed, root); err != nil {
			return loadtrust.Refused(file, err)
		}
	}
	result, err := describeSigned(file, signed, added, already, pinned)
	if err != nil {
		return err
	}
	if len(added) > 0 {
		if err := ui.ReplaceFile(file, old, append(signed, '\n')); err != nil {
			return err
		}
	}
	return env.Emit(result, result.print)
}

// checkRootKeys refuses a key whose signature would not count: it is no root key of the pinned roots, nor of
// those that follow them beside the document, nor of the document, if that is a roots file. pinned is nil
// without --roots: then nothing is known.
func checkRootKeys(ctx context.Context, env *ui.Env, rootsFile string, pinned *trust.Roots, document string,
	files []string, signers []trust.RootSigner) error {
	if pinned == nil {
		return nil
	}
	count := slices.Clone(pinned.Keys())
	if newest, err := loadtrust.Newest(ctx, env, document, pinned); err == nil {
		count = append(count, newest.Keys()...)
	}
	if doc, err := env.ReadFile(document, keydoc.MaxSigned); err == nil {
		if roots, err := trust.ParseRoots(payloadOf(doc)); err == nil {
			count = append(count, roots.Keys()...)
		}
	}
	for i, s := range signers {
		id := s.Verifier().KeyID()
		if !slices.ContainsFunc(count, func(k *keys.Verifier) bool { return k.KeyID() == id }) {
			return ui.Usage("name the private half of one of its root keys; `sealbus trust show "+ui.ShellQuote(rootsFile)+"` lists them",
				"key %s in %s is no root key of %s: its signature would not count", ui.ShortID(id), files[i], rootsFile)
		}
	}
	return nil
}

// pinnedRoots are the roots of --roots, nil without it.
func pinnedRoots(env *ui.Env, path string) (*trust.Roots, error) {
	if path == "" {
		return nil, nil
	}
	roots, err := loadtrust.ReadRoots(env, path)
	if err != nil {
		return nil, ui.AsNeeded("roots", err)
	}
	return roots, nil
}

func (r *signedResult) print(p *ui.Printer) {
	what := ui.Count(r.Keys, "root key")
	if r.Kind == "bundle" {
		what = ui.Count(r.Keys, "signing key") + ", expires " + r.Expires
	}
	p.Linef("%s  %s version %d, %s", p.Bold(ui.Clean(r.File)), r.Kind, r.Version, what)
	for _, id := range r.Added {
		p.Linef("  added the signature of %s", id)
	}
	for _, id := range r.Already {
		p.Linef("  has the signature of %s already", id)
	}
	switch {
	case r.Threshold > 0:
		p.Linef("  signed by %d of the root keys, %d needed", len(r.SignedBy), r.Threshold)
		if r.Unverified > 0 {
			p.Linef("  %s: not of these roots, or not good",
				ui.CountOf(r.Unverified, "signature more does not count", "signatures more do not count"))
		}
	case r.Unverified > 0:
		p.Linef("  %s more, not verified here (sealbus trust verify --roots FILE)",
			ui.Count(r.Unverified, "signature"))
	}
}

// addSignature signs a bundle, a signed roots file, or a bare roots file, which then becomes a signed one.
func addSignature(ctx context.Context, doc []byte, root trust.RootSigner) ([]byte, error) {
	signed, err := trust.AddSignature(ctx, doc, root)
	if err == nil {
		return signed, nil
	}
	if _, isEnvelope := dsse.Parse(doc); isEnvelope == nil {
		return nil, err
	}
	bare, other := trust.ParseRoots(doc)
	if other != nil {
		return nil, err
	}
	return trust.SignRoots(ctx, bare, root)
}

// describeSigned tells what was signed; pinned is nil without --roots.
func describeSigned(file string, signed []byte, added, already []string,
	pinned *trust.Roots) (*signedResult, error) {
	e, err := dsse.Parse(signed)
	if err != nil {
		return nil, loadtrust.Refused(file, err)
	}
	slices.Sort(added)
	slices.Sort(already)
	// a file may be named twice
	result := &signedResult{File: file, Added: slices.Compact(added), Already: slices.Compact(already)}
	if pinned != nil {
		result.SignedBy, result.Threshold = goodSigners(pinned, signed), pinned.Threshold()
	}
	known := slices.Concat(added, already)
	for _, id := range keyIDs(e) {
		if !slices.Contains(known, id) && !slices.Contains(result.SignedBy, id) {
			result.Unverified++
		}
	}
	if err := result.describe(e); err != nil {
		return nil, loadtrust.Refused(file, err)
	}
	return result, nil
}

// describe fills in what the payload says.
func (r *signedResult) describe(e *dsse.Envelope) error {
	if e.PayloadType == keydoc.BundleType {
		b, err := trust.ParseBundle(e.Payload)
		if err != nil {
			return err
		}
		r.Kind, r.Version, r.Expires, r.Keys = "bundle", b.Version(), ui.FormatTime(b.Expires()),
			len(b.SigningKeys())
		return nil
	}
	roots, err := trust.ParseRoots(e.Payload)
	if err != nil {
		return err
	}
	r.Kind, r.Version, r.Keys = "roots", roots.Version(), len(roots.Keys())
	return nil
}

// signersOf are the key IDs that signatures name; they are not verified.
func signersOf(signed []byte) ([]string, error) {
	e, err := dsse.Parse(signed)
	if err != nil {
		return nil, ui.Rejected("check that this is a signed bundle", "%w", err)
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
func goodSigners(roots *trust.Roots, signed []byte) []string {
	ids := []string{}
	e, err := dsse.Parse(signed)
	if err != nil {
		return ids
	}
	message := dsse.PAE(nil, e.PayloadType, e.Payload)
	for _, k := range roots.Keys() {
		if signedBy(e, message, k) {
			ids = append(ids, k.KeyID())
		}
	}
	return ids
}

// signedBy reports whether one of the signatures of message is a good one of the key.
func signedBy(e *dsse.Envelope, message []byte, k *keys.Verifier) bool {
	return slices.ContainsFunc(e.Signatures, func(s dsse.Signature) bool { return s.KeyID == k.KeyID() && k.Verify(message, s.Sig) })
}

// hasSignature reports whether doc is signed, and well, by the key.
func hasSignature(doc []byte, k *keys.Verifier) bool {
	e, err := dsse.Parse(doc)
	return err == nil && signedBy(e, dsse.PAE(nil, e.PayloadType, e.Payload), k)
}

func missingSignatures(roots *trust.Roots, signed []byte) int {
	return max(0, roots.Threshold()-len(goodSigners(roots, signed)))
}
