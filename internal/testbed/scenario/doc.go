// Package scenario tests the whole system: producers, the bus, a queue, a Lambda function behind it, trust
// and replay store, through outages, crashes and a migration, in one process.
//
// All of it is real but AWS itself, which is internal/localaws, and time. Modelled time is a clock that the
// test moves, and moves only while nothing is under way; nobody sleeps for it, and nothing that is asserted
// depends on how fast the machine is. What is random is drawn from a seed that the test names, so that a run
// can be repeated as far as scheduling allows.
//
// What is proven:
//
//   - outage_test.go: a replay store, or the origin of the trust bundle, that is down for 30 minutes costs no event behind a
//     queue, and when a queue gives up: see survives.
//   - direct_test.go: the same for a function that EventBridge invokes itself, and what is lost without an OnFailure destination.
//   - crash_test.go: a worker that dies between its effect and Complete has it repeated under the same IdempotencyKey.
//   - migration_test.go: no checks -> migrating -> enforced, with every event accounted for.
//   - order_test.go: a FIFO queue keeps its order through failures.
package scenario
