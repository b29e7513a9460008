package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// app is one run of the program.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	env    environment

	json   bool      // --output json
	nowSet time.Time // --now; zero = the clock
	out    style     // of standard output
	talk   style     // of standard error
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, env environment) *app {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	plain := env.getenv("NO_COLOR") != "" || env.getenv("TERM") == "dumb"
	styleOf := func(w io.Writer) style {
		if !env.terminal(w) {
			return style{}
		}
		return style{colour: !plain, width: env.columns(w)}
	}
	a.out, a.talk = styleOf(stdout), styleOf(stderr)
	return a
}

// now is the moment that everything is judged at: that of --now, else the clock's.
func (a *app) now() time.Time {
	if !a.nowSet.IsZero() {
		return a.nowSet
	}
	return a.env.now()
}

// clock is the clock of the machine, also with --now.
func (a *app) clock() time.Time { return a.env.now() }

// workFactor is scrypt's for new private files; 0 = the default of keys.
func (a *app) workFactor() int { return a.env.workFactor }

// httpClient is for https:// URLs; nil = the usual one.
func (a *app) httpClient() *http.Client { return a.env.client }

// onTerminal reports whether standard output is a terminal.
func (a *app) onTerminal() bool { return a.env.terminal(a.stdout) }

// ask asks for a secret on the terminal, without showing what is typed.
func (a *app) ask(prompt string) ([]byte, error) {
	if a.env.prompt == nil {
		return nil, errors.New("there is no terminal")
	}
	return a.env.prompt(prompt)
}

// commandSpec is what a command says of itself.
type commandSpec struct {
	use     string // the first word is the name; the rest is shown in the usage line
	short   string // one line, no period
	long    string // what short leaves open; "" = nothing
	example string
	args    argsCheck // nil = none are allowed
	now     bool      // the command judges time: it has --now
	run     func(ctx context.Context, args []string) error
}

// command makes a cobra command; its flags are added by the caller.
func (a *app) command(spec commandSpec) *cobra.Command {
	check := spec.args
	if check == nil {
		check = exactly()
	}
	cmd := &cobra.Command{
		Use: spec.use, Short: spec.short, Long: spec.long, Example: indent(spec.example),
		DisableFlagsInUseLine: true,
		Args:                  func(_ *cobra.Command, args []string) error { return check(args) },
		RunE:                  func(cmd *cobra.Command, args []string) error { return spec.run(cmd.Context(), args) },
	}
	if spec.now {
		cmd.Flags().Var((*momentValue)(&a.nowSet), "now", "judge at this moment instead of now")
	}
	return cmd
}

// group makes a command that only has sub-commands.
func (a *app) group(name, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Long: long, Args: cobra.ArbitraryArgs}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.noCommand(cmd, args) }
	cmd.AddCommand(commands...)
	return cmd
}

// noCommand reports a missing or unknown sub-command.
func (a *app) noCommand(cmd *cobra.Command, args []string) error {
	fix := "run `" + cmd.CommandPath() + " --help` for the list of commands"
	if names := commandNames(cmd); len(args) == 0 && len(names) == 1 {
		return usage(fix, "missing command: %s", names[0])
	} else if len(args) == 0 {
		return usage(fix, "missing command: one of %s", strings.Join(names, ", "))
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		fix = "did you mean `" + cmd.CommandPath() + " " + near[0] + "`?"
	}
	return usage(fix, "no command %q", strings.TrimPrefix(cmd.CommandPath()+" "+args[0], "sealbus "))
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

// root makes the tree of commands.
func (a *app) root() *cobra.Command {
	root := a.group("sealbus", "Seal and open CloudEvents: authentic, intact, fresh, end to end",
		"Seal and open CloudEvents, so that a consumer knows who sent an event, and that no one changed it on the way, whatever bus carried it.",
		a.commands()...)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true // `sealbus completion` is our own
	root.SetIn(a.stdin)
	root.SetOut(a.dataWriter()) // cobra's answers to the shell that completes
	root.SetErr(a.talkWriter())
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(a.help)
	root.SetHelpCommand(a.helpCommand(root))
	root.PersistentFlags().Var((*outputValue)(&a.json), "output", "results as text, or one JSON object each")
	version := root.Flags().Bool("version", false, "print the version of this program")
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if *version && len(args) == 0 {
			return a.tellVersion()
		}
		return a.noCommand(cmd, args)
	}
	a.completeFlags(root)
	return root
}

func flagError(cmd *cobra.Command, err error) error {
	fix := "run `" + cmd.CommandPath() + " --help` for its flags"
	var e *exitError
	switch {
	case errors.As(err, &e):
		fix = e.fix
	case strings.Contains(err.Error(), "shorthand"):
		fix = "a key ID that begins with - follows --, as in `sealbus trust revoke --policy FILE -- -KEYID`"
	}
	return usage(fix, "%s", strings.TrimPrefix(err.Error(), "pflag: "))
}

// finish reports how the run ended and returns the exit status.
func (a *app) finish(err error) int {
	if err == nil {
		return exitDone
	}
	var e *exitError
	if !errors.As(err, &e) || errors.Is(err, context.Canceled) {
		e = a.classify(err)
	}
	if e.err != nil {
		a.report(e)
	}
	return e.code
}

// classify gives a status to the errors that cobra makes, which are about usage, and to an interruption.
func (a *app) classify(err error) *exitError {
	if errors.Is(err, context.Canceled) {
		return &exitError{code: exitInterrupted, err: errors.New("interrupted"), fix: "run it again"}
	}
	return &exitError{code: exitUsage, err: err, fix: "run `sealbus --help`"}
}

func (a *app) report(e *exitError) {
	message := plainMessage(e.err)
	for line := range strings.SplitSeq(message, "\n") { // several: of joined errors
		a.say(a.talk.red("sealbus:")+" "+clean(line), 2)
	}
	if e.fix != "" {
		a.say("  "+a.talk.dim(clean(e.fix)), 2)
	}
	if a.json {
		_ = a.writeJSON(errorResult{Error: exitWord(e.code), Reason: e.reason, Message: message, Fix: e.fix})
	}
}

// plainMessage drops the package prefixes, which mean nothing to whoever runs the command.
func plainMessage(err error) string {
	message := "\n" + shortText(err)
	for _, before := range []string{"\n", ": "} {
		for _, pkg := range []string{"keys: ", "policy: ", "eventbridge: ", "producer: ", "envelope: ", "replay: ", "awss3: ", "awskms: ", "tinkkeys: ", "tinkawskms: ", "consumer: ", "quarantine: ", "quarantine/s3: ", "quarantine/sqs: "} {
			message = strings.ReplaceAll(message, before+pkg, before)
		}
	}
	return message[1:]
}

// errorResult is an error for programs.
type errorResult struct {
	Error   string `json:"error"` // rejected, usage, unavailable or interrupted
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

// argsCheck judges the arguments that are not flags.
type argsCheck func(args []string) error

// exactly wants one argument for each of the names.
func exactly(names ...string) argsCheck {
	return func(args []string) error {
		if len(args) < len(names) {
			return usage("add it to the command; `--help` shows where", "missing argument %s", names[len(args)])
		}
		return noMore(args[len(names):])
	}
}

// atLeastOne wants any number of arguments, but not none.
func atLeastOne(name string) argsCheck {
	return func(args []string) error {
		if len(args) == 0 {
			return usage("name at least one; `--help` shows where", "missing argument %s", name)
		}
		return nil
	}
}

// anyFiles wants any number of file names; none is standard input.
func anyFiles([]string) error { return nil }

func noMore(rest []string) error {
	if len(rest) > 0 {
		return usage("remove it; a flag that takes several values is repeated: `--flag A --flag B`", "unexpected argument %q", rest[0])
	}
	return nil
}

// need makes flags mandatory, with an error in our words.
func need(flags ...required) error {
	for _, f := range flags {
		if f.value == "" {
			return usage("add --"+f.name+"; `--help` explains it", "missing flag --%s", f.name)
		}
	}
	return nil
}

// required is a mandatory flag and the value it got.
type required struct{ name, value string }

// wantsJSON finds --output json in the raw arguments.
func wantsJSON(args []string) bool {
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
