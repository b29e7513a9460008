// Package session signs events with keys that are made in memory and live for an hour at most. A root key
// vouches for each of them with one signature. A root key in a key management service is then asked once an
// hour, and not for each event.
//
// Events carry the statement by which the root key vouches (SPEC.md, delegation). Consumers verify it against
// the root key in the trust bundle. The bundle never lists a session key, unless it revokes it.
package session
