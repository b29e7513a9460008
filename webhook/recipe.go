package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
)

func schemes() []Scheme { return append([]Scheme{recipe{}}, goSchemes()...) }

// recipe is GitHub's, for a start.
type recipe struct{}

func (recipe) Name() string { return "github" }

func (recipe) Open(secrets []Secret, _ SchemeOptions) (Checker, error) {
	if len(secrets) == 0 {
		return nil, errNoSecret
	}
	return checker{secrets}, nil
}

type checker struct{ secrets []Secret }

func (c checker) Check(_ context.Context, r Request, at time.Time) (Signed, error) {
	value, err := r.HeaderValue("X-Hub-Signature-256")
	if err != nil {
		return Signed{}, err
	}
	if value == "" {
		return Signed{}, refuse(envelope.ReasonUnsigned, "no header X-Hub-Signature-256")
	}
	text, ok := strings.CutPrefix(value, "sha256=")
	got, err := hex.DecodeString(text)
	if !ok || err != nil || len(got) != sha256.Size {
		return Signed{}, refuse(envelope.ReasonMalformed, "the header X-Hub-Signature-256 is not sha256= and 64 digits")
	}
	for i := range c.secrets {
		mac := hmac.New(sha256.New, []byte(c.secrets[i].Text))
		mac.Write(r.Body)
		if !hmac.Equal(mac.Sum(nil), got) {
			continue
		}
		if !c.secrets[i].valid(at) {
			return Signed{}, refuse(envelope.ReasonKeyNotValid, "the secret %.80q is not valid now", c.secrets[i].ID)
		}
		id, err := r.HeaderValue("X-GitHub-Delivery")
		return Signed{KeyID: c.secrets[i].ID, Body: true, ID: id, Signature: sha256.Sum256([]byte(value))}, err
	}
	return Signed{}, refuse(envelope.ReasonBadSignature, "no secret made the signature")
}

// ParseRecipe reads a recipe of your own.
func ParseRecipe(doc []byte) (Scheme, error) { return recipe{}, nil }
