package loadkeys

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/trust"
)

// EncryptFlags say whom data is encrypted to.
type EncryptFlags struct {
	loadtrust.TrustFlags
	to     []string
	Fields []string
	// TrustAlone is true for a command that also has another use for the trust bundle.
	TrustAlone bool
	// Live follows the bundle, for a command that goes on for long; nil = the bundle is opened once.
	Live trust.Source

	bundle *trust.Bundle // once opened
}

// Bundle opens the trust bundle once.
func (f *EncryptFlags) Bundle(ctx context.Context, env *ui.Env) (_ *trust.Bundle, err error) {
	if f.bundle == nil {
		f.bundle, err = loadtrust.Open(ctx, env, &f.TrustFlags)
	}
	return f.bundle, err
}

func (f *EncryptFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.to, "encrypt-to", nil,
		"encrypt the data to this `RECIPIENT`: a file with public keys, the ARN or alias of a key in KMS, or a consumer's name in the trust bundle")
	cmd.Flags().StringArrayVar(&f.Fields, "field", nil,
		"encrypt only this member of the data, a JSON `POINTER` such as /card/number")
	f.TrustFlags.Register(cmd)
}

// Check refuses flags that contradict each other, before anything is asked for.
func (f *EncryptFlags) Check() error {
	switch {
	case len(f.Fields) > 0 && len(f.to) == 0:
		return ui.Usage("add --encrypt-to RECIPIENT: who may read them",
			"--field needs a recipient: it names the data to encrypt, and not the reader")
	case (f.Trust != "" || f.Roots != "") && len(f.to) == 0 && !f.TrustAlone:
		return ui.Usage("add --encrypt-to NAME, or drop them",
			"--trust and --roots are to look up whom to encrypt to")
	case (f.Trust == "") != (f.Roots == ""):
		return ui.Usage("add the other; `--help` explains them", "--trust and --roots belong together")
	}
	return checkFields("field", f.Fields)
}

// checkFields refuses what is no JSON Pointer.
func checkFields(flag string, pointers []string) error {
	for _, p := range pointers {
		if err := jsontext.CheckPointer(p, nil); err != nil {
			return ui.Usage("write it like /card/number; a / within a name is ~1, a ~ is ~0", "--%s %w", flag,
				err)
		}
	}
	return nil
}

// Encrypter finds whom to encrypt to; nil = none was named.
func Encrypter(ctx context.Context, env *ui.Env, f *EncryptFlags) (*envelope.Encrypter, error) {
	if len(f.to) == 0 {
		return nil, nil
	}
	var to envelope.EncryptTo
	for _, name := range f.to {
		if err := addRecipient(ctx, env, f, name, &to); err != nil {
			return nil, err
		}
	}
	e, err := envelope.NewEncrypter(to)
	if err != nil {
		return nil, ui.Usage("name each recipient once, and at least one", "--encrypt-to: %w", err)
	}
	return e, nil
}

// addRecipient adds the recipient that --encrypt-to names. If a file and a consumer have the same name, the
// user must say which is meant: a wrong guess would let the wrong party read the data.
func addRecipient(ctx context.Context, env *ui.Env, f *EncryptFlags, name string,
	to *envelope.EncryptTo) error {
	if awscli.IsKMS(name) {
		return addKMSRecipient(ctx, env, name, to)
	}
	bundle, err := recipientTrust(ctx, env, f, to)
	if err != nil {
		return err
	}
	isFile := ui.Exists(name)
	isConsumer := bundle != nil && slices.ContainsFunc(bundle.EncryptionKeys(),
		func(k *trust.Key) bool { return k.Consumer == name })
	switch {
	case isFile && isConsumer:
		return ui.Usage("write ./"+name+" for the file, or move it away",
			"--encrypt-to %s: it is both a file here and a consumer in the bundle", name)
	case isFile:
		return addFileRecipients(env, name, to)
	case isConsumer:
		return addConsumer(env, bundle, name, to)
	case strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".json"):
		return ui.WrongFile("check the path; `sealbus keys export` writes such files",
			"--encrypt-to %s: there is no such file", name)
	case bundle == nil:
		return ui.Usage("add --trust and --roots, whose bundle lists the consumer's keys, or name a file with its public key", "--encrypt-to %s: no such file, and a consumer's name needs a trust bundle", name)
	}
	return ui.Usage("correct the name (`sealbus trust show` lists the consumers), or have its key added: `sealbus trust add --consumer "+ui.ShellQuote(name)+"`",
		"--encrypt-to %s: no such file, and the trust bundle lists no key of such a consumer", name)
}

// recipientTrust is the bundle that consumers are looked up in; nil = none was named.
func recipientTrust(ctx context.Context, env *ui.Env, f *EncryptFlags,
	to *envelope.EncryptTo) (*trust.Bundle, error) {
	switch {
	case f.Trust == "" || f.Roots == "":
		return nil, nil
	case to.Trust != nil:
		return to.Trust.Bundle(ctx)
	}
	if f.Live != nil {
		to.Trust = f.Live
		bundle, err := f.Live.Bundle(ctx)
		if err != nil {
			return nil, ui.AsNeeded(loadtrust.ReasonUnavailable, err)
		}
		return bundle, nil
	}
	bundle, err := f.Bundle(ctx, env)
	if err != nil {
		return nil, err
	}
	to.Trust = bundle
	return bundle, nil
}

func addConsumer(env *ui.Env, bundle *trust.Bundle, name string, to *envelope.EncryptTo) error {
	if _, err := bundle.Recipients(name, env.Now()); err != nil {
		return NoRecipient(err)
	}
	if slices.Contains(to.Consumers, name) {
		return ui.Usage("name each recipient once", "--encrypt-to %s: it is given twice", name)
	}
	to.Consumers = append(to.Consumers, name)
	return nil
}

// NoRecipient is the error of a consumer without a key to encrypt to.
func NoRecipient(err error) error {
	if !errors.Is(err, trust.ErrNoRecipient) {
		return ui.AsNeeded(loadtrust.ReasonUnavailable, err)
	}
	return ui.WrongFile("wait until its key is active, or have its key added to the policy; "+
		"only if all are retired, expired or revoked, have the consumer make a key with `sealbus keys new --use enc`", "%w", err)
}

// addKMSRecipient adds a key in KMS: a symmetric one is asked to encrypt, of a pair for key agreement the
// public half is enough.
func addKMSRecipient(ctx context.Context, env *ui.Env, name string, to *envelope.EncryptTo) error {
	key, err := awscli.ResolveKMS(ctx, env, name, types.KeyUsageTypeEncryptDecrypt)
	if err != nil {
		return err
	}
	switch key.Usage {
	case types.KeyUsageTypeEncryptDecrypt:
		r, err := awskms.NewRecipient(key.Client, key.ARN, nil)
		if err != nil {
			return awscli.KMSFailed(err)
		}
		to.Services = append(to.Services, r)
		return nil
	case types.KeyUsageTypeKeyAgreement:
		i, err := awskms.NewAgreementIdentity(ctx, key.Client, key.ARN, nil)
		if err != nil {
			return awscli.KMSFailed(err)
		}
		to.Recipients = append(to.Recipients, i.Recipient())
		return nil
	}
	return ui.Usage("give a symmetric key, or one for key agreement on P-256",
		"--encrypt-to %s: it is a key for %s", name, key.Usage)
}

// addFileRecipients adds the keys of a file: a public JWK, or a JWK Set of them.
func addFileRecipients(env *ui.Env, path string, to *envelope.EncryptTo) error {
	doc, err := env.ReadFile(path, keydoc.MaxBundle)
	if err != nil {
		return ui.AsNeeded("", err) // whatever is wrong with it, the event is not
	}
	switch {
	case isKeyring(doc):
		return ui.Usage("export its public half, which is all that it takes: `sealbus keys export --keyring "+
			ui.ShellQuote(path)+" --out FILE`", "%s is %s", path, filekind.Of(doc))
	case hasMember(doc, "encryptedKeyset"):
		return ui.Usage("give the public half, as `sealbus keys new --tink-kek ARN --out FILE` writes it",
			"%s is a Tink keyset, with private keys", path)
	}
	found, err := keys.ParseJWKSet(doc)
	if err != nil {
		fix := "give a file that `sealbus keys export` wrote of a consumer's keyring (keys new --use enc)"
		return ui.Usage(fix, "%s: %w", path, err)
	}
	for _, k := range found {
		if k.Recipient == nil {
			return ui.Usage("give the key of a consumer, as `sealbus keys export` writes it of its keyring (keys new --use enc)", "%s: key %s is for signing", path, k.KeyID())
		}
		if slices.ContainsFunc(to.Recipients,
			func(r *keys.Recipient) bool { return r.KeyID() == k.KeyID() }) {
			return ui.Usage("name each recipient once", "%s: key %s is given twice", path, k.KeyID())
		}
		to.Recipients = append(to.Recipients, k.Recipient)
	}
	return nil
}

// RequireFlags say what must be encrypted.
type RequireFlags struct {
	Encrypted bool
	Fields    []string
}

func (f *RequireFlags) Register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.Encrypted, "require-encrypted", false, "all of the data must be encrypted")
	cmd.Flags().StringArrayVar(&f.Fields, "require-encrypted-field", nil,
		"what stands at this JSON `POINTER` must be encrypted")
}

func (f *RequireFlags) Check() error { return checkFields("require-encrypted-field", f.Fields) }
