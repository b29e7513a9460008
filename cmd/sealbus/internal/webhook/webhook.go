// Package webhook has the commands that verify, record and describe webhooks of third parties, and those that
// send webhooks of your own.
package webhook

import (
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Group("webhook", "Verify webhooks of third parties, and send your own",
		"Third parties such as GitHub and Stripe send what happened over HTTP, and sign it. These commands "+
			"verify deliveries, say why one is refused, record them, look at how providers sign, and "+
			"send webhooks of your own.",
		verifyCommand(env), providersCommand(env), lintCommand(env), signCommand(env), listenCommand(env),
		resendCommand(env), sendCommand(env), deadCommand(env))
}
