package eventbridge

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/producer"
)

// ErrTooLarge means that an event is too large for a call, or for a call in this region. It was not sent, or
// was refused. errors.Is finds envelope.ErrTooLarge in it.
var ErrTooLarge error = tooLarge{}

type tooLarge struct{}

func (tooLarge) Error() string {
	return "eventbridge: the event is too large: send large data by reference (dataref), or split it"
}

func (tooLarge) Is(target error) bool { return target == envelope.ErrTooLarge }

// Error is why EventBridge did not accept an event. errors.Is finds producer.ErrNoAnswer in it if the service
// did not answer the latest try or an earlier one. The event may then be on the bus all the same.
type Error struct {
	Code      string // the service's, such as ThrottlingException; "" = the service did not answer
	message   string // the service's
	Temporary bool   // the event may be accepted another time; false: only after a change
	tries     int    // how often the event was sent
	// Err is the client's if the whole call failed, or producer.ErrNoAnswer; nil = the entry failed.
	Err error
}

// Error has the cause and the fix.
func (e *Error) Error() string {
	text := "eventbridge: " + e.Cause()
	if fix := e.Fix(); fix != "" {
		text += ": " + fix
	}
	return text
}

// Cause has the service's message and the number of tries.
func (e *Error) Cause() string {
	var b strings.Builder
	switch {
	case e.Code != "":
		fmt.Fprintf(&b, "%s: %s", e.Code, strings.TrimSuffix(e.message, "."))
		if errors.Is(e.Err, producer.ErrNoAnswer) {
			b.WriteString(", but a try before had no answer: the event may be on the bus")
		}
	default:
		fmt.Fprintf(&b, "%v", e.Err)
	}
	if e.tries > 1 {
		fmt.Fprintf(&b, " (%d tries)", e.tries)
	}
	return b.String()
}

// Unwrap is Err, and ErrTooLarge if the call was larger than the region accepts.
func (e *Error) Unwrap() []error {
	var list []error
	if e.Err != nil {
		list = append(list, e.Err)
	}
	if e.tooLarge() {
		list = append(list, ErrTooLarge)
	}
	return list
}

// overLimit is in the message of the service for a call that is too large. Other faults are a
// "ValidationException", too.
const overLimit = "Total size of the entries in the request is over the limit"

func (e *Error) tooLarge() bool { return strings.Contains(e.message, overLimit) }

// Fix says what to do, in one line; "" = the message says all that is known.
func (e *Error) Fix() string {
	switch {
	case e.tooLarge():
		return "this region takes less: set MaxBytes, 262144 is the older limit"
	case strings.HasPrefix(e.Code, "AccessDenied"):
		return "the caller needs events:PutEvents on the bus, and the bus's policy must allow the source and the account"
	case strings.HasPrefix(e.Code, "NotAuthorizedFor"):
		return "the bus's policy, or the service, reserves this source or detail type"
	case e.Temporary:
		return "publish the event again"
	}
	return ""
}
