package consumer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Ready is why the consumer can judge no event now: it has no trust bundle that may be used. nil = it can. A
// program that polls a queue asks before it takes messages: each one that it takes for nothing uses up one of
// the queue's maxReceiveCount. The error wraps trust.ErrUnavailable. Forged events do not change the answer.
func (c *Consumer) Ready(ctx context.Context) error {
	b, err := c.trust.Bundle(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("consumer: %w", err)
	case b == nil:
		return fmt.Errorf("consumer: %w", trust.ErrUnavailable)
	}
	if end := b.Expires(); !end.IsZero() && !c.policy.Now().Before(end) {
		return fmt.Errorf("consumer: %w: the bundle expired at %s", trust.ErrUnavailable,
			end.UTC().Format(time.RFC3339))
	}
	return nil
}

// lackingKeys are the encryption keys of a consumer that it was told to lack.
type lackingKeys struct {
	bundle atomic.Pointer[trust.Bundle] // that was looked at last
	mu     sync.Mutex
	told   map[string]bool // by key ID
}

// warnOfLackingKeys logs once each encryption key that the trust bundle lists for this consumer, and of which
// the Decrypter has no private key. It is called after each delivery and does something when there is another
// bundle: the key must be here before producers encrypt to it.
func (c *Consumer) warnOfLackingKeys(ctx context.Context) {
	if c.policy.Decrypter == nil {
		return
	}
	b, err := c.trust.Bundle(ctx)
	if err != nil || b == nil || c.lacking.bundle.Swap(b) == b {
		return
	}
	now := c.policy.Now()
	c.lacking.mu.Lock()
	defer c.lacking.mu.Unlock()
	for _, k := range b.EncryptionKeys() {
		id, state := k.KeyID(), k.StateAt(now)
		if k.Consumer != c.name || state == keys.StateRevoked || state == keys.StateExpired ||
			c.lacking.told[id] || c.policy.Decrypter.Opens(id, now) {
			continue
		}
		if c.lacking.told == nil {
			c.lacking.told = map[string]bool{}
		}
		c.lacking.told[id] = true
		c.opts.Logger.WarnContext(ctx, "sealbus: the trust bundle lists an encryption key of this consumer that "+
			"it lacks: give it the private key before producers encrypt to it, or events will be not_a_recipient",
			"consumer", c.name, "key", id, "state", state, "active", k.Schedule.Active)
	}
}
