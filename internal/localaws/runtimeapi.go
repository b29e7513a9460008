package localaws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// routes is the Runtime API.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (b *Bootstrap) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", b.serveNext)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", b.serveResponse)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", b.serveError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", b.serveInitError)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A browser says so by these headers, or by the name under which it found this address.
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" ||
			r.Host != b.listener.Addr().String() {
			runtimeAnswer(w, http.StatusForbidden, "Forbidden", "this is not for web pages")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// runtimeAnswer writes an answer; kind "" = it is no error.
func runtimeAnswer(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := map[string]string{"status": "OK"}
	if kind != "" {
		body = map[string]string{"errorType": kind, "errorMessage": message}
	}
	_, _ = w.Write(plainJSON(body)) // the program may be gone
}

// serveNext waits for an event.
func (b *Bootstrap) serveNext(w http.ResponseWriter, r *http.Request) {
	in := b.takeNext(r.Context())
	if in == nil {
		runtimeAnswer(w, http.StatusInternalServerError, "Closed", "there is no further event")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", in.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(in.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", b.opts.ARN)
	h.Set("Lambda-Runtime-Trace-Id", fmt.Sprintf("Root=1-%08x-%.24s;Parent=%.16s;Sampled=0",
		time.Now().Unix(), strings.ReplaceAll(newUUID(), "-", ""), strings.ReplaceAll(newUUID(), "-", "")))
	h.Set("Content-Length", strconv.Itoa(len(in.event)))
	_, _ = w.Write(in.event) // a program that is gone is seen by supervise
}

// takeNext waits for an invocation and gives it to the program that runs; nil = there will be none.
func (b *Bootstrap) takeNext(ctx context.Context) *invocation {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.process
	if p != nil {
		p.asked = true
	}
	for {
		if p == nil || b.process != p || p.killed || ctx.Err() != nil || b.ctx.Err() != nil {
			return nil
		}
		if in := b.current; in != nil && in.by == nil {
			in.by, in.deadline = p, time.Now().Add(b.opts.Timeout)
			if !in.latest.IsZero() && in.latest.Before(in.deadline) {
				in.deadline = in.latest
			}
			close(in.taken)
			return in
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		case <-b.ctx.Done():
		}
		b.mu.Lock()
	}
}

// finish ends an invocation that the program has; false = it has none of this ID.
func (b *Bootstrap) finish(id string, r invocationResult) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current == nil || b.current.by == nil || b.current.id != id {
		return false
	}
	b.finishLocked(r)
	return true
}

// answerFinished tells the program whether its result counts.
func (b *Bootstrap) answerFinished(w http.ResponseWriter, id string, r invocationResult) {
	if !b.finish(id, r) {
		runtimeAnswer(w, http.StatusBadRequest, "InvalidRequestID", "there is no such invocation, or no longer")
		return
	}
	runtimeAnswer(w, http.StatusAccepted, "", "")
}

func (b *Bootstrap) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	id, result := r.PathValue("id"), invocationResult{response: body}
	switch {
	case err != nil:
		return // the program broke off; supervise sees its end, or the deadline does
	case len(body) > maxPayload:
		if b.finish(id, invocationResult{err: tooLargeResponse()}) {
			runtimeAnswer(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
				"Exceeded maximum allowed payload size")
			return
		}
	case r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "": // a response that failed on its way
		text, _ := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		result = invocationResult{err: functionError(text, r.Trailer)}
	case len(body) == 0:
		result.response = nil
	case !json.Valid(body):
		result = invocationResult{err: &FunctionError{"Runtime.MarshalError", "the response is not JSON"}}
	}
	b.answerFinished(w, id, result)
}

// maxErrorText is how much of the message of an error is kept, in bytes.
const maxErrorText = 4 << 10

// functionError reads the error of a function: {"errorMessage": ..., "errorType": ...}.
func functionError(body []byte, header http.Header) error {
	var e struct{ ErrorMessage, ErrorType string }
	_ = json.Unmarshal(body, &e) // a body that is none gives an error without a message
	if e.ErrorType == "" {
		e.ErrorType = header.Get("Lambda-Runtime-Function-Error-Type")
	}
	if e.ErrorType == "" {
		e.ErrorType = "Unhandled"
	}
	if len(e.ErrorMessage) > maxErrorText {
		e.ErrorMessage = strings.ToValidUTF8(e.ErrorMessage[:maxErrorText], "") + "..."
	}
	return &FunctionError{e.ErrorType, e.ErrorMessage}
}

func (b *Bootstrap) serveError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload))
	if err != nil {
		return // as in serveResponse
	}
	b.answerFinished(w, r.PathValue("id"), invocationResult{err: functionError(body, r.Header)})
}

// serveInitError takes the error of a program that could not begin. It exits after that.
func (b *Bootstrap) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload))
	if err != nil {
		return
	}
	b.fail(functionError(body, r.Header))
	runtimeAnswer(w, http.StatusAccepted, "", "")
}
