package clientcredentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	grant "golang.org/x/oauth2/clientcredentials"

	"github.com/sealbus/sealbus/internal/fetch"
	"github.com/sealbus/sealbus/internal/jitter"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/redact"
)

const (
	// timeout is how long one request for a token may take.
	timeout = 10 * time.Second
	// defaultLife is how long a token is used whose answer does not say how long it is good.
	defaultLife = 5 * time.Minute
	// maxLife is how long a token is used at most, whatever the answer says.
	maxLife = 24 * time.Hour
	// maxEarly is how long before its end a token is renewed, at most twice that: an outage of the issuer of
	// five minutes does no harm.
	maxEarly = 5 * time.Minute
	// maxMargin is how long before its end a token is not given out any more: the request is on its way then.
	maxMargin = 10 * time.Second
	// minInterval is the least time between two requests that renew a token which is still good: because it
	// ends soon, or because an API refused it.
	minInterval = 30 * time.Second
	// retryInterval is the least time between two requests where the last one failed and there is no token.
	retryInterval = 5 * time.Second
)

// ErrRefused is (wrapped in) the error where the token endpoint refuses the client, its secret, its scopes or
// the request. It is permanent: a person has to change something. Other errors of a Source may pass.
var ErrRefused = errors.New("the token endpoint refuses the request")

// Options are optional settings of New.
type Options struct {
	// Scopes are asked for, and the token must have all of them. nil = those that the issuer gives.
	Scopes []string
	// Parameters are added to the request, such as audience, or resource (RFC 8707). nil = none.
	Parameters url.Values
	// SecretInBody sends ID and secret in the body (client_secret_post). false = by HTTP Basic
	// (client_secret_basic), which each issuer must take (RFC 6749, section 2.3.1).
	SecretInBody bool
	// Now is the clock; nil = time.Now.
	Now func() time.Time
	// Client has the transport for requests to the token endpoint, with a TLS configuration or a proxy of your
	// own. Nothing else of it is used. nil = one that trusts the system's certificate authorities.
	Client *http.Client
	// UnsafeAllowHTTP permits http:// for the token endpoint, and for APIs: everyone on the way can read the
	// secret and the token.
	UnsafeAllowHTTP bool
}

// Source keeps an access token, and renews it. It is safe for concurrent use. It prints as redacted.
type Source struct {
	redact.Printed
	hidden redact.Hidden[*source]
}

var _ oauth2.TokenSource = tokenSource{}

// source is a Source, unprotected from being printed.
type source struct {
	config          grant.Config
	client          *http.Client
	now             func() time.Time
	unsafeAllowHTTP bool
	shared          *fetch.Shared[state]
}

// state is immutable.
type state struct {
	token *oauth2.Token // nil = there was none yet
	asked time.Time     // when the request began that gave the token
	renew time.Time     // when the next one is asked for
	until time.Time     // it is given out before that time
	tried time.Time     // when the last request began
	err   error         // how it failed
}

// New makes a Source. Nothing is asked for before the first token is needed. The secret comes from a secret
// store, a file or the environment, never from a command line, which others on the machine can read.
func New(tokenURL, clientID, secret string, opts *Options) (*Source, error) {
	if opts == nil {
		opts = &Options{}
	}
	u, err := fetch.ParseURL(tokenURL, "token endpoint", opts.UnsafeAllowHTTP)
	switch {
	case err != nil:
		return nil, fmt.Errorf("clientcredentials: %w", err)
	case clientID == "":
		return nil, errors.New("clientcredentials: no client ID")
	case secret == "":
		return nil, errors.New("clientcredentials: no client secret")
	case strings.TrimSpace(secret) != secret:
		return nil, errors.New("clientcredentials: the client secret begins or ends with white space: " +
			"remove the line break of the file that it comes from")
	}
	for _, scope := range opts.Scopes {
		if !isScope(scope) {
			return nil, fmt.Errorf("clientcredentials: the scope %.80q is no scope (RFC 6749, section 3.3): "+
				"give each scope alone, without spaces", scope)
		}
	}
	for _, name := range []string{"grant_type", "scope", "client_id", "client_secret"} {
		if opts.Parameters.Has(name) {
			return nil, fmt.Errorf("clientcredentials: Parameters has %s, which has another place", name)
		}
	}
	base := http.RoundTripper(fetch.NewTransport())
	if opts.Client != nil {
		if err := nilcheck.Typed("the Transport of Options.Client", opts.Client.Transport); err != nil {
			return nil, fmt.Errorf("clientcredentials: %w", err)
		}
		if opts.Client.Transport != nil {
			base = opts.Client.Transport
		}
	}
	s := &source{now: opts.Now, unsafeAllowHTTP: opts.UnsafeAllowHTTP, client: newClient(base),
		config: grant.Config{ClientID: clientID, ClientSecret: secret, TokenURL: u.String(),
			Scopes: slices.Clone(opts.Scopes), EndpointParams: cloned(opts.Parameters),
			AuthStyle: oauth2.AuthStyleInHeader}}
	if opts.SecretInBody {
		s.config.AuthStyle = oauth2.AuthStyleInParams
	}
	if s.now == nil {
		s.now = func() time.Time { return time.Now().Round(0) } // goes on in a frozen process
	}
	s.shared = fetch.NewShared(new(state), s.now, timeout, s.ask)
	return &Source{Printed: redact.Key("clientcredentials.Source", clientID), hidden: redact.Hide(s)}, nil
}

func cloned(v url.Values) url.Values {
	c := make(url.Values, len(v))
	for name, list := range v {
		c[name] = slices.Clone(list)
	}
	return c
}

// isScope is the grammar of one scope (RFC 6749, section 3.3).
func isScope(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	}) < 0
}

// Token is a token that is good for some time yet. It waits for a request, of at most ten seconds, only if
// there is none, and the first caller after a token became due also then. The error says whether it may pass
// (ErrRefused); while it does not, the issuer is asked at most once in five seconds.
func (s *Source) Token(ctx context.Context) (*oauth2.Token, error) { return s.hidden().token(ctx) }

// TokenSource is Token for programs that take an oauth2.TokenSource, with that context. Prefer Transport: the
// transport of package oauth2 adds the token to requests to every host.
func (s *Source) TokenSource(ctx context.Context) oauth2.TokenSource {
	return tokenSource{ctx, s}
}

type tokenSource struct {
	ctx context.Context
	*Source
}

// Token is the method of oauth2.TokenSource.
func (s tokenSource) Token() (*oauth2.Token, error) { return s.Source.Token(s.ctx) }

func (s *source) token(ctx context.Context) (*oauth2.Token, error) {
	st := s.shared.State()
	if now := s.now(); st.isDue(now) {
		err := s.shared.Await(ctx, (*state).isDue, func(st *state) (can, failing bool) {
			can = st.isLive(s.now())
			return can, can // callers with a good token do not wait for the next one, but for the one that asks
		})
		st = s.shared.State()
		if err != nil && !st.isLive(s.now()) {
			return nil, fmt.Errorf("clientcredentials: no token: %w", err)
		}
	}
	switch {
	case st.isLive(s.now()):
		t := *st.token // the caller's own
		return &t, nil
	case st.err != nil:
		return nil, fmt.Errorf("clientcredentials: no token: %w", st.err)
	}
	return nil, errors.New("clientcredentials: no token: it has expired meanwhile: try again")
}

// renewed is the token that follows one that an API refused. It is nil if there is none, or if tokens were
// asked for a moment ago: then the token is not the reason.
func (s *source) renewed(ctx context.Context, refused *oauth2.Token) *oauth2.Token {
	is := func(st *state) bool { return st.token == nil || st.token.AccessToken == refused.AccessToken }
	err := s.shared.Await(ctx, func(st *state, now time.Time) bool {
		return is(st) && fetch.Since(st.tried, now, minInterval)
	}, nil)
	st := s.shared.State()
	if err != nil || is(st) || !st.isLive(s.now()) {
		return nil
	}
	t := *st.token
	return &t
}

// isLive reports whether the token may be given out. If the clock was set back, its age is not known.
func (s *state) isLive(now time.Time) bool {
	return s.token != nil && !now.Before(s.asked) && now.Before(s.until)
}

// isDue reports whether a token is to be asked for.
func (s *state) isDue(now time.Time) bool {
	switch {
	case s.isLive(now):
		return !now.Before(s.renew) && fetch.Since(s.tried, now, minInterval)
	case s.err != nil:
		return fetch.Since(s.tried, now, retryInterval)
	}
	return true
}

// ask is the state after asking once. A token is as old as the request for it.
func (s *source) ask(ctx context.Context, was *state) *state {
	next := *was
	next.tried = s.now()
	token, life, err := s.request(ctx)
	if next.err = err; err != nil {
		return &next
	}
	early := min(maxEarly, life/5)
	early += time.Duration(float64(early) * jitter.Draw(ctx)) // so that many programs do not ask at once
	token.Expiry = next.tried.Add(life)                       // package oauth2 has it by another clock
	next.token, next.asked = token, next.tried
	next.renew = token.Expiry.Add(-early)
	next.until = token.Expiry.Add(-min(maxMargin, life/10))
	return &next
}
