// Package keys holds what decides whom to believe: signing keys and their IDs, a producer's keyring, the
// trust bundle that says which key may speak for which source and type at which time, the root keys that sign
// the bundle, and the sources that hand the bundle out. It links no cloud, and uses the network only where
// FetchBundle or HTTPSOrigin is called.
//
// # Key management
//
// An organisation has root keys (CreateRootKey), which stay offline and of which a threshold signs; consumers
// pin them in a roots file (ParseRoots). Each producer makes its own keys (CreateKeyring, Keyring.Add) and
// hands out public halves only. So does each consumer that is sent encrypted events (CreateConsumerKeyring,
// Keyring.AddIdentity). A reviewed policy file (package policy) lists their IDs with what the producer may
// say and with a schedule; from it and the public keys a Bundle is built, signed by the roots (SignBundle,
// AddSignature), published and opened by consumers (OpenBundle, WatchFile, FetchBundle).
//
// A key's state is a function of its Schedule and the time, never a flag that somebody must flip. To rotate,
// add a key whose Active lies far enough ahead for every consumer to have the bundle with it by then, and
// give the old key a Retired and an Expired. The moment is set once, in the keyring: Keyring.PublicKeys
// carries it to the policy, and Schedule.CheckStart finds a policy that begins later than the keyring signs.
// Only revocation is an act: it rejects whatever the key ever signed, at the next refresh, and at the latest
// when a withheld bundle expires.
//
// A key ID is the key's JWK thumbprint (RFC 7638) and is always computed, never believed. An algorithm
// belongs to a key: Ed25519 (RFC 8032), ES256 (RFC 7518) as raw r||s, or ML-DSA-65 (FIPS 204, RFC 9964).
// Against forgers with a quantum computer, a producer signs with two keys, one of them ML-DSA-65, and its
// consumers require both algorithms.
//
// # Live sources
//
// A Bundle is a Source of itself; FileSource follows a file, RemoteSource an HTTPS URL (FetchBundle), an
// object of S3 (package awss3) or any other Origin. They are interchangeable. All of them decide on use, by
// the injected clock, whether to look for a newer bundle: no goroutine or timer has to have run, so that a
// Lambda function that was frozen for hours looks before it judges. All keep the last good bundle until it
// expires, whatever its place has become, and then say ErrUnavailable, which is transient.
//
//	trust, err := keys.FetchBundle(ctx, "https://trust.example/bundle.dsse", roots, &keys.FetchOptions{StateFile: "/var/lib/billing/trust"})
//
// A RemoteSource asks at the bundle's refresh hint, or sooner if the origin's max-age says so, and once for
// an unknown key ID, but never more often than MinInterval: forged IDs share that one fetch with the ID of a
// new key. Only a bundle that was just checked can tell that a key is unknown.
//
// Without StateFile (in FetchOptions, and in FileOptions for WatchFile), what was seen is forgotten at a
// restart: an attacker who can change what the origin serves, or the file, can then give an older bundle that
// has not expired. The state file belongs on a disk that outlives the process, in a directory that only the
// program can write to, and apart from the bundle: /var/lib/NAME/trust on a host, a volume of its own in a
// container. Where nothing outlives the process, as on Lambda, MinVersion is the bound.
//
// # Threat model
//
// One trusted producer tries to speak for another: a key counts only for the sources and types that it is
// listed for. A source is spelled to look like another's: matching is by bytes, and what a normaliser could
// change is refused. The publisher of bundles is hostile: it can withhold until expiry, but not forge, mix,
// add to or roll back, nor have us read without limit or ask another host. Somebody steals a producer's key:
// Expired and revocation bound it; Retired does not, since the thief writes the time. Somebody reads a disk
// or a log: private files are encrypted (age, scrypt), private values print as redacted. Not covered: memory
// of a running process, a weak passphrase, a threshold of stolen root keys.
//
// # Documents
//
// Bundles and keyrings have one canonical form (RFC 8785) and are refused in any other: what is parsed is
// written back byte for byte. Unknown members are refused in them and in roots files, because an unknown
// member may be a restriction; in a JWK on its own they are ignored, as RFC 7517 demands.
//
// # Encryption keys
//
// A Recipient is what events are encrypted to, an Identity what opens them; both are on X25519 or P-256. The
// bundle names the consumer of each key ("use":"enc"), and Bundle.Recipients those to encrypt to at a time.
// Whoever encrypts uses a key from Active to Retired; its consumer opens with it until Expired
// (Keyring.Identities), which is best as late as the oldest event to be opened.
//
// # Stability
//
// The formats are stable at their version 1. The Go API may still grow; interfaces will not.
package keys
