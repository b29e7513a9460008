package keys

import "time"

// Consumer is the consumer that owns the identities; "" = the keyring belongs to a producer.
func (k *Keyring) Consumer() string { return k.consumer }

// Identities are the identities to open with at now, in the order in which they were added: all that have not
// expired. Identities that are not active yet are among them, because a sender's clock may be ahead. So are
// retired identities, for events that are still on their way. There may be none: then nothing can be opened.
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
