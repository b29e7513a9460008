package org

import (
	"crypto/md5" // what SQS calls md5OfBody; nothing relies on it
	"encoding/hex"
	"fmt"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/mint"
)

// EventBridge is a sealed event as EventBridge delivers it, from Account.
func EventBridge(sealed *envelope.Sealed, layout envelope.Layout) ([]byte, error) {
	entry, err := sealed.EventBridge(layout)
	if err != nil {
		return nil, err
	}
	return []byte(mint.Delivery(entry.Source, entry.DetailType, Account, string(entry.Detail)).String()), nil
}

// SQS is the event with which SQS invokes a Lambda function, a message for each body. The messages are
// called message-1, message-2 and so on.
func SQS(bodies ...[]byte) []byte {
	records := ""
	for i, body := range bodies {
		sum := md5.Sum(body)
		if i > 0 {
			records += ","
		}
		records += mint.Object{
			{Name: "messageId", Raw: mint.Quote(fmt.Sprintf("message-%d", i+1))},
			{Name: "receiptHandle", Raw: mint.Quote(fmt.Sprintf("receipt-%d", i+1))},
			{Name: "body", Raw: mint.Quote(string(body))},
			{Name: "attributes", Raw: `{"ApproximateReceiveCount":"1","SentTimestamp":"1795262395000","SenderId":"AROAEXAMPLE","ApproximateFirstReceiveTimestamp":"1795262395100"}`},
			{Name: "messageAttributes", Raw: "{}"},
			{Name: "md5OfBody", Raw: mint.Quote(hex.EncodeToString(sum[:]))},
			{Name: "eventSource", Raw: `"aws:sqs"`},
			{Name: "eventSourceARN", Raw: mint.Quote("arn:aws:sqs:eu-central-1:" + Account + ":events")},
			{Name: "awsRegion", Raw: `"eu-central-1"`},
		}.String()
	}
	return []byte(mint.Object{{Name: "Records", Raw: "[" + records + "]"}}.String())
}
