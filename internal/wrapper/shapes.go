package wrapper

import (
	"bytes"
	"maps"
	"slices"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// one recognises an object that holds one message.
func (m members) one() (f Found, ok bool) {
	if m.event() {
		return Found{}, false
	}
	for i := range shapes {
		s := &shapes[i]
		switch {
		case !s.is(m):
		case ok:
			return ambiguous, true
		default:
			item := s.item(m)
			f, ok = Found{Kind: s.kind, Items: []Item{item}}, true
			if item.Problem != nil {
				f = Found{Problem: item.Problem, Several: s.some}
			}
		}
	}
	return f, ok
}

var ambiguous = Found{Problem: problem(
	"send the event that was sealed, or the one wrapper that a service put around it",
	"it has the members of two wrappers at once, and neither is opened")}

// list recognises an object that holds a list of messages.
func (m members) list() (f Found, ok bool) {
	var lists []Found
	// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, -sns, -kinesis, -ddb, and GetRecords;
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
	for _, name := range [...]string{"Records", "Messages"} {
		if m.has(name, '[') {
			l, _ := readList([][]byte{m[name]}, nil, problem("give the messages as AWS delivers them",
				"it is no record of a service that is known, or is an event itself: send it on its own"))
			l.Batch = l.Kind == SQS
			lists = append(lists, l)
		}
	}
	if m.has("records", '{') && m.from("aws:kafka", "SelfManagedKafka") { // a list for each partition of a topic
		topics, isObject := readMembers(m["records"])
		arrays := [][]byte{nil} // no array: malformed
		if isObject {
			arrays = arrays[:0]
			for _, topic := range slices.Sorted(maps.Keys(topics)) {
				arrays = append(arrays, topics[topic])
			}
		}
		l, _ := readList(arrays, []Kind{Kafka},
			problem("give the records as Lambda delivers them", "it is no record of Kafka"))
		lists = append(lists, l)
	}
	// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html and
	// API_FilterLogEvents.html. Documents of other programs have "events", too.
	control := m.is("messageType", "CONTROL_MESSAGE")
	areLogs := control || m.is("messageType", "DATA_MESSAGE") || m.has("searchedLogStreams", 0) ||
		m.has("nextToken", 0) || m.has("nextForwardToken", 0)
	for _, name := range [...]string{"events", "logEvents"} {
		if !areLogs || !m.has(name, '[') {
			continue
		}
		l := Found{Problem: problem("ignore it",
			"CloudWatch Logs tests whether it reaches its destination: no event is in it")}
		if !control {
			l, _ = readList([][]byte{m[name]}, []Kind{Logs},
				problem("give the log events as CloudWatch Logs has them", "it is no log event"))
		}
		lists = append(lists, l)
	}
	if len(lists) == 0 {
		return Found{}, false
	}
	if _, also := m.one(); also || len(lists) > 1 {
		return Found{Problem: ambiguous.Problem, Several: true}, true
	}
	return lists[0], true
}

// readList reads arrays of records of these kinds; nil = of any kind. A record of another kind has the
// Problem unfit; if that is nil, the document is not known. If no record holds a message, the list has the
// Problem of the first.
func readList(arrays [][]byte, kinds []Kind, unfit *Problem) (f Found, known bool) {
	for _, array := range arrays {
		r := jsontext.NewDecoder(array)
		for a := r.Array(); r.Element(&a); {
			m, isObject := readMembers(r.ReadSpan())
			if !isObject {
				r.Failf("no object")
				break
			}
			one, ok := m.one()
			if !ok && slices.Contains(kinds, Logs) && m.has("message", '"') {
				// GetLogEvents gives fewer members when asked to
				one, ok = Found{Kind: Logs, Items: []Item{m.textItem("message")}}, true
			}
			if !ok || one.Problem == nil && kinds != nil && !slices.Contains(kinds, one.Kind) {
				if unfit == nil {
					return Found{}, false
				}
				one = Found{Problem: unfit}
			}
			if !f.add(one) {
				return f, true
			}
		}
		if r.End() != nil {
			return Found{Several: true, Problem: problem("give the messages as AWS delivers them",
				"its list of messages is no array of objects with unique members")}, unfit != nil
		}
	}
	switch {
	case len(f.Items) == 0:
		return Found{Problem: problem(
			"wait for messages, as with `aws sqs receive-message --wait-time-seconds 20`",
			"no messages in it")}, unfit != nil
	case f.Kind == "":
		return Found{Problem: f.Items[0].Problem, Several: f.Several}, true
	}
	return f, true
}

// add adds one record to a list, and reports whether more may follow.
func (f *Found) add(one Found) bool {
	items := one.Items
	if one.Problem != nil {
		items = []Item{{Problem: one.Problem}}
	}
	switch {
	case one.Kind != "" && f.Kind != "" && one.Kind != f.Kind:
		*f = Found{Several: true, Problem: problem("give the messages of one service at a time",
			"a list of records of several services")}
		return false
	case len(f.Items)+len(items) > MaxItems:
		*f = Found{Several: true, Problem: problem("give them in parts",
			"more than %d messages in one list", MaxItems)}
		f.Problem.Large = true
		return false
	case one.Kind != "":
		f.Kind = one.Kind
	}
	f.Items, f.Several = append(f.Items, items...), f.Several || one.Several
	return true
}

// testEvent is the Problem of the test events that the Lambda console offers.
var testEvent = problem("test the function with a delivery that was saved, or with awslambdatest",
	"this is a test event of the Lambda console, and holds no event")

// event reports whether the object is an event, a quarantine record or an entry of PutEvents itself. Then it
// is no wrapper, whatever other members it has.
func (m members) event() bool {
	return m.has("specversion", 0) || m.has("unverified_id", 0) || m.has("Detail", 0) ||
		m.has("detail-type", 0) && !m.has("detail", '"')
}

// shape is one form of a wrapper around one message.
type shape struct {
	kind Kind // "" = it holds no message that could be opened
	is   func(members) bool
	item func(members) Item
	some bool // kind is "", but it may hold events, which are not opened here
}

// opened is a shape whose message is taken out.
func opened(kind Kind, item func(members) Item, is func(members) bool) shape {
	return shape{kind: kind, is: is, item: item}
}

// named is a shape that is known, and is not opened.
func named(p *Problem, is func(members) bool) shape {
	return shape{is: is, item: func(members) Item { return Item{Problem: p} }}
}

// texted and encoded take the message out of a member that is a string, or base64.
func texted(name string) func(members) Item { return func(m members) Item { return m.textItem(name) } }
func encoded(name string) func(members) Item {
	return func(m members) Item { return m.base64Item(name) }
}

// shapes are all that are known, each with the page that documents it.
var shapes = slices.Concat(envelopes, streams, others)

var envelopes = []shape{
	// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
	opened(SNS, texted("Message"), func(m members) bool {
		return m.is("Type", "Notification") && m.has("TopicArn", '"') && m.has("Message", '"')
	}),
	named(problem("confirm the subscription in SNS, if you want it; nothing is fetched here",
		"SNS asks to confirm a subscription: this is no event"), func(m members) bool {
		return m.has("TopicArn", '"') &&
			(m.is("Type", "SubscriptionConfirmation") || m.is("Type", "UnsubscribeConfirmation"))
	}),
	// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
	opened(SNS, snsItem, func(m members) bool { return m.is("EventSource", "aws:sns") && m.has("Sns", '{') }),

	// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
	opened(OnFailure, requestItem, func(m members) bool {
		return m.has("requestContext", '{') && m.has("requestPayload", 0)
	}),
	// https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
	named(problem("read the records from the stream, at the numbers that it names",
		"the record of a batch that failed: it says where the events are in the stream, and holds none",
	), func(m members) bool {
		return m.has("requestContext", '{') && (m.has("KinesisBatchInfo", '{') ||
			m.has("DDBStreamBatchInfo", '{') || m.has("KafkaBatchInfo", '{'))
	}),

	// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html: Detail is an
	// object
	opened(TextDetail, detailItem, func(m members) bool {
		return m.has("detail-type", '"') && m.has("source", '"') && m.has("detail", '"')
	}),
}

var streams = []shape{
	// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, and without eventSource: an answer of
	// ReceiveMessage
	opened(SQS, texted("body"), func(m members) bool { return m.has("body", '"') && m.from("aws:sqs", "") }),
	opened(SQS, texted("Body"), func(m members) bool { return m.has("Body", '"') && m.from("aws:sqs", "") }),

	// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
	opened(Kinesis, kinesisItem, func(m members) bool {
		return m.has("kinesis", '{') && m.from("aws:kinesis", "")
	}),
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-kinesis.html
	opened(Kinesis, encoded("data"), func(m members) bool {
		return m.has("data", '"') && m.has("sequenceNumber", '"') && m.from("aws:kinesis", "")
	}),
	// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html
	opened(Kinesis, encoded("Data"), func(m members) bool {
		return m.has("Data", '"') && m.has("SequenceNumber", '"') && m.has("PartitionKey", '"')
	}),

	// https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html
	opened(Kafka, encoded("value"), func(m members) bool {
		return m.has("value", '"') && m.has("topic", '"') && m.has("offset", 0) &&
			m.from("aws:kafka", "SelfManagedKafka", "")
	}),

	// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilteredLogEvent.html
	opened(Logs, texted("message"), func(m members) bool {
		return m.has("message", '"') && m.has("timestamp", 0) &&
			(m.has("ingestionTime", 0) || m.has("eventId", 0))
	}),
}

var others = []shape{
	// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/logs/SubscriptionFilters.html
	named(problem("unpack it: jq -r .awslogs.data | base64 -d | gunzip",
		"the compressed log data of a CloudWatch Logs subscription, which is not unpacked here",
	), func(m members) bool { return m.has("awslogs", '{') }),
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
	named(problem("read the object, and open what is in it: aws s3 cp s3://BUCKET/KEY - | sealbus open",
		"a notification of S3: it names an object, which is not fetched, and holds no event",
	), func(m members) bool {
		return m.has("s3", '{') && m.from("aws:s3") || m.is("Service", "Amazon S3") &&
			m.is("Event", "s3:TestEvent")
	}),
	// https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
	named(problem("send the event itself", "a change in a DynamoDB table, which holds no event"),
		func(m members) bool { return m.has("dynamodb", '{') && m.from("aws:dynamodb") }),
	// https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
	some(named(problem("give the messages themselves, decoded",
		"a batch of Amazon MQ, which is not opened here"), func(m members) bool {
		return m.from("aws:mq", "aws:rmq") && (m.has("messages", 0) || m.has("rmqMessagesByQueue", 0))
	})),
	// https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html
	some(named(problem("give the records themselves, decoded",
		"a batch of Amazon Data Firehose, which is not opened here"),
		func(m members) bool { return m.has("deliveryStreamArn", '"') && m.has("records", '[') })),

	named(testEvent, func(m members) bool {
		return len(m) == 3 && m.is("key1", "value1") && m.is("key2", "value2") && m.is("key3", "value3")
	}),
	named(problem("receive again, with --wait-time-seconds 20; or send an event",
		"an empty object, which holds no event: SQS answers so while a queue gives no message",
	), func(m members) bool { return len(m) == 0 }),
}

func some(s shape) shape {
	s.some = true
	return s
}

// from reports whether the record says that it is of one of these sources; "" = it need not say.
func (m members) from(sources ...string) bool {
	text, ok := m.text("eventSource")
	for _, s := range sources {
		if ok && string(text) == s || s == "" && !m.has("eventSource", 0) {
			return true
		}
	}
	return false
}

func snsItem(m members) Item {
	sns, ok := m.object("Sns")
	if !ok || !sns.has("Message", '"') {
		return Item{Problem: problem("give the notification as SNS delivers it",
			"an SNS record without a message")}
	}
	return sns.textItem("Message")
}

func kinesisItem(m members) Item {
	record, ok := m.object("kinesis")
	if !ok || !record.has("data", '"') {
		return Item{Problem: problem("give the record as Lambda delivers it",
			"a record of Kinesis without data")}
	}
	return record.base64Item("data")
}

func requestItem(m members) Item {
	if !m.has("requestPayload", '{') {
		return Item{Problem: problem("look for the event where it came from: "+
			"Lambda leaves out a payload that is too large for the destination",
			"its requestPayload is no JSON object")}
	}
	return Item{Text: m["requestPayload"]}
}

// detailItem is the EventBridge event with its detail as the object that it should have been. A string in the
// string is not unpacked again.
func detailItem(m members) Item {
	text, ok := m.text("detail")
	text = bytes.Trim(text, " \t\r\n")
	if inner, valid := readMembers(text); !ok || !valid || inner == nil {
		return Item{Problem: problem("put the event into detail as a JSON object, not as text",
			"its detail is a string, and no JSON object is in it")}
	}
	doc := []byte{'{'}
	for _, name := range [...]string{"source", "detail-type", "account", "replay-name"} {
		if v, ok := m[name]; ok {
			doc = append(append(append(append(doc, '"'), name...), `":`...), v...)
			doc = append(doc, ',')
		}
	}
	doc = append(append(doc, `"detail":`...), text...)
	return Item{Text: append(doc, '}')}
}

// members are the members of one object, as they stand, of which none is there twice.
type members map[string][]byte

// readMembers reads the top level of an object only. A nested value is checked when it is taken. Member names
// match exactly.
func readMembers(doc []byte) (members, bool) {
	m := members{}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		if len(m) == maxMembers {
			return nil, false
		}
		m[string(obj.Name)] = r.ReadSpan()
	}
	return m, r.End() == nil
}

// has reports whether there is such a member, whose value begins with that byte (0 = any).
func (m members) has(name string, kind byte) bool {
	v, ok := m[name]
	return ok && len(v) > 0 && (kind == 0 || v[0] == kind)
}

// text is the value of a member that is a string of strict JSON.
func (m members) text(name string) ([]byte, bool) {
	text, err := jsontext.AppendUnquote(nil, m[name])
	return text, err == nil
}

// is reports whether a member is that string.
func (m members) is(name, want string) bool {
	text, ok := m.text(name)
	return ok && string(text) == want
}

// object is the value of a member that is an object.
func (m members) object(name string) (members, bool) {
	if !m.has(name, '{') {
		return nil, false
	}
	return readMembers(m[name])
}

// textItem is the message in a member that is a string.
func (m members) textItem(name string) Item {
	text, ok := m.text(name)
	if !ok {
		return Item{Problem: problem("look for what changed it on its way",
			"its %q is no string of strict JSON", name)}
	}
	return Item{Text: text}
}

// base64Item is the message in a member that is base64: in the one spelling that a value has.
func (m members) base64Item(name string) Item {
	encoded, ok := m.text(name)
	switch {
	case !ok:
		return Item{Problem: problem("look for what changed it on its way",
			"its %q is no string of strict JSON", name)}
	case len(encoded) > maxText/3*4+4:
		p := problem("send large data by reference (dataref), or split it", "it holds more than %d bytes",
			maxText)
		p.Large = true
		return Item{Problem: p}
	}
	text, err := jsontext.Base64.AppendDecode(nil, encoded)
	if err != nil {
		return Item{Problem: problem("give the record as AWS delivers it", "its %q is not strict base64",
			name)}
	}
	return Item{Text: text}
}
