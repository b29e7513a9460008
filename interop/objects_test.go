package interop_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
)

// TestObjectContractOfGofakes3 runs the contract that internal/localaws keeps on a server of other people.
// Where gofakes3 1.2.0 differs from AWS's documentation, internal/localaws follows the documentation.
func TestObjectContractOfGofakes3(t *testing.T) {
	server := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(server.Close)
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true, Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""),
	})
	localawstest.S3(t, client, &localawstest.Differences{
		Cases: map[string]string{
			"an object":            "forgets Cache-Control",
			"odd keys":             "does not encode keys in a list, though it is asked to",
			"conditional reads":    "passes over If-Match",
			"conditional writes":   "answers PreconditionFailed where there is nothing to replace",
			"checksums":            "compares none but MD5",
			"chunks with trailers": "takes the frame of aws-chunked for content",
			"folders":              "lists a folder again on the next page",
			"another owner":        "passes over the owner that is expected",
		},
	})
}
