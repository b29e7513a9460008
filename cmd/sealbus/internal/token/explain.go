package token

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/jsontext"
)

func explainCommand(env *ui.Env) *cobra.Command {
	f := newJudgeFlags()
	cmd := env.Command(ui.Command{
		Use:   "explain [--issuer URL (--client-id ID | --audience NAME)...] [--scope S]... < TOKEN",
		Short: "Show the claims of a token, and the rule that refuses it first", Now: true,
		Long: `Show the header and the claims of the token on standard input, the rule of webhook/authn that refuses
it first, and what would have to change. The flags are those of ` + "`sealbus token verify`" + `.

Claims are marked as unverified until the issuer's key has verified the signature: an attacker may have
written them. Without --issuer nothing is verified.

Neither the token nor its signature is shown.

Exit status: 0 verified, or nothing was to be verified; 1 rejected; 2 a flag or a file is wrong; 3 the keys
could not be fetched: try again.`,
		Example: `sealbus token explain < token
sealbus token explain --issuer https://issuer.example --audience https://api.example < token`,
		Run: func(ctx context.Context, _ []string) error { return explain(ctx, env, f) },
	})
	f.register(cmd)
	return cmd
}

// explained is an explained token for programs.
type explained struct {
	Verdict string          `json:"verdict"`          // verified, rejected, unavailable, or nothing_was_verified
	Header  json.RawMessage `json:"header,omitempty"` // header and claims are under a signature of the issuer
	Claims  json.RawMessage `json:"claims,omitempty"`

	UnverifiedHeader json.RawMessage `json:"unverified_header,omitempty"`
	UnverifiedClaims json.RawMessage `json:"unverified_claims,omitempty"`
	*refusal                         // nil = it is not refused; the verdict is the one above
}

// nothingVerified is the verdict where there is no issuer to verify by.
const nothingVerified = "nothing_was_verified"

// signedRules are the rules that are judged after the signature was verified.
var signedRules = []string{"claims", "iss", "sub", "azp", "token_use", "typ", "cnf", "jti", "exp", "nbf",
	"iat", "client_id", "aud", "scope", "group", "groups", "cognito:groups"}

func explain(ctx context.Context, env *ui.Env, f *judgeFlags) error {
	token, err := readToken(env)
	if err != nil {
		return err
	}
	e := explained{Verdict: nothingVerified}
	e.UnverifiedHeader, e.UnverifiedClaims = parts(token)
	signed := func() { // moves both to where they are not marked as unverified
		e.Header, e.UnverifiedHeader = e.UnverifiedHeader, nil
		e.Claims, e.UnverifiedClaims = e.UnverifiedClaims, nil
	}
	exit := ui.ExitDone
	switch {
	case f.isGiven():
		v, err := f.open(ctx, env)
		if err != nil {
			return err
		}
		if _, err = f.judge(ctx, v, token, env.Now()); err == nil {
			e.Verdict = ui.VerdictVerified
			signed()
			break
		}
		e.refusal = f.refusal(err)
		e.Verdict, exit = e.refusal.Verdict, e.refusal.exit
		if slices.Contains(signedRules, e.Rule) {
			signed()
		}
	case e.UnverifiedClaims == nil:
		return ui.Rejected("give the token alone and whole, as the issuer wrote it",
			"standard input has no JSON Web Token in the compact form")
	}
	if err := env.Emit(e, func(p *ui.Printer) { e.print(p, env.Now()) }); err != nil {
		return err
	}
	return ui.Ended(exit)
}

// isGiven reports whether the flags ask for a verdict.
func (f *judgeFlags) isGiven() bool {
	return f.issuer+f.jwks != "" || len(f.audiences)+len(f.clients)+len(f.scopes)+len(f.groups) > 0 ||
		f.use.Value != "access"
}

// parts are the header and the claims of a token, not verified; nil = that part is no strict JSON object.
func parts(token string) (header, claims json.RawMessage) {
	list := strings.Split(token, ".")
	if len(list) != 3 || len(token) > maxInput/4 {
		return nil, nil
	}
	read := func(part string) json.RawMessage {
		text, err := jsontext.Base64URL.AppendDecode(nil, []byte(part))
		if err != nil || !jsontext.Value(text).IsValid() || text[0] != '{' {
			return nil
		}
		return text
	}
	return read(list[0]), read(list[1])
}

func (e *explained) print(p *ui.Printer, now time.Time) {
	unverified := p.Yellow(" (unverified: an attacker may have written it)")
	printMembers(p, p.Bold("header")+" (signed by the issuer)", e.Header, now)
	printMembers(p, p.Bold("header")+unverified, e.UnverifiedHeader, now)
	printMembers(p, p.Bold("claims")+" (signed by the issuer)", e.Claims, now)
	printMembers(p, p.Bold("claims")+unverified, e.UnverifiedClaims, now)
	verdict := p.VerdictPaint(e.Verdict)(e.Verdict)
	if e.refusal == nil {
		p.Linef("%s  %s", p.Bold("verdict"), verdict)
		if e.Verdict == nothingVerified {
			p.Hanging(p.Dim("fix")+"      add --issuer, and --client-id or --audience", 0, 9, p.Width)
		}
		return
	}
	p.Hanging(fmt.Sprintf("%s  %s: %s, HTTP status %d", p.Bold("verdict"), verdict, ui.Clean(string(e.Reason)),
		e.Status), 0, 9, p.Width)
	for _, row := range [][2]string{{"rule", e.Rule}, {"cause", e.Cause}, {"fix", e.Fix}} {
		p.Hanging(p.Dim(row[0])+strings.Repeat(" ", 9-len(row[0]))+ui.Clean(row[1]), 0, 9, p.Width)
	}
}

// printMembers prints the members of an object, and times as such.
func printMembers(p *ui.Printer, title string, object []byte, now time.Time) {
	if object == nil {
		return
	}
	p.Linef("%s", title)
	d := jsontext.NewDecoder(object)
	for o := d.Object(); d.Member(&o); {
		name := string(o.Name)
		text := string(d.ReadValue())
		if len(text) >= 2 && text[0] == '"' {
			if plain, err := jsontext.AppendUnquote(nil, []byte(text)); err == nil {
				text = string(plain)
			}
		}
		text = ui.Shorten(ui.Clean(text))
		if slices.Contains([]string{"exp", "nbf", "iat", "auth_time"}, name) {
			text += whenOf(text, now)
		}
		p.Hanging(p.Dim(ui.Clean(ui.ShortenTo(name, 40)))+"  "+text, 2, 6, p.Width)
	}
}

// whenOf says which time a number of seconds is, and how far away; "" = it is none.
func whenOf(text string, now time.Time) string {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || seconds > 253402300799 { // the end of the year 9999
		return ""
	}
	at := time.Unix(seconds, 0)
	if at.After(now) {
		return " = " + ui.FormatTime(at) + ", in " + ui.FormatDuration(at.Sub(now))
	}
	return " = " + ui.FormatTime(at) + ", " + ui.FormatDuration(now.Sub(at)) + " ago"
}
