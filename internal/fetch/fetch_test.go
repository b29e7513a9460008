package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRead: a body of exactly the bound is read, and each is closed.
func TestRead(t *testing.T) {
	for _, c := range []struct {
		text   string
		stated int64
		ok     bool
	}{{"1234", -1, true}, {"1234", 4, true}, {"12345", -1, false}, {"1", 5, false}} {
		b := &closing{Reader: strings.NewReader(c.text)}
		got, err := Read(b, c.stated, 4)
		var e *TooLargeError
		if (err == nil) != c.ok || c.ok && string(got) != c.text || !c.ok && !errors.As(err, &e) || !b.closed {
			t.Errorf("%q: %q %v, closed: %t", c.text, got, err, b.closed)
		}
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// TestNoun: errors name what is fetched, and have nothing of the query.
func TestNoun(t *testing.T) {
	for _, text := range []string{"http://a.example/", "ftp://a.example/", "https://u:hush@a.example/",
		"https://a.example/#hush", "https://a.example:hush/"} {
		_, err := New(text, "key set", nil, false)
		if err == nil || !strings.Contains(err.Error(), "key set") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", text, err)
		}
	}
	o, err := New("https://a.example/keys?token=hush", "key set", &http.Client{Transport: answers(404)}, false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.Fetch(t.Context(), "")
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "key set") ||
		strings.Contains(err.Error()+o.String(), "hush") {
		t.Errorf("%v", err)
	}
}

type answers int

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Header: http.Header{}, Body: http.NoBody}, nil
}

// TestShared: callers share one request, which goes on when the one that began it leaves. A caller that can
// go on does not wait for it.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := NewShared(new(int), time.Now, time.Minute, func(_ context.Context, was *int) *int {
			asked++
			time.Sleep(time.Second)
			next := *was + 1
			return &next
		})
		isZero := func(n *int, _ time.Time) bool { return *n == 0 }
		leaving, leave := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { first <- s.Await(leaving, isZero, nil) }()
		synctest.Wait()
		can := func(*int) (can, failing bool) { return true, true }
		if err := s.Await(t.Context(), isZero, can); err != nil || *s.State() != 0 {
			t.Errorf("one that can go on: %v, state %d", err, *s.State())
		}
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that leaves: %v", err)
		}
		if err := s.Await(t.Context(), isZero, nil); err != nil || *s.State() != 1 || asked != 1 {
			t.Errorf("one that waits: %v, state %d, asked %d times", err, *s.State(), asked)
		}
	})
}

// TestSince: a clock that was set back has an interval pass.
func TestSince(t *testing.T) {
	now := time.Unix(1000, 0)
	for d, want := range map[time.Duration]bool{-time.Second: true, 0: false, time.Minute - 1: false,
		time.Minute: true} {
		if Since(now, now.Add(d), time.Minute) != want {
			t.Errorf("%s: %t", d, !want)
		}
	}
}
