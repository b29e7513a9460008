package envelopetest_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/keys/trust"
)

type order struct {
	ID    string  `json:"id"`
	Total float64 `json:"total"`
}

func TestEventOpensByThePolicy(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	sealed := org.Event(t, "com.example.order.placed", order{"o-1", 12.5})
	opened, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), org.Policy())
	if err != nil {
		t.Fatal(err)
	}
	var got order
	if err := json.Unmarshal(opened.Event.Data(), &got); err != nil || got != (order{"o-1", 12.5}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if opened.Producer != "orders" || opened.Event.Source() != "https://orders.example/test" ||
		!opened.SignedAt.Equal(org.Now()) {
		t.Errorf("got %+v", opened)
	}
	if again := org.Event(t, "com.example.order.placed", nil); bytes.Equal(again.JSON(), sealed.JSON()) {
		t.Error("two events are the same")
	}
}

// Encrypted events open by the organisation's policy. Without its Decrypter they are for another consumer.
func TestEncryptedEventOpensByThePolicy(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	for name, fields := range map[string][]string{"all": nil, "fields": {"/total"}} {
		sealed := org.EncryptedEvent(t, "com.example.order.placed", order{"o-1", 12.5}, fields...)
		opts := org.Policy()
		opened, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(opened.Event.Data()); got != `{"id":"o-1","total":12.5}` ||
			opened.Encryption == nil ||
			!slices.Equal(opened.Encryption.Recipients, []string{opened.Encryption.OpenedWith}) ||
			!slices.Equal(opened.Encryption.Fields, fields) {
			t.Errorf("%s: got %s, %+v", name, got, opened.Encryption)
		}
		if bytes.Contains(sealed.JSON(), []byte("12.5")) {
			t.Errorf("%s: legible: %s", name, sealed.JSON())
		}
		opts.Decrypter = nil
		_, err = envelope.Open(t.Context(), sealed.JSON(), org.Trust(), opts)
		if envelope.ReasonOf(err) != envelope.ReasonNotARecipient {
			t.Errorf("%s, without an identity: got %v", name, err)
		}
	}
}

// An event that is for another consumer is really encrypted: a consumer that looks at it without verifying
// sees nothing.
func TestBrokenIsEncrypted(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	for _, reason := range []envelope.Reason{envelope.ReasonNotARecipient, envelope.ReasonDecryptFailed} {
		b := org.Broken(t, reason)
		keep := reason == envelope.ReasonNotARecipient
		opened, err := open(t, b.Trust, b.Policy, envelope.Received{Body: b.JSON},
			envelope.Step{KeepEncrypted: keep})
		if bytes.Contains(b.JSON, []byte("amount")) || keep && (err != nil || !opened.IsEncrypted()) {
			t.Errorf("%s: %v\n%s", reason, err, b.JSON)
		}
	}
}

func TestDeliveriesOpenInEachLayout(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "urn:orders:*")
	sealed := org.Event(t, "com.example.order.placed", order{"o-1", 12.5})
	for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
		entry, err := sealed.EventBridge(layout)
		if err != nil {
			t.Fatal(err)
		}
		body := envelopetest.EventBridge(t, entry, nil)
		delivery := envelope.Received{Body: body, EventBridge: true}
		if _, err := open(t, org.Trust(), org.Policy(), delivery, envelope.Step{}); err != nil {
			t.Error(err)
		}
	}
}

func open(t *testing.T, trust trust.Source, p *envelope.Policy, r envelope.Received,
	s envelope.Step) (*envelope.Opened, error) {
	t.Helper()
	o, err := envelope.NewOpener(trust, p)
	if err != nil {
		t.Fatal(err)
	}
	return o.Open(t.Context(), r, s)
}

// Every broken event is rejected for its Reason, as a CloudEvent and as an EventBridge delivery.
func TestBrokenIsRejectedForItsReason(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	for _, reason := range envelopetest.BrokenReasons() {
		b := org.Broken(t, reason)
		for _, r := range []envelope.Received{{Body: b.JSON}, {Body: b.EventBridge(), EventBridge: true}} {
			want := reason
			if reason == envelope.ReasonEnvelopeMismatch && !r.EventBridge {
				want = ""
			}
			_, err := open(t, b.Trust, b.Policy, r, envelope.Step{})
			if envelope.ReasonOf(err) != want {
				t.Errorf("%s, of EventBridge %t: got %v", reason, r.EventBridge, err)
			}
		}
	}
}

// Broken has no event for the reasons that only a consumer, or a key management service, gives.
func TestBrokenReasons(t *testing.T) {
	want := []envelope.Reason{
		envelope.ReasonForbidden, envelope.ReasonReplayed, envelope.ReasonIDReused,
		envelope.ReasonSchemaInvalid,
		envelope.ReasonInProgress, envelope.ReasonStoreUnavailable, envelope.ReasonKMSUnavailable,
		envelope.ReasonHandlerFailed,
	}
	have := envelopetest.BrokenReasons()
	missing := slices.DeleteFunc(envelope.Reasons(), func(r envelope.Reason) bool {
		return slices.Contains(have, r)
	})
	if !slices.Equal(missing, want) {
		t.Errorf("Broken does not know %q", missing)
	}
}

func TestFreshnessIsByTheClockOfTheOrg(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/eu")
	sealed := org.Event(t, "com.example.order.placed", nil)
	for _, step := range []struct {
		move time.Duration
		want envelope.Reason
	}{
		{25 * time.Hour, envelope.ReasonExpired}, {-24 * time.Hour, ""},
		{-2 * time.Hour, envelope.ReasonFromFuture},
	} {
		org.Advance(step.move)
		_, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), org.Policy())
		if envelope.ReasonOf(err) != step.want || (err == nil) != (step.want == "") {
			t.Errorf("after %s: got %v, want %q", step.move, err, step.want)
		}
	}
}
