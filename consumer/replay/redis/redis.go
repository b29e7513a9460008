// Package redis keeps replay claims in Redis 5 or later, or in Valkey, for any number of consumers.
//
//	client := goredis.NewClient(&goredis.Options{Addr: "replay.internal:6379"})
//	store, err := redis.New(client, nil)
//
// Each operation is one Lua script on one key, so it is atomic, needs one round trip, and works with a single
// server, behind Sentinel and in a cluster.
//
// # Clocks
//
// The only clock is that of the Redis server, which each script reads (TIME): no consumer's clock decides
// when a lease ends. After a failover it is the clock of the new primary. The time to live of a key is
// garbage collection and decides nothing: keys outlive the until of their event, by the same clock, by
// Options.Grace, and no operation shortens it. As it is Redis that forgets, a claim is New only while its
// clock has not reached until; later the answer is ErrUnavailable: the event may have been completed and
// forgotten. Therefore a consumer whose clock was set back is never told New by mistake. A Redis server whose
// clock is so far ahead that until has passed for it refuses fresh events: by more than the rest of the
// consumer's RememberFor, and its Skew.
//
// # Threats
//
// Whoever may write to these keys can make any event look handled, or new: give this user of Redis an ACL of
// its own (~sealbus:replay:* +eval +evalsha +get +set +del +pttl +pexpireat +time). What is stored are
// hashes; nothing is secret. What Redis loses is forgotten, and may be handled again, with the same
// IdempotencyKey: it needs `maxmemory-policy noeviction` (a full server then answers an error, which is
// ErrUnavailable), `appendonly yes`, and a failover loses what was not replicated yet. Where that is not good
// enough, use package dynamodb.
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

	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/internal/remote"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// DefaultPrefix begins the name of each key unless told otherwise.
const DefaultPrefix = "sealbus:replay:"

// Client is what is used of a go-redis client: *goredis.Client, *goredis.ClusterClient and *goredis.Ring have
// it. Its timeouts and retries are the caller's business; an operation that is made again because its answer
// was lost has the effect and the answer of one, except for Release, which then is ErrClaimLost.
type Client interface {
	EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *goredis.Cmd
	Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd
}

// Options adjust New.
type Options struct {
	// Prefix begins the name of each key, which ends in the event's IdempotencyKey; "" = DefaultPrefix.
	// Consumers need no prefixes of their own: their names are part of the keys.
	Prefix string
	// Grace is how long a record outlives its event's until, and so by how much the clock of the Redis server
	// may be set back without reopening anything; 0 = one hour.
	Grace time.Duration
}

// Store is a replay.Store in Redis. The client stays its owner's to close.
type Store struct {
	client Client
	prefix string
	grace  int64 // milliseconds
}

var (
	_ replay.Store = (*Store)(nil)
	_ Client       = goredis.UniversalClient(nil)
)

// New makes a store over the client. It does not connect.
func New(client Client, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case client == nil:
		return nil, errors.New("replay: no Redis client")
	case o.Grace < 0, 0 < o.Grace && o.Grace < time.Millisecond:
		return nil, fmt.Errorf("replay: the grace is %v: give at least a millisecond, or 0 for %v", o.Grace, remote.DefaultGrace)
	case o.Grace == 0:
		o.Grace = remote.DefaultGrace
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if err := nilcheck.Typed("replay: the Redis client", client); err != nil {
		return nil, err
	}
	return &Store{client: client, prefix: o.Prefix, grace: o.Grace.Milliseconds()}, nil
}

// Claim is replay.Store.Claim.
func (s *Store) Claim(ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration) (replay.Claim, replay.Status, error) {
	if err := remote.Check(ctx, until, lease); err != nil {
		return replay.Claim{}, 0, err
	}
	claim := replay.Claim{Key: key, Token: remote.Token()}
	a, err := s.run(ctx, claimScript, key, claim.Token[:], digest[:], digits(until), remote.Length(lease), s.grace)
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
func (s *Store) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	if err := remote.CheckLease(ctx, lease); err != nil {
		return err
	}
	return s.act(ctx, renewScript, claim, remote.Length(lease), s.grace)
}

// Complete is replay.Store.Complete.
func (s *Store) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	if err := remote.CheckUntil(ctx, until); err != nil {
		return err
	}
	mark := remote.Token()
	return s.act(ctx, completeScript, claim, mark[:], digits(until), s.grace)
}

// Release is replay.Store.Release.
func (s *Store) Release(ctx context.Context, claim replay.Claim) error {
	if err := remote.CheckContext(ctx); err != nil {
		return err
	}
	return s.act(ctx, releaseScript, claim)
}

// digits is a moment as records have it, of fixed length.
func digits(t time.Time) string { return fmt.Sprintf("%0*d", remote.MillisDigits, remote.Millis(t)) }

// act runs a script that works for the holder of the claim only.
func (s *Store) act(ctx context.Context, script script, claim replay.Claim, args ...any) error {
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

// answer is what a script answered.
type answer struct {
	code   int64
	digest string
	time   int64 // milliseconds
}

// run runs a script by its hash and, should the server not know it (a new one, or one that was restarted), by
// its text.
func (s *Store) run(ctx context.Context, script script, key [32]byte, args ...any) (answer, error) {
	keys := []string{s.prefix + hex.EncodeToString(key[:])}
	got, err := s.client.EvalSha(ctx, script.sha, keys, args...).Slice()
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		got, err = s.client.Eval(ctx, script.text, keys, args...).Slice()
	}
	if err != nil {
		return answer{}, remote.Unavailable(err)
	}
	return read(got)
}

// read makes an answer of what came: a code and, perhaps, one more value.
func read(got []any) (answer, error) {
	a, ok := answer{}, len(got) == 1 || len(got) == 2
	if ok {
		a.code, ok = got[0].(int64)
	}
	if ok && len(got) == 2 {
		switch v := got[1].(type) {
		case string:
			a.digest = v
		case int64:
			a.time = v
		default:
			ok = false
		}
	}
	if !ok {
		return answer{}, remote.Unavailable(fmt.Errorf("Redis answered %d values that are no answer", len(got)))
	}
	return a, nil
}

func strange(a answer) error {
	return remote.Unavailable(fmt.Errorf("Redis gave answer %d, which this operation has not", a.code))
}
