package apigateway

import (
	"encoding/json"
	"errors"
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

// IdentityOf is the caller in an event that a function behind API Gateway gets: from the context of an
// Authorizer here, or from the claims that the JWT authorizer of an HTTP API and the Cognito authorizer of a
// REST API leave. Those have no types: groups are "[admin editor]" or "admin,editor". So the Cognito
// authorizer makes two groups of one that has a comma in its name.
//
// The event is not signed: it is believed because API Gateway alone may invoke the function. Claims and KeyID
// of the Identity are empty. The error says that there is no caller, or one that can be read in two ways.
func IdentityOf(payload json.RawMessage) (*authn.Identity, error) {
	var found []map[string]string
	var forms []string
	d := jsontext.NewDecoder(payload)
	for o := d.Object(); d.Member(&o); {
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
		return nil, d.Err()
	case len(found) != 1:
		return nil, errors.New("apigateway: the event has no authorizer that names the caller, or several")
	}
	return identity(found[0], forms[0])
}

// readAuthorizer reads requestContext.authorizer: the texts in it, and in lambda, claims and jwt.claims.
func readAuthorizer(d *jsontext.Decoder) (found []map[string]string, forms []string) {
	flat := map[string]string{}
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

func readTexts(d *jsontext.Decoder) map[string]string {
	texts := map[string]string{}
	for o := d.Object(); d.Member(&o); {
		name := string(o.Name)
		if d.PeekKind() == '"' {
			texts[name] = d.String()
		} else {
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

func identity(claims map[string]string, form string) (*authn.Identity, error) {
	id := &authn.Identity{Issuer: claims["iss"], Subject: claims["sub"], ClientID: claims["client_id"],
		TokenID: claims["jti"], Scopes: split(claims["scope"], " ")}
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
	} // the Cognito authorizer writes a date in words, such as "Mon Sep 21 12:00:00 UTC 2026"
	return id, nil
}
