package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/jsonwrite"
	"github.com/sealbus/sealbus/keys/policy"
)

// fillScope writes --source and --type into the empty lists of a producer. Lists that are filled are left to
// their editor: what a producer may say is never widened on the way of adding a key.
func (f *trustAddFlags) fillScope(doc []byte, changes []string) ([]byte, []string, error) {
	for _, l := range []struct {
		field string
		want  []string
	}{{"sources", f.sources}, {"types", f.types}} {
		if l.want == nil {
			continue
		}
		filled, err := fillList(doc, f.producer, l.field, l.want)
		if err != nil {
			return nil, nil, err
		}
		if string(filled) != string(doc) {
			changes = append(changes, fmt.Sprintf("producer %s: %s %s", f.producer, l.field, strings.Join(l.want, " ")))
		}
		doc = filled
	}
	return doc, changes, nil
}

// fillList fills one empty list and makes sure that nothing else of the policy has changed.
func fillList(doc []byte, name, field string, want []string) ([]byte, error) {
	before, err := policy.Parse(doc)
	if err != nil {
		return nil, err
	}
	list := scopeOf(before, name, field)
	switch {
	case list == nil:
		return nil, fmt.Errorf("producer %s is not listed", name)
	case slices.Equal(*list, want):
		return doc, nil
	case len(*list) > 0:
		return nil, fmt.Errorf("producer %s has other %s already: change them in the file", name, field)
	}
	filled := []byte(replaceEmptyList(string(doc), name, field, want))
	after, err := policy.Parse(filled)
	if err != nil {
		return nil, err
	}
	*list = want
	if !reflect.DeepEqual(before, after) {
		return nil, errors.New("the " + field + " of producer " + name + " are not written as " + field + ": [] there: fill them in by hand")
	}
	return filled, nil
}

// scopeOf is the list of that field, nil if there is no such producer.
func scopeOf(p *policy.Policy, name, field string) *[]string {
	for i := range p.Producers {
		switch {
		case p.Producers[i].Name != name:
		case field == "sources":
			return &p.Producers[i].Sources
		default:
			return &p.Producers[i].Types
		}
	}
	return nil
}

// replaceEmptyList works on the text, so that comments stay: the first "field: []" after the line that names the
// producer. Its caller checks the outcome.
func replaceEmptyList(doc, name, field string, want []string) string {
	lines := strings.Split(doc, "\n")
	inside := false
	for i, line := range lines {
		text := strings.TrimSpace(line)
		inside = inside || text == name+":" || text == `"`+name+`":`
		if inside && text == field+": []" {
			lines[i] = strings.TrimSuffix(line, "[]") + string(jsonwrite.AppendStrings(nil, want))
			break
		}
	}
	return strings.Join(lines, "\n")
}
