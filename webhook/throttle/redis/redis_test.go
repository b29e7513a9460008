package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	replayredis "github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/throttle"
	"github.com/sealbus/sealbus/webhook/throttle/redis"
	"github.com/sealbus/sealbus/webhook/throttle/throttletest"
)

// newServer starts an in-process Redis and a client that fails fast.
func newServer(t *testing.T) (*miniredis.Miniredis, *goredis.Client) {
	t.Helper()
	server := miniredis.RunT(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { client.Close() })
	return server, client
}

func newLimiter(t *testing.T, client replayredis.Client[*goredis.Cmd]) throttle.Limiter {
	t.Helper()
	l, err := redis.New(client, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// timed sets the clock of the server before each call.
type timed struct {
	replayredis.Client[*goredis.Cmd]
	set func()
}

func (c timed) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *goredis.Cmd {
	c.set()
	return c.Client.EvalSha(ctx, sha, keys, args...)
}

func TestLimiterKeepsTheContract(t *testing.T) {
	throttletest.Run(t, func(t *testing.T, clock *replaytest.Clock) throttle.Limiter {
		server, client := newServer(t)
		return newLimiter(t, timed{client, func() { server.SetTime(clock.Now()) }})
	})
}

var limits = []throttle.Limit{{Policy: "client", Key: "a", Plan: throttle.Plan{Rate: 1, Burst: 2, Daily: 2}}}

// Processes share the counts, and a restart of one of them begins nothing anew.
func TestProcessesShare(t *testing.T) {
	server, client := newServer(t)
	server.SetTime(time.Unix(1_790_000_000, 0))
	for i, want := range []bool{true, true, false, false} {
		v, err := newLimiter(t, client).Take(t.Context(), limits)
		if err != nil || (v.Wait == 0) != want {
			t.Errorf("process %d: waits %v, %v", i, v.Wait, err)
		}
	}
}

// A key outlives what it counts, and not for long.
func TestKeysEnd(t *testing.T) {
	server, client := newServer(t)
	server.SetTime(time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC))
	if _, err := newLimiter(t, client).Take(t.Context(), limits); err != nil {
		t.Fatal(err)
	}
	if ttl := server.TTL(redis.DefaultPrefix + "client:a"); ttl < time.Hour || ttl > time.Hour+2*time.Minute {
		t.Errorf("the key lives for %v", ttl)
	}
}

// A server that is down, a damaged record and a context that has ended are transient, and nothing passes.
func TestUnavailable(t *testing.T) {
	server, client := newServer(t)
	l := newLimiter(t, client)
	check := func(what string, ctx context.Context) {
		t.Helper()
		v, err := l.Take(ctx, limits)
		if !errors.Is(err, throttle.ErrUnavailable) || len(v.States) != 0 {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	check("an ended context", ended)
	if err := server.Set(redis.DefaultPrefix+"client:a", "1 2 3 4"); err != nil {
		t.Fatal(err)
	}
	check("a damaged record", t.Context())
	server.Close()
	check("no server", t.Context())
}

func TestNewRefuses(t *testing.T) {
	_, client := newServer(t)
	for _, prefix := range []string{"limits:", "{}limits:", "{limits:"} {
		if _, err := redis.New(client, &redis.Options{Prefix: prefix}); err == nil {
			t.Errorf("the prefix %q is taken", prefix)
		}
	}
	var none *goredis.Client
	if _, err := redis.New(none, nil); err == nil {
		t.Error("a nil client is taken")
	}
	if _, err := redis.New[*goredis.Cmd](nil, nil); err == nil {
		t.Error("no client is taken")
	}
}
