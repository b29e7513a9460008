// Package redis keeps deliveries of package sender in Redis 5 or later, or in Valkey, for any number of
// processes. A restart of any of them, and of Redis, loses none.
//
//	client := goredis.NewClient(&goredis.Options{Addr: "hooks.internal:6379"})
//	store, err := redis.New(client, nil)
//
// Each operation is one Lua script, so it is atomic and needs one round trip. All keys of a store have one
// hash tag: in a cluster a store is on one node. For more than one node, use several stores with prefixes of
// their own. The package links no client: the program chooses one.
//
// # Clocks
//
// The only clock is that of the Redis server. It decides what is due and when a lease ends.
//
// # Threats
//
// An attacker who may write to these keys can have any message sent to an endpoint that exists, and can
// delete some. One who may read them has the bodies: sender.EncryptBodies hides them and keeps them from
// being changed. No secret of an endpoint is in them. Give this user of Redis an ACL of its own
// (~{sealbus:out}:* +eval +evalsha +time +hget +hset +hdel +zadd +zrem +zscore +zrangebylex +zrangebyscore
// +sadd +srem +sismember +incr).
//
// Redis forgets nothing if it has `maxmemory-policy noeviction` (a full server then answers an error, which
// is sender.ErrUnavailable), `appendonly yes` and `appendfsync always`. With `everysec`, the default, a crash
// of the server loses up to a second of messages that Send had accepted. A failover loses what was not
// replicated yet.
//
// Stable: New and its Options. The layout of the records is not.
package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/webhook/sender"
)

// DefaultPrefix begins the name of each key unless Options.Prefix says otherwise.
const DefaultPrefix = "{sealbus:out}:"

// Options adjust New.
type Options struct {
	// Prefix begins the name of each key; "" = "{sealbus:out}:". It has a hash tag in braces, so that a cluster
	// keeps all keys on one node.
	Prefix string
	// Remember is how long a delivered ID is remembered; 0 = sender.DefaultRemember.
	Remember time.Duration
}

// store is what New makes.
type store struct {
	evalSha, eval evaluate
	keys          []string
	remember      int64 // milliseconds
}

var _ sender.BackEnd = (*store)(nil)

// evaluate runs a script, which is given by its hash or by its text.
type evaluate func(ctx context.Context, script string, keys []string, args []any) ([]any, error)

// New makes a store over the client, which it does not close. It does not connect. The client is that of
// package consumer/replay/redis: the caller sets its timeouts and retries. An operation that the client
// repeats because its answer was lost has the effect and the answer of one operation, except for Resend and
// Discard, which then are sender.ErrNotDead, and for Take: the deliveries of the lost answer wait until their
// leases are over.
func New[R redis.Reply](client redis.Client[R], opts *Options) (sender.BackEnd, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Remember == 0 {
		o.Remember = sender.DefaultRemember
	}
	_, tagged, _ := strings.Cut(o.Prefix, "{")
	switch {
	case client == nil:
		return nil, errors.New("sender: no Redis client: give one that is connected")
	case strings.Index(tagged, "}") < 1:
		return nil, fmt.Errorf("sender: the prefix %.80q has no hash tag, such as %q", o.Prefix, DefaultPrefix)
	case o.Remember < time.Second:
		return nil, fmt.Errorf("sender: delivered IDs are remembered for %v: give at least a second", o.Remember)
	}
	if err := nilcheck.Typed("sender: the Redis client", client); err != nil {
		return nil, err
	}
	s := &store{
		evalSha: func(ctx context.Context, sha string, keys []string, args []any) ([]any, error) {
			return client.EvalSha(ctx, sha, keys, args...).Slice()
		},
		eval: func(ctx context.Context, text string, keys []string, args []any) ([]any, error) {
			return client.Eval(ctx, text, keys, args...).Slice()
		},
		remember: o.Remember.Milliseconds(),
	}
	for _, name := range []string{"lanes", "queue", "records", "states", "dead", "forget", "off", "serial"} {
		s.keys = append(s.keys, o.Prefix+name)
	}
	return s, nil
}

// fieldOf is the name of a delivery in the hashes.
func fieldOf(k sender.Key) string { return k.Endpoint + " " + k.ID }

// Put is sender.Store.Put.
func (s *store) Put(ctx context.Context, d sender.Delivery) error {
	if err := d.Check(); err != nil {
		return err
	}
	lane := "u" + d.Endpoint
	if d.Ordered {
		lane = "o" + d.Endpoint
	}
	return s.act(ctx, putScript, fieldOf(d.Key), lane, hex.EncodeToString(d.Digest[:]), appendRecord(nil, &d))
}

// Take is sender.Store.Take. A delivery whose record cannot be read is put into the dead list.
func (s *store) Take(ctx context.Context, w sender.Want) ([]sender.Taken, error) {
	if w.Most <= 0 || w.Lease <= 0 {
		return nil, errors.New("sender: Most and Lease must be above 0")
	}
	var token [16]byte
	_, _ = rand.Read(token[:]) // never fails
	args := []any{w.Most, max(w.Lease.Milliseconds(), 1), hex.EncodeToString(token[:])}
	for endpoint, n := range w.Room {
		args = append(args, endpoint, n)
	}
	rows, err := s.rows(ctx, takeScript, 4, args...)
	if err != nil {
		return nil, err
	}
	var out []sender.Taken
	for _, row := range rows {
		d, err := parseRecord(row[0])
		attempts, bad := strconv.Atoi(row[2])
		if err != nil || bad != nil || fieldOf(d.Key) != row[1] {
			if err := s.unreadable(ctx, row[1], token); err != nil {
				return out, err
			}
			continue
		}
		d.Attempts = attempts
		out = append(out, sender.Taken{Delivery: d, Token: token, Disabled: row[3] == "1"})
	}
	return out, nil
}

// unreadable puts a delivery that was taken into the dead list. Its record stays.
func (s *store) unreadable(ctx context.Context, field string, token [16]byte) error {
	return s.act(ctx, settleScript, field, hex.EncodeToString(token[:]), "X", 0,
		string(sender.CauseUnreadable), 0, "0")
}

// Settle is sender.Store.Settle.
func (s *store) Settle(ctx context.Context, t sender.Taken, st sender.Settlement) error {
	if err := st.Check(); err != nil {
		return err
	}
	kind, cause, ms, off := "D", "-", s.remember, "0"
	switch st.State {
	case sender.Again:
		kind, cause, ms = "P", string(st.Cause), st.After.Milliseconds()
	case sender.Dead:
		kind, cause, ms = "X", string(st.Cause), 0
	}
	if st.Disable {
		off = "1"
	}
	return s.act(ctx, settleScript, fieldOf(t.Key), hex.EncodeToString(t.Token[:]), kind, st.Attempts, cause,
		ms, off)
}

// Dead is sender.DeadLetters.Dead.
func (s *store) Dead(ctx context.Context, after sender.Key, n int) ([]sender.DeadDelivery, error) {
	if n <= 0 {
		return nil, nil
	}
	from := "-"
	if after != (sender.Key{}) {
		from = "(" + fieldOf(after)
	}
	rows, err := s.rows(ctx, deadScript, 5, from, n)
	if err != nil {
		return nil, err
	}
	var out []sender.DeadDelivery
	for _, row := range rows {
		d, err := parseRecord(row[1])
		if err != nil || fieldOf(d.Key) != row[0] { // an operator still sees that it is there
			endpoint, id, _ := strings.Cut(row[0], " ")
			d = sender.Delivery{Key: sender.Key{Endpoint: endpoint, ID: id}}
		}
		attempts, bad := strconv.Atoi(row[2])
		at, worse := strconv.ParseInt(row[4], 10, 64)
		if bad != nil || worse != nil {
			return nil, unavailable(errors.New("Redis gave a state that is none"))
		}
		d.Attempts = attempts
		out = append(out, sender.DeadDelivery{Delivery: d, Cause: sender.Cause(row[3]), At: time.UnixMilli(at)})
	}
	return out, nil
}

// Resend is sender.DeadLetters.Resend.
func (s *store) Resend(ctx context.Context, k sender.Key) error {
	return s.act(ctx, resendScript, fieldOf(k))
}

// Discard is sender.DeadLetters.Discard.
func (s *store) Discard(ctx context.Context, k sender.Key) error {
	return s.act(ctx, discardScript, fieldOf(k), s.remember)
}

// Disable is sender.Switch.Disable.
func (s *store) Disable(ctx context.Context, endpoint string, disabled bool) error {
	off := "0"
	if disabled {
		off = "1"
	}
	return s.act(ctx, disableScript, endpoint, off)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", sender.ErrUnavailable, err) }

// act runs a script that answers its code only.
func (s *store) act(ctx context.Context, sc script, args ...any) error {
	got, err := s.run(ctx, sc, args)
	if err != nil {
		return err
	}
	switch code := got[0]; code {
	case int64(answerDone):
		return nil
	case int64(answerLost):
		return sender.ErrLeaseLost
	case int64(answerReused):
		return sender.ErrIDReused
	case int64(answerNone):
		return sender.ErrNotDead
	}
	return unavailable(errors.New("Redis gave an answer that is none"))
}

// rows runs a script that answers rows of so many texts.
func (s *store) rows(ctx context.Context, sc script, columns int, args ...any) ([][]string, error) {
	got, err := s.run(ctx, sc, args)
	if err != nil {
		return nil, err
	}
	if got[0] != int64(answerDone) || (len(got)-1)%columns != 0 {
		return nil, unavailable(errors.New("Redis gave an answer that is none"))
	}
	var out [][]string
	for i := 1; i < len(got); i += columns {
		row := make([]string, columns)
		for j := range row {
			switch v := got[i+j].(type) {
			case string:
				row[j] = v
			case []byte:
				row[j] = string(v)
			case int64:
				row[j] = strconv.FormatInt(v, 10)
			default:
				return nil, unavailable(errors.New("Redis gave an answer that is none"))
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// run runs a script by its hash. If the server does not know it (a new server, or one that was restarted), it
// runs it by its text.
func (s *store) run(ctx context.Context, sc script, args []any) ([]any, error) {
	if ctx.Err() != nil {
		return nil, unavailable(context.Cause(ctx))
	}
	got, err := s.evalSha(ctx, sc.sha, s.keys, args)
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		got, err = s.eval(ctx, sc.text, s.keys, args)
	}
	switch {
	case err != nil:
		return nil, unavailable(err)
	case len(got) == 0:
		return nil, unavailable(errors.New("Redis gave no answer"))
	}
	return got, nil
}
