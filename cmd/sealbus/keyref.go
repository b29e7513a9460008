package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sealbus/sealbus/internal/strictjson"
	"github.com/sealbus/sealbus/keys"
)

// keyReference is the content of a file that says where a key is that never leaves AWS KMS, and whose it is. There is no
// secret in it. It stands where a keyring does: `seal --keyring`, `open --identity`.
type keyReference struct {
	path string

	kms      string   // the ARN of the key
	producer string   // "" = a consumer's, to open with
	consumer string   // "" = a producer's, to sign with
	sources  []string // that the producer signs for; nil = not recorded
	types    []string
	public   []byte // JWK

	signing    *keys.Verifier  // of public; nil = a consumer's
	encryption *keys.Recipient // of public; nil = a producer's
}

// maxReference bounds such a file, in bytes.
const maxReference = 64 << 10

// isReference tells a key reference from a keyring and from keys.
func isReference(data []byte) bool { return checkObject(data) == nil && hasMember(data, "kms") }

// referenceAt reads the file if it is a key reference; nil = it is something else, or nothing, of which whoever opens it
// as a keyring says what is wrong.
func (a *app) referenceAt(path string) (*keyReference, error) {
	if !isRegular(path) { // a pipe can be read once only
		return nil, nil
	}
	data, err := a.readFile(path, maxReference)
	if err != nil || !isReference(data) {
		clear(data)
		return nil, nil
	}
	ref, err := parseReference(data)
	if err != nil {
		return nil, unavailable("make it anew with `sealbus keys new --kms ARN`", "%s: %w", path, err)
	}
	ref.path = path
	return ref, nil
}

func parseReference(doc []byte) (*keyReference, error) {
	k := &keyReference{}
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "version":
			if v := r.Int(); v != 1 {
				r.Failf("version %d is not known: use a newer sealbus", v)
			}
		case "kms":
			k.kms = r.String()
		case "producer":
			k.producer = r.String()
		case "consumer":
			k.consumer = r.String()
		case "sources":
			k.sources = readTexts(&r)
		case "types":
			k.types = readTexts(&r)
		case "public":
			k.public = r.Raw()
		default:
			r.Failf("unknown member %.80q", name)
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	return k, k.check()
}

// readTexts reads a list of strings; it is never nil.
func readTexts(r *strictjson.Reader) []string {
	list := []string{}
	for a := r.Array(); r.Element(&a); {
		list = append(list, r.String())
	}
	return list
}

func (k *keyReference) check() error {
	if !isARN(k.kms) {
		return errors.New(`"kms" is not the ARN of a key`)
	}
	if (k.producer == "") == (k.consumer == "") {
		return errors.New("it is of one producer or of one consumer")
	}
	if err := keys.CheckProducer(k.producer + k.consumer); err != nil {
		return err
	}
	if err := keys.CheckScope(k.sources, k.types); err != nil {
		return err
	}
	public, err := parsePublicKey(k.public)
	if err != nil {
		return fmt.Errorf("public: %w", err)
	}
	k.signing, k.encryption = public.signing, public.encryption
	if (k.signing != nil) != (k.producer != "") {
		return errors.New("public: producers have keys to sign with, consumers have keys to open with")
	}
	return nil
}

// document is the content of the file, one member a line, for people.
func (k *keyReference) document() ([]byte, error) {
	doc, err := jsonLine(struct {
		Consumer string          `json:"consumer,omitempty"`
		KMS      string          `json:"kms"`
		Producer string          `json:"producer,omitempty"`
		Public   json.RawMessage `json:"public"`
		Sources  []string        `json:"sources,omitempty"`
		Types    []string        `json:"types,omitempty"`
		Version  int             `json:"version"`
	}{k.consumer, k.kms, k.producer, k.public, k.sources, k.types, 1})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Indent(&b, doc, "", "  ")
	return b.Bytes(), err
}

// Producer, Sources, Types, AllowsSource and AllowsType are those of a keyring.

func (k *keyReference) Producer() string  { return k.producer }
func (k *keyReference) Sources() []string { return slices.Clone(k.sources) }
func (k *keyReference) Types() []string   { return slices.Clone(k.types) }
func (k *keyReference) AllowsSource(source string) bool {
	return k.sources == nil || keys.MatchSource(k.sources, source)
}
func (k *keyReference) AllowsType(typ string) bool {
	return k.types == nil || keys.MatchType(k.types, typ)
}

// key is the one key, as those of a keyring are listed. When it signs, the trust says.
func (k *keyReference) key() ringKey {
	if k.signing != nil {
		return ringKey{id: k.signing.KeyID(), alg: string(k.signing.Algorithm()), jwk: k.signing.JWK(), kms: k.kms}
	}
	return ringKey{id: k.encryption.KeyID(), alg: string(k.encryption.Curve()), jwk: k.encryption.JWK(), kms: k.kms}
}

func (k *keyReference) owner() string {
	return cmp.Or(named("producer", k.producer), named("consumer", k.consumer))
}

func named(what, name string) string {
	if name == "" {
		return ""
	}
	return what + " " + name
}
