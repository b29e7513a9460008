package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// widest is the widest line, and how wide it is.
func widest(text string) (line string, columns int) {
	for l := range strings.SplitSeq(stripColour(text), "\n") {
		if n := width(l); n > columns {
			line, columns = l, n
		}
	}
	return line, columns
}

// TestHelpFits: no line of any command's help is wider than the terminal, or than 80 columns where there is
// none; and no word is lost or broken.
func TestHelpFits(t *testing.T) {
	b := newBench(t)
	paths := append(commandPaths(t), nil)
	if len(paths) < 25 {
		t.Fatalf("only %d commands", len(paths))
	}
	for _, path := range paths {
		args := append(slices.Clone(path), "--help")
		b.terminal, b.columns = false, 0
		text := b.must("", args...)
		if line, n := widest(text); n > 80 {
			t.Errorf("%v: %d columns without a terminal: %s", path, n, line)
		}
		words := strings.Fields(strings.ReplaceAll(text, "\\\n", ""))
		for _, columns := range []int{80, 100, 200} {
			b.terminal, b.columns = true, columns
			shown := b.must("", args...)
			if line, n := widest(shown); n > min(columns, widestProse) {
				t.Errorf("%v: %d columns on a terminal of %d: %s", path, n, columns, line)
			}
			if got := strings.Fields(strings.ReplaceAll(stripColour(shown), "\\\n", "")); !slices.Equal(got, words) {
				t.Errorf("%v: other words at %d columns", path, columns)
			}
		}
	}
}

// listings are the commands that show tables, on a bench that has something to show in them.
func listings(t *testing.T, b *bench) map[string][]string {
	t.Helper()
	b.org([]string{"111122223333", "444455556666"}, orderSource, "https://a-rather-long-host-name.shop.example/with/a/long/path/*")
	ring, err := keys.OpenInsecureKeyring(b.path("shop.keyring"))
	b.check(err)
	next, err := keys.GenerateSigner(keys.MLDSA65, "shop")
	b.check(err)
	b.check(ring.Add(next, keys.Schedule{Published: b.now, Active: b.now.Add(26 * time.Hour)}))
	key := make([]byte, consumer.MinQuarantineKey)
	b.check(os.WriteFile(b.path("q.key"), keyText(key), 0o600))
	store, err := quarantine.NewDir(b.path("bin"), key)
	b.check(err)
	for _, id := range []string{"o-1", strings.Repeat("long", 40), "ein Wort mit Ümlaut und noch mehr davon"} {
		b.check(store.Put(t.Context(), consumer.Record{
			Consumer: "billing", At: b.now.Add(-time.Minute), Reason: envelope.ReasonSourceNotAllowed, UnverifiedID: id, UnverifiedType: "com.example.order.placed",
			UnverifiedSource: "https://shop.example/eu/" + id, Message: consumer.Message{Body: []byte("{}")},
		}))
	}
	return map[string][]string{
		"demo":            {"demo"},
		"keys list":       {"keys", "list", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase"},
		"trust show":      {"trust", "show", "--roots", b.path("roots.json"), b.path("trust.dsse")},
		"trust verify":    {"trust", "verify", "--roots", b.path("roots.json"), b.path("trust.dsse")},
		"quarantine list": {"quarantine", "list", "--from", b.path("bin"), "--key-file", b.path("q.key")},
	}
}

// TestListingsFit: tables use the terminal that there is; what does not fit goes on below, at a word.
func TestListingsFit(t *testing.T) {
	b := newBench(t)
	for name, args := range listings(t, b) {
		b.terminal, b.columns = false, 0
		words := len(strings.Fields(b.must("", args...)))
		for _, columns := range []int{0, 64, 80, 81, 100, 132, 240} {
			b.terminal, b.columns = true, columns
			shown := stripColour(b.must("", args...))
			most := columns
			if most == 0 {
				most = defaultWidth // a terminal that does not say
			}
			line, n := widest(shown)
			if n > most {
				t.Errorf("%s: %d columns on a terminal of %d: %s", name, n, most, line)
			}
			if got := len(strings.Fields(shown)); columns == 240 && got < words*9/10 {
				t.Errorf("%s: %d words of %d are left", name, got, words)
			}
		}
		if name != "demo" {
			b.terminal = false
			if _, n := widest(b.must("", args...)); n <= 80 && name != "trust verify" {
				t.Errorf("%s: a pipe gets folded lines: %d columns", name, n)
			}
		}
	}
}

// TestListenFits: an event's lines fit, and their columns begin where those of the heading do.
func TestListenFits(t *testing.T) {
	long := strings.Repeat("long/", 60)
	for _, columns := range []int{60, 80, 120, 160, 250} {
		view := newListenView(style{colour: true, width: columns})
		for _, h := range []*heard{
			{Time: "2026-11-21T12:00:00Z", Verdict: verdictVerified, Producer: "shop", Source: "https://shop.example/" + long, Type: "com.example.order.placed", ID: long},
			{Time: "2026-11-21T12:00:01Z", Verdict: verdictQuarantined, Reason: "source_not_allowed", Cause: strings.Repeat("why ", 60), Unverified: &claim{Source: long, Type: long, ID: long}},
			{Time: "2026-11-21T12:00:02Z", Verdict: verdictRetry, Reason: "store_unavailable", Producer: long, Cause: "no answer"},
		} {
			text := view.line(h).String()
			if line, n := widest(text); n > columns && columns < oneLine {
				t.Errorf("%d columns on a terminal of %d: %s", n, columns, line)
			}
			if bare := stripColour(text); !strings.Contains(bare, "  "+h.Verdict) {
				t.Errorf("the verdict is folded:\n%s", bare)
			}
		}
	}
}

// TestDemoOnOneScreen: the verdict stands in its column, unbroken, and the summary comes last.
func TestDemoOnOneScreen(t *testing.T) {
	b := newBench(t)
	for _, columns := range []int{60, 80, 100, 132, 200} {
		b.terminal, b.columns = true, columns
		text := stripColour(b.must("", "demo"))
		column, cases := -1, 0
		for line := range strings.SplitSeq(text, "\n") {
			if at := strings.Index(line, "verdict  "); column < 0 && at >= 0 {
				column = width(line[:at])
			}
			if !strings.HasPrefix(line, "✓ ") {
				continue
			}
			cases++
			rest := string([]rune(line)[column:])
			word := strings.Fields(rest)[0]
			if !slices.Contains([]string{"verified", "rejected", "duplicate"}, word) || rest[0] == ' ' {
				t.Errorf("%d columns: the verdict column has %q", columns, rest)
			}
		}
		if cases < 50 {
			t.Errorf("%d columns: %d cases", columns, cases)
		}
		last := text[strings.LastIndex(strings.TrimSpace(text), "\n\n"):]
		if said := strings.Join(strings.Fields(last), " "); !strings.HasPrefix(said, "All ") || !strings.HasSuffix(said, "nothing genuine was lost.") {
			t.Errorf("%d columns: it ends with %q", columns, last)
		}
	}
}

// TestRejectedHasOneColour: red, wherever it is said.
func TestRejectedHasOneColour(t *testing.T) {
	b := newBench(t)
	args := listings(t, b)
	b.terminal = true
	red := func(word string) string { return "\x1b[31m" + word }
	sealed := func() string {
		b.terminal = false
		defer func() { b.terminal = true }()
		return b.must(orderEvent, b.seal()...)
	}()
	outputs := map[string]string{
		"demo":            b.must("", args["demo"]...),
		"open":            b.run(strings.Replace(sealed, "chair", "table", 1), b.open(orderSource)...).stderr,
		"quarantine list": b.must("", args["quarantine list"]...),
	}
	words := map[string]string{"demo": "rejected", "open": "sealbus: rejected", "quarantine list": "source_not_allowed"}
	for name, text := range outputs {
		if n := strings.Count(text, red(words[name])); n == 0 || n < strings.Count(stripColour(text), "  "+words[name]) {
			t.Errorf("%s: %q is not red:\n%q", name, words[name], text)
		}
		if strings.Contains(text, "\x1b[33m"+words[name]) {
			t.Errorf("%s: %q is yellow", name, words[name])
		}
	}
}

// TestListenRejectedIsRed: as in every command.
func TestListenRejectedIsRed(t *testing.T) {
	v := newListenView(style{colour: true, width: 80})
	if text := v.line(&heard{Verdict: verdictRejected}).String(); !strings.Contains(text, "\x1b[31mrejected") || strings.Contains(text, "\x1b[33mrejected") {
		t.Errorf("%q", text)
	}
}

// TestTalkIsFolded: talk is folded at its words on a terminal, with what follows indented; elsewhere a
// message is one line.
func TestTalkIsFolded(t *testing.T) {
	b := newBench(t)
	args := []string{"seal", "--keyring", "nowhere", "--insecure-no-passphrase", "--kms", "alias/a"}
	plain := b.run("", args...).stderr
	if strings.Count(plain, "\n") != 2 {
		t.Errorf("not two lines:\n%s", plain)
	}
	b.terminal, b.columns = true, 40
	folded := stripColour(b.run("", args...).stderr)
	if _, n := widest(folded); n > 40 || !strings.Contains(folded, "\n  ") {
		t.Errorf("%d columns:\n%s", n, folded)
	}
	if strings.Join(strings.Fields(folded), " ") != strings.Join(strings.Fields(plain), " ") {
		t.Errorf("other words:\n%s", folded)
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text        string
		first, rest int
		want        []string
	}{
		{"", 10, 10, []string{""}},
		{"one two", 7, 7, []string{"one two"}},
		{"one two", 6, 6, []string{"one", "two"}},
		{"  one two", 6, 3, []string{"  one", "two"}},
		{"abcdefgh", 3, 3, []string{"abc", "def", "gh"}},
		{"a bcdefgh", 3, 3, []string{"a", "bcd", "efg", "h"}},
		{"漢字漢字", 4, 4, []string{"漢字", "漢字"}},
		{"\x1b[31mred\x1b[0m cold", 4, 4, []string{"\x1b[31mred\x1b[0m", "cold"}},
		{"x", 0, -5, []string{"x"}},
	} {
		if got := fold(c.text, c.first, c.rest); !slices.Equal(got, c.want) {
			t.Errorf("fold(%q, %d, %d) = %q, want %q", c.text, c.first, c.rest, got, c.want)
		}
	}
}
