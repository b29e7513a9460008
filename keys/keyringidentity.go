package keys

import (
	"time"
)

// ConsumerKeyringOptions is what CreateConsumerKeyring writes beside the consumer. The zero value is an
// encrypted keyring without keys.
type ConsumerKeyringOptions struct {
	PrivateFileOptions

	Identity *LocalIdentity // the first key; nil = none yet
	Schedule Schedule       // of the first key
}

// CreateConsumerKeyring is CreateKeyring for the identities of a consumer.
func CreateConsumerKeyring(path, passphrase, consumer string, opts *ConsumerKeyringOptions) (*Keyring, error) {
	if opts == nil {
		opts = &ConsumerKeyringOptions{}
	}
	p, err := opts.protection(passphrase)
	if err != nil {
		return nil, err
	}
	k := &Keyring{path: path, consumer: consumer, protection: p}
	if opts.Identity != nil {
		k.keys = []*keyringKey{{identity: opts.Identity, schedule: opts.Schedule.WholeSeconds()}}
	}
	if err := k.create(); err != nil {
		return nil, err
	}
	return k, nil
}

// KeyringRecipient is the public side of an identity in a Keyring.
type KeyringRecipient struct {
	*Recipient
	Schedule Schedule
}

// StateAt is the key's state by its schedule: a revocation stands in the bundle only.
func (k KeyringRecipient) StateAt(now time.Time) State { return k.Schedule.StateAt(now) }

// MarshalJSON is an object with the schedule and the public JWK.
func (k KeyringRecipient) MarshalJSON() ([]byte, error) {
	return k.Schedule.append(nil, k.JWK()), nil
}

// Consumer is the consumer whose identities these are; "" = they are a producer's signing keys.
func (k *Keyring) Consumer() string { return k.consumer }

// Recipients are the public sides of the identities, in the order in which they were added; of a producer's
// keyring none.
func (k *Keyring) Recipients() []KeyringRecipient {
	k.mu.RLock()
	defer k.mu.RUnlock()
	list := []KeyringRecipient{}
	for _, key := range k.keys {
		if key.identity != nil {
			list = append(list, KeyringRecipient{Recipient: key.identity.recipient, Schedule: key.schedule})
		}
	}
	return list
}

// FindIdentity is the identity of that key ID, whatever its schedule says.
func (k *Keyring) FindIdentity(keyID string) (*LocalIdentity, bool) {
	key, ok := k.find(keyID)
	if !ok || key.identity == nil {
		return nil, false
	}
	return key.identity, true
}

// Identities are the identities to open with at now, in the order in which they were added: all that have not
// expired. One that is not active yet is among them, since a sender's clock may be ahead, and so is a retired
// one, for what is on its way. There may be none: then nothing can be opened.
func (k *Keyring) Identities(now time.Time) []Identity {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var list []Identity
	for _, key := range k.keys {
		if key.identity != nil && before(now, key.schedule.Expired) {
			list = append(list, key.identity)
		}
	}
	return list
}

// AddIdentity is Add for a consumer's keyring.
func (k *Keyring) AddIdentity(identity *LocalIdentity, schedule Schedule) error {
	return k.add(&keyringKey{identity: identity, schedule: schedule.WholeSeconds()})
}
