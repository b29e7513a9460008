package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/demo"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
)

func TestDemo(t *testing.T) {
	b := clitest.New(t)
	text := b.Must("", "demo", "--verbose")
	for _, r := range demoCases(t, b.Must("", "demo", "--output", "json")) {
		if !r.Expected {
			t.Errorf("%s ended as %s %s", r.Case, r.Verdict, r.Reason)
		}
		if !strings.Contains(text, "✓ "+r.Case) {
			t.Errorf("the table lacks %q", r.Case)
		}
	}
}

func demoCases(t *testing.T, out string) []demo.Played {
	t.Helper()
	var result demo.DemoResult
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Cases) < 53 {
		t.Fatalf("only %d cases", len(result.Cases))
	}
	return result.Cases
}

// TestDemoOnOneScreen: the verdict stands in its column, unbroken, and the summary comes last.
func TestDemoOnOneScreen(t *testing.T) {
	b := clitest.New(t)
	for _, columns := range []int{60, 80, 100, 132, 200} {
		b.Terminal, b.Columns = true, columns
		text := uitest.StripColour(b.Must("", "demo", "--verbose"))
		column, cases := -1, 0
		for line := range strings.SplitSeq(text, "\n") {
			if at := strings.Index(line, "verdict  "); column < 0 && at >= 0 {
				column = ui.Width(line[:at])
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
		if said := strings.Join(strings.Fields(last), " "); !strings.HasPrefix(said, "All ") ||
			!strings.HasSuffix(said, "nothing genuine was lost.") {
			t.Errorf("%d columns: it ends with %q", columns, last)
		}
	}
}

// TestDemoHasALineForEachGroup: a tick, the name, how many cases, and how they ended; the summary is last.
func TestDemoHasALineForEachGroup(t *testing.T) {
	b := clitest.New(t)
	line := regexp.MustCompile(`^✓ \S.*  +(\d+) cases  \d+ (verified|rejected)(, \d+ \w+)*$`)
	for _, terminal := range []bool{false, true} {
		b.Terminal, b.Columns = terminal, 80
		text := uitest.StripColour(b.Must("", "demo"))
		groups, cases := 0, 0
		for l := range strings.SplitSeq(text, "\n") {
			if n := ui.Width(l); n > 80 {
				t.Errorf("%d columns: %s", n, l)
			}
			if m := line.FindStringSubmatch(l); m != nil {
				n, err := strconv.Atoi(m[1])
				groups, cases = groups+1, cases+n
				b.Check(err)
			}
		}
		all := demoCases(t, b.Must("", "demo", "--output", "json"))
		if groups != 8 || cases != len(all) {
			t.Errorf("%d groups with %d cases, not 8 with %d:\n%s", groups, cases, len(all), text)
		}
		if n := strings.Count(text, "\n"); n > 15 {
			t.Errorf("%d lines:\n%s", n, text)
		}
	}
}

// TestDemoPace: the text is the same with pauses, and an interrupted pause ends the demo.
func TestDemoPace(t *testing.T) {
	b := clitest.New(t)
	if paced, text := b.Must("", "demo", "--pace", "1ms"), b.Must("", "demo"); paced != text {
		t.Errorf("with --pace:\n%s", paced)
	}
	var out bytes.Buffer
	env := ui.NewEnv(nil, &out, &out, ui.System{Getenv: func(string) string { return "" },
		Terminal: func(io.Writer) bool { return false }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	first, second := &ui.Printer{}, &ui.Printer{}
	first.Linef("first")
	second.Linef("second")
	err := demo.Show(ctx, env, []*ui.Printer{first, second}, time.Hour)
	if !errors.Is(err, context.Canceled) || out.String() != "first\n" {
		t.Errorf("%v after %q", err, &out)
	}
}
