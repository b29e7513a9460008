// Package keys has the commands of those who own keys: make, list, export and rotate them.
package keys

import (
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Group("keys",
		"Make, list, export and change a producer's signing keys and a consumer's encryption keys",
		"A keyring is a producer's own private signing keys, or a consumer's own private encryption keys. The public halves are\n"+
			"exported, for the people who keep the trust.",
		newCommand(env), listCommand(env), keysExportCommand(env),
		statusCommand(env), rotateCommand(env), retireCommand(env), pruneCommand(env), rewrapCommand(env))
}
