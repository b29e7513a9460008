// Package sealbus is the front door of the module. It has no code. It says where to begin.
//
// sealbus signs the events that a producer puts on an Amazon EventBridge bus, and encrypts their data when
// asked to. A consumer handles an event only after it has verified who sealed it, that nothing changed on the
// way, and that it was not handled before.
//
// # Where to begin
//
//   - Package [github.com/sealbus/sealbus/home] makes a producer or a consumer out of the directory that
//     `sealbus init` made, in one call. It is for a laptop and for tests.
//   - Package [github.com/sealbus/sealbus/producer] seals events and publishes them. The bus of AWS is
//     [github.com/sealbus/sealbus/producer/eventbridge].
//   - Package [github.com/sealbus/sealbus/consumer] handles each verified event once. In a Lambda function it
//     is wrapped by [github.com/sealbus/sealbus/consumer/awslambda].
//   - Package [github.com/sealbus/sealbus/keys] holds the keys of producers and consumers. Package
//     [github.com/sealbus/sealbus/keys/trust] says which keys to believe.
//
// Both sides stand on package [github.com/sealbus/sealbus/envelope], which has the two verbs Seal and Open.
// Use it alone where there is neither a bus nor a queue.
//
// The command github.com/sealbus/sealbus/cmd/sealbus makes keys, builds the trust bundle, opens and inspects
// events, and reopens quarantined ones. Its sub-command dev is an AWS on a laptop, and demo plays an attacker
// against the library.
//
// # Texts in the repository
//
//   - README.md: a first event, from keys to handler, without an AWS account.
//   - docs/guide-producer.md, guide-consumer.md, guide-platform.md, guide-security.md: one for each role.
//   - docs/reasons.md: why an event is refused, and what to do.
//   - docs/security.md: who attacks, what stops them, what does not.
//   - docs/operations.md: queues, outages, rotation, quarantine, metrics.
//   - docs/architecture.md: the packages, the way of an event, the decisions and their reasons.
//   - docs/reasons.md: each Reason with its causes and cures; the command explain prints the same.
//   - docs/glossary.md: the words.
//   - SPEC.md: the wire, exact enough to write a verifier from. The directory vectors has test vectors.
//
// They are at https://github.com/sealbus/sealbus.
//
// # Stability
//
// Nothing is released yet. The wire of SPEC.md is version 1. Names in Go may still change.
package sealbus
