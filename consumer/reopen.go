package consumer

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"log/slog"
)

// Reopen is one key under which records may be reopened, and the quarantine that they come from.
type Reopen struct {
	Quarantine string // the quarantine's name; must not be empty
	Key        []byte // its key, of at least MinQuarantineKey bytes. No two quarantines have the same
}

// String leaves the key out.
func (r Reopen) String() string { return fmt.Sprintf("Reopen(%q)", r.Quarantine) }

// GoString is String.
func (r Reopen) GoString() string { return r.String() }

// Format is String, whatever the verb.
func (r Reopen) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }

// LogValue is String.
func (r Reopen) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText is String.
func (r Reopen) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (o *Options) checkReopen() error {
	for i, r := range o.Reopen {
		if r.Quarantine == "" {
			return errors.New("Reopen without the quarantine's name")
		}
		if _, err := newMACKey(r.Key); err != nil {
			return fmt.Errorf("Reopen of %q: the key has %d bytes, at least %d are needed", r.Quarantine, len(r.Key), MinQuarantineKey)
		}
		for _, other := range o.Reopen[:i] {
			if hmac.Equal(r.Key, other.Key) {
				return fmt.Errorf("Reopen of %q and of %q has one key: give each quarantine a key of its own", other.Quarantine, r.Quarantine)
			}
		}
	}
	return nil
}
