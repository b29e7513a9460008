// Package loadhome finds the home of a command, and takes from it the flags that are not given.
//
// Flags on the command line win. Those that name with what a command signs, or by what it judges, belong
// together: if one of them is given, a home that is not named by --home is left alone, so that no explicit
// flag is completed by a file that happens to be there.
package loadhome

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys/trust"
)

// Attach gives the commands of the table below root their --home.
func Attach(env *ui.Env, root *cobra.Command) {
	for path, u := range uses {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 {
			panic("no command " + path) // a test makes the tree
		}
		attach(env, cmd, u)
	}
}

// Commands are the commands of the table, such as "trust build".
func Commands() (paths []string) {
	for path := range uses {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// attach registers the flags, and fills the others in before the command runs.
func attach(env *ui.Env, cmd *cobra.Command, u use) {
	flags := cmd.Flags()
	dir := flags.String("home", "", "take what is not given from this home, a `DIR` that sealbus init made (default $"+
		home.Variable+", else the working directory)")
	for name, help := range map[string]string{"producer": "with a home: the `NAME` of its producer",
		"consumer": "with a home: the `NAME` of its consumer"} {
		if !u.chooses(name) {
			continue
		}
		if f := flags.Lookup(name); f == nil {
			flags.String(name, "", help+", if it has several")
		} else {
			f.Usage += "; with a home: which " + name + " of it, if it has several"
		}
	}
	c := &call{env: env, cmd: cmd, use: u, dir: dir}
	check, run := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 || u.args == nil {
			return check(cmd, args)
		}
		if err := c.fill(cmd.Context()); err != nil {
			return err
		}
		if c.home == nil {
			return hint(check(cmd, args), c)
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.hasArgs = len(args) > 0
		if err := c.fill(cmd.Context()); err != nil {
			return err
		}
		if c.home != nil && len(args) == 0 && u.args != nil {
			var err error
			if args, err = u.args(c); err != nil {
				return Failed(err)
			}
		}
		if c.home != nil && u.changes {
			unlock, err := c.lock(cmd.Context())
			if err != nil {
				return Failed(err)
			}
			defer unlock()
		}
		return hint(run(cmd, args), c)
	}
}

// The patience with another command that changes the home: a person may be revoking a stolen key.
const (
	lockTries = 20
	lockPause = 100 * time.Millisecond
)

// lock keeps init and renewals out, while the command reads files of the home and puts others in their place.
// So a renewal cannot undo a revocation.
func (c *call) lock(ctx context.Context) (unlock func(), err error) {
	for tries := 1; ; tries++ {
		unlock, err = c.home.Lock()
		if !errors.Is(err, privatefile.ErrLocked) || tries == lockTries {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(lockPause):
		}
	}
}

// call is one call of a command.
type call struct {
	env *ui.Env
	cmd *cobra.Command
	use use
	dir *string // of --home

	hasArgs bool
	filled  bool
	home    *home.Home // nil = none is used
	judges  bool       // by the trust of the home
}

// isGiven reports whether the flag is on the command line.
func (c *call) isGiven(flag string) bool { return c.cmd.Flags().Changed(flag) }

func (c *call) anyGiven(flags []string) bool { return slices.ContainsFunc(flags, c.isGiven) }

// fill finds the home, and fills in the flags that it has.
func (c *call) fill(ctx context.Context) error {
	if c.filled {
		return nil
	}
	c.filled = true
	named := *c.dir != ""
	if c.isGiven("home") && !named {
		return ui.Usage("give the directory that `sealbus init` made", "--home names no directory")
	}
	if !named && (c.anyGiven(c.use.main) || c.use.args != nil && c.hasArgs && !c.use.besides || c.use.not != nil && c.use.not(c)) {
		c.tellUnused()
		return nil
	}
	h, err := c.find()
	switch {
	case errors.Is(err, home.ErrNone) && !named && c.env.Getenv(home.Variable) == "":
		return nil
	case err != nil && c.use.optional && !named:
		c.env.Warnf("the home is not used: %v", err)
		return nil
	case err != nil:
		return Failed(err)
	}
	c.home = h
	if h.Found() {
		c.env.Sayf("using the home in this directory (--home names another)")
	}
	for _, p := range c.use.parts {
		if c.anyGiven(p.unless) || p.when != nil && !p.when(c) {
			continue
		}
		if err := p.fill(c); err != nil {
			return Failed(err)
		}
	}
	c.cmd.SetContext(context.WithValue(ctx, key{}, &used{h, *c.dir, c.judges}))
	return nil
}

// tellUnused warns of events that get no audience, although a home is there that has one: consumers without
// an audience of their own would take them wherever they are put.
func (c *call) tellUnused() {
	if c.home != nil || !c.use.audience || c.isGiven("audience") || c.isGiven("check") {
		return
	}
	h, err := c.find()
	if err != nil || h.Config().Audience == "" {
		return
	}
	c.env.Warnf("the home is not used, because the flags name a key: the audience %s is not set; add --audience %s, or --home DIR",
		h.Config().Audience, ui.ShellQuote(h.Config().Audience))
}

// find is home.Find, by the environment of the command.
func (c *call) find() (*home.Home, error) {
	if dir := *c.dir; dir != "" {
		return home.Open(dir)
	}
	if dir := c.env.Getenv(home.Variable); dir != "" {
		return home.Open(dir)
	}
	return home.FindHere()
}

// set gives the flag these values, as if it were not on the command line.
func (c *call) set(flag string, values ...string) error {
	f := c.cmd.Flags().Lookup(flag)
	for _, v := range values {
		if err := f.Value.Set(v); err != nil {
			return err
		}
	}
	return nil
}

// hint tells of homes where a flag is missing that a home would have.
func hint(err error, c *call) error {
	e, ok := errors.AsType[*ui.Error](err)
	if !ok || c.home != nil || e.Code != ui.ExitUsage {
		return err
	}
	missing, isFlag := errors.AsType[ui.MissingFlag](err)
	if isFlag && !c.use.has(string(missing)) || !isFlag && !strings.HasPrefix(e.Error(), "missing argument") {
		return err
	}
	told := *e
	told.Fix += "; or name a home with --home, or work in one: `sealbus init` makes it"
	return &told
}

// key finds the home in a context.
type key struct{}

// used is the home that a command uses.
type used struct {
	*home.Home
	dir    string // of --home; "" = it is not given
	judges bool   // by the trust of the home, and not by that of the flags
}

// Named reports whether the command uses a home, and gives the flag that names it to a command to run next.
func Named(ctx context.Context) (flag string, ok bool) {
	u, ok := ctx.Value(key{}).(*used)
	if ok && u.dir != "" {
		flag = " --home " + ui.ShellQuote(u.dir)
	}
	return flag, ok
}

// Judges reports whether the trust of the command is that of its home: flags can name another one.
func Judges(ctx context.Context) bool {
	u, ok := ctx.Value(key{}).(*used)
	return ok && u.judges
}

// Publishing is the trust for a producer: within a home, a new key does not wait until consumers elsewhere
// know it. If flags name the trust, those consumers are elsewhere.
func Publishing(ctx context.Context, source trust.Source) trust.Source {
	if !Judges(ctx) || source == nil {
		return source
	}
	return ctx.Value(key{}).(*used).WithoutWait(source)
}
