package orders_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cfntest"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/observe/emf"
)

func read(t *testing.T, path string) *cfntest.Template {
	t.Helper()
	template, err := cfntest.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

const (
	webhooks = "../webhooks/template.yaml"
	news     = "../news/template.yaml"
)

// all are the templates of the examples.
func all(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return name == "policy.yaml" }) // of README.md
	files = append(files, "../opener/opener.yaml", "../rotation/rotation.yaml", webhooks, news)
	if len(files) != 9 {
		t.Fatalf("the templates are %v", files)
	}
	return files
}

func TestTemplates(t *testing.T) {
	for _, file := range all(t) {
		for _, f := range cfntest.Findings(read(t, file)) {
			t.Errorf("%s: %v", file, f)
		}
	}
}

// mutants are templates in which something is broken, and the rule that must say so.
var mutants = []struct {
	file, old, new string // the first occurrence of old
	rule           cfntest.Rule
}{
	{"consumer.yaml", "!GetAtt BillingQueue.Arn", "!GetAtt BilingQueue.Arn", cfntest.Refs},
	{"producer.yaml", "!Ref CentralBusArn", "!Ref CentralBus", cfntest.Refs},
	{"central.yaml", "${TrustBucket.Arn}/trust.dsse", "${Trust.Arn}/trust.dsse", cfntest.Refs},
	{"producer.yaml", "!Ref AlarmTopic", "arn:aws:sns:eu-west-1:111122223333:alarms", cfntest.Unused},
	{"consumer.yaml", "Action: dynamodb:PutItem", "Action: dynamodb:*", cfntest.Wildcards},
	{"consumer.yaml", "Action: dynamodb:PutItem", "NotAction: dynamodb:DeleteTable", cfntest.Wildcards},
	{"consumer.yaml", "Resource: !GetAtt LedgerTable.Arn", `Resource: "*"`, cfntest.Wildcards},
	{"consumer.yaml", "Resource: !GetAtt BillingReplayTable.Arn",
		"Resource: !Sub arn:aws:dynamodb:*:${AWS::AccountId}:table/x", cfntest.Wildcards},
	{"central.yaml", "AWS: !Sub arn:${AWS::Partition}:iam::${OrdersAccount}:root", `AWS: "*"`,
		cfntest.Wildcards},
	{"consumer.yaml", "      Role: !GetAtt BillingRole.Arn\n", "", cfntest.Wildcards},
	{"consumer.yaml", "aws:SourceArn: !GetAtt BillingRule.Arn", "aws:SourceArn: !GetAtt MailerRule.Arn",
		cfntest.Senders},
	{"consumer.yaml", "                  - !GetAtt MailerRule.Arn\n", "", cfntest.Senders},
	{"subscription.yaml", "aws:SourceArn: !GetAtt Rule.Arn", "aws:SourceAccount: !Ref AWS::AccountId",
		cfntest.Senders},
	{"subscription.yaml", "Service: events.amazonaws.com\n            Action: sqs:SendMessage",
		"AWS: !Ref AWS::AccountId\n            Action: sqs:SendMessage", cfntest.Senders},
	{"subscription.yaml", "Action: sqs:SendMessage", "Action: [sqs:SendMessage, sqs:PurgeQueue]",
		cfntest.Senders},
	{"consumer.yaml", "      SourceArn: !GetAtt MailerRule.Arn\n", "", cfntest.Senders},
	{"consumer.yaml", "      SourceArn: !GetAtt MailerRule.Arn\n",
		"      SourceArn: !GetAtt BillingRule.Arn\n", cfntest.Senders},
	{"subscription.yaml", "            Principal:\n              Service: events.amazonaws.com",
		"            Principal:\n              AWS: !Ref AWS::AccountId", cfntest.Assume},
	{"subscription.yaml", "ArnEquals:\n                aws:SourceArn: !Sub",
		"ArnLike:\n                aws:SourceArn: !Sub", cfntest.Assume},
	{"consumer.yaml", "      SqsManagedSseEnabled: true\n", "", cfntest.Encrypted},
	{"central.yaml", "SSEAlgorithm: AES256", "SSEAlgorithm: AES256\n      Tags: []", ""},
	{"central.yaml", `aws:SecureTransport: "false"`, `aws:SecureTransport: "true"`, cfntest.Encrypted},
	{"consumer.yaml", "              - !Sub ${QuarantineBucket.Arn}/*\n", "", cfntest.Encrypted},
	{"central.yaml", "RestrictPublicBuckets: true", "RestrictPublicBuckets: false", cfntest.Public},
	{"consumer.yaml", "BlockPublicPolicy: true", "BlockPublicAcls_: true", cfntest.Public},
	{"consumer.yaml", "    DeletionPolicy: Retain\n", "", cfntest.Retained},
	{"consumer.yaml", "DeletionProtectionEnabled: true", "DeletionProtectionEnabled: false",
		cfntest.Retained},
	{"central.yaml", "Status: Enabled", "Status: Suspended", cfntest.Retained},
	{"consumer.yaml", "MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 345600",
		cfntest.DeadLetter},
	{"consumer.yaml", "maxReceiveCount: 12", "maxReceiveCount: 1", cfntest.DeadLetter},
	{"consumer.yaml", "deadLetterTargetArn: !GetAtt BillingDeadLetters.Arn",
		"deadLetterTargetArn: !GetAtt BillingRule.Arn", cfntest.DeadLetter},
	{"consumer.yaml", "          DeadLetterConfig:\n            Arn: !GetAtt Undelivered.Arn\n", "",
		cfntest.DeadLetter},
	{"subscription.yaml", "            MaximumEventAgeInSeconds: 86400\n", "", cfntest.DeadLetter},
	{"consumer.yaml", "OnFailure:", "OnSuccess:", cfntest.DeadLetter},
	{"consumer.yaml", "Action: sqs:SendMessage\n                Resource: !GetAtt MailerFailures.Arn",
		"Action: sqs:SendMessage\n                Resource: !GetAtt Undelivered.Arn", cfntest.DeadLetter},
	{"consumer.yaml", "              - ReportBatchItemFailures\n", "", cfntest.Partial},
	{"consumer.yaml", "VisibilityTimeout: 180", "VisibilityTimeout: 179", cfntest.Partial},
	{"consumer.yaml", "Timeout: 30", "Timeout: 31", cfntest.Partial},
	{"alarms.yaml", "      AlarmActions:\n        - !Ref AlarmTopic\n", "", cfntest.Alarms},
	{"alarms.yaml", "      TreatMissingData: notBreaching\n", "", cfntest.Alarms},
	{"consumer.yaml", "Value: !GetAtt BillingDeadLetters.QueueName", "Value: !GetAtt BillingQueue.QueueName",
		cfntest.Alarms},
	{"consumer.yaml", "MetricName: ApproximateAgeOfOldestMessage", "MetricName: NumberOfMessagesSent",
		cfntest.Alarms},
	{"consumer.yaml", "Threshold: 240", "Threshold: 900", cfntest.Alarms},
	{"../rotation/rotation.yaml", "      TreatMissingData: breaching\n", "", cfntest.Alarms},
	{"../rotation/rotation.yaml", "                Resource: !Ref TimestampKeyArn", `                Resource: "*"`,
		cfntest.Wildcards},
	{"../opener/opener.yaml", "VisibilityTimeout: 180", "VisibilityTimeout: 60", cfntest.Partial},
	{webhooks, "      FunctionUrlAuthType: NONE\n", "", cfntest.Senders},
	{webhooks, "      FunctionUrlAuthType: NONE\n", "", cfntest.URLs},
	{webhooks, "      InvokedViaFunctionUrl: true\n", "", cfntest.Senders},
	{webhooks, "      InvokedViaFunctionUrl: true\n", "", cfntest.URLs},
	{webhooks, "InvokedViaFunctionUrl: true", "InvokedViaFunctionUrl: false", cfntest.URLs},
	{webhooks, "Action: lambda:InvokeFunctionUrl", "Action: lambda:InvokeFunction", cfntest.Senders},
	{webhooks, `FunctionName: !Ref Gateway
      Action: lambda:InvokeFunction
`, `FunctionName: !Ref Pushes
      Action: lambda:InvokeFunction
`, cfntest.URLs},
	{webhooks, "AuthType: NONE", "AuthType: AWS_IAM", cfntest.URLs},
	{webhooks, "      ReservedConcurrentExecutions: !Ref Concurrency\n", "", cfntest.URLs},
	{webhooks, "ReservedConcurrentExecutions: !Ref Concurrency", "FunctionUrlConfig: {AuthType: NONE}",
		cfntest.URLs},
	{webhooks, "MetricName: Url5xxCount", "MetricName: UrlRequestCount", cfntest.URLs},
	{webhooks, "MetricName: Throttles", "MetricName: Errors", cfntest.URLs},
	{webhooks, "secretsmanager:${GithubSecret}", "secretsmanager:${GitHubSecret}", cfntest.Refs},
	{news, ":${RestApi}/authorizers/${RestPartners}", ":*/authorizers/${RestPartners}", cfntest.Senders},
	{news, "${HttpApi}/*/*/news*", "${HttpApi}/*", cfntest.Senders},
	{news, "${HttpApi}/*/*/news*", "${HttpStage}/*/*/news*", cfntest.Senders},
	{news, "Principal: apigateway.amazonaws.com", "Principal: lambda.amazonaws.com", cfntest.Senders},
	{news, "${RestApi}/*/*/news*", "${RestApi}/*/GET/news", ""},
	{webhooks, "          - !Ref Source\n", "          - https://hooks.example/github\n", ""},
}

// TestFindingsSeeMutants shows that each rule can fail, and that no harmless change fails one.
func TestFindingsSeeMutants(t *testing.T) {
	seen := make(map[cfntest.Rule]bool)
	for _, m := range mutants {
		doc, err := os.ReadFile(m.file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(doc, []byte(m.old)) {
			t.Errorf("%s has no %q to change", m.file, m.old)
			continue
		}
		template, err := cfntest.Parse(m.file, bytes.Replace(doc, []byte(m.old), []byte(m.new), 1))
		if err != nil {
			t.Errorf("%s, %q: %v", m.file, m.new, err)
			continue
		}
		found := cfntest.Findings(template)
		if !slices.ContainsFunc(found, func(f cfntest.Finding) bool { return f.Rule == m.rule }) &&
			(m.rule != "" || len(found) > 0) {
			t.Errorf("%s, with %q for %q: found %v, not %s", m.file, m.new, m.old, found, m.rule)
		}
		seen[m.rule] = true
	}
	for _, rule := range []cfntest.Rule{
		cfntest.Refs, cfntest.Unused, cfntest.Wildcards, cfntest.Senders, cfntest.Assume, cfntest.Encrypted,
		cfntest.Public,
		cfntest.Retained, cfntest.DeadLetter, cfntest.Partial, cfntest.Alarms, cfntest.URLs,
	} {
		if !seen[rule] {
			t.Errorf("no mutant breaks the rule %s", rule)
		}
	}
}

// TestParseRefuses: of a member that is there twice, it would be open which one counts.
func TestParseRefuses(t *testing.T) {
	for _, doc := range []string{"", "Resources: {}", "Resources: {A: {Type: x, Type: y}}",
		"Resources: &a {A: {Type: x}}\nOutputs: *a"} {
		if _, err := cfntest.Parse("x", []byte(doc)); err == nil {
			t.Errorf("%q is taken", doc)
		}
	}
}

// TestProducersMayPutTheirOwnSourcesOnly: who else may put events on the buses, and what.
func TestProducersMayPutTheirOwnSourcesOnly(t *testing.T) {
	central, consumers := read(t, "central.yaml"), read(t, "consumer.yaml")
	for _, id := range central.OfType("AWS::Events::EventBusPolicy") {
		s := cfntest.Plain(cfntest.Get(central.Resources[id].Properties, "Statement"))
		sources := cfntest.Get(s, "Condition", "StringEquals", "events:source")
		if cfntest.Get(s, "Action") != "events:PutEvents" || sources != "${OrdersSources}" {
			t.Errorf("%s: %v of the sources %v", id, cfntest.Get(s, "Action"), sources)
		}
		if cfntest.Get(s, "Condition", "BoolIfExists", "events:eventBusInvocation") != "false" {
			t.Errorf("%s: what others put on the producer's bus may be forwarded in its name", id)
		}
	}
	s := cfntest.Plain(cfntest.Get(consumers.Resources["CentralMayPut"].Properties, "Statement"))
	if cfntest.Get(s, "Action") != "events:PutEvents" ||
		cfntest.Get(s, "Condition", "ArnEquals", "aws:PrincipalArn") != "${CentralRoleArn}" {
		t.Errorf("the consumer's bus: %v", s)
	}
	if n := len(consumers.OfType("AWS::Events::EventBusPolicy")) +
		len(central.OfType("AWS::Events::EventBusPolicy")); n != 2 {
		t.Errorf("%d bus policies, two were looked at", n)
	}
}

// variable is a name in a file of iam/, which stands for whatever a template has there.
var variable = regexp.MustCompile(`\\\$\\\{(\w+)\\\}`)

// fits reports whether a statement of a template is one of iam/, each variable being the same thing
// everywhere.
func fits(pattern, statement any) bool {
	want, got := marshal(pattern), marshal(cfntest.Plain(statement))
	re := variable.ReplaceAllString(regexp.QuoteMeta(want), `(?P<$1>\$$\{[\w.:]+\}|https://[a-z./]+|[A-Za-z0-9_.-]+)`)
	compiled := regexp.MustCompile("^" + re + "$")
	m := compiled.FindStringSubmatch(got)
	if m == nil {
		return false
	}
	values := make(map[string]string)
	for i, name := range compiled.SubexpNames() {
		if v, ok := values[name]; ok && name != "" && v != m[i] {
			return false
		}
		values[name] = m[i]
	}
	return true
}

func marshal(v any) string {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(doc)
}

func policies(t *testing.T, pattern string) map[string][]any {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies in %s: %v", pattern, err)
	}
	found := make(map[string][]any)
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var policy struct {
			Version   string
			Statement []any
		}
		if err := json.Unmarshal(doc, &policy); err != nil || policy.Version != "2012-10-17" ||
			len(policy.Statement) == 0 {
			t.Fatalf("%s: %v", file, err)
		}
		found[filepath.Base(file)] = policy.Statement
	}
	return found
}

// alternatives are policies for what the templates do not use.
var alternatives = []string{"consumer-quarantine-sqs.json", "consumer-quarantine-sqs-operator.json"}

// TestPoliciesAreTheTemplates: what functions and operators may do is what iam/ says, and the other way
// round.
func TestPoliciesAreTheTemplates(t *testing.T) {
	used := make(map[string]bool)
	known := policies(t, "iam/*.json")
	maps.Copy(known, policies(t, "../opener/iam/*.json"))
	maps.Copy(known, policies(t, "../rotation/iam/*.json"))
	for _, file := range []string{"producer.yaml", "consumer.yaml", "../opener/opener.yaml",
		"../rotation/rotation.yaml", webhooks, news} {
		template := read(t, file)
		for _, typ := range []string{"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"} {
			for _, id := range template.OfType(typ) {
				checkRole(t, file+" "+id, template.Resources[id], known, used)
			}
		}
	}
	for name, statements := range known {
		if !slices.Contains(alternatives, name) {
			for i := range statements {
				if !used[fmt.Sprint(name, i)] {
					t.Errorf("no template has statement %d of %s", i, name)
				}
			}
		}
	}
}

func checkRole(t *testing.T, where string, r cfntest.Resource, known map[string][]any, used map[string]bool) {
	t.Helper()
	for _, s := range r.Statements() {
		if s["Action"] == "sts:AssumeRole" {
			continue
		}
		found := false
		for name, statements := range known {
			for i, pattern := range statements {
				if fits(pattern, s) {
					found, used[fmt.Sprint(name, i)] = true, true
				}
			}
		}
		if !found {
			t.Errorf("%s: no file of iam/ allows %v", where, marshal(s))
		}
	}
}

func TestFits(t *testing.T) {
	pattern := map[string]any{"Action": []any{"a", "b"}, "Resource": "${X}/*", "Other": "${X}"}
	good := map[string]any{"Action": []any{"a", "b"}, "Resource": map[string]any{"Fn::Sub": "${B.Arn}/*"},
		"Other": map[string]any{"Fn::GetAtt": []any{"B", "Arn"}}}
	if !fits(pattern, good) {
		t.Error("the same does not fit")
	}
	for name, v := range map[string]any{"Action": []any{"a", "b", "c"}, "Resource": "*", "Other": "${C.Arn}",
		"New": "x"} {
		bad := maps.Clone(good)
		bad[name] = v
		if fits(pattern, bad) {
			t.Errorf("%s %v fits", name, v)
		}
	}
}

// TestReplayTables: they are the one of examples/replay-table.yaml, but for its name, and no consumer can
// write to another's.
func TestReplayTables(t *testing.T) {
	want := maps.Clone(read(t, "../replay-table.yaml").Resources["ReplayTable"].Properties)
	delete(want, "TableName")
	for file, functions := range map[string][]string{"consumer.yaml": {"Billing", "Mailer"},
		webhooks: {"Gateway", "Pushes"}} {
		checkReplayTables(t, read(t, file), want, functions)
	}
}

func checkReplayTables(t *testing.T, template *cfntest.Template, want map[string]any, functions []string) {
	t.Helper()
	for _, name := range functions {
		table := name + "ReplayTable"
		if got := template.Resources[table].Properties; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, not %v", table, got, want)
		}
		if got := cfntest.Plain(cfntest.Get(template.Resources[name].Properties, "Environment", "Variables",
			"REPLAY_TABLE")); got != "${"+table+"}" {
			t.Errorf("%s keeps its claims in %v", name, got)
		}
		for _, s := range template.Resources[name+"Role"].Statements() {
			if arn := fmt.Sprint(s["Resource"]); strings.HasSuffix(arn, "ReplayTable.Arn}") && arn != "${"+
				table+".Arn}" {
				t.Errorf("%s can write to %s", name, arn)
			}
		}
	}
}

// TestQuarantineKeysAreBase64: what CloudFormation makes up is what functions and `sealbus quarantine` read.
func TestQuarantineKeysAreBase64(t *testing.T) {
	for file, want := range map[string]int{"consumer.yaml": 2, "../opener/opener.yaml": 1, webhooks: 1} {
		template := read(t, file)
		ids := slices.DeleteFunc(template.OfType("AWS::SecretsManager::Secret"),
			func(id string) bool { return !strings.HasSuffix(id, "QuarantineKey") })
		if len(ids) != want {
			t.Errorf("%s: the secrets are %v", file, ids)
		}
		for _, id := range ids {
			made := cfntest.Get(template.Resources[id].Properties, "GenerateSecretString")
			length, _ := cfntest.Get(made, "PasswordLength").(int)
			if length%4 != 0 || length/4*3 < consumer.MinQuarantineKey ||
				cfntest.Get(made, "ExcludePunctuation") != true || cfntest.Get(made, "IncludeSpace") != nil {
				t.Errorf("%s %s: %v", file, id, made)
			}
		}
	}
}

// sdkClients are where each service's actions are methods.
var sdkClients = map[string]any{
	"sqs": &sqs.Client{}, "s3": &s3.Client{}, "dynamodb": &dynamodb.Client{}, "events": &eventbridge.Client{},
	"secretsmanager": &secretsmanager.Client{}, "kms": &kms.Client{},
}

// otherActions are those that are not called as they are named, or by no client here.
var otherActions = []string{"s3:ListBucket", "lambda:InvokeFunction", "logs:CreateLogStream",
	"logs:PutLogEvents"}

// TestActionsExist: a misspelt action allows nothing, without an error.
func TestActionsExist(t *testing.T) {
	for _, pattern := range []string{"iam/*.json", "../opener/iam/*.json", "../rotation/iam/*.json"} {
		for name, statements := range policies(t, pattern) {
			for _, s := range statements {
				for _, action := range cfntest.List(cfntest.Get(s, "Action")) {
					service, method, _ := strings.Cut(fmt.Sprint(action), ":")
					client := sdkClients[service]
					exists := client != nil && reflect.ValueOf(client).MethodByName(method).IsValid()
					if !exists && !slices.Contains(otherActions, fmt.Sprint(action)) {
						t.Errorf("%s: there is no action %v", name, action)
					}
				}
			}
		}
	}
}

// TestWindows: what the functions take for the longest way of an event is what queues and rules say.
func TestWindows(t *testing.T) {
	consumers, subscription := read(t, "consumer.yaml"), read(t, "subscription.yaml")
	age := func(template *cfntest.Template, id string) time.Duration {
		target := cfntest.List(template.Resources[id].Properties["Targets"])[0]
		seconds, _ := cfntest.Get(target, "RetryPolicy", "MaximumEventAgeInSeconds").(int)
		return time.Duration(seconds) * time.Second
	}
	forwarded := age(subscription, "Rule")
	async, _ := cfntest.Get(consumers.Resources["Mailer"].Properties, "EventInvokeConfig",
		"MaximumEventAgeInSeconds").(int)
	longest := forwarded + max(age(consumers, "BillingRule"), age(consumers, "MailerRule")+
		time.Duration(async)*time.Second)
	if got := setting(t, consumers, "Billing", "MAX_AGE"); got != longest+5*time.Minute ||
		setting(t, consumers, "Mailer", "MAX_AGE") != got {
		t.Errorf("MAX_AGE is %v, the longest way takes %v", got, longest)
	}
	var kept time.Duration
	for _, id := range []string{"BillingQueue", "BillingDeadLetters"} {
		seconds, _ := consumers.Resources[id].Properties["MessageRetentionPeriod"].(int)
		kept += time.Duration(seconds) * time.Second
	}
	if got := setting(t, consumers, "Billing", "QUEUE_RETENTION"); got != kept {
		t.Errorf("QUEUE_RETENTION is %v, the queues keep for %v", got, kept)
	}
}

func setting(t *testing.T, template *cfntest.Template, function, name string) time.Duration {
	t.Helper()
	text, _ := template.Setting(function, "Environment", "Variables", name).(string)
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s of %s: %v", name, function, err)
	}
	return d
}

// metrics are those that observe/emf writes of deliveries of every outcome: "name dimension,dimension".
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	var out bytes.Buffer
	observer, err := emf.New(&emf.Options{Writer: &out})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, r := range []consumer.Result{
		{Outcome: consumer.Handled, Producer: "orders"},
		{Outcome: consumer.Duplicate, Verdict: &envelope.Error{Reason: envelope.ReasonReplayed}},
		{Outcome: consumer.Quarantined, Verdict: &envelope.Error{Reason: envelope.ReasonModified}},
		{Outcome: consumer.Retry, Verdict: &envelope.Error{Reason: envelope.ReasonStoreUnavailable}},
	} {
		r.Consumer, r.At, r.SignedAt, r.BundleExpires = "c", now, now, now.Add(time.Hour)
		r.Claimed, r.Called, r.Held = true, true, time.Second
		observer.Delivered(t.Context(), r)
	}
	if err := observer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{"SamplesDropped Consumer": true} // after losses only; the package's table has it
	for line := range bytes.Lines(out.Bytes()) {
		collect(t, line, written)
	}
	return written
}

func collect(t *testing.T, line []byte, written map[string]bool) {
	t.Helper()
	var doc struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if err := json.Unmarshal(line, &doc); err != nil {
		t.Fatal(err)
	}
	for _, directive := range doc.AWS.CloudWatchMetrics {
		if directive.Namespace != emf.DefaultNamespace {
			t.Fatalf("namespace %q", directive.Namespace)
		}
		for _, set := range directive.Dimensions {
			for _, m := range directive.Metrics {
				written[m.Name+" "+strings.Join(set, ",")] = true
			}
		}
	}
}

// metricOf is what an alarm, or one of its metrics, is on.
func metricOf(m any) (name string, dimensions map[string]any) {
	dimensions = make(map[string]any)
	var names []string
	for _, d := range cfntest.List(cfntest.Get(m, "Dimensions")) {
		label := fmt.Sprint(cfntest.Get(d, "Name"))
		names = append(names, label)
		dimensions[label] = cfntest.Plain(cfntest.Get(d, "Value"))
	}
	return fmt.Sprint(cfntest.Get(m, "MetricName"), " ", strings.Join(names, ",")), dimensions
}

// TestAlarmsAreOnMetricsThatAreWritten: an alarm on a metric that no program writes is silent for ever.
func TestAlarmsAreOnMetricsThatAreWritten(t *testing.T) {
	written, alarmed := metrics(t), make(map[string]bool)
	template := read(t, "alarms.yaml")
	for _, id := range template.OfType("AWS::CloudWatch::Alarm") {
		p := template.Resources[id].Properties
		on := []any{any(p)}
		for _, m := range cfntest.List(p["Metrics"]) {
			if metric := cfntest.Get(m, "MetricStat", "Metric"); metric != nil {
				on = append(on, metric)
			}
		}
		for _, m := range on {
			if cfntest.Get(m, "Namespace") != emf.DefaultNamespace {
				continue
			}
			name, dimensions := metricOf(m)
			if alarmed[name] = true; !written[name] {
				t.Errorf("%s is on %s, which observe/emf does not write", id, name)
			}
			if dimensions["Consumer"] != "${Consumer}" || dimensions["Outcome"] != nil &&
				dimensions["Outcome"] != string(consumer.Retry) {
				t.Errorf("%s is of %v", id, dimensions)
			}
		}
	}
	for _, name := range []string{"Rejections Consumer,Reason", "Deliveries Consumer,Outcome",
		"BundleSecondsLeft Consumer", "ClaimHeld Consumer"} {
		if !alarmed[name] {
			t.Errorf("no alarm is on %s", name)
		}
	}
}

// TestEveryPermanentReasonIsInOneAlarm reads the sums of alarms.yaml.
func TestEveryPermanentReasonIsInOneAlarm(t *testing.T) {
	in := make(map[envelope.Reason]int)
	template := read(t, "alarms.yaml")
	for _, id := range template.OfType("AWS::CloudWatch::Alarm") {
		summed := 0
		list := cfntest.List(template.Resources[id].Properties["Metrics"])
		for _, m := range list {
			metric := cfntest.Get(m, "MetricStat", "Metric")
			if metric == nil {
				continue
			}
			summed++
			_, dimensions := metricOf(metric)
			in[envelope.Reason(fmt.Sprint(dimensions["Reason"]))]++
		}
		if summed > 10 {
			t.Errorf("%s is on %d metrics: CloudWatch takes 10", id, summed)
		}
		if summed > 0 && cfntest.Get(list[0], "Expression") != sum(summed) {
			t.Errorf("%s is on %v", id, cfntest.Get(list[0], "Expression"))
		}
		p := template.Resources[id].Properties
		if periods, _ := p["EvaluationPeriods"].(int); summed > 0 &&
			(periods < 2 || p["DatapointsToAlarm"] != 1) {
			t.Errorf("%s looks at %v periods, and wants %v: what is late is filled with 0", id, periods,
				p["DatapointsToAlarm"])
		}
	}
	for _, r := range envelope.Reasons() {
		if want := r.Class() == envelope.Permanent; in[r] > 1 || (in[r] == 1) != want {
			t.Errorf("%s, which is %s, is in %d alarms", r, r.Class(), in[r])
		}
	}
}

func sum(n int) string {
	var terms []string
	for i := range n {
		terms = append(terms, fmt.Sprintf("FILL(m%d,0)", i+1))
	}
	return strings.Join(terms, "+")
}

// TestNestedStacks: what consumer.yaml gives to alarms.yaml is what that takes.
func TestNestedStacks(t *testing.T) {
	for _, file := range []string{"consumer.yaml", "../opener/opener.yaml", webhooks} {
		template := read(t, file)
		nested := template.OfType("AWS::CloudFormation::Stack")
		for _, id := range nested {
			p := template.Resources[id].Properties
			child := read(t, filepath.Join(filepath.Dir(file), fmt.Sprint(p["TemplateURL"])))
			want, _ := child.Document["Parameters"].(map[string]any)
			got, _ := p["Parameters"].(map[string]any)
			if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
				t.Errorf("%s %s gives %v", file, id, got)
			}
		}
		functions := slices.DeleteFunc(template.OfType("AWS::Serverless::Function"), func(id string) bool {
			return template.Setting(id, "Environment", "Variables", "QUARANTINE_KEY_SECRET") == nil
		})
		if len(nested) != len(functions) {
			t.Errorf("%s: %d functions consume, %d have alarms", file, len(functions), len(nested))
		}
	}
}

// TestPatterns: what the templates allow by default is what the policy of the walk-through allows.
func TestPatterns(t *testing.T) {
	source := read(t, "central.yaml").Document
	exact := fmt.Sprint(cfntest.Get(source, "Parameters", "OrdersSources", "Default"))
	pattern := fmt.Sprint(cfntest.Get(read(t, "consumer.yaml").Document, "Parameters", "AllowedSources",
		"Default"))
	if !keys.MatchSource([]string{pattern}, exact) {
		t.Errorf("consumers take %s, the bus takes %s", pattern, exact)
	}
	for _, file := range []string{"producer.yaml", "subscription.yaml"} {
		if got := cfntest.Get(read(t, file).Document, "Parameters", "Sources", "Default"); got != exact {
			t.Errorf("%s: %v", file, got)
		}
	}
}
