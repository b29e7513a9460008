package httpsig

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxBase bounds the signature base, in bytes: AWS KMS signs no longer message with an Ed25519 key. A longer
// one is too_large, in signing and in verifying.
const MaxBase = 4096

const (
	maxComponents = 32              // of one signature: each is looked for in all header lines
	defaultMaxAge = 5 * time.Minute // as Standard Webhooks
	defaultLabel  = "sig1"
)

// Profile is what a signature covers and says. The sender and the receiver agree on it. The zero value is
// strict. A component is the name of a field in lower case, or a derived one such as "@method" (RFC 9421,
// section 2.2). In the Profile of a response, ";req" after a name takes it from the request (section 2.4):
// "signature;req" binds the response to one signed request.
type Profile struct {
	// Label is the label of the signature; "" = "sig1". Others are ignored.
	Label string
	// Components are what each signature must cover, and what Sign covers in this order; nil = "@method",
	// "@target-uri" and "content-digest". Of a response: "@status", "content-digest", "@method;req" and
	// "@target-uri;req". The method and the whole target must be among them. A body is refused if
	// "content-digest" is not.
	Components []string
	// Optional are what a signature may cover, too; nil = nothing. A signature that covers anything else is
	// refused.
	Optional []string
	// Parameters are parameters that each signature must have beside created and keyid, and that Sign writes:
	// "alg", "expires" and "nonce"; nil = none. Where a signature has one without need, it counts as well.
	Parameters []string
	// Tag is the parameter tag, by which two applications with one key tell their signatures apart; "" = a
	// signature with a tag is of another application.
	Tag string
	// KeyID is the parameter keyid that Sign writes; "" = the ID of the key.
	KeyID string
	// ID is the field with the ID of the delivery, such as "webhook-id". It is one of Components. "" = there
	// is none, and a delivery that is signed anew is another one.
	ID string
	// MaxAge is how far the parameter created may be from the judging time, both ways, and after which time
	// a signature of Sign expires; 0 = 5 minutes. In whole seconds.
	MaxAge time.Duration
	// BaseURL is the scheme and the authority of a request that a response answers, as the client calls them,
	// such as "https://api.example"; "" = those of Response.Request.URL. A server has to set it. Requests
	// do not use it: see webhook.SchemeOptions.
	BaseURL string

	// UnsafePartial true: Components may leave out the method, the target or, while there is a body, its
	// digest. An attacker who has a signed message can then change what is not covered.
	UnsafePartial bool
}

// component is one covered component.
type component struct {
	name  string // "@method", "content-type"
	field string // the canonical name of the field: "Content-Type"; "" = a derived component
	req   bool   // of the request, in the signature of a response
}

var (
	method, digest = component{name: "@method"}, component{name: "content-digest", field: "Content-Digest"}
	status         = component{name: "@status"}
	target         = component{name: "@target-uri"}
)

// ofRequest is the component of the request that a response answers.
func (c component) ofRequest() component {
	c.req = true
	return c
}

// isDerived reports whether there is a derived component of that name, and whether it is one of responses.
func isDerived(name string) (derived, ofResponse bool) {
	switch name {
	case "@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query":
		return true, false
	case "@status":
		return true, true
	}
	return false, false
}

// newComponent refuses what does not exist, and what a message of that kind does not have.
func newComponent(name string, req, response bool) (component, error) {
	c := component{name: name, req: req}
	if req && !response {
		return c, fmt.Errorf(`"%.80s";req in a request: only a response has a request`, name)
	}
	if !strings.HasPrefix(name, "@") {
		if !isToken(name) || name != strings.ToLower(name) {
			return c, fmt.Errorf("%.80q is not the name of a field in lower case", name)
		}
		c.field = http.CanonicalHeaderKey(name)
		return c, nil
	}
	derived, ofResponse := isDerived(name)
	switch {
	case !derived:
		return c, fmt.Errorf("the component %.80q is %w", name, errUnsupported)
	case ofResponse != (response && !req):
		return c, fmt.Errorf("%.80q (req: %t) is not a component of this message", name, req)
	}
	return c, nil
}

var errUnsupported = errors.New("not supported")

// isToken is RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// rules are a Profile that was checked.
type rules struct {
	Profile
	response bool
	must     []component
	may      []component
	origin   origin // of BaseURL
}

var (
	defaultRequest  = sync.OnceValues(func() (*rules, error) { return new(Profile).compile(false) })
	defaultResponse = sync.OnceValues(func() (*rules, error) { return new(Profile).compile(true) })
)

// rulesOf are those of a Profile; nil = the zero one.
func rulesOf(p *Profile, response bool) (*rules, error) {
	switch {
	case p != nil:
		return p.compile(response)
	case response:
		return defaultResponse()
	}
	return defaultRequest()
}

func (p *Profile) compile(response bool) (*rules, error) {
	r := &rules{Profile: *p, response: response}
	r.Parameters = slices.Clone(r.Parameters)
	if r.Label == "" {
		r.Label = defaultLabel
	}
	if r.MaxAge == 0 {
		r.MaxAge = defaultMaxAge
	}
	if r.Components == nil {
		r.must = []component{method, target, digest}
		if response {
			r.must = []component{status, digest, method.ofRequest(), target.ofRequest()}
		}
	}
	var err error
	if r.must, err = appendComponents(r.must, r.Components, response); err != nil {
		return nil, err
	}
	if r.may, err = appendComponents(slices.Clone(r.must), r.Optional, response); err != nil {
		return nil, err
	}
	if r.origin, err = parseOrigin(r.BaseURL); err != nil && r.BaseURL != "" {
		return nil, err
	}
	if !isLabel(r.Label) {
		return nil, fmt.Errorf("the label %.80q is no key of a structured field", r.Label)
	}
	if r.MaxAge < time.Second || r.MaxAge%time.Second != 0 {
		return nil, fmt.Errorf("a MaxAge of %s: give whole seconds", r.MaxAge)
	}
	for _, text := range []string{r.Tag, r.KeyID} {
		if !isPlain(text) {
			return nil, fmt.Errorf(`%.80q has other characters than visible ASCII without " and \`, text)
		}
	}
	for i, name := range r.Parameters {
		if name != "alg" && name != "expires" && name != "nonce" || slices.Contains(r.Parameters[:i], name) {
			return nil, fmt.Errorf(`the parameter %.80q: give "alg", "expires" or "nonce", each once`, name)
		}
	}
	return r, r.covers()
}

// covers refuses a Profile that leaves out what an attacker could change then.
func (r *rules) covers() error {
	has := func(name string) bool {
		return slices.ContainsFunc(r.must, func(c component) bool {
			return c.name == name && c.req == (r.response && c.name != "@status")
		})
	}
	isField := func(c component) bool { return c.name == r.ID && c.field != "" && !c.req }
	switch {
	case r.ID != "" && !slices.ContainsFunc(r.must, isField):
		return fmt.Errorf("the field %.80q of the ID is not one of Components", r.ID)
	case r.UnsafePartial:
		return nil
	case !has("@method"):
		return errors.New("Components leave @method out: a signature could be sent with another method")
	case !has("@target-uri") &&
		!(has("@authority") && (has("@request-target") || has("@path") && has("@query"))):
		return errors.New("Components leave the target out: a signature could be sent to another address. " +
			"Cover @target-uri, or @authority with @request-target, or @authority, @path and @query")
	case r.response && !has("@status"):
		return errors.New("Components leave @status out: a signed error could become a success")
	}
	return nil
}

// appendComponents parses components as a Profile has them.
func appendComponents(list []component, texts []string, response bool) ([]component, error) {
	if len(list)+len(texts) > maxComponents {
		return nil, fmt.Errorf("more than %d components", maxComponents)
	}
	for _, text := range texts {
		name, req := strings.CutSuffix(text, ";req")
		c, err := newComponent(name, req, response)
		switch {
		case err != nil:
			return nil, err
		case c.name == "host":
			return nil, errors.New("the field host is not at hand everywhere: cover @authority")
		case !c.req && (c.name == "signature" || c.name == "signature-input"):
			return nil, fmt.Errorf("a signature does not cover the field %s", c.name)
		case slices.Contains(list, c):
			return nil, fmt.Errorf("the component %.80q stands twice", text)
		}
		list = append(list, c)
	}
	return list, nil
}

// isLabel is a key of a structured field (RFC 9651, section 3.1.2).
func isLabel(s string) bool {
	return s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] == '*') &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-.*") == ""
}

// isPlain reports whether s stands in a structured field without escapes.
func isPlain(s string) bool {
	return len(s) <= 256 && !strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' || c > '~' || c == '"' || c == '\\'
	})
}

// origin is a scheme and an authority as RFC 9421, sections 2.2.3 and 2.2.4 have them.
type origin struct{ scheme, authority string }

// parseOrigin reads a base URL.
func parseOrigin(base string) (origin, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme+"://"+u.Host != base {
		return origin{}, fmt.Errorf(`BaseURL is %.80q: it must be the scheme and the authority that the `+
			`sender calls, such as "https://hooks.example"`, base)
	}
	return newOrigin(u.Scheme, u.Host)
}

// newOrigin brings the authority into its normal form: lower case, without the port of the scheme.
func newOrigin(scheme, host string) (origin, error) {
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	host = strings.TrimSuffix(strings.ToLower(host), port)
	isWrong := func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`/\?#@"`, c) }
	if port == "" || host == "" || strings.HasSuffix(host, ":") || strings.ContainsFunc(host, isWrong) {
		return origin{}, fmt.Errorf("%.80q is no address over http or https", scheme+"://"+host)
	}
	return origin{scheme, host}, nil
}
