package localaws

import (
	"fmt"
	"net/http"
	"strings"
)

// sqsAPI is Amazon SQS, at the same URL as EventBridge.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
var sqsAPI = &api{
	target: "AmazonSQS.", contentType: "application/x-amz-json-1.0", iam: "sqs",
	actions: map[string]action{
		"CreateQueue":                  decoded((*Server).createQueue),
		"DeleteQueue":                  decoded((*Server).deleteQueue),
		"GetQueueUrl":                  decoded((*Server).getQueueURL),
		"ListQueues":                   decoded((*Server).listQueues),
		"GetQueueAttributes":           decoded((*Server).getQueueAttributes),
		"SetQueueAttributes":           decoded((*Server).setQueueAttributes),
		"PurgeQueue":                   decoded((*Server).purgeQueue),
		"SendMessage":                  decoded((*Server).sendMessage),
		"SendMessageBatch":             decoded((*Server).sendMessageBatch),
		"ReceiveMessage":               waiting((*Server).receiveMessage),
		"DeleteMessage":                decoded((*Server).deleteMessage),
		"DeleteMessageBatch":           decoded((*Server).deleteMessageBatch),
		"ChangeMessageVisibility":      decoded((*Server).changeMessageVisibility),
		"ChangeMessageVisibilityBatch": decoded((*Server).changeMessageVisibilityBatch),
	},
	throttled: &fault{http.StatusForbidden, sqsShape +
		"RequestThrottled", "Rate exceeded", "RequestThrottled"},
	broken: &fault{http.StatusInternalServerError, "InternalFailure",
		"We encountered an internal error. Please try again.", ""},
	denied: func(s *Server, action string) error {
		return &fault{http.StatusForbidden, coralShape + "AccessDeniedException", fmt.Sprintf(
			"User: %s is not authorized to perform: sqs:%s because no identity-based policy allows the sqs:%[2]s action", s.caller(), strings.ToLower(action)), "AccessDenied"}
	},
}

// The name spaces of error codes.
const (
	sqsShape   = "com.amazonaws.sqs#"
	coralShape = "com.amazon.coral.service#"
)

// oldCodes are the errors that the older protocol calls otherwise.
var oldCodes = map[string]string{
	"QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
	"QueueNameExists":   "QueueAlreadyExists",
}

// dotted are the errors whose code has a prefix in the older protocol.
var dotted = []string{"Batch", "EmptyBatch", "InvalidBatchEntryId", "MessageNotInflight",
	"PurgeQueueInProgress", "TooManyEntries", "UnsupportedOperation"}

// refuseSQS is an error that the service's model has.
func refuseSQS(code, format string, args ...any) *fault {
	f := &fault{http.StatusBadRequest, sqsShape + code, fmt.Sprintf(format, args...), code}
	if old, ok := oldCodes[code]; ok {
		f.query = old
	}
	for _, prefix := range dotted {
		if strings.HasPrefix(code, prefix) {
			f.query = "AWS.SimpleQueueService." + code
		}
	}
	switch code {
	case "ReceiptHandleIsInvalid":
		f.status = http.StatusNotFound
	case "PurgeQueueInProgress":
		f.status = http.StatusForbidden
	}
	return f
}

// invalidValue is the error for a parameter.
func invalidValue(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, coralShape +
		"InvalidParameterValueException", fmt.Sprintf(format, args...), "InvalidParameterValue"}
}

func missingParameter(name string) *fault {
	return &fault{http.StatusBadRequest, coralShape +
		"MissingRequiredParameterException", "The request must contain the parameter " + name +
		".", "MissingParameter"}
}

func noQueue() *fault { return refuseSQS("QueueDoesNotExist", "The specified queue does not exist.") }

// entryFault is an error of one entry of a batch, which has the code of the older protocol.
type entryFault struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

func (f *fault) entry(id string) entryFault { return entryFault{id, f.query, f.message, true} }
