package awsfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxRequest is more than 1 MiB of entries can become by JSON escaping.
const maxRequest = 16 << 20

// target is the prefix of X-Amz-Target, by which AWS JSON 1.1 names the action.
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
const target = "AWSEvents."

// fault is an error as the protocol carries it.
type fault struct {
	status        int
	code, message string
}

func (f *fault) Error() string { return f.code + ": " + f.message }

func refuse(code, format string, args ...any) error {
	return &fault{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return refuse("ValidationException", format, args...)
}

// action is one operation of the API on its JSON input.
type action func(s *Server, in []byte) (out any, err error)

var actions = map[string]action{
	"PutEvents":        decoded((*Server).putEvents),
	"CreateEventBus":   decoded((*Server).createEventBus),
	"DescribeEventBus": decoded((*Server).describeEventBus),
	"DeleteEventBus":   decoded((*Server).deleteEventBus),
	"PutRule":          decoded((*Server).putRule),
	"DeleteRule":       decoded((*Server).deleteRule),
	"PutTargets":       decoded((*Server).putTargets),
	"RemoveTargets":    decoded((*Server).removeTargets),
}

func decoded[In, Out any](f func(*Server, *In) (Out, error)) action {
	return func(s *Server, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, refuse("SerializationException", "%v", err)
		}
		return f(s, &in)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	name, known := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return // the caller went away
	}
	switch how := s.nextFault(name); how {
	case Throttled:
		answer(w, nil, refuse("ThrottlingException", "Rate exceeded"))
	case InternalError:
		answer(w, nil, &fault{http.StatusInternalServerError, "InternalException", "This exception occurs due to unexpected causes."})
	case CutBefore:
		panic(http.ErrAbortHandler) // closes the connection without an answer
	case CutAfter:
		_, _ = s.call(r, name, known, body)
		panic(http.ErrAbortHandler)
	case GarbageAnswer:
		_, _ = s.call(r, name, known, body)
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html>502 Bad Gateway</html>")
	default:
		out, err := s.call(r, name, known, body)
		answer(w, out, err)
	}
}

func (s *Server) call(r *http.Request, name string, known bool, body []byte) (any, error) {
	do, found := actions[name]
	switch {
	case r.Method != http.MethodPost || !known || !found:
		return nil, refuse("UnknownOperationException", "%s", "")
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-"):
		return nil, refuse("MissingAuthenticationTokenException", "Missing Authentication Token")
	case s.opts.Deny != nil && s.opts.Deny(name):
		return nil, refuse("AccessDeniedException", "User: arn:aws:iam::%s:user/test is not authorized to perform: events:%s", s.opts.Account, name)
	}
	return do(s, body)
}

// nextFault counts the call and decides its fate.
func (s *Server) nextFault(name string) CallFault {
	s.mu.Lock()
	n := s.calls
	s.calls++
	s.mu.Unlock()
	if s.opts.Faults.Script != nil {
		if how := s.opts.Faults.Script(name, n); how != NoFault {
			return how
		}
	}
	if name == "PutEvents" && s.chance(s.opts.Faults.Call) {
		return CallFault(1 + s.pick(int64(numberOfFaults)-1))
	}
	return NoFault
}

// answer writes what the action returned. The service's errors carry their code in __type.
func answer(w http.ResponseWriter, out any, err error) {
	status := http.StatusOK
	if err != nil {
		f, ok := err.(*fault)
		if !ok {
			f = &fault{http.StatusInternalServerError, "InternalException", err.Error()}
		}
		status, out = f.status, map[string]string{"__type": f.code, "message": f.message}
	}
	body, err := json.Marshal(out)
	if err != nil {
		panic(err) // of our own types
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", newUUID())
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
