package doctor

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
)

// awsClients is what doctor calls in AWS: it only reads.
type awsClients struct {
	partition, region, account string

	identity interface {
		GetCallerIdentity(ctx context.Context, in *sts.GetCallerIdentityInput,
			opts ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)
	}
	buses interface {
		DescribeEventBus(ctx context.Context, in *awseventbridge.DescribeEventBusInput,
			opts ...func(*awseventbridge.Options)) (*awseventbridge.DescribeEventBusOutput, error)
		ListRules(ctx context.Context, in *awseventbridge.ListRulesInput,
			opts ...func(*awseventbridge.Options)) (*awseventbridge.ListRulesOutput, error)
		ListTargetsByRule(ctx context.Context, in *awseventbridge.ListTargetsByRuleInput,
			opts ...func(*awseventbridge.Options)) (*awseventbridge.ListTargetsByRuleOutput, error)
	}
	queues interface {
		GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput,
			opts ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
		GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput,
			opts ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	}
	functions interface {
		GetFunction(ctx context.Context, in *lambda.GetFunctionInput,
			opts ...func(*lambda.Options)) (*lambda.GetFunctionOutput, error)
		ListEventSourceMappings(ctx context.Context, in *lambda.ListEventSourceMappingsInput,
			opts ...func(*lambda.Options)) (*lambda.ListEventSourceMappingsOutput, error)
		GetPolicy(ctx context.Context, in *lambda.GetPolicyInput,
			opts ...func(*lambda.Options)) (*lambda.GetPolicyOutput, error)
		GetFunctionEventInvokeConfig(ctx context.Context, in *lambda.GetFunctionEventInvokeConfigInput,
			opts ...func(*lambda.Options)) (*lambda.GetFunctionEventInvokeConfigOutput, error)
	}
	tables interface {
		DescribeTable(ctx context.Context, in *awsdynamodb.DescribeTableInput,
			opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTableOutput, error)
		DescribeTimeToLive(ctx context.Context, in *awsdynamodb.DescribeTimeToLiveInput,
			opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTimeToLiveOutput, error)
	}
}

func newDoctorAWS(cfg aws.Config, f *awscli.AWSFlags, queueURL string) *awsClients {
	return &awsClients{
		partition: "aws", region: cfg.Region, account: "*", // until it is known who asks
		identity: sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = awscli.EndpointFor(f, o.BaseEndpoint) }),
		buses: awseventbridge.NewFromConfig(cfg,
			func(o *awseventbridge.Options) { o.BaseEndpoint = awscli.EndpointFor(f, o.BaseEndpoint) }),
		queues: sqs.NewFromConfig(cfg,
			func(o *sqs.Options) { o.BaseEndpoint = awscli.QueueEndpoint(queueURL, f, o.BaseEndpoint) }),
		functions: lambda.NewFromConfig(cfg, func(o *lambda.Options) { o.BaseEndpoint = awscli.EndpointFor(f, o.BaseEndpoint) }),
		tables: awsdynamodb.NewFromConfig(cfg,
			func(o *awsdynamodb.Options) { o.BaseEndpoint = awscli.EndpointFor(f, o.BaseEndpoint) }),
	}
}

// checkAWS looks at everything in AWS, once the credentials are known.
func (d *doctor) checkAWS(ctx context.Context) {
	d.connect(ctx)
	if d.aws == nil {
		d.unreachable()
		return
	}
	if d.f.queue != "" {
		d.checkQueue(ctx)
	}
	if d.f.function != "" {
		d.checkFunction(ctx)
	}
	if d.f.bus != "" {
		d.checkBus(ctx)
	}
	if d.f.table != "" {
		d.checkTable(ctx)
	}
}

// unreachable says of each thing in AWS that it was not looked at.
func (d *doctor) unreachable() {
	for _, what := range []struct{ name, value string }{
		{"queue", d.f.queue}, {"function", d.f.function}, {"bus", d.f.bus}, {"table", d.f.table},
	} {
		if what.value != "" {
			d.unknown(what.name, "put the findings above right first", "AWS cannot be asked")
		}
	}
}

// connect finds region and credentials, and asks AWS whose they are.
func (d *doctor) connect(ctx context.Context) {
	cfg, err := awscli.Read(ctx, d.f.Region)
	if err != nil {
		d.problem("aws configuration", "check AWS_PROFILE and the files below ~/.aws", "%v", err)
		return
	}
	if cfg.Region == "" {
		cfg.Region = awscli.RegionOfQueue(d.f.queue)
	}
	if cfg.Region == "" {
		d.problem("aws region", "add --region NAME, or set AWS_REGION", "none is configured")
		return
	}
	d.ok("aws region", "%s", cfg.Region)
	if err := awscli.CheckCredentials(ctx, cfg); err != nil {
		e := ui.AsExit(err)
		if e.Code == ui.ExitUnavailable {
			d.silent("aws credentials", e.Fix, "%v", e.Err)
		} else {
			d.problem("aws credentials", e.Fix, "%v", e.Err)
		}
		return
	}
	clients := newDoctorAWS(cfg, &d.f.AWSFlags, d.f.queue)
	if d.whoAmI(ctx, clients) {
		d.aws = clients
	}
}

// whoAmI needs no permission: it reports whether AWS knows these credentials.
func (d *doctor) whoAmI(ctx context.Context, clients *awsClients) bool {
	before := d.env.Clock()
	out, err := clients.identity.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	after := d.env.Clock()
	switch {
	case err == nil:
		d.ok("aws credentials", "account %s, %s", aws.ToString(out.Account), aws.ToString(out.Arn))
		clients.account = aws.ToString(out.Account)
		if me, ok := awscli.ParseARN(aws.ToString(out.Arn)); ok {
			clients.partition = me.Partition
		}
		d.checkClock(serverDate(out.ResultMetadata, nil), before, after)
		return true
	case awscli.BadCredentials[errtext.Code(err)]:
		d.problem("aws credentials", awscli.FixCredentials, "AWS does not accept them: %v", errtext.AWS(err))
	default:
		d.unreachedAWS("aws credentials", "sts:GetCallerIdentity", err)
	}
	// a refusal has a date, too, and the clock may be its cause
	if date := serverDate(middleware.Metadata{}, err); !date.IsZero() {
		d.checkClock(date, before, after)
	}
	return false
}

// slightSkew is what a clock that is kept right does not reach.
const slightSkew = 30 * time.Second

// checkClock compares the local clock, before and after the call, with the date of the answer, which is in
// whole seconds.
func (d *doctor) checkClock(date, before, after time.Time) {
	if date.IsZero() {
		d.unknown("clock", "compare `date -u` with another machine", "the answer of AWS has no date")
		return
	}
	local := before.Add(after.Sub(before) / 2)
	off := local.Sub(date.Add(time.Second / 2)).Round(time.Second)
	fix := "let the clock be set: `timedatectl set-ntp true`, or chrony"
	which := "ahead of"
	if off < 0 {
		off, which = off.Abs(), "behind"
	}
	switch {
	case off >= envelope.DefaultSkew:
		d.problem("clock", fix,
			"this machine is %s %s AWS: events that are sealed or judged here are refused beyond %s",
			ui.FormatDuration(off), which, ui.FormatDuration(envelope.DefaultSkew))
	case off >= slightSkew:
		d.warning("clock", fix, "this machine is %s %s AWS; %s between producer and consumer are allowed",
			ui.FormatDuration(off), which, ui.FormatDuration(envelope.DefaultSkew))
	default:
		d.ok("clock", "within %s of that of AWS", ui.FormatDuration(max(off, time.Second)))
	}
}

// resource is an ARN of this region and account, for IAM statements. An ARN stays as it is.
func (c *awsClients) resource(service, prefix, name string) string {
	if _, ok := awscli.ParseARN(name); ok {
		return name
	}
	return strings.Join([]string{"arn", c.partition, service, c.region, c.account, prefix + name}, ":")
}

// elsewhere is the finding on something that is in another region than is asked.
func (d *doctor) elsewhere(check, region string) bool {
	if region == "" || region == d.aws.region || d.f.Endpoint != "" {
		return false
	}
	d.problem(check, "add --region "+region, "it is in %s, and the region is %s", region, d.aws.region)
	return true
}
