package schema

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// many joins n texts that f makes.
func many(n int, f string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(f, "#", fmt.Sprint(i+1)))
	}
	return b.String()
}

// nested is inner within n pairs of open and shut.
func nested(n int, open, inner, shut string) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
}

// worstCases are schemas of an array, and the element that it is filled with, each the worst for one weight.
var worstCases = []struct{ name, items, unit string }{
	{"true", `true`, `0`},
	{"false", `false`, `0`},
	{"type", `{"type":"string"}`, `0`},
	{"integer", `{"type":"integer","minimum":1}`, `0`},
	{"all of a number", `{"type":"integer","minimum":1,"maximum":-1,"exclusiveMinimum":2,"exclusiveMaximum":-2,
		"multipleOf":3}`, `1`},
	{"128 digits", `{"type":"integer","minimum":1,"multipleOf":3}`, strings.Repeat("7", 128)},
	{"1e400", `{"type":"integer","multipleOf":3}`, `1e400`},
	{"1e-399", `{"type":"integer","minimum":1,"multipleOf":1e-400}`, `1e-399`},
	{"multipleOf 1e-400", `{"multipleOf":1e-400}`, `7e399`},
	{"minimum 1e400", `{"minimum":1e400}`, `7`},
	{"minimum 1e-400", `{"minimum":1e-400}`, `7e-399`},
	{"many multipleOf", `{"allOf":[` + many(500, `{"multipleOf":#e-396}`) + `]}`, `7e-399`},
	{"wide", `{"allOf":[` + many(8, `true`) + `]}`, `0`},
	{"wide, with faults", `{"allOf":[` + many(2000, `{"type":"string"}`) + `]}`, `0`},
	{"anyOf", `{"anyOf":[` + many(500, `{"type":"string"}`) + `]}`, `0`},
	{"oneOf", `{"oneOf":[` + many(500, `{"type":"string"}`) + `]}`, `0`},
	{"a chain", nested(29, `{"allOf":[`, `{"type":"string"}`, `]}`), `0`},
	{"a chain of not", nested(50, `{"not":`, `{"type":"string"}`, `}`), `0`},
	{"if", `{"if":{"type":"string"},"then":false,"else":false}`, `0`},
	{"enum of numbers", `{"enum":[` + many(9000, `#`) + `]}`, `-1`},
	{"enum of huge numbers", `{"enum":[` + many(200, `#e-397`) + `]}`, `7e399`},
	{"enum of texts", `{"enum":[` + many(9000, `"a#"`) + `]}`, `"abcde"`},
	{"enum of objects", `{"enum":[` + many(500, `{"a":[1,2,#]}`) + `]}`, `{"a":[1,2,-1]}`},
	{"required", `{"required":["a"]}`, `{}`},
	{"much is required", `{"required":[` + many(5000, `"m#"`) + `]}`, `{}`},
	{"dependentRequired", `{"dependentRequired":{` + many(50, `"m#":["x"]`) + `}}`, `{"m1":0,"m2":0,"m3":0}`},
	{"dependentSchemas", `{"dependentSchemas":{` + many(50, `"m#":false`) + `}}`, `{"m1":0,"m2":0,"m3":0}`},
	{"properties", `{"properties":{"a":{"type":"string"},"b":{"type":"string"}}}`, `{"a":0,"b":0}`},
	{"additionalProperties", `{"additionalProperties":{"type":"string"}}`, `{"a":0}`},
	{"no additionalProperties", `{"additionalProperties":false}`, `{"a":0}`},
	{"many names", `{"anyOf":[` + many(20, `{"additionalProperties":false}`) + `]}`,
		`{` + many(999, `"#":0`) + `}`},
	{"patternProperties", `{"patternProperties":{` + many(20, `"a|x#":false`) + `}}`, `{"abcd":0}`},
	{"propertyNames", `{"propertyNames":{"maxLength":1}}`, `{"ab":0,"cd":0}`},
	{"names in another case", `{"required":["a"]}`, `{"` + strings.Repeat("\u212a", 300) + `":0}`},
	{"unevaluatedProperties", `{"allOf":[` + many(50, `{"title":"x"}`) + `],"unevaluatedProperties":false}`,
		`{"a":0,"b":0,"c":0,"d":0}`},
	{"unevaluatedItems", `{"allOf":[` + many(50, `{"title":"x"}`) + `],"unevaluatedItems":false}`, `[1,2,3,4]`},
	{"contains", `{"contains":{"type":"string"}}`, `[0,0,0,0,0,0,0,0]`},
	{"uniqueItems of 2", `{"uniqueItems":true}`, `[1,2]`},
	{"uniqueItems of 20", `{"uniqueItems":true}`, `[` + many(20, `#e-396`) + `]`},
	{"uniqueItems of 21", `{"uniqueItems":true}`, `[` + many(21, `{"a":#}`) + `]`},
	{"pattern", `{"pattern":"b"}`, `""`},
	{"pattern with much state", `{"pattern":"(?:a?){900}b"}`, `"a"`},
	{"pattern on a long text", `{"pattern":"(?:a?){30}b"}`, `"` + strings.Repeat("a", 5000) + `"`},
	{"lengths", `{"minLength":100,"maxLength":1}`, `"abc"`},
	{"lengths of a long text", `{"allOf":[` + many(900, `{"minLength":2000}`) + `]}`,
		`"` + strings.Repeat("é", 1000) + `"`},
	{"a metaschema", `{"$ref":"http://json-schema.org/draft-07/schema#"}`, `{"type":"x","not":{"type":1}}`},
	{"$dynamicRef", `{"$dynamicAnchor":"x","type":"array","items":{"$dynamicRef":"#x"}}`, `[[[[0]]]]`},
	{"deep", `{"$dynamicAnchor":"y","type":"array","items":{"$ref":"#/items"}}`,
		nested(60, "[", many(1000, "0"), "]")},
	{"format regex", `{"format":"regex"}`, `"` + strings.Repeat(`(?i)[\\p{L}]`, 90) + `"`},
	{"format date", `{"format":"date"}`, `"x"`},
	{"format uri", `{"format":"uri"}`, `"x"`},
	{"format semver", `{"format":"semver"}`, `"x"`},
	{"format json-pointer", `{"allOf":[` + many(900, `{"format":"json-pointer"}`) + `]}`,
		`"` + strings.Repeat("/", 4000) + `"`},
}

// BenchmarkWorst judges data of up to 1 MiB that takes almost all steps that there are. On two processors
// that have nothing else to do, each case takes less than a second, and so each step less than 500 ns.
func BenchmarkWorst(b *testing.B) {
	for _, c := range worstCases {
		b.Run(c.name, func(b *testing.B) {
			dialect := draft20
			if strings.HasPrefix(c.name, "format") {
				dialect = draft7
			}
			s, err := one(fmt.Sprintf(`{"$schema":%q,"items":%s}`, dialect, c.items))
			if err != nil {
				b.Fatal(err)
			}
			data, steps := worst(b, s, c.unit)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				_ = s.Validate(data)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(steps), "ns/step")
		})
	}
}

// worst is an array of about as many units as may be judged, and its steps.
func worst(b *testing.B, s *Schema, unit string) (data []byte, steps int) {
	b.Helper()
	for n := MaxData / (len(unit) + 1); n > 0; n = n * 9 / 10 {
		data := append(append([]byte("["), bytes.Repeat([]byte(unit+","), n-1)...), unit+"]"...)
		v, err := parse(data, 0)
		if err != nil {
			b.Fatal(err)
		}
		count := counter{graph: s.graph, left: MaxSteps}
		if len(data) <= MaxData && count.judge(s.root, v, 0) {
			return data, MaxSteps - count.left
		}
	}
	b.Fatal("one unit takes too many steps")
	return nil, 0
}
