package schema

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/sealbus/sealbus/envelope"
)

// maxPointer is the longest pointer, in bytes. A longer one ends earlier.
const maxPointer = 256

// faults are those of one validation. The library's own errors quote values and are not passed on.
type faults struct {
	names map[string]bool // names that the schema has
	data  any
	found []envelope.SchemaFault // sorted, the first MaxSchemaFaults
	more  bool
}

// collect adds the faults that have no other cause. The library looks at members in random order, so the
// first ones in order are kept.
func (f *faults) collect(e *jsonschema.ValidationError) {
	_, isName := e.ErrorKind.(*kind.PropertyNames) // its causes are about the name, which is data
	if len(e.Causes) > 0 && !isName {
		for _, cause := range e.Causes {
			f.collect(cause)
		}
		return
	}
	f.add(envelope.SchemaFault{Pointer: f.pointer(e.InstanceLocation), Keyword: keyword(e.ErrorKind)})
}

func (f *faults) add(fault envelope.SchemaFault) {
	i, known := slices.BinarySearchFunc(f.found, fault, func(a, b envelope.SchemaFault) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Keyword, b.Keyword))
	})
	if known {
		return
	}
	f.found = slices.Insert(f.found, i, fault)
	if len(f.found) > envelope.MaxSchemaFaults {
		f.found, f.more = f.found[:envelope.MaxSchemaFaults], true
	}
}

// pointer is the JSON Pointer of a location. It ends before a member whose name the schema does not have:
// such a name is data, as in an object that has an entry for each customer.
func (f *faults) pointer(location []string) string {
	var b strings.Builder
	at := f.data
	for _, token := range location {
		switch v := at.(type) {
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return b.String()
			}
			at = v[i]
		case map[string]any:
			if !f.names[token] {
				return b.String()
			}
			at = v[token]
			token = escapePointer(token)
		default:
			return b.String()
		}
		if b.Len()+1+len(token) > maxPointer {
			return b.String()
		}
		b.WriteString("/" + token)
	}
	return b.String()
}

// escapePointer makes a name a token of a JSON Pointer. https://www.rfc-editor.org/rfc/rfc6901#section-3
func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// keyword is the keyword that failed.
func keyword(k jsonschema.ErrorKind) string {
	if k == nil {
		return "schema"
	}
	if _, ok := k.(*kind.Not); ok {
		return "not"
	}
	if path := k.KeywordPath(); len(path) > 0 {
		return path[0]
	}
	return "schema" // false, or a cycle
}
