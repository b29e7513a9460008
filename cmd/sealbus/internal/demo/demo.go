// Package demo has the command that seals events, delivers them, and plays the attacker on the way.
package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// Command is `sealbus demo`.
func Command(env *ui.Env) *cobra.Command {
	var f flags
	cmd := env.Command(ui.Command{
		Use: "demo", Short: "Seal events, deliver them, attack them, and show what a consumer says",
		Now: true,
		Long: `Make keys and a trust bundle in memory, publish sealed events through the AWS SDK to an EventBridge that runs inside
this process, and play a careless broker and an attacker between the bus and a consumer.

Each case is one real delivery: its bytes are changed, and the consumer's own verdict is compared with the expected one,
which is written down separately. A line stands for each group of cases, and --verbose shows all of them. A case that ends
otherwise than expected is shown in full, and the exit status is then 1.

No file is read or written, and nothing leaves the machine.`,
		Example: "sealbus demo --verbose --pace 2s",
		Run:     func(ctx context.Context, _ []string) error { return demo(ctx, env, &f) },
	})
	cmd.Flags().BoolVar(&f.verbose, "verbose", false, "show each case: what was done, the verdict, the Reason")
	cmd.Flags().Var(&f.pace, "pace", "wait so long before each group, to show it to people")
	return cmd
}

// flags say how the cases are shown.
type flags struct {
	verbose bool
	pace    ui.DurationValue
}

// maxPace keeps a slip of the pen, such as 2h, from looking like a program that hangs.
const maxPace = time.Minute

func demo(ctx context.Context, env *ui.Env, f *flags) error {
	switch {
	case time.Duration(f.pace) > maxPace:
		return ui.Usage("give at most 1m", "--pace %s is too long", f.pace.String())
	case env.JSON && (f.pace != 0 || f.verbose):
		return ui.Usage("leave --pace and --verbose out: JSON has each case, at once",
			"--pace and --verbose are for text")
	}
	st, err := newStage(ctx, env.Now().UTC())
	if err != nil {
		return ui.Unavailable("report this as a bug", "setting the demo up: %w", err)
	}
	defer st.close()
	results, err := playAll(st)
	if err != nil {
		return err
	}
	if env.JSON {
		err = env.WriteJSON(demoResult{results})
	} else {
		err = show(ctx, env, pages(env.Out, results, f.verbose), time.Duration(f.pace))
	}
	if err != nil {
		return err
	}
	if surprises(results) > 0 {
		return ui.Ended(ui.ExitRejected)
	}
	return nil
}

// show writes the pages, with a pause before each but the first one.
func show(ctx context.Context, env *ui.Env, pages []*ui.Printer, pace time.Duration) error {
	for i, p := range pages {
		if i > 0 && pace > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pace):
			}
		}
		if err := env.WriteText(p); err != nil {
			return err
		}
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

// pages are what is shown, a pause apart: the introduction, each group, the summary.
func pages(style ui.Style, results []played, verbose bool) []*ui.Printer {
	head, tail := &ui.Printer{Style: style}, &ui.Printer{Style: style}
	head.Hanging(head.Bold("The producer orders seals events for the bus central. An attacker sits between the bus and the consumer."), 0, 0, head.Prose())
	head.Linef("")
	all := []*ui.Printer{head}
	t := wholeTable(head, results)
	widths := ui.ColumnWidths(t.All(style))
	if verbose {
		head.Linef("%s", strings.TrimRight(ui.FormatRow(t.All(style)[0], widths), " "))
		head.Linef("")
	}
	groups := grouped(results)
	lines := groupLines(head, groups)
	for i, first := 0, 0; i < len(groups); i++ {
		p := &ui.Printer{Style: style}
		if verbose {
			p.Linef("%s", p.Bold(groups[i][0].group))
		} else {
			p.Linef("%s", lines[i])
		}
		for n, r := range groups[i] {
			if verbose || !r.Expected {
				printRow(p, &t, widths, first+n)
			}
		}
		if first += len(groups[i]); verbose {
			p.Linef("")
		}
		all = append(all, p)
	}
	if !verbose {
		tail.Linef("")
	}
	printDemoSummary(tail, results)
	if !verbose && surprises(results) == 0 {
		tail.Linef("%s", tail.Dim("Each case: sealbus demo --verbose. Each Reason: sealbus explain."))
	}
	return append(all, tail)
}

// grouped has the cases by their groups, in their order.
func grouped(results []played) (groups [][]played) {
	for i, r := range results {
		if i == 0 || r.group != results[i-1].group {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], r)
	}
	return groups
}

// groupLines has one line for each group: a tick if all cases ended as expected, how many, and how.
func groupLines(p *ui.Printer, groups [][]played) []string {
	var t ui.Table
	for _, g := range groups {
		mark, paint := "✓ ", func(s string) string { return p.Green("✓") + s[len("✓"):] }
		result := ui.Painted(verdicts(g), nil)
		if n := surprises(g); n > 0 {
			mark, paint = "✗ ", p.Red
			result = ui.Painted(fmt.Sprintf("%d not as expected", n), p.Red)
		}
		t.Add(ui.Painted(mark+g[0].group, paint), ui.Cell{Text: fmt.Sprintf("%8s", ui.Count(len(g), "case"))}, result)
	}
	widths := t.Fit(ui.ColumnWidths(t.Rows), p.Width)
	lines := make([]string, len(groups))
	for i, row := range t.Rows {
		lines[i] = strings.Join(ui.FoldRow(row, widths), "\n")
	}
	return lines
}

// verdicts counts the verdicts of cases: "13 verified, 39 rejected, 1 duplicate".
func verdicts(results []played) string {
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
	return strings.Join(parts, ", ")
}

// wholeTable has a row for each case, and a column for what was done where it fits.
func wholeTable(p *ui.Printer, results []played) ui.Table {
	t := ui.Table{Header: []string{"  case", "what was done to the delivery", "verdict", "reason"}}
	for _, r := range results {
		t.Add(demoRow(p, r)...)
	}
	if ui.TotalWidth(ui.ColumnWidths(t.All(p.Style))) > max(p.Width, ui.DefaultWidth) {
		t = narrow(p, results)
	}
	return t
}

func printRow(p *ui.Printer, t *ui.Table, widths []int, row int) {
	p.Linef("%s", strings.TrimRight(ui.FormatRow(t.Rows[row], widths), " "))
	if text := t.Below[row]; text != "" {
		p.Hanging(p.Dim(text), ui.BelowIndent, ui.BelowIndent, p.Prose())
	}
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
	if n := surprises(results); n > 0 {
		p.Linef("%s", p.Bold(p.Red(fmt.Sprintf("%d of %s ended otherwise than expected.", n,
			ui.Count(len(results), "case")))))
		return
	}
	p.Hanging(p.Bold(p.Green(fmt.Sprintf("All %s as expected: %s.", ui.Count(len(results), "case"),
		verdicts(results))))+
		" Nothing forged was handled, nothing genuine was lost.", 0, 0, p.Prose())
}
