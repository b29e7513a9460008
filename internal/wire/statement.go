package wire

import (
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// MaxPatterns is the most patterns of sources, and of types, in one Statement: each is compared with the
// event.
const MaxPatterns = 64

// Statement is what a long-term key says of a session key: when, and for what, the session key may sign.
type Statement struct {
	Session             ed25519.PublicKey // not checked to be a point of the curve
	NotBefore, NotAfter time.Time         // in whole seconds; NotAfter is excluded
	Sources, Types      []string          // patterns, as they stand
}

// ReadStatement reads the payload of a delegation: all five members and no other. With an error, the members
// that were read before it come back, for a reader that only shows them.
func ReadStatement(doc []byte) (*Statement, error) {
	s := &Statement{}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "session":
			s.Session = readSessionKey(&r)
		case "not_before", "not_after":
			text := r.String()
			at, err := ParseTime(text)
			if err != nil || FormatSeconds(at) != text {
				r.Failf("%s is not a UTC timestamp in whole seconds", name)
			} else if name == "not_before" {
				s.NotBefore = at
			} else {
				s.NotAfter = at
			}
		case "sources", "types":
			list := &s.Sources
			if name == "types" {
				list = &s.Types
			}
			for a := r.Array(); r.Element(&a); {
				if *list = append(*list, r.String()); len(*list) > MaxPatterns {
					r.Failf("more than %d patterns in %s", MaxPatterns, name)
				}
			}
		default:
			r.Failf("unknown member %.80q", name)
		}
	}
	if s.Session == nil || s.NotBefore.IsZero() || s.NotAfter.IsZero() {
		r.Fail(errors.New("session, not_before or not_after is missing"))
	}
	return s, r.End()
}

// readSessionKey reads an Ed25519 key as a JWK (RFC 8037 section 2) that has its thumbprint members only.
func readSessionKey(r *jsontext.Decoder) ed25519.PublicKey {
	var kty, crv string
	var x []byte
	for obj := r.Object(); r.Member(&obj); {
		var err error
		switch string(obj.Name) {
		case "kty":
			kty = r.String()
		case "crv":
			crv = r.String()
		case "x":
			x, err = jsontext.DecodeBase64URL(nil, r.Bytes())
		default:
			r.Failf("unknown member %.80q in the session key", obj.Name)
		}
		if err != nil {
			r.Failf("the session key is not an Ed25519 key")
		}
	}
	if len(x) != ed25519.PublicKeySize || kty != "OKP" || crv != "Ed25519" {
		r.Failf("the session key is not an Ed25519 key")
		return nil
	}
	return x
}
