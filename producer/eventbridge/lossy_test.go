package eventbridge_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/lossy"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	sealbus "github.com/sealbus/sealbus/producer/eventbridge"
)

// TestLostAnswers publishes through a proxy that loses one answer in twenty after the service has acted. All
// events arrive, and exactly those that arrive twice are reported as perhaps being on the bus twice.
func TestLostAnswers(t *testing.T) {
	for _, phase := range lossy.Runs(lossy.Phases) {
		t.Run(fmt.Sprint(phase), func(t *testing.T) {
			c := newCentral(t, nil)
			proxy := lossy.Start(t, c.server.URL(), phase)
			client := eventbridge.New(sdkClient(proxy.URL).Options(), func(o *eventbridge.Options) {
				o.HTTPClient, o.Retryer = &http.Client{Transport: localaws.Transport{}}, lossy.Retryer()
			})
			bus, err := sealbus.New(client, "central", &sealbus.Options{
				CheckBus: true, Concurrency: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			bus.(*sealbus.Bus).SetSleep(func(context.Context, time.Duration) error { return nil })
			p, err := producer.New(keys.SignWith(signer), bus, nil)
			if err != nil {
				t.Fatal(err)
			}
			const n = 210 // in 21 calls: the first request asks whether the bus exists
			results, err := p.Publish(t.Context(), events(n)...)
			if err != nil || len(results) != n || proxy.Lost() == 0 {
				t.Fatalf("%d results, %d answers lost, %v", len(results), proxy.Lost(), err)
			}
			if err := c.server.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			twice := 0
			for _, r := range results {
				if r.MaybeTwice {
					twice++
				}
				if want := map[bool]int{false: 1, true: 2}[r.MaybeTwice]; c.opened[r.ID] != want {
					t.Errorf("%s arrived %d times, and it is reported that it may be there twice: %v", r.ID,
						c.opened[r.ID], r.MaybeTwice)
				}
			}
			if phase > 0 && twice == 0 { // phase 0 loses the answer about the bus
				t.Error("no event was published twice: nothing is tested")
			}
		})
	}
}

// TestUnclearAnswers: an answer that does not say what became of an entry leaves it open whether it is on the
// bus.
func TestUnclearAnswers(t *testing.T) {
	for name, out := range map[string]*eventbridge.PutEventsOutput{"too few": accepted(1),
		"neither ID nor error": failing("", "")} {
		t.Run(name, func(t *testing.T) {
			for i := range out.Entries {
				if name != "too few" {
					out.Entries[i].EventId = aws.String("")
				}
			}
			c := &client{answer: func([]string, int) (*eventbridge.PutEventsOutput, error) { return out, nil }}
			bus, _ := newBus(t, c, nil)
			for _, o := range bus.Send(t.Context(), seal(t, 2, 100)) {
				if o.Err == nil || !o.MaybeTwice {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}
