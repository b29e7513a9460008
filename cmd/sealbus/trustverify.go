package main

import (
	"context"

	"github.com/sealbus/sealbus/keys/trust"
	"github.com/spf13/cobra"
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
}

func (a *app) trustVerifyCommand() *cobra.Command {
	var roots string
	var minVersion int64
	cmd := a.command(commandSpec{
		use: "verify --roots FILE BUNDLE", short: "Verify a trust bundle as a consumer would",
		long:    "Verify a trust bundle under the pinned roots, as a consumer would: signatures, form, version, expiry.\nBUNDLE is a file, an https:// URL or s3://BUCKET/KEY. Exit status 1 if it is refused.",
		example: "sealbus trust verify --roots roots.json trust.dsse\nsealbus trust verify --roots roots.json https://trust.example/bundle.dsse",
		args:    exactly("BUNDLE"), now: true,
		run: func(ctx context.Context, args []string) error { return a.trustVerify(ctx, args[0], roots, minVersion) },
	})
	cmd.Flags().StringVar(&roots, "roots", "", "the pinned roots `FILE`")
	cmd.Flags().Int64Var(&minVersion, "min-version", 0, "refuse versions lower than `N`")
	return cmd
}

func (a *app) trustVerify(ctx context.Context, file, rootsFile string, minVersion int64) error {
	if err := need(required{"roots", rootsFile}); err != nil {
		return err
	}
	roots, err := a.readRoots(rootsFile)
	if err != nil {
		return asNeeded("roots", err)
	}
	signed, err := a.readSigned(ctx, file)
	if err != nil {
		return err
	}
	b, err := trust.OpenBundle(signed, roots, &trust.OpenBundleOptions{Now: a.now, MinVersion: minVersion})
	if err != nil {
		return refused(file, err)
	}
	r := bundleVerified{
		Verdict: "verified", Version: b.Version(), Issued: formatTime(b.Issued()), Expires: formatTime(b.Expires()),
		DaysLeft: daysLeft(b.Expires(), a.now()), Keys: len(b.SigningKeys()), SignedBy: goodSigners(roots, signed), Threshold: roots.Threshold(),
	}
	return a.emit(r, func(p *printer) {
		p.hangingf(2, "%s  %s  version %d, %s, signed by %s (%d needed), expires in %s", p.green("verified"), p.bold(clean(file)), r.Version,
			count(r.Keys, "signing key"), count(len(r.SignedBy), "root key"), r.Threshold, formatDuration(b.Expires().Sub(a.now())))
	})
}
