package main

import "github.com/spf13/cobra"

// commands lists the commands, in the order in which somebody new needs them.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.demoCommand(),
		a.keysCommand(),
		a.trustCommand(),
		a.sealCommand(),
		a.openCommand(),
		a.publishCommand(),
		a.inspectCommand(),
		a.replayCommand(),
		a.quarantineCommand(),
		a.listenCommand(),
		a.doctorCommand(),
		a.completionCommand(),
		a.versionCommand(),
	}
}
