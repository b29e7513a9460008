package dev_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
)

// homeYAML is a home whose producer is shop. Consumers are added to it.
const homeYAML = `version: 1
trust: {roots: roots.json, bundle: trust.dsse}
producers:
  shop: {keyring: shop.keyring, sources: ['https://shop.example/*']}
consumers:
  billing: {sources: ['https://shop.example/*']}
`

// newHome is a bench whose directory is a home.
func newHome(t *testing.T) *clitest.Bench {
	t.Helper()
	clitest.IsolateAWS(t)
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	b.Check(os.WriteFile(b.Path("sealbus.yaml"), []byte(homeYAML), 0o600))
	return b
}

// dev is a `sealbus dev` that runs.
type dev struct {
	*clitest.Listening
	endpoint string
}

// told is a line of --output json, as programs read it.
type told struct {
	What, Where, Verdict, Reason, Cause, Fix string
	Producer, Source, Type, ID, Consumer     string
	Unverified                               *struct{ Source, Type, ID string }
	To                                       []string
	NoBus                                    bool `json:"no_bus"`
	Outcome, Error, From                     string
	Encrypted                                bool
}

// begin starts the command on a free port, and waits until it serves.
func begin(b *clitest.Bench, args ...string) *dev {
	b.T.Helper()
	d := &dev{Listening: b.Start(append([]string{"dev", "--port", "0"}, args...)...)}
	url := regexp.MustCompile(`(http://127\.0\.0\.1:\d+)`)
	d.Until("it serves", func() bool {
		all := d.Stdout.String() + d.Stderr.String()
		d.endpoint = url.FindString(all)
		return strings.Contains(all, `"what":"started"`) || strings.Contains(all, "It is not AWS")
	})
	return d
}

// lines are those that it wrote, without the first.
func (d *dev) lines() (list []told) {
	d.T.Helper()
	out := d.Stdout.String()
	out = out[:strings.LastIndex(out, "\n")+1] // the last one may not be complete
	all := clitest.JSONLines[told](d.T, out)
	return all[1:]
}

// line waits for a line that fits.
func (d *dev) line(what string, fits func(*told) bool) (found told) {
	d.T.Helper()
	d.Until(what, func() bool {
		for _, l := range d.lines() {
			if fits(&l) {
				found = l
				return true
			}
		}
		return false
	})
	return found
}

// event is the line of an event with the ID, claimed or verified.
func (d *dev) event(id string) told {
	d.T.Helper()
	return d.line("a line of "+id, func(l *told) bool {
		return l.What == "event" && (l.ID == id || l.Unverified != nil && l.Unverified.ID == id)
	})
}

func (d *dev) config() aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: &d.endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("dev", "dev", "")}
}

// put puts an event on a bus, by the SDK.
func (d *dev) put(bus, detail string) {
	d.T.Helper()
	var e struct{ Source, Type string }
	d.Check(json.Unmarshal([]byte(detail), &e))
	out, err := eventbridge.NewFromConfig(d.config()).PutEvents(context.Background(),
		&eventbridge.PutEventsInput{
			Entries: []types.PutEventsRequestEntry{{EventBusName: &bus, Source: &e.Source, DetailType: &e.Type,
				Detail: &detail}}})
	d.Check(err)
	if out.FailedEntryCount > 0 {
		d.T.Fatalf("refused: %s", *out.Entries[0].ErrorMessage)
	}
}

func (d *dev) queueURL(name string) string { return d.endpoint + "/000000000000/" + name }

// send puts a message into a queue.
func (d *dev) send(queue, body string) {
	d.T.Helper()
	_, err := sqs.NewFromConfig(d.config()).SendMessage(context.Background(), &sqs.SendMessageInput{
		QueueUrl: aws.String(d.queueURL(queue)), MessageBody: &body})
	d.Check(err)
}
