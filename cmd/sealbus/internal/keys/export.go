package keys

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

// keysExported is the result of an export into a file.
type keysExported struct {
	Out      string   `json:"out"`
	Producer string   `json:"producer,omitempty"`
	Consumer string   `json:"consumer,omitempty"`
	KeyIDs   []string `json:"key_ids"`
}

func keysExportCommand(env *ui.Env) *cobra.Command {
	var f loadkeys.KeyringFlags
	var keyID, out string
	cmd := env.Command(ui.Command{
		Use:   "export --keyring FILE [--key ID] [--out FILE]",
		Short: "Write the public halves as a JWK Set, for the people who keep the trust",
		Long: "Write the public halves of the keyring's keys as a JWK Set, for the people who keep the trust. Each says whose key it\n" +
			"is and when the keyring uses it; `sealbus trust add` takes the schedule from there.",
		Run: func(context.Context, []string) error { return keysExport(env, &f, keyID, out) },
	})
	cmd.Flags().StringVar(&keyID, "key", "", "only this key: its `ID` or the first characters of it")
	cmd.Flags().StringVar(&out, "out", "", "a new `FILE` to write (default standard output)")
	f.Register(cmd)
	return cmd
}

func keysExport(env *ui.Env, f *loadkeys.KeyringFlags, keyID, out string) error {
	if out != "" && ui.Exists(out) {
		return ui.FileExists(out)
	}
	ring, err := loadkeys.OpenKeyring(env, f)
	if err != nil {
		return err
	}
	chosen := ring.PublicKeys()
	if keyID != "" {
		key, err := loadkeys.FindKey(ring, keyID)
		if err != nil {
			return err
		}
		chosen = []keys.PublicKey{key}
	}
	if out == "" {
		set, err := keys.FormatJWKSet(chosen...)
		if err != nil {
			return err
		}
		return env.WriteOut(set)
	}
	if err := writePublic(env, ring, out, chosen...); err != nil {
		return err
	}
	result := keysExported{Out: out, Producer: ring.Producer(), Consumer: ring.Consumer()}
	for _, k := range chosen {
		result.KeyIDs = append(result.KeyIDs, k.KeyID())
	}
	if !env.JSON {
		return nil
	}
	return env.WriteJSON(result)
}

// writePublic writes these public halves of the ring's keys into a new file.
func writePublic(env *ui.Env, ring *keys.Keyring, out string, chosen ...keys.PublicKey) error {
	set, err := keys.FormatJWKSet(chosen...)
	if err != nil {
		return err
	}
	if err := ui.CreateFile(out, set, ui.PublicFile); err != nil {
		return err
	}
	env.Sayf("wrote %s: %s of %s", out, ui.Count(len(chosen), "public key"), loadkeys.OwnerOf(ring))
	return nil
}
