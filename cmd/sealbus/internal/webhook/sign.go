package webhook

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
)

type signFlags struct {
	secrets []string
	id      string
}

func signCommand(env *ui.Env) *cobra.Command {
	f := &signFlags{}
	cmd := env.Command(ui.Command{
		Use:   "sign --secret-file FILE... [--id ID] < BODY",
		Short: "Sign a body as Standard Webhooks does, and write the headers", Now: true,
		Long: `Sign the body on standard input as Standard Webhooks 1.0.0 says, and write its three header
lines: webhook-id, webhook-timestamp and webhook-signature. curl takes them by --header @FILE. The command
sealbus webhook send also sends the body, and signs by RFC 9421, too.

A secret that begins with whsec_ signs v1 (HMAC-SHA256), one that begins with whsk_ signs v1a (Ed25519).
During a rotation, give the old one and the new one: both sign.

--id is the same each time that one message is sent. --now is the time of the attempt.`,
		Example: `echo "whsec_$(openssl rand -base64 32)" > local.secret
sealbus webhook sign --secret-file local.secret < body.json > headers
curl --header @headers --json @body.json http://127.0.0.1:3000/hooks`,
		Run: func(_ context.Context, _ []string) error { return sign(env, f) },
	})
	cmd.Flags().StringArrayVar(&f.secrets, "secret-file", nil, helpSecretFile)
	cmd.Flags().StringVar(&f.id, "id", "", helpID)
	return cmd
}

// signResult is the signature for programs.
type signResult struct {
	ID        string `json:"webhook-id"`
	Timestamp string `json:"webhook-timestamp"`
	Signature string `json:"webhook-signature"`
}

func sign(env *ui.Env, f *signFlags) error {
	secrets, err := signingSecrets(env, f.secrets)
	if err != nil {
		return err
	}
	body, err := readBody(env)
	if err != nil {
		return err
	}
	lines, err := webhook.Sign(idOr(f.id), env.Now(), body, secrets)
	if err != nil {
		return signingFailed(err)
	}
	r := signResult{lines[0].Value, lines[1].Value, lines[2].Value}
	return env.Emit(r, func(p *ui.Printer) {
		for _, l := range lines {
			p.Linef("%s: %s", l.Name, l.Value)
		}
	})
}
