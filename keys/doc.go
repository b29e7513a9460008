// Package keys has the keys of sealbus: signers and verifiers for events, recipients and identities for
// encrypted data, and keyrings that keep private keys in a file. Package trust says which of these keys
// count, and for what. This package links no cloud and uses no network.
//
// # A first keyring
//
// A producer makes its keyring once, gives the public half to the people who keep the trust policy, and opens
// the keyring in its program:
//
//	ring, err := keys.CreateKeyring("orders.keyring", passphrase, "orders", nil)
//	key, err := keys.GenerateSigner(keys.Ed25519, "orders")
//	err = ring.Add(key, keys.Schedule{})
//	public := ring.PublicKeys() // their JWKs go into the trust policy
//
//	ring, err = keys.OpenKeyring("orders.keyring", passphrase, nil)
//	p, err := producer.New(ring, bus, nil)
//
// The command does the same: sealbus keys new, sealbus keys export. Packages awskms and tinkkeys have keys
// that never lie in a file.
//
// # Signing keys
//
// A Signer makes signatures, a Verifier checks them. The algorithm belongs to the key, never to a message:
// Ed25519 (RFC 8032), ES256 (RFC 7518) as raw r||s, or ML-DSA-65 (FIPS 204, RFC 9964). Against attackers with
// a quantum computer, a producer signs with two keys, one of them ML-DSA-65, and its consumers require both
// algorithms.
//
// A key ID is the key's JWK thumbprint (RFC 7638). It is always computed, and never taken from a document.
//
// # Encryption keys
//
// An event is encrypted to a Recipient, and an Identity opens it. Both are on X25519 or P-256. A
// ServiceRecipient and a ServiceIdentity are a symmetric key in a key management service.
//
// # Keyrings
//
// A producer makes its own keys (CreateKeyring, Keyring.Add) and hands out only the public halves
// (Keyring.PublicKeys). A consumer of encrypted events does the same (CreateConsumerKeyring, Keyring.Add).
// The file is encrypted with age under a passphrase (scrypt). It has one canonical form (RFC 8785), and every
// other form is refused.
//
// # Schedules
//
// Key states change by date: a State is a function of the Schedule and the time. To rotate, add a key and set
// its Active later than the moment at which every consumer has the new bundle. Give the old key a Retired and
// an Expired in the same write (Keyring.Apply). Package rotation plans that, and a LiveKeyring lets a running
// program pick it up. policy.Policy.CheckKeyrings reports a key that signs before the trust policy accepts
// it. Only revocation is manual, and the trust bundle records it.
//
// Senders encrypt to a key from Active to Retired. The consumer opens with it until Expired
// (Keyring.Identities). Expired should be after the last moment at which an old event may still be opened.
//
// # Sessions
//
// A Session signs with keys that are made in memory and live for an hour at most. A key in a key management
// service vouches for each of them with one signature. It does not sign each event.
//
// # Threat model
//
// A stolen key: Expired and revocation bound its use. Retired does not, because a thief can state any time of
// sealing. A disk or a log that an attacker reads: private files are encrypted, and private keys print as
// redacted. A source that is spelled to look like another one: sources are compared byte by byte, and a
// source that a program could normalise to another one is refused. Not covered: the memory of a running
// process, and a weak passphrase.
//
// # Stability
//
// The formats are stable at their version 1. The Go API may still grow; interfaces will not.
package keys
