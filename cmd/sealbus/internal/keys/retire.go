package keys

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/rotation"
)

// retired is the result of `keys retire`.
type retired struct {
	Keyring string `json:"keyring"`
	KeyID   string `json:"key_id"`
	Changed bool   `json:"changed"`
	Retired string `json:"retired"`
	Expired string `json:"expired"`
}

func retireCommand(env *ui.Env) *cobra.Command {
	var f ownFlags
	var at string
	inFlight := ui.DurationValue(rotation.DefaultInFlight)
	cmd := env.Command(ui.Command{
		Use:   "retire --keyring FILE [--tink-kek ARN] [--at TIME] KEYID",
		Short: "Give a key an end, when another one takes its place",
		Long: "Write into the keyring that a key is used until --at, and is kept for its last events until --in-flight later. An end\n" +
			"that it has already only comes earlier. It is refused if no other key of its kind is used from then on: make one first,\n" +
			"with `sealbus keys rotate`.\n\n" +
			"There is no way back. For a stolen key, that is not enough: have it revoked (`sealbus trust revoke`). To have producers\n" +
			"and consumers prefer another key meanwhile, mark it in the trust policy: `sealbus keys status` and `keys rotate` follow\n" +
			"that mark.",
		Args: ui.Exactly("KEYID"), Now: true,
		Run: func(ctx context.Context, args []string) error {
			return keysRetire(ctx, env, &f, args[0], at, time.Duration(inFlight))
		},
	})
	cmd.Flags().StringVar(&at, "at", "now", "the key is used until this `TIME`: RFC 3339, a date, now, or +7d")
	cmd.Flags().Var(&inFlight, "in-flight", "how long after that its events may still arrive")
	f.register(cmd)
	return cmd
}

func keysRetire(ctx context.Context, env *ui.Env, f *ownFlags, given, at string,
	inFlight time.Duration) error {
	end, err := ui.ParseMoment(at, env.Now())
	if err != nil {
		return ui.FlagFailed("at", err)
	}
	end = end.Truncate(time.Second)
	mine, err := openOwn(ctx, env, f)
	if err != nil {
		return err
	}
	key, err := mine.find(given)
	if err != nil {
		return err
	}
	s := key.Schedule
	if s.Retired.IsZero() || end.Before(s.Retired) {
		s.Retired = end
	}
	if s.Expired.IsZero() { // an end that is written down late was not known before now
		from := s.Retired
		if now := env.Now().Truncate(time.Second); from.Before(now) {
			from = now
		}
		s.Expired = from.Add(inFlight + keydoc.TimestampSkew)
	}
	if err := s.Check(); err != nil {
		return ui.Usage("give a later moment with --at", "key %s: %w", ui.ShortID(key.KeyID()), err)
	}
	if err := checkSuccessor(mine, &key, s.Retired, env.Now()); err != nil {
		return err
	}
	r := retired{Keyring: f.Path, KeyID: key.KeyID(), Changed: s != key.Schedule,
		Retired: ui.FormatTime(s.Retired), Expired: ui.FormatTime(s.Expired)}
	if r.Changed {
		if err := mine.reschedule(r.KeyID, s); err != nil {
			return err
		}
	}
	return env.Emit(r, func(p *ui.Printer) {
		p.Linef("%s  retired %s, expired %s", p.Bold(r.KeyID), r.Retired, r.Expired)
	})
}

// checkSuccessor refuses an end after which no key of the same kind is used, now and later.
func checkSuccessor(mine *own, key *keys.PublicKey, end, now time.Time) error {
	if end.Before(now) {
		end = now
	}
	kind := rotation.KeysOf([]keys.PublicKey{*key}, nil)[0].Kind
	for _, k := range rotation.KeysOf(mine.used(now), nil) {
		if k.ID != key.KeyID() && k.Kind == kind && k.Schedule.SignsAt(end) {
			return nil
		}
	}
	return ui.Usage("make the next key first, with `sealbus keys rotate --apply`, or give a later moment with --at",
		"no other key for %s would be used from %s", kind, ui.FormatTime(end))
}
