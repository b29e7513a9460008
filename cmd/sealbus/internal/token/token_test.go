package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
	"github.com/sealbus/sealbus/webhook/authn"
)

// vectors are those of package authn.
type vectors struct {
	Now                                  int64
	Issuer, ClientID, Scope, Group, Path string
	JWKS                                 json.RawMessage
	Tokens                               []struct{ Name, Token, Expect string }
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	doc, err := os.ReadFile("../../../../webhook/authn/testdata/jwt-cognito.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		vectors
		ClientID string `json:"client_id"`
	}
	if err := json.Unmarshal(doc, &v); err != nil || len(v.Tokens) < 40 {
		t.Fatalf("%d tokens, %v", len(v.Tokens), err)
	}
	v.vectors.ClientID = v.ClientID
	return v.vectors
}

// told is what both commands write with --output json.
type told struct {
	Verdict, Reason, Rule, Cause, Fix string
	Status                            int
	Claims                            json.RawMessage `json:"claims"`
	Header                            json.RawMessage `json:"header"`
	Unverified                        json.RawMessage `json:"unverified_claims"`
}

// TestVectors: the exit status of both commands is the verdict of the row. Claims are marked as unverified
// unless a key of the issuer signed them. Neither the token nor its signature is shown.
func TestVectors(t *testing.T) {
	b, v := clitest.New(t), readVectors(t)
	b.Now = time.Unix(v.Now, 0)
	b.Check(os.WriteFile(b.Path("keys.json"), v.JWKS, 0o600))
	keys, err := authn.ParseKeys(v.JWKS)
	b.Check(err)
	// one that refuses by claims: its verdict comes after that on the signature
	claims, err := authn.New("https://none.example", keys, &authn.Options{ClientIDs: []string{"none"}})
	b.Check(err)
	flags := []string{"--issuer", v.Issuer, "--jwks", b.Path("keys.json"), "--client-id", v.ClientID, "--scope",
		v.Scope, "--group", v.Group}
	signed := 0
	for _, row := range v.Tokens {
		exit := map[string]int{"accept": ui.ExitDone, "reject": ui.ExitRejected}[row.Expect]
		_, err := claims.Verify(t.Context(), row.Token, b.Now)
		isSigned := strings.Contains(err.Error(), "issuer is") || strings.Contains(err.Error(), "the token's claims")
		for _, command := range []string{"verify", "explain"} {
			b.Terminal = false
			asJSON := b.Run(row.Token, append([]string{"token", command, "--output", "json"}, flags...)...)
			var got told
			if err := json.Unmarshal([]byte(asJSON.Stdout), &got); err != nil || asJSON.Code != exit || asJSON.Stderr != "" {
				t.Errorf("%s: %s ends with %d, %v\n%s%s", row.Name, command, asJSON.Code, err, asJSON.Stdout, asJSON.Stderr)
			}
			if exit != ui.ExitDone && (got.Reason == "" || got.Rule == "" || got.Cause == "" || got.Fix == "" ||
				got.Status != 401 && got.Status != 403) {
				t.Errorf("%s: %s says %+v", row.Name, command, got)
			}
			if command == "explain" && got.Claims != nil {
				if signed++; !isSigned {
					t.Errorf("%s: the claims are not marked as unverified, and the verdict is %v", row.Name, err)
				}
			}
			b.Terminal = true
			asText := b.Run(row.Token, append([]string{"token", command}, flags...)...)
			if line, n := uitest.Widest(uitest.StripColour(asText.Stderr)); n > 80 && strings.Contains(strings.TrimSpace(line), " ") || asText.Code != exit {
				t.Errorf("%s: exit %d, %d columns: %s", row.Name, asText.Code, n, line)
			}
			if line, n := uitest.Widest(uitest.StripColour(asText.Stdout)); n > 80 && command == "explain" {
				t.Errorf("%s: %d columns: %s", row.Name, n, line)
			}
			noToken(t, row.Name+" "+command, row.Token, asJSON.Stdout+asText.Stdout+asText.Stderr)
		}
	}
	if signed < 15 || signed > len(v.Tokens)-15 {
		t.Errorf("%d of %d tokens are signed: the vectors show nothing", signed, len(v.Tokens))
	}
}

// noToken wants neither the token nor one of its parts in what was written.
func noToken(t *testing.T, name, token, text string) {
	t.Helper()
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 20 && strings.Contains(text, part[:20]) {
			t.Errorf("%s: the token is shown: %s", name, text)
		}
	}
	if text == "" {
		t.Errorf("%s: nothing came out", name)
	}
}

// TestOddTokens: text that is no token is refused, and is not shown: it may be another secret.
func TestOddTokens(t *testing.T) {
	b, v := clitest.New(t), readVectors(t)
	b.Check(os.WriteFile(b.Path("keys.json"), v.JWKS, 0o600))
	b.Now = time.Unix(v.Now, 0)
	good := v.Tokens[0].Token
	flags := []string{"--issuer", v.Issuer, "--jwks", b.Path("keys.json"), "--client-id", v.ClientID}
	for name, c := range map[string]struct {
		text   string
		reason string
	}{
		"nothing":        {"", "unsigned"},
		"a line break":   {"\n", "unsigned"},
		"opaque":         {clitest.Canary, "malformed"},
		"three parts":    {"tangerine.zeppelin.4111222233", "malformed"},
		"with Bearer":    {"Bearer " + good, "malformed"},
		"with blank":     {good + " ", "malformed"},
		"two lines":      {good + "\n\n", "malformed"},
		"long":           {strings.Repeat("a", 17<<10), "too_large"},
		"very long":      {strings.Repeat("a.", 1<<20), "too_large"},
		"unprintable":    {uitest.Obeyed, "malformed"},
		"a line at last": {good + "\n", ""},
		"CRLF":           {good + "\r\n", ""},
	} {
		for _, command := range []string{"verify", "explain"} {
			r := b.Run(c.text, append([]string{"token", command, "--output", "json"}, flags...)...)
			var got told
			if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil || got.Reason != c.reason {
				t.Errorf("%s: %s: %q, %v", name, command, got.Reason, err)
			}
			b.NoCanary(name, r.Stdout+r.Stderr)
			if r := b.Run(c.text, append([]string{"token", command}, flags...)...); uitest.Harmful(r.Stderr) != "" {
				t.Errorf("%s: %s writes %q", name, command, r.Stderr)
			}
		}
	}
}

// issuer is one over HTTP, at an address of this machine.
type issuer struct {
	*httptest.Server
	key           ed25519.PrivateKey
	configuration string // "" = the right one
	keyStatus     int    // of the answer with the keys; 0 = 200
	tokenStatus   int    // of the answer of the token endpoint; 0 = 200
	requests      []*http.Request
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{key: ed25519.NewKeyFromSeed([]byte("a seed of 32 bytes, of an issuer"))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		switch i.configuration {
		case "":
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys"}`, i.URL, i.URL)
		case "404", "500":
			w.WriteHeader(int(i.configuration[0]-'0')*100 + int(i.configuration[2]-'0'))
		default:
			_, _ = fmt.Fprint(w, i.configuration)
		}
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		if i.keyStatus != 0 {
			w.WriteHeader(i.keyStatus)
		}
		x := base64.RawURLEncoding.EncodeToString(i.key.Public().(ed25519.PublicKey))
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"d","x":%q}]}`, x)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // a form that cannot be read is empty, and the test fails
		i.requests = append(i.requests, r)
		w.Header().Set("Content-Type", "application/json")
		if i.tokenStatus != 0 {
			w.WriteHeader(i.tokenStatus)
			_, _ = fmt.Fprint(w, `{"error":"invalid_client","error_description":"`+clitest.Canary+`"}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"access_token":"the-token","token_type":"Bearer","expires_in":600}`)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// token is one for the audience api.
func (i *issuer) token(now time.Time) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"EdDSA","typ":"at+jwt","kid":"d"}`)) + "." +
		encode(fmt.Appendf(nil, `{"iss":%q,"aud":"api","client_id":"c","exp":%d}`, i.URL, now.Unix()+60))
	return text + "." + encode(ed25519.Sign(i.key, []byte(text)))
}

// TestDiscovery: without --jwks the keys are those that the issuer names. A failure of the issuer is no
// verdict on the token.
func TestDiscovery(t *testing.T) {
	for name, c := range map[string]struct {
		configuration string
		keyStatus     int
		exit          int
	}{
		"good":           {"", 0, ui.ExitDone},
		"none":           {"404", 0, ui.ExitUsage},
		"fails":          {"500", 0, ui.ExitUnavailable},
		"garbage":        {"{", 0, ui.ExitUsage},
		"empty":          {"{}", 0, ui.ExitUsage},
		"twice":          {`{"issuer":"%s","issuer":"%s","jwks_uri":"%s/keys"}`, 0, ui.ExitUsage},
		"another issuer": {`{"issuer":"https://issuer.example","jwks_uri":"%s/keys"}`, 0, ui.ExitUsage},
		"with a slash":   {`{"issuer":"%s/","jwks_uri":"%s/keys"}`, 0, ui.ExitUsage},
		"keys by http":   {`{"issuer":"%s","jwks_uri":"http://issuer.example/keys"}`, 0, ui.ExitUsage},
		"large":          {`{"issuer":"%s","jwks_uri":"%s/keys","x":"` + strings.Repeat("x", 64<<10) + `"}`, 0, ui.ExitUnavailable},
		"no keys":        {"", 404, ui.ExitUnavailable},
		"keys fail":      {"", 500, ui.ExitUnavailable},
	} {
		b, i := clitest.New(t), newIssuer(t)
		i.configuration, i.keyStatus = strings.ReplaceAll(c.configuration, "%s", i.URL), c.keyStatus
		r := b.Run(i.token(b.Now), "token", "verify", "--issuer", i.URL, "--audience", "api")
		if r.Code != c.exit || r.Code == ui.ExitUsage && !strings.Contains(r.Stderr, "--jwks") {
			t.Errorf("%s: exit %d\n%s%s", name, r.Code, r.Stdout, r.Stderr)
		}
	}
	b, i := clitest.New(t), newIssuer(t)
	token := i.token(b.Now)
	i.Close()
	for _, more := range [][]string{nil, {"--jwks", i.URL + "/keys"}} {
		r := b.Run(token, append([]string{"token", "verify", "--issuer", i.URL, "--audience", "api"}, more...)...)
		if r.Code != ui.ExitUnavailable {
			t.Errorf("%v without a server: exit %d\n%s", more, r.Code, r.Stderr)
		}
	}
}

// TestGet: the token goes to standard output and no terminal, the secret comes from a file or the environment
// and is never shown.
func TestGet(t *testing.T) {
	b, i := clitest.New(t), newIssuer(t)
	b.Check(os.WriteFile(b.Path("client.secret"), []byte(clitest.Canary+"\n"), 0o600))
	args := []string{"token", "get", "--token-url", i.URL + "/token", "--token-client", "c", "--token-scope", "a",
		"--token-scope", "b", "--token-param", "audience=https://api.example"}
	file := append(args, "--token-secret-file", b.Path("client.secret"))
	if got := b.Must("", file...); got != "the-token\n" {
		t.Errorf("%q", got)
	}
	if got := b.Must("", append(file, "--header")...); got != "Authorization: Bearer the-token\n" {
		t.Errorf("%q", got)
	}
	if got := b.Must("", append(file, "--output", "json")...); got != `{"access_token":"the-token","expires":"2026-11-21T12:10:00Z"}`+"\n" {
		t.Errorf("%q", got)
	}
	b.Env = map[string]string{"SEALBUS_CLIENT_SECRET": clitest.Canary}
	b.Must("", append(args, "--token-secret-in-body")...)
	for n, r := range i.requests {
		id, secret, basic := r.BasicAuth()
		if !basic {
			id, secret = r.Form.Get("client_id"), r.Form.Get("client_secret")
		}
		if basic == (n == 3) || id != "c" || secret != clitest.Canary || r.Form.Get("scope") != "a b" ||
			r.Form.Get("audience") != "https://api.example" {
			t.Errorf("request %d: %v", n, r.Form)
		}
	}
	b.Terminal = true
	if r := b.Run("", args...); r.Code != ui.ExitUsage || len(i.requests) != 4 || r.Stdout != "" {
		t.Errorf("on a terminal: exit %d after %d requests\n%s", r.Code, len(i.requests), r.Stderr)
	}
	b.Terminal = false
	for status, exit := range map[int]int{400: ui.ExitRejected, 401: ui.ExitRejected, 302: ui.ExitRejected,
		500: ui.ExitUnavailable, 429: ui.ExitUnavailable} {
		i.tokenStatus = status
		r := b.Run("", args...)
		if r.Code != exit || r.Stdout != "" {
			t.Errorf("%d: exit %d\n%s%s", status, r.Code, r.Stdout, r.Stderr)
		}
		b.NoCanary(fmt.Sprint(status), r.Stderr)
	}
	i.Close()
	r := b.Run("", args...)
	if r.Code != ui.ExitUnavailable || !strings.Contains(r.Stderr, "nothing listens there") {
		t.Errorf("without a server: exit %d\n%s", r.Code, r.Stderr)
	}
	b.NoCanary("without a server", r.Stderr)
}
