package listen_test

import (
	"net"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
)

// The receiver of --forward-to may quote a decrypted event in its answer. Therefore the line, the answer and
// the terminal have the status only.
func TestListenTellsNoDecryptedData(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		b := clitest.NewListenBench(t)
		b.Terminal = terminal
		orders := b.EncryptedOrders()
		to := clitest.NewReceiver(t, 422)
		to.Answer = "no such " + clitest.Canary + " as " + clitest.CanaryNumber
		identity := b.Path("billing.keyring")
		l := b.Serve("--forward-to", to.URL, "--identity", identity, "--insecure-no-passphrase")
		for _, sealed := range orders {
			status, h := l.Post(sealed)
			if status != 503 || h.Reason != "handler_failed" || !strings.Contains(h.Cause, "it answers 422") {
				t.Errorf("%d %+v", status, h)
			}
			b.NoCanary("the answer", h.Cause+h.Fix)
		}
		if got := to.Received(); len(got) != 2 || !strings.Contains(got[0]+got[1], clitest.Canary) {
			t.Errorf("the receiver did not get what was decrypted: %+v", got)
		}
		l.End()
		b.NoCanary("listen", l.Stdout.String()+l.Stderr.String())
	}
}

// If nothing receives a decrypted event, the line says why, as the words of the network quote no event. Words
// about an answer that is no HTTP may.
func TestListenTellsWhatWasNotReached(t *testing.T) {
	b := clitest.NewListenBench(t)
	orders := b.EncryptedOrders()
	const closed = "http://127.0.0.1:1" // the system hands out no such port to another test
	garbage := newGarbage(t, "tangerine zeppelin 4111222233\r\n\r\n")
	for to, want := range map[string]string{closed: "connection refused", garbage: "withheld"} {
		l := b.Serve("--forward-to", to, "--identity", b.Path("billing.keyring"), "--insecure-no-passphrase")
		status, h := l.Post(orders[0])
		if status != 503 || h.Reason != "handler_failed" || !strings.Contains(h.Cause, want) {
			t.Errorf("%d %+v", status, h)
		}
		l.End()
		b.NoCanary(want, l.Stdout.String()+l.Stderr.String())
	}
}

// newGarbage is the URL of what answers each connection with a text that is no HTTP.
func newGarbage(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1<<16))
			_, _ = c.Write([]byte(text))
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}
