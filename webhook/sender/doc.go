// Package sender sends signed webhooks, and tries again until they are delivered.
//
// A Sender accepts messages for endpoints (Send), keeps them in a Store, and sends them (Run) until the
// endpoint answers 2xx. Each delivery ends as delivered or in the dead list, from where an operator can have
// it sent again. Forward makes a consumer.Handler of a Sender: it sends verified events on, so that what
// leaves was verified when it came in.
//
// # Deliveries
//
// The schedule is that of Standard Webhooks 1.0.0: 10 attempts within 75 hours, each wait +-20 %. A
// Retry-After lengthens a wait, by at most 24 hours, and never shortens it. An answer 3xx is a failure and is
// not followed. 410 disables the endpoint: its deliveries die with CauseDisabled, and none is lost silently.
// An endpoint that fails five times in a row gets one attempt at a time, with pauses of up to a minute. That
// delays attempts and uses none up.
//
// A delivery may reach its endpoint more than once: if the answer or the process is lost, it is sent again
// when the lease of the process is over. It then has the same ID and the same body, so that a receiver that
// remembers IDs handles it once. Time and signatures are those of the attempt.
//
// Deliveries wait in the store, in memory or in Redis (package redis). A queue such as Amazon SQS is no
// store, because it delays a message by 15 minutes at most: have a consumer take messages from it, and
// Forward them.
//
// # Secrets
//
// SealSecret encrypts the secret of an endpoint for a database, under a key in a KMS or a LocalKey.
// EncryptBodies encrypts the bodies in a store.
//
// # Threats
//
//   - A tenant whose endpoint leads into the own network. Each address that is dialled is judged, after DNS
//     (Options.Network). No redirect is followed, no proxy is used. Answers are read up to 16 KiB and thrown
//     away. An Observer learns no more than the class of a status and a Cause, and no timing.
//   - A tenant whose endpoint hangs, or refuses everything. Attempts are bounded for each endpoint, the store
//     is asked fairly, and each attempt ends with its timeout.
//   - A tenant whose deliveries fill the store, pending or dead, until it takes none of others. The store has
//     no bound for each endpoint: pick no endpoint that an Observer saw disabled, and discard what is dead.
//   - A worker that wakes up after its lease. It records nothing, because its token is not the newest.
//   - An attacker who reads the store. See Secrets. One who can write to it can have anything sent that
//     EncryptBodies does not protect.
//   - A forger of events. Forward is called with verified events only.
//
// # Stable
//
// The IDs that Forward computes, the Causes, and the result of SealSecret.
package sender
