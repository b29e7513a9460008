package authn_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
)

// TestDisagreements: docs/webhooks.md lists each token on which aws-jwt-verify has another verdict, with the
// Reason here. TestVectors holds the Reasons.
func TestDisagreements(t *testing.T) {
	var file struct {
		Tokens []struct {
			Name, Expect, Why string
			Theirs            string `json:"aws_jwt_verify"`
		}
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/jwt-cognito.json")), &file); err != nil {
		t.Fatal(err)
	}
	want := map[string]envelope.Reason{}
	for _, row := range file.Tokens {
		if row.Theirs == row.Expect {
			continue
		}
		if row.Expect != "reject" || row.Theirs != "accept" {
			t.Errorf("%s: %s there, %s here", row.Name, row.Theirs, row.Expect)
		}
		want[row.Name] = reasonOfRow(row.Name, row.Why)
	}
	_, table, _ := strings.Cut(string(must(os.ReadFile("../../docs/webhooks.md"))), "<!-- aws-jwt-verify -->")
	table, _, ok := strings.Cut(table, "<!-- end -->")
	listed := map[string]envelope.Reason{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.Contains(cells[2], "`") {
			listed[strings.TrimSpace(cells[1])] = envelope.Reason(strings.Trim(cells[2], " `"))
		}
	}
	if !ok || len(want) == 0 || !maps.Equal(listed, want) {
		t.Errorf("docs/webhooks.md lists %v, the vectors say %v", slices.Sorted(maps.Keys(listed)), want)
	}
}
