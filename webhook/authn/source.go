package authn

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/sealbus/sealbus/envelope"
)

// Source is where a request has its token: the identity source of API Gateway.
type Source struct {
	header string // in canonical form; "" = it is in the query
	query  string
}

// ParseSource reads an identity source as API Gateway writes it:
//
//	$request.header.Authorization  $request.querystring.token          of an HTTP API
//	method.request.header.Authorization  method.request.querystring.token  of a REST API
//
// An empty one is refused: API Gateway then asks the authorizer about every request, also about one without a
// token. A token in the query stands in logs; prefer a header.
func ParseSource(text string) (Source, error) {
	rest, ok := strings.CutPrefix(text, "$request.")
	if !ok {
		rest, ok = strings.CutPrefix(text, "method.request.")
	}
	kind, name, _ := strings.Cut(rest, ".")
	switch {
	case ok && kind == "header" && isToken(name):
		return Source{header: textproto.CanonicalMIMEHeaderKey(name)}, nil
	case ok && kind == "querystring" && name != "":
		return Source{query: name}, nil
	}
	return Source{}, fmt.Errorf("authn: the identity source %.80q is not $request.header.NAME or "+
		"$request.querystring.NAME, as in $request.header.Authorization", text)
}

// isToken reports whether a name can be one of a header (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c|0x20 < 'a' || 'z' < c|0x20) && (c < '0' || '9' < c) &&
			!strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

// Token is the token of a request, or an *Error. In the header Authorization it follows the scheme Bearer, or
// stands alone, as API Gateway takes both. A header or parameter that stands twice is refused. Names of
// headers are in the form of net/http.
func (s Source) Token(header http.Header, query url.Values) (string, error) {
	values := query[s.query]
	if s.header != "" {
		values = header[s.header]
	}
	switch len(values) {
	case 0:
		return s.token("")
	case 1:
		return s.token(values[0])
	}
	return "", refuse(envelope.ReasonMalformed, "form", "the request has the place of its token twice")
}

// token is the token in the value of the header or parameter.
func (s Source) token(value string) (string, error) {
	switch {
	case value == "":
		return "", refuse(envelope.ReasonUnsigned, "form", "the request has no token")
	case s.header != "Authorization":
		return value, nil
	}
	scheme, token, ok := strings.Cut(value, " ")
	switch {
	case !ok:
		return value, nil
	case !strings.EqualFold(scheme, "Bearer"): // RFC 9110, section 11.1
		return "", refuse(envelope.ReasonUnsigned, "form", "the scheme of Authorization is not Bearer")
	}
	return token, nil
}
