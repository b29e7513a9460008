package trust

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

type rootsMade struct {
	Out       string   `json:"out"`
	Version   int64    `json:"version"`
	Threshold int      `json:"threshold"`
	KeyIDs    []string `json:"key_ids"`
	Timestamp []string `json:"timestamp_key_ids,omitempty"`
}

func rootsCommand(env *ui.Env) *cobra.Command {
	var threshold int
	var version int64
	var out string
	var timestamps []string
	cmd := env.Command(ui.Command{
		Use: "roots [--threshold K] [--timestamp-key PUB|KMS-ARN]... PUB... --out FILE", Short: "Write the roots file that consumers pin",
		Long: "Write the roots file that consumers pin: the public root keys, and how many of them must sign a bundle.\n" +
			"Consumers get it by a way that they trust, such as their own source code.",
		Example: "sealbus trust roots --threshold 2 alice.root.pub bob.root.pub carol.root.pub --out roots.json",
		Args:    ui.AtLeastOne("PUB"),
		Run: func(ctx context.Context, args []string) error {
			stamps, err := timestampKeys(ctx, env, timestamps)
			if err != nil {
				return err
			}
			return trustRoots(env, args, stamps, version, threshold, out)
		},
	})
	cmd.Flags().StringArrayVar(&timestamps, "timestamp-key", nil,
		"a `KEY` that signs timestamps: a .pub file, or an ARN or alias in KMS; bundles then count only with a timestamp")
	cmd.Flags().IntVar(&threshold, "threshold", 0,
		"how many of the root keys must sign: `K`; mandatory for several keys")
	cmd.Flags().Int64Var(&version, "version", 1,
		"the version `N`: one more than that of the roots file it succeeds")
	cmd.Flags().StringVar(&out, "out", "", "the new `FILE`")
	return cmd
}

func trustRoots(env *ui.Env, pubs []string, timestamps []*keys.Verifier, version int64, threshold int,
	out string) error {
	if err := ui.Need(ui.Flag("out", out)); err != nil {
		return err
	}
	public, err := readPublicKeys(env, pubs)
	if err != nil {
		return err
	}
	var verifiers []*keys.Verifier
	result := rootsMade{Out: out}
	for _, k := range public {
		if k.Verifier == nil {
			return ui.Rejected("give the .pub files that `sealbus trust root new` wrote",
				"key %s is for encryption and cannot sign", k.KeyID())
		}
		if k.Producer != "" {
			return ui.Usage("give the .pub files that `sealbus trust root new` wrote",
				"key %s is a signing key of producer %s: its holder could change the trust",
				ui.ShortID(k.KeyID()), k.Producer)
		}
		verifiers = append(verifiers, k.Verifier)
	}
	roots, err := trust.NewRoots(version, threshold, verifiers...)
	if err == nil {
		roots, err = roots.WithTimestampKeys(timestamps...)
	}
	if err != nil {
		return ui.Usage("correct --threshold, --version or the list of keys", "%w", bundleCause(err))
	}
	if err := ui.CreateFile(out, append(roots.Payload(), '\n'), ui.PublicFile); err != nil {
		return err
	}
	result.Version, result.Threshold = roots.Version(), roots.Threshold()
	for _, k := range roots.Keys() {
		result.KeyIDs = append(result.KeyIDs, k.KeyID())
	}
	for _, k := range roots.TimestampKeys() {
		result.Timestamp = append(result.Timestamp, k.KeyID())
	}
	if roots.Threshold() == 1 {
		env.Warnf("one root key can sign a bundle alone: an attacker who steals it controls the trust")
	}
	return env.Emit(result, func(p *ui.Printer) {
		p.Linef("%s  version %d, %d of %s must sign", p.Bold(ui.Clean(out)), result.Version, result.Threshold,
			ui.Count(len(result.KeyIDs), "root key"))
		ui.PrintList(p, "  ", result.KeyIDs)
		if len(result.Timestamp) > 0 {
			p.Linef("bundles count only with a timestamp, signed by one of %s",
				ui.Count(len(result.Timestamp), "timestamp key"))
			ui.PrintList(p, "  ", result.Timestamp)
		}
	})
}
