package awscli

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// The host in the URL of a queue is called where it is not the ordinary endpoint; what is configured comes
// first.
func TestQueueBase(t *testing.T) {
	const ordinary, vpc = "https://sqs.eu-west-1.amazonaws.com/111122223333/q",
		"https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/111122223333/q"
	for _, test := range []struct {
		url, endpoint, configured, want string
	}{
		{ordinary, "", "", ""},
		{"https://eu-west-1.queue.amazonaws.com/111122223333/q", "", "", ""},
		{vpc, "", "", "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com"},
		{"https://sqs-fips.us-east-1.amazonaws.com/111122223333/q", "", "",
			"https://sqs-fips.us-east-1.amazonaws.com"},
		{"http://127.0.0.1:9324/000000000000/q", "", "", "http://127.0.0.1:9324"},
		{"http://127.0.0.1:9324/000000000000/q", "", "http://127.0.0.1:4566", "http://127.0.0.1:4566"},
		{vpc, "http://127.0.0.1:1", "http://127.0.0.1:4566", "http://127.0.0.1:1"},
		{"billing", "", "", ""},
	} {
		var configured *string
		if test.configured != "" {
			configured = &test.configured
		}
		if got := aws.ToString(QueueEndpoint(test.url, &AWSFlags{Endpoint: test.endpoint},
			configured)); got != test.want {
			t.Errorf("%s, --endpoint %q, configured %q: %q, want %q", test.url, test.endpoint,
				test.configured, got, test.want)
		}
	}
}

func TestRegionOfQueue(t *testing.T) {
	for url, want := range map[string]string{
		"https://sqs.eu-west-1.amazonaws.com/111122223333/billing":     "eu-west-1",
		"https://sqs.cn-north-1.amazonaws.com.cn/111122223333/billing": "cn-north-1",
		"https://eu-west-1.queue.amazonaws.com/111122223333/billing":   "eu-west-1",
		"https://sqs-fips.us-east-1.amazonaws.com/111122223333/q":      "us-east-1",
		"https://sqs.eu-west-1.api.aws/111122223333/billing":           "eu-west-1",
		"https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/1/billing":    "eu-west-1",
		"http://localhost:4566/queue/eu-west-1/000000000000/billing":   "eu-west-1",
		"https://sqs.eu-west-1.amazonaws.com.evil.example/1/billing":   "",
		"https://sqs.eu-west-1.amazonaws.evil.example/1/billing":       "",
		"http://127.0.0.1:9324/000000000000/billing":                   "",
		"https://sqs.eu-west-1.example.com/111122223333/billing":       "",
		"billing": "",
		"::":      "",
	} {
		if got := RegionOfQueue(url); got != want {
			t.Errorf("%s is in %q, want %q", url, got, want)
		}
	}
}
