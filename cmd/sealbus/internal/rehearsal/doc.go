// Package rehearsal plays a schedule of keys on a virtual clock, before it is signed: bundles are published,
// producers seal, consumers open, and clocks, caches, outages and delays are as bad as they may be. It finds
// the events that consumers would reject although honest producers sealed them.
//
// Nothing in it is simulated but time, the network and the queue. The keyrings, the policy, the signed
// bundles and timestamps, the sources, Seal and Open are those that programs use.
//
//	record, err := rehearsal.Run(ctx, scenario) // one course of events
//	found, err := rehearsal.Rehearse(ctx, plan) // the worst courses that a plan allows, and the shortest story
//
// One thread takes what is due from a queue, in the order of time, and all chance comes from one seed: a
// scenario that is played again has the same record.
//
// Attackers have no part in it, but for a mirror that withholds new files: it measures how late a revocation
// becomes, and no event counts as falsely rejected behind it.
//
// Nothing is stable: the package serves `sealbus trust simulate` and its tests.
package rehearsal
