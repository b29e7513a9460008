package localaws_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// ruleTo puts a rule with a target.
func (w *world) ruleTo(name string, target types.Target) error {
	w.t.Helper()
	_, err := w.client.PutRule(w.t.Context(), &eventbridge.PutRuleInput{Name: aws.String(name),
		EventPattern: aws.String(`{"source":["` + command + `"]}`)})
	w.check(err)
	target.Id = aws.String("1")
	_, err = w.client.PutTargets(w.t.Context(), &eventbridge.PutTargetsInput{Rule: aws.String(name),
		Targets: []types.Target{target}})
	return err
}

// TestQueueTarget: a queue gets the event as it is, a FIFO queue under the group of its target.
func TestQueueTarget(t *testing.T) {
	q := newQueues(t, nil)
	url, arn := q.create("q", nil)
	fifo, fifoARN := q.create("q.fifo", map[string]string{"FifoQueue": "true",
		"ContentBasedDeduplication": "true"})
	q.check(q.ruleTo("standard", types.Target{Arn: aws.String(arn)}))
	if err := q.ruleTo("fifo", types.Target{Arn: aws.String(fifoARN)}); codeOf(err) != "ValidationException" {
		t.Errorf("a FIFO queue without a group: %v", err)
	}
	q.check(q.ruleTo("fifo", types.Target{Arn: aws.String(fifoARN),
		SqsParameters: &types.SqsParameters{MessageGroupId: aws.String("orders")}}))
	q.put(entry(`{ "a" : 1.50 }`))
	for _, u := range []string{url, fifo} {
		got := q.receive(u)
		if len(got) != 1 || !strings.HasSuffix(*got[0].Body, `"detail":{ "a" : 1.50 }}`) {
			t.Fatalf("%s got %q", u, bodies(got))
		}
		if group := got[0].Attributes["MessageGroupId"]; (group == "orders") != (u == fifo) {
			t.Errorf("%s: group %q", u, group)
		}
	}
}

// TestRuleDeadLetter: what a target does not take goes to its dead-letter queue, which is told why.
func TestRuleDeadLetter(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(endpoint.Close)
	for name, c := range map[string]struct {
		retries, maxAge *int32
		missing         bool
		want            map[string]string
	}{
		"retries": {retries: aws.Int32(2),
			want: map[string]string{"EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
				"RETRY_ATTEMPTS": "2", "ERROR_CODE": "SDK_CLIENT_ERROR"}},
		"age": {maxAge: aws.Int32(60),
			want: map[string]string{"EXHAUSTED_RETRY_CONDITION": "MaximumEventAgeInSeconds",
				"ERROR_CODE": "SDK_CLIENT_ERROR"}},
		"no queue": {missing: true, want: map[string]string{"EXHAUSTED_RETRY_CONDITION": "",
			"ERROR_CODE": "NO_RESOURCE"}},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueues(t, &localaws.Options{Delivery: localaws.Delivery{Retry: true}})
			dead, deadARN := q.create("dead", nil)
			target := types.Target{Arn: aws.String(q.server.Endpoint("partner", endpoint.URL)),
				DeadLetterConfig: &types.DeadLetterConfig{Arn: aws.String(deadARN)}}
			if c.missing {
				target.Arn = aws.String(deadARN + "-missing")
			} else {
				target.RetryPolicy = &types.RetryPolicy{MaximumRetryAttempts: c.retries,
					MaximumEventAgeInSeconds: c.maxAge}
			}
			q.check(q.ruleTo("r", target))
			_, err := q.client.PutEvents(t.Context(),
				&eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{entry(`{"a":1}`)}})
			q.check(err)
			if c.maxAge != nil {
				q.clock.move(time.Minute)
			}
			q.drain()
			got := q.receive(dead)
			if len(got) != 1 || !strings.HasSuffix(*got[0].Body, `"detail":{"a":1}}`) {
				t.Fatalf("the dead-letter queue has %q", bodies(got))
			}
			c.want["TARGET_ARN"], c.want["RULE_ARN"] = *target.Arn,
				"arn:aws:events:us-east-1:000000000000:rule/r"
			for name, want := range c.want {
				if value := aws.ToString(got[0].MessageAttributes[name].StringValue); value != want {
					t.Errorf("%s is %q, want %q", name, value, want)
				}
			}
		})
	}
}

func TestTargetsRefused(t *testing.T) {
	q := newQueues(t, nil)
	_, arn := q.create("q", nil)
	for name, target := range map[string]types.Target{
		"no ARN":          {Arn: aws.String("queue")},
		"unknown service": {Arn: aws.String("arn:aws:sns:us-east-1:000000000000:topic")},
		"FIFO for what failed": {Arn: aws.String(arn),
			DeadLetterConfig: &types.DeadLetterConfig{Arn: aws.String(arn + ".fifo")}},
	} {
		if err := q.ruleTo("r", target); codeOf(err) != "ValidationException" {
			t.Errorf("%s: %v", name, err)
		}
	}
	listed, err := q.client.ListTargetsByRule(t.Context(),
		&eventbridge.ListTargetsByRuleInput{Rule: aws.String("r")})
	q.check(err)
	if len(listed.Targets) != 0 {
		t.Errorf("targets %v", listed.Targets)
	}
}

// TestListingHasPages: rules and targets as they were put, in pages.
func TestListingHasPages(t *testing.T) {
	q := newQueues(t, nil)
	_, arn := q.create("q", nil)
	target := types.Target{
		Arn: aws.String(arn), RoleArn: aws.String("arn:aws:iam::000000000000:role/r"),
		DeadLetterConfig: &types.DeadLetterConfig{Arn: aws.String(arn)},
		RetryPolicy: &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(0),
			MaximumEventAgeInSeconds: aws.Int32(60)},
		SqsParameters: &types.SqsParameters{MessageGroupId: aws.String("g")},
	}
	for _, name := range []string{"a1", "b1", "b2"} {
		q.check(q.ruleTo(name, target))
	}
	first, err := q.client.ListRules(t.Context(), &eventbridge.ListRulesInput{NamePrefix: aws.String("b"),
		Limit: aws.Int32(1)})
	q.check(err)
	second, err := q.client.ListRules(t.Context(),
		&eventbridge.ListRulesInput{NamePrefix: aws.String("b"), Limit: aws.Int32(1),
			NextToken: first.NextToken})
	q.check(err)
	if len(first.Rules) != 1 || len(second.Rules) != 1 || *first.Rules[0].Name != "b1" ||
		*second.Rules[0].Name != "b2" || second.NextToken != nil {
		t.Errorf("listed %v, %v", first.Rules, second.Rules)
	}
	described, err := q.client.DescribeRule(t.Context(),
		&eventbridge.DescribeRuleInput{Name: aws.String("b1")})
	q.check(err)
	if *described.EventPattern != `{"source":["`+command+`"]}` || described.State != types.RuleStateEnabled ||
		*described.Arn != *first.Rules[0].Arn {
		t.Errorf("described %v", described)
	}
	listed, err := q.client.ListTargetsByRule(t.Context(),
		&eventbridge.ListTargetsByRuleInput{Rule: aws.String("b1")})
	q.check(err)
	target.Id = aws.String("1")
	got, err := json.Marshal(listed.Targets)
	q.check(err)
	want, err := json.Marshal([]types.Target{target})
	q.check(err)
	if string(got) != string(want) {
		t.Errorf("targets %s\nwant %s", got, want)
	}
	if _, err := q.client.ListRules(t.Context(),
		&eventbridge.ListRulesInput{EventBusName: aws.String("missing")}); codeOf(err) != "ResourceNotFoundException" {
		t.Errorf("rules of a bus that does not exist: %v", err)
	}
}

func TestBusPolicy(t *testing.T) {
	w := newWorld(t, nil)
	const policy = `{"Version":"2012-10-17","Statement":[]}`
	_, err := w.client.PutPermission(t.Context(), &eventbridge.PutPermissionInput{Policy: aws.String(policy)})
	w.check(err)
	got, err := w.client.DescribeEventBus(t.Context(), &eventbridge.DescribeEventBusInput{})
	w.check(err)
	if aws.ToString(got.Policy) != policy {
		t.Errorf("policy %s", aws.ToString(got.Policy))
	}
	if _, err := w.client.PutPermission(t.Context(),
		&eventbridge.PutPermissionInput{Policy: aws.String("{")}); codeOf(err) != "ValidationException" {
		t.Errorf("a policy that is none: %v", err)
	}
}

// TestFunctionDestination: what a function does not take goes to its destination, as many times as it was
// told to try.
func TestFunctionDestination(t *testing.T) {
	q := newQueues(t, &localaws.Options{Delivery: localaws.Delivery{Retry: true}})
	dead, deadARN := q.create("dead", nil)
	calls := 0
	arn := q.server.Function("f", failing(&calls))
	q.server.SetFunction("f", localaws.FunctionConfig{Invoke: &localaws.InvokeConfig{Retries: 1,
		OnFailure: deadARN}})
	q.check(q.ruleTo("r", types.Target{Arn: aws.String(arn),
		DeadLetterConfig: &types.DeadLetterConfig{Arn: aws.String(deadARN)}}))
	q.put(entry(`{"a":1}`))
	var got []sqstypes.Message
	if got = q.receive(dead); len(got) != 1 || calls != 2 {
		t.Fatalf("%d calls, %q", calls, bodies(got))
	}
	var record struct {
		RequestContext struct {
			FunctionArn, Condition string
			ApproximateInvokeCount int
		}
		RequestPayload  struct{ Detail json.RawMessage }
		ResponsePayload struct{ ErrorMessage string }
	}
	q.check(json.Unmarshal([]byte(*got[0].Body), &record))
	if c := record.RequestContext; c.FunctionArn != arn+":$LATEST" || c.Condition != "RetriesExhausted" ||
		c.ApproximateInvokeCount != 2 ||
		string(record.RequestPayload.Detail) != `{"a":1}` || record.ResponsePayload.ErrorMessage != "failed" {
		t.Errorf("record %s", *got[0].Body)
	}
}
