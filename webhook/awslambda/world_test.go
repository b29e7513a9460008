package awslambda_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/awslambda"
)

const (
	secret  = "the secret of the tests"
	baseURL = "https://hooks.example"
)

// now is the Unix time 1796040000.
var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// receiver is a receiver of that provider with a new store. It counts in handled, and keeps the last body.
type receiver struct {
	*webhook.Receiver
	handled int
	body    []byte
}

func newReceiver(t testing.TB, provider string) *receiver {
	t.Helper()
	scheme, err := webhook.Provider(provider)
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "billing", []webhook.Secret{{ID: "k", Text: secret}},
		&webhook.Options{MaxBody: 1 << 10, Scheme: webhook.SchemeOptions{BaseURL: baseURL}})
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	store := replay.NewMemory(&replay.MemoryOptions{Capacity: 10, Now: clock})
	r := &receiver{}
	r.Receiver, err = webhook.NewReceiver(v, store, func(_ context.Context, v *webhook.Verified) error {
		r.handled++
		r.body = bytes.Clone(v.Body)
		return nil
	}, &webhook.ReceiverOptions{Now: clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mac(text string) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexMAC(text string) string { return hex.EncodeToString(mac(text)) }

// request is a delivery with these header lines, name and value by turns.
func request(target, body string, lines ...string) webhook.Request {
	r := webhook.Request{Method: "POST", Target: target, Body: []byte(body),
		Header: []webhook.Field{{Name: "Content-Type", Value: "application/json"}}}
	for i := 0; i < len(lines); i += 2 {
		r.Header = append(r.Header, webhook.Field{Name: lines[i], Value: lines[i+1]})
	}
	return r
}

// verdict is what the sender is told.
type verdict struct {
	status int
	reason string
}

// answer is what the sender gets.
type answer struct {
	status int
	header map[string]string
	body   []byte
}

// frontEnds are all ways by which a delivery can come. Each gives the answer to it.
var frontEnds = map[string]func(t *testing.T, to *receiver, r webhook.Request) answer{
	"net/http":             overHTTP,
	"queued":               queued,
	"FunctionURL":          behind(awslambda.FunctionURL, false),
	"FunctionURL base64":   behind(awslambda.FunctionURL, true),
	"HTTPAPI":              behind(awslambda.HTTPAPI, false),
	"HTTPAPI base64":       behind(awslambda.HTTPAPI, true),
	"RESTAPI":              behind(awslambda.RESTAPI, false),
	"RESTAPI base64":       behind(awslambda.RESTAPI, true),
	"ALB":                  behind(awslambda.ALB, false),
	"ALB base64":           behind(awslambda.ALB, true),
	"ALBMultiValue":        behind(awslambda.ALBMultiValue, false),
	"ALBMultiValue base64": behind(awslambda.ALBMultiValue, true),
}

func overHTTP(t *testing.T, to *receiver, r webhook.Request) answer {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), r.Method, r.Target, bytes.NewReader(r.Body))
	for _, f := range r.Header {
		req.Header.Add(f.Name, f.Value)
	}
	w := httptest.NewRecorder()
	to.ServeHTTP(w, req)
	return answer{w.Code, lastOf(w.Header()), w.Body.Bytes()}
}

func queued(t *testing.T, to *receiver, r webhook.Request) answer {
	t.Helper()
	doc, err := webhook.AppendRecord(nil, r, now)
	if err != nil {
		t.Fatal(err)
	}
	queued, at, err := webhook.ParseRecord(doc)
	if err != nil {
		t.Fatal(err)
	}
	resp := to.Receive(t.Context(), queued, at)
	header := map[string]string{}
	for _, f := range resp.Header {
		header[f.Name] = f.Value
	}
	return answer{resp.Status, header, resp.Body}
}

func behind(front awslambda.FrontEnd, encoded bool) func(*testing.T, *receiver, webhook.Request) answer {
	return func(t *testing.T, to *receiver, r webhook.Request) answer {
		t.Helper()
		got, err := awslambda.Handler(to, front)(t.Context(), payload(t, front, r, encoded))
		if err != nil {
			t.Fatalf("%v: %v", front, err)
		}
		multi := got.MultiValueHeaders != nil
		if multi != (front == awslambda.ALBMultiValue) || got.IsBase64Encoded {
			t.Errorf("%v: the answer is %+v", front, got)
		}
		header := got.Headers
		if multi {
			header = lastOf(got.MultiValueHeaders)
		}
		return answer{got.StatusCode, header, []byte(got.Body)}
	}
}

// verdict is the status and the Reason of the problem.
func (a answer) verdict(t *testing.T) verdict {
	t.Helper()
	var p struct {
		Reason string `json:"reason"`
		Status int    `json:"status"`
	}
	if a.status != 200 {
		if err := json.Unmarshal(a.body, &p); err != nil || p.Status != a.status {
			t.Errorf("status %d: the body %q is no problem: %v", a.status, a.body, err)
		}
	}
	return verdict{a.status, p.Reason}
}

// payload is the invocation by which that front end hands the request on. A body that is no UTF-8 is in
// base64, and any other if it is to be encoded.
func payload(t *testing.T, front awslambda.FrontEnd, r webhook.Request, encoded bool) json.RawMessage {
	t.Helper()
	path, query, _ := strings.Cut(r.Target, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		t.Fatal(err)
	}
	lines, last, joined := map[string][]string{}, map[string]string{}, map[string]string{}
	for _, f := range r.Header {
		lines[f.Name] = append(lines[f.Name], f.Value)
		lower := strings.ToLower(f.Name)
		last[lower] = f.Value
		if joined[lower] != "" {
			joined[lower] += ","
		}
		joined[lower] += f.Value
	}
	p := map[string]any{"body": string(r.Body), "isBase64Encoded": false}
	if encoded || !utf8.Valid(r.Body) {
		p["body"], p["isBase64Encoded"] = base64.StdEncoding.EncodeToString(r.Body), true
	}
	switch front {
	case awslambda.FunctionURL, awslambda.HTTPAPI:
		p["version"], p["rawPath"], p["rawQueryString"], p["headers"] = "2.0", path, query, joined
		p["cookies"] = []string{"a=b", "c=d"}
		if front == awslambda.HTTPAPI {
			p["rawPath"] = decoded
		}
		p["requestContext"] = map[string]any{"http": map[string]any{"method": r.Method, "path": decoded},
			"timeEpoch": 1}
	case awslambda.RESTAPI:
		p["httpMethod"], p["path"] = r.Method, "/under/a/stage"
		p["headers"], p["multiValueHeaders"] = last, lines
		p["queryStringParameters"], p["multiValueQueryStringParameters"] = nil, nil
		if len(values) > 0 {
			p["queryStringParameters"], p["multiValueQueryStringParameters"] = lastOf(values), values
		}
		p["requestContext"] = map[string]any{"path": decoded, "authorizer": nil}
	case awslambda.ALB, awslambda.ALBMultiValue:
		p["httpMethod"], p["path"] = r.Method, path
		p["requestContext"] = map[string]any{"elb": map[string]any{"targetGroupArn": "arn:aws:x"}}
		raw := rawQuery(query)
		if front == awslambda.ALB {
			p["headers"], p["queryStringParameters"] = last, lastOf(raw)
		} else {
			p["multiValueHeaders"], p["multiValueQueryStringParameters"] = lines, raw
		}
	}
	doc, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func lastOf(values map[string][]string) map[string]string {
	last := map[string]string{}
	for name, list := range values {
		last[name] = list[len(list)-1]
	}
	return last
}

// rawQuery takes a query apart as a load balancer does: without decoding.
func rawQuery(query string) map[string][]string {
	values := map[string][]string{}
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); pair != "" {
			values[name] = append(values[name], value)
		}
	}
	return values
}
