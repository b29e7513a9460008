// Package setup has `sealbus init`, which makes a home: keys and trust of producers and consumers, in one
// directory.
package setup

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/keys"
)

type initFlags struct {
	dir            string
	consumer       bool
	sources, types []string
}

// Command is `sealbus init`.
func Command(env *ui.Env) *cobra.Command {
	var f initFlags
	cmd := env.Command(ui.Command{
		Use:   "init NAME (--source PATTERN --type PATTERN | --consumer) [--dir DIR]",
		Short: "Make the keys and the trust of a producer or consumer, in a directory",
		Long: "Make a home: a directory with the keys of a producer or of a consumer, a trust policy, a signed trust bundle, and\n" +
			"sealbus.yaml, which names them. A home that is there gets another producer or consumer. Nothing is overwritten.\n" +
			"If it was ended in the middle, the same command again completes it.\n\n" +
			"A consumer accepts what the producers of the home send, unless --source says otherwise.\n\n" +
			"Other commands find the home by --home DIR, by SEALBUS_HOME, or in the working directory, where it was made. It is\n" +
			"for a laptop: no key has a passphrase, and the root key is beside the others. docs/guide-platform.md, \"Set the\n" +
			"trust up\", has the way for production; docs/security.md, \"A home\", has all that is weaker here.",
		Example: "sealbus init orders --source 'https://orders.example/*' --type 'com.example.order.*' --dir shop\nsealbus init billing --consumer --dir shop",
		Args:    ui.Exactly("NAME"), Now: true,
		Run: func(ctx context.Context, args []string) error { return run(ctx, env, &f, args[0]) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "the home, a `DIR` (default $"+home.Variable+", else the working directory)")
	flags.BoolVar(&f.consumer, "consumer", false, "make a consumer")
	flags.StringArrayVar(&f.sources, "source", nil,
		"a source `PATTERN` that the producer speaks for, or that the consumer accepts; may be repeated")
	flags.StringArrayVar(&f.types, "type", nil, "likewise a type `PATTERN`")
	return cmd
}

func (f *initFlags) check(name string) error {
	if err := home.CheckName(name); err != nil {
		return ui.Usage("choose another name, such as orders", "%w", err)
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return ui.Usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such", "%w", err)
	}
	switch {
	case f.consumer:
	case len(f.sources) == 0:
		return ui.Usage("add --source, such as --source 'https://"+name+".example/*', or --consumer for a consumer",
			"missing flag --source: the sources that producer %s speaks for", name)
	case len(f.types) == 0:
		return ui.Usage("add --type, such as --type 'com.example."+name+".*'",
			"missing flag --type: the types that producer %s sends", name)
	}
	return nil
}

// made is the result of `sealbus init`.
type made struct {
	Home     string `json:"home"`
	Producer string `json:"producer,omitempty"`
	Consumer string `json:"consumer,omitempty"`
	KeyID    string `json:"key_id"`
	Files    []file `json:"files"` // of the home, made now or before
}

func run(ctx context.Context, env *ui.Env, f *initFlags, name string) error {
	if err := f.check(name); err != nil {
		return err
	}
	dir := cmp.Or(f.dir, env.Getenv(home.Variable))
	if dir == "" {
		dir = "."
		if _, err := home.FindHere(); errors.As(err, new(*home.CopiedError)) {
			return ui.WrongFile("if you trust its author, add --dir .; else choose another --dir",
				"the home in the working directory was not made here, or the directory is another user's")
		}
	}
	dir = filepath.Clean(dir)
	s, err := begin(env, dir)
	if err != nil {
		return err
	}
	defer s.end()
	key, err := s.add(ctx, f, name)
	if err != nil {
		return failed(err)
	}
	result := made{Home: dir, KeyID: key, Files: s.files()}
	if f.consumer {
		result.Consumer = name
	} else {
		result.Producer = name
	}
	if err := env.Emit(result, result.print); err != nil {
		return err
	}
	tellNext(env, s, f, name)
	return nil
}

// failed gives an error that has no advice yet one.
func failed(err error) error {
	if e, ok := errors.AsType[*ui.Error](err); ok {
		return e
	}
	if ui.IsPathError(err) {
		return ui.WrongFile("check the directory, and who may write there; the same command again goes on from here",
			"%w", err)
	}
	return ui.Unavailable("see to that; the same command again goes on from here", "%w", err)
}

func (m *made) print(p *ui.Printer) {
	what := "producer " + m.Producer
	if m.Consumer != "" {
		what = "consumer " + m.Consumer
	}
	p.Linef("%s  now has %s, key %s", p.Bold(ui.Clean(m.Home)), what, ui.ShortID(m.KeyID))
	p.Linef("")
	t := ui.Table{Header: []string{"", "FILE", "WHAT IT IS, AND WHO KEEPS IT"}}
	for _, f := range m.Files {
		secret := ui.Cell{}
		if f.Secret {
			secret = ui.Painted("secret", p.Red)
		}
		t.Add(secret, ui.Cell{Text: f.Path}, ui.Cell{Text: f.What})
	}
	t.PrintProse(p)
	p.Linef("")
	p.Hanging("For a laptop only: no secret file has a passphrase, and root.key and timestamp.key are on line. "+
		"In production the root key is offline, and each producer and each consumer has its own keyring alone.", 0, 0,
		p.Prose())
}

func tellNext(env *ui.Env, s *site, f *initFlags, name string) {
	where := ""
	if s.dir != "." {
		where = " --dir " + ui.ShellQuote(s.dir)
	}
	c := s.config
	switch {
	case len(c.Consumers) == 0:
		env.Next("a consumer of its events", "sealbus init billing --consumer"+where)
	case len(c.Producers) == 0:
		env.Next("a producer", "sealbus init orders --source 'https://orders.example/*' --type 'com.example.order.*'"+where)
	default:
		if where != "" {
			where = " --home " + ui.ShellQuote(s.dir)
		}
		env.Next("an AWS on this machine, with the queues of the consumers", "sealbus dev"+where)
	}
}
