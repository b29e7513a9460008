package authn

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// claims are the claims that are judged. They are signed by the issuer, and not judged yet.
type claims struct {
	iss, tokenUse                   []byte // only compared
	sub, clientID, azp, scope, jti  string
	aud, groups, cognitoGroups      []string
	exp, nbf, iat                   date
	hasUse, hasAud, hasScope, bound bool // token_use, aud, scope and cnf are there
}

// date is a NumericDate (RFC 7519, section 2).
type date struct {
	time time.Time
	is   bool // the claim is there
}

// readClaims reads the claims that are judged, and steps over the others, which are strict JSON all the same.
func readClaims(text []byte) (c claims, err error) {
	at := "claims"
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		if !c.read(&d, string(o.Name)) {
			d.SkipValue()
			continue
		}
		if d.Err() != nil {
			at = string(o.Name)
		}
	}
	if err := d.End(); err != nil {
		return c, refuse(envelope.ReasonMalformed, at, "the token's claims: %w", err)
	}
	return c, nil
}

// read reads a claim that is judged, each of which has one type. It is false for other claims.
func (c *claims) read(d *jsontext.Decoder, name string) bool {
	switch name {
	case "iss":
		c.iss = d.Bytes()
	case "sub":
		c.sub = d.String()
	case "client_id":
		c.clientID = d.String()
	case "azp":
		c.azp = d.String()
	case "token_use":
		c.tokenUse = d.Bytes()
		c.hasUse = true
	case "scope":
		c.scope = d.String()
		c.hasScope = true
	case "jti":
		c.jti = d.String()
	case "aud":
		if d.PeekKind() == '"' {
			c.aud = []string{d.String()}
		} else {
			c.aud = readStrings(d)
		}
		c.hasAud = true
	case "groups":
		c.groups = readGroups(d)
	case "cognito:groups":
		c.cognitoGroups = readStrings(d)
	case "exp":
		c.exp = readDate(d)
	case "nbf":
		c.nbf = readDate(d)
	case "iat":
		c.iat = readDate(d)
	case "cnf":
		c.bound = true
		d.SkipValue()
	default:
		return false
	}
	return true
}

func readStrings(d *jsontext.Decoder) []string {
	list := []string{}
	for a := d.Array(); d.Element(&a); {
		list = append(list, d.String())
	}
	return list
}

// readGroups reads groups as RFC 9068, section 2.2.3.1 has them from SCIM: texts. Objects, which SCIM also
// allows, name no group here.
func readGroups(d *jsontext.Decoder) (list []string) {
	if d.PeekKind() != '[' {
		d.SkipValue()
		return nil
	}
	for a := d.Array(); d.Element(&a); {
		if d.PeekKind() == '"' {
			list = append(list, d.String())
		} else {
			d.SkipValue()
		}
	}
	return list
}

// maxDate is the end of the year 9999. Later times do not survive all readers.
const maxDate = 253402300799

// readDate reads a NumericDate in plain digits, with or without a fraction, of which nanoseconds count.
func readDate(d *jsontext.Decoder) date {
	text := string(d.ReadValue())
	if d.Err() != nil {
		return date{}
	}
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	nanos, _ := strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
	if err != nil || text[0] == '-' || n > maxDate ||
		strings.Trim(fraction, "0123456789") != "" {
		d.Failf("a time was expected at offset %d: seconds since 1970, in plain digits", d.Offset())
		return date{}
	}
	return date{time.Unix(n, int64(nanos)).UTC(), true}
}

// judge judges the claims at that time (RFC 9068, section 4; RFC 7519, section 4.1). The order is that of the
// questions: who issued it, for what use, when, for whom.
func (v *Verifier) judge(h header, c *claims, at time.Time) error {
	if string(c.iss) != v.issuer {
		return refuse(envelope.ReasonSourceNotAllowed, "iss", "the token's issuer is %.200q", c.iss)
	}
	if err := v.judgeUse(h, c); err != nil {
		return err
	}
	leeway := v.opts.Leeway
	switch {
	case c.bound:
		return refuse(envelope.ReasonUnsupported, "cnf",
			"the token is bound to a key of the caller, whose proof is not verified here")
	case !c.exp.is:
		return refuse(envelope.ReasonUndated, "exp", "the token has no exp")
	case !at.Add(-leeway).Before(c.exp.time):
		return refuse(envelope.ReasonExpired, "exp", "the token expired at %s", c.exp.time.Format(time.RFC3339))
	case c.nbf.is && at.Add(leeway).Before(c.nbf.time):
		return refuse(envelope.ReasonFromFuture, "nbf", "the token is not valid before %s",
			c.nbf.time.Format(time.RFC3339))
	case c.iat.is && at.Add(leeway).Before(c.iat.time):
		return refuse(envelope.ReasonFromFuture, "iat", "the token is issued at %s",
			c.iat.time.Format(time.RFC3339))
	}
	if v.opts.IDTokens {
		return v.judgeIDClient(c)
	}
	return v.judgeAudience(c)
}

// judgeUse tells access tokens and id tokens apart: by token_use, which Cognito writes into both, or by the
// typ of RFC 9068, section 2.1. A token that says neither could be either.
func (v *Verifier) judgeUse(h header, c *claims) error {
	typ := strings.TrimPrefix(strings.ToLower(string(h.typ)), "application/") // RFC 7515, section 4.1.9
	isAccess, isJWT, says := typ == "at+jwt", typ == "" || typ == "jwt", c.hasUse
	switch {
	case !isAccess && !isJWT:
		return refuse(envelope.ReasonTypeNotAllowed, "typ", "the token's typ is %.40q", h.typ)
	case !v.opts.IDTokens && says && string(c.tokenUse) != "access":
		return refuse(envelope.ReasonTypeNotAllowed, "token_use", "the token's token_use is %.40q, not access",
			c.tokenUse)
	case !v.opts.IDTokens && !says && !isAccess:
		return refuse(envelope.ReasonTypeNotAllowed, "typ",
			"neither typ (at+jwt) nor token_use (access) says that it is an access token")
	case v.opts.IDTokens && says && string(c.tokenUse) != "id":
		return refuse(envelope.ReasonTypeNotAllowed, "token_use", "the token's token_use is %.40q, not id",
			c.tokenUse)
	case v.opts.IDTokens && (isAccess || !says && (c.clientID != "" || c.hasScope)): // Keycloak's have a scope
		return refuse(envelope.ReasonTypeNotAllowed, "typ", "it is an access token, not an id token")
	}
	return nil
}

// judgeAudience judges for which API and of which client an access token is. A token that names an audience
// is for that one only, so it is refused where no audience is configured. RFC 9068, section 2.2 has each
// token name one. Cognito's, which have token_use, need not.
func (v *Verifier) judgeAudience(c *claims) error {
	if len(v.opts.ClientIDs) > 0 && !slices.Contains(v.opts.ClientIDs, c.clientID) {
		return refuse(envelope.ReasonSourceNotAllowed, "client_id", "the token is of the client %.200q",
			c.clientID)
	}
	if (len(v.opts.Audiences) > 0 || c.hasAud || !c.hasUse) && !overlap(c.aud, v.opts.Audiences) {
		return refuse(envelope.ReasonAudienceMismatch, "aud", "the token is for the audience %.200q",
			strings.Join(c.aud, " "))
	}
	return nil
}

// judgeIDClient judges for which client an id token is (OpenID Connect Core, section 3.1.3.7).
func (v *Verifier) judgeIDClient(c *claims) error {
	if !overlap(c.aud, v.opts.ClientIDs) {
		return refuse(envelope.ReasonAudienceMismatch, "aud", "the token is for the client %.200q",
			strings.Join(c.aud, " "))
	}
	if (len(c.aud) > 1 || c.azp != "") && !slices.Contains(v.opts.ClientIDs, c.azp) {
		return refuse(envelope.ReasonSourceNotAllowed, "azp", "the token is of the client %.200q", c.azp)
	}
	return nil
}

// overlap reports whether a text is in both lists.
func overlap(one, other []string) bool {
	return slices.ContainsFunc(one, func(s string) bool { return slices.Contains(other, s) })
}
