package eventbridge

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// attempt watches how far one call of the client came. A call that fails before a connection was made cannot have put
// anything on the bus; of every other failure without an answer, nobody can say whether it did.
type attempt struct {
	watching  atomic.Bool // the client took the options: it is the SDK's
	handed    atomic.Bool // the request was signed and handed to the HTTP client
	wanted    atomic.Bool // the HTTP client asked for a connection
	connected atomic.Bool // and got it: bytes of the request may have left
}

// watch is an option of the client for this call.
func (a *attempt) watch(o *eventbridge.Options) {
	a.watching.Store(true)
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("sealbusHanded", func(
			ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
		) (middleware.DeserializeOutput, middleware.Metadata, error) {
			a.handed.Store(true)
			return next.HandleDeserialize(ctx, in)
		}), middleware.After)
	})
}

// watched is the context for the call.
func (a *attempt) watched(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { a.connected.Store(true) },
	})
}

// neverLeft tells that the service cannot have seen the request. It is false for a client that cannot be watched.
func (a *attempt) neverLeft() bool {
	return a.watching.Load() && !a.handed.Load() || a.wanted.Load() && !a.connected.Load()
}

// ofServer tells that an error answer leaves open what was done: a server failed in the middle, or a proxy did not wait
// for the service. Every other error answer says that nothing was done.
func ofServer(api smithy.APIError, err error) bool {
	var answer interface{ HTTPStatusCode() int }
	return api.ErrorFault() == smithy.FaultServer || errors.As(err, &answer) && answer.HTTPStatusCode() >= http.StatusInternalServerError
}
