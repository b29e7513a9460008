package lossy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealbus/sealbus/internal/lossy"
)

// TestLosesOneInTwenty: the server acts on every request, and each phase loses another answer, in each of the
// three ways.
func TestLosesOneInTwenty(t *testing.T) {
	const rounds = 3 // one for each way
	var acted atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		acted.Add(1)
		w.Header().Set("Echo", r.URL.RequestURI())
		fmt.Fprintf(w, "%s %s", r.Method, body)
	}))
	t.Cleanup(server.Close)
	lostOf := map[int]bool{} // numbers of requests whose answer was lost in some phase
	for phase := range lossy.Phases {
		p := lossy.Start(t, server.URL, phase)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		heads := 0
		for n := range rounds * lossy.Phases {
			answer, err := client.Post(p.URL+"/a%2Fb?c=d", "text/plain", strings.NewReader("hello"))
			if err == nil {
				heads++
				var body []byte
				body, err = io.ReadAll(answer.Body)
				answer.Body.Close()
				if err == nil && (string(body) != "POST hello" || answer.Header.Get("Echo") != "/a%2Fb?c=d") {
					t.Fatalf("answered %q, %v", body, answer.Header)
				}
			}
			if err != nil {
				lostOf[n%lossy.Phases] = true
				if n%lossy.Phases != phase {
					t.Errorf("phase %d loses the answer to request %d: %v", phase, n, err)
				}
			}
		}
		if p.Lost() != rounds || heads != rounds*lossy.Phases-1 { // one of three was lost before its head
			t.Errorf("phase %d: %d lost, %d heads came", phase, p.Lost(), heads)
		}
	}
	if len(lostOf) != lossy.Phases || acted.Load() != lossy.Phases*rounds*lossy.Phases {
		t.Errorf("lost were %v, the server acted on %d", lostOf, acted.Load())
	}
}

// TestDown: a server that is down is down behind the proxy.
func TestDown(t *testing.T) {
	p := lossy.Start(t, "http://127.0.0.1:1", 0) // the system hands out no such port to another test
	if answer, err := http.Get(p.URL); err == nil {
		answer.Body.Close()
		t.Errorf("answered %s", answer.Status)
	}
}
