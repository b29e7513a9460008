package envelope

import (
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/wire"
)

// Data that decrypt says is JSON is what the strict reader says is JSON: whatever a field is, and however
// deep it stands.
func TestDecryptedFieldsAreJSON(t *testing.T) {
	key := jwe.NewContentKey()
	values := []string{`null`, `true`, `-1.50e+3`, `"\ud83d\ude00"`, `"[{"`, `{}`, `[]`}
	for _, depth := range []int{1, 2, 32, 62, 63, 64} {
		values = append(values, strings.Repeat("[", depth)+strings.Repeat("]", depth),
			strings.Repeat(`{"a":`, depth)+`0`+strings.Repeat("}", depth))
	}
	for _, around := range []int{0, 1, 2, 32, 62, 63, 64} {
		doc := []byte(strings.Repeat("[ ", around) + `"secret"` + strings.Repeat("]", around))
		if err := new(wire.Event).SetJSON(doc); err != nil {
			t.Fatal(err)
		}
		at := jsontext.FindAll(doc, []string{strings.Repeat("/0", around)})[0]
		for _, value := range values {
			text, err := jwe.EncryptCompact(key, []byte(value), []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			f := secretField{Span: at, context: []byte("{}")}
			if f.compact, err = jwe.ParseCompact(text); err != nil {
				t.Fatal(err)
			}
			s := secret{signed: wire.Event{Data: doc}, fields: []secretField{f}}
			data, isJSON, err := s.decrypt(key)
			if err != nil {
				t.Fatal(err)
			}
			strict := new(wire.Event).SetJSON(data) == nil
			if nests := value[0] == '[' || value[0] == '{'; isJSON && !strict || isJSON == nests {
				t.Errorf("%s: JSON %v, known to be %v", data, strict, isJSON)
			}
		}
	}
}
