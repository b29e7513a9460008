package httpsig

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// Scheme is the webhook.Scheme of requests that are signed as the Profile says; nil = the zero one. Its name
// is "httpsig". It needs SchemeOptions.BaseURL. One endpoint has the keys of one sender.
//
// Secret.Text is a public key, Ed25519 or P-256: a PEM file (PKIX), a JWK, or a JWK Set. Secret.ID is the
// keyid of its signatures. "" = the ID of the key (RFC 7638), and so it must be for a JWK Set.
func Scheme(p *Profile) webhook.Scheme { return scheme{p} }

type scheme struct{ profile *Profile }

var _ webhook.Scheme = scheme{}

func (scheme) Name() string { return Name }

// Describe describes the scheme.
func (s scheme) Describe() webhook.Description {
	label := defaultLabel
	if s.profile != nil && s.profile.Label != "" {
		label = s.profile.Label
	}
	return webhook.Description{Title: "HTTP Message Signatures (RFC 9421)",
		See:       "https://www.rfc-editor.org/rfc/rfc9421.html",
		Signature: "Signature: " + label + "=", Signed: "the signature base: method, url, digest of the body",
		Algorithm: "Ed25519 or ECDSA P-256", Secret: "public key: PEM, JWK or JWK Set",
		Time: "created, 300 s; expires", ID: "none, or a field that is covered"}
}

// Open reads the public keys, and checks the profile.
func (s scheme) Open(secrets []webhook.Secret, o webhook.SchemeOptions) (webhook.Checker, error) {
	v, err := newVerifier(secrets, s.profile, false)
	if err != nil {
		return nil, err
	}
	origin, err := parseOrigin(o.BaseURL)
	if err != nil {
		return nil, err
	}
	return &checker{v, origin}, nil
}

// verifier verifies messages of one kind.
type verifier struct {
	*rules
	keys map[string]*publicKey // by keyid
}

func newVerifier(secrets []webhook.Secret, p *Profile, response bool) (*verifier, error) {
	r, err := rulesOf(p, response)
	if err != nil {
		return nil, fmt.Errorf("the profile: %w", err)
	}
	keys, err := openKeys(secrets)
	if err != nil {
		return nil, err
	}
	return &verifier{r, keys}, nil
}

// verify verifies the signature of m, and gives the base. It does not judge created.
func (v *verifier) verify(m *message, at time.Time) (s *signature, base []byte, err error) {
	if s, err = v.read(m); err != nil {
		return nil, nil, err
	}
	if err := v.permits(s, m.body); err != nil {
		return nil, nil, err
	}
	key := v.keys[s.keyID]
	switch {
	case key == nil:
		return nil, nil, refuse(envelope.ReasonUnknownKey, "there is no key with the ID %.80q", s.keyID)
	case s.has["alg"] && s.alg != key.algorithm:
		return nil, nil, refuse(envelope.ReasonUnsupported, "the parameter alg is %.80q, and not %s as the key",
			s.alg, key.algorithm)
	}
	if base, err = m.appendBase(make([]byte, 0, 512), s.covered, s.params); err != nil {
		return nil, nil, err
	}
	switch {
	case !key.verifier.VerifyOften(base, s.bytes):
		return nil, nil, refuse(envelope.ReasonBadSignature, "the key %.80q did not sign this", s.keyID)
	case !key.valid(at, s.created):
		return nil, nil, refuse(envelope.ReasonKeyNotValid, "the key %.80q is not valid then", s.keyID)
	case s.has["expires"] && at.After(s.expires):
		return nil, nil, refuse(envelope.ReasonExpired, "the signature expired at %s",
			s.expires.UTC().Format(time.RFC3339))
	}
	return s, base, m.checkDigest()
}

type checker struct {
	*verifier
	origin origin
}

// Check leaves the judgement of created and of replays to the webhook.Verifier: no ID and no nonce is used up
// by a signature that is not genuine.
func (c *checker) Check(_ context.Context, r webhook.Request, at time.Time) (webhook.Signed, error) {
	m := message{origin: c.origin, method: r.Method, target: r.Target, lines: r.Header, body: r.Body}
	s, base, err := c.verify(&m, at)
	if err != nil {
		return webhook.Signed{}, err
	}
	signed := webhook.Signed{KeyID: s.keyID, Head: string(base), Time: s.created, Tolerance: c.MaxAge,
		Signature: base64.StdEncoding.EncodeToString(s.bytes)}
	if c.ID == "" {
		return signed, nil
	}
	value, err := r.HeaderValue(c.ID)
	if err != nil {
		return webhook.Signed{}, err
	}
	// As in the base: an attacker could add white space without breaking the signature.
	signed.ID, signed.IDSigned = strings.Trim(value, " \t"), true
	switch {
	case signed.ID == "":
		return webhook.Signed{}, refuse(envelope.ReasonMalformed, "the field %s is empty", c.ID)
	case len(signed.ID) > maxID:
		return webhook.Signed{}, refuse(envelope.ReasonTooLarge, "the ID has more than %d bytes", maxID)
	}
	return signed, nil
}

// maxID bounds an ID, in bytes: it is logged.
const maxID = 256

// ResponseVerifier verifies signed responses. It is safe for concurrent use.
type ResponseVerifier struct{ v *verifier }

// NewResponseVerifier makes a ResponseVerifier of responses that are signed as the Profile says; nil = the
// zero one. The keys are those of Scheme.
func NewResponseVerifier(keys []webhook.Secret, p *Profile) (*ResponseVerifier, error) {
	v, err := newVerifier(keys, p, true)
	if err != nil {
		return nil, fmt.Errorf("httpsig: %w", err)
	}
	return &ResponseVerifier{v}, nil
}

// Verify verifies a response with that raw body, as of the judging time. Response.Request is the request that
// it answers, with the fields that it was sent with. The keyID is that of the key that signed. The error is a
// *webhook.Error.
func (v *ResponseVerifier) Verify(resp *http.Response, body []byte, at time.Time) (keyID string, err error) {
	m, err := v.v.responseMessage(resp, body)
	if err != nil {
		return "", refuse(envelope.ReasonMalformed, "%w", err)
	}
	s, _, err := v.v.verify(m, at)
	if err != nil {
		return "", err
	}
	switch age := at.Sub(s.created); {
	case age > v.v.MaxAge:
		return "", refuse(envelope.ReasonExpired, "signed %s before the judging time", age.Round(time.Second))
	case age < -v.v.MaxAge:
		return "", refuse(envelope.ReasonFromFuture, "signed %s after the judging time",
			(-age).Round(time.Second))
	}
	return s.keyID, nil
}

// responseMessage is a response with its request.
func (r *rules) responseMessage(resp *http.Response, body []byte) (*message, error) {
	if resp == nil || resp.Request == nil || resp.Request.URL == nil {
		return nil, errors.New("a response without its request")
	}
	if resp.StatusCode < 100 || resp.StatusCode > 999 {
		return nil, fmt.Errorf("the status %d", resp.StatusCode)
	}
	request, err := requestMessage(resp.Request, r.origin)
	if err != nil {
		return nil, err
	}
	return &message{status: resp.StatusCode, header: resp.Header, body: body,
		request: request}, nil
}

// requestMessage is a request of a client, or of a server that knows the origin.
func requestMessage(req *http.Request, o origin) (*message, error) {
	if o == (origin{}) {
		host := req.Host
		if req.URL.Host == "" || req.RequestURI != "" { // a client may have written the host (absolute form)
			return nil, errors.New("a server has read the request, or its URL has no host: set BaseURL")
		} else if host == "" {
			host = req.URL.Host
		}
		var err error
		if o, err = newOrigin(req.URL.Scheme, host); err != nil {
			return nil, err
		}
	}
	m := &message{origin: o, method: req.Method, target: req.URL.RequestURI(), header: req.Header}
	if m.method == "" {
		m.method = http.MethodGet
	}
	if req.RequestURI != "" { // a server has read it
		m.target = webhook.FromHTTP(req, nil).Target
	}
	return m, nil
}
