package keys

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/rotation"
)

// statusFlags are those of `keys status`.
type statusFlags struct {
	ownFlags
	planFlags
	keyrings []string
}

// keyStatus is one key of `keys status`.
type keyStatus struct {
	KeyID    string     `json:"key_id"`
	Use      string     `json:"use"` // sig or enc
	Alg      string     `json:"alg"`
	State    keys.State `json:"state"`
	Tainted  bool       `json:"tainted,omitempty"`
	DaysLeft *int       `json:"days_left"` // until its next state; null = it has none
	ToDo     []stepTold `json:"to_do"`     // steps that are due or late

	todo string
}

type ringStatus struct {
	Keyring  string      `json:"keyring"`
	Producer string      `json:"producer,omitempty"`
	Consumer string      `json:"consumer,omitempty"`
	Keys     []keyStatus `json:"keys"`
	Due      bool        `json:"due"`
}

type statusShown struct {
	Keyrings []ringStatus `json:"keyrings"`
}

func statusCommand(env *ui.Env) *cobra.Command {
	f := &statusFlags{}
	cmd := env.Command(ui.Command{
		Use:   "status (--keyring FILE... [--tink-kek ARN] | --kms ARN...) [--trust FILE --roots FILE]",
		Short: "Say of each key what state it is in, and what is to be done", Now: true,
		Long: "Say of each key of a keyring in which state it is, how many days are left until the next one, and what is to be done.\n" +
			"It changes nothing. With --trust and --roots it also tells whether consumers know the key, and whether it is tainted.\n\n" +
			"Exit status: 4 if something is to be done, else 0.",
		Example: "sealbus keys status --keyring orders.keyring --trust bundle.dsse --roots roots.json",
		Run:     func(ctx context.Context, _ []string) error { return keysStatus(ctx, env, f) },
	})
	cmd.Flags().StringArrayVar(&f.keyrings, "keyring", nil,
		"the private keys of a producer, or of a consumer, a `FILE`; may be repeated")
	f.PrivateFlags.Register(cmd)
	f.registerTink(cmd)
	f.registerKMS(cmd)
	f.planFlags.register(cmd)
	return cmd
}

func keysStatus(ctx context.Context, env *ui.Env, f *statusFlags) error {
	switch {
	case f.kms != nil && f.keyrings == nil:
		f.keyrings = []string{""}
	case len(f.keyrings) == 0:
		return ui.Need(ui.Flag("keyring", ""))
	}
	bundle, o, err := f.open(ctx, env)
	if err != nil {
		return err
	}
	shown, due := statusShown{}, false
	var silent [][2]string // whose keys are all revoked, and the command for another
	for _, path := range f.keyrings {
		flags := f.ownFlags
		flags.Path = path
		mine, err := openOwn(ctx, env, &flags)
		if err != nil {
			return err
		}
		list, steps, err := mine.plan(bundle, env.Now(), o)
		if err != nil {
			return planFailed(err)
		}
		due = due || isDue(steps)
		s := ringStatus{Keyring: path, Producer: mine.producer, Consumer: mine.consumer, Due: isDue(steps)}
		for _, k := range mine.public() {
			planned := rotation.Key{ID: k.KeyID(), Schedule: k.Schedule} // that there is no plan for
			if i := slices.IndexFunc(list, func(p rotation.Key) bool { return p.ID == k.KeyID() }); i >= 0 {
				planned = list[i]
				k.Schedule = planned.Schedule
			}
			s.Keys = append(s.Keys, statusOf(&k, &planned, steps, mine.stateAt(&k, env.Now()), env.Now()))
		}
		shown.Keyrings = append(shown.Keyrings, s)
		if s.isRevoked() && mine.kms == nil && flags.tinkKEK == "" {
			silent = append(silent, [2]string{mine.owner(), mine.another(ctx, &flags.KeyringFlags)})
		}
	}
	if err := env.Emit(shown, shown.print); err != nil {
		return err
	}
	for _, s := range silent {
		env.Next("no key of "+s[0]+" may sign, since they are revoked; the new one signs at once", s[1])
	}
	if due && len(silent) == 0 {
		env.Sayf("something is to be done: `sealbus keys rotate` says what, and when")
	}
	if due || len(silent) > 0 {
		return ui.Ended(ui.ExitDue)
	}
	return nil
}

// another is the command that makes a new key, which signs at once.
func (o *own) another(ctx context.Context, f *loadkeys.KeyringFlags) string {
	if where, inHome := loadhome.Named(ctx); inHome {
		return "sealbus keys new" + where + o.ownerFlag()
	}
	return "sealbus keys new" + o.ownerFlag() + flagsOf(f)
}

// isRevoked reports whether the producer cannot sign, and why: its keys are revoked, and no other follows.
func (r *ringStatus) isRevoked() bool {
	revoked := false
	for _, k := range r.Keys {
		switch k.State {
		case keys.StatePending, keys.StatePublished, keys.StateActive:
			return false
		}
		revoked = revoked || k.State == keys.StateRevoked
	}
	return revoked && r.Producer != ""
}

func statusOf(public *keys.PublicKey, k *rotation.Key, steps []rotation.Step, state keys.State,
	now time.Time) keyStatus {
	s := keyStatus{KeyID: k.ID, Use: useSign, Alg: loadkeys.AlgOf(public), State: state, ToDo: []stepTold{}}
	if public.Recipient != nil {
		s.Use = useEncrypt
	}
	if k.Trust != nil {
		s.Tainted = k.Trust.Tainted
		if k.Trust.Revoked {
			s.State = keys.StateRevoked
		}
	}
	if at := nextMoment(&k.Schedule, now); !at.IsZero() {
		days := ui.DaysLeft(at, now)
		s.DaysLeft = &days
	}
	for i := range steps {
		step := &steps[i]
		mine := step.KeyID == k.ID || step.Action == rotation.Make && step.Like == k.ID
		if mine && (step.Status == rotation.Due || step.Status == rotation.Late) {
			s.ToDo = append(s.ToDo, tellSteps([]rotation.Step{*step})...)
			s.todo = cmp.Or(s.todo, toDo(step))
		}
	}
	return s
}

// toDo is what is to be done, in a few words.
func toDo(s *rotation.Step) string {
	switch {
	case s.Action == rotation.Make:
		return "make the next key"
	case s.Action == rotation.Publish && s.Status == rotation.Late:
		return "publish it, and move its takeover"
	case s.Action == rotation.Publish:
		return "publish it"
	case s.Action == rotation.Known:
		return "move its takeover to " + ui.FormatTime(s.At)
	case s.Action == rotation.End:
		return "give it an end"
	case s.Action == rotation.Activate:
		return "make it primary"
	case s.Action == rotation.Retire:
		return "disable it"
	}
	return string(s.Action) + " it"
}

func nextMoment(s *keys.Schedule, now time.Time) time.Time {
	for _, at := range []time.Time{s.Published, s.Active, s.Retired, s.Expired} {
		if now.Before(at) {
			return at
		}
	}
	return time.Time{}
}

func (s statusShown) print(p *ui.Printer) {
	t := &ui.Table{Header: []string{"OWNER", "KEY", "USE", "STATE", "DAYS", "TO DO"}}
	for _, r := range s.Keyrings {
		for _, k := range r.Keys {
			state := string(k.State)
			cell := loadkeys.StateCell(p, k.State)
			if k.Tainted {
				cell = ui.Painted(state+", tainted", p.Red)
			}
			days := "-"
			if k.DaysLeft != nil {
				days = strconv.Itoa(*k.DaysLeft)
			}
			t.Add(ui.Painted(cmp.Or(r.Producer, r.Consumer), nil), ui.Painted(ui.ShortID(k.KeyID), p.Bold), ui.Painted(k.Use, nil),
				cell, ui.Painted(days, nil), ui.Painted(cmp.Or(k.todo, "-"), p.Yellow))
		}
	}
	t.Print(p)
}
