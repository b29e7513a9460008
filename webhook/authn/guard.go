package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Authenticate verifies the token of a request, whose parts any front end has, at the time of Options.Now.
// The error is an *Error.
func (v *Verifier) Authenticate(ctx context.Context, header http.Header, query url.Values) (
	*Identity, error,
) {
	token, err := v.source.Token(header, query)
	if err != nil {
		return nil, err
	}
	return v.Verify(ctx, token, v.opts.Now())
}

// AuthenticateValue is Authenticate for the value of the identity source, which a TOKEN authorizer of API
// Gateway gets alone.
func (v *Verifier) AuthenticateValue(ctx context.Context, value string) (*Identity, error) {
	token, err := v.source.token(value)
	if err != nil {
		return nil, err
	}
	return v.Verify(ctx, token, v.opts.Now())
}

// Source is where the token of a request stands: that of Options.Source.
func (v *Verifier) Source() Source { return v.source }

type identityKey struct{}

// FromContext is the Identity of the caller in a handler behind Guard; nil = there is no Guard.
func FromContext(ctx context.Context) *Identity {
	id, _ := ctx.Value(identityKey{}).(*Identity)
	return id
}

// Guard lets callers through to next who have a good token and what they need. The others get 401, 403 or
// 503, with WWW-Authenticate and a problem (RFC 9457) that has the Reason. next finds the caller by
// FromContext. The need may be &Need{}, for every caller with a good token.
func Guard(v *Verifier, need *Need, next http.Handler) (http.Handler, error) {
	if err := nilcheck.Check("authn: the handler", next); err != nil {
		return nil, err
	}
	switch {
	case v == nil:
		return nil, errors.New("authn: no verifier: New makes one")
	case need == nil:
		return nil, errors.New("authn: no need: &Need{} lets every caller with a good token in")
	case slices.Contains(need.Scopes, "") || slices.Contains(need.Groups, ""):
		return nil, errors.New("authn: a scope or a group of the need is empty")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var query url.Values
		if v.source.query != "" {
			var err error
			if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
				answer(w, refuse(envelope.ReasonMalformed, "form", "the query cannot be read"))
				return
			}
		}
		id, err := v.Authenticate(r.Context(), r.Header, query)
		if err == nil {
			err = id.Check(need)
		}
		if err != nil {
			answer(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, id)))
	}), nil
}

// answer writes the answer to a caller who was refused. It has the Reason and no cause, which may name what
// other callers need.
func answer(w http.ResponseWriter, err error) {
	status, reason := http.StatusUnauthorized, envelope.ReasonMalformed
	if e, ok := errors.AsType[*Error](err); ok {
		status, reason = e.Status(), e.Reason
		if c := e.Challenge(); c != "" {
			w.Header().Set("WWW-Authenticate", c)
		}
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "30")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"title":%q,"status":%d,"reason":%q}`+"\n", http.StatusText(status), status, reason)
}
