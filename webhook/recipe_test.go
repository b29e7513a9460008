package webhook_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// ownRecipe is a sound one, with which the tests begin.
const ownRecipe = `{
  "name": "acme",
  "signature": {"header": "X-Acme-Signature", "separator": ",",
    "kinds": [{"prefix": "v1=", "encoding": "hex", "algorithm": "hmac-sha256", "secret": "text"}]},
  "signed": ["id", {"text": "."}, "time", {"text": "."}, "body"],
  "time": {"item": "t=", "unit": "seconds", "tolerance_seconds": 300},
  "id": {"header": "X-Acme-Id"},
  "type": {"member": "/type"}
}`

// edited replaces a text that stands in the recipe once.
func edited(t testing.TB, doc, old, with string) []byte {
	t.Helper()
	if strings.Count(doc, old) != 1 {
		t.Fatalf("%q does not stand in the recipe once", old)
	}
	return []byte(strings.Replace(doc, old, with, 1))
}

func TestOwnRecipeIsTaken(t *testing.T) {
	if found := webhook.Lint([]byte(ownRecipe)); found != nil {
		t.Fatal(found)
	}
	scheme, err := webhook.ParseRecipe([]byte(ownRecipe))
	if err != nil || scheme.Name() != "acme" {
		t.Fatal(scheme, err)
	}
	v, err := webhook.New(scheme, "in", []webhook.Secret{{Text: "s"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := post("{}", "x-acme-id", "m1", "x-acme-signature", "t=1700000000,v1="+hexMAC("s", "m1.1700000000.{}"))
	if got := reason(t, v, r, now); got != "" {
		t.Error(got)
	}
}

// TestLintRefuses: each edit of a sound recipe is one defect. The word is part of the finding, so that the
// defect is the one that is found.
func TestLintRefuses(t *testing.T) {
	const kind = `{"prefix": "v1=", "encoding": "hex", "algorithm": "hmac-sha256", "secret": "text"}`
	const signed = `["id", {"text": "."}, "time", {"text": "."}, "body"]`
	const timeItem = `{"item": "t=", "unit": "seconds", "tolerance_seconds": 300}`
	second := func(k string) string { return kind + "," + k }
	for _, c := range []struct{ name, old, with, finding string }{
		{"unknown member", `"name"`, `"expression": "x", "name"`, "unknown member"},
		{"unknown inner member", `"prefix"`, `"key_header": "X-Key", "prefix"`, "unknown member"},
		{"header chooses the algorithm", `"hmac-sha256"`, `{"header": "X-Alg"}`, "never chooses"},
		{"header chooses the secret", `"secret": "text"`, `"secret": {"header": "X-Kid"}`, "never chooses"},
		{"prefix chooses the algorithm", kind, second(`{"prefix": "v2=", "encoding": "hex",
			"algorithm": "hmac-sha512", "secret": "text"}`), "would choose"},
		{"prefix chooses the form", kind, second(`{"prefix": "v2=", "encoding": "hex",
			"algorithm": "hmac-sha256", "secret": "hex"}`), "would choose"},
		{"SHA-1", "hmac-sha256", "hmac-sha1", "SHA-1"},
		{"no time", `"time": ` + timeItem + ",", "", "time: there is none"},
		{"no ID", `"id": {"header": "X-Acme-Id"},`, "", "id: there is none"},
		{"time not signed", signed, `["id", {"text": "."}, "body"]`, "does not cover it"},
		{"no tolerance", `, "tolerance_seconds": 300`, "", "tolerance"},
		{"tolerance of a year", "300", "31536000", "tolerance"},
		{"no unit", `"unit": "seconds", `, "", "unit"},
		{"body not signed", signed, `["id", {"text": "."}, "time"]`, "does not cover the body"},
		{"body twice", signed, `["body", {"text": "."}, "time", {"text": "."}, "body"]`, "twice"},
		{"ID beside the body", signed, `["time", {"text": "."}, "id", "body"]`, "two ways"},
		{"ID beside the time", signed, `["id", "time", {"text": "."}, "body"]`, "two ways"},
		{"ID after the body", signed, `["time", {"text": "."}, "body", "id"]`, "two ways"},
		{"digit after the time", signed, `["time", {"text": "0."}, "body"]`, "two ways"},
		{"digit before the time", signed, `["body", {"text": ".0"}, "time"]`, "two ways"},
		{"text after the URL", signed, `["time", {"text": "."}, "url", {"text": "."}, "body"]`, "two ways"},
		{"URL after the body", signed, `["time", {"text": "."}, "body", {"text": "."}, "url"]`, "two ways"},
		{"letter after the method", signed, `["method", {"text": "T"}, "time", "body"]`, "two ways"},
		{"time after the method", signed, `["method", "time", "body"]`, "two ways"},
		{"unknown part", signed, `["time", {"text": "."}, "host", "body"]`, "none of"},
		{"empty text", signed, `["time", {"text": ""}, "body"]`, "empty text"},
		{"word for none", `"id": {"header": "X-Acme-Id"}`, `"id": "no"`, "none"},
		{"time in two places", `"item": "t="`, `"item": "t=", "header": "X-Time"`, "one of header"},
		{"ID in two places", `{"header": "X-Acme-Id"}`, `{"header": "X-Acme-Id", "member": "/id"}`,
			"not both"},
		{"signed ID in the body", `{"header": "X-Acme-Id"}`, `{"member": "/id"}`, "in no header"},
		{"separator", `"separator": ","`, `"separator": "."`, "separator"},
		{"time without separator", `"separator": ",",`, "", "no separator"},
		{"prefix with separator", `"v1="`, `"v1,"`, "holds the separator"},
		{"prefixes", `"t="`, `"v"`, "cannot be told apart"},
		{"no prefix", `"v1="`, `""`, "prefix"},
		{"no kinds", kind, "", "1 to 4"},
		{"encoding", `"hex"`, `"base32"`, "encoding"},
		{"secret", `"secret": "text"`, `"secret": "pem"`, "secret"},
		{"form of the key", `"secret": "text"`, `"secret": "pkix"`, "does not fit"},
		{"header", `"X-Acme-Id"`, `"X Acme"`, "no name of a header"},
		{"pointer", `"/type"`, `"type"`, "JSON Pointer"},
		{"name", `"acme"`, `"Acme Inc"`, "name"},
		{"challenge", `"name"`, `"challenge": "mine", "name"`, "challenge"},
		{"signing oracle", signed, `["time", {"text": "x"}, "body"], "challenge": "zoom"`, "no token holds"},
		{"member twice", `"name"`, `"name": "x", "name"`, "duplicate"},
		{"one header twice", `"name"`, `"or": [{"signature": {"header": "x-acme-signature"}}], "name"`,
			"two ways"},
	} {
		doc := edited(t, ownRecipe, c.old, c.with)
		found := fmt.Sprint(webhook.Lint(doc))
		if !strings.Contains(found, c.finding) {
			t.Errorf("%s: %s", c.name, found)
		}
		if s, err := webhook.ParseRecipe(doc); err == nil || s != nil {
			t.Errorf("%s: ParseRecipe takes it", c.name)
		}
	}
	if _, err := webhook.ParseRecipe([]byte(ownRecipe + strings.Repeat(" ", webhook.MaxRecipe))); err == nil {
		t.Error("a recipe of any size is taken")
	}
}

// migrating is a recipe with two ways of signing, for a provider that changes its scheme.
const migrating = `{
  "name": "acme",
  "signature": {"header": "X-Acme-Hmac",
    "kinds": [{"prefix": "", "encoding": "base64", "algorithm": "hmac-sha256", "secret": "text"}]},
  "signed": ["body"], "time": "none", "id": {"header": "X-Acme-Delivery"},
  "or": [{
    "signature": {"header": "webhook-signature", "separator": " ",
      "kinds": [{"prefix": "v1,", "encoding": "base64", "algorithm": "hmac-sha256", "secret": "whsec"}]},
    "signed": ["id", {"text": "."}, "time", {"text": "."}, "body"],
    "time": {"header": "webhook-timestamp", "unit": "seconds", "tolerance_seconds": 300},
    "id": {"header": "webhook-id"}
  }]
}`

// TestMigrationHasOneReplayKey: during a migration the provider sends both signatures. A copy without one of
// them is the same delivery, and either way needs its own secret.
func TestMigrationHasOneReplayKey(t *testing.T) {
	scheme, err := webhook.ParseRecipe([]byte(migrating))
	if err != nil {
		t.Fatal(err)
	}
	secrets := []webhook.Secret{{ID: "old", Text: "s"}, {ID: "new", Text: standardSecret(t, "one")}}
	v, err := webhook.New(scheme, "in", secrets, nil)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := webhook.Sign("msg_1", now, []byte(jsonBody), secrets[1:])
	if err != nil {
		t.Fatal(err)
	}
	older := post("", "X-Acme-Hmac", b64MAC("s", jsonBody), "X-Acme-Delivery", "d1").Header
	keys := map[[32]byte]bool{}
	for name, header := range map[string][]webhook.Field{"both": slices.Concat(older, newer), "older": older,
		"newer": newer} {
		r := webhook.Request{Header: header, Body: []byte(jsonBody)}
		got, err := v.Verify(context.Background(), r, now)
		if err != nil {
			t.Fatal(name, err)
		}
		replay := got.Replay()
		keys[replay.Key] = true
		if !replay.Until.Equal(now.Add(webhook.RememberFor)) || replay.Digest != [32]byte{} {
			t.Errorf("%s: %+v", name, replay)
		}
	}
	if len(keys) != 1 {
		t.Errorf("one delivery has %d replay keys", len(keys))
	}
	late := webhook.Request{Header: newer, Body: []byte(jsonBody)}
	if got := reason(t, v, late, now.Add(time.Hour)); got != envelope.ReasonExpired {
		t.Errorf("a late one: %q", got)
	}
	if _, err := webhook.New(scheme, "in", []webhook.Secret{{Text: "whsec_AAAA"}}, nil); err != nil {
		t.Error("the older way takes any text:", err)
	}
}

// TestEmbeddedRecipesAreFiles: each file is a provider of its name, and lint finds nothing in it.
func TestEmbeddedRecipesAreFiles(t *testing.T) {
	files, err := filepath.Glob("recipes/*.json")
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := webhook.Lint(doc); found != nil {
			t.Errorf("%s: %v", file, found)
		}
		scheme, err := webhook.Provider(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil || scheme.Name()+".json" != filepath.Base(file) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if list := webhook.Providers(); len(list) < len(files) || !slices.IsSorted(list) {
		t.Error(list)
	}
	if _, err := webhook.Provider("acme"); err == nil {
		t.Error("an unknown provider is found")
	}
}
