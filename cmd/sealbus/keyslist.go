package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/spf13/cobra"
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

type keysListed struct {
	Producer string      `json:"producer,omitempty"`
	Consumer string      `json:"consumer,omitempty"` // the keys are for encryption
	Sources  []string    `json:"sources,omitempty"`
	Types    []string    `json:"types,omitempty"`
	Keys     []keyListed `json:"keys"`
}

func (a *app) keysListCommand() *cobra.Command {
	var f keyringFlags
	cmd := a.command(commandSpec{
		use: "list --keyring FILE", short: "List the keys of a keyring and which of them signs now", now: true,
		run: func(context.Context, []string) error {
			ring, err := a.openKeyring(&f)
			if err != nil {
				return err
			}
			list := listKeys(ring, a.now())
			return a.emit(list, func(p *printer) { list.print(p, a.now()) })
		},
	})
	f.register(cmd)
	return cmd
}

func listKeys(ring *keys.Keyring, now time.Time) keysListed {
	list := keysListed{Producer: ring.Producer(), Consumer: ring.Consumer(), Sources: ring.Sources(), Types: ring.Types(), Keys: []keyListed{}}
	signing := map[string]bool{}
	if signers, err := ring.Signers(now); err == nil {
		for _, s := range signers {
			signing[s.Verifier().KeyID()] = true
		}
	}
	for _, k := range ring.PublicKeys() {
		list.Keys = append(list.Keys, keyListed{
			KeyID: k.KeyID(), Alg: algOf(&k), State: k.Schedule.StateAt(now), SignsNow: signing[k.KeyID()],
			Published: formatTime(k.Schedule.Published), Active: formatTime(k.Schedule.Active),
			Retired: formatTime(k.Schedule.Retired), Expired: formatTime(k.Schedule.Expired), schedule: k.Schedule,
		})
	}
	return list
}

func (l *keysListed) print(p *printer, now time.Time) {
	if l.Consumer != "" {
		p.linef("consumer  %s", p.bold(l.Consumer))
	} else {
		p.linef("producer  %s", p.bold(l.Producer))
	}
	printList(p, "sources   ", l.Sources)
	printList(p, "types     ", l.Types)
	p.linef("")
	t := l.table(p, now, func(id string) string { return id })
	if !t.fits(p.style) {
		t = l.table(p, now, shortID)
	}
	t.print(p)
	if l.Producer != "" {
		p.linef("\n%s", p.dim("* signs now"))
	}
}

func (l *keysListed) table(p *printer, now time.Time, show func(id string) string) *table {
	t := &table{header: []string{"", "KEY", "ALG", "STATE", "NEXT"}}
	for _, k := range l.Keys {
		mark := ""
		if k.SignsNow {
			mark = "*"
		}
		t.add(cell{mark, p.green}, cell{show(k.KeyID), p.bold}, cell{k.Alg, nil}, stateCell(p, k.State), cell{nextStep(&k.schedule, now), nil})
	}
	return t
}

func printList(p *printer, label string, list []string) {
	for _, item := range list {
		p.hangingf(len(label), "%s%s", label, clean(item))
		label = fmt.Sprintf("%*s", len(label), "")
	}
}

// stateCell paints a key's state by how much it matters.
func stateCell(p *printer, s keys.State) cell {
	paint := p.dim
	switch s {
	case keys.StateActive:
		paint = p.green
	case keys.StatePending, keys.StatePublished:
		paint = p.cyan
	case keys.StateRetired:
		paint = p.yellow
	case keys.StateRevoked:
		paint = p.red
	}
	return cell{string(s), paint}
}

// nextStep says what the schedule brings next, and when.
func nextStep(s *keys.Schedule, now time.Time) string {
	for _, step := range []struct {
		verb string
		at   time.Time
	}{{"published", s.Published}, {"active", s.Active}, {"retires", s.Retired}, {"expires", s.Expired}} {
		if now.Before(step.at) {
			return step.verb + " in " + formatDuration(step.at.Sub(now))
		}
	}
	return "-"
}
