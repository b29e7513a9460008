package keys

import (
	"context"

	"github.com/spf13/cobra"

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
	var f ownFlags
	var keyID, out string
	cmd := env.Command(ui.Command{
		Use:   "export --keyring FILE [--tink-kek ARN] [--key ID] [--out FILE]",
		Short: "Write the public halves as a JWK Set, for the people who keep the trust",
		Long: "Write the public halves of the keyring's keys as a JWK Set, for the people who keep the trust. Each says whose key it\n" +
			"is and when the keyring uses it; `sealbus trust add` takes the schedule from there.",
		Run: func(ctx context.Context, _ []string) error { return keysExport(ctx, env, &f, keyID, out) },
	})
	cmd.Flags().StringVar(&keyID, "key", "", "only this key: its `ID` or the first characters of it")
	cmd.Flags().StringVar(&out, "out", "", "a new `FILE` to write (default standard output)")
	f.register(cmd)
	return cmd
}

func keysExport(ctx context.Context, env *ui.Env, f *ownFlags, keyID, out string) error {
	if out != "" && ui.Exists(out) {
		return ui.FileExists(out)
	}
	mine, err := openOwn(ctx, env, f)
	if err != nil {
		return err
	}
	chosen := mine.public()
	if keyID != "" {
		key, err := mine.find(keyID)
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
	if err := writePublic(env, mine, out, chosen...); err != nil {
		return err
	}
	result := keysExported{Out: out, Producer: mine.producer, Consumer: mine.consumer}
	for _, k := range chosen {
		result.KeyIDs = append(result.KeyIDs, k.KeyID())
	}
	if !env.JSON {
		return nil
	}
	return env.WriteJSON(result)
}

// writePublic writes these public halves of the owner's keys into a new file.
func writePublic(env *ui.Env, mine *own, out string, chosen ...keys.PublicKey) error {
	set, err := keys.FormatJWKSet(chosen...)
	if err != nil {
		return err
	}
	if err := ui.CreateFile(out, set, ui.PublicFile); err != nil {
		return err
	}
	env.Sayf("wrote %s: %s of %s", out, ui.Count(len(chosen), "public key"), mine.owner())
	return nil
}
