package gateway_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/webhook/gateway"
)

// issuerKey signs the tokens of the tests.
var issuerKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// token is one of that client, which is good at now.
func token(client string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"EdDSA","typ":"at+jwt","kid":"k"}`)) + "." + b64(fmt.Appendf(nil,
		`{"iss":"https://issuer.example","aud":"hooks","sub":%q,"client_id":%q,"exp":%d}`, client, client,
		now.Unix()+600))
	return text + "." + b64(ed25519.Sign(issuerKey, []byte(text)))
}

// tenantsFile has the tenant acme with the clients c1 and c2.
const tenantsFile = `version: 1
issuer: https://issuer.example
tenants:
  acme:
    clients: {c1: {}, c2: {rate: 0.1, burst: 1}}
    sources: [https://hooks.example/github]
    types: [webhook.github.*]
    scopes: []
    quota: {rate: 10, burst: 3}
`

// callersConfig is a gateway whose callers have tokens. The tests change single lines of it.
const callersConfig = `addresses: {rate: 1, burst: 1000}
tokens: {issuer: https://issuer.example, audiences: [hooks], jwks: jwks.json}
tenants: tenants.yaml
authid_key: env:AUTHID_KEY
endpoints:
  github:
    path: /hooks/github
    provider: github
    secrets: [env:GITHUB_SECRET]
    source: https://hooks.example/github
`

// callersDir has the files that the configuration names, and these.
func callersDir(t *testing.T, files map[string]string) *gateway.Options {
	t.Setenv("AUTHID_KEY", strings.Repeat("k", 32))
	t.Setenv("SHORT_KEY", "k")
	t.Setenv("GITHUB_SECRET", "first")
	opts := options()
	opts.Dir = t.TempDir()
	all := map[string]string{"tenants.yaml": tenantsFile, "jwks.json": `{"keys":[{"kty":"OKP","crv":"Ed25519",` +
		`"kid":"k","use":"sig","x":"` + base64.RawURLEncoding.EncodeToString(issuerKey[32:]) + `"}]}`,
		"set.json":   `{"version": 1, "types": {"webhook.github.push": "push.json"}}`,
		"push.json":  `{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}`,
		"empty.json": "", "other.yaml": strings.Replace(tenantsFile, "issuer.example", "other.example", 1),
		"bad.yaml": strings.Replace(tenantsFile, "scopes", "scope", 1)}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(opts.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return opts
}

// as sends a delivery to the endpoint github, with that token; "" = without one.
func (w *world) as(token, body string) (int, string, http.Header) {
	r := signed(w.t, w.url+"/hooks/github", "first", body)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return do(w.t, r)
}

// Each thing that is wrong about callers has its line and field.
func TestCallersErrors(t *testing.T) {
	opts := callersDir(t, nil)
	line := func(n int, into string) string {
		lines := strings.Split(callersConfig, "\n")
		lines[n-1] = into
		return strings.Join(lines, "\n")
	}
	for name, c := range map[string]struct {
		config string
		line   int
		field  string
	}{
		"hops alone":          {line(1, "trusted_hops: 1"), 1, "trusted_hops"},
		"too many hops":       {"trusted_hops: 17\n" + callersConfig, 1, "trusted_hops"},
		"no hops":             {"trusted_hops: 0\n" + callersConfig, 1, "trusted_hops"},
		"no burst":            {line(1, "addresses: {rate: 1}"), 1, "addresses"},
		"a rate of 0":         {line(1, "addresses: {rate: 0, burst: 1}"), 1, "addresses.rate"},
		"a long burst":        {line(1, "addresses: {rate: 0.0001, burst: 1000000}"), 1, "addresses"},
		"no issuer":           {line(2, "tokens: {audiences: [a], jwks: jwks.json}"), 2, "tokens"},
		"no keys":             {line(2, "tokens: {issuer: https://issuer.example}"), 2, "tokens"},
		"an unknown field":    {line(2, "tokens: {isuer: a}"), 2, "tokens.isuer"},
		"no such keys":        {strings.Replace(callersConfig, "jwks.json", "none.json", 1), 2, "tokens.jwks"},
		"empty keys":          {strings.Replace(callersConfig, "jwks.json", "empty.json", 1), 2, "tokens.jwks"},
		"keys over http":      {strings.Replace(callersConfig, "jwks.json", "http://a.example/", 1), 2, "tokens.jwks"},
		"a bad source":        {strings.Replace(callersConfig, "jwks:", "source: a, jwks:", 1), 2, "tokens"},
		"another issuer":      {line(3, "tenants: other.yaml"), 2, "tokens.issuer"},
		"no such tenants":     {line(3, "tenants: none.yaml"), 3, "tenants"},
		"bad tenants":         {line(3, "tenants: bad.yaml"), 3, "tenants"},
		"tenants, no tokens":  {line(2, ""), 3, "tenants"},
		"tenants, no key":     {line(4, ""), 3, "tenants"},
		"a key, no tenants":   {line(3, ""), 4, "authid_key"},
		"a key in the clear":  {line(4, "authid_key: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"), 4, "authid_key"},
		"a short key":         {line(4, "authid_key: env:SHORT_KEY"), 4, "authid_key"},
		"no such schemas":     {line(1, "schemas: none.json"), 1, "schemas"},
		"no token to leave":   {oneEndpoint + "    unsafe_no_token: true\n", 3, "endpoints.github"},
		"tokens of no client": {"tokens: {issuer: a, jwks: jwks.json}" + oneEndpoint, 1, "tokens"},
	} {
		g, err := gateway.New(t.Context(), []byte(c.config), ring(t), &memoryBus{}, replay.NewMemory(nil), opts)
		e, ok := errors.AsType[*gateway.ConfigError](err)
		if !ok || g != nil || e.Line != c.line || e.Field != c.field {
			t.Errorf("%s: %v; want line %d, field %q", name, err, c.line, c.field)
		}
	}
}

// A reload keeps what callers have used: neither a tenant nor a network gets more by it.
func TestReloadKeepsCounts(t *testing.T) {
	w := newWorld(t, callersConfig, callersDir(t, nil))
	send := func(what, token string, want int) {
		t.Helper()
		if status, body, _ := w.as(token, `{"n":1}`); status != want {
			t.Errorf("%s: %d %s, want %d", what, status, body, want)
		}
	}
	reload := func(config string) {
		t.Helper()
		if err := w.Reload(t.Context(), []byte(config)); err != nil {
			t.Fatal(err)
		}
	}
	send("c2", token("c2"), 200)
	send("c2 over its rate", token("c2"), 429)
	reload(callersConfig)
	send("c2 after a reload", token("c2"), 429)
	send("c1", token("c1"), 200)
	send("c1", token("c1"), 200)
	send("the tenant's burst", token("c1"), 429)
	reload(strings.Replace(callersConfig, "1000}", "2}", 1))
	send("another table", "", 401)
	send("another table", "", 401)
	send("the network's burst", "", 429)
	reload(strings.Replace(callersConfig, "1000}", "2}", 1))
	send("after a reload", "", 429)
	noSecret := strings.Replace(callersConfig, "GITHUB_SECRET", "NO_SECRET", 1)
	if err := w.Reload(t.Context(), []byte(noSecret)); err == nil {
		t.Error("a secret that is not there")
	}
	reload(strings.Replace(callersConfig, "1000}", "2}", 1))
	send("after one that was refused", "", 429)
}

// An endpoint whose provider cannot send a token is opened by name. Its events do not say who called.
func TestUnsafeNoToken(t *testing.T) {
	w := newWorld(t, callersConfig, callersDir(t, nil))
	if status, _, header := w.as("", `{}`); status != 401 || header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("without a token: %d %v", status, header)
	}
	if status, _, _ := w.as(token("c1"), `{"n":1}`); status != 200 {
		t.Errorf("with a token: %d", status)
	}
	if err := w.Reload(t.Context(), []byte(callersConfig+"    unsafe_no_token: true\n")); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := w.as("", `{"n":2}`); status != 200 {
		t.Errorf("an open endpoint: %d", status)
	}
	events := w.bus.events()
	if len(events) != 2 || !strings.Contains(events[0], `"authtype":"service_account"`) ||
		strings.Contains(events[1], "authtype") {
		t.Errorf("the bus has %q", events)
	}
}

// Data that does not follow its schema, that of all or that of a tenant, is refused and can be sent again.
func TestSchemas(t *testing.T) {
	for name, c := range map[string]struct{ config, tenants string }{
		"of all":      {"schemas: set.json\n" + callersConfig, tenantsFile},
		"of a tenant": {callersConfig, tenantsFile + "    schemas: set.json\n"},
	} {
		w := newWorld(t, c.config, callersDir(t, map[string]string{"tenants.yaml": c.tenants}))
		for range 2 {
			status, body, _ := w.as(token("c1"), `{"n":"canary"}`)
			if status != 400 || !strings.Contains(body, `"reason":"schema_invalid"`) ||
				!strings.Contains(body, `{"pointer":"/n","keyword":"type"}`) || strings.Contains(body, "canary") {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
		if status, body, _ := w.as(token("c1"), `{"n":1}`); status != 200 || len(w.bus.events()) != 1 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

// Amazon SNS takes each 4xx for final: it is told to come again.
func TestFloodOfSNS(t *testing.T) {
	config := "addresses: {rate: 0.1, burst: 1}\nendpoints:\n  sns:\n    path: /hooks/github\n    provider: sns\n" +
		"    topics: ['arn:aws:sns:eu-west-1:111122223333:orders']\n    source: urn:a:b\n"
	w := newWorld(t, config, callersDir(t, nil))
	first, _, _ := w.as("", `{}`)
	second, _, header := w.as("", `{}`)
	if first != 400 || second != 503 || header.Get("Retry-After") != "11" {
		t.Errorf("%d, then %d with %v", first, second, header)
	}
}
