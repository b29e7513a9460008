package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/webhook"
)

// httpPeer sends sealed events to url in that mode ("binary", "structured", "batch"), and forwards an event
// that it has read from a message in binary mode. It gives the statuses.
type httpPeer struct {
	send    func(t *testing.T, mode, url string, events [][]byte) []int
	forward func(t *testing.T, url string, messages []httpMessage) []int
	// isWhole reports whether its JSON format keeps data of the type application/jose+json as JSON. sdk-go
	// makes a string of it, and reads nothing else.
	isWhole bool
}

// httpMessage is a message in binary mode, with its names in lower case, as Node gives them.
type httpMessage struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

var httpPeers = map[string]httpPeer{
	"sdk-go": {sendBySDK, forwardBySDK, false},
	"npm":    {sendByNode, forwardByNode, true},
}

func sendBySDK(t *testing.T, mode, url string, events [][]byte) (statuses []int) {
	t.Helper()
	list := make([]event.Event, len(events))
	for i := range events {
		if err := json.Unmarshal(events[i], &list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if mode == "batch" {
		req, err := cehttp.NewHTTPRequestFromEvents(t.Context(), url, list)
		return []int{statusOf(t, req, err)}
	}
	ctx := t.Context()
	if mode == "structured" {
		ctx = binding.WithForceStructured(ctx)
	}
	for i := range list {
		req, err := cehttp.NewHTTPRequestFromEvent(ctx, url, list[i])
		statuses = append(statuses, statusOf(t, req, err))
	}
	return statuses
}

// statusOf sends the request.
func statusOf(t *testing.T, req *http.Request, err error) int {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func forwardBySDK(t *testing.T, url string, messages []httpMessage) (statuses []int) {
	t.Helper()
	for _, m := range messages {
		in, err := http.NewRequest(http.MethodPost, url, strings.NewReader(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range m.Headers {
			in.Header.Set(name, value)
		}
		read, err := cehttp.NewEventFromHTTPRequest(in)
		if err != nil {
			t.Fatal(err)
		}
		out, err := cehttp.NewHTTPRequestFromEvent(t.Context(), url, *read)
		statuses = append(statuses, statusOf(t, out, err))
	}
	return statuses
}

func sendByNode(t *testing.T, mode, url string, events [][]byte) []int {
	t.Helper()
	list := "[" + string(bytes.Join(events, []byte(","))) + "]"
	return nodeStatuses(t, list, "send", mode, url)
}

func nodeStatuses(t *testing.T, input string, args ...string) (statuses []int) {
	t.Helper()
	needPackages(t)
	out := node(t, []byte(input), append([]string{"peers/http.mjs"}, args...)...)
	for line := range bytes.Lines(out) {
		var answer struct{ Status int }
		if err := json.Unmarshal(line, &answer); err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, answer.Status)
	}
	return statuses
}

func forwardByNode(t *testing.T, url string, messages []httpMessage) []int {
	t.Helper()
	in, err := json.Marshal(messages)
	if err != nil {
		t.Fatal(err)
	}
	return nodeStatuses(t, string(in), "forward", "binary", url)
}

// httpReceiver is a receiver of the events of org, and the IDs of those that it handled.
func httpReceiver(t *testing.T, org *envelopetest.Org) (url string, handled *[]string) {
	t.Helper()
	c, err := consumer.New("test", org.Trust(), replay.NewMemory(&replay.MemoryOptions{Now: org.Now}),
		org.Policy(), &consumer.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	handled = new([]string)
	receiver, err := webhook.Events(c, func(_ context.Context, d consumer.Delivery[[]byte]) error {
		*handled = append(*handled, d.Event.ID())
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	return server.URL, handled
}

// httpEvents are sealed events: with JSON, without data, with an encrypted field, and encrypted as a whole.
func httpEvents(t *testing.T, org *envelopetest.Org) (list []*envelope.Sealed) {
	t.Helper()
	const placed = "com.example.order.placed"
	data := json.RawMessage(`{"total": 12.50, "note": "<a> & 'b' é", "lines": [1, 2]}`)
	return append(list, org.Event(t, placed, data), org.Event(t, placed, nil),
		org.EncryptedEvent(t, placed, data, "/total"), org.EncryptedEvent(t, placed, data))
}

// The CloudEvents SDKs carry sealed events over HTTP in all modes, and webhook.Events opens them: each once,
// and none that was changed.
func TestPeersSendOverHTTP(t *testing.T) {
	for name, peer := range httpPeers {
		t.Run(name, func(t *testing.T) {
			org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
			url, handled := httpReceiver(t, org)
			for _, mode := range []string{"binary", "structured", "batch"} {
				var events [][]byte
				for _, sealed := range httpEvents(t, org) {
					events = append(events, sealed.JSON())
				}
				if !peer.isWhole {
					events = events[:3]
				}
				want := slices.Repeat([]int{204}, len(events))
				if mode == "batch" {
					want = []int{200}
				}
				*handled = nil
				for range 2 { // the second time, all are duplicates
					if got := peer.send(t, mode, url, events); !slices.Equal(got, want) {
						t.Errorf("%s: got %v, want %v", mode, got, want)
					}
				}
				if len(*handled) != len(events) {
					t.Errorf("%s: handled %q", mode, *handled)
				}
				forged := bytes.Replace(events[0], []byte("12.5"), []byte("99.5"), 1)
				if got := peer.send(t, mode, url, [][]byte{forged}); !slices.Equal(got, []int{401}) {
					t.Errorf("%s, forged: got %v", mode, got)
				}
			}
		})
	}
}

// The CloudEvents SDKs read what Sealed.HTTP writes: they forward it, and it is the same event.
func TestPeersForwardOverHTTP(t *testing.T) {
	for name, peer := range httpPeers {
		t.Run(name, func(t *testing.T) {
			org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
			url, handled := httpReceiver(t, org)
			events := httpEvents(t, org)
			var messages []httpMessage
			var want []int
			for _, sealed := range events {
				header, content, err := sealed.HTTP()
				if err != nil {
					t.Fatal(err)
				}
				m := httpMessage{map[string]string{}, string(content)}
				for name, values := range header {
					m.Headers[strings.ToLower(name)] = values[0]
				}
				changed := httpMessage{maps.Clone(m.Headers), m.Body}
				changed.Headers["ce-type"] = "com.example.order.cancelled"
				messages, want = append(messages, m, changed), append(want, 204, 401)
			}
			if got := peer.forward(t, url, messages); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if len(*handled) != len(events) {
				t.Errorf("handled %q", *handled)
			}
		})
	}
}
