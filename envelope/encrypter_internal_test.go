package envelope

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
)

var morning = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func encrypterTo(t testing.TB, services ...keys.ServiceRecipient) *Encrypter {
	t.Helper()
	e, err := NewEncrypter(EncryptTo{Services: services})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A million small events an hour, of two sources to two keys: 12 calls an hour for each source at each key.
func TestMillionEvents(t *testing.T) {
	first, second := keystest.NewService("k1"), keystest.NewService("k2")
	e := encrypterTo(t, first, second)
	const events = 1_000_000
	for i := range events {
		now := morning.Add(time.Duration(i) * time.Hour / events)
		k, err := e.keyFor(t.Context(), [...]string{"urn:a", "urn:b"}[i%2], 1, 100, now)
		if err != nil {
			t.Fatal(err)
		}
		k.addUsers(-1)
	}
	if g, n := first.Calls("test:GenerateKey"), second.Calls("test:EncryptKey"); g != 24 || n != 24 {
		t.Errorf("%d keys generated, %d encrypted, want 24", g, n)
	}
}

// Each limit of a content key is exact: what would go beyond has a new one.
func TestKeyLimits(t *testing.T) {
	for name, test := range map[string]struct {
		encryptions, bytes int // of the use that still fits, and then of one more
		fill               func(*contentKey)
		wait               time.Duration // before the one more
	}{
		"encryptions":      {1, 0, func(k *contentKey) { k.encryptions = maxKeyEncryptions - 1 }, 0},
		"fields":           {64, 0, func(k *contentKey) { k.encryptions = maxKeyEncryptions - 65 }, 0},
		"bytes":            {0, 1 << 20, func(k *contentKey) { k.bytes = maxKeyBytes - 1<<20 }, 0},
		"age":              {1, 1, func(*contentKey) {}, maxKeyAge},
		"clock set back":   {1, 1, func(*contentKey) {}, -clockTolerance - 1},
		"frozen for hours": {1, 1, func(*contentKey) {}, 7 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := keystest.NewService("k")
			e := encrypterTo(t, s)
			use := func(now time.Time) string {
				t.Helper()
				k, err := e.keyFor(t.Context(), "urn:a", test.encryptions, test.bytes, now)
				if err != nil {
					t.Fatal(err)
				}
				defer k.addUsers(-1)
				return k.key.Commitment()
			}
			k, err := e.keyFor(t.Context(), "urn:a", 1, 0, morning)
			if err != nil {
				t.Fatal(err)
			}
			k.addUsers(-1)
			test.fill(k)
			fits := use(morning.Add(maxKeyAge - 1))
			if name == "age" || name == "frozen for hours" || name == "clock set back" {
				fits = use(morning)
			}
			if fits != k.key.Commitment() || s.Calls("test:GenerateKey") != 1 {
				t.Error("what fits has a new key")
			}
			if use(morning.Add(test.wait)) == fits || s.Calls("test:GenerateKey") != 2 {
				t.Error("what goes beyond has the old key")
			}
			if _, err := k.key.Bytes(); err == nil {
				t.Error("the old key was not zeroed")
			}
		})
	}
}

// A key is zeroed when the last one who uses it is done, not before.
func TestZeroedWhenUnused(t *testing.T) {
	e := encrypterTo(t, keystest.NewService("k"))
	k, err := e.keyFor(t.Context(), "urn:a", 1, 1, morning)
	if err != nil {
		t.Fatal(err)
	}
	e.Forget()
	if _, err := k.key.Bytes(); err != nil {
		t.Errorf("zeroed in use: %v", err)
	}
	k.addUsers(-1)
	if _, err := k.key.Bytes(); err == nil {
		t.Error("not zeroed")
	}
}

// Keys of sources that are not used any more go when their time is over, at the next use of any.
func TestSweep(t *testing.T) {
	e := encrypterTo(t, keystest.NewService("k"))
	old, err := e.keyFor(t.Context(), "urn:a", 1, 1, morning)
	if err != nil {
		t.Fatal(err)
	}
	old.addUsers(-1)
	k, err := e.keyFor(t.Context(), "urn:b", 1, 1, morning.Add(maxKeyAge))
	if err != nil {
		t.Fatal(err)
	}
	k.addUsers(-1)
	if _, err := old.key.Bytes(); err == nil || len(e.keys.items) != 1 {
		t.Errorf("%d keys are held", len(e.keys.items))
	}
}

// There is an end to the sources that are remembered.
func TestManySources(t *testing.T) {
	e := encrypterTo(t, keystest.NewService("k"))
	for i := range maxSources + 10 {
		k, err := e.keyFor(t.Context(), "urn:"+string(rune('a'+i%26))+
			time.Duration(i).String(), 1, 1, morning.Add(time.Duration(i)))
		if err != nil {
			t.Fatal(err)
		}
		k.addUsers(-1)
	}
	if len(e.keys.items) != maxSources {
		t.Errorf("%d keys are held", len(e.keys.items))
	}
}

// Many callers that need a key wait for one call. One that leaves does not stop the others. When all have
// left, the call is cancelled.
func TestOneCall(t *testing.T) {
	s := keystest.NewService("k")
	going, asked := make(chan struct{}), make(chan struct{}, 8)
	var cancelled atomic.Int64
	s.Fail = func(ctx context.Context, _ string) error {
		asked <- struct{}{}
		select {
		case <-going:
			return nil
		case <-ctx.Done():
			cancelled.Add(1)
			return ctx.Err()
		}
	}
	e := encrypterTo(t, s)
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	get := func(ctx context.Context) error {
		k, err := e.keyFor(ctx, "urn:a", 1, 1, morning)
		if err == nil {
			k.addUsers(-1)
		}
		return err
	}
	wg.Go(func() {
		if err := get(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
	})
	<-asked
	var waiting sync.WaitGroup
	for range 64 {
		waiting.Add(1)
		wg.Go(func() {
			waiting.Done()
			if err := get(t.Context()); err != nil {
				t.Errorf("who stayed: %v", err)
			}
		})
	}
	waiting.Wait()
	for { // until some of them wait
		e.flights.mu.Lock()
		n := 0
		for _, f := range e.flights.under {
			n = f.waiting
		}
		e.flights.mu.Unlock()
		if n > 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	leave()
	close(going)
	wg.Wait()
	if s.Calls("test:GenerateKey") != 1 || cancelled.Load() != 0 {
		t.Errorf("%d calls, %d cancelled", s.Calls("test:GenerateKey"), cancelled.Load())
	}

	going = make(chan struct{})
	ctx, leave = context.WithCancel(t.Context())
	wg.Go(func() { _ = get2(e, ctx) })
	<-asked
	leave()
	wg.Wait()
	for i := 0; cancelled.Load() == 0 && i < 5000; i++ {
		time.Sleep(time.Millisecond)
	}
	if cancelled.Load() != 1 {
		t.Error("a call for nobody goes on")
	}
}

func get2(e *Encrypter, ctx context.Context) error {
	_, err := e.keyFor(ctx, "urn:b", 1, 1, morning)
	return err
}

// A service that panics is an error.
func TestServicePanics(t *testing.T) {
	s := keystest.NewService("k")
	s.Fail = func(context.Context, string) error { panic("secret") }
	_, err := encrypterTo(t, s).keyFor(t.Context(), "urn:a", 1, 1, morning)
	if !errors.Is(err, errPanicked) || err.Error() != "envelope: a call for a content key panicked: string" {
		t.Errorf("got %v", err)
	}
}
