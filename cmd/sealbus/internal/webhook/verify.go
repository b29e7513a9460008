package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

type verifyFlags struct {
	senderFlags
	url, method, record string
	headers             []string
}

func verifyCommand(env *ui.Env) *cobra.Command {
	f := &verifyFlags{senderFlags: senderFlags{urlFlag: "url"}}
	var cmd *cobra.Command
	cmd = env.Command(ui.Command{
		Use:   "verify --provider NAME --secret-file FILE [--header LINE]... < BODY",
		Short: "Verify one delivery, and say why it is refused", Now: true,
		Long: `Verify one delivery whose body is on standard input, and write the verified body to standard
output, byte for byte. The body must be that of the request: a line break that a tool added makes the
signature wrong.

A refused delivery is diagnosed: whether it would match after re-serialising the body, with another URL, or
at another time. Neither the secret nor the signature that was computed is shown.

--now is the time at which it is judged: that of its arrival, for a delivery that waited. --record FILE
takes a delivery that sealbus webhook listen recorded, as of its arrival, in the place of --header and
standard input.

--url is needed where the provider signs the URL (Square, HubSpot, Twilio): as the provider calls it.

It checks no replay: a delivery that is verified here may have been handled before.

Exit status: 0 verified, 1 rejected (the reason is on standard error), 2 a flag or a file is wrong, 3 a
certificate or a key of the provider could not be fetched: try again.`,
		Example: `sealbus webhook verify --provider github --secret-file github.secret \
  --header "X-Hub-Signature-256: $SIGNATURE" < body.json
sealbus webhook verify --provider sns --topic arn:aws:sns:eu-west-1:111122223333:orders < message.json`,
		Run: func(ctx context.Context, _ []string) error {
			return verify(ctx, env, f, cmd.Flags().Changed("now"))
		},
	})
	flags := cmd.Flags()
	f.senderFlags.register(cmd)
	flags.StringVar(&f.url, "url", "", "the `URL` that the provider called")
	flags.StringVar(&f.method, "method", "POST", "the `METHOD` of the request")
	flags.StringArrayVar(&f.headers, "header", nil, "a header `LINE` of the request, as 'Name: value'")
	flags.StringVar(&f.record, "record", "", "verify a delivery that was recorded, a `FILE`")
	return cmd
}

func verify(ctx context.Context, env *ui.Env, f *verifyFlags, now bool) error {
	r, base, at, err := f.delivery(env, now)
	if err != nil {
		return err
	}
	v, err := f.open(env, "sealbus webhook verify", base)
	if err != nil {
		return err
	}
	d, err := v.Verify(ctx, r, at)
	if err != nil {
		hints := v.Diagnose(ctx, r, at)
		if len(r.Body) == 0 {
			hints = append(hints, "the body is empty: give that of the request on standard input")
		}
		return tellRefused(env, err, hints)
	}
	return tellVerified(env, d)
}

// delivery is the request that the flags and standard input give, and when it is judged.
func (f *verifyFlags) delivery(env *ui.Env, now bool) (webhook.Request, string, time.Time, error) {
	if f.record == "" {
		body, err := io.ReadAll(io.LimitReader(env.Stdin, webhook.DefaultMaxBody+1))
		if err != nil {
			return webhook.Request{}, "", time.Time{}, ui.OpenFailed("standard input", err)
		}
		r, base, err := request(f.method, f.url, f.headers, body)
		return r, base, env.Now(), err
	}
	if len(f.headers) > 0 {
		return webhook.Request{}, "", time.Time{}, ui.Usage("drop one of the two",
			"--record has the header lines: --header is not for it")
	}
	base, _, err := splitURL(f.url)
	if err != nil {
		return webhook.Request{}, "", time.Time{}, err
	}
	r, at, err := readRecord(env, f.record)
	if now {
		at = env.Now()
	}
	return r, base, at, err
}

// maxRecord bounds a record: its body is in base64.
const maxRecord = 4*webhook.DefaultMaxBody/3 + webhook.MaxHeaders*webhook.MaxHeaderValue

func readRecord(env *ui.Env, path string) (webhook.Request, time.Time, error) {
	doc, err := env.ReadFile(path, maxRecord)
	if err != nil {
		return webhook.Request{}, time.Time{}, err
	}
	r, at, err := webhook.ParseRecord(doc)
	if err != nil {
		return r, at, ui.WrongFile("give a file that `sealbus webhook listen --record` wrote", "%s: %w",
			path, err)
	}
	return r, at, nil
}

// verifiedResult is a verified delivery for programs.
type verifiedResult struct {
	Verdict  string `json:"verdict"`
	Provider string `json:"provider"`
	KeyID    string `json:"key_id"`
	SignedAt string `json:"signed_at"` // "" = the provider signs no time
	ID       string `json:"id"`        // "" = it has none
	IDSigned bool   `json:"id_signed"`
	Type     string `json:"type"`
	Subject  string `json:"subject"`
	// Unsigned are those of type and subject that the signature does not cover.
	Unsigned   []string `json:"unsigned"`
	Challenge  bool     `json:"challenge"` // it is no delivery: the receiver answers it
	BodySHA256 string   `json:"body_sha256"`
}

func tellVerified(env *ui.Env, d *webhook.Verified) error {
	id, signed := d.ID()
	if env.JSON {
		sum := sha256.Sum256(d.Body)
		return env.WriteJSON(verifiedResult{Verdict: ui.VerdictVerified, Provider: d.Provider, KeyID: d.KeyID,
			SignedAt: ui.FormatTime(d.Time), ID: id, IDSigned: signed, Type: d.Type(), Subject: d.Subject(),
			Unsigned: append([]string{}, d.Unsigned()...), Challenge: d.Answer != nil,
			BodySHA256: hex.EncodeToString(sum[:])})
	}
	when := "without a signed time"
	if !d.Time.IsZero() {
		when = "at " + ui.FormatTime(d.Time)
	}
	text := "signed by " + d.Provider + " " + when
	if d.KeyID != "" {
		text += ", key " + ui.Shorten(d.KeyID)
	}
	env.Say(env.Talk.Green("sealbus: verified:")+" "+ui.Clean(text), 2)
	switch {
	case id != "" && signed:
		env.Say("  "+env.Talk.Dim("id")+"     "+ui.Clean(id), 9)
	case id != "":
		env.Say("  "+env.Talk.Yellow("not signed:")+" "+ui.Clean("id="+id), 4)
	}
	for _, name := range d.Unsigned() {
		text := map[string]string{"type": d.Type(), "subject": d.Subject()}[name]
		env.Say("  "+env.Talk.Yellow("not signed:")+" "+ui.Clean(name+"="+text), 4)
	}
	if d.Answer != nil {
		env.Say("  a challenge: the receiver answers it, and no handler is called", 4)
	}
	return env.WriteOut(d.Body)
}

// rejectedResult is a refused delivery for programs.
type rejectedResult struct {
	Verdict   string          `json:"verdict"` // rejected, or unavailable if it could not be judged
	Reason    envelope.Reason `json:"reason"`
	Cause     string          `json:"cause"`
	Fix       string          `json:"fix"`
	Diagnosis []string        `json:"diagnosis"`
}

func tellRefused(env *ui.Env, err error, diagnosis []string) error {
	e, ok := errors.AsType[*webhook.Error](err)
	if !ok {
		return ui.Unavailable("try again", "%w", err)
	}
	r := rejectedResult{Verdict: ui.VerdictRejected, Reason: e.Reason, Cause: e.Reason.Cause(),
		Fix: fixes[e.Reason], Diagnosis: append([]string{}, diagnosis...)}
	if e.Err != nil {
		r.Cause = e.Err.Error()
	}
	if e.Reason == envelope.ReasonUnsupported && e.Provider == "sns" {
		r.Fix = "have SNS sign with SignatureVersion 2 (an attribute of the topic), or add --unsafe-sha1"
	}
	if r.Fix == "" {
		r.Fix = "have the provider send it again"
	}
	r.Fix = ui.Fix(r.Fix, string(e.Reason))
	exit := ui.ExitRejected
	if e.Reason.Class() == envelope.Transient {
		r.Verdict, exit = ui.VerdictUnavailable, ui.ExitUnavailable
	}
	if env.JSON {
		if err := env.WriteJSON(r); err != nil {
			return err
		}
		return ui.Ended(exit)
	}
	s := env.Talk
	env.Say(s.VerdictPaint(r.Verdict)("sealbus: "+r.Verdict+":")+" "+s.Bold(ui.Clean(string(r.Reason))), 2)
	env.Say("  "+s.Dim("cause")+"  "+ui.Clean(r.Cause), 9)
	for _, hint := range r.Diagnosis {
		env.Say("  "+s.Dim("found")+"  "+ui.Clean(hint), 9)
	}
	env.Say("  "+s.Dim("fix")+"    "+ui.Clean(r.Fix), 9)
	return ui.Ended(exit)
}

// fixes are what a person does about a refused delivery.
var fixes = map[envelope.Reason]string{
	envelope.ReasonMalformed: "give each header line once, as it came, and the body as it came",
	envelope.ReasonTooLarge:  "check that this is the delivery you mean",
	envelope.ReasonUnsigned:  "check --provider, and give the signature's header line with --header",
	envelope.ReasonBadSignature: "check the secret, and that the body has the bytes that came: " +
		"no line break added, not formatted; otherwise it is a forgery",
	envelope.ReasonModified:         "give the body as it came; otherwise an attacker changed it",
	envelope.ReasonKeyNotValid:      "check when the secret or the certificate is valid, and whose it is",
	envelope.ReasonUnsupported:      "have the sender sign as `sealbus webhook providers NAME` says",
	envelope.ReasonSourceNotAllowed: "give its topic with --topic, if it is yours",
	envelope.ReasonAudienceMismatch: "check --audience and --email",
	envelope.ReasonUnknownKey: "give the provider's key of that ID, from the provider and not from the " +
		"delivery, or leave --public-key out",
	envelope.ReasonExpired: "judge a delivery that waited as of its arrival: --now TIME, as your own log " +
		"has it; otherwise it may be a replay",
	envelope.ReasonFromFuture: "check the clock of this machine",
	envelope.ReasonTrustUnavailable: "check the network and try again, or pin the provider's certificate " +
		"with --cert",
}
