package apigateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/webhook/authn"
)

// appendContext writes the identity as the context of an answer. All values are texts, because API Gateway
// makes texts of them on some ways: a REST API turns true into "true". Groups are a JSON array in a text, so
// that none can look like two.
func appendContext(out []byte, id *authn.Identity) []byte {
	groups := jsontext.AppendStrings(nil, id.Groups)
	out = append(out, '{')
	for i, pair := range [...][2]string{{"iss", id.Issuer}, {"sub", id.Subject}, {"client_id", id.ClientID},
		{"scope", strings.Join(id.Scopes, " ")}, {"groups", string(groups)}, {"jti", id.TokenID},
		{"exp", strconv.FormatInt(id.Expires.Unix(), 10)}} {
		if i > 0 {
			out = append(out, ',')
		}
		out = jsontext.AppendQuote(append(jsontext.AppendQuote(out, pair[0]), ':'), pair[1])
	}
	return append(out, '}')
}

// ReadOptions are optional settings of IdentityOf and ClaimsOf.
type ReadOptions struct {
	// IDTokens takes the claims of id tokens, and not those of access tokens. The built-in authorizers let id
	// tokens through where access tokens are meant. false = the claims of access tokens only.
	IDTokens bool
}

// IdentityOf is the caller in an event that a function behind API Gateway gets: from the context of an
// Authorizer here, or from the claims that the JWT authorizer of an HTTP API and the Cognito authorizer of a
// REST API leave. Those have no types: the JWT authorizer writes groups as "[admin editor]", the Cognito
// authorizer as "admin,editor", and so it makes two groups of one that has a comma in its name. The opts may
// be nil.
//
// Claims of the built-in authorizers are those of an access token if token_use says so. Without it, as other
// issuers than Cognito write them, they have a client_id (RFC 9068, section 2.2), which id tokens have not.
//
// The event is not signed: it is believed because API Gateway alone may invoke the function. Claims and KeyID
// of the Identity are empty. The error says that there is no caller, or one that can be read in two ways.
func IdentityOf(payload json.RawMessage, opts *ReadOptions) (*authn.Identity, error) {
	claims, form, err := readClaims(payload, opts)
	if err != nil {
		return nil, err
	}
	return identity(claims, form)
}

// Claims are the claims of a caller, or the context of an Authorizer, as texts: API Gateway makes texts of
// most of them.
type Claims map[string]string

// ClaimsOf are the claims of the caller that IdentityOf gives.
func ClaimsOf(payload json.RawMessage, opts *ReadOptions) (Claims, error) {
	claims, form, err := readClaims(payload, opts)
	if err == nil {
		_, err = identity(claims, form)
	}
	if err != nil {
		return nil, err
	}
	return claims, nil
}

// Bool is a claim that is true or false, such as email_verified. It is an error if the caller has no such
// claim, or if it is neither "true" nor "false".
func (c Claims) Bool(name string) (bool, error) {
	switch c[name] {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("apigateway: the claim %.80q is missing, or neither true nor false", name)
}

// readClaims reads the claims of the one caller, and says which authorizer left them.
func readClaims(payload []byte, opts *ReadOptions) (claims Claims, form string, err error) {
	if opts == nil {
		opts = &ReadOptions{}
	}
	var found []Claims
	var forms []string
	version := ""
	d := jsontext.NewDecoder(payload)
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) == "version" && d.PeekKind() == '"' {
			version = d.String()
			continue
		}
		if string(o.Name) != "requestContext" {
			d.SkipValue()
			continue
		}
		for c := d.Object(); d.Member(&c); {
			if string(c.Name) != "authorizer" || d.PeekKind() != '{' {
				d.SkipValue()
				continue
			}
			found, forms = readAuthorizer(&d)
		}
	}
	switch {
	case d.End() != nil:
		return nil, "", d.Err()
	case len(found) != 1:
		return nil, "", errors.New("apigateway: the event has no authorizer that names the caller, or several")
	}
	claims, form = found[0], forms[0]
	if form == "claims" && version != "" { // an event of a REST API has no version
		form = "jwt"
	}
	isID := claims["token_use"] == "id" || claims["token_use"] == "" && claims["client_id"] == ""
	isAccess := claims["token_use"] == "access" || claims["token_use"] == "" && claims["client_id"] != ""
	if form != "lambda" && (opts.IDTokens && !isID || !opts.IDTokens && !isAccess) {
		return nil, "", errors.New("apigateway: the claims are not those of an access token, " +
			"or not of an id token where these are asked for")
	}
	return claims, form, nil
}

// readAuthorizer reads requestContext.authorizer: the texts in it, and in lambda, claims and jwt.claims.
func readAuthorizer(d *jsontext.Decoder) (found []Claims, forms []string) {
	flat := Claims{}
	for o := d.Object(); d.Member(&o); {
		switch name := string(o.Name); {
		case d.PeekKind() == '"':
			flat[name] = d.String()
		case d.PeekKind() == '{' && (name == "lambda" || name == "claims"):
			found, forms = append(found, readTexts(d)), append(forms, name)
		case d.PeekKind() == '{' && name == "jwt":
			for j := d.Object(); d.Member(&j); {
				if string(j.Name) == "claims" && d.PeekKind() == '{' {
					found, forms = append(found, readTexts(d)), append(forms, "jwt")
				} else {
					d.SkipValue()
				}
			}
		default:
			d.SkipValue()
		}
	}
	if flat["iss"] != "" {
		found, forms = append(found, flat), append(forms, "lambda")
	}
	return found, forms
}

// readTexts reads an object whose values are texts, numbers, true and false, and skips other values.
func readTexts(d *jsontext.Decoder) Claims {
	texts := Claims{}
	for o := d.Object(); d.Member(&o); {
		name := string(o.Name)
		switch d.PeekKind() {
		case '"':
			texts[name] = d.String()
		case '0', 't', 'f':
			texts[name] = string(d.ReadValue())
		default:
			d.SkipValue()
		}
	}
	return texts
}

// split splits at that character only; no text gives no parts.
func split(text, at string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, at)
}

func identity(claims Claims, form string) (*authn.Identity, error) {
	id := &authn.Identity{Issuer: claims["iss"], Subject: claims["sub"], ClientID: claims["client_id"],
		TokenID: claims["jti"], Scopes: split(claims["scope"], " ")}
	if id.ClientID == "" && claims["token_use"] != "access" && !strings.HasPrefix(claims["aud"], "[") {
		id.ClientID = claims["aud"] // of an id token
	}
	switch groups := claims["cognito:groups"]; {
	case form == "lambda":
		d := jsontext.NewDecoder([]byte(claims["groups"]))
		for a := d.Array(); d.Element(&a); {
			id.Groups = append(id.Groups, d.String())
		}
		if d.End() != nil {
			return nil, errors.New("apigateway: the groups in the context are no JSON array")
		}
	case groups == "":
	case form == "jwt": // "[admin editor]"; names of groups have no spaces
		id.Groups = split(strings.TrimSuffix(strings.TrimPrefix(groups, "["), "]"), " ")
	default:
		id.Groups = strings.Split(groups, ",")
	}
	if id.Issuer == "" || id.Subject == "" && id.ClientID == "" {
		return nil, errors.New("apigateway: the authorizer names no issuer, or no caller")
	}
	if seconds, err := strconv.ParseInt(claims["exp"], 10, 64); err == nil {
		id.Expires = time.Unix(seconds, 0).UTC()
	} else if t, err := time.Parse("Mon Jan 02 15:04:05 UTC 2006", claims["exp"]); err == nil {
		id.Expires = t // as the Cognito authorizer writes it
	}
	return id, nil
}
