package main

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
	"github.com/sealbus/sealbus/keys/trust"
)

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
		d := &doctor{f: &doctorFlags{bus: "central"}, aws: &doctorAWS{buses: rules},
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

// A producer that no key signs for is a problem, also among those that are not named one by one.
func TestDoctorManyProducers(t *testing.T) {
	b := newBench(t)
	var list []*trust.Key
	for i := range mostProducers + 1 {
		signer, err := keys.GenerateSigner(keys.Ed25519, fmt.Sprintf("p%02d", i))
		b.check(err)
		k := &trust.Key{Verifier: signer.Verifier(), Producer: signer.Producer(), Sources: []string{orderSource},
			Types: []string{"*"}}
		if k.Schedule.Retired = b.now.Add(time.Hour); i == mostProducers {
			k.Schedule.Retired = b.now.Add(-time.Hour)
		}
		list = append(list, k)
	}
	b.trust(list...)
	found, code := b.doctorTrust()
	told := found["producer keys"]
	last := told[len(told)-1]
	const want = "and 1 producer more; for 1 of them no key signs now"
	if last.Status != statusProblem || last.Cause != want || code != exitDue {
		t.Errorf("%d findings, exit %d: %s %q, want %q", len(told), code, last.Status, last.Cause, want)
	}
}
