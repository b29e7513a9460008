// Package token has the commands about access tokens: they verify one, say why it is refused, and get one.
package token

import (
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Group("token", "Verify the access tokens of callers, and get one",
		"Callers of an API show who they are by an access token of an issuer, such as Amazon Cognito. These "+
			"commands verify a token as webhook/authn does, say why one is refused, and get one for a program.",
		verifyCommand(env), explainCommand(env), getCommand(env))
}
