package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"
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
	chosen := ringKeys(ring)
	if keyID != "" {
		key, err := findRingKey(ring, keyID)
		if err != nil {
			return err
		}
		chosen = []ringKey{key}
	}
	if out == "" {
		return a.writeOut(jwkSet(chosen))
	}
	if err := createFile(out, jwkSet(chosen), publicFile); err != nil {
		return err
	}
	result := keysExported{Out: out, Producer: ring.Producer(), Consumer: ring.Consumer()}
	for _, k := range chosen {
		result.KeyIDs = append(result.KeyIDs, k.id)
	}
	a.sayf("wrote %s: %s of %s", out, count(len(chosen), "public key"), ownerOf(ring))
	if !a.json {
		return nil
	}
	return a.writeJSON(result)
}

// jwkSet is a JWK Set (RFC 7517 section 5) with one key a line, for reviews.
func jwkSet(list []ringKey) []byte {
	var lines [][]byte
	for _, k := range list {
		lines = append(lines, append([]byte("  "), k.jwk...))
	}
	return fmt.Appendf(nil, "{\"keys\":[\n%s\n]}\n", bytes.Join(lines, []byte(",\n")))
}
