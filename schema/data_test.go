package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// lookUp follows a JSON Pointer.
func lookUp(v any, pointer string) (any, error) {
	if pointer == "" {
		return v, nil
	}
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch of := v.(type) {
		case map[string]any:
			member, ok := of[token]
			if !ok {
				return nil, fmt.Errorf("there is no member %q", token)
			}
			v = member
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i >= len(of) {
				return nil, fmt.Errorf("there is no element %q", token)
			}
			v = of[i]
		default:
			return nil, fmt.Errorf("%q leads into a %T", token, v)
		}
	}
	return v, nil
}

func TestParse(t *testing.T) {
	for text, want := range map[string]any{
		` null `:      nil,
		`true`:        true,
		`false`:       false,
		`"a\u00e9\""`: "aé\"",
		`-1.50e+3`:    json.Number("-1.50e+3"),
		`1e400`:       json.Number("1e400"),
		`1e-400`:      json.Number("1e-400"),
		`[]`:          []any{},
		`{}`:          map[string]any{},
		`{"a":[1,{"b":"c"}],"":null}`: map[string]any{
			"a": []any{json.Number("1"), map[string]any{"b": "c"}}, "": nil},
	} {
		if got, err := parse([]byte(text), 0); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v", text, got, err)
		}
	}
	for _, text := range []string{``, `{`, `1e401`, `1e-401`, `1e99999999999999999999`,
		strings.Repeat("1", maxNumber+1), `{"a":1,"a":2}`, `[1] 2`, `"\ud800"`, `nul`, `01`, "\"\xff\"",
		strings.Repeat("[", 65) + strings.Repeat("]", 65)} {
		if got, err := parse([]byte(text), 0); err == nil || got != nil {
			t.Errorf("%.40s: %#v", text, got)
		}
	}
	if _, err := parse([]byte(`[1,2,3]`), 4); err != nil {
		t.Error(err)
	}
	if _, err := parse([]byte(`[1,2,3]`), 3); err != errValues {
		t.Errorf("%v", err)
	}
}
