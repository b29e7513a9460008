package localaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/localaws"
)

// TestURLFunction: an answer of 2xx is the response, and everything else is a failure.
func TestURLFunction(t *testing.T) {
	const event = `{"Records":[]}`
	x := strings.Repeat("x", 6<<20)
	for name, c := range map[string]struct {
		status     int
		body, want string
		fails      string // the type of the error; "" = it does not fail
	}{
		"a response":         {200, `{"batchItemFailures":[]}`, `{"batchItemFailures":[]}`, ""},
		"accepted":           {202, "", "null", ""},
		"white space":        {200, " \n", "null", ""},
		"no JSON":            {200, "<html>", "", "Runtime.MarshalError"},
		"an error":           {500, "sorry", "", "HTTP.500"},
		"not found":          {404, "", "", "HTTP.404"},
		"a redirect":         {302, "", "", "HTTP.302"},
		"the largest":        {200, `"` + x[:6<<20-2] + `"`, `"` + x[:6<<20-2] + `"`, ""},
		"one byte too large": {200, `"` + x[:6<<20-1] + `"`, "", "Function.ResponseSizeTooLarge"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || string(body) != event || r.Method != http.MethodPost || r.URL.Path != "/take" ||
					r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s: %s, %v", r.Method, r.URL, body, err)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			response, err := localaws.URLFunction(server.URL+"/take", nil)(t.Context(), json.RawMessage(event))
			if c.fails != "" {
				if e, is := errors.AsType[*localaws.FunctionError](err); !is || e.Type != c.fails {
					t.Errorf("%v, want %s", err, c.fails)
				}
				return
			}
			got, bad := json.Marshal(response)
			if err != nil || bad != nil || string(got) != c.want {
				t.Errorf("%.80s, %v, %v", got, err, bad)
			}
		})
	}
}

func TestURLFunctionIsNotThere(t *testing.T) {
	_, err := localaws.URLFunction("http://127.0.0.1:1/", nil)(t.Context(), json.RawMessage("{}"))
	if err == nil {
		t.Error("no error")
	}
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	defer server.Close()
	defer close(hangs)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = localaws.URLFunction(server.URL, nil)(ctx, json.RawMessage("{}"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
	_, err = localaws.URLFunction(server.URL, nil)(t.Context(), make(json.RawMessage, 6<<20+1))
	if e, is := errors.AsType[*localaws.FunctionError](err); !is || e.Type != "RequestEntityTooLarge" {
		t.Errorf("a large event: %v", err)
	}
}
