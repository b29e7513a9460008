package localaws_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
)

// TestQueueContract runs against the fake, or against whatever AWS_ENDPOINT_URL_SQS names.
func TestQueueContract(t *testing.T) {
	if url := os.Getenv("AWS_ENDPOINT_URL_SQS"); url != "" {
		localawstest.SQS(t, newQueueClient(url), nil)
		return
	}
	for _, kind := range []string{"all", keptWorld + "all"} {
		t.Run(kind, func(t *testing.T) {
			localawstest.SQS(t, newQueueClient(newWorld(t, nil).server.URL()), nil)
		})
	}
}

func newQueueClient(url string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(url), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}
