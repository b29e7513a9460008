package webhook

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadclaims"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook/sender"
)

// page is how many dead deliveries are read at a time.
const page = 100

type deadFlags struct {
	redis, endpoint string
	limit           int
	enable, all     bool
}

func deadCommand(env *ui.Env) *cobra.Command {
	return env.Group("dead", "Webhooks that sealbus gateway could not deliver",
		"sealbus gateway tries for three days to deliver an event to an endpoint under out. After that, or "+
			"after a final answer such as 410, the delivery is dead. It stays in Redis until it is sent again.",
		deadListCommand(env), deadRetryCommand(env))
}

func deadListCommand(env *ui.Env) *cobra.Command {
	f := &deadFlags{}
	cmd := env.Command(ui.Command{
		Use: "list --redis URL", Short: "List dead deliveries, and why they died",
		Long: `List dead deliveries by endpoint and ID, with the cause of the last attempt. No body is shown. With
--output json there is one line for each.`,
		Example: "sealbus webhook dead list --redis redis://hooks.internal --endpoint acme",
		Run:     func(ctx context.Context, _ []string) error { return deadList(ctx, env, f) },
	})
	f.register(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 1000, "the most deliveries to show, a `NUMBER`; 0 = all")
	return cmd
}

func deadRetryCommand(env *ui.Env) *cobra.Command {
	f := &deadFlags{}
	cmd := env.Command(ui.Command{
		Use: "retry --redis URL --endpoint NAME (ID... | --all)", Short: "Send dead deliveries again",
		Args: ui.AnyFiles,
		Long: `Make dead deliveries of an endpoint due at once: the gateway sends them again, under the same IDs,
with the whole schedule of attempts.

An endpoint that answered 410 is disabled: what is sent to it dies at once. --enable enables it first.`,
		Example: "sealbus webhook dead retry --redis redis://hooks.internal --endpoint acme --all --enable",
		Run:     func(ctx context.Context, args []string) error { return deadRetry(ctx, env, f, args) },
	})
	f.register(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all dead deliveries of the endpoint")
	cmd.Flags().BoolVar(&f.enable, "enable", false, "also enable the endpoint, which a 410 disabled")
	return cmd
}

func (f *deadFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.redis, "redis", "", "the Redis of the gateway, a `URL`")
	cmd.Flags().StringVar(&f.endpoint, "endpoint", "", "the endpoint's `NAME` in the gateway's file")
}

// deadResult is a dead delivery for programs.
type deadResult struct {
	Endpoint string `json:"endpoint"`
	ID       string `json:"id"`
	Cause    string `json:"cause"`
	Attempts int    `json:"attempts"`
	At       string `json:"at"`
	Bytes    int    `json:"bytes"` // of the body
}

func deadList(ctx context.Context, env *ui.Env, f *deadFlags) error {
	if err := ui.Need(ui.Flag("redis", f.redis)); err != nil {
		return err
	}
	if f.limit < 0 {
		return ui.Usage("give a number, or 0 for all", "--limit: %d", f.limit)
	}
	store, done, err := loadclaims.OpenDeliveries(f.redis)
	if err != nil {
		return err
	}
	defer done()
	table := ui.Table{Header: []string{"died", "endpoint", "id", "attempts", "cause"}, Folds: []int{2}}
	shown := 0
	err = eachDead(ctx, store, f.endpoint, func(d *sender.DeadDelivery) (bool, error) {
		if f.limit > 0 && shown == f.limit {
			env.Sayf("there are more: --limit 0 lists all, --endpoint a part")
			return false, nil
		}
		shown++
		if env.JSON {
			return true, env.WriteJSON(deadResult{d.Endpoint, d.ID, string(d.Cause), d.Attempts,
				ui.FormatTime(d.At), len(d.Body)})
		}
		table.Add(ui.Cells(ui.FormatTime(d.At), d.Endpoint, d.ID, strconv.Itoa(d.Attempts), string(d.Cause))...)
		return true, nil
	})
	if err != nil || env.JSON {
		return err
	}
	if shown == 0 {
		env.Sayf("there are no dead deliveries")
		return nil
	}
	p := &ui.Printer{Style: env.Out}
	table.Print(p)
	return env.WriteText(p)
}

// eachDead calls f with each dead delivery, of all endpoints if none is named, until it returns false.
func eachDead(ctx context.Context, store sender.DeadLetters, endpoint string,
	f func(d *sender.DeadDelivery) (bool, error)) error {
	after := sender.Key{Endpoint: endpoint}
	for {
		list, err := store.Dead(ctx, after, page)
		if err != nil {
			return storeFailed(err)
		}
		for i := range list {
			if endpoint != "" && list[i].Endpoint != endpoint {
				return nil
			}
			if more, err := f(&list[i]); err != nil || !more {
				return err
			}
			after = list[i].Key
		}
		if len(list) < page {
			return nil
		}
	}
}

func deadRetry(ctx context.Context, env *ui.Env, f *deadFlags, ids []string) error {
	if err := ui.Need(ui.Flag("redis", f.redis), ui.Flag("endpoint", f.endpoint)); err != nil {
		return err
	}
	if f.all == (len(ids) > 0) {
		return ui.Usage("`sealbus webhook dead list` shows the IDs", "give either IDs or --all")
	}
	store, done, err := loadclaims.OpenDeliveries(f.redis)
	if err != nil {
		return err
	}
	defer done()
	if f.enable {
		if err := store.Disable(ctx, f.endpoint, false); err != nil {
			return storeFailed(err)
		}
	}
	sent := 0
	for _, id := range ids {
		err := store.Resend(ctx, sender.Key{Endpoint: f.endpoint, ID: id})
		if errors.Is(err, sender.ErrNotDead) {
			return ui.Rejected("`sealbus webhook dead list` shows the IDs",
				"the endpoint %.80q has no dead delivery %.80q", f.endpoint, id)
		} else if err != nil {
			return storeFailed(err)
		}
		sent++
	}
	if f.all {
		err = eachDead(ctx, store, f.endpoint, func(d *sender.DeadDelivery) (bool, error) {
			err := store.Resend(ctx, d.Key)
			if err == nil {
				sent++
			} else if !errors.Is(err, sender.ErrNotDead) { // another one has sent it
				return false, storeFailed(err)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	env.Sayf("%s: the gateway sends again what is due", ui.CountOf(sent, "delivery", "deliveries"))
	return nil
}

func storeFailed(err error) error { return ui.Unavailable("check --redis, and try again", "%w", err) }
