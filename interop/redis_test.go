package interop_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
)

const claimLease = 30 * time.Second

// startRedis starts a Redis server that writes every change to disk, with these options besides, and a client
// of it.
func startRedis(tb testing.TB, options ...string) (*server, *goredis.Client) {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		missing(tb,
			"redis-server is not installed: install it (Debian: apt-get install redis-server), then run this test again")
	}
	dir := tb.TempDir()
	s := startServer(tb, func(port string) *exec.Cmd {
		return exec.Command(path, append([]string{
			"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes",
			"--appendfsync", "always", "--maxmemory-policy", "noeviction", "--daemonize", "no",
		}, options...)...)
	})
	client := goredis.NewClient(&goredis.Options{Addr: s.addr(), MaxRetries: -1, DialerRetries: 1})
	tb.Cleanup(func() { client.Close() })
	for deadline := time.Now().Add(startPatience); client.Ping(tb.Context()).Err() != nil; { // it may be loading
		if time.Now().After(deadline) {
			tb.Fatalf("Redis does not answer:\n%s", s.output)
		}
	}
	return s, client
}

func newRedisStore(tb testing.TB, client redis.Client[*goredis.Cmd]) replay.Store {
	tb.Helper()
	s, err := redis.New(client, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// contractSteps is how many random operations are held against the model on a real server.
const contractSteps = 20_000

// timed is a client whose scripts read the clock of a test, in place of the server's: nothing else of them is
// changed.
type timed struct {
	redis.Client[*goredis.Cmd]
	now func() time.Time
}

// defaultPrefix begins the names of the keys, as the documentation of redis.Options says.
const defaultPrefix = "sealbus:replay:"

const serverTime = "redis.call('TIME')"

func (c timed) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *goredis.Cmd {
	cmd := goredis.NewCmd(ctx)
	cmd.SetErr(errors.New("NOSCRIPT: the text is asked for, to be changed"))
	return cmd
}

func (c timed) Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd {
	now := c.now()
	args = append(slices.Clone(args), now.Unix(), now.Nanosecond()/1000)
	return c.Client.Eval(ctx, strings.ReplaceAll(script, serverTime, "{ARGV[#ARGV - 1], ARGV[#ARGV]}"), keys,
		args...)
}

// testRedisContract has the clock of the test inside the real server. Keys expire there by its own clock,
// which is far behind the clock of the test.
func testRedisContract(t *testing.T, client redis.Client[*goredis.Cmd]) {
	t.Helper()
	replaytest.Contract{Steps: contractSteps}.Run(t,
		func(t *testing.T, clock *replaytest.Clock) replay.Store {
			return newRedisStore(t, timed{client, clock.Now})
		})
}

func TestRedisContract(t *testing.T) {
	_, client := startRedis(t, "--appendfsync", "no")
	testRedisContract(t, client)
}

// TestRedisClock: a claim lives by the clock of the real server, whatever the time is at the worker that
// asks.
func TestRedisClock(t *testing.T) {
	_, client := startRedis(t)
	at, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	at = at.Truncate(time.Millisecond) // a record counts in milliseconds
	store, until := newRedisStore(t, client), at.Add(time.Hour)
	mustClaim(t, store, [32]byte{1}, until)
	record, err := client.Get(t.Context(), defaultPrefix+"01"+strings.Repeat("0", 62)).Result()
	if err != nil || len(record) != 79 {
		t.Fatalf("the record has %d bytes, %v", len(record), err)
	}
	end, err := strconv.ParseInt(record[49:64], 10, 64)
	if left := time.UnixMilli(end).Sub(at); err != nil || left < claimLease || left > claimLease+
		startPatience {
		t.Errorf("the lease ends %v after it was asked for, %v, want %v", left, err, claimLease)
	}
	for _, ahead := range []time.Duration{claimLease + time.Second, 5 * time.Minute} {
		wantClaim(t, newRedisStore(t, client), [32]byte{1}, until.Add(ahead), replay.Held)
	}
	if left := client.PTTL(t.Context(), defaultPrefix+"01"+
		strings.Repeat("0", 62)).Val(); left <= 2*time.Hour {
		t.Errorf("the key lives for %v: the later copies do not keep it", left)
	}
}

// startCluster starts one node that has all slots of a cluster. It enforces what a cluster does, keys declared
// and in one slot, and is asked through the client for clusters.
func startCluster(t *testing.T) *goredis.ClusterClient {
	t.Helper()
	s, single := startRedis(t, "--appendfsync", "no", "--cluster-enabled", "yes",
		"--cluster-require-full-coverage", "no")
	if err := single.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startPatience); !strings.Contains(single.ClusterInfo(t.Context()).Val(),
		"cluster_state:ok"); {
		if time.Now().After(deadline) {
			t.Fatalf("no cluster: %s\n%s", single.ClusterInfo(t.Context()).Val(), s.output)
		}
	}
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{s.addr()}})
	t.Cleanup(func() { client.Close() })
	return client
}

// TestRedisClusterContract: a cluster takes the scripts.
func TestRedisClusterContract(t *testing.T) {
	testRedisContract(t, startCluster(t))
}

// TestRedisKilled kills the server, which then is unavailable, and starts it again: what was claimed and
// completed is.
func TestRedisKilled(t *testing.T) {
	s, client := startRedis(t)
	testKilled(t, s, newRedisStore(t, client))
}

// testKilled kills a server under a store and starts it again.
func testKilled(t *testing.T, s *server, store replay.Store) {
	t.Helper()
	ctx, until := t.Context(), time.Now().Add(time.Hour)
	done, held := [32]byte{1, byte(rand.Uint32())}, [32]byte{2, byte(rand.Uint32())}
	first := mustClaim(t, store, done, until)
	if err := store.Complete(ctx, first, until); err != nil {
		t.Fatal(err)
	}
	claim := mustClaim(t, store, held, until)
	s.kill()
	if _, status, err := store.Claim(ctx, done, done, until, claimLease); status != 0 ||
		!errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Claim while the server is down = %v, %v, want ErrUnavailable", status, err)
	}
	for name, err := range map[string]error{
		"Renew":    store.Renew(ctx, claim, claimLease),
		"Complete": store.Complete(ctx, claim, until),
		"Release":  store.Release(ctx, claim),
	} {
		if !errors.Is(err, replay.ErrUnavailable) || errors.Is(err, replay.ErrClaimLost) {
			t.Errorf("%s while the server is down: %v, want ErrUnavailable", name, err)
		}
	}
	s.restart()
	awaitStore(t, store)
	wantClaim(t, store, done, until, replay.Completed)
	wantClaim(t, store, held, until, replay.Held)
	if err := store.Complete(ctx, claim, until); err != nil {
		t.Fatal(err)
	}
	wantClaim(t, store, held, until, replay.Completed)
}

// awaitStore waits until the store answers, whatever it answers.
func awaitStore(t *testing.T, store replay.Store) {
	t.Helper()
	for deadline := time.Now().Add(startPatience); ; {
		_, _, err := store.Claim(t.Context(), [32]byte{3, byte(rand.Uint32())}, [32]byte{},
			time.Now().Add(time.Hour), claimLease)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the store does not recover: %v", err)
		}
	}
}

func mustClaim(tb testing.TB, store replay.Store, key [32]byte, until time.Time) replay.Claim {
	tb.Helper()
	claim, status, err := store.Claim(tb.Context(), key, key, until, claimLease)
	if err != nil || status != replay.New {
		tb.Fatalf("Claim = %v, %v, want new", status, err)
	}
	return claim
}

func wantClaim(tb testing.TB, store replay.Store, key [32]byte, until time.Time, want replay.Status) {
	tb.Helper()
	if _, status, err := store.Claim(tb.Context(), key, key, until, claimLease); status != want ||
		err != nil {
		tb.Fatalf("Claim = %v, %v, want %v", status, err, want)
	}
}

// TestRedisFull: a server without room refuses to write, and that is no reason to call anything new.
func TestRedisFull(t *testing.T) {
	_, client := startRedis(t)
	store, until := newRedisStore(t, client), time.Now().Add(time.Hour)
	mustClaim(t, store, [32]byte{1}, until)
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, status, err := store.Claim(t.Context(), [32]byte{2}, [32]byte{2}, until, claimLease); status != 0 ||
		!errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Claim on a full server = %v, %v, want ErrUnavailable", status, err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, store, [32]byte{2}, until)
}

// TestRedisACL: the permissions that the package's documentation names are enough, and it has no others.
func TestRedisACL(t *testing.T) {
	s, client := startRedis(t)
	rule := []any{"ACL", "SETUSER", "consumer", "reset", "on", ">secret", "~sealbus:replay:*", "+eval",
		"+evalsha", "+get", "+set", "+del", "+pttl", "+pexpireat", "+time"}
	if err := client.Do(t.Context(), rule...).Err(); err != nil {
		t.Fatal(err)
	}
	consumer := goredis.NewClient(&goredis.Options{Addr: s.addr(), Username: "consumer", Password: "secret",
		DisableIdentity: true, Protocol: 2})
	t.Cleanup(func() { consumer.Close() })
	store, until := newRedisStore(t, consumer), time.Now().Add(time.Hour)
	claim := mustClaim(t, store, [32]byte{1}, until)
	if err := store.Renew(t.Context(), claim, claimLease); err != nil {
		t.Error(err)
	}
	if err := store.Complete(t.Context(), claim, until); err != nil {
		t.Error(err)
	}
	if err := store.Release(t.Context(), mustClaim(t, store, [32]byte{2}, until)); err != nil {
		t.Error(err)
	}
	other, err := redis.New(consumer, &redis.Options{Prefix: "other:"})
	if err != nil {
		t.Fatal(err)
	}
	if _, status, err := other.Claim(t.Context(), [32]byte{1}, [32]byte{}, until, claimLease); status != 0 ||
		!errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Claim without permission = %v, %v, want ErrUnavailable", status, err)
	}
}

func BenchmarkRedis(b *testing.B) {
	_, client := startRedis(b, "--appendfsync", "everysec")
	benchStore(b, newRedisStore(b, client))
	name := defaultPrefix + strings.Repeat("0", 63) + "1"
	if n, err := client.MemoryUsage(b.Context(), name).Result(); err == nil {
		b.ReportMetric(float64(n), "B/ID")
	}
}

// benchStore measures claim and complete of one event after the other, as one worker does it.
func benchStore(b *testing.B, store replay.Store) {
	b.Helper()
	until := time.Now().Add(time.Hour)
	var key [32]byte
	for b.Loop() {
		next(&key)
		if err := store.Complete(b.Context(), mustClaim(b, store, key, until), until); err != nil {
			b.Fatal(err)
		}
	}
}

// next counts.
func next(key *[32]byte) {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i]++; key[i] != 0 {
			return
		}
	}
}
