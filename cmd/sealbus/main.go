// Command sealbus makes keys and trust, and seals, opens and explains CloudEvents.
//
// Data goes to standard output, talk to standard error, both without anything that a terminal would obey.
// Errors begin with "sealbus: ", no capital, no period, and are followed by one line that says what to do.
// With --output json each command writes one JSON object per result, errors included:
// {"error","message","fix"}.
//
// Exit status: 0 done; 1 rejected: the input was judged, and is refused; 2 usage: the command has to be
// changed, or what it names (a flag, a file, a passphrase, credentials, a permission); 3 unavailable: try
// again, and nothing else has to be done; 4 something is due; 130 interrupted by Ctrl-C.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func main() { os.Exit(run(ui.NewSystem())) }

// run runs the command line of this process; it returns the exit status.
func run(system ui.System) int {
	cobra.EnableCommandSorting = false // help lists commands in the order in which a newcomer needs them
	return cli.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, system)
}
