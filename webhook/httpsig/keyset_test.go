package httpsig_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// TestKeySet publishes the keys of a keyring during a rotation, and a receiver takes the document.
func TestKeySet(t *testing.T) {
	old, next := newSigner(t, keys.Ed25519), newSigner(t, keys.ES256)
	k, err := keys.CreateKeyring(filepath.Join(t.TempDir(), "k"), "", "orders", &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true}, Key: old,
		Schedule: keys.Schedule{Retired: now, Expired: now.Add(time.Hour)}})
	check(t, err)
	check(t, k.Add(next, keys.Schedule{Active: now}))
	check(t, k.Add(newSigner(t, keys.MLDSA65), keys.Schedule{}))
	clock := now.Add(-time.Hour)
	mux := http.NewServeMux()
	mux.Handle("/.well-known/jwks.json", httpsig.KeySet(k.PublicKeys, func() time.Time { return clock }))
	get := func(method string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, "/.well-known/jwks.json", nil))
		return w
	}
	w := get(http.MethodGet)
	list, err := keys.ParseJWKSet(w.Body.Bytes())
	check(t, err)
	if w.Header().Get("Content-Type") != "application/jwk-set+json" || len(list) != 2 ||
		strings.Contains(w.Body.String(), "orders") || strings.Contains(w.Body.String(), "active") {
		t.Errorf("%v\n%s", w.Header(), w.Body)
	}
	v := newVerifier(t, []webhook.Secret{{Text: strings.TrimSpace(w.Body.String())}}, nil)
	for _, signer := range []keys.Signer{old, next} {
		wantReason(t, v, delivery(t, signer, nil, now), now, "")
	}
	clock = now.Add(time.Hour)
	list, err = keys.ParseJWKSet(get(http.MethodGet).Body.Bytes())
	check(t, err)
	if len(list) != 1 || list[0].KeyID() != next.Verifier().KeyID() {
		t.Errorf("%d keys, the old one has expired", len(list))
	}
	if w := get(http.MethodPost); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST is answered %d", w.Code)
	}
}

// TestDescription is for `sealbus webhook providers`.
func TestDescription(t *testing.T) {
	d := webhook.Describe(httpsig.Scheme(&httpsig.Profile{Label: "a"}))
	if httpsig.Scheme(nil).Name() != "httpsig" || d.Title == "" || d.Signature != "Signature: a=" {
		t.Errorf("%+v", d)
	}
}
