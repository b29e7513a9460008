package localawstest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func sendEntry(id, body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{Id: aws.String(id), MessageBody: aws.String(body)}
}

func (r *run) sendBatch(url string,
	entries ...types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	return r.client.SendMessageBatch(r.ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(url),
		Entries: entries})
}

// batches: each entry has an answer of its own, under a status of 200.
func batches(r *run) {
	url := r.queue(nil)
	sent, err := r.sendBatch(url, sendEntry("a", "one"), sendEntry("b", "\x00"), sendEntry("c", "three"))
	r.must(err)
	if len(sent.Successful) != 2 || len(sent.Failed) != 1 || *sent.Failed[0].Id != "b" ||
		*sent.Failed[0].Code != "InvalidMessageContents" || !sent.Failed[0].SenderFault {
		r.errorf("sent: %v", sent)
	}
	var got []types.Message
	for range 10 { // a poll may bring fewer than there are
		if got = append(got, r.receive(url, 10)...); len(got) == 2 {
			break
		}
	}
	if text := bodies(got); len(got) != 2 || !strings.Contains(text, "one") ||
		!strings.Contains(text, "three") {
		r.errorf("received %q", text)
		return
	}
	changed, err := r.client.ChangeMessageVisibilityBatch(r.ctx,
		&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(url),
			Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
				{Id: aws.String("1"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 600},
				{Id: aws.String("2"), ReceiptHandle: aws.String("garbage"), VisibilityTimeout: 600},
			}})
	r.must(err)
	if len(changed.Successful) != 1 || len(changed.Failed) != 1 || *changed.Failed[0].Id != "2" ||
		*changed.Failed[0].Code != badHandle {
		r.errorf("changed: %v", changed)
	}
	deleted, err := r.client.DeleteMessageBatch(r.ctx,
		&sqs.DeleteMessageBatchInput{QueueUrl: aws.String(url),
			Entries: []types.DeleteMessageBatchRequestEntry{
				{Id: aws.String("1"), ReceiptHandle: got[0].ReceiptHandle},
				{Id: aws.String("2"), ReceiptHandle: aws.String("garbage")},
				{Id: aws.String("3"), ReceiptHandle: got[1].ReceiptHandle},
			}})
	r.must(err)
	if len(deleted.Successful) != 2 || len(deleted.Failed) != 1 || *deleted.Failed[0].Id != "2" ||
		*deleted.Failed[0].Code != badHandle {
		r.errorf("deleted: %v", deleted)
	}
	r.counts("at the end", url, [3]string{"0", "0", "0"})
}

func refusedBatches(r *run) {
	url := r.queue(nil)
	var eleven []types.SendMessageBatchRequestEntry
	for i := range 11 {
		eleven = append(eleven, sendEntry(fmt.Sprint(i), "x"))
	}
	half := strings.Repeat("x", 600<<10)
	const prefix = "AWS.SimpleQueueService."
	for code, entries := range map[string][]types.SendMessageBatchRequestEntry{
		"EmptyBatchRequest": {}, "TooManyEntriesInBatchRequest": eleven,
		"BatchEntryIdsNotDistinct": {sendEntry("a", "x"), sendEntry("a", "y")},
		"InvalidBatchEntryId":      {sendEntry("a b", "x")},
		"BatchRequestTooLong":      {sendEntry("a", half), sendEntry("b", half)},
	} {
		_, err := r.sendBatch(url, entries...)
		r.refused("sending", err, prefix+code)
	}
	r.counts("after batches that were refused", url, [3]string{"0", "0", "0"})
	one := types.DeleteMessageBatchRequestEntry{Id: aws.String("a"), ReceiptHandle: aws.String("x")}
	for code, n := range map[string]int{"EmptyBatchRequest": 0, "TooManyEntriesInBatchRequest": 11,
		"BatchEntryIdsNotDistinct": 2} {
		_, err := r.client.DeleteMessageBatch(r.ctx,
			&sqs.DeleteMessageBatchInput{QueueUrl: aws.String(url),
				Entries: slices.Repeat([]types.DeleteMessageBatchRequestEntry{one}, n)})
		r.refused("deleting", err, prefix+code)
	}
}
