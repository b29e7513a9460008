package awslambda_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/awslambda"
)

// delivery is one case: the same verdict by every front end, but for those that cannot know better.
type delivery struct {
	provider string
	request  webhook.Request
	want     verdict
	but      map[string]verdict // by the front end's name
}

var (
	handled   = verdict{200, ""}
	malformed = verdict{400, "malformed"}
)

func github(body string, more ...string) webhook.Request {
	return request(
		"/hooks",
		body,
		append([]string{"X-Hub-Signature-256", "sha256=" + hexMAC(body)}, more...)...)
}

func slack(at, body string) webhook.Request {
	return request("/hooks", body, "X-Slack-Request-Timestamp", at, "X-Slack-Signature",
		"v0="+hexMAC("v0:"+at+":"+body))
}

func stripe(body string, more ...string) webhook.Request {
	return request(
		"/hooks",
		body,
		append([]string{"Stripe-Signature", "t=1796040000,v1=" + hexMAC("1796040000."+body)},
			more...)...)
}

func square(target, signed string) webhook.Request {
	return request(target, "{}", "X-Square-Hmacsha256-Signature",
		base64.StdEncoding.EncodeToString(mac(baseURL+signed+"{}")), "Host", "evil.example",
		"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Port", "8080")
}

// deliveries are the cases. Where a front end differs, it sees less than others: it never takes what they
// refuse for want of a signature.
func deliveries() map[string]delivery {
	good := "sha256=" + hexMAC("{}")
	bad := "sha256=" + strings.Repeat("0", 64)
	unsigned := request("/hooks", "{}")
	forged := github("{}")
	forged.Body = []byte("{ }")
	// Payload 2.0 joins the lines of a list into a longer list.
	longer := map[string]verdict{"FunctionURL": handled, "HTTPAPI": handled}
	onlyLast := map[string]verdict{"ALB": {401, "bad_signature"}}
	all := map[string]delivery{
		"text":           {"github", github("größe ✓ <&> \u2028"), handled, nil},
		"JSON":           {"github", github(`{"a":"\u0000\"\\"}`), handled, nil},
		"binary":         {"github", github("\x00\x01\xff\xfe\r\n"), handled, nil},
		"empty":          {"github", github(""), handled, nil},
		"largest":        {"github", github(strings.Repeat("x", 1<<10)), handled, nil},
		"too large":      {"github", github(strings.Repeat("x", 1<<10+1)), verdict{413, "too_large"}, nil},
		"forged":         {"github", forged, verdict{401, "bad_signature"}, nil},
		"unsigned":       {"github", unsigned, verdict{401, "unsigned"}, nil},
		"lower case":     {"github", request("/", "{}", "x-hub-signature-256", good), handled, nil},
		"another header": {"github", slack("1796040000", "{}"), verdict{401, "unsigned"}, nil},
		"list":           {"stripe", stripe("{}"), handled, nil},
		"stale":          {"slack", slack("1796039699", "{}"), verdict{401, "expired"}, nil},
		"from the future": {"slack", slack("1796040301", "{}"), verdict{401, "from_future"},
			nil},
		"not canonical": {"slack", slack("+1796040000", "{}"), malformed, nil},
		"second line, bad first": {
			"github",
			request("/", "{}", "X-Hub-Signature-256", bad, "X-Hub-Signature-256", good),
			malformed,
			map[string]verdict{"ALB": handled},
		},
		"second line, bad last": {
			"github",
			request("/", "{}", "X-Hub-Signature-256", good, "X-Hub-Signature-256", bad),
			malformed,
			onlyLast,
		},
		"second line in another case": {
			"github",
			request("/", "{}", "X-Hub-Signature-256", good, "x-hub-signature-256", good),
			malformed,
			map[string]verdict{"ALB": handled},
		},
		"second line of a time": {
			"slack",
			request("/", "{}", "X-Slack-Signature", "v0="+hexMAC("v0:1796040000:{}"),
				"X-Slack-Request-Timestamp", "1796040000", "X-Slack-Request-Timestamp", "1796040000"),
			malformed,
			map[string]verdict{"ALB": handled},
		},
		"second time in a list": {"stripe", stripe("{}", "Stripe-Signature", "t=1796040000"), malformed,
			map[string]verdict{"ALB": {401, "unsigned"}}},
		"second line of a list": {
			"stripe",
			stripe("{}", "Stripe-Signature", "v1="+hexMAC("x")),
			malformed,
			longer,
		},
	}
	maps.Copy(all, ofSignedURLs())
	return all
}

// ofSignedURLs are deliveries whose signature covers the URL, which not each front end tells exactly.
func ofSignedURLs() map[string]delivery {
	return map[string]delivery{
		"URL": {"square", square("/hooks/square-1", "/hooks/square-1"), handled, nil},
		"another URL": {"square", square("/hooks/square-1", "/hooks/square-2"), verdict{401, "bad_signature"},
			nil},
		"query": {"square", square("/hooks?token=a-b", "/hooks?token=a-b"), handled,
			map[string]verdict{"ALB": malformed}},
		"two parameters": {"square", square("/hooks?b=1&a=2", "/hooks?b=1&a=2"), handled,
			map[string]verdict{"ALB": malformed, "ALBMultiValue": malformed, "RESTAPI": malformed}},
		"escaped parameter": {"square", square("/hooks?b=%31", "/hooks?b=%31"), handled,
			map[string]verdict{
				"ALB":           malformed,
				"ALBMultiValue": malformed,
				"RESTAPI":       {401, "bad_signature"},
			}},
		"parameter twice": {"square", square("/hooks?b=1&b=1", "/hooks?b=1&b=1"), handled,
			map[string]verdict{"ALB": malformed, "ALBMultiValue": malformed, "RESTAPI": malformed}},
		"escaped path": {"square", square("/hooks/a%2Fb", "/hooks/a%2Fb"), handled,
			map[string]verdict{"HTTPAPI": {401, "bad_signature"}, "RESTAPI": {401, "bad_signature"}}},
		"escaped space": {"square", square("/hooks/a%20b", "/hooks/a%20b"), handled,
			map[string]verdict{"HTTPAPI": malformed, "RESTAPI": malformed}},
	}
}

// TestFrontEndsGiveTheSameVerdict: net/http, a function URL, API Gateway with both payloads, ALB with both
// forms of headers, and a queued record; bodies as text and in base64. The next is called with the same
// bytes, and a second copy is a duplicate.
func TestFrontEndsGiveTheSameVerdict(t *testing.T) {
	for name, d := range deliveries() {
		for _, front := range slices.Sorted(maps.Keys(frontEnds)) {
			t.Run(name+"/"+front, func(t *testing.T) {
				want := d.want
				if other, differs := d.but[strings.TrimSuffix(front, " base64")]; differs {
					want = other
				}
				to := newReceiver(t, d.provider)
				if got := frontEnds[front](t, to, d.request).verdict(t); got != want {
					t.Fatalf("the verdict is %v, want %v", got, want)
				}
				if want != handled {
					if to.handled != 0 {
						t.Error("it was handled")
					}
					return
				}
				if to.handled != 1 || !bytes.Equal(to.body, d.request.Body) {
					t.Errorf("handled %d times, with %q", to.handled, to.body)
				}
				if got := frontEnds[front](t, to, d.request).verdict(t); got != handled || to.handled != 1 {
					t.Errorf("the second copy: %v, handled %d times", got, to.handled)
				}
			})
		}
	}
}

// TestPayloadsOfOtherFrontEndsFail: the invocation fails, and the sender sends again.
func TestPayloadsOfOtherFrontEndsFail(t *testing.T) {
	fronts := []awslambda.FrontEnd{awslambda.FunctionURL, awslambda.HTTPAPI, awslambda.RESTAPI, awslambda.ALB,
		awslambda.ALBMultiValue}
	for _, made := range fronts {
		for _, front := range fronts {
			same := made == front || made <= awslambda.HTTPAPI && front <= awslambda.HTTPAPI
			_, err := awslambda.Handler(newReceiver(t, "github"), front)(
				t.Context(),
				payload(t, made, github("{}"), false),
			)
			if (err == nil) != same {
				t.Errorf("a payload of %v behind %v: %v", made, front, err)
			}
		}
	}
}

// TestBrokenPayloadsFail.
func TestBrokenPayloadsFail(t *testing.T) {
	sound := string(payload(t, awslambda.FunctionURL, github("{}"), true))
	for _, change := range [][2]string{
		{`"e30="`, `"e30"`}, {`"e30="`, `"e31="`}, {`"e30="`, `7`}, {`{`, `[`}, {`"version":"2.0"`,
			`"version":"1.0"`},
		{`"version"`, `"rawPath":"/x","version"`}, {`"headers":{`, `"headers":{"content-type":"x",`},
		{`"method":"POST"`, `"method":""`}, {`"content-type":"application/json"`, `"content-type":["a"]`},
		{`"content-type":"application/json"`, `"content-type":"\ud800"`}, {`"cookies":[`, `"cookies":[7,`},
	} {
		doc := strings.Replace(sound, change[0], change[1], 1)
		to := newReceiver(t, "github")
		_, err := awslambda.Handler(to, awslambda.FunctionURL)(t.Context(), json.RawMessage(doc))
		if err == nil || to.handled != 0 || doc == sound {
			t.Errorf("%s: %v, handled %d times", doc, err, to.handled)
		}
	}
}

// answers is a Receiver that answers always the same.
type answers webhook.Response

func (a answers) Receive(context.Context, webhook.Request, time.Time) webhook.Response {
	return webhook.Response(a)
}

// TestAnswersInTheFormOfTheFrontEnd.
func TestAnswersInTheFormOfTheFrontEnd(t *testing.T) {
	header := []webhook.Field{
		{Name: "Content-Type", Value: "application/octet-stream"},
		{Name: "Retry-After", Value: "5"},
	}
	const single = `"headers":{"Content-Type":"application/octet-stream","Retry-After":"5"},`
	const multi = `"multiValueHeaders":{"Content-Type":["application/octet-stream"],"Retry-After":["5"]},`
	const described = `"statusDescription":"503 Service Unavailable",`
	for _, c := range []struct {
		front awslambda.FrontEnd
		body  string
		want  string
	}{
		{awslambda.FunctionURL, "text", single + `"body":"text","isBase64Encoded":false}`},
		{awslambda.RESTAPI, "\xff", single + `"body":"/w==","isBase64Encoded":true}`},
		{awslambda.ALB, "", described + single + `"body":"","isBase64Encoded":false}`},
		{awslambda.ALBMultiValue, "", described + multi + `"body":"","isBase64Encoded":false}`},
	} {
		to := answers{Status: 503, Header: header, Body: []byte(c.body)}
		answer, err := awslambda.Handler(to, c.front)(t.Context(), payload(t, c.front, github("{}"), false))
		if err != nil {
			t.Fatal(err)
		}
		if doc, err := json.Marshal(answer); err != nil || string(doc) != `{"statusCode":503,`+c.want {
			t.Errorf("%v: %s, want %s", c.front, doc, c.want)
		}
	}
}

// deadline is a Receiver that keeps the end of its context.
type deadline struct{ end time.Time }

func (d *deadline) Receive(ctx context.Context, _ webhook.Request, _ time.Time) webhook.Response {
	d.end, _ = ctx.Deadline()
	return webhook.Response{Status: 200}
}

// TestTheContextEndsBeforeTheInvocation, so that the claim is released and the answer written.
func TestTheContextEndsBeforeTheInvocation(t *testing.T) {
	for _, c := range []struct{ left, most time.Duration }{
		{time.Hour, 2 * time.Second}, {10 * time.Second, time.Second},
	} {
		end := time.Now().Add(c.left)
		ctx, cancel := context.WithDeadline(t.Context(), end)
		to := &deadline{}
		_, err := awslambda.Handler(to, awslambda.ALB)(ctx, payload(t, awslambda.ALB, github("{}"), false))
		cancel()
		if early := end.Sub(to.end); err != nil || early > c.most {
			t.Errorf("of %v, %v are kept (%v), want %v at most", c.left, early, err, c.most)
		} else if early <= 0 {
			t.Errorf("of %v, nothing is kept", c.left)
		}
	}
}

// TestHandlerNeedsAReceiverAndAFrontEnd.
func TestHandlerNeedsAReceiverAndAFrontEnd(t *testing.T) {
	doc := payload(t, awslambda.FunctionURL, github("{}"), false)
	for name, f := range map[string]func(context.Context, json.RawMessage) (awslambda.Response, error){
		"no receiver":  awslambda.Handler(nil, awslambda.FunctionURL),
		"nil receiver": awslambda.Handler((*webhook.Receiver)(nil), awslambda.FunctionURL),
		"no front end": awslambda.Handler(newReceiver(t, "github"), 0),
		"unknown":      awslambda.Handler(newReceiver(t, "github"), 6),
	} {
		if _, err := f(t.Context(), doc); err == nil {
			t.Errorf("%s: the invocation succeeded", name)
		}
	}
	if got := awslambda.FrontEnd(6).String() + awslambda.ALB.String(); got != "FrontEnd(6)ALB" {
		t.Error(got)
	}
}

// lambda.Start of github.com/aws/aws-lambda-go takes the function.
func ExampleHandler() {
	var r *webhook.Receiver // of webhook.NewReceiver
	function := awslambda.Handler(r, awslambda.FunctionURL)
	_, err := function(context.Background(), nil)
	fmt.Println(err != nil) // the receiver is nil
	// Output: true
}
