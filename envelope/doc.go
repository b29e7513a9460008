// Package envelope seals and opens CloudEvents. Seal signs an event. Open verifies one by an acceptance
// policy, or gives the Reason why it is refused. It does not know which events were handled before: package
// consumer handles each event once. Package producer seals and publishes. Use envelope alone where there is
// neither a bus nor a queue.
//
// # Seal
//
// The producer's keyring has the signers. The audience is the bus, or whatever else the event is for:
//
//	ring, err := keys.OpenKeyring("orders.keyring", passphrase, nil)
//	signers, err := ring.Signers(time.Now())
//	sealed, err := envelope.Seal(ctx, ev, signers[0], &envelope.SealOptions{Audience: "central"})
//	send(sealed.JSON())
//
// # Open
//
// The consumer has a trust.Source, which says whose keys count, and a Policy, which says what it accepts:
//
//	source, err := trust.WatchFile("trust.dsse", roots, nil) // or any other trust.Source
//	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Audience: "central"}
//	opened, err := envelope.Open(ctx, sealed, source, policy)
//
// A program that opens many events makes one Opener. Nothing unverified is a return value: the claims of a
// refused event are in the fields Unverified... of the *Error alone.
//
// # Errors
//
// An *Error has a Reason, one stable word, and its Class says what to do:
//
//	switch envelope.ReasonOf(err).Class() {
//	case envelope.Transient: // nothing was judged: try again
//	case envelope.Permanent: // it can never pass: put it away, do not try again
//	}
//
// Reason.Fix is advice in one line. docs/reasons.md (Reason.Page) and `sealbus explain REASON` have the
// causes and cures of each.
//
// # Encryption
//
// Data may be encrypted to recipients, all of it or single members, before it is signed. An Encrypter and a
// Decrypter may call key management services, and they keep content keys: a program makes each of them once
// and shares it. Open uses no private key before all other checks have passed. It then checks that the
// ciphertext was made for this event, by this producer, under the key that it commits to.
//
// # The wire
//
// The wire is the official CloudEvents extension "Verifiable CloudEvents with DSSE", and sealbus adds one
// member to the signed payload, for what the standard leaves unsigned. SPEC.md has every byte. JSON data is
// signed in a canonical form, so that a broker may re-format it. A signature counts only if its own key may
// speak for the event's source and type, at that time, from that account.
//
// # Threat model
//
// Stopped: attackers on the way or on the bus (a forged, changed, re-labelled or ambiguous event is an
// *Error, never a value); another trusted producer (keys are bound to sources); replays (MaxAge, and a replay
// store around it); garbage (limits before allocation). Not stopped: a holder of a producer's key, within its
// scope, until it is revoked; and, for encrypted data, a holder of a recipient's key. The package has no
// network of its own. A trust.Source may fetch bundles.
//
// # Stability
//
// Stable: Seal, Open, Policy, Opener, their options and results, the Reasons and their classes, the wire.
package envelope
