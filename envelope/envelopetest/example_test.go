package envelopetest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
)

// receive is the code under test. It handles only events that open.
func receive(ctx context.Context, body []byte, org *envelopetest.Org, policy *envelope.Policy) string {
	opened, err := envelope.Open(ctx, body, org.Trust(), policy)
	if err != nil {
		return "rejected: " + string(envelope.ReasonOf(err))
	}
	return fmt.Sprintf("%s says %s", opened.Producer, opened.Event.Data())
}

// exampleT stands for the *testing.T of a test.
type exampleT struct{ testing.TB }

func (exampleT) Helper()                           {}
func (exampleT) Context() context.Context          { return context.Background() }
func (exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// A test of a receiver has one genuine event, and one broken event for each Reason that matters to it.
func Example() {
	t := exampleT{} // in a test: t *testing.T
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")

	good := org.Event(t, "com.example.order.placed", map[string]any{"total": 12.5})
	fmt.Println(receive(t.Context(), good.JSON(), org, org.Policy()))

	for _, reason := range []envelope.Reason{envelope.ReasonModified, envelope.ReasonUnknownKey} {
		bad := org.Broken(t, reason)
		fmt.Println(receive(t.Context(), bad.JSON, org, bad.Policy))
	}
	// Output:
	// orders says {"total":12.5}
	// rejected: modified
	// rejected: unknown_key
}
