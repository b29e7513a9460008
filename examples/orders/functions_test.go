package orders_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/localaws"
)

func TestMain(m *testing.M) { orderstest.Main(m) }

const (
	billing  = "examples/orders/billing"
	mailer   = "examples/orders/mailer"
	producer = "examples/orders/producer"
)

func order(id, total string) map[string]any {
	return map[string]any{"order": id, "total": json.Number(total), "currency": "EUR"}
}

func edited(t *testing.T, delivered []byte, old, new string) []byte {
	t.Helper()
	changed := bytes.Replace(delivered, []byte(old), []byte(new), 1)
	if bytes.Equal(changed, delivered) {
		t.Fatalf("%s has no %q", delivered, old)
	}
	return changed
}

// invoke invokes a consumer behind a queue, and returns the messages that are to come again.
func invoke(t *testing.T, f *orderstest.Function, bodies ...[]byte) (failed int, err error) {
	t.Helper()
	answer, err := f.Invoke(t.Context(), awslambdatest.SQS(t, bodies...))
	if err != nil {
		return len(bodies), err
	}
	var response struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return len(response.BatchItemFailures), nil
}

func TestBilling(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(billing, w.ConsumerEnv())
	genuine := w.Delivered("o-1", order("o-1", "12.50"))
	forged := edited(t, w.Delivered("o-2", order("o-2", "1")), `"total":1`, `"total":0`)
	if failed, err := invoke(t, f, genuine, forged); failed > 0 || err != nil {
		t.Fatalf("%d of the first batch are to come again: %v\n%s", failed, err, f.Log())
	}
	if failed, err := invoke(t, f, genuine); failed > 0 || err != nil {
		t.Fatalf("a duplicate is to come again: %v\n%s", err, f.Log())
	}
	charges := w.Tables.Charges("order")
	if len(charges) != 1 || !slices.Contains(slices.Collect(maps.Values(charges)), "o-1") {
		t.Errorf("charged are %v", charges)
	}
	for _, total := range w.Tables.Charges("total") {
		if total != "12.5" {
			t.Errorf("the charge is %s", total)
		}
	}
	if got, want := w.Reasons("billing"),
		map[envelope.Reason]int{envelope.ReasonModified: 1}; !maps.Equal(got, want) {
		t.Errorf("in quarantine: %v, not %v", got, want)
	}
	if strings.Count(f.Log(), "charged now: true") != 1 {
		t.Errorf("the handler was not called once:\n%s", f.Log())
	}
	if !strings.Contains(f.Log(), `"Consumer":"billing"`) || !strings.Contains(f.Log(), `"ReplayHits":1`) {
		t.Errorf("no metrics:\n%s", f.Log())
	}
}

// TestPublishedAgain: the shop published an order again a minute later. The record of the first one is kept
// for the second one, too.
func TestPublishedAgain(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(billing, w.ConsumerEnv())
	for _, age := range []time.Duration{time.Minute, 0, time.Minute} {
		delivered := w.DeliveredAt(time.Now().Add(-age), "o-1", order("o-1", "12.50"))
		if failed, err := invoke(t, f, delivered); failed > 0 || err != nil {
			t.Fatalf("signed %v ago: %d, %v\n%s", age, failed, err, f.Log())
		}
	}
	if n := len(w.Tables.Charges("order")); n != 1 {
		t.Errorf("%d charges", n)
	}
}

// TestReopened: what is in quarantine comes to the queue as a record, and is judged by what is true then.
func TestReopened(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(billing, w.ConsumerEnv())
	unfit := w.Delivered("o-1", map[string]any{"order": "o-1", "currency": "EUR"}) // without an amount
	if failed, err := invoke(t, f, unfit); failed > 0 || err != nil {
		t.Fatalf("%d: %v\n%s", failed, err, f.Log())
	}
	refused := w.Refused("billing")
	if len(refused) != 1 || refused[0].Record.Reason != envelope.ReasonSchemaInvalid {
		t.Fatalf("in quarantine: %v", refused)
	}
	if failed, err := invoke(t, f, refused[0].Document); failed > 0 || err != nil {
		t.Fatalf("reopened: %d, %v\n%s", failed, err, f.Log())
	}
	if n := len(w.Tables.Charges("order")); n > 0 {
		t.Errorf("%d charges", n)
	}
	if got := w.Reasons("billing"); got[envelope.ReasonSchemaInvalid] != 2 || len(got) != 1 {
		t.Errorf("the record was not judged as the event in it: %v\n%s", got, f.Log())
	}
}

// TestOutage: while the replay store is down nothing is charged and nothing is lost.
func TestOutage(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(billing, w.ConsumerEnv())
	genuine := w.Delivered("o-1", order("o-1", "12.50"))
	w.Tables.SetDown(true)
	if failed, err := invoke(t, f, genuine); failed != 1 {
		t.Fatalf("%d are to come again, %v: the store is down", failed, err)
	}
	w.Tables.SetDown(false)
	if failed, err := invoke(t, f, genuine); failed > 0 || err != nil {
		t.Fatalf("%d: %v\n%s", failed, err, f.Log())
	}
	if n := len(w.Tables.Charges("order")); n != 1 {
		t.Errorf("%d charges", n)
	}
	if n := len(w.Refused("billing")); n > 0 {
		t.Errorf("%d in quarantine", n)
	}
}

// TestNoStartWithout: a function that lacks something does not start, rather than do without.
func TestNoStartWithout(t *testing.T) {
	w := orderstest.New(t, nil)
	for _, lacking := range w.ConsumerEnv() {
		name, _, _ := strings.Cut(lacking, "=")
		env := slices.DeleteFunc(w.ConsumerEnv(), func(v string) bool { return v == lacking })
		if _, err := w.TryStart(billing, env); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	w.PutBundle(nil)
	if _, err := w.TryStart(billing, w.ConsumerEnv()); err == nil {
		t.Error("without a bundle it starts")
	}
}

func TestMailer(t *testing.T) {
	w := orderstest.New(t, nil)
	f := w.Start(mailer, w.ConsumerEnv())
	genuine := w.Delivered("o-1", order("o-1", "12.50"))
	w.Tables.SetDown(true)
	if _, err := f.Invoke(t.Context(), genuine); err == nil {
		t.Fatal("the store is down, and Lambda is told that all is well: the event is gone")
	}
	w.Tables.SetDown(false)
	for _, delivered := range [][]byte{genuine, genuine,
		edited(t, genuine, outerSource, `"source":"https://orders.example/us"`)} {
		if _, err := f.Invoke(t.Context(), delivered); err != nil {
			t.Fatalf("%v\n%s", err, f.Log())
		}
	}
	if strings.Count(f.Log(), `order "o-1": confirmed`) != 1 {
		t.Errorf("not confirmed once:\n%s", f.Log())
	}
	if got, want := w.Reasons("mailer"),
		map[envelope.Reason]int{envelope.ReasonEnvelopeMismatch: 1}; !maps.Equal(got, want) {
		t.Errorf("in quarantine: %v, not %v", got, want)
	}
	// A line of its own in the log would be metrics to CloudWatch: a producer could silence the alarms.
	forged := "o\n" + `{"_aws":{"forged":true}}`
	if _, err := f.Invoke(t.Context(), w.Delivered("o-9", order(forged, "1"))); err != nil ||
		strings.Contains(f.Log(), "\n{\"_aws\":{\"forged") || !strings.Contains(f.Log(), `"o\n{`) {
		t.Errorf("%v\n%s", err, f.Log())
	}
}

// outerSource is what EventBridge says, before the detail.
const outerSource = `"source":"` + orderstest.Source + `"`

// TestThroughTheBus: producer -> bus -> queue -> billing, and -> mailer, everything delivered twice and
// written anew, with an attacker on the same bus.
func TestThroughTheBus(t *testing.T) {
	w := orderstest.New(t, &orderstest.Options{Delivery: localaws.Delivery{Duplicate: 1, Reorder: 3,
		Reserialise: true, Retry: true}})
	bills, mails := w.Start(billing, w.ConsumerEnv()), w.Start(mailer, w.ConsumerEnv())
	shop := w.Start(producer, w.ProducerEnv("central"))
	queue := topology(t, w, bills, mails)

	const orders = 5
	for i := range orders {
		payload := fmt.Sprintf(`{"order":"o-%d","total":%d.50,"currency":"EUR"}`, i, i+1)
		for range 2 { // the shop's caller did not see the first answer
			if _, err := shop.Invoke(t.Context(), []byte(payload)); err != nil {
				t.Fatalf("%v\n%s", err, shop.Log())
			}
		}
	}
	if _, err := shop.Invoke(t.Context(), []byte(`{"total":1}`)); err == nil {
		t.Error("an order without an ID was published")
	}
	attack(t, w)
	drain(t, w, queue)

	if charges := w.Tables.Charges("order"); len(charges) != orders {
		t.Errorf("charged are %v", charges)
	}
	if n := strings.Count(bills.Log(), "charged now: true"); n != orders {
		t.Errorf("%d charges were made", n)
	}
	if n := strings.Count(mails.Log(), ": confirmed"); n != orders {
		t.Errorf("%d orders were confirmed", n)
	}
	for _, name := range []string{"billing", "mailer"} {
		got := w.Reasons(name)
		if got[envelope.ReasonUnsigned] == 0 || got[envelope.ReasonModified] == 0 || len(got) != 2 {
			t.Errorf("in quarantine of %s: %v", name, got)
		}
	}
}

// topology is that of the templates: a bus, a rule to a queue with a function behind it, a rule to a
// function.
func topology(t *testing.T, w *orderstest.World, bills, mails *orderstest.Function) (queueARN string) {
	t.Helper()
	return topologyOf(t, w, func() *orderstest.Function { return bills },
		func() *orderstest.Function { return mails })
}

// topologyOf is topology with functions that may be deployed anew.
func topologyOf(t *testing.T, w *orderstest.World, bills,
	mails func() *orderstest.Function) (queueARN string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	client, queues := clients(w)
	_, err := client.CreateEventBus(t.Context(),
		&awseventbridge.CreateEventBusInput{Name: aws.String("central")})
	must(err)
	_, err = queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("billing"),
		Attributes: map[string]string{"VisibilityTimeout": "2"}})
	must(err)
	queueARN = "arn:aws:sqs:" + orderstest.Region + ":" + orderstest.Account + ":billing"
	must(w.Bus.MapQueue(queueARN, "billing", func(ctx context.Context, event json.RawMessage) (any, error) {
		answer, err := bills().Invoke(ctx, event)
		return json.RawMessage(answer), err
	}, &localaws.Mapping{ReportBatchItemFailures: true, Concurrency: 2}))
	direct := w.Bus.Function("mailer", func(ctx context.Context, event []byte) error {
		_, err := mails().Invoke(ctx, event)
		return err
	})
	for name, target := range map[string]string{"billing": queueARN, "mailer": direct} {
		_, err = client.PutRule(t.Context(), &awseventbridge.PutRuleInput{
			Name: &name, EventBusName: aws.String("central"),
			EventPattern: aws.String(`{"detail-type":["com.example.order.placed"]}`),
		})
		must(err)
		out, err := client.PutTargets(t.Context(), &awseventbridge.PutTargetsInput{
			Rule: &name, EventBusName: aws.String("central"),
			Targets: []types.Target{{Id: aws.String("t"), Arn: &target}},
		})
		if must(err); out.FailedEntryCount > 0 {
			t.Fatalf("%+v", out.FailedEntries)
		}
	}
	return queueARN
}

func clients(w *orderstest.World) (*awseventbridge.Client, *sqs.Client) {
	key := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", "")
	url := w.Bus.URL()
	return awseventbridge.New(awseventbridge.Options{Region: orderstest.Region, BaseEndpoint: &url,
			Credentials: key}),
		sqs.New(sqs.Options{Region: orderstest.Region, BaseEndpoint: &url, Credentials: key})
}

// attack puts on the bus what anybody may who may call PutEvents.
func attack(t *testing.T, w *orderstest.World) {
	t.Helper()
	client, _ := clients(w)
	genuine := w.Entry("o-9", order("o-9", "12.50"))
	details := []string{`{"order":"o-8","total":1,"currency":"EUR"}`,
		string(edited(t, genuine.Detail, `"total":12.5`, `"total":0.01`))}
	for _, detail := range details {
		out, err := client.PutEvents(t.Context(),
			&awseventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
				EventBusName: aws.String("central"), Source: aws.String(orderstest.Source),
				DetailType: aws.String(orderstest.Type), Detail: &detail,
			}}})
		if err != nil || out.FailedEntryCount > 0 {
			t.Fatalf("%v %+v", err, out)
		}
	}
}

func drain(t *testing.T, w *orderstest.World, queueARN string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := w.Bus.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Bus.DrainQueue(ctx, queueARN); err != nil {
		t.Fatal(err)
	}
}
