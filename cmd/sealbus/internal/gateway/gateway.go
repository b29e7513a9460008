// Package gateway has the command that takes webhooks of several providers and puts them on a bus, sealed. It
// also sends events of the bus to partners.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/dialing"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadclaims"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook/gateway"
	"github.com/sealbus/sealbus/webhook/sender"
)

// maxConfig bounds the configuration, in bytes; the package has a lower limit, and says it.
const maxConfig = 1 << 20

type gatewayFlags struct {
	loadkeys.SignFlags
	loadkeys.EncryptFlags
	awscli.AWSFlags
	config, http, admin string
	bus, audience       string
	redis, table        string
	layout              ui.Choice
	checkOnly, verbose  bool
	needTrust           bool
	out                 outFlags
}

func Command(env *ui.Env) *cobra.Command {
	f := &gatewayFlags{layout: ui.NewChoice("structured", "embedded")}
	cmd := env.Command(ui.Command{
		Use:   "gateway --config FILE (--keyring FILE --bus NAME | --queue URL --redis URL)",
		Short: "Put webhooks of several providers on a bus, sealed, and send events to partners",
		Long: `Take the webhooks of the endpoints in a file. Each delivery is verified, handled once, sealed
as a CloudEvent and put on an EventBridge bus. The provider is answered 200 when the bus has the event, and
503 if anything failed: it sends the delivery again. docs/webhooks.md has the fields of the file.

The file has references to secrets, and no secret: env:NAME, file:PATH, secretsmanager:NAME, ssm:NAME.
#MEMBER after a name takes that member of a JSON object. It needs the permissions
secretsmanager:GetSecretValue and ssm:GetParameter.

SIGHUP reads the file and the secrets again. What is under way is finished by the old configuration. If
anything is wrong with the new one, it is said, and the old one stays. SIGTERM and Ctrl-C end it: no more is
accepted, what is under way is finished, and the exit status is 0.

--bus - writes the sealed events to standard output, one a line, for trying out. SIGKILL and a full disk may
cut a line; its delivery was not acknowledged, and the provider sends it again. Without --redis or --table,
deliveries are remembered in memory: after a restart, a captured one without a signed time passes once more.

With --trust and --roots, an event is signed only by a key that all consumers know by now, and
--encrypt-to NAME follows that consumer's keys. The bundle is followed while the gateway runs. An event that
consumers would refuse is not sent, and the provider is answered 503. While the bundle cannot be had, the
keyring alone decides, with a warning, unless --require-trust is given.

--queue reads an SQS queue of the bus, and sends each verified event to the endpoints under out in the file
that want it, as a webhook that is signed anew. It is tried again for three days. Beside --trust and --roots
it needs --allow-source, and --redis: what is pending survives there. A message leaves the queue when Redis
has it, or when --quarantine has it because it was refused; other refused ones stay. It needs the permissions
sqs:ReceiveMessage and sqs:DeleteMessage. sealbus webhook dead lists what could not be delivered.

Where callers have tokens, the file names their issuer (tokens) and who they are (tenants). Without --redis
their daily quotas begin anew when the gateway does.

It speaks HTTP without TLS: put what ends TLS in front of it. --admin has /healthz, /readyz and /metrics
(Prometheus).`,
		Example: `sealbus gateway --config hooks.yaml --check
sealbus gateway --config hooks.yaml --keyring hooks.keyring --bus - --http 8080
sealbus gateway --config hooks.yaml --keyring hooks.keyring --bus central \
  --table sealbus-replay --trust s3://trust/bundle.dsse --roots roots.json \
  --http 0.0.0.0:8080
sealbus gateway --config out.yaml --queue https://sqs.eu-west-1.amazonaws.com/111122223333/partners \
  --redis redis://hooks.internal --trust s3://trust/bundle.dsse --roots roots.json \
  --allow-source 'https://shop.example/*'`,
		Run: func(ctx context.Context, _ []string) error { return run(ctx, env, f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "the endpoints, a `FILE` in YAML")
	flags.BoolVar(&f.checkOnly, "check", false,
		"only say whether the file is good and its secrets can be had")
	flags.StringVar(&f.http, "http", "8080",
		"take deliveries on this `ADDR`: a port of 127.0.0.1, or HOST:PORT")
	flags.StringVar(&f.admin, "admin", "8081", "health and metrics on this `ADDR`")
	flags.StringVar(&f.bus, "bus", "", "the event bus, a `NAME` or ARN; - is standard output")
	flags.Var(&f.layout, "layout",
		"of the detail: the whole event, or its data with the attributes as one member")
	flags.StringVar(&f.audience, "audience", "", "`NAMES` of who may open the events, space-separated")
	flags.StringVar(&f.redis, "redis", "",
		"remember deliveries and count requests in this Redis, and keep there what is pending, a `URL` or its "+
			"reference, such as env:NAME (default in memory)")
	flags.StringVar(&f.table, "table", "", "remember deliveries in this DynamoDB table, a `NAME`")
	flags.BoolVar(&f.verbose, "verbose", false, "also log deliveries that were handled")
	f.AWSFlags.Register(cmd)
	f.SignFlags.Register(cmd)
	f.EncryptFlags.Register(cmd)
	f.out.register(cmd)
	f.TrustAlone = true
	flags.BoolVar(&f.needTrust, "require-trust", false,
		"with --trust: send nothing while there is no live bundle to check the key with")
	return cmd
}

func (f *gatewayFlags) check() error {
	if err := ui.Need(ui.Flag("config", f.config)); err != nil || f.checkOnly {
		return err
	}
	switch {
	case f.config == "-":
		return ui.Usage("name the file", "--config - cannot be read again on SIGHUP")
	case f.bus == "" && f.out.queue == "":
		return ui.Usage("add --bus NAME, or --bus - to write the events to standard output",
			"missing flag --bus")
	case f.redis != "" && f.table != "":
		return ui.Usage("drop one of the two", "--redis and --table exclude each other")
	case f.table != "" && !awscli.TableName.MatchString(f.table):
		return ui.Usage("use 3 to 255 of a-z A-Z 0-9 _ . -", "--table: %q cannot be the name of a table",
			f.table)
	case f.needTrust && f.Trust == "":
		return ui.Usage("add --trust and --roots", "--require-trust names no bundle")
	}
	if err := f.out.check(f); err != nil {
		return err
	}
	if f.signs() {
		if err := f.SignFlags.Check(); err != nil {
			return err
		}
	}
	return errors.Join(f.AWSFlags.Check(), f.EncryptFlags.Check())
}

// signs reports whether there are keys: a gateway that only sends needs them to sign by RFC 9421 alone.
func (f *gatewayFlags) signs() bool { return f.bus != "" || f.SignFlags.Named() }

func run(ctx context.Context, env *ui.Env, f *gatewayFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.checkOnly {
		return checkConfig(ctx, env, f)
	}
	o := &gateway.Options{Producer: &producer.Options{
		Audience: f.audience, EncryptFields: f.Fields, Now: env.Now, RequireTrust: f.needTrust,
		Warn: func(w producer.Warning) { env.Warnf("%s", w.Text) },
	}}
	var ring keys.SignerSource
	var err error
	if f.signs() {
		var owner loadkeys.Ring
		if owner, ring, err = loadkeys.OpenSigning(ctx, env, &f.SignFlags); err != nil {
			return err
		}
		o.CheckSource = func(source string) error { return checkSource(owner, source) }
	}
	if f.Trust != "" {
		if f.Live, err = loadtrust.Live(ctx, env, &f.TrustFlags); err != nil {
			return err
		}
	}
	o.Producer.Trust = loadhome.Publishing(ctx, f.Live)
	if o.Producer.Encrypt, err = loadkeys.Encrypter(ctx, env, &f.EncryptFlags); err != nil {
		return err
	}
	var bus producer.Bus
	if f.bus != "" {
		if bus, err = openBus(ctx, env, f); err != nil {
			return err
		}
	}
	if f.redis, err = redisURL(ctx, env, f); err != nil {
		return err
	}
	store, closeStore, err := openStore(ctx, env, f)
	if err != nil {
		return err
	}
	defer closeStore()
	if f.redis != "" {
		var closeLimits func()
		if o.Limiter, closeLimits, err = loadclaims.OpenLimits(f.redis); err != nil {
			return err
		}
		defer closeLimits()
	}
	closePending, err := f.out.open(env, f, o)
	if err != nil {
		return err
	}
	defer closePending()
	g, err := open(ctx, env, f, ring, bus, store, o)
	if err != nil {
		return err
	}
	q, err := newQueue(ctx, env, f, g, store, o.Logger)
	if err != nil {
		return err
	}
	return serve(ctx, env, f, g, q)
}

// checkConfig makes a gateway that signs with a key of its own and sends to no bus.
func checkConfig(ctx context.Context, env *ui.Env, f *gatewayFlags) error {
	signer, err := keys.GenerateSigner(keys.Ed25519, "check")
	if err != nil {
		return ui.Unavailable("try again", "%w", err)
	}
	network, err := f.out.network()
	if err != nil {
		return err
	}
	_, err = open(ctx, env, f, keys.SignWith(signer), producer.NewLocalBus(nil), replay.NewMemory(nil),
		&gateway.Options{Pending: sender.NewMemory(nil), Network: network})
	if err == nil {
		env.Sayf("%s is good, and its secrets can be had", f.config)
	}
	return err
}

func open(ctx context.Context, env *ui.Env, f *gatewayFlags, ring keys.SignerSource, bus producer.Bus,
	store replay.Store, o *gateway.Options) (*gateway.Gateway, error) {
	doc, err := env.ReadFile(f.config, maxConfig)
	if err != nil {
		return nil, err
	}
	o.Secrets, o.Dir, o.Logger, o.Now = secrets(f), filepath.Dir(f.config), newLogger(env, f.verbose), env.Now
	g, err := gateway.New(ctx, doc, ring, bus, store, o)
	if err != nil {
		return nil, configFailed(f.config, err)
	}
	return g, nil
}

// checkSource refuses a source that the keyring is not for: consumers would refuse its events.
func checkSource(owner loadkeys.Ring, source string) error {
	sources, _ := owner.Scope()
	if sources == nil || keys.MatchSource(sources, source) {
		return nil
	}
	return fmt.Errorf("producer %s does not speak for %q: its keyring is for %s", owner.Producer(), source,
		strings.Join(sources, ", "))
}

// configFailed is the error of a configuration that cannot be used: each line of it names one place.
func configFailed(path string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errtext.IsNetwork(err) || errtext.MayPass(err) {
		return ui.Unavailable("try again", "%s cannot be used now\n%w", path, err)
	}
	fix := cmp.Or(dialing.Fix(err), "correct it; docs/webhooks.md has its fields")
	return ui.WrongFile(fix, "%s cannot be used\n%w", path, err)
}

// reloadTimeout is how long the secrets of a new configuration may take.
const reloadTimeout = time.Minute
