package keys

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
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

// newKMS takes up a key pair that was made in KMS: from here on it is known by its thumbprint.
func newKMS(ctx context.Context, env *ui.Env, f *newFlags) error {
	switch {
	case f.Path != "" || f.tinkKEK != "" || f.activate != "" || f.retire != "" || f.alg != "":
		return ui.Usage("leave them out: the key is in KMS, and its schedule stands in the trust policy",
			"--kms goes without --keyring, --tink-kek, --alg, --activate and --retire")
	case f.sources != nil || f.types != nil:
		return ui.Usage("leave them out; the trust policy says what the producer signs for",
			"--source and --type are recorded in a keyring, and there is none")
	case f.out != "" && ui.Exists(f.out):
		return ui.FileExists(f.out)
	}
	client, err := awscli.KMSClient(ctx, env, f.kms)
	if err != nil {
		return err
	}
	n := keyNamed{Producer: f.producer, Consumer: f.consumer, Out: f.out}
	if f.use == useEncrypt {
		if err := ui.Need(ui.Flag("consumer", f.consumer)); err != nil {
			return err
		}
		if key, err := awscli.ResolveKMS(ctx, env, f.kms, types.KeyUsageTypeKeyAgreement); err == nil &&
			key.Usage == types.KeyUsageTypeEncryptDecrypt {
			return ui.Usage("name its ARN where it is used: `sealbus seal --encrypt-to ARN`, `sealbus open --identity ARN`", "%s is a symmetric key: it has no public half for the trust", f.kms)
		}
		i, err := awskms.NewAgreementIdentity(ctx, client, f.kms, nil)
		if err != nil {
			return awscli.KMSFailed(err)
		}
		n.KeyID, n.Alg, n.KMS, n.Public = i.Recipient().KeyID(), string(i.Recipient().Curve()), i.ARN(),
			i.Recipient().JWK()
		return tellNamed(env, n, "the encryption key "+ui.ShortID(n.KeyID)+" of consumer "+
			f.consumer, "sealbus open --identity "+n.KMS)
	}
	if err := ui.Need(ui.Flag("producer", f.producer)); err != nil {
		return err
	}
	s, err := awskms.NewSigner(ctx, client, f.kms, f.producer, nil)
	if err != nil {
		return awscli.KMSFailed(err)
	}
	v := s.Verifier()
	n.KeyID, n.Alg, n.KMS, n.Public = v.KeyID(), string(v.Algorithm()), s.ARN(), v.JWK()
	return tellNamed(env, n, "the "+n.Alg+" key "+ui.ShortID(n.KeyID)+" of producer "+
		f.producer, "sealbus seal --kms "+n.KMS+" --producer "+f.producer)
}

// tellNamed writes the public half for the people who keep the trust.
func tellNamed(env *ui.Env, n keyNamed, what, use string) error {
	if n.Out != "" {
		if err := n.write(); err != nil {
			return err
		}
		env.Sayf("wrote %s: %s", n.Out, what)
	} else {
		env.Sayf("%s: its public half, for the people who keep the trust, is written with --out FILE", what)
	}
	env.Sayf("use it: %s", use)
	return env.Emit(n, func(p *ui.Printer) { p.Linef("%s", n.KeyID) })
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
	return ui.CreateFile(n.Out, set, ui.PublicFile)
}

// newTink makes a key in a Tink keyset, and the keyset if there is none yet.
func newTink(ctx context.Context, env *ui.Env, f *newFlags) error {
	owner, err := f.tinkOwner()
	if err != nil {
		return err
	}
	if f.out != "" && ui.Exists(f.out) {
		return ui.FileExists(f.out)
	}
	kek, err := loadkeys.TinkKEK(ctx, env, f.tinkKEK)
	if err != nil {
		return err
	}
	var set *tinkkeys.Keyset
	var id string
	switch created := !ui.Exists(f.Path); {
	case created && f.use == useEncrypt:
		set, err = tinkkeys.Create(ctx, f.Path, kek, owner, keys.Curve(f.alg))
	case created:
		set, err = tinkkeys.Create(ctx, f.Path, kek, owner, keys.Algorithm(f.alg))
	default:
		if set, err = tinkkeys.Open(ctx, f.Path, kek, owner); err != nil {
			return loadkeys.TinkFailed(f.Path, err)
		}
		id, err = f.addToKeyset(ctx, set)
	}
	if err != nil {
		return loadkeys.TinkFailed(f.Path, err)
	}
	return tellKeyset(env, f, set, cmp.Or(id, loadkeys.TinkIDs(set)[0]))
}

func (f *newFlags) tinkOwner() (tinkkeys.Owner, error) {
	switch {
	case f.Path == "":
		return tinkkeys.Owner{}, ui.Need(ui.Flag("keyring", f.Path))
	case f.activate != "" || f.retire != "" || f.sources != nil || f.types != nil || f.Insecure ||
		f.PassphraseFile != "":
		return tinkkeys.Owner{},
			ui.Usage("leave them out: a Tink keyset records no schedule and no scope, and is under a key of KMS", "--tink-kek goes without --activate, --retire, --source, --type and passphrases")
	case f.use == useEncrypt:
		f.alg = cmp.Or(f.alg, string(keys.X25519))
		if !slices.Contains(keys.Curves(), keys.Curve(f.alg)) {
			return tinkkeys.Owner{}, ui.Usage("use --alg X25519 or P-256",
				"no encryption key of algorithm %q", f.alg)
		}
		return tinkkeys.Consumer(f.consumer), ui.Need(ui.Flag("consumer", f.consumer))
	}
	f.alg = cmp.Or(f.alg, string(keys.Ed25519))
	if err := loadkeys.CheckAlgorithm(f.alg); err != nil {
		return tinkkeys.Owner{}, err
	}
	return tinkkeys.Producer(f.producer), ui.Need(ui.Flag("producer", f.producer))
}

func (f *newFlags) addToKeyset(ctx context.Context, set *tinkkeys.Keyset) (string, error) {
	if f.use == useEncrypt {
		return set.AddIdentity(ctx, keys.Curve(f.alg))
	}
	return set.Add(ctx, keys.Algorithm(f.alg))
}

func tellKeyset(env *ui.Env, f *newFlags, set *tinkkeys.Keyset, id string) error {
	n := keyNamed{KeyID: id, Alg: f.alg, Producer: f.producer, Consumer: f.consumer, KMS: f.tinkKEK,
		Keyset: f.Path, Out: f.out}
	primary := true
	for _, e := range set.Entries() {
		switch {
		case e.KeyID() != id:
		case e.Recipient != nil:
			n.Public = e.Recipient.JWK()
		default:
			n.Public, primary = e.Verifier.JWK(), e.Primary
		}
	}
	if !primary {
		env.Warnf("it does not sign yet, and has no schedule: `sealbus keys rotate --apply` takes it as the next key")
	}
	if f.use == useEncrypt {
		return tellNamed(env, n, "the encryption key "+ui.ShortID(id)+" of consumer "+
			f.consumer, "sealbus open --identity "+f.Path+" --tink-kek "+f.tinkKEK+" --consumer "+f.consumer)
	}
	return tellNamed(env, n, "the "+f.alg+" key "+ui.ShortID(id)+" of producer "+
		f.producer, "sealbus seal --keyring "+f.Path+" --tink-kek "+f.tinkKEK+" --producer "+f.producer)
}
