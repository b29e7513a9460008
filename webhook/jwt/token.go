package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/webhook"
)

// clockSkew is how far the clock of the provider may be from ours.
const clockSkew = time.Minute

// kidText is the form of a key ID. It stands in requests and in errors.
var kidText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`) })

// verified is a token whose signature is genuine.
type verified struct {
	keyID   string
	input   string // the signed bytes: header and payload
	payload []byte
}

// verifyToken verifies a token in the compact form (RFC 7515, section 7.1).
func verifyToken(ctx context.Context, text string, alg jose.SignatureAlgorithm, keys source, at time.Time) (
	*verified, error,
) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, refuse(envelope.ReasonMalformed, "the token has not three parts")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = jsontext.Base64URL.AppendDecode(nil, []byte(part)); err != nil || part == "" {
			return nil, refuse(envelope.ReasonMalformed, "part %d of the token is not base64url", i+1)
		}
	}
	kid, err := readHeader(decoded[0], alg)
	if err != nil {
		return nil, err
	}
	key, err := keys.key(ctx, kid)
	if err != nil {
		return nil, err
	}
	if want := signatureSize(key.key); len(decoded[2]) != want {
		return nil, refuse(envelope.ReasonMalformed, "the signature has %d bytes, those of the key have %d",
			len(decoded[2]), want)
	}
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return nil, refuse(envelope.ReasonMalformed, "the token cannot be read")
	}
	payload, err := jws.Verify(key.key)
	switch {
	case err != nil:
		return nil, refuse(envelope.ReasonBadSignature, "the key %.80q did not make the signature", kid)
	case !key.valid(at):
		return nil, refuse(envelope.ReasonKeyNotValid, "the key %.80q is not valid at that time", kid)
	}
	return &verified{key.id, parts[0] + "." + parts[1], payload}, nil
}

func signatureSize(key any) int {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.Size()
	case *ecdsa.PublicKey:
		return 2 * ((key.Params().BitSize + 7) / 8) // r and s (RFC 7518, section 3.4)
	}
	return 0
}

// readHeader gives the key ID. A header with another member could change what is signed (b64), or bring its
// own key (jwk, x5c), and neither provider sends one.
func readHeader(text []byte, alg jose.SignatureAlgorithm) (kid string, err error) {
	var named, typ string
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		switch string(o.Name) {
		case "alg":
			named = d.String()
		case "kid":
			kid = d.String()
		case "typ":
			typ = d.String()
		default:
			d.Failf("the member %.40q is not read", o.Name)
			d.SkipValue()
		}
	}
	switch err := d.End(); {
	case err != nil:
		return "", refuse(envelope.ReasonMalformed, "the token's header: %w", err)
	case named != string(alg):
		return "", refuse(envelope.ReasonUnsupported, "the token's alg is not %s", alg)
	case typ != "" && typ != "JWT":
		return "", refuse(envelope.ReasonMalformed, "the token's typ is not JWT")
	case !kidText().MatchString(kid):
		return "", refuse(envelope.ReasonMalformed, "the token's kid is missing, or no key ID")
	}
	return kid, nil
}

// refuse is an error that the Verifier completes.
func refuse(reason envelope.Reason, format string, args ...any) *webhook.Error {
	return &webhook.Error{Reason: reason, Err: fmt.Errorf(format, args...)}
}
