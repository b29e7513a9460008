package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

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
	flags.StringVar(&f.reason, "reason", "", "only what was refused for that `REASON`, such as source_not_allowed")
	flags.Var((*momentValue)(&f.since), "since", "only what was refused at that moment or later")
	flags.Var((*momentValue)(&f.until), "until", "only what was refused before that moment")
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
	return usage("use a reason as `sealbus quarantine list` shows it", "--reason: there is no %q", f.reason)
}

func (f *recordFilter) isSet() bool {
	return f.consumer != "" || f.reason != "" || !f.since.IsZero() || !f.until.IsZero()
}

func (f *recordFilter) options() *quarantine.ListOptions {
	return &quarantine.ListOptions{From: f.since, To: f.until}
}

// wants reports whether an entry is meant. What is not authentic is of no consumer and has no reason: it is
// always shown.
func (f *recordFilter) wants(e quarantine.Entry) bool {
	r := e.Record
	return r == nil || (f.consumer == "" || r.Consumer == f.consumer) && (f.reason == "" || string(r.Reason) == f.reason)
}

type quarantineListFlags struct {
	quarantineFlags
	recordFilter
	limit int
}

func (a *app) quarantineListCommand() *cobra.Command {
	var f quarantineListFlags
	cmd := a.command(commandSpec{
		use: "list --from PLACE --key-file FILE", short: "List what is in quarantine",
		long: `List the records in quarantine, oldest first (a queue has no order). What an event claims to be is
unverified, and shown as quoted text. With --output json there is one line for each record.

Exit status: 0 all are authentic, 1 some are not, 3 some could not be read.

A queue can only be looked at by taking its messages: they are hidden from others until the list ends, and
each look counts as a receive.`,
		example: "sealbus quarantine list --from dir:/var/lib/billing/quarantine --key-file quarantine.key\n" +
			"sealbus quarantine list --from s3://acme-quarantine/billing --key-file quarantine.key --reason expired --since 2026-11-01",
		run: func(ctx context.Context, _ []string) error { return a.quarantineList(ctx, &f) },
	})
	f.quarantineFlags.register(cmd)
	f.recordFilter.register(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 1000, "the most records to show, a `NUMBER`; 0 = all")
	return cmd
}

func (a *app) quarantineList(ctx context.Context, f *quarantineListFlags) error {
	if err := f.recordFilter.check(); err != nil {
		return err
	}
	if f.limit < 0 {
		return usage("give a number, or 0 for all", "--limit: %d", f.limit)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.endOnSignal(ctx, cancel)
	store, err := a.openQuarantine(ctx, &f.quarantineFlags)
	if err != nil {
		return err
	}
	l := &recordList{app: a}
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
		a.sayf("there are more: --limit 0 lists all, --since and --until a part")
	}
	return ended(l.exit)
}

// recordList is what is listed: at once for programs, as a table at the end for people.
type recordList struct {
	app   *app
	ids   []string
	rows  []listedRecord // for people
	shown int
	exit  int
}

// listedRecord is a line about one record, without its ID, and what the event claims to be.
type listedRecord struct {
	about []cell
	claim string
}

func (l *recordList) fill(ctx context.Context, store quarantine.Store, f *quarantineListFlags) (more bool, err error) {
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
	if l.app.json {
		return l.app.writeJSON(&v)
	}
	s := l.app.out
	l.ids = append(l.ids, clipped(v.ID))
	if r := e.Record; r != nil {
		l.rows = append(l.rows, listedRecord{
			[]cell{{v.At, nil}, {clipped(v.Consumer), nil}, {clipped(string(v.Reason)), s.verdictPaint(verdictRejected)}}, claimLine(r),
		})
		return nil
	}
	what, paint := "not authentic", s.red
	if v.Error != notAuthentic {
		what, paint = "not readable", s.yellow
	}
	l.rows = append(l.rows, listedRecord{[]cell{{"-", nil}, {"-", nil}, {what, paint}}, shorten(v.Message)})
	return nil
}

func (l *recordList) print() error {
	if l.app.json {
		return nil
	}
	p := &printer{style: l.app.out}
	if l.shown > 0 {
		l.printRecords(p)
	}
	p.linef("%s", p.dim(count(l.shown, "record")))
	return l.app.writeText(p)
}

// printRecords writes one line for each record, or, on a terminal that is too narrow, two, with as much of
// its ID as the commands need to find it.
func (l *recordList) printRecords(p *printer) {
	t := table{header: []string{"ID", "WHEN", "CONSUMER", "REASON", "CLAIMS TO BE (UNVERIFIED)"}}
	for i, r := range l.rows {
		t.add(slices.Concat([]cell{{l.ids[i], p.bold}}, r.about, []cell{{text: r.claim}})...)
	}
	if t.fits(p.style) {
		t.print(p)
		return
	}
	narrow := table{header: []string{"ID", "WHEN", "CONSUMER", "REASON"}, folds: []int{0, 2, 3}, below: map[int]string{0: "claims to be (unverified)"}}
	for i, id := range shortRecordIDs(l.ids) {
		narrow.add(append([]cell{{id, p.bold}}, l.rows[i].about...)...)
		narrow.below[i+1] = l.rows[i].claim
	}
	narrow.print(p)
}
