package replay_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
)

// flaky is a store that can be switched off.
type flaky struct {
	replay.Store
	down atomic.Bool
}

func (f *flaky) err() error {
	if f.down.Load() {
		return replay.ErrUnavailable
	}
	return nil
}

func (f *flaky) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	if err := f.err(); err != nil {
		return replay.Claim{}, 0, err
	}
	return f.Store.Claim(ctx, key, digest, until, lease)
}

func (f *flaky) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	if err := f.err(); err != nil {
		return err
	}
	return f.Store.Complete(ctx, claim, until)
}

// While the store is up, a store that fails open is the store.
func TestUnsafeFailOpenContract(t *testing.T) {
	replaytest.Contract{}.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
		return replay.UnsafeFailOpen(replay.NewMemory(&replay.MemoryOptions{Now: clock.Now}),
			slog.New(slog.DiscardHandler))
	})
}

func TestUnsafeFailOpen(t *testing.T) {
	var log bytes.Buffer
	inner := &flaky{Store: replay.NewMemory(nil)}
	s := replay.UnsafeFailOpen(inner, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, until, key := t.Context(), time.Now().Add(time.Hour), numbered(1)
	claim := func() (replay.Claim, replay.Status, error) { return s.Claim(ctx, key, key, until, lease) }

	kept, status, err := claim()
	if status != replay.New || err != nil {
		t.Fatalf("Claim = %v, %v, want new", status, err)
	}
	if log.Len() > 0 {
		t.Fatalf("logged while the store is up: %s", &log)
	}
	inner.down.Store(true)
	for range 3 {
		open, status, err := claim()
		if status != replay.New || err != nil || open.Key != key || open == kept {
			t.Fatalf("Claim = %v, %v, %v while the store is down, want new", open, status, err)
		}
		for _, err := range []error{s.Renew(ctx, open, lease), s.Complete(ctx, open, until),
			s.Release(ctx, open)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 3 ||
		!strings.Contains(log.String(), hex.EncodeToString(key[:])) {
		t.Errorf("%d errors were logged, want one for each claim, with its key:\n%s", n, &log)
	}
	if err := s.Complete(ctx, kept, until); !errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Complete of a claim of the store: %v, want ErrUnavailable", err)
	}

	inner.down.Store(false)
	if _, status, err := claim(); status != replay.Held || err != nil {
		t.Errorf("Claim = %v, %v when the store is back, want held", status, err)
	}
	if err := s.Complete(ctx, kept, until); err != nil {
		t.Error(err)
	}
	if _, status, err := claim(); status != replay.Completed || err != nil {
		t.Errorf("Claim = %v, %v, want completed", status, err)
	}
}

// Neither nonsense nor a caller that has given up is a reason to open.
func TestUnsafeFailOpenStaysShut(t *testing.T) {
	inner := &flaky{Store: replay.NewMemory(nil)}
	s := replay.UnsafeFailOpen(inner, slog.New(slog.DiscardHandler))
	if _, status, err := s.Claim(t.Context(), numbered(1), numbered(1), time.Time{}, lease); status != 0 ||
		err == nil {
		t.Errorf("Claim with a zero until = %v, %v", status, err)
	}
	inner.down.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, status, err := s.Claim(ctx, numbered(1), numbered(1), time.Now(), lease); status != 0 ||
		!errors.Is(err, replay.ErrUnavailable) {
		t.Errorf("Claim with a cancelled context = %v, %v", status, err)
	}
}
