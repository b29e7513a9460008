package trust

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// trustDiffed is the result of `trust diff`.
type trustDiffed struct {
	Old     string          `json:"old"`
	New     string          `json:"new"`
	Changes []policy.Change `json:"changes"`
}

func diffCommand(env *ui.Env) *cobra.Command {
	return env.Command(ui.Command{
		Use: "diff OLD NEW", Short: "Tell in sentences what changes between two bundles or policy files",
		Long: "Tell in sentences what changes between two bundles or policy files, for the review of a change. Widenings, which\n" +
			"allow what was not allowed, come first and are marked with +. `sealbus trust build` refuses them, unless --widen\n" +
			"names them. Nothing is verified: `sealbus trust verify` does that. Exit status 0, whatever changes.",
		Example: "sealbus trust diff trust.dsse policy.yaml",
		Args:    ui.Exactly("OLD", "NEW"),
		Run: func(ctx context.Context, args []string) error {
			return trustDiff(ctx, env, args[0], args[1])
		},
	})
}

func trustDiff(ctx context.Context, env *ui.Env, old, name string) error {
	was, err := readGrants(ctx, env, old)
	if err != nil {
		return err
	}
	is, err := readGrants(ctx, env, name)
	if err != nil {
		return err
	}
	r := trustDiffed{Old: old, New: name, Changes: policy.Diff(was, is)}
	if r.Changes == nil {
		r.Changes = []policy.Change{}
	}
	return env.Emit(r, func(p *ui.Printer) {
		if len(r.Changes) == 0 {
			p.Linef("nothing changes")
		}
		printChanges(p, r.Changes)
	})
}

// readGrants reads a policy file, or a bundle, whose signatures are not verified.
func readGrants(ctx context.Context, env *ui.Env, name string) (*policy.Grants, error) {
	doc, err := loadtrust.ReadSigned(ctx, env, name)
	if err != nil {
		return nil, err
	}
	if is := filekind.Of(doc); is != filekind.SignedBundle && !strings.HasPrefix(strings.TrimSpace(string(doc)), "{") {
		p, err := policy.Parse(doc)
		if err != nil {
			return nil, policyRefused(name, err)
		}
		return p.Grants(), nil
	}
	b, err := parseUnverified(doc)
	if err != nil {
		return nil, loadtrust.Refused(name, err)
	}
	return policy.GrantsOf(b), nil
}

// parseUnverified reads a signed bundle without verifying it.
func parseUnverified(signed []byte) (*trust.Bundle, error) {
	e, err := dsse.Parse(signed)
	if err == nil && e.PayloadType != keydoc.BundleType {
		err = errNoBundle(e.PayloadType)
	}
	if err != nil {
		return nil, keydoc.Explained(signed, err, "a policy file or a signed trust bundle", filekind.SignedBundle)
	}
	return trust.ParseBundle(e.Payload)
}

func printChanges(p *ui.Printer, list []policy.Change) {
	for _, c := range list {
		mark := " "
		if c.Widening {
			mark = p.Yellow("+")
		}
		text := c.Text
		if c.KeyID != "" {
			text = strings.ReplaceAll(text, c.KeyID, ui.ShortID(c.KeyID))
		}
		p.Hangingf(2, "%s %s", mark, ui.Clean(text))
	}
}
