package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) helpCommand(root *cobra.Command) *cobra.Command {
	return a.command(commandSpec{
		use: "help [COMMAND...]", short: "Explain a command",
		args: func([]string) error { return nil },
		run: func(_ context.Context, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage("run `sealbus help` for the list of commands", "no command %q", strings.Join(args, " "))
			}
			a.help(cmd, nil)
			return nil
		},
	})
}

// help writes what a command does and its flags to standard output.
func (a *app) help(cmd *cobra.Command, _ []string) {
	p := &printer{style: a.out}
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	p.linef("%s\n", text)
	p.linef("%s\n  %s", p.bold("Usage"), usageLine(cmd))
	printCommands(p, cmd)
	printFlags(p, "Flags", cmd.LocalNonPersistentFlags())
	printFlags(p, "Everywhere", cmd.Root().PersistentFlags())
	if cmd.Example != "" {
		p.linef("\n%s\n%s", p.bold("Example"), cmd.Example)
	}
	if !cmd.HasParent() {
		p.linef("\n%s", p.dim("Exit status: 0 done, 1 rejected, 2 usage, 3 could not judge, 4 something is due."))
	}
	_ = a.writeOut([]byte(p.String()))
}

func usageLine(cmd *cobra.Command) string {
	line := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
	}
	return line
}

func printCommands(p *printer, cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	p.linef("\n%s", p.bold("Commands"))
	var t table
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			t.add(plain("  "+c.Name(), c.Short)...)
		}
	}
	t.print(p)
}

func printFlags(p *printer, title string, flags *pflag.FlagSet) {
	var t table
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, text := pflag.UnquoteUsage(f)
		t.add(plain("  "+strings.TrimRight("--"+f.Name+" "+flagKind(f, kind), " "), text+flagDefault(f))...)
	})
	if len(t.rows) > 0 {
		p.linef("\n%s", p.bold(title))
		t.print(p)
	}
}

// flagKind stands for the flag's value: capitals, repeated flags with dots.
func flagKind(f *pflag.Flag, kind string) string {
	if strings.HasSuffix(f.Value.Type(), "Array") {
		return strings.ToUpper(strings.TrimSuffix(kind, "Array")) + "..."
	}
	if strings.Contains(kind, "|") {
		return kind
	}
	return strings.ToUpper(kind)
}

func flagDefault(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "[]", "0", "0s":
		return ""
	}
	return " (default " + f.DefValue + ")"
}
