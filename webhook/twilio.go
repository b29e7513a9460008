package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/redact"
)

// maxParameters is the most parameters of a form or of a query: they are sorted.
const maxParameters = 1000

// twilio is Twilio: https://www.twilio.com/docs/usage/security. It signs the URL and, of a form, each
// parameter's name and value, sorted by name, with nothing in between. Of any other body it signs a SHA-256
// that is in the query, bodySHA256. The MAC is HMAC-SHA1, which is Twilio's choice.
//
// Where a Webhook Rule names a shared key, Twilio signs the same text by HMAC-SHA256, in the same header:
// https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys, which is in public beta. That is refused as
// unsupported: the header that names the algorithm is not signed.
//
// Nothing marks where a name ends and its value begins. So an attacker who captures a form can move
// characters between them, and the signature stays genuine. The signed bytes stay the same, too, and so
// does the replay key.
type twilio struct{}

type twilioChecker struct {
	secrets redact.Hidden[[]Secret]
	bases   [2]string // the base URL with and without the port: Twilio signs one of them
}

func (twilio) Name() string { return "twilio" }

// Open takes auth tokens, as the console shows them.
func (twilio) Open(secrets []Secret, o SchemeOptions) (Checker, error) {
	if len(secrets) == 0 {
		return nil, errNoSecret
	}
	if err := checkSecrets(secrets); err != nil { // its text is the key, so no parser refuses an empty one
		return nil, err
	}
	bases, err := twilioBases(o.BaseURL)
	if err != nil {
		return nil, err
	}
	return &twilioChecker{redact.Hide(secrets), bases}, nil
}

// twilioBases are the two forms of a base URL.
func twilioBases(base string) (bases [2]string, err error) {
	if err := checkBaseURL(base); err != nil {
		return bases, err
	}
	u, err := url.Parse(base)
	if err != nil {
		return bases, err
	}
	if u.Port() != "" {
		return [2]string{base, strings.TrimSuffix(base, ":"+u.Port())}, nil
	}
	return [2]string{base, base + ":" + map[string]string{"https": "443", "http": "80"}[u.Scheme]}, nil
}

func (c *twilioChecker) Check(_ context.Context, r Request, at time.Time) (Signed, error) {
	value, err := r.HeaderValue("X-Twilio-Signature")
	if err != nil {
		return Signed{}, err
	}
	if value == "" {
		return Signed{}, refuse(envelope.ReasonUnsigned, "no header X-Twilio-Signature")
	}
	got, err := strict64(value)
	switch {
	case err == nil && len(got) == sha256.Size:
		return Signed{}, refuse(envelope.ReasonUnsupported, "the signature is an HMAC-SHA256: take this "+
			"URL out of the Webhook Rule that names a shared key, so that Twilio signs with the auth token")
	case err != nil || len(got) != sha1.Size:
		return Signed{}, refuse(envelope.ReasonMalformed,
			"the header X-Twilio-Signature is not base64 of %d bytes", sha1.Size)
	}
	id, err := word(&r, "I-Twilio-Idempotency-Token")
	if err != nil {
		return Signed{}, err
	}
	rest, err := twilioSigned(r)
	if err != nil {
		return Signed{}, err
	}
	signed := []byte(rest) // once: it is as long as the body, and nothing of it is known to be true
	for _, s := range c.secrets() {
		for _, base := range c.bases {
			mac := hmac.New(sha1.New, []byte(s.Text))
			mac.Write([]byte(base))
			mac.Write(signed)
			if !hmac.Equal(mac.Sum(nil), got) {
				continue
			}
			if !s.valid(at) {
				return Signed{}, refuse(envelope.ReasonKeyNotValid,
					"the secret %.80q is not valid at that time", s.ID)
			}
			return Signed{KeyID: s.ID, Head: base + rest, ID: id, Signature: value}, nil
		}
	}
	return Signed{}, refuse(envelope.ReasonBadSignature, "no secret made the signature")
}

// twilioSigned is the text that Twilio signs, after the base URL. An error says why the body is not
// covered, or could be read in two ways.
func twilioSigned(r Request) (string, error) {
	path, query, hasQuery := strings.Cut(r.Target, "?")
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(r.Target, notInTarget) {
		return "", refuse(envelope.ReasonMalformed, "the front end does not tell the path and the query "+
			"exactly")
	}
	var parameters []parameter
	var err error
	if hasQuery {
		if parameters, err = parseForm(query); err != nil {
			return "", twilioMalformed("query", err)
		}
	}
	for i, p := range parameters {
		if p.name != "bodySHA256" {
			continue
		}
		// Twilio appends it. Elsewhere it may be text from the parameters of a form, such as a message.
		if i != len(parameters)-1 || !strings.HasSuffix(query, "bodySHA256="+p.value) {
			return "", refuse(envelope.ReasonMalformed, "bodySHA256 is not at the end of the query")
		}
		return r.Target, checkBodySHA256(r.Body, p.value)
	}
	kind, err := r.HeaderValue("Content-Type")
	if err != nil {
		return "", err
	}
	if len(r.Body) == 0 {
		return r.Target, nil
	}
	if media, _, err := mime.ParseMediaType(kind); err != nil ||
		media != "application/x-www-form-urlencoded" {
		return "", refuse(envelope.ReasonUnsigned, "the signature does not cover the body: it is no form, "+
			"and the query has no bodySHA256")
	}
	if parameters, err = parseForm(string(r.Body)); err != nil {
		return "", twilioMalformed("form", err)
	}
	slices.SortFunc(parameters, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	var text strings.Builder
	text.WriteString(r.Target)
	for _, p := range parameters {
		text.WriteString(p.name)
		text.WriteString(p.value)
	}
	return text.String(), nil
}

var errTooMany = fmt.Errorf("has more than %d parameters", maxParameters)

func twilioMalformed(what string, err error) error {
	if errors.Is(err, errTooMany) {
		return refuse(envelope.ReasonTooLarge, "the %s %w", what, err)
	}
	return refuse(envelope.ReasonMalformed, "the %s %w", what, err)
}

// notInTarget are characters that no request line has as they are (RFC 9112, section 3.2).
func notInTarget(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' }

func checkBodySHA256(body []byte, text string) error {
	want, err := hex.DecodeString(text)
	if err != nil || len(want) != sha256.Size || hex.EncodeToString(want) != text {
		return refuse(envelope.ReasonMalformed, "bodySHA256 is not %d digits in lower-case hex",
			2*sha256.Size)
	}
	if sum := sha256.Sum256(body); subtle.ConstantTimeCompare(sum[:], want) != 1 {
		return refuse(envelope.ReasonBadSignature, "the body is not the one of bodySHA256")
	}
	return nil
}

type parameter struct{ name, value string }

// parseForm reads application/x-www-form-urlencoded text. It refuses a second parameter of one name,
// because the signature says nothing about the order and the number of those, and a reader may take the
// first or the last.
func parseForm(text string) ([]parameter, error) {
	var parameters []parameter
	if strings.Count(text, "&") >= maxParameters {
		return nil, errTooMany
	}
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		switch {
		case err != nil || strings.Contains(pair, ";"):
			return nil, errors.New("is not of the form name=value&name=value")
		case seen[name]:
			return nil, fmt.Errorf("has the parameter %.80q twice", name)
		}
		seen[name] = true
		parameters = append(parameters, parameter{name, value})
	}
	return parameters, nil
}
