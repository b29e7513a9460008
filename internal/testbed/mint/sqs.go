package mint

import (
	"crypto/md5" // SQS calls it md5OfBody; nothing relies on it
	"encoding/hex"
	"fmt"
	"strings"
)

// SQSMessage is the n-th message of a batch with which a queue invokes a Lambda function. Its attributes are
// those of every message, and then the further ones.
func SQSMessage(n int, body []byte, queueARN string, further Object) Object {
	sum := md5.Sum(body)
	attributes := append(Object{
		{"ApproximateReceiveCount", `"1"`},
		{"SentTimestamp", `"1545082649183"`},
		{"SenderId", `"AIDAIENQZJOLO23YVJ4VO"`},
		{"ApproximateFirstReceiveTimestamp", `"1545082649185"`},
	}, further...)
	return Object{
		{"messageId", Quote(fmt.Sprintf("message-%d", n))},
		{"receiptHandle", Quote(fmt.Sprintf("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a-%d", n))},
		{"body", Quote(string(body))},
		{"attributes", attributes.String()},
		{"messageAttributes", "{}"},
		{"md5OfBody", Quote(hex.EncodeToString(sum[:]))},
		{"eventSource", `"aws:sqs"`},
		{"eventSourceARN", Quote(queueARN)},
		{"awsRegion", Quote(strings.Split(queueARN, ":")[3])},
	}
}

// SQSBatch is the event that a function gets.
func SQSBatch(messages []Object) []byte {
	records := make([]string, len(messages))
	for i, m := range messages {
		records[i] = m.String()
	}
	return []byte(`{"Records":[` + strings.Join(records, ",") + `]}`)
}
