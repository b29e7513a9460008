package token

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtoken"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func getCommand(env *ui.Env) *cobra.Command {
	f := &loadtoken.Flags{}
	header := false
	cmd := env.Command(ui.Command{
		Use:   "get --token-url URL --token-client ID [--token-secret-file FILE] [--token-scope S]...",
		Short: "Get an access token for a program, by client credentials",
		Long: `Get an access token by the client credentials grant, as webhook/authn/clientcredentials does, and
write it to standard output, which must not be a terminal. A token is a password until it expires.

The secret comes from --token-secret-file, or from the environment variable ` + loadtoken.SecretVariable + `.

Exit status: 0 done, 1 the issuer refuses it, 2 a flag or a file is wrong, 3 there was no answer: try again.`,
		Example: `sealbus token get --token-url https://acme.auth.eu-west-1.amazoncognito.com/oauth2/token \
  --token-client 4client --token-secret-file client.secret --header > header
curl --header @header https://api.example/orders`,
		Run: func(ctx context.Context, _ []string) error { return get(ctx, env, f, header) },
	})
	f.Register(cmd)
	cmd.Flags().BoolVar(&header, "header", false, "write a header line, for curl --header @FILE")
	return cmd
}

// got is a token for programs.
type got struct {
	Token   string `json:"access_token"`
	Expires string `json:"expires"`
}

func get(ctx context.Context, env *ui.Env, f *loadtoken.Flags, header bool) error {
	if err := env.KeepSecretFromTerminal(); err != nil {
		return err
	}
	source, err := f.Open(env, "")
	if err != nil {
		return err
	}
	token, err := source.Token(ctx)
	if err != nil {
		return loadtoken.Failed(err)
	}
	if env.JSON {
		return env.WriteJSON(got{token.AccessToken, ui.FormatTime(token.Expiry)})
	}
	line := token.AccessToken + "\n"
	if header {
		line = "Authorization: Bearer " + line
	}
	return env.WriteOut([]byte(line))
}
