// Package scenario tests the whole system: producers, the bus, a queue, a Lambda function behind it, trust
// and replay store, through outages, crashes and a migration, in one process.
//
// Only two things are modelled: AWS, by internal/localaws, and time. Modelled time is a clock that the test
// moves, and only while nothing is under way. No test sleeps for it, and no assertion depends on the speed of
// the machine. Random choices come from a seed that the test names, so a run can be repeated as far as
// scheduling allows.
//
// The files prove:
//
//   - outage_test.go: a replay store, or the origin of the trust bundle, is down for 30 minutes. No event
//     behind a queue is lost. Function survives says when a queue gives up.
//   - direct_test.go: the same for a function that EventBridge invokes itself. Without an OnFailure
//     destination events are lost, and the test says which.
//   - crash_test.go: a worker dies between its effect and Complete. The effect is repeated under the same
//     IdempotencyKey.
//   - migration_test.go: no checks -> migrating -> enforced, with every event accounted for.
//   - order_test.go: a FIFO queue keeps its order through failures.
package scenario
