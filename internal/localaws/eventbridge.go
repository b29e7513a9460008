package localaws

import (
	"slices"
	"strings"
	"time"
)

// bus is an event bus with its rules, in the order of their names' creation.
type bus struct {
	name        string
	description string
	policy      string // "" = none
	created     time.Time
	rules       []*rule
}

type rule struct {
	name        string
	description string
	enabled     bool
	text        string // of the pattern
	pattern     *pattern
	targets     []ruleTarget
}

var (
	busNamePattern = expression(`^[/.\-_A-Za-z0-9]{1,256}$`)
	namePattern    = expression(`^[.\-_A-Za-z0-9]{1,64}$`)
)

// seconds is a time as the protocol has it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// busNameOf is the name in the name or ARN of a bus; "" = the default one.
func busNameOf(nameOrARN string) string {
	if nameOrARN == "" {
		return "default"
	}
	if _, name, isARN := strings.Cut(nameOrARN, ":event-bus/"); isARN {
		return name
	}
	return nameOrARN
}

// findBus is called with s.mu locked.
func (s *Server) findBus(nameOrARN string) (*bus, error) {
	name := busNameOf(nameOrARN)
	b := s.buses[name]
	if b == nil {
		return nil, refuse("ResourceNotFoundException", "Event bus %s does not exist.", name)
	}
	return b, nil
}

type nothing struct{}

type createEventBusInput struct{ Name, Description, EventSourceName string }

type createEventBusOutput struct{ EventBusArn, Description string }

func (s *Server) createEventBus(in *createEventBusInput) (*createEventBusOutput, error) {
	if !busNamePattern().MatchString(in.Name) {
		return nil, invalid("Parameter %s is not valid. Reason: Provided Event bus name is invalid.",
			"EventBusName")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buses[in.Name] != nil {
		return nil, refuse("ResourceAlreadyExistsException", "Event bus %s already exists.", in.Name)
	}
	b := &bus{name: in.Name, description: in.Description, created: s.opts.Now()}
	s.buses[in.Name] = b
	s.saveBus(b)
	return &createEventBusOutput{EventBusArn: s.arn("event-bus/" + in.Name), Description: in.Description}, nil
}

type busInput struct{ Name string }

type describeEventBusOutput struct {
	Name, Arn                      string
	Description                    string `json:",omitempty"`
	Policy                         string `json:",omitempty"`
	CreationTime, LastModifiedTime float64
}

func (s *Server) describeEventBus(in *busInput) (*describeEventBusOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.findBus(in.Name)
	if err != nil {
		return nil, err
	}
	d := s.describeBus(b)
	return &d, nil
}

func (s *Server) describeBus(b *bus) describeEventBusOutput {
	created := seconds(b.created)
	return describeEventBusOutput{Name: b.name, Arn: s.arn("event-bus/" + b.name),
		Description: b.description, Policy: b.policy, CreationTime: created, LastModifiedTime: created}
}

func (s *Server) deleteEventBus(in *busInput) (nothing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buses[busNameOf(in.Name)]
	switch {
	case busNameOf(in.Name) == "default":
		return nothing{}, invalid("Cannot delete event bus default.")
	case b != nil && len(b.rules) > 0:
		return nothing{}, invalid("Cannot delete event bus %s since it has rules.", b.name)
	}
	delete(s.buses, busNameOf(in.Name)) // one that does not exist is deleted, too
	s.journal.remove(bucketBuses, busNameOf(in.Name))
	return nothing{}, nil
}

type ruleInput struct{ Name, EventBusName, EventPattern, State, ScheduleExpression, Description string }

type ruleOutput struct{ RuleArn string }

func (s *Server) putRule(in *ruleInput) (*ruleOutput, error) {
	switch {
	case !namePattern().MatchString(in.Name):
		return nil,
			invalid("1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+", in.Name)
	case in.EventPattern == "":
		return nil, invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	p, err := parsePattern(in.EventPattern)
	if err != nil {
		return nil, refuse("InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.findBus(in.EventBusName)
	if err != nil {
		return nil, err
	}
	r := b.rule(in.Name)
	if r == nil {
		r = &rule{name: in.Name}
		b.rules = append(b.rules, r)
	}
	r.text, r.pattern, r.enabled, r.description = in.EventPattern, p, in.State != "DISABLED", in.Description
	s.saveBus(b)
	return &ruleOutput{RuleArn: s.ruleARN(b, r)}, nil
}

func (s *Server) ruleARN(b *bus, r *rule) string {
	if b.name == "default" {
		return s.arn("rule/" + r.name)
	}
	return s.arn("rule/" + b.name + "/" + r.name)
}

func (b *bus) rule(name string) *rule {
	if i := slices.IndexFunc(b.rules, func(r *rule) bool { return r.name == name }); i >= 0 {
		return b.rules[i]
	}
	return nil
}

// findRule is called with s.mu locked.
func (s *Server) findRule(busName, name string) (*bus, *rule, error) {
	b, err := s.findBus(busName)
	if err != nil {
		return nil, nil, err
	}
	r := b.rule(name)
	if r == nil {
		return nil, nil, refuse("ResourceNotFoundException", "Rule %s does not exist on EventBus %s.", name,
			b.name)
	}
	return b, r, nil
}

func (s *Server) deleteRule(in *ruleInput) (nothing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.findBus(in.EventBusName)
	if err != nil {
		return nothing{}, err
	}
	if r := b.rule(in.Name); r != nil && len(r.targets) > 0 {
		return nothing{}, invalid("Rule can't be deleted since it has targets.")
	}
	b.rules = slices.DeleteFunc(b.rules, func(r *rule) bool { return r.name == in.Name })
	s.saveBus(b)
	return nothing{}, nil
}

func (s *Server) enableRule(in *ruleInput) (nothing, error)  { return s.setEnabled(in, true) }
func (s *Server) disableRule(in *ruleInput) (nothing, error) { return s.setEnabled(in, false) }

func (s *Server) setEnabled(in *ruleInput, to bool) (nothing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, r, err := s.findRule(in.EventBusName, in.Name)
	if err != nil {
		return nothing{}, err
	}
	r.enabled = to
	s.saveBus(b)
	return nothing{}, nil
}
