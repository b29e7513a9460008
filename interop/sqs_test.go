package interop_test

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
)

// startFauxqs starts the emulator of SQS. Its own command listens on every interface, and this does not.
func startFauxqs(tb testing.TB) *server {
	tb.Helper()
	needPackages(tb)
	node, err := exec.LookPath("node")
	if err != nil {
		missing(tb, "Node.js 20 or later is not installed: install it, then run this test again")
	}
	const script = `import { buildApp } from "fauxqs"; buildApp({ logger: false }).listen({ host: "127.0.0.1", port: Number(process.argv[1]) })`
	return startServer(tb, func(port string) *exec.Cmd {
		return exec.Command(node, "--input-type=module", "--eval", script, port)
	})
}

func newQueueClient(s *server) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + s.addr()), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""),
	})
}

// TestQueueContractOfFauxqs runs the contract that internal/localaws keeps on a server that is not our own.
// Where fauxqs 1.9.2 differs from AWS's documentation, the documentation is what internal/localaws does.
func TestQueueContractOfFauxqs(t *testing.T) {
	const prefix = "AWS.SimpleQueueService."
	localawstest.SQS(t, newQueueClient(startFauxqs(t)), &localawstest.Differences{
		Code: func(aws string) string { // AWS has the prefix for some errors only, and an older name for one
			if aws == "QueueAlreadyExists" {
				return prefix + "QueueNameExists"
			}
			return prefix + strings.TrimPrefix(aws, prefix)
		},
		Cases: map[string]string{
			"names and attributes":    "takes every name, guesses FifoQueue from the name, and keeps attributes that do not exist",
			"all of Unicode":          "refuses what is beyond U+FFFF, which the API reference allows",
			"which attributes":        "gives all attributes to who asks for none",
			"refused attributes":      "takes attributes of any number, type and name",
			"refused parameters":      "takes every delay, and a deduplication ID on a standard queue",
			"receipt handles":         "takes every text for a handle that is spent",
			"change what is gone":     "answers MessageNotInflight, which is for a message that is there",
			"batches":                 "deletes by a handle that is garbage, as its single call does",
			"purge twice":             "purges at any time, not once in 60 seconds",
			"dead-letter source":      "does not say where a message was given up, counts the move as a receipt, and takes a dead-letter queue that does not exist",
			"FIFO batch of one group": "gives one message of a group at a time, where AWS gives as many as possible",
			"FIFO expired handle":     "deletes nothing and says nothing, where AWS reports the handle as expired",
		},
	})
}
