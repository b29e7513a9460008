package policy

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedPolicy: the policy file of docs/trust.md is one, and has each member that the parser knows.
func TestDocumentedPolicy(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- policy -->\n```yaml\n(.*?)```").FindSubmatch(doc)
	if block == nil {
		t.Fatal("docs/trust.md shows no policy file")
	}
	if _, err := Parse(block[1]); err != nil {
		t.Error(err)
	}
	parser, err := os.ReadFile("parse.go")
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	for _, m := range regexp.MustCompile(`(?m)^\s*case ("[a-z_", ]+"):`).FindAllStringSubmatch(string(parser), -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			members = append(members, strings.Trim(name, `" `))
		}
	}
	if !slices.Contains(members, "accounts") || !slices.Contains(members, "in_flight") {
		t.Fatalf("the search for members finds only %q", members)
	}
	for _, name := range members {
		if !regexp.MustCompile(`(?m)[ {]` + name + `:|^` + name + `:`).Match(block[1]) {
			t.Errorf("the policy file of docs/trust.md does not show %q", name)
		}
	}
}
