package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// TestHelpFits: no line of any command's help is wider than the terminal, or than 80 columns where there is
// none; and no word is lost or broken.
func TestHelpFits(t *testing.T) {
	b := clitest.New(t)
	paths := append(commandPaths(t), nil)
	if len(paths) < 25 {
		t.Fatalf("only %d commands", len(paths))
	}
	for _, path := range paths {
		args := append(slices.Clone(path), "--help")
		b.Terminal, b.Columns = false, 0
		text := b.Must("", args...)
		if line, n := uitest.Widest(text); n > 80 {
			t.Errorf("%v: %d columns without a terminal: %s", path, n, line)
		}
		words := strings.Fields(strings.ReplaceAll(text, "\\\n", ""))
		for _, columns := range []int{80, 100, 200} {
			b.Terminal, b.Columns = true, columns
			shown := b.Must("", args...)
			if line, n := uitest.Widest(shown); n > min(columns, ui.WidestProse) {
				t.Errorf("%v: %d columns on a terminal of %d: %s", path, n, columns, line)
			}
			if got := strings.Fields(strings.ReplaceAll(uitest.StripColour(shown), "\\\n",
				"")); !slices.Equal(got, words) {
				t.Errorf("%v: other words at %d columns", path, columns)
			}
		}
	}
}

// listings are the commands that show tables, on a bench that has something to show in them.
func listings(t *testing.T, b *clitest.Bench) map[string][]string {
	t.Helper()
	b.Org([]string{"111122223333", "444455556666"}, clitest.OrderSource,
		"https://a-rather-long-host-name.shop.example/with/a/long/path/*")
	ring, err := keys.OpenKeyring(b.Path("shop.keyring"), "",
		&keys.PrivateFileOptions{InsecureNoPassphrase: true})
	b.Check(err)
	next, err := keys.GenerateSigner(keys.MLDSA65, "shop")
	b.Check(err)
	b.Check(ring.Add(next, keys.Schedule{Published: b.Now, Active: b.Now.Add(26 * time.Hour)}))
	key := make([]byte, consumer.MinQuarantineKey)
	b.Check(os.WriteFile(b.Path("q.key"), clitest.KeyText(key), 0o600))
	store, err := quarantine.NewDir(b.Path("bin"), clitest.BinKeys(key))
	b.Check(err)
	for _, id := range []string{"o-1", strings.Repeat("long", 40),
		"ein Wort mit Ümlaut und noch mehr davon"} {
		b.Check(store.Put(t.Context(), consumer.Record{
			Consumer: "billing", At: b.Now.Add(-time.Minute), Reason: envelope.ReasonSourceNotAllowed,
			UnverifiedID: id, UnverifiedType: "com.example.order.placed",
			UnverifiedSource: "https://shop.example/eu/" + id, Message: consumer.Message{Body: []byte("{}")},
		}))
	}
	return map[string][]string{
		"demo":              {"demo"},
		"demo --verbose":    {"demo", "--verbose"},
		"webhook providers": {"webhook", "providers"},
		"keys list": {"keys", "list", "--keyring", b.Path("shop.keyring"),
			"--insecure-no-passphrase"},
		"keys status": {"keys", "status", "--keyring", b.Path("shop.keyring"),
			"--insecure-no-passphrase"},
		"keys rotate": {"keys", "rotate", "--keyring", b.Path("shop.keyring"),
			"--insecure-no-passphrase"},
		"trust show":      {"trust", "show", "--roots", b.Path("roots.json"), b.Path("trust.dsse")},
		"trust verify":    {"trust", "verify", "--roots", b.Path("roots.json"), b.Path("trust.dsse")},
		"quarantine list": {"quarantine", "list", "--from", b.Path("bin"), "--key-file", b.Path("q.key")},
	}
}

// TestListingsFit: tables use the terminal that there is; what does not fit goes on below, at a word.
func TestListingsFit(t *testing.T) {
	b := clitest.New(t)
	narrow := map[string]bool{"trust verify": true, "keys status": true, "keys rotate": true}
	for name, args := range listings(t, b) {
		b.Terminal, b.Columns = false, 0
		words := len(strings.Fields(b.Must("", args...)))
		for _, columns := range []int{0, 64, 80, 81, 100, 132, 240} {
			b.Terminal, b.Columns = true, columns
			shown := uitest.StripColour(b.Must("", args...))
			most := columns
			if most == 0 {
				most = ui.DefaultWidth // a terminal that does not say
			}
			line, n := uitest.Widest(shown)
			if n > most {
				t.Errorf("%s: %d columns on a terminal of %d: %s", name, n, most, line)
			}
			if got := len(strings.Fields(shown)); columns == 240 && got < words*9/10 {
				t.Errorf("%s: %d words of %d are left", name, got, words)
			}
		}
		if !strings.HasPrefix(name, "demo") {
			b.Terminal = false
			if _, n := uitest.Widest(b.Must("", args...)); n <= 80 && !narrow[name] {
				t.Errorf("%s: a pipe gets folded lines: %d columns", name, n)
			}
		}
	}
}

// TestRejectedHasOneColour: red, wherever it is said.
func TestRejectedHasOneColour(t *testing.T) {
	b := clitest.New(t)
	args := listings(t, b)
	b.Terminal = true
	red := func(word string) string { return "\x1b[31m" + word }
	sealed := func() string {
		b.Terminal = false
		defer func() { b.Terminal = true }()
		return b.Must(clitest.OrderEvent, b.Seal()...)
	}()
	outputs := map[string]string{
		"demo": b.Must("", args["demo --verbose"]...),
		"open": b.Run(strings.Replace(sealed, "chair", "table", 1),
			b.Open(clitest.OrderSource)...).Stderr,
		"quarantine list": b.Must("", args["quarantine list"]...),
	}
	words := map[string]string{"demo": "rejected", "open": "sealbus: rejected",
		"quarantine list": "source_not_allowed"}
	for name, text := range outputs {
		if n := strings.Count(text, red(words[name])); n == 0 ||
			n < strings.Count(uitest.StripColour(text), "  "+words[name]) {
			t.Errorf("%s: %q is not red:\n%q", name, words[name], text)
		}
		if strings.Contains(text, "\x1b[33m"+words[name]) {
			t.Errorf("%s: %q is yellow", name, words[name])
		}
	}
}

// TestTalkIsFolded: talk is folded at its words on a terminal, with what follows indented; elsewhere a
// message is one line.
func TestTalkIsFolded(t *testing.T) {
	b := clitest.New(t)
	args := []string{"seal", "--keyring", "nowhere", "--insecure-no-passphrase", "--kms", "alias/a"}
	plain := b.Run("", args...).Stderr
	if strings.Count(plain, "\n") != 2 {
		t.Errorf("not two lines:\n%s", plain)
	}
	b.Terminal, b.Columns = true, 40
	folded := uitest.StripColour(b.Run("", args...).Stderr)
	if _, n := uitest.Widest(folded); n > 40 || !strings.Contains(folded, "\n  ") {
		t.Errorf("%d columns:\n%s", n, folded)
	}
	if strings.Join(strings.Fields(folded), " ") != strings.Join(strings.Fields(plain), " ") {
		t.Errorf("other words:\n%s", folded)
	}
}
