// Package awscall tells whether a service may have acted in an attempt of a call that failed. The AWS SDK
// repeats calls by itself, also after it lost an answer that the service had given (aws-sdk-go-v2 issue
// 2737). The caller sees the last attempt only.
package awscall

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// Call watches the attempts of one call. The zero value is ready.
type Call struct {
	watched atomic.Bool // the client took Watch: it is the SDK's
	unclear atomic.Bool // the service may have acted in an attempt that failed
}

// Watch is one of the APIOptions of a service's client, for this call.
func (c *Call) Watch(stack *middleware.Stack) error {
	c.watched.Store(true)
	// Inside of the retries, and outside of signing and of reading the answer.
	err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("sealbus:attempt", c.attempt), "Retry",
		middleware.After)
	if err != nil {
		return err
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("sealbus:handed", handed),
		middleware.After)
}

// Unclear tells that the service may have acted in an attempt that failed. Err is the call's; it decides for
// a client that is not the SDK's, which cannot be watched.
func (c *Call) Unclear(err error) bool {
	if !c.watched.Load() {
		return err != nil && !answered(err)
	}
	return c.unclear.Load()
}

func (c *Call) attempt(ctx context.Context, in middleware.FinalizeInput,
	next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	a := &attempt{}
	ctx = context.WithValue(ctx, attemptKey{}, a)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { a.connected.Store(true) },
	})
	out, metadata, err := next.HandleFinalize(ctx, in)
	if err != nil && !a.neverLeft() && !answered(err) {
		c.unclear.Store(true)
	}
	return out, metadata, err
}

type attemptKey struct{}

// attempt is how far one attempt came.
type attempt struct {
	handed    atomic.Bool // the request was signed and handed to the HTTP client
	wanted    atomic.Bool // the HTTP client asked for a connection
	connected atomic.Bool // and got it: bytes of the request may have left
}

// handed is the last middleware before the HTTP client.
func handed(ctx context.Context, in middleware.DeserializeInput,
	next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		a.handed.Store(true)
	}
	return next.HandleDeserialize(ctx, in)
}

// neverLeft tells that the service cannot have seen the request. Not every HTTP client tells of its
// connections.
func (a *attempt) neverLeft() bool {
	return !a.handed.Load() || a.wanted.Load() && !a.connected.Load()
}

// answered tells that the error is an answer by which nothing was done. An error of the server is none: it
// failed in the middle, or a proxy did not wait for the service.
func answered(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	var answer interface{ HTTPStatusCode() int }
	return ok && api.ErrorFault() != smithy.FaultServer &&
		!(errors.As(err, &answer) && answer.HTTPStatusCode() >= http.StatusInternalServerError)
}
