package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

// obeyed is what a terminal obeys, hides, or lets change the order of other text: one of each kind.
const obeyed = "\x00\x07\b\x1b[2J\x1b[31m\x1b]0;t\x07\x7f\u0080\u009b31m\u0085\u00a0\u00ad\u034f\u061c\u115f\u180e\u200b\u200d\u200e\u200f" +
	"\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u2800\u3164\ufe0f\ufeff\ufff9\U000e0041\U000e0100\U0010fffd"

// harmful is what is left of it in output; "" = nothing. The paints of this program are not.
func harmful(out string) string {
	bare := stripColour(out)
	for i, c := range bare {
		if c == '\n' || c == '\t' {
			continue
		}
		if _, n := utf8.DecodeRuneInString(bare[i:]); unprintable(c) || c == utf8.RuneError && n == 1 {
			return fmt.Sprintf("%+q at %d, after %q", c, i, bare[max(0, i-40):i])
		}
	}
	if at := strings.Index(out, "\x1b[31mCANARY"); at >= 0 {
		return "a paint that came with the data"
	}
	return ""
}

// TestUnprintable: each kind of character is escaped, and text that means it is not.
func TestUnprintable(t *testing.T) {
	for _, r := range [][2]rune{
		{0, 0x1f}, {0x7f, 0x9f}, {0x61c, 0x61c}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff},
		{0xfff9, 0xfffb}, {0xe0000, 0xe01ef}, {0xe000, 0xe001}, {0x115f, 0x1160}, {0x3164, 0x3164}, {0xffa0, 0xffa0}, {0x2800, 0x2800}, {0xa0, 0xa0}, {0x3000, 0x3000},
	} {
		for c := r[0]; c <= r[1]; c++ {
			if got := clean("a" + string(c) + "b"); harmful(got) != "" || !strings.HasPrefix(got, `a\`) || !strings.HasSuffix(got, "b") {
				t.Errorf("%U: %q", c, got)
			}
		}
	}
	for _, text := range []string{"plain", "Größe é 漢字 עברית", "a-b_c~!", "→ …"} {
		if clean(text) != text {
			t.Errorf("%q became %q", text, clean(text))
		}
	}
}

// TestHarmlessJSONMeansTheSame: what is escaped for a terminal is the same JSON.
func TestHarmlessJSONMeansTheSame(t *testing.T) {
	raw := `{"a":"` + strings.ReplaceAll(strings.Map(func(c rune) rune {
		if c < 0x20 {
			return -1
		}
		return c
	}, obeyed), `"`, "") + `",` + "\r\n\t" + `"b":1}`
	out := harmlessJSON([]byte(raw))
	if bad := harmful(string(out)); bad != "" {
		t.Error(bad)
	}
	var before, after any
	if err := json.Unmarshal([]byte(raw), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &after); err != nil || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("%v\n%q\n%q", err, before, after)
	}
	if got := harmlessJSON([]byte("\"a\xffb\"")); string(got) != `"a\ufffdb"` {
		t.Errorf("not UTF-8: %s", got)
	}
}

// canaryEvent is an event whose values have what terminals obey, as far as an event may have it.
func canaryEvent(t *testing.T, spoil bool) string {
	t.Helper()
	text := "CANARY" + obeyed + "\x1b[31mCANARY"
	attribute := strings.Map(func(c rune) rune { // attributes have no control characters
		if c < 0x20 || c >= 0x7f && c <= 0x9f || c >= 0xfdd0 && c <= 0xfdef || c&0xfffe == 0xfffe || c > 0xffff {
			return -1
		}
		return c
	}, text)
	if spoil {
		attribute = text
	}
	doc, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": attribute, "source": "https://shop.example/eu", "type": attribute, "subject": attribute, "tenant": attribute,
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
	b := newBench(t)
	b.org(nil, orderSource)
	sealed := b.must(canaryEvent(t, false), b.seal()...)
	if harmful(sealed) == "" {
		t.Fatal("the event is harmless: nothing is tested")
	}
	forged := strings.Replace(sealed, `"note":"`, `"note":"x`, 1)
	key := bytes.Repeat([]byte{7}, consumer.MinQuarantineKey)
	b.check(os.WriteFile(b.path("q.key"), keyText(key), 0o600))
	store, err := quarantine.NewDir(b.path("bin"), key)
	b.check(err)
	text := "CANARY" + obeyed + "\xff\x9b" + "\x1b[31mCANARY"
	b.check(store.Put(t.Context(), consumer.Record{
		Consumer: "billing", At: b.now.Add(-time.Minute), Reason: envelope.ReasonModified, Cause: text, UnverifiedID: text, UnverifiedSource: text,
		UnverifiedType: text, Message: consumer.Message{Body: []byte(forged)},
	}))
	odd := b.path("odd" + strings.ReplaceAll(text, "\x00", ""))
	b.check(os.WriteFile(odd, []byte("{}"), 0o600))
	b.check(os.WriteFile(filepath.Join(b.path("bin"), "x"+strings.ReplaceAll(obeyed, "\x00", "")), nil, 0o600))
	b.check(os.WriteFile(b.path("event.json"), []byte(canaryEvent(t, true)), 0o600))
	noNUL := strings.ReplaceAll(text, "\x00", "")
	q := func(name string, more ...string) []string {
		return append([]string{"quarantine", name, "--from", b.path("bin"), "--key-file", b.path("q.key")}, more...)
	}
	trust := []string{"--trust", b.path("trust.dsse"), "--roots", b.path("roots.json")}
	for _, c := range []struct {
		stdin string
		args  []string
	}{
		{sealed, b.open(orderSource)},
		{sealed, b.open(orderSource, "--mode", "passthrough")},
		{"[" + sealed + "," + forged + "]", b.open(orderSource)},
		{forged, b.open(orderSource)},
		{canaryEvent(t, true), b.open(orderSource)},
		{text, b.open(orderSource)},
		{sealed, b.open("https://other.example/*")},
		{sealed, []string{"inspect"}}, {sealed, []string{"inspect", "--short"}}, {forged, []string{"inspect"}}, {text, []string{"inspect"}},
		{canaryEvent(t, true), []string{"inspect"}}, {sealed, append([]string{"inspect"}, trust...)},
		{canaryEvent(t, false), b.seal()}, {canaryEvent(t, true), b.seal()}, {text, b.seal()},
		{canaryEvent(t, false), b.seal("--to", "eventbridge")},
		{canaryEvent(t, false), b.seal("--to", "eventbridge", "--bus", noNUL)},
		{canaryEvent(t, true), []string{"publish", "--bus", "central", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase"}},
		{"", []string{"publish", "--bus", "central", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase", odd}},
		{"", []string{"publish", "--bus", noNUL, "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase", b.path("event.json")}},
		{"", q("list")}, {"", q("show", recordIn(t, store))}, {"", q("show", append(trust, recordIn(t, store))...)},
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
		{"", []string{noNUL}}, {"", []string{"open", "--" + noNUL}}, {"", []string{"open", noNUL}}, {"", []string{"completion", noNUL}},
		{"", []string{"help", noNUL}}, {"", []string{"open", "--now", noNUL}}, {"", []string{"seal", "--to", noNUL}},
		{"", []string{"listen", "--http", noNUL, "--trust", odd, "--roots", odd, "--allow-source", orderSource}},
	} {
		for _, more := range [][]string{nil, {"--output", "json"}} {
			b.terminal = true
			r := b.run(c.stdin, append(slices.Clone(c.args), more...)...)
			if r.stdout+r.stderr == "" {
				t.Errorf("%.60q says nothing", c.args)
			}
			if bad := harmful(r.stdout); bad != "" {
				t.Errorf("%.80q: standard output has %s", c.args, bad)
			}
			if bad := harmful(r.stderr); bad != "" {
				t.Errorf("%.80q: standard error has %s", c.args, bad)
			}
			b.terminal = false
			if r := b.run(c.stdin, append(slices.Clone(c.args), more...)...); harmful(r.stderr) != "" {
				t.Errorf("%.80q: standard error that is no terminal has %s", c.args, harmful(r.stderr))
			}
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
	b := newBench(t)
	b.org(nil, orderSource)
	sealed := b.must(canaryEvent(t, false), b.seal()...)
	piped := b.must(sealed, b.open(orderSource)...)
	if !strings.Contains(piped, "\u202e") || !strings.Contains(piped, "\U000e0041") {
		t.Errorf("something was escaped in a pipe: %q", piped)
	}
	b.terminal = true
	shown := b.must(sealed, b.open(orderSource)...)
	var one, other any
	b.check(json.Unmarshal([]byte(piped), &one))
	b.check(json.Unmarshal([]byte(shown), &other))
	if fmt.Sprint(one) != fmt.Sprint(other) || harmful(shown) != "" {
		t.Errorf("%q\n%q", piped, shown)
	}
}

// TestOutputHasOneWay: nothing is written to a stream but by the functions that make it harmless.
func TestOutputHasOneWay(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	allowed := map[string][]string{ // the functions that may name a stream
		"writeRaw": {"stdout"}, "say": {"stderr"}, "Write": {"stderr"}, "writeOut": {"stdout"}, "refuseTerminal": {"stdout"},
		"askTerminal": {"Stderr"}, "restoreOnInterrupt": {"Stderr"}, "main": {"Stdout", "Stderr"}, "newApp": {"stdout", "stderr"},
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				stream := s.Sel.Name
				isStream := slices.Contains([]string{"stdout", "stderr", "Stdout", "Stderr"}, stream)
				if isStream && !slices.Contains(allowed[f.Name.Name], stream) {
					t.Errorf("%s: %s writes to %s: use say, writeText, writeJSON or writeOut", name, f.Name.Name, stream)
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "fmt" && slices.Contains([]string{"Print", "Printf", "Println"}, stream) {
					t.Errorf("%s: %s uses fmt.%s", name, f.Name.Name, stream)
				}
				return true
			})
		}
	}
}
