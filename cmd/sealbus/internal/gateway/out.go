package gateway

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/dialing"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadclaims"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadquarantine"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/pollqueue"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook/gateway"
	"github.com/sealbus/sealbus/webhook/sender"
)

// outName is the consumer's name unless told otherwise.
const outName = "sealbus-gateway"

// outFlags are those of events that are sent to partners.
type outFlags struct {
	dialing.Flags
	quarantine     loadquarantine.ConsumerFlags
	queue          string
	sources, types []string
	account, name  string
	maxAge         ui.DurationValue
	ports          []uint
	unsafeMemory   bool
}

func (f *outFlags) register(cmd *cobra.Command) {
	f.maxAge = ui.DurationValue(envelope.DefaultMaxAge)
	flags := cmd.Flags()
	flags.StringVar(&f.queue, "queue", "", "send events of this SQS queue to the endpoints under out, a `URL`")
	flags.StringArrayVar(&f.sources, "allow-source", nil,
		"with --queue: a source `PATTERN` that is taken: exact, or ending in /*")
	flags.StringArrayVar(&f.types, "allow-type", nil,
		"with --queue: a type `PATTERN` that is taken (default all that the bundle allows)")
	flags.StringVar(&f.account, "account", "",
		"with --queue: the AWS account that sent them, an `ID` (default as the EventBridge event says)")
	flags.Var(&f.maxAge, "max-age", "with --queue: how long ago they may have been sealed")
	flags.Lookup("max-age").DefValue = "24h5m" // as that of listen
	flags.StringVar(&f.name, "name", outName,
		"with --queue: the consumer's `NAME`, which separates what it handled from others")
	f.quarantine.Register(cmd)
	flags.BoolVar(&f.unsafeMemory, "unsafe-memory", false,
		"with --queue: keep what is pending in memory: the end of the gateway loses it")
	f.Flags.Register(cmd)
	flags.UintSliceVar(&f.ports, "allow-port", nil, "also send to this `PORT` (default 443 alone)")
}

// check refuses flags that contradict each other.
func (f *outFlags) check(g *gatewayFlags) error {
	if f.queue == "" {
		if len(f.sources) > 0 || f.quarantine.Place != "" || f.unsafeMemory {
			return ui.Usage("add --queue URL, or drop them",
				"--allow-source, --quarantine and --unsafe-memory are for --queue")
		}
		return nil
	}
	switch {
	case g.Trust == "":
		return ui.Usage("add --trust and --roots: by them each event is verified before it is sent",
			"%w", ui.MissingFlag("trust"))
	case len(f.sources) == 0:
		return ui.Usage("add --allow-source PATTERN, such as 'https://orders.example/*'",
			"%w", ui.MissingFlag("allow-source"))
	case g.redis == "" && !f.unsafeMemory:
		return ui.Usage("add --redis URL, which keeps what is pending when the gateway ends",
			"missing flag --redis")
	case g.redis != "" && f.unsafeMemory:
		return ui.Usage("drop --unsafe-memory", "--redis and --unsafe-memory exclude each other")
	case f.maxAge <= 0:
		return ui.Usage("give a duration, such as 24h", "--max-age must be longer than zero")
	}
	if err := keys.CheckScope(f.sources, f.types); err != nil {
		return ui.Usage("correct the pattern; `https://orders.example/*` and `com.example.*` are such", "%w",
			err)
	}
	if f.account != "" {
		if err := keydoc.CheckAccounts([]string{f.account}); err != nil {
			return ui.Usage("give the 12 digits of an AWS account", "--account: %w", err)
		}
	}
	if err := f.quarantine.Check(); err != nil {
		return err
	}
	return awscli.CheckURL("queue", f.queue)
}

// network is which addresses may be called.
func (f *outFlags) network() (*sender.Network, error) {
	allow, err := f.Networks()
	if err != nil {
		return nil, err
	}
	n := &sender.Network{Allow: allow, UnsafePlainHTTP: f.InsecureHTTP}
	if len(f.ports) == 0 {
		return n, nil
	}
	n.Ports = []uint16{443}
	if f.InsecureHTTP {
		n.Ports = append(n.Ports, 80)
	}
	for _, port := range f.ports {
		if port == 0 || port > 65535 {
			return nil, ui.Usage("give a port from 1 to 65535", "--allow-port: %d is no port", port)
		}
		n.Ports = append(n.Ports, uint16(port))
	}
	return n, nil
}

// open sets the store of what is pending, and the addresses that may be called.
func (f *outFlags) open(env *ui.Env, g *gatewayFlags, o *gateway.Options) (closePending func(), err error) {
	closePending = func() {}
	if f.queue == "" {
		return closePending, nil
	}
	if o.Network, err = f.network(); err != nil {
		return closePending, err
	}
	if f.unsafeMemory {
		env.Warnf("what is pending is kept in memory: the end of the gateway loses it")
		o.Pending = sender.NewMemory(&sender.MemoryOptions{Now: env.Now})
		return closePending, nil
	}
	o.Pending, closePending, err = loadclaims.OpenDeliveries(g.redis)
	return closePending, err
}

// redisURL is that of --redis, which may be a reference to it, because it may have a password.
func redisURL(ctx context.Context, env *ui.Env, f *gatewayFlags) (string, error) {
	kind, name, found := strings.Cut(f.redis, ":")
	fetch := secrets(f)[kind]
	switch {
	case !found || strings.HasPrefix(name, "//"):
		return f.redis, nil
	case kind == "env":
		return os.Getenv(name), nil
	case kind == "file":
		doc, err := env.ReadFile(name, maxConfig)
		return strings.TrimSpace(string(doc)), err
	case fetch == nil:
		return f.redis, nil // it is no URL, and is refused as one
	}
	text, err := fetch(ctx, name)
	if err != nil {
		return "", ui.Unavailable("check the name, and try again", "--redis: %w", err)
	}
	return text, nil
}

// newQueue reads the queue; nil = there is none.
func newQueue(ctx context.Context, env *ui.Env, f *gatewayFlags, g *gateway.Gateway, store replay.Store,
	log *slog.Logger) (*pollqueue.Poller, error) {
	o := &f.out
	if o.queue == "" {
		return nil, nil
	}
	quarantine, err := o.quarantine.Open(ctx, env, o.name, f.AWSFlags)
	if err != nil {
		return nil, err
	}
	policy := &envelope.Policy{Sources: o.sources, Types: o.types, MaxAge: time.Duration(o.maxAge), Now: env.Now}
	c, err := consumer.New(o.name, f.Live, store, policy,
		&consumer.Options{Quarantine: quarantine, Logger: log})
	if err != nil {
		return nil, ui.Usage("correct the flag", "%w", err)
	}
	p := &pollqueue.Poller{Env: env, Deletes: true, Ready: c.Ready,
		Most: func() int32 { return pollqueue.Most },
		Take: func(ctx context.Context, m pollqueue.Message) (pollqueue.Taken, error) {
			result, err := g.Take(ctx, c, consumer.Message{Body: m.Body, Format: input.FormatOf(m.Body),
				Account: o.account, FirstReceived: m.First})
			return taken(&result, err), nil
		}}
	return p, p.Open(ctx, o.queue, &f.AWSFlags)
}

// taken is what becomes of a message. One that can never pass, and that no quarantine took, stays on the
// queue until SQS moves it to the dead-letter queue.
func taken(r *consumer.Result, err error) pollqueue.Taken {
	if r.Outcome != consumer.Retry {
		return pollqueue.Taken{Done: true}
	}
	refused, isRefused := errors.AsType[*consumer.QuarantineError](err)
	return pollqueue.Taken{Again: !isRefused || refused.Err != nil}
}
