package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxExplained is how many faults of a schema its refusal names.
const maxExplained = 5

// explain says in one line, for the author of a schema, why the library does not compile it. Unlike an error
// about data, it may quote the document.
func explain(err error) error {
	if e, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if failed, ok := errors.AsType[*jsonschema.ValidationError](e.Err); ok {
			at := "it"
			if _, fragment, _ := strings.Cut(e.URL, "#"); fragment != "" {
				at = fmt.Sprintf("%.200q", local(e.URL))
			}
			return fmt.Errorf("%s is no schema of its draft: %s", at, leaves(failed))
		}
	}
	if e, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return fmt.Errorf("a $ref leads to %.200q, which is not among the documents, and nothing is fetched: "+
			"give it as a reference", local(e.URL))
	}
	if e, ok := errors.AsType[*jsonschema.JSONPointerNotFoundError](err); ok {
		return fmt.Errorf("a $ref leads to %.200q, and nothing is there", local(e.URL))
	}
	if e, ok := errors.AsType[*jsonschema.AnchorNotFoundError](err); ok {
		return fmt.Errorf("a $ref leads to %.200q, and no subschema has that anchor", local(e.Reference))
	}
	if e, ok := errors.AsType[*jsonschema.InvalidRegexError](err); ok {
		return fmt.Errorf("%s: a pattern is refused: %w", local(e.URL), e.Err)
	}
	return fmt.Errorf("%.300s", err.Error())
}

// local is a location as the author knows it.
func local(url string) string { return strings.TrimPrefix(url, "schema:///") }

// leaves are the faults that have no other cause, each with its place, in order.
func leaves(e *jsonschema.ValidationError) string {
	var all []string
	var collect func(e *jsonschema.ValidationError)
	collect = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			collect(cause)
		}
		if len(e.Causes) == 0 {
			all = append(all, fmt.Sprintf("%.300s", e.Error()))
		}
	}
	collect(e)
	slices.Sort(all)
	all = slices.Compact(all)
	text := strings.Join(all[:min(len(all), maxExplained)], "; ")
	if len(all) > maxExplained {
		text += fmt.Sprintf("; and %d more", len(all)-maxExplained)
	}
	if strings.Contains(text, "invalid or unsupported Perl syntax") {
		text += ". Patterns are those of Go (RE2), without lookahead and without backreferences"
	}
	return text
}
