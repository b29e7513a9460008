package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// Diagnose says, in a sentence each, what would make a refused delivery pass, or what looks wrong with it;
// nil = nothing was found, or the delivery is not refused. It is for the operator. It changes no verdict, and
// shows no secret and no computed signature.
//
// Others are verifiers of other endpoints, whose secrets are tried, too: a person may know that a delivery is
// of another endpoint, a program that answers senders has no need to. It costs about ten verifications.
func (v *Verifier) Diagnose(ctx context.Context, r Request, at time.Time, others ...*Verifier) []string {
	_, err := v.Verify(ctx, r, at)
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	switch ReasonOf(err) {
	case "", envelope.ReasonTooLarge, envelope.ReasonTrustUnavailable:
		return nil
	case envelope.ReasonExpired, envelope.ReasonFromFuture:
		if signed, err := v.checker.Check(ctx, r, at); err == nil {
			say("the signature is genuine, and %s: %s", clockText(at.Sub(signed.Time)),
				"a clock is wrong, or the delivery was kept or is a replay")
		}
		return found
	case envelope.ReasonUnsigned:
		if other := signedFor(&r, v.provider); other != "" {
			say("it has no header of %s, but the signature of another provider's header: %s", v.provider,
				other)
		}
	case envelope.ReasonBadSignature, envelope.ReasonMalformed, envelope.ReasonUnknownKey,
		envelope.ReasonModified:
		if how := v.changedBody(ctx, r, at); how != "" {
			say("it matches after %s: a program before this one changes the body, so hand on the bytes as "+
				"they came", how)
		} else if url := v.otherURL(ctx, r, at); url != "" {
			say("it matches with the URL %.200q: set BaseURL to what the provider calls", url)
		}
	}
	for _, o := range others {
		if o == nil || o == v {
			continue
		}
		if signed, err := o.checker.Check(ctx, r, at); err == nil {
			say("it matches the secret %.80q of the endpoint %.80q (%s)", signed.KeyID, o.endpoint,
				o.provider)
		}
	}
	return found
}

// clockText says how far the signed time is from the judging time.
func clockText(age time.Duration) string {
	unit, name := time.Minute, "minutes"
	switch far := age.Abs(); {
	case far < 2*time.Minute:
		unit, name = time.Second, "seconds"
	case far >= 48*time.Hour:
		unit, name = 24*time.Hour, "days"
	case far >= 2*time.Hour:
		unit, name = time.Hour, "hours"
	}
	side := "behind"
	if age < 0 {
		side = "ahead"
	}
	return fmt.Sprintf("its clock differs by %d %s (%s)", age.Abs().Round(unit)/unit, name, side)
}

// changedBody is how the body must be changed for the signature to match; "" = in no way that is tried.
func (v *Verifier) changedBody(ctx context.Context, r Request, at time.Time) string {
	for _, try := range changes {
		body := try.change(r.Body)
		if body == nil || bytes.Equal(body, r.Body) || len(body) > v.maxBody {
			continue
		}
		changed := r
		changed.Body = body
		if _, err := v.checker.Check(ctx, changed, at); err == nil {
			return try.how
		}
	}
	return ""
}

// changes undo what programs commonly do to a body: nil = it does not apply.
var changes = []struct {
	how    string
	change func(body []byte) []byte
}{
	{"re-serialising the JSON body (compact)", func(b []byte) []byte { return rewritten(b, json.Compact) }},
	{
		"re-serialising the JSON body (two spaces)",
		func(b []byte) []byte { return rewritten(b, indent("  ")) },
	},
	{
		"re-serialising the JSON body (four spaces)",
		func(b []byte) []byte { return rewritten(b, indent("    ")) },
	},
	{"re-serialising the JSON body (members sorted)", func(b []byte) []byte {
		sorted, err := jsontext.AppendCanonical(nil, b)
		if err != nil {
			return nil
		}
		return sorted
	}},
	{"re-serialising the JSON body (a space after each colon and comma)", spaced},
	{
		"removing the line break at the end of the body",
		func(b []byte) []byte { return bytes.TrimRight(b, "\r\n") },
	},
	{
		"adding a line break at the end of the body",
		func(b []byte) []byte { return append(bytes.Clone(b), '\n') },
	},
	{
		"changing CR LF into LF",
		func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) },
	},
	{
		"changing LF into CR LF",
		func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) },
	},
	{
		"removing the byte order mark",
		func(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) },
	},
}

func rewritten(body []byte, write func(dst *bytes.Buffer, src []byte) error) []byte {
	var out bytes.Buffer
	if write(&out, body) != nil {
		return nil
	}
	return out.Bytes()
}

func indent(by string) func(*bytes.Buffer, []byte) error {
	return func(dst *bytes.Buffer, src []byte) error { return json.Indent(dst, src, "", by) }
}

// spaced is the JSON text as Python's json.dumps spaces it.
func spaced(body []byte) []byte {
	compact := rewritten(body, json.Compact)
	var out []byte
	inString := false
	for i := 0; i < len(compact); i++ {
		c := compact[i]
		out = append(out, c)
		switch {
		case c == '\\' && inString:
			i++
			out = append(out, compact[i])
		case c == '"':
			inString = !inString
		case !inString && (c == ':' || c == ','):
			out = append(out, ' ')
		}
	}
	return out
}

// otherURL is the URL for which the signature matches; "" = it does not, or the URL is not signed. Headers
// that a proxy or an attacker wrote are looked at for this advice only.
func (v *Verifier) otherURL(ctx context.Context, r Request, at time.Time) string {
	c, ok := v.checker.(*recipeChecker)
	if !ok || c.baseURL == "" {
		return ""
	}
	scheme, authority, _ := strings.Cut(c.baseURL, "://")
	other := map[string]string{"https": "http", "http": "https"}[scheme]
	bases := []string{c.baseURL, other + "://" + authority}
	if host, err := r.HeaderValue("X-Forwarded-Host"); err == nil && host != "" {
		bases = append(bases, scheme+"://"+host, other+"://"+host)
	}
	for _, base := range bases {
		for _, target := range []string{r.Target, r.Target + "/", strings.TrimSuffix(r.Target, "/")} {
			changed, with := r, recipeChecker{c.recipe, c.ways, base, c.challenge}
			changed.Target = target
			if _, err := with.Check(ctx, changed, at); err == nil {
				return base + target
			}
		}
	}
	return ""
}

// goHeaders are the headers by which a delivery of a scheme in Go is known, and whose they are.
var goHeaders = [][2]string{{"X-Twilio-Signature", "twilio"}, {"PayPal-Transmission-Sig", "paypal"},
	{"X-Amz-Sns-Message-Type", "sns"}, {"Plaid-Verification", "plaid"}}

// signedFor is the header of another provider that r has, and whose it is; "" = none that is known.
func signedFor(r *Request, not string) string {
	known := slices.Clone(goHeaders)
	for _, s := range schemes() {
		if recipe, ok := s.(*recipe); ok {
			for i := range recipe.ways {
				known = append(known, [2]string{recipe.ways[i].header, recipe.name})
			}
		}
	}
	for _, h := range known {
		if value, err := r.HeaderValue(h[0]); h[1] != not && (value != "" || err != nil) {
			return h[0] + " (" + h[1] + ")"
		}
	}
	return ""
}
