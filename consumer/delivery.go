package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wire"
)

// Delivery is a verified event, with its data as a T. Printed or logged, it says which event it is and shows
// none of its data. Marshalled as JSON, it has the data, decrypted. A handler may change its Delivery: the
// Result stays.
type Delivery[T any] struct {
	*envelope.Opened // the event, and what was verified of it
	Data             T
	// IdempotencyKey is the same for every delivery of this event to this consumer. A handler that makes its
	// effect conditional on it has the effect once, even if the process dies between effect and completion.
	//
	// It is the same under a permission, too. An archive replay calls the handler again, once per permission,
	// for events that were handled before. An effect that is bound to the key does not happen a second time.
	// To repeat the effect, as after a mistake in the handler, bind it to IdempotencyKey and Permission.
	IdempotencyKey string
	// Permission is the ID of the Permission that covers the event, also if it is fresh; "" = none does.
	Permission string
}

// Format says which event it is, whatever the verb. It prints none of the data, which may have been
// encrypted.
func (d Delivery[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.text()) }

// LogValue says which event it is.
func (d Delivery[T]) LogValue() slog.Value { return slog.StringValue(d.text()) }

func (d Delivery[T]) text() string {
	if d.Opened == nil {
		return "Delivery(no event)"
	}
	return fmt.Sprintf("Delivery(event %q of %q, sealed by %q)", d.Event.ID(), d.Event.Source(), d.Producer)
}

// Handler handles one verified event, its data as signed. An error means that the event is to be delivered
// again. It must not return before its work is done: what it leaves to a goroutine may be lost. Its context
// is cancelled with that of Handle, and, with the cause replay.ErrClaimLost, when another worker has taken
// the event over. Until it returns the event stays claimed, so it should return soon then.
//
// If the event's data was encrypted, the text of the error, or of a panic, is withheld from logs, records and
// answers, because it may quote that data. SafeText is how a handler says that it does not.
type Handler func(ctx context.Context, d Delivery[[]byte]) error

// Typed is a Handler that reads JSON data into a T by encoding/json: data must be there, must be JSON and not
// null. Members that T does not have are ignored, so that a producer may add some. Data that does not fit T
// is envelope.ReasonSchemaInvalid: quarantined, since delivering it again would not help; reopen it when the
// type was at fault. The verdict says which field of T does not fit, and quotes nothing of the data. With T =
// []byte or json.RawMessage the data comes as it is.
func Typed[T any](handle func(ctx context.Context, d Delivery[T]) error) Handler {
	if handle == nil {
		return nil // Handle says that there is no handler
	}
	return func(ctx context.Context, raw Delivery[[]byte]) error {
		d := Delivery[T]{Opened: raw.Opened, IdempotencyKey: raw.IdempotencyKey, Permission: raw.Permission}
		if err := decode(raw.Data, raw.Event.DataContentType(), &d.Data); err != nil {
			return newUnfit(err, reflect.TypeFor[T]())
		}
		return handle(ctx, d)
	}
}

func decode(data []byte, contentType string, into any) error {
	switch into := into.(type) {
	case *[]byte:
		*into = data
		return nil
	case *json.RawMessage:
		*into = data
		return nil
	}
	switch {
	case len(data) == 0:
		return plainText("there is no data")
	case !wire.IsJSON(contentType):
		return plainText(fmt.Sprintf("the data is %.100q, not JSON", contentType))
	case string(data) == "null":
		return plainText("the data is null")
	}
	return json.Unmarshal(data, into)
}

// plainText is an error that quotes nothing of the data.
type plainText string

func (p plainText) Error() string { return string(p) }

// unfit is the error of a Typed handler that could not read the data. It is looked for by its type alone, not
// inside other errors: what a handler wraps is no verdict on this event. Its text quotes nothing of the data.
type unfit struct{ withheld }

// Unfit is what a handler returns for an event that it cannot ever handle, such as one without an attribute
// that it requires: the event is envelope.ReasonSchemaInvalid, and quarantined. The text is in records and
// logs, and must quote nothing of the data. Return it as it is: inside another error it is no verdict.
func Unfit(text string) error {
	return &unfit{withheld{text: "consumer: the event does not fit: " + text,
		err: func() error { return plainText(text) }}}
}

// newUnfit says of an error of encoding/json which field of t does not fit, what its type is, and where in
// the data. The error itself quotes values, and so may those of UnmarshalJSON and UnmarshalText methods.
func newUnfit(err error, t reflect.Type) *unfit {
	text := ""
	switch e := err.(type) {
	case plainText:
		text = string(e)
	case *json.SyntaxError:
		text = fmt.Sprintf("it is not JSON from byte %d on", e.Offset)
	case *json.UnmarshalTypeError:
		field := "it"
		if path := fieldPath(t, e.Field); path != "" {
			field = "the field " + path
		}
		of := e.Type
		if reflect.TypeOf(of) != reflect.TypeOf(t) { // an UnmarshalJSON gave none, or one that may say anything
			of = t
		}
		text = fmt.Sprintf("%s is not what a %v is read from, at byte %d", field, of, e.Offset)
	default:
		text = fmt.Sprintf("reading it as a %v fails with a %T, whose text may quote the data", t, err)
	}
	return &unfit{withheld{text: "consumer: the data does not fit: " +
		text, err: func() error { return err }}}
}

// fieldPath is the path of Go field names for the field that encoding/json names. Each name is one that the
// type has: the text of encoding/json may have keys of maps in it, which are data.
func fieldPath(t reflect.Type, field string) string {
	var path []string
	for field != "" {
		f, rest, ok := fieldOf(t, field)
		if ok {
			path, t = append(path, f.Name), f.Type
		} else {
			_, rest, _ = strings.Cut(field, ".")
		}
		field = rest
	}
	return strings.Join(path, ".")
}

// maxElements is how many pointers, lists and maps are followed to what is in them: of a type such as
// map[string]T that is itself T, the elements never end.
const maxElements = 32

// fieldOf is the field of t, or of what its elements are, that the path begins with: by its JSON name, or
// as an embedded struct by its own. A name may have dots in it.
func fieldOf(t reflect.Type, path string) (found reflect.StructField, rest string, ok bool) {
	of := []reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map}
	for range maxElements {
		if !slices.Contains(of, t.Kind()) {
			break
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return found, "", false
	}
	longest := 0
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		after, begins := strings.CutPrefix(path, name)
		if begins && len(name) > longest && (after == "" || after[0] == '.') {
			found, rest, longest = f, strings.TrimPrefix(after, "."), len(name)
		}
	}
	return found, rest, longest > 0
}
