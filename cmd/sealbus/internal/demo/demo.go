// Package demo has the command that seals events, delivers them, and plays the attacker on the way.
package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Command(ui.Command{
		Use: "demo", Short: "Seal events, deliver them, attack them, and show what a consumer says",
		Now: true,
		Long: `Make keys and a trust bundle in memory, publish sealed events through the AWS SDK to an EventBridge that runs inside
this process, and play a careless broker and an attacker between the bus and a consumer.

Each case is one real delivery: its bytes are changed as the line says, and the consumer's own verdict is shown. The
expected verdicts are written down separately. If a verdict differs, the exit status is 1.

No file is read or written, and nothing leaves the machine.`,
		Run: func(ctx context.Context, _ []string) error { return demo(ctx, env) },
	})
}

func demo(ctx context.Context, env *ui.Env) error {
	st, err := newStage(ctx, env.Now().UTC())
	if err != nil {
		return ui.Unavailable("report this as a bug", "setting the demo up: %w", err)
	}
	defer st.close()
	results, err := playAll(st)
	if err != nil {
		return err
	}
	if err := env.Emit(demoResult{results}, func(p *ui.Printer) { printDemo(p, results) }); err != nil {
		return err
	}
	if surprises(results) > 0 {
		return ui.Ended(ui.ExitRejected)
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
				return nil, ui.Unavailable("report this as a bug", "the case %q has no expectation", c.name)
			}
			got, err := st.play(c)
			all = append(all, played{
				Case: c.name, Verdict: got.verdict, Reason: string(got.reason), Expected: err == nil &&
					got == want,
				group: g.title, did: c.did, want: want, err: err,
			})
		}
	}
	if len(all) != len(expectations) {
		return nil, ui.Unavailable("report this as a bug", "%d cases were played, %d are expected", len(all),
			len(expectations))
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

func printDemo(p *ui.Printer, results []played) {
	p.Hanging(p.Bold("The producer orders seals events for the bus central. An attacker sits between the bus and the consumer."), 0, 0, p.Prose())
	t := ui.Table{Header: []string{"  case", "what was done to the delivery", "verdict", "reason"}}
	for _, r := range results {
		t.Add(demoRow(p, r)...)
	}
	if ui.TotalWidth(ui.ColumnWidths(t.All(p.Style))) > max(p.Width, ui.DefaultWidth) {
		t = narrow(p, results)
	}
	widths := ui.ColumnWidths(t.All(p.Style))
	p.Linef("\n%s", strings.TrimRight(ui.FormatRow(t.All(p.Style)[0], widths), " "))
	group := ""
	for i, r := range results {
		if r.group != group {
			group = r.group
			p.Linef("\n%s", p.Bold(group))
		}
		p.Linef("%s", strings.TrimRight(ui.FormatRow(t.Rows[i], widths), " "))
		if text := t.Below[i]; text != "" {
			p.Hanging(p.Dim(text), ui.BelowIndent, ui.BelowIndent, p.Prose())
		}
	}
	p.Linef("")
	printDemoSummary(p, results)
}

// narrow has what was done below each case, so that the verdicts stand in one column on any terminal.
func narrow(p *ui.Printer, results []played) ui.Table {
	t := ui.Table{Header: []string{"  case", "verdict", "reason"}, Below: map[int]string{}}
	for i, r := range results {
		row := demoRow(p, r)
		t.Below[i] = r.did
		if len(row[3].Text) > len("source_not_allowed") { // of a surprise
			t.Below[i] += "; " + row[3].Text
			row[3] = ui.Painted(r.Reason, row[3].Paint)
		}
		t.Add(row[0], row[2], row[3])
	}
	return t
}

func demoRow(p *ui.Printer, r played) []ui.Cell {
	mark, paint := "✓ ", func(s string) string { return p.Green("✓") + s[len("✓"):] }
	verdict := p.VerdictPaint(r.Verdict)
	reason := ui.Cell{Text: r.Reason}
	if !r.Expected {
		mark, paint = "✗ ", p.Red
		reason = ui.Painted(r.Reason+"  expected "+r.want.String(), p.Red)
	}
	if r.err != nil {
		reason = ui.Painted("could not be played: "+r.err.Error(), p.Red)
	}
	return []ui.Cell{ui.Painted(mark+r.Case, paint), ui.Painted(r.did, p.Dim), ui.Painted(r.Verdict, verdict),
		reason}
}

func printDemoSummary(p *ui.Printer, results []played) {
	counts := map[string]int{}
	for _, r := range results {
		counts[r.Verdict]++
	}
	var parts []string
	for _, verdict := range [...]string{"verified", "rejected", "duplicate", "unavailable"} {
		if n := counts[verdict]; n > 0 {
			parts = append(parts, ui.CountVerdict(n, verdict))
		}
	}
	if n := surprises(results); n > 0 {
		p.Linef("%s", p.Bold(p.Red(fmt.Sprintf("%d of %s ended otherwise than expected.", n,
			ui.Count(len(results), "case")))))
		return
	}
	p.Hanging(p.Bold(p.Green(fmt.Sprintf("All %s as expected: %s.", ui.Count(len(results), "case"),
		strings.Join(parts, ", "))))+
		" Nothing forged was handled, nothing genuine was lost.", 0, 0, p.Prose())
}
