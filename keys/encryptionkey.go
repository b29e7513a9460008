package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// EncryptionKey is what the trust bundle says of one encryption key of a consumer. It is immutable once in a
// Bundle. Published, Active and Retired of its schedule bound who encrypts to it, Expired bounds that and who
// opens with it.
type EncryptionKey struct {
	*Recipient

	Consumer string
	Schedule Schedule
	Revoked  *Revocation // nil = not revoked
}

// StateAt is the key's state: a pure function of the key and the time.
func (k *EncryptionKey) StateAt(now time.Time) State {
	if k.Revoked != nil {
		return StateRevoked
	}
	return k.Schedule.StateAt(now)
}

// MarshalJSON is the key's entry in the bundle: a public JWK with members of ours.
func (k *EncryptionKey) MarshalJSON() ([]byte, error) { return k.append(nil), nil }

// ErrNoRecipient is (wrapped in) the error of Bundle.Recipients when there is no key to encrypt to.
var ErrNoRecipient = errors.New("no key to encrypt to")

// Recipients are the keys to encrypt to, so that the consumer can open it, at now: all that are active, in
// the order of their IDs. There are several while the consumer changes from one to the next, or if its copies
// have a key each. It is never none without an error, which is ErrNoRecipient and says what to do. A bundle
// that has expired names nobody, and the error is ErrUnavailable: revocations may have been withheld since.
func (b *Bundle) Recipients(consumer string, now time.Time) ([]*Recipient, error) {
	if !b.expires.IsZero() && !now.Before(b.expires) {
		return nil, fmt.Errorf("keys: the trust bundle expired at %s: %w", b.expires.UTC().Format(time.RFC3339), ErrUnavailable)
	}
	var list []*Recipient
	var next time.Time
	listed := false
	for _, k := range b.encryption {
		if k.Consumer != consumer {
			continue
		}
		listed = true
		switch k.StateAt(now) {
		case StateActive:
			list = append(list, k.Recipient)
		case StatePending, StatePublished:
			if at := later(k.Schedule.Published, k.Schedule.Active); next.IsZero() || at.Before(next) {
				next = at
			}
		}
	}
	if len(list) == 0 {
		return nil, noRecipient(consumer, listed, next)
	}
	return list, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func noRecipient(consumer string, listed bool, next time.Time) error {
	switch {
	case !listed:
		return fmt.Errorf("keys: consumer %q: %w: the trust bundle lists none: have one added to the policy, or correct the name", clip(consumer), ErrNoRecipient)
	case !next.IsZero():
		return fmt.Errorf("keys: consumer %q: %w: the next is active from %s", consumer, ErrNoRecipient, next.Format(timeFormat))
	}
	return fmt.Errorf("keys: consumer %q: %w: all its keys are retired, expired or revoked: have the consumer make a new one", consumer, ErrNoRecipient)
}

// EncryptionKeys are the keys of the consumers, in the order of their IDs. Neither they nor what they hold is
// to be changed.
func (b *Bundle) EncryptionKeys() []*EncryptionKey { return slices.Clone(b.encryption) }

// EncryptionKey is the encryption key of that ID; nil = the bundle has none.
func (b *Bundle) EncryptionKey(keyID string) *EncryptionKey {
	i, ok := slices.BinarySearchFunc(b.encryption, keyID, func(k *EncryptionKey, id string) int { return strings.Compare(k.id, id) })
	if !ok {
		return nil
	}
	return b.encryption[i]
}

// clone copies the key, so that what a bundle holds cannot change. The recipient is immutable.
func (k *EncryptionKey) clone() *EncryptionKey {
	c := *k
	c.Schedule, c.Revoked = k.Schedule.wholeSeconds(), k.Revoked.clone()
	return &c
}

func compareEncryptionKeys(x, y *EncryptionKey) int { return strings.Compare(x.id, y.id) }

// check judges one key on its own.
func (k *EncryptionKey) check() error {
	if err := CheckProducer(k.Consumer); err != nil {
		return fmt.Errorf("the name of its consumer: %w", err)
	}
	if k.Revoked != nil {
		if err := k.Revoked.Check(); err != nil {
			return err
		}
	}
	return k.Schedule.Check()
}

// append writes the members of an encryption key in canonical order.
func (k *EncryptionKey) append(dst []byte) []byte {
	w := objectWriter{dst: dst}
	w.open()
	w.time("active", k.Schedule.Active)
	w.string("alg", KeyAgreement)
	w.string("consumer", k.Consumer)
	w.string("crv", string(k.curve))
	w.time("expired", k.Schedule.Expired)
	w.string("kid", k.id)
	w.string("kty", k.kty())
	w.time("published", k.Schedule.Published)
	w.time("retired", k.Schedule.Retired)
	if k.Revoked != nil {
		w.name("revoked")
		w.dst = k.Revoked.append(w.dst)
	}
	w.string("use", "enc")
	k.coordinateMembers(&w)
	return w.close()
}

func (k *EncryptionKey) readMember(name string, r *jsontext.Decoder) bool {
	switch name {
	case "consumer":
		k.Consumer = r.String()
	case "revoked":
		k.Revoked = readRevocation(r)
	default:
		return k.Schedule.readMember(name, r)
	}
	return true
}

// adopt gives the key its recipient, whose ID must be the entry's.
func (k *EncryptionKey) adopt(jwk *jwk) error {
	if jwk.private != "" {
		return fmt.Errorf("a private key (it has %q)", jwk.private)
	}
	r, err := jwk.recipient()
	if err != nil {
		return err
	}
	if r.id != jwk.kid {
		return fmt.Errorf("kid %q is not the key's thumbprint, %s", clip(jwk.kid), r.id)
	}
	k.Recipient = r
	return nil
}
