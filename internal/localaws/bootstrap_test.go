//go:build unix

package localaws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
	"github.com/sealbus/sealbus/internal/testbed/program"
)

// TestBootstrap runs a program of aws-lambda-go, which is linked once for all of it.
func TestBootstrap(t *testing.T) {
	file := filepath.Join(t.TempDir(), "function")
	if err := program.Build(file, "internal/localaws/testdata/function", "lambda.norpc"); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(t *testing.T, file string){
		"answers": bootstrapAnswers, "sees its invocation": bootstrapSees, "ends at its deadline": bootstrapEnds,
		"is closed with its children": bootstrapClosed, "cannot begin": bootstrapCannotBegin,
		"takes turns": bootstrapTakesTurns, "refuses browsers": bootstrapRefusesBrowsers,
		"is built anew": bootstrapRenewed, "is built anew before it asks": bootstrapRenewedAtStart,
		"is fed from a queue": bootstrapFromQueue, "is invoked over HTTP": bootstrapInvoked,
	} {
		t.Run(name, func(t *testing.T) { test(t, file) })
	}
}

// output collects what a function prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func startFunction(t *testing.T, file string, opts *localaws.BootstrapOptions) *localaws.Bootstrap {
	t.Helper()
	b, err := localaws.StartBootstrap(file, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// long is a timeout that no invocation of a test reaches.
const long = time.Minute

func invoke(t *testing.T, b *localaws.Bootstrap, event string) (string, error) {
	t.Helper()
	response, err := b.Invoke(t.Context(), json.RawMessage(event))
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), nil
}

func wantFailure(t *testing.T, what string, err error, kind string) *localaws.FunctionError {
	t.Helper()
	e, is := errors.AsType[*localaws.FunctionError](err)
	if !is || e.Type != kind {
		t.Fatalf("%s: %v, want a FunctionError %s", what, err, kind)
	}
	return e
}

// bootstrapAnswers: one program after the other thing that can happen to it, and it works after each.
func bootstrapAnswers(t *testing.T, file string) {
	var out output
	b := startFunction(t, file, &localaws.BootstrapOptions{Timeout: long, Output: &out})
	for _, c := range []struct {
		event, want string // want is the response, or the type of the error
		fails       bool
	}{
		{`{"Do":"echo","Text":"<ü>"}`, `"<ü>"`, false},
		{`{"Do":"nothing"}`, `null`, false},
		{`{"Do":"fail","Text":"sorry"}`, "errorString", true},
		{`"not an object"`, "UnmarshalTypeError", true},
		{`{"Do":"panic","Text":"oh"}`, "string", true}, // the runtime tells, and exits
		{`{"Do":"exit"}`, "Runtime.ExitError", true},
		{`{"Do":"large","Size":6291455}`, "Function.ResponseSizeTooLarge", true}, // with its quotes one too many
	} {
		got, err := invoke(t, b, c.event)
		if c.fails {
			wantFailure(t, c.event, err, c.want)
		} else if err != nil || unescaped(got) != c.want {
			t.Errorf("%s: %s, %v", c.event, got, err)
		}
		if got, err := invoke(t, b, `{"Do":"echo","Text":"after"}`); got != `"after"` || err != nil {
			t.Fatalf("after %s: %s, %v\n%s", c.event, got, err, out.String())
		}
	}
	if got, err := invoke(t, b, `{"Do":"large","Size":6291454}`); len(got) != 6<<20 || err != nil {
		t.Errorf("the largest response: %d bytes, %v", len(got), err)
	}
	_, err := invoke(t, b, `{"Do":"echo","Text":"`+strings.Repeat("x", 6<<20)+`"}`)
	wantFailure(t, "a large event", err, "RequestEntityTooLarge")
	_, err = invoke(t, b, `{"Do":"fail","Text":"`+strings.Repeat("x", 1<<20)+`"}`)
	if e := wantFailure(t, "a long error", err, "errorString"); len(e.Message) > 5<<10 {
		t.Errorf("%d bytes of an error are kept", len(e.Message))
	}
}

// unescaped is the JSON without the escapes that encoding/json adds for HTML.
func unescaped(text string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(text)
}

func bootstrapSees(t *testing.T, file string) {
	var out output
	const arn = "arn:aws:lambda:eu-west-1:111122223333:function:billing"
	b := startFunction(t, file, &localaws.BootstrapOptions{
		Name: "billing", ARN: arn, Timeout: long, Output: &out,
		Env: []string{"SEALBUS_HOME=/shop", "AWS_LAMBDA_FUNCTION_NAME=another"},
	})
	type seen struct {
		ID, ARN, Trace, Name, Version, Home string
		PID                                 int
		Deadline                            time.Time
	}
	look := func(ctx context.Context) (s seen) {
		response, err := b.Invoke(ctx, json.RawMessage(`{"Do":"context"}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(response.(json.RawMessage), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := time.Now()
	first := look(t.Context())
	if first.ARN != arn || first.Name != "billing" || first.Version != "$LATEST" || first.Home != "/shop" ||
		!strings.HasPrefix(first.Trace, "Root=1-") || len(first.ID) != 36 {
		t.Errorf("it sees %+v", first)
	}
	earliest := before.Add(long).Truncate(time.Millisecond)
	if d := first.Deadline; d.Before(earliest) || d.After(time.Now().Add(long)) {
		t.Errorf("its deadline is %v, and it began at %v", d, before)
	}
	sooner := time.Now().Add(long / 2).Truncate(time.Millisecond)
	ctx, cancel := context.WithDeadline(t.Context(), sooner)
	defer cancel()
	if second := look(ctx); second.ID == first.ID || second.PID != first.PID || !second.Deadline.Equal(sooner) {
		t.Errorf("it sees %+v after %+v, and is to end at %v", second, first, sooner)
	}
	if _, err := invoke(t, b, `{"Do":"print","Text":"hello"}`); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil { // so that all output is here
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "out: hello\n") || !strings.Contains(got, "err: hello\n") {
		t.Errorf("printed %q", got)
	}
	if _, err := invoke(t, b, `{"Do":"echo"}`); err == nil {
		t.Error("a function that was closed answers")
	}
}

// A program that does not end in its time is killed. The next event gets a new one.
func bootstrapEnds(t *testing.T, file string) {
	b := startFunction(t, file, &localaws.BootstrapOptions{Timeout: 300 * time.Millisecond})
	first, err := pid(t, b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = invoke(t, b, `{"Do":"hang"}`)
	wantFailure(t, "a program that hangs", err, "Sandbox.Timedout")
	second, err := pid(t, b)
	if err != nil || second == first {
		t.Errorf("after it: process %d, %v; before it %d", second, err, first)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Invoke(ctx, json.RawMessage(`{"Do":"hang"}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
	if _, err := pid(t, b); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// pid is the process that answers. A process that was just started may take longer than a short timeout, and
// is asked again.
func pid(t *testing.T, b *localaws.Bootstrap) (int, error) {
	t.Helper()
	var s struct{ PID int }
	var err error
	for range 20 {
		var text string
		if text, err = invoke(t, b, `{"Do":"context"}`); err == nil {
			err = json.Unmarshal([]byte(text), &s)
			return s.PID, err
		}
	}
	return 0, err
}

// Close kills what the program has started, too, and does not wait for whatever holds its output.
func bootstrapClosed(t *testing.T, file string) {
	b := startFunction(t, file, &localaws.BootstrapOptions{Timeout: long, Output: &output{}})
	child, err := invoke(t, b, `{"Do":"child"}`)
	if err != nil {
		t.Fatal(err)
	}
	var p int
	if _, err := fmt.Sscan(child, &p); err != nil || syscall.Kill(p, 0) != nil {
		t.Fatalf("the child %s does not run: %v", child, err)
	}
	hangs := make(chan error, 1)
	go func() {
		_, err := b.Invoke(context.Background(), json.RawMessage(`{"Do":"hang"}`))
		hangs <- err
	}()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-hangs; err == nil {
		t.Error("an invocation under way did not fail")
	}
	if !gone(p) {
		t.Errorf("the child %d lives on", p)
	}
}

// A program that cannot begin fails each event, and is started again.
func bootstrapCannotBegin(t *testing.T, file string) {
	var out output
	b := startFunction(t, file, &localaws.BootstrapOptions{Env: []string{"FAIL_INIT=1"}, Output: &out})
	for range 2 {
		_, err := invoke(t, b, `{"Do":"echo"}`)
		wantFailure(t, "an event", err, "Runtime.ExitError")
	}
	if n := strings.Count(out.String(), "no start"); n < 2 {
		t.Errorf("it was started %d times", n)
	}
	if _, err := localaws.StartBootstrap(filepath.Join(t.TempDir(), "missing"), nil); err == nil {
		t.Error("a program that is missing was started")
	}
}

// placeFile puts a program in the place of another, as a build does. It was written so long ago.
func placeFile(t *testing.T, path string, program []byte, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(path+".new", program, 0o700); err != nil {
		t.Fatal(err)
	}
	written := time.Now().Add(-age)
	if err := errors.Join(os.Chtimes(path+".new", written, written), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// A new build also takes over from a program that never asks for an event: the next event does not fail.
func bootstrapRenewedAtStart(t *testing.T, file string) {
	build, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"#!/bin/sh\nexec sleep 60\n", "#!/bin/sh\nexit 1\n"} {
		mine := filepath.Join(t.TempDir(), "function")
		placeFile(t, mine, []byte(old), time.Hour)
		ends := make(chan localaws.End, 100)
		b := startFunction(t, mine, &localaws.BootstrapOptions{Timeout: long,
			Ended: func(e localaws.End) { ends <- e }})
		if strings.Contains(old, "exit") {
			<-ends
			<-ends
		}
		placeFile(t, mine, build, 2*time.Hour)
		if got, err := invoke(t, b, `{"Do":"echo","Text":"new"}`); got != `"new"` || err != nil {
			t.Errorf("after %q: %s, %v", old, got, err)
		}
	}
}

// A new build takes over before the next event, which it answers. While there is no file, the old one goes
// on.
func bootstrapRenewed(t *testing.T, file string) {
	build, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(t.TempDir(), "function")
	place := func(age time.Duration) { t.Helper(); placeFile(t, mine, build, age) }
	place(time.Hour)
	ends := make(chan localaws.End, 10)
	b := startFunction(t, mine, &localaws.BootstrapOptions{Timeout: long,
		Ended: func(e localaws.End) { ends <- e }})
	running := func() (found struct{ PID int }) {
		t.Helper()
		text, err := invoke(t, b, `{"Do":"context"}`)
		if err != nil || json.Unmarshal([]byte(text), &found) != nil {
			t.Fatalf("%q, %v", text, err)
		}
		return found
	}
	first := running()
	if again := running(); again != first {
		t.Errorf("without a new build, process %d follows %d", again, first)
	}
	for name, age := range map[string]time.Duration{"an old file": 2 * time.Hour, "just written": 0} {
		before := running()
		place(age)
		if after := running(); after == before {
			t.Errorf("%s: the old process goes on", name)
		}
		if e := <-ends; !e.Replaced || !e.Asked {
			t.Errorf("%s: the run ended as %+v", name, e)
		}
	}
	before := running()
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	if after := running(); after != before {
		t.Error("without a file, it was ended")
	}
	if _, err := invoke(t, b, `{"Do":"exit"}`); err == nil {
		t.Error("it did not exit")
	}
	if e := <-ends; e.Replaced {
		t.Errorf("a run that exits ended as %+v", e)
	}
}

// Events that come at the same time are handled one after the other.
func bootstrapTakesTurns(t *testing.T, file string) {
	b := startFunction(t, file, &localaws.BootstrapOptions{Timeout: long})
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			want := fmt.Sprintf(`"%d"`, i)
			if got, err := invoke(t, b, `{"Do":"echo","Text":`+want+`}`); got != want || err != nil {
				t.Errorf("%s: %s, %v", want, got, err)
			}
		})
	}
	all.Wait()
}

// A page in a browser can neither take an event nor answer one.
func bootstrapRefusesBrowsers(t *testing.T, file string) {
	b := startFunction(t, file, &localaws.BootstrapOptions{Timeout: long})
	for name, change := range map[string]func(*http.Request){
		"a page's origin":  func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"a picture":        func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a rebound name":   func(r *http.Request) { r.Host = "evil.example" },
		"a name of itself": func(r *http.Request) { r.Host = "localhost" },
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			"http://"+b.Addr()+"/2018-06-01/runtime/invocation/next", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", name, answer.StatusCode)
		}
	}
	r, err := http.Post("http://"+b.Addr()+"/2018-06-01/runtime/invocation/none/response", "application/json",
		strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("a response to no event: status %d", r.StatusCode)
	}
}

// gone waits until a process that was killed is dead. One that no parent has buried yet is.
func gone(pid int) bool {
	for end := time.Now().Add(long); time.Now().Before(end); runtime.Gosched() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if syscall.Kill(pid, 0) != nil || err == nil && strings.Contains(string(stat), ") Z ") {
			return true
		}
	}
	return false
}

// A queue feeds the program. An event that fails comes again.
func bootstrapFromQueue(t *testing.T, file string) {
	var out output
	b := startFunction(t, file, &localaws.BootstrapOptions{Timeout: long, Output: &out})
	q := newQueues(t, nil)
	url, arn := q.create("billing", map[string]string{"VisibilityTimeout": "1"})
	type record struct{ Body string }
	failed := make(chan struct{}, 1)
	first := true
	q.check(q.server.MapQueue(arn, "billing", func(ctx context.Context, event json.RawMessage) (any, error) {
		var batch struct{ Records []record }
		if err := json.Unmarshal(event, &batch); err != nil || len(batch.Records) != 1 {
			return nil, fmt.Errorf("%d records: %w", len(batch.Records), err)
		}
		text := batch.Records[0].Body
		if first {
			first, text = false, `{"Do":"exit"}`
			defer func() { failed <- struct{}{} }()
		}
		return b.Invoke(ctx, json.RawMessage(text))
	}, nil))
	q.send(url, `{"Do":"print","Text":"a message"}`)
	<-failed
	q.clock.move(2 * time.Second)
	q.check(q.server.DrainQueue(t.Context(), arn))
	q.check(b.Close())
	if !strings.Contains(out.String(), "out: a message") {
		t.Errorf("printed %q", out.String())
	}
}

func bootstrapInvoked(t *testing.T, file string) {
	b := startFunction(t, file, &localaws.BootstrapOptions{Timeout: long})
	q := newQueues(t, nil)
	_, arn := q.create("billing", nil)
	q.check(q.server.MapQueue(arn, "billing", b.Invoke, nil))
	q.server.SetFunction("listed", localaws.FunctionConfig{})
	client := newLambdaClient(q.server.URL())
	call := func(name string, kind types.InvocationType, payload string) (*lambda.InvokeOutput, error) {
		return client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, InvocationType: kind,
			Payload: []byte(payload)})
	}
	out, err := call("billing", "", `{"Do":"echo","Text":"hi"}`)
	if err != nil || out.StatusCode != 200 || string(out.Payload) != `"hi"` || out.FunctionError != nil ||
		aws.ToString(out.ExecutedVersion) != "$LATEST" {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = call("billing", "", `{"Do":"fail","Text":"sorry"}`)
	if err != nil || out.StatusCode != 200 || aws.ToString(out.FunctionError) != "Unhandled" ||
		string(out.Payload) != `{"errorMessage":"sorry","errorType":"errorString"}` {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err = call("billing", types.InvocationTypeDryRun, "{}"); err != nil || out.StatusCode != 204 {
		t.Errorf("%+v, %v", out, err)
	}
	for _, name := range []string{"missing", "listed"} {
		if _, err := call(name, "", "{}"); localawstest.CodeOf(err) != "ResourceNotFoundException" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = call("billing", types.InvocationTypeEvent, "{}")
	if localawstest.CodeOf(err) != "InvalidParameterValueException" {
		t.Errorf("an asynchronous call: %v", err)
	}
	if _, err := call("billing", "", "{"); localawstest.CodeOf(err) != "InvalidRequestContentException" {
		t.Errorf("no JSON: %v", err)
	}
}
