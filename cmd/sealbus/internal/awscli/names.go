package awscli

import (
	"cmp"
	"context"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/awsname"
)

// ARN is an Amazon Resource Name.
type ARN struct{ Partition, Service, Region, Account, Resource string }

func ParseARN(text string) (ARN, bool) {
	a, ok := awsname.ParseARN(text)
	return ARN{a.Partition, a.Service, a.Region, a.Account, a.Resource}, ok
}

// RegionOfARN is the region in an ARN; "" = it is a name.
func RegionOfARN(text string) string { a, _ := ParseARN(text); return a.Region }

// RegionOfQueue is the region that the URL of a queue names; "" = it names none, or its host is unknown.
func RegionOfQueue(text string) string { q, _ := awsname.ParseQueueURL(text); return q.Region }

// QueueEndpoint is the endpoint of a queue: --endpoint, or else what the AWS configuration says, or else the
// host in the queue's URL, where that is not the ordinary one of its region.
func QueueEndpoint(queueURL string, f *AWSFlags, configured *string) *string {
	if base := EndpointFor(f, configured); base != nil {
		return base
	}
	if q, ok := awsname.ParseQueueURL(queueURL); ok && q.Endpoint != "" {
		return aws.String(q.Endpoint)
	}
	return nil
}

// QueueClient is a client for the region and the host that the URL of a queue names.
func QueueClient(ctx context.Context, queueURL string, f AWSFlags) (*sqs.Client, error) {
	q, ok := awsname.ParseQueueURL(queueURL)
	if !ok {
		return nil, ui.Usage("give the URL, as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
			"%q is not the URL of a queue", queueURL)
	}
	cfg, err := Load(ctx, cmp.Or(q.Region, f.Region))
	if err != nil {
		return nil, err
	}
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = QueueEndpoint(queueURL, &f, o.BaseEndpoint) }), nil
}

// EndpointFor is --endpoint, or else what the AWS configuration says for the service.
func EndpointFor(f *AWSFlags, configured *string) *string {
	if base := f.Base(); base != nil {
		return base
	}
	return configured
}

// TableName is what DynamoDB takes for one.
var TableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)
