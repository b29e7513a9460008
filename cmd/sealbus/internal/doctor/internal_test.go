package doctor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/keys"
)

// TestDoctorInput: a target that gets something else than the event.
func TestDoctorInput(t *testing.T) {
	for _, c := range []struct {
		target types.Target
		want   string
	}{
		{types.Target{}, ""},
		{types.Target{InputPath: aws.String("$")}, ""},
		{types.Target{InputPath: aws.String("$.detail")}, statusWarning},
		{types.Target{InputPath: aws.String("$.detail.data")}, statusProblem},
		{types.Target{Input: aws.String("{}")}, statusProblem},
		{types.Target{InputTransformer: &types.InputTransformer{}}, statusProblem},
	} {
		d := &doctor{}
		d.checkInput("r", &c.target)
		if len(d.findings) == 0 && c.want == "" {
			continue
		}
		if len(d.findings) != 1 || d.findings[0].Status != c.want {
			t.Errorf("%+v: %+v", c.target, d.findings)
		}
	}
}

func TestDoctorClock(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for off, want := range map[time.Duration]string{
		0: statusOK, 20 * time.Second: statusOK, -20 * time.Second: statusOK, time.Minute: statusWarning,
		-time.Minute:    statusWarning,
		6 * time.Minute: statusProblem, -6 * time.Minute: statusProblem,
	} {
		d := &doctor{}
		d.checkClock(now.Add(-off), now, now.Add(time.Second))
		if f := d.findings[0]; f.Status != want || want != statusOK &&
			strings.Contains(f.Cause, "ahead") != (off > 0) {
			t.Errorf("%v: %+v", off, f)
		}
	}
	d := &doctor{}
	d.checkClock(time.Time{}, now, now)
	if d.findings[0].Status != statusUnknown {
		t.Errorf("%+v", d.findings)
	}
}

// manyRules is a bus with so many rules that lead nowhere, in pages of a hundred.
type manyRules int

func (m manyRules) DescribeEventBus(context.Context, *awseventbridge.DescribeEventBusInput,
	...func(*awseventbridge.Options)) (*awseventbridge.DescribeEventBusOutput, error) {
	return &awseventbridge.DescribeEventBusOutput{}, nil
}

func (m manyRules) ListRules(_ context.Context, in *awseventbridge.ListRulesInput,
	_ ...func(*awseventbridge.Options)) (*awseventbridge.ListRulesOutput, error) {
	var from int
	if _, err := fmt.Sscan(aws.ToString(in.NextToken), &from); in.NextToken != nil && err != nil {
		return nil, err
	}
	out := &awseventbridge.ListRulesOutput{}
	for i := from; i < min(from+100, int(m)); i++ {
		out.Rules = append(out.Rules, types.Rule{Name: aws.String(fmt.Sprint("rule-", i))})
	}
	if from+100 < int(m) {
		out.NextToken = aws.String(fmt.Sprint(from + 100))
	}
	return out, nil
}

func (m manyRules) ListTargetsByRule(context.Context, *awseventbridge.ListTargetsByRuleInput,
	...func(*awseventbridge.Options)) (*awseventbridge.ListTargetsByRuleOutput, error) {
	return &awseventbridge.ListTargetsByRuleOutput{}, nil
}

// Rules beyond the limit are not known to be sound, nor is it known that none of them leads to the queue.
func TestDoctorManyRules(t *testing.T) {
	for rules, want := range map[manyRules]string{
		mostRules:     statusProblem + " no rule of the bus leads to arn:queue",
		mostRules + 1: statusUnknown + " the bus has more than 2000 rules: the others were not looked at",
	} {
		d := &doctor{f: &doctorFlags{bus: "central"}, aws: &awsClients{buses: rules},
			queue: &queueFacts{arn: "arn:queue"}}
		d.checkRules(t.Context())
		var got []string
		for _, f := range d.findings {
			got = append(got, f.Status+" "+f.Cause)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%d rules: %q, want %q", rules, got, want)
		}
	}
}

func TestSignsUntil(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	days := func(n int) time.Time { return now.Add(time.Duration(n) * 24 * time.Hour) }
	for name, c := range map[string]struct {
		schedules []*keys.Schedule
		want      time.Time
		found     bool
	}{
		"none":        {nil, now, false},
		"without end": {[]*keys.Schedule{{}}, time.Time{}, true},
		"retires":     {[]*keys.Schedule{{Retired: days(3)}}, days(3), true},
		"expires":     {[]*keys.Schedule{{Expired: days(4)}}, days(4), true},
		"not yet":     {[]*keys.Schedule{{Active: days(1)}}, now, false},
		"no longer":   {[]*keys.Schedule{{Retired: days(-1)}}, now, false},
		"a successor": {[]*keys.Schedule{{Retired: days(3)}, {Active: days(2)}}, time.Time{}, true},
		"seamless": {[]*keys.Schedule{{Active: days(3), Retired: days(9)}, {Retired: days(3)}},
			days(9), true},
		"a gap": {[]*keys.Schedule{{Retired: days(3)}, {Active: days(4)}}, days(3), true},
		"three in a row": {[]*keys.Schedule{{Active: days(5), Retired: days(8)},
			{Active: days(2), Retired: days(6)}, {Retired: days(3)}}, days(8), true},
		"one in another":    {[]*keys.Schedule{{Retired: days(9)}, {Retired: days(3)}}, days(9), true},
		"ends this instant": {[]*keys.Schedule{{Retired: now}}, now, false},
	} {
		if got, found := signsUntil(c.schedules, now); !got.Equal(c.want) || found != c.found {
			t.Errorf("%s: %v %v", name, got, found)
		}
	}
}
