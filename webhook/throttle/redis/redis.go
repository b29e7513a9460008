// Package redis limits callers of package throttle with counts in Redis 5 or later, or in Valkey, which any
// number of processes share.
//
//	client := goredis.NewClient(&goredis.Options{Addr: "limits.internal:6379"})
//	limiter, err := redis.New(client, nil)
//
// A request is one Lua script, so it is atomic and needs one round trip. All keys of a limiter have one hash
// tag: in a cluster they are on one node. The package links no client: the program chooses one.
//
// # Clocks
//
// The only clock is that of the Redis server. It decides when a request may be made and when a day begins.
//
// # Threats
//
// An attacker who may write to these keys can lift any limit, or shut any client out. The names of the keys
// have the IDs of clients and tenants. Give this user of Redis an ACL of its own
// (~{sealbus:throttle}:* +eval +evalsha +time +get +set). Redis needs `maxmemory-policy noeviction`: a key
// that is evicted is a quota that begins anew. If Redis cannot be reached, the answer is
// throttle.ErrUnavailable, and no request passes: the caller decides otherwise at its own risk.
//
// A request that the client repeats, because its answer was lost, counts twice. A failover forgets what was
// not replicated yet, so that callers get as many requests again; the WAIT of Redis is not used.
//
// Stable: New and its Options. The layout of the records is not.
package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/internal/gcra"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// DefaultPrefix begins the name of each key unless Options.Prefix says otherwise.
const DefaultPrefix = "{sealbus:throttle}:"

// Options adjust New.
type Options struct {
	// Prefix begins the name of each key; "" = "{sealbus:throttle}:". It has a hash tag in braces, so that a
	// cluster keeps all keys on one node. Limiters with one Prefix share all counts: give those of another
	// issuer or of other tenants one of its own, since clients of two issuers may have one ID.
	Prefix string
}

// limiter is what New makes.
type limiter struct {
	evalSha, eval evaluate
	prefix        string
}

var _ throttle.Limiter = (*limiter)(nil)

// evaluate runs a script, which is given by its hash or by its text.
type evaluate func(ctx context.Context, script string, keys []string, args []any) ([]any, error)

// New makes a limiter over the client, which it does not close. It does not connect. The client is that of
// package consumer/replay/redis: the caller sets its timeouts and retries.
func New[R redis.Reply](client redis.Client[R], opts *Options) (throttle.Limiter, error) {
	prefix := DefaultPrefix
	if opts != nil && opts.Prefix != "" {
		prefix = opts.Prefix
	}
	_, tagged, _ := strings.Cut(prefix, "{")
	switch {
	case client == nil:
		return nil, errors.New("throttle: no Redis client: give one that is connected")
	case strings.Index(tagged, "}") < 1:
		return nil, fmt.Errorf("throttle: the prefix %.80q has no hash tag, such as %q", prefix, DefaultPrefix)
	}
	if err := nilcheck.Typed("throttle: the Redis client", client); err != nil {
		return nil, err
	}
	return &limiter{
		evalSha: func(ctx context.Context, sha string, keys []string, args []any) ([]any, error) {
			return client.EvalSha(ctx, sha, keys, args...).Slice()
		},
		eval: func(ctx context.Context, text string, keys []string, args []any) ([]any, error) {
			return client.Eval(ctx, text, keys, args...).Slice()
		},
		prefix: prefix,
	}, nil
}

// takeScript counts a request. For each key it takes three arguments: the microseconds for which one request
// pays, those of all but one of a burst, and the quota of a day, 0 = none. It answers the microseconds that
// the request must wait, and for each key those until its burst is there again, the requests of the day, and
// the microseconds until midnight. Numbers are doubles in Lua, exact up to 2^53: the year 2255.
//
// A record is "PAID DAY USED": when the requests are paid for, in microseconds, and how many were made on
// that day. See counter in package throttle, which is the same in Go.
const takeScript = `
local DAY = 86400000000
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local today = math.floor(now / DAY)
local wait, limits = 0, {}
for i, key in ipairs(KEYS) do
  local l = {each = tonumber(ARGV[3 * i - 2]), slack = tonumber(ARGV[3 * i - 1]),
    daily = tonumber(ARGV[3 * i]), paid = now, day = today, used = 0}
  local text = redis.call('GET', key)
  if text then
    local paid, day, used = string.match(text, '^(%d+) (%d+) (%d+)$')
    if not paid then return redis.error_reply('ERR sealbus: a limit that cannot be read') end
    l.paid, l.day, l.used = tonumber(paid), tonumber(day), tonumber(used)
  end
  l.paid = math.min(math.max(l.paid, now), now + l.slack + l.each)
  if l.day < today or l.day > today + 1 then l.day, l.used = today, 0 end
  l.midnight = (l.day + 1) * DAY - now
  wait = math.max(wait, l.paid - now - l.slack)
  if l.daily > 0 and l.used >= l.daily then wait = math.max(wait, l.midnight) end
  limits[i] = l
end
local out = {wait}
for i, key in ipairs(KEYS) do
  local l, life = limits[i], 0
  if wait == 0 then
    l.paid = l.paid + l.each
    if l.daily > 0 then l.used = l.used + 1 end
  end
  if l.daily > 0 then life = l.midnight end
  life = math.ceil(math.max(life, l.paid - now) / 1000) + 60000
  redis.call('SET', key, string.format('%.0f %.0f %.0f', l.paid, l.day, l.used), 'PX',
    string.format('%.0f', life))
  out[#out + 1] = l.paid - now
  out[#out + 1] = l.used
  out[#out + 1] = l.midnight
end
return out
`

// takeSHA is the name by which Redis caches takeScript.
var takeSHA = func() string {
	sum := sha1.Sum([]byte(takeScript))
	return hex.EncodeToString(sum[:])
}()

// rateOf is the rate of a Plan in microseconds.
func rateOf(p *throttle.Plan) gcra.Rate {
	return gcra.Every(time.Duration(math.Ceil(1e6/p.Rate)), p.AtOnce()).Within(maxSlack)
}

// maxSlack is 36 years in microseconds: with the time of day, it is exact in Lua.
const maxSlack = 1 << 50

// Take is throttle.Limiter.Take.
func (l *limiter) Take(ctx context.Context, limits []throttle.Limit) (throttle.Verdict, error) {
	if err := throttle.CheckLimits(limits); err != nil {
		return throttle.Verdict{}, err
	}
	keys, args := make([]string, 0, len(limits)), make([]any, 0, 3*len(limits))
	for i := range limits {
		rate := rateOf(&limits[i].Plan)
		keys = append(keys, l.prefix+limits[i].Policy+":"+limits[i].Key)
		args = append(args, int64(rate.Each()), int64(rate.Slack()), limits[i].Plan.Daily)
	}
	got, err := l.run(ctx, keys, args)
	if err != nil {
		return throttle.Verdict{}, fmt.Errorf("%w: %w", throttle.ErrUnavailable, err)
	}
	v := throttle.Verdict{Wait: time.Duration(got[0]) * time.Microsecond,
		States: make([]throttle.State, 0, len(limits))}
	for i := range limits {
		p, row := limits[i].Plan, got[1+3*i:]
		s := throttle.State{Policy: limits[i].Policy, Plan: p, Full: time.Duration(row[0]) * time.Microsecond}
		s.Left, _ = rateOf(&p).Left(row[0], 0)
		if p.Daily > 0 {
			s.DailyLeft, s.Midnight = max(p.Daily-row[1], 0), time.Duration(row[2])*time.Microsecond
		}
		v.States = append(v.States, s)
	}
	return v, nil
}

// run runs takeScript, and gives one number and three for each key. None of them is below 0.
func (l *limiter) run(ctx context.Context, keys []string, args []any) ([]int64, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	answer, err := l.evalSha(ctx, takeSHA, keys, args)
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		answer, err = l.eval(ctx, takeScript, keys, args)
	}
	if err != nil {
		return nil, err
	}
	if len(answer) != 1+3*len(keys) {
		return nil, errors.New("Redis gave an answer that is none")
	}
	out := make([]int64, len(answer))
	for i := range answer {
		n, ok := answer[i].(int64)
		if !ok || n < 0 {
			return nil, errors.New("Redis gave an answer that is none")
		}
		out[i] = n
	}
	return out, nil
}
