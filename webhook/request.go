package webhook

import (
	"fmt"

	"github.com/sealbus/sealbus/envelope"
)

// The limits of a request. Each fails closed with too_large.
const (
	DefaultMaxBody = 1 << 20 // bytes: senders stop at 256 KiB or so, GitHub at 25 MiB
	MaxHeaderValue = 4 << 10 // bytes of a header that a scheme reads: a token of Google's has 1.5 KiB
	MaxHeaders     = 256     // header lines: they are searched in order
	MaxSignatures  = 16      // of one request: each costs a comparison with each key
)

// Request is one delivery as it came, whatever front end took it.
type Request struct {
	Method string  // "POST"
	Target string  // path and query of the request line, not decoded: "/hooks/square?x=1"
	Header []Field // the header lines in their order; a name may stand twice, in any case
	Body   []byte  // the raw body, which is not changed
	// Peer is the address of the one who called the front end, with or without a port; "" = it is not known.
	// Behind a proxy, that is the proxy.
	Peer string
}

// Field is one header line.
type Field struct{ Name, Value string }

// HeaderValue is the value of the one header line of that name, in any case; "" if there is none. A second
// line is an error of the Reason malformed: a proxy and this program could read different ones. So is an
// empty value. A value over MaxHeaderValue is too_large.
func (r Request) HeaderValue(name string) (string, error) { return headerValue(r.Header, name) }

func headerValue(lines []Field, name string) (string, error) {
	value, found := "", false
	for i := range lines {
		if !sameName(lines[i].Name, name) {
			continue
		}
		if found {
			return "", refuse(envelope.ReasonMalformed, "the header %s stands twice", name)
		}
		value, found = lines[i].Value, true
	}
	switch {
	case found && value == "":
		return "", refuse(envelope.ReasonMalformed, "the header %s is empty", name)
	case len(value) > MaxHeaderValue:
		return "", refuse(envelope.ReasonTooLarge, "the header %s has %d bytes, more than %d", name,
			len(value), MaxHeaderValue)
	}
	return value, nil
}

// sameName reports whether two names of headers are the same, in any case of ASCII letters. It begins at the
// end, because the names that one provider chose begin alike.
func sameName(a, b string) bool {
	if len(a) != len(b) || a == b {
		return len(a) == len(b)
	}
	for i := len(a) - 1; i >= 0; i-- {
		x, y := a[i], b[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || 'z' < x|0x20) {
			return false
		}
	}
	return true
}

// refuse is an Error that the Verifier completes with the provider.
func refuse(reason envelope.Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Err: fmt.Errorf(format, args...)}
}
