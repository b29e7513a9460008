package token

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
)

// maxInput bounds standard input, in bytes. authn refuses a token of more than 16 KiB.
const maxInput = 64 << 10

// judgeFlags say which tokens are accepted.
type judgeFlags struct {
	issuer, jwks       string
	audiences, clients []string
	use                ui.Choice
	scopes, groups     []string
}

func newJudgeFlags() *judgeFlags { return &judgeFlags{use: ui.NewChoice("access", "id")} }

func (f *judgeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.issuer, "issuer", "", "the issuer that you trust, as in the claim iss, a `URL`")
	flags.StringVar(&f.jwks, "jwks", "",
		"the issuer's key set, a `FILE` or an https:// URL (default the issuer names it)")
	flags.StringArrayVar(&f.audiences, "audience", nil, "a `NAME` of this API: the claim aud must have one")
	flags.StringArrayVar(&f.clients, "client-id", nil, "the `ID` of a client whose tokens are accepted")
	flags.Var(&f.use, "token-use", "which tokens are accepted")
	flags.StringArrayVar(&f.scopes, "scope", nil, "a `SCOPE` that the token must have; all of them")
	flags.StringArrayVar(&f.groups, "group", nil, "a `GROUP` that the caller may be in; one of them")
}

// readToken reads the token on standard input, without the line break at its end.
func readToken(env *ui.Env) (string, error) {
	text, err := io.ReadAll(io.LimitReader(env.Stdin, maxInput))
	if err != nil {
		return "", ui.OpenFailed("standard input", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// open makes the verifier.
func (f *judgeFlags) open(ctx context.Context, env *ui.Env) (*authn.Verifier, error) {
	if err := ui.Need(ui.Flag("issuer", f.issuer)); err != nil {
		return nil, err
	}
	isID := f.use.Value == "id"
	switch {
	case isID && len(f.clients) == 0:
		return nil, ui.Usage("add --client-id ID: an id token is for a client", "missing flag --client-id")
	case isID && len(f.audiences) > 0:
		return nil, ui.Usage("give --client-id alone: an id token is for a client",
			"--audience is not for --token-use id")
	case len(f.audiences)+len(f.clients) == 0:
		return nil, ui.Usage("add --client-id ID (Amazon Cognito), or --audience NAME if the token has an aud",
			"missing flag --client-id or --audience: every token of the issuer would be good")
	case slices.Contains(slices.Concat(f.audiences, f.clients, f.scopes, f.groups), ""):
		return nil, ui.Usage("give each flag a value", "--audience, --client-id, --scope or --group is empty")
	}
	keys, err := f.keys(ctx, env)
	if err != nil {
		return nil, err
	}
	v, err := authn.New(f.issuer, keys,
		&authn.Options{Audiences: f.audiences, ClientIDs: f.clients, IDTokens: isID})
	if err != nil {
		return nil, ui.Usage("correct the flags", "%w", err)
	}
	return v, nil
}

// judge judges the token. The error is an *authn.Error.
func (f *judgeFlags) judge(ctx context.Context, v *authn.Verifier, token string, at time.Time,
) (*authn.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	id, err := v.Verify(ctx, token, at)
	if err == nil {
		err = id.Check(&authn.Need{Scopes: f.scopes, Groups: f.groups})
	}
	if err != nil {
		return nil, err
	}
	return id, nil
}

// refusal is a refused token for programs.
type refusal struct {
	Verdict string          `json:"verdict"` // rejected, or unavailable if it could not be judged
	Reason  envelope.Reason `json:"reason"`
	Rule    string          `json:"rule"` // the part of the token that it is about
	Cause   string          `json:"cause"`
	Fix     string          `json:"fix"`
	Status  int             `json:"status"` // of the answer that authn.Guard gives

	exit int
}

func (f *judgeFlags) refusal(err error) *refusal {
	e, ok := errors.AsType[*authn.Error](err)
	if !ok {
		e = &authn.Error{Reason: envelope.ReasonMalformed, Rule: "form", Err: err}
	}
	r := &refusal{Verdict: ui.VerdictRejected, Reason: e.Reason, Rule: e.Rule, Cause: e.Err.Error(),
		Fix: ui.Fix(f.fix(e), string(e.Reason)), Status: e.Status(), exit: ui.ExitRejected}
	if r.Status == http.StatusServiceUnavailable {
		r.Verdict, r.exit = ui.VerdictUnavailable, ui.ExitUnavailable
	}
	return r
}

// say says to people why a token is refused.
func (r *refusal) say(env *ui.Env) {
	s := env.Talk
	env.Say(s.VerdictPaint(r.Verdict)("sealbus: "+r.Verdict+":")+" "+s.Bold(ui.Clean(string(r.Reason)))+
		" (rule "+ui.Clean(r.Rule)+")", 2)
	env.Say("  "+s.Dim("cause")+"  "+ui.Clean(r.Cause), 9)
	env.Say("  "+s.Dim("fix")+"    "+ui.Clean(r.Fix), 9)
}

// fix is what would have to change for the rule to be satisfied.
func (f *judgeFlags) fix(e *authn.Error) string {
	switch {
	case e.Reason == envelope.ReasonTrustUnavailable:
		return "check the network and try again, or give the keys by --jwks FILE"
	case e.Reason == envelope.ReasonUnsigned:
		return "give the token on standard input"
	case e.Reason == envelope.ReasonMalformed && e.Rule != "kid" && e.Rule != "alg":
		return "give the token alone and whole, as the issuer wrote it: no Bearer before it"
	case e.Reason == envelope.ReasonUndated:
		return "have the issuer write exp: a token without an end would be good for ever"
	case e.Rule == "typ" && f.use.Value == "id", e.Rule == "token_use" && f.use.Value == "id":
		return "have the client send its id token, or judge access tokens: drop --token-use id"
	}
	if fix := fixes[e.Rule]; fix != "" {
		return fix
	}
	return "have the issuer leave " + e.Rule + " out: it changes how the token is read"
}

// fixes are what would have to change, by rule.
var fixes = map[string]string{
	"form":      "have the issuer write a smaller token: servers refuse such a header, too",
	"alg":       "have the issuer sign by the algorithm of its key, and name it in alg",
	"kid":       "check --issuer and --jwks: it may be a token of another issuer; or get a new token",
	"signature": "get the token anew: it was changed, or another key of that ID signed it",
	"iss":       "have the client get its token from --issuer; name another issuer only if you trust it",
	"token_use": "have the client send its access token, or judge id tokens: --token-use id",
	"typ":       "have the client send its access token, or judge id tokens: --token-use id",
	"cnf":       "have the issuer issue a bearer token: the proof of a bound one is not verified here",
	"exp":       "get a new token; a request that waited is judged as of its arrival: --now TIME",
	"nbf":       "use the token later; check the clocks of the issuer and of this machine",
	"iat":       "check the clocks of the issuer and of this machine",
	"client_id": "have a client call that may; add --client-id if this one may, too",
	"azp":       "have a client call that may; add --client-id if this one may, too",
	"aud":       "have the client ask for this API; add --audience if the API has this name, too",
	"scope":     "have the issuer give the client this scope, and the client ask for it; get a new token",
	"group":     "have the caller added to one of the groups, and get a new token",
}
