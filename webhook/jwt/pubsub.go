package jwt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/onefetch"
	"github.com/sealbus/sealbus/webhook"
)

// googleKeys is the JWK Set of Google (https://accounts.google.com/.well-known/openid-configuration).
const googleKeys = "https://www.googleapis.com/oauth2/v3/certs"

// GooglePubSub is Google Pub/Sub push with authentication
// (https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions). The audience and the email of the
// service account are those of the subscription. Every customer of Google can have tokens for any audience,
// so both count.
//
// The token does not cover the body. It is a password that is good for up to an hour: TLS alone protects
// the message. Google sends one token with many messages, and one message again with another token. So the
// replay key is made of the subscription and the message ID, which are reported as not signed.
//
// The name is google-pubsub. Secrets are JWK Sets in the place of Google's; without any they are fetched.
func GooglePubSub(audience, email string, opts *Options) webhook.Scheme {
	return &pubsub{audience, email, opts}
}

type pubsub struct {
	audience, email string
	opts            *Options
}

func (*pubsub) Name() string { return "google-pubsub" }

// Describe describes the scheme.
func (*pubsub) Describe() webhook.Description {
	return webhook.Description{Title: "Google Pub/Sub push",
		See:       "https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions",
		Signature: "Authorization: Bearer ", Signed: "the token; not the body", Algorithm: "RS256 (JWT)",
		Secret: "none; or a JWK Set, in the place of Google's", Time: "exp and iat of the token, 60 s",
		ID: "body /message/messageId, not signed"}
}

// Open refuses a scheme without audience and email.
func (p *pubsub) Open(secrets []webhook.Secret, _ webhook.SchemeOptions) (webhook.Checker, error) {
	if p.audience == "" || p.email == "" {
		return nil, errors.New("no audience or no email: take both from the push subscription")
	}
	if err := p.opts.check(); err != nil {
		return nil, err
	}
	c := &pubsubChecker{pubsub: p}
	if len(secrets) == 0 {
		c.keys = newGoogleSource(p.opts.transport())
		return c, nil
	}
	keys, err := configured(secrets, jose.RS256)
	if err != nil {
		return nil, err
	}
	c.keys = keys
	return c, nil
}

// googleSource are the keys of Google.
type googleSource struct{ document[keySet] }

func newGoogleSource(via http.RoundTripper) *googleSource {
	s := new(googleSource)
	s.fetch = func(ctx context.Context) (keySet, error) {
		text, err := onefetch.Get(ctx, via, googleKeys)
		if err != nil {
			return nil, err
		}
		return parseKeys(text, jose.RS256)
	}
	return s
}

// key asks for newer keys if none has that ID, but only now and then: a forger can invent IDs.
func (s *googleSource) key(ctx context.Context, kid string) (*publicKey, error) {
	keys, err := s.get(ctx, maxAge)
	if err == nil && keys[kid] == nil {
		keys, err = s.get(ctx, minAge)
	}
	if err != nil {
		return nil, refuse(envelope.ReasonTrustUnavailable, "Google's keys cannot be fetched: %w", err)
	}
	return keys.key(ctx, kid)
}

type pubsubChecker struct {
	*pubsub
	keys source
}

func (c *pubsubChecker) Check(ctx context.Context, r webhook.Request, at time.Time) (webhook.Signed, error) {
	value, err := r.HeaderValue("Authorization")
	if err != nil {
		return webhook.Signed{}, err
	}
	token, ok := strings.CutPrefix(value, "Bearer ")
	if !ok {
		return webhook.Signed{}, refuse(envelope.ReasonUnsigned,
			"no header Authorization with a Bearer token")
	}
	verified, err := verifyToken(ctx, token, jose.RS256, c.keys, at)
	if err != nil {
		return webhook.Signed{}, err
	}
	if err := c.judge(verified.payload, at); err != nil {
		return webhook.Signed{}, err
	}
	id, subscription, err := readPush(r.Body)
	if err != nil {
		return webhook.Signed{}, refuse(envelope.ReasonMalformed, "the body is no push message: %w", err)
	}
	return webhook.Signed{KeyID: verified.keyID, Head: subscription + "\n" + id, ID: id, Signature: token,
		Subject: subscription}, nil
}

// judge judges the claims of the token (RFC 7519, section 4.1). The token has no time of the delivery: it
// may be an hour old. So its times are judged here.
func (c *pubsubChecker) judge(payload []byte, at time.Time) error {
	var iss, aud, email string
	var verified bool
	var iat, exp int64
	d := jsontext.NewDecoder(payload)
	for o := d.Object(); d.Member(&o); {
		switch string(o.Name) {
		case "iss":
			iss = d.String()
		case "aud":
			aud = d.String()
		case "email":
			email = d.String()
		case "email_verified":
			verified = string(d.ReadValue()) == "true"
		case "iat":
			iat = d.Int()
		case "exp":
			exp = d.Int()
		default:
			d.SkipValue()
		}
	}
	switch err := d.End(); {
	case err != nil:
		return refuse(envelope.ReasonMalformed, "the claims: %w", err)
	case iss != "https://accounts.google.com" && iss != "accounts.google.com":
		return refuse(envelope.ReasonSourceNotAllowed, "the token is not issued by accounts.google.com")
	case aud != c.audience:
		return refuse(envelope.ReasonAudienceMismatch, "the token is for the audience %.200q", aud)
	case email != c.email || !verified:
		return refuse(envelope.ReasonSourceNotAllowed,
			"the token is that of the account %.200q (verified: %t)", email, verified)
	case iat <= 0 || exp <= 0:
		return refuse(envelope.ReasonMalformed, "the token has no iat or no exp")
	case !at.Before(time.Unix(exp, 0).Add(clockSkew)):
		return refuse(envelope.ReasonExpired, "the token expired at %s",
			time.Unix(exp, 0).UTC().Format(time.RFC3339))
	case at.Before(time.Unix(iat, 0).Add(-clockSkew)):
		return refuse(envelope.ReasonFromFuture, "the token is issued at %s",
			time.Unix(iat, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// readPush reads a wrapped push message
// (https://cloud.google.com/pubsub/docs/payload-unwrapping#wrapped_messages).
func readPush(body []byte) (id, subscription string, err error) {
	var old string
	d := jsontext.NewDecoder(body)
	for o := d.Object(); d.Member(&o); {
		switch string(o.Name) {
		case "message":
			for m := d.Object(); d.Member(&m); {
				switch string(m.Name) {
				case "messageId":
					id = d.String()
				case "message_id":
					old = d.String()
				default:
					d.SkipValue()
				}
			}
		case "subscription":
			subscription = d.String()
		default:
			d.SkipValue()
		}
	}
	switch {
	case d.End() != nil:
		return "", "", d.Err()
	case id == "" || subscription == "":
		return "", "", errors.New("it has no message.messageId or no subscription: turn payload unwrapping " +
			"off")
	case old != "" && old != id:
		return "", "", errors.New("it has two message IDs")
	case len(id) > maxID || strings.ContainsAny(id+subscription, "\n"):
		return "", "", fmt.Errorf("its ID has more than %d bytes, or a line break", maxID)
	}
	return id, subscription, nil
}

// maxID bounds an ID, in bytes: it is kept and logged. Google's have 20 digits.
const maxID = 256
