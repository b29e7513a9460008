package keys

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
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
		Use:   "rewrap --keyring FILE|s3://BUCKET/KEY [--new-passphrase-file FILE]",
		Short: "Encrypt a keyring under another passphrase",
		Long: "Encrypt a keyring under another passphrase. The keys stay the same, so nothing else has to change. The file is replaced\n" +
			"only after the new content was opened with the new passphrase. Copies and backups still open with the old one: if it\n" +
			"was stolen together with the file, change the keys (`sealbus keys rotate`, `sealbus trust revoke`).\n\n" +
			"An object in S3 is replaced only if it still is the one that was read. A keyring in Secrets Manager is downloaded,\n" +
			"rewrapped and stored by hand: the command says how, if it is given the secret's ARN.",
		Example: "sealbus keys rewrap --keyring orders.keyring --passphrase-file old --new-passphrase-file new",
		Run:     func(ctx context.Context, _ []string) error { return keysRewrap(ctx, env, &f, &to) },
	})
	f.Register(cmd)
	cmd.Flags().StringVar(&to.PassphraseFile, "new-passphrase-file", "",
		"read the new passphrase from the first line of `FILE` instead of the terminal")
	cmd.Flags().BoolVar(&to.Insecure, "insecure-new-no-passphrase", false, "leave the private keys unencrypted")
	return cmd
}

func keysRewrap(ctx context.Context, env *ui.Env, f *loadkeys.KeyringFlags, to *loadkeys.PrivateFlags) error {
	if to.Insecure && to.PassphraseFile != "" {
		return ui.Usage("drop one of the two", "--insecure-new-no-passphrase contradicts --new-passphrase-file")
	}
	r := rewrapped{Keyring: f.Path, Encrypted: !to.Insecure}
	var err error
	if strings.HasPrefix(f.Path, "s3://") {
		r.Keys, err = rewrapObject(ctx, env, f, to)
	} else {
		r.Keys, err = rewrapFile(env, f, to)
	}
	if err != nil {
		return err
	}
	if to.Insecure {
		env.Warnf("%s is not encrypted: anyone who can read this file has its keys", f.Path)
	}
	return env.Emit(r, func(p *ui.Printer) {
		p.Linef("%s  %s, opened again with the new passphrase", p.Bold(ui.Clean(r.Keyring)),
			ui.Count(r.Keys, "key"))
	})
}

func rewrapFile(env *ui.Env, f *loadkeys.KeyringFlags, to *loadkeys.PrivateFlags) (count int, err error) {
	ring, err := loadkeys.OpenKeyring(env, f)
	if err != nil {
		return 0, err
	}
	pass, err := newPassphrase(env, f, to)
	if err != nil {
		return 0, err
	}
	opts := to.Options(env)
	if err := ring.Rewrap(pass, &opts); err != nil {
		return 0, loadkeys.PrivateFailed(f.Path, err)
	}
	return len(ring.PublicKeys()), nil
}

func newPassphrase(env *ui.Env, f *loadkeys.KeyringFlags, to *loadkeys.PrivateFlags) (string, error) {
	pass, err := loadkeys.Passphrase(env, to, "the new "+f.Path, true)
	if e, ok := errors.AsType[*ui.Error](err); ok && to.PassphraseFile == "" {
		return "", ui.Usage("type it twice, or use --new-passphrase-file FILE", "%w", e.Err)
	}
	return pass, err
}

// rewrapObject replaces the keyring in S3, if it still is the one that was read. Its content is never
// unencrypted on this machine's disk.
func rewrapObject(ctx context.Context, env *ui.Env, f *loadkeys.KeyringFlags,
	to *loadkeys.PrivateFlags) (count int, err error) {
	if f.Insecure || to.Insecure {
		return 0, ui.Usage("give both passphrases, or download the keyring",
			"a keyring in S3 is kept under a passphrase")
	}
	was, err := loadtrust.ReadDocument(ctx, env, f.Path, privatefile.MaxSize)
	if err != nil {
		return 0, err
	}
	pass, err := loadkeys.Passphrase(env, &f.PrivateFlags, f.Path, false)
	if err != nil {
		return 0, err
	}
	ring, err := loadkeys.OpenWith(pass, func(p string) (*keys.Keyring, error) {
		pass = p
		return keys.ParseKeyring(was.Content, p)
	})
	if err != nil {
		return 0, loadkeys.PrivateFailed(f.Path, err)
	}
	next, err := newPassphrase(env, f, to)
	if err != nil {
		return 0, err
	}
	content, err := underPassphrase(was.Content, pass, next, env.WorkFactor())
	if err == nil {
		_, err = keys.ParseKeyring(content, next)
	}
	if err != nil {
		return 0, loadkeys.PrivateFailed(f.Path, err)
	}
	return len(ring.PublicKeys()), loadtrust.WriteDocument(ctx, env, f.Path, was, content)
}

// underPassphrase is the content of a private file under another passphrase.
func underPassphrase(content []byte, was, next string, workFactor int) ([]byte, error) {
	p, err := privatefile.NewProtection(next, workFactor, false)
	if err != nil {
		return nil, err
	}
	plain, _, err := privatefile.Unprotect("the keyring", content, was)
	if err != nil {
		return nil, err
	}
	return p.Seal(plain)
}
