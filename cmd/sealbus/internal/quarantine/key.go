package quarantine

import (
	"context"
	"crypto/rand"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
)

func keyCommand(env *ui.Env) *cobra.Command {
	return env.Group("key", "Make the key that authenticates records",
		"The key that a consumer writes its quarantine records with, and that operators read and reopen them with.",
		keyNewCommand(env))
}

// keyMade is the result of `quarantine key new`.
type keyMade struct {
	File  string `json:"file"`
	Bytes int    `json:"bytes"`
}

func keyNewCommand(env *ui.Env) *cobra.Command {
	var out string
	cmd := env.Command(ui.Command{
		Use: "new --out FILE", Short: "Make a quarantine key",
		Long: `Make a quarantine key: 32 random bytes, in base64, in a new file that only its owner may read.

Each consumer has a key of its own. Those who have it can make records that pass for refused events; opening
them still takes a producer's signature. Keep it where the consumer's other secrets are.`,
		Example: "sealbus quarantine key new --out quarantine.key",
		Run:     func(context.Context, []string) error { return keyNew(env, out) },
	})
	cmd.Flags().StringVar(&out, "out", "", "the new `FILE`")
	return cmd
}

func keyNew(env *ui.Env, out string) error {
	if err := ui.Need(ui.Flag("out", out)); err != nil {
		return err
	}
	key := make([]byte, consumer.MinQuarantineKey)
	rand.Read(key) // ends the program rather than fail
	if err := ui.CreateFile(out, []byte(encodeBody(key)+"\n"), ui.PrivateFile); err != nil {
		return err
	}
	env.Sayf("made a quarantine key: give it to the consumer (consumer.NewQuarantineKeys) and to the operator who reopens")
	made := keyMade{out, len(key)}
	return env.Emit(made, func(p *ui.Printer) { p.Linef("%s", ui.Clean(made.File)) })
}
