package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// RememberFor is how long a delivery is remembered whose copies never become stale, because its provider
// signs no time, and one with a signed ID, which the provider sends again with a new time for days.
const RememberFor = 72 * time.Hour

// Scheme is how one provider signs. Recipes are schemes made of data; SNS and others are written in Go.
type Scheme interface {
	Name() string // "github"
	// Open parses the secrets once. It refuses an empty secret and one in the wrong form, and needs at least
	// one unless the scheme has its keys from elsewhere. The error has no secret.
	Open(secrets []Secret, o SchemeOptions) (Checker, error)
}

// Checker checks the signature of one request. It judges no time and no replay. It is safe for concurrent
// use.
type Checker interface {
	// Check is given the judging time for the dates of keys only. Its error is an *Error.
	Check(ctx context.Context, r Request, at time.Time) (Signed, error)
}

// Signed is what a Checker found authentic. The signed bytes are Head, then the body of the request if Body
// is set, then Tail: so they are hashed only if a replay store is asked.
type Signed struct {
	KeyID      string
	Head, Tail string
	Body       bool          // the signature covers the raw body, between Head and Tail
	Time       time.Time     // the signed time; zero = the provider signs none
	Tolerance  time.Duration // the provider's: how far Time may be from the judging time
	ID         string        // the delivery ID; "" = none
	IDSigned   bool          // the signature covers the ID
	Signature  string        // the signature as it came, for provenance
	Type       string        // for ingest; "" = none
	Subject    string        // for ingest; "" = none
	// WordsSigned: the signature covers Type and Subject. false = a header has them, or the body, which is not
	// signed: they are for logs and routing.
	WordsSigned bool
	Answer      *Answer // a challenge, which is answered without calling the handler; nil = a delivery

	bodyOnly bool // the replay key is made of the body: see Replay
	// isSeveral: the body has several items, each signed on its own. An attacker who captured them can put
	// them together anew, so no replay key stands for them.
	isSeveral bool
	members   *members // what a recipe takes from members of the JSON body; nil = nothing
	// way is of a recipe whose signed bytes are written anew when they are hashed, so that most deliveries need
	// no copy of them. Head and Tail are empty then. nil = they are not.
	way *wayChecker
}

// Verifier verifies the deliveries of one provider to one endpoint. It is safe for concurrent use.
type Verifier struct {
	provider, endpoint string
	checker            Checker
	tolerance          time.Duration
	maxBody            int
}

// New makes a Verifier of one endpoint. The endpoint's name is part of each replay key, so that two endpoints
// never take each other's deliveries for their own. Secrets may be several during a rotation.
func New(scheme Scheme, endpoint string, secrets []Secret, opts *Options) (*Verifier, error) {
	if nilcheck.Is(scheme) {
		return nil, errors.New("webhook: no scheme")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case endpoint == "":
		return nil, errors.New("webhook: no name of the endpoint: give one, such as \"github\"")
	case o.Tolerance < 0 || o.MaxBody < 0:
		return nil, errors.New("webhook: a negative tolerance or limit of the body")
	}
	secrets = slices.Clone(secrets)
	if err := checkSecrets(secrets); err != nil {
		return nil, fmt.Errorf("webhook: %s: %w", scheme.Name(), err)
	}
	checker, err := scheme.Open(secrets, o.Scheme)
	if err != nil {
		return nil, fmt.Errorf("webhook: %s: %w", scheme.Name(), err)
	}
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	return &Verifier{scheme.Name(), endpoint, checker, o.Tolerance, o.MaxBody}, nil
}

// Provider is the name of the scheme.
func (v *Verifier) Provider() string { return v.provider }

// Endpoint is the name that New was given.
func (v *Verifier) Endpoint() string { return v.endpoint }

// MaxBody is the most bytes of a body that Verify takes: a reader need not read more than one byte beyond.
func (v *Verifier) MaxBody() int { return v.maxBody }

// Verify checks the signature, and then the signed time against at. It asks no replay store: Verified.Replay
// says what to ask. The error is an *Error.
func (v *Verifier) Verify(ctx context.Context, r Request, at time.Time) (*Verified, error) {
	if len(r.Body) > v.maxBody {
		return nil, v.complete(refuse(envelope.ReasonTooLarge, "the body has more than %d bytes", v.maxBody))
	}
	if len(r.Header) > MaxHeaders {
		return nil, v.complete(refuse(envelope.ReasonTooLarge, "more than %d header lines", MaxHeaders))
	}
	signed, err := v.checker.Check(ctx, r, at)
	if err != nil {
		return nil, v.complete(err)
	}
	if v.tolerance != 0 {
		signed.Tolerance = v.tolerance
	}
	if !signed.Time.IsZero() {
		switch age := at.Sub(signed.Time); {
		case age > signed.Tolerance:
			return nil, v.complete(refuse(envelope.ReasonExpired,
				"signed %s before the judging time, more than %s", age.Round(time.Second), signed.Tolerance))
		case age < -signed.Tolerance:
			return nil, v.complete(refuse(envelope.ReasonFromFuture,
				"signed %s after the judging time, more than %s", (-age).Round(time.Second),
				signed.Tolerance))
		}
	}
	contentType, _ := r.HeaderValue("Content-Type")
	return &Verified{Provider: v.provider, Endpoint: v.endpoint, KeyID: signed.KeyID, Time: signed.Time,
		ContentType: contentType, Answer: signed.Answer, Body: r.Body,
		head: signed.Head, tail: signed.Tail, signature: signed.Signature, id: signed.ID, typ: signed.Type,
		subject: signed.Subject, members: signed.members, way: signed.way, at: at, tolerance: signed.Tolerance,
		signsBody: signed.Body, signsID: signed.IDSigned, signsWords: signed.WordsSigned,
		bodyOnly: signed.bodyOnly, isSeveral: signed.isSeveral}, nil
}

// complete makes err an *Error of this provider. An error that says no Reason is transient: nothing is known
// about the delivery.
func (v *Verifier) complete(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Reason: envelope.ReasonTrustUnavailable, Err: err}
	}
	return &Error{Reason: e.Reason, Provider: v.provider, Err: e.Err}
}
