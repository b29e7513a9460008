package trust

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/rehearsal"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// simulateFlags are those of `trust simulate`.
type simulateFlags struct{ policy, previous, plan, svg string }

func simulateCommand(env *ui.Env) *cobra.Command {
	f := simulateFlags{}
	cmd := env.Command(ui.Command{
		Use: "simulate --policy FILE [--previous FILE] [--plan FILE] [--svg FILE]", Short: "Rehearse a policy on a virtual clock",
		Long: "Rehearse what comes of a policy file before it is signed. A bundle of it is published at --now, and its schedule is\n" +
			"played on a virtual clock with the real signers, sources and checks. Clocks, caches, outages and deliveries are as bad\n" +
			"as they may be. Exit status 1 if consumers would reject honest events; the shortest story of each kind is told.\n\n" +
			"--previous is the bundle in use, which is not verified; without it, the keys that are active already are in use.\n" +
			"--plan has a line for each limit and each step, all of which may be absent (these are the usual limits):\n\n" +
			"  refresh 1m, cache 0s, in-flight 1d, skew 5m, late 3m, timestamps no, seed 0\n" +
			"  consumers 3, producers 2, courses 20\n" +
			"  at +1h rotate PRODUCER [active +2h] [retired +3h] [expired +5d]\n" +
			"  at +1h widen PRODUCER TYPE; at +1h rival PRODUCER TYPE (a second publisher at once)\n" +
			"  at +1h revoke PRODUCER; at +1h outage 30m; at +1h withhold (by a mirror)",
		Example: "sealbus trust simulate --policy policy.yaml --previous trust.dsse\n" +
			"sealbus trust simulate --policy policy.yaml --plan plan.txt --svg rotation.svg",
		Now: true,
		Run: func(ctx context.Context, _ []string) error { return trustSimulate(ctx, env, &f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.policy, "policy", "", "the policy `FILE` that is to be published")
	flags.StringVar(&f.previous, "previous", "", "the signed bundle `FILE` that is in use now")
	flags.StringVar(&f.plan, "plan", "", "the `FILE` with limits and steps")
	flags.StringVar(&f.svg, "svg", "", "also draw the chart into this new SVG `FILE`")
	return cmd
}

func trustSimulate(ctx context.Context, env *ui.Env, f *simulateFlags) error {
	if err := ui.Need(ui.Flag("policy", f.policy)); err != nil {
		return err
	}
	if f.svg != "" && ui.Exists(f.svg) {
		return ui.FileExists(f.svg)
	}
	dir, err := os.MkdirTemp("", "sealbus-rehearsal-")
	if err != nil {
		return ui.Unavailable("check the directory for temporary files", "%w", ui.Cause(err))
	}
	defer func() { _ = os.RemoveAll(dir) }() // it has keys that no one trusts
	p, err := f.read(ctx, env, rehearsal.NewCast(dir))
	if err != nil {
		return err
	}
	found, err := rehearsal.Rehearse(ctx, p)
	if err != nil {
		return ui.Rejected("correct the policy file or the plan", "%w", err)
	}
	r := describeFindings(found)
	if f.svg != "" {
		if err := ui.CreateFile(f.svg, found.Chart().SVG(f.policy+": "+r.sentence()), ui.PublicFile); err != nil {
			return err
		}
	}
	if err := env.Emit(r, func(p *ui.Printer) { r.print(p, found) }); err != nil {
		return err
	}
	if len(found.Stories) > 0 {
		return ui.Ended(ui.ExitRejected)
	}
	return nil
}

// read makes the plan: the bundle in use, the bundle of the policy, and what the plan file adds.
func (f *simulateFlags) read(ctx context.Context, env *ui.Env, cast *rehearsal.Cast) (*rehearsal.Plan, error) {
	_, next, err := ReadPolicy(env, f.policy)
	if err != nil {
		return nil, err
	}
	now := env.Now().Truncate(time.Second)
	was := rehearsal.Before(next, now)
	plan := &rehearsal.Plan{Start: now.Add(-time.Hour), Cast: cast}
	if f.previous != "" {
		signed, err := loadtrust.ReadSigned(ctx, env, f.previous)
		if err != nil {
			return nil, err
		}
		_, b, err := unverifiedBundle(f.previous, signed)
		if err != nil {
			return nil, err
		}
		was, plan.Refresh, plan.Cache = rehearsal.PolicyOf(b), b.RefreshHint(), b.Cache()
	}
	plan.Refresh, plan.Cache = cmp.Or(next.RefreshHint, plan.Refresh), cmp.Or(next.Cache, plan.Cache)
	plan.InFlight = next.InFlight
	for i, p := range []*policy.Policy{was, next} {
		inCast, err := cast.Replace(p, ui.ShortID)
		if err != nil {
			return nil, ui.Rejected("correct the policy file", "%w", err)
		}
		built := []time.Time{plan.Start, now}[i]
		plan.Publications = append(plan.Publications, rehearsal.Publication{Built: built, Policy: inCast})
	}
	if f.plan == "" {
		return plan, nil
	}
	doc, err := env.ReadFile(f.plan, rehearsal.MaxPlan)
	if err != nil {
		return nil, err
	}
	values := rehearsal.Values{Duration: ui.ParseDuration, Moment: ui.ParseMoment}
	if err := plan.Read(doc, now, values); err != nil {
		return nil, ui.Usage("`sealbus trust simulate --help` has every line that a plan may have", "%s: %w", f.plan, err)
	}
	return plan, nil
}

// rehearsed is the result of `trust simulate`.
type rehearsed struct {
	Verdict string                    `json:"verdict"` // safe or unsafe
	Courses int                       `json:"courses"`
	Days    float64                   `json:"virtual_days"`
	Events  map[rehearsal.Outcome]int `json:"events"`
	Stories []storyTold               `json:"stories"`
	Refused []string                  `json:"refused"` // why trust build refuses it
	Limits  map[string]string         `json:"limits"`

	Revocations []revocationTimed `json:"revocations,omitempty"`
}

// revocationTimed is how long a revocation takes, in seconds.
type revocationTimed struct {
	Key      string  `json:"key"`
	Most     float64 `json:"most_seconds"` // until 99 of 100 consumers refuse the key
	Last     float64 `json:"last_seconds"`
	Withheld float64 `json:"withheld_seconds,omitempty"` // behind a mirror that withholds it
}

// storyTold is the shortest course of events that ends in a failure.
type storyTold struct {
	Outcome rehearsal.Outcome `json:"outcome"`
	Reason  string            `json:"reason,omitempty"` // of the consumer
	Moments []momentTold      `json:"moments"`
}

type momentTold struct {
	At   string `json:"at"`
	Text string `json:"text"`
}

func describeFindings(f *rehearsal.Findings) *rehearsed {
	p := &f.Plan
	r := &rehearsed{Verdict: "safe", Courses: f.Courses, Days: f.Days, Events: f.Counts, Stories: []storyTold{},
		Refused: f.Refusals(),
		Limits: map[string]string{"refresh": ui.FormatDuration(p.Refresh), "cache": ui.FormatDuration(p.Cache),
			"in-flight": ui.FormatDuration(p.InFlight), "skew": ui.FormatDuration(p.Skew),
			"late": ui.FormatDuration(p.Late), "outage": ui.FormatDuration(p.Outage())}}
	for _, e := range f.Emergencies {
		r.Revocations = append(r.Revocations, revocationTimed{e.Label, e.Most.Seconds(), e.Last.Seconds(),
			e.Withheld.Seconds()})
	}
	for _, record := range f.Stories {
		r.Verdict = "unsafe"
		failed := record.Failures()[0]
		s := storyTold{Outcome: failed.Outcome, Reason: string(failed.Reason)}
		for _, m := range record.Story() {
			s.Moments = append(s.Moments, momentTold{ui.FormatTime(m.At), m.Text})
		}
		r.Stories = append(r.Stories, s)
	}
	return r
}

// sentence is the result in one line.
func (r *rehearsed) sentence() string {
	lost := r.Events[rehearsal.Rejected] + r.Events[rehearsal.UsedUp] + r.Events[rehearsal.Unsealed]
	if lost == 0 {
		return "no honest event is lost"
	}
	return ui.Count(lost, "honest event") + " lost"
}

func (r *rehearsed) print(p *ui.Printer, f *rehearsal.Findings) {
	p.Hangingf(4, "%s: %s played, %.0f virtual days", p.Bold(r.sentence()), ui.Count(r.Courses, "course"), r.Days)
	var limits []string
	for _, name := range []string{"refresh", "cache", "in-flight", "skew", "late", "outage"} {
		limits = append(limits, name+" "+r.Limits[name])
	}
	p.Hangingf(4, "limits: %s", strings.Join(limits, ", "))
	var counts []string
	for _, o := range rehearsal.Outcomes() {
		if n := r.Events[o]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(o), "_", " ")))
		}
	}
	p.Hangingf(4, "events at consumers: %s", strings.Join(counts, ", "))
	for _, text := range r.Refused {
		p.Hanging("trust build refuses it: "+ui.Clean(text), 0, 4, p.Prose())
	}
	for _, e := range f.Emergencies {
		behind := ""
		if e.Withheld > 0 {
			behind = ", and those behind the mirror after " + ui.FormatDuration(e.Withheld)
		}
		p.Hanging(fmt.Sprintf("revoked key %s: 99 of 100 consumers refuse it after %s, the last after %s%s",
			ui.Clean(e.Label), ui.FormatDuration(e.Most), ui.FormatDuration(e.Last), behind), 0, 4, p.Prose())
	}
	if len(f.Stories) == 0 {
		printChart(p, f.Chart())
		return
	}
	for _, record := range f.Stories {
		failed := record.Failures()[0]
		p.Linef("")
		p.Hangingf(4, "%s", p.Red(strings.TrimSpace(strings.ReplaceAll(string(failed.Outcome), "_", " ")+" "+
			string(failed.Reason))))
		printChart(p, record.Chart())
	}
}

// stateGlyphs are the lanes of a chart in plain characters.
var stateGlyphs = map[keys.State]string{keys.StatePending: ".", keys.StatePublished: ".", keys.StateActive: "=",
	keys.StateRetired: "-", keys.StateRevoked: "x"}

// printChart draws a line for each moment, with a lane for each key.
func printChart(p *ui.Printer, c *rehearsal.Chart) {
	for i, lane := range c.Keys {
		p.Linef("%s %s", p.Dim(strings.Repeat("|", i)+"+"), ui.Clean("key "+lane.Label+" of "+lane.Producer))
	}
	day := ""
	for _, row := range c.Rows {
		if is := row.At.UTC().Format(time.DateOnly); is != day {
			day = is
			p.Linef("%s", p.Dim(day))
		}
		lanes := ""
		for _, state := range row.States {
			glyph := stateGlyphs[state]
			if glyph == "" {
				glyph = " "
			}
			lanes += glyph
		}
		host := fmt.Sprint(row.Bundle)
		if row.Down {
			host = "!"
		}
		head := fmt.Sprintf("%s  %s  %2s  ", row.At.UTC().Format(time.TimeOnly), lanes, host)
		p.Hanging(head+ui.Clean(row.Text+countsOf(&row)), 0, len(head), p.Prose())
	}
	p.Linef("%s", p.Dim(". known  = signs  - still accepted  x revoked; then the bundle on the host, ! = down"))
}

// countsOf is what became of the events that were sealed from then on.
func countsOf(row *rehearsal.Row) string {
	if row.Of == rehearsal.OfEvents || row.Accepted+row.Lost+row.Other == 0 {
		return ""
	}
	text := fmt.Sprintf("; %d accepted", row.Accepted)
	if row.Lost > 0 {
		text += fmt.Sprintf(", %d lost", row.Lost)
	}
	if row.Other > 0 {
		text += fmt.Sprintf(", %d other", row.Other)
	}
	return text
}
