package consumer_test

import (
	"bytes"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

// binaryMode is the sealed event as an HTTP message in binary mode.
func (w *world) binaryMode(sealed *envelope.Sealed) []byte {
	w.Helper()
	header, content, err := sealed.HTTP()
	if err != nil {
		w.Fatal(err)
	}
	return envelope.HTTPMessage(header, content)
}

// An event is handled once, whichever mode its copies come in. A message in binary mode that is none is
// quarantined as it was delivered.
func TestHTTPMessagesAreHandledOnce(t *testing.T) {
	w := newWorld(t)
	sealed := w.seal(placed("1"), envelope.SealOptions{})
	binary := consumer.Message{Body: w.binaryMode(sealed), Format: consumer.HTTP}
	w.wantMessage(binary, consumer.Handled, "")
	w.wantMessage(binary, consumer.Duplicate, envelope.ReasonReplayed)
	w.want(sealed.JSON(), consumer.Duplicate, envelope.ReasonReplayed)
	if len(w.handled) != 1 || string(w.handled[0].Data) != `{"amount":12,"item":"pen"}` {
		t.Fatalf("handled %v", w.handled)
	}
	other := binary
	other.Body = bytes.Replace(binary.Body, []byte(`"amount":12`), []byte(`"amount":13`), 1)
	w.wantMessage(other, consumer.Quarantined, envelope.ReasonModified)
	other.Body = append([]byte("ce-ID: 2\r\n"), binary.Body...)
	w.wantMessage(other, consumer.Quarantined, envelope.ReasonMalformed)
	other.Body = sealed.JSON() // it is in another mode
	w.wantMessage(other, consumer.Quarantined, envelope.ReasonMalformed)
	if m := w.bin.records[2].Message; m.Format != consumer.HTTP || !bytes.Equal(m.Body, other.Body) {
		t.Errorf("the record has %v: %s", m.Format, m.Body)
	}
	if len(w.handled) != 1 {
		t.Errorf("handled %d", len(w.handled))
	}
}
