package quarantine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadquarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/envelope"
)

type reopenFlags struct {
	loadquarantine.QuarantineFlags
	judgeFlags
	recordFilter
	all     bool
	toQueue string
	to      string
	keep    bool
	dryRun  bool
}

func reopenCommand(env *ui.Env) *cobra.Command {
	var f reopenFlags
	cmd := env.Command(ui.Command{
		Use:   "reopen --from PLACE --key-file FILE --to-queue URL ID...",
		Short: "Hand records to their consumer again", Now: true,
		Args: func([]string) error { return nil },
		Long: `Send records to the queue of their consumer, which verifies them under its own copy of the key, and judges the
event in each by what is true now: who may say what, and how old it is. An event that is too old
passes only under a Permission of the consumer that names the quarantine. A record is removed from the quarantine once it is sent.

With --trust and --roots, what would be refused now is not sent: it would only come back. (What is refused as expired is
sent, since only the consumer knows its permissions. Whether encrypted data can be opened is seen with --identity only. Make sure that such events were never handled: anyone who can write
to the bus can bring back an old one, and a consumer remembers what it handled for as long as its window.)

All records of a run must be of one consumer. With --to stdout they are written one a line, and stay in the quarantine.
It may be run again: a consumer handles an event once, however often it is reopened while its claim is kept.

Exit status: 0 done, 1 some records were refused and stay, 3 some could not be sent or removed: run it again.`,
		Example: "sealbus quarantine reopen --from s3://acme-quarantine/billing --key-file quarantine.key --to-queue URL --all --reason source_not_allowed --dry-run\n" +
			"sealbus quarantine reopen --from dir:bin --key-file quarantine.key --to-queue URL --trust bundle.dsse --roots roots.json ID",
		Run: func(ctx context.Context, args []string) error { return quarantineReopen(ctx, env, &f, args) },
	})
	f.QuarantineFlags.Register(cmd)
	f.recordFilter.register(cmd)
	f.judgeFlags.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false,
		"all records, or those that --consumer, --reason, --since and --until leave")
	flags.StringVar(&f.toQueue, "to-queue", "", "the `URL` of the consumer's queue")
	flags.StringVar(&f.to, "to", "", "stdout: write the records instead of sending them, a `PLACE`")
	flags.BoolVar(&f.keep, "keep", false, "leave the records in the quarantine")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only say what would be done")
	return cmd
}

func (f *reopenFlags) check(ids []string) error {
	switch {
	case f.all && len(ids) > 0:
		return ui.Usage("drop one of the two", "--all, and %s", ui.Count(len(ids), "ID"))
	case !f.all && len(ids) == 0:
		return ui.Usage("name records as `sealbus quarantine list` shows them, or add --all",
			"missing argument ID")
	case !f.all && f.recordFilter.isSet():
		return ui.Usage("add --all, or drop it",
			"--consumer, --reason, --since and --until choose among all records")
	case f.to != "" && f.to != "stdout":
		return ui.Usage("use --to stdout, or --to-queue URL", "--to: %q is not a destination", f.to)
	case f.to != "" && f.toQueue != "":
		return ui.Usage("drop one of the two", "--to and --to-queue")
	case f.to == "" && f.toQueue == "" && !f.dryRun:
		return ui.Usage("add --to-queue URL, or --to stdout", "missing flag --to-queue or --to")
	}
	return f.recordFilter.check()
}

func quarantineReopen(ctx context.Context, env *ui.Env, f *reopenFlags, ids []string) error {
	if err := f.check(ids); err != nil {
		return err
	}
	if f.to != "" && !f.dryRun {
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
	if start := env.Now(); f.all && (f.until.IsZero() || f.until.After(start)) {
		f.until = start // or what is refused again would be reopened again, and so on for ever
	}
	r := &reopening{env: env, flags: f, store: store}
	if r.judge, err = newJudge(ctx, env, &f.judgeFlags); err != nil {
		return err
	}
	if r.send, err = reopenTarget(ctx, env, f); err != nil {
		return err
	}
	if ids, err = recordIDs(ctx, store, ids); err != nil {
		return storeFailed(err)
	}
	return r.run(ctx, ids)
}

// reopenTarget is the function that hands a record over. When it returns nil, the record was handed over.
func reopenTarget(ctx context.Context, env *ui.Env,
	f *reopenFlags) (func(context.Context, quarantine.Entry) error, error) {
	if f.toQueue == "" {
		return func(_ context.Context, e quarantine.Entry) error { return env.WriteOut(e.Document) }, nil
	}
	client, err := awscli.QueueClient(ctx, f.toQueue, awscli.AWSFlags{Region: f.Region})
	if err != nil {
		return nil, ui.FlagFailed("to-queue", err)
	}
	return func(ctx context.Context, e quarantine.Entry) error { return sqs.Reopen(ctx, client, f.toQueue, e) }, nil
}

// reopening is one run.
type reopening struct {
	env      *ui.Env
	flags    *reopenFlags
	store    quarantine.Store
	judge    *judge
	send     func(context.Context, quarantine.Entry) error
	consumer *string // whose records these are; nil = none was met yet
	done     int
	exit     int
}

// reopened is what became of one record, for programs.
type reopened struct {
	ID       string      `json:"id"`
	Reopened bool        `json:"reopened"` // with --dry-run: it would be
	Removed  bool        `json:"removed"`
	Now      *verdictNow `json:"now,omitempty"`   // only if there is trust to judge it with
	Error    string      `json:"error,omitempty"` // rejected: it stays; unavailable: run it again
	Message  string      `json:"message,omitempty"`
	Fix      string      `json:"fix,omitempty"`
}

func (r *reopening) run(ctx context.Context, ids []string) error {
	for e, err := range r.chosen(ctx, ids) {
		if err != nil {
			r.summarise()
			return storeFailed(err)
		}
		out, err := r.one(ctx, e)
		if tellErr := r.tell(&out, err); tellErr != nil {
			return tellErr
		}
		if stop, ok := errors.AsType[*stopped](err); ok { // it will not work for the next one either
			r.summarise()
			return ui.Ended(exitOf(stop))
		}
	}
	r.summarise()
	return ui.Ended(r.exit)
}

// chosen are the records that are meant. Of a queue several are looked up in one go.
func (r *reopening) chosen(ctx context.Context, ids []string) iter.Seq2[quarantine.Entry, error] {
	return func(yield func(quarantine.Entry, error) bool) {
		place, _ := loadquarantine.PlaceOf(r.flags.From)
		if r.flags.all || place == "sqs" {
			r.listed(ctx, ids, yield)
			return
		}
		for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
			e, err := r.store.Get(ctx, id)
			if errors.Is(err, quarantine.ErrNotFound) || errors.Is(err, consumer.ErrNotAuthentic) {
				e, err = quarantine.Entry{ID: id, Err: err}, nil
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// listed are the chosen ones out of a list; ids that are not in it come at the end.
func (r *reopening) listed(ctx context.Context, ids []string, yield func(quarantine.Entry, error) bool) {
	missing := slices.Compact(slices.Sorted(slices.Values(ids)))
	for e, err := range r.store.List(ctx, r.flags.options()) {
		switch i, named := slices.BinarySearch(missing, e.ID); {
		case err != nil:
			yield(e, err)
			return
		case named:
			missing = slices.Delete(missing, i, i+1)
		case !r.flags.all:
			continue
		}
		if r.flags.wants(e) && !yield(e, nil) {
			return
		}
		if !r.flags.all && len(missing) == 0 {
			return
		}
	}
	for _, id := range missing {
		if !yield(quarantine.Entry{ID: id, Err: fmt.Errorf("%w: %.80q", quarantine.ErrNotFound, id)}, nil) {
			return
		}
	}
}

// one reopens one record. The order is what matters: it is removed only when it is sent.
func (r *reopening) one(ctx context.Context, e quarantine.Entry) (out reopened, err error) {
	out.ID = e.ID
	if err := r.refuses(e); err != nil {
		return out, err
	}
	out.Now = r.judge.now(ctx, e.Record)
	if err := refusedNow(out.Now); err != nil {
		return out, err
	}
	if r.flags.dryRun {
		out.Reopened = true
		return out, nil
	}
	if err := r.send(ctx, e); err != nil {
		return out, sendFailed(err)
	}
	out.Reopened = true
	if r.flags.keep || r.flags.to != "" {
		return out, nil
	}
	if err := r.store.Remove(ctx, e.ID); err != nil {
		return out, ui.Unavailable("reopen it again, or remove it: a consumer handles an event once",
			"it was sent, but could not be removed: %w", err)
	}
	out.Removed = true
	return out, nil
}

// refuses says why a record is not reopened at all.
func (r *reopening) refuses(e quarantine.Entry) error {
	switch rec := e.Record; {
	case errors.Is(e.Err, quarantine.ErrNotFound), errors.Is(e.Err, consumer.ErrNotAuthentic):
		return storeFailed(e.Err)
	case rec == nil:
		return ui.Unavailable("try again", "it could not be read: %w", e.Err)
	case rec.Message.Format == consumer.QuarantineRecord:
		return ui.Rejected(fixNotAnEvent, "%s", notAnEvent)
	case r.consumer != nil && *r.consumer != rec.Consumer:
		return ui.Rejected("reopen them one consumer at a time: `--all --consumer NAME`",
			"it is a record of the consumer %.100q, the first was one of %.100q", rec.Consumer, *r.consumer)
	default:
		r.consumer = &rec.Consumer
		return nil
	}
}

// refusedNow is the verdict of now, if it keeps the record from being sent.
func refusedNow(v *verdictNow) error {
	if v.exit() == ui.ExitDone || v.Reason == envelope.ReasonExpired {
		return nil
	}
	return &ui.Error{
		Code: v.exit(), Reason: string(v.Reason), Fix: v.Fix,
		Err: fmt.Errorf("it would be refused now, as %s: %s", v.Reason, v.Cause),
	}
}

// stopped is an error that ends the run: the queue, or standard output, takes nothing.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }
func (s *stopped) Unwrap() error { return s.err }

func sendFailed(err error) error {
	if errors.Is(err, quarantine.ErrTooLarge) {
		return ui.Rejected("write it with --to stdout, and hand it to the consumer without a queue", "%w",
			err)
	}
	if _, ok := errors.AsType[*ui.Error](err); ok {
		return &stopped{err}
	}
	switch {
	case errtext.Denied(err):
		return &stopped{ui.Usage("ask for the permission sqs:SendMessage on that queue", "%w", err)}
	case errtext.Code(err) != "" && !errtext.MayPass(err):
		return &stopped{ui.Usage("check --to-queue, and run it again", "%w", err)}
	}
	return &stopped{ui.Unavailable("check the network and --to-queue, and run it again", "%w", err)}
}

func exitOf(err error) int {
	if e, ok := errors.AsType[*ui.Error](err); ok {
		return e.Code
	}
	return ui.ExitUnavailable
}

// tell says what became of a record: data on standard output, unless the records themselves are there.
func (r *reopening) tell(out *reopened, err error) error {
	env := r.env
	if err != nil {
		out.Error, out.Message = ui.ExitWord(exitOf(err)), errtext.Plain(err)
		r.exit = max(r.exit, exitOf(err))
		if e, ok := errors.AsType[*ui.Error](err); ok {
			out.Fix = e.Fix
		}
	} else {
		r.done++
	}
	switch {
	case env.JSON && (r.flags.to == "" || r.flags.dryRun):
		return env.WriteJSON(out)
	case err != nil:
		env.Sayf("%s: %s", ui.ShortenTo(out.ID, ui.Most), out.Message)
		env.Sayf("  %s", out.Fix)
		return nil
	}
	if n := out.Now; n != nil && n.Reason == envelope.ReasonExpired {
		env.Sayf("%s: it is expired by now: %s", out.ID, n.Fix)
	}
	if r.flags.to != "" && !r.flags.dryRun {
		return nil
	}
	p := &ui.Printer{Style: env.Out}
	p.Linef("%s  %s", p.Bold(ui.Clean(out.ID)), out.what(r.flags.dryRun))
	return env.WriteText(p)
}

func (out *reopened) what(dryRun bool) string {
	switch {
	case dryRun && out.Now != nil:
		return "would be sent; judged now: " + ui.Clean(out.Now.Verdict+" "+string(out.Now.Reason))
	case dryRun:
		return "would be sent"
	case out.Removed:
		return "sent, and removed from the quarantine"
	}
	return "sent, and kept in the quarantine"
}

func (r *reopening) summarise() {
	if r.env.JSON {
		return
	}
	switch {
	case r.flags.dryRun:
		r.env.Sayf("%s would be sent; nothing was changed", ui.Count(r.done, "record"))
	case r.flags.to != "":
		r.env.Sayf("%s written, and kept in the quarantine", ui.Count(r.done, "record"))
	default:
		r.env.Sayf("%s sent to %s", ui.Count(r.done, "record"), r.flags.toQueue)
	}
	if r.consumer != nil && r.done > 0 {
		r.env.Sayf("  the consumer %.100q takes them, if it has this quarantine's key; any other refuses them", *r.consumer)
	}
}
