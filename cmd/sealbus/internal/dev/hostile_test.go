package dev_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
)

// A line says verified where the consumers of the queues take the event, by their own types and audience, and
// names the one of several that does not.
func TestVerdictIsThatOfTheConsumers(t *testing.T) {
	b := newHome(t)
	const types = "types: [com.example.other.*], "
	with := func(old, text string) {
		b.Check(os.WriteFile(b.Path("sealbus.yaml"), []byte(strings.Replace(homeYAML, old, text, 1)), 0o600))
	}
	with("  billing:", "  audit: {"+types+"sources: ['https://shop.example/*']}\n  billing:")
	d := begin(b, "--home", b.Dir, "--output", "json")
	d.put("central", b.Sealed("o-1"))
	l := d.line("the event", func(l *told) bool { return l.What == "event" })
	if l.Verdict != "rejected" || l.Consumer != "audit" || l.ID != "" || len(l.To) != 2 {
		t.Errorf("%+v", l)
	}
	d.End()
	with("  billing: {", "  billing: {"+types)
	d = begin(b, "--home", b.Dir, "--output", "json")
	d.put("central", b.Sealed("o-1"))
	l = d.line("the event", func(l *told) bool { return l.What == "event" })
	if l.Verdict != "rejected" || l.Consumer != "" || l.ID != "" {
		t.Errorf("%+v", l)
	}
}

// A response that the server cannot take leaves the batch in the queue: the line does not say handled.
func TestResponseThatIsNoneIsAFailure(t *testing.T) {
	for _, response := range []string{`"ok"`, `{"batchItemFailures":[{"itemIdentifier":"none of them"}]}`} {
		b := newHome(t)
		function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(response))
		}))
		d := begin(b, "--home", b.Dir, "--output", "json", "--function", "billing="+function.URL)
		d.put("central", b.Sealed("o-1"))
		l := d.line("the end of it", func(l *told) bool { return l.What == "function" })
		if l.Outcome != "failed" || !strings.Contains(l.Error, "response") {
			t.Errorf("%s: %+v", response, l)
		}
		d.End()
		function.Close()
	}
}

// An event that its queue does not take is said to be gone: the line of the bus says where it was to go.
func TestEventThatNoQueueTakesIsTold(t *testing.T) {
	b := newHome(t)
	d := begin(b, "--home", b.Dir)
	d.put("central", "{\"id\":\"o-2\",\"source\":\"https://shop.example/eu\",\"type\":\"t\",\"data\":\"\uffff\"}")
	d.Until("it is told", func() bool { return strings.Contains(d.Stderr.String(), "queue billing did not take") })
}

// A program that ends at its start is told of once, with how it ended.
func TestFunctionThatEndsAtItsStartIsTold(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	b := newHome(t)
	script := "#!/bin/sh\necho run >> '" + b.Path("runs") + "'\nexit 7\n"
	b.Check(os.WriteFile(b.Path("function"), []byte(script), 0o700))
	d := begin(b, "--home", b.Dir, "--function", "billing="+b.Path("function"))
	d.Until("it ran three times", func() bool {
		runs, _ := os.ReadFile(b.Path("runs")) // not there yet
		return strings.Count(string(runs), "run") >= 3
	})
	d.End()
	const want = "the function billing ended before it asked for an event: exit status 7"
	if n := strings.Count(d.Stderr.String(), want); n != 1 {
		t.Errorf("%d times\n%s", n, d.Stderr.String())
	}
}
