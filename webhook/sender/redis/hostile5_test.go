package redis_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/redis"
)

func tiny(endpoint, id string) sender.Delivery {
	return sender.Delivery{Key: sender.Key{Endpoint: endpoint, ID: id}, Body: []byte(endpoint)}
}

// A damaged record holds up its own endpoint and no other.
func TestDamageHoldsUpOneEndpoint(t *testing.T) {
	server, client := newServer(t)
	s := newStore(t, client, nil)
	for _, endpoint := range []string{"a", "b", "c"} {
		for _, id := range []string{"1", "2"} {
			if err := s.Put(t.Context(), tiny(endpoint, id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	server.HDel(redis.DefaultPrefix+"states", "a 1")
	server.HSet(redis.DefaultPrefix+"states", "b 2", "X")
	got := map[sender.Key]bool{}
	for range 3 {
		list, err := s.Take(t.Context(), sender.Want{Most: 10, Lease: time.Hour})
		if err != nil && len(got) < 3 {
			t.Fatal(err)
		}
		for _, d := range list {
			got[d.Key] = true
		}
	}
	for _, k := range []sender.Key{{Endpoint: "b", ID: "1"}, {Endpoint: "c", ID: "1"},
		{Endpoint: "c", ID: "2"}} {
		if !got[k] {
			t.Errorf("%v is not given", k)
		}
	}
	_, err := s.Take(t.Context(), sender.Want{Most: 10, Lease: time.Hour})
	if len(got) != 3 || !errors.Is(err, sender.ErrUnavailable) {
		t.Errorf("%v are given; the damage is told as %v", got, err)
	}
}

// Endpoints whose IDs would be patterns, ranges or separators have lanes of their own.
func TestStrangeIDs(t *testing.T) {
	_, client := newServer(t)
	s := newStore(t, client, nil)
	ids := []string{"a", "a!", "a:", "a:1", "{a}", "%a", "%", "a%S+", "o", "u", "oa", "ua", "-", "+", "(a",
		"[a", "*", "?", "~", "!", `"`, `\`, "1", "0", "a#1"}
	all := 0
	for _, endpoint := range ids {
		for _, id := range ids[:min(len(ids), 8*len(endpoint))] { // lanes of short names are empty first
			all++
			d := tiny(endpoint, id)
			d.Ordered = len(endpoint)%2 == 0
			if err := s.Put(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[sender.Key]int{}
	for range len(ids) {
		list, err := s.Take(t.Context(), sender.Want{Most: 2 * len(ids), Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, d := range list {
			if seen[d.Endpoint] || string(d.Body) != d.Endpoint {
				t.Errorf("%v is given beside another one, or with the body %q", d.Key, d.Body)
			}
			seen[d.Endpoint] = true
			got[d.Key]++
			st := sender.Settlement{State: sender.Dead, Cause: sender.CauseStatus}
			if err := s.Settle(t.Context(), d, st); err != nil {
				t.Fatal(err)
			}
		}
	}
	list, err := s.Dead(t.Context(), sender.Key{}, 1000)
	if err != nil || len(list) != all || len(got) != len(list) {
		t.Errorf("%d were given, %d are dead, %v", len(got), len(list), err)
	}
	for _, d := range list {
		if got[d.Key] != 1 || string(d.Body) != d.Endpoint {
			t.Errorf("%v was given %d times, its body is %q", d.Key, got[d.Key], d.Body)
		}
	}
}

// More IDs are over than one operation forgets: each of them counts as forgotten all the same.
func TestWhatIsOverIsForgotten(t *testing.T) {
	server, client := newServer(t)
	clock := replaytest.NewClock(time.Unix(1_790_000_000, 0))
	s := newStore(t, timed{client, func() { server.SetTime(clock.Now()) }}, &redis.Options{Remember: time.Hour})
	want := sender.Want{Most: 1, Lease: time.Minute}
	for n := range 30 {
		if err := s.Put(t.Context(), tiny("a", strconv.Itoa(n))); err != nil {
			t.Fatal(err)
		}
		list, err := s.Take(t.Context(), want)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if err := s.Settle(t.Context(), list[0], sender.Settlement{State: sender.Delivered}); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Second)
	}
	clock.Advance(time.Hour)
	d := tiny("a", "29")
	d.Digest[0] = 1
	if err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Take(t.Context(), want); err != nil || len(list) != 1 || list[0].ID != "29" {
		t.Errorf("%v, %v, want the new one", list, err)
	}
}
