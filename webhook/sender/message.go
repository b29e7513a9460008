package sender

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The limits of a delivery, in bytes. Beyond them Send refuses it.
const (
	MaxBody     = 1 << 20 // of a body: receivers such as package webhook take no more
	MaxEndpoint = 128     // of the ID of an endpoint: it is part of keys in stores
	MaxID       = 256     // of the ID of a message: Standard Webhooks receivers keep no longer ones
	maxMedia    = 256     // of a content type
	maxCause    = 64      // of a Cause
	maxSealed   = 64      // that EncryptBodies adds to a body, at most
)

// Message is what one endpoint gets. It prints as its ID.
type Message struct {
	// ID is the same for all attempts: receivers know by it what they have handled. It has 1 to 256 visible
	// ASCII characters, without "." and ",", which would make the signed string of Standard Webhooks ambiguous.
	ID string
	// ContentType is the media type of the body; "" = application/json.
	ContentType string
	// Body is sent byte for byte, in each attempt the same.
	Body []byte
}

// Format prints the ID, whatever the verb.
func (m Message) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sender.Message("+m.ID+")") }

// MarshalText gives encoding/json and log/slog the text that is printed.
func (m Message) MarshalText() ([]byte, error) { return fmt.Append(nil, m), nil }

// Check says why a Delivery cannot be kept: an ID or a size that Send refuses. A Store calls it in Put.
func (d *Delivery) Check() error {
	switch {
	case !isVisible(d.Endpoint, MaxEndpoint):
		return fmt.Errorf("sender: the ID of the endpoint must have 1 to %d visible ASCII characters", MaxEndpoint)
	case !isVisible(d.ID, MaxID) || strings.ContainsAny(d.ID, ".,"):
		return fmt.Errorf(`sender: the ID of the message must have 1 to %d visible ASCII characters without `+
			`"." and ","`, MaxID)
	case len(d.ContentType) > maxMedia || !isMedia(d.ContentType):
		return fmt.Errorf("sender: the content type must have at most %d printable ASCII characters", maxMedia)
	case len(d.Body) > MaxBody+maxSealed:
		return fmt.Errorf("sender: the body has %d bytes, more than %d", len(d.Body), MaxBody+maxSealed)
	}
	return nil
}

// isVisible reports whether the text is not empty, not too long, and of visible ASCII without blanks.
func isVisible(text string, most int) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != "" && len(text) <= most
}

// isMedia reports whether the text can be the value of a header.
func isMedia(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return strings.TrimSpace(text) == text
}

// newDelivery is the delivery of a message to an endpoint.
func newDelivery(e *Endpoint, m Message) (Delivery, error) {
	if m.ContentType == "" {
		m.ContentType = "application/json"
	}
	if len(m.Body) > MaxBody {
		return Delivery{}, fmt.Errorf("sender: the body has %d bytes, more than %d", len(m.Body), MaxBody)
	}
	d := Delivery{Key: Key{e.ID, m.ID}, ContentType: m.ContentType, Body: m.Body, Ordered: e.Ordered,
		Digest: sha256.Sum256(m.Body)}
	return d, d.Check()
}

// Errors of Send, of a Store and of Endpoints.
var (
	// ErrIDReused means that the endpoint has a message with this ID and another content. It is permanent.
	ErrIDReused = errors.New("sender: the ID was used for another content")
	// ErrUnavailable means that the store could not act, or is full. It is transient: try again.
	ErrUnavailable = errors.New("sender: the store is unavailable")
	// ErrLeaseLost means that another worker has taken the delivery since. Nothing was changed.
	ErrLeaseLost = errors.New("sender: the lease was lost")
	// ErrNotDead means that no such delivery is in the dead list.
	ErrNotDead = errors.New("sender: no such dead delivery")
	// ErrNoEndpoint means that there is no endpoint with that ID, now and later.
	ErrNoEndpoint = errors.New("sender: no such endpoint")
)
