package localaws_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/sealbus/sealbus/internal/localaws"
)

func newLambdaClient(url string) *lambda.Client {
	return lambda.New(lambda.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(url), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}

// TestFunctionsAreDescribed: what doctor reads of a function, by its name or its ARN.
func TestFunctionsAreDescribed(t *testing.T) {
	q := newQueues(t, nil)
	_, queue := q.create("q", nil)
	client := newLambdaClient(q.server.URL())
	arn := q.server.SetFunction("orders", localaws.FunctionConfig{
		Timeout: 30 * time.Second, Environment: map[string]string{"A": "b"}, DeadLetterARN: queue,
		Policy: `{"Statement":[]}`, Reserved: aws.Int(0),
		Invoke: &localaws.InvokeConfig{Retries: 1, MaxEventAge: time.Hour, OnFailure: queue},
	})
	for _, name := range []string{"orders", arn, arn + ":live", "orders:1"} {
		got, err := client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String(name)})
		q.check(err)
		if c := got.Configuration; *c.FunctionArn != arn || *c.Timeout != 30 ||
			c.Environment.Variables["A"] != "b" || *c.DeadLetterConfig.TargetArn != queue ||
			c.State != types.StateActive || c.LastUpdateStatus != types.LastUpdateStatusSuccessful ||
			*got.Concurrency.ReservedConcurrentExecutions != 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	invoke, err := client.GetFunctionEventInvokeConfig(t.Context(),
		&lambda.GetFunctionEventInvokeConfigInput{FunctionName: aws.String("orders")})
	q.check(err)
	if *invoke.MaximumRetryAttempts != 1 || *invoke.MaximumEventAgeInSeconds != 3600 ||
		*invoke.DestinationConfig.OnFailure.Destination != queue ||
		!invoke.LastModified.Equal(q.clock.now()) {
		t.Errorf("invoke config %+v", invoke)
	}
	list, err := client.ListFunctionEventInvokeConfigs(t.Context(),
		&lambda.ListFunctionEventInvokeConfigsInput{FunctionName: aws.String("orders")})
	q.check(err)
	if len(list.FunctionEventInvokeConfigs) != 1 ||
		*list.FunctionEventInvokeConfigs[0].MaximumRetryAttempts != 1 {
		t.Errorf("invoke configs %+v", list)
	}
	policy, err := client.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: aws.String("orders")})
	q.check(err)
	if *policy.Policy != `{"Statement":[]}` {
		t.Errorf("policy %s", *policy.Policy)
	}
}

// TestFunctionNotFound: what was not set up is not there.
func TestFunctionNotFound(t *testing.T) {
	w := newWorld(t,
		&localaws.Options{Deny: func(action string) bool { return action == "ListEventSourceMappings" }})
	client := newLambdaClient(w.server.URL())
	w.server.SetFunction("plain", localaws.FunctionConfig{})
	missing, plain := aws.String("missing"), aws.String("plain")
	calls := map[string]func() error{
		"function": func() error {
			_, err := client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: missing})
			return err
		},
		"invoke config": func() error {
			_, err := client.GetFunctionEventInvokeConfig(t.Context(),
				&lambda.GetFunctionEventInvokeConfigInput{FunctionName: plain})
			return err
		},
		"policy": func() error {
			_, err := client.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: plain})
			return err
		},
		"invoke configs": func() error {
			_, err := client.ListFunctionEventInvokeConfigs(t.Context(),
				&lambda.ListFunctionEventInvokeConfigsInput{FunctionName: missing})
			return err
		},
	}
	for name, call := range calls {
		if err := call(); codeOf(err) != "ResourceNotFoundException" {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := client.ListFunctionEventInvokeConfigs(t.Context(),
		&lambda.ListFunctionEventInvokeConfigsInput{FunctionName: plain})
	if err != nil || len(list.FunctionEventInvokeConfigs) != 0 {
		t.Errorf("no invoke configs: %v, %v", list, err)
	}
	if _, err := client.ListEventSourceMappings(t.Context(),
		&lambda.ListEventSourceMappingsInput{}); codeOf(err) != "AccessDeniedException" {
		t.Errorf("denied: %v", err)
	}
}

func TestListMappings(t *testing.T) {
	q := newQueues(t, nil)
	_, one := q.create("one", nil)
	_, two := q.create("two", nil)
	q.check(q.server.MapQueue(one, "f", nil, &localaws.Mapping{BatchSize: 5, Concurrency: 7,
		ReportBatchItemFailures: true, Window: 3 * time.Second, Filter: `{"body":{}}`}))
	q.check(q.server.MapQueue(two, "f", nil, &localaws.Mapping{Disabled: true}))
	q.check(q.server.MapQueue(two, "g", nil, nil))
	client := newLambdaClient(q.server.URL())
	list := func(in *lambda.ListEventSourceMappingsInput) []types.EventSourceMappingConfiguration {
		out, err := client.ListEventSourceMappings(t.Context(), in)
		q.check(err)
		return out.EventSourceMappings
	}
	all := list(&lambda.ListEventSourceMappingsInput{})
	ofF := list(&lambda.ListEventSourceMappingsInput{FunctionName: aws.String("f")})
	ofTwo := list(&lambda.ListEventSourceMappingsInput{EventSourceArn: aws.String(two)})
	if len(all) != 3 || len(ofF) != 2 || len(ofTwo) != 2 {
		t.Fatalf("%d, %d, %d mappings", len(all), len(ofF), len(ofTwo))
	}
	first, second := all[0], all[1]
	if *first.EventSourceArn != one || *first.BatchSize != 5 ||
		*first.ScalingConfig.MaximumConcurrency != 7 || len(first.FunctionResponseTypes) != 1 ||
		*first.State != "Enabled" || *first.MaximumBatchingWindowInSeconds != 3 ||
		*first.FilterCriteria.Filters[0].Pattern != `{"body":{}}` {
		t.Errorf("first %+v", first)
	}
	if *second.State != "Disabled" || len(second.FunctionResponseTypes) != 0 ||
		second.FilterCriteria != nil || *second.BatchSize != 10 {
		t.Errorf("second %+v", second)
	}
}

func TestCallerIdentity(t *testing.T) {
	var denied bool
	c := newClock()
	w := newWorld(t, &localaws.Options{Account: account, Now: c.now,
		Deny: func(string) bool { return denied }})
	client := sts.New(sts.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(w.server.URL()), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
	got, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	w.check(err)
	if *got.Account != account || *got.Arn != "arn:aws:iam::"+account+":user/test" || *got.UserId == "" {
		t.Errorf("got %v", got)
	}
	denied = true
	if _, err := client.GetCallerIdentity(t.Context(),
		&sts.GetCallerIdentityInput{}); codeOf(err) != "AccessDenied" {
		t.Errorf("denied: %v", err)
	}
}

// TestAnswersHaveTheTimeOfTheClock: every answer has the time of the injected clock, by which a client
// notices that its own is wrong.
func TestAnswersHaveTheTimeOfTheClock(t *testing.T) {
	c := newClock()
	w := newWorld(t, &localaws.Options{Now: c.now})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL(), nil)
	w.check(err)
	resp, err := http.DefaultClient.Do(req)
	w.check(err)
	resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err != nil || !at.Equal(c.now()) {
		t.Errorf("Date: %s", resp.Header.Get("Date"))
	}
}
