package keys

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// PublicKey is a public key that its owner hands to the people who keep the trust policy. `sealbus keys
// export` and other tools write it. Nothing in it is signed. The reviewed trust policy decides what the key
// may do.
type PublicKey struct {
	Verifier  *Verifier  // nil = a key for encryption
	Recipient *Recipient // nil = a signing key

	Producer string // the producer whose keyring has the signing key; "" = not stated
	Consumer string // the consumer whose keyring has the encryption key; "" = not stated
	// Schedule is the key's schedule in the keyring. It counts only if Producer or Consumer is set. A zero
	// moment is no bound: the owner uses the key from the start, or without end.
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

// MarshalJSON is a JWK in canonical JSON, with the owner and the schedule if there is an owner.
func (k PublicKey) MarshalJSON() ([]byte, error) {
	var jwk []byte
	switch {
	case k.Verifier != nil && k.Recipient == nil && k.Consumer == "":
		jwk = k.Verifier.JWK()
	case k.Recipient != nil && k.Verifier == nil && k.Producer == "":
		jwk = k.Recipient.JWK()
	default:
		return nil,
			errors.New("keys: a public key is a Verifier, perhaps of a producer, or a Recipient, perhaps of a consumer")
	}
	var o keydoc.Object
	switch {
	case k.Producer != "":
		o = k.Schedule.members()
		o.String("producer", k.Producer)
	case k.Consumer != "":
		o = k.Schedule.members()
		o.String("consumer", k.Consumer)
	}
	o.Members(jwk)
	return o.Append(nil), nil
}

// PublicKeys are the public halves of the keyring's keys with their schedule, in the order in which they were
// added.
func (k *Keyring) PublicKeys() []PublicKey {
	list := []PublicKey{}
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.keys {
		public := PublicKey{Producer: k.producer, Consumer: k.consumer, Schedule: key.schedule}
		if key.signer != nil {
			public.Verifier = key.signer.verifier
		} else {
			public.Recipient = key.identity.recipient
		}
		list = append(list, public)
	}
	return list
}

// FormatJWKSet writes the keys as a JWK Set (RFC 7517 section 5), each on a line of its own, for reviews.
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

// The limits of ParseJWKSet: as much as a trust bundle may have.
const (
	maxJWKSet = 16 << 20 // bytes
	maxJWKs   = 20_000   // keys
)

// ParseJWKSet reads public keys: a JWK Set (RFC 7517 section 5), as `sealbus keys export` and FormatJWKSet
// write it, or one JWK. Each key is read as strictly as by ParseJWK or ParseRecipientJWK. "use" says which of
// the two. A key without "use" that fits both is for signing. The set has 1 to 20,000 keys, and no key twice.
// Other members are ignored.
func ParseJWKSet(doc []byte) ([]PublicKey, error) {
	list, err := parseJWKSet(doc)
	if err != nil {
		err = keydoc.Explained(doc, err, "public keys (a JWK Set)",
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
		if len(doc) > maxJWK {
			return nil, fmt.Errorf("a JWK of more than %d bytes", maxJWK)
		}
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

// splitJWKSet returns the JWKs of a set, or the one JWK that doc is.
func splitJWKSet(doc []byte) ([][]byte, error) {
	if len(doc) > maxJWKSet {
		return nil, fmt.Errorf("more than %d bytes", maxJWKSet)
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
			docs = keydoc.ReadRaws(&r, maxJWKs)
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

// ParsePublicKey reads one key as ParseJWKSet does. The JWK may be longer, because a trust bundle adds
// members.
func ParsePublicKey(doc []byte) (PublicKey, error) {
	if len(doc) > maxJWKSet {
		return PublicKey{}, fmt.Errorf("keys: a JWK of more than %d bytes", maxJWKSet)
	}
	k, err := parsePublicKey(doc)
	if err != nil {
		return PublicKey{}, fmt.Errorf("keys: %w", err)
	}
	return k, nil
}

// parsePublicKey takes a key for a signing key, unless it can only be an encryption key. The schedule counts
// only with an owner. Without an owner, members with the names of a schedule come from another tool.
func parsePublicKey(doc []byte) (PublicKey, error) {
	var owned ownedMembers
	r := jsontext.NewDecoder(doc)
	k := readJWK(&r, owned.keep)
	switch err := r.End(); {
	case err != nil:
		return PublicKey{}, fmt.Errorf("JWK: %w", err)
	case k.kty == "":
		return PublicKey{}, errors.New(`not a JSON Web Key: it has no "kty"`)
	case k.private != "":
		return PublicKey{}, fmt.Errorf("this is a private key (it has %q): export its public half", k.private)
	}
	v, err := k.verifier()
	if err == nil {
		public := PublicKey{Verifier: v}
		return public, owned.read(owned.producer, &public.Producer, &public.Schedule)
	}
	recipient, other := k.recipient()
	if other != nil && k.use == "enc" {
		err = other
	}
	if other != nil {
		return PublicKey{}, keydoc.Unprefixed(err)
	}
	public := PublicKey{Recipient: recipient}
	return public, owned.read(owned.consumer, &public.Consumer, &public.Schedule)
}

// ownedMembers are the members that sealbus adds to a JWK, not yet parsed.
type ownedMembers struct {
	producer, consumer []byte // nil = absent
	schedule           [len(scheduleMembers)][]byte
}

var scheduleMembers = [...]string{"published", "active", "retired", "expired"}

// keep stores a member until the whole JWK is read. Only then is it known whether sealbus wrote it.
func (o *ownedMembers) keep(name []byte, r *jsontext.Decoder) bool {
	switch string(name) {
	case "producer":
		o.producer = r.ReadValue()
	case "consumer":
		o.consumer = r.ReadValue()
	default:
		i := slices.Index(scheduleMembers[:], string(name))
		if i < 0 {
			return false
		}
		o.schedule[i] = r.ReadValue()
	}
	return true
}

// read reads the name of the owner, and then the schedule.
func (o *ownedMembers) read(owner []byte, name *string, schedule *Schedule) error {
	if owner == nil {
		return nil
	}
	r := jsontext.NewDecoder(owner)
	*name = r.String()
	if err := r.End(); err != nil {
		return err
	}
	for i, value := range o.schedule {
		if value == nil {
			continue
		}
		r := jsontext.NewDecoder(value)
		schedule.readMember(scheduleMembers[i], &r)
		if err := r.End(); err != nil {
			return fmt.Errorf("%s: %w", scheduleMembers[i], err)
		}
	}
	if err := CheckProducer(*name); err != nil {
		return keydoc.Unprefixed(err)
	}
	return schedule.Check()
}
