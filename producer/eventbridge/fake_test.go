package eventbridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	sealbus "github.com/sealbus/sealbus/producer/eventbridge"
)

func sdkClient(url string) *eventbridge.Client {
	return eventbridge.New(eventbridge.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(url),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}

// central is a fake with the bus "central", whose one target opens what it gets.
type central struct {
	t      *testing.T
	server *localaws.Server
	trust  *trust.Bundle

	mu     sync.Mutex
	opened map[string]int // by event ID
}

func newCentral(t *testing.T, opts *localaws.Options) *central {
	t.Helper()
	server, err := localaws.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c := &central{t: t, server: server, opened: map[string]int{}}
	c.trust, err = trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := sdkClient(server.URL())
	name, rule := aws.String("central"), aws.String("all")
	_, err = client.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: name})
	_, err2 := client.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: rule, EventBusName: name,
		EventPattern: aws.String(`{"source":[{"prefix":"https://orders.example/"}]}`)})
	_, err3 := client.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: rule, EventBusName: name,
		Targets: []types.Target{{
			Id: aws.String("1"), Arn: aws.String(server.Function("open", c.open)),
		}}})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *central) open(ctx context.Context, delivery []byte) error {
	opener, err := envelope.NewOpener(c.trust, &envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true,
		AnyAge: true}})
	if err != nil {
		c.t.Error(err)
		return nil
	}
	o, err := opener.Open(ctx, envelope.Received{Body: delivery, EventBridge: true}, envelope.Step{})
	if err != nil {
		c.t.Errorf("%v: %s", err, delivery)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[o.Event.ID()]++
	return nil
}

func events(n int) []event.Event {
	list := make([]event.Event, n)
	for i := range list {
		list[i] = sized(fmt.Sprint("o-", i), 200)
	}
	return list
}

// TestThroughTheSDK publishes through the real client and a service that fails in all its ways: what is
// reported as published arrives, and what does not arrive is reported.
func TestThroughTheSDK(t *testing.T) {
	for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
		t.Run(fmt.Sprint(layout), func(t *testing.T) {
			c := newCentral(t, &localaws.Options{
				Seed:     uint64(layout) + 1,
				Faults:   localaws.Faults{EntryThrottled: 0.05, EntryInternal: 0.02, Call: 0.1},
				Delivery: localaws.Delivery{Duplicate: 0.1, Reorder: 5, Reserialise: true},
			})
			bus, err := sealbus.New(sdkClient(c.server.URL()), "central", &sealbus.Options{
				Layout: layout, CheckBus: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			bus.(*sealbus.Bus).SetSleep(func(context.Context, time.Duration) error { return nil })
			p, err := producer.New(keys.SignWith(signer), bus, nil)
			if err != nil {
				t.Fatal(err)
			}
			const n = 400
			results, err := p.Publish(t.Context(), events(n)...)
			if err != nil || len(results) != n {
				t.Fatalf("%d results, %v", len(results), err)
			}
			if err := c.server.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if c.opened[r.ID] == 0 {
					t.Errorf("%s was published, and never arrived", r.ID)
				}
			}
		})
	}
}

// TestFaultsThroughTheSDK: each way in which a call fails is tried again, once, by us and not by the SDK.
// After a try in which the service may have acted, the event may be on the bus twice.
func TestFaultsThroughTheSDK(t *testing.T) {
	for fault, maybeTwice := range map[localaws.CallFault]bool{
		localaws.Throttled: false, localaws.InternalError: true, localaws.CutBefore: true,
		localaws.CutAfter: true, localaws.GarbageAnswer: true,
	} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			var mu sync.Mutex
			put := 0
			c := newCentral(t, &localaws.Options{Faults: localaws.Faults{Script: func(action string,
				_ int) localaws.CallFault {
				mu.Lock()
				defer mu.Unlock()
				if action != "PutEvents" {
					return localaws.NoFault
				}
				if put++; put == 1 {
					return fault
				}
				return localaws.NoFault
			}}})
			clk := &clock{now: start}
			bus, err := sealbus.New(sdkClient(c.server.URL()), "central", &sealbus.Options{Now: clk.Now})
			if err != nil {
				t.Fatal(err)
			}
			bus.(*sealbus.Bus).SetSleep(clk.Sleep)
			want := producer.Result{MaybeTwice: maybeTwice}
			if got := bus.Send(t.Context(), seal(t, 2, 100)); got[0] != want || got[1] != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			if put != 2 || len(clk.sleeps) != 1 {
				t.Errorf("%d calls, slept %v", put, clk.sleeps)
			}
		})
	}
}

// TestGlobalEndpoint: the SDK signs for several regions, and takes no EndpointId that it does not understand.
func TestGlobalEndpoint(t *testing.T) {
	c := newCentral(t, nil)
	bus, err := sealbus.New(sdkClient(c.server.URL()), "central",
		&sealbus.Options{EndpointID: "abcde.veo", CheckBus: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := sendErrors(bus, t.Context(), seal(t, 1, 100))[0]; err != nil {
		t.Fatal(err)
	}
	if err := c.server.Drain(t.Context()); err != nil || len(c.opened) != 1 {
		t.Errorf("%d arrived, %v", len(c.opened), err)
	}
}

// TestMissingBus shows what CheckBus is for.
func TestMissingBus(t *testing.T) {
	c := newCentral(t, nil)
	sealed := seal(t, 1, 100)
	send := func(server *localaws.Server, check bool) error {
		bus, err := sealbus.New(sdkClient(server.URL()), "centrall", &sealbus.Options{CheckBus: check})
		if err != nil {
			t.Fatal(err)
		}
		return sendErrors(bus, t.Context(), sealed)[0]
	}
	if err := send(c.server, false); err != nil {
		t.Errorf("the service swallows such events, the fake does not: %v", err)
	}
	if err := send(c.server, true); !errors.Is(err, sealbus.ErrNoBus) {
		t.Errorf("checked: %v", err)
	}
	if err := send(newCentral(t,
		&localaws.Options{Deny: func(a string) bool { return a == "DescribeEventBus" }}).server,
		true); err != nil {
		t.Errorf("PutEvents alone: %v", err)
	}
}

// TestSizeAsTheService: what our size says fits, fits; one byte more does not.
func TestSizeAsTheService(t *testing.T) {
	sealed := seal(t, 3, 500)
	size := 0
	for _, s := range sealed {
		size += entrySize(t, s, envelope.Structured)
	}
	for limit, fits := range map[int]bool{size + 1: true, size: false} {
		c := newCentral(t, &localaws.Options{MaxPutBytes: limit})
		bus, err := sealbus.New(sdkClient(c.server.URL()), "central", nil) // believes in 1 MiB
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range sendErrors(bus, t.Context(), sealed) {
			if (err == nil) != fits {
				t.Errorf("limit %d: %v", limit, err)
			}
		}
	}
}

// TestNobodyThere: what never left is tried again, ends as an event that may be published later, and cannot
// be on the bus twice: a refused connection, and a request that could not be signed.
func TestNobodyThere(t *testing.T) {
	const unheard = "http://127.0.0.1:1" // the system hands out no such port to another test
	noCredentials := eventbridge.New(sdkClient(unheard).Options(), func(o *eventbridge.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no credentials")
		})
	})
	for name, c := range map[string]struct {
		client    *eventbridge.Client
		temporary bool
	}{"refused": {sdkClient(unheard), true}, "not signed": {noCredentials, false}} {
		t.Run(name, func(t *testing.T) {
			clk := &clock{now: start}
			bus, err := sealbus.New(c.client, "central",
				&sealbus.Options{Now: clk.Now, RetryFor: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			bus.(*sealbus.Bus).SetSleep(clk.Sleep)
			got := bus.Send(t.Context(), seal(t, 1, 100))[0]
			e, ok := errors.AsType[*sealbus.Error](got.Err)
			if !ok || e.Temporary != c.temporary || (e.Tries() > 1) != c.temporary ||
				!errors.Is(e, producer.ErrNotSent) ||
				errors.Is(e, producer.ErrNoAnswer) || got.MaybeTwice {
				t.Errorf("%d sleeps, %+v", len(clk.sleeps), got)
			}
		})
	}
}

func Example() {
	server, err := localaws.Start(nil) // in place of the service
	if err != nil {
		panic(err)
	}
	defer server.Close()
	bus, err := sealbus.New(sdkClient(server.URL()), "default", nil)
	if err != nil {
		panic(err)
	}
	p, err := producer.New(keys.SignWith(signer), bus, &producer.Options{Audience: "central"})
	if err != nil {
		panic(err)
	}
	results, err := p.Publish(context.Background(), sized("o-1", 100))
	fmt.Println(results, err)
	// Output: [{o-1 <nil> false <nil>}] <nil>
}

// traceparent reaches the wire of the event, and the entry.
func TestTraceThroughPublish(t *testing.T) {
	c := &client{}
	bus, err := sealbus.New(c, "central", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := producer.New(keys.SignWith(signer), bus,
		&producer.Options{Trace: func(context.Context) (string, string) { return parent, "" }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), events(1)...); err != nil {
		t.Fatal(err)
	}
	var detail struct{ Traceparent string }
	e := c.calls[0].Entries[0]
	if err := json.Unmarshal([]byte(*e.Detail), &detail); err != nil || detail.Traceparent != parent ||
		aws.ToString(e.TraceHeader) == "" {
		t.Errorf("%+v, %v", detail, err)
	}
}
