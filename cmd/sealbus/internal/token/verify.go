package token

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook/authn"
)

func verifyCommand(env *ui.Env) *cobra.Command {
	f := newJudgeFlags()
	cmd := env.Command(ui.Command{
		Use:   "verify --issuer URL (--client-id ID | --audience NAME)... [--scope S]... < TOKEN",
		Short: "Verify an access token, and say who is calling", Now: true,
		Long: `Verify the access token on standard input as webhook/authn does, and write the verdict to standard
output as JSON: who is calling, or the reason, the rule and the fix. The token is not shown.

--issuer is the claim iss, byte for byte. The keys are those that the issuer names at
/.well-known/openid-configuration, or those of --jwks. An issuer needs https, but for one at an address of
this machine.

--client-id is for tokens of Amazon Cognito, which have no aud; --audience is for others. --token-use id
accepts id tokens in the place of access tokens; they show who signed in, and are no permission to call.

--now is the time at which the token is judged.

Exit status: 0 verified, 1 rejected, 2 a flag or a file is wrong, 3 the keys could not be fetched: try
again.`,
		Example: `sealbus token verify --client-id 4client --scope orders/write \
  --issuer https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE < token
sealbus token verify --issuer https://issuer.example --jwks keys.json --audience https://api.example < token`,
		Run: func(ctx context.Context, _ []string) error { return verify(ctx, env, f) },
	})
	f.register(cmd)
	return cmd
}

// identity is a verified caller for programs.
type identity struct {
	Verdict  string   `json:"verdict"`
	Issuer   string   `json:"issuer"`
	Subject  string   `json:"subject"`   // "" = the token has none
	ClientID string   `json:"client_id"` // "" = the token has none
	Scopes   []string `json:"scopes"`
	Groups   []string `json:"groups"`
	TokenID  string   `json:"token_id"` // "" = the token has none
	KeyID    string   `json:"key_id"`
	Issued   string   `json:"issued"` // "" = the token does not say
	Expires  string   `json:"expires"`
}

func identityOf(id *authn.Identity) identity {
	return identity{Verdict: ui.VerdictVerified, Issuer: id.Issuer, Subject: id.Subject, ClientID: id.ClientID,
		Scopes: append([]string{}, id.Scopes...), Groups: append([]string{}, id.Groups...), TokenID: id.TokenID,
		KeyID: id.KeyID, Issued: ui.FormatTime(id.Issued), Expires: ui.FormatTime(id.Expires)}
}

func verify(ctx context.Context, env *ui.Env, f *judgeFlags) error {
	v, err := f.open(ctx, env)
	if err != nil {
		return err
	}
	token, err := readToken(env)
	if err != nil {
		return err
	}
	id, err := f.judge(ctx, v, token, env.Now())
	if err != nil {
		r := f.refusal(err)
		if !env.JSON {
			r.say(env)
		}
		if err := env.WriteJSON(r); err != nil {
			return err
		}
		return ui.Ended(r.exit)
	}
	if !env.JSON {
		sayVerified(env, id)
	}
	return env.WriteJSON(identityOf(id))
}

// sayVerified says to people who is calling.
func sayVerified(env *ui.Env, id *authn.Identity) {
	text := "signed by " + id.Issuer + ", key " + ui.Shorten(id.KeyID)
	env.Say(env.Talk.Green("sealbus: verified:")+" "+ui.Clean(text), 2)
	for _, row := range [][2]string{{"subject", id.Subject}, {"client", id.ClientID},
		{"scopes", strings.Join(id.Scopes, " ")}, {"groups", strings.Join(id.Groups, " ")},
		{"expires", ui.FormatTime(id.Expires)}} {
		if row[1] != "" {
			env.Say("  "+env.Talk.Dim(row[0])+strings.Repeat(" ", 9-len(row[0]))+ui.Clean(row[1]), 11)
		}
	}
}
