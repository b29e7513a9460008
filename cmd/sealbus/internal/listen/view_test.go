package listen

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
)

// TestListenAligned: columns stand under each other, with and without colours.
func TestListenAligned(t *testing.T) {
	view := newListenView(ui.Style{Colour: true})
	first := view.line(&heard{Time: "2026-11-21T12:00:00Z", Verdict: ui.VerdictVerified, Producer: "shop",
		Source: "https://shop.example/eu", Type: "t", ID: "o-1"})
	second := view.line(&heard{Time: "2026-11-21T12:00:01Z", Verdict: ui.VerdictQuarantined,
		Reason:     "source_not_allowed",
		Unverified: &claim{Source: "https://other.example/a/source/that/is/rather/long", Type: "t", ID: "1"},
		Cause:      "why"})
	third := view.line(&heard{Time: "2026-11-21T12:00:02Z", Verdict: ui.VerdictVerified, Producer: "shop",
		Source: "https://shop.example/eu", Type: "t", ID: "o-2"})
	bare := func(p *ui.Printer) string {
		return regexp.MustCompile(`\x1b\[[0-9]+m`).ReplaceAllString(p.String(), "")
	}
	if head, line, _ := strings.Cut(bare(first), "\n"); strings.Index(head, "PRODUCER") != strings.Index(line,
		"shop ") {
		t.Errorf("\n%s", bare(first))
	}
	if s, u := bare(third),
		bare(second); len([]rune(s[:strings.Index(s, "https")])) != len([]rune(u[:strings.Index(u,
		"?https")])) {
		t.Errorf("\n%s%s", u, s)
	}
	if !strings.Contains(bare(second), " ?https://other.example/a/so…  ?t ") ||
		strings.Index(bare(third), "o-2") != strings.Index(bare(first)[strings.Index(bare(first), "\n")+1:],
			"o-1") {
		t.Errorf("\n%s%s%s", bare(first), bare(second), bare(third))
	}
}

// TestListenFits: an event's lines fit, and their columns begin where those of the heading do.
func TestListenFits(t *testing.T) {
	long := strings.Repeat("long/", 60)
	for _, columns := range []int{60, 80, 120, 160, 250} {
		view := newListenView(ui.Style{Colour: true, Width: columns})
		for _, h := range []*heard{
			{Time: "2026-11-21T12:00:00Z", Verdict: ui.VerdictVerified, Producer: "shop",
				Source: "https://shop.example/" + long, Type: "com.example.order.placed", ID: long},
			{Time: "2026-11-21T12:00:01Z", Verdict: ui.VerdictQuarantined, Reason: "source_not_allowed",
				Cause: strings.Repeat("why ", 60), Unverified: &claim{Source: long, Type: long, ID: long}},
			{Time: "2026-11-21T12:00:02Z", Verdict: ui.VerdictRetry, Reason: "store_unavailable",
				Producer: long, Cause: "no answer"},
		} {
			text := view.line(h).String()
			if line, n := uitest.Widest(text); n > columns && columns < oneLine {
				t.Errorf("%d columns on a terminal of %d: %s", n, columns, line)
			}
			if bare := uitest.StripColour(text); !strings.Contains(bare, "  "+h.Verdict) {
				t.Errorf("the verdict is folded:\n%s", bare)
			}
		}
	}
}

// TestListenRejectedIsRed: as in every command.
func TestListenRejectedIsRed(t *testing.T) {
	v := newListenView(ui.Style{Colour: true, Width: 80})
	if text := v.line(&heard{Verdict: ui.VerdictRejected}).String(); !strings.Contains(text,
		"\x1b[31mrejected") || strings.Contains(text, "\x1b[33mrejected") {
		t.Errorf("%q", text)
	}
}
