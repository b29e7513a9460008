package interop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/claimtable"
)

// TestMain removes the programs that orderstest builds.
func TestMain(m *testing.M) { orderstest.Main(m) }

// TestOrdersOnDynalite is the example's billing function, as Lambda runs it, with its tables on an emulator
// of DynamoDB that knows more than the example uses. The function is killed between two deliveries of one
// order.
func TestOrdersOnDynalite(t *testing.T) {
	server, client := startDynalite(t)
	for _, table := range orderstest.TableNames() {
		if created, err := claimtable.Ensure(t.Context(), client, table); !created ||
			!errors.Is(err, claimtable.ErrNoTTL) {
			t.Fatalf("Ensure = %v, %v, want a table without time to live", created, err)
		}
	}
	w := orderstest.New(t, &orderstest.Options{Dynamo: "http://" + server.addr()})
	genuine := w.Delivered("o-1", map[string]any{"order": "o-1", "total": json.Number("12.50"),
		"currency": "EUR"})
	forged := bytes.Replace(w.Delivered("o-2", map[string]any{"order": "o-2", "total": 1}),
		[]byte(`"total":1`), []byte(`"total":0`), 1)
	charged := 0
	for range 2 {
		f := w.Start("examples/orders/billing", w.ConsumerEnv())
		answer, err := f.Invoke(t.Context(), awslambdatest.SQS(t, genuine, forged))
		if err != nil || !bytes.Contains(answer, []byte(`"batchItemFailures":[]`)) {
			t.Fatalf("%s %v\n%s", answer, err, f.Log())
		}
		f.Kill()
		charged += strings.Count(f.Log(), "charged now: true")
	}
	if charged != 1 {
		t.Errorf("the order was charged %d times", charged)
	}
	if got, want := w.Reasons("billing"),
		map[envelope.Reason]int{envelope.ReasonModified: 2}; !maps.Equal(got, want) {
		t.Errorf("in quarantine: %v, not %v", got, want)
	}
}
