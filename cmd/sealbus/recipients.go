package main

import (
	"context"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// encryptFlags say whom data is encrypted to, and how much of it.
type encryptFlags struct {
	trustFlags
	to     []string
	fields []string
}

func (f *encryptFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.to, "encrypt-to", nil, "encrypt the data to `WHOM`: a FILE with public keys, the ARN of a KMS key, or the name of a consumer in the bundle")
	flags.StringArrayVar(&f.fields, "field", nil, "encrypt this member of JSON data only, a `POINTER` such as /customer/iban (default all of the data)")
	f.trustFlags.register(cmd)
}

const exampleRecipient = "--encrypt-to billing.pub.json, an ARN, or a consumer's name with --trust and --roots"

// check refuses what cannot be meant, before anything is read.
func (f *encryptFlags) check() error {
	switch {
	case len(f.to) == 0 && len(f.fields) > 0:
		return usage("add "+exampleRecipient, "--field says what is encrypted, and nothing says to whom")
	case len(f.to) == 0 && f.trust+f.roots != "":
		return usage("add --encrypt-to NAME, or drop it", "--trust and --roots are there to look consumers up for --encrypt-to")
	case (f.trust == "") != (f.roots == ""):
		return usage("add the other; `--help` explains them", "--trust and --roots belong together")
	}
	return checkFields("field", f.fields)
}

// checkFields refuses what is no JSON Pointer.
func checkFields(flag string, pointers []string) error {
	for _, p := range pointers {
		if err := envelope.CheckField(p); err != nil {
			return usage("write it as /customer/iban: a / before each name, from the outside in; ~1 for / and ~0 for ~ within a name", "--%s: %w", flag, err)
		}
	}
	return nil
}

// encrypter is what encrypts to those that --encrypt-to names; nil = it names nobody.
func (a *app) encrypter(ctx context.Context, f *encryptFlags) (*envelope.Encrypter, error) {
	if len(f.to) == 0 {
		return nil, nil
	}
	r := recipients{app: a}
	if f.trust != "" {
		bundle, err := a.openTrust(ctx, &f.trustFlags)
		if err != nil {
			return nil, err
		}
		r.bundle, r.to.Trust = bundle, bundle
	}
	for _, whom := range f.to {
		if err := r.add(ctx, whom); err != nil {
			return nil, asUnavailable("", err) // whatever is wrong with it, the event is not
		}
	}
	e, err := envelope.NewEncrypter(r.to)
	if err != nil {
		return nil, usage("name each recipient once", "--encrypt-to: %w", err)
	}
	return e, nil
}

// recipients are those that were named so far.
type recipients struct {
	app    *app
	bundle *keys.Bundle // nil = there is no --trust
	to     envelope.EncryptTo
}

// add adds one that --encrypt-to names. A file and a consumer of one name are told apart by whoever typed it: to guess
// would be to let somebody read what was not meant for them.
func (r *recipients) add(ctx context.Context, whom string) error {
	switch isFile, isConsumer := exists(whom), r.lists(whom); {
	case isARN(whom):
		return r.addService(ctx, whom)
	case isFile && isConsumer:
		return usage("write ./"+whom+" for the file, or move it away", "%s is both a file here and a consumer in the bundle", whom)
	case isFile:
		return r.addFile(whom)
	case isConsumer:
		return r.addConsumer(whom)
	case r.bundle == nil && looksLikeFile(whom):
		return openFailed(whom, fs.ErrNotExist)
	case r.bundle == nil:
		return usage("add --trust and --roots if it is the name of a consumer, or correct the path", "there is no file %s, and no bundle to look it up in", whom)
	}
	return usage("correct the name, or have the consumer's key added with `sealbus trust add --consumer "+shellQuote(whom)+"`",
		"there is no file %s, and the bundle lists no consumer of that name", whom)
}

func (r *recipients) lists(name string) bool {
	return r.bundle != nil && slices.ContainsFunc(r.bundle.EncryptionKeys(), func(k *keys.EncryptionKey) bool { return k.Consumer == name })
}

func (r *recipients) addConsumer(name string) error {
	if _, err := r.bundle.Recipients(name, r.app.now()); err != nil {
		return unavailable("have the consumer make a key with `sealbus keys new --use enc`, and add it to the policy", "%w", err)
	}
	if slices.Contains(r.to.Consumers, name) {
		return usage("name each recipient once", "%s is given twice", name)
	}
	r.to.Consumers = append(r.to.Consumers, name)
	return nil
}

// addFile adds the public keys in a file: one JWK, or a JWK Set as `keys export` writes it.
func (r *recipients) addFile(path string) error {
	data, err := r.app.readFile(path, keys.MaxBundle)
	if err != nil {
		return err
	}
	switch {
	case isKeyring(data):
		return usage("export its public half, which is all that it takes: `sealbus keys export --keyring "+shellQuote(path)+" --out FILE`", "%s is a keyring, with private keys", path)
	case isPrivateJWK(data):
		return usage("give its public half; the private one stays with the consumer, and encrypts nothing", "%s is a private key", path)
	}
	found, err := parsePublicKeys(data)
	if err != nil {
		return usage("give the consumer's public keys as `sealbus keys export` writes them", "%s: %w", path, err)
	}
	for _, k := range found {
		if k.encryption == nil {
			return usage("give the key of a consumer, made with `sealbus keys new --use enc`", "%s: key %s is for signing", path, k.id)
		}
		if slices.ContainsFunc(r.to.Recipients, k.encryption.Equal) {
			return usage("name each recipient once", "%s: key %s is given twice", path, k.id)
		}
		r.to.Recipients = append(r.to.Recipients, k.encryption)
	}
	return nil
}

// isARN reports whether text is the ARN of something.
func isARN(text string) bool { return strings.HasPrefix(text, "arn:") }

// looksLikeFile tells the path of a file from a name, where neither is there.
func looksLikeFile(text string) bool {
	return strings.ContainsAny(text, `/\`) || strings.HasSuffix(text, ".json") || strings.HasSuffix(text, ".jwk")
}
