// Package envelope seals and opens CloudEvents. Seal signs one; Open verifies one, or says by a Reason why
// not. It does no I/O of its own but to ask a trust.Source, and keeps no state: package consumer adds "once".
// An Encrypter and a Decrypter, which a program makes once and shares, ask key management services and keep
// content keys.
//
// The wire is the official CloudEvents extension "Verifiable CloudEvents with DSSE", and one member of ours
// inside of what is signed, which closes what the standard leaves open; SPEC.md has every byte of it. JSON
// data is signed in a canonical form, so that a broker may re-format it. A signature counts only if its own
// key may speak for the event's source and type, at that time, from that account.
//
// Data may be encrypted to recipients, all of it or single members, before it is signed. Opening verifies
// everything else before a key is touched, and then that the ciphertext was made in this event, by this
// producer, under the key that it says.
//
// Threats: whoever carries the event or writes onto the bus (a forged, changed, re-labelled or ambiguous
// event is an *Error, never a value); another trusted producer (keys are bound to sources); whoever replays
// (MaxAge, and a replay store around it); whoever sends garbage (limits before allocation). Not stopped:
// whoever holds a producer's key, within its scope, until it is revoked; and, for what is encrypted, whoever
// holds a recipient's.
//
//	signers, err := ring.Signers(time.Now())                  // ring is a keys.Keyring
//	source, err := trust.WatchFile("trust.dsse", roots, nil)   // or any other trust.Source
//	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Audience: "central"}
//	sealed, err := envelope.Seal(ctx, ev, signers[0], &envelope.SealOptions{Audience: "central"})
//	opened, err := envelope.Open(ctx, sealed.JSON(), source, policy)
//	if envelope.ReasonOf(err).Class() == envelope.Transient { ... } // ask again: nothing was judged
//
// Stable: Seal, Open, Policy, Opener, their options and results, the Reasons and their classes, the wire.
package envelope
