package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxPayload is how large an event and a response may be. It is Lambda's limit of 6 MB, in bytes.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxPayload = 6 << 20

// FunctionError is the error of a function that ran and failed.
type FunctionError struct {
	Type    string // such as "Runtime.ExitError", or the type that the function gives
	Message string // of the function: it may be hostile text
}

func (e *FunctionError) Error() string {
	return "localaws: the function failed: " + e.Type + ": " + e.Message
}

func tooLargeEvent(n int) error {
	return &FunctionError{"RequestEntityTooLarge",
		fmt.Sprintf("the event has %d bytes, and Lambda takes %d", n, maxPayload)}
}

// URLFunction is a function that is an HTTP endpoint: each event is a POST, and the body of an answer of 200
// to 299 is its response, as JSON; an empty body is null. Any other answer is a failed invocation. A redirect
// is not followed. The client is copied; nil = http.DefaultClient.
func URLFunction(address string, client *http.Client) Handler {
	own := *http.DefaultClient
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		if len(event) > maxPayload {
			return nil, tooLargeEvent(len(event))
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(event))
		if err != nil {
			return nil, fmt.Errorf("localaws: the URL of the function: %w", err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := own.Do(r)
		if err != nil {
			return nil, fmt.Errorf("localaws: %w", err)
		}
		defer func() { _ = answer.Body.Close() }() // it was only read
		body, err := io.ReadAll(io.LimitReader(answer.Body, maxPayload+1))
		switch {
		case err != nil:
			return nil, fmt.Errorf("localaws: the response of the function broke off: %w", err)
		case len(body) > maxPayload:
			return nil, tooLargeResponse()
		case answer.StatusCode < 200 || answer.StatusCode > 299:
			return nil, &FunctionError{"HTTP." + fmt.Sprint(answer.StatusCode),
				fmt.Sprintf("%.200s", strings.ToValidUTF8(string(body), "?"))}
		case len(bytes.TrimSpace(body)) == 0:
			return nil, nil
		case !json.Valid(body):
			return nil, &FunctionError{"Runtime.MarshalError", "the response is not JSON"}
		}
		return json.RawMessage(body), nil
	}
}

func tooLargeResponse() error {
	return &FunctionError{"Function.ResponseSizeTooLarge",
		fmt.Sprintf("the response has more than %d bytes, Lambda's limit", maxPayload)}
}

// invokeRequest is the action of a call of Lambda's Invoke; "" = it is none.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func invokeRequest(r *http.Request, body []byte) (action string, in []byte) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/2015-03-31/functions/")
	name, ok2 := strings.CutSuffix(path, "/invocations")
	if r.Method != http.MethodPost || !ok || !ok2 {
		return "", nil
	}
	name, _ = url.PathUnescape(name)
	return "Invoke", plainJSON(invokeInput{name, r.Header.Get("X-Amz-Invocation-Type"), body})
}

type invokeInput struct {
	FunctionName, InvocationType string
	Payload                      []byte
}

// invocationAnswer is the answer to Invoke: the response, or the error of the function as its body.
type invocationAnswer struct {
	status int
	failed bool
	body   []byte
}

func (a *invocationAnswer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", newUUID())
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	if a.failed {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the caller may be gone
}

// invokeFunction runs a function that is mapped to a queue, or a target of a rule, and waits for it.
func (s *Server) invokeFunction(ctx context.Context, in *invokeInput) (*invocationAnswer, error) {
	bad := func(code, format string, args ...any) error {
		return &fault{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
	}
	if len(in.Payload) == 0 {
		in.Payload = []byte("{}")
	}
	handler, err := s.codeOf(in.FunctionName)
	switch {
	case err != nil:
		return nil, err
	case len(in.Payload) > maxPayload:
		return nil, &fault{status: http.StatusRequestEntityTooLarge, code: "RequestTooLargeException",
			message: fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation",
				maxPayload)}
	case !json.Valid(in.Payload):
		return nil, bad("InvalidRequestContentException", "Could not parse request body into json")
	case in.InvocationType == "DryRun":
		return &invocationAnswer{status: http.StatusNoContent}, nil
	case in.InvocationType != "" && in.InvocationType != "RequestResponse":
		return nil, bad("InvalidParameterValueException",
			"The local Lambda has the invocation types RequestResponse and DryRun, and not %.40q", in.InvocationType)
	}
	m := &mapping{invoke: handler}
	response, err := m.run(ctx, in.Payload)
	if err == nil {
		return &invocationAnswer{status: http.StatusOK, body: response}, nil
	}
	failure := struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}{err.Error(), "Error"}
	if e, ok := err.(*FunctionError); ok {
		failure.Message, failure.Type = e.Message, e.Type
	}
	return &invocationAnswer{status: http.StatusOK, failed: true, body: plainJSON(failure)}, nil
}

// codeOf is the code of a function.
func (s *Server) codeOf(name string) (Handler, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.findFunction(name)
	if err != nil {
		return nil, err
	}
	for _, m := range s.mappings {
		if m.function == f.name && m.invoke != nil {
			return m.invoke, nil
		}
	}
	if k := s.sinks[s.functionARN(f.name)]; k != nil {
		return func(ctx context.Context, event json.RawMessage) (any, error) {
			return nil, k.take(ctx, &shipment{doc: event})
		}, nil
	}
	return nil, notFound("Function %s has no code: it is only listed", s.functionARN(f.name))
}
