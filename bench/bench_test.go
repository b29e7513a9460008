package main

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// Benchmark runs every operation, but for those of 1 MiB: by hand they take too long to be run in passing.
func Benchmark(b *testing.B) {
	p, err := newPlan()
	if err != nil {
		b.Fatal(err)
	}
	for _, g := range p.groups() {
		for _, o := range g.operations() {
			if strings.HasSuffix(o.name, "1 MiB") {
				continue
			}
			b.Run(o.name, func(b *testing.B) {
				if o.prepare != nil {
					o.prepare(b.N)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					o.run()
				}
			})
		}
	}
}

// timed is an operation whose turns took so long.
func timed(us ...float64) *operation { return &operation{name: fmt.Sprint(us), turns: us} }

func TestTargetsAreJudgedByMinima(t *testing.T) {
	other := timed(100, 50)
	for _, test := range []struct {
		row   row
		value float64
		met   bool
	}{
		{row{operation: timed(60, 90), beside: other, kind: ratio, target: 1.2}, 1.2, true},
		{row{operation: timed(61, 90), beside: other, kind: ratio, target: 1.2}, 1.22, false},
		{row{operation: timed(55, 90), beside: other, kind: adds, target: 5}, 5, true},
		{row{operation: timed(56, 90), beside: other, kind: adds, target: 5}, 6, false},
		{row{operation: timed(25, 90), kind: perSecond, target: 40_000}, 40_000, true},
		{row{operation: timed(50, 90), kind: perSecond, target: 40_000}, 20_000, false},
		{row{operation: timed(25, 90), beside: other, kind: speedup, target: 2}, 2, true},
		{row{operation: timed(40, 90), beside: other, kind: speedup, target: 2}, 1.25, false},
		{row{operation: &operation{allocations: 31}, kind: allocs, target: 30}, 31, false},
	} {
		if got := test.row.value(); got != test.value {
			t.Errorf("%+v has the value %v, want %v", test.row, got, test.value)
		}
		if met := test.row.verdict() == "met"; met != test.met {
			t.Errorf("%+v is judged %q", test.row, test.row.verdict())
		}
	}
}

func TestChartsAreWellFormed(t *testing.T) {
	// The names need more room than the ends of their lines have, and one has to be escaped.
	points := []point{{1, 30}, {10, 5000}}
	lines := []line{{"a & b", "a", points}, {"c", "sealbus", points}}
	c := chart{title: "A <title>", x: "x", y: "y", ticks: []tick{{1, "1"}, {10, "10"}},
		panels: []panel{{"one", lines}, {"two", lines}}}
	text := c.svg()
	for _, wrong := range []string{"NaN", "Inf", "a & b", "<title>A <"} {
		if strings.Contains(text, wrong) {
			t.Errorf("the chart has %q", wrong)
		}
	}
	decoder := xml.NewDecoder(strings.NewReader(text))
	polylines := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			polylines++
		}
	}
	if polylines != 4 {
		t.Errorf("%d lines, want 4", polylines)
	}
}

func TestResultsHaveAPlaceForWhatIsMeasured(t *testing.T) {
	old, err := os.ReadFile(resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	once, err := replaced(old, "ONCE\n")
	if err != nil {
		t.Fatal(err)
	}
	twice, err := replaced(once, "TWICE\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(string(once), "ONCE", "TWICE", 1); string(twice) != want {
		t.Error("replacing it a second time changes more than what is between the marks")
	}
	if _, err := replaced([]byte("no marks"), "text"); err == nil {
		t.Error("a document without marks was changed")
	}
}

func TestProgramsTakeTurns(t *testing.T) {
	ran := 0
	p := &plan{programs: group{rows: []row{
		{operation: &operation{name: "Open", runs: 3, run: func() { ran++ }},
			beside: &operation{name: "raw", primitive: true}},
		{operation: &operation{name: "by hand"}, peer: true},
	}}}
	var out strings.Builder
	if err := serve(p, strings.NewReader("Open\nClose\n"), &out); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(out.String()))
	next := func(into any) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("a line is missing in %q", out.String())
		}
		if err := json.Unmarshal(lines.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	var h hello
	next(&h)
	if h.Protocol != protocol || fmt.Sprint(h.Operations) != "[raw Open]" ||
		fmt.Sprint(h.Primitives) != "[raw]" {
		t.Errorf("it begins with %+v", h)
	}
	var known, unknown answer
	if next(&known); known.Err != "" || ran != 3 {
		t.Errorf("%+v after %d runs", known, ran)
	}
	if next(&unknown); unknown.Err == "" {
		t.Errorf("an operation that does not exist is %+v", unknown)
	}
}
