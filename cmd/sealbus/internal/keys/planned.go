package keys

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys/rotation"
	"github.com/sealbus/sealbus/keys/trust"
)

// planFlags are those of the commands that plan what becomes of keys.
type planFlags struct {
	loadtrust.TrustFlags
	every, inFlight ui.DurationValue
}

func (f *planFlags) register(cmd *cobra.Command) {
	f.TrustFlags.Register(cmd)
	cmd.Flags().Var(&f.every, "every", "let a key sign for this long before the next takes over (default without end)")
	cmd.Flags().Var(&f.inFlight, "in-flight",
		"how long after a key retires its events may still arrive, as in the trust policy (default 30d)")
	for _, name := range []string{"every", "in-flight"} {
		cmd.Flags().Lookup(name).DefValue = ""
	}
}

// open reads the bundle, if one is named, and the options that follow from it.
func (f *planFlags) open(ctx context.Context, env *ui.Env) (*trust.Bundle, *rotation.Options, error) {
	o := &rotation.Options{Every: time.Duration(f.every), InFlight: time.Duration(f.inFlight)}
	if f.Trust == "" && f.Roots == "" {
		return nil, o, nil
	}
	b, err := loadtrust.Open(ctx, env, &f.TrustFlags)
	if err != nil {
		return nil, nil, err
	}
	o.Known = rotation.KnownAfter(b)
	return b, o, nil
}

// stepTold is one step of a plan, as the commands write it.
type stepTold struct {
	Action string `json:"action"`
	KeyID  string `json:"key_id,omitempty"` // absent = the key that is to be made
	At     string `json:"at,omitempty"`
	Status string `json:"status"`
}

func tellSteps(steps []rotation.Step) []stepTold {
	list := []stepTold{}
	for i := range steps {
		s := &steps[i]
		list = append(list, stepTold{Action: string(s.Action), KeyID: s.KeyID, At: ui.FormatTime(s.At),
			Status: string(s.Status)})
	}
	return list
}

// isDue reports whether something is to be done, by the owner of the keys or by those who keep the trust.
func isDue(steps []rotation.Step) bool {
	for i := range steps {
		if s := steps[i].Status; s == rotation.Due || s == rotation.Late {
			return true
		}
	}
	return false
}

// meaning is what a step does, in a few words.
func meaning(a rotation.Action) string {
	switch a {
	case rotation.Make:
		return "a new key is made"
	case rotation.Move:
		return "it gets another date"
	case rotation.Publish:
		return "trust add, trust build"
	case rotation.Known:
		return "consumers have it"
	case rotation.Activate:
		return "it takes over"
	case rotation.End:
		return "it gets an end"
	case rotation.Retire:
		return "it takes no new events"
	case rotation.Prune:
		return "its secret is removed"
	}
	return string(a)
}

func statusCell(p *ui.Printer, s rotation.Status) ui.Cell {
	paint := p.Dim
	switch s {
	case rotation.Due:
		paint = p.Yellow
	case rotation.Late:
		paint = p.Red
	case rotation.Waiting:
		paint = p.Cyan
	}
	return ui.Painted(string(s), paint)
}

// planFailed is the error of a plan that the flags make impossible.
func planFailed(err error) error {
	e, ok := errors.AsType[*rotation.MomentError](err)
	switch {
	case !ok:
		return err
	case e.Late:
		return ui.Usage("give --at "+ui.FormatTime(e.Possible)+" or an earlier moment",
			"no key would sign from %s, when key %s ends, until %s", ui.FormatTime(e.Possible),
			ui.ShortID(e.KeyID), ui.FormatTime(e.At))
	}
	return ui.Usage("give --at "+ui.FormatTime(e.Possible)+
		" or a later moment, or name the bundle with --trust, if it does not list the key yet",
		"consumers may accept key %s from %s only, and it would sign from %s", ui.ShortID(e.KeyID),
		ui.FormatTime(e.Possible), ui.FormatTime(e.At))
}

// flagsOf are the flags that name and open the keyring again, for a command to run next.
func flagsOf(f *loadkeys.KeyringFlags) string {
	flags := " --keyring " + ui.ShellQuote(f.Path)
	if f.PassphraseFile != "" {
		flags += " --passphrase-file " + ui.ShellQuote(f.PassphraseFile)
	}
	if f.Insecure {
		flags += " --insecure-no-passphrase"
	}
	return flags
}
