package webhook

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/redact"
)

// MaxSecrets bounds the secrets of one Verifier: each may cost a MAC or a verification.
const MaxSecrets = 16

// Secret is a secret or a public key of a sender. It prints as redacted.
type Secret struct {
	ID        string    // reported as Verified.KeyID; not secret; unique in a Verifier; "" for the only one
	Text      string    // as the provider shows it; each scheme documents its form; never empty
	NotBefore time.Time // the first moment at which it is valid; zero = no bound
	NotAfter  time.Time // the last moment at which it is valid; zero = no bound
}

// Format prints the ID and the dates only, whatever the verb.
func (s Secret) Format(f fmt.State, verb rune) { s.printed().Format(f, verb) }

// MarshalText gives encoding/json and log/slog the text that is printed.
func (s Secret) MarshalText() ([]byte, error) { return s.printed().MarshalText() }

func (s Secret) printed() redact.Printed { return redact.Key("webhook.Secret", s.ID) }

// valid reports whether the secret is valid at that moment.
func (s *Secret) valid(at time.Time) bool {
	return (s.NotBefore.IsZero() || !at.Before(s.NotBefore)) && (s.NotAfter.IsZero() || !at.After(s.NotAfter))
}

// checkSecrets refuses secrets that no scheme could take.
func checkSecrets(secrets []Secret) error {
	if len(secrets) > MaxSecrets {
		return fmt.Errorf("%d secrets, more than %d", len(secrets), MaxSecrets)
	}
	ids := map[string]bool{}
	for i := range secrets {
		s := &secrets[i]
		switch {
		case s.Text == "":
			return fmt.Errorf("the secret with the ID %.80q is empty: everyone could sign", s.ID)
		case strings.TrimSpace(s.Text) != s.Text && !strings.HasPrefix(s.Text, "-----BEGIN "):
			return fmt.Errorf("the secret with the ID %.80q begins or ends with white space: remove it", s.ID)
		case !s.NotBefore.IsZero() && !s.NotAfter.IsZero() && s.NotAfter.Before(s.NotBefore):
			return fmt.Errorf("the secret with the ID %.80q ends before it begins", s.ID)
		case ids[s.ID]:
			return fmt.Errorf("two secrets have the ID %.80q", s.ID)
		}
		ids[s.ID] = true
	}
	return nil
}

var errNoSecret = errors.New("no secret: set one, as the provider shows it")
