package localaws_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// model is what the clients of a server know. Each message has a text of its own.
type model struct {
	*queues
	random   *rand.Rand
	n        int
	sent     map[string]bool // acknowledged; by text
	tried    map[string]bool // sent without an answer: they may be there
	deleting map[string]bool // deleted, perhaps without an answer
	deleted  map[string]bool // acknowledged
	inFlight []held
	kills    int
	begun    chan struct{} // gets a value when the server has a call
	survived int           // steps that were acknowledged, with a kill at the same time
}

// held is a message that a client received.
type held struct {
	queue, text, receipt string
	until                time.Time // then the handle is no longer good
}

const modelTimeout = 20 * time.Second

// The queues of the model. A message that is received 3 times goes to the dead-letter queue.
var modelQueues = []string{"plain", "events", "dead", "q.fifo"}

func newModel(t *testing.T, seed uint64) *model {
	begun := make(chan struct{}, 1)
	script := func(string, int) localaws.CallFault {
		select {
		case begun <- struct{}{}:
		default:
		}
		return localaws.NoFault
	}
	q := newQueues(t, &localaws.Options{Dir: t.TempDir(), Faults: localaws.Faults{Script: script}})
	m := &model{queues: q, begun: begun, random: rand.New(rand.NewPCG(seed, 1)), sent: map[string]bool{},
		tried: map[string]bool{}, deleting: map[string]bool{}, deleted: map[string]bool{}}
	_, dead := m.create("dead", nil)
	redrive := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":3}`, dead)
	m.create("plain", map[string]string{"RedrivePolicy": redrive})
	_, events := m.create("events", map[string]string{"RedrivePolicy": redrive})
	m.create("q.fifo", map[string]string{"FifoQueue": "true"})
	m.rule("default", `{"source":["`+command+`"]}`, events)
	return m
}

func (m *model) url(queue string) *string {
	return aws.String(m.server.URL() + "/000000000000/" + queue)
}

// step is an operation. It returns how the model changes if the server says that it was done.
type step func() (acknowledged func(), err error)

func (m *model) next() step {
	switch m.random.IntN(7) {
	case 0, 1:
		return m.putEvents()
	case 2:
		return m.send()
	case 3:
		return m.sendFIFO()
	case 4, 5:
		return m.receiveSome()
	}
	return m.deleteOne()
}

func (m *model) text() string {
	m.n++
	text := fmt.Sprintf("m%04d", m.n)
	m.tried[text] = true
	return text
}

func (m *model) putEvents() step {
	texts := []string{m.text(), m.text(), m.text()}
	var entries []types.PutEventsRequestEntry
	for _, text := range texts {
		entries = append(entries, entry(fmt.Sprintf(`{"text":%q}`, text)))
	}
	client := m.client
	return func() (func(), error) {
		_, err := client.PutEvents(m.t.Context(), &eventbridge.PutEventsInput{Entries: entries})
		return func() {
			for _, text := range texts {
				m.sent[text] = true
			}
		}, err
	}
}

func (m *model) send() step {
	text, client, url := m.text(), m.sqs, m.url("plain")
	return func() (func(), error) {
		_, err := client.SendMessage(m.t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: &text})
		return func() { m.sent[text] = true }, err
	}
}

func (m *model) sendFIFO() step {
	text, client, url := m.text(), m.sqs, m.url("q.fifo")
	in := &sqs.SendMessageInput{QueueUrl: url, MessageBody: &text, MessageGroupId: aws.String("g"),
		MessageDeduplicationId: &text}
	return func() (func(), error) {
		_, err := client.SendMessage(m.t.Context(), in)
		return func() { m.sent[text] = true }, err
	}
}

func (m *model) receiveSome() step {
	queue := modelQueues[m.random.IntN(len(modelQueues))]
	client, url := m.sqs, m.url(queue)
	most, until := int32(1+m.random.IntN(4)), m.clock.now().Add(modelTimeout)
	return func() (func(), error) {
		out, err := client.ReceiveMessage(m.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url,
			MaxNumberOfMessages: most, VisibilityTimeout: int32(modelTimeout / time.Second)})
		return func() {
			for _, got := range out.Messages {
				m.inFlight = append(m.inFlight, held{queue, m.textOf(queue, got), *got.ReceiptHandle, until})
			}
		}, err
	}
}

func (m *model) deleteOne() step {
	m.inFlight = slices.DeleteFunc(m.inFlight, func(h held) bool { return !h.until.After(m.clock.now()) })
	if len(m.inFlight) == 0 {
		return m.send()
	}
	i := m.random.IntN(len(m.inFlight))
	h := m.inFlight[i]
	m.inFlight = slices.Delete(m.inFlight, i, i+1)
	m.deleting[h.text] = true
	client, url := m.sqs, m.url(h.queue)
	return func() (func(), error) {
		_, err := client.DeleteMessage(m.t.Context(), &sqs.DeleteMessageInput{QueueUrl: url,
			ReceiptHandle: &h.receipt})
		return func() { m.deleted[h.text] = true }, err
	}
}

// textOf is the text of a message, which must be one that was sent and not deleted.
func (m *model) textOf(queue string, got sqstypes.Message) string {
	text := *got.Body
	if strings.HasPrefix(text, "{") {
		var e struct{ Detail struct{ Text string } }
		m.check(json.Unmarshal([]byte(text), &e))
		text = e.Detail.Text
	}
	switch {
	case m.deleted[text]:
		m.t.Errorf("after %d kills, %s comes from %s, and was deleted", m.kills, text, queue)
	case !m.tried[text]:
		m.t.Errorf("after %d kills, %q comes from %s, and was never sent", m.kills, text, queue)
	}
	return text
}

// run does one step. With a kill, the server ends somewhere in the middle of it.
func (m *model) run(do step, kill bool) {
	type answer struct {
		acknowledged func()
		err          error
	}
	answered := make(chan answer, 1)
	select {
	case <-m.begun:
	default:
	}
	go func() {
		acknowledged, err := do()
		answered <- answer{acknowledged, err}
	}()
	if kill {
		m.kills++
		<-m.begun
		time.Sleep(time.Duration(m.random.IntN(6)) * time.Millisecond) // so that it comes sooner or later
		m.kill()
	}
	a := <-answered
	if a.err == nil && kill {
		m.survived++
	}
	if a.err == nil {
		a.acknowledged()
	} else if !kill {
		m.t.Errorf("without a kill: %v", a.err)
	}
}

// rest is what is left in the queues, in order.
func (m *model) rest() map[string][]string {
	rest := map[string][]string{}
	for empty := 0; empty < 2; empty++ {
		m.clock.move(time.Minute)
		for _, queue := range modelQueues {
			url := *m.url(queue)
			for got := m.receive(url); len(got) > 0; got = m.receive(url) {
				for _, msg := range got {
					rest[queue] = append(rest[queue], m.textOf(queue, msg))
				}
				m.delete(url, got...)
				empty = 0
			}
		}
	}
	return rest
}

// TestServerAgreesWithItsModelOverKills: random operations of clients, some of them cut by a kill. All that
// was acknowledged is there at the end, but what was deleted, and a FIFO queue has its order.
func TestServerAgreesWithItsModelOverKills(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, seed)
			for range 150 {
				m.run(m.next(), m.random.IntN(8) == 0)
				if m.random.IntN(10) == 0 {
					m.clock.move(time.Duration(m.random.IntN(20)) * time.Second)
				}
				if m.random.IntN(40) == 0 {
					m.check(m.server.Close())
					m.begin()
					m.sqs = newQueueClient(m.server.URL())
				}
			}
			m.kill()
			m.drain()
			rest := m.rest()
			found := map[string]bool{}
			for _, texts := range rest {
				for _, text := range texts {
					found[text] = true
				}
			}
			lost := 0
			for text := range m.sent {
				if !found[text] && !m.deleting[text] {
					lost++
					t.Errorf("%s was acknowledged and is lost", text)
				}
			}
			m.checkOrder(rest["q.fifo"])
			t.Logf("%d kills, %d acknowledged all the same, %d sent, %d deleted, %d left, %d lost", m.kills,
				m.survived, len(m.sent), len(m.deleted), len(found), lost)
			if m.kills < 5 || len(m.deleted) < 5 || len(found) < 20 {
				t.Error("the run is too short to say anything")
			}
		})
	}
}

// checkOrder: what is left was sent in this order, and each once.
func (m *model) checkOrder(rest []string) {
	if !slices.IsSorted(rest) || len(slices.Compact(slices.Clone(rest))) != len(rest) {
		m.t.Errorf("the FIFO queue has %q", rest)
	}
}

// TestFIFOTakesTheSecondAttemptOverAKill: the client sends again what the kill left without an answer, and
// the message is there once.
func TestFIFOTakesTheSecondAttemptOverAKill(t *testing.T) {
	q := newQueues(t, &localaws.Options{Dir: t.TempDir()})
	q.create("q.fifo", map[string]string{"FifoQueue": "true"})
	var want []string
	for i := range 20 {
		body := fmt.Sprintf("%02d", i)
		want = append(want, body)
		in := &sqs.SendMessageInput{QueueUrl: aws.String(queueURL(q, "q.fifo")), MessageBody: &body,
			MessageGroupId: aws.String("g"), MessageDeduplicationId: &body}
		client, answered := q.sqs, make(chan error, 1)
		go func() {
			_, err := client.SendMessage(t.Context(), in)
			answered <- err
		}()
		q.kill()
		if err := <-answered; err != nil {
			_, err = q.sqs.SendMessage(t.Context(), in)
			q.check(err)
		}
	}
	url := queueURL(q, "q.fifo")
	got := append(bodies(q.receive(url)), bodies(q.receive(url))...)
	if len(got) != 10 { // the group waits for its first ten
		t.Errorf("received %q", got)
	}
	if left := q.left(url); left != "10 10 0" {
		t.Errorf("the queue has %s, want %d messages", left, len(want))
	}
	if !slices.Equal(got, want[:10]) {
		t.Errorf("received %q, want %q", got, want[:10])
	}
}
