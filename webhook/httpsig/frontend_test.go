package httpsig_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/awslambda"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// TestFrontEnds: net/http and Lambda hand the same delivery on, with the same verdict.
func TestFrontEnds(t *testing.T) {
	signer := newSigner(t, keys.ES256)
	req := newRequest(t)
	check(t, httpsig.Sign(t.Context(), req, []byte(body), signer, covering, now))
	next := func(context.Context, *webhook.Verified) error { return nil }
	for name, c := range map[string]struct {
		target string
		want   int
	}{
		"genuine":      {target, http.StatusOK},
		"another path": {"/hooks/admin?tenant=7&b=%20", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, keysOf(signer), covering)
			opts := &webhook.ReceiverOptions{Now: func() time.Time { return now }}
			r, err := webhook.NewReceiver(v, replay.NewMemory(nil), next, opts)
			check(t, err)
			lambda := awslambda.Handler(r, awslambda.FunctionURL)
			out, err := lambda(t.Context(), functionURL(t, req.Header, c.target))
			check(t, err)
			var answer struct{ StatusCode int }
			text, err := json.Marshal(out)
			check(t, err)
			check(t, json.Unmarshal(text, &answer))

			r, err = webhook.NewReceiver(v, replay.NewMemory(nil), next, opts)
			check(t, err)
			served := httptest.NewRequest(http.MethodPost, c.target, strings.NewReader(body))
			served.Header = req.Header.Clone()
			w := httptest.NewRecorder()
			r.ServeHTTP(w, served)
			if answer.StatusCode != c.want || w.Code != c.want {
				t.Errorf("Lambda answers %d, net/http %d, want %d", answer.StatusCode, w.Code, c.want)
			}
		})
	}
}

// functionURL is the event of a function URL. It has names in lower case.
func functionURL(t *testing.T, h http.Header, target string) json.RawMessage {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	headers := map[string]string{"x-forwarded-host": "evil.example"}
	for name := range h {
		headers[strings.ToLower(name)] = h.Get(name)
	}
	event, err := json.Marshal(map[string]any{"version": "2.0", "rawPath": path, "rawQueryString": query,
		"headers": headers, "body": body, "isBase64Encoded": false, "requestContext": map[string]any{
			"http": map[string]any{"method": "POST", "path": path}}})
	check(t, err)
	return event
}

// TestDiagnosis: a body that a program wrote anew is recognised.
func TestDiagnosis(t *testing.T) {
	signer := newSigner(t, keys.Ed25519)
	v := newVerifier(t, keysOf(signer), nil)
	r := delivery(t, signer, nil, now)
	r.Body = []byte(strings.Replace(body, ",", ", ", 1))
	wantReason(t, v, r, now, envelope.ReasonModified)
	found := v.Diagnose(t.Context(), r, now)
	if len(found) != 1 || !strings.Contains(found[0], "re-serialising") {
		t.Errorf("%q", found)
	}
}
