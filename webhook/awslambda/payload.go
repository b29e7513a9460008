package awslambda

import (
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/webhook"
)

// payload is what is read of an invocation. Members that are not read may be anything.
type payload struct {
	version, method, path, rawPath, rawQuery string
	sourceIP                                 string // of the one who called the front end; a load balancer says none
	fullPath                                 string // of payload 1.0, with the stage that the sender called
	elb                                      bool
	single, multi                            []webhook.Field // header lines; nil = the member is not there
	query, multiQuery                        []webhook.Field
	cookies                                  []string
	body                                     []byte
	base64                                   bool
}

// parse reads a payload of that front end.
func parse(doc []byte, front FrontEnd) (webhook.Request, error) {
	p, err := read(doc)
	if err == nil {
		err = p.check(front)
	}
	if err != nil {
		return webhook.Request{}, err
	}
	r := webhook.Request{Method: p.method, Header: p.single, Body: p.body, Peer: p.sourceIP}
	if front == RESTAPI || front == ALBMultiValue {
		r.Header = p.multi
	}
	if len(p.cookies) > 0 { // payload 2.0 takes them out of the headers
		r.Header = append(r.Header, webhook.Field{Name: "Cookie", Value: strings.Join(p.cookies, "; ")})
	}
	if p.base64 {
		if r.Body, err = jsontext.Base64.AppendDecode(nil, p.body); err != nil {
			return webhook.Request{}, fmt.Errorf("the body of the payload: %w", err)
		}
	}
	r.Target = p.target(front)
	return r, nil
}

// check refuses a payload of another front end.
func (p *payload) check(front FrontEnd) error {
	var fits bool
	switch front {
	case FunctionURL, HTTPAPI:
		fits = p.version == "2.0" && p.rawPath != "" && !p.elb
	case RESTAPI:
		fits = (p.version == "" || p.version == "1.0") && p.multi != nil && !p.elb && p.rawPath == ""
	case ALB:
		fits = p.elb && p.multi == nil && p.multiQuery == nil && p.single != nil
	case ALBMultiValue:
		fits = p.elb && p.single == nil && p.query == nil && p.multi != nil
	}
	if !fits || p.method == "" {
		return fmt.Errorf(
			"the payload is not that of the front end %v: is another one in front of the function?",
			front,
		)
	}
	return nil
}

// target is path and query as the sender wrote them, or "" if that cannot be told.
func (p *payload) target(front FrontEnd) string {
	path, query, known := p.rawPath, p.rawQuery, true
	switch front {
	case HTTPAPI: // https://github.com/middleapi/standard-server/pull/93: rawPath is decoded
		known = isPlain(path)
	case RESTAPI:
		path = p.fullPath
		if path == "" {
			path = p.path
		}
		query, known = onlyParameter(p.multiQuery)
		known = known && isPlain(path)
	case ALBMultiValue:
		path = p.path
		query, known = onlyParameter(p.multiQuery)
	case ALB:
		path, known = p.path, len(p.query) == 0
	}
	if !known || !strings.HasPrefix(path, "/") {
		return ""
	}
	if query != "" {
		return path + "?" + query
	}
	return path
}

// onlyParameter is the query that has one parameter at most, if it can have been written in one way only.
func onlyParameter(list []webhook.Field) (query string, known bool) {
	switch {
	case len(list) == 0:
		return "", true
	case len(list) > 1 || list[0].Name == "" || list[0].Value == "" ||
		!isUnreserved(list[0].Name) || !isUnreserved(list[0].Value):
		return "", false
	}
	return list[0].Name + "=" + list[0].Value, true
}

// isPlain reports whether a decoded path has no character that the sender may have had to escape.
func isPlain(path string) bool { return isUnreserved(strings.ReplaceAll(path, "/", "")) }

// isUnreserved reports whether text has unreserved characters only: RFC 3986, section 2.3. An escaped one of
// these means the same, and no sender escapes them.
func isUnreserved(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~') {
			return false
		}
	}
	return true
}

// read reads the members that any front end has.
func read(doc []byte) (*payload, error) {
	p := &payload{}
	d := jsontext.NewDecoder(doc)
	for obj := d.Object(); d.Member(&obj); {
		if d.PeekKind() == 'n' { // null: the member is not there
			d.SkipValue()
			continue
		}
		switch string(obj.Name) {
		case "version":
			p.version = d.String()
		case "httpMethod":
			p.method = d.String()
		case "path":
			p.path = d.String()
		case "rawPath":
			p.rawPath = d.String()
		case "rawQueryString":
			p.rawQuery = d.String()
		case "requestContext":
			p.readContext(&d)
		case "headers":
			p.single = readFields(&d, false)
		case "multiValueHeaders":
			p.multi = readFields(&d, true)
		case "queryStringParameters":
			p.query = readFields(&d, false)
		case "multiValueQueryStringParameters":
			p.multiQuery = readFields(&d, true)
		case "cookies":
			for list := d.Array(); d.Element(&list); {
				p.cookies = append(p.cookies, d.String())
			}
		case "body":
			p.body = d.Bytes()
		case "isBase64Encoded":
			p.base64 = d.PeekKind() == 't'
			d.SkipValue()
		default:
			d.SkipValue()
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("the payload: %w", err)
	}
	return p, nil
}

// readContext reads the members of requestContext.
func (p *payload) readContext(d *jsontext.Decoder) {
	for obj := d.Object(); d.Member(&obj); {
		switch name := string(obj.Name); {
		case name == "elb":
			p.elb = true
			d.SkipValue()
		case name == "path" && d.PeekKind() == '"':
			p.fullPath = d.String()
		case (name == "http" || name == "identity") && d.PeekKind() == '{':
			for inner := d.Object(); d.Member(&inner); {
				switch member := string(inner.Name); {
				case member == "method" && name == "http":
					p.method = d.String()
				case member == "sourceIp" && d.PeekKind() == '"':
					p.sourceIP = d.String()
				default:
					d.SkipValue()
				}
			}
		default:
			d.SkipValue()
		}
	}
}

// readFields reads an object of strings, or of lists of strings: a Field for each. An object without members
// gives an empty list, which is not nil.
func readFields(d *jsontext.Decoder, lists bool) []webhook.Field {
	fields := []webhook.Field{}
	for obj := d.Object(); d.Member(&obj); {
		name := string(obj.Name)
		if !lists {
			fields = append(fields, webhook.Field{Name: name, Value: d.String()})
			continue
		}
		for list := d.Array(); d.Element(&list); {
			fields = append(fields, webhook.Field{Name: name, Value: d.String()})
		}
	}
	return fields
}
