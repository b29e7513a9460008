package trust

import (
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// ErrNoRecipient is (wrapped in) the error of Bundle.Recipients when there is no key to encrypt to.
var ErrNoRecipient = errors.New("no key to encrypt to")

// Recipients are the keys to encrypt to at now, so that the consumer can open the event: all of its active
// keys, in the order of their IDs. There are several keys while the consumer rotates, or if its processes
// have a key each. Tainted keys are among them only if all are tainted. Without any, the error is
// ErrNoRecipient and says what to do. An expired bundle gives ErrUnavailable, because later revocations may
// have been withheld.
func (b *Bundle) Recipients(consumer string, now time.Time) ([]*keys.Recipient, error) {
	if !b.expires.IsZero() && !now.Before(b.expires) {
		return nil, fmt.Errorf("trust: the bundle expired at %s: %w", b.expires.UTC().Format(time.RFC3339),
			ErrUnavailable)
	}
	var list, tainted []*keys.Recipient
	var next time.Time
	listed := false
	for _, k := range b.keys {
		if k.Recipient == nil || k.Consumer != consumer {
			continue
		}
		listed = true
		switch k.StateAt(now) {
		case keys.StateActive:
			if k.Tainted {
				tainted = append(tainted, k.Recipient)
			} else {
				list = append(list, k.Recipient)
			}
		case keys.StatePending, keys.StatePublished:
			if at := later(k.Schedule.Published, k.Schedule.Active); next.IsZero() || at.Before(next) {
				next = at
			}
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case len(tainted) > 0:
		return tainted, nil
	case !listed:
		return nil,
			fmt.Errorf("trust: consumer %q: %w: the bundle lists none: have one added to the policy, or correct the name", keydoc.Clip(consumer), ErrNoRecipient)
	case !next.IsZero():
		return nil, fmt.Errorf("trust: consumer %q: %w: the next is active from %s", consumer, ErrNoRecipient,
			next.Format(keydoc.TimeFormat))
	}
	return nil,
		fmt.Errorf("trust: consumer %q: %w: all its keys are retired, expired or revoked: have the consumer make a new one", consumer, ErrNoRecipient)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
