package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// functionFacts is what was found out about a function.
type functionFacts struct {
	arn      string // without version or alias
	timeout  time.Duration
	asyncDLQ string    // where failed asynchronous invocations go, an ARN
	mappings []mapping // from queues
	mapped   bool      // mappings are known
}

// mapping is how Lambda reads a queue for a function.
type mapping struct {
	id, queueARN    string
	timeout, window time.Duration
	config          types.EventSourceMappingConfiguration
}

// is reports whether arn is the function's, with or without a version or alias.
func (f *functionFacts) is(arn string) bool {
	return f != nil && (arn == f.arn || strings.HasPrefix(arn, f.arn+":"))
}

// checkFunction looks at the consumer's function and how Lambda reads the queue for it.
func (d *doctor) checkFunction(ctx context.Context) {
	if d.elsewhere("function", awscli.RegionOfARN(d.f.function)) {
		return
	}
	out, err := d.aws.functions.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &d.f.function})
	switch {
	case notFound(err):
		d.problem("function", "check --function and --region", "it does not exist")
		return
	case err != nil:
		d.failed("function", "lambda:GetFunction", d.functionResource(), err)
		return
	case out.Configuration == nil:
		d.unknown("function", "try again", "lambda:GetFunction: an answer without configuration")
		return
	}
	d.function = describeFunction(out)
	d.checkFunctionState(out)
	d.checkMappings(ctx)
	if d.f.bus == "" && d.function.mapped && len(d.function.mappings) == 0 {
		d.checkDirect(ctx)
	}
}

// checkDirect looks at a function that EventBridge calls itself, without a queue in between.
func (d *doctor) checkDirect(ctx context.Context) {
	d.checkInvokers(ctx)
	d.checkOnFailure(ctx)
}

// checkInvokers: only rules of EventBridge that are named may call. Any other caller writes account and
// replay-name of what the consumer gets, which are believed as EventBridge's.
func (d *doctor) checkInvokers(ctx context.Context) {
	const check = "function policy"
	fix := fmt.Sprintf("aws lambda add-permission --function-name %s --statement-id sealbus --action lambda:InvokeFunction --principal events.amazonaws.com --source-arn RULE-ARN", ui.ShellQuote(d.f.function))
	out, err := d.aws.functions.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &d.f.function})
	if notFound(err) {
		d.problem(check, fix,
			"EventBridge may not call it: what a rule sends is lost, or goes to the rule's dead-letter queue")
		return
	}
	if err != nil {
		d.failed(check, "lambda:GetPolicy", d.functionResource(), err)
		return
	}
	d.checkGrants(grants{check: check, action: "lambda:InvokeFunction", does: "call",
		loses: "what a rule sends is lost, or goes to the rule's dead-letter queue",
		fix:   "remove the statement, and: " + fix}, aws.ToString(out.Policy))
}

func describeFunction(out *lambda.GetFunctionOutput) *functionFacts {
	f := &functionFacts{arn: aws.ToString(out.Configuration.FunctionArn),
		timeout: time.Duration(aws.ToInt32(out.Configuration.Timeout)) * time.Second}
	if a, ok := awscli.ParseARN(f.arn); ok { // function:NAME:ALIAS
		if parts := strings.Split(a.Resource, ":"); len(parts) == 3 {
			f.arn = strings.TrimSuffix(f.arn, ":"+parts[2])
		}
	}
	if c := out.Configuration.DeadLetterConfig; c != nil {
		f.asyncDLQ = aws.ToString(c.TargetArn)
	}
	return f
}

// functionResource is the function in an IAM statement.
func (d *doctor) functionResource() string {
	return d.aws.resource("lambda", "function:", d.f.function)
}

func (d *doctor) checkFunctionState(out *lambda.GetFunctionOutput) {
	c, name := out.Configuration, ui.ShellQuote(d.f.function)
	switch {
	case out.Concurrency != nil && out.Concurrency.ReservedConcurrentExecutions != nil &&
		*out.Concurrency.ReservedConcurrentExecutions == 0:
		d.problem("function", "aws lambda delete-function-concurrency --function-name "+
			name, "its reserved concurrency is 0: it is never called")
	case c.State != "" && c.State != types.StateActive:
		d.problem("function", "aws lambda get-function --function-name "+name+
			" says why", "its state is %s %s", c.State, aws.ToString(c.StateReason))
	case c.LastUpdateStatus == types.LastUpdateStatusFailed:
		d.warning("function", "deploy it again", "its last update failed: %s",
			aws.ToString(c.LastUpdateStatusReason))
	default:
		d.ok("function", "%s, timeout %s", aws.ToString(c.FunctionArn), ui.FormatDuration(d.function.timeout))
	}
}

// checkMappings looks at the event source mappings from SQS: from the queue, if one is given.
func (d *doctor) checkMappings(ctx context.Context) {
	pages := lambda.NewListEventSourceMappingsPaginator(d.aws.functions,
		&lambda.ListEventSourceMappingsInput{FunctionName: &d.f.function})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			d.failed("event source mapping", "lambda:ListEventSourceMappings", "*", err)
			return
		}
		for _, c := range page.EventSourceMappings {
			d.addMapping(c)
		}
	}
	d.function.mapped = true
	for i := range d.function.mappings {
		m := &d.function.mappings[i]
		d.checkMapping(m)
		if d.queue != nil {
			d.checkVisibility(d.queue, m)
		}
	}
	if len(d.function.mappings) == 0 && d.queue != nil {
		d.problem("event source mapping",
			fmt.Sprintf("aws lambda create-event-source-mapping --function-name %s --event-source-arn %s --function-response-types ReportBatchItemFailures", ui.ShellQuote(d.f.function), ui.ShellQuote(d.queue.arn)),
			"there is none from the queue to the function: nothing calls the function")
	}
}

func (d *doctor) addMapping(c types.EventSourceMappingConfiguration) {
	source := aws.ToString(c.EventSourceArn)
	a, ok := awscli.ParseARN(source)
	if !ok || a.Service != "sqs" || d.queue != nil && source != d.queue.arn {
		return
	}
	d.function.mappings = append(d.function.mappings, mapping{
		id: aws.ToString(c.UUID), queueARN: source, timeout: d.function.timeout,
		window: time.Duration(aws.ToInt32(c.MaximumBatchingWindowInSeconds)) * time.Second, config: c,
	})
}

func (d *doctor) checkMapping(m *mapping) {
	const check = "event source mapping"
	update := "aws lambda update-event-source-mapping --uuid " + ui.ShellQuote(m.id)
	queue, _ := awscli.ParseARN(m.queueARN)
	before := len(d.findings)
	if !slices.Contains(m.config.FunctionResponseTypes, types.FunctionResponseTypeReportBatchItemFailures) {
		d.problem(check, update+" --function-response-types ReportBatchItemFailures",
			"no ReportBatchItemFailures from %s: Lambda ignores which messages failed, and deletes them",
			queue.Resource)
	}
	switch state := aws.ToString(m.config.State); state {
	case "Enabled", "Creating", "Updating", "Enabling":
	default:
		d.problem(check, update+" --enabled", "from %s it is %s: it does not call the function",
			queue.Resource, state)
	}
	if c := m.config.FilterCriteria; c != nil && len(c.Filters) > 0 {
		d.warning(check, update+" --filter-criteria '{}'",
			"from %s it has a filter: Lambda deletes messages that do not match", queue.Resource)
	}
	if len(d.findings) == before {
		d.ok(check, "%s, batches of %d with partial failures", queue.Resource,
			aws.ToInt32(m.config.BatchSize))
	}
}

// checkOnFailure: a function that EventBridge calls directly is tried twice more, and then the event is gone.
func (d *doctor) checkOnFailure(ctx context.Context) {
	const check = "OnFailure destination"
	out, err := d.aws.functions.GetFunctionEventInvokeConfig(ctx,
		&lambda.GetFunctionEventInvokeConfigInput{FunctionName: &d.f.function})
	if err != nil && !notFound(err) {
		d.failed(check, "lambda:GetFunctionEventInvokeConfig", d.functionResource(), err)
		return
	}
	where := d.function.asyncDLQ
	if err == nil && out.DestinationConfig != nil && out.DestinationConfig.OnFailure != nil &&
		aws.ToString(out.DestinationConfig.OnFailure.Destination) != "" {
		where = *out.DestinationConfig.OnFailure.Destination
	}
	if where == "" {
		d.problem(check,
			fmt.Sprintf(`aws lambda put-function-event-invoke-config --function-name %s --destination-config '{"OnFailure":{"Destination":"QUEUE-ARN"}}'`, ui.ShellQuote(d.f.function)),
			"there is none, and no queue is before the function: an event that fails three times is lost")
		return
	}
	if a, _ := awscli.ParseARN(where); a.Service != "sqs" {
		d.ok(check, "%s", where)
		return
	}
	if _, action, err := d.findQueue(ctx, where); err != nil {
		d.queueFailed(check, action, where, "create the queue "+where, err)
		return
	}
	d.ok(check, "%s", where)
}

func notFound(err error) bool {
	_, ok := errors.AsType[*types.ResourceNotFoundException](err)
	return ok || errtext.Code(err) == "ResourceNotFoundException"
}
