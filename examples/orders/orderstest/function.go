package orderstest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/sealbus/sealbus/internal/testbed/program"
)

// Function is a process that runs a function: its real program, in the RPC mode of aws-lambda-go.
type Function struct {
	cmd    *exec.Cmd
	client *rpc.Client
	output *output
	ended  chan struct{}
}

// output is a buffer that a process writes while a test may read it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Bounds of what a start may take: generous, since the machine may be busy.
const (
	startAttempts = 5 // another program may take a port in between
	startPatience = time.Minute
)

// built are the programs that this test process has built, by their path.
var built sync.Map

// Main is what TestMain does: it runs the tests and removes the programs that they built.
func Main(m *testing.M) {
	code := m.Run()
	built.Range(func(_, once any) bool {
		if bootstrap, err := once.(func() (string, error))(); err == nil {
			os.RemoveAll(filepath.Dir(bootstrap))
		}
		return true
	})
	os.Exit(code)
}

// Build builds a program of this module, such as "examples/orders/billing", and returns where it is. It is
// built once.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs")
	}
	once, _ := built.LoadOrStore(pkg, sync.OnceValues(func() (string, error) { return build(pkg) }))
	bootstrap, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return bootstrap
}

func build(pkg string) (string, error) {
	dir, err := os.MkdirTemp("", "sealbus-examples")
	if err != nil {
		return "", err
	}
	bootstrap := filepath.Join(dir, "bootstrap")
	if err := program.Build(bootstrap, pkg, ""); err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return bootstrap, nil
}

// Start builds the program and runs it until the test ends. Its environment is env and what leads to the
// World.
func (w *World) Start(pkg string, env []string) *Function {
	w.t.Helper()
	f, err := w.TryStart(pkg, env)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// TryStart is Start for a function that may refuse to start: the error has what it wrote.
func (w *World) TryStart(pkg string, env []string) (*Function, error) {
	w.t.Helper()
	bootstrap := Build(w.t, pkg)
	var err error
	for range startAttempts {
		var f *Function
		if f, err = w.run(bootstrap, env); err == nil {
			w.t.Cleanup(f.Kill)
			return f, nil
		}
	}
	return nil, err
}

func (w *World) run(bootstrap string, env []string) (*Function, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	f := &Function{cmd: exec.Command(bootstrap), output: &output{}, ended: make(chan struct{})}
	f.cmd.Dir, f.cmd.Stdout, f.cmd.Stderr = w.root, f.output, f.output
	f.cmd.Env = append(append([]string{"_LAMBDA_SERVER_PORT=" + port, "HOME=" + w.root, "TMPDIR=" +
		w.t.TempDir()}, w.AWSEnv()...), env...)
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		f.cmd.Wait()
		close(f.ended)
	}()
	for deadline := time.Now().Add(startPatience); time.Now().Before(deadline); {
		if f.client, err = rpc.Dial("tcp", net.JoinHostPort("localhost", port)); err == nil {
			if err = f.client.Call("Function.Ping", &messages.PingRequest{},
				&messages.PingResponse{}); err == nil {
				return f, nil
			}
		}
		select {
		case <-f.ended:
			return nil, fmt.Errorf("the function ended at its start:\n%s", f.output)
		case <-time.After(20 * time.Millisecond):
		}
	}
	f.Kill()
	return nil, fmt.Errorf("the function does not start:\n%s", f.output)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// Invoke invokes the function, as Lambda does with one of 30 seconds.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	deadline := time.Now().Add(30 * time.Second)
	if sooner, ok := ctx.Deadline(); ok && sooner.Before(deadline) {
		deadline = sooner
	}
	in := &messages.InvokeRequest{
		Payload: payload, RequestId: "11111111-2222-4333-8444-555555555555",
		InvokedFunctionArn: "arn:aws:lambda:us-east-1:000000000000:function:f",
		Deadline: messages.InvokeRequest_Timestamp{Seconds: deadline.Unix(),
			Nanos: int64(deadline.Nanosecond())},
	}
	var out messages.InvokeResponse
	if err := f.client.Call("Function.Invoke", in, &out); err != nil {
		return nil, err
	}
	if out.Error != nil {
		return nil, fmt.Errorf("%s: %s", out.Error.Type, out.Error.Message)
	}
	return out.Payload, nil
}

// Log is what it wrote so far.
func (f *Function) Log() string { return f.output.String() }

// Kill ends the process as a crash does, and waits for its end.
func (f *Function) Kill() {
	f.cmd.Process.Kill()
	<-f.ended
}
