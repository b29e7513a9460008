package loadkeys

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/keys"
)

// maxPassphrase bounds a passphrase, in bytes, so that a key file named by mistake is refused.
const maxPassphrase = 1 << 10

// PrivateFlags say how private files are protected.
type PrivateFlags struct {
	PassphraseFile string
	Insecure       bool
}

// Options are those of a new private file.
func (f *PrivateFlags) Options(env *ui.Env) keys.PrivateFileOptions {
	return keys.PrivateFileOptions{InsecureNoPassphrase: f.Insecure, ScryptWorkFactor: env.WorkFactor()}
}

func (f *PrivateFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.PassphraseFile, "passphrase-file", "",
		"read the passphrase from the first line of `FILE` instead of the terminal")
	cmd.Flags().BoolVar(&f.Insecure, "insecure-no-passphrase", false, "the private key is not encrypted")
}

// Passphrase is the passphrase that protects path; "" = none, as --insecure-no-passphrase says. A new one
// is asked for twice.
func Passphrase(env *ui.Env, f *PrivateFlags, path string, isNew bool) (string, error) {
	switch {
	case f.Insecure && f.PassphraseFile != "":
		return "", ui.Usage("drop one of the two", "--insecure-no-passphrase contradicts --passphrase-file")
	case f.Insecure:
		return "", nil
	case f.PassphraseFile != "":
		return passphraseFromFile(env, f.PassphraseFile, isNew)
	}
	pass, err := env.Ask("passphrase for " + ui.Clean(path) + ": ")
	if err != nil {
		return "", noTerminal(path)
	}
	if len(pass) == 0 {
		return "", ui.Usage("type one; --insecure-no-passphrase goes without", "empty passphrase")
	}
	if !isNew {
		return string(pass), nil
	}
	again, err := env.Ask("the same again: ")
	if err != nil || subtle.ConstantTimeCompare(pass, again) != 1 {
		return "", ui.Usage("start again", "the two passphrases differ")
	}
	return string(pass), nil
}

func noTerminal(path string) error {
	return ui.Usage("use --passphrase-file FILE (--insecure-no-passphrase if the file is not encrypted)",
		"there is no terminal to ask for the passphrase of %s", path)
}

// passphraseFromFile reads the first line. A byte order mark, or UTF-16, would become part of the passphrase,
// which could then not be typed: a new passphrase is refused with it. One that was made so before must still
// open its file: openWith tries it as it is first.
func passphraseFromFile(env *ui.Env, path string, isNew bool) (string, error) {
	data, err := env.ReadFile(path, maxPassphrase)
	if err != nil {
		return "", err
	}
	if path != "-" {
		env.WarnShared(path)
	}
	if damage := filekind.Damage(data); damage != nil && isNew {
		return "",
			ui.Usage("write the passphrase with another editor, or in PowerShell with Set-Content -Encoding ascii", "%s: %w", ui.NameOf(path), damage)
	} else if damage != nil {
		env.Warnf("%s: %v", ui.NameOf(path), damage)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", ui.Usage("write the passphrase on its first line",
			"%s holds no passphrase: its first line is empty", ui.NameOf(path))
	}
	return string(line), nil
}

// OpenWith opens a private file with the passphrase as it is, and else without the byte order mark that an
// editor put before it.
func OpenWith[T any](pass string, open func(pass string) (T, error)) (T, error) {
	opened, err := open(pass)
	rest, marked := strings.CutPrefix(pass, "\ufeff")
	if !marked || rest == "" || !errors.Is(err, keys.ErrPassphrase) {
		return opened, err
	}
	return open(rest)
}
