package ui

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"7d": 7 * day, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "90m": 90 * time.Minute, "0d": 0,
		"36500d": 36500 * day, "1d1h1m1s": day + time.Hour + time.Minute + time.Second,
	} {
		if got, err := ParseDuration(text); got != want || err != nil {
			t.Errorf("parseDuration(%q) = %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "7", "-1d", "-1h", "1d-2h", "1.5d", "36501d", "9999999d", "1h7d",
		"106751d999999h", "7 d", "36500d2500000h"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %s", text, d)
		}
	}
	for want, d := range map[string]time.Duration{
		"7d": 7 * day, "6d23h": 7*day - time.Second, "1h30m": 90 * time.Minute, "59s": 59*time.Second +
			999*time.Millisecond, "0s": 999 * time.Millisecond, "-2d": -2 * day,
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("formatDuration(%s) = %s, not %s", d, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T01:00:00+02:00": "2026-01-30T23:00:00Z",
		"now": "2026-03-01T12:00:00Z", "+7d": "2026-03-08T12:00:00Z", "+90m": "2026-03-01T13:30:00Z",
	} {
		if got, err := ParseMoment(text, base); FormatTime(got) != want || err != nil {
			t.Errorf("parseMoment(%q) = %s, %v", text, FormatTime(got), err)
		}
	}
	for _, text := range []string{"", "tomorrow", "+", "+7", "-7d", "7d", "2026-02-30", "0001-01-01",
		"2026-01-31 12:00", "1767225600"} {
		if got, err := ParseMoment(text, base); err == nil {
			t.Errorf("parseMoment(%q) = %s", text, got)
		}
	}
	for _, text := range []string{"now", "+7d"} { // --now itself is relative to nothing
		if _, err := ParseMoment(text, time.Time{}); err == nil {
			t.Errorf("parseMoment(%q) without a base", text)
		}
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	writeTestFile(t, file, "old", 0o640)
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceFile(link, []byte("old"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	checkTestFile(t, file, "new", 0o640)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if err := ReplaceFile(file, []byte("old"), []byte("mine")); err == nil ||
		!strings.Contains(err.Error(), "changed by another program") {
		t.Errorf("another's change is lost: %v", err)
	}
	checkTestFile(t, file, "new", 0o640)
	left := filepath.Join(dir, ".file.new")
	if Exists(left) {
		t.Error("a temporary file is left behind")
	}
	writeTestFile(t, left, "theirs", PrivateFile)
	if err := ReplaceFile(file, []byte("new"), []byte("mine")); err == nil {
		t.Error("two commands at once")
	}
	checkTestFile(t, file, "new", 0o640)
	checkTestFile(t, left, "theirs", PrivateFile)
}

func writeTestFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func checkTestFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	info, other := os.Stat(path)
	if err != nil || other != nil || string(got) != content || info.Mode().Perm() != mode {
		t.Errorf("%s: %q, %v, %v", path, got, err, other)
	}
}

// TestShellQuote: what is pasted is one word, whatever it was.
func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"central": "central", "arn:aws:sqs:x:1:q": "arn:aws:sqs:x:1:q", "": "''", "a b": "'a b'",
		"$(rm)": "'$(rm)'", "it's": `'it'\''s'`, "ä": "'ä'", "~": "'~'",
	} {
		if got := ShellQuote(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

// formatDuration once called itself for ever.
func TestFormatDurationFarAway(t *testing.T) {
	for d, want := range map[time.Duration]string{
		math.MinInt64: "minus more than 292 years", math.MinInt64 + 1: "minus more than 292 years",
		math.MaxInt64:     "more than 292 years",
		-90 * time.Minute: "-1h30m", 36500 * 24 * time.Hour: "36500d",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

// TestPlurals: one is not many.
func TestPlurals(t *testing.T) {
	for got, want := range map[string]string{
		Count(0, "event"): "0 events", Count(1, "event"): "1 event", Count(2, "event"): "2 events",
		CountOf(1, "entry", "entries"):    "1 entry",
		CountVerdict(1, VerdictDuplicate): "1 duplicate", CountVerdict(2, VerdictDuplicate): "2 duplicates",
		CountVerdict(1, VerdictRetry): "1 retry",
		CountVerdict(2, VerdictRetry): "2 retries", CountVerdict(2, VerdictVerified): "2 verified",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
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
		if got := Fold(c.text, c.first, c.rest); !slices.Equal(got, c.want) {
			t.Errorf("fold(%q, %d, %d) = %q, want %q", c.text, c.first, c.rest, got, c.want)
		}
	}
}

// TestFixNamesExplain: advice names the command that says more, once, and no word that is none of ours.
func TestFixNamesExplain(t *testing.T) {
	for _, c := range [][3]string{
		{"check the clocks", "from_future", "check the clocks (more: sealbus explain from_future)"},
		{"check the clocks", "", "check the clocks"},
		{"", "from_future", ""},
		{"do it (more: sealbus explain expired)", "expired", "do it (more: sealbus explain expired)"},
		{"do it", "expired; rm -rf", "do it"},
	} {
		if got := Fix(c[0], c[1]); got != c[2] {
			t.Errorf("%q of %q: %q", c[0], c[1], got)
		}
	}
}
