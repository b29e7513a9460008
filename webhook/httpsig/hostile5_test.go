package httpsig_test

import (
	"bufio"
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

var withID = &httpsig.Profile{Components: []string{"@method", "@target-uri", "content-digest", "webhook-id"},
	ID: "webhook-id"}

// TestBlanksMakeNoOtherID: the base has a value without the blanks around it, and HTTP/2 keeps them. So a
// captured delivery must not become another one by blanks around its ID.
func TestBlanksMakeNoOtherID(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	v := newVerifier(t, keysOf(signer), withID)
	req := newRequest(t)
	req.Header.Set("Webhook-Id", "msg_1")
	check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, withID, now))
	genuine := webhook.FromHTTP(req, []byte(body))
	first, err := v.Verify(t.Context(), genuine, now)
	check(t, err)
	for _, id := range []string{" msg_1", "msg_1 ", "\tmsg_1", " \t msg_1 \t",
		strings.Repeat(" ", 1000) + "msg_1"} {
		again, err := v.Verify(t.Context(), set("Webhook-Id", id)(t, genuine), now)
		check(t, err)
		if got, signed := again.ID(); got != "msg_1" || !signed || again.Replay() != first.Replay() {
			t.Errorf("%.20q is another delivery, with the ID %.20q", id, got)
		}
	}
	for _, id := range []string{"msg_1\v", "msg _1", "\u00a0msg_1", "\"msg_1\""} {
		if _, err := v.Verify(t.Context(), set("Webhook-Id", id)(t, genuine), now); err == nil {
			t.Errorf("%q is verified", id)
		}
	}
	req = newRequest(t)
	req.Header.Set("Webhook-Id", " ")
	check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, withID, now))
	wantReason(t, v, webhook.FromHTTP(req, []byte(body)), now, envelope.ReasonMalformed)
}

// TestSecondFormOfASignature: to each ECDSA signature (r, s) there is (r, n-s), which anyone can compute. It
// is the same delivery.
func TestSecondFormOfASignature(t *testing.T) {
	signer := newSigner(t, keys.ES256)
	for name, p := range map[string]*httpsig.Profile{"no ID": nil,
		"nonce": {Parameters: []string{"nonce"}}} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, keysOf(signer), p)
			genuine := delivery(t, signer, p, now)
			first, err := v.Verify(t.Context(), genuine, now)
			check(t, err)
			text := strings.TrimSuffix(strings.TrimPrefix(header(t, genuine, "Signature"), "sig1=:"), ":")
			raw, err := base64.StdEncoding.DecodeString(text)
			check(t, err)
			s := new(big.Int).SetBytes(raw[32:])
			s.Sub(elliptic.P256().Params().N, s).FillBytes(raw[32:])
			other := set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(raw)+":")(t, genuine)
			again, err := v.Verify(t.Context(), other, now)
			check(t, err)
			if again.Replay() != first.Replay() || again.SignatureDigest() == first.SignatureDigest() {
				t.Error("it is another delivery, or the same signature")
			}
		})
	}
}

// moreAttacks are structured fields of which a lax parser makes something else.
var moreAttacks = []attack{
	{"component as binary", edit("Signature-Input", `"content-type"`, `"content-type";bs`),
		envelope.ReasonUnsupported},
	{"component written anew", edit("Signature-Input", `"content-digest"`, `"content-digest";sf`),
		envelope.ReasonUnsupported},
	{"component with a parameter that is false", edit("Signature-Input", `"@method"`, `"@method";req=?0`),
		envelope.ReasonUnsupported},
	{"component with a parameter that says true", edit("Signature-Input", `"@method"`, `"@method";req=?1`),
		envelope.ReasonMalformed},
	{"component with an unknown parameter", edit("Signature-Input", `"@method"`, `"@method";x`),
		envelope.ReasonUnsupported},
	{"query parameter", edit("Signature-Input", `"@method"`, `"@method" "@query-param";name="tenant"`),
		envelope.ReasonUnsupported},
	{"list in the list", edit("Signature-Input", `("@method"`, `(("@method")`), envelope.ReasonMalformed},
	{"component with a blank", edit("Signature-Input", `"content-type"`, `"content-type "`),
		envelope.ReasonMalformed},
	{"component without a name", edit("Signature-Input", `"content-type"`, `""`), envelope.ReasonMalformed},
	{"name with a line break", edit("Signature-Input", `"content-type"`, "\"content-type\n\""),
		envelope.ReasonMalformed},
	{"component that is escaped", edit("Signature-Input", `"@method"`, `"\@method"`),
		envelope.ReasonMalformed},
	{"nothing is covered", func(t *testing.T, r webhook.Request) webhook.Request {
		value := header(t, r, "Signature-Input")
		return set("Signature-Input", "sig1=()"+value[strings.IndexByte(value, ')')+1:])(t, r)
	}, envelope.ReasonUnsigned},
	{"input in two lines", func(t *testing.T, r webhook.Request) webhook.Request {
		before, after, _ := strings.Cut(header(t, r, "Signature-Input"), ` "@target-uri"`)
		r = set("Signature-Input", before)(t, r)
		return add("Signature-Input", `"@target-uri"`+after)(t, r)
	}, envelope.ReasonMalformed},
	{"comma at the end", func(t *testing.T, r webhook.Request) webhook.Request {
		return set("Signature-Input", header(t, r, "Signature-Input")+",")(t, r)
	}, envelope.ReasonMalformed},
	{"empty line of the input", add("Signature-Input", ""), envelope.ReasonMalformed},
	{"label without a value before it", func(t *testing.T, r webhook.Request) webhook.Request {
		return set("Signature-Input", "sig1, "+header(t, r, "Signature-Input"))(t, r)
	}, envelope.ReasonMalformed},
	{"largest created", edit("Signature-Input", "created=1790000000", "created=999999999999999"),
		envelope.ReasonBadSignature},
	{"created beyond a structured field", edit("Signature-Input", "created=1790000000",
		"created=9999999999999999"), envelope.ReasonMalformed},
	{"created is a negative zero", edit("Signature-Input", "created=1790000000", "created=-0"),
		envelope.ReasonMalformed},
	{"created without a value", edit("Signature-Input", "created=1790000000", "created"),
		envelope.ReasonMalformed},
	{"expires is negative", edit("Signature-Input", "expires=1790000300", "expires=-1"),
		envelope.ReasonMalformed},
	{"nonce is a number", edit("Signature-Input", `;nonce="`, `;nonce=1;x="`), envelope.ReasonMalformed},
	{"keyid is a token", edit("Signature-Input", `;keyid="`, `;keyid=a;x="`), envelope.ReasonMalformed},
	{"signature that goes on", func(t *testing.T, r webhook.Request) webhook.Request {
		value := header(t, r, "Signature")
		return set("Signature", strings.Replace(value, "==:", "AA:", 1))(t, r)
	}, envelope.ReasonBadSignature},
	{"digest as a header with a blank name", func(t *testing.T, r webhook.Request) webhook.Request {
		value := header(t, r, "Content-Digest")
		return without(r, "Content-Digest", webhook.Field{Name: "Content-Digest ", Value: value})
	}, envelope.ReasonBadSignature},
	{"digest without a member", set("Content-Digest", ""), envelope.ReasonBadSignature},
	{"query is empty", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target = strings.TrimSuffix(r.Target, "tenant=7&b=%20")
		return r
	}, envelope.ReasonBadSignature},
	{"two slashes", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target = "/" + r.Target
		return r
	}, envelope.ReasonBadSignature},
	{"fragment", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target += "#x"
		return r
	}, envelope.ReasonMalformed},
	{"no target", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Target = ""
		return r
	}, envelope.ReasonMalformed},
	{"method in lower case", func(_ *testing.T, r webhook.Request) webhook.Request {
		r.Method = "post"
		return r
	}, envelope.ReasonBadSignature},
}

func TestMoreAttacks(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	v := newVerifier(t, keysOf(signer), covering)
	genuine := delivery(t, signer, covering, now)
	wantReason(t, v, genuine, now, "")
	for _, a := range moreAttacks {
		t.Run(a.name, func(t *testing.T) { wantReason(t, v, a.change(t, genuine), now, a.want) })
	}
}

// TestEmptyQuery: RFC 9421, section 2.2.7 has one value for an empty query and for none. A copy with the
// other one passes, and is the same delivery. @target-uri tells them apart.
func TestEmptyQuery(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	apart := &httpsig.Profile{Components: []string{"@method", "@authority", "@path", "@query",
		"content-digest"}}
	for name, c := range map[string]struct {
		p    *httpsig.Profile
		want envelope.Reason
	}{"query": {apart, ""}, "target-uri": {nil, envelope.ReasonBadSignature}} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, keysOf(signer), c.p)
			req := newRequest(t)
			req.URL.RawQuery = ""
			check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, c.p, now))
			r := webhook.FromHTTP(req, []byte(body))
			first, err := v.Verify(t.Context(), r, now)
			check(t, err)
			r.Target += "?"
			wantReason(t, v, r, now, c.want)
			if again, err := v.Verify(t.Context(), r, now); err == nil && again.Replay() != first.Replay() {
				t.Error("it is another delivery")
			}
		})
	}
}

// TestResponseOfAnotherRequest: two requests with one method, URL and body differ by their signatures, and a
// response can be bound to one.
func TestResponseOfAnotherRequest(t *testing.T) {
	client, server := newSigner(t, keys.Ed25519), newSigner(t, keys.ES256)
	p := &httpsig.Profile{Components: []string{"@status", "content-digest", "@method;req", "@target-uri;req",
		"signature;req"}}
	signed := func() *http.Request {
		req := newRequest(t)
		check(t, httpsig.Sign(t.Context(), req, []byte(body), client,
			&httpsig.Profile{Parameters: []string{"nonce"}}, now))
		return req
	}
	first, second := signed(), signed()
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Request: first}
	check(t, httpsig.SignResponse(t.Context(), resp, []byte("yes"), server, p, now))
	v, err := httpsig.NewResponseVerifier(keysOf(server), p)
	check(t, err)
	if _, err := v.Verify(resp, []byte("yes"), now); err != nil {
		t.Fatal(err)
	}
	resp.Request = second
	wantResponseReason(t, v, resp, []byte("yes"), now, envelope.ReasonBadSignature)
	resp.Request = newRequest(t)
	wantResponseReason(t, v, resp, []byte("yes"), now, envelope.ReasonBadSignature)
}

// TestServerKnowsItsName: the host of a request in absolute form is the word of the client.
func TestServerKnowsItsName(t *testing.T) {
	text := "POST https://victim.example/x HTTP/1.1\r\nHost: victim.example\r\nContent-Length: 0\r\n\r\n"
	served, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	check(t, err)
	resp := &http.Response{StatusCode: 200, Request: served}
	if err := httpsig.SignResponse(t.Context(), resp, nil, newSigner(t, keys.Ed25519), nil, now); err == nil {
		t.Errorf("it is signed as an answer of %s", served.URL.Host)
	}
}
