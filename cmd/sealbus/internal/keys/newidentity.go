package keys

import (
	"cmp"
	"slices"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

// The uses of a key, as JWKs have them (RFC 7517 section 4.2).
const (
	useSign    = "sig"
	useEncrypt = "enc"
)

// newIdentity makes an encryption key, and its keyring if there is none yet.
func newIdentity(env *ui.Env, f *newFlags, schedule keys.Schedule) error {
	if f.producer != "" || f.sources != nil || f.types != nil {
		return ui.Usage("leave them out", "--producer, --source and --type are for signing keys")
	}
	f.alg = cmp.Or(f.alg, string(keys.X25519))
	if !slices.Contains(keys.Curves(), keys.Curve(f.alg)) {
		return ui.Usage("use --alg X25519 or P-256", "no encryption key of algorithm %q", f.alg)
	}
	key, err := keys.GenerateIdentity(keys.Curve(f.alg))
	if err != nil {
		return err
	}
	created := !ui.Exists(f.Path)
	if created {
		err = createConsumerRing(env, f, key, schedule)
	} else {
		err = addIdentity(env, f, key, schedule)
	}
	if err != nil {
		return err
	}
	return tellNewIdentity(env, f, key.Recipient(), created)
}

func createConsumerRing(env *ui.Env, f *newFlags, key *keys.LocalIdentity, schedule keys.Schedule) error {
	if err := ui.Need(ui.Flag("consumer", f.consumer)); err != nil {
		return err
	}
	if err := keys.CheckProducer(f.consumer); err != nil {
		return ui.Usage("correct --consumer", "%w", err)
	}
	pass, err := loadkeys.Passphrase(env, &f.PrivateFlags, f.Path, true)
	if err != nil {
		return err
	}
	_, err = keys.CreateConsumerKeyring(f.Path, pass, f.consumer, &keys.KeyringOptions{
		PrivateFileOptions: f.Options(env), Key: key, Schedule: schedule,
	})
	if err != nil {
		return loadkeys.PrivateFailed(f.Path, err)
	}
	return nil
}

func addIdentity(env *ui.Env, f *newFlags, key *keys.LocalIdentity, schedule keys.Schedule) error {
	ring, err := loadkeys.OpenKeyring(env, &f.KeyringFlags)
	if err != nil {
		return err
	}
	if ring.Consumer() == "" || f.consumer != "" && f.consumer != ring.Consumer() {
		return ui.Usage("give each producer and each consumer a keyring of its own",
			"%s is the keyring of %s", f.Path, loadkeys.OwnerOf(ring))
	}
	f.consumer = ring.Consumer()
	if err := ring.Add(key, schedule); err != nil {
		return loadkeys.PrivateFailed(f.Path, err)
	}
	return nil
}

func tellNewIdentity(env *ui.Env, f *newFlags, r *keys.Recipient, created bool) error {
	what := "the " + f.alg + " encryption key " + ui.ShortID(r.KeyID()) + " of consumer " + f.consumer
	if created {
		env.Sayf("made %s with %s", f.Path, what)
	} else {
		env.Sayf("added %s to %s", what, f.Path)
	}
	if f.Insecure {
		env.Warnf("%s is not encrypted: anyone who can read this file can read what is encrypted to %s",
			f.Path, f.consumer)
	}
	env.Sayf("give the keyring to every copy of the consumer before the key is active")
	env.Next("for the people who keep the trust", f.exportCommand(f.consumer, r.KeyID(), created))
	return env.Emit(
		keyMade{KeyID: r.KeyID(), Alg: f.alg, Consumer: f.consumer, Keyring: f.Path, Created: created,
			Public: r.JWK()},
		func(p *ui.Printer) { p.Linef("%s", r.KeyID()) })
}
