package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// draft4 is the $schema of an export in the format JSONSchemaDraft4.
const draft4 = "http://json-schema.org/draft-04/schema"

// Convert takes an export of an EventBridge schema registry, OpenAPI 3.0 or draft 4 of JSON Schema, and
// returns the type of the event and the schema of its data, as a document of draft 7. The type is the detail
// type that the export names (x-amazon-events-detail-type). The schema is that of "detail", or, if the detail
// is a CloudEvent, that of its "data".
//
// A registry says how AWS guesses or a person writes that events look. An export that uses a keyword which
// draft 7 cannot express is refused: discriminator, id, and a $ref that leads out of the document.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-schema.html
func Convert(export []byte) (eventType string, document []byte, err error) {
	if len(export) > MaxSchema {
		return "", nil, fmt.Errorf("schema: the export has %d bytes, at most %d are read", len(export), MaxSchema)
	}
	v, err := parse(export, MaxNodes)
	if err != nil {
		return "", nil, fmt.Errorf("schema: the export: %w", err)
	}
	top, _ := v.(map[string]any)
	event, definitions, err := awsEvent(top)
	if err != nil {
		return "", nil, fmt.Errorf("schema: the export: %w", err)
	}
	if eventType, _ = event["x-amazon-events-detail-type"].(string); eventType == "" {
		return "", nil, errors.New("schema: the export has no x-amazon-events-detail-type: it names no type")
	}
	converted := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		if converted[name], err = modern(definitions[name]); err != nil {
			return "", nil, fmt.Errorf("schema: the export: %q: %w", name, err)
		}
	}
	detail, err := modern(member(event, "properties", "detail"))
	if err != nil {
		return "", nil, fmt.Errorf("schema: the export: detail: %w", err)
	}
	if detail == nil {
		return "", nil, errors.New("schema: the export says nothing about detail")
	}
	data := dataOf(detail, converted)
	out := map[string]any{"$schema": draft7 + "#", "definitions": converted, "allOf": []any{data}}
	document, err = json.Marshal(out)
	return eventType, document, err
}

// awsEvent is the schema of the whole event, and those that it refers to.
func awsEvent(top map[string]any) (event, definitions map[string]any, err error) {
	version, isOpenAPI := top["openapi"].(string)
	dialect, _ := top["$schema"].(string)
	switch {
	case isOpenAPI && strings.HasPrefix(version, "3.0."):
		definitions, _ = member(top, "components", "schemas").(map[string]any)
		event, _ = definitions["AWSEvent"].(map[string]any)
	case isOpenAPI:
		return nil, nil, fmt.Errorf("openapi is %.100q: 3.0 is read", version)
	case strings.TrimSuffix(dialect, "#") == draft4:
		event = top
		definitions, _ = top["definitions"].(map[string]any)
	default:
		return nil, nil, errors.New("it is neither OpenAPI 3.0 nor a schema of draft 4")
	}
	if event == nil {
		return nil, nil, errors.New("it has no schema AWSEvent: it is not from a registry of EventBridge")
	}
	rest := maps.Clone(definitions)
	delete(rest, "AWSEvent")
	return event, rest, nil
}

// dataOf is the schema of data, if detail is a CloudEvent in the JSON format, as sealbus puts it on a bus.
func dataOf(detail any, definitions map[string]any) any {
	resolved := detail
	for range 8 { // a longer chain of references is no export
		ref, _ := member(resolved, "$ref").(string)
		name, ok := strings.CutPrefix(ref, "#/definitions/")
		if !ok {
			break
		}
		resolved = definitions[name]
	}
	if member(resolved, "properties", "specversion") != nil && member(resolved, "properties", "data") != nil {
		return member(resolved, "properties", "data")
	}
	return detail
}

// member is the value at a path of names; nil = there is none.
func member(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// Keywords of draft 4 and of OpenAPI 3.0, by what they hold.
var (
	holdsSchema  = []string{"not", "additionalProperties", "additionalItems"}
	holdsSchemas = []string{"allOf", "anyOf", "oneOf"}
	holdsNames   = []string{"properties", "patternProperties"}
	keptAsIs     = []string{"type", "enum", "multipleOf", "maximum", "minimum", "maxLength", "minLength",
		"pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required", "format",
		"title", "description", "default"}
	dropped = []string{"nullable", "exclusiveMaximum", "exclusiveMinimum", "example", "externalDocs", "xml",
		"readOnly", "writeOnly", "deprecated", "$schema", "definitions"}
)

// modern is a schema of draft 4 or OpenAPI 3.0 in draft 7. nil stays nil.
func modern(v any) (any, error) {
	old, ok := v.(map[string]any)
	if !ok {
		if v == nil {
			return nil, nil
		}
		if b, isBool := v.(bool); isBool { // additionalProperties and additionalItems
			return b, nil
		}
		return nil, errors.New("a schema is not an object")
	}
	if ref, ok := old["$ref"].(string); ok { // its siblings are ignored by all three
		return modernRef(ref)
	}
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if err := modernKeyword(out, name, old[name]); err != nil {
			return nil, err
		}
	}
	exclusive(out, old, "maximum", "exclusiveMaximum")
	exclusive(out, old, "minimum", "exclusiveMinimum")
	if old["nullable"] == true && out["type"] != nil { // OpenAPI 3.0.3: it does nothing without a type
		if list, ok := out["enum"].([]any); ok && !slices.Contains(list, any(nil)) {
			return nil, errors.New("nullable with an enum that lacks null can be read in two ways: add null")
		}
		out["type"] = []any{out["type"], "null"}
	}
	return out, nil
}

// modernRef makes a reference into components one into definitions.
func modernRef(ref string) (any, error) {
	name, ok := strings.CutPrefix(ref, "#/components/schemas/")
	if !ok {
		name, ok = strings.CutPrefix(ref, "#/definitions/")
	}
	if !ok || strings.Contains(name, "/") {
		return nil, fmt.Errorf("$ref leads to %.200q: it must lead to a schema of the document", ref)
	}
	if name == "AWSEvent" {
		return nil, errors.New("$ref leads to AWSEvent, which is around the data and not in it")
	}
	return map[string]any{"$ref": "#/definitions/" + name}, nil
}

// modernKeyword converts one keyword.
func modernKeyword(out map[string]any, name string, value any) (err error) {
	switch {
	case slices.Contains(keptAsIs, name):
		out[name] = value
	case slices.Contains(dropped, name), strings.HasPrefix(name, "x-"):
	case slices.Contains(holdsSchema, name):
		out[name], err = modern(value)
	case name == "items":
		if list, ok := value.([]any); ok {
			out[name], err = modernList(list)
		} else {
			out[name], err = modern(value)
		}
	case slices.Contains(holdsSchemas, name):
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%s is not an array", name)
		}
		out[name], err = modernList(list)
	case slices.Contains(holdsNames, name):
		out[name], err = modernNames(value, name)
	case name == "dependencies":
		out[name], err = modernDependencies(value)
	default:
		return fmt.Errorf("the keyword %.100q cannot be converted: write the schema in draft 7 or 2020-12", name)
	}
	return err
}

func modernList(list []any) ([]any, error) {
	out := make([]any, len(list))
	for i, one := range list {
		var err error
		if out[i], err = modern(one); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func modernNames(value any, keyword string) (map[string]any, error) {
	schemas, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is not an object", keyword)
	}
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		var err error
		if out[name], err = modern(schemas[name]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func modernDependencies(value any) (map[string]any, error) {
	schemas, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("dependencies is not an object")
	}
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		if list, ok := schemas[name].([]any); ok {
			out[name] = list
			continue
		}
		var err error
		if out[name], err = modern(schemas[name]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// exclusive makes the flag of draft 4 the number of draft 7.
func exclusive(out, old map[string]any, bound, flag string) {
	if old[flag] == true && out[bound] != nil {
		out[flag] = out[bound]
		delete(out, bound)
	}
}
