package sender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

// verifier verifies what an endpoint gets.
func verifier(t *testing.T, secret string) *webhook.Verifier {
	t.Helper()
	scheme, err := webhook.Provider("standardwebhooks")
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "e", []webhook.Secret{{Text: secret}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (r *request) verify(v *webhook.Verifier) error {
	in := webhook.Request{Method: r.Method, Body: r.body}
	for name, values := range r.Header {
		for _, value := range values {
			in.Header = append(in.Header, webhook.Field{Name: name, Value: value})
		}
	}
	_, err := v.Verify(r.Context(), in, r.at)
	return err
}

// An endpoint that always fails gets 10 attempts within 75 h: the same ID and body, each signed anew.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sender.Options{}, endpoint("a"))
		w.answer = func(*request) *http.Response { return status(500) }
		w.send("a", "m1")
		w.run(100 * time.Hour)
		if len(w.got) != 10 || len(w.attempts) != 10 {
			t.Fatalf("%d requests and %d attempts, want 10", len(w.got), len(w.attempts))
		}
		v := verifier(t, secretText)
		for i, r := range w.got {
			if r.id() != "m1" || !bytes.Equal(r.body, w.got[0].body) || r.Method != "POST" {
				t.Errorf("attempt %d is %s %s %q", i+1, r.Method, r.id(), r.body)
			}
			if err := r.verify(v); err != nil {
				t.Errorf("attempt %d: %v", i+1, err)
			}
			a := w.attempts[i]
			if a.Number != i+1 || a.StatusClass != 5 || a.Cause != sender.CauseStatus {
				t.Errorf("attempt %d is reported as %+v", i+1, a)
			}
			if i == 9 {
				if a.State != sender.Dead || !a.Next.IsZero() {
					t.Errorf("the last attempt is reported as %+v", a)
				}
				break
			}
			want, gap := sender.DefaultSchedule()[i], w.got[i+1].at.Sub(r.at)
			if gap < want*8/10 || gap > want*12/10+2*poll {
				t.Errorf("after attempt %d it waits %v, want %v +-20%%", i+1, gap, want)
			}
			if a.State != sender.Again || a.Next.After(w.got[i+1].at) {
				t.Errorf("attempt %d is reported as %+v, the next was at %v", i+1, a, w.got[i+1].at)
			}
		}
		if dead := w.dead(); !maps.Equal(dead, map[string]sender.Cause{"m1": sender.CauseStatus}) {
			t.Errorf("dead: %v", dead)
		}
	})
}

func TestScheduleIsThatOfTheSpecification(t *testing.T) {
	sum := time.Duration(0)
	for _, d := range sender.DefaultSchedule() {
		sum += d
	}
	if want := 75*time.Hour + 35*time.Minute + 5*time.Second; sum != want || len(sender.DefaultSchedule()) != 9 {
		t.Errorf("%d waits, %v together, want %v", len(sender.DefaultSchedule()), sum, want)
	}
}

// How answers are judged.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		code, class int
		state       sender.State
		cause       sender.Cause
	}{
		{200, 2, sender.Delivered, ""}, {204, 2, sender.Delivered, ""}, {299, 2, sender.Delivered, ""},
		{301, 3, sender.Again, sender.CauseRedirect}, {302, 3, sender.Again, sender.CauseRedirect},
		{307, 3, sender.Again, sender.CauseRedirect}, {399, 3, sender.Again, sender.CauseRedirect},
		{400, 4, sender.Again, sender.CauseStatus}, {404, 4, sender.Again, sender.CauseStatus},
		{410, 4, sender.Dead, sender.CauseGone}, {429, 4, sender.Again, sender.CauseStatus},
		{500, 5, sender.Again, sender.CauseStatus}, {100, 1, sender.Again, sender.CauseStatus},
		{600, 6, sender.Again, sender.CauseStatus},
	} {
		bubble(fmt.Sprint(c.code), t, func(t *testing.T) {
			w := newWorld(t, sender.Options{}, endpoint("a"))
			w.answer = func(*request) *http.Response {
				return status(c.code, "Location", "https://elsewhere.example/")
			}
			w.send("a", "m1")
			if _, err := w.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(w.got) != 1 || len(w.attempts) != 1 {
				t.Fatalf("%d requests, %d attempts, want one", len(w.got), len(w.attempts))
			}
			a := w.attempts[0]
			if a.StatusClass != c.class || a.State != c.state || a.Cause != c.cause ||
				a.Disabled != (c.code == 410) {
				t.Errorf("reported as %+v", a)
			}
		})
	}
}

// Retry-After lengthens the wait, within a cap, and never shortens it.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		value       string
		least, most time.Duration
	}{
		{"3600", time.Hour, time.Hour}, {"1", 4 * time.Second, 6 * time.Second},
		{"0", 4 * time.Second, 6 * time.Second}, {"999999999999", 24 * time.Hour, 24 * time.Hour},
		{"-5", 4 * time.Second, 6 * time.Second}, {"soon", 4 * time.Second, 6 * time.Second},
		{"DATE", 2 * time.Hour, 2 * time.Hour}, {"", 4 * time.Second, 6 * time.Second},
	} {
		bubble(c.value, t, func(t *testing.T) {
			w := newWorld(t, sender.Options{}, endpoint("a"))
			w.answer = func(r *request) *http.Response {
				value := c.value
				if value == "DATE" {
					value = r.at.Add(2 * time.Hour).UTC().Format(http.TimeFormat)
				}
				return status(503, "Retry-After", value)
			}
			w.send("a", "m1")
			if _, err := w.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			wait := w.attempts[0].Next.Sub(w.got[0].at)
			if wait < c.least || wait > c.most {
				t.Errorf("it waits %v, want %v to %v", wait, c.least, c.most)
			}
		})
	}
}

// 410 disables the endpoint: nothing more is sent, and nothing is lost.
func TestGoneDisables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ordered := endpoint("a")
		ordered.Ordered = true
		w := newWorld(t, sender.Options{}, ordered, endpoint("b"))
		gone := true
		w.answer = func(r *request) *http.Response {
			if gone && r.Host == "a.example" {
				return status(410)
			}
			return status(200)
		}
		w.send("a", "m1")
		w.send("a", "m2")
		w.send("b", "m3")
		w.run(time.Minute)
		w.send("a", "m4")
		w.run(time.Minute)
		if n := len(w.to("a")); n != 1 || len(w.to("b")) != 1 {
			t.Errorf("%d requests to the endpoint that is gone, want 1", n)
		}
		want := map[string]sender.Cause{"m1": sender.CauseGone, "m2": sender.CauseDisabled,
			"m4": sender.CauseDisabled}
		if dead := w.dead(); !maps.Equal(dead, want) {
			t.Errorf("dead: %v, want %v", dead, want)
		}
		gone = false
		if err := w.store.Disable(t.Context(), "a", false); err != nil {
			t.Fatal(err)
		}
		for id := range want {
			if err := w.store.Resend(t.Context(), sender.Key{Endpoint: "a", ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		w.run(time.Minute)
		if n := len(w.to("a")); n != 4 || len(w.dead()) != 0 {
			t.Errorf("sent again: %d requests in all, dead %v", n, w.dead())
		}
	})
}

// An attempt ends with its timeout.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endpoint("a")
		e.Timeout = 7 * time.Second
		w := newWorld(t, sender.Options{}, e)
		w.answer = func(*request) *http.Response { return nil }
		w.send("a", "m1")
		began := time.Now()
		if _, err := w.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != e.Timeout {
			t.Errorf("it took %v, want %v", took, e.Timeout)
		}
		if a := w.attempts[0]; a.Cause != sender.CauseTimeout || a.State != sender.Again || a.StatusClass != 0 {
			t.Errorf("reported as %+v", a)
		}
	})
}

// One endpoint of 50 hangs: the messages of the others are all sent at the moment in which they are accepted.
func TestOneHungEndpointHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const others, each = 49, 8
		list := []sender.Endpoint{endpoint("hung")}
		for i := range others {
			list = append(list, endpoint(fmt.Sprint("e", i)))
		}
		w := newWorld(t, sender.Options{Concurrency: 64}, list...)
		w.answer = func(r *request) *http.Response {
			if r.Host == "hung.example" {
				return nil
			}
			return status(200)
		}
		for i := range 200 {
			w.send("hung", fmt.Sprint("h", i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		for range 5 { // with the breaker closed, open and half open
			began := time.Now()
			for i := range each {
				for _, e := range list[1:] {
					w.send(e.ID, fmt.Sprintf("%s-%d-%d", e.ID, i, began.Unix()))
				}
			}
			synctest.Wait()
			for _, e := range list[1:] {
				w.mu.Lock()
				n := 0
				for _, r := range w.to(e.ID) {
					if r.at.Equal(began) {
						n++
					}
				}
				w.mu.Unlock()
				if n != each {
					t.Fatalf("%s got %d of %d at once", e.ID, n, each)
				}
			}
			time.Sleep(25 * time.Second)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := w.most["hung.example"]; n != concurrency {
			t.Errorf("%d attempts at a time to the endpoint that hangs, want %d", n, concurrency)
		}
	})
}

// An endpoint that is down gets probes, one at a time, and everything soon after it is back.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sender.Options{}, endpoint("a"))
		back := time.Now().Add(30 * time.Minute)
		w.answer = func(r *request) *http.Response {
			if r.at.Before(back) {
				return status(502)
			}
			return status(200)
		}
		for i := range 100 {
			w.send("a", fmt.Sprint("m", i))
		}
		w.run(30 * time.Minute)
		if n := len(w.got); n < 30 || n > 60 {
			t.Errorf("%d attempts while it is down for 30 minutes, want about one a minute", n)
		}
		for i := 10; i < len(w.got); i++ {
			if gap := w.got[i].at.Sub(w.got[i-1].at); gap < 4*time.Second {
				t.Errorf("attempt %d follows after %v", i+1, gap)
			}
		}
		w.run(3 * time.Hour)
		left, err := w.store.Take(t.Context(), sender.Want{Most: 1, Lease: time.Minute})
		if len(left)+len(w.dead()) != 0 {
			t.Errorf("left: %v %v, dead %v", left, err, w.dead())
		}
		ids := map[string]bool{}
		for _, a := range w.attempts {
			if a.State == sender.Delivered {
				ids[a.ID] = true
			}
		}
		if len(ids) != 100 {
			t.Errorf("%d of 100 were delivered", len(ids))
		}
	})
}

// The rate bounds attempts in the long run, and the burst bounds them at once.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endpoint("a")
		e.Rate, e.Burst = 10, 3
		w := newWorld(t, sender.Options{}, e, endpoint("b"))
		for i := range 53 {
			w.send("a", fmt.Sprint("m", i))
		}
		w.run(5 * time.Second)
		n := len(w.got)
		if n < 52 || n > 53 {
			t.Errorf("%d attempts in 5 s, want 50 and a burst of 3", n)
		}
		for i := range w.got {
			if i+4 < n && w.got[i+4].at.Sub(w.got[i].at) < 100*time.Millisecond {
				t.Errorf("attempts %d to %d come within %v", i, i+4, w.got[i+4].at.Sub(w.got[i].at))
			}
		}
	})
}

// Ordered messages wait for the ones before them, through failures.
func TestOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endpoint("a")
		e.Ordered = true
		w := newWorld(t, sender.Options{}, e)
		failures := 0
		w.answer = func(r *request) *http.Response {
			if r.id() == "m3" && failures < 2 {
				failures++
				return status(500)
			}
			return status(200)
		}
		for i := range 6 {
			w.send("a", fmt.Sprint("m", i))
		}
		w.run(time.Hour)
		var order []string
		for _, r := range w.got {
			order = append(order, r.id())
		}
		if got := strings.Join(order, " "); got != "m0 m1 m2 m3 m3 m3 m4 m5" || w.most["a.example"] != 1 {
			t.Errorf("sent as %s, %d at a time", got, w.most["a.example"])
		}
	})
}

// Run finishes what is under way, and begins nothing more.
func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sender.Options{}, endpoint("a"))
		release := make(chan bool)
		w.answer = func(*request) *http.Response { <-release; return status(200) }
		for i := range 10 {
			w.send("a", fmt.Sprint("m", i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("Run ends while attempts are under way: %v", err)
		default:
		}
		close(release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(w.got) != 4 || len(w.attempts) != 4 {
			t.Errorf("%d requests, %d settled, want 4", len(w.got), len(w.attempts))
		}
	})
}

// A message is accepted once.
func TestSend(t *testing.T) {
	w := newWorld(t, sender.Options{}, endpoint("a"))
	ctx := t.Context()
	m := sender.Message{ID: "m1", Body: []byte("{}")}
	for range 2 {
		if err := w.Send(ctx, "a", m); err != nil {
			t.Fatal(err)
		}
	}
	m.Body = []byte("[]")
	if err := w.Send(ctx, "a", m); !errors.Is(err, sender.ErrIDReused) {
		t.Errorf("another content: %v, want ErrIDReused", err)
	}
	if err := w.Send(ctx, "b", m); !errors.Is(err, sender.ErrNoEndpoint) {
		t.Errorf("another endpoint: %v, want ErrNoEndpoint", err)
	}
	m = sender.Message{ID: "m2", Body: make([]byte, sender.MaxBody+1)}
	if err := w.Send(ctx, "a", m); err == nil || errors.Is(err, sender.ErrUnavailable) {
		t.Errorf("a body that is too large: %v, want a permanent error", err)
	}
	for range 2 {
		if _, err := w.Once(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.got) != 1 || w.got[0].Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d requests, want one", len(w.got))
	}
}

// An endpoint that cannot be looked up uses up no attempt; one that is gone ends its deliveries.
func TestLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sender.Options{}, endpoint("a"))
		src := &switching{e: endpoint("a")}
		s, err := sender.New(w.store, src, &sender.Options{UnsafeTransport: w, Observer: w,
			Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		w.Sender = s
		w.send("a", "m1")
		src.err = errors.New("the database is down")
		for range 20 {
			if _, err := w.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		src.panics = true
		if _, err := w.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, a := range w.attempts {
			if a.Number != 1 || a.State != sender.Again || a.Cause != sender.CauseLookup {
				t.Errorf("reported as %+v", a)
			}
		}
		if len(w.got) != 0 || len(w.attempts) != 21 {
			t.Errorf("%d requests, %d attempts", len(w.got), len(w.attempts))
		}
		time.Sleep(time.Minute)
		*src = switching{err: fmt.Errorf("row: %w", sender.ErrNoEndpoint)}
		if _, err := w.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if dead := w.dead(); !maps.Equal(dead, map[string]sender.Cause{"m1": sender.CauseNoEndpoint}) {
			t.Errorf("dead: %v", dead)
		}
	})
}

// switching is an Endpoints that fails.
type switching struct {
	e      sender.Endpoint
	err    error
	panics bool
}

func (s *switching) Endpoint(context.Context, string) (*sender.Endpoint, error) {
	if s.panics {
		panic("secret")
	}
	return &s.e, s.err
}
