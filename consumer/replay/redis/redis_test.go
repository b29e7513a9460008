package redis_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/internal/testbed/cases"
)

const lease = 30 * time.Second

var key, digest = [32]byte{1}, [32]byte{2}

// newServer starts an in-process Redis and a client that fails fast.
func newServer(t *testing.T) (*miniredis.Miniredis, *goredis.Client) {
	t.Helper()
	server := miniredis.RunT(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { client.Close() })
	return server, client
}

func newStore(t *testing.T, client redis.Client[*goredis.Cmd]) replay.Store {
	t.Helper()
	s, err := redis.New(client, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// timed sets the clock of the server before each call. It embeds the two methods that a store uses: the
// compiler takes eight seconds to wrap all methods of a *goredis.Client.
type timed struct {
	redis.Client[*goredis.Cmd]
	set func()
}

func (c timed) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *goredis.Cmd {
	c.set()
	return c.Client.EvalSha(ctx, sha, keys, args...)
}

var contract = replaytest.Contract{Steps: cases.Of(2000)}

// The clock of the server is that of the test, and no key expires.
func TestStoreKeepsTheContract(t *testing.T) {
	contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
		server, client := newServer(t)
		return newStore(t, timed{client, func() { server.SetTime(clock.Now()) }})
	})
}

// TestContractWhileKeysExpire is the contract on a server on which keys do expire. Its clock follows that of
// the test, but is never set back, and is a little behind, since what is sealed by a clock that is behind the
// server's by the whole window may have been forgotten. Grace is so short that a time to live which was
// shortened would be noticed.
func TestContractWhileKeysExpire(t *testing.T) {
	contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
		server, client := newServer(t)
		const behind, grace = time.Minute, time.Minute
		var mu sync.Mutex
		at := clock.Now()
		server.SetTime(at.Add(-behind))
		set := func() {
			mu.Lock()
			defer mu.Unlock()
			if now := clock.Now(); now.After(at) {
				server.SetTime(now.Add(-behind))
				server.FastForward(now.Sub(at))
				at = now
			}
		}
		s, err := redis.New(timed{client, set}, &redis.Options{Grace: grace})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// Workers whose own clocks are apart, by more than a lease or by all that consumers tolerate, take over
// nothing from each other that is live.
func TestWorkersApart(t *testing.T) {
	for _, off := range []struct{ holder, other time.Duration }{
		{0, lease + time.Second}, {0, envelope.DefaultSkew}, {time.Second - envelope.DefaultSkew, 0},
	} {
		t.Run(fmt.Sprintf("%v and %v", off.holder, off.other), func(t *testing.T) {
			server, client := newServer(t)
			org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
			server.SetTime(org.Now())
			worker := func(off time.Duration) *consumer.Consumer {
				policy := &envelope.Policy{
					Sources:  []string{"https://orders.example/*"},
					Audience: envelopetest.Audience,
					Now:      func() time.Time { return org.Now().Add(off) },
				}
				c, err := consumer.New("billing", org.Trust(), newStore(t, client), policy, &consumer.Options{
					Lease: lease, Logger: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			holder, other := worker(off.holder), worker(off.other)
			message := consumer.Message{Body: org.Event(t, "com.example.order.placed",
				map[string]int{"n": 1}).JSON()}
			_, err := holder.Handle(t.Context(), message,
				func(ctx context.Context, _ consumer.Delivery[[]byte]) error {
					r, err := other.Handle(ctx, message,
						func(context.Context, consumer.Delivery[[]byte]) error {
							t.Error("two workers handle the event at a time")
							return nil
						})
					if r.Reason() != envelope.ReasonInProgress {
						t.Errorf("the other worker: %q, %v, want in_progress", r.Reason(), err)
					}
					return nil
				})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A lease begins and ends by the clock of the server.
func TestLeaseByServerTime(t *testing.T) {
	server, client := newServer(t)
	now := time.Now().Truncate(time.Second)
	server.SetTime(now)
	s := newStore(t, client)
	c := claim(t, s, now.Add(time.Hour))
	server.SetTime(now.Add(lease - time.Millisecond))
	wantStatus(t, s, now.Add(time.Hour), replay.Held)
	if err := s.Renew(t.Context(), c, lease); err != nil {
		t.Fatal(err)
	}
	server.SetTime(now.Add(2*lease - 2*time.Millisecond))
	wantStatus(t, s, now.Add(time.Hour), replay.Held)
	server.SetTime(now.Add(2*lease - time.Millisecond))
	claim(t, s, now.Add(time.Hour))
}

func claim(t *testing.T, s replay.Store, until time.Time) replay.Claim {
	t.Helper()
	c, status, err := s.Claim(t.Context(), key, digest, until, lease)
	if err != nil || status != replay.New {
		t.Fatalf("Claim = %v, %v, want new", status, err)
	}
	return c
}

func wantStatus(t *testing.T, s replay.Store, until time.Time, want replay.Status) {
	t.Helper()
	if _, status, err := s.Claim(t.Context(), key, digest, until, lease); status != want || err != nil {
		t.Fatalf("Claim = %v, %v, want %v", status, err, want)
	}
}

func wantUnavailable(t *testing.T, s replay.Store, until time.Time) {
	t.Helper()
	if _, status, err := s.Claim(t.Context(), key, digest, until, lease); status != 0 ||
		!errors.Is(err, replay.ErrUnavailable) {
		t.Fatalf("Claim = %v, %v, want ErrUnavailable", status, err)
	}
}

// A completed event is forgotten a grace after its until, and is never new again for a consumer whose clock
// was set back.
func TestForgotten(t *testing.T) {
	server, client := newServer(t)
	start := time.Now().Truncate(time.Second)
	server.SetTime(start)
	s := newStore(t, client)
	until := start.Add(time.Hour)
	if err := s.Complete(t.Context(), claim(t, s, until), until); err != nil {
		t.Fatal(err)
	}

	at := func(moment time.Time) {
		server.SetTime(moment)
		server.FastForward(0)
	}
	at(until.Add(time.Hour - time.Second))
	server.FastForward(2*time.Hour - time.Second)
	wantStatus(t, s, until, replay.Completed)
	server.FastForward(time.Second)
	at(until.Add(time.Hour))
	if n := len(server.Keys()); n != 0 {
		t.Fatalf("%d keys are left, want none", n)
	}
	wantUnavailable(t, s, until)
	wantUnavailable(t, s, until.Add(time.Hour))
	wantStatus(t, s, until.Add(time.Hour+time.Second), replay.New)
}

// A server whose clock is set back by less than the grace has not forgotten what it calls fresh again.
func TestServerSetBack(t *testing.T) {
	server, client := newServer(t)
	start := time.Now().Truncate(time.Second)
	s := newStore(t, client)
	until := start.Add(time.Hour)
	server.SetTime(start)
	if err := s.Complete(t.Context(), claim(t, s, until), until); err != nil {
		t.Fatal(err)
	}
	server.FastForward(time.Hour + 59*time.Minute)
	server.SetTime(until.Add(-time.Second))
	wantStatus(t, s, until, replay.Completed)
}

// Every key has an end, also that of a claim whose holder crashed and of one whose lease goes beyond until.
// Nothing makes it come earlier, and a later copy makes it come later.
func TestEveryKeyExpires(t *testing.T) {
	server, client := newServer(t)
	start := time.Now().Truncate(time.Second)
	server.SetTime(start)
	s := newStore(t, client)
	name := redis.DefaultPrefix + hex.EncodeToString(key[:])
	want := func(after time.Duration) {
		t.Helper()
		if ttl := server.TTL(name); ttl != after {
			t.Fatalf("the key lives for %v, want %v", ttl, after)
		}
	}
	wantUntil := func(after time.Duration) {
		t.Helper()
		record, err := server.Get(name)
		if want := strconv.FormatInt(start.Add(after).UnixMilli(), 10); err != nil ||
			!strings.HasSuffix(record, want) {
			t.Fatalf("the record is %q, %v, want one up to %s", record, err, want)
		}
	}
	c := claim(t, s, start.Add(2*time.Second))
	want(lease + time.Hour)
	wantUntil(2 * time.Second)
	wantStatus(t, s, start.Add(5*time.Second), replay.Held)
	wantUntil(5 * time.Second)
	if err := s.Renew(t.Context(), c, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	want(10*time.Minute + time.Hour)
	if err := s.Renew(t.Context(), c, time.Second); err != nil {
		t.Fatal(err)
	}
	want(10*time.Minute + time.Hour)
	server.SetTime(start.Add(2 * time.Second)) // the renewed lease has lapsed
	c = claim(t, s, start.Add(4*time.Second))
	want(10*time.Minute + time.Hour)
	wantUntil(5 * time.Second)
	if err := s.Complete(t.Context(), c, start.Add(3*time.Second)); err != nil {
		t.Fatal(err)
	}
	want(10*time.Minute + time.Hour)
	wantUntil(5 * time.Second)
	wantStatus(t, s, start.Add(20*time.Minute), replay.Completed)
	want(20*time.Minute + time.Hour - 2*time.Second)
	wantUntil(20 * time.Minute)

	server.SetTTL(name, time.Minute) // to see that nothing is written for an equal until, or an earlier one
	wantStatus(t, s, start.Add(20*time.Minute), replay.Completed)
	wantStatus(t, s, start.Add(15*time.Minute), replay.Completed)
	want(time.Minute)
	wantUntil(20 * time.Minute)
}

func TestDownAndUp(t *testing.T) {
	server, client := newServer(t)
	s := newStore(t, client)
	until := time.Now().Add(time.Hour)
	c := claim(t, s, until)
	server.Close()
	wantUnavailable(t, s, until)
	for name, err := range map[string]error{
		"Renew":    s.Renew(t.Context(), c, lease),
		"Complete": s.Complete(t.Context(), c, until),
		"Release":  s.Release(t.Context(), c),
	} {
		if !errors.Is(err, replay.ErrUnavailable) || errors.Is(err, replay.ErrClaimLost) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, until, replay.Held)
	if err := s.Complete(t.Context(), c, until); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, until, replay.Completed)
}

func TestServerErrors(t *testing.T) {
	server, client := newServer(t)
	s := newStore(t, client)
	until := time.Now().Add(time.Hour)
	for _, text := range []string{
		"OOM command not allowed when used memory > 'maxmemory'.",
		"LOADING Redis is loading the dataset in memory",
		"READONLY You can't write against a read only replica.", "NOPERM no permissions",
		"CLUSTERDOWN The cluster is down",
	} {
		server.SetError(text)
		wantUnavailable(t, s, until)
	}
	server.SetError("")
	claim(t, s, until)
}

// Whatever else is stored under the key is neither taken for a claim nor overwritten.
func TestForeignRecord(t *testing.T) {
	server, client := newServer(t)
	s := newStore(t, client)
	until := time.Now().Add(time.Hour)
	name := redis.DefaultPrefix + hex.EncodeToString(key[:])
	for _, value := range []string{"", "1", "C", "D" + strings.Repeat("0", 79), strings.Repeat("x", 79)} {
		if err := server.Set(name, value); err != nil {
			t.Fatal(err)
		}
		wantUnavailable(t, s, until)
		if err := s.Complete(t.Context(), replay.Claim{Key: key}, until); !errors.Is(err,
			replay.ErrUnavailable) {
			t.Errorf("Complete over %q: %v", value, err)
		}
		if got, _ := server.Get(name); got != value {
			t.Errorf("%q became %q", value, got)
		}
	}
	server.Del(name)
	server.HSet(name, "a", "b")
	wantUnavailable(t, s, until)
}

// flushing forgets the scripts before every call, as a server does that was restarted.
type flushing struct {
	client *goredis.Client
	texts  atomic.Int64
}

func (f *flushing) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *goredis.Cmd {
	f.client.ScriptFlush(ctx)
	return f.client.EvalSha(ctx, sha, keys, args...)
}

func (f *flushing) Eval(ctx context.Context, text string, keys []string, args ...any) *goredis.Cmd {
	f.texts.Add(1)
	return f.client.Eval(ctx, text, keys, args...)
}

func TestScriptsForgotten(t *testing.T) {
	_, client := newServer(t)
	f := &flushing{client: client}
	s := newStore(t, f)
	until := time.Now().Add(time.Hour)
	c := claim(t, s, until)
	if err := s.Renew(t.Context(), c, lease); err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), c, until); err != nil {
		t.Fatal(err)
	}
	if n := f.texts.Load(); n != 3 {
		t.Errorf("%d scripts were sent as text, want 3", n)
	}
}

// twice sends everything twice and returns the second answer, as a client does that lost the first one.
type twice struct{ redis.Client[*goredis.Cmd] }

func (c twice) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *goredis.Cmd {
	c.Client.EvalSha(ctx, sha, keys, args...)
	return c.Client.EvalSha(ctx, sha, keys, args...)
}

func TestLostAnswers(t *testing.T) {
	_, client := newServer(t)
	s := newStore(t, twice{client})
	until := time.Now().Add(time.Hour)
	known := newStore(t, client) // so that each script is asked for by its hash alone
	first := claim(t, known, until)
	if err := errors.Join(known.Renew(t.Context(), first, lease),
		known.Complete(t.Context(), first, until)); err != nil {
		t.Fatal(err)
	}
	client.FlushDB(t.Context())

	c := claim(t, s, until)
	wantStatus(t, s, until, replay.Held)
	if err := s.Renew(t.Context(), c, lease); err != nil {
		t.Errorf("Renew: %v", err)
	}
	if err := s.Complete(t.Context(), c, until); err != nil {
		t.Errorf("Complete: %v", err)
	}
	if err := s.Complete(t.Context(), c, until); !errors.Is(err, replay.ErrClaimLost) {
		t.Errorf("Complete once more: %v, want ErrClaimLost", err)
	}
}

// odd answers something of its own.
type odd struct{ value any }

func (o odd) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *goredis.Cmd {
	cmd := goredis.NewCmd(ctx)
	cmd.SetVal(o.value)
	return cmd
}

func (o odd) Eval(ctx context.Context, _ string, keys []string, _ ...any) *goredis.Cmd {
	return o.EvalSha(ctx, "", keys)
}

// An answer that cannot be ours, of a proxy say, is not taken for one.
func TestOddAnswers(t *testing.T) {
	until := time.Now().Add(time.Hour)
	for _, value := range []any{
		nil, "OK", int64(0), []any{}, []any{"0"}, []any{int64(9)}, []any{int64(3)}, []any{int64(3), "short"},
		[]any{int64(1)},
		[]any{int64(0), nil}, []any{int64(0), "", ""},
	} {
		s := newStore(t, odd{value})
		wantUnavailable(t, s, until)
	}
	s := newStore(t, odd{[]any{int64(2)}})
	if err := s.Release(t.Context(), replay.Claim{}); !errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Release: %v, want ErrUnavailable", err)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	server, client := newServer(t)
	if _, err := redis.New[*goredis.Cmd](nil, nil); err == nil {
		t.Error("a store without a client")
	}
	if _, err := redis.New(client, &redis.Options{Grace: time.Microsecond}); err == nil {
		t.Error("a grace of less than Redis can count is taken")
	}
	if _, err := redis.New(client, &redis.Options{Grace: -1}); err == nil {
		t.Error("a negative grace")
	}
	s, err := redis.New(client, &redis.Options{Prefix: "other:", Grace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	claim(t, s, time.Now().Add(time.Hour))
	if keys := server.Keys(); len(keys) != 1 || keys[0] != "other:"+hex.EncodeToString(key[:]) {
		t.Errorf("keys %q", keys)
	}
	if ttl := server.TTL(server.Keys()[0]); ttl > time.Hour+time.Minute+time.Second || ttl < time.Hour {
		t.Errorf("the key lives for %v, want until and a minute", ttl)
	}
}
