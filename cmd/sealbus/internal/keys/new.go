package keys

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

// newFlags are those of `keys new`.
type newFlags struct {
	loadkeys.KeyringFlags
	producer, alg    string
	use, consumer    string
	sources, types   []string
	activate, retire string
	kms, tinkKEK     string
	out              string // with --kms and --tink-kek: where the public half goes

	takesOver bool // the key signs from now on, instead of another
}

type keyMade struct {
	KeyID    string          `json:"key_id"`
	Alg      string          `json:"alg"`
	Producer string          `json:"producer,omitempty"`
	Consumer string          `json:"consumer,omitempty"`
	Keyring  string          `json:"keyring"`
	Created  bool            `json:"keyring_created"`
	Public   json.RawMessage `json:"public"`
}

func newCommand(env *ui.Env) *cobra.Command {
	var f newFlags
	cmd := env.Command(ui.Command{
		Use: "new (--producer NAME | --use enc --consumer NAME) (--keyring FILE [--tink-kek ARN] | --kms ARN)", Short: "Make a signing or encryption key, and its keyring if there is none yet",
		Long: "Make a key. The keyring is created if there is none yet, else the key is added to it.\n" +
			"--source and --type record what the producer signs for; `sealbus seal` then refuses the rest at once. What\n" +
			"consumers accept is decided by the trust policy alone.\n\n" +
			"A keyring with a key of ML-DSA-65 and one of Ed25519 or ES256 signs with both; its events are larger by 6 KB.\n" +
			"--use enc makes a key for events that only the consumer can read.\n\n" +
			"With --kms the private half is a key pair in AWS KMS, which must be there (aws kms create-key), and no file is made. With\n" +
			"--tink-kek the keyring is a Tink keyset, encrypted under a key of KMS instead of a passphrase.",
		Example: "sealbus keys new --producer orders --source 'https://orders.example/*' \\\n  --type 'com.example.order.*' --keyring orders.keyring",
		Now:     true,
		Run:     func(ctx context.Context, _ []string) error { return keysNew(ctx, env, &f) },
	})
	cmd.Flags().StringVar(&f.producer, "producer", "", "the producer's `NAME`, as the trust policy has it")
	cmd.Flags().StringVar(&f.use, "use", useSign,
		"which key to make: `sig|enc`, a producer's signing key or a consumer's encryption key")
	cmd.Flags().StringVar(&f.consumer, "consumer", "",
		"with --use enc: the consumer's `NAME`, as the trust policy has it")
	cmd.Flags().StringVar(&f.alg, "alg", "",
		"`ALGORITHM` of a signing key: Ed25519 (default), ES256 or ML-DSA-65; curve of an encryption key: X25519 (default) or P-256")
	cmd.Flags().StringArrayVar(&f.sources, "source", nil, "a source `PATTERN` that the producer signs for")
	cmd.Flags().StringArrayVar(&f.types, "type", nil, "a type `PATTERN` that the producer signs for")
	cmd.Flags().StringVar(&f.activate, "activate", "",
		"sign with it from this `TIME` on: RFC 3339, a date, or +7d (default at once: for a first key, or after a revocation)")
	cmd.Flags().StringVar(&f.retire, "retire", "", "sign with it until this `TIME` (default for ever)")
	cmd.Flags().StringVar(&f.kms, "kms", "",
		"the key pair in KMS, an `ARN` or alias: ECC_NIST_EDWARDS25519, ECC_NIST_P256 or ML_DSA_65; with --use enc ECC_NIST_P256 for KEY_AGREEMENT")
	cmd.Flags().StringVar(&f.tinkKEK, "tink-kek", "",
		"the keyring is a Tink keyset under the symmetric key in KMS of this `ARN`")
	cmd.Flags().StringVar(&f.out, "out", "", "with --kms or --tink-kek: a new `FILE` for the public half")
	f.KeyringFlags.Register(cmd)
	return cmd
}

func keysNew(ctx context.Context, env *ui.Env, f *newFlags) error {
	if f.use != useSign && f.use != useEncrypt {
		return ui.Usage("write --use sig or --use enc", "no use %q", f.use)
	}
	switch {
	case f.kms != "":
		return newKMS(ctx, env, f)
	case f.tinkKEK != "":
		return newTink(ctx, env, f)
	case f.out != "":
		return ui.Usage("use `sealbus keys export --out`", "--out is for --kms and --tink-kek")
	}
	if err := ui.Need(ui.Flag("keyring", f.Path)); err != nil {
		return err
	}
	schedule, err := loadkeys.ParseSchedule(env, loadkeys.ScheduleFlags{Activate: f.activate,
		Retire: f.retire})
	if err != nil {
		return err
	}
	switch {
	case f.use == useEncrypt:
		return newIdentity(env, f, schedule)
	case f.consumer != "":
		return ui.Usage("add --use enc, or name the producer with --producer",
			"--consumer is for encryption keys")
	}
	f.alg = cmp.Or(f.alg, string(keys.Ed25519))
	if err := loadkeys.CheckAlgorithm(f.alg); err != nil {
		return err
	}
	created := !ui.Exists(f.Path)
	var key *keys.LocalSigner
	if created {
		key, err = createRing(env, f, schedule)
	} else {
		key, err = addToRing(env, f, schedule)
	}
	if err != nil {
		return err
	}
	return tellNewKey(env, f, key, created)
}

// createRing makes the keyring with its first key.
func createRing(env *ui.Env, f *newFlags, schedule keys.Schedule) (*keys.LocalSigner, error) {
	if err := ui.Need(ui.Flag("producer", f.producer)); err != nil {
		return nil, err
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return nil, ui.Usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such",
			"%w", err)
	}
	key, err := keys.GenerateSigner(keys.Algorithm(f.alg), f.producer)
	if err != nil {
		return nil, ui.Usage("correct --producer", "%w", err)
	}
	pass, err := loadkeys.Passphrase(env, &f.PrivateFlags, f.Path, true)
	if err != nil {
		return nil, err
	}
	_, err = keys.CreateKeyring(f.Path, pass, f.producer, &keys.KeyringOptions{
		PrivateFileOptions: f.Options(env),
		Sources:            f.sources, Types: f.types, Key: key, Schedule: schedule,
	})
	if err != nil {
		return nil, loadkeys.PrivateFailed(f.Path, err)
	}
	return key, nil
}

// addToRing adds a key to a keyring that exists.
func addToRing(env *ui.Env, f *newFlags, schedule keys.Schedule) (*keys.LocalSigner, error) {
	if f.sources != nil || f.types != nil {
		return nil,
			ui.Usage("leave --source and --type out: what consumers accept is decided by the trust policy",
				"%s exists: its scope was recorded when it was made", f.Path)
	}
	ring, err := loadkeys.OpenKeyring(env, &f.KeyringFlags)
	if err != nil {
		return nil, err
	}
	if ring.Consumer() != "" {
		return nil, ui.Usage("give the producer a keyring of its own", "%s is the keyring of %s", f.Path,
			loadkeys.OwnerOf(ring))
	}
	if f.producer != "" && f.producer != ring.Producer() {
		return nil, ui.Usage("give each producer a keyring of its own",
			"%s is the keyring of producer %s, not of %s", f.Path, ring.Producer(), f.producer)
	}
	f.producer = ring.Producer()
	if f.activate == "" {
		// without it, a key that became active earlier would sign on
		schedule.Active = env.Now().Truncate(time.Second)
		if err := schedule.Check(); err != nil {
			return nil, ui.Usage("correct --retire", "%w", err)
		}
		f.takesOver = signsAlready(ring, keys.Algorithm(f.alg), env.Now())
	}
	key, err := keys.GenerateSigner(keys.Algorithm(f.alg), f.producer)
	if err == nil {
		err = ring.Add(key, schedule)
	}
	if err != nil {
		return nil, loadkeys.PrivateFailed(f.Path, err)
	}
	return key, nil
}

// signsAlready reports whether a key signs now that a new one of the algorithm takes over from: one of its
// kind.
func signsAlready(ring *keys.Keyring, alg keys.Algorithm, now time.Time) bool {
	signers, _ := ring.Signers(now) // none on an error
	return slices.ContainsFunc(signers, func(s keys.Signer) bool {
		return s.Verifier().Algorithm().PostQuantum() == alg.PostQuantum()
	})
}

func tellNewKey(env *ui.Env, f *newFlags, key *keys.LocalSigner, created bool) error {
	v := key.Verifier()
	what := "the " + f.alg + " key " + ui.ShortID(v.KeyID()) + " of producer " + f.producer
	if created {
		env.Sayf("made %s with %s", f.Path, what)
	} else {
		env.Sayf("added %s to %s", what, f.Path)
	}
	if f.Insecure {
		env.Warnf("%s is not encrypted: anyone who can read this file can sign as %s", f.Path, f.producer)
	}
	if f.takesOver {
		env.Warnf("it signs from now on; until consumers have a bundle with it, its events are rejected (unknown_key): for a rotation, --activate +2d")
	}
	env.Next("for the people who keep the trust", f.exportCommand(f.producer, v.KeyID(), created))
	return env.Emit(
		keyMade{KeyID: v.KeyID(), Alg: f.alg, Producer: f.producer, Keyring: f.Path, Created: created,
			Public: v.JWK()},
		func(p *ui.Printer) { p.Linef("%s", v.KeyID()) })
}

// exportCommand exports the new key: alone, and into a file of its own, unless it is the only one.
func (f *newFlags) exportCommand(owner, id string, first bool) string {
	command := "sealbus keys export --keyring " + ui.ShellQuote(f.Path)
	if f.Insecure {
		command += " --insecure-no-passphrase"
	}
	if first {
		return command + " --out " + owner + ".pub.json"
	}
	id = id[:loadkeys.MinPrefix]
	return command + " --key=" + id + " --out " + owner + "-" + id + ".pub.json"
}
