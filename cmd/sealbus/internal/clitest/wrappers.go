package clitest

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// CliWrappers are what AWS puts around an event, by the words of --from; beside each, the same in a message
// of SQS.
func CliWrappers(t *testing.T, event string) map[string]string {
	text := func(s string) string { return Wrapped(t, "%s", []string{s}) }
	encoded := base64.StdEncoding.EncodeToString([]byte(event))
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(event), &m); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"sns": `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:111122223333:t","Message":` + text(event) + `}`,
		"on-failure": `{"version":"1.0","requestContext":{},"requestPayload":` + event +
			`,"responseContext":{}}`,
		"sqs":     `[{"messageId":"1","eventSource":"aws:sqs","body":` + text(event) + `}]`,
		"kinesis": `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"data":"` + encoded + `"}}]}`,
		"kafka":   `{"eventSource":"aws:kafka","records":{"t-0":[{"topic":"t","partition":0,"offset":1,"value":"` + encoded + `"}]}}`,
		"logs":    `{"timestamp":1,"ingestionTime":2,"message":` + text(event) + `}`,
		"text-detail": strings.Replace(event, `"detail":`+string(m["detail"]), `"detail":`+
			text(string(m["detail"])), 1),
	}
}
