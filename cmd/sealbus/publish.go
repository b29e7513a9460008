package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
)

// publishBatch is how many events are published between two lines of progress.
const publishBatch = 500

// shownFailures is how many failures are told to people.
const shownFailures = 10

type publishFlags struct {
	signFlags
	encryptFlags
	audience   string
	expires    durationValue
	exact      bool
	keepTime   bool
	layout     choice
	bus        string
	endpoint   string
	endpointID string
	region     string
	retryFor   durationValue
	file       string // "-" = standard input
}

func (a *app) publishCommand() *cobra.Command {
	f := &publishFlags{layout: newChoice("structured", "embedded"), retryFor: durationValue(eventbridge.DefaultRetryFor)}
	var cmd *cobra.Command
	cmd = a.command(commandSpec{
		use: "publish --keyring FILE --bus NAME [FILE]", short: "Sign CloudEvents and put them on an EventBridge bus", now: true, args: atMostOne,
		long: `Sign the CloudEvents of FILE, or of standard input, and put them on an EventBridge bus: one event, events one a line, or a
JSON array of them. Nothing is sent unless all can be read and belong to the producer.

Credentials and region are found as by the AWS command line. They need the permission events:PutEvents on the bus;
events:DescribeEventBus is used when allowed, to refuse a bus that does not exist. If EventBridge throttles or does not
answer, it is tried again until --retry-for is over. When an answer is lost, the call is repeated, and the report says
that its events may be on the bus twice.

Exit status: 0 all events are on the bus. 1 some were refused for good. 2 a flag, a file or a permission is wrong. 3 some
are not on the bus, and another try may help: publish the same file again, since consumers handle an event once,
however often it is sent.

With --output json there is one line for each event, in their order.`,
		example: `sealbus publish --bus central --keyring orders.keyring < event.json
sealbus publish --bus central --keyring orders.keyring --output json events.jsonl > results.jsonl`,
		run: func(ctx context.Context, args []string) error {
			f.file = strings.Join(args, "")
			if err := f.check(cmd); err != nil {
				return err
			}
			return a.publish(ctx, f)
		},
	})
	flags := cmd.Flags()
	f.signFlags.register(cmd)
	f.encryptFlags.register(cmd)
	flags.StringVar(&f.audience, "audience", "", "`NAMES` of who may open the events, space-separated")
	flags.Var(&f.expires, "expires", "how long the events live from now on (default without end)")
	flags.BoolVar(&f.exact, "exact", false, "keep the data byte for byte, as base64 (+33 %); JSON data is else sent in canonical form")
	registerKeepTime(cmd, &f.keepTime)
	flags.Var(&f.layout, "layout", "of the detail: the whole event, or its data with the attributes as one member")
	flags.StringVar(&f.bus, "bus", "", "the event bus, a `NAME` or ARN")
	flags.StringVar(&f.region, "region", "", "the AWS region, a `NAME` (default that of the AWS configuration)")
	flags.StringVar(&f.endpoint, "endpoint", "", "the `URL` to call instead of the region's: an emulator, a VPC endpoint")
	flags.StringVar(&f.endpointID, "endpoint-id", "", "the `ID` of a global endpoint of EventBridge, such as abcde.veo")
	flags.Var(&f.retryFor, "retry-for", "how long to try again when EventBridge throttles or does not answer")
	return cmd
}

func atMostOne(args []string) error { return noMore(args[min(1, len(args)):]) }

func (f *publishFlags) check(cmd *cobra.Command) error {
	if f.file == "" {
		f.file = "-"
	}
	if err := need(required{"bus", f.bus}); err != nil {
		return err
	}
	if cmd.Flags().Changed("expires") && time.Duration(f.expires) < time.Second {
		return usage("give it at least 1s, or drop --expires", "an event lives for a second at least")
	}
	if err := checkURL("endpoint", f.endpoint); err != nil {
		return err
	}
	if f.retryFor == 0 {
		f.retryFor = -1 // never, in the bus's words
	}
	if err := f.signFlags.check(); err != nil {
		return err
	}
	return f.encryptFlags.check()
}

func (a *app) publish(ctx context.Context, f *publishFlags) error {
	ring, source, err := a.openSigning(ctx, &f.signFlags)
	if err != nil {
		return err
	}
	events, err := a.readPublished(f.file)
	if err != nil {
		return err
	}
	for i := range events {
		if err := checkScope(ring, &events[i], position(i, len(events))); err != nil {
			return err
		}
	}
	encrypt, err := a.encrypter(ctx, &f.encryptFlags)
	if err != nil {
		return err
	}
	p, err := a.newPublisher(ctx, f, source, encrypt)
	if err != nil {
		return err
	}
	if f.keepTime {
		a.noteKeptTimes(events)
	}
	return a.publishAll(ctx, p, events, f)
}

// readPublished reads one event, a sequence or an array of them.
func (a *app) readPublished(file string) ([]event.Event, error) {
	in, err := a.newInput([]string{file}, "CloudEvents", fromCloudEvent)
	if err != nil {
		return nil, err
	}
	events, _, err := in.cloudEvents()
	if err == nil && len(events) == 0 {
		err = notSealable("", errors.New(nameOf(file)+" is empty"))
	}
	return events, err
}

func (a *app) newPublisher(ctx context.Context, f *publishFlags, source keys.SignerSource, encrypt *envelope.Encrypter) (*producer.Producer, error) {
	client, err := eventBridgeClient(ctx, f)
	if err != nil {
		return nil, err
	}
	layout := envelope.Structured
	if f.layout.value == "embedded" {
		layout = envelope.Embedded
	}
	bus, err := eventbridge.New(client, f.bus, &eventbridge.Options{
		Layout: layout, EndpointID: f.endpointID, CheckBus: true, RetryFor: time.Duration(f.retryFor),
	})
	if err != nil {
		return nil, usage("give the name or ARN of an event bus with --bus", "%w", err)
	}
	p, err := producer.New(source, bus, &producer.Options{
		Audience: f.audience, Expires: time.Duration(f.expires), Exact: f.exact, Encrypt: encrypt, EncryptFields: f.fields, Now: a.now,
		KeepRecordedTime: f.keepTime,
	})
	if err != nil {
		return nil, unavailable("report this as a bug", "%w", err)
	}
	return p, nil
}

func eventBridgeClient(ctx context.Context, f *publishFlags) (*awseventbridge.Client, error) {
	cfg, err := loadAWS(ctx, f.region)
	if err != nil {
		return nil, err
	}
	return awseventbridge.NewFromConfig(cfg, func(o *awseventbridge.Options) {
		if f.endpoint != "" {
			o.BaseEndpoint = aws.String(f.endpoint)
		}
	}), nil
}

func (a *app) publishAll(ctx context.Context, p *producer.Producer, events []event.Event, f *publishFlags) error {
	total := publishTotal{}
	for start := 0; start < len(events); start += publishBatch {
		end := min(start+publishBatch, len(events))
		results, _ := p.Publish(ctx, events[start:end]...) // its error is that of the results
		for i, r := range results {
			if err := a.tellPublished(r, position(start+i, len(events)), &total); err != nil {
				return err
			}
		}
		if len(events) > publishBatch {
			a.sayf("%d of %s done, %d of them not published", end, count(len(events), "event"), total.failed)
		}
	}
	if more := total.failed - shownFailures; more > 0 && !a.json {
		a.sayf("and %d more: --output json lists all", more)
	}
	if total.twice > 0 && !a.json {
		a.sayf("%s may be on the bus twice: an answer was lost, and the call repeated", count(total.twice, "event"))
		a.sayf("  nothing needs to be done: consumers handle an event once")
	}
	if !a.json {
		p := &printer{style: a.out}
		p.linef("published %d of %s to %s", len(events)-total.failed, count(len(events), "event"), clean(f.bus))
		if err := a.writeText(p); err != nil {
			return err
		}
	}
	return ended(total.exit)
}

// publishTotal is what came of all events so far.
type publishTotal struct{ failed, twice, exit int }

// publishedResult is what became of one event, for programs.
type publishedResult struct {
	ID        string `json:"id"`
	Published bool   `json:"published"`
	Error     string `json:"error,omitempty"` // rejected: for good; unavailable: it may be published later
	Code      string `json:"code,omitempty"`  // EventBridge's
	Message   string `json:"message,omitempty"`
	Fix       string `json:"fix,omitempty"`
	// MaybeTwice: the event may be on the bus twice, or will be when it is published again.
	MaybeTwice bool `json:"may_be_on_bus_twice,omitempty"`
}

func (a *app) tellPublished(r producer.Result, where string, total *publishTotal) error {
	out := publishedResult{ID: r.ID, Published: r.Err == nil, MaybeTwice: r.MaybeTwice}
	if r.Err == nil && r.MaybeTwice {
		total.twice++
	}
	if r.Err != nil {
		exit := publishExit(r.Err)
		total.failed, total.exit = total.failed+1, max(total.exit, exit)
		out.Error, out.Fix = exitWord(exit), publishFix(r.Err, exit)
		out.Message = strings.TrimSuffix(plainMessage(r.Err), ": "+out.Fix)
		if e, ok := errors.AsType[*eventbridge.Error](r.Err); ok {
			out.Code = e.Code
		}
	}
	switch {
	case a.json:
		return a.writeJSON(out)
	case r.Err != nil && total.failed <= shownFailures:
		a.sayf("%sevent %.100q was not published: %s", where, r.ID, out.Message)
		a.say("sealbus:   "+clean(out.Fix), 11)
		if r.MaybeTwice {
			a.sayf("  published again, it may be on the bus twice: consumers handle it once")
		}
	}
	return nil
}

// publishExit tells an event that is refused for good from one that may be published later, or after its
// surroundings are put in order.
func publishExit(err error) int {
	if _, ok := errors.AsType[*envelope.SealError](err); ok {
		return exitRejected
	}
	if _, ok := errors.AsType[*eventbridge.TooLargeError](err); ok {
		return exitRejected
	}
	if errors.Is(err, eventbridge.ErrNoBus) {
		return exitUsage
	}
	if service, ok := errors.AsType[*keys.ServiceError](err); ok {
		return serviceExit(service)
	}
	e, ok := errors.AsType[*eventbridge.Error](err)
	switch {
	case !ok || e.Temporary || e.Code == "":
		return exitUnavailable
	case strings.HasPrefix(e.Code, "AccessDenied"), badCredentials[e.Code], e.Err != nil && e.Code != "ValidationException":
		return exitUsage
	}
	return exitRejected
}

func publishFix(err error, exit int) string {
	e, ok := errors.AsType[*eventbridge.Error](err)
	service, isService := errors.AsType[*keys.ServiceError](err)
	switch {
	case isService:
		return serviceFix(service)
	case errors.Is(err, eventbridge.ErrNoBus):
		return "check --bus and --region, or create the bus: EventBridge itself would have accepted the events, and lost them"
	case ok && badCredentials[e.Code]:
		return fixCredentials
	case ok && strings.Contains(e.Fix(), "MaxBytes"): // an option of the library
		return "this region takes less: send large data by reference (dataref), or split the event"
	case ok && e.Fix() != "":
		return e.Fix()
	case ok && exit == exitUsage:
		return "check --bus, --region and --endpoint"
	case exit == exitUnavailable:
		return "publish the same events again"
	}
	return "correct the event and publish it again"
}
