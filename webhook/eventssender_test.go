package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

// permitAnswers is a receiver: each request gets the next answer, the last one again and again.
type permitAnswers struct {
	list []http.Response
	at   []time.Duration // when requests came, from the start
	sent []*http.Request
	from time.Time
}

func (a *permitAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.sent, a.at = append(a.sent, r), append(a.at, time.Since(a.from))
	resp := a.list[0]
	if len(a.list) > 1 {
		a.list = a.list[1:]
	}
	resp.Body = http.NoBody
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	return &resp, nil
}

func permitAnswer(status int, fields ...string) http.Response {
	resp := http.Response{StatusCode: status, Header: http.Header{}}
	for i := 0; i < len(fields); i += 2 {
		resp.Header.Add(fields[i], fields[i+1])
	}
	return resp
}

const permitTarget = "https://hooks.example/events"

// The sender takes a permission only for its own name or for all, with a rate if it asked for one. No status
// alone is a permission, and no redirect is followed.
func TestAskPermission(t *testing.T) {
	const origin, rate = "WebHook-Allowed-Origin", "WebHook-Allowed-Rate"
	for name, c := range map[string]struct {
		answer http.Response
		asked  int
		rate   int // -1 = not permitted
	}{
		"granted":        {permitAnswer(200, origin, "orders.example", rate, "100"), 120, 100},
		"more":           {permitAnswer(204, origin, "orders.example", rate, "500"), 120, 500},
		"all origins":    {permitAnswer(204, origin, "*", rate, "*"), 120, 0},
		"no rate asked":  {permitAnswer(204, origin, "orders.example"), 0, 0},
		"no rate":        {permitAnswer(204, origin, "orders.example"), 120, -1},
		"rate 0":         {permitAnswer(204, origin, "orders.example", rate, "0"), 120, -1},
		"rate -1":        {permitAnswer(204, origin, "orders.example", rate, "-1"), 0, -1},
		"two rates":      {permitAnswer(204, origin, "orders.example", rate, "1", rate, "2"), 120, -1},
		"only a status":  {permitAnswer(200), 120, -1},
		"another origin": {permitAnswer(200, origin, "orders.example.evil", rate, "1"), 120, -1},
		"two origins":    {permitAnswer(200, origin, "orders.example", origin, "*", rate, "1"), 120, -1},
		"405":            {permitAnswer(405, origin, "orders.example", rate, "1"), 120, -1},
		"redirect":       {permitAnswer(302, "Location", "https://evil.example/"), 120, -1},
	} {
		a := &permitAnswers{list: []http.Response{c.answer}}
		client := &http.Client{Transport: a}
		p, err := webhook.AskPermission(t.Context(), client, permitTarget, "orders.example", c.asked)
		switch {
		case c.rate < 0 && (p != nil || !errors.Is(err, webhook.ErrNotPermitted)):
			t.Errorf("%s: %v", name, err)
		case c.rate >= 0 && (err != nil || p.Rate() != c.rate):
			t.Errorf("%s: %v", name, err)
		}
		if len(a.sent) != 1 || a.sent[0].Method != http.MethodOptions ||
			a.sent[0].URL.String() != permitTarget ||
			a.sent[0].Header.Get("WebHook-Request-Origin") != "orders.example" ||
			(a.sent[0].Header.Get("WebHook-Request-Rate") == "120") != (c.asked == 120) {
			t.Errorf("%s: sent %+v", name, a.sent)
		}
	}
}

func TestAskPermissionRefusesItsArguments(t *testing.T) {
	a := &permitAnswers{list: []http.Response{permitAnswer(200)}}
	client := &http.Client{Transport: a}
	for _, to := range []string{"", "http://hooks.example/", "hooks.example", "https:///x", "https://a b/"} {
		if _, err := webhook.AskPermission(t.Context(), client, to, "orders.example", 1); err == nil {
			t.Errorf("%q is taken", to)
		}
	}
	for _, origin := range []string{"", "*", "a b", "a\r\nb"} {
		if _, err := webhook.AskPermission(t.Context(), client, permitTarget, origin, 1); err == nil {
			t.Errorf("%q is taken", origin)
		}
	}
	if _, err := webhook.AskPermission(t.Context(), client, permitTarget, "orders.example", -1); err == nil {
		t.Error("a negative rate is taken")
	}
	if a.sent != nil {
		t.Errorf("sent %v", a.sent)
	}
}

// permitted asks a, and gives the permission and a function that sends.
func permitted(t *testing.T, a *permitAnswers) (*webhook.Permission, func(context.Context) (int, error)) {
	t.Helper()
	a.from = time.Now()
	client := &http.Client{Transport: a}
	p, err := webhook.AskPermission(t.Context(), client, permitTarget, "orders.example", 60)
	if err != nil {
		t.Fatal(err)
	}
	a.sent, a.at = nil, nil
	return p, func(ctx context.Context) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, permitTarget, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := p.Send(req)
		if err != nil {
			return 0, err
		}
		_ = resp.Body.Close()
		if req.Header.Get("WebHook-Request-Origin") != "" {
			t.Error("the caller's request was changed")
		}
		return resp.StatusCode, nil
	}
}

func permitGranted(list ...http.Response) *permitAnswers {
	first := permitAnswer(204, "WebHook-Allowed-Origin", "*", "WebHook-Allowed-Rate", "60")
	return &permitAnswers{list: append([]http.Response{first}, list...)}
}

// A sender keeps to the rate, waits for as long as the receiver says, and stops when the receiver is gone.
func TestPermissionIsRespected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := time.Now().Add(100 * time.Second).UTC().Format(http.TimeFormat)
		a := permitGranted(permitAnswer(204), permitAnswer(204), permitAnswer(429, "Retry-After", "30"),
			permitAnswer(503, "Retry-After", date), permitAnswer(307, "Location", "https://evil.example/"),
			permitAnswer(503, "Retry-After", "soon"), permitAnswer(410))
		_, send := permitted(t, a)
		for i, want := range []int{204, 204, 429, 503, 307, 503, 410} {
			if status, err := send(t.Context()); status != want || err != nil {
				t.Fatalf("%d: %d, %v", i, status, err)
			}
		}
		if _, err := send(t.Context()); !errors.Is(err, webhook.ErrGone) {
			t.Errorf("after a 410: %v", err)
		}
		var got []int
		for i, at := range a.at {
			got = append(got, int(at/time.Second))
			r := a.sent[i]
			if r.URL.String() != permitTarget || r.Header.Get("WebHook-Request-Origin") != "orders.example" {
				t.Errorf("sent %s %v", r.URL, r.Header)
			}
		}
		if want := []int{0, 1, 2, 32, 100, 101, 102}; !slices.Equal(got, want) {
			t.Errorf("sent after %v seconds, want %v", got, want)
		}
	})
}

// Waiting ends with the context, and a permission is for one address.
func TestPermissionWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := permitGranted(permitAnswer(429, "Retry-After", "99999999"), permitAnswer(204))
		p, send := permitted(t, a)
		if status, err := send(t.Context()); status != 429 || err != nil {
			t.Fatal(status, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := send(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if status, err := send(t.Context()); status != 204 || err != nil { // a day at most
			t.Error(status, err)
		}
		if got := a.at[len(a.at)-1]; got != 24*time.Hour {
			t.Errorf("sent after %v", got)
		}
		other, err := http.NewRequest(http.MethodPost, "https://evil.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(other); err == nil || len(a.sent) != 2 {
			t.Errorf("%v, sent %d", err, len(a.sent))
		}
	})
}

// Both sides agree with each other, over TLS: the sender asks, the receiver permits, and enforces the rate.
func TestHandshakeOfBothSides(t *testing.T) {
	w := newEventWorld(t)
	w.opts.Origins = []webhook.Origin{{Name: "orders.example", Rate: 600_000}}
	server := httptest.NewTLSServer(w.receiver())
	defer server.Close()
	p, err := webhook.AskPermission(t.Context(), server.Client(), server.URL+"/events", "orders.example", 10)
	if err != nil || p.Rate() != 600_000 {
		t.Fatal(err)
	}
	for range 2 {
		sealed := w.org.Event(t, "com.example.order.placed", 1)
		fields, content, err := sealed.HTTP()
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPost, server.URL+"/events", strings.NewReader(string(content)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = fields
		resp, err := p.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 204 {
			t.Errorf("got %s", resp.Status)
		}
	}
	if len(w.handled) != 2 {
		t.Errorf("handled %q", w.handled)
	}
	_, err = webhook.AskPermission(t.Context(), server.Client(), server.URL, "evil.example", 10)
	if !errors.Is(err, webhook.ErrNotPermitted) {
		t.Errorf("another origin: %v", err)
	}
}
