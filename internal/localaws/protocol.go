package localaws

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxRequest is more than 1 MiB of entries can become by JSON escaping.
const maxRequest = 16 << 20

// api is a service. Of those that speak AWS JSON, a request names the action in X-Amz-Target.
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
type api struct {
	target      string // the prefix in X-Amz-Target; "" = it has none
	contentType string
	iam         string // the prefix of its actions in policies
	actions     map[string]action
	throttled   *fault
	broken      *fault
	denied      func(s *Server, action string) error
	encode      func(out any, f *fault) ([]byte, error) // nil = as AWS JSON
}

var eventsAPI = &api{
	target: "AWSEvents.", contentType: "application/x-amz-json-1.1", iam: "events", actions: eventsActions,
	throttled: &fault{status: http.StatusBadRequest, code: "ThrottlingException", message: "Rate exceeded"},
	broken: &fault{status: http.StatusInternalServerError, code: "InternalException",
		message: "This exception occurs due to unexpected causes."},
	denied: func(s *Server, action string) error {
		return refuse("AccessDeniedException", "User: %s is not authorized to perform: events:%s", s.caller(),
			action)
	},
}

// fault is an error as the protocol carries it.
type fault struct {
	status        int
	code, message string
	query         string // SQS: the code of the older protocol, which the SDKs show in place of code; "" = none
}

func (f *fault) Error() string { return f.code + ": " + f.message }

func refuse(code, format string, args ...any) error {
	return &fault{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return refuse("ValidationException", format, args...)
}

// action is one operation of an API on its JSON input.
type action func(ctx context.Context, s *Server, in []byte) (out any, err error)

var eventsActions = map[string]action{
	"PutEvents":         decoded((*Server).putEvents),
	"CreateEventBus":    decoded((*Server).createEventBus),
	"DescribeEventBus":  decoded((*Server).describeEventBus),
	"DeleteEventBus":    decoded((*Server).deleteEventBus),
	"ListEventBuses":    decoded((*Server).listEventBuses),
	"PutRule":           decoded((*Server).putRule),
	"DeleteRule":        decoded((*Server).deleteRule),
	"EnableRule":        decoded((*Server).enableRule),
	"DisableRule":       decoded((*Server).disableRule),
	"PutTargets":        decoded((*Server).putTargets),
	"RemoveTargets":     decoded((*Server).removeTargets),
	"DescribeRule":      decoded((*Server).describeRule),
	"ListRules":         decoded((*Server).listRules),
	"ListTargetsByRule": decoded((*Server).listTargetsByRule),
	"PutPermission":     decoded((*Server).putPermission),
	"CreateArchive":     decoded((*Server).createArchive),
	"DescribeArchive":   decoded((*Server).describeArchive),
	"ListArchives":      decoded((*Server).listArchives),
	"DeleteArchive":     decoded((*Server).deleteArchive),
	"StartReplay":       decoded((*Server).startReplay),
	"CancelReplay":      decoded((*Server).cancelReplay),
	"DescribeReplay":    decoded((*Server).describeReplay),
	"ListReplays":       decoded((*Server).listReplays),
}

func decoded[In, Out any](f func(*Server, *In) (Out, error)) action {
	return waiting(func(s *Server, _ context.Context, in *In) (Out, error) { return f(s, in) })
}

// waiting is decoded for an action that may take its time.
func waiting[In, Out any](f func(*Server, context.Context, *In) (Out, error)) action {
	return func(ctx context.Context, s *Server, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, refuse("SerializationException", "%v", err)
		}
		return f(s, ctx, &in)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	if f := s.guard(r); f != nil {
		eventsAPI.answer(w, nil, f)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		a, _, _ := apiOf(r, nil)
		a.answer(w, nil, &fault{status: http.StatusRequestEntityTooLarge,
			code: "RequestEntityTooLargeException", message: "A request is at most 16 MiB."})
		return
	}
	if err != nil {
		return // the caller went away
	}
	a, name, body := apiOf(r, body)
	switch how := s.nextFault(a, name); how {
	case Throttled:
		a.answer(w, nil, a.throttled)
	case InternalError:
		a.answer(w, nil, a.broken)
	case CutBefore:
		panic(http.ErrAbortHandler) // closes the connection without an answer
	case CutAfter:
		_, _ = s.call(r, a, name, body)
		panic(http.ErrAbortHandler)
	case GarbageAnswer:
		_, _ = s.call(r, a, name, body)
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html>502 Bad Gateway</html>")
	default:
		out, err := s.call(r, a, name, body)
		a.answer(w, out, err)
	}
}

// apiOf is the service and the action that a request is for, with its input as JSON. Without a known service
// it is EventBridge that refuses.
func apiOf(r *http.Request, body []byte) (a *api, action string, in []byte) {
	if action, in := lambdaRequest(r); action != "" {
		return lambdaAPI, action, in
	}
	if action, in := invokeRequest(r, body); action != "" {
		return lambdaAPI, action, in
	}
	if isS3(r) {
		action, in := s3Request(r, body)
		return s3API, action, in
	}
	if r.Method != http.MethodPost {
		return eventsAPI, "", nil
	}
	for _, a := range []*api{eventsAPI, sqsAPI, kmsAPI, dynamoAPI} {
		if action, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), a.target); ok {
			return a, action, body
		}
	}
	if action := stsRequest(r, body); action != "" {
		return stsAPI, action, []byte("{}")
	}
	return eventsAPI, "", nil
}

func (s *Server) call(r *http.Request, a *api, name string, body []byte) (any, error) {
	do, found := a.actions[name]
	switch {
	case !found:
		return nil, refuse("UnknownOperationException", "The local AWS has no operation %s.",
			cmp.Or(r.Header.Get("X-Amz-Target"), name, "for "+r.Method+" "+r.URL.Path))
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-"):
		return nil, refuse("MissingAuthenticationTokenException", "Missing Authentication Token")
	case s.opts.Deny != nil && s.opts.Deny(name):
		return nil, a.denied(s, name)
	}
	out, err := do(withScope(r, name), s, body)
	if lost := s.journal.sync(); lost != nil {
		return nil, &fault{status: http.StatusInternalServerError, code: a.broken.code, message: lost.Error()}
	}
	return out, err
}

// caller is who makes every call.
func (s *Server) caller() string { return "arn:aws:iam::" + s.opts.Account + ":user/test" }

// nextFault counts the call and decides its fate.
func (s *Server) nextFault(a *api, name string) CallFault {
	s.mu.Lock()
	n := s.total()
	s.calls[name]++
	s.mu.Unlock()
	if s.opts.Faults.Script != nil {
		if how := s.opts.Faults.Script(name, n); how != NoFault {
			return how
		}
	}
	if s.chance(s.faulty(a, name)) {
		return CallFault(1 + s.pick(int64(numberOfFaults)-1))
	}
	return NoFault
}

// faulty is the share of such calls that fail.
func (s *Server) faulty(a *api, name string) float64 {
	switch {
	case name == "PutEvents":
		return s.opts.Faults.Call
	case a == sqsAPI:
		return s.opts.Faults.QueueCall
	case a == kmsAPI:
		return s.opts.Faults.KeyCall
	}
	return 0
}

// answer writes what the action returned.
func (a *api) answer(w http.ResponseWriter, out any, err error) {
	if direct, ok := out.(interface{ write(http.ResponseWriter) }); ok && err == nil {
		direct.write(w)
		return
	}
	status := http.StatusOK
	f, failed := err.(*fault)
	if err != nil && !failed {
		f = &fault{status: http.StatusInternalServerError, code: a.broken.code, message: err.Error()}
	}
	if f != nil {
		status = f.status
		w.Header().Set("X-Amzn-Errortype", f.code)
	}
	if f != nil && f.query != "" {
		w.Header().Set("X-Amzn-Query-Error", f.query+";Sender")
	}
	encode := a.encode
	if encode == nil {
		encode = encodeJSON
	}
	body, err := encode(out, f)
	if err != nil {
		panic(err) // of our own types
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("X-Amzn-Requestid", newUUID())
	// DynamoDB says it, and its client for Go warns of each answer without it.
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// encodeJSON writes an answer, or an error with its code in __type.
func encodeJSON(out any, f *fault) ([]byte, error) {
	if f != nil {
		out = map[string]string{"__type": f.code, "message": f.message}
	}
	return json.Marshal(out)
}
