package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/webhook/gateway"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

const partner = `
base_url: https://hooks.example
endpoints:
  partner:
    path: /hooks/partner
    provider: httpsig
    secrets: [file:jwks.json]
    source: https://hooks.example/partner
    profile:
      label: sig
      components: ["@method", "@target-uri", content-digest, webhook-id]
      id: webhook-id
`

// TestHTTPMessageSignatures: an endpoint takes the keys of a JWK Set, and each ID once.
func TestHTTPMessageSignatures(t *testing.T) {
	dir := t.TempDir()
	signer := keystest.Signer(t, keys.Ed25519, "partner", "one")
	set, err := keys.FormatJWKSet(keys.PublicKey{Verifier: signer.Verifier()},
		keys.PublicKey{Verifier: keystest.Signer(t, keys.ES256, "partner", "two").Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "jwks.json"), set, 0o600); err != nil {
		t.Fatal(err)
	}
	opts := options()
	opts.Dir = dir
	w := newWorld(t, partner, opts)
	p := &httpsig.Profile{Label: "sig", ID: "webhook-id",
		Components: []string{"@method", "@target-uri", "content-digest", "webhook-id"}}
	send := func(content, id, path string) int {
		r, err := http.NewRequest(http.MethodPost, "https://hooks.example"+path, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Webhook-Id", id)
		if err := httpsig.Sign(t.Context(), r, []byte(`{"n":1}`), signer, p, now); err != nil {
			t.Fatal(err)
		}
		r.URL.Scheme, r.URL.Host, r.URL.Path, r.Host = "http", strings.TrimPrefix(w.url, "http://"),
			"/hooks/partner", ""
		status, _, _ := do(t, r)
		return status
	}
	for _, c := range []struct {
		content, id, path string
		want              int
	}{{`{"n":1}`, "1", "/hooks/partner", http.StatusOK}, {`{"n":1}`, "1", "/hooks/partner", http.StatusOK},
		{`{"n":2}`, "2", "/hooks/partner", http.StatusUnauthorized},
		{`{"n":1}`, "3", "/hooks/other", http.StatusUnauthorized}} {
		if got := send(c.content, c.id, c.path); got != c.want {
			t.Errorf("%v: status %d", c, got)
		}
	}
	if events := w.bus.events(); len(events) != 1 || !strings.Contains(events[0], `"n":1`) {
		t.Errorf("the bus has %q", events)
	}
}

// TestHTTPMessageSignaturesErrors: what is wrong in the file is said before anything is taken.
func TestHTTPMessageSignaturesErrors(t *testing.T) {
	t.Setenv("KEY", string(keystest.Signer(t, keys.Ed25519, "partner", "one").Verifier().JWK()))
	fromEnv := strings.Replace(partner, "file:jwks.json", "env:KEY", 1)
	for change, want := range map[[2]string]string{
		{"", ""}: "",
		{"base_url: https://hooks.example\n", ""}:                "httpsig needs base_url",
		{`"@method", `, ""}:                                      "@method",
		{"      label: sig\n", "      lable: sig\n"}:             "endpoints.partner.profile.lable",
		{"provider: httpsig", "provider: github"}:                "only the provider httpsig",
		{"secrets: [env:KEY]", "secrets: [env:KEY, env:KEY]"}:    `two secrets have the ID ""`,
		{"[env:KEY]", "[{ref: env:KEY, id: a}, {ref: env:KEY}]"}: "",
	} {
		config := strings.Replace(fromEnv, change[0], change[1], 1)
		_, err := gateway.New(t.Context(), []byte(config), ring(t), &memoryBus{}, replay.NewMemory(nil),
			options())
		got := ""
		if err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q gives %q, want %q", change, got, want)
		}
	}
}
