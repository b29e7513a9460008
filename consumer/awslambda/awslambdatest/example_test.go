package awslambdatest_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
)

// exampleT stands for the *testing.T of a test.
type exampleT struct{ testing.TB }

func (exampleT) Helper()                           {}
func (exampleT) Context() context.Context          { return context.Background() }
func (exampleT) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// A function is invoked with a batch of two messages. The second was changed on its way, and the consumer has
// no quarantine for it, so the function asks for it again and the queue's dead-letter queue gets it in the
// end.
func Example() {
	t := exampleT{} // in a test: t *testing.T
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Audience: envelopetest.Audience,
		Now: org.Now}
	c, err := consumer.New("billing", org.Trust(), replay.NewMemory(nil), policy, &consumer.Options{
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	type order struct {
		Total float64 `json:"total"`
	}
	handler := awslambda.SQS(c, func(_ context.Context, d consumer.Delivery[order]) error {
		fmt.Println("handled an order of", d.Data.Total)
		return nil
	}, nil)

	entry, err := org.Event(t, "com.example.order.placed", order{12.5}).EventBridge(envelope.Structured)
	if err != nil {
		t.Fatal(err)
	}
	genuine := awslambdatest.EventBridge(t, entry, nil)
	changed := bytes.Replace(genuine, []byte("12.5"), []byte("1.25"), 1)
	got := awslambdatest.Invoke(t, handler, awslambdatest.SQS(t, genuine, changed))
	fmt.Println("failed:", got.Failed, got.Err)
	// Output:
	// handled an order of 12.5
	// failed: [message-2] <nil>
}
