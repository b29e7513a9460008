// Package throttle says when a caller has made too many requests. Clients and tenants have usage plans, as in
// Amazon API Gateway: a rate, a burst and a quota for each day. Callers who are not known yet are limited by
// their address.
//
//	limiter, err := throttle.NewMemory(nil) // or webhook/throttle/redis, for several processes
//	v, err := limiter.Take(ctx, tenant.Limits(caller))
//	if v.Wait > 0 {
//		return v.Response() // 429, with Retry-After, RateLimit and RateLimit-Policy
//	}
//
// A request is counted against all of its limits, or, if one of them refuses it, against none. So a client
// over its own limit does not use up that of its tenant.
//
// Check a request in this order: its size, its address (Addresses), its token, the limits of its client and
// its tenant (Limiter), and its data. Each step costs more than the one before it.
//
// # Quotas
//
// A day begins at 00:00 UTC. The limiter of NewMemory is that of one process: a restart begins each quota
// anew, and each of several processes grants all of it. A store in Redis has neither fault.
//
// # Threats
//
// An attacker with very many addresses: Addresses is a table of fixed size, and hashes with a key that the
// attacker does not know. An attacker who writes X-Forwarded-For: Caller believes only lines of so many
// trusted hops. A client with many tokens: limits belong to the client and its tenant. Not stopped: an
// attacker who holds a prefix much shorter than /64 has as many rates as there are /64 in it.
//
// Stable: all of it, but for the texts of errors.
package throttle
