// Package cli is the whole program: the tree of commands, help, completion and version.
package cli

import (
	"context"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/claims"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/demo"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/dev"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/doctor"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/events"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/explain"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/gateway"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/keys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/listen"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/quarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/schema"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/setup"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/tenants"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/token"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/trust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/webhook"
)

// Root makes the tree of commands.
func Root(env *ui.Env) *cobra.Command {
	root := env.Group("sealbus", "Seal and open CloudEvents: authentic, intact, fresh, end to end",
		"Seal and open CloudEvents, so that a consumer knows who sent an event, and that no one changed it on the way, on any bus.",
		commands(env)...)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true // `sealbus completion` is our own
	root.SetIn(env.Stdin)
	root.SetOut(env.DataWriter()) // cobra's answers to the shell that completes
	root.SetErr(env.TalkWriter())
	root.SetFlagErrorFunc(ui.FlagError)
	root.SetHelpFunc(env.Help)
	root.SetHelpCommand(helpCommand(env, root))
	root.PersistentFlags().Var((*ui.OutputValue)(&env.JSON), "output",
		"results as text, or one JSON object each")
	version := root.Flags().Bool("version", false, "print the version of this program")
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if *version && len(args) == 0 {
			return tellVersion(env)
		}
		return env.NoCommand(cmd, args)
	}
	loadhome.Attach(env, root)
	completeFlags(env, root)
	return root
}

// commands lists the commands, in the order in which a newcomer needs them.
func commands(env *ui.Env) []*cobra.Command {
	return []*cobra.Command{
		demo.Command(env),
		setup.Command(env),
		dev.Command(env),
		keys.Command(env),
		trust.Command(env),
		events.SealCommand(env),
		events.OpenCommand(env),
		events.PublishCommand(env),
		events.InspectCommand(env),
		explain.Command(env),
		claims.Command(env),
		quarantine.Command(env),
		listen.Command(env),
		webhook.Command(env),
		gateway.Command(env),
		tenants.Command(env),
		schema.Command(env),
		token.Command(env),
		doctor.Command(env),
		completionCommand(env),
		versionCommand(env),
	}
}

func helpCommand(env *ui.Env, root *cobra.Command) *cobra.Command {
	return env.Command(ui.Command{
		Use: "help [COMMAND...]", Short: "Explain a command",
		Args: func([]string) error { return nil },
		Run: func(_ context.Context, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return ui.Usage("run `sealbus help` for the list of commands", "no command %q",
					strings.Join(args, " "))
			}
			env.Help(cmd, nil)
			return nil
		},
	})
}

// Run is the whole program; it returns the exit status.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer,
	system ui.System) int {
	env := ui.NewEnv(stdin, stdout, stderr, system)
	env.JSON = ui.WantsJSON(args) // known before the flags are read, so that a wrong flag is reported as asked
	root := Root(env)
	root.SetArgs(args)
	return env.Finish(root.ExecuteContext(ctx))
}

type versionResult struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand(env *ui.Env) *cobra.Command {
	return env.Command(ui.Command{
		Use: "version", Short: "Print the version of this program",
		Run: func(context.Context, []string) error { return tellVersion(env) },
	})
}

// tellVersion is for `sealbus version`, and for --version, which people try first.
func tellVersion(env *ui.Env) error {
	v := currentVersion()
	return env.Emit(v, func(p *ui.Printer) {
		p.Linef("sealbus %s %s", p.Bold(v.Version), p.Dim("("+v.Go+", "+v.Platform+")"))
	})
}

// currentVersion is what the Go tool recorded when it built the program.
func currentVersion() versionResult {
	v := versionResult{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" +
		runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}
