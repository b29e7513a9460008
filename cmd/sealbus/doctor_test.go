package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/internal/localaws"
)

// site is a set-up in AWS and around it. What newSite makes is in order; tests spoil one thing each.
type site struct {
	rule           string
	ruleOff        bool
	bus            string
	busPolicy      string
	queue          map[string]string // attributes
	deadLetter     map[string]string
	ruleDeadLetter map[string]string
	target         eventbridgetypes.Target
	direct         bool // the rule leads to the function
	function       localaws.FunctionConfig
	mapping        *localaws.Mapping // nil = none
	info           map[string]string
	table          map[string]any
	ttl            map[string]any
	deny           map[string]bool
	flags          []string
	waiting        string // the queue that has a message

	fake *localaws.Server
	url  string // of the queue
}

const (
	accountID = "000000000000"
	eventsARN = "arn:aws:events:us-east-1:" + accountID + ":"
	queuesARN = "arn:aws:sqs:us-east-1:" + accountID + ":"
)

func sendPolicy(condition string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"` + condition + `}}`
}

const ruleCondition = `,"Condition":{"ArnEquals":{"aws:SourceArn":"` + eventsARN + `rule/central/to-billing"}}`

func newSite() *site {
	return &site{
		rule: "to-billing", bus: "central",
		queue: map[string]string{
			"VisibilityTimeout": "360", "MessageRetentionPeriod": "345600", "Policy": sendPolicy(ruleCondition),
			"RedrivePolicy": `{"deadLetterTargetArn":"` + queuesARN + `billing-dead","maxReceiveCount":"7"}`,
		},
		deadLetter:     map[string]string{"MessageRetentionPeriod": "1209600"},
		ruleDeadLetter: map[string]string{"Policy": sendPolicy(ruleCondition)},
		target:         eventbridgetypes.Target{DeadLetterConfig: &eventbridgetypes.DeadLetterConfig{Arn: aws.String(queuesARN + "rule-dead")}},
		function:       localaws.FunctionConfig{Timeout: time.Minute},
		mapping:        &localaws.Mapping{ReportBatchItemFailures: true},
		info:           map[string]string{"redis_version": "7.4.0", "role": "master", "maxmemory_policy": "noeviction", "aof_enabled": "1", "used_memory": "100", "maxmemory": "1000"},
		table: map[string]any{
			"TableArn": "arn:aws:dynamodb:us-east-1:" + accountID + ":table/claims", "TableStatus": "ACTIVE", "DeletionProtectionEnabled": true,
			"KeySchema":            []map[string]string{{"AttributeName": "id", "KeyType": "HASH"}},
			"AttributeDefinitions": []map[string]string{{"AttributeName": "id", "AttributeType": "S"}},
		},
		ttl:  map[string]any{"TimeToLiveStatus": "ENABLED", "AttributeName": "forget_at"},
		deny: map[string]bool{},
	}
}

// start makes the set-up real.
func (s *site) start(b *bench) {
	b.t.Helper()
	s.fake = b.fakeAWS(&localaws.Options{Deny: func(action string) bool { return s.deny[action] }})
	b.t.Setenv("AWS_ENDPOINT_URL", s.fake.URL())
	b.t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", s.startTable(b))
	key := credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")
	queues := sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.fake.URL()), Credentials: key})
	for _, q := range []struct {
		name       string
		attributes map[string]string
	}{{"billing-dead", s.deadLetter}, {"rule-dead", s.ruleDeadLetter}, {"billing", s.queue}} {
		out, err := queues.CreateQueue(b.t.Context(), &sqs.CreateQueueInput{QueueName: &q.name, Attributes: q.attributes})
		b.check(err)
		s.url = aws.ToString(out.QueueUrl)
		if q.name == s.waiting {
			_, err = queues.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: aws.String("{}")})
			b.check(err)
		}
	}
	function := s.fake.SetFunction("billing", s.function)
	if s.mapping != nil {
		b.check(s.fake.MapQueue(queuesARN+"billing", "billing", nil, s.mapping))
	}
	s.startBus(b, awseventbridge.New(awseventbridge.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.fake.URL()), Credentials: key}), function)
}

func (s *site) startBus(b *bench, client *awseventbridge.Client, function string) {
	b.t.Helper()
	_, err := client.CreateEventBus(b.t.Context(), &awseventbridge.CreateEventBusInput{Name: &s.bus})
	b.check(err)
	if s.busPolicy != "" {
		_, err = client.PutPermission(b.t.Context(), &awseventbridge.PutPermissionInput{EventBusName: &s.bus, Policy: &s.busPolicy})
		b.check(err)
	}
	state := eventbridgetypes.RuleStateEnabled
	if s.ruleOff {
		state = eventbridgetypes.RuleStateDisabled
	}
	_, err = client.PutRule(b.t.Context(), &awseventbridge.PutRuleInput{Name: &s.rule, EventBusName: &s.bus, EventPattern: aws.String(`{"source":[{"exists":true}]}`), State: state})
	b.check(err)
	target := s.target
	target.Id, target.Arn = aws.String("1"), aws.String(queuesARN+"billing")
	if s.direct {
		target.Arn = &function
		s.fake.Function("billing", func(context.Context, []byte) error { return nil })
	}
	out, err := client.PutTargets(b.t.Context(), &awseventbridge.PutTargetsInput{Rule: &s.rule, EventBusName: &s.bus, Targets: []eventbridgetypes.Target{target}})
	b.check(err)
	if out.FailedEntryCount > 0 {
		b.t.Fatal(aws.ToString(out.FailedEntries[0].ErrorMessage))
	}
}

// startTable serves DynamoDB's two descriptions.
func (s *site) startTable(b *bench) string {
	table := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
		var out any
		switch {
		case s.deny[action]:
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]string{"__type": "com.amazon.coral.service#AccessDeniedException", "message": "not authorized"}
		case s.table == nil:
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]string{"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "not found"}
		case action == "DescribeTable":
			out = map[string]any{"Table": s.table}
		default:
			out = map[string]any{"TimeToLiveDescription": s.ttl}
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_ = json.NewEncoder(w).Encode(out)
	}))
	b.t.Cleanup(table.Close)
	return table.URL
}

// startRedis is miniredis with the INFO of a real one.
func (s *site) startRedis(b *bench) string {
	r := miniredis.RunT(b.t)
	r.SetTime(time.Now())
	r.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
		if s.deny[strings.ToUpper(cmd)] {
			c.WriteError("NOPERM this user has no permissions to run the command")
			return true
		}
		if strings.ToUpper(cmd) != "INFO" {
			return false
		}
		text := "# Server\r\n"
		for _, name := range sortedKeys(s.info) {
			text += name + ":" + s.info[name] + "\r\n"
		}
		c.WriteBulk(text)
		return true
	})
	return "redis://" + r.Addr()
}

// newDoctorBench has the clock of the machine, since it is compared with that of a server.
func newDoctorBench(t *testing.T) *bench {
	b := newBench(t)
	b.now = time.Now()
	b.org([]string{accountID}, orderSource)
	return b
}

func (s *site) args(b *bench) []string {
	args := []string{
		"doctor", "--bus", s.bus, "--queue", s.url, "--function", "billing", "--table", "claims", "--redis", s.startRedis(b), "--queue-retention", "18d",
		"--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"), "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase",
	}
	return append(args, s.flags...)
}

func (b *bench) findings(args ...string) (map[string][]finding, int) {
	b.t.Helper()
	r := b.run("", append(args, "--output", "json")...)
	var report doctorReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		b.t.Fatalf("exit %d: %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	found := map[string][]finding{}
	for _, f := range report.Findings {
		found[f.Check] = append(found[f.Check], f)
		if (f.Fix == "") != (f.Status == statusOK) || f.Cause == "" || strings.ContainsAny(f.Cause+f.Fix, "\n\x1b") {
			b.t.Errorf("%+v", f)
		}
	}
	return found, r.code
}

func TestDoctorFindsNothing(t *testing.T) {
	b, s := newDoctorBench(t), newSite()
	s.start(b)
	found, code := b.findings(s.args(b)...)
	for check, list := range found {
		for _, f := range list {
			if f.Status != statusOK {
				t.Errorf("%s: %+v", check, f)
			}
		}
	}
	for _, check := range []string{
		"aws region", "aws credentials", "clock", "queue", "queue policy", "queue retention", "queue dead-letter queue", "queue maxReceiveCount",
		"consumer window", "queue visibility timeout", "function", "event source mapping", "bus", "bus policy", "rule", "rule dead-letter queue",
		"table", "table time to live", "bundle", "producer keys", "keyring", "keyring and bundle", "redis", "redis maxmemory-policy", "redis persistence", "redis clock",
	} {
		if len(found[check]) != 1 {
			t.Errorf("%s: %v", check, found[check])
		}
	}
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	r := b.run("", s.args(b)...)
	if r.code != 0 || !strings.HasPrefix(r.stdout, "STATUS  CHECK") || !strings.HasSuffix(r.stdout, "\n26 ok\n") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func allowing(body string) string { return `{"Statement":[{"Effect":"Allow",` + body + `}]}` }

// spoiled is a site of which one thing is spoiled, and what doctor says of it.
type spoiled struct {
	spoil         func(s *site)
	check, status string
	cause, fix    string
}

var spoiledSites = map[string]spoiled{
	"no bus":     {func(s *site) { s.flags = []string{"--bus", "centrel"} }, "bus", statusProblem, "does not exist", "create-event-bus --name centrel"},
	"bus denied": {func(s *site) { s.deny["DescribeEventBus"] = true }, "bus", statusUnknown, "events:DescribeEventBus", `{"Effect":"Allow","Action":"events:DescribeEventBus"`},
	"open bus":   {func(s *site) { s.busPolicy = allowing(`"Principal":"*","Action":"events:PutEvents"`) }, "bus policy", statusProblem, "anybody in AWS", "aws:PrincipalOrgID"},
	"any source": {func(s *site) {
		s.busPolicy = allowing(`"Sid":"orders","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":["events:*"]`)
	}, "bus policy", statusWarning, "111122223333 may put events of every source on it (statement orders)", "events:source"},
	"any source of org": {func(s *site) {
		s.busPolicy = allowing(`"Principal":"*","Action":"events:PutEvents","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`)
	}, "bus policy", statusWarning, "anybody may put", "events:source"},
	"limited bus": {func(s *site) {
		s.busPolicy = allowing(`"Principal":{"AWS":"111122223333"},"Action":"events:PutEvents","Condition":{"StringLike":{"events:source":"https://orders.example/*"}}`)
	}, "bus policy", statusOK, "", ""},
	"rule disabled":    {func(s *site) { s.ruleOff = true }, "rule", statusProblem, "to-billing is disabled", "enable-rule --event-bus-name central --name to-billing"},
	"no rule":          {func(s *site) { s.direct = true; s.flags = []string{"--function", ""} }, "rule", statusProblem, "no rule of the bus", "put-targets"},
	"rules denied":     {func(s *site) { s.deny["ListRules"] = true }, "rule", statusUnknown, "events:ListRules", "Allow"},
	"targets denied":   {func(s *site) { s.deny["ListTargetsByRule"] = true }, "rule", statusUnknown, "events:ListTargetsByRule", "Allow"},
	"no rule dlq":      {func(s *site) { s.target.DeadLetterConfig = nil }, "rule dead-letter queue", statusProblem, "has none", `'[{"Arn":"` + queuesARN + `billing","DeadLetterConfig":{"Arn":"QUEUE-ARN"},"Id":"1"}]'`},
	"rule dlq missing": {func(s *site) { s.target.DeadLetterConfig.Arn = aws.String(queuesARN + "none") }, "rule dead-letter queue", statusProblem, "does not exist", "create"},
	"rule dlq closed":  {func(s *site) { s.ruleDeadLetter = nil }, "rule dead-letter queue", statusProblem, "may not send to rule-dead", "events.amazonaws.com"},

	"no queue": {func(s *site) { s.url += "x"; s.flags = []string{"--queue", "http://127.0.0.1:1/000000000000/none"} }, "queue", statusProblem, "does not exist", "--region"},
	"queue elsewhere": {func(s *site) {
		s.flags = []string{"--queue", "https://sqs.eu-west-1.amazonaws.com/000000000000/billing"}
	}, "queue", statusProblem, "it is in eu-west-1", "--region eu-west-1"},
	"queue denied":  {func(s *site) { s.deny["GetQueueAttributes"] = true }, "queue", statusUnknown, "sqs:GetQueueAttributes", `"Resource":"` + queuesARN + `billing"`},
	"closed queue":  {func(s *site) { delete(s.queue, "Policy") }, "queue policy", statusProblem, "EventBridge may not send", `"aws:SourceArn":"` + eventsARN + `rule/central/RULE"`},
	"no source ARN": {func(s *site) { s.queue["Policy"] = sendPolicy("") }, "queue policy", statusProblem, "a rule of any AWS account may send", "aws:SourceArn"},
	"source ARN negated": {func(s *site) {
		s.queue["Policy"] = sendPolicy(strings.Replace(ruleCondition, "ArnEquals", "ArnNotEquals", 1))
	}, "queue policy", statusProblem, "any AWS account", "aws:SourceArn"},
	"source ARN of anyone": {func(s *site) {
		s.queue["Policy"] = sendPolicy(`,"Condition":{"ArnLike":{"AWS:SourceArn":["arn:aws:events:*:*:rule/*"]}}`)
	}, "queue policy", statusProblem, "any AWS account", "aws:SourceArn"},
	"source account": {func(s *site) {
		s.queue["Policy"] = sendPolicy(`,"Condition":{"StringEquals":{"aws:SourceAccount":"` + accountID + `"}}`)
	}, "queue policy", statusWarning, "any rule or role of account " + accountID, "aws:SourceArn"},
	"topic may send": {func(s *site) {
		s.queue["Policy"] = allowing(`"Principal":{"Service":["events.amazonaws.com","sns.amazonaws.com"]},"Action":"sqs:SendMessage","Condition":{"ArnEquals":{"aws:SourceArn":["` + eventsARN + `rule/central/to-billing","arn:aws:sns:eu-west-1:` + accountID + `:news"]}}`)
	}, "queue policy", statusWarning, "what is no rule may send", "aws:SourceArn"},
	"open queue": {func(s *site) { s.queue["Policy"] = allowing(`"Principal":{"AWS":["*"]},"Action":"SQS:*"`) }, "queue policy", statusProblem, "anybody may send", "aws:SourceArn"},
	"others send": {func(s *site) {
		s.queue["Policy"] = strings.Replace(sendPolicy(ruleCondition), `"Statement":{`, `"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/x"},"Action":"sqs:Send*"},{`, 1)
		s.queue["Policy"] = strings.TrimSuffix(s.queue["Policy"], "}") + "]}"
	}, "queue policy", statusWarning, "role/x may send directly", "aws:SourceArn"},
	"AWS's key":           {func(s *site) { s.queue["KmsMasterKeyId"] = "alias/aws/sqs" }, "queue encryption", statusProblem, "cannot send", "KmsMasterKeyId"},
	"own key":             {func(s *site) { s.queue["KmsMasterKeyId"] = "alias/ours" }, "queue encryption", statusWarning, "alias/ours", "kms:GenerateDataKey"},
	"short retention":     {func(s *site) { s.queue["MessageRetentionPeriod"] = "3600" }, "queue retention", statusWarning, "1h", "MessageRetentionPeriod=345600"},
	"no dlq":              {func(s *site) { delete(s.queue, "RedrivePolicy") }, "queue dead-letter queue", statusProblem, "there is none", "RedrivePolicy"},
	"short dlq retention": {func(s *site) { s.deadLetter["MessageRetentionPeriod"] = "86400" }, "queue dead-letter queue", statusProblem, "1d and the queue for 4d", "MessageRetentionPeriod=1209600"},
	"dlq denied":          {func(s *site) { s.deny["GetQueueUrl"] = true }, "queue dead-letter queue", statusUnknown, "sqs:GetQueueUrl", queuesARN + "billing-dead"},
	"one receive":         {func(s *site) { s.queue["RedrivePolicy"] = strings.Replace(s.queue["RedrivePolicy"], `"7"`, `1`, 1) }, "queue maxReceiveCount", statusProblem, "1: a passing failure", `\"maxReceiveCount\":\"7\"`},
	"in the dlq":          {func(s *site) { s.waiting = "billing-dead" }, "queue dead-letter queue", statusWarning, "1 message in billing-dead", "start-message-move-task --source-arn " + queuesARN + "billing-dead"},
	"in the rule's dlq":   {func(s *site) { s.waiting = "rule-dead" }, "rule dead-letter queue", statusWarning, "1 event of to-billing could not be delivered", "receive-message"},
	"endless receives": {func(s *site) {
		s.queue["RedrivePolicy"] = strings.Replace(s.queue["RedrivePolicy"], `"7"`, `"1000"`, 1)
	}, "queue maxReceiveCount", statusProblem, "take longer than the 4d", "RedrivePolicy"},
	"function elsewhere": {func(s *site) {
		s.flags = []string{"--function", "arn:aws:lambda:eu-west-1:000000000000:function:billing"}
	}, "function", statusProblem, "it is in eu-west-1", "--region eu-west-1"},
	"bus elsewhere":        {func(s *site) { s.flags = []string{"--bus", "arn:aws:events:eu-west-1:000000000000:event-bus/central"} }, "bus", statusProblem, "it is in eu-west-1", "--region eu-west-1"},
	"five receives":        {func(s *site) { s.queue["RedrivePolicy"] = strings.Replace(s.queue["RedrivePolicy"], `"7"`, `"5"`, 1) }, "queue maxReceiveCount", statusWarning, "after an outage of 24m", `\"maxReceiveCount\":\"7\"`},
	"visibility":           {func(s *site) { s.queue["VisibilityTimeout"] = "30" }, "queue visibility timeout", statusProblem, "30s is too short, AWS advises 6 times the 1m", "VisibilityTimeout=360"},
	"window in visibility": {func(s *site) { s.mapping.Window = 30 * time.Second }, "queue visibility timeout", statusProblem, "the batching window of 30s", "VisibilityTimeout=390"},
	"lease":                {func(s *site) { s.flags = []string{"--lease", "10m"} }, "queue visibility timeout", statusProblem, "the consumer's lease is 10m", "VisibilityTimeout=601"},
	"window unknown":       {func(s *site) { s.flags = []string{"--queue-retention", "0s"} }, "consumer window", statusProblem, "MaxAge allows for 0s", "MaxAge: 456h5m"},
	"max age":              {func(s *site) { s.flags = []string{"--max-age", "1h"} }, "consumer window", statusWarning, "MaxAge without the time in the queues is 1h", "MaxAge: 456h5m"},

	"no function":      {func(s *site) { s.flags = []string{"--function", "bills"} }, "function", statusProblem, "does not exist", "--function"},
	"function denied":  {func(s *site) { s.deny["GetFunction"] = true }, "function", statusUnknown, "lambda:GetFunction", "function:billing"},
	"not active":       {func(s *site) { s.function.State = "Failed" }, "function", statusProblem, "its state is Failed", "get-function"},
	"no concurrency":   {func(s *site) { s.function.Reserved = new(int) }, "function", statusProblem, "never called", "delete-function-concurrency"},
	"no mapping":       {func(s *site) { s.mapping = nil }, "event source mapping", statusProblem, "none from the queue", "create-event-source-mapping"},
	"mapping denied":   {func(s *site) { s.deny["ListEventSourceMappings"] = true }, "event source mapping", statusUnknown, "lambda:ListEventSourceMappings", "Allow"},
	"mapping disabled": {func(s *site) { s.mapping.Disabled = true }, "event source mapping", statusProblem, "Disabled", "--enabled"},
	"all or nothing":   {func(s *site) { s.mapping.ReportBatchItemFailures = false }, "event source mapping", statusProblem, "deletes them", "--function-response-types ReportBatchItemFailures"},
	"mapping filter":   {func(s *site) { s.mapping.Filter = `{"body":{"x":["y"]}}` }, "event source mapping", statusWarning, "deletes messages that do not match", "--filter-criteria"},
	"no OnFailure":     {func(s *site) { s.direct = true }, "OnFailure destination", statusProblem, "is lost", "put-function-event-invoke-config"},
	"OnFailure gone": {func(s *site) {
		s.direct = true
		s.function.Invoke = &localaws.InvokeConfig{OnFailure: queuesARN + "none"}
	}, "OnFailure destination", statusProblem, "does not exist", "create"},
	"OnFailure": {func(s *site) {
		s.direct = true
		s.function.Invoke = &localaws.InvokeConfig{OnFailure: queuesARN + "rule-dead"}
	}, "OnFailure destination", statusOK, "rule-dead", ""},
	"older dlq":        {func(s *site) { s.direct = true; s.function.DeadLetterARN = queuesARN + "rule-dead" }, "OnFailure destination", statusOK, "rule-dead", ""},
	"OnFailure denied": {func(s *site) { s.direct = true; s.deny["GetFunctionEventInvokeConfig"] = true }, "OnFailure destination", statusUnknown, "lambda:GetFunctionEventInvokeConfig", "Allow"},
	"not to be called": {func(s *site) { s.direct = true }, "function policy", statusProblem, "EventBridge may not call", "add-permission"},
	"called by anyone": {func(s *site) {
		s.direct = true
		s.function.Policy = allowing(`"Principal":"*","Action":"lambda:InvokeFunction"`)
	}, "function policy", statusProblem, "anybody may call", "add-permission"},
	"called by rule": {func(s *site) {
		s.direct = true
		s.function.Policy = allowing(`"Principal":{"Service":"events.amazonaws.com"},"Action":"lambda:InvokeFunction"` + ruleCondition)
	}, "function policy", statusOK, "it lets only the named rules of EventBridge call; policies of users", ""},

	"no table":     {func(s *site) { s.table = nil }, "table", statusProblem, "does not exist", "sealbus claims create-table --table claims"},
	"table denied": {func(s *site) { s.deny["DescribeTable"] = true }, "table", statusUnknown, "dynamodb:DescribeTable", "dynamodb:us-east-1:" + accountID + ":table/claims"},
	"sort key": {func(s *site) {
		s.table["KeySchema"] = []map[string]string{{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "x", "KeyType": "RANGE"}}
	}, "table", statusProblem, `not the string "id" alone`, "create-table"},
	"number": {func(s *site) {
		s.table["AttributeDefinitions"] = []map[string]string{{"AttributeName": "id", "AttributeType": "N"}}
	}, "table", statusProblem, `not the string "id" alone`, "create-table"},
	"table not active": {func(s *site) { s.table["TableStatus"] = "DELETING" }, "table", statusProblem, "DELETING", "describe-table"},
	"not protected":    {func(s *site) { s.table["DeletionProtectionEnabled"] = false }, "table protection", statusWarning, "can be deleted", "--deletion-protection-enabled"},
	"no ttl":           {func(s *site) { s.ttl["TimeToLiveStatus"] = "DISABLED" }, "table time to live", statusWarning, "only grows", "create-table"},
	"other ttl":        {func(s *site) { s.ttl["AttributeName"] = "until" }, "table time to live", statusProblem, `"until"`, "switch it off"},
	"ttl denied":       {func(s *site) { s.deny["DescribeTimeToLive"] = true }, "table time to live", statusUnknown, "dynamodb:DescribeTimeToLive", "table/claims"},

	"replica":      {func(s *site) { s.info["role"] = "slave" }, "redis", statusProblem, "replica", "primary"},
	"evicts":       {func(s *site) { s.info["maxmemory_policy"] = "allkeys-lru" }, "redis maxmemory-policy", statusProblem, "allkeys-lru", "noeviction"},
	"almost full":  {func(s *site) { s.info["used_memory"] = "900" }, "redis maxmemory-policy", statusWarning, "90% of its memory", "maxmemory"},
	"forgets":      {func(s *site) { s.info["aof_enabled"] = "0" }, "redis persistence", statusWarning, "appendonly no", "appendonly yes"},
	"says nothing": {func(s *site) { delete(s.info, "aof_enabled") }, "redis persistence", statusUnknown, "INFO", "appendonly"},
	"info denied":  {func(s *site) { s.deny["INFO"] = true }, "redis", statusUnknown, "INFO", "ACL SETUSER"},
}

// TestDoctorFinds: each defect is found where it is, for what it is, and with what puts it right.
func TestDoctorFinds(t *testing.T) {
	for name, c := range spoiledSites {
		t.Run(name, func(t *testing.T) {
			b, s := newDoctorBench(t), newSite()
			c.spoil(s)
			s.start(b)
			found, code := b.findings(s.args(b)...)
			var got *finding
			for _, f := range found[c.check] {
				if f.Status == c.status {
					got = &f
				}
			}
			if got == nil || !strings.Contains(got.Cause, c.cause) || !strings.Contains(got.Fix, c.fix) {
				t.Fatalf("%s: %+v", c.check, found[c.check])
			}
			if want := wantExit(found); code != want {
				t.Errorf("exit %d, want %d", code, want)
			}
		})
	}
}

// wantExit: a problem is due, what could not be checked comes after it, and a warning is none.
func wantExit(found map[string][]finding) int {
	exit := exitDone
	for _, list := range found {
		for _, f := range list {
			switch {
			case f.Status == statusProblem:
				return exitDue
			case f.Status == statusUnknown:
				exit = exitUsage // a permission is missing
			}
		}
	}
	return exit
}

// one wants exactly one finding of that check, and its status and cause.
func one(t *testing.T, found map[string][]finding, check, status, cause string) {
	t.Helper()
	if list := found[check]; len(list) != 1 || list[0].Status != status || !strings.Contains(list[0].Cause, cause) {
		t.Errorf("%s: %+v, want %s: %s", check, list, status, cause)
	}
}

func TestDoctorCredentials(t *testing.T) {
	b, s := newDoctorBench(t), newSite()
	s.start(b)
	args := []string{"doctor", "--bus", "central", "--queue", s.url}
	t.Run("no region", func(t *testing.T) {
		t.Setenv("AWS_REGION", "")
		t.Setenv("AWS_DEFAULT_REGION", "")
		found, code := b.findings(args...)
		one(t, found, "aws region", statusProblem, "none is configured")
		one(t, found, "bus", statusUnknown, "cannot be asked")
		one(t, found, "queue", statusUnknown, "cannot be asked")
		if code != exitDue {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		found, _ := b.findings(args...)
		one(t, found, "aws credentials", statusProblem, "no AWS credentials: none in the environment")
	})
	t.Run("refused", func(t *testing.T) {
		refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(20*time.Minute).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token is expired</Message></Error></ErrorResponse>`)
		}))
		defer refuses.Close()
		found, code := b.findings("doctor", "--endpoint", refuses.URL)
		one(t, found, "aws credentials", statusProblem, "ExpiredToken: The security token is expired")
		one(t, found, "clock", statusProblem, "behind AWS")
		if code != exitDue {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("unreachable", func(t *testing.T) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		found, code := b.findings("doctor", "--endpoint", gone.URL)
		one(t, found, "aws credentials", statusUnknown, "refused")
		if code != exitUnavailable {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("only what is given", func(t *testing.T) {
		found, code := b.findings("doctor")
		if len(found) != 3 || code != 0 {
			t.Errorf("exit %d: %v", code, found)
		}
		found, _ = b.findings("doctor", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"))
		if len(found) != 2 {
			t.Errorf("%v", found)
		}
	})
}

// TestDoctorInput: a target that gets something else than the event.
func TestDoctorInput(t *testing.T) {
	for _, c := range []struct {
		target eventbridgetypes.Target
		want   string
	}{
		{eventbridgetypes.Target{}, ""},
		{eventbridgetypes.Target{InputPath: aws.String("$")}, ""},
		{eventbridgetypes.Target{InputPath: aws.String("$.detail")}, statusWarning},
		{eventbridgetypes.Target{InputPath: aws.String("$.detail.data")}, statusProblem},
		{eventbridgetypes.Target{Input: aws.String("{}")}, statusProblem},
		{eventbridgetypes.Target{InputTransformer: &eventbridgetypes.InputTransformer{}}, statusProblem},
	} {
		d := &doctor{}
		d.checkInput("r", &c.target)
		if len(d.findings) == 0 && c.want == "" {
			continue
		}
		if len(d.findings) != 1 || d.findings[0].Status != c.want {
			t.Errorf("%+v: %+v", c.target, d.findings)
		}
	}
}

func TestDoctorClock(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for off, want := range map[time.Duration]string{
		0: statusOK, 20 * time.Second: statusOK, -20 * time.Second: statusOK, time.Minute: statusWarning, -time.Minute: statusWarning,
		6 * time.Minute: statusProblem, -6 * time.Minute: statusProblem,
	} {
		d := &doctor{}
		d.checkClock(now.Add(-off), now, now.Add(time.Second))
		if f := d.findings[0]; f.Status != want || want != statusOK && strings.Contains(f.Cause, "ahead") != (off > 0) {
			t.Errorf("%v: %+v", off, f)
		}
	}
	d := &doctor{}
	d.checkClock(time.Time{}, now, now)
	if d.findings[0].Status != statusUnknown {
		t.Errorf("%+v", d.findings)
	}
}

func TestDoctorRedisGone(t *testing.T) {
	b := newDoctorBench(t)
	r := miniredis.RunT(t)
	r.RequireAuth("secret")
	addr := r.Addr()
	found, code := b.findings("doctor", "--redis", "redis://"+addr)
	one(t, found, "redis", statusProblem, "it wants other credentials")
	if code != exitDue {
		t.Errorf("exit %d", code)
	}
	r.Close()
	found, code = b.findings("doctor", "--redis", "redis://:secret@"+addr)
	one(t, found, "redis", statusUnknown, "it does not answer")
	if code != exitUnavailable || strings.Contains(fmt.Sprint(found), "secret") {
		t.Errorf("exit %d: %v", code, found)
	}
}

// TestShellQuote: what is pasted is one word, whatever it was.
func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"central": "central", "arn:aws:sqs:x:1:q": "arn:aws:sqs:x:1:q", "": "''", "a b": "'a b'", "$(rm)": "'$(rm)'", "it's": `'it'\''s'`, "ä": "'ä'", "~": "'~'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}
