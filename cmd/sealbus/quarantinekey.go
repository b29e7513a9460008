package main

import (
	"context"
	"crypto/rand"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/consumer"
)

func (a *app) quarantineKeyCommand() *cobra.Command {
	return a.group("key", "Make the key that authenticates records",
		"The key that a consumer writes its quarantine records with, and that operators read and reopen them with.",
		a.quarantineKeyNewCommand())
}

// quarantineKeyMade is the result of `quarantine key new`.
type quarantineKeyMade struct {
	File  string `json:"file"`
	Bytes int    `json:"bytes"`
}

func (a *app) quarantineKeyNewCommand() *cobra.Command {
	var out string
	cmd := a.command(commandSpec{
		use: "new --out FILE", short: "Make a quarantine key",
		long: `Make a quarantine key: 32 random bytes, in base64, in a new file that only its owner may read.

Each consumer has a key of its own. Those who have it can make records that pass for refused events; opening
them still takes a producer's signature. Keep it where the consumer's other secrets are.`,
		example: "sealbus quarantine key new --out quarantine.key",
		run:     func(context.Context, []string) error { return a.quarantineKeyNew(out) },
	})
	cmd.Flags().StringVar(&out, "out", "", "the new `FILE`")
	return cmd
}

func (a *app) quarantineKeyNew(out string) error {
	if err := need(required{"out", out}); err != nil {
		return err
	}
	key := make([]byte, consumer.MinQuarantineKey)
	rand.Read(key) // ends the program rather than fail
	if err := createFile(out, []byte(encodeBody(key)+"\n"), privateFile); err != nil {
		return err
	}
	a.sayf("made a quarantine key: give it to the consumer (consumer.NewQuarantineKeys) and to whoever reopens")
	made := quarantineKeyMade{out, len(key)}
	return a.emit(made, func(p *printer) { p.linef("%s", clean(made.File)) })
}
