package envelope

import (
	"fmt"
	"strings"
)

// Document is the data of an event, with the attributes that say which schema it follows.
type Document struct {
	Type        string // the event's type
	DataSchema  string // the event's dataschema, a URI; "" = it has none
	ContentType string // the event's datacontenttype; "" = JSON, as in the JSON format of CloudEvents
	Data        []byte // decrypted
}

// Validator judges whether data follows its schema. Package schema has one for JSON Schema.
type Validator interface {
	// Validate returns nil, or a *SchemaError if the data does not follow its schema, or cannot be judged by
	// it at all. Any other error says that it could not judge now: the event is retried. It keeps nothing of
	// d, and is safe for concurrent use.
	Validate(d Document) error
}

// MaxSchemaFaults is how many faults a SchemaError has: enough to correct a producer, and a short answer.
const MaxSchemaFaults = 10

// SchemaError says where data does not follow its schema. It has no value of the data, and no member name
// that the schema does not have: both may have been encrypted.
type SchemaError struct {
	Schema string        // the name of the schema; "" = there is none for the event
	Cause  string        // one line, if it is no fault at a single place: "the data is not JSON"; or ""
	Faults []SchemaFault // at most MaxSchemaFaults, sorted; nil = see Cause
	More   bool          // there are more faults
}

// SchemaFault is one place where data does not follow its schema.
type SchemaFault struct {
	Pointer string // a JSON Pointer (RFC 6901); it ends before a name that the schema does not have
	Keyword string // the keyword of the schema, such as "required"
}

// Error names the schema and the faults.
func (e *SchemaError) Error() string {
	var b strings.Builder
	b.WriteString("the data does not follow its schema")
	if e.Schema != "" {
		fmt.Fprintf(&b, " %.200q", e.Schema)
	}
	if e.Cause != "" {
		b.WriteString(": " + e.Cause)
	}
	for i, f := range e.Faults {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		fmt.Fprintf(&b, "%sat %.300q: %s", separator, f.Pointer, f.Keyword)
	}
	if e.More {
		b.WriteString("; and more")
	}
	return b.String()
}
