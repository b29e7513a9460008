package webhook_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

var update = flag.Bool("update", false, "write the tables of docs/webhooks.md")

// TestDocumentHasTheTables: both tables of docs/webhooks.md are those that the schemes and the tests give.
func TestDocumentHasTheTables(t *testing.T) {
	name := filepath.Join("..", "docs", "webhooks.md")
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for mark, table := range map[string]string{"providers": providerTable(t), "negatives": negativeTable(t)} {
		before, rest, ok := strings.Cut(text, "<!-- "+mark+" -->\n")
		_, after, closed := strings.Cut(rest, "<!-- end of "+mark+" -->")
		if !ok || !closed {
			t.Fatalf("docs/webhooks.md has no marks for %s", mark)
		}
		text = before + "<!-- " + mark + " -->\n\n" + table + "\n<!-- end of " + mark + " -->" + after
	}
	if text == string(old) {
		return
	}
	if !*update {
		t.Fatal("docs/webhooks.md differs: go test ./webhook -run TestDocument -update")
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// providerTable is how each provider signs.
func providerTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| name | provider | signature | signed string | algorithm | secret | time, tolerance | " +
		"ID |")
	b.WriteString("\n|---|---|---|---|---|---|---|---|\n")
	cell := func(text string) string { // a pipe would end the cell
		return strings.ReplaceAll(cmp.Or(text, "–"), "|", `\|`)
	}
	for _, s := range schemes(t) {
		d := webhook.Describe(s)
		title := cell(d.Title)
		if d.See != "" {
			title = "[" + title + "](" + d.See + ")"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", s.Name(), title, cell(d.Signature),
			cell(d.Signed), cell(d.Algorithm), cell(d.Secret), cell(d.Time), cell(d.ID))
	}
	return b.String()
}

// schemes are those of Provider, and those of the subjects that come from other packages.
func schemes(t *testing.T) []webhook.Scheme {
	t.Helper()
	var list []webhook.Scheme
	for _, name := range webhook.Providers() {
		s, err := webhook.Provider(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	for _, s := range subjects(t) {
		if !slices.ContainsFunc(list, func(o webhook.Scheme) bool { return o.Name() == s.provider }) {
			list = append(list, s.scheme)
		}
	}
	slices.SortStableFunc(list, func(a, b webhook.Scheme) int { return strings.Compare(a.Name(), b.Name()) })
	return list
}

// negativeTable is what each provider refuses, as TestEachProviderRefusesEachDefect tries it. A delivery has
// one row for each Reason.
func negativeTable(t *testing.T) string {
	t.Helper()
	var names []string
	bySubject := map[string]*subject{}
	for _, s := range subjects(t) {
		if bySubject[s.provider] == nil { // the first of several ways of one provider
			names, bySubject[s.provider] = append(names, s.provider), &s
		}
	}
	var b strings.Builder
	b.WriteString("| delivery | Reason | providers |\n|---|---|---|\n")
	for _, n := range slices.Concat(signatureNegatives, timeNegatives) {
		byReason := map[envelope.Reason][]string{}
		for _, name := range names {
			reason := bySubject[name].wants(n)
			byReason[reason] = append(byReason[reason], name)
		}
		delete(byReason, "") // the provider has no such case
		reasons := slices.SortedFunc(maps.Keys(byReason), func(a, b envelope.Reason) int {
			return cmp.Or(cmp.Compare(len(byReason[b]), len(byReason[a])), cmp.Compare(a, b))
		})
		for _, reason := range reasons {
			fmt.Fprintf(&b, "| %s | `%s` | %s |\n", n.name, reason, providersIn(byReason[reason], names))
		}
	}
	return b.String()
}

// providersIn names some of all providers in as few words as it can.
func providersIn(some, all []string) string {
	others := slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return slices.Contains(some, name)
	})
	switch {
	case len(others) == 0:
		return "all"
	case len(others) < len(some):
		return "all but " + strings.Join(others, ", ")
	}
	return strings.Join(some, ", ")
}

// TestDocumentShowsCodeThatCompiles: the Go code of docs/webhooks.md is that of an example, and its recipe is
// taken.
func TestDocumentShowsCodeThatCompiles(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "webhooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		_, after, ok := strings.Cut(string(doc), "```"+language+"\n")
		code, _, closed := strings.Cut(after, "```")
		if !ok || !closed {
			t.Fatalf("docs/webhooks.md has no %s code", language)
		}
		return code
	}
	code := block("go")
	for line := range strings.Lines(code) {
		if !strings.Contains(string(examples), strings.TrimSpace(line)) {
			t.Errorf("no example has the line %s", line)
		}
	}
	if n := strings.Count(code, "\n"); n > 20 {
		t.Errorf("the code has %d lines", n)
	}
	if found := webhook.Lint([]byte(block("json"))); found != nil {
		t.Error(found)
	}
}
