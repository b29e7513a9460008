package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/keys"
)

// keysExported is the result of an export into a file.
type keysExported struct {
	Out      string   `json:"out"`
	Producer string   `json:"producer,omitempty"`
	Consumer string   `json:"consumer,omitempty"`
	KeyIDs   []string `json:"key_ids"`
}

func (a *app) keysExportCommand() *cobra.Command {
	var f keyringFlags
	var keyID, out string
	cmd := a.command(commandSpec{
		use: "export --keyring FILE [--key ID] [--out FILE]", short: "Write the public halves as a JWK Set, for the people who keep the trust",
		long: "Write the public halves of the keyring's keys as a JWK Set, for the people who keep the trust. Each says whose key it\n" +
			"is and when the keyring uses it; `sealbus trust add` takes the schedule from there.",
		run: func(context.Context, []string) error { return a.keysExport(&f, keyID, out) },
	})
	cmd.Flags().StringVar(&keyID, "key", "", "only this key: its `ID` or the first characters of it")
	cmd.Flags().StringVar(&out, "out", "", "a new `FILE` to write (default standard output)")
	f.register(cmd)
	return cmd
}

func (a *app) keysExport(f *keyringFlags, keyID, out string) error {
	if out != "" && exists(out) {
		return fileExists(out)
	}
	ring, err := a.openKeyring(f)
	if err != nil {
		return err
	}
	chosen := ring.PublicKeys()
	if keyID != "" {
		key, err := findKey(ring, keyID)
		if err != nil {
			return err
		}
		chosen = []keys.PublicKey{key}
	}
	set, err := keys.FormatJWKSet(chosen...)
	if err != nil {
		return err
	}
	if out == "" {
		return a.writeOut(set)
	}
	if err := createFile(out, set, publicFile); err != nil {
		return err
	}
	result := keysExported{Out: out, Producer: ring.Producer(), Consumer: ring.Consumer()}
	for _, k := range chosen {
		result.KeyIDs = append(result.KeyIDs, k.KeyID())
	}
	a.sayf("wrote %s: %s of %s", out, count(len(chosen), "public key"), ownerOf(ring))
	if !a.json {
		return nil
	}
	return a.writeJSON(result)
}
