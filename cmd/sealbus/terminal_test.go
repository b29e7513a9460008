package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

// canaryEvent is an event whose values have what terminals obey, as far as an event may have it.
func canaryEvent(t *testing.T, spoil bool) string {
	t.Helper()
	text := "CANARY" + uitest.Obeyed + "\x1b[31mCANARY"
	attribute := strings.Map(func(c rune) rune { // attributes have no control characters
		if c < 0x20 || c >= 0x7f && c <= 0x9f || c >= 0xfdd0 && c <= 0xfdef || c&0xfffe == 0xfffe ||
			c > 0xffff {
			return -1
		}
		return c
	}, text)
	if spoil {
		attribute = text
	}
	doc, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": attribute, "source": "https://shop.example/eu", "type": attribute,
		"subject": attribute, "tenant": attribute,
		"datacontenttype": "application/json", "data": map[string]any{"note": text, text: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return rawUnicode(string(doc))
}

// rawUnicode writes what encoding/json escapes beyond what JSON demands as it is.
func rawUnicode(doc string) string {
	return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029", `\u007f`, "\x7f").Replace(doc)
}

// TestTerminalIsNotCommanded hands every command that shows events, records, keys and files text that a
// terminal would obey. On a terminal none of it comes out, on neither stream.
func TestTerminalIsNotCommanded(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := b.Must(canaryEvent(t, false), b.Seal()...)
	if uitest.Harmful(sealed) == "" {
		t.Fatal("the event is harmless: nothing is tested")
	}
	forged := strings.Replace(sealed, `"note":"`, `"note":"x`, 1)
	key := bytes.Repeat([]byte{7}, consumer.MinQuarantineKey)
	b.Check(os.WriteFile(b.Path("q.key"), clitest.KeyText(key), 0o600))
	store, err := quarantine.NewDir(b.Path("bin"), clitest.BinKeys(key))
	b.Check(err)
	text := "CANARY" + uitest.Obeyed + "\xff\x9b" + "\x1b[31mCANARY"
	b.Check(store.Put(t.Context(), consumer.Record{
		Consumer: "billing", At: b.Now.Add(-time.Minute), Reason: envelope.ReasonModified, Cause: text,
		UnverifiedID: text, UnverifiedSource: text, UnverifiedType: text,
		Message: consumer.Message{Body: []byte(forged)},
	}))
	noNUL := strings.ReplaceAll(text, "\x00", "")
	odd := b.Path("odd" + noNUL)
	b.Check(os.WriteFile(odd, []byte("{}"), 0o600))
	b.Check(os.WriteFile(filepath.Join(b.Path("bin"), "x"+strings.ReplaceAll(uitest.Obeyed, "\x00", "")), nil,
		0o600))
	b.Check(os.WriteFile(b.Path("event.json"), []byte(canaryEvent(t, true)), 0o600))
	q := func(name string, more ...string) []string {
		return append([]string{"quarantine", name, "--from", b.Path("bin"), "--key-file", b.Path("q.key")},
			more...)
	}
	trust := []string{"--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json")}
	for _, c := range append(hostileToOthers(text, noNUL, odd), []hostileCall{
		{sealed, b.Open(clitest.OrderSource)}, {sealed, b.Open(clitest.OrderSource, "--mode", "passthrough")},
		{"[" + sealed + "," + forged + "]", b.Open(clitest.OrderSource)},
		{forged, b.Open(clitest.OrderSource)}, {canaryEvent(t, true), b.Open(clitest.OrderSource)},
		{text, b.Open(clitest.OrderSource)}, {sealed, b.Open("https://other.example/*")},
		{sealed, []string{"inspect"}}, {sealed, []string{"inspect", "--short"}},
		{forged, []string{"inspect"}}, {text, []string{"inspect"}},
		{canaryEvent(t, true), []string{"inspect"}}, {sealed, append([]string{"inspect"}, trust...)},
		{canaryEvent(t, false), b.Seal()}, {canaryEvent(t, true), b.Seal()}, {text, b.Seal()},
		{canaryEvent(t, false), b.Seal("--to", "eventbridge")},
		{canaryEvent(t, false), b.Seal("--to", "eventbridge", "--bus", noNUL)},
		{canaryEvent(t, true), []string{"publish", "--bus", "central", "--keyring", b.Path("shop.keyring"),
			"--insecure-no-passphrase"}},
		{"", []string{"publish", "--bus", "central", "--keyring", b.Path("shop.keyring"),
			"--insecure-no-passphrase", odd}},
		{"", []string{"publish", "--bus", noNUL, "--keyring", b.Path("shop.keyring"),
			"--insecure-no-passphrase", b.Path("event.json")}},
		{"", q("list")}, {"", q("show", recordIn(t, store))},
		{"", q("show", append(trust, recordIn(t, store))...)},
		{"", q("show", "--body", recordIn(t, store))}, {"", q("show", noNUL)}, {"", q("remove", noNUL)},
		{"", q("reopen", "--all", "--dry-run")}, {"", q("reopen", "--all", "--to", "stdout")},
		{"", q("list", "--reason", noNUL)},
		{"", []string{"quarantine", "list", "--from", noNUL, "--key-file", odd}},
		{"", []string{"keys", "list", "--keyring", odd, "--insecure-no-passphrase"}},
		{"", []string{"keys", "export", "--keyring", odd, "--insecure-no-passphrase"}},
		{"", []string{"trust", "show", odd}}, {"", []string{"trust", "verify", "--roots", odd, odd}},
		{"", []string{"trust", "add", "--policy", odd, "--producer", noNUL, odd}},
		{"", []string{"trust", "build", "--policy", odd, "--keys", odd, "--root", odd, "--out", odd}},
		{"", []string{"trust", "revoke", "--policy", odd, "--reason", noNUL, noNUL}},
		{"", []string{"doctor", "--keyring", odd, "--insecure-no-passphrase"}},
		{"", append([]string{"doctor", "--redis", noNUL}, trust...)},
		{"", []string{"gateway", "--config", noNUL, "--bus", noNUL, "--keyring", odd}},
		{"", []string{noNUL}}, {"", []string{"open", "--" + noNUL}}, {"", []string{"open", noNUL}},
		{"", []string{"completion", noNUL}}, {"", []string{"help", noNUL}},
		{"", []string{"open", "--now", noNUL}}, {"", []string{"seal", "--to", noNUL}},
		{"", []string{"listen", "--http", noNUL, "--trust", odd, "--roots", odd, "--allow-source",
			clitest.OrderSource}},
	}...) {
		wantNoCommands(t, b, c.stdin, c.args)
	}
}

// hostileCall is a command and what it reads.
type hostileCall struct {
	stdin string
	args  []string
}

// hostileToOthers are calls of the commands about webhooks, callers and schemas. The text, the word and the
// file have what a terminal obeys.
func hostileToOthers(text, noNUL, odd string) []hostileCall {
	return []hostileCall{
		{text, []string{"webhook", "verify", "--provider", "github", "--secret-file", odd}},
		{"", []string{"webhook", "verify", "--provider", noNUL, "--header", noNUL}},
		{"", []string{"webhook", "lint", odd}}, {"", []string{"webhook", "providers", noNUL}},
		{text, []string{"webhook", "sign", "--secret-file", odd}},
		{text, []string{"webhook", "send", noNUL, "--secret-file", odd}},
		{"", []string{"webhook", "dead", "list", "--redis", noNUL}},
		{"", []string{"tenants", "check", odd, "--client", noNUL, "--source", noNUL, "--type", noNUL}},
		{"", []string{"schema", "check", odd, "--data", odd, "--reference", odd}},
		{"", []string{"schema", "check", odd, "--set", "--type", noNUL, "--dataschema", noNUL}},
		{text, []string{"token", "explain"}}, {hostileToken(), []string{"token", "explain"}},
		{text, []string{"token", "verify", "--issuer", noNUL, "--jwks", odd, "--client-id", noNUL}},
		{"", []string{"token", "get", "--token-url", noNUL, "--token-client", noNUL, "--token-secret-file", odd}},
		{"", []string{"webhook", "resend", odd, "--to", noNUL}}, {"", []string{"gateway", "--config", odd, "--check"}},
	}
}

// hostileToken is a token whose header and claims have what a terminal obeys.
func hostileToken() string {
	text, _ := json.Marshal(map[string]string{"kid": uitest.Obeyed, uitest.Obeyed: "CANARY\x1b[31m"})
	part := base64.RawURLEncoding.EncodeToString(text)
	return part + "." + part + ".c2ln"
}

// wantNoCommands runs a command, as text and as JSON, and wants nothing that a terminal obeys.
func wantNoCommands(t *testing.T, b *clitest.Bench, stdin string, args []string) {
	t.Helper()
	for _, more := range [][]string{nil, {"--output", "json"}} {
		b.Terminal = true
		r := b.Run(stdin, append(slices.Clone(args), more...)...)
		if r.Stdout+r.Stderr == "" {
			t.Errorf("%.60q says nothing", args)
		}
		if bad := uitest.Harmful(r.Stdout); bad != "" {
			t.Errorf("%.80q: standard output has %s", args, bad)
		}
		if bad := uitest.Harmful(r.Stderr); bad != "" {
			t.Errorf("%.80q: standard error has %s", args, bad)
		}
		b.Terminal = false
		if r := b.Run(stdin, append(slices.Clone(args), more...)...); uitest.Harmful(r.Stderr) != "" {
			t.Errorf("%.80q: standard error that is no terminal has %s", args, uitest.Harmful(r.Stderr))
		}
	}
}

func recordIn(t *testing.T, store quarantine.Store) string {
	t.Helper()
	for e, err := range store.List(t.Context(), nil) {
		if err == nil && e.Record != nil {
			return e.ID
		}
	}
	t.Fatal("no record")
	return ""
}

// TestPipesGetTheBytes: into a pipe or file the event goes as it was signed; a terminal gets the same JSON.
func TestPipesGetTheBytes(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	sealed := b.Must(canaryEvent(t, false), b.Seal()...)
	piped := b.Must(sealed, b.Open(clitest.OrderSource)...)
	if !strings.Contains(piped, "\u202e") || !strings.Contains(piped, "\U000e0041") {
		t.Errorf("something was escaped in a pipe: %q", piped)
	}
	b.Terminal = true
	shown := b.Must(sealed, b.Open(clitest.OrderSource)...)
	var one, other any
	b.Check(json.Unmarshal([]byte(piped), &one))
	b.Check(json.Unmarshal([]byte(shown), &other))
	if fmt.Sprint(one) != fmt.Sprint(other) || uitest.Harmful(shown) != "" {
		t.Errorf("%q\n%q", piped, shown)
	}
}
