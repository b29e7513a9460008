package quarantine

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadquarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/quarantine"
)

// recordRemoved is what became of one record of `quarantine remove`.
type recordRemoved struct {
	ID      string `json:"id"`
	Removed bool   `json:"removed"`
	Message string `json:"message,omitempty"`
}

func removeCommand(env *ui.Env) *cobra.Command {
	var f loadquarantine.QuarantineFlags
	cmd := env.Command(ui.Command{
		Use: "remove --from PLACE --key-file FILE ID...", Short: "Delete records, authentic or not",
		Args: ui.AtLeastOne("ID"),
		Long: "Delete records for good: forgeries that were looked at, and what is not authentic. " +
			"An event that was a payment is lost then,\n" +
			"unless the bucket keeps versions.",
		Example: "sealbus quarantine remove --from dir:bin --key-file quarantine.key ID",
		Run:     func(ctx context.Context, args []string) error { return quarantineRemove(ctx, env, &f, args) },
	})
	f.Register(cmd)
	return cmd
}

func quarantineRemove(ctx context.Context, env *ui.Env, f *loadquarantine.QuarantineFlags,
	ids []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	env.EndOnSignal(ctx, cancel)
	store, err := loadquarantine.Open(ctx, env, f)
	if err != nil {
		return err
	}
	if ids, err = recordIDs(ctx, store, ids); err != nil {
		return storeFailed(err)
	}
	exit := ui.ExitDone
	for _, id := range ids {
		out := recordRemoved{ID: id, Removed: true}
		if err := store.Remove(ctx, id); errors.Is(err, quarantine.ErrNotFound) {
			out.Removed, out.Message, exit = false, errtext.Plain(err), ui.ExitRejected
		} else if err != nil {
			return storeFailed(err)
		}
		if err := tellRemoved(env, &out); err != nil {
			return err
		}
	}
	return ui.Ended(exit)
}

func tellRemoved(env *ui.Env, out *recordRemoved) error {
	if env.JSON {
		return env.WriteJSON(out)
	}
	if !out.Removed {
		env.Sayf("%s", out.Message)
		return nil
	}
	p := &ui.Printer{Style: env.Out}
	p.Linef("%s  removed", p.Bold(ui.Clean(out.ID)))
	return env.WriteText(p)
}
