package demo_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/demo"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
)

func TestDemo(t *testing.T) {
	b := clitest.New(t)
	text := b.Must("", "demo")
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
		text := uitest.StripColour(b.Must("", "demo"))
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
