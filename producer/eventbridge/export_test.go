package eventbridge

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
)

// MaxEntries is maxEntries.
const MaxEntries = maxEntries

// Bus is what New makes.
type Bus = eventBus

// SetTimeout replaces the longest time of a call.
func (b *eventBus) SetTimeout(d time.Duration) { b.timeout = d }

// SetSleep replaces the timer before another try.
func (b *eventBus) SetSleep(sleep func(context.Context, time.Duration) error) { b.sleep = sleep }

// SetJitter replaces the random share of the longest wait.
func (b *eventBus) SetJitter(share float64) { b.jitter = func() float64 { return share } }

// Tries is how often the event was sent.
func (e *Error) Tries() int { return e.tries }

// Message is the message of the service.
func (e *Error) Message() string { return e.message }

// NewError makes an error of the service's answer.
func NewError(code, message string, temporary bool, tries int) *Error {
	return &Error{Code: code, message: message, Temporary: temporary, tries: tries}
}

// ExactSize is exactSize.
func ExactSize(o *eventbridge.Options) { exactSize(o) }
