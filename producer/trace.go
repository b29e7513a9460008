package producer

import (
	"context"
	"maps"

	"github.com/cloudevents/sdk-go/v2/event"
)

// The attributes of the CloudEvents extension Distributed Tracing. Hops may change them, so they are never
// signed: a consumer may link its span to them, and believe nothing else.
const (
	attrTraceParent = "traceparent"
	attrTraceState  = "tracestate"
)

// maxTraceState is the length that every program must carry at least (W3C Trace Context, section 3.3.1.5).
const maxTraceState = 512

type traceKey struct{}

type trace struct{ parent, state string }

// WithTrace adds a W3C trace context to ctx. Events that are published under ctx carry it, unless they have a
// traceparent of their own. A malformed traceparent is ignored: tracing never keeps an event from being
// published.
func WithTrace(ctx context.Context, traceparent, tracestate string) context.Context {
	if !validTraceParent(traceparent) {
		return ctx
	}
	if len(tracestate) > maxTraceState || !visible(tracestate) {
		tracestate = "" // section 3.3.1.5: a value that is too long is dropped as a whole
	}
	return context.WithValue(ctx, traceKey{}, trace{traceparent, tracestate})
}

// TraceFrom is the trace context of WithTrace, for buses that carry one beside the event; "" = none.
func TraceFrom(ctx context.Context) (traceparent, tracestate string) {
	t, _ := ctx.Value(traceKey{}).(trace)
	return t.parent, t.state
}

// traced is the event with the trace context of ctx. The caller's event is not changed.
func traced(ctx context.Context, ev event.Event) event.Event {
	parent, state := TraceFrom(ctx)
	if parent == "" || ev.Context == nil || ev.Extensions()[attrTraceParent] != nil {
		return ev
	}
	ev.Context, ev.FieldErrors = ev.Context.Clone(), maps.Clone(ev.FieldErrors)
	ev.SetExtension(attrTraceParent, parent)
	if state != "" {
		ev.SetExtension(attrTraceState, state)
	}
	return ev
}

// validTraceParent judges by W3C Trace Context section 3.2.2, version 00.
func validTraceParent(s string) bool {
	const form = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx"
	if len(s) != len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] == 'x' && !('0' <= s[i] && s[i] <= '9' || 'a' <= s[i] && s[i] <= 'f') || form[i] != 'x' &&
			s[i] != form[i] {
			return false
		}
	}
	return s[3:35] != "00000000000000000000000000000000" && s[36:52] != "0000000000000000"
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
