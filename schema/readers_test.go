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

// TestDoublesFollow: nothing is accepted that is another number to a reader of doubles, and that the schema
// forbids. Numbers that they can hold, and integers, are judged as they are written.
func TestDoublesFollow(t *testing.T) {
	s, err := schema.Compile("s", map[string][]byte{"s": []byte(`{"type":"object","properties":{
		"share":{"exclusiveMinimum":0,"exclusiveMaximum":1},"cents":{"multipleOf":0.01},
		"id":{"type":"integer","maximum":9223372036854775807},"part":{"type":["number","string"],"not":{"const":0}},
		"list":{"items":{"items":{"exclusiveMinimum":100}}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{`{"share":1e-300}`, `{"share":0.1}`, `{"share":0.99999999999999990}`,
		`{"share":5e-324}`, `{"cents":0.07}`, `{"cents":123456789012345.67}`, `{"cents":19.99000000000000000000}`,
		`{"id":9223372036854775807}`, `{"id":9007199254740993}`, `{"part":0.1000000000000000055511151231257827}`,
		`{"part":"0.0"}`, `{"list":[[100.00000000000002],[]]}`, `{"share":1E-0000000300}`, `{}`} {
		if err := s.Validate([]byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
	for _, data := range []string{`{"share":1e-324}`, `{"share":1e-400}`, `{"share":-1e-400}`,
		`{"share":0.99999999999999999999}`, `{"share":0.` + strings.Repeat("9", 100) + `}`, `{"part":1e-400}`,
		`{"part":0.0}`, `{"list":[[],[200,100.000000000000001]]}`, `{"share":999999999999999999999e-21}`} {
		if s.Validate([]byte(data)) == nil {
			t.Errorf("%s is accepted", data)
		}
	}
}

// TestRandomFractions: a number that is accepted between two bounds is between them as a double, too.
func TestRandomFractions(t *testing.T) {
	s, err := schema.Compile("s", map[string][]byte{
		"s": []byte(`{"exclusiveMinimum":0.25,"exclusiveMaximum":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	accepted := 0
	for range 20_000 {
		text := []string{"0.25", "0.24", "0.99", "0.9", "1.0", "0.5"}[random.IntN(6)]
		text += strings.Repeat([]string{"0", "9"}[random.IntN(2)], random.IntN(20)) + fmt.Sprint(random.IntN(100))
		if e := random.IntN(12); e > 0 {
			text = strings.Replace(text, ".", "", 1)
			text = strings.TrimLeft(text[:len(text)-1], "0") + text[len(text)-1:]
			text += fmt.Sprintf("e-%d", len(text)-random.IntN(2))
		}
		var double float64
		if s.Validate([]byte(text)) != nil {
			continue
		}
		if err := json.Unmarshal([]byte(text), &double); err != nil || double <= 0.25 || double >= 1 {
			t.Fatalf("%s is accepted and read as %v, %v", text, double, err)
		}
		accepted++
	}
	if accepted < 5_000 {
		t.Errorf("only %d numbers are accepted", accepted)
	}
}
