package schema_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/schema"
)

// TestReadersAgree: encoding/json reads nothing out of accepted data that the schema forbids, whatever the
// names are written like.
func TestReadersAgree(t *testing.T) {
	s, err := schema.Compile("s", map[string][]byte{"s": []byte(`{"type":"object","properties":{
		"count":{"type":"integer","minimum":1},"status":{"enum":["new","paid"]},
		"kid":{"type":"object","properties":{"count":{"type":"integer","minimum":1}}}},
		"not":{"required":["admin"]}}`)})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{`count`, `Count`, `COUNT`, `coun\u0074`, `\u0043ount`, `count `, `status`, `\u017ftatus`,
		`ſtatus`, `ſTATUS`, `kid`, "\u212aid", `\u212aID`, `admin`, `ADMIN`, `Adm\u0131n`, `other`, ``}
	values := []string{`1`, `2`, `0`, `-5`, `1.0`, `1e0`, `null`, `"new"`, `"NEW"`, `true`, `{"count":1}`,
		`{"count":-1}`, `{"Count":-1}`, `{"count":1,"COUNT":-1}`, `{}`, `[]`}
	type order struct {
		Count  *int    `json:"count"`
		Status *string `json:"status"`
		Kid    struct {
			Count *int `json:"count"`
		} `json:"kid"`
		Admin bool `json:"admin"`
	}
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 50_000 {
		var members []string
		for range 1 + random.IntN(3) {
			members = append(members, fmt.Sprintf(`"%s":%s`, names[random.IntN(len(names))],
				values[random.IntN(len(values))]))
		}
		data := []byte("{" + strings.Join(members, ",") + "}")
		var got order
		if s.Validate(data) != nil || json.Unmarshal(data, &got) != nil {
			continue
		}
		accepted++
		for _, count := range []*int{got.Count, got.Kid.Count} {
			if count != nil && *count < 1 {
				t.Fatalf("%s: count is %d", data, *count)
			}
		}
		if got.Admin || got.Status != nil && *got.Status != "new" && *got.Status != "paid" {
			t.Fatalf("%s: %+v", data, got)
		}
	}
	if accepted < 500 {
		t.Errorf("only %d documents are accepted", accepted)
	}
}
