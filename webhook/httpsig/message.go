package httpsig

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// message is a request or a response.
type message struct {
	origin
	method, target string // of a request
	status         int    // of a response; 0 = a request
	// The header lines are in one of the two.
	lines  []webhook.Field
	header http.Header

	body    []byte
	request *message // that a response answers

	values []string // of the last field that was looked for
}

// Name is the name of the scheme, and the provider in errors.
const Name = "httpsig"

func refuse(reason envelope.Reason, format string, args ...any) error {
	return &webhook.Error{Reason: reason, Provider: Name, Err: fmt.Errorf(format, args...)}
}

// field are the values of all lines of that canonical name, in their order, until the next call.
func (m *message) field(name string) []string {
	if m.header != nil {
		return m.header[name]
	}
	m.values = m.values[:0]
	for i := range m.lines {
		if l := &m.lines[i]; len(l.Name) == len(name) && strings.EqualFold(l.Name, name) {
			m.values = append(m.values, l.Value)
		}
	}
	return m.values
}

// appendBase appends the signature base (RFC 9421, section 2.5). Params are the signature parameters with the
// list of the covered components, as text.
func (m *message) appendBase(base []byte, covered []component, params string) ([]byte, error) {
	var err error
	for _, c := range covered {
		base = c.append(base)
		base = append(base, ": "...)
		from := m
		if c.req {
			from = m.request
		}
		if base, err = from.appendValue(base, c); err != nil {
			return nil, err
		}
		base = append(base, '\n')
	}
	base = append(base, `"@signature-params": `...)
	base = append(base, params...)
	if len(base) > MaxBase {
		return nil, refuse(envelope.ReasonTooLarge, "the signature base has %d bytes, more than %d",
			len(base), MaxBase)
	}
	return base, nil
}

// append appends the identifier of the component: "@method" or "@method";req, with the quotation marks.
func (c component) append(dst []byte) []byte {
	dst = append(append(append(dst, '"'), c.name...), '"')
	if c.req {
		dst = append(dst, ";req"...)
	}
	return dst
}

// appendValue appends the value of a component (RFC 9421, sections 2.1 and 2.2).
func (m *message) appendValue(base []byte, c component) ([]byte, error) {
	if c.field != "" {
		return m.appendField(base, c)
	}
	if c.name == "@status" {
		return strconv.AppendInt(base, int64(m.status), 10), nil
	}
	if c.name == "@method" {
		if !isToken(m.method) {
			return nil, refuse(envelope.ReasonMalformed, "the method is none")
		}
		return append(base, m.method...), nil
	}
	if !isTarget(m.target) {
		return nil, refuse(envelope.ReasonMalformed, "the target is not a path, perhaps with a query, in ASCII")
	}
	path, query, _ := strings.Cut(m.target, "?")
	switch c.name {
	case "@target-uri":
		base = append(append(append(base, m.scheme...), "://"...), m.authority...)
		base = append(base, m.target...)
	case "@request-target":
		base = append(base, m.target...)
	case "@authority":
		base = append(base, m.authority...)
	case "@scheme":
		base = append(base, m.scheme...)
	case "@path":
		base = append(base, path...)
	case "@query": // "?" alone if there is none
		base = append(append(base, '?'), query...)
	}
	return base, nil
}

// isTarget reports whether s is a target in origin form (RFC 9112, section 3.2.1) with visible characters.
func isTarget(s string) bool {
	return strings.HasPrefix(s, "/") && len(s) <= webhook.MaxHeaderValue &&
		!strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' })
}

// appendField appends the values of all lines of a field, with ", " between them. A line that was folded
// (obs-fold) is refused, where RFC 9421 would unfold it: RFC 9112, section 5.2 leaves both to a server.
func (m *message) appendField(base []byte, c component) ([]byte, error) {
	values := m.field(c.field)
	if len(values) == 0 {
		return nil, refuse(envelope.ReasonBadSignature, "the field %.80s is covered, and not there", c.name)
	}
	for i, v := range values {
		if i > 0 {
			base = append(base, ", "...)
		}
		v = strings.Trim(v, " \t")
		if len(base)+len(v) > MaxBase {
			return nil, refuse(envelope.ReasonTooLarge, "the signature base has more than %d bytes", MaxBase)
		}
		if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c > '~' }) {
			return nil, refuse(envelope.ReasonMalformed,
				"the field %.80s has a line break, or another character that is not visible ASCII", c.name)
		}
		base = append(base, v...)
	}
	return base, nil
}

// dictionary reads a field that is a dictionary (RFC 9651, section 3.2); nil = there is none.
//
// Structured fields have a member or a parameter that stands twice be the last one. Another program on the
// way may take the first. So a text is refused that would be written in another way, but for spaces, which
// programs add and remove when they put lines together.
func (m *message) dictionary(field string) (*httpsfv.Dictionary, error) {
	lines := m.field(field)
	if len(lines) == 0 {
		return nil, nil
	}
	text := lines[0]
	if len(lines) > 1 {
		text = strings.Join(lines, ", ")
	}
	if len(text) > webhook.MaxHeaderValue {
		return nil, refuse(envelope.ReasonTooLarge, "the field %s has %d bytes, more than %d", field,
			len(text), webhook.MaxHeaderValue)
	}
	d, err := httpsfv.UnmarshalDictionary([]string{text})
	if err != nil {
		return nil, refuse(envelope.ReasonMalformed, "the field %s is no dictionary", field)
	}
	again, err := httpsfv.Marshal(d)
	switch {
	case err != nil || !isSame(text, again):
		return nil, refuse(envelope.ReasonMalformed,
			"the field %s has something twice, or in another than its one form", field)
	case len(d.Names()) > webhook.MaxSignatures:
		return nil, refuse(envelope.ReasonTooLarge, "the field %s has more than %d members", field,
			webhook.MaxSignatures)
	}
	return d, nil
}

// isSame compares two texts, but for spaces and tabs.
func isSame(a, b string) bool {
	isBlank := func(c byte) bool { return c == ' ' || c == '\t' }
	for {
		for a != "" && isBlank(a[0]) {
			a = a[1:]
		}
		for b != "" && isBlank(b[0]) {
			b = b[1:]
		}
		if a == "" || b == "" {
			return a == b
		}
		if a[0] != b[0] {
			return false
		}
		a, b = a[1:], b[1:]
	}
}

// checkDigest compares each digest of the field Content-Digest that is taken, SHA-256 and SHA-512, with the
// raw body (RFC 9530, section 2). Others are ignored. No field is no error: the signature tells whether it
// must be there.
func (m *message) checkDigest() error {
	d, err := m.dictionary(digest.field)
	if d == nil || err != nil {
		return err
	}
	found := false
	for _, algorithm := range d.Names() {
		var sum []byte
		switch algorithm {
		case "sha-256":
			s := sha256.Sum256(m.body)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(m.body)
			sum = s[:]
		default:
			continue
		}
		found = true
		stated, err := bytesOf(d, algorithm)
		switch {
		case err != nil:
			return refuse(envelope.ReasonMalformed, "the field Content-Digest: %w", err)
		case subtle.ConstantTimeCompare(sum, stated) != 1:
			return refuse(envelope.ReasonModified, "the digest %s is not that of the body", algorithm)
		}
	}
	if !found {
		return refuse(envelope.ReasonUnsupported, "the field Content-Digest has neither sha-256 nor sha-512")
	}
	return nil
}

// bytesOf is the member of that name, a byte sequence without parameters.
func bytesOf(d *httpsfv.Dictionary, name string) ([]byte, error) {
	m, _ := d.Get(name)
	item, ok := m.(httpsfv.Item)
	if !ok {
		return nil, errNoBytes
	}
	value, ok := item.Value.([]byte)
	if !ok || len(item.Params.Names()) > 0 {
		return nil, errNoBytes
	}
	return value, nil
}

var errNoBytes = errors.New("a member is not a byte sequence without parameters")
