package ui

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Command is what a command says of itself.
type Command struct {
	Use     string // the first word is the name; the rest is shown in the usage line
	Short   string // one line, no period
	Long    string // what short leaves open; "" = nothing
	Example string
	Args    argsCheck // nil = none are allowed
	Now     bool      // the command judges time: it has --now
	Run     func(ctx context.Context, args []string) error
}

// Command makes a cobra command; its flags are added by the caller.
func (env *Env) Command(spec Command) *cobra.Command {
	check := spec.Args
	if check == nil {
		check = Exactly()
	}
	cmd := &cobra.Command{
		Use: spec.Use, Short: spec.Short, Long: spec.Long, Example: indent(spec.Example),
		DisableFlagsInUseLine: true,
		Args:                  func(_ *cobra.Command, args []string) error { return check(args) },
		RunE:                  func(cmd *cobra.Command, args []string) error { return spec.Run(cmd.Context(), args) },
	}
	if spec.Now {
		cmd.Flags().Var((*MomentValue)(&env.nowSet), "now", "use this moment instead of now")
	}
	return cmd
}

// Group makes a command that only has sub-commands.
func (env *Env) Group(name, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Long: long, Args: cobra.ArbitraryArgs}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return env.NoCommand(cmd, args) }
	cmd.AddCommand(commands...)
	return cmd
}

// NoCommand reports a missing or unknown sub-command.
func (env *Env) NoCommand(cmd *cobra.Command, args []string) error {
	fix := "run `" + cmd.CommandPath() + " --help` for the list of commands"
	if names := commandNames(cmd); len(args) == 0 && len(names) == 1 {
		return Usage(fix, "missing command: %s", names[0])
	} else if len(args) == 0 {
		return Usage(fix, "missing command: one of %s", strings.Join(names, ", "))
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		fix = "did you mean `" + cmd.CommandPath() + " " + near[0] + "`?"
	}
	return Usage(fix, "no command %q", strings.TrimPrefix(cmd.CommandPath()+" "+args[0], "sealbus "))
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

func FlagError(cmd *cobra.Command, err error) error {
	fix := "run `" + cmd.CommandPath() + " --help` for its flags"
	var e *Error
	if errors.As(err, &e) {
		fix = e.Fix
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		name, value := invalid.GetFlag().Name, invalid.GetValue()
		if e == nil {
			is := map[string]string{"bool": "true or false"}[invalid.GetFlag().Value.Type()]
			return Usage(fix, "--%s: %q is not %s", name, value, cmp.Or(is, "a number"))
		}
		return Usage(fix, "--%s: %w", name, e.Err)
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	switch {
	case !ok:
	case takesKeyID(cmd) && (unknown.GetSpecifiedShortnames() != "" || len(unknown.GetSpecifiedName()) > 30):
		fix = "a key ID that begins with - follows --, as in `" + cmd.CommandPath() + " ... -- -KEYID`"
	case unknown.GetSpecifiedShortnames() == "": // two dashes
		if near := nearFlag(cmd, unknown.GetSpecifiedName()); near != "" {
			fix = "did you mean --" + near + "?"
		}
	default:
		return Usage("a flag begins with two dashes: run `"+cmd.CommandPath()+" --help` for its flags",
			"unknown flag: -%s", unknown.GetSpecifiedShortnames())
	}
	return Usage(fix, "%w", err)
}

// takesKeyID reports whether a command has a key ID among its arguments. One in 64 begins with "-".
func takesKeyID(cmd *cobra.Command) bool {
	return slices.Contains([]string{"revoke", "taint", "retire"}, cmd.Name())
}

// nearFlag is the flag that was probably meant; "" = none is near. It is found as cobra finds commands.
func nearFlag(cmd *cobra.Command, name string) string {
	all := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		all.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if near := all.SuggestionsFor(name); len(near) > 0 {
		return near[0]
	}
	return ""
}

// argsCheck judges the arguments that are not flags.
type argsCheck func(args []string) error

// Exactly wants one argument for each of the names.
func Exactly(names ...string) argsCheck {
	return func(args []string) error {
		if len(args) < len(names) {
			return Usage("add it to the command; `--help` shows where", "missing argument %s",
				names[len(args)])
		}
		return noMore(args[len(names):])
	}
}

// AtLeastOne wants any number of arguments, but not none.
func AtLeastOne(name string) argsCheck {
	return func(args []string) error {
		if len(args) == 0 {
			return Usage("name at least one; `--help` shows where", "missing argument %s", name)
		}
		return nil
	}
}

// AnyFiles wants any number of file names; none is standard input.
func AnyFiles([]string) error { return nil }

func noMore(rest []string) error {
	if len(rest) > 0 {
		return Usage("remove it; a flag that takes several values is repeated: `--flag A --flag B`",
			"unexpected argument %q", rest[0])
	}
	return nil
}

// Need makes flags mandatory, with an error in our words.
func Need(flags ...Required) error {
	for _, f := range flags {
		if f.value == "" {
			return Usage("add --"+f.name+"; `--help` explains it", "%w", MissingFlag(f.name))
		}
	}
	return nil
}

// MissingFlag is the error of a mandatory flag of that name that was not given.
type MissingFlag string

// Error names the flag.
func (f MissingFlag) Error() string { return "missing flag --" + string(f) }

// Required is a mandatory flag and the value it got.
type Required struct{ name, value string }

// Flag is a mandatory flag and the value it got.
func Flag(name, value string) Required { return Required{name, value} }

// WantsJSON finds --output json in the raw arguments.
func WantsJSON(args []string) bool {
	for i, arg := range args {
		switch {
		case arg == "--":
			return false
		case arg == "--output=json", arg == "--output" && i+1 < len(args) && args[i+1] == "json":
			return true
		}
	}
	return false
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}

func AtMostOne(args []string) error { return noMore(args[min(1, len(args)):]) }
