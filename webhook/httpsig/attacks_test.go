package httpsig_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// attack is one thing that an attacker does to a genuine delivery.
type attack struct {
	name   string
	change func(t *testing.T, r webhook.Request) webhook.Request
	want   envelope.Reason
}

// set sets one field.
func set(name, value string) func(*testing.T, webhook.Request) webhook.Request {
	return func(_ *testing.T, r webhook.Request) webhook.Request {
		return without(r, name, webhook.Field{Name: name, Value: value})
	}
}

// add adds a line.
func add(name, value string) func(*testing.T, webhook.Request) webhook.Request {
	return func(_ *testing.T, r webhook.Request) webhook.Request {
		return without(r, "", webhook.Field{Name: name, Value: value})
	}
}

// edit replaces a text in a field, which must be there.
func edit(name, old, new string) func(*testing.T, webhook.Request) webhook.Request {
	return func(t *testing.T, r webhook.Request) webhook.Request {
		t.Helper()
		value := header(t, r, name)
		if !strings.Contains(value, old) {
			t.Fatalf("%q is not in %q", old, value)
		}
		return set(name, strings.Replace(value, old, new, 1))(t, r)
	}
}

// covering covers the content type, too.
var covering = &httpsig.Profile{Components: []string{"@method", "@target-uri", "content-type",
	"content-digest"}, Optional: []string{"x-note", "@path"}, Parameters: []string{"expires", "nonce"}}

// TestAttacks is the list of the attacks on a signed message, each with its Reason.
func TestAttacks(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	v := newVerifier(t, keysOf(signer), covering)
	genuine := delivery(t, signer, covering, now)
	wantReason(t, v, genuine, now, "")
	for _, list := range [][]attack{componentAttacks, labelAttacks, parameterAttacks, digestAttacks,
		fieldAttacks} {
		for _, a := range list {
			t.Run(a.name, func(t *testing.T) { wantReason(t, v, a.change(t, genuine), now, a.want) })
		}
	}
}

var componentAttacks = []attack{
	{"signature reused with another method", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Method = "PUT"
		return r
	}, envelope.ReasonBadSignature},
	{"signature reused on another path", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target = strings.Replace(r.Target, "orders", "admin", 1)
		return r
	}, envelope.ReasonBadSignature},
	{"signature reused with another query", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target = strings.Replace(r.Target, "tenant=7", "tenant=8", 1)
		return r
	}, envelope.ReasonBadSignature},
	{"path written in another way", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target = strings.Replace(r.Target, "orders", "%6frders", 1)
		return r
	}, envelope.ReasonBadSignature},
	{"target in absolute form", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target = "https://hooks.example" + r.Target
		return r
	}, envelope.ReasonMalformed},
	{"line break in the target", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target += "\n\"@method\": GET"
		return r
	}, envelope.ReasonMalformed},
	{"line break in the method", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Method += "\n"
		return r
	}, envelope.ReasonMalformed},
	{"component left out of the list", edit("Signature-Input", `"@target-uri" `, ""),
		envelope.ReasonUnsigned},
	{"body left out of the list", edit("Signature-Input", ` "content-digest"`, ""), envelope.ReasonUnsigned},
	{"component from the request, in a request", edit("Signature-Input", `"@method"`, `"@method";req`),
		envelope.ReasonMalformed},
	{"components in another order", edit("Signature-Input", `"@method" "@target-uri"`,
		`"@target-uri" "@method"`), envelope.ReasonBadSignature},
	{"component twice", edit("Signature-Input", `"@method"`, `"@method" "@method"`),
		envelope.ReasonMalformed},
	{"component in upper case", edit("Signature-Input", `"content-type"`, `"Content-Type"`),
		envelope.ReasonMalformed},
	{"unknown derived component", edit("Signature-Input", `"@method"`, `"@method" "@body"`),
		envelope.ReasonUnsupported},
	{"component that is not a string", edit("Signature-Input", `"@method"`, `@method`),
		envelope.ReasonMalformed},
	{"component of a dictionary", edit("Signature-Input", `"content-digest"`,
		`"content-digest";key="sha-256"`), envelope.ReasonUnsupported},
	{"component of the trailer", edit("Signature-Input", `"content-digest"`, `"content-digest";tr`),
		envelope.ReasonUnsupported},
	{"further component that the profile does not take", edit("Signature-Input", `"@method"`,
		`"@method" "x-other"`), envelope.ReasonUnsupported},
	{"further component that is not there", edit("Signature-Input", `"@method"`, `"@method" "x-note"`),
		envelope.ReasonBadSignature},
	{"further component that was not signed", edit("Signature-Input", `"@method"`, `"@method" "@path"`),
		envelope.ReasonBadSignature},
	{"status of a request", edit("Signature-Input", `"@method"`, `"@method" "@status"`),
		envelope.ReasonMalformed},
	{"33 components", edit("Signature-Input", `"@method"`, `"@method"`+strings.Repeat(` "@path"`, 29)),
		envelope.ReasonTooLarge},
}

var labelAttacks = []attack{
	{"second label is ignored", func(t *testing.T, r webhook.Request) webhook.Request {
		r = add("Signature-Input", `sig2=("@method");created=1;keyid="evil"`)(t, r)
		return add("Signature", "sig2=:AAAA:")(t, r)
	}, ""},
	{"second signature under the same label", func(t *testing.T, r webhook.Request) webhook.Request {
		return add("Signature", header(t, r, "Signature"))(t, r)
	}, envelope.ReasonMalformed},
	{"second input under the same label", func(t *testing.T, r webhook.Request) webhook.Request {
		return add("Signature-Input", header(t, r, "Signature-Input"))(t, r)
	}, envelope.ReasonMalformed},
	{"another label only", func(t *testing.T, r webhook.Request) webhook.Request {
		return edit("Signature-Input", "sig1=", "sig2=")(t, edit("Signature", "sig1=", "sig2=")(t, r))
	}, envelope.ReasonUnsigned},
	{"label of the signature without its input", edit("Signature-Input", "sig1=", "sig2="),
		envelope.ReasonMalformed},
	{"label of the input without its signature", edit("Signature", "sig1=", "sig2="),
		envelope.ReasonMalformed},
	{"label in upper case", edit("Signature", "sig1=", "Sig1="), envelope.ReasonMalformed},
	{"no signature", func(_ *testing.T, r webhook.Request) webhook.Request {
		return without(without(r, "Signature"), "Signature-Input")
	}, envelope.ReasonUnsigned},
	{"empty signature", set("Signature", "sig1=::"), envelope.ReasonBadSignature},
	{"signature that is a string", set("Signature", `sig1="AAAA"`), envelope.ReasonMalformed},
	{"signature with a parameter", func(t *testing.T, r webhook.Request) webhook.Request {
		return set("Signature", header(t, r, "Signature")+";a")(t, r)
	}, envelope.ReasonMalformed},
	{"input that is no list", set("Signature-Input", "sig1=1"), envelope.ReasonMalformed},
	{"trailing bits in the base64", func(t *testing.T, r webhook.Request) webhook.Request {
		value := []byte(header(t, r, "Signature"))
		value[len(value)-4]++ // A, Q, g or w, before "==:"
		return set("Signature", string(value))(t, r)
	}, envelope.ReasonMalformed},
	{"17 labels", func(t *testing.T, r webhook.Request) webhook.Request {
		for c := 'a'; c < 'a'+16; c++ {
			r = add("Signature", string(c)+"=::")(t, r)
		}
		return r
	}, envelope.ReasonTooLarge},
	{"huge field", set("Signature", "sig1=:"+strings.Repeat("AAAA", 1024)+":"), envelope.ReasonTooLarge},
}

var parameterAttacks = []attack{
	{"created changed", edit("Signature-Input", "created=1790000000", "created=1790000001"),
		envelope.ReasonBadSignature},
	{"created left out", edit("Signature-Input", ";created=1790000000", ""), envelope.ReasonUndated},
	{"created is a decimal", edit("Signature-Input", "created=1790000000", "created=1790000000.0"),
		envelope.ReasonMalformed},
	{"created is a string", edit("Signature-Input", "created=1790000000", `created="1790000000"`),
		envelope.ReasonMalformed},
	{"created is a date", edit("Signature-Input", "created=1790000000", "created=@1790000000"),
		envelope.ReasonMalformed},
	{"created is negative", edit("Signature-Input", "created=1790000000", "created=-1"),
		envelope.ReasonMalformed},
	{"created with a leading zero", edit("Signature-Input", "created=1790000000", "created=01790000000"),
		envelope.ReasonMalformed},
	{"created twice", edit("Signature-Input", ";created=1790000000", ";created=1;created=1790000000"),
		envelope.ReasonMalformed},
	{"name of a parameter in upper case", edit("Signature-Input", ";created=", ";Created="),
		envelope.ReasonMalformed},
	{"parameters in another order", func(t *testing.T, r webhook.Request) webhook.Request {
		r = edit("Signature-Input", ";created=1790000000", "")(t, r)
		return set("Signature-Input", header(t, r, "Signature-Input")+";created=1790000000")(t, r)
	}, envelope.ReasonBadSignature},
	{"white space that means nothing", edit("Signature-Input", `("@method" "@target-uri"`,
		`( "@method"   "@target-uri"`), ""},
	{"white space before a parameter", edit("Signature-Input", ";created", ";  created"), ""},
	{"obs-fold before a parameter", edit("Signature-Input", ";created", ";\r\n created"),
		envelope.ReasonMalformed},
	{"keyid left out", func(t *testing.T, r webhook.Request) webhook.Request {
		before, after, _ := strings.Cut(header(t, r, "Signature-Input"), ";keyid=")
		return set("Signature-Input", before+after[strings.Index(after, ";"):])(t, r)
	}, envelope.ReasonUnknownKey},
	{"unknown keyid", edit("Signature-Input", `;keyid="`, `;keyid="x`), envelope.ReasonUnknownKey},
	{"expires left out", edit("Signature-Input", ";expires=1790000300", ""), envelope.ReasonUnsigned},
	{"expires changed", edit("Signature-Input", ";expires=1790000300", ";expires=1790009999"),
		envelope.ReasonBadSignature},
	{"nonce changed", edit("Signature-Input", `;nonce="`, `;nonce="x`), envelope.ReasonBadSignature},
	{"tag of another application", edit("Signature-Input", ";created", `;tag="app";created`),
		envelope.ReasonAudienceMismatch},
	{"unknown alg", edit("Signature-Input", ";created", `;alg="none";created`), envelope.ReasonUnsupported},
	{"alg in upper case", edit("Signature-Input", ";created", `;alg="ED25519";created`),
		envelope.ReasonUnsupported},
	{"alg of another key", edit("Signature-Input", ";created", `;alg="ecdsa-p256-sha256";created`),
		envelope.ReasonUnsupported},
	{"alg that was not signed", edit("Signature-Input", ";created", `;alg="ed25519";created`),
		envelope.ReasonBadSignature},
	{"unknown parameter", edit("Signature-Input", ";created", `;context="x";created`),
		envelope.ReasonUnsupported},
	{"key confusion: an HMAC with the public key", func(t *testing.T, r webhook.Request) webhook.Request {
		return hmacOf(t, edit("Signature-Input", ";created", `;alg="hmac-sha256";created`)(t, r))
	}, envelope.ReasonUnsupported},
	{"key confusion without an alg", hmacOf, envelope.ReasonBadSignature},
}

// hmacOf puts a MAC in the place of the signature. No key of the receiver is a secret of a MAC.
func hmacOf(t *testing.T, r webhook.Request) webhook.Request {
	t.Helper()
	mac := hmac.New(sha256.New, []byte("the public key"))
	mac.Write([]byte(header(t, r, "Signature-Input")))
	return set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(mac.Sum(nil))+":")(t, r)
}

var digestAttacks = []attack{
	{"another body", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Body = []byte(strings.Replace(body, "paid", "open", 1))
		return r
	}, envelope.ReasonModified},
	{"no body", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Body = nil
		return r
	}, envelope.ReasonModified},
	{"another body with its digest", func(t *testing.T, r webhook.Request) webhook.Request {
		r.Body = []byte("{}")
		return set("Content-Digest", digestOf("{}"))(t, r)
	}, envelope.ReasonBadSignature},
	{"digest missing", func(_ *testing.T, r webhook.Request) webhook.Request {
		return without(r, "Content-Digest")
	}, envelope.ReasonBadSignature},
	{"second digest added", func(t *testing.T, r webhook.Request) webhook.Request {
		return add("Content-Digest", "sha-512=:AAAA:")(t, r)
	}, envelope.ReasonBadSignature},
}

var fieldAttacks = []attack{
	{"covered field changed", set("Content-Type", "text/html"), envelope.ReasonBadSignature},
	{"covered field removed", func(_ *testing.T, r webhook.Request) webhook.Request {
		return without(r, "Content-Type")
	}, envelope.ReasonBadSignature},
	{"covered field added twice", add("content-type", "application/json"), envelope.ReasonBadSignature},
	{"obs-fold", set("Content-Type", "application/json;\r\n charset=utf-8"), envelope.ReasonMalformed},
	{"line break that forges a component", set("Content-Type", "application/json\n\"@method\": GET"),
		envelope.ReasonMalformed},
	{"character beyond ASCII", set("Content-Type", "application/j\u00fcson"), envelope.ReasonMalformed},
	{"case of a value", set("Content-Type", "Application/JSON"), envelope.ReasonBadSignature},
	{"white space around a value", set("Content-Type", " application/json\t"), ""},
	{"field that is not covered", add("X-Forwarded-Host", "evil.example"), ""},
	{"base over the limit", set("Content-Type", strings.Repeat("a", 4000)), envelope.ReasonTooLarge},
}

// TestTargetURIComesFromTheConfiguration: a signature for another host passes by no field of the request.
func TestTargetURIComesFromTheConfiguration(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	req := newRequest(t)
	req.Host = "partner.example"
	check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, nil, now))
	r := webhook.FromHTTP(req, []byte(body))
	r.Header = append(r.Header, []webhook.Field{{Name: "Host", Value: "partner.example"},
		{Name: "X-Forwarded-Host", Value: "partner.example"}, {Name: "X-Forwarded-Proto", Value: "https"},
		{Name: "Forwarded", Value: "host=partner.example;proto=https"},
		{Name: "X-Original-URL", Value: "https://partner.example" + target},
		{Name: ":authority", Value: "partner.example"}}...)
	wantReason(t, newVerifier(t, keysOf(signer), nil), r, now, envelope.ReasonBadSignature)
	v, err := webhook.New(httpsig.Scheme(nil), "orders", keysOf(signer),
		&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: "https://partner.example"}})
	check(t, err)
	wantReason(t, v, r, now, "")
}

// TestAuthorityHasOneForm: case and the port of the scheme do not count (RFC 9421, section 2.2.3), others do.
func TestAuthorityHasOneForm(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	for called, bases := range map[string]map[string]envelope.Reason{
		"https://hooks.example": {"https://HOOKS.example:443": "",
			"http://hooks.example":     envelope.ReasonBadSignature,
			"https://hooks.example:80": envelope.ReasonBadSignature},
		"https://Hooks.Example:443":  {"https://hooks.example": ""},
		"http://hooks.example:80":    {"http://hooks.example": ""},
		"https://hooks.example:8443": {"https://hooks.example:8443": "", baseURL: envelope.ReasonBadSignature},
		"https://[::1]:443":          {"https://[::1]": ""},
	} {
		for base, want := range bases {
			req, err := http.NewRequest(http.MethodPost, called+target, nil)
			check(t, err)
			check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, nil, now))
			v, err := webhook.New(httpsig.Scheme(nil), "orders", keysOf(signer),
				&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: base}})
			check(t, err)
			wantReason(t, v, webhook.FromHTTP(req, []byte(body)), now, want)
		}
	}
}

// TestTimes: created counts both ways, to the second, and expires ends a signature before its age does.
func TestTimes(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	p := &httpsig.Profile{MaxAge: time.Minute}
	v := newVerifier(t, keysOf(signer), p)
	r := delivery(t, signer, p, now)
	wantReason(t, v, r, now.Add(time.Minute), "")
	wantReason(t, v, r, now.Add(time.Minute+1), envelope.ReasonExpired)
	wantReason(t, v, r, now.Add(-time.Minute), "")
	wantReason(t, v, r, now.Add(-time.Minute-1), envelope.ReasonFromFuture)

	short := &httpsig.Profile{MaxAge: time.Minute, Parameters: []string{"expires"}}
	wide := newVerifier(t, keysOf(signer), &httpsig.Profile{MaxAge: time.Hour})
	r = delivery(t, signer, short, now)
	wantReason(t, wide, r, now.Add(time.Minute), "")
	wantReason(t, wide, r, now.Add(time.Minute+1), envelope.ReasonExpired)
}

// TestDigestsOfTheSigner: a signer can state what is wrong, and it is refused all the same.
func TestDigestsOfTheSigner(t *testing.T) {
	signer := newSigner(t, keys.ES256)
	p := &httpsig.Profile{Components: []string{"@method", "@target-uri"},
		Optional: []string{"content-digest"}, UnsafePartial: true}
	strict := newVerifier(t, keysOf(signer), &httpsig.Profile{Components: p.Components, Optional: p.Optional})
	partial := newVerifier(t, keysOf(signer), p)
	r := delivery(t, signer, p, now) // the digest is not covered
	wantReason(t, partial, r, now, "")
	wantReason(t, strict, r, now, envelope.ReasonUnsigned)
	bodyless := r
	bodyless.Body = nil
	wantReason(t, strict, bodyless, now, "")

	good, other := digestOf(body), digestOf("{}")
	sha512 := "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJw" +
		"ew==:"
	for value, want := range map[string]envelope.Reason{
		good: "", other: envelope.ReasonModified,
		good + ", " + sha512: envelope.ReasonModified, sha512 + ", " + good: envelope.ReasonModified,
		good + ", " + other: envelope.ReasonMalformed, other + ", " + good: envelope.ReasonMalformed,
		"md5=:AAAA:, " + good: "", "md5=:AAAA:": envelope.ReasonUnsupported,
		"sha-256=:AAAA:": envelope.ReasonModified, "sha-256": envelope.ReasonMalformed,
		"sha-256=1": envelope.ReasonMalformed, "SHA-256=:AAAA:": envelope.ReasonMalformed,
		"sha-256=(1)": envelope.ReasonMalformed, good + ";a": envelope.ReasonMalformed,
		"": envelope.ReasonUnsupported,
	} {
		t.Run(value, func(t *testing.T) {
			wantReason(t, partial, set("Content-Digest", value)(t, r), now, want)
		})
	}
}
