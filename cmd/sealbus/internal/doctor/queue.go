package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/awsname"
)

const (
	leastReceives  = 3 // with fewer, a passing failure sends events to the dead-letter queue
	usualReceives  = 5 // the least that AWS advises for a queue that a function reads
	usualOutage    = 30 * time.Minute
	leastRetention = 24 * time.Hour // with less, an outage over night loses events
	mostRetention  = 14 * 24 * time.Hour
	// times the function's timeout, as AWS advises: Lambda may retry throttled calls meanwhile
	visibilityRule = 6
)

// queueFacts is what was found out about a queue.
type queueFacts struct {
	url, arn      string
	visibility    time.Duration
	retention     time.Duration
	waiting       int
	policy        string
	kmsKey        string
	deadLetterARN string
	maxReceives   int
	deadLetter    *queueFacts // nil = none, or not known
}

// name is the queue's in its ARN.
func (q *queueFacts) name() string { a, _ := awscli.ParseARN(q.arn); return a.Resource }

func readQueueFacts(url string, attributes map[string]string) (*queueFacts, error) {
	number := func(name types.QueueAttributeName) int {
		n, _ := strconv.Atoi(attributes[string(name)]) // of AWS; absent is 0
		return n
	}
	q := &queueFacts{
		url: url, arn: attributes[string(types.QueueAttributeNameQueueArn)],
		visibility: time.Duration(number(types.QueueAttributeNameVisibilityTimeout)) * time.Second,
		retention:  time.Duration(number(types.QueueAttributeNameMessageRetentionPeriod)) * time.Second,
		waiting:    number(types.QueueAttributeNameApproximateNumberOfMessages),
		policy:     attributes[string(types.QueueAttributeNamePolicy)],
		kmsKey:     attributes[string(types.QueueAttributeNameKmsMasterKeyId)],
	}
	redrive := attributes[string(types.QueueAttributeNameRedrivePolicy)]
	if redrive == "" {
		return q, nil
	}
	var r struct {
		DeadLetterTargetARN string `json:"deadLetterTargetArn"`
		MaxReceiveCount     any    `json:"maxReceiveCount"` // a number, or a string with one
	}
	if err := json.Unmarshal([]byte(redrive), &r); err != nil {
		return nil, fmt.Errorf("its RedrivePolicy is not JSON: %w", err)
	}
	q.deadLetterARN = r.DeadLetterTargetARN
	q.maxReceives, _ = strconv.Atoi(strings.TrimSuffix(fmt.Sprint(r.MaxReceiveCount), ".0"))
	return q, nil
}

// checkQueue looks at the queue that the consumer reads.
func (d *doctor) checkQueue(ctx context.Context) {
	if d.elsewhere("queue", awscli.RegionOfQueue(d.f.queue)) {
		return
	}
	q, err := d.describeQueue(ctx, d.f.queue)
	if err != nil {
		d.queueFailed("queue", "sqs:GetQueueAttributes", d.queueResource(), "check --queue and --region", err)
		return
	}
	d.queue = q
	d.ok("queue", "%s, %s waiting", q.arn, ui.Count(q.waiting, "message"))
	d.checkSenders(q)
	d.checkQueueKey(q)
	d.checkRetention(q)
	d.checkDeadLetters(ctx, q)
	d.checkWindow(q)
	if d.f.function == "" {
		d.checkVisibility(q, nil)
	}
}

// queueResource is the queue in an IAM statement.
func (d *doctor) queueResource() string {
	q, _ := awsname.ParseQueueURL(d.f.queue)
	if a, ok := q.ARN(); ok {
		return a.String()
	}
	return strings.Join([]string{"arn", d.aws.partition, "sqs", d.aws.region, cmp.Or(q.Account, "*"),
		cmp.Or(q.Name, "*")}, ":")
}

func (d *doctor) describeQueue(ctx context.Context, url string) (*queueFacts, error) {
	out, err := d.aws.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return nil, err
	}
	return readQueueFacts(url, out.Attributes)
}

// findQueue is the queue of an ARN. The action is the one that failed.
func (d *doctor) findQueue(ctx context.Context, text string) (q *queueFacts, action string, err error) {
	a, ok := awscli.ParseARN(text)
	if !ok || a.Service != "sqs" {
		return nil, "sqs:GetQueueUrl", fmt.Errorf("%q is not the ARN of a queue", text)
	}
	out, err := d.aws.queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &a.Resource,
		QueueOwnerAWSAccountId: &a.Account})
	if err != nil {
		return nil, "sqs:GetQueueUrl", err
	}
	q, err = d.describeQueue(ctx, aws.ToString(out.QueueUrl))
	return q, "sqs:GetQueueAttributes", err
}

// queueFailed tells a queue that does not exist from one that could not be looked at.
func (d *doctor) queueFailed(check, action, resource, fix string, err error) {
	if missingQueue(err) {
		d.problem(check, fix, "it does not exist")
		return
	}
	d.failed(check, action, resource, err)
}

func missingQueue(err error) bool {
	_, ok := errors.AsType[*types.QueueDoesNotExist](err)
	code := errtext.Code(err)
	return ok || code == "AWS.SimpleQueueService.NonExistentQueue" || code == "QueueDoesNotExist"
}

// setAttribute is the command that sets an attribute of the queue.
func (q *queueFacts) setAttribute(name, value string) string {
	attributes := name + "=" + value
	if strings.ContainsAny(value, `{",`) {
		quoted, _ := json.Marshal(map[string]string{name: value}) // strings
		attributes = string(quoted)
	}
	return "aws sqs set-queue-attributes --queue-url " + ui.ShellQuote(q.url) + " --attributes " +
		ui.ShellQuote(attributes)
}

// checkSenders: only rules of EventBridge that are named may send. Any other sender writes account and
// replay-name of what the consumer reads, which are believed as EventBridge's.
func (d *doctor) checkSenders(q *queueFacts) {
	d.checkGrants(grants{
		check: "queue policy", action: "sqs:SendMessage", does: "send",
		loses: "what a rule sends is lost, or goes to the rule's dead-letter queue",
		fix:   "put into the queue's policy, instead of what allows more: " + d.sendStatement(q),
	}, q.policy)
}

// grants is what a resource policy is looked at for: that EventBridge may do something, and no other
// principal.
type grants struct{ check, action, does, loses, fix string }

func (d *doctor) checkGrants(g grants, policy string) {
	statements, err := parsePolicy(policy)
	if err != nil {
		d.unknown(g.check, "look at the policy", "it could not be read: %v", err)
		return
	}
	before, allowed := len(d.findings), false
	for i := range statements {
		s := &statements[i]
		if !s.allows(g.action) {
			continue
		}
		service := slices.Contains(s.Principal["Service"], "events.amazonaws.com")
		allowed = allowed || service || s.anybody()
		d.checkGrant(&g, s, service)
	}
	switch {
	case !allowed:
		d.problem(g.check, g.fix, "EventBridge may not %s: %s", g.does, g.loses)
	case len(d.findings) == before:
		d.ok(g.check,
			"it lets only the named rules of EventBridge %s; policies of users and roles were not looked at",
			g.does)
	}
}

func (d *doctor) checkGrant(g *grants, s *policyStatement, service bool) {
	const forged = "account and replay-name of an event can then be forged"
	sources, accounts := s.demands("aws:SourceArn"), s.demands("aws:SourceAccount", "aws:PrincipalAccount")
	switch {
	case len(sources) > 0 && !anyAccount(sources) && onlyRules(sources):
	case len(sources) > 0 && !anyAccount(sources):
		d.warning(g.check, g.fix, "what is no rule may %s, %s%s: %s", g.does, strings.Join(sources, ", "),
			sid(s), forged)
	case len(accounts) > 0:
		d.warning(g.check, g.fix, "any rule or role of account %s may %s%s: name the rules as aws:SourceArn",
			strings.Join(accounts, ", "), g.does, sid(s))
	case s.anybody():
		d.problem(g.check, g.fix, "anybody may %s%s: %s", g.does, sid(s), forged)
	case service:
		d.problem(g.check, g.fix, "a rule of any AWS account may %s, as no aws:SourceArn is demanded%s: %s",
			g.does, sid(s), forged)
	default:
		d.warning(g.check, g.fix, "%s may %s directly%s: %s", s.who(), g.does, sid(s), forged)
	}
}

// anyAccount reports whether one of the ARNs leaves the account open.
func anyAccount(arns []string) bool {
	for _, text := range arns {
		if a, ok := awscli.ParseARN(text); !ok || strings.ContainsAny(a.Account, "*?") {
			return true
		}
	}
	return false
}

// onlyRules reports whether the ARNs are of rules of EventBridge: a topic or a bucket sends what anybody gave
// it.
func onlyRules(arns []string) bool {
	for _, text := range arns {
		if a, ok := awscli.ParseARN(text); !ok || a.Service != "events" ||
			!strings.HasPrefix(a.Resource, "rule/") {
			return false
		}
	}
	return true
}

// sendStatement lets the rules of the bus send, and no other principal.
func (d *doctor) sendStatement(q *queueFacts) string {
	a, _ := awscli.ParseARN(q.arn)
	bus := d.f.bus
	if b, ok := awscli.ParseARN(bus); ok {
		a.Region, a.Account, bus = b.Region, b.Account, b.Resource
	}
	if _, name, ok := strings.Cut(bus, "/"); ok {
		bus = name
	}
	if bus == "" {
		bus = "BUS"
	}
	rule := fmt.Sprintf("arn:%s:events:%s:%s:rule/%s/RULE", a.Partition, a.Region, a.Account, bus)
	if bus == "default" {
		rule = fmt.Sprintf("arn:%s:events:%s:%s:rule/RULE", a.Partition, a.Region, a.Account)
	}
	return fmt.Sprintf(`{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}`, q.arn, rule)
}

// checkQueueKey: EventBridge cannot use the key that AWS manages, whose policy cannot be changed.
func (d *doctor) checkQueueKey(q *queueFacts) {
	switch {
	case q.kmsKey == "":
	case strings.HasSuffix(q.kmsKey, "alias/aws/sqs"):
		d.problem("queue encryption", q.setAttribute("KmsMasterKeyId", "")+
			" # SQS then encrypts with a key of its own",
			"EventBridge cannot send to a queue that is encrypted under alias/aws/sqs")
	default:
		d.warning("queue encryption",
			`the key's policy needs {"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":["kms:GenerateDataKey","kms:Decrypt"],"Resource":"*"}`,
			"under %s: its policy, which was not looked at, must let EventBridge use it", q.kmsKey)
	}
}

func (d *doctor) checkRetention(q *queueFacts) {
	if q.retention < leastRetention {
		d.warning("queue retention", q.setAttribute("MessageRetentionPeriod", "345600"),
			"%s: a longer outage of the consumer loses events", ui.FormatDuration(q.retention))
		return
	}
	d.ok("queue retention", "%s", ui.FormatDuration(q.retention))
}

// checkDeadLetters looks at where messages go that fail again and again.
func (d *doctor) checkDeadLetters(ctx context.Context, q *queueFacts) {
	if q.deadLetterARN == "" {
		a, _ := awscli.ParseARN(q.arn)
		d.problem("queue dead-letter queue", q.setAttribute("RedrivePolicy",
			fmt.Sprintf(`{"deadLetterTargetArn":"arn:%s:sqs:%s:%s:QUEUE","maxReceiveCount":"%d"}`,
				a.Partition, a.Region, a.Account, advisedReceives(q.visibility))),
			"there is none: what fails is tried until its retention is over, and then lost")
		return
	}
	d.checkReceives(q)
	dead, action, err := d.findQueue(ctx, q.deadLetterARN)
	if err != nil {
		d.queueFailed("queue dead-letter queue", action, q.deadLetterARN, "create it: messages go to "+
			q.deadLetterARN, err)
		return
	}
	q.deadLetter = dead
	switch {
	case dead.retention < q.retention:
		d.problem("queue dead-letter queue", dead.setAttribute("MessageRetentionPeriod",
			fmt.Sprint(inSeconds(max(q.retention, mostRetention)))),
			"it keeps messages for %s and the queue for %s: time in the queue counts, so they can be lost as they arrive", ui.FormatDuration(dead.retention), ui.FormatDuration(q.retention))
	case dead.waiting > 0:
		d.warning("queue dead-letter queue", "sealbus listen --queue "+ui.ShellQuote(dead.url)+
			" ... shows why; `aws sqs start-message-move-task --source-arn "+ui.ShellQuote(dead.arn)+
			"` sends them back",
			"%s in %s: an operator must look", ui.Count(dead.waiting, "message"), dead.name())
	default:
		d.ok("queue dead-letter queue", "%s keeps messages for %s, none in it", dead.name(),
			ui.FormatDuration(dead.retention))
	}
}

// checkReceives: a message is received when it comes and then once after each visibility timeout, so it
// survives an outage of receives-1 timeouts without going to the dead-letter queue.
func (d *doctor) checkReceives(q *queueFacts) {
	fix := q.setAttribute("RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"%d"}`,
		q.deadLetterARN, advisedReceives(q.visibility)))
	n := q.maxReceives
	survived := time.Duration(n-1) * q.visibility
	switch {
	case time.Duration(n)*q.visibility >= q.retention:
		d.problem("queue maxReceiveCount", fix,
			"%d, each after a visibility timeout of %s, take longer than the %s that messages are kept: what fails never gets to the dead-letter queue", n, ui.FormatDuration(q.visibility), ui.FormatDuration(q.retention))
	case n < leastReceives:
		d.problem("queue maxReceiveCount", fix,
			"%d: a passing failure, such as throttling, sends events to the dead-letter queue", n)
	case n < usualReceives, survived < usualOutage:
		d.warning("queue maxReceiveCount", fix,
			"%d: after an outage of %s, of the replay store or the trust's origin, events go to the dead-letter queue", n, ui.FormatDuration(survived))
	default:
		d.ok("queue maxReceiveCount", "%d: an outage of %s sends nothing to the dead-letter queue", n,
			ui.FormatDuration(survived))
	}
}

// advisedReceives survive half an hour, with one for a worker that crashes.
func advisedReceives(visibility time.Duration) int {
	if visibility <= 0 {
		return usualReceives
	}
	return max(usualReceives, int((usualOutage+visibility-1)/visibility)+2)
}

// checkWindow: what waited in queue and dead-letter queue must still be young enough for the consumer.
func (d *doctor) checkWindow(q *queueFacts) {
	need := q.retention
	where := ui.FormatDuration(q.retention) + " in the queue"
	if q.deadLetter != nil {
		need += q.deadLetter.retention
		where += " and " + ui.FormatDuration(q.deadLetter.retention) + " in its dead-letter queue"
	}
	advised := goDuration(envelope.DefaultMaxAge + need)
	fix := "set MaxAge: " + advised + " in envelope.Policy, which includes the time in the queues"
	switch given := time.Duration(d.f.maxAge); {
	case !d.f.maxAgeGiven:
		d.warning("consumer window", fix+", and give doctor --max-age with the consumer's MaxAge",
			"messages may wait %s; the consumer's MaxAge is not known", where)
	case given < need:
		d.problem("consumer window", fix,
			"messages may wait %s, and MaxAge is %s: a message that waits longer is rejected as expired",
			where, goDuration(given))
	case given-need < 24*time.Hour:
		d.warning("consumer window", fix,
			"EventBridge tries for 24h to deliver, and beyond the %s MaxAge leaves %s for that",
			where, goDuration(given-need))
	default:
		d.ok("consumer window", "MaxAge is %s and covers %s", goDuration(given), where)
	}
}

// checkVisibility: while a message is being handled, no other worker may get it. The mapping is nil if there
// is no function.
func (d *doctor) checkVisibility(q *queueFacts, m *mapping) {
	need := time.Duration(d.f.lease) + time.Second
	why := "the consumer's lease is " + ui.FormatDuration(time.Duration(d.f.lease))
	if m != nil {
		if n := visibilityRule*m.timeout + m.window; n > need {
			need = n
			why = fmt.Sprintf("AWS advises %d times the %s that the function may take", visibilityRule,
				ui.FormatDuration(m.timeout))
			if m.window > 0 {
				why += " and the batching window of " + ui.FormatDuration(m.window)
			}
		}
	}
	if q.visibility < need {
		d.problem("queue visibility timeout", q.setAttribute("VisibilityTimeout",
			fmt.Sprint(inSeconds(need))),
			"%s is too short, %s: messages come again while they are being handled",
			ui.FormatDuration(q.visibility), why)
		return
	}
	d.ok("queue visibility timeout", "%s; %s", ui.FormatDuration(q.visibility), why)
}
