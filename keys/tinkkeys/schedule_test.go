package tinkkeys_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
)

var orders = tinkkeys.Producer("orders")

func at(hours int) time.Time { return time.Date(2026, 3, 1, hours, 0, 0, 0, time.UTC) }

// rotating is a keyset whose first key, the primary one, retires at 5 h, and whose second is active at 3 h.
func rotating(t *testing.T) (ring *tinkkeys.Keyset, reopen func() *tinkkeys.Keyset, first, second string) {
	t.Helper()
	kek, file := newKEK(t), path(t)
	ring, err := tinkkeys.Create(t.Context(), file, kek, orders, keys.Ed25519)
	check(t, err)
	first = ring.Entries()[0].KeyID()
	second, err = ring.Add(t.Context(), keys.Ed25519)
	check(t, err)
	check(t, ring.Reschedule(map[string]keys.Schedule{
		first:  {Retired: at(5), Expired: at(9)},
		second: {Published: at(0), Active: at(3)},
	}))
	return ring, func() *tinkkeys.Keyset {
		t.Helper()
		k, err := tinkkeys.Open(t.Context(), file, kek, orders)
		check(t, err)
		return k
	}, first, second
}

// wantKeys checks which key signs at that time, and which may sign in its place.
func wantKeys(t *testing.T, k *tinkkeys.Keyset, now time.Time, due string, others ...string) {
	t.Helper()
	signers, err := k.Signers(now)
	first, rest := k.Candidates(now)
	if due == "" {
		if !errors.Is(err, keys.ErrNoSigner) || len(signers)+len(first) > 0 {
			t.Errorf("%v: %v signs, %v", now, signers, err)
		}
	} else if err != nil || len(signers) != 1 || len(first) != 1 || signers[0].Verifier().KeyID() != due ||
		first[0].Verifier().KeyID() != due {
		t.Errorf("%v: %v and %v sign, %v", now, signers, first, err)
	}
	var ids []string
	for _, s := range rest {
		ids = append(ids, s.Verifier().KeyID())
	}
	if !slices.Equal(ids, others) {
		t.Errorf("%v: others %v, want %v", now, ids, others)
	}
}

// The schedule bounds both keys, also in a program that opened the keyset before the new key was primary.
func TestScheduleBoundsKeys(t *testing.T) {
	ring, reopen, first, second := rotating(t)
	for _, k := range []*tinkkeys.Keyset{ring, reopen()} {
		wantKeys(t, k, at(2), first)
		wantKeys(t, k, at(3), first, second)
		wantKeys(t, k, at(5), second)
	}
	check(t, ring.SetPrimary(t.Context(), second))
	for _, k := range []*tinkkeys.Keyset{ring, reopen()} {
		wantKeys(t, k, at(2), first) // it was made primary too early
		wantKeys(t, k, at(4), second, first)
		wantKeys(t, k, at(5), second)
		if e := k.Entries()[1]; e.KeyID() != second || !e.Schedule.Active.Equal(at(3)) || !e.Primary {
			t.Errorf("entry %+v", e)
		}
	}
	check(t, ring.Delete(t.Context(), first))
	check(t, ring.Reschedule(map[string]keys.Schedule{second: {Active: at(3), Retired: at(20)}}))
	wantKeys(t, reopen(), at(4), second)
	wantKeys(t, reopen(), at(20), "")
}

// A key before the primary one that has no end is not offered: the producer's bundle may not know its end.
func TestOlderKeyWithoutEnd(t *testing.T) {
	ring, err := tinkkeys.Create(t.Context(), path(t), newKEK(t), orders, keys.Ed25519)
	check(t, err)
	first := ring.Entries()[0].KeyID()
	second, err := ring.Add(t.Context(), keys.Ed25519)
	check(t, err)
	wantKeys(t, ring, at(0), first, second)
	check(t, ring.SetPrimary(t.Context(), second))
	wantKeys(t, ring, at(0), second)
	check(t, ring.Reschedule(map[string]keys.Schedule{first: {Expired: at(1)}}))
	wantKeys(t, ring, at(0), second, first)
	wantKeys(t, ring, at(1), second)
}

func TestRescheduleRefuses(t *testing.T) {
	ring, reopen, first, _ := rotating(t)
	for want, schedules := range map[string]map[string]keys.Schedule{
		"no key":             {"nosuchkey": {}},
		"retired is before":  {first: {Active: at(3), Retired: at(2)}},
		"no key \"\" in the": {"": {}},
	} {
		if err := ring.Reschedule(schedules); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	wantKeys(t, reopen(), at(2), first)
	inMemory, err := tinkkeys.Create(t.Context(), "", newKEK(t), orders, keys.Ed25519)
	check(t, err)
	if inMemory.Reschedule(nil) == nil {
		t.Error("a keyset without a file has a schedule")
	}
}

// A schedule that cannot be read stops the start: without it, a retired key would sign.
func TestDamagedSchedule(t *testing.T) {
	kek, file := newKEK(t), path(t)
	ring, err := tinkkeys.Create(t.Context(), file, kek, orders, keys.Ed25519)
	check(t, err)
	check(t, ring.Reschedule(map[string]keys.Schedule{ring.Entries()[0].KeyID(): {Retired: at(5)}}))
	good, err := os.ReadFile(file + ".schedule")
	check(t, err)
	for name, content := range map[string]string{
		"half":       string(good[:len(good)/2]),
		"empty":      "",
		"of another": strings.Replace(string(good), `"orders"`, `"mail"`, 1),
		"too large":  strings.Repeat(" ", 2<<20),
	} {
		check(t, os.WriteFile(file+".schedule", []byte(content), 0o600))
		if _, err := tinkkeys.Open(t.Context(), file, kek, orders); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	check(t, os.WriteFile(file+".schedule", good, 0o600))
	link := filepath.Join(t.TempDir(), "link")
	check(t, os.Symlink(file, link))
	linked, err := tinkkeys.Open(t.Context(), link, kek, orders)
	check(t, err)
	wantKeys(t, linked, at(5), "")
	if _, err := tinkkeys.Create(t.Context(), filepath.Join(filepath.Dir(file), "other"), kek, orders,
		keys.Ed25519); err != nil {
		t.Error(err)
	}
	check(t, os.Remove(file))
	if _, err := tinkkeys.Create(t.Context(), file, kek, orders, keys.Ed25519); !errors.Is(err, os.ErrExist) {
		t.Errorf("created beside the schedule of another keyset: %v", err)
	}
}

// A schedule that is there and cannot be found from the keyset stops the start: without it, a retired key
// would sign.
func TestScheduleElsewhere(t *testing.T) {
	kek, file := newKEK(t), path(t)
	_, err := tinkkeys.Create(t.Context(), file, kek, orders, keys.Ed25519)
	check(t, err)
	link := filepath.Join(t.TempDir(), "link")
	check(t, os.Symlink(file, link))
	open := func() error {
		_, err := tinkkeys.Open(t.Context(), link, kek, orders)
		return err
	}
	check(t, open())
	check(t, os.WriteFile(link+".schedule", nil, 0o600))
	if err := open(); err == nil || !strings.Contains(err.Error(), "it must be "+file+".schedule") {
		t.Errorf("beside the link: %v", err)
	}
	check(t, os.Remove(link+".schedule"))
	check(t, os.Symlink("nowhere", file+".schedule"))
	if err := open(); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("a link that leads nowhere: %v", err)
	}
}

// swelling is a key encryption key whose ciphertexts have more bytes than they need.
type swelling struct {
	tink.AEADWithContext
	more int
}

func (k *swelling) EncryptWithContext(ctx context.Context, plain, ad []byte) ([]byte, error) {
	sealed, err := k.AEADWithContext.EncryptWithContext(ctx, plain, ad)
	return append(sealed, make([]byte, k.more)...), err
}

// A keyset that has grown too large to be opened again is not written.
func TestKeysetStaysReadable(t *testing.T) {
	kek, file := &swelling{newKEK(t), 0}, path(t)
	ring, err := tinkkeys.Create(t.Context(), file, kek, orders, keys.Ed25519)
	check(t, err)
	kek.more = 256 << 10
	_, err = ring.Add(t.Context(), keys.Ed25519)
	if err == nil || !strings.Contains(err.Error(), "would not open") {
		t.Errorf("%v", err)
	}
	again, err := tinkkeys.Open(t.Context(), file, kek, orders)
	check(t, err)
	if n := len(again.Entries()); n != 1 || len(ring.Entries()) != 1 {
		t.Errorf("%d keys are written, %d are in memory", n, len(ring.Entries()))
	}
}

// A program with an old view of either file changes neither.
func TestOldViewChangesNothing(t *testing.T) {
	_, reopen, first, second := rotating(t)
	one, two, three := reopen(), reopen(), reopen()
	check(t, one.Reschedule(map[string]keys.Schedule{second: {Active: at(6)}, first: {Retired: at(8)}}))
	for name, err := range map[string]error{
		"promote":    two.SetPrimary(t.Context(), second),
		"disable":    two.Disable(t.Context(), second),
		"reschedule": two.Reschedule(map[string]keys.Schedule{second: {Active: at(1)}}),
	} {
		if err == nil || !strings.Contains(err.Error(), "open it again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, one.SetPrimary(t.Context(), second))
	if err := three.Reschedule(nil); err == nil {
		t.Error("rescheduled by an old view of the keyset")
	}
	if e := reopen().Entries(); e[0].Status != keyset.Enabled || !e[1].Primary ||
		!e[1].Schedule.Active.Equal(at(6)) {
		t.Errorf("entries %+v", e)
	}
}

// Many goroutines with one Keyset, and many programs with one file, lose no change.
func TestChangesAtOnce(t *testing.T) {
	kek, file := newKEK(t), path(t)
	ring, err := tinkkeys.Create(t.Context(), file, kek, orders, keys.Ed25519)
	check(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := ring.Add(t.Context(), keys.Ed25519); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var added atomic.Int32
	for range 8 {
		wg.Go(func() {
			own, err := tinkkeys.Open(t.Context(), file, kek, orders)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := own.Add(t.Context(), keys.Ed25519); err == nil {
				added.Add(1)
			}
		})
	}
	wg.Wait()
	again, err := tinkkeys.Open(t.Context(), file, kek, orders)
	check(t, err)
	if n := len(again.Entries()); added.Load() == 0 || n != 9+int(added.Load()) {
		t.Errorf("%d keys, and %d were added to 9", n, added.Load())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*.new")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// An old key does not sign past its end, although the producer's bundle is too old to know that end, and does
// not know the new key yet.
func TestOldBundleDoesNotProlongAKey(t *testing.T) {
	ring, _, first, second := rotating(t)
	check(t, ring.SetPrimary(t.Context(), second))
	grant := func(e tinkkeys.Entry, since time.Time) *trust.Key {
		return &trust.Key{Verifier: e.Verifier, Producer: "orders", Sources: []string{"https://orders.example/*"},
			Types: []string{"*"}, Since: since}
	}
	old, err := trust.NewBundle(
		trust.BundleOptions{Version: 1, Issued: at(4), Expires: at(20), RefreshHint: time.Hour},
		grant(ring.Entries()[0], at(-9)), grant(ring.Entries()[1], at(4))) // known at 7 h
	check(t, err)
	now := at(4)
	var bus signedBy
	p, err := producer.New(ring, &bus, &producer.Options{Trust: old, Warn: func(producer.Warning) {},
		Now: func() time.Time { return now }})
	check(t, err)
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	check(t, ev.SetData("application/json", map[string]any{"a": 1}))
	for _, test := range []struct {
		hour int
		want string // the key that signs; "" = none does
	}{{4, first}, {6, ""}, {8, second}} {
		now, bus = at(test.hour), nil
		results, err := p.Publish(t.Context(), ev)
		isRefused := errors.Is(results[0].Err, &producer.TrustError{Reason: envelope.ReasonUnknownKey})
		if test.want == "" && (!isRefused || bus != nil) {
			t.Errorf("%d h: signed by %v, %v", test.hour, bus, results[0].Err)
		} else if test.want != "" && (err != nil || !slices.Equal(bus, signedBy{test.want})) {
			t.Errorf("%d h: signed by %v, %v, not by %s", test.hour, bus, err, test.want)
		}
	}
}

// signedBy is a bus that keeps by which keys the events were signed.
type signedBy []string

func (s *signedBy) Send(_ context.Context, events []*envelope.Sealed) (results []producer.Result) {
	for _, e := range events {
		*s = append(*s, e.KeyIDs()...)
		results = append(results, producer.Result{})
	}
	return results
}
