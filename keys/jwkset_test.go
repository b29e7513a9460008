package keys

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The SDK reads the export of a keyring: keys, owner and schedule.
func TestJWKSetOfAKeyring(t *testing.T) {
	open := KeyringOptions{PrivateFileOptions: PrivateFileOptions{InsecureNoPassphrase: true},
		Key: mustGenerate(t, Ed25519)}
	ring, err := CreateKeyring(filepath.Join(t.TempDir(), "ring"), "", "orders", &open)
	if err != nil {
		t.Fatal(err)
	}
	schedule := Schedule{Published: day(1), Active: day(2), Retired: day(3), Expired: day(4)}
	for _, alg := range []Algorithm{ES256, MLDSA65} {
		if err := ring.Add(mustGenerate(t, alg), schedule); err != nil {
			t.Fatal(err)
		}
	}
	identity, err := GenerateIdentity(P256)
	if err != nil {
		t.Fatal(err)
	}
	list := append(ring.PublicKeys(), PublicKey{Recipient: identity.Recipient(), Consumer: "billing",
		Schedule: schedule})
	list = append(list, PublicKey{Verifier: mustGenerate(t, ES256).Verifier()}) // of another tool
	set, err := FormatJWKSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseJWKSet(set)
	if err != nil {
		t.Fatalf("%v:\n%s", err, set)
	}
	for i := range list {
		is, want := got[i], list[i]
		if is.KeyID() != want.KeyID() || is.Producer != want.Producer || is.Consumer != want.Consumer ||
			!reflect.DeepEqual(is.Schedule, want.Schedule) {
			t.Errorf("key %d is %+v, not %+v", i, is, want)
		}
	}
	if strings.Contains(string(set), `"d"`) || strings.Contains(string(set), `"priv"`) {
		t.Errorf("a private member in\n%s", set)
	}
}

func TestParseJWKSetRefuses(t *testing.T) {
	id := mustGenerate(t, Ed25519).Verifier()
	jwk := string(id.JWK())
	with := func(members string) string { return strings.Replace(jwk, "{", "{"+members+",", 1) }
	for doc, want := range map[string]string{
		`[]`: "not a JSON object", `{"keys":[]}`: "without keys", `{"keys":[{}]}`: `no "kty"`,
		`{"keys":[` + jwk + `,` + jwk + `]}`:          "stands twice",
		with(`"producer":"a b"`):                      "the character",
		with(`"producer":"a","active":"soon"`):        "a time like",
		with(`"d":"AAAA"`):                            "private key",
		`{"keys":[` + jwk + `],"producer":"orders"}`:  "a keyring",
		`{"keys":[` + jwk + `],"threshold":1}`:        "a roots file",
		"\xef\xbb\xbf" + jwk:                          "byte order mark",
		`{"keys":[{"kty":"OKP","crv":"X","x":"AA"}]}`: "not supported",
		with(`"producer":"a","active":"2026-01-02T00:00:00Z","retired":"2026-01-01T00:00:00Z"`): "before active",
	} {
		if list, err := ParseJWKSet([]byte(doc)); err == nil || list != nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", doc, err, want)
		}
	}
	// Without an owner the moments are another tool's, whatever they look like.
	list, err := ParseJWKSet([]byte(with(`"active":true`)))
	if err != nil || list[0].Schedule != (Schedule{}) || list[0].Producer+list[0].Consumer != "" {
		t.Errorf("%+v, %v", list, err)
	}
	set := `{"keys":[` + jwk + `]}`
	for name, f := range map[string]func() error{
		"ParseJWK":          func() error { _, err := ParseJWK([]byte(set)); return err },
		"ParseRecipientJWK": func() error { _, err := ParseRecipientJWK([]byte(set)); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "a JWK Set of public keys") ||
			!strings.Contains(err.Error(), "ParseJWKSet reads it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
