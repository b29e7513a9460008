package quarantine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadquarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// judgeFlags say what a record would be judged with now; without --trust it is not.
type judgeFlags struct {
	loadtrust.TrustFlags
	loadkeys.IdentityFlags
	sources  []string
	types    []string
	audience string
	wrapper  string
	maxAge   ui.DurationValue
}

func (f *judgeFlags) register(cmd *cobra.Command) {
	f.maxAge = ui.DurationValue(envelope.DefaultMaxAge)
	f.TrustFlags.Register(cmd)
	f.IdentityFlags.RegisterWith(cmd, "identity-consumer") // --consumer chooses among records
	flags := cmd.Flags()
	flags.StringArrayVar(&f.sources, "allow-source", nil,
		"with --trust, a source `PATTERN` that the consumer takes (default all that the bundle allows)")
	flags.StringArrayVar(&f.types, "allow-type", nil,
		"with --trust, a type `PATTERN` that it takes (default all that the bundle allows)")
	flags.StringVar(&f.audience, "audience", "",
		"with --trust, the `NAME` that the event must be sealed for (default not checked)")
	flags.StringVar(&f.wrapper, "wrapper", "",
		"with --trust, the wrapper that the consumer names, a `NAME` as of open --from")
	flags.Var(&f.maxAge, "max-age", "with --trust, how long ago it may have been sealed")
	// envelope.DefaultMaxAge; the general form has its largest unit only
	flags.Lookup("max-age").DefValue = "24h5m"
}

// judge is what judges records now; nil = nothing does.
type judge struct {
	env     *ui.Env
	trust   trust.Source
	wrapper string // that the consumer names
	opts    input.Acceptance
}

func newJudge(ctx context.Context, env *ui.Env, f *judgeFlags) (*judge, error) {
	if f.Trust == "" && f.Roots == "" {
		if len(f.sources)+len(f.types)+len(f.Identities) > 0 || f.audience != "" {
			return nil, ui.Usage("add --trust and --roots, or drop it",
				"--allow-source, --allow-type, --audience and --identity are to judge with, and there is no --trust")
		}
		return nil, nil
	}
	if len(f.sources)+len(f.types) > 0 {
		if err := checkPatternFlags(f.sources, f.types); err != nil {
			return nil, err
		}
	}
	if err := input.CheckWrapper(f.wrapper); err != nil {
		return nil, err
	}
	if f.maxAge <= 0 {
		return nil, ui.Usage("give a duration, such as 24h", "--max-age must be longer than nothing")
	}
	trust, err := loadtrust.Open(ctx, env, &f.TrustFlags)
	if err != nil {
		return nil, err
	}
	decrypter, err := loadkeys.Decrypter(ctx, env, &f.IdentityFlags)
	if err != nil {
		return nil, err
	}
	j := &judge{env, trust, f.wrapper, input.Acceptance{
		Policy: envelope.Policy{
			Sources: f.sources, Types: f.types, Audience: f.audience, MaxAge: time.Duration(f.maxAge),
			Now:       env.Now,
			Decrypter: decrypter, Unsafe: envelope.Unsafe{AnySource: len(f.sources) == 0},
		},
		KeepEncrypted: decrypter == nil, // without an identity it is judged as far as it can be
	}}
	if err := j.opts.Check(trust); err != nil {
		return nil, err
	}
	return j, nil
}

func checkPatternFlags(sources, types []string) error {
	for _, p := range sources {
		if err := keys.CheckSourcePattern(p); err != nil {
			return ui.Usage("correct the pattern; `https://orders.example/*` is such", "--allow-source: %w",
				err)
		}
	}
	for _, p := range types {
		if err := keys.CheckTypePattern(p); err != nil {
			return ui.Usage("correct the pattern; `com.example.*` is such", "--allow-type: %w", err)
		}
	}
	return nil
}

// verdictNow is what a record would be judged now.
type verdictNow struct {
	Verdict  string          `json:"verdict"` // verified, rejected, or unavailable if it could not be judged
	Reason   envelope.Reason `json:"reason,omitempty"`
	Cause    string          `json:"cause,omitempty"`
	Fix      string          `json:"fix,omitempty"`
	Producer string          `json:"producer,omitempty"`
	Unread   bool            `json:"unread,omitempty"` // it was not decrypted: there was no --identity
}

// fixExpired is what helps an event that came too late. An account that may write to the bus can bring back
// an event of long ago, of which the consumer has forgotten that it handled it.
const fixExpired = "make sure that it was not handled when it was fresh, and give the consumer a Permission that names the quarantine and the time in which such events were sealed"

// now judges a record as its consumer would when it is reopened: the message in it, as it was delivered.
func (j *judge) now(ctx context.Context, r *consumer.Record) *verdictNow {
	if j == nil {
		return nil
	}
	if r.Message.Format == consumer.QuarantineRecord {
		return &verdictNow{Verdict: "rejected", Reason: envelope.ReasonMalformed, Cause: notAnEvent,
			Fix: fixNotAnEvent}
	}
	opts := j.opts
	opts.Account = r.Message.Account
	m := input.Message{Body: r.Message.Body, EventBridge: r.Message.Format == consumer.EventBridge,
		HTTP: r.Message.Format == consumer.HTTP}
	if r.Message.Format == consumer.Wrapped {
		m = input.FromWrapped(m.Body, j.wrapper)
	}
	opened, err := m.Open(ctx, j.trust, &opts)
	if err == nil {
		return &verdictNow{Verdict: "verified", Producer: opened.Producer, Unread: opened.IsEncrypted()}
	}
	v := &verdictNow{Verdict: "rejected", Reason: envelope.ReasonOf(err), Cause: err.Error()}
	e, isVerdict := errors.AsType[*envelope.Error](err)
	if isVerdict {
		v.Cause, v.Fix = input.CauseOf(e), e.Fix()
	}
	switch {
	case !isVerdict || v.Reason.Class() == envelope.Transient: // an error without a Reason has judged nothing
		v.Verdict = "unavailable"
	case v.Reason == envelope.ReasonExpired:
		v.Fix = fixExpired
	}
	v.Fix = ui.Fix(v.Fix, string(v.Reason))
	return v
}

// notAnEvent is said of a record that was put away because it was delivered, and refused, as a record.
const notAnEvent = "what was refused here is itself a quarantine record, that of another consumer or key, or no record at all"

// fixNotAnEvent does not say to remove it: a record that was sent to the wrong queue has left its own
// quarantine, and nothing else has its event by then.
const fixNotAnEvent = "before it is removed, see what is in it with `sealbus quarantine show --body ID | cat -v`: a record goes to the queue of the consumer that it names, " +
	"or, if it is this one, to this queue again when the consumer's Quarantine has the key; what is neither is a forgery"

func (v *verdictNow) exit() int {
	switch {
	case v == nil || v.Verdict == "verified":
		return ui.ExitDone
	case v.Verdict == "unavailable":
		return ui.ExitUnavailable
	}
	return ui.ExitRejected
}

type showFlags struct {
	loadquarantine.QuarantineFlags
	judgeFlags
	body bool
}

func showCommand(env *ui.Env) *cobra.Command {
	var f showFlags
	cmd := env.Command(ui.Command{
		Use:   "show --from PLACE --key-file FILE ID",
		Short: "Show one record: the verdict, its cause, what to do", Now: true, Args: ui.Exactly("ID"),
		Long: `Show one record: when and why the event was refused, what to do about it, and what it claims to be, which is
unverified. With --trust and --roots it also says what it would be judged now, and the exit status is that of
` + "`sealbus open`" + `. With --body the message as it was delivered, and nothing else, is written to standard output.`,
		Example: "sealbus quarantine show --from dir:bin --key-file quarantine.key --trust bundle.dsse --roots roots.json ID\n" +
			"sealbus quarantine show --from dir:bin --key-file quarantine.key --body ID | sealbus inspect",
		Run: func(ctx context.Context, args []string) error { return quarantineShow(ctx, env, &f, args[0]) },
	})
	f.QuarantineFlags.Register(cmd)
	f.judgeFlags.register(cmd)
	cmd.Flags().BoolVar(&f.body, "body", false, "write the message as it was delivered; it is not verified")
	return cmd
}

func quarantineShow(ctx context.Context, env *ui.Env, f *showFlags, id string) error {
	if f.body && !env.JSON {
		if err := env.RefuseTerminal(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	env.EndOnSignal(ctx, cancel)
	store, err := loadquarantine.Open(ctx, env, &f.QuarantineFlags)
	if err != nil {
		return err
	}
	j, err := newJudge(ctx, env, &f.judgeFlags)
	if err != nil {
		return err
	}
	ids, err := recordIDs(ctx, store, []string{id})
	if err != nil {
		return storeFailed(err)
	}
	e, err := store.Get(ctx, ids[0])
	if err != nil {
		return storeFailed(err)
	}
	v := viewOf(e)
	v.Now = j.now(ctx, e.Record)
	if err := tellRecord(env, &v, e, f.body); err != nil {
		return err
	}
	return ui.Ended(v.Now.exit())
}

func tellRecord(env *ui.Env, v *recordView, e quarantine.Entry, body bool) error {
	switch {
	case env.JSON:
		if body {
			v.Body = encodeBody(e.Record.Message.Body)
		}
		return env.WriteJSON(v)
	case body:
		v.talkNow(env)
		return env.WriteOut(e.Record.Message.Body)
	}
	p := &ui.Printer{Style: env.Out}
	v.print(p)
	return env.WriteText(p)
}

// talkNow says the verdict of now where standard output has the body.
func (v *recordView) talkNow(env *ui.Env) {
	if v.Now != nil {
		env.Sayf("judged now: %s %s", v.Now.Verdict, v.Now.Reason)
	}
}

func (v *recordView) print(p *ui.Printer) {
	line := func(name, text string) {
		if text != "" {
			p.Hangingf(12, "%s %s", p.Dim(fmt.Sprintf("%-11s", name)), ui.Clean(ui.ShortenTo(text, 1000)))
		}
	}
	line("id", v.ID)
	line("when", v.At)
	line("consumer", v.Consumer)
	line("quarantine", v.Quarantine)
	p.Linef("%s %s", p.Dim("refused    "), p.VerdictPaint(ui.VerdictRejected)(ui.Clean(string(v.Reason))))
	line("cause", v.Cause)
	line("fix", v.Fix)
	line("delivered", fmt.Sprintf("%s, %s", v.Format, ui.Count(v.Bytes, "byte")))
	line("account", v.Account)
	line("replay", v.ReplayName)
	p.Linef("%s", p.Yellow("claims to be (unverified)"))
	for _, c := range [][2]string{{"  id", v.UnverifiedID}, {"  type", v.UnverifiedType},
		{"  source", v.UnverifiedSource}} {
		if c[1] != "" {
			line(c[0], fmt.Sprintf("%+q", ui.ShortenTo(c[1], 1000)))
		}
	}
	if n := v.Now; n != nil {
		p.Linef("%s %s", p.Dim("judged now "), p.VerdictPaint(n.Verdict)(ui.Clean(n.Verdict+" "+
			string(n.Reason))))
		if n.Unread {
			line("", "its data is encrypted: --identity tells whether it can be opened")
		}
		line("producer", n.Producer)
		line("cause", n.Cause)
		line("fix", n.Fix)
	}
}
