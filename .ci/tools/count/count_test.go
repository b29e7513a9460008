package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const reader = "testdata/reader"

func names(functions []*function) []string {
	var names []string
	for _, f := range functions {
		names = append(names, fmt.Sprintf("%s %d", f.name, f.depth))
	}
	return names
}

func TestReachFollowsTheRules(t *testing.T) {
	entries, err := parseEntries([]string{"open=example.com/reader.Open"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := reach(reader, entries)
	if err != nil {
		t.Fatal(err)
	}
	// Plain.Write stands in the only interface that reached code fills; the sources of callers and tests do not.
	want := []string{"Open 0", "deferred 1", "generic 1", "inClosure 1", "Plain.Write 1", "Read 1",
		"ReadMore 1",
		"deep 2"}
	if names := names(got[0].functions); !slices.Equal(names, want) {
		t.Errorf("functions\n got %v\nwant %v", names, want)
	}
	all := append(want, "checkAge 1", "Options.far 1")
	for _, name := range all {
		if !slices.Contains(names(got[0].all), name) {
			t.Errorf("all: %s is missing in %v", name, names(got[0].all))
		}
	}
	if len(got[0].all) != len(all) {
		t.Errorf("all: %d functions, want %d", len(got[0].all), len(all))
	}
}

func TestEntriesAreFoundOrNamed(t *testing.T) {
	tests := []struct{ entry, want string }{
		{"get=inner.Box.Get", "[Box.Get 0 Box.own 1]"},
		{"read=inner.Read", "[Read 0]"},
		{"read=inner.Raed", "read: package example.com/reader/inner has no function Raed"},
		{"get=inner.Bix.Get", "get: package example.com/reader/inner has no function Bix.Get"},
		{"get=inner.Box.hidden", "get: package example.com/reader/inner has no function Box.hidden"},
		{"inner.Read", `"inner.Read" is not name=package.Function or name=package.Type.Method`},
	}
	for _, test := range tests {
		if got := reachedBy(test.entry); got != test.want {
			t.Errorf("%s: %s, want %s", test.entry, got, test.want)
		}
	}
}

// reachedBy returns the functions that an entry reaches, or the error.
func reachedBy(arg string) string {
	entries, err := parseEntries([]string{arg})
	if err != nil {
		return err.Error()
	}
	got, err := reach(reader, entries)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(names(got[0].functions))
}

func TestSourceCountsNamesOptionsAndTests(t *testing.T) {
	s, err := readSource(reader)
	if err != nil {
		t.Fatal(err)
	}
	if s.tests != 1 || s.helpers != 2 {
		t.Errorf("%d tests and %d helpers, want 1 and 2", s.tests, s.helpers)
	}
	if want := []optionsStruct{{".", "Options", 1}}; !slices.Equal(s.options, want) {
		t.Errorf("options %v, want %v", s.options, want)
	}
	root, inner := s.packages[0], s.packages[1]
	if root.exported != 5 || root.methods != 1 || root.fields != 1 {
		t.Errorf("exported by the root: %+v, want Source, Bundle, Options, Checks, Open", root)
	}
	if inner.exported != 11 || inner.methods != 4 {
		t.Errorf("exported by inner: %+v, want four types, three Write, Get, and three functions", inner)
	}
}

func TestLimits(t *testing.T) {
	tests := []struct{ max, want string }{
		{"", ""},
		{"open=8,open.all=10,open.files=2,open.packages=2,open.depth=2", ""},
		{"open=7,open.files=2,open.depth=1", "open is 8, the limit is 7; open.depth is 2, the limit is 1"},
		{"opne=8", `no figure is named "opne"`},
		{"open", `-max "open" is not name=number`},
	}
	for _, test := range tests {
		got := ""
		if err := run(&bytes.Buffer{}, reader, "", test.max,
			[]string{"open=example.com/reader.Open"}); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("-max %q: %q, want %q", test.max, got, test.want)
		}
	}
}

func TestOutputFits80Columns(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, "../../..", "", "", nil); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}
