package main

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// The host in the URL of a queue is called where it is not the ordinary endpoint; what is configured comes
// first.
func TestQueueBase(t *testing.T) {
	const ordinary, vpc = "https://sqs.eu-west-1.amazonaws.com/111122223333/q", "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/111122223333/q"
	for _, test := range []struct {
		url, endpoint, configured, want string
	}{
		{ordinary, "", "", ""},
		{"https://eu-west-1.queue.amazonaws.com/111122223333/q", "", "", ""},
		{vpc, "", "", "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com"},
		{"https://sqs-fips.us-east-1.amazonaws.com/111122223333/q", "", "", "https://sqs-fips.us-east-1.amazonaws.com"},
		{"http://127.0.0.1:9324/000000000000/q", "", "", "http://127.0.0.1:9324"},
		{"http://127.0.0.1:9324/000000000000/q", "", "http://127.0.0.1:4566", "http://127.0.0.1:4566"},
		{vpc, "http://127.0.0.1:1", "http://127.0.0.1:4566", "http://127.0.0.1:1"},
		{"billing", "", "", ""},
	} {
		var configured *string
		if test.configured != "" {
			configured = &test.configured
		}
		if got := aws.ToString(queueBase(test.url, &awsFlags{endpoint: test.endpoint}, configured)); got != test.want {
			t.Errorf("%s, --endpoint %q, configured %q: %q, want %q", test.url, test.endpoint, test.configured, got, test.want)
		}
	}
}
