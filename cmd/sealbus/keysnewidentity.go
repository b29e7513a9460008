package main

import (
	"cmp"
	"slices"

	"github.com/sealbus/sealbus/keys"
)

// The uses of a key, as JWKs have them (RFC 7517 section 4.2).
const (
	useSign    = "sig"
	useEncrypt = "enc"
)

// keysNewIdentity makes an encryption key, and its keyring if there is none yet.
func (a *app) keysNewIdentity(f *keysNewFlags, schedule keys.Schedule) error {
	if f.producer != "" || f.sources != nil || f.types != nil {
		return usage("leave them out", "--producer, --source and --type are for signing keys")
	}
	f.alg = cmp.Or(f.alg, string(keys.X25519))
	if !slices.Contains(keys.Curves(), keys.Curve(f.alg)) {
		return usage("use --alg X25519 or P-256", "no encryption key of algorithm %q", f.alg)
	}
	key, err := keys.GenerateIdentity(keys.Curve(f.alg))
	if err != nil {
		return err
	}
	created := !exists(f.path)
	if created {
		err = a.createConsumerRing(f, key, schedule)
	} else {
		err = a.addIdentity(f, key, schedule)
	}
	if err != nil {
		return err
	}
	return a.tellNewIdentity(f, key.Recipient(), created)
}

func (a *app) createConsumerRing(f *keysNewFlags, key *keys.LocalIdentity, schedule keys.Schedule) error {
	if err := need(required{"consumer", f.consumer}); err != nil {
		return err
	}
	if err := keys.CheckProducer(f.consumer); err != nil {
		return usage("correct --consumer", "%w", err)
	}
	pass, err := a.passphrase(&f.privateFlags, f.path, true)
	if err != nil {
		return err
	}
	_, err = keys.CreateConsumerKeyring(f.path, pass, f.consumer, &keys.ConsumerKeyringOptions{
		PrivateFileOptions: f.options(a), Identity: key, Schedule: schedule,
	})
	if err != nil {
		return privateFailed(f.path, err)
	}
	return nil
}

func (a *app) addIdentity(f *keysNewFlags, key *keys.LocalIdentity, schedule keys.Schedule) error {
	ring, err := a.openKeyring(&f.keyringFlags)
	if err != nil {
		return err
	}
	if ring.Consumer() == "" || f.consumer != "" && f.consumer != ring.Consumer() {
		return usage("give each producer and each consumer a keyring of its own", "%s is the keyring of %s", f.path, ownerOf(ring))
	}
	f.consumer = ring.Consumer()
	if err := ring.AddIdentity(key, schedule); err != nil {
		return privateFailed(f.path, err)
	}
	return nil
}

func (a *app) tellNewIdentity(f *keysNewFlags, r *keys.Recipient, created bool) error {
	what := "the " + f.alg + " encryption key " + shortID(r.KeyID()) + " of consumer " + f.consumer
	if created {
		a.sayf("made %s with %s", f.path, what)
	} else {
		a.sayf("added %s to %s", what, f.path)
	}
	if f.insecure {
		a.warnf("%s is not encrypted: whoever can read it can read what is encrypted to %s", f.path, f.consumer)
	}
	a.sayf("give the keyring to every copy of the consumer before the key is active")
	a.next("for the people who keep the trust", f.exportCommand(f.consumer, r.KeyID(), created))
	return a.emit(
		keyMade{KeyID: r.KeyID(), Alg: f.alg, Consumer: f.consumer, Keyring: f.path, Created: created, Public: r.JWK()},
		func(p *printer) { p.linef("%s", r.KeyID()) })
}
