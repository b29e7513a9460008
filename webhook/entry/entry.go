// Package entry stands in front of what receives requests, and lets those through whose sender is known, may
// speak, and has not sent too many: in front of a webhook.Receiver, of an EventReceiver (webhook.Events) and
// of a gateway.Gateway, behind net/http and as a Lambda function alike.
//
//	e, err := entry.New(receiver, &entry.Options{Tokens: verifier, Tenants: all, Limiter: limiter})
//	err = http.ListenAndServe("127.0.0.1:8080", e)
//	lambda.Start(awslambda.Handler(e, awslambda.HTTPAPI))
//
// A request passes these steps in this order. Each costs more than the one before it:
//
//	size     the header and the length that the request states    413
//	address  the rate of its network (throttle.Addresses)         429
//	token    of a caller (webhook/authn)                          401, with WWW-Authenticate
//	tenant   for which the caller speaks (webhook/tenants)        403 forbidden
//	limiter  of the client and its tenant (webhook/throttle)      429, with RateLimit; 503 if it cannot tell
//	source   that of Options.Source is the tenant's               403 source_not_allowed
//
// Then the body is read, and the receiver verifies what is in it. The receiver asks the tenant about source
// and type of each event, and about its data (webhook.WithCaller): 403 source_not_allowed and
// type_not_allowed, 400 schema_invalid. An event or a delivery that is refused here or there does not stay
// claimed in the replay store, so that the one who may send it is not told that it was handled.
//
// # Foreign sources
//
// A source, a type or a path of another tenant is answered as one that does not exist.
//
// # Threats
//
// A flood of unknown callers: their network is limited before a signature is computed. A caller who sends in
// the name of another tenant: see above. Not stopped: an attacker with many networks, who fills connections;
// a tenant that reads events of another one from a bus that both may read, which takes encryption; a caller
// who gives its token away.
//
// In one process, Addresses and the limiter of throttle.NewMemory count what this process saw, since it
// started. Each instance of a Lambda function is such a process: use webhook/throttle/redis there.
//
// Stable: all of it.
package entry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/tenants"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// unreadTimeout is how long the body of a refused request may take: before it answers, net/http waits for it.
const unreadTimeout = time.Second

// Options say what a request must have. At least one of Addresses and Tokens is required.
type Options struct {
	// MaxBody is the most bytes of a body; 0 = webhook.DefaultMaxBody. It refuses early: the receiver has a
	// limit of its own.
	MaxBody int
	// Addresses limits callers by their network; nil = no such limit.
	Addresses *throttle.Addresses
	// TrustedHops is how many proxies of your own are in front, each of which appends to X-Forwarded-For:
	// see throttle.Caller; 0 = the peer is the caller.
	TrustedHops int
	// Tokens verifies the token of each request; nil = none is demanded.
	Tokens *authn.Verifier
	// Tenants has each caller speak for a tenant, with its scopes and groups. It needs Tokens and Limiter.
	// nil = every caller with a good token may send everything.
	Tenants *tenants.Tenants
	// Limiter counts the requests of clients and tenants: throttle.NewMemory, or webhook/throttle/redis.
	Limiter throttle.Limiter
	// Source is that for which the receiver stands: a caller whose tenant does not have it is refused before
	// the body is read. "" = there is no one source, as at webhook.Events: each event has its own.
	Source string
	// Key makes the ID under which a caller stands in events (ingest.Options.Callers); nil = events do not
	// say who called. It needs Tenants.
	Key *authcontext.Key
	// Handshake true: OPTIONS needs no token, because senders shake hands without one. It is for a
	// webhook.EventReceiver with Origins.
	Handshake bool
	// TooMany is the status for too many requests; 0 = 429. Amazon SNS takes each 4xx for final: give 503.
	TooMany int
	// Observe is told each refusal, with its cause. It must be safe for concurrent use; nil = none.
	Observe func(ctx context.Context, r *webhook.Response)
	Now     func() time.Time // the wall clock, for Addresses; nil = time.Now
}

// Receiver is what stands behind an Entry, such as a *webhook.Receiver. An Entry is one, too.
type Receiver interface {
	http.Handler
	Receive(ctx context.Context, r webhook.Request, at time.Time) webhook.Response
}

// Entry lets requests through to a Receiver. It is safe for concurrent use.
type Entry struct {
	next Receiver
	opts Options
}

var _ Receiver = (*Entry)(nil)

// New makes an Entry in front of next.
func New(next Receiver, opts *Options) (*Entry, error) {
	if err := nilcheck.Check("the receiver", next); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	e := &Entry{next: next}
	if opts != nil {
		e.opts = *opts
	}
	o := &e.opts
	switch {
	case o.Addresses == nil && o.Tokens == nil:
		return nil, errors.New("entry: neither Addresses nor Tokens: every request would pass")
	case o.Tenants != nil && o.Tokens == nil:
		return nil, errors.New("entry: Tenants without Tokens: a token says which client calls")
	case o.Tenants != nil && o.Limiter == nil:
		return nil, errors.New("entry: Tenants have quotas, and there is no Limiter: give throttle.NewMemory")
	case o.Tenants == nil && (o.Limiter != nil || o.Source != "" || o.Key != nil):
		return nil, errors.New("entry: Limiter, Source and Key are about tenants: give Tenants, too")
	case o.TrustedHops < 0 || o.TrustedHops > throttle.MaxTrustedHops:
		return nil, fmt.Errorf("entry: %d TrustedHops: give 0 to %d", o.TrustedHops, throttle.MaxTrustedHops)
	case o.MaxBody < 0:
		return nil, fmt.Errorf("entry: MaxBody is %d: give a number of bytes, or 0 for %d", o.MaxBody,
			webhook.DefaultMaxBody)
	case o.TooMany != 0 && o.TooMany != http.StatusTooManyRequests && o.TooMany != http.StatusServiceUnavailable:
		return nil, fmt.Errorf("entry: TooMany is %d: give 429 or 503, or 0 for 429", o.TooMany)
	}
	if _, ok := next.(*webhook.EventReceiver); o.Handshake && !ok {
		return nil, errors.New("entry: Handshake is for a *webhook.EventReceiver: " +
			"others take OPTIONS for a delivery")
	}
	err := nilcheck.Typed("Limiter", o.Limiter)
	if o.Source != "" {
		err = errors.Join(err, keys.CheckSource(o.Source))
	}
	if err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	if o.MaxBody == 0 {
		o.MaxBody = webhook.DefaultMaxBody
	}
	if o.TooMany == 0 {
		o.TooMany = http.StatusTooManyRequests
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return e, nil
}

// ServeHTTP refuses the request before its body is read, or hands it to the receiver.
func (e *Entry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in := webhook.FromHTTP(r, nil)
	ctx, resp := e.pass(r.Context(), &in, r.ContentLength)
	if resp.Status == 0 {
		e.next.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTimeout))
	resp.Write(w)
}

// Receive refuses the request, or hands it to the receiver.
func (e *Entry) Receive(ctx context.Context, r webhook.Request, at time.Time) webhook.Response {
	ctx, resp := e.pass(ctx, &r, int64(len(r.Body)))
	if resp.Status == 0 {
		return e.next.Receive(ctx, r, at)
	}
	return resp
}

// pass takes a request with a body of that length through the steps; below 0 = the length is not stated. A
// Response without a Status = it passes, in the context that has its caller.
func (e *Entry) pass(ctx context.Context, r *webhook.Request, length int64) (
	context.Context, webhook.Response,
) {
	passed, resp := ctx, e.judgeSize(r, length)
	if resp.Status == 0 {
		resp = e.judgeAddress(r)
	}
	isHandshake := e.opts.Handshake && r.Method == http.MethodOptions
	if resp.Status == 0 && e.opts.Tokens != nil && !isHandshake {
		passed, resp = e.judgeCaller(ctx, r)
	}
	if resp.Status != 0 && e.opts.Observe != nil {
		e.opts.Observe(ctx, &resp)
	}
	return passed, resp
}

func (e *Entry) judgeSize(r *webhook.Request, length int64) webhook.Response {
	switch {
	case length > int64(e.opts.MaxBody):
		return refuse(envelope.ReasonTooLarge, fmt.Errorf("a body of more than %d bytes", e.opts.MaxBody))
	case len(r.Header) > webhook.MaxHeaders:
		return refuse(envelope.ReasonTooLarge, fmt.Errorf("more than %d header lines", webhook.MaxHeaders))
	}
	return webhook.Response{}
}

func refuse(reason envelope.Reason, err error) webhook.Response {
	return webhook.Refusal(0, 0, &webhook.Error{Reason: reason, Provider: "entry", Err: err})
}

func (e *Entry) judgeAddress(r *webhook.Request) webhook.Response {
	if e.opts.Addresses == nil {
		return webhook.Response{}
	}
	address, err := throttle.Caller(r, e.opts.TrustedHops)
	if err != nil {
		return webhook.Refusal(0, 0, err)
	}
	if wait := e.opts.Addresses.Take(address, e.opts.Now()); wait > 0 {
		return webhook.Refusal(e.opts.TooMany, wait, throttle.ErrThrottled)
	}
	return webhook.Response{}
}

// judgeCaller takes a request through all steps from its token on.
func (e *Entry) judgeCaller(ctx context.Context, r *webhook.Request) (context.Context, webhook.Response) {
	o := &e.opts
	header := make(http.Header, len(r.Header))
	for _, f := range r.Header {
		header.Add(f.Name, f.Value)
	}
	_, text, _ := strings.Cut(r.Target, "?")
	query, err := url.ParseQuery(text)
	if err != nil {
		query = nil // a token in it is none
	}
	id, err := o.Tokens.Authenticate(ctx, header, query)
	if err != nil {
		return ctx, unauthorized(err)
	}
	if o.Tenants == nil {
		return ctx, webhook.Response{}
	}
	tenant, err := o.Tenants.Find(tenants.Caller{Issuer: id.Issuer, ClientID: id.ClientID, Subject: userOf(id),
		Scopes: id.Scopes, Groups: id.Groups})
	if err != nil {
		resp := webhook.Refusal(0, 0, err)
		resp.Header = append(resp.Header, challenge(`Bearer error="insufficient_scope"`)...)
		return ctx, resp
	}
	v, err := o.Limiter.Take(ctx, tenant.Limits())
	switch {
	case err != nil:
		return ctx, refuse(envelope.ReasonStoreUnavailable, err)
	case v.Wait > 0:
		resp := webhook.Refusal(o.TooMany, v.Wait, throttle.ErrThrottled)
		resp.Header = append(resp.Header, v.Fields()...)
		return ctx, resp
	case o.Source != "" && !tenant.Speaks(o.Source):
		return ctx, refuse(envelope.ReasonSourceNotAllowed, errors.New("the tenant has no such source"))
	}
	if o.Key != nil {
		ctx = authcontext.With(ctx, tenant.AuthContext(o.Key))
	}
	return webhook.WithCaller(ctx, tenant), webhook.Response{}
}

// userOf is the user on whose behalf a client called. In a token that a client got for itself, the subject is
// the client (RFC 9068, section 2.2).
func userOf(id *authn.Identity) string {
	if id.Subject == id.ClientID {
		return ""
	}
	return id.Subject
}

// unauthorized is the answer to a request without a good token.
func unauthorized(err error) webhook.Response {
	e, ok := errors.AsType[*authn.Error](err)
	if !ok {
		return webhook.Refusal(0, 0, err)
	}
	resp := webhook.Refusal(e.Status(), 0, &webhook.Error{Reason: e.Reason, Provider: "authn", Err: err})
	if c := e.Challenge(); c != "" {
		resp.Header = append(resp.Header, challenge(c)...)
	}
	return resp
}

func challenge(text string) []webhook.Field {
	return []webhook.Field{{Name: "WWW-Authenticate", Value: text}, {Name: "Cache-Control", Value: "no-store"}}
}
