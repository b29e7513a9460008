package sender_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook/sender"
)

// BenchmarkHungEndpoint measures how long a message takes from Send to its receiver, for 49 endpoints beside
// one that hangs, and beside one that does not. The receivers are one server on this machine, and a message
// is accepted every 500 microseconds.
func BenchmarkHungEndpoint(b *testing.B) {
	for _, hung := range []bool{false, true} {
		b.Run(fmt.Sprint("hung=", hung), func(b *testing.B) {
			took := sendToMany(b, hung)
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}

// sendToMany sends b.N messages to 49 endpoints in turn, and as many to the 50th as to each of them.
func sendToMany(b *testing.B, hung bool) []time.Duration {
	release := make(chan struct{})
	arrived := make([]time.Time, b.N)
	var all sync.WaitGroup
	all.Add(b.N)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/e49" {
			if hung {
				<-release
			}
			return
		}
		if i, err := strconv.Atoi(r.Header.Get("Webhook-Id")[1:]); err == nil {
			arrived[i] = time.Now()
			all.Done()
		}
	}))
	defer server.Close()
	var list []sender.Endpoint
	for i := range 50 {
		e := endpoint(fmt.Sprint("e", i))
		e.URL = server.URL + "/" + e.ID
		list = append(list, e)
	}
	endpoints, err := sender.NewEndpoints(list...)
	if err != nil {
		b.Fatal(err)
	}
	s, err := sender.New(sender.NewMemory(nil), endpoints, &sender.Options{Logger: slog.New(slog.DiscardHandler),
		UnsafeTransport: &http.Transport{MaxIdleConnsPerHost: 256}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(ctx) }()
	accepted := make([]time.Time, b.N)
	body := make([]byte, 1<<10)
	b.ResetTimer()
	for i := range b.N {
		if i%49 == 0 {
			if err := s.Send(ctx, "e49", sender.Message{ID: fmt.Sprint("h", i), Body: body}); err != nil {
				b.Fatal(err)
			}
		}
		accepted[i] = time.Now()
		m := sender.Message{ID: fmt.Sprint("m", i), Body: body}
		if err := s.Send(ctx, fmt.Sprint("e", i%49), m); err != nil {
			b.Fatal(err)
		}
		time.Sleep(500 * time.Microsecond)
	}
	all.Wait()
	b.StopTimer()
	took := make([]time.Duration, b.N)
	for i := range took {
		took[i] = arrived[i].Sub(accepted[i])
	}
	close(release)
	cancel()
	<-ended
	return took
}
