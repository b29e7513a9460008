package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/tinkkeys"
)

// keyNamed is a key whose private half is in KMS, or in a Tink keyset.
type keyNamed struct {
	KeyID    string          `json:"key_id"`
	Alg      string          `json:"alg"`
	Producer string          `json:"producer,omitempty"`
	Consumer string          `json:"consumer,omitempty"`
	KMS      string          `json:"kms"` // the ARN of the key, or of the one that the keyset is under
	Keyset   string          `json:"keyset,omitempty"`
	Public   json.RawMessage `json:"public"`
	Out      string          `json:"out,omitempty"`
}

// keysNewKMS takes up a key pair that was made in KMS: from here on it is known by its thumbprint.
func (a *app) keysNewKMS(ctx context.Context, f *keysNewFlags) error {
	switch {
	case f.path != "" || f.tinkKEK != "" || f.activate != "" || f.retire != "" || f.alg != "":
		return usage("leave them out: the key is in KMS, and its schedule stands in the trust policy", "--kms goes without --keyring, --tink-kek, --alg, --activate and --retire")
	case f.sources != nil || f.types != nil:
		return usage("leave them out; the trust policy says what the producer signs for", "--source and --type are recorded in a keyring, and there is none")
	case f.out != "" && exists(f.out):
		return fileExists(f.out)
	}
	client, err := a.kmsClient(ctx, f.kms)
	if err != nil {
		return err
	}
	n := keyNamed{Producer: f.producer, Consumer: f.consumer, Out: f.out}
	if f.use == useEncrypt {
		if err := need(required{"consumer", f.consumer}); err != nil {
			return err
		}
		if key, err := a.resolveKMS(ctx, f.kms, types.KeyUsageTypeKeyAgreement); err == nil && key.Usage == types.KeyUsageTypeEncryptDecrypt {
			return usage("name its ARN where it is used: `sealbus seal --encrypt-to ARN`, `sealbus open --identity ARN`", "%s is a symmetric key: it has no public half for the trust", f.kms)
		}
		i, err := awskms.NewAgreementIdentity(ctx, client, f.kms, nil)
		if err != nil {
			return kmsFailed(err)
		}
		n.KeyID, n.Alg, n.KMS, n.Public = i.Recipient().KeyID(), string(i.Recipient().Curve()), i.ARN(), i.Recipient().JWK()
		return a.tellNamed(n, "the encryption key "+shortID(n.KeyID)+" of consumer "+f.consumer, "sealbus open --identity "+n.KMS)
	}
	if err := need(required{"producer", f.producer}); err != nil {
		return err
	}
	s, err := awskms.NewSigner(ctx, client, f.kms, f.producer, nil)
	if err != nil {
		return kmsFailed(err)
	}
	v := s.Verifier()
	n.KeyID, n.Alg, n.KMS, n.Public = v.KeyID(), string(v.Algorithm()), s.ARN(), v.JWK()
	return a.tellNamed(n, "the "+n.Alg+" key "+shortID(n.KeyID)+" of producer "+f.producer, "sealbus seal --kms "+n.KMS+" --producer "+f.producer)
}

// tellNamed writes the public half for the people who keep the trust.
func (a *app) tellNamed(n keyNamed, what, use string) error {
	if n.Out != "" {
		if err := n.write(); err != nil {
			return err
		}
		a.sayf("wrote %s: %s", n.Out, what)
	} else {
		a.sayf("%s: its public half, for the people who keep the trust, is written with --out FILE", what)
	}
	a.sayf("use it: %s", use)
	return a.emit(n, func(p *printer) { p.linef("%s", n.KeyID) })
}

// write writes the public half. It has no schedule: the key is used from the start, and as long as something
// names it.
func (n *keyNamed) write() error {
	public, err := keys.ParseJWKSet(n.Public)
	if err != nil {
		return err
	}
	set, err := keys.FormatJWKSet(public...)
	if err != nil {
		return err
	}
	return createFile(n.Out, set, publicFile)
}

// keysNewTink makes a key in a Tink keyset, and the keyset if there is none yet.
func (a *app) keysNewTink(ctx context.Context, f *keysNewFlags) error {
	owner, err := f.tinkOwner()
	if err != nil {
		return err
	}
	if f.out != "" && exists(f.out) {
		return fileExists(f.out)
	}
	kek, err := a.tinkKEK(ctx, f.tinkKEK)
	if err != nil {
		return err
	}
	var set *tinkkeys.Keyset
	var id string
	switch created := !exists(f.path); {
	case created && f.use == useEncrypt:
		set, err = tinkkeys.Create(ctx, f.path, kek, owner, keys.Curve(f.alg))
	case created:
		set, err = tinkkeys.Create(ctx, f.path, kek, owner, keys.Algorithm(f.alg))
	default:
		if set, err = tinkkeys.Open(ctx, f.path, kek, owner); err != nil {
			return tinkFailed(f.path, err)
		}
		id, err = f.addToKeyset(ctx, set)
	}
	if err != nil {
		return tinkFailed(f.path, err)
	}
	return a.tellKeyset(f, set, cmp.Or(id, tinkIDs(set)[0]))
}

func (f *keysNewFlags) tinkOwner() (tinkkeys.Owner, error) {
	switch {
	case f.path == "":
		return tinkkeys.Owner{}, need(required{"keyring", f.path})
	case f.activate != "" || f.retire != "" || f.sources != nil || f.types != nil || f.insecure || f.passphraseFile != "":
		return tinkkeys.Owner{}, usage("leave them out: a Tink keyset records no schedule and no scope, and is under a key of KMS", "--tink-kek goes without --activate, --retire, --source, --type and passphrases")
	case f.use == useEncrypt:
		f.alg = cmp.Or(f.alg, string(keys.X25519))
		if !slices.Contains(keys.Curves(), keys.Curve(f.alg)) {
			return tinkkeys.Owner{}, usage("use --alg X25519 or P-256", "no encryption key of algorithm %q", f.alg)
		}
		return tinkkeys.Consumer(f.consumer), need(required{"consumer", f.consumer})
	}
	f.alg = cmp.Or(f.alg, string(keys.Ed25519))
	if err := checkAlgorithm(f.alg); err != nil {
		return tinkkeys.Owner{}, err
	}
	return tinkkeys.Producer(f.producer), need(required{"producer", f.producer})
}

func (f *keysNewFlags) addToKeyset(ctx context.Context, set *tinkkeys.Keyset) (string, error) {
	if f.use == useEncrypt {
		return set.AddIdentity(ctx, keys.Curve(f.alg))
	}
	return set.Add(ctx, keys.Algorithm(f.alg))
}

func (a *app) tellKeyset(f *keysNewFlags, set *tinkkeys.Keyset, id string) error {
	n := keyNamed{KeyID: id, Alg: f.alg, Producer: f.producer, Consumer: f.consumer, KMS: f.tinkKEK, Keyset: f.path, Out: f.out}
	primary := true
	for _, e := range set.Entries() {
		switch {
		case e.KeyID != id:
		case e.Recipient != nil:
			n.Public = e.Recipient.JWK()
		default:
			n.Public, primary = e.Verifier.JWK(), e.Primary
		}
	}
	if !primary {
		a.warnf("it does not sign yet: publish it in the trust bundle, then make it primary (tinkey promote-key, or tinkkeys.Keyset.SetPrimary)")
	}
	if f.use == useEncrypt {
		return a.tellNamed(n, "the encryption key "+shortID(id)+" of consumer "+f.consumer, "sealbus open --identity "+f.path+" --tink-kek "+f.tinkKEK+" --consumer "+f.consumer)
	}
	return a.tellNamed(n, "the "+f.alg+" key "+shortID(id)+" of producer "+f.producer, "sealbus seal --keyring "+f.path+" --tink-kek "+f.tinkKEK+" --producer "+f.producer)
}
