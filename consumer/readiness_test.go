package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// allMigrate says that every source is migrating, and counts with a Readiness.
func allMigrate(w *world) *consumer.Readiness {
	ready := consumer.NewReadiness(&w.trust)
	w.opts.Observer = ready
	for _, source := range []string{"https://orders.example/*", "https://billing.example/*",
		"https://stray.example/*"} {
		w.opts.UnsafeMigration = append(w.opts.UnsafeMigration, consumer.Migration{
			Source: source, Type: "*", Until: start.Add(time.Hour),
			Handle: func(context.Context, consumer.Message, *envelope.Error) error { return nil },
		})
	}
	return ready
}

// named is one line for each producer, without times.
func named(list []consumer.ProducerReadiness) string {
	var lines []string
	for _, p := range list {
		gaps := ""
		for _, g := range p.Gaps {
			gaps += fmt.Sprintf(" %s=%d", g.Reason, g.Count)
		}
		lines = append(lines, fmt.Sprintf("%s%s verified=%d%s", p.Producer, p.UnverifiedSource, p.Verified,
			gaps))
	}
	return strings.Join(lines, "\n")
}

func TestReadiness(t *testing.T) {
	w := newWorld(t)
	w.enrol("silent", "https://silent.example/*")
	w.publish(trust.BundleOptions{})
	ready := allMigrate(w)
	unsigned := func(source string) []byte {
		return edit(edit(w.event("u"), "dssematerial", nil), "source", source)
	}
	w.want(w.event("1"), consumer.Handled, "")
	w.want(w.event("1"), consumer.Duplicate, envelope.ReasonReplayed)
	w.want(unsigned("https://billing.example/x"), consumer.Migrating, envelope.ReasonUnsigned)
	w.want(unsigned("https://billing.example/y"), consumer.Migrating, envelope.ReasonUnsigned)
	w.want(edit(w.event("2"), "data", "other"), consumer.Migrating, envelope.ReasonModified)
	// "/*" does not match this source
	w.want(unsigned("https://stray.example/"), consumer.Quarantined, envelope.ReasonUnsigned)
	w.want(unsigned("https://stray.example/z"), consumer.Migrating, envelope.ReasonUnsigned)
	w.want([]byte(`{"source":"https://billing.example/x","type":"com.example.a"`), consumer.Migrating,
		envelope.ReasonMalformed)

	const all = `billing verified=0 malformed=1 unsigned=2
orders verified=2 modified=1
silent verified=0
https://stray.example/ verified=0 unsigned=1
https://stray.example/z verified=0 unsigned=1`
	if got := named(ready.Producers(t.Context())); got != all {
		t.Errorf("got\n%s\nwant\n%s", got, all)
	}
	if got := named(ready.NotReady(t.Context())); got != all {
		t.Errorf("not ready:\n%s\nwant all:\n%s", got, all)
	}

	ready.Reset()
	w.want(w.event("3"), consumer.Handled, "")
	if got := named(ready.NotReady(t.Context())); got != "billing verified=0\nsilent verified=0" {
		t.Errorf("not ready:\n%s", got)
	}
	for _, want := range []string{"billing: not ready, nothing was seen of it", "orders: ready, 1 verified"} {
		if !slices.ContainsFunc(ready.Producers(t.Context()),
			func(p consumer.ProducerReadiness) bool { return p.String() == want }) {
			t.Errorf("nobody is %q", want)
		}
	}
}

// Without trust nothing is known, and nothing is lost of what was.
func TestReadinessWithoutTrust(t *testing.T) {
	w := newWorld(t)
	ready := allMigrate(w)
	refuse := func() {
		ready.Delivered(t.Context(), consumer.Result{
			Outcome: consumer.Migrating, Verdict: &envelope.Error{Reason: envelope.ReasonUnsigned,
				UnverifiedSource: source, UnverifiedType: typ},
		})
	}
	w.trust.err = errors.New("down")
	refuse()
	if got := named(ready.Producers(t.Context())); got != source+" verified=0 unsigned=1" {
		t.Errorf("got %s", got)
	}
	w.trust.err = nil
	refuse()
	w.trust.err = errors.New("down again")
	refuse()
	if got := named(ready.NotReady(t.Context())); !strings.Contains(got, "orders verified=0 unsigned=2") {
		t.Errorf("got %s", got)
	}
}

// neither is a Source that gives no bundle, and no error.
type neither struct{}

func (neither) Bundle(context.Context) (*trust.Bundle, error) { return nil, nil }

// A Source that gives neither a bundle nor an error teaches nothing, and causes no panic.
func TestReadinessOfNothing(t *testing.T) {
	if got := consumer.NewReadiness(neither{}).Producers(t.Context()); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestReadinessIsBounded(t *testing.T) {
	w := newWorld(t)
	ready := allMigrate(w)
	refuse := func(source string) {
		ready.Delivered(t.Context(), consumer.Result{
			Outcome: consumer.Migrating, Verdict: &envelope.Error{Reason: envelope.ReasonUnsigned,
				UnverifiedSource: source, UnverifiedType: typ},
		})
	}
	for i := range 10_000 {
		refuse(fmt.Sprintf("https://stray.example/%d/%s", i, strings.Repeat("x", 5000)))
	}
	refuse(source)
	list := ready.Producers(t.Context())
	if len(list) != 2+101 {
		t.Fatalf("%d entries for two producers and strangers", len(list))
	}
	if got := named(list[:2]); got != "billing verified=0\norders verified=0 unsigned=1" {
		t.Errorf("got %s", got)
	}
	others := list[2]
	if others.UnverifiedSource != "" || others.Gaps[0].Count != 9_900 {
		t.Errorf("the rest: %q with %d", others.UnverifiedSource, others.Gaps[0].Count)
	}
	for _, p := range list {
		if len(p.UnverifiedSource) > 400 {
			t.Fatalf("a source of %d bytes is kept", len(p.UnverifiedSource))
		}
	}
}

func TestReadinessConcurrent(t *testing.T) {
	w := newWorld(t)
	ready := allMigrate(w)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				ready.Delivered(t.Context(), consumer.Result{Outcome: consumer.Handled, Producer: "orders"})
				ready.Delivered(t.Context(), consumer.Result{
					Outcome: consumer.Migrating, Verdict: &envelope.Error{Reason: envelope.ReasonUnsigned,
						UnverifiedSource: source, UnverifiedType: typ},
				})
				ready.NotReady(t.Context())
			}
		})
	}
	wg.Wait()
	if got := named(ready.Producers(t.Context())); got != "billing verified=0\norders verified=800 unsigned=800" {
		t.Errorf("got %s", got)
	}
}
