package replay

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// UnsafeFailOpen answers New where the store answers ErrUnavailable. It gives up "once". While the store is
// down, full, or cannot know, every redelivery and every replay inside the replay window is handled, again
// and again, and two workers may handle one event at the same time. The consumer still makes all its other
// checks. It is for handlers that are idempotent by the IdempotencyKey and would rather repeat than wait.
//
// Each claim that is given without the store is logged as an error, with the IdempotencyKey of the event, to
// logger (nil = slog.Default()). No store knows such a claim: renewing, completing and releasing it do
// nothing, and the event is new again when the store is back. Claims that the store itself gave are not
// affected. If the store cannot record a change of such a claim, that is an error, and so is a Claim whose
// context has ended.
func UnsafeFailOpen(store Store, logger *slog.Logger) Store {
	if logger == nil {
		logger = slog.Default()
	}
	f := &failOpen{store: store, logger: logger}
	rand.Read(f.token[:])
	return f
}

// failOpen answers in place of a store that is unavailable.
type failOpen struct {
	store  Store
	logger *slog.Logger
	token  [16]byte // of all claims that were given without the store
}

var (
	_ Store           = (*failOpen)(nil)
	_ nilcheck.Holder = (*failOpen)(nil)
)

// CheckNil is called by consumer.New.
func (f *failOpen) CheckNil() error {
	return errors.Join(nilcheck.Check("the store of UnsafeFailOpen", f.store),
		nilcheck.Logger("the logger of UnsafeFailOpen", f.logger))
}

func (f *failOpen) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (Claim, Status, error) {
	claim, status, err := f.store.Claim(ctx, key, digest, until, lease)
	if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		return claim, status, err
	}
	f.logger.ErrorContext(ctx,
		"sealbus: UnsafeFailOpen: an event is handled without replay protection, it may be a duplicate",
		"idempotency_key", hex.EncodeToString(key[:]), "error", err)
	return Claim{Key: key, Token: f.token}, New, nil
}

func (f *failOpen) Renew(ctx context.Context, claim Claim, lease time.Duration) error {
	if claim.Token == f.token {
		return nil
	}
	return f.store.Renew(ctx, claim, lease)
}

func (f *failOpen) Complete(ctx context.Context, claim Claim, until time.Time) error {
	if claim.Token == f.token {
		return nil
	}
	return f.store.Complete(ctx, claim, until)
}

func (f *failOpen) Release(ctx context.Context, claim Claim) error {
	if claim.Token == f.token {
		return nil
	}
	return f.store.Release(ctx, claim)
}
