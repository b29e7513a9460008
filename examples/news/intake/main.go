// Command intake is a Lambda function that EventBridge invokes. API Gateway puts what partners submit on a
// bus itself, and cannot sign. The function makes a sealed event of each submission.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/examples/news/newsroom"
	"github.com/sealbus/sealbus/examples/orders/setup"
	"github.com/sealbus/sealbus/producer"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	p, err := setup.Producer(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	in := &intake{p}
	lambda.Start(in.handle)
}

type intake struct{ producer *producer.Producer }

// submission is the detail: the body of the request, which API Gateway compared with the model.
type submission struct {
	Title string `json:"title"`
}

// submitted is the data of the sealed event.
type submitted struct {
	Title  string `json:"title"`
	Client string `json:"client"`
}

// handle seals a submission. EventBridge may deliver it again: the sealed event then has the same ID and the
// same content, and each consumer handles one.
func (in *intake) handle(ctx context.Context, e events.EventBridgeEvent) error {
	var s submission
	if err := json.Unmarshal(e.Detail, &s); err != nil {
		return err
	}
	if s.Title == "" || len(e.Resources) != 1 || e.Resources[0] == "" {
		return errors.New("no title, or no client: API Gateway did not put this on the bus")
	}
	ev := event.New()
	ev.SetID(e.ID)
	ev.SetSource(newsroom.Source)
	ev.SetType(newsroom.Submitted)
	ev.SetTime(e.Time)
	// API Gateway writes the client there (template.yaml), and no one else may put events on that bus.
	if err := ev.SetData(event.ApplicationJSON, submitted{s.Title, e.Resources[0]}); err != nil {
		return err
	}
	_, err := in.producer.Publish(ctx, ev)
	return err
}
