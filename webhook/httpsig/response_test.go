package httpsig_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// responseProfile binds a response to method, target and body of its request.
func responseProfile(base string) *httpsig.Profile {
	return &httpsig.Profile{BaseURL: base, Components: []string{"@status", "content-digest", "@method;req",
		"@target-uri;req", "content-digest;req"}}
}

// TestResponseOverHTTP signs in a server, and verifies in its client.
func TestResponseOverHTTP(t *testing.T) {
	client, server := newSigner(t, keys.Ed25519), newSigner(t, keys.ES256)
	const answer = `{"status":"accepted"}`
	var base string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp := &http.Response{StatusCode: http.StatusAccepted, Header: w.Header(), Request: r}
		err := httpsig.SignResponse(r.Context(), resp, []byte(answer), server, responseProfile(base), now)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.WriteString(w, answer)
	}))
	defer s.Close()
	base = s.URL
	req, err := http.NewRequest(http.MethodPost, s.URL+target, strings.NewReader(body))
	check(t, err)
	check(t, httpsig.Sign(t.Context(), req, []byte(body), client, nil, now))
	resp, err := s.Client().Do(req)
	check(t, err)
	content, err := io.ReadAll(resp.Body)
	check(t, err)
	check(t, resp.Body.Close())
	v, err := httpsig.NewResponseVerifier(keysOf(server), responseProfile(""))
	check(t, err)
	if id, err := v.Verify(resp, content, now); err != nil || id != server.Verifier().KeyID() {
		t.Fatalf("%q, %v: %s", id, err, content)
	}
	testResponseAttacks(t, v, resp, content)
}

// testResponseAttacks changes a response that is verified, or the request that it is held against.
func testResponseAttacks(t *testing.T, v *httpsig.ResponseVerifier, genuine *http.Response, content []byte) {
	const changed, malformed = envelope.ReasonBadSignature, envelope.ReasonMalformed
	for name, c := range map[string]struct {
		want   envelope.Reason
		change func(resp *http.Response)
	}{
		"another status":    {changed, func(r *http.Response) { r.StatusCode = 200 }},
		"no status":         {malformed, func(r *http.Response) { r.StatusCode = 0 }},
		"of another method": {changed, func(r *http.Response) { r.Request.Method = "PUT" }},
		"of another path":   {changed, func(r *http.Response) { r.Request.URL.Path = "/x" }},
		"of another host":   {changed, func(r *http.Response) { r.Request.Host = "b.example" }},
		"of no request":     {malformed, func(r *http.Response) { r.Request = nil }},
		"of another request": {changed, func(r *http.Response) {
			r.Request.Header.Set("Content-Digest", digestOf("{}"))
		}},
		"no signature": {envelope.ReasonUnsigned, func(r *http.Response) {
			r.Header.Del("Signature")
			r.Header.Del("Signature-Input")
		}},
		"not of the request": {malformed, func(r *http.Response) {
			input := r.Header.Get("Signature-Input")
			r.Header.Set("Signature-Input", strings.Replace(input, `"@method";req`, `"@method"`, 1))
		}},
		"request left out": {envelope.ReasonUnsigned, func(r *http.Response) {
			input := r.Header.Get("Signature-Input")
			r.Header.Set("Signature-Input", strings.Replace(input, `"@method";req `, "", 1))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			resp := *genuine
			resp.Header = genuine.Header.Clone()
			resp.Request = genuine.Request.Clone(t.Context())
			c.change(&resp)
			wantResponseReason(t, v, &resp, content, now, c.want)
		})
	}
	wantResponseReason(t, v, genuine, []byte("{}"), now, envelope.ReasonModified)
	wantResponseReason(t, v, genuine, content, now.Add(301*time.Second), envelope.ReasonExpired)
	wantResponseReason(t, v, genuine, content, now.Add(-301*time.Second), envelope.ReasonFromFuture)
}

// wantResponseReason fails unless the response is refused with that Reason.
func wantResponseReason(t *testing.T, v *httpsig.ResponseVerifier, resp *http.Response, content []byte,
	at time.Time, want envelope.Reason) {
	t.Helper()
	if id, err := v.Verify(resp, content, at); errorOf(t, err).Reason != want || id != "" {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestResponseProfiles: a response is bound to its request, and a server says how it is called.
func TestResponseProfiles(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	for name, components := range map[string][]string{
		"no request":        {"@status", "content-digest"},
		"no status":         {"@method;req", "@target-uri;req", "content-digest"},
		"method, no target": {"@status", "content-digest", "@method;req"},
		"own method":        {"@status", "content-digest", "@method", "@target-uri;req"},
	} {
		p := &httpsig.Profile{Components: components}
		if _, err := httpsig.NewResponseVerifier(keysOf(signer), p); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	served := httptest.NewRequest(http.MethodPost, target, nil)
	served.Host = "evil.example"
	resp := &http.Response{StatusCode: 200, Request: served}
	if err := httpsig.SignResponse(t.Context(), resp, nil, signer, nil, now); err == nil {
		t.Error("the authority is taken from the request")
	}
	check(t, httpsig.SignResponse(t.Context(), resp, nil, signer, &httpsig.Profile{BaseURL: baseURL}, now))
	asked, err := http.NewRequest(http.MethodPost, baseURL+target, nil)
	check(t, err)
	resp.Request = asked
	v, err := httpsig.NewResponseVerifier(keysOf(signer), nil)
	check(t, err)
	if _, err := v.Verify(resp, nil, now); err != nil {
		t.Error(err)
	}
}
