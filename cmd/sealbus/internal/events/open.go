package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

type openFlags struct {
	loadtrust.TrustFlags
	loadkeys.IdentityFlags
	loadkeys.RequireFlags
	input.IgnoreFlags
	keepEncrypted bool

	sources  []string
	types    []string
	audience string
	account  string
	maxAge   ui.DurationValue
	mode     ui.Choice
	from     ui.Choice
}

var openModes = map[string]envelope.Mode{"strict": envelope.Strict, "passthrough": envelope.Passthrough,
	"core-only": envelope.CoreOnly}

func OpenCommand(env *ui.Env) *cobra.Command {
	f := &openFlags{
		maxAge: ui.DurationValue(envelope.DefaultMaxAge),
		mode:   ui.NewChoice("strict", "passthrough", "core-only"),
		from:   input.NewFrom(),
	}
	f.from.Words = append(f.from.Words, input.FromHTTP)
	cmd := env.Command(ui.Command{
		Use:   "open --trust FILE --roots FILE --allow-source PATTERN... [--identity KEY...] [FILE...]",
		Short: "Verify sealed events, decrypt them, and say why one is refused", Now: true, Args: ui.AnyFiles,
		Long: `Verify the sealed events in files, or on standard input, as a consumer would, and write the verified events, which
hold only what was signed. Use standard output, never the input, which may hold more than that.

It reads CloudEvents, EventBridge events, PutEvents entries and what SQS hands out: one a line, one behind the
other, or in an array. Of several it writes one event a line; a record that is refused or broken does not stop it,
and it ends with the highest status.

` + input.HelpWrappers + `

Encrypted data is decrypted last, with a key of --identity. --require-encrypted refuses events that are not encrypted,
--keep-encrypted verifies without a key, and leaves the data as it is.

Exit status: 0 verified, 1 rejected (the reason is on standard error), 2 a flag or a file is wrong, 3 could not be judged
now: try again.

It does not check replay: an event that opens here may have been handled before. A consumer with a replay store
knows that. The AWS account is believed as the input or --account states it.`,
		Example: `sealbus open --trust bundle.dsse --roots roots.json --allow-source 'https://orders.example/*' < sealed.json
aws sqs receive-message --queue-url URL | sealbus open --trust bundle.dsse --roots roots.json --allow-source 'urn:shop:*'`,
		Run: func(ctx context.Context, files []string) error { return open(ctx, env, f, files) },
	})
	flags := cmd.Flags()
	f.TrustFlags.Register(cmd)
	f.IdentityFlags.Register(cmd)
	f.RequireFlags.Register(cmd)
	f.IgnoreFlags.Register(cmd, "none")
	flags.BoolVar(&f.keepEncrypted, "keep-encrypted", false, "verify encrypted events without opening them")
	flags.StringArrayVar(&f.sources, "allow-source", nil,
		"a source `PATTERN` that this consumer takes: exact, or ending in /*")
	flags.StringArrayVar(&f.types, "allow-type", nil,
		"a type `PATTERN` that it takes (default all that the bundle allows)")
	flags.StringVar(&f.audience, "audience", "",
		"the `NAME` that must be among those the event was sealed for (default not checked)")
	flags.StringVar(&f.account, "account", "",
		"the AWS account that sent it, an `ID` (default as the EventBridge event says)")
	flags.Var(&f.maxAge, "max-age", "how long ago it may have been sealed")
	// envelope.DefaultMaxAge; the general form has its largest unit only
	flags.Lookup("max-age").DefValue = "24h5m"
	flags.Var(&f.mode, "mode",
		"what becomes of attributes that are not signed: dropped, shown apart, or all extensions dropped")
	flags.Var(&f.from, "from", input.HelpFrom+"; or http: a file with one HTTP request, as it came")
	return cmd
}

// options are what a consumer with these flags would verify by.
func (f *openFlags) options(now time.Time) (*input.Acceptance, error) {
	if len(f.sources) == 0 {
		return nil,
			ui.Usage("add --allow-source PATTERN, such as 'https://orders.example/*': the sources that this consumer wants", "%w", ui.MissingFlag("allow-source"))
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return nil, ui.Usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such",
			"%w", err)
	}
	if f.maxAge <= 0 {
		return nil, ui.Usage("give a duration, such as 24h", "--max-age must be longer than nothing")
	}
	if f.account != "" {
		if err := keydoc.CheckAccounts([]string{f.account}); err != nil {
			return nil, ui.Usage("give the 12 digits of an AWS account", "--account: %w", err)
		}
	}
	if f.keepEncrypted && len(f.Identities) > 0 {
		return nil, ui.Usage("drop one of the two", "--keep-encrypted leaves nothing to do for --identity")
	}
	if err := f.RequireFlags.Check(); err != nil {
		return nil, err
	}
	if err := f.IgnoreFlags.Check(); err != nil {
		return nil, err
	}
	return &input.Acceptance{Account: f.account, KeepEncrypted: f.keepEncrypted, Policy: envelope.Policy{
		IgnoreMembers: append([]string{}, f.Ignore...), // none unless asked: open shows what a hop did to the data
		Mode:          openModes[f.mode.Value], Sources: f.sources, Types: f.types, Audience: f.audience,
		RequireEncrypted: f.Encrypted, RequireEncryptedFields: f.Fields,
		MaxAge: time.Duration(f.maxAge), Now: func() time.Time { return now },
	}}, nil
}

func open(ctx context.Context, env *ui.Env, f *openFlags, files []string) error {
	opts, err := f.options(env.Now())
	if err != nil {
		return err
	}
	in, err := input.New(env, files, "a sealed event", f.from.Value)
	if err != nil {
		return err
	}
	trust, err := loadtrust.Open(ctx, env, &f.TrustFlags)
	if err != nil {
		return err
	}
	if opts.Policy.Decrypter, err = loadkeys.Decrypter(ctx, env, &f.IdentityFlags); err != nil {
		return err
	}
	if err := opts.Check(trust); err != nil {
		return err
	}
	worst := ui.ExitDone
	err = in.Each(func(m *input.Message, where string, _, _ int) error {
		opened, err := m.Open(ctx, trust, opts)
		worst = max(worst, verdictExit(err))
		return tellOpened(env, opened, err, where, opts.Policy.Decrypter)
	})
	if err != nil {
		return err
	}
	return ui.Ended(worst)
}

// tellOpened is tellVerdict, with the flag in the advice where there is no identity.
func tellOpened(env *ui.Env, opened *envelope.Opened, err error, where string, d *envelope.Decrypter) error {
	e, ok := errors.AsType[*envelope.Error](err)
	if !ok || e.Reason != envelope.ReasonNotARecipient || d != nil {
		return tellVerdict(env, opened, err, where)
	}
	return tellRefusal(env, e,
		"give the consumer's keyring or KMS key with --identity, or verify it unread with --keep-encrypted",
		where)
}

func verdictExit(err error) int {
	switch {
	case err == nil:
		return ui.ExitDone
	case input.IsEmptyFile(err):
		return ui.ExitUsage
	case envelope.ReasonOf(err).Class() != envelope.Transient:
		return ui.ExitRejected
	}
	if service, ok := errors.AsType[*keys.ServiceError](err); ok {
		return awscli.ServiceExit(service)
	}
	return ui.ExitUnavailable
}

// verifiedResult is a verified event for programs.
type verifiedResult struct {
	Verdict          string                  `json:"verdict"`
	Event            json.RawMessage         `json:"event"`
	Producer         string                  `json:"producer"`
	KeyIDs           []string                `json:"key_ids"`
	SignedAt         string                  `json:"signed_at"` // "" = nothing signed says when
	SignedAttributes []string                `json:"signed_attributes"`
	Encryption       *input.EncryptionResult `json:"encryption"` // null = the data was not encrypted
	Unverified       map[string]string       `json:"unverified"` // --mode passthrough only
	// names of members that were added on the way: at most 8, escaped
	Ignored []string `json:"ignored"`
}

// rejectedResult is a refused event for programs.
type rejectedResult struct {
	Verdict string          `json:"verdict"` // rejected, or unavailable if it could not be judged
	Reason  envelope.Reason `json:"reason"`
	Cause   string          `json:"cause"`
	Fix     string          `json:"fix"`
}

func tellVerdict(env *ui.Env, opened *envelope.Opened, err error, where string) error {
	if err != nil {
		return tellRejected(env, err, where)
	}
	if env.JSON {
		unverified := opened.Unverified
		if unverified == nil {
			unverified = map[string]string{}
		}
		return env.WriteJSON(verifiedResult{
			Verdict: "verified", Event: opened.JSON(), Producer: opened.Producer, KeyIDs: opened.KeyIDs,
			SignedAt: ui.FormatTime(opened.SignedAt), SignedAttributes: opened.SignedAttributes,
			Encryption: input.EncryptionOf(opened.Encryption), Unverified: unverified,
			Ignored: append([]string{}, opened.Ignored...),
		})
	}
	talkVerified(env, opened, where)
	return writeEvent(env, opened.JSON(), where != "")
}

// writeEvent writes the event byte for byte, unless it must be one line among several.
func writeEvent(env *ui.Env, doc []byte, oneLine bool) error {
	if oneLine && bytes.ContainsAny(doc, "\r\n") {
		var b bytes.Buffer
		if err := json.Compact(&b, doc); err != nil {
			return ui.Unavailable("report this as a bug", "writing the event: %w", err)
		}
		doc = b.Bytes()
	}
	return env.WriteOut(append(doc, '\n'))
}

// talkVerified says on standard error what the event itself does not show.
func talkVerified(env *ui.Env, o *envelope.Opened, where string) {
	when := "at no signed time"
	if !o.SignedAt.IsZero() {
		when = "at " + ui.FormatTime(o.SignedAt)
	}
	env.Say(env.Talk.Green("sealbus: verified:")+" "+
		ui.Clean(fmt.Sprintf("%ssealed by %s %s, key %s", where, o.Producer, when, shortIDs(o.KeyIDs))), 2)
	talkEncryption(env, o.Encryption)
	if len(o.Ignored) > 0 {
		env.Say("  "+env.Talk.Yellow("added on the way, ignored:")+" "+
			ui.Clean(strings.Join(o.Ignored, " ")), 4)
	}
	for _, name := range ui.SortedKeys(o.Unverified) {
		env.Say("  "+env.Talk.Yellow("not signed:")+" "+ui.Clean(name+"="+o.Unverified[name]), 4)
	}
}

func talkEncryption(env *ui.Env, e *envelope.Encryption) {
	if e == nil {
		return
	}
	what := "the data"
	if e.Fields != nil {
		what = strings.Join(e.Fields, " ")
	}
	if e.OpenedWith != "" {
		env.Say("  "+env.Talk.Green("decrypted:")+" "+
			ui.Clean(what+", opened with key "+shortKey(e.OpenedWith)), 4)
		return
	}
	to := make([]string, len(e.Recipients))
	for i, id := range e.Recipients {
		if to[i] = shortKey(id); id == "" {
			to[i] = "a key without an ID"
		}
	}
	env.Say("  "+env.Talk.Yellow("still encrypted:")+" "+ui.Clean(what+", to "+strings.Join(to, ", ")), 4)
}

func tellRejected(env *ui.Env, err error, where string) error {
	var e *envelope.Error
	if !errors.As(err, &e) {
		return ui.Unavailable("try again", "%w", err)
	}
	fix := e.Fix()
	if service, ok := errors.AsType[*keys.ServiceError](err); ok && service.Fix != "" {
		fix = awscli.ServiceFix(service)
	}
	return tellRefusal(env, e, fix, where)
}

func tellRefusal(env *ui.Env, e *envelope.Error, fix, where string) error {
	r := rejectedResult{Verdict: ui.VerdictRejected, Reason: e.Reason, Cause: input.CauseOf(e),
		Fix: ui.Fix(fix, string(e.Reason))}
	if e.Reason.Class() == envelope.Transient {
		r.Verdict = ui.VerdictUnavailable
	}
	if env.JSON {
		return env.WriteJSON(r)
	}
	s := env.Talk
	env.Say(s.VerdictPaint(r.Verdict)("sealbus: "+r.Verdict+":")+" "+ui.Clean(where)+
		s.Bold(ui.Clean(string(r.Reason))), 2)
	env.Say("  "+s.Dim("cause")+"  "+ui.Clean(r.Cause), 9)
	if claimed := claimedBy(e); claimed != "" {
		env.Say("  "+s.Dim("event")+"  "+ui.Clean(claimed), 9)
	}
	env.Say("  "+s.Dim("fix")+"    "+ui.Clean(r.Fix), 9)
	return nil
}

// claimedBy is what the event claims to be, so that an operator can find it.
func claimedBy(e *envelope.Error) string {
	if e.UnverifiedID == "" && e.UnverifiedSource == "" {
		return ""
	}
	return fmt.Sprintf("claims to be %.100q from %.200q, type %.100q", e.UnverifiedID, e.UnverifiedSource,
		e.UnverifiedType)
}

// shortKey is shortID of a thumbprint, and the whole ARN of a key in KMS, which begins as all others do.
func shortKey(id string) string {
	if awscli.IsKMS(id) {
		return id
	}
	return ui.ShortID(id)
}

func shortIDs(ids []string) string {
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = ui.ShortID(id)
	}
	return strings.Join(short, ", ")
}
