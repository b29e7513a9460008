// Package envelope seals and opens CloudEvents. Seal signs an event. Open verifies one by an acceptance
// policy, or gives the Reason why it is refused. It does not know which events were handled before: package
// consumer handles each event once. The package has no network of its own. A trust.Source may fetch bundles.
// An Encrypter and a Decrypter may call key management services, and they keep content keys: a program makes
// each of them once and shares it.
//
// The wire is the official CloudEvents extension "Verifiable CloudEvents with DSSE", and sealbus adds one
// member to the signed payload, for what the standard leaves unsigned. SPEC.md has every byte. JSON data is
// signed in a canonical form, so that a broker may re-format it. A signature counts only if its own key may
// speak for the event's source and type, at that time, from that account.
//
// Data may be encrypted to recipients, all of it or single members, before it is signed. Open uses no private
// key before all other checks have passed. It then checks that the ciphertext was made for this event, by
// this producer, under the key that it commits to.
//
// Threats: attackers on the way or on the bus (a forged, changed, re-labelled or ambiguous event is an
// *Error, never a value); another trusted producer (keys are bound to sources); replays (MaxAge, and a replay
// store around it); garbage (limits before allocation). Not stopped: a holder of a producer's key, within its
// scope, until it is revoked; and, for encrypted data, a holder of a recipient's key.
//
//	signers, err := ring.Signers(time.Now())                  // ring is a keys.Keyring
//	source, err := trust.WatchFile("trust.dsse", roots, nil)   // or any other trust.Source
//	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Audience: "central"}
//	sealed, err := envelope.Seal(ctx, ev, signers[0], &envelope.SealOptions{Audience: "central"})
//	opened, err := envelope.Open(ctx, sealed.JSON(), source, policy)
//	if envelope.ReasonOf(err).Class() == envelope.Transient { ... } // try again: nothing was judged
//
// Stable: Seal, Open, Policy, Opener, their options and results, the Reasons and their classes, the wire.
package envelope
