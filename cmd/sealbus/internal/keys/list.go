package keys

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

// keyListed is one key of `keys list`.
type keyListed struct {
	KeyID     string     `json:"key_id"`
	Alg       string     `json:"alg"`
	State     keys.State `json:"state"`
	SignsNow  bool       `json:"signs_now"` // among those that seal uses
	Published string     `json:"published,omitempty"`
	Active    string     `json:"active,omitempty"`
	Retired   string     `json:"retired,omitempty"`
	Expired   string     `json:"expired,omitempty"`

	schedule keys.Schedule
}

type listed struct {
	Producer string      `json:"producer,omitempty"`
	Consumer string      `json:"consumer,omitempty"` // the keys are for encryption
	Sources  []string    `json:"sources,omitempty"`
	Types    []string    `json:"types,omitempty"`
	Keys     []keyListed `json:"keys"`
}

func listCommand(env *ui.Env) *cobra.Command {
	var f ownFlags
	cmd := env.Command(ui.Command{
		Use: "list --keyring FILE [--tink-kek ARN]", Short: "List the keys of a keyring and which of them signs now",
		Now: true,
		Run: func(ctx context.Context, _ []string) error {
			mine, err := openOwn(ctx, env, &f)
			if err != nil {
				return err
			}
			list := listKeys(mine, env.Now())
			return env.Emit(list, func(p *ui.Printer) { list.print(p, env.Now()) })
		},
	})
	f.register(cmd)
	return cmd
}

func listKeys(mine *own, now time.Time) listed {
	list := listed{Producer: mine.producer, Consumer: mine.consumer, Keys: []keyListed{}}
	var ring keys.SignerSource = mine.set
	if mine.ring != nil {
		ring = mine.ring
		list.Sources, list.Types = mine.ring.Scope()
	}
	signing := map[string]bool{}
	if signers, err := ring.Signers(now); err == nil {
		for _, s := range signers {
			signing[s.Verifier().KeyID()] = true
		}
	}
	for _, k := range mine.public() {
		list.Keys = append(list.Keys, keyListed{
			KeyID: k.KeyID(), Alg: loadkeys.AlgOf(&k), State: mine.stateAt(&k, now),
			SignsNow:  signing[k.KeyID()],
			Published: ui.FormatTime(k.Schedule.Published), Active: ui.FormatTime(k.Schedule.Active),
			Retired: ui.FormatTime(k.Schedule.Retired), Expired: ui.FormatTime(k.Schedule.Expired),
			schedule: k.Schedule,
		})
	}
	return list
}

func (l *listed) print(p *ui.Printer, now time.Time) {
	if l.Consumer != "" {
		p.Linef("consumer  %s", p.Bold(l.Consumer))
	} else {
		p.Linef("producer  %s", p.Bold(l.Producer))
	}
	ui.PrintList(p, "sources   ", l.Sources)
	ui.PrintList(p, "types     ", l.Types)
	p.Linef("")
	t := l.table(p, now, func(id string) string { return id })
	if !t.Fits(p.Style) {
		t = l.table(p, now, ui.ShortID)
	}
	t.Print(p)
	if l.Producer != "" {
		p.Linef("\n%s", p.Dim("* signs now"))
	}
}

func (l *listed) table(p *ui.Printer, now time.Time, show func(id string) string) *ui.Table {
	t := &ui.Table{Header: []string{"", "KEY", "ALG", "STATE", "NEXT"}}
	for _, k := range l.Keys {
		mark := ""
		if k.SignsNow {
			mark = "*"
		}
		t.Add(ui.Painted(mark, p.Green), ui.Painted(show(k.KeyID), p.Bold), ui.Painted(k.Alg, nil),
			loadkeys.StateCell(p, k.State), ui.Painted(loadkeys.NextStep(&k.schedule, now), nil))
	}
	return t
}
