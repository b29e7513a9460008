package envelope_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// samples are events as public services document them.
func samples(t testing.TB) map[string]event.Event {
	t.Helper()
	files, err := filepath.Glob("../internal/wire/testdata/samples/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	all := map[string]event.Event{}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		in, err := wire.Parse(doc)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if all[filepath.Base(file)], err = in.ToSDK(); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return all
}

// Public samples survive sealing and opening in both layouts and in exact mode, with all they had.
func TestSamples(t *testing.T) {
	for name, ev := range samples(t) {
		t.Run(name, func(t *testing.T) {
			signer := testSigner(t, keys.Ed25519, "sample")
			trust := trusting(t, keyOf(signer, ev.Source()))
			for _, exact := range []bool{false, true} {
				sealed, err := envelope.Seal(t.Context(), ev, signer,
					&envelope.SealOptions{Now: fixedNow, Exact: exact})
				if err != nil {
					t.Fatal(err)
				}
				opened, err := envelope.Open(t.Context(), sealed.JSON(), trust,
					&envelope.Policy{Now: fixedNow, Unsafe: unchecked})
				if err != nil {
					t.Fatal(err)
				}
				checkSample(t, opened, &ev, exact)
				for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
					throughBridge(t, sealed, trust, layout, string(opened.JSON()))
				}
			}
		})
	}
}

func checkSample(t *testing.T, opened *envelope.Opened, ev *event.Event, exact bool) {
	t.Helper()
	got := &opened.Event
	if got.ID() != ev.ID() || got.Source() != ev.Source() || got.Type() != ev.Type() ||
		got.Subject() != ev.Subject() ||
		!got.Time().Equal(ev.Time()) || got.DataSchema() != ev.DataSchema() {
		t.Errorf("got\n%s\nof\n%s", got, ev)
	}
	for name, value := range ev.Extensions() {
		if got.Extensions()[name] != value {
			t.Errorf("%s: got %#v, want %#v", name, got.Extensions()[name], value)
		}
	}
	if (exact || got.DataBase64) && string(got.Data()) != string(ev.Data()) {
		t.Errorf("got data %q, want %q", got.Data(), ev.Data())
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// throughBridge opens the event as EventBridge delivers it, unless the layout refuses it.
func throughBridge(t *testing.T, sealed *envelope.Sealed, trust trust.Source, layout envelope.Layout,
	want string) {
	t.Helper()
	entry, err := sealed.EventBridge(layout)
	if err != nil {
		if layout == envelope.Structured || !strings.Contains(err.Error(), "layout") {
			t.Error(err)
		}
		return
	}
	delivery := mint.Delivery(entry.Source, entry.DetailType, "111122223333", string(entry.Detail)).String()
	opened, err := openEventBridge(t.Context(), []byte(delivery), trust,
		&envelope.Policy{Now: fixedNow, Unsafe: unchecked})
	if err != nil || string(opened.JSON()) != want {
		t.Errorf("layout %d: %v\n%s", layout, err, delivery)
	}
}
