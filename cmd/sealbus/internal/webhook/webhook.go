// Package webhook has the commands that verify, record, sign and describe webhooks of third parties.
package webhook

import (
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Group("webhook", "Verify webhooks of third parties, and sign your own",
		"Third parties such as GitHub and Stripe send what happened over HTTP, and sign it. These commands "+
			"verify deliveries, say why one is refused, record them, and look at how providers sign.",
		verifyCommand(env), providersCommand(env), lintCommand(env), signCommand(env), listenCommand(env),
		resendCommand(env))
}
