package events

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/input"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
)

// publishBatch is how many events are published between two lines of progress.
const publishBatch = 500

// shownFailures is how many failures are told to people.
const shownFailures = 10

type publishFlags struct {
	loadkeys.SignFlags
	loadkeys.EncryptFlags
	audience   string
	expires    ui.DurationValue
	exact      bool
	keepTime   bool
	layout     ui.Choice
	bus        string
	endpoint   string
	endpointID string
	region     string
	retryFor   ui.DurationValue
	needTrust  bool
	file       string // "-" = standard input
}

func PublishCommand(env *ui.Env) *cobra.Command {
	f := &publishFlags{layout: ui.NewChoice("structured", "embedded"),
		retryFor: ui.DurationValue(30 * time.Second)}
	var cmd *cobra.Command
	cmd = env.Command(ui.Command{
		Use:   "publish --keyring FILE --bus NAME [FILE]",
		Short: "Sign CloudEvents and put them on an EventBridge bus", Now: true, Args: ui.AtMostOne,
		Long: `Sign the CloudEvents of FILE, or of standard input, and put them on an EventBridge bus: one event, events one a line, or a
JSON array of them. Nothing is sent unless all can be read and belong to the producer.

Credentials and region are found as by the AWS command line. They need the permission events:PutEvents on the bus;
events:DescribeEventBus is used when allowed, to refuse a bus that does not exist. If EventBridge throttles or does not
answer, it is tried again until --retry-for is over. When an answer is lost, the call is repeated, and the report says
that its events may be on the bus twice.

Exit status: 0 all events are on the bus. 1 some were refused for good. 2 a flag, a file or a permission is wrong. 3 some
are not on the bus, and another try may help: publish the same file again, since consumers handle an event once,
however often it is sent.

With --trust and --roots, an event is signed only by a key that all consumers know by now; an event that they would
refuse is not sent. If the bundle cannot be had, the keyring alone decides, with a warning, unless --require-trust is given.

With --output json there is one line for each event, in their order.`,
		Example: `sealbus publish --bus central --keyring orders.keyring < event.json
sealbus publish --bus central --keyring orders.keyring --trust s3://trust/bundle.dsse --roots roots.json < event.json
sealbus publish --bus central --keyring orders.keyring --output json events.jsonl > results.jsonl`,
		Run: func(ctx context.Context, args []string) error {
			f.file = strings.Join(args, "")
			if err := f.check(cmd); err != nil {
				return err
			}
			return publish(ctx, env, f)
		},
	})
	flags := cmd.Flags()
	f.SignFlags.Register(cmd)
	f.EncryptFlags.Register(cmd)
	f.TrustAlone = true
	flags.BoolVar(&f.needTrust, "require-trust", false,
		"with --trust: send nothing if there is no live bundle to check the key with")
	flags.StringVar(&f.audience, "audience", "", "`NAMES` of who may open the events, space-separated")
	flags.Var(&f.expires, "expires", "how long the events live from now on (default without end)")
	flags.BoolVar(&f.exact, "exact", false,
		"keep the data byte for byte, as base64 (+33 %); JSON data is else sent in canonical form")
	registerKeepTime(cmd, &f.keepTime)
	flags.Var(&f.layout, "layout",
		"of the detail: the whole event, or its data with the attributes as one member")
	flags.StringVar(&f.bus, "bus", "", "the event bus, a `NAME` or ARN")
	flags.StringVar(&f.region, "region", "",
		"the AWS region, a `NAME` (default that of the AWS configuration)")
	flags.StringVar(&f.endpoint, "endpoint", "",
		"the `URL` to call instead of the region's: an emulator, a VPC endpoint")
	flags.StringVar(&f.endpointID, "endpoint-id", "",
		"the `ID` of a global endpoint of EventBridge, such as abcde.veo")
	flags.Var(&f.retryFor, "retry-for", "how long to try again when EventBridge throttles or does not answer")
	return cmd
}

func (f *publishFlags) check(cmd *cobra.Command) error {
	if f.file == "" {
		f.file = "-"
	}
	if err := ui.Need(ui.Flag("bus", f.bus)); err != nil {
		return err
	}
	if cmd.Flags().Changed("expires") && time.Duration(f.expires) < time.Second {
		return ui.Usage("give it at least 1s, or drop --expires", "an event lives for a second at least")
	}
	if err := awscli.CheckURL("endpoint", f.endpoint); err != nil {
		return err
	}
	if f.needTrust && f.Trust == "" {
		return ui.Usage("add --trust and --roots", "--require-trust names no bundle")
	}
	if f.retryFor == 0 {
		f.retryFor = -1 // never, in the bus's words
	}
	if err := f.SignFlags.Check(); err != nil {
		return err
	}
	return f.EncryptFlags.Check()
}

func publish(ctx context.Context, env *ui.Env, f *publishFlags) error {
	ring, source, err := loadkeys.OpenSigning(ctx, env, &f.SignFlags)
	if err != nil {
		return err
	}
	events, err := readPublished(env, f.file)
	if err != nil {
		return err
	}
	for i := range events {
		if err := checkScope(ring, &events[i], input.Position(i, len(events))); err != nil {
			return err
		}
	}
	encrypt, err := loadkeys.Encrypter(ctx, env, &f.EncryptFlags)
	if err != nil {
		return err
	}
	notes := &sealNotes{}
	known, err := publisherTrust(ctx, env, f)
	if err != nil {
		return err
	}
	p, err := newPublisher(ctx, env, f, source, encrypt, known, notes)
	if err != nil {
		return err
	}
	if f.keepTime {
		noteKeptTimes(env, events)
	}
	defer notes.tell(env)
	return publishAll(ctx, env, p, events, f)
}

// readPublished reads one event, a sequence or an array of them.
func readPublished(env *ui.Env, file string) ([]event.Event, error) {
	in, err := input.New(env, []string{file}, "CloudEvents", input.FromCloudEvent)
	if err != nil {
		return nil, err
	}
	events, _, err := in.CloudEvents()
	if err == nil && len(events) == 0 {
		err = input.NotSealable("", errors.New(ui.NameOf(file)+" is empty"))
	}
	return events, err
}

// noting is a bus that notes the warnings about the events that it sends.
type noting struct {
	producer.Bus
	notes *sealNotes
}

func (b noting) Send(ctx context.Context, sealed []*envelope.Sealed) []producer.Result {
	for _, s := range sealed {
		b.notes.add(s.Warnings())
	}
	return b.Bus.Send(ctx, sealed)
}

// publisherTrust is the bundle that tells which keys consumers know; nil = none was named. If it cannot be
// had now, the producer is told so each time that it asks.
func publisherTrust(ctx context.Context, env *ui.Env, f *publishFlags) (trust.Source, error) {
	if f.Trust == "" {
		return nil, nil
	}
	bundle, err := f.Bundle(ctx, env)
	switch e, _ := errors.AsType[*ui.Error](err); {
	case err == nil:
		return bundle, nil
	case e != nil && e.Code == ui.ExitUnavailable && !f.needTrust:
		return noBundle{e.Err}, nil
	}
	return nil, err
}

// noBundle is a source that could not be had.
type noBundle struct{ err error }

func (n noBundle) Bundle(context.Context) (*trust.Bundle, error) { return nil, n.err }

func newPublisher(ctx context.Context, env *ui.Env, f *publishFlags, source keys.SignerSource,
	encrypt *envelope.Encrypter, known trust.Source, notes *sealNotes) (*producer.Producer, error) {
	client, err := eventBridgeClient(ctx, env, f)
	if err != nil {
		return nil, err
	}
	layout := envelope.Structured
	if f.layout.Value == "embedded" {
		layout = envelope.Embedded
	}
	bus, err := eventbridge.New(client, f.bus, &eventbridge.Options{
		Layout: layout, EndpointID: f.endpointID, CheckBus: true, RetryFor: time.Duration(f.retryFor),
	})
	if err != nil {
		return nil, ui.Usage("give the name or ARN of an event bus with --bus", "%w", err)
	}
	p, err := producer.New(source, noting{bus, notes}, &producer.Options{
		Audience: f.audience, Expires: time.Duration(f.expires), Exact: f.exact, Encrypt: encrypt,
		EncryptFields: f.Fields, Now: env.Now,
		KeepRecordedTime: f.keepTime,
		Trust:            loadhome.Publishing(ctx, known),
		RequireTrust:     f.needTrust,
		Warn:             func(w producer.Warning) { env.Warnf("%s", w.Text) },
	})
	if err != nil {
		return nil, ui.Unavailable("report this as a bug", "%w", err)
	}
	return p, nil
}

func eventBridgeClient(ctx context.Context, env *ui.Env, f *publishFlags) (*awseventbridge.Client, error) {
	cfg, err := awscli.Load(ctx, f.region)
	if err != nil {
		return nil, err
	}
	if f.retryFor > 0 {
		cfg.HTTPClient = &tellingClient{HTTPClient: cfg.HTTPClient, env: env, retryFor: time.Duration(f.retryFor)}
	}
	return awseventbridge.NewFromConfig(cfg, func(o *awseventbridge.Options) {
		if f.endpoint != "" {
			o.BaseEndpoint = aws.String(f.endpoint)
		}
	}), nil
}

// tellingClient says of the first call for which there is no connection that it is tried again: that takes
// long, mostly without effect.
type tellingClient struct {
	aws.HTTPClient
	env      *ui.Env
	retryFor time.Duration
	once     sync.Once
}

func (c *tellingClient) Do(r *http.Request) (*http.Response, error) {
	answer, err := c.HTTPClient.Do(r)
	failed, ok := errors.AsType[*net.OpError](err)
	isDial := ok && (failed.Op == "dial" || failed.Op == "proxyconnect")
	if isDial && !errors.Is(err, context.Canceled) {
		c.once.Do(func() {
			ask := ""
			if host := r.URL.Hostname(); host == "localhost" || net.ParseIP(host).IsLoopback() {
				ask = "; does `sealbus dev` run?"
			}
			c.env.Sayf("%s; trying again for %s (--retry-for)%s", errtext.ReachedAt(r.URL.Host, "EventBridge", err),
				ui.FormatDuration(c.retryFor), ask)
		})
	}
	return answer, err
}

func publishAll(ctx context.Context, env *ui.Env, p *producer.Producer, events []event.Event,
	f *publishFlags) error {
	total := publishTotal{}
	for start := 0; start < len(events); start += publishBatch {
		end := min(start+publishBatch, len(events))
		results, _ := p.Publish(ctx, events[start:end]...) // its error is that of the results
		for i, r := range results {
			if err := tellPublished(env, r, input.Position(start+i, len(events)), &total); err != nil {
				return err
			}
		}
		if len(events) > publishBatch {
			env.Sayf("%d of %s done, %d of them not published", end, ui.Count(len(events), "event"),
				total.failed)
		}
	}
	if more := total.failed - shownFailures; more > 0 && !env.JSON {
		env.Sayf("and %d more: --output json lists all", more)
	}
	if total.twice > 0 && !env.JSON {
		env.Sayf("%s may be on the bus twice: an answer was lost, and the call repeated",
			ui.Count(total.twice, "event"))
		env.Sayf("  nothing needs to be done: consumers handle an event once")
	}
	if !env.JSON {
		p := &ui.Printer{Style: env.Out}
		p.Linef("published %d of %s to %s", len(events)-total.failed, ui.Count(len(events), "event"),
			ui.Clean(f.bus))
		if err := env.WriteText(p); err != nil {
			return err
		}
	}
	return ui.Ended(total.exit)
}

// publishTotal is what came of all events so far.
type publishTotal struct{ failed, twice, exit int }

// publishedResult is what became of one event, for programs.
type publishedResult struct {
	ID        string `json:"id"`
	Published bool   `json:"published"`
	Error     string `json:"error,omitempty"`  // rejected: for good; unavailable: it may be published later
	Code      string `json:"code,omitempty"`   // EventBridge's
	Reason    string `json:"reason,omitempty"` // of the consumers, which would refuse it
	Message   string `json:"message,omitempty"`
	Fix       string `json:"fix,omitempty"`
	// MaybeTwice: the event may be on the bus twice, or will be when it is published again.
	MaybeTwice bool `json:"may_be_on_bus_twice,omitempty"`
	// Unchecked: no live bundle said whether consumers know the key.
	Unchecked bool `json:"unchecked,omitempty"`
}

func tellPublished(env *ui.Env, r producer.Result, where string, total *publishTotal) error {
	out := publishedResult{ID: r.ID, Published: r.Err == nil, MaybeTwice: r.MaybeTwice,
		Unchecked: r.Unchecked != nil}
	if r.Err == nil && r.MaybeTwice {
		total.twice++
	}
	if r.Err != nil {
		exit := publishExit(r.Err)
		total.failed, total.exit = total.failed+1, max(total.exit, exit)
		out.Error, out.Fix = ui.ExitWord(exit), publishFix(r.Err, exit)
		out.Message = errtext.Plain(r.Err)
		if e, ok := errors.AsType[*eventbridge.Error](r.Err); ok {
			out.Code, out.Message = e.Code, e.Cause()
		}
		if e, ok := errors.AsType[*producer.TrustError](r.Err); ok {
			out.Reason, out.Message = string(e.Reason), "consumers could not accept it: "+string(e.Reason)+": "+e.Cause
		}
	}
	switch {
	case env.JSON:
		return env.WriteJSON(out)
	case r.Err != nil && total.failed <= shownFailures:
		env.Sayf("%sevent %.100q was not published: %s", where, r.ID, out.Message)
		env.Say("sealbus:   "+ui.Clean(out.Fix), 11)
		if r.MaybeTwice {
			env.Sayf("  published again, it may be on the bus twice: consumers handle it once")
		}
	}
	return nil
}

// publishExit tells an event that is refused for good from one that may be published later, or after its
// surroundings are put in order.
func publishExit(err error) int {
	if _, ok := errors.AsType[*envelope.SealError](err); ok {
		return ui.ExitRejected
	}
	if errors.Is(err, eventbridge.ErrTooLarge) {
		return ui.ExitRejected
	}
	if e, ok := errors.AsType[*producer.TrustError](err); ok && !e.Temporary() {
		return ui.ExitUsage // it is not the event's fault
	}
	if errors.Is(err, eventbridge.ErrNoBus) {
		return ui.ExitUsage
	}
	if service, ok := errors.AsType[*keys.ServiceError](err); ok {
		return awscli.ServiceExit(service)
	}
	e, ok := errors.AsType[*eventbridge.Error](err)
	switch {
	case !ok || e.Temporary || e.Code == "":
		return ui.ExitUnavailable
	case strings.HasPrefix(e.Code, "AccessDenied"), awscli.BadCredentials[e.Code], e.Err != nil &&
		e.Code != "ValidationException":
		return ui.ExitUsage
	}
	return ui.ExitRejected
}

func publishFix(err error, exit int) string {
	e, ok := errors.AsType[*eventbridge.Error](err)
	service, isService := errors.AsType[*keys.ServiceError](err)
	refused, isRefused := errors.AsType[*producer.TrustError](err)
	switch {
	case isRefused:
		return ui.Fix(refused.Advice, string(refused.Reason))
	case isService:
		return awscli.ServiceFix(service)
	case errors.Is(err, eventbridge.ErrNoBus):
		return "check --bus and --region, or create the bus: EventBridge itself would have accepted the events, and lost them"
	case ok && awscli.BadCredentials[e.Code]:
		return awscli.FixCredentials
	case ok && errors.Is(e, eventbridge.ErrTooLarge): // its own fix is an option of the library
		return "this region takes less: send large data by reference (dataref), or split the event"
	case ok && e.Fix() != "":
		return e.Fix()
	case ok && exit == ui.ExitUsage:
		return "check --bus, --region and --endpoint"
	case exit == ui.ExitUnavailable:
		return "publish the same events again"
	}
	return "correct the event and publish it again"
}
