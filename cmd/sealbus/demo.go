package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) demoCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "demo", short: "Seal events, deliver them, attack them, and show what a consumer says", now: true,
		long: `Make keys and a trust bundle in memory, publish sealed events through the AWS SDK to an EventBridge that runs inside
this process, and play a careless broker and an attacker between the bus and a consumer.

Each case is one real delivery: its bytes are changed as the line says, and the consumer's own verdict is shown. The
expected verdicts are written down separately. If a verdict differs, the exit status is 1.

No file is read or written, and nothing leaves the machine.`,
		run: func(ctx context.Context, _ []string) error { return a.demo(ctx) },
	})
}

func (a *app) demo(ctx context.Context) error {
	st, err := newStage(ctx, a.now().UTC())
	if err != nil {
		return unavailable("report this as a bug", "setting the demo up: %w", err)
	}
	defer st.close()
	results, err := playAll(st)
	if err != nil {
		return err
	}
	if err := a.emit(demoResult{results}, func(p *printer) { printDemo(p, results) }); err != nil {
		return err
	}
	if surprises(results) > 0 {
		return ended(exitRejected)
	}
	return nil
}

// demoResult is the table for programs.
type demoResult struct {
	Cases []played `json:"cases"`
}

// played is one case after it was played.
type played struct {
	Case     string `json:"case"`
	Verdict  string `json:"verdict"` // verified, rejected, duplicate or unavailable: the consumer's
	Reason   string `json:"reason"`  // the consumer's; "" = verified
	Expected bool   `json:"expected"`

	group, did string
	want       outcome
	err        error // the case could not be played
}

// playAll plays every case and holds what came out against the expectations.
func playAll(st *stage) ([]played, error) {
	var all []played
	for _, g := range scenes() {
		for _, c := range g.cases {
			want, ok := expectations[c.name]
			if !ok {
				return nil, unavailable("report this as a bug", "the case %q has no expectation", c.name)
			}
			got, err := st.play(c)
			all = append(all, played{
				Case: c.name, Verdict: got.verdict, Reason: string(got.reason), Expected: err == nil && got == want,
				group: g.title, did: c.did, want: want, err: err,
			})
		}
	}
	if len(all) != len(expectations) {
		return nil, unavailable("report this as a bug", "%d cases were played, %d are expected", len(all), len(expectations))
	}
	return all, nil
}

// play plays one case on a fresh event.
func (st *stage) play(c scene) (outcome, error) {
	s := &act{stage: st}
	c.play(s)
	if s.err == nil && s.got == (outcome{}) {
		s.err = errors.New("nothing was delivered")
	}
	return s.got, s.err
}

func surprises(results []played) (n int) {
	for _, r := range results {
		if !r.Expected {
			n++
		}
	}
	return n
}

func printDemo(p *printer, results []played) {
	p.hanging(p.bold("The producer orders seals events for the bus central. An attacker sits between the bus and the consumer."), 0, 0, p.prose())
	t := table{header: []string{"  case", "what was done to the delivery", "verdict", "reason"}}
	for _, r := range results {
		t.add(demoRow(p, r)...)
	}
	if total(columnWidths(t.all(p.style))) > max(p.width, defaultWidth) {
		t = demoNarrow(p, results)
	}
	widths := columnWidths(t.all(p.style))
	p.linef("\n%s", strings.TrimRight(formatRow(t.all(p.style)[0], widths), " "))
	group := ""
	for i, r := range results {
		if r.group != group {
			group = r.group
			p.linef("\n%s", p.bold(group))
		}
		p.linef("%s", strings.TrimRight(formatRow(t.rows[i], widths), " "))
		if text := t.below[i]; text != "" {
			p.hanging(p.dim(text), belowIndent, belowIndent, p.prose())
		}
	}
	p.linef("")
	printDemoSummary(p, results)
}

// demoNarrow has what was done below each case, so that the verdicts stand in one column on any terminal.
func demoNarrow(p *printer, results []played) table {
	t := table{header: []string{"  case", "verdict", "reason"}, below: map[int]string{}}
	for i, r := range results {
		row := demoRow(p, r)
		t.below[i] = r.did
		if len(row[3].text) > len("source_not_allowed") { // of a surprise
			t.below[i] += "; " + row[3].text
			row[3] = cell{r.Reason, row[3].paint}
		}
		t.add(row[0], row[2], row[3])
	}
	return t
}

func demoRow(p *printer, r played) []cell {
	mark, paint := "✓ ", func(s string) string { return p.green("✓") + s[len("✓"):] }
	verdict := p.verdictPaint(r.Verdict)
	reason := cell{text: r.Reason}
	if !r.Expected {
		mark, paint = "✗ ", p.red
		reason = cell{r.Reason + "  expected " + r.want.String(), p.red}
	}
	if r.err != nil {
		reason = cell{"could not be played: " + r.err.Error(), p.red}
	}
	return []cell{{mark + r.Case, paint}, {r.did, p.dim}, {r.Verdict, verdict}, reason}
}

func printDemoSummary(p *printer, results []played) {
	counts := map[string]int{}
	for _, r := range results {
		counts[r.Verdict]++
	}
	var parts []string
	for _, verdict := range [...]string{"verified", "rejected", "duplicate", "unavailable"} {
		if n := counts[verdict]; n > 0 {
			parts = append(parts, countVerdict(n, verdict))
		}
	}
	if n := surprises(results); n > 0 {
		p.linef("%s", p.bold(p.red(fmt.Sprintf("%d of %s ended otherwise than expected.", n, count(len(results), "case")))))
		return
	}
	p.hanging(p.bold(p.green(fmt.Sprintf("All %s as expected: %s.", count(len(results), "case"), strings.Join(parts, ", "))))+
		" Nothing forged was handled, nothing genuine was lost.", 0, 0, p.prose())
}
