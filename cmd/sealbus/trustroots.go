package main

import (
	"context"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/spf13/cobra"
)

type rootsMade struct {
	Out       string   `json:"out"`
	Version   int64    `json:"version"`
	Threshold int      `json:"threshold"`
	KeyIDs    []string `json:"key_ids"`
}

func (a *app) trustRootsCommand() *cobra.Command {
	var threshold int
	var version int64
	var out string
	cmd := a.command(commandSpec{
		use: "roots [--threshold K] PUB... --out FILE", short: "Write the roots file that consumers pin",
		long: "Write the roots file that consumers pin: the public root keys, and how many of them must sign a bundle.\n" +
			"Consumers get it by a way that they trust, such as their own source code.",
		example: "sealbus trust roots --threshold 2 alice.root.pub bob.root.pub carol.root.pub --out roots.json",
		args:    atLeastOne("PUB"),
		run: func(_ context.Context, args []string) error {
			return a.trustRoots(args, version, threshold, out)
		},
	})
	cmd.Flags().IntVar(&threshold, "threshold", 0, "how many of the root keys must sign: `K`; mandatory for several keys")
	cmd.Flags().Int64Var(&version, "version", 1, "the version `N`: one more than that of the roots file it succeeds")
	cmd.Flags().StringVar(&out, "out", "", "the new `FILE`")
	return cmd
}

func (a *app) trustRoots(pubs []string, version int64, threshold int, out string) error {
	if err := need(required{"out", out}); err != nil {
		return err
	}
	public, err := a.readPublicKeys(pubs)
	if err != nil {
		return err
	}
	var verifiers []*keys.Verifier
	result := rootsMade{Out: out}
	for _, k := range public {
		if k.Verifier == nil {
			return rejected("give the .pub files that `sealbus trust root new` wrote", "key %s is for encryption and cannot sign", k.KeyID())
		}
		if k.Producer != "" {
			return usage("give the .pub files that `sealbus trust root new` wrote",
				"key %s is a signing key of producer %s: its holder could change the trust", shortID(k.KeyID()), k.Producer)
		}
		verifiers = append(verifiers, k.Verifier)
	}
	roots, err := trust.NewRoots(version, threshold, verifiers...)
	if err != nil {
		return usage("correct --threshold, --version or the list of keys", "%w", bundleCause(err))
	}
	if err := createFile(out, append(roots.Payload(), '\n'), publicFile); err != nil {
		return err
	}
	result.Version, result.Threshold = roots.Version(), roots.Threshold()
	for _, k := range roots.Keys() {
		result.KeyIDs = append(result.KeyIDs, k.KeyID())
	}
	if roots.Threshold() == 1 {
		a.warnf("one root key alone can sign a bundle: a thief of one needs no other")
	}
	return a.emit(result, func(p *printer) {
		p.linef("%s  version %d, %d of %s must sign", p.bold(clean(out)), result.Version, result.Threshold, count(len(result.KeyIDs), "root key"))
		printList(p, "  ", result.KeyIDs)
	})
}
