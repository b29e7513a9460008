package mint

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// tokens takes a JSON Pointer apart.
func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	list := strings.Split(pointer[1:], "/")
	for i := range list {
		list[i] = strings.ReplaceAll(strings.ReplaceAll(list[i], "~1", "/"), "~0", "~")
	}
	return list
}

// substitute is the JSON text raw with f of the value at path in its place.
func substitute(raw string, path []string, f func(string) string) string {
	if len(path) == 0 {
		return f(raw)
	}
	if raw[0] == '{' {
		o := objectOf(raw)
		if o.index(path[0]) < 0 {
			panic("mint: no member " + path[0])
		}
		return o.Set(path[0], substitute(o.Get(path[0]), path[1:], f)).String()
	}
	i, err := strconv.Atoi(path[0])
	must(err)
	var list []json.RawMessage
	must(json.Unmarshal([]byte(raw), &list))
	texts := make([]string, len(list))
	for j := range list {
		texts[j] = string(list[j])
	}
	texts = slices.Replace(texts, i, i+1, substitute(texts[i], path[1:], f))
	return "[" + strings.Join(texts, ",") + "]"
}

// objectOf reads an object with its members in their order.
func objectOf(raw string) (o Object) {
	d := json.NewDecoder(strings.NewReader(raw))
	_, err := d.Token() // the brace
	must(err)
	for d.More() {
		name, err := d.Token()
		must(err)
		var value json.RawMessage
		must(d.Decode(&value))
		o = o.Add(name.(string), string(value))
	}
	return o
}
