package envelope

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/cejson"
	"github.com/sealbus/sealbus/internal/strictjson"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

// MaxSessionLife is the longest life that a delegation statement may give to a session key.
const MaxSessionLife = session.MaxLife

// statement is what a long-term key says of a session key: until when and for what it may sign.
type statement struct {
	session   *keys.Verifier
	notBefore time.Time
	notAfter  time.Time
	sources   []string
	types     []string
	hash      digest // SHA-256 of the statement's PAE, by which the event's payload binds it
}

var errStatement = errors.New("malformed delegation statement")

// openDelegation verifies a delegation under the bundle's keys and returns the statement with the keys
// that vouch for it. No key with the ID that it names: unknownKey.
func openDelegation(raw []byte, bundle *trust.Bundle) (*statement, []*trust.Key, error) {
	v := vouchers.find(raw)
	if v == nil {
		var err error
		if v, err = parseVoucher(raw); err != nil {
			return nil, nil, err
		}
	}
	known := bundle.Lookup(v.keyID)
	if len(known) == 0 {
		return nil, nil, unknownKey(v.keyID)
	}
	var delegators []*trust.Key
	for _, k := range known {
		if v.isBy(k.Verifier) {
			delegators = append(delegators, k)
		}
	}
	if len(delegators) == 0 {
		return nil, nil, unverifiable(v.keyID, known)
	}
	st, err := v.read()
	if err != nil {
		return nil, nil, err
	}
	vouchers.keep(raw, delegators[0].Producer, v)
	return st, delegators, nil
}

func parseStatement(doc []byte) (*statement, error) {
	st := &statement{}
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "session":
			st.session = readSession(&r)
		case "not_before":
			st.notBefore = readSeconds(&r)
		case "not_after":
			st.notAfter = readSeconds(&r)
		case "sources":
			st.sources = readScope(&r)
		case "types":
			st.types = readScope(&r)
		default:
			r.Fail(errStatement)
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	life := st.notAfter.Sub(st.notBefore)
	if st.session == nil || st.notBefore.IsZero() || st.notAfter.IsZero() || life <= 0 || life > MaxSessionLife {
		return nil, errStatement
	}
	return st, nil
}

// readSession reads the session JWK: an Ed25519 key (RFC 8037), with the thumbprint members only.
func readSession(r *strictjson.Reader) *keys.Verifier {
	var kty, crv, x string
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "kty":
			kty = r.String()
		case "crv":
			crv = r.String()
		case "x":
			x = r.String()
		default:
			r.Fail(errStatement)
		}
	}
	point, err := base64.RawURLEncoding.Strict().DecodeString(x)
	if err != nil || strings.ContainsAny(x, "\r\n") || kty != "OKP" || crv != "Ed25519" {
		r.Fail(errStatement)
		return nil
	}
	v, err := keys.NewVerifier(ed25519.PublicKey(point))
	if err != nil {
		r.Fail(errStatement)
		return nil
	}
	return v
}

func readSeconds(r *strictjson.Reader) time.Time {
	text := r.String()
	at, err := cejson.ParseTime(text)
	if err != nil || cejson.FormatSeconds(at) != text {
		r.Fail(errStatement)
	}
	return at
}

func readScope(r *strictjson.Reader) []string {
	var list []string
	for a := r.Array(); r.Element(&a); {
		if list = append(list, r.String()); len(list) > session.MaxPatterns { // each is compared with the event
			r.Fail(errStatement)
		}
	}
	return list
}

// acceptedAt reports whether the session key could sign at that time. Without a signed time of sealing
// there is nothing to hold the hour against.
func (st *statement) acceptedAt(sealed time.Time, skew time.Duration) bool {
	return !sealed.IsZero() && !sealed.Before(st.notBefore.Add(-skew)) && sealed.Before(st.notAfter)
}
