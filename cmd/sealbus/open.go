package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

type openFlags struct {
	trustFlags
	identityFlags
	requireFlags
	ignoreFlags
	keepEncrypted bool

	sources  []string
	types    []string
	audience string
	account  string
	maxAge   durationValue
	mode     choice
	from     choice
}

var openModes = map[string]envelope.Mode{"strict": envelope.Strict, "passthrough": envelope.Passthrough, "core-only": envelope.CoreOnly}

func (a *app) openCommand() *cobra.Command {
	f := &openFlags{
		maxAge: durationValue(envelope.DefaultMaxAge),
		mode:   newChoice("strict", "passthrough", "core-only"),
		from:   newFrom(),
	}
	cmd := a.command(commandSpec{
		use: "open --trust FILE --roots FILE --allow-source PATTERN... [--identity KEY...] [FILE...]", short: "Verify sealed events, decrypt them, and say why one is refused", now: true, args: anyFiles,
		long: `Verify the sealed events in files, or on standard input, as a consumer would, and write the verified events, which
hold only what was signed. Use standard output, never the input, which may hold more than that.

It reads CloudEvents, EventBridge events, PutEvents entries and what SQS hands out: one a line, one behind the
other, or in an array. Of several it writes one event a line; a record that is refused or broken does not stop it,
and it ends with the highest status.

` + helpWrappers + `

Encrypted data is decrypted last, with a key of --identity. --require-encrypted refuses events that anybody can read,
--keep-encrypted verifies without a key, and leaves the data as it is.

Exit status: 0 verified, 1 rejected (the reason is on standard error), 2 a flag or a file is wrong, 3 could not be judged
now: try again.

It does not check replay: an event that opens here may have been handled before. A consumer with a replay store
knows that. The AWS account is believed as the input or --account states it.`,
		example: `sealbus open --trust bundle.dsse --roots roots.json --allow-source 'https://orders.example/*' < sealed.json
aws sqs receive-message --queue-url URL | sealbus open --trust bundle.dsse --roots roots.json --allow-source 'urn:shop:*'`,
		run: func(ctx context.Context, files []string) error { return a.open(ctx, f, files) },
	})
	flags := cmd.Flags()
	f.trustFlags.register(cmd)
	f.identityFlags.register(cmd)
	f.requireFlags.register(cmd)
	f.ignoreFlags.register(cmd, "none")
	flags.BoolVar(&f.keepEncrypted, "keep-encrypted", false, "verify encrypted events without opening them")
	flags.StringArrayVar(&f.sources, "allow-source", nil, "a source `PATTERN` that this consumer takes: exact, or ending in /*")
	flags.StringArrayVar(&f.types, "allow-type", nil, "a type `PATTERN` that it takes (default all that the bundle allows)")
	flags.StringVar(&f.audience, "audience", "", "the `NAME` that must be among those the event was sealed for (default not checked)")
	flags.StringVar(&f.account, "account", "", "the AWS account that sent it, an `ID` (default as the EventBridge event says)")
	flags.Var(&f.maxAge, "max-age", "how long ago it may have been sealed")
	flags.Lookup("max-age").DefValue = "24h5m" // envelope.DefaultMaxAge; the general form has its largest unit only
	flags.Var(&f.mode, "mode", "what becomes of attributes that nobody signed: dropped, shown apart, or all extensions dropped")
	flags.Var(&f.from, "from", helpFrom)
	return cmd
}

// requireFlags say what must be encrypted.
type requireFlags struct {
	encrypted bool
	fields    []string
}

func (f *requireFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.encrypted, "require-encrypted", false, "all of the data must be encrypted")
	cmd.Flags().StringArrayVar(&f.fields, "require-encrypted-field", nil, "what stands at this JSON `POINTER` must be encrypted")
}

// ignoreFlags say what hops add to a detail.
type ignoreFlags struct{ ignore []string }

func (f *ignoreFlags) register(cmd *cobra.Command, otherwise string) {
	cmd.Flags().StringArrayVar(&f.ignore, "ignore-member", nil,
		"try an embedded event that was changed once more without the members of this `NAME` (default "+otherwise+")")
}

func (f *ignoreFlags) check() error {
	if err := envelope.CheckIgnoreMembers(f.ignore); err != nil {
		problem := strings.Replace(err.Error(), "IgnoreMembers", "--ignore-member", 1)
		return usage("name members of the detail that something adds on the way, such as _datadog", "%s", problem)
	}
	return nil
}

func (f *requireFlags) check() error { return checkFields("require-encrypted-field", f.fields) }

// options are what a consumer with these flags would verify by.
func (f *openFlags) options(now time.Time) (*acceptance, error) {
	if len(f.sources) == 0 {
		return nil, usage("add --allow-source PATTERN, such as 'https://orders.example/*': the sources that this consumer wants", "missing flag --allow-source")
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return nil, usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such", "%w", err)
	}
	if f.maxAge <= 0 {
		return nil, usage("give a duration, such as 24h", "--max-age must be longer than nothing")
	}
	if f.account != "" {
		if err := trust.CheckAccounts([]string{f.account}); err != nil {
			return nil, usage("give the 12 digits of an AWS account", "--account: %w", err)
		}
	}
	if f.keepEncrypted && len(f.identities) > 0 {
		return nil, usage("drop one of the two", "--keep-encrypted leaves nothing to do for --identity")
	}
	if err := f.requireFlags.check(); err != nil {
		return nil, err
	}
	if err := f.ignoreFlags.check(); err != nil {
		return nil, err
	}
	return &acceptance{account: f.account, keepEncrypted: f.keepEncrypted, policy: envelope.Policy{
		IgnoreMembers: append([]string{}, f.ignore...), // none unless asked: open shows what a hop did to the data
		Mode:          openModes[f.mode.value], Sources: f.sources, Types: f.types, Audience: f.audience,
		RequireEncrypted: f.encrypted, RequireEncryptedFields: f.fields,
		MaxAge: time.Duration(f.maxAge), Now: func() time.Time { return now },
	}}, nil
}

func (a *app) open(ctx context.Context, f *openFlags, files []string) error {
	opts, err := f.options(a.now())
	if err != nil {
		return err
	}
	in, err := a.newInput(files, "a sealed event", f.from.value)
	if err != nil {
		return err
	}
	trust, err := a.openTrust(ctx, &f.trustFlags)
	if err != nil {
		return err
	}
	if opts.policy.Decrypter, err = a.decrypter(ctx, &f.identityFlags); err != nil {
		return err
	}
	if err := opts.check(trust); err != nil {
		return err
	}
	worst := exitDone
	err = in.each(func(m *message, where string, _, _ int) error {
		opened, err := m.open(ctx, trust, opts)
		worst = max(worst, verdictExit(err))
		return a.tellOpened(opened, err, where, opts.policy.Decrypter)
	})
	if err != nil {
		return err
	}
	return ended(worst)
}

// tellOpened is tellVerdict, with the flag in the advice where there is no identity.
func (a *app) tellOpened(opened *envelope.Opened, err error, where string, d *envelope.Decrypter) error {
	e, ok := errors.AsType[*envelope.Error](err)
	if !ok || e.Reason != envelope.ReasonNotARecipient || d != nil {
		return a.tellVerdict(opened, err, where)
	}
	return a.tellRefusal(e, "give the consumer's keyring or KMS key with --identity, or verify it unread with --keep-encrypted", where)
}

func verdictExit(err error) int {
	switch {
	case err == nil:
		return exitDone
	case envelope.ReasonOf(err).Class() != envelope.Transient:
		return exitRejected
	}
	if service, ok := errors.AsType[*keys.ServiceError](err); ok {
		return serviceExit(service)
	}
	return exitUnavailable
}

// verifiedResult is a verified event for programs.
type verifiedResult struct {
	Verdict          string            `json:"verdict"`
	Event            json.RawMessage   `json:"event"`
	Producer         string            `json:"producer"`
	KeyIDs           []string          `json:"key_ids"`
	SignedAt         string            `json:"signed_at"` // "" = nothing signed says when
	SignedAttributes []string          `json:"signed_attributes"`
	Encryption       *encryptionResult `json:"encryption"` // null = the data was not encrypted
	Unverified       map[string]string `json:"unverified"` // --mode passthrough only
	Ignored          []string          `json:"ignored"`    // names of members that were added on the way: at most 8, escaped
}

// encryptionResult is how the data was encrypted, for programs.
type encryptionResult struct {
	Fields     []string `json:"fields"` // JSON Pointers; null = all of the data
	Recipients []string `json:"recipients"`
	OpenedWith string   `json:"opened_with"` // "" = it is still encrypted
}

func encryptionOf(e *envelope.Encryption) *encryptionResult {
	if e == nil {
		return nil
	}
	return &encryptionResult{e.Fields, e.Recipients, e.OpenedWith}
}

// rejectedResult is a refused event for programs.
type rejectedResult struct {
	Verdict string          `json:"verdict"` // rejected, or unavailable if it could not be judged
	Reason  envelope.Reason `json:"reason"`
	Cause   string          `json:"cause"`
	Fix     string          `json:"fix"`
}

func (a *app) tellVerdict(opened *envelope.Opened, err error, where string) error {
	if err != nil {
		return a.tellRejected(err, where)
	}
	if a.json {
		unverified := opened.Unverified
		if unverified == nil {
			unverified = map[string]string{}
		}
		return a.writeJSON(verifiedResult{
			Verdict: "verified", Event: opened.JSON(), Producer: opened.Producer, KeyIDs: opened.KeyIDs,
			SignedAt: formatTime(opened.SignedAt), SignedAttributes: opened.SignedAttributes,
			Encryption: encryptionOf(opened.Encryption), Unverified: unverified, Ignored: append([]string{}, opened.Ignored...),
		})
	}
	a.talkVerified(opened, where)
	return a.writeEvent(opened.JSON(), where != "")
}

// writeEvent writes the event byte for byte, unless it must be one line among several.
func (a *app) writeEvent(doc []byte, oneLine bool) error {
	if oneLine && bytes.ContainsAny(doc, "\r\n") {
		var b bytes.Buffer
		if err := json.Compact(&b, doc); err != nil {
			return unavailable("report this as a bug", "writing the event: %w", err)
		}
		doc = b.Bytes()
	}
	return a.writeOut(append(doc, '\n'))
}

// talkVerified says on standard error what the event itself does not show.
func (a *app) talkVerified(o *envelope.Opened, where string) {
	when := "at no signed time"
	if !o.SignedAt.IsZero() {
		when = "at " + formatTime(o.SignedAt)
	}
	a.say(a.talk.green("sealbus: verified:")+" "+clean(fmt.Sprintf("%ssealed by %s %s, key %s", where, o.Producer, when, shortIDs(o.KeyIDs))), 2)
	a.talkEncryption(o.Encryption)
	if len(o.Ignored) > 0 {
		a.say("  "+a.talk.yellow("added on the way, ignored:")+" "+clean(strings.Join(o.Ignored, " ")), 4)
	}
	for _, name := range sortedKeys(o.Unverified) {
		a.say("  "+a.talk.yellow("not signed:")+" "+clean(name+"="+o.Unverified[name]), 4)
	}
}

func (a *app) talkEncryption(e *envelope.Encryption) {
	if e == nil {
		return
	}
	what := "the data"
	if e.Fields != nil {
		what = strings.Join(e.Fields, " ")
	}
	if e.OpenedWith != "" {
		a.say("  "+a.talk.green("decrypted:")+" "+clean(what+", opened with key "+shortKey(e.OpenedWith)), 4)
		return
	}
	to := make([]string, len(e.Recipients))
	for i, id := range e.Recipients {
		if to[i] = shortKey(id); id == "" {
			to[i] = "somebody without a key ID"
		}
	}
	a.say("  "+a.talk.yellow("still encrypted:")+" "+clean(what+", to "+strings.Join(to, ", ")), 4)
}

func (a *app) tellRejected(err error, where string) error {
	var e *envelope.Error
	if !errors.As(err, &e) {
		return unavailable("try again", "%w", err)
	}
	return a.tellRefusal(e, e.Fix(), where)
}

func (a *app) tellRefusal(e *envelope.Error, fix, where string) error {
	r := rejectedResult{Verdict: verdictRejected, Reason: e.Reason, Cause: causeOf(e), Fix: forCommand(fix)}
	if e.Reason.Class() == envelope.Transient {
		r.Verdict = verdictUnavailable
	}
	if a.json {
		return a.writeJSON(r)
	}
	s := a.talk
	a.say(s.verdictPaint(r.Verdict)("sealbus: "+r.Verdict+":")+" "+clean(where)+s.bold(clean(string(r.Reason))), 2)
	a.say("  "+s.dim("cause")+"  "+clean(r.Cause), 9)
	if claimed := claimedBy(e); claimed != "" {
		a.say("  "+s.dim("event")+"  "+clean(claimed), 9)
	}
	a.say("  "+s.dim("fix")+"    "+clean(r.Fix), 9)
	return nil
}

// claimedBy is what the event claims to be, so that somebody can find it.
func claimedBy(e *envelope.Error) string {
	if e.UnverifiedID == "" && e.UnverifiedSource == "" {
		return ""
	}
	return fmt.Sprintf("claims to be %.100q from %.200q, type %.100q", e.UnverifiedID, e.UnverifiedSource, e.UnverifiedType)
}

// causeOf is the verdict's cause in one line, or what its reason means.
func causeOf(e *envelope.Error) string {
	if service, ok := errors.AsType[*keys.ServiceError](e.Err); ok && isNetwork(service) {
		return service.Op + " with " + service.KeyID + ": " + serviceCause(service)
	}
	if e.Reason == envelope.ReasonStoreUnavailable && e.Err != nil && isNetwork(e.Err) {
		return reached("the replay store", e.Err).Error()
	}
	if e.Cause == "" {
		return e.Reason.Explain().Cause
	}
	return strings.TrimPrefix(strings.TrimPrefix(e.Cause, "cejson: "), "keys: ")
}

// shortKey is shortID of a thumbprint, and the whole ARN of a key in KMS, which begins as all others do.
func shortKey(id string) string {
	if isKMS(id) {
		return id
	}
	return shortID(id)
}

func shortIDs(ids []string) string {
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = shortID(id)
	}
	return strings.Join(short, ", ")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
