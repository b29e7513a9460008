package trust

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// bundleVerified is the result of `trust verify`.
type bundleVerified struct {
	Verdict   string   `json:"verdict"` // verified
	Version   int64    `json:"version"`
	Issued    string   `json:"issued"`
	Expires   string   `json:"expires"`
	DaysLeft  int      `json:"days_left"`
	Keys      int      `json:"keys"`
	SignedBy  []string `json:"signed_by"`
	Threshold int      `json:"threshold"`

	RootsVersion int64  `json:"roots_version"`
	RootsExpires string `json:"roots_expires,omitempty"`
	MinBundle    int64  `json:"min_bundle,omitempty"`
	MinTimestamp int64  `json:"min_timestamp,omitempty"`
}

func verifyCommand(env *ui.Env) *cobra.Command {
	var roots string
	var minVersion int64
	cmd := env.Command(ui.Command{
		Use: "verify --roots FILE BUNDLE", Short: "Verify a trust bundle as a consumer would",
		Long:    "Verify a trust bundle under the pinned roots, as a consumer would: signatures, form, version, expiry.\nBUNDLE is a file, an https:// URL or s3://BUCKET/KEY. Exit status 1 if it is refused.",
		Example: "sealbus trust verify --roots roots.json trust.dsse\nsealbus trust verify --roots roots.json https://trust.example/bundle.dsse",
		Args:    ui.Exactly("BUNDLE"), Now: true,
		Run: func(ctx context.Context, args []string) error {
			return trustVerify(ctx, env, args[0], roots, minVersion)
		},
	})
	cmd.Flags().StringVar(&roots, "roots", "", "the pinned roots `FILE`")
	cmd.Flags().Int64Var(&minVersion, "min-version", 0, "refuse versions lower than `N`")
	return cmd
}

func trustVerify(ctx context.Context, env *ui.Env, file, rootsFile string, minVersion int64) error {
	if err := ui.Need(ui.Flag("roots", rootsFile)); err != nil {
		return err
	}
	roots, err := loadtrust.ReadRoots(env, rootsFile)
	if err != nil {
		return ui.AsNeeded("roots", err)
	}
	signed, err := loadtrust.ReadSigned(ctx, env, file)
	if err != nil {
		return err
	}
	if roots, err = loadtrust.Newest(ctx, env, file, roots); err != nil {
		return err
	}
	b, err := loadtrust.OpenSigned(ctx, env, file, signed, roots, minVersion)
	if err != nil {
		return err
	}
	r := bundleVerified{
		Verdict: "verified", Version: b.Version(), Issued: ui.FormatTime(b.Issued()),
		Expires:  ui.FormatTime(b.Expires()),
		DaysLeft: ui.DaysLeft(b.Expires(), env.Now()), Keys: len(b.SigningKeys()),
		SignedBy: goodSigners(roots, signed), Threshold: roots.Threshold(),
		RootsVersion: roots.Version(), RootsExpires: ui.FormatTime(roots.Limits().Expires),
		MinBundle: roots.Limits().MinBundle, MinTimestamp: roots.Limits().MinTimestamp,
	}
	return env.Emit(r, func(p *ui.Printer) {
		p.Hangingf(2, "%s  %s  version %d, %s, signed by %s (%d needed), expires in %s", p.Green("verified"),
			p.Bold(ui.Clean(file)), r.Version,
			ui.Count(r.Keys, "signing key"), ui.Count(len(r.SignedBy), "root key"), r.Threshold,
			ui.FormatDuration(b.Expires().Sub(env.Now())))
		if r.RootsExpires != "" {
			p.Linef("roots version %d expire %s", r.RootsVersion, r.RootsExpires)
		}
		if r.MinBundle > 0 {
			p.Linef("roots version %d refuse bundles below version %d", r.RootsVersion, r.MinBundle)
		}
		if r.MinTimestamp > 0 {
			p.Linef("roots version %d refuse timestamps below version %d", r.RootsVersion, r.MinTimestamp)
		}
	})
}
