package localaws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Bootstrap is a program that is a Lambda function: it takes events from Lambda's Runtime API, which is
// served for it on a port of 127.0.0.1, as programs of aws-lambda-go do. It runs one invocation at a time. It
// is started again when it exits, and before the next invocation when its file was replaced by a new build.
//
// The Runtime API has no authentication, here as on AWS, where nothing else is in the sandbox. Any other
// program on this machine that finds the port can take an event, or answer in the program's place. It could
// as well receive or delete messages at the server itself. Web pages cannot: requests that a browser makes
// are refused.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type Bootstrap struct {
	path     string
	opts     BootstrapOptions
	listener net.Listener
	http     *http.Server
	ctx      context.Context // ends with Close
	stop     context.CancelFunc
	done     sync.WaitGroup // the supervisor and the server

	turn chan struct{} // holds an element while there is no invocation
	wake chan struct{} // holds an element if the next run is not to wait

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when there is an invocation for a program that asks
	process *process      // that runs; nil = none
	file    os.FileInfo   // of the program when it was started last; nil = unknown
	current *invocation   // that the program works on, or that waits for the program to ask; nil = none
}

// BootstrapOptions adjust StartBootstrap.
type BootstrapOptions struct {
	Name    string        // of the function; "" = the name of the file
	ARN     string        // of the function, as its program sees it; "" = that of Name, in us-east-1
	Timeout time.Duration // of an invocation: then the program is killed; 0 = 3 s, as on AWS
	Env     []string      // KEY=VALUE, to which the variables of Lambda are added; nil = those of this process
	Dir     string        // the working directory; "" = that of this process
	Output  io.Writer     // gets what the program prints, one Write at a time; nil = it is lost
	// Ended is told of the end of each run, but for Close. It does not wait, and calls no method of the
	// Bootstrap. nil = it is not called.
	Ended func(End)
}

// End is how a run of the program ended.
type End struct {
	Asked    bool   // the program had asked for an event
	Replaced bool   // it was ended because its file was replaced
	How      string // such as "exit status 1"
}

// How a program that exits is started again.
const (
	firstPause = 100 * time.Millisecond // after a program that took no invocation; then twice as long each time
	lastPause  = 10 * time.Second       // the longest
)

// settled is how old a file is that is no longer being written.
const settled = 200 * time.Millisecond

// maxInit is how long a program may take until it asks for its first event, as on AWS.
const maxInit = 10 * time.Second

// invocation is one event on its way through the program.
type invocation struct {
	id     string
	event  json.RawMessage
	latest time.Time // when it ends at the latest; zero = by the timeout of the function only
	taken  chan struct{}
	by     *process // that took it; nil = none has. Then deadline is set, and taken is closed.
	result chan invocationResult

	deadline time.Time
}

type invocationResult struct {
	response json.RawMessage
	err      error
}

// process is one run of the program.
type process struct {
	cmd      *exec.Cmd
	asked    bool // for its first event
	killed   bool
	replaced bool // killed, for a new build
}

// StartBootstrap starts the program. Close ends it.
func StartBootstrap(path string, opts *BootstrapOptions) (*Bootstrap, error) {
	var o BootstrapOptions
	if opts != nil {
		o = *opts
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("localaws: %w", err)
	}
	if path, err = exec.LookPath(path); err != nil {
		return nil, fmt.Errorf("localaws: the program of the function: %w", err)
	}
	if o.Name == "" {
		o.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	if o.ARN == "" {
		o.ARN = "arn:aws:lambda:us-east-1:000000000000:function:" + o.Name
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("localaws: %w", err)
	}
	b := &Bootstrap{path: path, opts: o, listener: listener, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		changed: make(chan struct{})}
	b.turn <- struct{}{}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.http = &http.Server{Handler: b.routes(), ReadHeaderTimeout: 10 * time.Second}
	first, err := b.start()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	b.done.Go(func() { _ = b.http.Serve(listener) }) // it ends with http.ErrServerClosed
	b.done.Go(func() { b.supervise(first) })
	return b, nil
}

// Close kills the program and what it has started, and returns when it is gone. An invocation under way
// fails.
func (b *Bootstrap) Close() error {
	b.stop()
	b.mu.Lock()
	b.killLocked()
	b.mu.Unlock()
	err := b.http.Close()
	b.done.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Addr is the address of the Runtime API, such as 127.0.0.1:9001.
func (b *Bootstrap) Addr() string { return b.listener.Addr().String() }

// killLocked ends the process, if one runs. It is called with b.mu locked.
func (b *Bootstrap) killLocked() {
	if b.process != nil {
		b.process.killed = true
		killGroup(b.process.cmd)
	}
}

// environment is that of the program.
func (b *Bootstrap) environment() []string {
	env := append([]string{}, b.opts.Env...)
	return append(env, // of two values, the program gets the last
		"AWS_LAMBDA_RUNTIME_API="+b.listener.Addr().String(), "AWS_LAMBDA_FUNCTION_NAME="+b.opts.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+b.opts.Name, "AWS_LAMBDA_LOG_STREAM_NAME=local",
		"_HANDLER=bootstrap", "LAMBDA_TASK_ROOT="+filepath.Dir(b.path))
}

// start begins one run of the program.
func (b *Bootstrap) start() (*process, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return nil, b.ctx.Err()
	}
	p := &process{cmd: exec.Command(b.path)}
	b.file, _ = os.Stat(b.path) // if it is gone, Start says so
	p.cmd.Env, p.cmd.Dir = b.environment(), b.opts.Dir
	p.cmd.Stdout, p.cmd.Stderr = b.opts.Output, b.opts.Output // one writer for both: os/exec writes in turn
	p.cmd.WaitDelay = time.Second                             // for what has left the group and holds the output
	ownGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("localaws: start the program of the function: %w", err)
	}
	b.process = p
	return p, nil
}

// supervise waits for the end of each run and starts the next.
func (b *Bootstrap) supervise(p *process) {
	pause := firstPause
	for {
		if p != nil && b.wait(p) {
			pause = firstPause
		}
		select {
		case <-b.ctx.Done():
			return
		case <-b.wake:
			pause = firstPause
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
		var err error
		if p, err = b.start(); err != nil && b.ctx.Err() == nil {
			b.fail(&FunctionError{"Runtime.InvalidEntrypoint", err.Error()})
		}
	}
}

// wait waits for the end of one run. It fails what the program worked on, and what waits for a program that
// never asked. It reports whether the program had asked for an event, so that it may be started again soon.
func (b *Bootstrap) wait(p *process) (asked bool) {
	slow := time.AfterFunc(maxInit, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.process == p && !p.asked {
			b.killLocked()
		}
	})
	err := p.cmd.Wait()
	slow.Stop()
	killGroup(p.cmd) // what it has started
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process = nil
	if b.opts.Ended != nil && b.ctx.Err() == nil {
		b.opts.Ended(End{p.asked, p.replaced, p.cmd.ProcessState.String()})
	}
	if b.current != nil && (b.current.by == p || !p.asked && !p.replaced) {
		text := "Runtime exited without providing a reason"
		if err != nil {
			text = "Runtime exited with error: " + err.Error()
		}
		b.finishLocked(invocationResult{err: &FunctionError{"Runtime.ExitError", text}})
	}
	return p.asked || p.replaced
}

// finishLocked is called with b.mu locked. There is one result for each invocation.
func (b *Bootstrap) finishLocked(r invocationResult) {
	b.current.result <- r
	b.current = nil
}

// Invoke is a Handler. It waits for its turn until ctx ends. If the program does not answer in its time, or
// before ctx ends, it is killed, as on AWS.
func (b *Bootstrap) Invoke(ctx context.Context, event json.RawMessage) (any, error) {
	if len(event) > maxPayload {
		return nil, tooLargeEvent(len(event))
	}
	select {
	case <-b.turn:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-b.ctx.Done():
		return nil, errBootstrapClosed
	}
	defer func() { b.turn <- struct{}{} }()
	b.renew(ctx)
	in := &invocation{id: newUUID(), event: event, taken: make(chan struct{}),
		result: make(chan invocationResult, 1)}
	in.latest, _ = ctx.Deadline()
	b.mu.Lock()
	b.current = in
	close(b.changed)
	b.changed = make(chan struct{})
	b.mu.Unlock()
	taken := in.taken
	var end <-chan time.Time
	for {
		select {
		case <-taken:
			timer := time.NewTimer(time.Until(in.deadline))
			defer timer.Stop()
			taken, end = nil, timer.C
		case r := <-in.result:
			return r.value()
		case <-end:
			return nil, b.abandon(in, &FunctionError{"Sandbox.Timedout",
				fmt.Sprintf("Task timed out after %.2f seconds", b.opts.Timeout.Seconds())})
		case <-ctx.Done():
			return nil, b.abandon(in, context.Cause(ctx))
		case <-b.ctx.Done():
			return nil, b.abandon(in, errBootstrapClosed)
		}
	}
}

// renew ends a program whose file was replaced since it was started: the next run is of the new one, and
// takes the invocation that follows. While the file is gone or still being written, the old program goes on.
func (b *Bootstrap) renew(ctx context.Context) {
	now, err := os.Stat(b.path)
	if err != nil || !b.outdated(now, false) {
		return
	}
	if wait := settled - time.Since(now.ModTime()); wait > 0 {
		select {
		case <-ctx.Done():
		case <-b.ctx.Done():
		case <-time.After(min(wait, settled)):
		}
	}
	if later, err := os.Stat(b.path); err == nil && same(now, later) {
		b.outdated(later, true)
	}
}

// outdated reports whether the program was started from another file than now. If it is to, it ends the run,
// or the pause before the next one.
func (b *Bootstrap) outdated(now os.FileInfo, end bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.process
	switch {
	case b.file == nil || same(b.file, now) || p != nil && p.killed:
		return false
	case end && p != nil:
		p.replaced = true
		b.killLocked()
	case end:
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// same reports whether a file is the one that it was.
func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

var errBootstrapClosed = errors.New("localaws: the function was closed")

// value is the result for a caller: null is nil.
func (r invocationResult) value() (any, error) {
	if r.err != nil || r.response == nil {
		return nil, r.err
	}
	return r.response, nil
}

// fail ends the invocation that there is, if there is one, with an error.
func (b *Bootstrap) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != nil {
		b.finishLocked(invocationResult{err: err})
	}
}

// abandon gives an invocation up and returns the error for its caller. The program is killed if it has the
// event: nothing else would stop it.
func (b *Bootstrap) abandon(in *invocation, why error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != in {
		return why // it has just ended otherwise
	}
	b.current = nil
	if in.by != nil && in.by == b.process {
		b.killLocked()
	}
	return why
}
