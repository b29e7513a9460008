package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	busbridge "github.com/sealbus/sealbus/producer/eventbridge"
)

// start is when every scenario begins. It is far ahead of any day on which this runs, so that the deadline of
// a modelled invocation, which is also one of a context, never ends it by itself.
var start = time.Date(2060, 3, 1, 8, 0, 0, 0, time.UTC)

const (
	audience = "central"
	placed   = "com.example.order.placed"
	patience = 2 * time.Minute // of real time, for what takes milliseconds: only a test that hangs gets there
)

// world is an account with a bus, and the rest of the scenario.
type world struct {
	*testing.T
	clock  *replaytest.Clock
	random *rand.Rand
	aws    *localaws.Server
	events *eventbridge.Client
	sqs    *sqs.Client
	bin    quarantine.Store
	books  *books
	policy envelope.Policy // of consumers that are started
	serial int

	trouble atomic.Pointer[keyTrouble] // of the KMS, nil = none
	encrypt *envelope.Encrypter        // encrypts the card of each order; nil = it stays clear
}

func newWorld(t *testing.T, seed uint64, delivery localaws.Delivery) *world {
	t.Helper()
	clock := replaytest.NewClock(start)
	w := &world{}
	server, err := localaws.Start(&localaws.Options{Seed: seed, Delivery: delivery, Now: clock.Now,
		Deny: w.denies, Faults: localaws.Faults{Script: w.faults}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	who := credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")
	client := &http.Client{Transport: localaws.Transport{}}
	w.T, w.clock, w.random = t, clock, rand.New(rand.NewPCG(seed, 1))
	w.policy = envelope.Policy{Sources: sources, Audience: audience, MaxAge: envelope.DefaultMaxAge +
		inQueues, Now: w.clock.Now}
	w.aws, w.bin, w.books = server, quarantinetest.New(t, quarantinetest.Keys("billing")), newBooks()
	w.events = eventbridge.New(eventbridge.Options{Region: "us-east-1",
		BaseEndpoint: aws.String(server.URL()), Credentials: who, HTTPClient: client})
	w.sqs = sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Credentials: who,
		HTTPClient: client, Retryer: aws.NopRetryer{}})
	_, err = w.events.CreateEventBus(t.Context(),
		&eventbridge.CreateEventBusInput{Name: aws.String("central")})
	w.check(err)
	return w
}

func (w *world) check(errs ...error) {
	w.Helper()
	if err := errors.Join(errs...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) since() time.Duration { return w.clock.Now().Sub(start) }

// rule sends everything on the bus to the target.
func (w *world) rule(name, targetARN string) {
	w.Helper()
	_, err := w.events.PutRule(w.Context(), &eventbridge.PutRuleInput{
		Name: &name, EventBusName: aws.String("central"),
		EventPattern: aws.String(`{"source":[{"prefix":"https://"}]}`),
	})
	w.check(err)
	_, err = w.events.PutTargets(w.Context(), &eventbridge.PutTargetsInput{
		Rule: &name, EventBusName: aws.String("central"),
		Targets: []types.Target{{Id: aws.String("1"), Arn: &targetARN}},
	})
	w.check(err)
}

// delivered waits until the bus has delivered everything that was put on it.
func (w *world) delivered() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	w.check(w.aws.Drain(ctx))
}

// queue is an SQS queue.
type queue struct{ url, arn string }

func (w *world) queue(name string, attributes map[string]string) queue {
	w.Helper()
	out, err := w.sqs.CreateQueue(w.Context(), &sqs.CreateQueueInput{QueueName: &name,
		Attributes: attributes})
	w.check(err)
	q := queue{url: *out.QueueUrl}
	q.arn = w.attributes(q)[string(sqstypes.QueueAttributeNameQueueArn)]
	return q
}

func (w *world) attributes(q queue) map[string]string {
	w.Helper()
	out, err := w.sqs.GetQueueAttributes(w.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &q.url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
	})
	w.check(err)
	return out.Attributes
}

// depth returns how many messages of the queue are visible, and how many are received and hidden.
func (w *world) depth(q queue) (visible, hidden int) {
	w.Helper()
	a := w.attributes(q)
	visible, err := strconv.Atoi(a[string(sqstypes.QueueAttributeNameApproximateNumberOfMessages)])
	hidden, err2 := strconv.Atoi(a[string(sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible)])
	w.check(err, err2)
	return visible, hidden
}

// empty takes all messages out of a queue. Their bodies are in the order of the queue.
func (w *world) empty(q queue) (bodies []string) {
	w.Helper()
	for {
		out, err := w.sqs.ReceiveMessage(w.Context(),
			&sqs.ReceiveMessageInput{QueueUrl: &q.url, MaxNumberOfMessages: 10})
		w.check(err)
		if len(out.Messages) == 0 {
			return bodies
		}
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
			_, err := w.sqs.DeleteMessage(w.Context(),
				&sqs.DeleteMessageInput{QueueUrl: &q.url, ReceiptHandle: m.ReceiptHandle})
			w.check(err)
		}
	}
}

func (w *world) send(q queue, body string) {
	w.Helper()
	_, err := w.sqs.SendMessage(w.Context(), &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body})
	w.check(err)
}

// team publishes events of its own source.
type team struct {
	name     string
	label    string // of the key that it signs with
	audience string
	unsealed bool // true: it does not sign yet
}

func newTeam(name string) *team { return &team{name: name, label: "a", audience: audience} }

func (p *team) source() string { return "https://" + p.name + ".example/shop" }

func (w *world) signer(p *team) *keys.LocalSigner {
	return keystest.Signer(w, keys.Ed25519, p.name, p.label)
}

// key is what a bundle says of the key that the team has now.
func (w *world) key(p *team) *trust.Key {
	return &trust.Key{Verifier: w.signer(p).Verifier(), Producer: p.name,
		Sources: []string{"https://" + p.name + ".example/*"}, Types: []string{"*"}}
}

// order is the data of every event: the event's own ID, so that also who gets it unverified can tell it.
type order struct {
	Order string `json:"order"`
	Card  string `json:"card,omitempty"` // where it is encrypted
}

const card = "4111 1111 1111 1111"

// publish puts one event of the team on the bus, and returns its ID.
func (w *world) publish(p *team) (id string) {
	w.Helper()
	w.serial++
	id = fmt.Sprintf("%s-%d", p.name, w.serial)
	if p.unsealed {
		w.put(p.source(), fmt.Sprintf(`{"order":%q}`, id))
		return id
	}
	w.publishAs(p, id)
	return id
}

// publishAs seals an event of this ID and publishes it, with the data as the detail always had it.
func (w *world) publishAs(p *team, id string) {
	w.Helper()
	bus, err := busbridge.New(w.events, "central",
		&busbridge.Options{Layout: envelope.Embedded, Now: w.clock.Now})
	w.check(err)
	opts := &producer.Options{Audience: p.audience, Encrypt: w.encrypt, Now: w.clock.Now}
	if w.encrypt != nil {
		opts.EncryptFields = []string{"/card"}
	}
	producer, err := producer.New(keys.SignWith(w.signer(p)), bus, opts)
	w.check(err)
	_, err = producer.Publish(w.Context(), w.event(p, id))
	w.check(err)
}

func (w *world) event(p *team, id string) event.Event {
	w.Helper()
	ev := event.New()
	ev.SetID(id)
	ev.SetSource(p.source())
	ev.SetType(placed)
	ev.SetTime(w.clock.Now())
	data := order{Order: id}
	if w.encrypt != nil {
		data.Card = card
	}
	w.check(ev.SetData(event.ApplicationJSON, data))
	return ev
}

// put puts an unsealed event on the bus.
func (w *world) put(source, detail string) {
	w.Helper()
	out, err := w.events.PutEvents(w.Context(),
		&eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
			EventBusName: aws.String("central"), Source: &source, DetailType: aws.String(placed),
			Detail: &detail,
		}}})
	w.check(err)
	if out.FailedEntryCount != 0 {
		w.Fatalf("not taken: %v", out.Entries)
	}
}

// idOf is what an event says of its order: on the bus, sealed or not, or sealed by itself.
func idOf(body []byte) (string, error) {
	var e struct{ Detail, Data order }
	if err := json.Unmarshal(body, &e); err != nil {
		return "", err
	}
	if id := e.Detail.Order + e.Data.Order; id != "" {
		return id, nil
	}
	return "", fmt.Errorf("no order in %s", body)
}

// sources are what the teams of all scenarios may speak for.
var sources = []string{"https://orders.example/*", "https://stock.example/*", "https://users.example/*",
	"https://legacy.example/*"}

// inQueues is how long queue and dead-letter queue keep messages.
const inQueues = 18 * 24 * time.Hour

// options are those of a consumer of everything, as examples/orders has them.
func (w *world) options() *consumer.Options {
	return &consumer.Options{
		Quarantine: w.bin,
		Logger:     slog.New(slog.DiscardHandler),
	}
}

// quarantined are the entries of the quarantine, in the order of time.
func (w *world) quarantined() (list []quarantine.Entry) {
	w.Helper()
	for e, err := range w.bin.List(w.Context(), nil) {
		w.check(err, e.Err)
		list = append(list, e)
	}
	return list
}

// inQuarantine are the orders in quarantine, by the Reason for which they are there.
func (w *world) inQuarantine() map[envelope.Reason][]string {
	w.Helper()
	found := map[envelope.Reason][]string{}
	for _, e := range w.quarantined() {
		id, err := idOf(e.Record.Message.Body)
		w.check(err)
		if list := found[e.Record.Reason]; !slices.Contains(list, id) {
			found[e.Record.Reason] = append(list, id)
		}
	}
	return found
}
