package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// mostRules bounds how many rules are looked at: a call each. A bus has 300 unless AWS was asked for more.
const mostRules = 2000

// checkBus looks at the bus, at who may put events on it, and at the rules to what else was given.
func (d *doctor) checkBus(ctx context.Context) {
	if d.elsewhere("bus", awscli.RegionOfARN(d.f.bus)) {
		return
	}
	out, err := d.aws.buses.DescribeEventBus(ctx, &awseventbridge.DescribeEventBusInput{Name: &d.f.bus})
	switch {
	case notFound(err):
		d.problem("bus", "check --bus and --region, or: aws events create-event-bus --name "+
			ui.ShellQuote(d.f.bus), "it does not exist in %s: AWS accepts events for it, and loses them",
			d.aws.region)
		return
	case err != nil:
		d.failed("bus", "events:DescribeEventBus", d.busResource(), err)
		return
	}
	d.ok("bus", "%s", aws.ToString(out.Arn))
	d.checkPublishers(aws.ToString(out.Policy))
	if d.queue != nil || d.function != nil {
		d.checkRules(ctx)
	}
}

// busResource is the bus in an IAM statement.
func (d *doctor) busResource() string { return d.aws.resource("events", "event-bus/", d.f.bus) }

// checkPublishers: other accounts may put events on the bus as its policy says. Consumers refuse
// forged events, but an account that may write every source can fill their quarantines.
func (d *doctor) checkPublishers(policy string) {
	const check = "bus policy"
	statements, err := parsePolicy(policy)
	if err != nil {
		d.unknown(check, "look at the bus's policy", "it could not be read: %v", err)
		return
	}
	before, others := len(d.findings), 0
	for i := range statements {
		s := &statements[i]
		if !s.allows("events:PutEvents") {
			continue
		}
		others++
		limited := len(s.demands("aws:PrincipalOrgID", "aws:PrincipalOrgPaths", "aws:PrincipalAccount",
			"aws:PrincipalArn", "aws:SourceArn", "aws:SourceAccount")) > 0
		switch {
		case s.anybody() && !limited:
			d.problem(check,
				"name the accounts as Principal, or add \"Condition\":{\"StringEquals\":{\"aws:PrincipalOrgID\":\"o-...\"}}", "anybody in AWS may put events on it%s", sid(s))
		case len(s.demands("events:source")) == 0:
			d.warning(check,
				`add "Condition":{"StringLike":{"events:source":"https://orders.example/*"}} to the statement`, "%s may put events of every source on it%s: consumers refuse them, but must look at each", s.who(), sid(s))
		}
	}
	switch {
	case len(d.findings) > before:
	case others == 0:
		d.ok(check, "only this account may put events")
	default:
		d.ok(check, "each of the others may put events of the sources that are named")
	}
}

func sid(s *policyStatement) string {
	if s.Sid == "" {
		return ""
	}
	return " (statement " + s.Sid + ")"
}

// target is a target of a rule that leads to the queue or the function.
type target struct {
	rule   types.Rule
	target types.Target
}

// checkRules looks at the rules that lead to the queue or the function.
func (d *doctor) checkRules(ctx context.Context) {
	targets, isAll, action, err := d.findTargets(ctx)
	if err != nil {
		d.failed("rule", action, d.busResource(), err)
		return
	}
	direct := false
	for i := range targets {
		d.checkTarget(ctx, &targets[i])
		direct = direct || d.function.is(aws.ToString(targets[i].target.Arn))
	}
	if direct {
		d.checkDirect(ctx)
	}
	if !isAll { // a rule that was not looked at is not known to be sound
		fix := "look at the others yourself: aws events list-rules --event-bus-name " + ui.ShellQuote(d.f.bus)
		d.unknown("rule", fix, "the bus has more than %d rules: the others were not looked at", mostRules)
		return
	}
	if len(targets) == 0 {
		to := ""
		if d.queue != nil {
			to = d.queue.arn
		} else {
			to = d.function.arn
		}
		d.problem("rule",
			fmt.Sprintf("aws events put-targets --event-bus-name %s --rule RULE --targets Id=1,Arn=%s",
				ui.ShellQuote(d.f.bus), ui.ShellQuote(to)), "no rule of the bus leads to %s", to)
	}
}

// findTargets asks for the targets of the rules, and says whether those are all rules of the bus. The action
// is the one that failed.
func (d *doctor) findTargets(ctx context.Context) (list []target, isAll bool, action string, err error) {
	in := &awseventbridge.ListRulesInput{EventBusName: &d.f.bus}
	for n := 0; n < mostRules; {
		out, err := d.aws.buses.ListRules(ctx, in)
		if err != nil {
			return nil, false, "events:ListRules", err
		}
		for _, r := range out.Rules {
			n++
			found, err := d.targetsOf(ctx, r)
			if err != nil {
				return nil, false, "events:ListTargetsByRule", err
			}
			list = append(list, found...)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return list, true, "", nil
		}
	}
	return list, false, "", nil
}

func (d *doctor) targetsOf(ctx context.Context, r types.Rule) (list []target, err error) {
	in := &awseventbridge.ListTargetsByRuleInput{Rule: r.Name, EventBusName: &d.f.bus}
	for {
		out, err := d.aws.buses.ListTargetsByRule(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, t := range out.Targets {
			arn := aws.ToString(t.Arn)
			if d.queue != nil && arn == d.queue.arn || d.function.is(arn) {
				list = append(list, target{r, t})
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return list, nil
		}
	}
}

func (d *doctor) checkTarget(ctx context.Context, t *target) {
	rule := aws.ToString(t.rule.Name)
	if t.rule.State == types.RuleStateDisabled {
		d.problem("rule", fmt.Sprintf("aws events enable-rule --event-bus-name %s --name %s",
			ui.ShellQuote(d.f.bus), ui.ShellQuote(rule)), "%s is disabled: its events are not delivered",
			rule)
	} else {
		a, _ := awscli.ParseARN(aws.ToString(t.target.Arn))
		d.ok("rule", "%s leads to %s", rule, a.Resource)
	}
	d.checkInput(rule, &t.target)
	d.checkRuleDeadLetters(ctx, rule, t)
}

// checkInput: a target gets the event as it is, or no signature can be verified.
func (d *doctor) checkInput(rule string, t *types.Target) {
	const fix = "remove Input, InputPath and InputTransformer from the target"
	switch path := aws.ToString(t.InputPath); {
	case t.Input != nil, t.InputTransformer != nil, path != "" && path != "$" && path != "$.detail":
		d.problem("rule", fix, "%s rewrites what it delivers: no signature in it can be verified", rule)
	case path == "$.detail":
		d.warning("rule", fix,
			"%s delivers the detail alone: the account that EventBridge writes beside it is lost", rule)
	}
}

// checkRuleDeadLetters: what EventBridge cannot deliver in 24 hours, or is not allowed to, is dropped without
// one.
func (d *doctor) checkRuleDeadLetters(ctx context.Context, rule string, t *target) {
	const check = "rule dead-letter queue"
	if t.target.DeadLetterConfig == nil || aws.ToString(t.target.DeadLetterConfig.Arn) == "" {
		d.problem(check, fmt.Sprintf("aws events put-targets --event-bus-name %s --rule %s --targets %s",
			ui.ShellQuote(d.f.bus), ui.ShellQuote(rule), ui.ShellQuote(withDeadLetters(t.target))),
			"%s has none: what cannot be delivered is lost", rule)
		return
	}
	where := aws.ToString(t.target.DeadLetterConfig.Arn)
	q, action, err := d.findQueue(ctx, where)
	if err != nil {
		d.queueFailed(check, action, where, "create the queue "+where, err)
		return
	}
	d.checkDeadLetterSender(check, rule, t, q)
}

// withDeadLetters is the target as `aws events put-targets` replaces it: as it is, and with a dead-letter
// queue.
func withDeadLetters(t types.Target) string {
	t.DeadLetterConfig = &types.DeadLetterConfig{Arn: aws.String("QUEUE-ARN")}
	doc, _ := json.Marshal(t) // of strings and numbers
	var members map[string]any
	_ = json.Unmarshal(doc, &members) // just written
	doc, _ = json.Marshal([]any{withoutNulls(members)})
	return string(doc)
}

func withoutNulls(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for name, member := range object {
		if member == nil {
			delete(object, name)
		} else {
			object[name] = withoutNulls(member)
		}
	}
	return object
}

func (d *doctor) checkDeadLetterSender(check, rule string, t *target, q *queueFacts) {
	statements, err := parsePolicy(q.policy)
	if err != nil {
		d.unknown(check, "look at the Policy of "+q.arn, "it could not be read: %v", err)
		return
	}
	for i := range statements {
		s := &statements[i]
		if s.allows("sqs:SendMessage") && (s.anybody() || strings.Contains(s.who(), "events.amazonaws.com")) {
			if q.waiting > 0 {
				d.warning(check, "aws sqs receive-message --queue-url "+ui.ShellQuote(q.url)+
					" --message-attribute-names All says why", "%s of %s could not be delivered",
					ui.Count(q.waiting, "event"), rule)
				return
			}
			d.ok(check, "%s sends what it cannot deliver to %s, none in it", rule, q.name())
			return
		}
	}
	d.problem(check,
		fmt.Sprintf(`add to the policy of %s: {"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}`,
			q.name(), q.arn, aws.ToString(t.rule.Arn)),
		"EventBridge may not send to %s: what %s cannot deliver is lost", q.name(), rule)
}
