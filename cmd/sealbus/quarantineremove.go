package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/consumer/quarantine"
)

// recordRemoved is what became of one record of `quarantine remove`.
type recordRemoved struct {
	ID      string `json:"id"`
	Removed bool   `json:"removed"`
	Message string `json:"message,omitempty"`
}

func (a *app) quarantineRemoveCommand() *cobra.Command {
	var f quarantineFlags
	cmd := a.command(commandSpec{
		use: "remove --from PLACE --key-file FILE ID...", short: "Delete records, authentic or not", args: atLeastOne("ID"),
		long: "Delete records for good: forgeries that were looked at, and what is not authentic. " +
			"An event that was a payment is lost then,\n" +
			"unless the bucket keeps versions.",
		example: "sealbus quarantine remove --from dir:bin --key-file quarantine.key ID",
		run:     func(ctx context.Context, args []string) error { return a.quarantineRemove(ctx, &f, args) },
	})
	f.register(cmd)
	return cmd
}

func (a *app) quarantineRemove(ctx context.Context, f *quarantineFlags, ids []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.endOnSignal(ctx, cancel)
	store, err := a.openQuarantine(ctx, f)
	if err != nil {
		return err
	}
	if ids, err = recordIDs(ctx, store, ids); err != nil {
		return storeFailed(err)
	}
	exit := exitDone
	for _, id := range ids {
		out := recordRemoved{ID: id, Removed: true}
		if err := store.Remove(ctx, id); errors.Is(err, quarantine.ErrNotFound) {
			out.Removed, out.Message, exit = false, plainMessage(err), exitRejected
		} else if err != nil {
			return storeFailed(err)
		}
		if err := a.tellRemoved(&out); err != nil {
			return err
		}
	}
	return ended(exit)
}

func (a *app) tellRemoved(out *recordRemoved) error {
	if a.json {
		return a.writeJSON(out)
	}
	if !out.Removed {
		a.sayf("%s", out.Message)
		return nil
	}
	p := &printer{style: a.out}
	p.linef("%s  removed", p.bold(clean(out.ID)))
	return a.writeText(p)
}
