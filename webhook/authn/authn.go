package authn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// maxLeeway bounds Options.Leeway: clocks that are further apart are to be set.
const maxLeeway = time.Minute

// Options say which tokens of the issuer are accepted. Audiences or ClientIDs are required, because an issuer
// has tokens for other APIs and of other clients, too.
type Options struct {
	// Audiences are the names of this API: the claim aud must have one of them. nil = only access tokens of
	// Cognito are accepted, which have no aud unless the client asks for a resource. A token with an aud is
	// refused then, because it is for another API.
	Audiences []string
	// ClientIDs are the clients whose tokens are accepted: client_id, or aud of an id token. nil = those of
	// every client of the issuer, if Audiences are given.
	ClientIDs []string
	// IDTokens accepts id tokens, and no access tokens. It needs ClientIDs and no Audiences. false = access
	// tokens only.
	IDTokens bool
	// Leeway is how far the clock of the issuer may be from ours, at most 60 s; 0 = no leeway.
	Leeway time.Duration
	// Source is where Guard finds the token, in the syntax of API Gateway; "" =
	// "$request.header.Authorization".
	Source string
	// Now is the clock of Guard; nil = time.Now.
	Now func() time.Time
	// UnsafePublishedKeys takes tokens under keys whose private half is public, such as that of cognito-local
	// of npm: anyone can issue them. It is for development. false = such tokens are refused.
	UnsafePublishedKeys bool
}

// Verifier verifies the tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	issuer string
	keys   *Keys
	opts   Options
	source Source
}

// New makes a Verifier. The issuer is the claim iss, compared byte by byte; that of a Cognito user pool is
// https://cognito-idp.REGION.amazonaws.com/POOL-ID.
func New(issuer string, keys *Keys, opts *Options) (*Verifier, error) {
	if opts == nil {
		opts = &Options{}
	}
	o := *opts
	o.Audiences, o.ClientIDs = slices.Clone(o.Audiences), slices.Clone(o.ClientIDs)
	if o.Now == nil {
		o.Now = wallClock
	}
	if o.Source == "" {
		o.Source = "$request.header.Authorization"
	}
	source, err := ParseSource(o.Source)
	switch {
	case err != nil:
		return nil, err
	case issuer == "":
		return nil, errors.New("authn: no issuer: give the claim iss of its tokens")
	case keys == nil:
		return nil, errors.New("authn: no keys: make them by FetchKeys or ParseKeys")
	case len(o.Audiences)+len(o.ClientIDs) == 0:
		return nil, errors.New("authn: neither Audiences nor ClientIDs: every token of the issuer would be good")
	case slices.Contains(o.Audiences, "") || slices.Contains(o.ClientIDs, ""):
		return nil, errors.New("authn: an audience or a client ID is empty")
	case o.IDTokens && (len(o.ClientIDs) == 0 || len(o.Audiences) > 0):
		return nil, errors.New("authn: an id token is for a client: give ClientIDs, and no Audiences")
	case o.Leeway < 0 || o.Leeway > maxLeeway:
		return nil, fmt.Errorf("authn: the leeway is not between 0 and %s", maxLeeway)
	}
	return &Verifier{issuer, keys, o, source}, nil
}

// Identity is who is calling, as the issuer says in a token that was verified.
type Identity struct {
	Issuer   string    // iss
	Subject  string    // sub: the user, or the client itself; "" = the token has none
	ClientID string    // client_id, or of an id token the client among its audiences
	Scopes   []string  // scope, split at spaces
	Groups   []string  // cognito:groups of Cognito's tokens, groups of others
	TokenID  string    // jti; "" = the token has none
	KeyID    string    // of the key that verified the token
	Issued   time.Time // iat; zero = the token has none
	Expires  time.Time // exp: good before that time

	claims jsontext.Value
}

// Claims are all claims, as JSON text. Do not change them.
func (id *Identity) Claims() []byte { return id.claims }

// Verify verifies a token and judges it at that time. The error is an *Error.
func (v *Verifier) Verify(ctx context.Context, token string, at time.Time) (*Identity, error) {
	if token == "" {
		return nil, refuse(envelope.ReasonUnsigned, "form", "there is no token")
	}
	h, text, err := verifySignature(ctx, token, v.keys, v.opts.UnsafePublishedKeys)
	if err != nil {
		return nil, err
	}
	c, err := readClaims(text)
	if err != nil {
		return nil, err
	}
	if err := v.judge(h, &c, at); err != nil {
		return nil, err
	}
	id := &Identity{Issuer: v.issuer, Subject: c.sub, ClientID: c.clientID, Groups: c.groups, TokenID: c.jti,
		KeyID: h.kid, Expires: c.exp.time, Issued: c.iat.time, claims: text}
	if c.hasUse {
		id.Groups = c.cognitoGroups // of Cognito, whose claim groups would be an attribute
	}
	if c.scope != "" {
		id.Scopes = strings.Split(c.scope, " ") // RFC 6749, section 3.3: a space, not a tab or a comma
	}
	if v.opts.IDTokens {
		id.ClientID = c.azp
		if len(c.aud) == 1 {
			id.ClientID = c.aud[0]
		}
	}
	return id, nil
}

// Need is what a caller must have beside a good token.
type Need struct {
	Scopes []string // all of them; nil = none is needed
	Groups []string // one of them; nil = none is needed
}

// Check is an *Error with envelope.ReasonForbidden if the caller lacks a scope, or is in none of the groups.
// A need that is nil, or has an empty text in a list, is refused, too: it is a mistake.
func (id *Identity) Check(need *Need) error {
	if need == nil || slices.Contains(need.Scopes, "") || slices.Contains(need.Groups, "") {
		return refuse(envelope.ReasonForbidden, "scope", "the need is nil, or has an empty scope or group")
	}
	for _, scope := range need.Scopes {
		if !slices.Contains(id.Scopes, scope) {
			e := refuse(envelope.ReasonForbidden, "scope", "the token lacks the scope %.80q", scope)
			e.scopes = need.Scopes
			return e
		}
	}
	if len(need.Groups) > 0 && !overlap(id.Groups, need.Groups) {
		return refuse(envelope.ReasonForbidden, "group", "the caller is in none of the groups %.200q", need.Groups)
	}
	return nil
}
