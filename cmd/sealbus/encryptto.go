package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/strictjson"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
)

// encryptFlags say whom data is encrypted to.
type encryptFlags struct {
	trustFlags
	to     []string
	fields []string
}

func (f *encryptFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.to, "encrypt-to", nil, "encrypt the data to this `RECIPIENT`: a file with public keys, the ARN or alias of a key in KMS, or a consumer's name in the trust bundle")
	cmd.Flags().StringArrayVar(&f.fields, "field", nil, "encrypt only this member of the data, a JSON `POINTER` such as /card/number")
	f.trustFlags.register(cmd)
}

// check refuses flags that contradict each other, before anything is asked for.
func (f *encryptFlags) check() error {
	switch {
	case len(f.fields) > 0 && len(f.to) == 0:
		return usage("add --encrypt-to RECIPIENT: who may read them", "--field names what is to be encrypted, and nobody to encrypt it to")
	case (f.trust != "" || f.roots != "") && len(f.to) == 0:
		return usage("add --encrypt-to NAME, or drop them", "--trust and --roots are to look up whom to encrypt to")
	}
	for _, field := range f.fields {
		if err := envelope.CheckField(field); err != nil {
			return usage("write it like /card/number; a / within a name is ~1, a ~ is ~0", "--field %w", err)
		}
	}
	return nil
}

// encrypter finds whom to encrypt to; nil = nobody was named.
func (a *app) encrypter(ctx context.Context, f *encryptFlags) (*envelope.Encrypter, error) {
	if len(f.to) == 0 {
		return nil, nil
	}
	var to envelope.EncryptTo
	for _, name := range f.to {
		if err := a.addRecipient(ctx, f, name, &to); err != nil {
			return nil, err
		}
	}
	e, err := envelope.NewEncrypter(to)
	if err != nil {
		return nil, usage("name each recipient once, and at least one", "--encrypt-to: %s", strings.TrimPrefix(err.Error(), "envelope: "))
	}
	return e, nil
}

func (a *app) addRecipient(ctx context.Context, f *encryptFlags, name string, to *envelope.EncryptTo) error {
	switch {
	case isKMS(name):
		return a.addKMSRecipient(ctx, name, to)
	case exists(name):
		return a.addFileRecipients(name, to)
	case strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".json"):
		return unavailable("check the path; `sealbus keys export` writes such files", "--encrypt-to %s: there is no such file", name)
	}
	if f.trust == "" || f.roots == "" {
		return usage("add --trust and --roots, whose bundle lists the consumer's keys, or name a file with its public key", "--encrypt-to %s: no such file, and a consumer's name needs a trust bundle", name)
	}
	if to.Trust == nil {
		bundle, err := a.openTrust(ctx, &f.trustFlags)
		if err != nil {
			return err
		}
		to.Trust = bundle
	}
	bundle, err := to.Trust.Bundle(ctx)
	if err != nil {
		return err
	}
	if _, err := bundle.Recipients(name, a.now()); err != nil {
		return noRecipient(err)
	}
	to.Consumers = append(to.Consumers, name)
	return nil
}

// noRecipient is the error of a consumer without a key to encrypt to.
func noRecipient(err error) error {
	if !errors.Is(err, keys.ErrNoRecipient) {
		return asUnavailable(reasonTrustUnavailable, err)
	}
	return rejected("`sealbus trust show` lists the consumers and their keys", "%w", err)
}

// addKMSRecipient adds a key in KMS: a symmetric one is asked to encrypt, of a pair for key agreement the public half is enough.
func (a *app) addKMSRecipient(ctx context.Context, name string, to *envelope.EncryptTo) error {
	key, err := a.resolveKMS(ctx, name, types.KeyUsageTypeEncryptDecrypt)
	if err != nil {
		return err
	}
	switch key.Usage {
	case types.KeyUsageTypeEncryptDecrypt:
		r, err := awskms.NewRecipient(key.client, key.ARN, nil)
		if err != nil {
			return kmsFailed(err)
		}
		to.Services = append(to.Services, r)
		return nil
	case types.KeyUsageTypeKeyAgreement:
		i, err := awskms.NewAgreementIdentity(ctx, key.client, key.ARN, nil)
		if err != nil {
			return kmsFailed(err)
		}
		to.Recipients = append(to.Recipients, i.Recipient())
		return nil
	}
	return usage("give a symmetric key, or one for key agreement on P-256", "--encrypt-to %s: it is a key for %s", name, key.Usage)
}

// addFileRecipients adds the keys of a file: a public JWK, or a JWK Set of them.
func (a *app) addFileRecipients(path string, to *envelope.EncryptTo) error {
	const most = 256 << 10
	doc, err := a.readFile(path, most)
	if err != nil {
		return err
	}
	list, err := recipientsIn(doc)
	if err != nil {
		fix := "give a file that `sealbus keys export` wrote of a consumer's keyring (keys new --use enc)"
		return usage(fix, "%s: %s", path, strings.TrimPrefix(err.Error(), "keys: "))
	}
	to.Recipients = append(to.Recipients, list...)
	return nil
}

func recipientsIn(doc []byte) ([]*keys.Recipient, error) {
	if err := checkObject(doc); err != nil {
		return nil, err
	}
	if shapeOf(doc).names["keys"] != '[' {
		r, err := keys.ParseRecipientJWK(doc)
		return []*keys.Recipient{r}, err
	}
	var list []*keys.Recipient
	var bad error
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); {
		if string(obj.Name) != "keys" {
			r.Skip()
			continue
		}
		for e := r.Array(); r.Element(&e); {
			key, err := keys.ParseRecipientJWK(r.Raw())
			if err != nil && bad == nil {
				bad = fmt.Errorf("key %d: %w", len(list)+1, err)
			}
			list = append(list, key)
		}
	}
	if err := errors.Join(r.End(), bad); err != nil {
		return nil, err
	}
	return list, nil
}
