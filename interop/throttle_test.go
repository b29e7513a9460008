package interop_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	replayredis "github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/throttle"
	"github.com/sealbus/sealbus/webhook/throttle/redis"
	"github.com/sealbus/sealbus/webhook/throttle/throttletest"
)

// limiters counts the limiters: each has a prefix of its own.
var limiters atomic.Int32

func newLimiter(tb testing.TB, client replayredis.Client[*goredis.Cmd]) throttle.Limiter {
	tb.Helper()
	l, err := redis.New(client, &redis.Options{Prefix: fmt.Sprintf("{limits%d}:", limiters.Add(1))})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// testLimiterContract has the clock of the test inside the real server.
func testLimiterContract(t *testing.T, client replayredis.Client[*goredis.Cmd]) {
	t.Helper()
	throttletest.Run(t, func(t *testing.T, clock *replaytest.Clock) throttle.Limiter {
		return newLimiter(t, timed{client, clock.Now})
	})
}

func TestLimiterContract(t *testing.T) {
	_, client := startRedis(t, "--appendfsync", "no")
	testLimiterContract(t, client)
}

// TestLimiterClusterContract: a cluster takes the script, whose keys are declared and in one slot.
func TestLimiterClusterContract(t *testing.T) { testLimiterContract(t, startCluster(t)) }

// TestLimiterKilled: a count outlives the server. While that is away, no request passes.
func TestLimiterKilled(t *testing.T) {
	s, client := startRedis(t)
	limiter := newLimiter(t, client)
	limits := []throttle.Limit{{Policy: "tenant", Key: "acme", Plan: throttle.Plan{Rate: 1e-6, Burst: 2}}}
	left := func() int {
		t.Helper()
		v, err := limiter.Take(t.Context(), limits)
		if err != nil {
			t.Fatal(err)
		}
		return v.States[0].Left
	}
	if got := left(); got != 1 {
		t.Fatalf("%d requests are left, not 1", got)
	}
	s.kill()
	if v, err := limiter.Take(t.Context(), limits); !errors.Is(err, throttle.ErrUnavailable) {
		t.Errorf("without a server: %+v, %v", v, err)
	}
	s.restart()
	for deadline := time.Now().Add(startPatience); client.Ping(t.Context()).Err() != nil; { // it may be loading
		if time.Now().After(deadline) {
			t.Fatalf("Redis does not answer:\n%s", s.output)
		}
	}
	if got := left(); got != 0 {
		t.Errorf("%d requests are left, not 0", got)
	}
	if v, err := limiter.Take(t.Context(), limits); err != nil || v.Wait == 0 {
		t.Errorf("over the limit: %+v, %v", v, err)
	}
}
