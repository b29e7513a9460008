package keys

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

// pruneFlags are those of `keys prune`.
type pruneFlags struct {
	ownFlags
	dryRun, yes bool
}

// prunedKey is a key whose private half is removed, or would be.
type prunedKey struct {
	KeyID   string `json:"key_id"`
	Expired string `json:"expired"`
}

type pruned struct {
	Keyring string      `json:"keyring"`
	Removed bool        `json:"removed"` // false = nothing was changed
	Keys    []prunedKey `json:"keys"`
}

func pruneCommand(env *ui.Env) *cobra.Command {
	f := &pruneFlags{}
	cmd := env.Command(ui.Command{
		Use:   "prune --keyring FILE [--tink-kek ARN] [--dry-run] [--yes]",
		Short: "Remove the private halves of keys that have expired", Now: true,
		Long: "Remove the private halves of the keys that have expired by their schedule, for good: nothing that they sign is accepted\n" +
			"any more, and nothing that is encrypted to them is opened. A key without that moment stays: `sealbus keys retire` sets it.\n\n" +
			"It looks at no trust bundle. `sealbus keys rotate --apply` with --trust does, and keeps an encryption key that producers\n" +
			"may still use.",
		Run: func(ctx context.Context, _ []string) error { return keysPrune(ctx, env, f) },
	})
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be removed, and change nothing")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	f.ownFlags.register(cmd)
	return cmd
}

func keysPrune(ctx context.Context, env *ui.Env, f *pruneFlags) error {
	mine, err := openOwn(ctx, env, &f.ownFlags)
	if err != nil {
		return err
	}
	r := pruned{Keyring: f.Path, Keys: []prunedKey{}}
	var ids []string
	// The machine's clock must agree: what is gone cannot be had back.
	now := env.Now()
	if clock := env.Clock(); clock.Before(now) && !f.dryRun {
		now = clock
	}
	for _, k := range mine.public() {
		if k.Schedule.StateAt(now) == keys.StateExpired {
			ids = append(ids, k.KeyID())
			r.Keys = append(r.Keys, prunedKey{k.KeyID(), ui.FormatTime(k.Schedule.Expired)})
		}
	}
	if len(ids) > 0 && !f.dryRun {
		if err := f.confirm(env, &r, now); err != nil {
			return err
		}
		if err := mine.remove(ctx, ids); err != nil {
			return err
		}
		r.Removed = true
	}
	return env.Emit(r, r.print)
}

// confirm asks at the terminal.
func (f *pruneFlags) confirm(env *ui.Env, r *pruned, now time.Time) error {
	if f.yes {
		return nil
	}
	for _, k := range r.Keys {
		env.Sayf("key %s expired at %s", ui.ShortID(k.KeyID), k.Expired)
	}
	answer, err := env.Ask("remove " + ui.Count(len(r.Keys), "private key") + " from " + ui.Clean(f.Path) +
		" for good? Type yes: ")
	switch {
	case err != nil:
		return ui.Usage("add --yes, after a look with --dry-run", "there is no terminal to ask at")
	case string(answer) != "yes":
		return ui.Usage("type yes to remove them", "nothing was removed")
	}
	return nil
}

func (r pruned) print(p *ui.Printer) {
	verb := "would be removed"
	if r.Removed {
		verb = "removed"
	}
	for _, k := range r.Keys {
		p.Linef("%s  %s", p.Bold(k.KeyID), verb)
	}
	if len(r.Keys) == 0 {
		p.Linef("no key has expired")
	}
}
