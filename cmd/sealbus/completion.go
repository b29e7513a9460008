package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// shells are those that can complete commands.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func (a *app) completionCommand() *cobra.Command {
	cmd := a.command(commandSpec{
		use: "completion SHELL", short: "Write the script that completes commands in a shell", args: exactly("SHELL"),
		long: `Write the script that lets a shell complete commands, flags and their values. SHELL is bash, zsh, fish or powershell.

It needs the completion support of the shell: for bash that is the package bash-completion.`,
		example: "source <(sealbus completion bash)\n" +
			"sealbus completion zsh > \"${fpath[1]}/_sealbus\"\n" +
			"sealbus completion fish > ~/.config/fish/completions/sealbus.fish",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.completion(cmd.Context(), cmd.Root(), args[0]) }
	cmd.ValidArgs = shells
	return cmd
}

func (a *app) completion(_ context.Context, root *cobra.Command, shell string) error {
	out := a.dataWriter()
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(out, true)
	case "zsh":
		return root.GenZshCompletion(out)
	case "fish":
		return root.GenFishCompletion(out, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(out)
	}
	return usage("use one of "+strings.Join(shells, ", "), "no script for the shell %q", shell)
}

// completeFlags has the shell offer the values that a flag can take, in every command. Where it can take
// anything, it offers files only if a file is meant.
func (a *app) completeFlags(cmd *cobra.Command) {
	complete := func(flags *pflag.FlagSet) {
		flags.VisitAll(func(f *pflag.Flag) {
			if values := a.valuesOf(cmd, f); values != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, values) // it fails only for a flag that is not there
			}
		})
	}
	complete(cmd.LocalNonPersistentFlags())
	if !cmd.HasParent() {
		complete(cmd.PersistentFlags())
	}
	for _, c := range cmd.Commands() {
		a.completeFlags(c)
	}
}

// valuesOf is how the values of a flag are completed; nil = by file names.
func (a *app) valuesOf(cmd *cobra.Command, f *pflag.Flag) cobra.CompletionFunc {
	kind, _ := pflag.UnquoteUsage(f)
	switch {
	case strings.Contains(f.Value.Type(), "|"): // of choice and --output
		return fixed(strings.Split(f.Value.Type(), "|")...)
	case f.Value.Type() == "bool", kind == "FILE", kind == "KEY", kind == "RECIPIENT":
		return nil
	case kind == "PLACE" && f.Name == "to":
		return fixed("stdout")
	case kind == "PLACE":
		return places
	}
	switch f.Name {
	case "reason":
		if kind == "REASON" {
			return fixed(reasonNames()...)
		}
	case "alg":
		return fixed(algorithmNames()...)
	case "use":
		return fixed("sig", "enc")
	case "producer", "consumer":
		return a.policyNames(cmd, f.Name)
	}
	return cobra.NoFileCompletions
}

func fixed(values ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) (fit []cobra.Completion, _ cobra.ShellCompDirective) {
		for _, v := range values {
			if strings.HasPrefix(v, typed) {
				fit = append(fit, v)
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// places completes a quarantine: its beginning, or a directory.
func places(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if typed == "" {
		return []cobra.Completion{"s3://", "sqs:https://", "./"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	if strings.Contains(typed, ":") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func reasonNames() (names []string) {
	for _, r := range envelope.Reasons() {
		names = append(names, string(r))
	}
	return names
}

func algorithmNames() (names []string) {
	for _, alg := range keys.Algorithms() {
		names = append(names, string(alg))
	}
	for _, curve := range keys.Curves() {
		names = append(names, string(curve))
	}
	return names
}

// policyNames completes names out of the policy file that the command line names already.
func (a *app) policyNames(cmd *cobra.Command, kind string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		flag := cmd.Flags().Lookup("policy")
		if flag == nil || flag.Value.String() == "" || flag.Value.String() == "-" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		_, p, err := a.readPolicy(flag.Value.String())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, o := range p.Producers {
			if kind == "producer" {
				names = append(names, clean(o.Name))
			}
		}
		for _, o := range p.Consumers {
			if kind == "consumer" {
				names = append(names, clean(o.Name))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
