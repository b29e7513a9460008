package awslambda_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/internal/testbed/program"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// build makes one of the programs below testdata, as one deploys it.
func build(t testing.TB, name, tags string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	if err := program.Build(out, "consumer/awslambda/testdata/"+name, tags); err != nil {
		t.Fatal(err)
	}
	return out
}

// taskRoot is a directory with the trust of the organisation, signed by roots: what is deployed beside the
// program.
func taskRoot(t testing.TB, org *envelopetest.Org) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := keys.GenerateSigner(keys.Ed25519, "root")
	must(err)
	roots, err := trust.NewRoots(1, 1, root.Verifier())
	must(err)
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: org.Now(),
		Expires: org.Now().Add(24 * time.Hour)}, &trust.Key{
		Verifier: org.Signer().Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"},
	})
	must(err)
	signed, err := trust.SignBundle(t.Context(), bundle, root)
	must(err)
	dir := t.TempDir()
	must(os.WriteFile(filepath.Join(dir, "roots.json"), roots.Payload(), 0o600))
	must(os.WriteFile(filepath.Join(dir, "bundle.dsse"), signed, 0o600))
	return dir
}

// peer is the replay store and the handler of the functions that a test starts, and outlives them.
type peer struct {
	*world
	clock *replaytest.Clock // of the store
	store replay.Store
	addr  string
	calls chan call
}

// call is one call of the handler. It goes on with the order that it is given: "", "fail" or "wait".
type call struct {
	item, key string
	order     chan string
}

// Ask and Answer are those of testdata/bootstrap.
type Ask struct {
	Key, Digest [32]byte
	Until       time.Time
	Lease       time.Duration
	Claim       replay.Claim
}

type Answer struct {
	Claim  replay.Claim
	Status replay.Status
}

func (p *peer) Claim(ask *Ask, answer *Answer) (err error) {
	answer.Claim, answer.Status, err = p.store.Claim(context.Background(), ask.Key, ask.Digest, ask.Until,
		ask.Lease)
	return err
}

func (p *peer) Renew(ask *Ask, _ *Answer) error {
	return p.store.Renew(context.Background(), ask.Claim, ask.Lease)
}

func (p *peer) Complete(ask *Ask, _ *Answer) error {
	return p.store.Complete(context.Background(), ask.Claim, ask.Until)
}

func (p *peer) Release(ask *Ask, _ *Answer) error {
	return p.store.Release(context.Background(), ask.Claim)
}

func (p *peer) Handle(args [2]string, order *string) error {
	c := call{args[0], args[1], make(chan string)}
	p.calls <- c
	*order = <-c.order
	return nil
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{world: newWorld(t), clock: replaytest.NewClock(time.Now()), calls: make(chan call)}
	p.store = replay.NewMemory(&replay.MemoryOptions{Now: p.clock.Now})
	server := rpc.NewServer()
	if err := server.RegisterName("Peer", p); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	p.addr = listener.Addr().String()
	go func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			go server.ServeConn(conn)
		}
	}()
	return p
}

// obey answers the calls of the handler by item until the test ends.
func (p *peer) obey(orders map[string]string) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case c := <-p.calls:
				p.mu.Lock()
				p.handled = append(p.handled, c.item)
				p.mu.Unlock()
				c.order <- orders[c.item]
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// function is one process.
type function struct {
	*testing.T
	process *exec.Cmd
	client  *rpc.Client
	output  *bytes.Buffer
}

// start starts the program in the RPC mode of the Lambda runtime, which listens on the port that it is given.
func (p *peer) start(program, root string) *function {
	p.Helper()
	for range 5 { // another program may take the port
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(free.Addr().String())
		free.Close()
		f := &function{T: p.T, output: &bytes.Buffer{}, process: exec.Command(program)}
		f.process.Env = []string{"_LAMBDA_SERVER_PORT=" + port, "LAMBDA_TASK_ROOT=" +
			root, "SEALBUS_TEST_PEER=" + p.addr}
		f.process.Stdout, f.process.Stderr = f.output, f.output
		if err := f.process.Start(); err != nil {
			p.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.process.Wait()
		}()
		p.Cleanup(func() {
			f.process.Process.Kill()
			<-ended
		})
		if f.client = dial(port, ended); f.client != nil {
			return f
		}
		p.Logf("the function did not start: %s", f.output)
	}
	p.Fatal("no function")
	return nil
}

// dial waits until the function listens; nil if it ended.
func dial(port string, ended <-chan struct{}) *rpc.Client {
	for range 3000 {
		if client, err := rpc.Dial("tcp", "localhost:"+port); err == nil {
			return client
		}
		select {
		case <-ended:
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// invoke invokes the function as Lambda does.
func (f *function) invoke(timeout time.Duration, payload []byte) (*messages.InvokeResponse, error) {
	end := time.Now().Add(timeout)
	var response messages.InvokeResponse
	err := f.client.Call("Function.Invoke", &messages.InvokeRequest{
		Payload: payload, RequestId: "r",
		InvokedFunctionArn: "arn:aws:lambda:eu-central-1:123456789012:function:billing",
		Deadline: messages.InvokeRequest_Timestamp{Seconds: end.Unix(),
			Nanos: int64(end.Nanosecond())},
	}, &response)
	return &response, err
}

// want invokes it and wants that response, or an error with that text in it.
func (f *function) want(payload []byte, response, failure string) {
	f.Helper()
	got, err := f.invoke(awslambdatest.Timeout, payload)
	if err != nil {
		f.Fatalf("%v: %s", err, f.output)
	}
	message := ""
	if got.Error != nil {
		message = got.Error.Message
	}
	if string(got.Payload) != response || (failure == "") != (message == "") ||
		!strings.Contains(message, failure) {
		f.Errorf("got %s, %q; want %s, %q", got.Payload, message, response, failure)
	}
}

const noFailures = `{"batchItemFailures":[]}`

// TestRealBootstrapHandlesOnce runs the real thing: the Lambda runtime's own code around a function, in a
// process of its own.
func TestRealBootstrapHandlesOnce(t *testing.T) {
	p := newPeer(t)
	program, root := build(t, "bootstrap", ""), taskRoot(t, p.org)
	f := p.start(program, root)
	t.Run("answers", func(t *testing.T) { p.answers(f) })
	t.Run("deadline", func(t *testing.T) { p.deadline(f) })
	t.Run("killed", func(t *testing.T) { p.killed(f, func() *function { return p.start(program, root) }) })
}

func (p *peer) answers(f *function) {
	defer p.obey(map[string]string{"c": "fail"})()
	forged := p.org.Broken(p, envelope.ReasonBadSignature).EventBridge()
	batch := awslambdatest.SQS(p, p.delivery("a"), forged, p.delivery("c"), p.sealed("d").JSON())
	f.want(batch, `{"batchItemFailures":[{"itemIdentifier":"message-2"},{"itemIdentifier":"message-3"}]}`, "")
	same(p.T, "handled", p.sortedItems(), []string{"a", "c", "d"})
	f.want(awslambdatest.SQS(p, p.delivery("e")), noFailures, "")
	f.want(awslambdatest.SQS(p, forged), "", "1 of 1 messages")
	f.want(awslambdatest.SQS(p, p.delivery("c")), "", "no stock")
	f.want(p.delivery("a"), "", "not a batch of SQS messages")
}

// The handler waits for the end of its context; what it gave up is handled when it comes again.
func (p *peer) deadline(f *function) {
	batch := awslambdatest.SQS(p, p.delivery("slow"))
	p.taken()
	stop := p.obey(map[string]string{"slow": "wait"})
	for timeout := 500 * time.Millisecond; ; timeout *= 2 { // on a slow machine it may not be begun
		response, err := f.invoke(timeout, batch)
		if err != nil || response.Error == nil || response.Payload != nil || timeout > time.Minute {
			p.Fatalf("got %+v, %v", response, err)
		}
		if len(p.taken()) > 0 {
			if !strings.Contains(response.Error.Message, "time is nearly up") {
				p.Error(response.Error.Message)
			}
			break
		}
	}
	stop()
	defer p.obey(nil)()
	f.want(batch, noFailures, "")
	same(p.T, "handled", p.taken(), []string{"slow"})
}

// A process that is killed in a handler loses nothing: its messages come again, wait until its lease has
// lapsed, and have the same IdempotencyKey. An event that it had completed is a duplicate.
func (p *peer) killed(f *function, restart func() *function) {
	batch := awslambdatest.FIFO(p, p.grouped("x1", "y1")...)
	result := make(chan error)
	go func() {
		_, err := f.invoke(awslambdatest.Timeout, batch)
		result <- err
	}()
	keys := map[string]string{}
	for range 2 {
		c := <-p.calls
		if keys[c.item] = c.key; c.item == "y1" {
			c.order <- ""
		}
	}
	for range 6000 { // until y1 is completed
		if p.completed(keys["y1"]) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.process.Process.Kill()
	if err := <-result; err == nil {
		p.Error("an answer from a process that was killed")
	}

	g := restart()
	g.want(batch, `{"batchItemFailures":[{"itemIdentifier":"message-1"}]}`, "")
	p.clock.Advance(consumer.DefaultLease + time.Second)
	go func() {
		_, err := g.invoke(awslambdatest.Timeout, batch)
		result <- err
	}()
	c := <-p.calls
	c.order <- ""
	if err := <-result; err != nil || c.item != "x1" || c.key != keys["x1"] {
		p.Errorf("%v; handled %s with the key %s, before it was %s", err, c.item, c.key, keys["x1"])
	}
	g.want(batch, noFailures, "")
}

// completed asks the store about the event with that IdempotencyKey.
func (p *peer) completed(idempotencyKey string) bool {
	var key [32]byte
	if _, err := hex.Decode(key[:], []byte(idempotencyKey)); err != nil {
		p.Fatal(err)
	}
	_, status, err := p.store.Claim(context.Background(), key, [32]byte{}, p.clock.Now().Add(time.Hour),
		time.Second)
	return err == nil && status == replay.CompletedOther
}
