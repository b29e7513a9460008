package trust_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	cmd "github.com/sealbus/sealbus/cmd/sealbus/internal/trust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// get asks the server, and is the status, the ETag and the body of its answer.
func get(t *testing.T, method, url, etag string) (int, string, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("ETag"), string(body)
}

// The files of the trust are served as they are, and nothing else is.
func TestTrustServe(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	digest := strings.Repeat("0a", 32)
	for name, content := range map[string]string{"timestamp.dsse": "T", "bundles/" + digest: "B", "roots/2": "R",
		"secret.keyring": "S", "roots/x": "X"} {
		b.Check(os.MkdirAll(filepath.Dir(b.Path(name)), 0o700))
		b.Check(os.WriteFile(b.Path(name), []byte(content), 0o600))
	}
	b.Check(os.Symlink("/etc/hostname", b.Path("roots/3")))
	l := b.Start("trust", "serve", "--bundle", b.Path("trust.dsse"), "--roots", b.Path("roots.json"), "--listen",
		"127.0.0.1:0")
	url := l.Address()
	signed, err := os.ReadFile(b.Path("trust.dsse"))
	b.Check(err)
	for path, want := range map[string]string{"bundle.dsse": string(signed), "timestamp.dsse": "T",
		"bundles/" + digest: "B", "roots/2": "R"} {
		status, etag, body := get(t, http.MethodGet, url+path, "")
		if status != http.StatusOK || body != want || etag == "" {
			t.Errorf("%s: %d, ETag %s, %q", path, status, etag, body)
		}
		if status, _, body := get(t, http.MethodGet, url+path, etag); status != http.StatusNotModified || body != "" {
			t.Errorf("%s again: %d, %q", path, status, body)
		}
		if status, _, body := get(t, http.MethodHead, url+path, ""); status != http.StatusOK || body != "" {
			t.Errorf("HEAD %s: %d, %q", path, status, body)
		}
	}
	for _, path := range []string{"", "trust.dsse", "secret.keyring", "roots/x", "roots/0", "roots/4", "roots/3",
		"bundles/..%2fsecret.keyring", "bundles/", "%2e%2e/x", "bundles/" + strings.ToUpper(digest)} {
		if status, _, body := get(t, http.MethodGet, url+path, ""); status == http.StatusOK ||
			strings.Contains(body, "S") {
			t.Errorf("%s: %d, %q", path, status, body)
		}
	}
	if status, _, _ := get(t, http.MethodPost, url+"bundle.dsse", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", status)
	}
	roots, err := os.ReadFile(b.Path("roots.json"))
	b.Check(err)
	pinned, err := trust.ParseRoots(roots)
	b.Check(err)
	source, err := trust.FetchBundle(t.Context(), url+"bundle.dsse", pinned, &trust.Options{UnsafeAllowHTTP: true,
		Now: func() time.Time { return b.Now }})
	b.Check(err)
	if got, err := source.Bundle(t.Context()); err != nil || len(got.SigningKeys()) == 0 {
		t.Errorf("%v, %v", got, err)
	}
	if code := l.End(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// The JWK Set has the keys from which events are accepted now, and go-jose verifies with them.
func TestTrustServeJWKS(t *testing.T) {
	b := clitest.New(t)
	const day = 24 * time.Hour
	var list []*trust.Key
	signers := map[string]*keys.LocalSigner{}
	for name, edit := range map[string]func(*trust.Key){
		"active": func(*trust.Key) {}, "tainted": func(k *trust.Key) { k.Tainted = true },
		"published": func(k *trust.Key) { k.Schedule.Active = b.Now.Add(day) },
		"retired":   func(k *trust.Key) { k.Schedule.Retired = b.Now.Add(-day) },
		"pending":   func(k *trust.Key) { k.Schedule.Published = b.Now.Add(time.Second) },
		"expired":   func(k *trust.Key) { k.Schedule.Expired = b.Now },
		"revoked":   func(k *trust.Key) { k.Revoked = &trust.Revocation{At: b.Now, Reason: "stolen"} },
		"pq":        func(*trust.Key) {},
	} {
		alg := keys.Ed25519
		switch name {
		case "pq":
			alg = keys.MLDSA65
		case "retired":
			alg = keys.ES256
		}
		s, err := keys.GenerateSigner(alg, "shop")
		b.Check(err)
		signers[name] = s
		k := &trust.Key{Verifier: s.Verifier(), Producer: "shop", Sources: []string{clitest.OrderSource},
			Types: []string{"*"}}
		edit(k)
		list = append(list, k)
	}
	b.Trust(list...)
	b.Check(os.Rename(b.Path("trust.dsse"), b.Path("bundle.dsse")))
	l := b.Start("trust", "serve", "--dir", b.Dir, "--roots", b.Path("roots.json"), "--listen", "127.0.0.1:0")
	status, etag, body := get(t, http.MethodGet, l.Address()+"jwks.json", "")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if status, _, _ := get(t, http.MethodGet, l.Address()+"jwks.json", etag); status != http.StatusNotModified {
		t.Errorf("again: %d", status)
	}
	for name, s := range signers {
		want := name == "active" || name == "tainted" || name == "published" || name == "retired"
		if got := strings.Contains(body, s.Verifier().KeyID()); got != want {
			t.Errorf("%s: served %v", name, got)
		}
	}
	var set jose.JSONWebKeySet
	b.Check(json.Unmarshal([]byte(body), &set))
	for name, alg := range map[string]jose.SignatureAlgorithm{"active": jose.EdDSA, "retired": jose.ES256} {
		s := signers[name]
		found := set.Key(s.Verifier().KeyID())
		if len(found) != 1 || !found[0].Valid() || !found[0].IsPublic() {
			t.Fatalf("%s: %+v", name, found)
		}
		enc := base64.RawURLEncoding.EncodeToString
		input := enc([]byte(`{"alg":"`+string(alg)+`","kid":"`+s.Verifier().KeyID()+`"}`)) + "." + enc([]byte("hello"))
		sig, err := s.Sign(t.Context(), []byte(input))
		b.Check(err)
		jws, err := jose.ParseSignedCompact(input+"."+enc(sig), []jose.SignatureAlgorithm{alg})
		b.Check(err)
		if got, err := jws.Verify(found[0]); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// The JWK Set changes with time alone, and ends with the bundle.
func TestJWKSOverTime(t *testing.T) {
	b := clitest.New(t)
	s, err := keys.GenerateSigner(keys.Ed25519, "shop")
	b.Check(err)
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: b.Now, Expires: b.Now.Add(time.Hour)},
		&trust.Key{Verifier: s.Verifier(), Producer: "shop", Schedule: keys.Schedule{Expired: b.Now.Add(time.Minute)}})
	b.Check(err)
	handler := cmd.NewTrustServer(bundle, func() time.Time { return b.Now })
	get := func(status int, has bool) (etag string) {
		t.Helper()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/jwks.json", nil))
		if w.Code != status || strings.Contains(w.Body.String(), s.Verifier().KeyID()) != has {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		return w.Header().Get("ETag")
	}
	first := get(http.StatusOK, true)
	b.Now = b.Now.Add(time.Minute)
	if second := get(http.StatusOK, false); second == first {
		t.Error("another set with the same ETag")
	}
	b.Now = b.Now.Add(time.Hour)
	get(http.StatusServiceUnavailable, false)
}

// A wrong call ends before anything is served.
func TestTrustServeRefuses(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	both := []string{"--bundle", b.Path("trust.dsse"), "--dir", b.Dir, "--roots", b.Path("roots.json")}
	for name, args := range map[string][]string{"neither": {"--roots", b.Path("roots.json")}, "both": both,
		"no roots":   {"--bundle", b.Path("trust.dsse")},
		"no address": {"--bundle", b.Path("trust.dsse"), "--roots", b.Path("roots.json"), "--listen", "x"},
		"no bundle":  {"--dir", b.Path("none"), "--roots", b.Path("roots.json")}} {
		if r := b.Run("", append([]string{"trust", "serve"}, args...)...); r.Code != ui.ExitUsage {
			t.Errorf("%s: exit %d, %s", name, r.Code, r.Stderr)
		}
	}
}
