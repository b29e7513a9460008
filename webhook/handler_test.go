package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook"
)

// httpRequest is the delivery as a request of a client.
func httpRequest(t testing.TB, url string, r webhook.Request, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, url+r.Target, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Header {
		req.Header.Add(f.Name, f.Value)
	}
	return req
}

// sendTo sends it to a real server and gives the status and the body of the answer.
func sendTo(t testing.TB, req *http.Request) (int, []byte) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func serve(w *receiving) string {
	server := httptest.NewServer(w.receiver())
	w.Cleanup(server.Close)
	return server.URL
}

// TestServedByNetHTTP: bodies of every kind and size up to the limit, with a known length and in chunks.
func TestServedByNetHTTP(t *testing.T) {
	w := newReceiving(t)
	url := serve(w)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for i, body := range [][]byte{nil, []byte("{}"), []byte("\x00\xff\xfe binary"), []byte("größe ✓"), big,
		big[:4097], big[:4096]} {
		for _, chunked := range []string{"known", "chunked"} {
			r := signedAs(chunked+string(rune('a'+i)), body, receiveStart)
			var reader io.Reader = bytes.NewReader(body)
			if chunked == "chunked" {
				reader = io.MultiReader(reader)
			}
			status, answer := sendTo(t, httpRequest(t, url, r, reader))
			if status != 200 || w.handled[len(w.handled)-1] != string(body) {
				t.Errorf("%d bytes, %s: %d %s", len(body), chunked, status, answer)
			}
		}
	}
}

// TestTenMebibytes is more than the limit, unless the limit is raised.
func TestTenMebibytes(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 10<<20)
	for _, limit := range []int{0, 10 << 20, 10<<20 - 1} {
		w := newReceiving(t)
		w.vopts.MaxBody = limit
		url := serve(w)
		for _, reader := range []io.Reader{bytes.NewReader(body), io.MultiReader(bytes.NewReader(body))} {
			want := 413
			if limit == 10<<20 {
				want = 200
			}
			req := httpRequest(t, url, signedAs("1", body, receiveStart), reader)
			resp, err := http.DefaultClient.Do(req)
			if err != nil { // the server may have closed the connection while the client was still sending
				if want == 200 {
					t.Error(err)
				}
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("limit %d: status %d, want %d", limit, resp.StatusCode, want)
			}
		}
	}
}

// endless is a body without an end, which counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }
func (e *endless) Close() error               { return nil }

// TestNoUnboundedReadBeforeAuthentication: of a body without an end, the limit and one byte are read; of one
// that announces too much, and of one that is refused by its headers, nothing.
func TestNoUnboundedReadBeforeAuthentication(t *testing.T) {
	for name, c := range map[string]struct {
		length       int64
		types        []string
		status, most int
	}{
		"no length":      {-1, nil, 413, webhook.DefaultMaxBody + 1},
		"a false length": {10, nil, 413, 11},
		"too long":       {webhook.DefaultMaxBody + 1, nil, 413, 0},
		"type":           {-1, []string{"text/plain"}, 415, 0},
	} {
		w := newReceiving(t)
		w.opts.ContentTypes = c.types
		req := httptest.NewRequest("POST", "/", nil)
		body := &endless{}
		req.Body, req.ContentLength = body, c.length
		answer := httptest.NewRecorder()
		w.receiver().ServeHTTP(answer, req)
		if answer.Code != c.status || body.read > c.most {
			t.Errorf("%s: status %d after %d bytes, want %d after %d at most", name, answer.Code, body.read,
				c.status, c.most)
		}
	}
}

// TestTheBodyIsHeldOnce: reading a body takes at most twice its size, and verifying and handling it no copy.
func TestTheBodyIsHeldOnce(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	w := newReceiving(t)
	w.scheme.answer = &webhook.Answer{Status: 200} // so that the same delivery can be sent again
	c, r := w.receiver(), signedAs("1", body, receiveStart)
	const runs = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		answer := httptest.NewRecorder()
		c.ServeHTTP(answer, httpRequest(t, "http://hooks.example", r, bytes.NewReader(body)))
		if answer.Code != 200 {
			t.Fatal(answer.Code)
		}
	}
	runtime.ReadMemStats(&after)
	got := (after.TotalAlloc - before.TotalAlloc) / runs
	if most := uint64(len(body) * 21 / 10); got < uint64(len(body)) || got > most {
		t.Errorf("%d bytes for a body of 1 MiB, want %d at most", got, most)
	}
}

// deadlines is a ResponseWriter that notes read deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

type late struct{}

func (late) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (late) Close() error             { return nil }

// TestSlowBodiesHaveADeadline, which ends when the body is there.
func TestSlowBodiesHaveADeadline(t *testing.T) {
	w := newReceiving(t)
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	w.receiver().
		ServeHTTP(d, httpRequest(t, "http://hooks.example", signedAs("1", nil, receiveStart), http.NoBody))
	if d.Code != 200 || len(d.set) != 2 || d.set[0].IsZero() || !d.set[1].IsZero() {
		t.Errorf("status %d, deadlines %v", d.Code, d.set)
	}
	d = &deadlines{ResponseRecorder: httptest.NewRecorder()}
	req := httptest.NewRequest("POST", "/", nil)
	req.Body, req.ContentLength = late{}, -1
	w.receiver().ServeHTTP(d, req)
	if d.Code != 408 || len(d.set) != 1 {
		t.Errorf("status %d, deadlines %v", d.Code, d.set)
	}
	w.opts.ReadTimeout = 50 * time.Millisecond
	reader, writer := io.Pipe() // which never ends
	defer writer.Close()
	go func() { _, _ = writer.Write([]byte("{")) }()
	if status, answer := sendTo(t,
		httpRequest(t, serve(w), signedAs("1", nil, receiveStart), reader)); status != 408 {
		t.Errorf("a body that does not end: %d %s", status, answer)
	}
}

// TestABrokenBodyIsMalformed.
func TestABrokenBodyIsMalformed(t *testing.T) {
	w := newReceiving(t)
	req := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("{"),
		readError{errors.New("10.0.0.7 INSIDE")}))
	answer := httptest.NewRecorder()
	w.receiver().ServeHTTP(answer, req)
	if got := problemOf(t, answer.Body.Bytes()); answer.Code != 400 || got.Reason != "malformed" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if strings.Contains(answer.Body.String(), "INSIDE") {
		t.Errorf("the answer tells the cause: %s", answer.Body)
	}
}

type readError struct{ error }

func (e readError) Read([]byte) (int, error) { return 0, e.error }

// TestNothingOfTheURLComesFromHeaders: scheme and authority are those of the configuration, whatever Host and
// X-Forwarded-* say.
func TestNothingOfTheURLComesFromHeaders(t *testing.T) {
	at := receiveStart.Format(time.RFC3339)
	for base, want := range map[string]int{"https://hooks.example": 200, "https://other.example": 401} {
		w := newReceiving(t)
		w.vopts.Scheme.BaseURL = base
		c := w.receiver()
		for i, host := range []string{"hooks.example", "other.example", "evil.example"} {
			id, target := string(rune('a'+i)), "/hooks/a%2Fb?x=%31&x="
			req := httptest.NewRequest("POST", "http://"+host+target, nil)
			for name, value := range map[string]string{"X-Test-Id": id, "X-Test-Time": at,
				"X-Test-Signature": testMAC(receiveSecret, "https://hooks.example"+target, id, at, nil),
				"X-Forwarded-Host": host, "X-Forwarded-Proto": "https",
				"Forwarded":      "host=" + host + ";proto=https",
				"X-Original-Url": "/other", "X-Forwarded-Port": "8443"} {
				req.Header.Set(name, value)
			}
			answer := httptest.NewRecorder()
			c.ServeHTTP(answer, req)
			if answer.Code != want {
				t.Errorf("BaseURL %s, Host %s: %d %s", base, host, answer.Code, answer.Body)
			}
		}
	}
}

// TestFromHTTP keeps the target as it stands in the request line, and each header line.
func TestFromHTTP(t *testing.T) {
	var got webhook.Request
	mux := http.NewServeMux()
	mux.Handle("/in/", http.StripPrefix("/in", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = webhook.FromHTTP(r, []byte("x"))
	})))
	for target, want := range map[string]string{
		"/in/a%2Fb?x=%31&x=": "/in/a%2Fb?x=%31&x=", "http://evil.example/in/c?d": "/in/c?d",
		"/in/x?u=http://y/": "/in/x?u=http://y/",
	} {
		req := httptest.NewRequest("POST", target, nil)
		req.Header["X-B"] = []string{"2", "1"}
		req.Header["X-A"] = []string{"3"}
		mux.ServeHTTP(httptest.NewRecorder(), req)
		if got.Target != want || got.Method != "POST" || string(got.Body) != "x" {
			t.Errorf("%s: %+v", target, got)
		}
		if len(got.Header) != 3 || got.Header[1] != (webhook.Field{Name: "X-B", Value: "2"}) {
			t.Errorf("header lines %v", got.Header)
		}
	}
	if got := webhook.FromHTTP(httpRequest(t, "http://h", webhook.Request{Target: "/a?b"}, nil),
		nil); got.Target != "/a?b" {
		t.Errorf("the target of a client's request is %q", got.Target)
	}
}

// TestHandlerLogsWithoutSecrets: the log has the Reason, and neither secret nor computed signature.
func TestHandlerLogsWithoutSecrets(t *testing.T) {
	w := newReceiving(t)
	var log bytes.Buffer
	w.opts.Logger, w.opts.Diagnose = slog.New(slog.NewJSONHandler(&log, nil)), true
	var seen []webhook.Response
	w.opts.Observe = func(_ context.Context, r *webhook.Response) { seen = append(seen, *r) }
	body := []byte(`{"a": 1}`)
	r := signedAs("1", []byte(`{"a":1}`), receiveStart)
	r.Body = body
	c := w.receiver()
	for range 3 {
		c.Receive(t.Context(), r, time.Time{})
	}
	w.clock.Advance(time.Second)
	c.Receive(t.Context(), r, time.Time{})
	if len(seen) != 4 || seen[0].Reason != "bad_signature" {
		t.Errorf("Observe was told %v", seen)
	}
	if n := strings.Count(log.String(), `"diagnosis"`); n != 2 {
		t.Errorf("%d diagnoses in a second and a little, want 2:\n%s", n, &log)
	}
	mac := testMAC(receiveSecret, "", "1", receiveStart.Format(time.RFC3339), body)
	if strings.Contains(log.String(), receiveSecret) || strings.Contains(log.String(), mac) {
		t.Errorf("the log has a secret or a computed signature:\n%s", &log)
	}
}
