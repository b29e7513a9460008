package schema

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
)

// one compiles a schema that stands alone.
func one(text string) (*Schema, error) {
	return Compile("one.json", map[string][]byte{"one.json": []byte(text)})
}

func must(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := one(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// doubling is a schema of levels, each of which applies the next one twice by the same keyword: 2^levels
// subschemas judge one value.
func doubling(levels int, twice string) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range levels {
		ref := fmt.Sprintf(`{"$ref":"#/$defs/d%d"}`, i+1)
		fmt.Fprintf(&b, `"d%d":%s,`, i, strings.ReplaceAll(twice, "NEXT", ref))
	}
	fmt.Fprintf(&b, `"d%d":{"type":"object"}}}`, levels)
	return b.String()
}

// TestHostileSchemasAreRefused before anything is judged by them.
func TestHostileSchemasAreRefused(t *testing.T) {
	ref := func(to string) string { return `{"$ref":"` + to + `"}` }
	chain := `{"$ref":"#/$defs/d0","$defs":{`
	for i := range 70 {
		chain += fmt.Sprintf(`"d%d":{"$ref":"#/$defs/d%d"},`, i, i+1)
	}
	chain += `"d70":true}}`
	cases := map[string]struct{ schema, says string }{
		"2^22 nested allOf":     {doubling(22, `{"allOf":[NEXT,NEXT]}`), "judge one value"},
		"2^22 nested anyOf":     {doubling(22, `{"anyOf":[NEXT,NEXT]}`), "judge one value"},
		"2^22 nested oneOf":     {doubling(22, `{"oneOf":[NEXT,NEXT]}`), "judge one value"},
		"2^22 if and then":      {doubling(22, `{"if":NEXT,"then":NEXT}`), "judge one value"},
		"2^22 not and else":     {doubling(22, `{"not":NEXT,"if":{"type":"null"},"else":NEXT}`), "judge one value"},
		"2^22 dependentSchemas": {doubling(22, `{"dependentSchemas":{"a":NEXT,"b":NEXT}}`), "judge one value"},
		"2^14":                  {doubling(14, `{"allOf":[NEXT,NEXT]}`), "judge one value"},
		"a chain of 70":         {chain, "nest deeper"},
		"$ref to itself":        {ref("#"), "without descending"},
		"$ref in a circle": {`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`,
			"without descending"},
		"allOf of itself, twice": {`{"allOf":[` + ref("#") + `,` + ref("#") + `]}`, "without descending"},
		"if of itself":           {`{"if":` + ref("#") + `}`, "without descending"},
		"$dynamicRef to itself": {`{"$dynamicAnchor":"x","anyOf":[{"$dynamicRef":"#x"},{"$dynamicRef":"#x"}]}`,
			"without descending"},
		"too many values":   {`{"enum":[` + strings.Repeat("0,", MaxNodes) + `0]}`, "too many values"},
		"too many bytes":    {`{"title":"` + strings.Repeat("x", MaxSchema) + `"}`, "at most"},
		"a number for ever": {`{"maximum":1e999999999}`, "exponent"},
		"minItems 2^64+1":   {`{"minItems":18446744073709551617}`, "minItems"},
		"a long pattern":    {`{"pattern":"` + strings.Repeat("a", maxPattern+1) + `"}`, "pattern"},
		"a large program":   {`{"pattern":"` + strings.Repeat("a{1000}", 10) + `"}`, "pattern"},
		"an empty repeat":   {`{"pattern":"` + strings.Repeat("(?:){1000}", 100) + `"}`, "pattern"},
		"many programs": {`{"allOf":[` + strings.Repeat(`{"pattern":"a{1000}"},`, 60) +
			`{"patternProperties":{"b{1000}":{}}}]}`, "patterns"},
		"backtracking only": {`{"pattern":"(?=a)b"}`, "pattern"},
		"a file":            {ref("file:///etc/hostname"), "nothing is fetched"},
		"a relative file":   {ref("../secret.json"), "nothing is fetched"},
		"a host":            {ref("https://schemas.example/x"), "nothing is fetched"},
		"draft 4":           {`{"$schema":"http://json-schema.org/draft-04/schema#"}`, "$schema"},
		"draft 4, inside": {`{"properties":{"a":{"$schema":"http://json-schema.org/draft-04/schema#"}}}`,
			"$schema"},
		"a member twice":       {`{"type":"object","type":"array"}`, "strict JSON"},
		"no schema":            {`{"type":"nothing"}`, "type"},
		"nested without bound": {strings.Repeat(`{"not":`, 100) + "true" + strings.Repeat("}", 100), "strict JSON"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := one(c.schema)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, it is not refused for %q", err, c.says)
			}
		})
	}
	// References may make one schema of several documents, which are bounded together.
	var properties []string
	for i := range 6_000 {
		properties = append(properties, fmt.Sprintf(`"p%d":{}`, i))
	}
	wide := `{"properties":{` + strings.Join(properties, ",") + `,"more":{"$ref":"b"}}}`
	other := strings.Replace(wide, `"b"`, `"#"`, 1)
	_, err := Compile("a", map[string][]byte{"a": []byte(wide), "b": []byte(other)})
	if err == nil || !strings.Contains(err.Error(), "more than 10000 subschemas") {
		t.Errorf("%v", err)
	}
	if _, err := one(doubling(12, `{"allOf":[NEXT]}`)); err != nil {
		t.Errorf("what is within the bounds is refused: %v", err)
	}
	// A recursion that descends is what trees are.
	if _, err := one(`{"properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}}}`); err != nil {
		t.Error(err)
	}
}

// TestInstructions: no program is longer than what it is charged for.
func TestInstructions(t *testing.T) {
	for _, text := range []string{``, `abc`, `^[A-Z]{3}-[0-9]{1,8}$`, `(a|bc|d*)+?`, `(?:a?){900}`, `(a{2,}){7}`,
		`a{0}`, `((a{1,9}){1,9}){1,9}`, `(?i)straße|\p{L}\pN[^x]`, `(?:(?:a|b){3,}|c){5}`, `\bx\B.$`} {
		tree, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(tree.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		// Each program has a fail, a match and the capture of all beside what the expression says.
		if got := instructions(tree); got > maxInstructions || len(program.Inst) > got+4 {
			t.Errorf("%q: %d, its program has %d", text, got, len(program.Inst))
		}
	}
}

// TestHostileDataIsRefused by its steps, before the library judges it.
func TestHostileDataIsRefused(t *testing.T) {
	deep := strings.Repeat("[", 60) + strings.Repeat("]", 60)
	zeros := "[" + strings.Repeat("0,", 300_000) + "0]"
	numbers := make([]string, 9_000)
	for i := range numbers {
		numbers[i] = fmt.Sprint(i)
	}
	members := make([]string, 40_000)
	for i := range members {
		members[i] = fmt.Sprintf(`"member%d":0`, i)
	}
	patterns := make([]string, 500)
	for i := range patterns {
		patterns[i] = fmt.Sprintf(`"[a-z]+x%d":true`, i)
	}
	// All elements have the same hash in the library: \u0004 is what it writes before a string.
	var same []string
	for i := range 4_000 {
		parts := ""
		for bit := range 12 {
			if i>>bit&1 == 1 {
				parts += `","a`
			} else {
				parts += `\u0004a`
			}
		}
		same = append(same, `["a`+parts+`"]`)
	}
	cases := map[string]struct{ schema, data string }{
		"2^60 by items": {`{"allOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}`, deep},
		"2^60 by $dynamicRef": {`{"$dynamicAnchor":"x","allOf":[{"items":{"$dynamicRef":"#x"}},` +
			`{"items":{"$dynamicRef":"#x"}}]}`, deep},
		"a wide schema on each element": {`{"items":{"allOf":[` + strings.Repeat("true,", 4_000) + `true]}}`,
			zeros},
		"a huge enum on each element": {`{"items":{"enum":[` + strings.Join(numbers, ",") + `]}}`, zeros},
		"many patterns on each name": {`{"patternProperties":{` + strings.Join(patterns, ",") + `}}`,
			"{" + strings.Join(members, ",") + "}"},
		"a long text and a large program": {`{"pattern":"(?:a?){900}b"}`, `"` + strings.Repeat("a", 900_000) + `"`},
		"one hash for all elements":       {`{"uniqueItems":true}`, "[" + strings.Join(same, ",") + "]"},
		"too large":                       {`true`, `"` + strings.Repeat("a", MaxData) + `"`},
		"a number for ever":               {`{"type":"integer"}`, "1e999999999"},
		"a number of many digits":         {`{"type":"integer"}`, strings.Repeat("9", 1000)},
		"too deep":                        {`true`, strings.Repeat("[", 65) + strings.Repeat("]", 65)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := must(t, c.schema).Validate([]byte(c.data))
			invalid, ok := errors.AsType[*envelope.SchemaError](err)
			if !ok || invalid.Cause == "" || invalid.Faults != nil {
				t.Errorf("%v, it is not refused before it is judged", err)
			}
		})
	}
}

// TestHonestDataIsAffordable: the bounds leave room for real events of the full size.
func TestHonestDataIsAffordable(t *testing.T) {
	s := must(t, `{"type":"object","required":["lines"],"properties":{"lines":{"type":"array","items":{
		"type":"object","required":["sku","count"],"additionalProperties":false,"properties":{
		"sku":{"type":"string","pattern":"^[A-Z]{3}-[0-9]{1,8}$"},"count":{"type":"integer","minimum":1},
		"unit":{"enum":["piece","kg","m"]}}}}}}`)
	line := `{"sku":"ABC-12345","count":12,"unit":"piece"}`
	data := `{"lines":[` + strings.Repeat(line+",", MaxData/(len(line)+1)-2) + line + `]}`
	if len(data) < MaxData*9/10 || len(data) > MaxData {
		t.Fatalf("%d bytes", len(data))
	}
	if err := s.Validate([]byte(data)); err != nil {
		t.Error(err)
	}
	bad := strings.Replace(data, "12,", "0,", 20)
	invalid, ok := errors.AsType[*envelope.SchemaError](s.Validate([]byte(bad)))
	if !ok || len(invalid.Faults) != envelope.MaxSchemaFaults || !invalid.More {
		t.Errorf("%v", invalid)
	}
}

// TestSteps compares counts with those made by hand: 2 for each subschema and value, 5 for each fault that it
// can find, one for each member, and one more for a member that is no property.
func TestSteps(t *testing.T) {
	cases := []struct {
		schema, data string
		steps        int
	}{
		{`true`, `"a"`, 2},
		{`true`, `1`, 2},
		{`false`, `1`, 2 + 5},
		{`{"allOf":[true,true,true]}`, `"a"`, 2 + 5 + 3*2},
		{`{"items":true}`, `["a","b","c"]`, 2 + 3*2},
		{`{"items":{"anyOf":[true,true]}}`, `["a","b"]`, 2 + 2*(2+5+2*2)},
		{`{"properties":{"a":true}}`, `{"a":"x","b":"y"}`, 2 + 2 + 2 + 1},
		{`{"additionalProperties":{"not":false}}`, `{"a":"x","b":"y"}`, 2 + 2 + 2*(2+5+2+5)},
		{`{"properties":{"next":{"$ref":"#"}}}`, `{"next":{"next":{}}}`, 3 + (3 + 5 + 3) + (2 + 5 + 2)},
		{`{"items":{"items":{"items":{"type":"string"}}}}`, `[[["a"]]]`, 3*2 + 2 + 5 + 1}, // 1 for the depth
		{`{"type":"integer","minimum":1}`, `7`, 2 + 5 + 5 + 2 + 2 + 1},
		{`{"multipleOf":1e-400}`, `7`, 2 + 5 + 2 + 1 + 1330/128 + 1330/32},
		{`{"multipleOf":1}`, `7e320`, 2 + 5 + 2 + 1 + 5*10}, // the digits are worked on 5 times
		{`{"enum":[1,2,3]}`, `1`, 2 + 5 + 3*4},
		{`{"enum":[[1],[2]]}`, `[1]`, 2 + 5 + 2*(1+4+2*528/32)},
		{`{"const":{"a":"b"}}`, `{"a":"b"}`, 2 + 5 + 3 + 1},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","format":"regex"}`, `"a"`, 2 + 5 + 1 + 40_000},
		{`{"minLength":1,"maxLength":9}`, `"abc"`, 2 + 2*5 + 1},
		{`{"required":["a","b"]}`, `{}`, 2 + 5 + 2},
		{`{"additionalProperties":false}`, `{"a":"x"}`, 2 + 5 + 2},
		{`{"unevaluatedProperties":false}`, `{"a":"x"}`, 2 + 3 + 2 + 5},
		{`{"contains":true}`, `["a","b"]`, 2 + 5 + 2 + 2*2},
	}
	for _, c := range cases {
		s := must(t, c.schema)
		v, err := parse([]byte(c.data), 0)
		if err != nil {
			t.Fatal(err)
		}
		count := counter{graph: s.graph, left: MaxSteps}
		if ok := count.judge(s.root, v, 0); !ok || MaxSteps-count.left != c.steps {
			t.Errorf("%s on %s: %d steps, not %d", c.schema, c.data, MaxSteps-count.left, c.steps)
		}
	}
}
