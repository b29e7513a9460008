package doctor

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// policyStatement is a statement of a resource policy, as far as it is looked at.
type policyStatement struct {
	Sid       string
	Effect    string
	Principal principals
	Action    words
	NotAction words
	Condition map[string]map[string]words // operator to key to values
}

// words is a JSON string or a list of them. Policies also have booleans and numbers there.
type words []string

func (w *words) UnmarshalJSON(doc []byte) error {
	var one any
	if err := json.Unmarshal(doc, &one); err != nil {
		return err
	}
	list, ok := one.([]any)
	if !ok {
		list = []any{one}
	}
	*w = nil
	for _, v := range list {
		switch v := v.(type) {
		case string:
			*w = append(*w, v)
		default:
			text, _ := json.Marshal(v) // was JSON
			*w = append(*w, string(text))
		}
	}
	return nil
}

// principals is "*", or lists by kind: AWS, Service and others.
type principals map[string]words

func (p *principals) UnmarshalJSON(doc []byte) error {
	var all string
	if json.Unmarshal(doc, &all) == nil {
		*p = principals{"AWS": {all}}
		return nil
	}
	return json.Unmarshal(doc, (*map[string]words)(p))
}

// parsePolicy reads the statements of a policy; "" has none.
func parsePolicy(doc string) ([]policyStatement, error) {
	if doc == "" {
		return nil, nil
	}
	var p struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(doc), &p); err != nil {
		return nil, err
	}
	var list []policyStatement
	if err := json.Unmarshal(p.Statement, &list); err == nil {
		return list, nil
	}
	var one policyStatement
	err := json.Unmarshal(p.Statement, &one)
	return []policyStatement{one}, err
}

// allows reports whether the statement allows the action to any principal.
func (s *policyStatement) allows(action string) bool {
	if s.Effect != "Allow" {
		return false
	}
	matches := func(pattern string) bool { return matchWildcard(strings.ToLower(pattern), strings.ToLower(action)) }
	if len(s.NotAction) > 0 {
		return !slices.ContainsFunc(s.NotAction, matches)
	}
	return slices.ContainsFunc(s.Action, matches)
}

// positive are the condition operators that demand one of the values.
var positive = map[string]bool{"StringEquals": true, "StringLike": true, "StringEqualsIgnoreCase": true,
	"ArnEquals": true, "ArnLike": true}

// demands are the values that one of the condition keys must have; none = anything goes. The keys are
// compared as IAM does, in any case.
func (s *policyStatement) demands(keys ...string) []string {
	var values []string
	for operator, tests := range s.Condition {
		if !positive[operator] {
			continue
		}
		for key, list := range tests {
			if slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, key) }) {
				values = append(values, list...)
			}
		}
	}
	slices.Sort(values)
	return values
}

// who is the principals for people.
func (s *policyStatement) who() string {
	var names []string
	for _, kind := range ui.SortedKeys(s.Principal) {
		for _, name := range s.Principal[kind] {
			if a, ok := awscli.ParseARN(name); ok && a.Resource == "root" {
				name = a.Account
			}
			names = append(names, name)
		}
	}
	if slices.Contains(names, "*") {
		return "anybody"
	}
	return strings.Join(names, ", ")
}

// anybody reports whether the statement names no one in particular.
func (s *policyStatement) anybody() bool { return slices.Contains(s.Principal["AWS"], "*") }

// matchWildcard is IAM's * and ?.
func matchWildcard(pattern, text string) bool {
	for {
		switch {
		case pattern == "":
			return text == ""
		case pattern[0] == '*':
			for i := 0; i <= len(text); i++ {
				if matchWildcard(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case text == "" || pattern[0] != '?' && pattern[0] != text[0]:
			return false
		}
		pattern, text = pattern[1:], text[1:]
	}
}
