package orders_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
)

// walk is one reader, who goes through README.md with an AWS inside the process.
type walk struct {
	*testing.T
	w     *orderstest.World
	shell *orderstest.Shell
	dir   string
	last  string // what came out of the last block

	shop, mails *orderstest.Function
	bills       atomic.Pointer[orderstest.Function] // the queue invokes it at any time
	queue       string                              // its ARN
}

// TestWalkThrough: every sealbus command of README.md is run, and comes to what it says.
func TestWalkThrough(t *testing.T) {
	wk := &walk{T: t, w: orderstest.New(t, nil), dir: t.TempDir()}
	wk.shell = wk.w.NewShell(t, wk.dir, "ORDERS_ACCOUNT="+orderstest.Account, "CENTRAL_BUS=central",
		"QUARANTINE_BUCKET="+wk.w.QuarantineBucket(),
		"BILLING_QUEUE="+wk.w.Bus.URL()+"/"+orderstest.Account+"/billing")
	done := make(map[string]bool)
	for _, s := range orderstest.Steps(t) {
		switch name, isAWS := strings.CutPrefix(s.Kind, "aws: "); {
		case isAWS:
			do := wk.instead()[name]
			if do == nil {
				t.Fatalf("README.md has the commands %q, and the test nothing instead", name)
			}
			do()
			done[name] = true
		case s.Kind == "run":
			wk.last = wk.shell.Run(t, s.Text)
			t.Log(wk.last)
		case s.Kind == "output":
			if got, want := orderstest.Settled(wk.last), orderstest.Settled(s.Text); !strings.Contains(got, want) {
				t.Errorf("README.md says\n%s\nwhat came out is\n%s", want, got)
			}
		}
	}
	for name := range wk.instead() {
		if !done[name] {
			t.Errorf("README.md no longer has %q", name)
		}
	}
	wk.end()
}

func (wk *walk) file(name string) []byte {
	wk.Helper()
	content, err := os.ReadFile(filepath.Join(wk.dir, name))
	if err != nil {
		wk.Fatal(err)
	}
	return content
}

// instead is what the test does where the reader has AWS do something.
func (wk *walk) instead() map[string]func() {
	return map[string]func(){
		"build":                    func() { orderstest.Build(wk, billing); orderstest.Build(wk, producer) },
		"deploy central":           func() {},
		"publish the bundle":       func() { wk.w.Trust(wk.file("roots.json"), wk.file("trust.dsse"), wk.file("orders.keyring")) },
		"deploy consumers":         wk.deploy,
		"deploy producer":          func() { wk.shop = wk.w.Start(producer, wk.w.ProducerEnv("central")) },
		"doctor":                   func() {},
		"invoke the producer":      wk.invokeProducer,
		"look":                     func() { wk.charged("o-1", "o-2") },
		"put the forged event":     wk.putForged,
		"fetch the quarantine key": wk.fetchKey,
		"wait for the verdict":     func() { drain(wk.T, wk.w, wk.queue) },
		"publish the next bundle":  wk.publishNext,
		"look again":               func() { wk.charged("o-1", "o-2", "o-4") },
	}
}

func (wk *walk) deploy() {
	wk.bills.Store(wk.w.Start(billing, wk.w.ConsumerEnv()))
	wk.mails = wk.w.Start(mailer, wk.w.ConsumerEnv())
	wk.queue = topologyOf(wk.T, wk.w, wk.bills.Load, func() *orderstest.Function { return wk.mails })
}

func (wk *walk) invokeProducer() {
	if _, err := wk.shop.Invoke(wk.Context(),
		[]byte(`{"order":"o-1","total":12.50,"currency":"EUR"}`)); err != nil {
		wk.Fatalf("%v\n%s", err, wk.shop.Log())
	}
}

// charged waits for all deliveries, and wants these orders charged and no others.
func (wk *walk) charged(want ...string) {
	wk.Helper()
	drain(wk.T, wk.w, wk.queue)
	var got []string
	for _, id := range wk.w.Tables.Charges("order") {
		got = append(got, id)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		wk.Fatalf("charged are %v, not %v\n%s", got, want, wk.bills.Load().Log())
	}
}

func (wk *walk) putForged() {
	var entries []struct{ Source, DetailType, Detail, EventBusName string }
	if err := json.Unmarshal(wk.file("forged.json"), &entries); err != nil || len(entries) != 1 ||
		!strings.Contains(entries[0].Detail, "0.01") {
		wk.Fatalf("%v: %+v", err, entries)
	}
	e := entries[0]
	client, _ := clients(wk.w)
	out, err := client.PutEvents(wk.Context(),
		&awseventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
			EventBusName: &e.EventBusName, Source: &e.Source, DetailType: &e.DetailType,
			Detail: aws.String(e.Detail),
		}}})
	if err != nil || out.FailedEntryCount > 0 {
		wk.Fatalf("%v %+v", err, out)
	}
	drain(wk.T, wk.w, wk.queue)
}

func (wk *walk) fetchKey() {
	wk.shell.Run(wk.T, "export AWS_PROFILE=consumer\n")
	if err := os.WriteFile(filepath.Join(wk.dir, "quarantine.key"), []byte(wk.w.QuarantineKey()+"\n"),
		0o600); err != nil {
		wk.Fatal(err)
	}
}

// publishNext publishes the bundle and, instead of waiting until the function asks for it, starts the
// function anew.
func (wk *walk) publishNext() {
	wk.w.PutBundle(wk.file("trust.dsse"))
	old := wk.bills.Swap(wk.w.Start(billing, wk.w.ConsumerEnv()))
	old.Kill()
}

// end: what is in quarantine at the end is the forged event alone.
func (wk *walk) end() {
	reasons := wk.w.Reasons("billing")
	if len(reasons) != 1 || reasons[envelope.ReasonModified] != 1 {
		wk.Errorf("in quarantine: %v", reasons)
	}
}

// TestFlagsOfCommands: also a command that takes AWS has the flags that it is given.
func TestFlagsOfCommands(t *testing.T) { orderstest.CheckFlags(t, 30) }
