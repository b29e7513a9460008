package keys

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// rewrapped is the result of `keys rewrap`.
type rewrapped struct {
	Keyring   string `json:"keyring"`
	Encrypted bool   `json:"encrypted"`
	Keys      int    `json:"keys"`
}

func rewrapCommand(env *ui.Env) *cobra.Command {
	var f loadkeys.KeyringFlags
	var to loadkeys.PrivateFlags
	cmd := env.Command(ui.Command{
		Use:   "rewrap --keyring FILE [--new-passphrase-file FILE]",
		Short: "Encrypt a keyring under another passphrase",
		Long: "Encrypt a keyring under another passphrase. The keys stay the same, so nothing else has to change. The file is replaced\n" +
			"only after the new content was opened with the new passphrase. Copies and backups still open with the old one: if it\n" +
			"was stolen together with the file, change the keys (`sealbus keys rotate`, `sealbus trust revoke`).",
		Example: "sealbus keys rewrap --keyring orders.keyring --passphrase-file old --new-passphrase-file new",
		Run:     func(context.Context, []string) error { return keysRewrap(env, &f, &to) },
	})
	f.Register(cmd)
	cmd.Flags().StringVar(&to.PassphraseFile, "new-passphrase-file", "",
		"read the new passphrase from the first line of `FILE` instead of the terminal")
	cmd.Flags().BoolVar(&to.Insecure, "insecure-new-no-passphrase", false, "leave the private keys unencrypted")
	return cmd
}

func keysRewrap(env *ui.Env, f *loadkeys.KeyringFlags, to *loadkeys.PrivateFlags) error {
	if to.Insecure && to.PassphraseFile != "" {
		return ui.Usage("drop one of the two", "--insecure-new-no-passphrase contradicts --new-passphrase-file")
	}
	ring, err := loadkeys.OpenKeyring(env, f)
	if err != nil {
		return err
	}
	pass, err := loadkeys.Passphrase(env, to, "the new "+f.Path, true)
	if e, ok := errors.AsType[*ui.Error](err); ok && to.PassphraseFile == "" {
		return ui.Usage("type it twice, or use --new-passphrase-file FILE", "%w", e.Err)
	} else if err != nil {
		return err
	}
	opts := to.Options(env)
	if err := ring.Rewrap(pass, &opts); err != nil {
		return loadkeys.PrivateFailed(f.Path, err)
	}
	r := rewrapped{Keyring: f.Path, Encrypted: !to.Insecure, Keys: len(ring.PublicKeys())}
	if to.Insecure {
		env.Warnf("%s is not encrypted: anyone who can read this file has its keys", f.Path)
	}
	return env.Emit(r, func(p *ui.Printer) {
		p.Linef("%s  %s, opened again with the new passphrase", p.Bold(ui.Clean(r.Keyring)), ui.Count(r.Keys, "key"))
	})
}
