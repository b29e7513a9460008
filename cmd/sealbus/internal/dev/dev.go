// Package dev has the command that runs a part of AWS on this machine, with a bus, queues and a trust bundle,
// and says what becomes of each event.
package dev

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// defaultPort is where it listens unless told otherwise.
const defaultPort = 4570

// devFlags are those of `dev`.
type devFlags struct {
	home, dir string
	port      int
	functions []string
	unsafe    string // an address that other machines may reach; "" = loopback
	printEnv  bool
}

// Command makes the command.
func Command(env *ui.Env) *cobra.Command {
	f := &devFlags{}
	cmd := env.Command(ui.Command{
		Use:   "dev [--home DIR] [--dir DIR] [--port N] [--function NAME=PROGRAM|URL...] [--print-env]",
		Short: "Run a bus, queues and a trust bundle on this machine, and watch the events",
		Long: `Serve a part of AWS at http://127.0.0.1:4570, for programs under development: EventBridge, SQS, Lambda,
KMS, S3 and DynamoDB. AWS SDKs and the AWS CLI find it by the variables that --print-env writes. It has, from
the start:

  central        a bus, with a rule for each consumer of the home
  NAME           a queue for each consumer, and NAME-dlq for its dead letters
  quarantine     a queue for the records of refused events
  claims         a table in DynamoDB, for the claims of consumers
  sealbus        a bucket in S3, with the trust bundle and the roots of the home
  alias/sealbus  a key in KMS that signs (Ed25519)

The home is a directory that sealbus init made. It is followed: a new consumer gets its queue, a new trust
bundle is served and judges at once. Each event on a bus is a line with its verdict by the trust of the home.
Text behind a ? is only claimed by the event; it was not verified.

--function NAME=PROGRAM runs the bootstrap of a Lambda function and feeds it from the queue NAME, with the
variables for AWS and SEALBUS_HOME set, and the URL of the queue quarantine in SEALBUS_QUARANTINE_QUEUE.
After a new build, the next message starts the new program. --function NAME=URL posts the same there.

A function has 6 seconds. A failed message comes again after 40 seconds, and after 5 attempts it is in the
dead-letter queue. The line of a message says "handled" only of the first of a verified event. It says
"acknowledged" of a copy, and of an event that is refused but is not in the queue quarantine.

With --dir, all that was acknowledged is still there after a crash. Without it, everything is gone at the end.

It is not AWS. It has no IAM: any program that reaches the port may do everything. It has no quotas, and it is
one process. It ends with Ctrl-C and exit status 0.`,
		Example: `sealbus init orders --source 'https://orders.example/*' --type 'com.example.order.*'
sealbus init billing --consumer
sealbus dev --function billing=./billing
eval "$(sealbus dev --print-env)" && aws events list-rules --event-bus-name central`,
		Run: func(ctx context.Context, _ []string) error { return run(ctx, env, f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.home, "home", "",
		"the `DIR` of sealbus init (default $SEALBUS_HOME, or the working directory if it is one)")
	flags.StringVar(&f.dir, "dir", "", "keep everything in this `DIR` (default in memory)")
	flags.IntVar(&f.port, "port", defaultPort, "the `PORT` of 127.0.0.1; 0 = a free one")
	flags.StringArrayVar(&f.functions, "function", nil,
		"feed a function from a queue, `NAME=PROGRAM|URL`: a Lambda bootstrap, or what listens at an http:// URL")
	flags.StringVar(&f.unsafe, "unsafe-listen", "",
		"listen on this `HOST:PORT`, where other machines may do everything, too")
	flags.BoolVar(&f.printEnv, "print-env", false, "only write the variables for AWS SDKs, for eval")
	return cmd
}

// address is where to listen.
func (f *devFlags) address() (string, error) {
	if f.port < 0 || f.port > 65535 {
		return "", ui.Usage("give a port from 1 to 65535, or 0 for a free one", "--port %d is no port",
			f.port)
	}
	if f.unsafe == "" {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(f.port)), nil
	}
	host, port, err := net.SplitHostPort(f.unsafe)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 0 || n > 65535 || host == "" {
		return "", ui.Usage("write it as HOST:PORT, such as 192.168.1.5:4570",
			"--unsafe-listen: %q is no address", f.unsafe)
	}
	return f.unsafe, nil
}

// endPatience is how long the last lines may take at the end, on a terminal that stands still.
const endPatience = 2 * time.Second

// run serves until ctx ends or the person ends it.
func run(ctx context.Context, env *ui.Env, f *devFlags) error {
	addr, err := f.address()
	if err != nil {
		return err
	}
	if f.printEnv {
		return printVariables(env, endpointOf(addr))
	}
	wanted, err := parseFunctions(f.functions)
	if err != nil {
		return err
	}
	h, err := findHome(env, f.home)
	if err != nil {
		return err
	}
	if err := checkConsumers(h, wanted); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	env.EndOnSignal(ctx, cancel)
	env.EndOnClosedPipe(cancel)

	w := newWatcher(env)
	server, err := start(env, f, addr, w)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // whatever it acknowledged is kept already
	warnOfOthers(env, addr)
	world := newWorld(server)
	if err := world.make(ctx); err != nil {
		return madeOrEnded(ctx, err)
	}
	follow := &follower{env: env, world: world, watcher: w}
	if err := follow.begin(ctx, h, wanted); err != nil {
		return madeOrEnded(ctx, err)
	}
	running, err := startFunctions(ctx, wanted, world, w, follow.homeDir())
	if err != nil {
		return err
	}
	defer running.close()
	if err := announce(env, f, world, follow.now, wanted); err != nil {
		return err
	}
	told := make(chan error, 1)
	go func() { told <- w.tell(ctx) }()
	go follow.follow(ctx)
	select {
	case err = <-told: // the lines cannot be written any more
	case <-ctx.Done():
		running.close()
		w.close()
		select {
		case err = <-told:
		case <-time.After(endPatience):
		}
	}
	return err
}

// madeOrEnded is nil if the person ended it while the world was being made.
func madeOrEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// endpointOf is the URL at which programs of this machine reach the address.
func endpointOf(addr string) string {
	host, port, _ := net.SplitHostPort(addr) // it was joined or split before
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
