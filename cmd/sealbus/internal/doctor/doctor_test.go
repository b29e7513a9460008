package doctor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
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

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/doctor"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/localaws"
)

// site is a set-up in AWS and around it. newSite makes it without a fault; tests spoil one thing each.
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

const ruleCondition = `,"Condition":{"ArnEquals":{"aws:SourceArn":"` + eventsARN +
	`rule/central/to-billing"}}`

func newSite() *site {
	return &site{
		rule: "to-billing", bus: "central",
		queue: map[string]string{
			"VisibilityTimeout": "360", "MessageRetentionPeriod": "345600",
			"Policy":        sendPolicy(ruleCondition),
			"RedrivePolicy": `{"deadLetterTargetArn":"` + queuesARN + `billing-dead","maxReceiveCount":"7"}`,
		},
		deadLetter:     map[string]string{"MessageRetentionPeriod": "1209600"},
		ruleDeadLetter: map[string]string{"Policy": sendPolicy(ruleCondition)},
		target:         eventbridgetypes.Target{DeadLetterConfig: &eventbridgetypes.DeadLetterConfig{Arn: aws.String(queuesARN + "rule-dead")}},
		function:       localaws.FunctionConfig{Timeout: time.Minute},
		mapping:        &localaws.Mapping{ReportBatchItemFailures: true},
		info: map[string]string{"redis_version": "7.4.0", "role": "master",
			"maxmemory_policy": "noeviction", "aof_enabled": "1", "used_memory": "100", "maxmemory": "1000"},
		table: map[string]any{
			"TableArn": "arn:aws:dynamodb:us-east-1:" + accountID +
				":table/claims", "TableStatus": "ACTIVE", "DeletionProtectionEnabled": true,
			"KeySchema":            []map[string]string{{"AttributeName": "id", "KeyType": "HASH"}},
			"AttributeDefinitions": []map[string]string{{"AttributeName": "id", "AttributeType": "S"}},
		},
		ttl:  map[string]any{"TimeToLiveStatus": "ENABLED", "AttributeName": "forget_at"},
		deny: map[string]bool{},
	}
}

// start makes the set-up real.
func (s *site) start(b *clitest.Bench) {
	b.T.Helper()
	s.fake = b.FakeAWS(&localaws.Options{Deny: func(action string) bool { return s.deny[action] }})
	b.T.Setenv("AWS_ENDPOINT_URL", s.fake.URL())
	b.T.Setenv("AWS_ENDPOINT_URL_DYNAMODB", s.startTable(b))
	key := credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")
	queues := sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.fake.URL()),
		Credentials: key})
	for _, q := range []struct {
		name       string
		attributes map[string]string
	}{{"billing-dead", s.deadLetter}, {"rule-dead", s.ruleDeadLetter}, {"billing", s.queue}} {
		out, err := queues.CreateQueue(b.T.Context(),
			&sqs.CreateQueueInput{QueueName: &q.name, Attributes: q.attributes})
		b.Check(err)
		s.url = aws.ToString(out.QueueUrl)
		if q.name == s.waiting {
			_, err = queues.SendMessage(b.T.Context(),
				&sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: aws.String("{}")})
			b.Check(err)
		}
	}
	function := s.fake.SetFunction("billing", s.function)
	if s.mapping != nil {
		b.Check(s.fake.MapQueue(queuesARN+"billing", "billing", nil, s.mapping))
	}
	s.startBus(b, awseventbridge.New(awseventbridge.Options{Region: "us-east-1",
		BaseEndpoint: aws.String(s.fake.URL()), Credentials: key}), function)
}

func (s *site) startBus(b *clitest.Bench, client *awseventbridge.Client, function string) {
	b.T.Helper()
	_, err := client.CreateEventBus(b.T.Context(), &awseventbridge.CreateEventBusInput{Name: &s.bus})
	b.Check(err)
	if s.busPolicy != "" {
		_, err = client.PutPermission(b.T.Context(),
			&awseventbridge.PutPermissionInput{EventBusName: &s.bus, Policy: &s.busPolicy})
		b.Check(err)
	}
	state := eventbridgetypes.RuleStateEnabled
	if s.ruleOff {
		state = eventbridgetypes.RuleStateDisabled
	}
	_, err = client.PutRule(b.T.Context(), &awseventbridge.PutRuleInput{Name: &s.rule, EventBusName: &s.bus,
		EventPattern: aws.String(`{"source":[{"exists":true}]}`), State: state})
	b.Check(err)
	target := s.target
	target.Id, target.Arn = aws.String("1"), aws.String(queuesARN+"billing")
	if s.direct {
		target.Arn = &function
		s.fake.Function("billing", func(context.Context, []byte) error { return nil })
	}
	out, err := client.PutTargets(b.T.Context(), &awseventbridge.PutTargetsInput{Rule: &s.rule,
		EventBusName: &s.bus, Targets: []eventbridgetypes.Target{target}})
	b.Check(err)
	if out.FailedEntryCount > 0 {
		b.T.Fatal(aws.ToString(out.FailedEntries[0].ErrorMessage))
	}
}

// startTable serves DynamoDB's two descriptions.
func (s *site) startTable(b *clitest.Bench) string {
	table := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
		var out any
		switch {
		case s.deny[action]:
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]string{"__type": "com.amazon.coral.service#AccessDeniedException",
				"message": "not authorized"}
		case s.table == nil:
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]string{"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
				"message": "not found"}
		case action == "DescribeTable":
			out = map[string]any{"Table": s.table}
		default:
			out = map[string]any{"TimeToLiveDescription": s.ttl}
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_ = json.NewEncoder(w).Encode(out)
	}))
	b.T.Cleanup(table.Close)
	return table.URL
}

// startRedis is miniredis with the INFO of a real one.
func (s *site) startRedis(b *clitest.Bench) string {
	r := miniredis.RunT(b.T)
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
		for _, name := range ui.SortedKeys(s.info) {
			text += name + ":" + s.info[name] + "\r\n"
		}
		c.WriteBulk(text)
		return true
	})
	return "redis://" + r.Addr()
}

// newDoctorBench has the clock of the machine, since it is compared with that of a server.
func newDoctorBench(t *testing.T) *clitest.Bench {
	b := clitest.New(t)
	b.Now = time.Now()
	b.Org([]string{accountID}, clitest.OrderSource)
	return b
}

func (s *site) args(b *clitest.Bench) []string {
	args := []string{
		"doctor", "--bus", s.bus, "--queue", s.url, "--function", "billing", "--table", "claims", "--redis",
		s.startRedis(b), "--max-age", "456h5m",
		"--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json"), "--keyring", b.Path("shop.keyring"),
		"--insecure-no-passphrase",
	}
	return append(args, s.flags...)
}

func findings(b *clitest.Bench, args ...string) (map[string][]doctor.Finding, int) {
	b.T.Helper()
	r := b.Run("", append(args, "--output", "json")...)
	var report doctor.DoctorReport
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		b.T.Fatalf("exit %d: %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	found := map[string][]doctor.Finding{}
	for _, f := range report.Findings {
		found[f.Check] = append(found[f.Check], f)
		if (f.Fix == "") != (f.Status == doctor.StatusOK) || f.Cause == "" ||
			strings.ContainsAny(f.Cause+f.Fix, "\n\x1b") {
			b.T.Errorf("%+v", f)
		}
	}
	return found, r.Code
}

func TestDoctorFindsNothing(t *testing.T) {
	b, s := newDoctorBench(t), newSite()
	s.start(b)
	found, code := findings(b, s.args(b)...)
	for check, list := range found {
		for _, f := range list {
			if f.Status != doctor.StatusOK && check != "roots" {
				t.Errorf("%s: %+v", check, f)
			}
		}
	}
	for _, check := range []string{
		"aws region", "aws credentials", "clock", "queue", "queue policy", "queue retention",
		"queue dead-letter queue", "queue maxReceiveCount",
		"consumer window", "queue visibility timeout", "function", "event source mapping", "bus",
		"bus policy", "rule", "rule dead-letter queue",
		"table", "table time to live", "bundle", "producer keys", "keyring", "keyring and bundle", "redis",
		"redis permissions", "redis maxmemory-policy", "redis persistence", "redis clock",
	} {
		if len(found[check]) != 1 {
			t.Errorf("%s: %v", check, found[check])
		}
	}
	one(t, found, "roots", doctor.StatusWarning, "one root key signs alone") // those of the bench
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	r := b.Run("", s.args(b)...)
	if r.Code != 0 || !strings.HasPrefix(r.Stdout, "STATUS   CHECK") ||
		!strings.HasSuffix(r.Stdout, "\n1 warning, 27 ok\n") {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
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
	"no bus": {func(s *site) { s.flags = []string{"--bus", "centrel"} }, "bus", doctor.StatusProblem,
		"does not exist", "create-event-bus --name centrel"},
	"bus denied": {func(s *site) { s.deny["DescribeEventBus"] = true }, "bus", doctor.StatusUnknown,
		"events:DescribeEventBus", `{"Effect":"Allow","Action":"events:DescribeEventBus"`},
	"open bus": {func(s *site) { s.busPolicy = allowing(`"Principal":"*","Action":"events:PutEvents"`) },
		"bus policy", doctor.StatusProblem, "anybody in AWS", "aws:PrincipalOrgID"},
	"any source": {func(s *site) {
		s.busPolicy = allowing(`"Sid":"orders","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":["events:*"]`)
	}, "bus policy", doctor.StatusWarning,
		"111122223333 may put events of every source on it (statement orders)", "events:source"},
	"any source of org": {func(s *site) {
		s.busPolicy = allowing(`"Principal":"*","Action":"events:PutEvents","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`)
	}, "bus policy", doctor.StatusWarning, "anybody may put", "events:source"},
	"limited bus": {func(s *site) {
		s.busPolicy = allowing(`"Principal":{"AWS":"111122223333"},"Action":"events:PutEvents","Condition":{"StringLike":{"events:source":"https://orders.example/*"}}`)
	}, "bus policy", doctor.StatusOK, "", ""},
	"rule disabled": {func(s *site) { s.ruleOff = true }, "rule", doctor.StatusProblem,
		"to-billing is disabled", "enable-rule --event-bus-name central --name to-billing"},
	"no rule": {func(s *site) { s.direct = true; s.flags = []string{"--function", ""} }, "rule",
		doctor.StatusProblem, "no rule of the bus", "put-targets"},
	"rules denied": {func(s *site) { s.deny["ListRules"] = true }, "rule", doctor.StatusUnknown,
		"events:ListRules", "Allow"},
	"targets denied": {func(s *site) { s.deny["ListTargetsByRule"] = true }, "rule", doctor.StatusUnknown,
		"events:ListTargetsByRule", "Allow"},
	"no rule dlq": {func(s *site) { s.target.DeadLetterConfig = nil }, "rule dead-letter queue",
		doctor.StatusProblem, "has none", `'[{"Arn":"` + queuesARN +
			`billing","DeadLetterConfig":{"Arn":"QUEUE-ARN"},"Id":"1"}]'`},
	"rule dlq missing": {func(s *site) { s.target.DeadLetterConfig.Arn = aws.String(queuesARN + "none") },
		"rule dead-letter queue", doctor.StatusProblem, "does not exist", "create"},
	"rule dlq closed": {func(s *site) { s.ruleDeadLetter = nil }, "rule dead-letter queue",
		doctor.StatusProblem, "may not send to rule-dead", "events.amazonaws.com"},

	"no queue": {func(s *site) { s.url += "x"; s.flags = []string{"--queue", "http://127.0.0.1:1/000000000000/none"} }, "queue", doctor.StatusProblem, "does not exist", "--region"},
	"queue elsewhere": {func(s *site) {
		s.flags = []string{"--queue", "https://sqs.eu-west-1.amazonaws.com/000000000000/billing"}
	}, "queue", doctor.StatusProblem, "it is in eu-west-1", "--region eu-west-1"},
	"queue denied": {func(s *site) { s.deny["GetQueueAttributes"] = true }, "queue", doctor.StatusUnknown,
		"sqs:GetQueueAttributes", `"Resource":"` + queuesARN + `billing"`},
	"closed queue": {func(s *site) { delete(s.queue, "Policy") }, "queue policy", doctor.StatusProblem,
		"EventBridge may not send", `"aws:SourceArn":"` + eventsARN + `rule/central/RULE"`},
	"no source ARN": {func(s *site) { s.queue["Policy"] = sendPolicy("") }, "queue policy",
		doctor.StatusProblem, "a rule of any AWS account may send", "aws:SourceArn"},
	"source ARN negated": {func(s *site) {
		s.queue["Policy"] = sendPolicy(strings.Replace(ruleCondition, "ArnEquals", "ArnNotEquals", 1))
	}, "queue policy", doctor.StatusProblem, "any AWS account", "aws:SourceArn"},
	"source ARN of anyone": {func(s *site) {
		s.queue["Policy"] = sendPolicy(`,"Condition":{"ArnLike":{"AWS:SourceArn":["arn:aws:events:*:*:rule/*"]}}`)
	}, "queue policy", doctor.StatusProblem, "any AWS account", "aws:SourceArn"},
	"source account": {func(s *site) {
		s.queue["Policy"] = sendPolicy(`,"Condition":{"StringEquals":{"aws:SourceAccount":"` + accountID +
			`"}}`)
	}, "queue policy", doctor.StatusWarning, "any rule or role of account " + accountID, "aws:SourceArn"},
	"topic may send": {func(s *site) {
		s.queue["Policy"] = allowing(`"Principal":{"Service":["events.amazonaws.com","sns.amazonaws.com"]},"Action":"sqs:SendMessage","Condition":{"ArnEquals":{"aws:SourceArn":["` + eventsARN + `rule/central/to-billing","arn:aws:sns:eu-west-1:` + accountID + `:news"]}}`)
	}, "queue policy", doctor.StatusWarning, "what is no rule may send", "aws:SourceArn"},
	"open queue": {func(s *site) { s.queue["Policy"] = allowing(`"Principal":{"AWS":["*"]},"Action":"SQS:*"`) }, "queue policy", doctor.StatusProblem, "anybody may send", "aws:SourceArn"},
	"others send": {func(s *site) {
		s.queue["Policy"] = strings.Replace(sendPolicy(ruleCondition), `"Statement":{`,
			`"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/x"},"Action":"sqs:Send*"},{`, 1)
		s.queue["Policy"] = strings.TrimSuffix(s.queue["Policy"], "}") + "]}"
	}, "queue policy", doctor.StatusWarning, "role/x may send directly", "aws:SourceArn"},
	"AWS's key": {func(s *site) { s.queue["KmsMasterKeyId"] = "alias/aws/sqs" }, "queue encryption",
		doctor.StatusProblem, "cannot send", "KmsMasterKeyId"},
	"own key": {func(s *site) { s.queue["KmsMasterKeyId"] = "alias/ours" }, "queue encryption",
		doctor.StatusWarning, "alias/ours", "kms:GenerateDataKey"},
	"short retention": {func(s *site) { s.queue["MessageRetentionPeriod"] = "3600" }, "queue retention",
		doctor.StatusWarning, "1h", "MessageRetentionPeriod=345600"},
	"no dlq": {func(s *site) { delete(s.queue, "RedrivePolicy") }, "queue dead-letter queue",
		doctor.StatusProblem, "there is none", "RedrivePolicy"},
	"short dlq retention": {func(s *site) { s.deadLetter["MessageRetentionPeriod"] = "86400" },
		"queue dead-letter queue", doctor.StatusProblem, "1d and the queue for 4d",
		"MessageRetentionPeriod=1209600"},
	"dlq denied": {func(s *site) { s.deny["GetQueueUrl"] = true }, "queue dead-letter queue",
		doctor.StatusUnknown, "sqs:GetQueueUrl", queuesARN + "billing-dead"},
	"one receive": {func(s *site) { s.queue["RedrivePolicy"] = strings.Replace(s.queue["RedrivePolicy"], `"7"`, `1`, 1) }, "queue maxReceiveCount", doctor.StatusProblem, "1: a passing failure", `\"maxReceiveCount\":\"7\"`},
	"in the dlq": {func(s *site) { s.waiting = "billing-dead" }, "queue dead-letter queue",
		doctor.StatusWarning, "1 message in billing-dead", "start-message-move-task --source-arn " +
			queuesARN + "billing-dead"},
	"in the rule's dlq": {func(s *site) { s.waiting = "rule-dead" }, "rule dead-letter queue",
		doctor.StatusWarning, "1 event of to-billing could not be delivered", "receive-message"},
	"endless receives": {func(s *site) {
		s.queue["RedrivePolicy"] = strings.Replace(s.queue["RedrivePolicy"], `"7"`, `"1000"`, 1)
	}, "queue maxReceiveCount", doctor.StatusProblem, "take longer than the 4d", "RedrivePolicy"},
	"function elsewhere": {func(s *site) {
		s.flags = []string{"--function", "arn:aws:lambda:eu-west-1:000000000000:function:billing"}
	}, "function", doctor.StatusProblem, "it is in eu-west-1", "--region eu-west-1"},
	"bus elsewhere": {func(s *site) { s.flags = []string{"--bus", "arn:aws:events:eu-west-1:000000000000:event-bus/central"} }, "bus", doctor.StatusProblem, "it is in eu-west-1", "--region eu-west-1"},
	"five receives": {func(s *site) { s.queue["RedrivePolicy"] = strings.Replace(s.queue["RedrivePolicy"], `"7"`, `"5"`, 1) }, "queue maxReceiveCount", doctor.StatusWarning, "after an outage of 24m", `\"maxReceiveCount\":\"7\"`},
	"visibility": {func(s *site) { s.queue["VisibilityTimeout"] = "30" },
		"queue visibility timeout", doctor.StatusProblem, "30s is too short, AWS advises 6 times the 1m",
		"VisibilityTimeout=360"},
	"window in visibility": {func(s *site) { s.mapping.Window = 30 * time.Second },
		"queue visibility timeout", doctor.StatusProblem, "the batching window of 30s",
		"VisibilityTimeout=390"},
	"lease": {func(s *site) { s.flags = []string{"--lease", "10m"} },
		"queue visibility timeout", doctor.StatusProblem, "the consumer's lease is 10m",
		"VisibilityTimeout=601"},
	"window of a default": {func(s *site) { s.flags = []string{"--max-age", "24h5m"} }, "consumer window",
		doctor.StatusProblem, "MaxAge is 24h5m", "MaxAge: 456h5m"},
	"window of the queues": {func(s *site) { s.flags = []string{"--max-age", "433h"} }, "consumer window",
		doctor.StatusWarning, "MaxAge leaves 1h for that", "MaxAge: 456h5m"},

	"no function": {func(s *site) { s.flags = []string{"--function", "bills"} }, "function",
		doctor.StatusProblem, "does not exist", "--function"},
	"function denied": {func(s *site) { s.deny["GetFunction"] = true }, "function", doctor.StatusUnknown,
		"lambda:GetFunction", "function:billing"},
	"not active": {func(s *site) { s.function.State = "Failed" }, "function", doctor.StatusProblem,
		"its state is Failed", "get-function"},
	"no concurrency": {func(s *site) { s.function.Reserved = new(int) }, "function", doctor.StatusProblem,
		"never called", "delete-function-concurrency"},
	"no mapping": {func(s *site) { s.mapping = nil }, "event source mapping", doctor.StatusProblem,
		"none from the queue", "create-event-source-mapping"},
	"mapping denied": {func(s *site) { s.deny["ListEventSourceMappings"] = true }, "event source mapping",
		doctor.StatusUnknown, "lambda:ListEventSourceMappings", "Allow"},
	"mapping disabled": {func(s *site) { s.mapping.Disabled = true }, "event source mapping",
		doctor.StatusProblem, "Disabled", "--enabled"},
	"all or nothing": {func(s *site) { s.mapping.ReportBatchItemFailures = false }, "event source mapping",
		doctor.StatusProblem, "deletes them", "--function-response-types ReportBatchItemFailures"},
	"mapping filter": {func(s *site) { s.mapping.Filter = `{"body":{"x":["y"]}}` }, "event source mapping",
		doctor.StatusWarning, "deletes messages that do not match", "--filter-criteria"},
	"no OnFailure": {func(s *site) { s.direct = true }, "OnFailure destination", doctor.StatusProblem,
		"is lost", "put-function-event-invoke-config"},
	"OnFailure gone": {func(s *site) {
		s.direct = true
		s.function.Invoke = &localaws.InvokeConfig{OnFailure: queuesARN + "none"}
	}, "OnFailure destination", doctor.StatusProblem, "does not exist", "create"},
	"OnFailure": {func(s *site) {
		s.direct = true
		s.function.Invoke = &localaws.InvokeConfig{OnFailure: queuesARN + "rule-dead"}
	}, "OnFailure destination", doctor.StatusOK, "rule-dead", ""},
	"older dlq": {func(s *site) { s.direct = true; s.function.DeadLetterARN = queuesARN + "rule-dead" },
		"OnFailure destination", doctor.StatusOK, "rule-dead", ""},
	"OnFailure denied": {func(s *site) { s.direct = true; s.deny["GetFunctionEventInvokeConfig"] = true },
		"OnFailure destination", doctor.StatusUnknown, "lambda:GetFunctionEventInvokeConfig", "Allow"},
	"not to be called": {func(s *site) { s.direct = true }, "function policy", doctor.StatusProblem,
		"EventBridge may not call", "add-permission"},
	"called by anyone": {func(s *site) {
		s.direct = true
		s.function.Policy = allowing(`"Principal":"*","Action":"lambda:InvokeFunction"`)
	}, "function policy", doctor.StatusProblem, "anybody may call", "add-permission"},
	"called by rule": {func(s *site) {
		s.direct = true
		s.function.Policy = allowing(`"Principal":{"Service":"events.amazonaws.com"},"Action":"lambda:InvokeFunction"` + ruleCondition)
	}, "function policy", doctor.StatusOK,
		"it lets only the named rules of EventBridge call; policies of users", ""},

	"no table": {func(s *site) { s.table = nil }, "table", doctor.StatusProblem, "does not exist",
		"sealbus claims create-table --table claims"},
	"table denied": {func(s *site) { s.deny["DescribeTable"] = true }, "table", doctor.StatusUnknown,
		"dynamodb:DescribeTable", "dynamodb:us-east-1:" + accountID + ":table/claims"},
	"sort key": {func(s *site) {
		s.table["KeySchema"] = []map[string]string{{"AttributeName": "id", "KeyType": "HASH"},
			{"AttributeName": "x", "KeyType": "RANGE"}}
	}, "table", doctor.StatusProblem, `not the string "id" alone`, "create-table"},
	"number": {func(s *site) {
		s.table["AttributeDefinitions"] = []map[string]string{{"AttributeName": "id", "AttributeType": "N"}}
	}, "table", doctor.StatusProblem, `not the string "id" alone`, "create-table"},
	"table not active": {func(s *site) { s.table["TableStatus"] = "DELETING" }, "table", doctor.StatusProblem,
		"DELETING", "describe-table"},
	"not protected": {func(s *site) { s.table["DeletionProtectionEnabled"] = false }, "table protection",
		doctor.StatusWarning, "can be deleted", "--deletion-protection-enabled"},
	"no ttl": {func(s *site) { s.ttl["TimeToLiveStatus"] = "DISABLED" }, "table time to live",
		doctor.StatusWarning, "only grows", "create-table"},
	"other ttl": {func(s *site) { s.ttl["AttributeName"] = "until" }, "table time to live",
		doctor.StatusProblem, `"until"`, "switch it off"},
	"ttl denied": {func(s *site) { s.deny["DescribeTimeToLive"] = true }, "table time to live",
		doctor.StatusUnknown, "dynamodb:DescribeTimeToLive", "table/claims"},

	"replica": {func(s *site) { s.info["role"] = "slave" }, "redis", doctor.StatusProblem, "replica",
		"primary"},
	"evicts": {func(s *site) { s.info["maxmemory_policy"] = "allkeys-lru" }, "redis maxmemory-policy",
		doctor.StatusProblem, "allkeys-lru", "noeviction"},
	"almost full": {func(s *site) { s.info["used_memory"] = "900" }, "redis maxmemory-policy",
		doctor.StatusWarning, "90% of its memory", "maxmemory"},
	"forgets": {func(s *site) { s.info["aof_enabled"] = "0" }, "redis persistence", doctor.StatusWarning,
		"appendonly no", "appendonly yes"},
	"says nothing": {func(s *site) { delete(s.info, "aof_enabled") }, "redis persistence",
		doctor.StatusUnknown, "INFO", "appendonly"},
	"pttl denied": {func(s *site) { s.deny["PTTL"], s.deny["SET"] = true, true }, "redis permissions",
		doctor.StatusProblem, "SET, PTTL", "'~sealbus:replay:*' +set +pttl"},
	"info denied": {func(s *site) { s.deny["INFO"] = true }, "redis", doctor.StatusUnknown, "INFO",
		"ACL SETUSER"},
}

// TestDoctorFinds: each defect is found where it is, for what it is, and with what puts it right.
func TestDoctorFinds(t *testing.T) {
	for name, c := range spoiledSites {
		t.Run(name, func(t *testing.T) {
			b, s := newDoctorBench(t), newSite()
			c.spoil(s)
			s.start(b)
			found, code := findings(b, s.args(b)...)
			var got *doctor.Finding
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
func wantExit(found map[string][]doctor.Finding) int {
	exit := ui.ExitDone
	for _, list := range found {
		for _, f := range list {
			switch {
			case f.Status == doctor.StatusProblem:
				return ui.ExitDue
			case f.Status == doctor.StatusUnknown:
				exit = ui.ExitUsage // a permission is missing
			}
		}
	}
	return exit
}

// one wants exactly one finding of that check, and its status and cause.
func one(t *testing.T, found map[string][]doctor.Finding, check, status, cause string) {
	t.Helper()
	if list := found[check]; len(list) != 1 || list[0].Status != status ||
		!strings.Contains(list[0].Cause, cause) {
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
		found, code := findings(b, args...)
		one(t, found, "aws region", doctor.StatusProblem, "none is configured")
		one(t, found, "bus", doctor.StatusUnknown, "cannot be asked")
		one(t, found, "queue", doctor.StatusUnknown, "cannot be asked")
		if code != ui.ExitDue {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		found, _ := findings(b, args...)
		one(t, found, "aws credentials", doctor.StatusProblem, "no AWS credentials: none in the environment")
	})
	t.Run("refused", func(t *testing.T) {
		refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(20*time.Minute).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w,
				`<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token is expired</Message></Error></ErrorResponse>`)
		}))
		defer refuses.Close()
		found, code := findings(b, "doctor", "--endpoint", refuses.URL)
		one(t, found, "aws credentials", doctor.StatusProblem, "ExpiredToken: The security token is expired")
		one(t, found, "clock", doctor.StatusProblem, "behind AWS")
		if code != ui.ExitDue {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("unreachable", func(t *testing.T) {
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		found, code := findings(b, "doctor", "--endpoint", "http://127.0.0.1:1") // a port of no other test
		one(t, found, "aws credentials", doctor.StatusUnknown, "refused")
		if code != ui.ExitUnavailable {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("only what is given", func(t *testing.T) {
		found, code := findings(b, "doctor")
		if len(found) != 3 || code != 0 {
			t.Errorf("exit %d: %v", code, found)
		}
		found, _ = findings(b, "doctor", "--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json"))
		if len(found) != 3 {
			t.Errorf("%v", found)
		}
	})
}

// TestDoctorProbesTheCommandsOfTheStore: the scripts of the store call nothing that doctor does not look for.
func TestDoctorProbesTheCommandsOfTheStore(t *testing.T) {
	scripts, err := os.ReadFile("../../../../consumer/replay/redis/scripts.go")
	if err != nil {
		t.Fatal(err)
	}
	called := regexp.MustCompile(`redis\.call\('(\w+)'`).FindAllStringSubmatch(string(scripts), -1)
	if len(called) < 6 {
		t.Fatalf("found only %q", called)
	}
	for _, call := range called {
		if !slices.ContainsFunc(doctor.RedisProbes, func(probe []any) bool { return probe[0] == call[1] }) {
			t.Errorf("doctor does not look whether %s is allowed", call[1])
		}
	}
}

// TestDoctorLooksAtAUserWithoutInfo: the ACL that the store needs has no INFO.
func TestDoctorLooksAtAUserWithoutInfo(t *testing.T) {
	b, s := newDoctorBench(t), newSite()
	s.deny["INFO"], s.deny["PEXPIREAT"] = true, true
	found, code := findings(b, "doctor", "--redis", s.startRedis(b))
	one(t, found, "redis", doctor.StatusUnknown, "INFO")
	one(t, found, "redis permissions", doctor.StatusProblem, "PEXPIREAT")
	if code != ui.ExitDue {
		t.Errorf("exit %d", code)
	}
}

func TestDoctorRedisGone(t *testing.T) {
	b := newDoctorBench(t)
	r := miniredis.RunT(t)
	r.RequireAuth("secret")
	addr := r.Addr()
	found, code := findings(b, "doctor", "--redis", "redis://"+addr)
	one(t, found, "redis", doctor.StatusProblem, "it wants other credentials")
	if code != ui.ExitDue {
		t.Errorf("exit %d", code)
	}
	r.Close()
	found, code = findings(b, "doctor", "--redis", "redis://:secret@"+addr)
	one(t, found, "redis", doctor.StatusUnknown, "it does not answer")
	if code != ui.ExitUnavailable || strings.Contains(fmt.Sprint(found), "secret") {
		t.Errorf("exit %d: %v", code, found)
	}
}
