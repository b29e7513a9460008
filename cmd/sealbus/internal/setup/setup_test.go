package setup_test

import (
	"context"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/producer"
)

// bench is a place where commands run now.
func bench(t *testing.T) *clitest.Bench {
	b := clitest.New(t)
	b.Now = time.Now()
	return b
}

// shop makes a home with a producer and a consumer.
func shop(t *testing.T) string {
	t.Helper()
	b := bench(t)
	dir := b.Path("shop")
	b.Must("", "init", "orders", "--source", "https://orders.example/*", "--type", "com.example.order.*",
		"--dir", dir)
	b.Must("", "init", "billing", "--consumer", "--dir", dir)
	return dir
}

func order(id, source string) event.Event {
	ev := event.New()
	ev.SetID(id)
	ev.SetSource(source)
	ev.SetType("com.example.order.placed")
	_ = ev.SetData("application/json", map[string]any{"total": 12.5})
	return ev
}

// world is a home with its producer and consumer, and a bus between them.
type world struct {
	t       *testing.T
	dir     string
	bus     *producer.LocalBus
	c       *consumer.Consumer
	handled []string
	last    consumer.Result
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: shop(t), bus: producer.NewLocalBus(nil)}
	var err error
	if w.c, err = home.Consumer(w.dir, "billing", replay.NewMemory(nil), nil); err != nil {
		t.Fatal(err)
	}
	w.bus.Subscribe(func(ctx context.Context, delivery []byte) error {
		w.last, _ = w.c.Handle(ctx, consumer.Message{Body: delivery, Format: consumer.EventBridge},
			func(_ context.Context, d consumer.Delivery[[]byte]) error {
				w.handled = append(w.handled, d.Event.ID())
				return nil
			})
		return nil
	})
	return w
}

// A program can publish and handle right after init: no key waits for consumers that are not here.
func TestProgramsOfAHome(t *testing.T) {
	w := newWorld(t)
	p, err := home.Producer(w.dir, "", w.bus, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), order("o-1", "https://orders.example/eu")); err != nil {
		t.Fatal(err)
	}
	if len(w.handled) != 1 || w.last.Outcome != consumer.Handled {
		t.Fatalf("handled %v, %v", w.handled, w.last)
	}
	// a producer that is made later is trusted by a consumer that runs
	bench(t).Must("", "init", "stock", "--source", "https://orders.example/stock/*", "--type", "com.example.*",
		"--dir", w.dir)
	later, err := home.Producer(w.dir, "stock", w.bus, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Publish(t.Context(), order("s-1", "https://orders.example/stock/1")); err != nil {
		t.Fatal(err)
	}
	if len(w.handled) != 2 {
		t.Fatalf("handled %v, %v", w.handled, w.last)
	}
}
