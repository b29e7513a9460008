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
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/redis"
	"github.com/sealbus/sealbus/webhook/sender/sendertest"
)

// newServer starts an in-process Redis and a client that fails fast.
func newServer(t *testing.T) (*miniredis.Miniredis, *goredis.Client) {
	t.Helper()
	server := miniredis.RunT(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { client.Close() })
	return server, client
}

func newStore(t *testing.T, client replayredis.Client[*goredis.Cmd], opts *redis.Options) sender.BackEnd {
	t.Helper()
	s, err := redis.New(client, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
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

func TestStoreKeepsTheContract(t *testing.T) {
	sendertest.Contract{}.Run(t, func(t *testing.T, clock *replaytest.Clock) sender.BackEnd {
		server, client := newServer(t)
		return newStore(t, timed{client, func() { server.SetTime(clock.Now()) }}, nil)
	})
}

func TestEncryptedStoreKeepsTheContract(t *testing.T) {
	key, err := sender.NewLocalKey("a", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	sendertest.Contract{Remember: time.Hour}.Run(t, func(t *testing.T, clock *replaytest.Clock) sender.BackEnd {
		server, client := newServer(t)
		inner := newStore(t, timed{client, func() { server.SetTime(clock.Now()) }},
			&redis.Options{Prefix: "x{a}", Remember: time.Hour})
		s, err := sender.EncryptBodies(inner, key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// Each history kills the processes of a sender several times.
func TestCrashes(t *testing.T) {
	sendertest.Contract{}.Crashes(t, cases.Of(100), func(t *testing.T, clock *replaytest.Clock) sender.BackEnd {
		server, client := newServer(t)
		return newStore(t, timed{client, func() { server.SetTime(clock.Now()) }}, nil)
	})
}

func TestNewRefuses(t *testing.T) {
	_, client := newServer(t)
	for name, o := range map[string]redis.Options{
		"no hash tag": {Prefix: "hooks:"}, "an empty hash tag": {Prefix: "{}:"}, "half a hash tag": {Prefix: "}{a"},
		"a short memory": {Remember: time.Millisecond}, "a negative memory": {Remember: -time.Hour},
	} {
		if s, err := redis.New(client, &o); err == nil || s != nil {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
	if s, err := redis.New[*goredis.Cmd](nil, nil); err == nil || s != nil {
		t.Errorf("no client: %v, want an error", err)
	}
}

// A server that is down, or that answers an error, is unavailable.
func TestUnavailable(t *testing.T) {
	server, client := newServer(t)
	s := newStore(t, client, nil)
	server.SetError("OOM command not allowed when used memory > 'maxmemory'")
	check := func(when string) {
		t.Helper()
		_, taking := s.Take(t.Context(), sender.Want{Most: 1, Lease: time.Minute})
		_, dead := s.Dead(t.Context(), sender.Key{}, 1)
		d := sender.Delivery{Key: sender.Key{Endpoint: "a", ID: "1"}}
		for i, err := range []error{taking, dead, s.Put(t.Context(), d), s.Resend(t.Context(), d.Key),
			s.Settle(t.Context(), sender.Taken{Delivery: d}, sender.Settlement{State: sender.Delivered}),
			s.Discard(t.Context(), d.Key), s.Disable(t.Context(), "a", true)} {
			if !errors.Is(err, sender.ErrUnavailable) {
				t.Errorf("%s: call %d: %v, want ErrUnavailable", when, i, err)
			}
		}
	}
	check("full")
	server.SetError("")
	server.Close()
	check("down")
}

// A record that cannot be read dies and stays, and holds up no other.
func TestUnreadableRecord(t *testing.T) {
	_, client := newServer(t)
	s := newStore(t, client, nil)
	for _, id := range []string{"1", "2", "3", "4"} {
		d := sender.Delivery{Key: sender.Key{Endpoint: "a", ID: id}, ContentType: "text/plain"}
		if err := s.Put(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	const records = redis.DefaultPrefix + "records"
	other := client.HGet(t.Context(), records, "a 2").Val()
	for field, record := range map[string]string{"a 1": "x", "a 3": other} { // the record of another one
		if err := client.HSet(t.Context(), records, field, record).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.HDel(t.Context(), records, "a 4").Err(); err != nil {
		t.Fatal(err)
	}
	list, err := s.Take(t.Context(), sender.Want{Most: 10, Room: map[string]int{"a": 10}, Lease: time.Minute})
	if err != nil || len(list) != 1 || list[0].ID != "2" {
		t.Errorf("took %v, %v, want the second", list, err)
	}
	dead, err := s.Dead(t.Context(), sender.Key{}, 10)
	if err != nil || len(dead) != 3 {
		t.Fatalf("dead: %v, %v, want three", dead, err)
	}
	for i, id := range []string{"1", "3", "4"} {
		if d := dead[i]; d.Key != (sender.Key{Endpoint: "a", ID: id}) || d.Cause != sender.CauseUnreadable {
			t.Errorf("dead: %v, %s", d.Key, d.Cause)
		}
	}
	if got := client.HGet(t.Context(), records, "a 1").Val(); got != "x" {
		t.Errorf("the record is %q now", got)
	}
}

// A server that was restarted knows no script.
func TestScriptsAreLoadedAgain(t *testing.T) {
	_, client := newServer(t)
	s := newStore(t, client, nil)
	for _, id := range []string{"1", "2"} {
		if err := s.Put(t.Context(), sender.Delivery{Key: sender.Key{Endpoint: "a", ID: id}}); err != nil {
			t.Fatal(err)
		}
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Take(t.Context(), sender.Want{Most: 10, Room: map[string]int{"a": 10}, Lease: time.Minute})
	if err != nil || len(list) != 2 {
		t.Errorf("took %v, %v, want two", list, err)
	}
}

// A key that holds something else is no reason to lose anything.
func TestStrangeKeys(t *testing.T) {
	for _, name := range []string{"lanes", "queue", "records", "states", "serial"} {
		_, client := newServer(t)
		s := newStore(t, client, nil)
		if err := client.Set(t.Context(), redis.DefaultPrefix+name, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
		err := s.Put(t.Context(), sender.Delivery{Key: sender.Key{Endpoint: "a", ID: "1"}})
		if !errors.Is(err, sender.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
}
