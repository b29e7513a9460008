package authn_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
)

// TestGuard: each caller has the status and the challenge. Only those who have what they need come through.
func TestGuard(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}, Now: func() time.Time { return at }})
	handled := 0
	need := &authn.Need{Scopes: []string{"news/delete"}, Groups: []string{"admin", "editor"}}
	handler := must(authn.Guard(v, need, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if id := authn.FromContext(r.Context()); id != nil && id.Subject == "u1" && len(id.Claims()) > 0 {
			handled++
		}
	})))
	const invalid, lacks = `Bearer error="invalid_token"`, `Bearer error="insufficient_scope"`
	good := token("r", rs256, claims())
	with := func(pairs ...string) []string { return []string{token("r", rs256, claims(pairs...))} }
	for name, c := range map[string]struct {
		headers   []string
		status    int
		challenge string
	}{
		"good":           {[]string{"Bearer " + good}, 200, ""},
		"lower case":     {[]string{"bearer " + good}, 200, ""},
		"no scheme":      {[]string{good}, 200, ""},
		"none":           {nil, 401, "Bearer"},
		"empty":          {[]string{""}, 401, "Bearer"},
		"Bearer only":    {[]string{"Bearer "}, 401, "Bearer"},
		"Basic":          {[]string{"Basic dTpw"}, 401, "Bearer"},
		"twice":          {[]string{"Bearer " + good, "Bearer " + good}, 401, invalid},
		"two spaces":     {[]string{"Bearer  " + good}, 401, invalid},
		"long":           {[]string{"Bearer " + strings.Repeat("x", 16<<10+1)}, 401, invalid},
		"another scope":  {with("scope", `"news/read"`), 403, lacks + `, scope="news/delete"`},
		"another group":  {with("cognito:groups", `["Admin"]`), 403, lacks},
		"groups of OIDC": {with("cognito:groups", "", "groups", `["admin"]`), 403, lacks},
	} {
		r := httptest.NewRequest(http.MethodDelete, "/news/1", nil)
		r.Header["Authorization"] = c.headers
		w := httptest.NewRecorder()
		before := handled
		handler.ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: %d %s", name, w.Code, w.Header().Get("WWW-Authenticate"))
		}
		if (handled == before+1) != (c.status == 200) {
			t.Errorf("%s: handled %d times", name, handled-before)
		}
		if strings.Contains(w.Body.String(), "admin") {
			t.Errorf("%s: the answer names what is needed: %s", name, w.Body)
		}
	}
}

// TestGuardIsTransient: while the issuer fails, the caller is asked to come again, and not to log in again.
func TestGuardIsTransient(t *testing.T) {
	s, _ := newSite(t)
	s.serve(http.StatusInternalServerError)
	keys := must(authn.FetchKeys(issuer+"/jwks.json", &authn.KeyOptions{Now: s.clock,
		Client: &http.Client{Transport: s}}))
	v := must(authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"c1"}, Now: s.clock}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+rToken())
	w := httptest.NewRecorder()
	must(authn.Guard(v, &authn.Need{}, http.NotFoundHandler())).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" ||
		w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// TestNeed: a need that is a mistake is no need that everybody meets.
func TestNeed(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	id := must(v.Verify(t.Context(), token("r", rs256,
		claims("scope", `" news/read"`, "cognito:groups", `["",  "admin"]`)), at))
	for name, c := range map[string]struct {
		need       *authn.Need
		ok, guards bool
	}{
		"none":          {&authn.Need{}, true, true},
		"nil":           {nil, false, false},
		"empty scope":   {&authn.Need{Scopes: []string{""}}, false, false},
		"empty group":   {&authn.Need{Groups: []string{""}}, false, false},
		"one of two":    {&authn.Need{Groups: []string{"x", "admin"}}, true, true},
		"all of two":    {&authn.Need{Scopes: []string{"news/read", "x"}}, false, true},
		"part of scope": {&authn.Need{Scopes: []string{"news"}}, false, true},
	} {
		err := id.Check(c.need)
		var e *authn.Error
		if _, err := authn.Guard(v, c.need, http.NotFoundHandler()); (err == nil) != c.guards {
			t.Errorf("%s: a Guard: %v", name, err)
		}
		if (err == nil) != c.ok || !c.ok && (!errors.As(err, &e) || e.Reason != envelope.ReasonForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSource: a token is found in one place, as API Gateway names it, and nowhere else.
func TestSource(t *testing.T) {
	for _, c := range []struct {
		source, want string
		reason       envelope.Reason
	}{
		{"$request.header.authorization", "a", ""},
		{"method.request.header.X-Token", "Bearer b", ""},
		{"$request.querystring.token", "c", ""},
		{"$request.querystring.Token", "", envelope.ReasonUnsigned},
		{"$request.header.X-Twice", "", envelope.ReasonMalformed},
	} {
		s := must(authn.ParseSource(c.source))
		got, err := s.Token(
			http.Header{"Authorization": {"Bearer a"}, "X-Token": {"Bearer b"}, "X-Twice": {"a", "a"}},
			url.Values{"token": {"c"}})
		wantReason(t, c.source, err, c.reason, "")
		if got != c.want {
			t.Errorf("%s: %q", c.source, got)
		}
	}
	for _, text := range []string{"", "$request.header.", "$request.body.x", "$context.routeKey",
		"request.header.x", "$request.header.a b", "$request.querystring."} {
		if _, err := authn.ParseSource(text); err == nil {
			t.Errorf("%q is an identity source", text)
		}
	}
	if authn.FromContext(context.Background()) != nil {
		t.Error("a context without a Guard has an Identity")
	}
}
