package main

import (
	"context"
	"encoding/json"

	"github.com/sealbus/sealbus/keys"
)

// keysNewKMS writes the file that stands for a key in AWS KMS: where it is, whose it is, and its public half.
func (a *app) keysNewKMS(ctx context.Context, f *keysNewFlags) error {
	if err := f.checkKMS(); err != nil {
		return err
	}
	if exists(f.path) {
		return fileExists(f.path)
	}
	key, err := a.kmsKeyAt(ctx, f.kms)
	if err != nil {
		return err
	}
	ref := &keyReference{path: f.path, kms: key.arn, producer: f.producer, consumer: f.consumer, sources: f.sources, types: f.types}
	switch {
	case f.use == useSign && key.signing != nil:
		ref.public = key.signing.JWK()
	case f.use == useEncrypt && key.encryption != nil:
		ref.public = key.encryption.JWK()
	default:
		return key.notFor(f.use)
	}
	if err := ref.check(); err != nil {
		return unavailable("report this as a bug", "%w", err)
	}
	doc, err := ref.document()
	if err != nil {
		return unavailable("report this as a bug", "%w", err)
	}
	if err := createFile(f.path, doc, publicFile); err != nil {
		return err
	}
	return a.tellReference(f, ref)
}

// checkKMS refuses flags that say what the key itself says.
func (f *keysNewFlags) checkKMS() error {
	switch {
	case f.use != useSign && f.use != useEncrypt:
		return usage("write --use sig or --use enc", "no use %q", f.use)
	case f.alg != "":
		return usage("leave it out", "--alg is for new keys: a key in AWS KMS says what it is")
	case f.activate != "" || f.retire != "":
		return usage("give the schedule to `sealbus trust add`", "--activate and --retire are for keyrings, with several keys")
	case f.insecure || f.passphraseFile != "":
		return usage("leave it out", "the file holds no private key: there is nothing to encrypt")
	case f.use == useEncrypt && (f.producer != "" || f.sources != nil || f.types != nil):
		return usage("leave them out", "--producer, --source and --type are for signing keys")
	case f.use == useSign && f.consumer != "":
		return usage("add --use enc, or name the producer with --producer", "--consumer is for encryption keys")
	}
	owner := required{"producer", f.producer}
	if f.use == useEncrypt {
		owner = required{"consumer", f.consumer}
	}
	if err := need(owner); err != nil {
		return err
	}
	if err := keys.CheckProducer(owner.value); err != nil {
		return usage("correct --"+owner.name, "%w", err)
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such", "%w", err)
	}
	return nil
}

func (a *app) tellReference(f *keysNewFlags, ref *keyReference) error {
	k := ref.key()
	what, takes := "signing key", "`sealbus seal --keyring "+f.path+"` signs with it"
	if ref.consumer != "" {
		what, takes = "encryption key", "`sealbus open --identity "+f.path+"` opens with it"
	}
	a.sayf("made %s: the %s %s %s of %s, which stays in AWS KMS; %s", f.path, k.alg, what, shortID(k.id), ref.owner(), takes)
	a.sayf("next: sealbus keys export --keyring %s --out %s.pub.json, for the people who keep the trust", f.path, f.producer+f.consumer)
	return a.emit(
		keyMade{KeyID: k.id, Alg: k.alg, Producer: ref.producer, Consumer: ref.consumer, Keyring: f.path, Created: true, KMS: ref.kms, Public: json.RawMessage(k.jwk)},
		func(p *printer) { p.linef("%s", k.id) })
}
