package main

import (
	"cmp"
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/internal/awsname"
)

// arn is an Amazon Resource Name.
type arn struct{ partition, service, region, account, resource string }

func parseARN(text string) (arn, bool) {
	a, ok := awsname.ParseARN(text)
	return arn{a.Partition, a.Service, a.Region, a.Account, a.Resource}, ok
}

// regionOfARN is the region in an ARN; "" = it is a name.
func regionOfARN(text string) string { a, _ := parseARN(text); return a.region }

// regionOfQueue is the region that the URL of a queue names; "" = it names none, or its host is unknown.
func regionOfQueue(text string) string { q, _ := awsname.ParseQueueURL(text); return q.Region }

// queueBase is the endpoint of a queue: --endpoint, or else what the AWS configuration says, or else the host
// in the queue's URL, where that is not the ordinary one of its region.
func queueBase(queueURL string, f *awsFlags, configured *string) *string {
	if base := orBase(f, configured); base != nil {
		return base
	}
	if q, ok := awsname.ParseQueueURL(queueURL); ok && q.Endpoint != "" {
		return aws.String(q.Endpoint)
	}
	return nil
}

// queueClientFor is a client for the region and the host that the URL of a queue names.
func queueClientFor(ctx context.Context, queueURL string, f awsFlags) (*sqs.Client, error) {
	q, ok := awsname.ParseQueueURL(queueURL)
	if !ok {
		return nil, usage("give the URL, as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", "%q is not the URL of a queue", queueURL)
	}
	cfg, err := loadAWS(ctx, cmp.Or(q.Region, f.region))
	if err != nil {
		return nil, err
	}
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = queueBase(queueURL, &f, o.BaseEndpoint) }), nil
}
