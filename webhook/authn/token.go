package authn

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// maxToken is the longest token, in bytes. Cognito's have 1 to 4 KiB; most servers take headers of 8 KiB or
// 16 KiB.
const maxToken = 16 << 10

// header is what the header of a token says.
type header struct {
	alg, typ []byte // only compared
	kid      string
}

// verifySignature verifies a token in the compact form (RFC 7515, section 7.1) and gives its claims, which
// are not judged yet.
func verifySignature(ctx context.Context, text string, keys *Keys, allowPublished bool) (
	h header, claims []byte, err error,
) {
	if len(text) > maxToken {
		return h, nil, refuse(envelope.ReasonTooLarge, "form", "the token has more than %d bytes", maxToken)
	}
	headerText, rest, _ := strings.Cut(text, ".")
	claimsText, signatureText, _ := strings.Cut(rest, ".")
	if headerText == "" || claimsText == "" || signatureText == "" {
		return h, nil, refuse(envelope.ReasonMalformed, "form", "the token has not three parts")
	}
	room := make([]byte, 0, len(text))
	var parts [3][]byte
	for i, part := range [...]string{headerText, claimsText, signatureText} {
		from := len(room)
		if room, err = jsontext.Base64URL.AppendDecode(room, []byte(part)); err != nil {
			return h, nil, refuse(envelope.ReasonMalformed, "form",
				"part %d of the token is not canonical base64url", i+1)
		}
		parts[i] = room[from:len(room):len(room)]
	}
	if h, err = readHeader(parts[0]); err != nil {
		return h, nil, err
	}
	key, err := keys.key(ctx, h.kid)
	if err == nil {
		err = key.refusePublished(allowPublished)
	}
	switch {
	case err != nil:
		return h, nil, err
	case string(h.alg) != key.alg:
		return h, nil, refuse(envelope.ReasonUnsupported, "alg", "the token's alg is %.40q, the key's is %s",
			h.alg, key.alg)
	case !key.verifies(text[:len(headerText)+1+len(claimsText)], parts[2]):
		return h, nil, refuse(envelope.ReasonBadSignature, "signature",
			"the key %.80q did not make the signature", h.kid)
	}
	return h, parts[1], nil
}

// readHeader reads the header. Members that it does not know change nothing (RFC 7515, section 4), unless
// crit names them.
func readHeader(text []byte) (h header, err error) {
	refused := ""
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		switch name := string(o.Name); name {
		case "alg":
			h.alg = d.Bytes()
		case "kid":
			h.kid = d.String()
		case "typ":
			h.typ = d.Bytes()
		case "crit", "b64", "zip", "enc": // they change what is signed, or how it is read
			refused = name
			d.SkipValue()
		case "cty":
			if strings.EqualFold(strings.TrimPrefix(d.String(), "application/"), "jwt") {
				refused = name // a token within a token (RFC 7519, section 5.2)
			}
		default:
			d.SkipValue()
		}
	}
	switch err := d.End(); {
	case err != nil:
		return h, refuse(envelope.ReasonMalformed, "header", "the token's header: %w", err)
	case refused != "":
		return h, refuse(envelope.ReasonUnsupported, refused, "the token's header has %s", refused)
	case !isKeyID(h.kid):
		return h, refuse(envelope.ReasonMalformed, "kid", "the token's kid is missing, or no key ID")
	case len(h.alg) == 0:
		return h, refuse(envelope.ReasonMalformed, "alg", "the token has no alg")
	}
	return h, nil
}

// verifies reports whether the key made the signature over the input (RFC 7518, section 3; RFC 8037).
func (k *publicKey) verifies(input string, signature []byte) bool {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		sum := sha256.Sum256([]byte(input))
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		const half = 32 // RFC 7518, section 3.4: r and s, in 32 bytes each
		if len(signature) != 2*half {
			return false
		}
		sum := sha256.Sum256([]byte(input))
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return ecdsa.Verify(key, sum[:], r, s)
	case ed25519.PublicKey:
		return ed25519.Verify(key, []byte(input), signature)
	}
	return false
}
