package keys

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys/rotation"
	"github.com/sealbus/sealbus/keys/trust"
)

// rotateFlags are those of `keys rotate`.
type rotateFlags struct {
	ownFlags
	planFlags
	at, out string
	overlap ui.DurationValue
	apply   bool

	overlapGiven bool
}

// rotated is the result of `keys rotate`.
type rotated struct {
	Keyring  string     `json:"keyring"`
	Producer string     `json:"producer,omitempty"`
	Consumer string     `json:"consumer,omitempty"`
	Applied  *stepTold  `json:"applied"` // null = nothing was changed
	Steps    []stepTold `json:"steps"`   // after that

	steps []rotation.Step
}

func rotateCommand(env *ui.Env) *cobra.Command {
	f := &rotateFlags{overlap: ui.DurationValue(rotation.DefaultOverlap)}
	var cmd *cobra.Command
	cmd = env.Command(ui.Command{
		Use:   "rotate (--keyring FILE [--tink-kek ARN] | --kms ARN...) [--at TIME] [--overlap DURATION] [--apply]",
		Short: "Plan the change to a new key, and do the step that is due", Now: true,
		Long: "Print what is to be done to change a keyring's key for a new one, and when. Nothing is changed, unless --apply says so:\n" +
			"then the next step that is due is done. The plan is computed from the keyring each time, so run the command as often\n" +
			"as you like, also after a crash. It makes no second key while a change is under way.\n\n" +
			"make: a new key, which takes over at --at, and an end for the old one, --overlap later. publish: the people who keep\n" +
			"the trust list it. known: every consumer has that bundle. activate and retire happen by themselves. prune: the secret\n" +
			"of a key that no consumer accepts any more is removed. end: an older key gets the end that it lacks.\n\n" +
			"Give --trust and --roots, so that the plan sees what consumers know: the time until then is three times the bundle's\n" +
			"refresh hint, plus its cache. Without them it is 3h. The review of the policy has two days before that.\n\n" +
			"A Tink keyset has two steps more, which --apply does as well: activate makes the new key primary, and retire disables\n" +
			"the old one. Its dates are in a file beside it, FILE.schedule, which belongs to it. Key pairs in KMS have their dates in\n" +
			"the trust policy: name them all with --kms, the new one last. Nothing of that can be changed from here, so the commands\n" +
			"to run are printed, and --apply ends with exit status 4 if something is due.\n\n" +
			"--at moves a new key that is not active yet. With --every, for a job that runs daily, the next key is made when its\n" +
			"time has come, and not before.",
		Example: "sealbus keys rotate --keyring orders.keyring --trust bundle.dsse --roots roots.json\n" +
			"sealbus keys rotate --keyring orders.keyring --trust bundle.dsse --roots roots.json --apply\n" +
			"sealbus keys rotate --kms OLD-ARN --kms NEW-ARN --producer orders --trust bundle.dsse --roots roots.json",
		Run: func(ctx context.Context, _ []string) error {
			f.overlapGiven = cmd.Flags().Changed("overlap")
			return keysRotate(ctx, env, f)
		},
	})
	cmd.Flags().StringVar(&f.at, "at", "",
		"the new key takes over at this `TIME`: RFC 3339, a date, now, or +7d (default when consumers can know it)")
	cmd.Flags().Var(&f.overlap, "overlap", "for how long the old key may still sign after that")
	cmd.Flags().StringVar(&f.out, "out", "",
		"with --apply: then write the public halves into this new `FILE`, as keys export does")
	cmd.Flags().BoolVar(&f.apply, "apply", false, "do the next step that is due")
	f.ownFlags.register(cmd)
	f.registerKMS(cmd)
	f.planFlags.register(cmd)
	return cmd
}

func keysRotate(ctx context.Context, env *ui.Env, f *rotateFlags) error {
	switch {
	case f.out != "" && !f.apply:
		return ui.Usage("add --apply, or use `sealbus keys export`", "--out goes with --apply, because a plan changes nothing")
	case f.out != "" && ui.Exists(f.out):
		return ui.FileExists(f.out)
	}
	bundle, o, err := f.open(ctx, env)
	if err != nil {
		return err
	}
	o.Begin = f.every == 0
	if o.Overlap = time.Duration(f.overlap); f.overlap == 0 {
		o.Overlap = -1
	}
	if f.at != "" {
		if o.At, err = ui.ParseMoment(f.at, env.Now()); err != nil {
			return ui.FlagFailed("at", err)
		}
	}
	mine, err := openOwn(ctx, env, &f.ownFlags)
	if err != nil {
		return err
	}
	_, steps, err := mine.plan(bundle, env.Now(), o)
	if err != nil {
		return planFailed(err)
	}
	r := rotated{Keyring: f.Path, Producer: mine.producer, Consumer: mine.consumer, steps: steps}
	due, ok := nextDue(steps)
	if f.apply && ok && mine.kms == nil {
		if due, err = apply(ctx, env, mine, due); err != nil {
			return err
		}
		r.Applied = &tellSteps([]rotation.Step{due})[0]
		o.Begin, o.At = false, time.Time{}
		if _, r.steps, err = mine.plan(bundle, env.Now(), o); err != nil {
			return planFailed(err)
		}
	}
	if f.out != "" {
		if err := writePublic(env, mine, f.out, mine.public()...); err != nil {
			return err
		}
	}
	r.Steps = tellSteps(r.steps)
	if err := env.Emit(r, func(p *ui.Printer) { r.print(p) }); err != nil {
		return err
	}
	f.tellNext(ctx, env, mine, bundle, &r)
	if f.apply && mine.kms != nil && isDue(r.steps) {
		env.Sayf("nothing was changed: a key pair is made in KMS, and its dates are in the trust policy")
		return ui.Ended(ui.ExitDue)
	}
	return nil
}

// apply does the step.
func apply(ctx context.Context, env *ui.Env, mine *own, s rotation.Step) (rotation.Step, error) {
	if s.Action == rotation.Prune && env.Clock().Before(s.At) { // what is gone cannot be had back
		return s, ui.Usage("leave --now out, or wait until "+ui.FormatTime(s.At),
			"by the clock of this machine, key %s has not expired: its secret is not removed", ui.ShortID(s.KeyID))
	}
	keyID, err := mine.do(ctx, &s)
	if err != nil {
		return s, err
	}
	s.KeyID, s.Status = keyID, rotation.Done
	env.Sayf("%s: %s of %s", s.Action, ui.ShortID(s.KeyID), mine.owner())
	return s, nil
}

// tellNext says what to do next, and who does it.
func (f *rotateFlags) tellNext(ctx context.Context, env *ui.Env, mine *own, bundle *trust.Bundle, r *rotated) {
	if len(r.steps) == 0 && (mine.kms == nil || mine.spare == nil) {
		env.Sayf("nothing is to be done")
		return
	}
	if mine.kms != nil {
		mine.tellKMS(env, f, r.steps)
		return
	}
	for i := range r.steps {
		s := &r.steps[i]
		if s.Action == rotation.Publish && s.KeyID != "" && s.Status != rotation.Done && s.Status != rotation.Waiting {
			f.tellPublish(ctx, env, mine, s)
		}
		if s.Action == rotation.Known && s.Status == rotation.Late {
			env.Warnf("key %s takes over before every consumer knows it: until then the old one must sign, or move the takeover with --at %s",
				ui.ShortID(s.KeyID), ui.FormatTime(s.At))
		}
	}
	if _, ok := nextDue(r.steps); ok && r.Applied == nil {
		env.Next("nothing was changed; to do the step that is due", "sealbus keys rotate"+f.ownFlags.flags()+f.rest()+" --apply")
	}
	if bundle == nil && mine.producer != "" {
		env.Sayf("add --trust and --roots to see what consumers know")
	}
}

func (f *rotateFlags) rest() (flags string) {
	for _, g := range []struct{ name, value string }{
		{"trust", f.Trust}, {"roots", f.Roots}, {"at", f.at},
	} {
		if g.value != "" {
			flags += " --" + g.name + " " + ui.ShellQuote(g.value)
		}
	}
	if f.overlapGiven {
		flags += " --overlap " + f.overlap.String()
	}
	if f.every > 0 {
		flags += " --every " + f.every.String()
	}
	if f.inFlight > 0 {
		flags += " --in-flight " + f.inFlight.String()
	}
	return flags
}

// tellPublish gives the commands by which the new key comes into the trust.
func (f *rotateFlags) tellPublish(ctx context.Context, env *ui.Env, mine *own, s *rotation.Step) {
	if s.Status == rotation.Late {
		env.Warnf("key %s takes over soon, and consumers cannot know it by then: move that with --at TIME --apply",
			ui.ShortID(s.KeyID))
	}
	where, inHome := loadhome.Named(ctx)
	if inHome && f.Insecure { // trust add then takes the public halves from the keyring
		env.Next("for the policy", "sealbus trust add"+where+mine.ownerFlag())
		return
	}
	if !inHome {
		where = " --policy policy.yaml"
	}
	file := ui.ShellQuote(f.out)
	if f.out == "" {
		file = mine.publicFile(s.KeyID)
		env.Next("for the people who keep the trust", "sealbus keys export"+f.ownFlags.flags()+" --out "+file)
	}
	env.Next("by them", "sealbus trust add"+where+mine.ownerFlag()+" "+file)
}

func (r *rotated) print(p *ui.Printer) {
	owner := "producer  " + p.Bold(r.Producer)
	if r.Consumer != "" {
		owner = "consumer  " + p.Bold(r.Consumer)
	}
	p.Linef("%s", owner)
	if len(r.steps) == 0 {
		return
	}
	p.Linef("")
	t := r.table(p, true)
	if !t.Fits(p.Style) {
		t = r.table(p, false)
	}
	t.Print(p)
}

func (r *rotated) table(p *ui.Printer, explained bool) *ui.Table {
	t := &ui.Table{Header: []string{"WHEN", "STEP", "KEY", "STATUS"}}
	if explained {
		t.Header = append(t.Header, "MEANING")
	}
	for i := range r.steps {
		s := &r.steps[i]
		row := []ui.Cell{ui.Painted(cmp.Or(ui.FormatTime(s.At), "-"), nil), ui.Painted(string(s.Action), nil),
			ui.Painted(cmp.Or(ui.ShortID(s.KeyID), "(new)"), p.Bold), statusCell(p, s.Status)}
		if explained {
			row = append(row, ui.Painted(meaning(s.Action), p.Dim))
		}
		t.Add(row...)
	}
	return t
}
