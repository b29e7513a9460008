package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/trust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/webhook"
	"github.com/sealbus/sealbus/envelope"
)

// shells are those that can complete commands.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand(env *ui.Env) *cobra.Command {
	cmd := env.Command(ui.Command{
		Use: "completion SHELL", Short: "Write the script that completes commands in a shell",
		Args: ui.Exactly("SHELL"),
		Long: `Write the script that lets a shell complete commands, flags and their values. SHELL is bash, zsh, fish or powershell.

It needs the completion support of the shell: for bash that is the package bash-completion.`,
		Example: "source <(sealbus completion bash)\n" +
			"sealbus completion zsh > \"${fpath[1]}/_sealbus\"\n" +
			"sealbus completion fish > ~/.config/fish/completions/sealbus.fish",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return completion(cmd.Context(), env, cmd.Root(), args[0])
	}
	cmd.ValidArgs = shells
	return cmd
}

func completion(_ context.Context, env *ui.Env, root *cobra.Command, shell string) error {
	out := env.DataWriter()
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
	return ui.Usage("use one of "+strings.Join(shells, ", "), "no script for the shell %q", shell)
}

// completeFlags has the shell offer the values that a flag can take, in every command. Where it can take
// anything, it offers files only if a file is meant.
func completeFlags(env *ui.Env, cmd *cobra.Command) {
	complete := func(flags *pflag.FlagSet) {
		flags.VisitAll(func(f *pflag.Flag) {
			if values := valuesOf(env, cmd, f); values != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, values) // it fails only for a flag that is not there
			}
		})
	}
	complete(cmd.LocalNonPersistentFlags())
	if !cmd.HasParent() {
		complete(cmd.PersistentFlags())
	}
	for _, c := range cmd.Commands() {
		completeFlags(env, c)
	}
}

// valuesOf is how the values of a flag are completed; nil = by file names.
func valuesOf(env *ui.Env, cmd *cobra.Command, f *pflag.Flag) cobra.CompletionFunc {
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
		return fixed(loadkeys.AlgorithmNames()...)
	case "provider":
		return fixed(webhook.Names()...)
	case "use":
		return fixed("sig", "enc")
	case "producer", "consumer":
		return policyNames(env, cmd, f.Name)
	}
	return cobra.NoFileCompletions
}

func fixed(values ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) (fit []cobra.Completion,
		_ cobra.ShellCompDirective) {
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
		return []cobra.Completion{"s3://", "sqs:https://", "./"},
			cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
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

// policyNames completes names out of the policy file that the command line names already.
func policyNames(env *ui.Env, cmd *cobra.Command, kind string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		flag := cmd.Flags().Lookup("policy")
		if flag == nil || flag.Value.String() == "" || flag.Value.String() == "-" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		_, p, err := trust.ReadPolicy(env, flag.Value.String())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, o := range p.Producers {
			if kind == "producer" {
				names = append(names, ui.Clean(o.Name))
			}
		}
		for _, o := range p.Consumers {
			if kind == "consumer" {
				names = append(names, ui.Clean(o.Name))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
