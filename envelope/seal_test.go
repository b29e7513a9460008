package envelope_test

import (
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

var testNow = time.Date(2026, 11, 21, 12, 0, 0, 500_000_000, time.UTC)

func fixedNow() time.Time { return testNow }

func testSigner(t testing.TB, alg keys.Algorithm, producer string) keys.Signer {
	t.Helper()
	s, err := keys.GenerateSigner(alg, producer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trusting(t testing.TB, list ...*trust.Key) *trust.Bundle {
	t.Helper()
	b, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: testNow}, list...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyOf(s keys.Signer, sources ...string) *trust.Key {
	return &trust.Key{Verifier: s.Verifier(), Producer: s.Producer(), Sources: sources, Types: []string{"*"}}
}

func orderEvent(t testing.TB) event.Event {
	t.Helper()
	ev := event.New()
	ev.SetID("1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	ev.SetTime(time.Date(2026, 11, 21, 11, 59, 0, 123_000_000, time.UTC))
	ev.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	ev.SetExtension("sampledrate", 5)
	ev.SetExtension("tenant", "acme")
	ev.SetExtension("vip", true)
	if err := ev.SetData("application/json", []byte(`{"total": 12.50, "order": "o-1"}`)); err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestSealOpen(t *testing.T) {
	for _, alg := range keys.Algorithms() {
		signer := testSigner(t, alg, "orders")
		trust := trusting(t, keyOf(signer, "https://orders.example/*"))
		sealed, err := envelope.Seal(t.Context(), orderEvent(t), signer, &envelope.SealOptions{Now: fixedNow})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", sealed.JSON())
		opened, err := envelope.Open(t.Context(), sealed.JSON(), trust,
			&envelope.Policy{Now: fixedNow, MaxAge: time.Hour, Unsafe: anySource})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", opened.JSON())
		t.Logf("%+v", opened.SignedAttributes)
		if opened.Producer != "orders" || string(opened.Event.Data()) != `{"order":"o-1","total":12.5}` {
			t.Errorf("opened %+v", opened)
		}
	}
}
