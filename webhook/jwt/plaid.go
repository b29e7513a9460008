package jwt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/onefetch"
	"github.com/sealbus/sealbus/internal/redact"
	"github.com/sealbus/sealbus/webhook"
)

const (
	plaidTolerance = 5 * time.Minute // as Plaid's documentation says
	plaidPause     = time.Second     // between requests for new keys: a forger can invent IDs
	maxPlaidKeys   = 32              // kept
)

// Plaid is Plaid (https://plaid.com/docs/api/webhooks/webhook-verification/). The client ID and the secret
// are those of Plaid's API, which gives each key to clients only; both may be "" if the keys are given as
// secrets.
//
// The name is plaid. Secrets are JWKs or JWK Sets in the place of the API.
func Plaid(clientID, secret string, opts *Options) webhook.Scheme {
	return &plaid{clientID, redact.Hide(secret), opts}
}

type plaid struct {
	clientID string
	secret   redact.Hidden[string]
	opts     *Options
}

func (*plaid) Name() string { return "plaid" }

// Describe describes the scheme.
func (*plaid) Describe() webhook.Description {
	return webhook.Description{Title: "Plaid",
		See:       "https://plaid.com/docs/api/webhooks/webhook-verification/",
		Signature: "Plaid-Verification", Signed: "the token, with request_body_sha256",
		Algorithm: "ES256 (JWT)",
		Secret:    "none; or a JWK Set, in the place of Plaid's API", Time: "iat of the token, 300 s",
		ID: "none"}
}

// Open refuses a scheme with neither credentials nor keys.
func (p *plaid) Open(secrets []webhook.Secret, _ webhook.SchemeOptions) (webhook.Checker, error) {
	if err := p.opts.check(); err != nil {
		return nil, err
	}
	if len(secrets) > 0 {
		keys, err := configured(secrets, jose.ES256)
		if err != nil {
			return nil, err
		}
		return &plaidChecker{keys}, nil
	}
	if p.clientID == "" || p.secret() == "" {
		return nil, errors.New("no client ID or no secret of Plaid's API, which has the keys")
	}
	address := "https://production.plaid.com/webhook_verification_key/get"
	if p.opts != nil && p.opts.Sandbox {
		address = "https://sandbox.plaid.com/webhook_verification_key/get"
	}
	return &plaidChecker{&plaidSource{plaid: p, address: address, via: p.opts.transport()}}, nil
}

type plaidChecker struct{ keys source }

func (c *plaidChecker) Check(ctx context.Context, r webhook.Request, at time.Time) (webhook.Signed, error) {
	token, err := r.HeaderValue("Plaid-Verification")
	if err != nil {
		return webhook.Signed{}, err
	}
	if token == "" {
		return webhook.Signed{}, refuse(envelope.ReasonUnsigned, "no header Plaid-Verification")
	}
	verified, err := verifyToken(ctx, token, jose.ES256, c.keys, at)
	if err != nil {
		return webhook.Signed{}, err
	}
	var iat int64
	var digest string
	d := jsontext.NewDecoder(verified.payload)
	for o := d.Object(); d.Member(&o); {
		switch string(o.Name) {
		case "iat":
			iat = d.Int()
		case "request_body_sha256":
			digest = d.String()
		default:
			d.SkipValue()
		}
	}
	want, err := hex.DecodeString(digest)
	switch sum := sha256.Sum256(r.Body); {
	case d.End() != nil:
		return webhook.Signed{}, refuse(envelope.ReasonMalformed, "the claims: %w", d.Err())
	case iat <= 0 || err != nil || len(want) != sha256.Size || hex.EncodeToString(want) != digest:
		return webhook.Signed{}, refuse(envelope.ReasonMalformed,
			"the token has no iat, or no request_body_sha256 in lower-case hex")
	case subtle.ConstantTimeCompare(want, sum[:]) != 1:
		return webhook.Signed{}, refuse(envelope.ReasonBadSignature,
			"the body is not the one of request_body_sha256")
	}
	return webhook.Signed{KeyID: verified.keyID, Head: verified.input, Time: time.Unix(iat, 0),
		Tolerance: plaidTolerance, Signature: token}, nil
}

// plaidSource asks Plaid's API for each key by its ID.
type plaidSource struct {
	*plaid
	address string
	via     http.RoundTripper

	mu   sync.Mutex
	keys map[string]*document[*publicKey]
	last time.Time // when a key was asked for that is not kept
}

// key keeps keys that Plaid has. A forger who invents key IDs has one of them asked each second; the
// others, and with them a new key of Plaid, wait until they are delivered again. Known keys do not wait.
func (s *plaidSource) key(ctx context.Context, kid string) (*publicKey, error) {
	s.mu.Lock()
	doc := s.keys[kid]
	if doc == nil {
		if !s.last.IsZero() && time.Since(s.last) < plaidPause {
			s.mu.Unlock()
			return nil, refuse(envelope.ReasonTrustUnavailable,
				"another key was asked for less than %s ago", plaidPause)
		}
		s.last = time.Now()
		doc = &document[*publicKey]{fetch: func(ctx context.Context) (*publicKey, error) {
			return s.ask(ctx, kid)
		}}
		if s.keys == nil {
			s.keys = make(map[string]*document[*publicKey])
		}
		for old := range s.keys { // any of them: it is asked for again
			if len(s.keys) < maxPlaidKeys {
				break
			}
			delete(s.keys, old)
		}
		s.keys[kid] = doc
	}
	s.mu.Unlock()
	key, err := doc.get(ctx, maxAge)
	if err != nil {
		s.mu.Lock()
		if s.keys[kid] == doc {
			delete(s.keys, kid)
		}
		s.mu.Unlock()
		return nil, refuse(envelope.ReasonTrustUnavailable, "Plaid's key cannot be fetched: %w", err)
	}
	return key, nil
}

// ask asks for one key.
func (s *plaidSource) ask(ctx context.Context, kid string) (*publicKey, error) {
	body := append(jsontext.AppendQuote([]byte(`{"key_id":`), kid), '}')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the address is no URL")
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"sealbus"},
		"Plaid-Client-Id": {s.clientID}, "Plaid-Secret": {s.secret()}}
	text, err := onefetch.Do(ctx, s.via, req)
	if err != nil {
		return nil, err
	}
	return readPlaidKey(text, kid)
}

// readPlaidKey reads {"key": JWK}, whose member expired_at is null or Unix seconds.
func readPlaidKey(text []byte, kid string) (*publicKey, error) {
	var jwk jsontext.Value
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) == "key" {
			jwk = d.ReadValue()
		} else {
			d.SkipValue()
		}
	}
	if err := d.End(); err != nil || jwk == nil {
		return nil, errors.New("the answer has no key")
	}
	set, err := parseKeys(jwk, jose.ES256)
	if err != nil {
		return nil, err
	}
	key := set[kid]
	if key == nil {
		return nil, errors.New("the answer has another key")
	}
	d = jsontext.NewDecoder(jwk)
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) == "expired_at" && d.PeekKind() != 'n' {
			key.notAfter = time.Unix(d.Int(), 0)
		} else {
			d.SkipValue()
		}
	}
	if d.End() != nil {
		return nil, fmt.Errorf("the expired_at of the key %.80q is no number", kid)
	}
	return key, nil
}
