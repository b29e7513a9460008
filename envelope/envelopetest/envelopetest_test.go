package envelopetest_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
)

type order struct {
	ID    string  `json:"id"`
	Total float64 `json:"total"`
}

func TestEvent(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	sealed := org.Event(t, "com.example.order.placed", order{"o-1", 12.5})
	opened, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), org.Options())
	if err != nil {
		t.Fatal(err)
	}
	var got order
	if err := json.Unmarshal(opened.Event.Data(), &got); err != nil || got != (order{"o-1", 12.5}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if opened.Producer != "orders" || opened.Event.Source() != "https://orders.example/test" || !opened.SignedAt.Equal(org.Now()) {
		t.Errorf("got %+v", opened)
	}
	if again := org.Event(t, "com.example.order.placed", nil); again.ID() == sealed.ID() {
		t.Errorf("two events are called %s", again.ID())
	}
}

// Encrypted events open with the organisation's options; without its Decrypter they are for somebody else.
func TestEncryptedEvent(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	for name, fields := range map[string][]string{"all": nil, "fields": {"/total"}} {
		sealed := org.EncryptedEvent(t, "com.example.order.placed", order{"o-1", 12.5}, fields...)
		opts := org.Options()
		opened, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(opened.Event.Data()); got != `{"id":"o-1","total":12.5}` || opened.Encryption == nil ||
			opened.Encryption.OpenedWith != org.Identity().Recipient().KeyID() || !slices.Equal(opened.Encryption.Fields, fields) {
			t.Errorf("%s: got %s, %+v", name, got, opened.Encryption)
		}
		if bytes.Contains(sealed.JSON(), []byte("12.5")) {
			t.Errorf("%s: legible: %s", name, sealed.JSON())
		}
		opts.Decrypter = nil
		if _, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), opts); envelope.ReasonOf(err) != envelope.ReasonNotARecipient {
			t.Errorf("%s, without an identity: got %v", name, err)
		}
	}
}

// An event that is for somebody else is really encrypted: a consumer that looks at it without verifying sees
// nothing.
func TestBrokenIsEncrypted(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	for _, reason := range []envelope.Reason{envelope.ReasonNotARecipient, envelope.ReasonDecryptFailed} {
		b := org.Broken(t, reason)
		opts := *b.Options
		opts.KeepEncrypted = reason == envelope.ReasonNotARecipient
		opened, err := envelope.Open(t.Context(), b.JSON, b.Trust, &opts)
		if bytes.Contains(b.JSON, []byte("amount")) || opts.KeepEncrypted && (err != nil || !opened.IsEncrypted()) {
			t.Errorf("%s: %v\n%s", reason, err, b.JSON)
		}
	}
}

func TestDeliveries(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "urn:orders:*")
	sealed := org.Event(t, "com.example.order.placed", order{"o-1", 12.5})
	for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
		entry, err := sealed.EventBridge(layout)
		if err != nil {
			t.Fatal(err)
		}
		body := envelopetest.EventBridge(t, entry, nil)
		var sqs struct {
			Records []struct{ MessageID, Body string }
		}
		if err := json.Unmarshal(envelopetest.SQS(t, body, body), &sqs); err != nil || len(sqs.Records) != 2 || sqs.Records[1].MessageID != "message-2" {
			t.Fatalf("got %+v, %v", sqs, err)
		}
		if _, err := envelope.OpenEventBridge(t.Context(), []byte(sqs.Records[1].Body), org.Trust(), org.Options()); err != nil {
			t.Error(err)
		}
	}
}

// Every broken event is refused for its Reason, as a CloudEvent and as an EventBridge delivery.
func TestBroken(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	for _, reason := range envelopetest.BrokenReasons() {
		b := org.Broken(t, reason)
		if _, err := envelope.Open(t.Context(), b.JSON, b.Trust, b.Options); envelope.ReasonOf(err) != reason || b.Reason != reason {
			t.Errorf("%s: got %v", reason, err)
		}
		if _, err := envelope.OpenEventBridge(t.Context(), b.EventBridge(), b.Trust, b.Options); envelope.ReasonOf(err) != reason {
			t.Errorf("%s, from EventBridge: got %v", reason, err)
		}
	}
}

// What Broken does not know are the reasons that only a consumer, or a key management service, gives.
func TestBrokenReasons(t *testing.T) {
	want := []envelope.Reason{
		envelope.ReasonReplayed, envelope.ReasonIDReused, envelope.ReasonSchemaInvalid,
		envelope.ReasonInProgress, envelope.ReasonStoreUnavailable, envelope.ReasonKMSUnavailable, envelope.ReasonHandlerFailed,
	}
	have := envelopetest.BrokenReasons()
	missing := slices.DeleteFunc(envelope.Reasons(), func(r envelope.Reason) bool { return slices.Contains(have, r) })
	if !slices.Equal(missing, want) {
		t.Errorf("Broken does not know %q", missing)
	}
}

func TestClock(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/eu")
	sealed := org.Event(t, "com.example.order.placed", nil)
	org.Advance(25 * time.Hour)
	if _, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), org.Options()); envelope.ReasonOf(err) != envelope.ReasonExpired {
		t.Errorf("got %v", err)
	}
	org.Advance(-24 * time.Hour)
	if _, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), org.Options()); err != nil {
		t.Error(err)
	}
	org.Advance(-2 * time.Hour)
	if _, err := envelope.Open(t.Context(), sealed.JSON(), org.Trust(), org.Options()); envelope.ReasonOf(err) != envelope.ReasonFromFuture {
		t.Errorf("got %v", err)
	}
}
