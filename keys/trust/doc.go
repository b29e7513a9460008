// Package trust says which keys count, and for what. It has the trust bundle, the root keys that sign it, and
// the sources that keep a bundle fresh. It links no cloud, and uses the network only where FetchBundle or
// HTTPSOrigin is called.
//
// # Trust in a consumer
//
// A consumer has one pinned file, the roots, and follows any copy of the bundle. It gives the source to
// consumer.New or envelope.NewOpener:
//
//	pinned, err := os.ReadFile("roots.json") // shipped with the program
//	roots, err := trust.ParseRoots(pinned)
//	source, err := trust.WatchFile("trust.dsse", roots, &trust.Options{StateFile: "trust.state"})
//	c, err := consumer.New("billing", source, store, policy, nil)
//
// # From keys to a bundle
//
// An organisation has root keys (CreateRootKey). They stay offline, and a threshold of them must sign.
// Consumers pin them in a roots file (ParseRoots). A reviewed file, the trust policy (package trust/policy),
// lists the ID of each producer's key with the sources and types that it may sign, and with a schedule. From
// the policy and the public keys an operator builds a Bundle. The root keys sign it (SignBundle,
// AddSignature), it is published, and consumers open it (OpenBundle, WatchFile, FetchBundle).
//
// A bundle names the consumer of each encryption key, too. Bundle.Recipients are the keys to encrypt to.
//
// Roots may name timestamp keys (WithTimestampKeys), which are on line. A bundle then counts only together
// with a live Timestamp, which names the newest bundle and revokes keys (NewTimestamp, SignTimestamp). It can
// withhold and revoke, never grant. docs/trust.md has the rules.
//
// Key states change by date. Only revocation is manual. It rejects all events of the key. A consumer applies
// it at the next refresh of the bundle. If an attacker withholds the new bundle, the consumer rejects every
// event once the old one has expired.
//
// # Live sources
//
// A Bundle is a Source of itself. A FileSource follows a file. A RemoteSource follows an HTTPS URL
// (FetchBundle), an object in S3 (package awss3) or any other Origin. They are interchangeable. Each of them
// decides when it is used, by its clock, whether to look for a newer bundle. So it needs no goroutine and no
// timer, and a Lambda function that was frozen for hours looks for a newer bundle before it judges an event.
// Each source keeps the last good bundle until it expires, whatever happens to its origin. Then it returns
// ErrUnavailable, which is transient.
//
//	source, err := trust.FetchBundle(ctx, "https://trust.example/bundle.dsse", roots,
//		&trust.Options{StateFile: "/var/lib/billing/trust"})
//
// A RemoteSource asks at the bundle's refresh hint, or sooner if the origin's max-age says so. It also asks
// when an event names an unknown key ID, but never more often than MinInterval: forged IDs and the ID of a
// new key share one fetch. Only a bundle that was just checked can tell that a key is unknown.
//
// Without Options.StateFile, a restarted program does not know which version it saw last. An attacker who can
// change the file or the origin's answers can then give it an older bundle that has not expired. The state
// file belongs on a disk that outlives the process, in a directory that only the program can write to, and
// apart from the bundle: /var/lib/NAME/trust on a host, a volume of its own in a container. Where no disk
// outlives the process, as on Lambda, MinVersion is the bound.
//
// # Threat model
//
// A trusted producer that tries to speak for another: a key counts only for the sources and types that it is
// listed for. A hostile publisher of bundles: it can keep a consumer on the old bundle until that one
// expires. It cannot forge, mix, extend or roll back a bundle, and it cannot make a consumer read without
// limit or call another host. A thief of a timestamp key: it can stop consumers, and together with the
// publisher it can have a consumer that starts without a state file use an older live bundle. It cannot make
// a key count. Not covered: a threshold of stolen root keys.
//
// # Documents
//
// Bundles have one canonical form (RFC 8785), and every other form is refused: writing a parsed bundle gives
// the same bytes. Unknown members are refused in bundles and in roots files, because an unknown member may be
// a restriction. A JWK on its own may have them, as RFC 7517 demands.
//
// # Stability
//
// The formats are stable at their version 1. The Go API may still grow; interfaces will not.
package trust
