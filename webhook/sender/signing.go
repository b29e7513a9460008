package sender

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// Signing signs the request of one attempt. It is safe for concurrent use.
type Signing interface {
	// Sign adds headers to the request, which has its URL, its content type and Webhook-Id. The body is that of
	// the message, byte for byte. The time is that of the attempt. An error that wraps ErrUnsignable ends the
	// delivery, any other one is an attempt that failed.
	Sign(ctx context.Context, req *http.Request, body []byte, at time.Time) error
}

// ErrUnsignable means that a message can never be signed.
var ErrUnsignable = errors.New("sender: the message cannot be signed")

// maxServiceMessage is what AWS KMS signs with an Ed25519 key, in bytes. v1a signs the whole body, so a
// longer one is refused before the service is called.
const maxServiceMessage = 4096

// standard is what StandardWebhooks makes.
type standard struct {
	secrets []webhook.Secret
	signers []keys.Signer
}

// StandardWebhooks signs as Standard Webhooks 1.0.0 says, with all secrets that are valid at the time of the
// attempt: "whsec_" signs v1, "whsk_" signs v1a, and one header has all signatures. During a rotation the old
// secret and the new one stand side by side. Signers are Ed25519 keys for v1a, which may be in a key
// management service. That signs at most 4,096 bytes, ID, time and body together: see HTTPSignature.
func StandardWebhooks(secrets []webhook.Secret, signers ...keys.Signer) (Signing, error) {
	if len(secrets)+len(signers) == 0 {
		return nil, errors.New("sender: Standard Webhooks without a secret and without a key")
	}
	if err := nilcheck.Each("sender: signers", signers); err != nil {
		return nil, err
	}
	for _, s := range signers {
		if alg := s.Verifier().Algorithm(); alg != keys.Ed25519 {
			return nil, fmt.Errorf("sender: v1a is signed by Ed25519 keys, and %s is %s", s.Verifier().KeyID(), alg)
		}
	}
	own := slices.Clone(secrets)
	for i := range own { // the dates do not count here: each must be able to sign
		s := webhook.Secret{ID: own[i].ID, Text: own[i].Text}
		if _, err := webhook.Sign("check", time.Unix(1, 0), nil, []webhook.Secret{s}); err != nil {
			return nil, fmt.Errorf("sender: %w", err)
		}
	}
	return &standard{own, slices.Clone(signers)}, nil
}

// Format prints no secret, whatever the verb.
func (s *standard) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sender.StandardWebhooks") }

// MarshalText gives encoding/json and log/slog the text that is printed.
func (s *standard) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

func (s *standard) Sign(ctx context.Context, req *http.Request, body []byte, at time.Time) error {
	id := req.Header.Get(headerID)
	stamp := strconv.FormatInt(at.Unix(), 10)
	req.Header.Set("Webhook-Timestamp", stamp)
	list := ""
	if slices.ContainsFunc(s.secrets, func(secret webhook.Secret) bool { return isValid(&secret, at) }) {
		fields, err := webhook.Sign(id, at, body, s.secrets)
		if err != nil {
			return err
		}
		list = fields[len(fields)-1].Value
	}
	var message []byte
	for _, signer := range s.signers {
		if message == nil {
			message = append([]byte(id+"."+stamp+"."), body...)
		}
		if !inMemory(signer) && len(message) > maxServiceMessage {
			return fmt.Errorf("%w: v1a by a key service takes at most %d bytes, and this has %d", ErrUnsignable,
				maxServiceMessage, len(message))
		}
		signature, err := signer.Sign(ctx, message)
		if err != nil {
			return err
		}
		if list != "" {
			list += " "
		}
		list += "v1a," + base64.StdEncoding.EncodeToString(signature)
	}
	if list == "" {
		return errors.New("sender: no secret is valid now")
	}
	req.Header.Set("Webhook-Signature", list)
	return nil
}

func isValid(s *webhook.Secret, at time.Time) bool {
	return (s.NotBefore.IsZero() || !at.Before(s.NotBefore)) && (s.NotAfter.IsZero() || !at.After(s.NotAfter))
}

// inMemory reports whether the signer says that it makes no calls.
func inMemory(s keys.Signer) bool {
	m, ok := s.(interface{ InMemory() bool })
	return ok && m.InMemory()
}

// signature is what HTTPSignature makes.
type signature struct {
	signer  keys.Signer
	profile httpsig.Profile
}

// HTTPSignature signs as RFC 9421 and RFC 9530 say, by an Ed25519 or P-256 key, which may be in a key
// management service, whatever the size of the body. A nil Profile covers "@method", "@target-uri",
// "content-digest" and "webhook-id"; receivers need a Profile with the same. Every Profile must name
// "webhook-id" as ID and cover it: a receiver would otherwise take two attempts for two deliveries. A Profile
// by which no delivery could be signed is refused here, because each would die of it in the end.
func HTTPSignature(signer keys.Signer, p *httpsig.Profile) (Signing, error) {
	if err := nilcheck.Check("sender: the signer", signer); err != nil {
		return nil, err
	}
	if p == nil {
		p = &httpsig.Profile{ID: coveredID,
			Components: []string{"@method", "@target-uri", "content-digest", coveredID}}
	}
	if p.ID != coveredID || !slices.Contains(p.Components, coveredID) {
		return nil, fmt.Errorf("sender: the profile must have the ID %q and cover it", coveredID)
	}
	s := &signature{signer, *p}
	s.profile.Components, s.profile.Parameters = slices.Clone(p.Components), slices.Clone(p.Parameters)
	d := Delivery{Key: Key{ID: "check"}, ContentType: "application/json", Body: []byte("{}")}
	req, err := newRequest(context.Background(), "https://check.example/", &d)
	if err == nil {
		err = httpsig.Sign(context.Background(), req, d.Body, rehearsal{signer}, &s.profile, time.Unix(1, 0))
	}
	if err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	return s, nil
}

// rehearsal is a signer that signs nothing and calls no service.
type rehearsal struct{ keys.Signer }

func (rehearsal) Sign(context.Context, []byte) ([]byte, error) { return make([]byte, 64), nil }

const coveredID = "webhook-id"

func (s *signature) Sign(ctx context.Context, req *http.Request, body []byte, at time.Time) error {
	err := httpsig.Sign(ctx, req, body, s.signer, &s.profile, at)
	if e, ok := errors.AsType[*webhook.Error](err); ok && e.Reason == envelope.ReasonTooLarge {
		return fmt.Errorf("%w: %w", ErrUnsignable, err)
	}
	return err
}

// unsigned is what Unsigned makes.
type unsigned struct{}

// Unsigned adds no signature: for sealed events, which carry their own (see Sender.Relay). The receiver is a
// webhook.Events, or another verifier of sealed events. Anything else that is sent so can be forged.
func Unsigned() Signing { return unsigned{} }

func (unsigned) Sign(context.Context, *http.Request, []byte, time.Time) error { return nil }
