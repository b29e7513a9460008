package gateway_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/webhook/sender"
)

// leadTo makes DNS answer each name with one IPv4 address, as an attacker's server does.
func leadTo(t *testing.T, address [4]byte) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		in := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(in)
			if err != nil {
				return // the end of the test
			}
			_, _ = server.WriteTo(dnsAnswer(in[:n], address), from)
		}
	}()
	was := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
		}}
	t.Cleanup(func() {
		net.DefaultResolver = was
		_ = server.Close()
	})
}

// dnsAnswer is the answer to a query (RFC 1035, section 4): the address to A, and nothing to other types.
func dnsAnswer(query []byte, address [4]byte) []byte {
	const header = 12
	end := header
	for query[end] != 0 { // the labels of the name
		end += 1 + int(query[end])
	}
	end++
	isA := query[end] == 0 && query[end+1] == 1
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[header:end+4]...)
	if isA {
		out[7] = 1
		out = append(out, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, address[:]...)
	}
	return out
}

// hurried is a store whose clock goes on by two days with each attempt.
type hurried struct {
	sender.BackEnd
	days atomic.Int64
}

func (h *hurried) Settle(ctx context.Context, t sender.Taken, s sender.Settlement) error {
	err := h.BackEnd.Settle(ctx, t, s)
	h.days.Add(2)
	return err
}

// A partner's name that leads to the metadata service of the cloud is refused at each attempt, and its
// delivery ends in the dead list with that cause.
func TestOutNameOfTheMetadataService(t *testing.T) {
	leadTo(t, [4]byte{169, 254, 169, 254})
	store := &hurried{}
	store.BackEnd = sender.NewMemory(&sender.MemoryOptions{Now: func() time.Time {
		return now.Add(time.Duration(store.days.Load()) * 24 * time.Hour)
	}})
	p := newPartners(t, oneOut, store)
	event := p.org.Event(t, "com.example.order.placed", map[string]int{"total": 7})
	if r, err := p.take(consumer.Message{Body: event.JSON()}); err != nil {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	p.run(0, `sealbus_gateway_attempts_total{endpoint="acme",state="dead",cause="refused"} 1`)
	if text := p.admin("/metrics"); !strings.Contains(text,
		`sealbus_gateway_attempts_total{endpoint="acme",state="again",cause="refused"} 9`) {
		t.Errorf("the metrics:\n%s", text)
	}
	list, err := store.Dead(t.Context(), sender.Key{}, 10)
	if err != nil || len(list) != 1 || list[0].Cause != sender.CauseRefused || list[0].Attempts != 10 {
		t.Errorf("dead: %+v, %v", list, err)
	}
}
