package trust

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

func revokeCommand(env *ui.Env) *cobra.Command {
	var file, reason string
	cmd := env.Command(ui.Command{
		Use: "revoke KEYID --reason TEXT --policy FILE", Short: "Revoke a key in the policy file",
		Long: "Revoke a key in the policy file. Every event that it signed is rejected, whenever it was signed, as soon as the\n" +
			"next bundle is built and published. KEYID may be the first 8 characters or more.",
		Example: "sealbus trust revoke vM5g2nq8 --reason 'laptop stolen' --policy policy.yaml",
		Args:    ui.Exactly("KEYID"), Now: true,
		Run: func(_ context.Context, args []string) error { return trustRevoke(env, args[0], reason, file) },
	})
	cmd.Flags().StringVar(&reason, "reason", "", "the `TEXT` of the reason; all readers of the bundle see it")
	cmd.Flags().StringVar(&file, "policy", "", "the policy `FILE`")
	return cmd
}

func trustRevoke(env *ui.Env, given, reason, file string) error {
	if err := ui.Need(ui.Flag("policy", file), ui.Flag("reason", reason)); err != nil {
		return err
	}
	doc, p, err := ReadPolicy(env, file)
	if err != nil {
		return err
	}
	id, err := loadkeys.MatchID(listedIDs(p), given, file)
	if err != nil {
		return err
	}
	if err := keydoc.CheckRevocation(env.Now(), reason); err != nil {
		return ui.Usage("shorten --reason, in one line", "%w", err)
	}
	edited, changes, err := policy.Revoke(doc, id, reason, env.Now())
	if err != nil {
		return policyRefused(file, err)
	}
	changed, err := writePolicy(env, file, doc, edited, policyChanged{Changes: changes, KeyIDs: []string{id}})
	if err != nil || !changed {
		return err
	}
	tellReview(env, file)
	if ofProducer(p, id) {
		env.Sayf("next, at the producer: sealbus keys new --keyring FILE: the new key signs at once; then keys export, trust add, trust build")
	}
	return nil
}

func ofProducer(p *policy.Policy, id string) bool {
	for _, o := range p.Producers {
		for _, k := range o.Keys {
			if k.ID == id {
				return true
			}
		}
	}
	return false
}

func listedIDs(p *policy.Policy) []string {
	var ids []string
	for _, o := range p.Producers {
		for _, k := range o.Keys {
			ids = append(ids, k.ID)
		}
	}
	for _, o := range p.Consumers {
		for _, k := range o.Keys {
			ids = append(ids, k.ID)
		}
	}
	return ids
}
