// Package claimtable makes the DynamoDB table of package dynamodb (consumer/replay/dynamodb).
package claimtable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

// The attributes of the table.
const (
	Key = "id"        // the partition key
	TTL = "forget_at" // the attribute of time to live
)

// Errors of Ensure.
var (
	// ErrOtherTable means that a table of that name exists and is not for claims. Nothing was changed.
	ErrOtherTable = errors.New("replay: the table is not one for replay claims")
	// ErrNoTTL means that the service has no time to live, like some emulators. The table exists and works, but
	// nothing is ever deleted from it.
	ErrNoTTL = errors.New("replay: the service has no time to live, the table will only grow")
)

// tablePatience is how long Ensure waits for the table, unless ctx ends before.
const tablePatience = 5 * time.Minute

// Client is the part of *awsdynamodb.Client that Ensure uses.
type Client interface {
	CreateTable(ctx context.Context, in *awsdynamodb.CreateTableInput,
		opts ...func(*awsdynamodb.Options)) (*awsdynamodb.CreateTableOutput, error)
	DescribeTable(ctx context.Context, in *awsdynamodb.DescribeTableInput,
		opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTableOutput, error)
	DescribeTimeToLive(ctx context.Context, in *awsdynamodb.DescribeTimeToLiveInput,
		opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTimeToLiveOutput, error)
	UpdateTimeToLive(ctx context.Context, in *awsdynamodb.UpdateTimeToLiveInput,
		opts ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateTimeToLiveOutput, error)
}

var _ Client = (*awsdynamodb.Client)(nil)

// Ensure makes the table, paid per request and protected from deletion, waits until it exists, and
// switches on its time to live. An existing table is kept, so Ensure can be run again after a failure.
// created tells whether the table is new. IAM: dynamodb:CreateTable, DescribeTable, DescribeTimeToLive,
// UpdateTimeToLive on the table.
func Ensure(ctx context.Context, client Client, table string) (created bool, err error) {
	created, err = createTable(ctx, client, table)
	if err != nil {
		return created, err
	}
	describe := &awsdynamodb.DescribeTableInput{TableName: &table}
	fast := func(o *awsdynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, 10*time.Second }
	out, err := awsdynamodb.NewTableExistsWaiter(client, fast).WaitForOutput(ctx, describe, tablePatience)
	if err != nil {
		return created, fmt.Errorf("replay: waiting for table %q: %w", table, err)
	}
	if err := checkKey(table, out.Table); err != nil {
		return created, err
	}
	return created, ensureTTL(ctx, client, table)
}

func createTable(ctx context.Context, client Client, table string) (created bool, err error) {
	_, err = client.CreateTable(ctx, &awsdynamodb.CreateTableInput{
		TableName:   &table,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(Key),
			AttributeType: types.ScalarAttributeTypeS}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String(Key),
			KeyType: types.KeyTypeHash}},
		DeletionProtectionEnabled: aws.Bool(true),
	})
	var exists *types.ResourceInUseException
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &exists):
		return false, nil
	}
	return false, fmt.Errorf("replay: creating table %q: %w", table, err)
}

// checkKey requires the partition key and nothing else: under a sort key, one event would have many items.
func checkKey(table string, t *types.TableDescription) error {
	if t != nil && len(t.KeySchema) == 1 && aws.ToString(t.KeySchema[0].AttributeName) == Key {
		for _, a := range t.AttributeDefinitions {
			if aws.ToString(a.AttributeName) == Key && a.AttributeType == types.ScalarAttributeTypeS {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: %q exists, and its key is not the string %q alone", ErrOtherTable, table, Key)
}

func ensureTTL(ctx context.Context, client Client, table string) error {
	if on, err := hasTTL(ctx, client, table); on || err != nil {
		return err
	}
	_, err := client.UpdateTimeToLive(ctx, &awsdynamodb.UpdateTimeToLiveInput{
		TableName: &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(TTL),
			Enabled: aws.Bool(true)},
	})
	if err == nil {
		return nil
	}
	// DynamoDB refuses to switch on a time to live that is on already: by a call whose answer was lost, or by
	// another program at the same time.
	if on, _ := hasTTL(ctx, client, table); on {
		return nil
	}
	return ttlError(table, err)
}

// hasTTL tells whether the table has time to live on TTL. A table with it on another attribute is
// not for claims.
func hasTTL(ctx context.Context, client Client, table string) (bool, error) {
	out, err := client.DescribeTimeToLive(ctx, &awsdynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		return false, ttlError(table, err)
	}
	d := out.TimeToLiveDescription
	if d == nil || d.TimeToLiveStatus != types.TimeToLiveStatusEnabled &&
		d.TimeToLiveStatus != types.TimeToLiveStatusEnabling {
		return false, nil
	}
	if on := aws.ToString(d.AttributeName); on != TTL {
		return false, fmt.Errorf("%w: %q has its time to live on %q, not on %q", ErrOtherTable, table, on,
			TTL)
	}
	return true, nil
}

// unknownOperation is the error code for an operation that a service does not have.
const unknownOperation = "UnknownOperationException"

func ttlError(table string, err error) error {
	var api smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api) && api.ErrorCode() == unknownOperation:
		return fmt.Errorf("%w: %w", ErrNoTTL, err)
	}
	return fmt.Errorf("replay: time to live of table %q: %w", table, err)
}
