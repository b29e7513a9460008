package httpsig

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
)

// Sign signs a request with that body as the Profile says; nil = the zero one. It sets the fields Signature
// and Signature-Input, and Content-Digest if it is covered, also of an empty body. They replace those that
// are there, so a request can be signed anew for each attempt. The body is not put into the request.
//
// The signer is Ed25519 or ES256, in memory or in a key service (package keys/awskms). The address that is
// signed is that of req.URL with the authority of req.Host, if it is set.
//
// A signature base over MaxBase is a *webhook.Error of the Reason too_large, and the signer is not called.
// The error of the signer is wrapped. Every other error means that the request cannot be signed as it is.
func Sign(
	ctx context.Context, req *http.Request, body []byte, signer keys.Signer, p *Profile, now time.Time,
) error {
	r, err := rulesOf(p, false)
	if err != nil {
		return fmt.Errorf("httpsig: the profile: %w", err)
	}
	if req == nil || req.URL == nil {
		return errors.New("httpsig: no request")
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	m, err := requestMessage(req, origin{})
	if err != nil {
		return fmt.Errorf("httpsig: %w", err)
	}
	m.body = body
	return r.sign(ctx, m, signer, now)
}

// SignResponse signs a response with that body: see Sign. Only StatusCode, Header and Request of the response
// are used. A server gives the request that it read, and Profile.BaseURL.
func SignResponse(
	ctx context.Context, resp *http.Response, body []byte, signer keys.Signer, p *Profile, now time.Time,
) error {
	r, err := rulesOf(p, true)
	if err != nil {
		return fmt.Errorf("httpsig: the profile: %w", err)
	}
	if resp != nil && resp.Header == nil {
		resp.Header = http.Header{}
	}
	m, err := r.responseMessage(resp, body)
	if err != nil {
		return fmt.Errorf("httpsig: %w", err)
	}
	return r.sign(ctx, m, signer, now)
}

// sign signs m and writes the fields into its header.
func (r *rules) sign(ctx context.Context, m *message, signer keys.Signer, now time.Time) error {
	if nilcheck.Is(signer) {
		return errors.New("httpsig: no signer")
	}
	algorithm := algorithmOf(signer.Verifier())
	covers := slices.Contains(r.must, digest)
	switch {
	case algorithm == "":
		return fmt.Errorf("httpsig: RFC 9421 has no name for %s: sign with Ed25519 or ES256",
			signer.Verifier().Algorithm())
	case now.Unix() <= 0:
		return errors.New("httpsig: the time is before 1970")
	case len(m.body) > 0 && !covers && !r.UnsafePartial:
		return errors.New("httpsig: there is a body, and Components leave content-digest out")
	}
	if covers {
		sum := sha256.Sum256(m.body)
		m.header["Content-Digest"] = []string{quote("sha-256", sum[:])}
	}
	params := r.params(algorithm, signer, now)
	base, err := m.appendBase(make([]byte, 0, 512), r.must, params)
	if err != nil {
		if webhook.ReasonOf(err) == envelope.ReasonTooLarge {
			return err
		}
		return fmt.Errorf("httpsig: the message cannot be signed: %w", errors.Unwrap(err))
	}
	sig, err := signer.Sign(ctx, base)
	if err != nil {
		return fmt.Errorf("httpsig: %w", err)
	}
	m.header["Signature-Input"] = []string{r.Label + "=" + params}
	m.header["Signature"] = []string{quote(r.Label, sig)}
	return nil
}

// params is the list of the covered components with the parameters.
func (r *rules) params(algorithm string, signer keys.Signer, now time.Time) string {
	out := append(make([]byte, 0, 256), '(')
	for i, c := range r.must {
		if i > 0 {
			out = append(out, ' ')
		}
		out = c.append(out)
	}
	out = append(out, ");created="...)
	out = strconv.AppendInt(out, now.Unix(), 10)
	text := func(name, value string) {
		out = append(append(append(append(append(out, ';'), name...), '=', '"'), value...), '"')
	}
	if keyID := r.KeyID; keyID != "" {
		text("keyid", keyID)
	} else {
		text("keyid", signer.Verifier().KeyID())
	}
	for _, name := range r.Parameters {
		switch name {
		case "alg":
			text(name, algorithm)
		case "nonce":
			text(name, rand.Text())
		case "expires":
			out = append(out, ";expires="...)
			out = strconv.AppendInt(out, now.Add(r.MaxAge).Unix(), 10)
		}
	}
	if r.Tag != "" {
		text("tag", r.Tag)
	}
	return string(out)
}

// quote is a dictionary with one byte sequence (RFC 9651, section 3.3.5).
func quote(name string, value []byte) string {
	out := append(make([]byte, 0, 128), name...)
	out = append(out, "=:"...)
	return string(append(base64.StdEncoding.AppendEncode(out, value), ':'))
}
