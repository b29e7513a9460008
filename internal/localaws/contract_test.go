package localaws_test

import (
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"
)

// TestContract is what sealbus relies on. It runs against the fake, or against whatever
// AWS_ENDPOINT_URL_EVENTBRIDGE names: an emulator, or the service itself through a proxy that signs.
func TestContract(t *testing.T) {
	if url := os.Getenv("AWS_ENDPOINT_URL_EVENTBRIDGE"); url != "" {
		playContract(t, url)
		return
	}
	for _, kind := range []string{"all", keptWorld + "all"} {
		t.Run(kind, func(t *testing.T) { playContract(t, newWorld(t, nil).server.URL()) })
	}
}

func playContract(t *testing.T, url string) {
	c := &contract{client: newClient(url), bus: "sealbus-contract-" + strings.ToLower(rand.Text()[:10])}
	t.Run("bus", c.lifeOfABus)
	t.Run("entries", c.entries)
	t.Run("calls", c.calls)
	t.Run("rules", c.rules)
}

type contract struct {
	client *eventbridge.Client
	bus    string
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func (c *contract) lifeOfABus(t *testing.T) {
	name, describe := aws.String(c.bus), &eventbridge.DescribeEventBusInput{Name: aws.String(c.bus)}
	if _, err := c.client.DescribeEventBus(t.Context(),
		describe); codeOf(err) != "ResourceNotFoundException" {
		t.Errorf("a bus that does not exist: %v", err)
	}
	made, err := c.client.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: name})
	if err != nil || !strings.HasSuffix(aws.ToString(made.EventBusArn), ":event-bus/"+c.bus) {
		t.Fatalf("creating: %v, %v", made, err)
	}
	if _, err := c.client.CreateEventBus(t.Context(),
		&eventbridge.CreateEventBusInput{Name: name}); codeOf(err) != "ResourceAlreadyExistsException" {
		t.Errorf("creating it twice: %v", err)
	}
	for _, by := range []*string{name, made.EventBusArn} {
		got, err := c.client.DescribeEventBus(t.Context(), &eventbridge.DescribeEventBusInput{Name: by})
		if err != nil || aws.ToString(got.Name) != c.bus || aws.ToString(got.Arn) != *made.EventBusArn {
			t.Errorf("described by %s: %v, %v", *by, got, err)
		}
	}
	for range 2 {
		if _, err := c.client.DeleteEventBus(t.Context(),
			&eventbridge.DeleteEventBusInput{Name: name}); err != nil {
			t.Errorf("deleting: %v", err)
		}
	}
	if _, err := c.client.DescribeEventBus(t.Context(),
		describe); codeOf(err) != "ResourceNotFoundException" {
		t.Errorf("after it was deleted: %v", err)
	}
}

// entries: each has an answer of its own, in order, under a status of 200.
func (c *contract) entries(t *testing.T) {
	missing := entry(`{}`)
	missing.EventBusName = aws.String(c.bus + "-missing")
	noType := entry(`{}`)
	noType.DetailType = nil
	list := []types.PutEventsRequestEntry{entry(`{"a":1}`), entry(`[1]`), noType, missing, entry(`{"a":`),
		entry(`{"a":2}`)}
	out, err := c.client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: list})
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ids := map[string]bool{}
	for _, r := range out.Entries {
		codes = append(codes, aws.ToString(r.ErrorCode))
		ids[aws.ToString(r.EventId)] = true
	}
	if want := []string{"", "MalformedDetail", "InvalidArgument", "", "MalformedDetail",
		""}; !slices.Equal(codes, want) || out.FailedEntryCount != 3 {
		t.Errorf("codes %q, %d failed; want %q", codes, out.FailedEntryCount, want)
	}
	if len(ids) != 4 { // three, and "" of those that failed
		t.Errorf("event IDs %v", ids)
	}
}

// calls: what is wrong with the request as a whole fails all of it.
func (c *contract) calls(t *testing.T) {
	half := entry(`{"a":"` + strings.Repeat("x", 512<<10) + `"}`)
	for name, list := range map[string][]types.PutEventsRequestEntry{
		"none": {}, "eleven": slices.Repeat([]types.PutEventsRequestEntry{entry(`{}`)}, 11),
		"too large together": {half, half},
	} {
		if out, err := c.client.PutEvents(t.Context(),
			&eventbridge.PutEventsInput{Entries: list}); codeOf(err) != "ValidationException" {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}

func (c *contract) rules(t *testing.T) {
	put := func(bus, pattern string) error {
		_, err := c.client.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: aws.String("rule"),
			EventBusName: aws.String(bus), EventPattern: aws.String(pattern)})
		return err
	}
	if err := put(c.bus+"-missing", `{"source":["a"]}`); codeOf(err) != "ResourceNotFoundException" {
		t.Errorf("on a bus that does not exist: %v", err)
	}
	bus := c.bus + "-rules"
	if _, err := c.client.CreateEventBus(t.Context(),
		&eventbridge.CreateEventBusInput{Name: aws.String(bus)}); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{`{"source":"a"}`, `{"source":[]}`, `{`, `[]`,
		`{"source":[{"nearly":"a"}]}`} {
		if err := put(bus, pattern); codeOf(err) != "InvalidEventPatternException" {
			t.Errorf("pattern %s: %v", pattern, err)
		}
	}
	if err := put(bus,
		`{"source":["a",{"prefix":"b"}],"detail":{"n":[{"numeric":[">",0,"<=",5]}],"k":[{"exists":false}],"s":[{"anything-but":["x"]}]}}`); err != nil {
		t.Error(err)
	}
	_, err := c.client.PutTargets(t.Context(), &eventbridge.PutTargetsInput{
		Rule: aws.String("missing"), EventBusName: aws.String(bus),
		Targets: []types.Target{{Id: aws.String("1"),
			Arn: aws.String("arn:aws:lambda:us-east-1:000000000000:function:f")}},
	})
	if codeOf(err) != "ResourceNotFoundException" {
		t.Errorf("targets of a rule that does not exist: %v", err)
	}
	if _, err := c.client.DeleteRule(t.Context(), &eventbridge.DeleteRuleInput{Name: aws.String("rule"),
		EventBusName: aws.String(bus)}); err != nil {
		t.Error(err)
	}
	if _, err := c.client.DeleteEventBus(t.Context(),
		&eventbridge.DeleteEventBusInput{Name: aws.String(bus)}); err != nil {
		t.Error(err)
	}
}
