package awsname

import (
	"strings"
	"testing"
)

const queuePath = "/111122223333/billing"

// queue is what a URL names.
type queue struct{ partition, region, account, endpoint string }

// queueURLs has each form of a queue's URL that AWS and emulators have, and what only looks like one.
var queueURLs = map[string]queue{
	"https://sqs.eu-west-1.amazonaws.com" + queuePath: {"aws", "eu-west-1",
		"111122223333", ""},
	"https://SQS.EU-West-1.AmazonAWS.com" + queuePath: {"aws", "eu-west-1",
		"111122223333", ""},
	"https://sqs.eu-west-1.amazonaws.com.:443" +
		queuePath: {"aws", "eu-west-1", "111122223333", ""},
	"http://sqs.ap-southeast-7.amazonaws.com" +
		queuePath: {"aws", "ap-southeast-7", "111122223333", ""},
	"https://sqs.us-gov-west-1.amazonaws.com" +
		queuePath: {"aws-us-gov", "us-gov-west-1", "111122223333", ""},
	"https://sqs.cn-north-1.amazonaws.com.cn" +
		queuePath: {"aws-cn", "cn-north-1", "111122223333", ""},
	"https://sqs.eusc-de-east-1.amazonaws.eu" +
		queuePath: {"aws-eusc", "eusc-de-east-1", "111122223333", ""},
	"https://sqs.us-iso-east-1.c2s.ic.gov" + queuePath: {"aws-iso", "us-iso-east-1",
		"111122223333", ""},
	"https://sqs.us-isob-east-1.sc2s.sgov.gov" +
		queuePath: {"aws-iso-b", "us-isob-east-1", "111122223333", ""},
	"https://sqs.eu-isoe-west-1.cloud.adc-e.uk" +
		queuePath: {"aws-iso-e", "eu-isoe-west-1", "111122223333", ""},
	"https://sqs.us-isof-south-1.csp.hci.ic.gov" +
		queuePath: {"aws-iso-f", "us-isof-south-1", "111122223333", ""},
	"https://queue.amazonaws.com" + queuePath: {"aws", "us-east-1",
		"111122223333", ""},
	"https://eu-west-1.queue.amazonaws.com" + queuePath: {"aws", "eu-west-1",
		"111122223333", ""},
	"https://cn-north-1.queue.amazonaws.com.cn" +
		queuePath: {"aws-cn", "cn-north-1", "111122223333", ""},
	"https://sqs-fips.us-east-1.amazonaws.com" +
		queuePath: {"aws", "us-east-1", "111122223333", "https://sqs-fips.us-east-1.amazonaws.com"},
	"https://sqs.eu-west-1.api.aws" + queuePath: {"aws", "eu-west-1",
		"111122223333", "https://sqs.eu-west-1.api.aws"},
	"https://sqs-fips.us-gov-east-1.api.aws" +
		queuePath: {"aws-us-gov", "us-gov-east-1", "111122223333", "https://sqs-fips.us-gov-east-1.api.aws"},
	"https://sqs.cn-north-1.api.amazonwebservices.com.cn" +
		queuePath: {"aws-cn", "cn-north-1", "111122223333",
		"https://sqs.cn-north-1.api.amazonwebservices.com.cn"},
	"https://vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com" +
		queuePath: {"aws", "eu-west-1", "111122223333",
		"https://vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com"},
	"https://vpce-0a1b-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com" +
		queuePath: {"aws", "eu-west-1", "111122223333",
		"https://vpce-0a1b-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com"},
	"https://vpce-0a1b.sqs.cn-north-1.vpce.amazonaws.com.cn" +
		queuePath: {"aws-cn", "cn-north-1", "111122223333",
		"https://vpce-0a1b.sqs.cn-north-1.vpce.amazonaws.com.cn"},
	"http://127.0.0.1:9324/000000000000/q": {"", "", "000000000000",
		"http://127.0.0.1:9324"},
	"http://localhost:4566/queue/eu-west-1/000000000000/q": {"", "eu-west-1",
		"000000000000", "http://localhost:4566"},
	"http://localhost:9324/queue/q": {"", "", "",
		"http://localhost:9324"},
	"http://[::1]:9324/000000000000/q": {"", "", "000000000000",
		"http://[::1]:9324"},
	"http://sqs.eu-west-1.localhost.localstack.cloud:4566/000000000000/q": {"", "eu-west-1",
		"000000000000", "http://sqs.eu-west-1.localhost.localstack.cloud:4566"},
	"http://eu-west-1.queue.localhost.localstack.cloud:4566/000000000000/q": {"", "eu-west-1",
		"000000000000", "http://eu-west-1.queue.localhost.localstack.cloud:4566"},
	// Not AWS, whatever they begin or end with.
	"https://sqs.eu-west-1.amazonaws.com.evil.example" +
		queuePath: {"", "", "111122223333", "https://sqs.eu-west-1.amazonaws.com.evil.example"},
	"https://evil.sqs.eu-west-1.amazonaws.com" +
		queuePath: {"", "", "111122223333", "https://evil.sqs.eu-west-1.amazonaws.com"},
	"https://sqs.eu-west-1.amazonaws.comx" + queuePath: {"", "", "111122223333",
		"https://sqs.eu-west-1.amazonaws.comx"},
	"https://sqs.eu-west-1.xamazonaws.com" + queuePath: {"", "", "111122223333",
		"https://sqs.eu-west-1.xamazonaws.com"},
	"https://sqs.eu-west-1.api.aws.evil.example" +
		queuePath: {"", "", "111122223333", "https://sqs.eu-west-1.api.aws.evil.example"},
	"https://sqs.evil.amazonaws.com" + queuePath: {"", "", "111122223333",
		"https://sqs.evil.amazonaws.com"},
	"https://s3.eu-west-1.amazonaws.com" + queuePath: {"", "", "111122223333",
		"https://s3.eu-west-1.amazonaws.com"},
	"https://vpce-1.s3.eu-west-1.vpce.amazonaws.com" +
		queuePath: {"", "", "111122223333", "https://vpce-1.s3.eu-west-1.vpce.amazonaws.com"},
	"https://vpce-1.sqs.eu-west-1.vpce.api.aws" +
		queuePath: {"", "", "111122223333", "https://vpce-1.sqs.eu-west-1.vpce.api.aws"},
	"https://sqs.eu-west-1.amazonaws.com:8443" +
		queuePath: {"", "", "111122223333", "https://sqs.eu-west-1.amazonaws.com:8443"},
	"https://sqs.cn-north-1.amazonaws.com" + queuePath: {"", "", "111122223333",
		"https://sqs.cn-north-1.amazonaws.com"},
	"https://sqs.eu-west-1.amazonaws.com.cn" +
		queuePath: {"", "", "111122223333", "https://sqs.eu-west-1.amazonaws.com.cn"},
	"https://sqs.eu-west-1.localstack.cloud" +
		queuePath: {"", "", "111122223333", "https://sqs.eu-west-1.localstack.cloud"},
	"https://sqs.cn-north-1.api.amazonwebserv\u0130ces.com.cn" + queuePath: {
		"", "", "111122223333", "https://sqs.cn-north-1.api.amazonwebserv\u0130ces.com.cn"},
	"https://sqs.eu-isoe-west-1.cloud.adc-e.u\u212a" +
		queuePath: {"", "", "111122223333", "https://sqs.eu-isoe-west-1.cloud.adc-e.u\u212a"},
	"https://sqs.eu-west-1.amazonaws.com/x/111122223333/billing": {"aws", "eu-west-1", "", ""},
	"https://sqs.eu-west-1.amazonaws.com/11112222333/billing":    {"aws", "eu-west-1", "", ""},
}

func TestParseQueueURL(t *testing.T) {
	for text, w := range queueURLs {
		q, ok := ParseQueueURL(text)
		if got := (queue{q.Partition, q.Region, q.Account, q.Endpoint}); !ok || got != w {
			t.Errorf("%s: %+v, want %+v", text, got, w)
		}
		if q.Name != "billing" && q.Name != "q" {
			t.Errorf("%s: the name is %q", text, q.Name)
		}
	}
}

func TestNoQueueURL(t *testing.T) {
	for _, text := range []string{
		"", "billing", "::", "arn:aws:sqs:eu-west-1:111122223333:billing",
		"ftp://sqs.eu-west-1.amazonaws.com/111122223333/q", "https:///1/q",
		"https://sqs.eu-west-1.amazonaws.com@evil.example/111122223333/q",
		"https://sqs.eu-west-1.amazonaws.com", "https://sqs.eu-west-1.amazonaws.com/",
		"https://sqs.eu-west-1.amazonaws.com\x00/1/q", "https://:9324/1/q",
	} {
		if q, ok := ParseQueueURL(text); ok {
			t.Errorf("%q is the URL of a queue: %+v", text, q)
		}
	}
}

func TestQueueARN(t *testing.T) {
	q, _ := ParseQueueURL("https://cn-north-1.queue.amazonaws.com.cn/111122223333/billing.fifo")
	if a, ok := q.ARN(); !ok || a.String() != "arn:aws-cn:sqs:cn-north-1:111122223333:billing.fifo" {
		t.Errorf("%s, %v", a, ok)
	}
	q, _ = ParseQueueURL("http://127.0.0.1:9324/000000000000/q")
	if a, ok := q.ARN(); ok {
		t.Errorf("%s out of a URL that names no region", a)
	}
}

func TestParseARN(t *testing.T) {
	for text, id := range map[string]string{
		"arn:aws:kms:eu-west-1:111122223333:key/1234":         "1234",
		"arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1": "1",
		"arn:aws:kms:eu-west-1:111122223333:alias/x":          "",
		"arn:aws:kms:eu-west-1:111122223333:key/1/2":          "",
		"arn:aws:kms:eu-west-1:111122223333:key/1:2":          "",
		"arn:aws:kms::111122223333:key/1":                     "",
		"arn:aws:sqs:eu-west-1:111122223333:key/1":            "",
		"arn:aws:s3:::bucket/key":                             "",
	} {
		a, ok := ParseARN(text)
		if !ok || a.String() != text || a.KMSKey() != id {
			t.Errorf("%s: %+v, key %q", text, a, a.KMSKey())
		}
	}
	for _, text := range []string{
		"", "arn", "arn:aws:sqs:eu-west-1:111122223333", "arn::sqs:r:a:x", "arn:aws::r:a:x",
		"arn:aws:sqs:r:a:", "ARN:aws:sqs:r:a:x",
		"x:aws:sqs:r:a:x", "arn:aws:sqs:r:a:" + strings.Repeat("x", maxARN),
	} {
		if a, ok := ParseARN(text); ok {
			t.Errorf("%.60q is an ARN: %.200v", text, a)
		}
	}
}
