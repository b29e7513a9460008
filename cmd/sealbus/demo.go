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
this process, and play a careless broker and an attacker between the bus and a consumer. Each line is one real delivery: its bytes are
changed as the line says, and the consumer's own verdict is shown. What is expected is written down separately;
a verdict that differs is a surprise, and the exit status is then 1. No file is read or written, and nothing
leaves the machine.`,
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
	p.linef("%s\n", p.bold("Producer orders seals events for the bus central; between bus and consumer sits somebody else."))
	var t table
	t.header = []string{"  case", "what was done to the delivery", "verdict", "reason"}
	group := ""
	for _, r := range results {
		if r.group != group {
			group = r.group
			t.add() // a blank line, where the title goes
			t.add(cell{text: group, paint: p.bold})
		}
		t.add(demoRow(p, r)...)
	}
	t.print(p)
	p.linef("")
	printDemoSummary(p, results)
}

func demoRow(p *printer, r played) []cell {
	mark, paint := "✓ ", func(s string) string { return p.green("✓") + s[len("✓"):] }
	verdict := p.green
	if r.Verdict != "verified" {
		verdict = p.yellow
	}
	reason := cell{text: r.Reason}
	if !r.Expected {
		mark, paint, verdict = "✗ ", p.red, p.red
		reason = cell{r.Reason + "  expected " + r.want.String(), p.red}
	}
	if r.err != nil {
		reason = cell{"could not be played: " + r.err.Error(), p.red}
	}
	return []cell{{mark + r.Case, paint}, {r.did, p.dim}, {r.Verdict, verdict}, reason}
}

func printDemoSummary(p *printer, results []played) {
	count := map[string]int{}
	for _, r := range results {
		count[r.Verdict]++
	}
	var parts []string
	for _, verdict := range [...]string{"verified", "rejected", "duplicate", "unavailable"} {
		if n := count[verdict]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, verdict))
		}
	}
	if n := surprises(results); n > 0 {
		p.linef("%s", p.bold(p.red(fmt.Sprintf("%d of %d cases ended otherwise than expected.", n, len(results)))))
		return
	}
	p.linef("%s", p.bold(p.green(fmt.Sprintf("All %d cases as expected: %s.", len(results), strings.Join(parts, ", "))))+
		" Nothing forged was handled, nothing genuine was lost.")
}
