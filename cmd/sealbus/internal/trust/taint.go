package trust

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

func taintCommand(env *ui.Env) *cobra.Command {
	var file, reason string
	cmd := env.Command(ui.Command{
		Use: "taint KEYID --policy FILE [--reason TEXT]", Short: "Ask for another key than this one, in the policy file",
		Long: "Taint a key in the policy file. With the next bundle, producers prefer another key and warn, and consumers go on\n" +
			"accepting it and count its events: so you see what still uses it before you revoke it. KEYID may be the first 8\n" +
			"characters or more. To end a taint, take it out of the file.",
		Example: "sealbus trust taint vM5g2nq8 --reason 'moves to KMS' --policy policy.yaml",
		Args:    ui.Exactly("KEYID"),
		Run:     func(_ context.Context, args []string) error { return trustTaint(env, args[0], reason, file) },
	})
	cmd.Flags().StringVar(&reason, "reason", "", "the `TEXT` of the reason; only readers of the policy file see it")
	cmd.Flags().StringVar(&file, "policy", "", "the policy `FILE`")
	return cmd
}

func trustTaint(env *ui.Env, given, reason, file string) error {
	if err := ui.Need(ui.Flag("policy", file)); err != nil {
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
	if len(reason) > keydoc.MaxReason || !keydoc.Printable(reason) {
		return ui.Usage("shorten --reason, in one line", "the reason is not within %d printable bytes",
			keydoc.MaxReason)
	}
	edited, changes, err := policy.Taint(doc, id, reason)
	if err != nil {
		return policyRefused(file, err)
	}
	changed, err := writePolicy(env, file, doc, edited, policyChanged{Changes: changes, KeyIDs: []string{id}})
	if err == nil && changed {
		tellReview(env, file)
	}
	return err
}
