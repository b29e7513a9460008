package wrapper

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/wire"
)

const (
	sealed = `{"specversion":"1.0","id":"1","source":"s","type":"t","dssematerial":"x"}`
	onBus  = `{"version":"0","id":"1","detail-type":"t","source":"s","account":"111122223333","replay-name":"april","detail":` + sealed + `}`
)

func quote(text string) string {
	doc, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(doc)
}

func base(text string) string { return quote(base64.StdEncoding.EncodeToString([]byte(text))) }

// envelope is each wrapper around one event, in the shapes that AWS documents.
func wrappers(event string) map[string]string {
	sns := `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:111122223333:t","Message":` + quote(event) + `,"Timestamp":"2026-03-01T12:00:00.000Z","Signature":"AA=="}`
	kinesis := `{"eventSource":"aws:kinesis","eventID":"1","kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"p","sequenceNumber":"1","data":` + base(event) + `}}`
	kafka := `{"topic":"t","partition":0,"offset":15,"timestamp":1,"timestampType":"CREATE_TIME","key":"aw==","value":` + base(event) + `,"headers":[]`
	sqs := `{"messageId":"1","receiptHandle":"h","body":` + quote(event) +
		`,"attributes":{},"eventSource":"aws:sqs"}`
	return map[string]string{
		"sns": sns,
		"sns/lambda": `{"Records":[{"EventSource":"aws:sns","EventVersion":"1.0","Sns":` + sns +
			`}]}`,
		"on-failure":        `{"version":"1.0","timestamp":"t","requestContext":{"condition":"RetriesExhausted"},"requestPayload":` + event + `,"responseContext":{"statusCode":200},"responsePayload":{"errorMessage":"x"}}`,
		"on-failure/aged":   `{"version":"1.0","requestContext":{"condition":"EventAgeExceeded"},"requestPayload":` + event + `}`,
		"sqs/pipe":          "[" + sqs + "]",
		"sqs/pipe to queue": sqs,
		"sqs/receive":       `{"MessageId":"1","ReceiptHandle":"h","Body":` + quote(event) + `}`,
		"kinesis":           kinesis,
		"kinesis/lambda":    `{"Records":[` + kinesis + `]}`,
		"kinesis/pipe": `[{"eventSource":"aws:kinesis","partitionKey":"p","sequenceNumber":"1","data":` +
			base(event) + `}]`,
		"kinesis/GetRecords": `{"Records":[{"SequenceNumber":"1","PartitionKey":"p","Data":` + base(event) +
			`}],"NextShardIterator":"x"}`,
		"kafka":        kafka + `}`,
		"kafka/lambda": `{"eventSource":"aws:kafka","eventSourceArn":"a","bootstrapServers":"b","records":{"t-0":[` + kafka + `}]}}`,
		"kafka/self-managed": `{"eventSource":"SelfManagedKafka","bootstrapServers":"b","records":{"t-0":[` +
			kafka + `}]}}`,
		"kafka/pipe": `[` + kafka + `,"eventSource":"aws:kafka","eventSourceKey":"t-0"}]`,
		"logs":       `{"timestamp":1,"message":` + quote(event) + `,"ingestionTime":2}`,
		"logs/filter": `{"events":[{"logStreamName":"s","timestamp":1,"message":` + quote(event) +
			`,"ingestionTime":2,"eventId":"3"}],"searchedLogStreams":[]}`,
		"logs/subscription": `{"messageType":"DATA_MESSAGE","owner":"o","logGroup":"g","logEvents":[{"id":"1","timestamp":1,"message":` + quote(event) + `}]}`,
	}
}

func TestOpen(t *testing.T) {
	for _, event := range []string{sealed, onBus} {
		for name, doc := range wrappers(event) {
			kind, _, _ := strings.Cut(name, "/")
			for _, doc := range []string{doc, "\n " + doc + "\r\n"} {
				o, p := Open([]byte(doc))
				if p != nil || o == nil || o.Kind != Kind(kind) || string(o.Body) != event ||
					o.EventBridge != (event == onBus) {
					t.Errorf("%s: %+v, %v", name, o, p)
				}
			}
		}
	}
}

func TestTextDetail(t *testing.T) {
	o, p := Open([]byte(strings.Replace(onBus, sealed, quote(sealed), 1)))
	if p != nil || o == nil || o.Kind != TextDetail || !o.EventBridge ||
		!strings.HasSuffix(string(o.Body), `"detail":`+sealed+`}`) {
		t.Fatalf("%+v, %v", o, p)
	}
	for _, doc := range []string{quote(quote(sealed)), quote("x"), quote("[]"), quote(sealed + sealed),
		quote(`{"a":1,"a":2}`)} {
		if o, p := Open([]byte(strings.Replace(onBus, sealed, doc, 1))); o != nil || p == nil {
			t.Errorf("detail %s: %+v, %v", doc, o, p)
		}
	}
}

// A sealed event, a quarantine record and a PutEvents entry are what they are, whatever else is in them.
func TestEventWins(t *testing.T) {
	for name, doc := range wrappers(onBus) {
		if doc[0] != '{' {
			continue
		}
		for _, member := range []string{
			`"specversion":"1.0"`, `"unverified_id":"x"`, `"Detail":"{}"`, `"detail-type":"t","detail":{}`,
			`"detail-type":"t"`, `"spec\u0076ersion":"1.0"`,
		} {
			for _, doc := range []string{"{" + member + "," + doc[1:], doc[:len(doc)-1] + "," + member +
				"}"} {
				if o, p := Open([]byte(doc)); o != nil || p != nil {
					t.Errorf("%s with %s: %+v, %v", name, member, o, p)
				}
			}
		}
	}
}

// Nothing that could be understood in two ways is opened.
func TestHostile(t *testing.T) {
	all := wrappers(onBus)
	with := func(name, member string) string { return strings.Replace(all[name], "{", "{"+member+",", 1) }
	other := strings.Replace(onBus, "111122223333", "999988887777", 1)
	for name, doc := range map[string]string{
		"two messages in SNS": with("sns", `"Message":`+quote(other)),
		"an escaped second":   with("sns", `"Mess\u0061ge":`+quote(other)),
		"two payloads":        with("on-failure", `"requestPayload":`+other),
		"SNS and OnFailure":   with("sns", `"requestContext":{},"requestPayload":`+other),
		"SNS and a body":      with("sns", `"body":`+quote(other)),
		"body and Body":       with("sqs/pipe to queue", `"Body":`+quote(other)),
		"Kinesis twice":       with("kinesis", `"data":`+base(other)+`,"sequenceNumber":"1"`),
		"Kinesis and Kafka": strings.Replace(with("kinesis", `"topic":"t","offset":1,"value":`+
			base(other)), `"eventSource":"aws:kinesis",`, "", 1),
		"a record and Records": with("kinesis/lambda", `"body":`+quote(other)),
		"Records and Messages": with("sns/lambda", `"Messages":[{"Body":`+quote(other)+`}]`),
		"Records and logs":     with("logs/filter", `"Records":[`+all["kinesis"]+`]`),
		"two in the SNS record": strings.Replace(all["sns/lambda"], `"Sns":{`, `"Sns":{"Message":`+
			quote(other)+`,`, 1),
		"two in Kinesis": strings.Replace(all["kinesis"], `"kinesis":{`, `"kinesis":{"data":`+
			base(other)+`,`, 1),
		"a record of two services": `{"Records":[` + all["kinesis"] + `,` + all["sqs/pipe to queue"] + `]}`,
		"two records":              `{"Records":[` + all["kinesis"] + `,` + all["kinesis"] + `]}`,
		"a pipe of two":            `[` + all["sqs/pipe to queue"] + `,` + all["sqs/pipe to queue"] + `]`,
		"a batch of SQS":           `{"Records":[` + all["sqs/pipe to queue"] + `]}`,
		"an answer of SQS":         `{"Messages":[` + all["sqs/receive"] + `]}`,
		"OnFailure of a batch": strings.Replace(all["on-failure"], onBus, `{"Records":[`+
			all["sqs/pipe to queue"]+`]}`, 1),
		"OnFailure of SNS":  strings.Replace(all["on-failure"], onBus, all["sns/lambda"], 1),
		"OnFailure of many": strings.Replace(all["on-failure"], onBus, "["+onBus+"]", 1),
		"OnFailure of text": strings.Replace(all["on-failure"], onBus, quote(onBus), 1),
		"SNS in SNS":        strings.Replace(all["sns"], quote(onBus), quote(all["sns"]), 1),
		"SNS in a pipe":     strings.Replace(all["sqs/pipe"], quote(onBus), quote(all["sns"]), 1),
		"text detail in SNS": strings.Replace(all["sns"], quote(onBus),
			quote(strings.Replace(onBus, sealed, quote(sealed), 1)), 1),
		"a record in SNS": strings.Replace(all["sns"], quote(onBus),
			quote(`{"unverified_id":"x"}`), 1),
		"both formats in SNS": strings.Replace(all["sns"], quote(onBus),
			quote(`{"specversion":"1.0",`+onBus[1:]), 1),
		"two events in SNS":          strings.Replace(all["sns"], quote(onBus), quote(onBus+onBus), 1),
		"an array in SNS":            strings.Replace(all["sns"], quote(onBus), quote("["+onBus+"]"), 1),
		"a lone surrogate in SNS":    strings.Replace(all["sns"], `"Message":"`, `"Message":"\ud800`, 1),
		"base64 without padding":     strings.Replace(all["kinesis"], base(onBus), `"e30"`, 1),
		"base64 with trailing bits":  strings.Replace(all["kinesis"], base(onBus), `"e31="`, 1),
		"base64 with a line break":   strings.Replace(all["kinesis"], `"data":"`, `"data":"\n`, 1),
		"base64 of another alphabet": strings.Replace(all["kinesis"], base(onBus), `"e30-"`, 1),
		"base64 twice": strings.Replace(all["kinesis"], base(onBus),
			quote(base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(onBus))))), 1),
		"data that is no base64": strings.Replace(all["kinesis"], base(onBus), quote(onBus), 1),
		"a large value": strings.Replace(all["kafka"], base(onBus),
			base(strings.Repeat("x", maxText+10)), 1),
	} {
		o, p := Open([]byte(doc))
		if o != nil {
			t.Errorf("%s: opened %s as %s", name, o.Body, o.Kind)
		}
		if p != nil && (p.Cause == "" || p.Fix == "" || strings.Contains(p.Cause+p.Fix, "999988887777")) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A document without an event has a Problem that names it and says what to do.
func TestNamed(t *testing.T) {
	all := wrappers(onBus)
	for doc, want := range map[string]string{
		`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}`: "a notification of S3",
		`{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"t","Bucket":"b"}`:                                                   "a notification of S3",
		`{"key1":"value1","key2":"value2","key3":"value3"}`:                                                                        "test event of the Lambda console",
		strings.Replace(all["sqs/pipe to queue"], quote(onBus), `"Hello from SQS!"`,
			1): "test event of the Lambda console",
		strings.Replace(all["kinesis"], base(onBus), base("Hello, this is a test 123."),
			1): "test event of the Lambda console",
		`{}`:              "while a queue gives no message",
		`{"Messages":[]}`: "no messages in it",
		`{"Records":[]}`:  "no messages in it",
		`{"Type":"SubscriptionConfirmation","TopicArn":"arn:aws:sns:eu-west-1:111122223333:t","SubscribeURL":"https://x"}`: "confirm a subscription",
		`{"requestContext":{},"responseContext":{},"version":"1.0","KinesisBatchInfo":{"shardId":"s"}}`:                    "where the events are in the stream",
		`{"awslogs":{"data":"H4sI"}}`:                                 "compressed",
		`{"messageType":"CONTROL_MESSAGE","logEvents":[]}`:            "tests whether it reaches",
		`{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{}}]}`:  "DynamoDB",
		`{"deliveryStreamArn":"arn:aws:firehose:r:a:d","records":[]}`: "Amazon Data Firehose",
		`{"eventSource":"aws:mq","messages":[]}`:                      "Amazon MQ",
		`{"Records":[` + sealed +
			`]}`: "send it on its own",
		`{"Records":[1]}`: "no array of objects",
		strings.Replace(all["sns"], quote(onBus), quote("hello"),
			1): "no JSON object",
		strings.Replace(all["sns"], quote(onBus), quote(`{"a":1}`),
			1): `neither "specversion" nor "detail-type"`,
		strings.Replace(all["sns"], quote(onBus), `""`,
			1): "nothing in it",
		strings.Replace(all["sns"], quote(onBus), quote(all["sns"]),
			1): "no more than one wrapper",
		strings.Replace(all["kinesis"], base(onBus), base("\x1f\x8b\x08"), 1): "gzip",
		strings.Replace(all["kinesis"], base(onBus), base("\xf3\x89\x9a\xc2x"),
			1): "aggregated",
		strings.Replace(all["on-failure"], onBus, `{"Records":[`+all["sqs/pipe to queue"]+
			`]}`, 1): "no more than one wrapper",
		`[` + strings.Repeat(all["kinesis"]+",", 2) + all["kinesis"] +
			`]`: "3 messages in one",
		`{"Records":[` + strings.Repeat(all["kinesis"]+",", MaxItems/10) + all["kafka"] +
			`]}`: "several services",
	} {
		if o, p := Open([]byte(doc)); o != nil || p == nil || !strings.Contains(p.Cause, want) ||
			p.Fix == "" {
			t.Errorf("%.200s: %+v, %+v, want %q", doc, o, p, want)
		}
	}
	for _, doc := range []string{``, `null`, `[]`, `[1]`, `"x"`, `{"a":1}`, `{"events":[]}`,
		`{"message":"x"}`, `{"data":"eA=="}`, "[" + onBus + "]", `{"Type":"Notification"`} {
		if o, p := Open([]byte(doc)); o != nil || p != nil {
			t.Errorf("%s is known: %+v, %v", doc, o, p)
		}
	}
}

// Limits: of members, of items, of the whole.
func TestLimits(t *testing.T) {
	kinesis := wrappers(`{}`)["kinesis"]
	for n, want := range map[int]bool{MaxItems: true, MaxItems + 1: false} {
		f, ok := Look([]byte(`{"Records":[` + strings.Repeat(kinesis+",", n-1) + kinesis + `]}`))
		if !ok || (len(f.Items) == n) != want || (f.Problem == nil) != want {
			t.Errorf("%d records: %d items, %v", n, len(f.Items), f.Problem)
		}
	}
	var members strings.Builder
	for i := range maxMembers {
		fmt.Fprintf(&members, `"m%d":0,`, i)
	}
	if _, ok := Look([]byte("{" + members.String() + kinesis[1:])); ok {
		t.Error("more members than are looked at, and it is known")
	}
	large := strings.Replace(wrappers("EVENT")["on-failure"], "EVENT", `{"specversion":"1.0","x":"`+
		strings.Repeat("x", maxText)+`"}`, 1)
	if o, p := Open([]byte(large)); o != nil || p == nil || !p.Large {
		t.Errorf("a large event: %v", p)
	}
	if _, p := Open([]byte(strings.Repeat(" ", MaxMessage) + kinesis)); p != nil {
		t.Errorf("a large message: %v", p)
	}
	if maxText < wire.MaxEvent {
		t.Error("the largest event does not fit")
	}
}

// Without its wrapper's word an event has neither account nor replay, and is otherwise the same.
func TestAnonymous(t *testing.T) {
	for _, event := range []string{onBus, strings.Replace(onBus, `"account"`, `"\u0061ccount"`, 1),
		`{ "replay-name" : 1 ,"detail-type":"t","source":"s","detail":` + sealed + `}`} {
		got := (&Opened{Body: []byte(event), EventBridge: true}).Anonymous()
		var was, is map[string]json.RawMessage
		if json.Unmarshal(got, &is) != nil || json.Unmarshal([]byte(event), &was) != nil {
			t.Fatalf("%s", got)
		}
		delete(was, "account")
		delete(was, "replay-name")
		if len(is) != len(was) {
			t.Errorf("%s", got)
		}
		for name, v := range was {
			if string(is[name]) != string(v) {
				t.Errorf("%s is %s, was %s", name, is[name], v)
			}
		}
	}
	if got := (&Opened{Body: []byte(`{"account":"1","account":"2"}`),
		EventBridge: true}).Anonymous(); got != nil {
		t.Errorf("two accounts: %s", got)
	}
	if got := (&Opened{Body: []byte(sealed)}).Anonymous(); string(got) != sealed {
		t.Errorf("a CloudEvent: %s", got)
	}
}
