package localaws

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

type listInput struct {
	EventBusName, Rule, NamePrefix, NextToken string
	Limit                                     int
}

// page is up to limit of the names that have the prefix, in their order; 0 = all. The token is the last name
// of the page before.
func page[E any](in *listInput, all []E, name func(E) string) (found []E, next string) {
	skipping := in.NextToken != ""
	for _, e := range all {
		switch {
		case skipping:
			skipping = name(e) != in.NextToken
		case !strings.HasPrefix(name(e), in.NamePrefix):
		case in.Limit > 0 && len(found) == in.Limit:
			return found, name(found[len(found)-1])
		default:
			found = append(found, e)
		}
	}
	return found, ""
}

type ruleDescription struct {
	Name, Arn, EventBusName, State, EventPattern string
	Description                                  string `json:",omitempty"`
}

// describe is called with s.mu locked.
func (s *Server) describe(b *bus, r *rule) ruleDescription {
	state := "DISABLED"
	if r.enabled {
		state = "ENABLED"
	}
	return ruleDescription{r.name, s.ruleARN(b, r), b.name, state, r.text, r.description}
}

func (s *Server) describeRule(in *ruleInput) (*ruleDescription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, r, err := s.findRule(in.EventBusName, in.Name)
	if err != nil {
		return nil, err
	}
	d := s.describe(b, r)
	return &d, nil
}

type listRulesOutput struct {
	Rules     []ruleDescription
	NextToken string `json:",omitempty"`
}

func (s *Server) listRules(in *listInput) (*listRulesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.findBus(in.EventBusName)
	if err != nil {
		return nil, err
	}
	found, next := page(in, b.rules, func(r *rule) string { return r.name })
	out := &listRulesOutput{Rules: []ruleDescription{}, NextToken: next}
	for _, r := range found {
		out.Rules = append(out.Rules, s.describe(b, r))
	}
	return out, nil
}

type listEventBusesOutput struct {
	EventBuses []describeEventBusOutput
	NextToken  string `json:",omitempty"`
}

func (s *Server) listEventBuses(in *listInput) (*listEventBusesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.buses))
	found, next := page(in, names, func(name string) string { return name })
	out := &listEventBusesOutput{EventBuses: []describeEventBusOutput{}, NextToken: next}
	for _, name := range found {
		out.EventBuses = append(out.EventBuses, s.describeBus(s.buses[name]))
	}
	return out, nil
}

type listTargetsOutput struct {
	Targets   []ruleTarget
	NextToken string `json:",omitempty"`
}

func (s *Server) listTargetsByRule(in *listInput) (*listTargetsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, r, err := s.findRule(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	found, next := page(in, r.targets, func(t ruleTarget) string { return t.ID })
	return &listTargetsOutput{append([]ruleTarget{}, found...), next}, nil
}

type permissionInput struct{ EventBusName, Policy string }

// putPermission takes a whole policy only, which is what replaced the action with its principal and
// condition.
func (s *Server) putPermission(in *permissionInput) (nothing, error) {
	if !json.Valid([]byte(in.Policy)) {
		return nothing{}, invalid("Parameter Policy is not valid: the fake takes a policy as JSON.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.findBus(in.EventBusName)
	if err != nil {
		return nothing{}, err
	}
	b.policy = in.Policy
	s.saveBus(b)
	return nothing{}, nil
}
