package quarantine

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadquarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

// recordFilter says which records are meant.
type recordFilter struct {
	consumer, reason string
	since, until     time.Time
}

func (f *recordFilter) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.consumer, "consumer", "", "only records of the consumer of that `NAME`")
	flags.StringVar(&f.reason, "reason", "",
		"only what was refused for that `REASON`, such as source_not_allowed")
	flags.Var((*ui.MomentValue)(&f.since), "since", "only what was refused at that moment or later")
	flags.Var((*ui.MomentValue)(&f.until), "until", "only what was refused before that moment")
}

func (f *recordFilter) check() error {
	if f.reason == "" {
		return nil
	}
	for _, r := range envelope.Reasons() {
		if string(r) == f.reason {
			return nil
		}
	}
	return ui.Usage("use a reason as `sealbus quarantine list` shows it", "--reason: there is no %q",
		f.reason)
}

func (f *recordFilter) isSet() bool {
	return f.consumer != "" || f.reason != "" || !f.since.IsZero() || !f.until.IsZero()
}

func (f *recordFilter) options() *quarantine.ListOptions {
	return &quarantine.ListOptions{From: f.since, To: f.until}
}

// wants reports whether an entry is meant. An entry that is not authentic has no consumer and no reason: it
// is always shown.
func (f *recordFilter) wants(e quarantine.Entry) bool {
	r := e.Record
	return r == nil || (f.consumer == "" || r.Consumer == f.consumer) &&
		(f.reason == "" || string(r.Reason) == f.reason)
}

type listFlags struct {
	loadquarantine.QuarantineFlags
	recordFilter
	limit int
}

func listCommand(env *ui.Env) *cobra.Command {
	var f listFlags
	cmd := env.Command(ui.Command{
		Use: "list --from PLACE --key-file FILE", Short: "List what is in quarantine",
		Long: `List the records in quarantine, oldest first (a queue has no order). The claims of an event are
unverified, and are shown as quoted text. With --output json there is one line for each record.

Exit status: 0 all are authentic, 1 some are not, 3 some could not be read.

A queue can only be looked at by taking its messages: they are hidden from others until the list ends, and
each look counts as a receive.`,
		Example: "sealbus quarantine list --from dir:/var/lib/billing/quarantine --key-file quarantine.key\n" +
			"sealbus quarantine list --from s3://acme-quarantine/billing --key-file quarantine.key --reason expired --since 2026-11-01",
		Run: func(ctx context.Context, _ []string) error { return quarantineList(ctx, env, &f) },
	})
	f.QuarantineFlags.Register(cmd)
	f.recordFilter.register(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 1000, "the most records to show, a `NUMBER`; 0 = all")
	return cmd
}

func quarantineList(ctx context.Context, env *ui.Env, f *listFlags) error {
	if err := f.recordFilter.check(); err != nil {
		return err
	}
	if f.limit < 0 {
		return ui.Usage("give a number, or 0 for all", "--limit: %d", f.limit)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	env.EndOnSignal(ctx, cancel)
	store, err := loadquarantine.Open(ctx, env, &f.QuarantineFlags)
	if err != nil {
		return err
	}
	l := &recordList{env: env}
	more, err := l.fill(ctx, store, f)
	if l.shown > 0 || err == nil { // what was read before it failed is shown
		if err := l.print(); err != nil {
			return err
		}
	}
	if err != nil {
		return storeFailed(err)
	}
	if more {
		env.Sayf("there are more: --limit 0 lists all, --since and --until a part")
	}
	return ui.Ended(l.exit)
}

// recordList is what is listed: at once for programs, as a table at the end for people.
type recordList struct {
	env   *ui.Env
	ids   []string
	rows  []listedRecord // for people
	shown int
	exit  int
}

// listedRecord is a line about one record, without its ID, and what the event claims to be.
type listedRecord struct {
	about []ui.Cell
	claim string
}

func (l *recordList) fill(ctx context.Context, store quarantine.Store, f *listFlags) (more bool, err error) {
	for e, err := range store.List(ctx, f.options()) {
		switch {
		case err != nil:
			return false, err
		case !f.wants(e):
			continue
		case f.limit > 0 && l.shown == f.limit:
			return true, nil
		}
		if err := l.add(e); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (l *recordList) add(e quarantine.Entry) error {
	v := viewOf(e)
	l.shown++
	l.exit = max(l.exit, v.exit())
	if l.env.JSON {
		return l.env.WriteJSON(&v)
	}
	s := l.env.Out
	l.ids = append(l.ids, clipped(v.ID))
	if r := e.Record; r != nil {
		l.rows = append(l.rows, listedRecord{
			[]ui.Cell{ui.Painted(v.At, nil), ui.Painted(clipped(v.Consumer), nil),
				ui.Painted(clipped(string(v.Reason)), s.VerdictPaint(ui.VerdictRejected))}, claimLine(r),
		})
		return nil
	}
	what, paint := "not authentic", s.Red
	if v.Error != notAuthentic {
		what, paint = "not readable", s.Yellow
	}
	l.rows = append(l.rows, listedRecord{[]ui.Cell{ui.Painted("-", nil), ui.Painted("-", nil),
		ui.Painted(what, paint)}, ui.Shorten(v.Message)})
	return nil
}

func (l *recordList) print() error {
	if l.env.JSON {
		return nil
	}
	p := &ui.Printer{Style: l.env.Out}
	if l.shown > 0 {
		l.printRecords(p)
	}
	p.Linef("%s", p.Dim(ui.Count(l.shown, "record")))
	return l.env.WriteText(p)
}

// printRecords writes one line for each record, or, on a terminal that is too narrow, two, with as much of
// its ID as the commands need to find it.
func (l *recordList) printRecords(p *ui.Printer) {
	t := ui.Table{Header: []string{"ID", "WHEN", "CONSUMER", "REASON", "CLAIMS TO BE (UNVERIFIED)"}}
	for i, r := range l.rows {
		t.Add(slices.Concat([]ui.Cell{ui.Painted(l.ids[i], p.Bold)}, r.about, []ui.Cell{{Text: r.claim}})...)
	}
	if t.Fits(p.Style) {
		t.Print(p)
		return
	}
	narrow := ui.Table{Header: []string{"ID", "WHEN", "CONSUMER", "REASON"}, Folds: []int{0, 2, 3},
		Below: map[int]string{0: "claims to be (unverified)"}}
	for i, id := range shortRecordIDs(l.ids) {
		narrow.Add(append([]ui.Cell{ui.Painted(id, p.Bold)}, l.rows[i].about...)...)
		narrow.Below[i+1] = l.rows[i].claim
	}
	narrow.Print(p)
}
