package cfntest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Finding is a rule that a template breaks.
type Finding struct {
	Rule  Rule
	Where string // a resource
	What  string
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Rule, f.Where, f.What) }

// Rule is one of the rules.
type Rule string

// The rules.
const (
	Refs       Rule = "references"   // what is referred to is there
	Unused     Rule = "parameters"   // each is used
	Wildcards  Rule = "wildcards"    // nothing is open to every action, resource or principal
	Senders    Rule = "senders"      // EventBridge may call a queue or a function for its own rule only
	Assume     Rule = "roles"        // each is for one service
	Encrypted  Rule = "encryption"   // of queues and buckets at rest, of buckets also on the way
	Public     Rule = "public"       // no bucket is
	Retained   Rule = "retained"     // what cannot be made again is not deleted with its stack
	DeadLetter Rule = "dead letters" // what fails is kept: by queues, rules and functions
	Partial    Rule = "partial"      // one failed message does not bring the whole batch again
	Alarms     Rule = "alarms"       // each notifies an operator, and each queue has those that it needs
	URLs       Rule = "URLs"         // a public one works, and leads to a function with a bound and alarms
)

// Findings are the rules that the template breaks.
func Findings(t *Template) []Finding {
	c := &checker{t: t}
	for _, check := range []func(){
		c.references, c.parameters, c.statements, c.queuePolicies, c.permissions, c.roles, c.queues,
		c.buckets, c.retained,
		c.rules, c.functions, c.pipes, c.alarms, c.queueAlarms, c.urls,
	} {
		check()
	}
	return c.found
}

type checker struct {
	t     *Template
	found []Finding
}

func (c *checker) add(rule Rule, where, format string, args ...any) {
	c.found = append(c.found, Finding{rule, where, fmt.Sprintf(format, args...)})
}

// each calls do with each resource of a type.
func (c *checker) each(typ string, do func(id string, r Resource)) {
	for _, id := range c.t.OfType(typ) {
		do(id, c.t.Resources[id])
	}
}

// variable is one in the text of Fn::Sub, or of Plain.
var variable = regexp.MustCompile(`\$\{([^}!]+)\}`)

func (c *checker) references() {
	for _, section := range []string{"Resources", "Outputs", "Globals", "Conditions"} {
		walk(c.t.Document[section], func(v any) {
			text, ok := reference(object(v))
			if !ok {
				return
			}
			for _, m := range variable.FindAllStringSubmatch(text, -1) {
				if id, _, _ := strings.Cut(m[1], "."); !c.defined(id) {
					c.add(Refs, section, "%s refers to %s, which is not there", text, id)
				}
			}
		})
	}
}

func (c *checker) defined(id string) bool {
	_, resource := c.t.Resources[id]
	return resource || strings.HasPrefix(id, "AWS::") || Get(c.t.Document, "Parameters", id) != nil
}

func (c *checker) parameters() {
	used := make(map[string]bool)
	walk(c.t.Document, func(v any) {
		text, _ := reference(object(v))
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
		}
	})
	for _, name := range slices.Sorted(maps.Keys(object(c.t.Document["Parameters"]))) {
		if !used[name] {
			c.add(Unused, name, "nothing refers to it")
		}
	}
}

// Statements are the statements of all policies of a resource, plain.
func (r Resource) Statements() []map[string]any {
	var list []map[string]any
	walk(Plain(r.Properties), func(v any) {
		if m := object(v); m["Effect"] != nil {
			list = append(list, m)
		}
	})
	return list
}

func (c *checker) statements() {
	for _, id := range slices.Sorted(maps.Keys(c.t.Resources)) {
		for _, s := range c.t.Resources[id].Statements() {
			if s["Effect"] != "Deny" {
				c.statement(id, s)
			}
		}
	}
}

func (c *checker) statement(id string, s map[string]any) {
	for _, name := range []string{"NotAction", "NotResource", "NotPrincipal"} {
		if s[name] != nil {
			c.add(Wildcards, id, "%s allows all but", name)
		}
	}
	if s["Action"] == nil || s["Effect"] != "Allow" {
		c.add(Wildcards, id, "a statement with the effect %v that allows the actions %v", s["Effect"],
			s["Action"])
	}
	for _, a := range List(s["Action"]) {
		if strings.Contains(fmt.Sprint(a), "*") {
			c.add(Wildcards, id, "the action %v", a)
		}
	}
	for _, r := range List(s["Resource"]) {
		if text := fmt.Sprint(r); strings.Contains(strings.TrimSuffix(text, "/*"), "*") ||
			!strings.Contains(text, "$") {
			c.add(Wildcards, id, "the resource %v", r)
		}
	}
	walk(s["Principal"], func(v any) {
		if text, ok := v.(string); ok && strings.Contains(text, "*") {
			c.add(Wildcards, id, "the principal %v", v)
		}
	})
}

const eventBridge = "events.amazonaws.com"

// senders are the rules that have a target, or a dead-letter queue, of that ARN.
func (c *checker) senders(arn string) []string {
	var rules []string
	c.each("AWS::Events::Rule", func(id string, r Resource) {
		for _, target := range List(Plain(r.Properties["Targets"])) {
			if Get(target, "Arn") == arn || Get(target, "DeadLetterConfig", "Arn") == arn {
				rules = append(rules, "${"+id+".Arn}")
			}
		}
	})
	return slices.Compact(rules)
}

// queuePolicies: a queue that EventBridge sends to says so for exactly the rules that do, and no other queue
// has a policy.
func (c *checker) queuePolicies() {
	policies := make(map[string][]map[string]any)
	c.each("AWS::SQS::QueuePolicy", func(_ string, r Resource) {
		for _, q := range List(Plain(r.Properties["Queues"])) {
			name := fmt.Sprint(q)
			for _, s := range r.Statements() {
				if s["Effect"] != "Deny" {
					policies[name] = append(policies[name], s)
				}
			}
		}
	})
	c.each("AWS::SQS::Queue", func(id string, _ Resource) {
		arn := "${" + id + ".Arn}"
		rules, allowed := c.senders(arn), policies["${"+id+"}"]
		switch {
		case len(rules) == 0 && len(allowed) > 0:
			c.add(Senders, id, "nothing here sends to it, and its policy lets somebody")
		case len(rules) > 0 && len(allowed) != 1:
			c.add(Senders, id, "%d statements say who may send: one is needed, for %v", len(allowed), rules)
		case len(rules) > 0:
			c.sender(id, arn, rules, allowed[0])
		}
	})
}

func (c *checker) sender(id, arn string, rules []string, s map[string]any) {
	if Get(s, "Principal", "Service") != eventBridge || len(object(s["Principal"])) != 1 {
		c.add(Senders, id, "%v may send, not %s alone", s["Principal"], eventBridge)
	}
	if s["Action"] != "sqs:SendMessage" || s["Resource"] != arn {
		c.add(Senders, id, "%v on %v, not sqs:SendMessage on %s", s["Action"], s["Resource"], arn)
	}
	var sources []string
	for _, v := range List(Get(s, "Condition", "ArnEquals", "aws:SourceArn")) {
		sources = append(sources, fmt.Sprint(v))
	}
	if !slices.Equal(sources, rules) {
		c.add(Senders, id, "for the rules %v, not %v", sources, rules)
	}
}

func (c *checker) permissions() {
	allowed := make(map[string][]string) // by function, the rules
	c.each("AWS::Lambda::Permission", func(id string, r Resource) {
		p := object(Plain(r.Properties))
		if p["Principal"] == "*" && urlPermission(p) != "" {
			return // of a function URL: see urls
		}
		if p["Principal"] == apiGateway {
			c.calledByAPI(id, p)
			return
		}
		if p["Principal"] != eventBridge || p["Action"] != "lambda:InvokeFunction" || p["SourceArn"] == nil {
			c.add(Senders, id, "%v may %v for %v", p["Principal"], p["Action"], p["SourceArn"])
		}
		name := strings.TrimSuffix(fmt.Sprint(p["FunctionName"]), "}") + ".Arn}"
		allowed[name] = append(allowed[name], fmt.Sprint(p["SourceArn"]))
	})
	c.each("AWS::Serverless::Function", func(id string, _ Resource) {
		arn := "${" + id + ".Arn}"
		if rules := c.senders(arn); !slices.Equal(rules, allowed[arn]) {
			c.add(Senders, id, "called by the rules %v, and allowed are %v", rules, allowed[arn])
		}
	})
}

const apiGateway = "apigateway.amazonaws.com"

// calledByAPI: API Gateway may call a function for the routes of an API of this template, and for an
// authorizer there.
func (c *checker) calledByAPI(id string, p map[string]any) {
	const prefix = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:"
	source, _ := p["SourceArn"].(string)
	api, route, _ := strings.Cut(strings.TrimPrefix(source, prefix), "/")
	typ := c.t.Resources[idOf(api)].Type
	if !strings.HasPrefix(source, prefix) || p["Action"] != "lambda:InvokeFunction" || route == "" ||
		route == "*" || typ != "AWS::ApiGateway::RestApi" && typ != "AWS::ApiGatewayV2::Api" {
		c.add(Senders, id, "API Gateway may %v for %v", p["Action"], p["SourceArn"])
	}
}

// urlPermission is what a permission for everyone is for, "" if it lets them do more than call a URL.
// https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
func urlPermission(p map[string]any) string {
	switch {
	case p["Action"] == "lambda:InvokeFunctionUrl" && p["FunctionUrlAuthType"] == "NONE":
		return "lambda:InvokeFunctionUrl"
	case p["Action"] == "lambda:InvokeFunction" && p["InvokedViaFunctionUrl"] == true:
		return "lambda:InvokeFunction"
	}
	return ""
}

// urls: a public function URL has both permissions that AWS wants, and its function a bound on what a flood
// can take, and alarms on what it answers. No other function is public.
func (c *checker) urls() {
	public := make(map[string]bool) // "function permission"
	c.each("AWS::Lambda::Permission", func(_ string, r Resource) {
		if p := object(Plain(r.Properties)); p["Principal"] == "*" {
			public[idOf(p["FunctionName"])+" "+urlPermission(p)] = true
		}
	})
	c.each("AWS::CloudWatch::Alarm", func(_ string, r Resource) {
		for _, d := range List(Plain(r.Properties["Dimensions"])) {
			if r.Properties["Namespace"] == "AWS/Lambda" && Get(d, "Name") == "FunctionName" {
				public[idOf(Get(d, "Value"))+" "+fmt.Sprint(r.Properties["MetricName"])] = true
			}
		}
	})
	called := make(map[string]bool)
	c.each("AWS::Lambda::Url", func(id string, r Resource) {
		function := idOf(Plain(r.Properties["TargetFunctionArn"]))
		if r.Properties["AuthType"] != "NONE" {
			return
		}
		called[function] = true
		for _, name := range []string{"lambda:InvokeFunctionUrl", "lambda:InvokeFunction", "Url4xxCount",
			"Url5xxCount", "Throttles"} {
			if !public[function+" "+name] {
				c.add(URLs, id, "%s has no permission, or no alarm, %s", function, name)
			}
		}
		if c.t.Resources[function].Properties["ReservedConcurrentExecutions"] == nil {
			c.add(URLs, id, "a flood of %s takes the concurrency of all functions", function)
		}
	})
	c.each("AWS::Serverless::Function", func(id string, r Resource) {
		if r.Properties["FunctionUrlConfig"] != nil {
			c.add(URLs, id, "which permissions FunctionUrlConfig makes depends on the version of SAM")
		}
		if public[id+" lambda:InvokeFunction"] != called[id] {
			c.add(URLs, id, "everyone may call it: %t; it has a public URL: %t",
				public[id+" lambda:InvokeFunction"], called[id])
		}
	})
}

func (c *checker) roles() {
	c.each("AWS::IAM::Role", func(id string, r Resource) {
		statements := List(Get(r.Properties, "AssumeRolePolicyDocument", "Statement"))
		if len(statements) != 1 {
			c.add(Assume, id, "%d statements say who may assume it", len(statements))
			return
		}
		service, _ := Get(statements[0], "Principal", "Service").(string)
		if service == "" || len(object(Get(statements[0], "Principal"))) != 1 ||
			Get(statements[0], "Action") != "sts:AssumeRole" {
			c.add(Assume, id, "not for one service: %v", Get(statements[0], "Principal"))
		}
		// Lambda sets no aws:SourceArn when it assumes an execution role. API Gateway takes a role only of
		// an operator who may pass it, which is one of its account. The other services act for any caller.
		if service != "lambda.amazonaws.com" && service != apiGateway && Get(statements[0], "Condition", "ArnEquals",
			"aws:SourceArn") == nil {
			c.add(Assume, id, "%s may assume it for anybody", service)
		}
		if r.Properties["ManagedPolicyArns"] != nil {
			c.add(Wildcards, id, "managed policies allow more than is needed")
		}
	})
}

// fourteenDays is the longest that SQS keeps a message, in seconds.
const fourteenDays = 14 * 24 * 60 * 60

// queues: each is encrypted, and either has a dead-letter queue here or keeps as long as it can.
func (c *checker) queues() {
	c.each("AWS::SQS::Queue", func(id string, r Resource) {
		if r.Properties["SqsManagedSseEnabled"] != true && r.Properties["KmsMasterKeyId"] == nil {
			c.add(Encrypted, id, "its messages are in the clear")
		}
		redrive := object(Plain(r.Properties["RedrivePolicy"]))
		switch {
		case redrive == nil && r.Properties["MessageRetentionPeriod"] != fourteenDays:
			c.add(DeadLetter, id, "it has no dead-letter queue, and keeps for %v s instead of %d",
				r.Properties["MessageRetentionPeriod"], fourteenDays)
		case redrive == nil:
		case !c.isQueue(redrive["deadLetterTargetArn"]):
			c.add(DeadLetter, id, "%v is no queue of this template", redrive["deadLetterTargetArn"])
		case number(redrive["maxReceiveCount"]) < 5:
			c.add(DeadLetter, id, "after %v receives: throttling alone takes that many",
				redrive["maxReceiveCount"])
		}
	})
}

func (c *checker) isQueue(arn any) bool {
	id, ok := strings.CutSuffix(strings.TrimPrefix(fmt.Sprint(arn), "${"), ".Arn}")
	return ok && c.t.Resources[id].Type == "AWS::SQS::Queue"
}

func number(v any) int {
	n, _ := v.(int)
	return n
}

func (c *checker) buckets() {
	byTLS := make(map[string]bool)
	c.each("AWS::S3::BucketPolicy", func(_ string, r Resource) {
		for _, s := range r.Statements() {
			bucket := fmt.Sprint(Plain(r.Properties["Bucket"]))
			name := strings.TrimSuffix(bucket, "}")
			whole := slices.Equal(List(s["Resource"]), []any{name + ".Arn}", name + ".Arn}/*"})
			if s["Effect"] == "Deny" && s["Principal"] == "*" && s["Action"] == "s3:*" && whole &&
				Get(s, "Condition", "Bool", "aws:SecureTransport") == "false" {
				byTLS[bucket] = true
			}
		}
	})
	c.each("AWS::S3::Bucket", func(id string, r Resource) {
		for _, what := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls",
			"RestrictPublicBuckets"} {
			if Get(r.Properties, "PublicAccessBlockConfiguration", what) != true {
				c.add(Public, id, "without %s", what)
			}
		}
		if r.Properties["BucketEncryption"] == nil || !byTLS["${"+id+"}"] {
			c.add(Encrypted, id, "at rest: %v; refused without TLS: %v",
				r.Properties["BucketEncryption"] != nil, byTLS["${"+id+"}"])
		}
		if Get(r.Properties, "VersioningConfiguration", "Status") != "Enabled" {
			c.add(Retained, id, "what is overwritten or deleted is gone")
		}
	})
}

func (c *checker) retained() {
	for _, typ := range []string{"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"} {
		c.each(typ, func(id string, r Resource) {
			if r.All["DeletionPolicy"] != "Retain" || r.All["UpdateReplacePolicy"] != "Retain" {
				c.add(Retained, id, "it goes with its stack")
			}
			if typ == "AWS::DynamoDB::Table" && r.Properties["DeletionProtectionEnabled"] != true {
				c.add(Retained, id, "anybody with dynamodb:DeleteTable can delete it at once")
			}
		})
	}
}

func (c *checker) rules() {
	c.each("AWS::Events::Rule", func(id string, r Resource) {
		for _, target := range List(Plain(r.Properties["Targets"])) {
			if !c.isQueue(Get(target, "DeadLetterConfig", "Arn")) {
				c.add(DeadLetter, id, "what cannot be delivered to %v is lost", Get(target, "Arn"))
			}
			if number(Get(target, "RetryPolicy", "MaximumEventAgeInSeconds")) == 0 {
				c.add(DeadLetter, id, "how long it is tried is not said, and the replay window depends on it")
			}
		}
	})
}

// Setting is a property of a function, its own or that of Globals.
func (t *Template) Setting(function string, path ...string) any {
	if v := Get(t.Resources[function].Properties, path...); v != nil {
		return v
	}
	return Get(t.Document, append([]string{"Globals", "Function"}, path...)...)
}

func (c *checker) functions() {
	c.each("AWS::Serverless::Function", func(id string, r Resource) {
		if r.Properties["Role"] == nil {
			c.add(Wildcards, id, "SAM makes a role that may read every queue")
		}
		if len(c.senders("${"+id+".Arn}")) > 0 && !c.keepsFailures(r) {
			c.add(DeadLetter, id, "what Lambda gives up on is lost")
		}
		for _, e := range object(r.Properties["Events"]) {
			if Get(e, "Type") == "SQS" {
				c.polls(id, object(Plain(Get(e, "Properties"))))
			}
		}
	})
}

func (c *checker) keepsFailures(r Resource) bool {
	config := Plain(Get(r.Properties, "EventInvokeConfig"))
	failures := Get(config, "DestinationConfig", "OnFailure", "Destination")
	mayNot := true
	for _, s := range c.t.Resources[idOf(Plain(r.Properties["Role"]))].Statements() {
		if s["Action"] == "sqs:SendMessage" && s["Resource"] == failures {
			mayNot = false
		}
	}
	return c.isQueue(failures) && !mayNot && number(Get(config, "MaximumEventAgeInSeconds")) > 0
}

// idOf is the resource in "${Resource.Attribute}".
func idOf(v any) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprint(v), "${"), ".")
	return strings.TrimSuffix(id, "}")
}

func (c *checker) polls(id string, event map[string]any) {
	if !slices.Contains(List(event["FunctionResponseTypes"]), any("ReportBatchItemFailures")) {
		c.add(Partial, id, "one failure has the whole batch delivered again")
	}
	c.source(id, c.t.Resources[idOf(event["Queue"])], number(event["MaximumBatchingWindowInSeconds"]))
}

// source: a queue whose messages a function handles.
func (c *checker) source(id string, queue Resource, window int) {
	timeout := number(c.t.Setting(id, "Timeout"))
	visible := number(queue.Properties["VisibilityTimeout"])
	if timeout == 0 || visible < 6*timeout+window {
		c.add(Partial, id,
			"its queue shows messages again after %d s: six times the timeout of %d s is needed", visible,
			timeout)
	}
	if queue.Properties["RedrivePolicy"] == nil {
		c.add(DeadLetter, id, "its queue has no dead-letter queue")
	}
}

// pipes: each reads a queue of this template, as a function would that does what its enrichment does.
func (c *checker) pipes() {
	c.each("AWS::Pipes::Pipe", func(id string, r Resource) {
		source := Plain(r.Properties["Source"])
		if !c.isQueue(source) ||
			c.t.Resources[idOf(Plain(r.Properties["Enrichment"]))].Type != "AWS::Serverless::Function" {
			c.add(Refs, id, "it goes from %v through %v", source, Plain(r.Properties["Enrichment"]))
			return
		}
		c.source(idOf(Plain(r.Properties["Enrichment"])), c.t.Resources[idOf(source)], 0)
	})
}

func (c *checker) alarms() {
	c.each("AWS::CloudWatch::Alarm", func(id string, r Resource) {
		if len(List(r.Properties["AlarmActions"])) == 0 {
			c.add(Alarms, id, "nobody hears it")
		}
		if r.Properties["AlarmDescription"] == nil || r.Properties["TreatMissingData"] == nil {
			c.add(Alarms, id, "what to do is not said, or what no data means")
		}
	})
}

// queueAlarms: what is kept because it failed is seen at once, what waits when it waits for too long.
func (c *checker) queueAlarms() {
	watched := make(map[string]bool) // "queue metric"
	c.each("AWS::CloudWatch::Alarm", func(id string, r Resource) {
		for _, d := range List(Plain(r.Properties["Dimensions"])) {
			if Get(d, "Name") == "QueueName" && r.Properties["Namespace"] == "AWS/SQS" {
				queue := idOf(Get(d, "Value"))
				watched[fmt.Sprint(queue, " ", r.Properties["MetricName"], " ",
					r.Properties["Threshold"] == 0)] = true
				c.ageAlarm(id, r, c.t.Resources[queue])
			}
		}
	})
	c.each("AWS::SQS::Queue", func(id string, r Resource) {
		read := r.Properties["RedrivePolicy"] != nil
		switch {
		case read && !(watched[id+" ApproximateNumberOfMessagesVisible false"] &&
			watched[id+" ApproximateAgeOfOldestMessage false"]):
			c.add(Alarms, id, "there must be one on its depth and one on its age")
		case !read && !watched[id+" ApproximateNumberOfMessagesVisible true"]:
			c.add(Alarms, id, "there must be one as soon as it is not empty")
		}
	})
}

// ageAlarm: what a standard queue handed out three times, which is after two visibility timeouts, no longer
// counts towards its age.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
func (c *checker) ageAlarm(id string, r, queue Resource) {
	if r.Properties["MetricName"] != "ApproximateAgeOfOldestMessage" {
		return
	}
	if visible := number(queue.Properties["VisibilityTimeout"]); number(r.Properties["Threshold"]) >= 2*visible-60 {
		c.add(Alarms, id,
			"an event that keeps failing leaves the age of the queue after %d s, before the alarm", 2*visible)
	}
}
