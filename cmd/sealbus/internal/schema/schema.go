// Package schema has the commands about JSON Schemas of events.
package schema

import (
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Group("schema", "Check the JSON Schemas of events",
		"Producers, consumers and receivers can judge the data of events by JSON Schema. These commands "+
			"check schemas before a program uses them.",
		checkCommand(env))
}
