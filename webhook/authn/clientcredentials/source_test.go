package clientcredentials_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
)

// TestTokenIsKeptAndRenewedEarly: one request serves until shortly before the end, also where the answer does
// not say how long the token is good, or says too much.
func TestTokenIsKeptAndRenewedEarly(t *testing.T) {
	for _, c := range []struct {
		member string
		due    time.Duration // after the request
		life   time.Duration
	}{
		{`,"expires_in":3600`, 55 * time.Minute, time.Hour},
		{`,"expires_in":"3600"`, 55 * time.Minute, time.Hour},
		{`,"expires_in":60`, 48 * time.Second, time.Minute},
		{``, 4 * time.Minute, 5 * time.Minute},
		{`,"expires_in":99999999999`, 24*time.Hour - 5*time.Minute, 24 * time.Hour},
	} {
		t.Run(c.member, func(t *testing.T) {
			i := newIssuer()
			i.answer = func(n int, _ *http.Request) (*http.Response, error) {
				return ok(fmt.Sprintf(`{"access_token":"token-%d","token_type":"bearer"%s}`, n, c.member)), nil
			}
			s, ctx := i.source(t, nil), steady(t.Context())
			if i.asked() != 0 {
				t.Error("New asks")
			}
			for _, step := range []struct {
				sleep time.Duration
				want  string
			}{{0, "token-1"}, {c.due - time.Second, "token-1"}, {time.Second, "token-2"}, {0, "token-2"}} {
				i.sleep(step.sleep)
				got, err := s.Token(ctx)
				if err != nil || got.AccessToken != step.want || got.TokenType != "Bearer" {
					t.Fatalf("after %s: %v, want %s", step.sleep, err, step.want)
				}
			}
			got, err := s.TokenSource(ctx).Token()
			if err != nil || !got.Expiry.Equal(i.now.Add(c.life)) {
				t.Errorf("%v: good until %s, want %s", err, got.Expiry, i.now.Add(c.life))
			}
		})
	}
}

// TestOneRequestForAllCallers: callers who need a token at the same time share one request, and one who
// leaves does not end it.
func TestOneRequestForAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		answer, release := i.answer, make(chan struct{})
		i.answer = func(n int, r *http.Request) (*http.Response, error) {
			<-release
			return answer(n, r)
		}
		s := i.source(t, nil)
		ctx, leave := contextWithCancel(t)
		var left error
		var callers sync.WaitGroup
		callers.Go(func() { _, left = s.Token(ctx) })
		synctest.Wait() // that one asks
		for range 50 {
			callers.Go(func() {
				if got, err := s.Token(t.Context()); err != nil || got.AccessToken != "token-1" {
					t.Errorf("%v", err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(release)
		callers.Wait()
		if i.asked() != 1 || left == nil {
			t.Errorf("%d requests, and the caller who left has the error %v", i.asked(), left)
		}
	})
}

// TestRequest: the grant as RFC 6749, section 4.4.2 has it, with the secret in one of two places.
func TestRequest(t *testing.T) {
	for _, inBody := range []bool{false, true} {
		i := newIssuer()
		o := i.options()
		o.SecretInBody, o.Scopes = inBody, []string{"orders/read", "orders/write"}
		o.Parameters = url.Values{"resource": {"https://api.example", "https://other.example"}}
		if _, err := i.source(t, o).Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		form, r := i.forms[0], i.requests[0]
		id, password, basic := r.BasicAuth()
		if basic == inBody || !inBody && (id != "4client" || password != url.QueryEscape(secret)) {
			t.Errorf("in the body %v: Basic is %v, %q", inBody, basic, id)
		}
		want := url.Values{"grant_type": {"client_credentials"}, "scope": {"orders/read orders/write"},
			"resource": o.Parameters["resource"]}
		if inBody {
			want["client_id"], want["client_secret"] = []string{"4client"}, []string{secret}
		}
		if form.Encode() != want.Encode() || r.Method != http.MethodPost || r.URL.String() != endpoint {
			t.Errorf("%s %s, %s, want %s", r.Method, r.URL, form.Encode(), want.Encode())
		}
	}
}

// TestIssuerFails: the old token is used while it is good, without waiting. Then each caller has the error,
// and the issuer is asked at most once in five seconds.
func TestIssuerFails(t *testing.T) {
	i := newIssuer()
	s, ctx := i.source(t, nil), steady(t.Context())
	good := i.answer
	if _, err := s.Token(ctx); err != nil {
		t.Fatal(err)
	}
	i.answer = func(int, *http.Request) (*http.Response, error) { return answered(503, "text/plain", ""), nil }
	i.sleep(55 * time.Minute)
	for n := range 10 { // once in 30 s
		for range 3 {
			if _, err := s.Token(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if want := n + 2; i.asked() != want {
			t.Fatalf("%d requests, want %d", i.asked(), want)
		}
		i.sleep(20*time.Second - 1) // at last, to ten seconds before the end
		if _, err := s.Token(ctx); err != nil || i.asked() != n+2 {
			t.Fatalf("%d requests, %v", i.asked(), err)
		}
		if n < 9 {
			i.sleep(10*time.Second + 1)
		}
	}
	i.sleep(1)
	before := i.asked() + 1
	for range 3 {
		_, err := s.Token(ctx)
		if err == nil || errors.Is(err, clientcredentials.ErrRefused) {
			t.Errorf("the error is %v, it should pass", err)
		}
		i.sleep(time.Second)
	}
	if i.asked() != before {
		t.Errorf("%d requests, want %d", i.asked(), before)
	}
	i.sleep(2 * time.Second)
	i.answer = good
	if got, err := s.Token(ctx); err != nil || got.AccessToken != fmt.Sprint("token-", before+1) {
		t.Errorf("%v after the issuer works again", err)
	}
}

// TestNoTokenIsExpired plays random outages: a token that is given out is good for a while, and the issuer is
// asked at most once a call, and not more often than the intervals say.
func TestNoTokenIsExpired(t *testing.T) {
	for seed := range uint64(cases.Of(200)) {
		random := rand.New(rand.NewPCG(seed, 15))
		i := newIssuer()
		lives := map[string]time.Time{}
		var last time.Time
		i.answer = func(n int, _ *http.Request) (*http.Response, error) {
			if random.IntN(3) == 0 {
				return nil, errors.New("no route")
			}
			life := 1 + random.IntN(1000)
			name := fmt.Sprint("token-", n)
			lives[name] = i.now.Add(time.Duration(life) * time.Second)
			return ok(fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, name, life)), nil
		}
		s := i.source(t, nil)
		failed := false
		for range 60 {
			i.sleep(time.Duration(random.IntN(400)-40) * time.Second)
			before := i.asked()
			got, err := s.Token(t.Context())
			asked := i.asked() - before
			if asked > 1 || asked == 1 && failed && i.now.Sub(last) >= 0 && i.now.Sub(last) < 5*time.Second {
				t.Fatalf("seed %d: %d requests, %s after one that failed", seed, asked, i.now.Sub(last))
			}
			if err == nil && !i.now.Before(lives[got.AccessToken]) {
				t.Fatalf("seed %d: the token ended at %s, now is %s", seed, lives[got.AccessToken], i.now)
			}
			if asked == 1 {
				last, failed = i.now, err != nil
			}
		}
	}
}

// TestAnswers: an answer that could be read in two ways, or says something else than was asked, gives no
// token. No error has the secret, the token or the text of the answer.
func TestAnswers(t *testing.T) {
	const mark = "Xmark" // of what an answer says
	token := `"access_token":"` + mark + `","token_type":"Bearer"`
	long, form := strings.Repeat("x", 16<<10+1), "access_token="+mark+"&token_type=Bearer"
	refused := func(status int, body string) *http.Response { return answered(status, "application/json", body) }
	for name, c := range map[string]struct {
		answer    *http.Response
		permanent bool
	}{
		"no token":            {ok(`{"token_type":"Bearer"}`), false},
		"empty token":         {ok(`{"access_token":"","token_type":"Bearer"}`), false},
		"a number":            {ok(`{"access_token":12345678,"token_type":"Bearer"}`), false},
		"a line break":        {ok(`{"access_token":"` + mark + `\r\nX: y","token_type":"Bearer"}`), false},
		"a blank":             {ok(`{"access_token":"` + mark + ` y","token_type":"Bearer"}`), false},
		"long token":          {ok(`{"access_token":"` + long + `","token_type":"Bearer"}`), false},
		"no type":             {ok(`{"access_token":"` + mark + `"}`), false},
		"another type":        {ok(`{"access_token":"` + mark + `","token_type":"DPoP"}`), false},
		"two tokens":          {ok(`{` + token + `,"access_token":"b"}`), false},
		"another case":        {ok(`{` + token + `,"Access_Token":"b"}`), false},
		"garbage":             {ok(`{` + token + `} {}`), false},
		"HTML":                {answered(200, "text/html", mark), false},
		"a form":              {answered(200, "application/x-www-form-urlencoded", form), false},
		"plain text":          {answered(200, "text/plain", form), false},
		"no media type":       {answered(200, "", `{`+token+`}`), false},
		"no content":          {refused(204, ""), false},
		"large":               {ok(`{` + token + `,"x":"` + strings.Repeat("x", 64<<10) + `"}`), false},
		"expired":             {ok(`{` + token + `,"expires_in":0}`), false},
		"negative":            {ok(`{` + token + `,"expires_in":-1}`), false},
		"no time":             {ok(`{` + token + `,"expires_in":"` + mark + `"}`), false},
		"null":                {ok(`{` + token + `,"expires_in":null}`), false},
		"a list":              {ok(`{` + token + `,"expires_in":[3600]}`), false},
		"a fraction":          {ok(`{` + token + `,"expires_in":1.5}`), false},
		"fewer scopes":        {ok(`{` + token + `,"scope":"orders/read"}`), true},
		"a longer scope":      {ok(`{` + token + `,"scope":"orders/write2 orders/read"}`), true},
		"a list of scopes":    {ok(`{` + token + `,"scope":["orders/write"]}`), false},
		"an error with 200":   {ok(`{"error":"invalid_client","error_description":"` + mark + `"}`), true},
		"an odd error, 200":   {ok(`{"error":"` + mark + `"}`), false},
		"the client":          {refused(401, `{"error":"invalid_client","x":"`+mark+secret+`"}`), true},
		"the scope":           {refused(400, `{"error":"invalid_scope","error_uri":"`+mark+`"}`), true},
		"another error":       {refused(400, `{"error":"`+mark+`"}`), true},
		"an error as text":    {refused(400, mark+secret), true},
		"no such page":        {refused(404, mark), true},
		"too many":            {refused(429, mark), false},
		"a failure":           {refused(500, `{"error":"invalid_client","x":"`+mark+`"}`), false},
		"a redirect":          {refused(307, mark), true},
		"an old redirect":     {refused(302, mark), true},
		"nothing has changed": {refused(304, mark), true},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer()
			c.answer.Header.Set("Location", "https://other.example/token")
			i.answer = func(int, *http.Request) (*http.Response, error) { return c.answer, nil }
			o := i.options()
			o.Scopes = []string{"orders/write"}
			_, err := i.source(t, o).Token(t.Context())
			if err == nil || errors.Is(err, clientcredentials.ErrRefused) != c.permanent {
				t.Fatalf("the error is %v, permanent %v", err, c.permanent)
			}
			for _, text := range append(secrettest.Prints(err), err.Error()) {
				for _, hidden := range []string{mark, secret, url.QueryEscape(secret), "tenant=7", "12345678"} {
					if strings.Contains(text, hidden) {
						t.Errorf("the error shows %q: %s", hidden, text)
					}
				}
			}
			if i.asked() != 1 {
				t.Errorf("%d requests", i.asked())
			}
		})
	}
	i := newIssuer()
	i.answer = func(int, *http.Request) (*http.Response, error) {
		gzip := ok(`{` + token + `}`)
		gzip.Header.Set("Content-Encoding", "gzip")
		return gzip, nil
	}
	if _, err := i.source(t, nil).Token(t.Context()); err == nil {
		t.Error("a compressed answer is read")
	}
}

// TestNewRefuses wrong arguments, without showing the secret.
func TestNewRefuses(t *testing.T) {
	type options = clientcredentials.Options
	for name, c := range map[string]struct {
		url, id, secret string
		opts            *options
	}{
		"http":         {"http://issuer.example/token", "c", secret, nil},
		"http, local":  {"http://127.0.0.1/token", "c", secret, nil},
		"no URL":       {"issuer.example", "c", secret, nil},
		"user":         {"https://c:" + url.QueryEscape(secret) + "@issuer.example/", "c", secret, nil},
		"fragment":     {"https://issuer.example/#a", "c", secret, nil},
		"no ID":        {endpoint, "", secret, nil},
		"no secret":    {endpoint, "c", "", nil},
		"line break":   {endpoint, "c", secret + "\n", nil},
		"two scopes":   {endpoint, "c", secret, &options{Scopes: []string{"a b"}}},
		"empty scope":  {endpoint, "c", secret, &options{Scopes: []string{""}}},
		"grant_type":   {endpoint, "c", secret, &options{Parameters: url.Values{"grant_type": {"password"}}}},
		"scope":        {endpoint, "c", secret, &options{Parameters: url.Values{"scope": {"a"}}}},
		"other client": {endpoint, "c", secret, &options{Parameters: url.Values{"client_id": {"a"}}}},
		"other secret": {endpoint, "c", secret, &options{Parameters: url.Values{"client_secret": {secret}}}},
	} {
		s, err := clientcredentials.New(c.url, c.id, c.secret, c.opts)
		if err == nil || s != nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := clientcredentials.New("http://127.0.0.1/token", "c", secret,
		&options{UnsafeAllowHTTP: true}); err != nil {
		t.Error(err)
	}
}

// TestSecretsAreNotPrinted: neither a source nor its transport shows the secret or a token.
func TestSecretsAreNotPrinted(t *testing.T) {
	i := newIssuer()
	s := i.source(t, nil)
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	transport, err := s.Transport(nil, "https://api.example")
	if err != nil {
		t.Fatal(err)
	}
	type source = clientcredentials.Source
	for _, v := range []any{s, *s, transport, s.TokenSource(t.Context()), struct{ s *source }{s},
		struct{ s source }{*s}} {
		for _, text := range secrettest.Prints(v) {
			secrettest.NotShown(t, fmt.Sprintf("%T", v), text, []byte(secret), token.AccessToken)
		}
	}
	if text := fmt.Sprint(s); text != "clientcredentials.Source(4client, [redacted])" {
		t.Error(text)
	}
}
