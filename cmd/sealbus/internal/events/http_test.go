package events_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// rawRequest is a request as it lies on the wire.
func rawRequest(b *clitest.Bench, header http.Header, content []byte) string {
	r, err := http.NewRequest(http.MethodPost, "https://billing.example/events", bytes.NewReader(content))
	b.Check(err)
	r.Header = header
	var raw bytes.Buffer
	b.Check(r.Write(&raw))
	return raw.String()
}

// TestOpenFromHTTP: a request in a file is opened in both modes, and each change is refused as OpenHTTP does.
func TestOpenFromHTTP(t *testing.T) {
	b := clitest.New(t)
	b.Org(nil, clitest.OrderSource)
	ring, err := keys.OpenKeyring(b.Path("shop.keyring"), "",
		&keys.PrivateFileOptions{InsecureNoPassphrase: true})
	b.Check(err)
	signers, err := ring.Signers(b.Now)
	b.Check(err)
	var ev event.Event
	b.Check(ev.UnmarshalJSON([]byte(clitest.Order("o-1"))))
	sealed, err := envelope.Seal(t.Context(), ev, signers[0],
		&envelope.SealOptions{Now: func() time.Time { return b.Now }})
	b.Check(err)
	header, content, err := sealed.HTTP()
	b.Check(err)
	binary := rawRequest(b, header, content)
	structured := rawRequest(b, http.Header{"Content-Type": {"application/cloudevents+json"}}, sealed.JSON())
	batch := rawRequest(b, http.Header{"Content-Type": {"application/cloudevents-batch+json"}},
		[]byte("["+string(sealed.JSON())+"]"))
	open := b.Open(clitest.OrderSource, "--from", "http", "--output", "json")
	for name, raw := range map[string]string{"binary": binary, "structured": structured} {
		b.Check(os.WriteFile(b.Path(name), []byte(raw), 0o600))
		if out := b.Must("", append(open, b.Path(name))...); !strings.Contains(out, `"item":"chair"`) {
			t.Errorf("%s: %s", name, out)
		}
		v := rejection(b, b.Run(strings.Replace(raw, "chair", "table", 1), open...))
		if v.Reason != "modified" {
			t.Errorf("%s: an edited event: %+v", name, v)
		}
	}
	for name, raw := range map[string]string{"batch": batch, "without CR": strings.ReplaceAll(binary, "\r", ""),
		"a second line": strings.Replace(binary, "Ce-Id:", "Ce-Id: o-2\r\nCe-Id:", 1), "JSON": clitest.Order("o-1"),
		"nothing": ""} {
		if v := rejection(b, b.Run(raw, open...)); v.Reason != "malformed" {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if r := b.Run("", "inspect", "--from", "http"); r.Code != ui.ExitUsage {
		t.Errorf("inspect: exit %d", r.Code)
	}
}
