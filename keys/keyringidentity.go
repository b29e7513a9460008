package keys

import "time"

// Consumer is the consumer whose identities these are; "" = they are a producer's signing keys.
func (k *Keyring) Consumer() string { return k.consumer }

// Identities are the identities to open with at now, in the order in which they were added: all that have not
// expired. One that is not active yet is among them, since a sender's clock may be ahead, and so is a retired
// one, for what is on its way. There may be none: then nothing can be opened.
func (k *Keyring) Identities(now time.Time) []Identity {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var list []Identity
	for _, key := range k.keys {
		if key.identity != nil && isWithin(now, time.Time{}, key.schedule.Expired, 0) {
			list = append(list, key.identity)
		}
	}
	return list
}

// AddIdentity is Add for a consumer's keyring.
func (k *Keyring) AddIdentity(identity *LocalIdentity, schedule Schedule) error {
	return k.add(&keyringKey{identity: identity, schedule: schedule.WholeSeconds()})
}
