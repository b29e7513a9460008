package dynamodb

import (
	"context"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sealbus/sealbus/internal/awscall"
)

// repeating is a Client that also repeats a call whose answer broke off. To the SDK that is a failure, and
// the event would wait for the end of a lease. Every write here has the effect of one write when it is made
// twice.
type repeating struct{ Client }

func again(o *awsdynamodb.Options) { o.Retryer = awscall.Retryer(o.Retryer) }

func (r repeating) UpdateItem(ctx context.Context, in *awsdynamodb.UpdateItemInput,
	opts ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateItemOutput, error) {
	return r.Client.UpdateItem(ctx, in, append(opts, again)...)
}

func (r repeating) GetItem(ctx context.Context, in *awsdynamodb.GetItemInput,
	opts ...func(*awsdynamodb.Options)) (*awsdynamodb.GetItemOutput, error) {
	return r.Client.GetItem(ctx, in, append(opts, again)...)
}

func (r repeating) DeleteItem(ctx context.Context, in *awsdynamodb.DeleteItemInput,
	opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DeleteItemOutput, error) {
	return r.Client.DeleteItem(ctx, in, append(opts, again)...)
}
