package keys

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// PublicKey is a public key on its way from its owner to the people who keep the trust: as `sealbus keys
// export` writes it, or as any other tool does. Nothing in it is signed; a policy that was reviewed decides
// what the key may do.
type PublicKey struct {
	Verifier  *Verifier  // nil = a key for encryption
	Recipient *Recipient // nil = a signing key

	Producer string // whose signing key it is in a keyring; "" = not said
	Consumer string // whose encryption key it is in a keyring; "" = not said
	// Schedule is that of the keyring. It counts only if Producer or Consumer is set; its zero moments are
	// then no bounds: the owner uses the key from the start, or without end.
	Schedule Schedule
}

// KeyID is the ID of the key; "" = there is none.
func (k *PublicKey) KeyID() string {
	switch {
	case k.Verifier != nil:
		return k.Verifier.KeyID()
	case k.Recipient != nil:
		return k.Recipient.KeyID()
	}
	return ""
}

// Owner is the producer or the consumer; "" = not said.
func (k *PublicKey) Owner() string { return k.Producer + k.Consumer }

// MarshalJSON is a JWK in canonical JSON, with the owner and the schedule if there is an owner.
func (k PublicKey) MarshalJSON() ([]byte, error) {
	switch {
	case k.Verifier != nil && k.Recipient == nil && k.Consumer == "":
		if k.Producer == "" {
			return k.Verifier.JWK(), nil
		}
		signing := Key{Verifier: k.Verifier, Producer: k.Producer, Schedule: k.Schedule.wholeSeconds()}
		return signing.append(nil), nil
	case k.Recipient != nil && k.Verifier == nil && k.Producer == "":
		if k.Consumer == "" {
			return k.Recipient.JWK(), nil
		}
		reading := EncryptionKey{Recipient: k.Recipient, Consumer: k.Consumer, Schedule: k.Schedule.wholeSeconds()}
		return reading.append(nil), nil
	}
	return nil, errors.New("keys: a public key is a Verifier, perhaps of a producer, or a Recipient, perhaps of a consumer")
}

// PublicKeys are the public halves of the keyring's keys with their schedule, in the order in which they were
// added.
func (k *Keyring) PublicKeys() []PublicKey {
	list := []PublicKey{}
	for _, key := range k.Keys() {
		list = append(list, PublicKey{Verifier: key.Verifier, Producer: k.producer, Schedule: key.Schedule})
	}
	for _, key := range k.Recipients() {
		list = append(list, PublicKey{Recipient: key.Recipient, Consumer: k.consumer, Schedule: key.Schedule})
	}
	return list
}

// FormatJWKSet writes the keys as a JWK Set (RFC 7517 section 5), one a line, for reviews.
func FormatJWKSet(list ...PublicKey) ([]byte, error) {
	out := []byte("{\"keys\":[\n")
	for i, k := range list {
		jwk, err := k.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ",\n"...)
		}
		out = append(append(out, "  "...), jwk...)
	}
	return append(out, "\n]}\n"...), nil
}

// ParseJWKSet reads public keys: a JWK Set (RFC 7517 section 5), as `sealbus keys export` and FormatJWKSet
// write it, or one JWK. Each key is read as strictly as by ParseJWK and ParseRecipientJWK; "use" says which
// of the two, and without it a key that both could read is for signing. It has at least one key, at most
// MaxKeys, and none twice. What else stands in it is ignored.
func ParseJWKSet(doc []byte) ([]PublicKey, error) {
	list, err := parseJWKSet(doc)
	if err != nil {
		err = explained(doc, err, "public keys (a JWK Set)",
			filekind.JWKSet, filekind.JWK, filekind.PrivateJWK, filekind.PrivateJWKSet)
		return nil, fmt.Errorf("keys: %w", err)
	}
	return list, nil
}

func parseJWKSet(doc []byte) ([]PublicKey, error) {
	docs, err := splitJWKSet(doc)
	if err != nil {
		return nil, err
	}
	list := make([]PublicKey, 0, len(docs))
	seen := map[string]bool{}
	for i, doc := range docs {
		k, err := parsePublicKey(doc)
		switch {
		case err != nil && len(docs) > 1:
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		case err != nil:
			return nil, err
		case seen[k.KeyID()]:
			return nil, fmt.Errorf("keys[%d]: key %s stands twice", i, k.KeyID())
		}
		seen[k.KeyID()] = true
		list = append(list, k)
	}
	return list, nil
}

// splitJWKSet is the JWKs of a set, or the one that stands alone.
func splitJWKSet(doc []byte) ([][]byte, error) {
	if len(doc) > MaxBundle {
		return nil, fmt.Errorf("more than %d bytes", MaxBundle)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(doc, " \t\r\n"), []byte("{")) {
		return nil, errors.New("this is not a JSON object")
	}
	r := jsontext.NewDecoder(doc)
	var docs [][]byte
	isSet, isOther := false, false
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "keys":
			isSet = true
			docs = readRaws(&r, MaxKeys)
		case "producer", "consumer", "threshold", "version": // beside "keys": a keyring, roots or a bundle
			isOther = true
			r.SkipValue()
		default:
			r.SkipValue()
		}
	}
	switch err := r.End(); {
	case err != nil:
		return nil, err
	case !isSet:
		return [][]byte{doc}, nil
	case isOther:
		return nil, errors.New("not a JWK Set of public keys")
	case len(docs) == 0:
		return nil, errors.New("a JWK Set without keys")
	}
	return docs, nil
}

// parsePublicKey takes a key for a signing key, unless it can only be one for encryption.
func parsePublicKey(doc []byte) (PublicKey, error) {
	k, err := parseJWK(doc)
	switch {
	case err != nil:
		return PublicKey{}, unprefixed(err)
	case k.kty == "":
		return PublicKey{}, errors.New(`not a JSON Web Key: it has no "kty"`)
	case k.private != "":
		return PublicKey{}, fmt.Errorf("this is a private key (it has %q): export its public half", k.private)
	}
	public := PublicKey{}
	if public.Verifier, err = k.verifier(); err != nil {
		recipient, other := k.recipient()
		if other != nil && k.use == "enc" {
			return PublicKey{}, unprefixed(other)
		}
		if other != nil {
			return PublicKey{}, unprefixed(err)
		}
		public.Verifier, public.Recipient = nil, recipient
	}
	return public, public.readOwner(doc)
}

// readOwner reads whose key it is, and then its schedule: without an owner, a member of that name is another
// tool's.
func (k *PublicKey) readOwner(doc []byte) error {
	owner := "producer"
	if k.Recipient != nil {
		owner = "consumer"
	}
	if !hasOwner(doc, owner) {
		return nil
	}
	r := jsontext.NewDecoder(doc)
	var name string
	readJWK(&r, func(member string, r *jsontext.Decoder) bool {
		if member == owner {
			name = r.String()
			return true
		}
		return k.Schedule.readMember(member, r)
	})
	if err := r.End(); err != nil {
		return err
	}
	if k.Recipient != nil {
		k.Consumer = name
	} else {
		k.Producer = name
	}
	if err := CheckProducer(name); err != nil {
		return unprefixed(err)
	}
	return k.Schedule.Check()
}

func hasOwner(doc []byte, owner string) bool {
	found := false
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); r.SkipValue() {
		found = found || string(obj.Name) == owner
	}
	return found
}
