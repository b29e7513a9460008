package awslambda_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
)

// maxGrowth is what verifying may add to a function, in bytes.
const maxGrowth = 2.5 * 1024 * 1024

func size(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestVerifyingAddsFewBytes: a function that verifies, stripped and without the RPC mode, is no more than
// maxGrowth larger than one that says hello.
func TestVerifyingAddsFewBytes(t *testing.T) {
	hello, bootstrap := size(t, build(t, "hello", "lambda.norpc")),
		size(t, build(t, "bootstrap", "lambda.norpc"))
	t.Logf("hello %d bytes, bootstrap %d, growth %d of %d", hello, bootstrap, bootstrap-hello,
		int64(maxGrowth))
	if bootstrap-hello > maxGrowth {
		t.Errorf("verifying adds %d bytes, at most %d: see what is linked with go list -deps -tags lambda.norpc ./testdata/bootstrap", bootstrap-hello, int64(maxGrowth))
	}
	if bootstrap <= hello {
		t.Error("a function that verifies is no larger: it was not measured")
	}
}

// runtimeAPI is Lambda's runtime API for one function: it hands out one invocation, and then none.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	listener net.Listener
	server   *http.Server
	payload  []byte
	once     sync.Once
	first    chan time.Time // when the function asked for the first time
	answer   chan string    // "response" or "error", and what it said
}

func newRuntimeAPI(t testing.TB, payload []byte) *runtimeAPI {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	api := &runtimeAPI{listener: listener, payload: payload, first: make(chan time.Time, 1),
		answer: make(chan string, 1)}
	api.server = &http.Server{Handler: api}
	go api.server.Serve(listener)
	t.Cleanup(func() { api.server.Close() })
	return api
}

func (api *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch what := strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/invocation/"); what {
	case "next":
		first := false
		api.once.Do(func() { first = true })
		if first {
			api.first <- time.Now()
		}
		if !first || api.payload == nil {
			<-r.Context().Done() // the function is frozen
			return
		}
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "r")
		w.Header().Set("Lambda-Runtime-Deadline-Ms",
			fmt.Sprint(time.Now().Add(awslambdatest.Timeout).UnixMilli()))
		w.Write(api.payload)
	default:
		body, _ := io.ReadAll(r.Body)
		api.answer <- strings.TrimPrefix(what, "r/") + " " + string(body)
		w.WriteHeader(http.StatusAccepted)
	}
}

// run starts the program with the API and returns what ends it.
func (api *runtimeAPI) run(t testing.TB, program, root string) (stop func()) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + api.listener.Addr().String(), "LAMBDA_TASK_ROOT=" + root}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// TestRuntimeAPIGetsAnswers runs what is deployed, as it is deployed.
func TestRuntimeAPIGetsAnswers(t *testing.T) {
	w := newWorld(t)
	program, root := build(t, "bootstrap", "lambda.norpc"), taskRoot(t, w.org)
	forged := w.org.Broken(t, envelope.ReasonModified).EventBridge()
	for name, test := range map[string]struct {
		payload []byte
		want    string
	}{
		"a batch": {awslambdatest.SQS(t, w.delivery("a"), forged, w.sealed("c").JSON()),
			`response {"batchItemFailures":[{"itemIdentifier":"message-2"}]}`},
		"all failed": {awslambdatest.SQS(t, forged),
			`error {"errorMessage":"awslambda: 1 of 1 messages are to be delivered again`},
		"no batch": {w.delivery("a"), `error {"errorMessage":"awslambda: not a batch of SQS messages`},
	} {
		t.Run(name, func(t *testing.T) {
			api := newRuntimeAPI(t, test.payload)
			defer api.run(t, program, root)()
			select {
			case got := <-api.answer:
				if !strings.HasPrefix(got, test.want) {
					t.Errorf("got %s", got)
				}
				if _, doc, _ := strings.Cut(got, " "); !json.Valid([]byte(doc)) {
					t.Errorf("no JSON: %s", doc)
				}
			case <-time.After(2 * time.Minute):
				t.Error("no answer")
			}
		})
	}
}

// BenchmarkStart is how long a function takes from its start to its first question for an invocation, beside
// one that says hello: medians, in turn.
func BenchmarkStart(b *testing.B) {
	org := envelopetest.NewOrg(b, "orders", "https://orders.example/*")
	hello, bootstrap, root := build(b, "hello", "lambda.norpc"), build(b, "bootstrap", "lambda.norpc"),
		taskRoot(b, org)
	start := func(program string) float64 {
		api := newRuntimeAPI(b, nil)
		defer api.server.Close()
		began := time.Now()
		defer api.run(b, program, root)()
		return float64((<-api.first).Sub(began).Microseconds()) / 1e3
	}
	start(hello)
	start(bootstrap)
	var hellos, bootstraps []float64
	for b.Loop() {
		hellos, bootstraps = append(hellos, start(hello)), append(bootstraps, start(bootstrap))
	}
	slices.Sort(hellos)
	slices.Sort(bootstraps)
	h, s := hellos[len(hellos)/2], bootstraps[len(bootstraps)/2]
	b.ReportMetric(h, "hello-ms")
	b.ReportMetric(s, "bootstrap-ms")
	b.ReportMetric(s/h, "ratio")
}
