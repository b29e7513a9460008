// Package redis keeps replay claims in Redis 5 or later, or in Valkey, for any number of consumers.
//
//	client := goredis.NewClient(&goredis.Options{Addr: "replay.internal:6379"})
//	store, err := redis.New(client, nil)
//
// Each operation is one Lua script on one key, so it is atomic, needs one round trip, and works with a single
// server, behind Sentinel and in a cluster. The package links no client: the program chooses one.
//
// # Clocks
//
// The only clock is that of the Redis server. Each script reads it (TIME). No consumer's clock decides when a
// lease ends. After a failover it is the clock of the new primary. The time to live of a key is garbage
// collection and decides nothing. Keys outlive the until of their event by Options.Grace, by the same clock,
// and no operation shortens it. Redis itself forgets keys. So a claim is New only while the clock of Redis
// has not reached until. Later the answer is ErrUnavailable, because the event may have been completed and
// forgotten. Therefore a consumer whose clock was set back never gets New by mistake. A Redis server refuses
// fresh events if its clock is so far ahead that until has passed: by more than the rest of the consumer's
// RememberFor, and its Skew.
//
// # Threats
//
// An attacker who may write to these keys can make any event look handled, or new. Give this user of Redis an
// ACL of its own (~sealbus:replay:* +eval +evalsha +get +set +del +pttl +pexpireat +time). `sealbus doctor`
// also needs +info, to read the settings of the server. The records are hashes; nothing in them is secret.
//
// If Redis loses a record, its event is forgotten and may be handled again, with the same IdempotencyKey. So
// Redis needs `maxmemory-policy noeviction` (a full server then answers an error, which is ErrUnavailable)
// and `appendonly yes`. A failover loses records that were not replicated yet. Where that is not good enough,
// use package dynamodb.
//
// Stable: New and its Options. The layout of the records is not.
package redis

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/internal/remote"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// DefaultPrefix begins the name of each key unless Options.Prefix says otherwise.
const DefaultPrefix = "sealbus:replay:"

// Client is the part of a Redis client that the store uses. *Client, *ClusterClient and *Ring of
// github.com/redis/go-redis/v9 have it; R is *Cmd there. The caller sets its timeouts and retries. The
// deadline of a context counts with go-redis only if ContextTimeoutEnabled is set in its options. An
// operation that the client repeats because its answer was lost has the effect and the answer of one
// operation, except for Release, which then is ErrClaimLost.
type Client[R Reply] interface {
	EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) R
	Eval(ctx context.Context, script string, keys []string, args ...any) R
}

// Reply is the answer to a script: an array of int64, and of string or []byte.
type Reply interface{ Slice() ([]any, error) }

// Options adjust New.
type Options struct {
	// Prefix begins the name of each key, which ends in the event's IdempotencyKey; "" = "sealbus:replay:".
	// Consumers need no prefixes of their own: their names are part of the keys.
	Prefix string
	// Grace is how long a record outlives its event's until. The clock of the Redis server may be set back by
	// that much, and no event becomes new again. 0 = one hour.
	Grace time.Duration
}

// store is what New makes.
type store struct {
	evalSha, eval evaluate
	prefix        string
	grace         int64 // milliseconds
}

var _ replay.Store = (*store)(nil)

// evaluate runs a script, which is given by its hash or by its text.
type evaluate func(ctx context.Context, script string, keys []string, args []any) ([]any, error)

// New makes a store over the client, which it does not close. It does not connect.
func New[R Reply](client Client[R], opts *Options) (replay.Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case client == nil:
		return nil, errors.New("replay: no Redis client: give one that is connected")
	case o.Grace < 0, 0 < o.Grace && o.Grace < time.Millisecond:
		return nil, fmt.Errorf("replay: the grace is %v: give at least a millisecond, or 0 for %v", o.Grace,
			remote.DefaultGrace)
	case o.Grace == 0:
		o.Grace = remote.DefaultGrace
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if err := nilcheck.Typed("replay: the Redis client", client); err != nil {
		return nil, err
	}
	return &store{
		evalSha: func(ctx context.Context, sha string, keys []string, args []any) ([]any, error) {
			return client.EvalSha(ctx, sha, keys, args...).Slice()
		},
		eval: func(ctx context.Context, text string, keys []string, args []any) ([]any, error) {
			return client.Eval(ctx, text, keys, args...).Slice()
		},
		prefix: o.Prefix, grace: o.Grace.Milliseconds(),
	}, nil
}

// Claim is replay.Store.Claim.
func (s *store) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	if err := remote.Check(ctx, until, lease); err != nil {
		return replay.Claim{}, 0, err
	}
	claim := replay.Claim{Key: key, Token: remote.Token()}
	a, err := s.run(ctx, claimScript, key, claim.Token[:], digest[:], digits(until), remote.Length(lease),
		s.grace)
	if err != nil {
		return replay.Claim{}, 0, err
	}
	switch {
	case a.code == answerDone:
		return claim, replay.New, nil
	case a.code == answerHeld:
		return replay.Claim{}, replay.Held, nil
	case a.code == answerCompleted && len(a.digest) == len(digest):
		return replay.Claim{}, completedAs(a.digest, digest), nil
	case a.code == answerForgotten:
		return replay.Claim{}, 0, remote.Forgotten(time.UnixMilli(a.time), until)
	}
	return replay.Claim{}, 0, strange(a)
}

func completedAs(done string, digest [32]byte) replay.Status {
	if subtle.ConstantTimeCompare([]byte(done), digest[:]) == 1 {
		return replay.Completed
	}
	return replay.CompletedOther
}

// Renew is replay.Store.Renew.
func (s *store) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	if err := remote.CheckLease(ctx, lease); err != nil {
		return err
	}
	return s.act(ctx, renewScript, claim, remote.Length(lease), s.grace)
}

// Complete is replay.Store.Complete.
func (s *store) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	if err := remote.CheckUntil(ctx, until); err != nil {
		return err
	}
	mark := remote.Token()
	return s.act(ctx, completeScript, claim, mark[:], digits(until), s.grace)
}

// Release is replay.Store.Release.
func (s *store) Release(ctx context.Context, claim replay.Claim) error {
	if err := remote.CheckContext(ctx); err != nil {
		return err
	}
	return s.act(ctx, releaseScript, claim)
}

// digits is a moment in the form of the records, of fixed length.
func digits(t time.Time) string { return fmt.Sprintf("%0*d", remote.MillisDigits, remote.Millis(t)) }

// act runs a script that works only for the owner of the claim.
func (s *store) act(ctx context.Context, script script, claim replay.Claim, args ...any) error {
	a, err := s.run(ctx, script, claim.Key, append([]any{claim.Token[:]}, args...)...)
	switch {
	case err != nil:
		return err
	case a.code == answerDone:
		return nil
	case a.code == answerLost:
		return replay.ErrClaimLost
	}
	return strange(a)
}

// answer is the answer of a script.
type answer struct {
	code   int64
	digest string
	time   int64 // milliseconds
}

// run runs a script by its hash. If the server does not know it (a new server, or one that was restarted), it
// runs it by its text.
func (s *store) run(ctx context.Context, script script, key [32]byte, args ...any) (answer, error) {
	keys := []string{s.prefix + hex.EncodeToString(key[:])}
	got, err := s.evalSha(ctx, script.sha, keys, args)
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		got, err = s.eval(ctx, script.text, keys, args)
	}
	if err != nil {
		return answer{}, remote.Unavailable(err)
	}
	return read(got)
}

// read parses an answer: a code and, perhaps, one more value.
func read(got []any) (answer, error) {
	a, ok := answer{}, len(got) == 1 || len(got) == 2
	if ok {
		a.code, ok = got[0].(int64)
	}
	if ok && len(got) == 2 {
		switch v := got[1].(type) {
		case string:
			a.digest = v
		case []byte:
			a.digest = string(v)
		case int64:
			a.time = v
		default:
			ok = false
		}
	}
	if !ok {
		return answer{}, remote.Unavailable(fmt.Errorf("Redis answered %d values that are no answer",
			len(got)))
	}
	return a, nil
}

func strange(a answer) error {
	return remote.Unavailable(fmt.Errorf("Redis gave answer %d, which this operation has not", a.code))
}
