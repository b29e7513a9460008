package eventbridge_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	sealbus "github.com/sealbus/sealbus/producer/eventbridge"
)

// BenchmarkPublish is 10 events of 1 KiB: the raw signatures alone, sealing, the SDK's call with what is
// sealed already, and all of it, to an endpoint that takes everything.
func BenchmarkPublish(b *testing.B) {
	const n, size = sealbus.MaxEntries, 1 << 10
	null := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"FailedEntryCount":0,"Entries":[`+
			strings.TrimSuffix(strings.Repeat(`{"EventId":"e"},`, n), ",")+`]}`)
	}))
	defer null.Close()
	bus, err := sealbus.New(sdkClient(null.URL), "central", nil)
	if err != nil {
		b.Fatal(err)
	}
	p, err := producer.New(keys.SignWith(signer), bus, nil)
	if err != nil {
		b.Fatal(err)
	}
	list := events(n)
	for i := range list {
		list[i] = sized(fmt.Sprint("o-", i), size)
	}
	sealed := seal(b, n, size)
	b.Run("raw-sign", func(b *testing.B) {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			b.Fatal(err)
		}
		data, message := make([]byte, size), make([]byte, 700) // about what the PAE of an event has
		for b.Loop() {
			for range n {
				digest := sha256.Sum256(data)
				copy(message, digest[:])
				ed25519.Sign(key, message)
			}
		}
	})
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			for i := range list {
				if _, err := envelope.Seal(b.Context(), list[i], signer, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("send", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := sendErrors(bus, b.Context(), sealed)[0]; err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("publish", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Publish(b.Context(), list...); err != nil {
				b.Fatal(err)
			}
		}
	})
}
