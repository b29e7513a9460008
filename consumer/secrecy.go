package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/sealbus/sealbus/consumer/replay"
)

// No text that was made of decrypted data leaves the process in an error, a log, a metric or a record. This
// file has the checks on errors of handlers.

// SafeText says that the text of err quotes nothing of an event's data, so that logs, records and answers
// may carry it although the data was encrypted. Of an error around it, only the text of err is shown. It is
// nil if err is nil.
//
//	if resp.StatusCode != http.StatusOK {
//		status := consumer.SafeText(fmt.Errorf("the ledger answers %d", resp.StatusCode))
//		return fmt.Errorf("%w: %s", status, answer)
//	}
//
// A handler whose errors never quote data can wrap all of them.
func SafeText(err error) error {
	if err == nil {
		return nil
	}
	return &safeText{err}
}

type safeText struct{ err error }

func (s *safeText) Error() string { return fmt.Sprint(s.err) } // the method of s.err may panic
func (s *safeText) Unwrap() error { return s.err }

// quoteNothing are errors of which it is known that they quote no data, and which say much about what failed.
var quoteNothing = [...]error{context.Canceled, context.DeadlineExceeded, replay.ErrClaimLost}

// why is what every withheld text says instead.
const why = "withheld, as it may quote the decrypted data (see consumer.SafeText)"

// discreet is the error of a handler, or of a callback, as it may be shown: without its text if there was
// encrypted data.
func (d *delivery) discreet(err error) error {
	if !d.encrypted {
		return err
	}
	return &withheld{text: withoutData(err), err: func() error { return err }}
}

// withheld is an error without its text. The error that it wraps is in a function, since fmt follows
// unexported fields.
type withheld struct {
	text string
	err  func() error
}

func (w *withheld) Error() string    { return w.text }
func (w *withheld) GoString() string { return w.text }

// Unwrap is the error with its text, for programs that know who will read it.
func (w *withheld) Unwrap() error { return w.err() }

// withoutData says of an error what quotes no data: its Go type, and what is declared safe. Methods of the
// error may panic, as those of a nil pointer in an error often do.
func withoutData(err error) (text string) {
	what, value := "the handler failed", any(err)
	if p, ok := err.(*PanicError); ok {
		what, value = "the handler panicked", p.Value
	}
	text = fmt.Sprintf("%s with a %T, whose text is %s", what, value, why)
	inner, ok := value.(error)
	if !ok {
		return text
	}
	_ = protect(func() error {
		if safe, ok := errors.AsType[*safeText](inner); ok {
			if text = safe.Error(); inner != error(safe) {
				text = fmt.Sprintf("%s: %s; the rest of the text is %s", what, clip(text), why)
			}
			return nil
		}
		for _, known := range quoteNothing {
			if errors.Is(inner, known) {
				text = fmt.Sprintf("%s: %v; the rest of the text is %s", what, known, why)
			}
		}
		return nil
	})
	return text
}

// PanicError is a panic of a handler, of the Handle of a Migration or of a Quarantine. The event was
// released and is to be delivered again. If the event's data was encrypted, Handle returns a handler's
// PanicError inside an error that does not print the value, because it may quote that data.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // where
}

// Error is the panic's value.
func (e *PanicError) Error() string {
	return fmt.Sprintf("consumer: it panicked: %v", e.Value)
}

// protect makes a panic of do its error. It takes a call that did not return for a panic, and does not ask
// recover: under GODEBUG=panicnil=1 that says nothing of a panic(nil), which would pass for success.
func protect(do func() error) (err error) {
	returned := false
	defer func() {
		if v := recover(); !returned {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	err = do()
	returned = true
	return err
}

// clip bounds untrusted text.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
