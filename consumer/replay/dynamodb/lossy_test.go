package dynamodb_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/internal/claimtable"
	"github.com/sealbus/sealbus/internal/lossy"
)

// newLossy is a fake behind a proxy that loses answers. The client repeats calls as the SDK does by default.
func newLossy(t *testing.T, phase int, now func() time.Time) (*fake, *awsdynamodb.Client, *lossy.Proxy) {
	t.Helper()
	f, client := newFake(t)
	f.returnsItems, f.now = phase%2 == 0, now
	proxy := lossy.Start(t, *client.Options().BaseEndpoint, phase)
	return f, awsdynamodb.New(client.Options(), func(o *awsdynamodb.Options) {
		o.BaseEndpoint, o.RetryMaxAttempts, o.Retryer = &proxy.URL, 0, lossy.Retryer()
	}), proxy
}

// knowing is a Store for which a Release is done whose repetition, after a lost answer, finds that the claim
// is gone: the store says ErrClaimLost then (see Client), and that others see the key as free is tested all
// the same.
type knowing struct {
	replay.Store
	f     *fake
	proxy *lossy.Proxy
}

func (k knowing) Release(ctx context.Context, claim replay.Claim) error {
	k.f.mu.Lock()
	item := k.f.items[hex.EncodeToString(claim.Key[:])]
	mine := item["phase"]["S"] == "claimed" &&
		item["token"]["B"] == base64.StdEncoding.EncodeToString(claim.Token[:])
	k.f.mu.Unlock()
	before := k.proxy.Lost()
	err := k.Store.Release(ctx, claim)
	if mine && errors.Is(err, replay.ErrClaimLost) && k.proxy.Lost() > before {
		return nil
	}
	return err
}

// TestStoreKeepsTheContractWithLostAnswers runs the contract while one answer in twenty is lost after the
// service has acted: the store's own write is never taken for another's, and no claim is given twice.
func TestStoreKeepsTheContractWithLostAnswers(t *testing.T) {
	for _, phase := range lossy.Runs(3) {
		t.Run(fmt.Sprint(phase), func(t *testing.T) {
			contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
				f, client, proxy := newLossy(t, phase, clock.Now)
				return knowing{newStore(t, client, clock.Now), f, proxy}
			})
		})
	}
}

// lossyTable is the part of DynamoDB that claimtable.Ensure needs. It acts on UpdateTimeToLive and loses the
// answer; the SDK's repetition is refused.
type lossyTable struct {
	claimtable.Client
	status types.TimeToLiveStatus
	acts   bool
}

func (l *lossyTable) CreateTable(context.Context, *awsdynamodb.CreateTableInput,
	...func(*awsdynamodb.Options)) (*awsdynamodb.CreateTableOutput, error) {
	return &awsdynamodb.CreateTableOutput{}, nil
}

func (l *lossyTable) DescribeTable(context.Context, *awsdynamodb.DescribeTableInput,
	...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTableOutput, error) {
	return &awsdynamodb.DescribeTableOutput{Table: &types.TableDescription{
		TableStatus: types.TableStatusActive,
		KeySchema:   []types.KeySchemaElement{{AttributeName: aws.String(claimtable.Key)}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(claimtable.Key),
			AttributeType: types.ScalarAttributeTypeS}},
	}}, nil
}

func (l *lossyTable) DescribeTimeToLive(context.Context, *awsdynamodb.DescribeTimeToLiveInput,
	...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTimeToLiveOutput, error) {
	return &awsdynamodb.DescribeTimeToLiveOutput{TimeToLiveDescription: &types.TimeToLiveDescription{
		AttributeName: aws.String(claimtable.TTL), TimeToLiveStatus: l.status,
	}}, nil
}

func (l *lossyTable) UpdateTimeToLive(context.Context, *awsdynamodb.UpdateTimeToLiveInput,
	...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateTimeToLiveOutput, error) {
	if l.acts {
		l.status = types.TimeToLiveStatusEnabling
	}
	return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: "TimeToLive is already enabled"}
}

// TestEnsureTableLossy: what the table has is no error, even if the service refuses to do it twice.
func TestEnsureTableLossy(t *testing.T) {
	for _, acts := range []bool{true, false} {
		client := &lossyTable{status: types.TimeToLiveStatusDisabled, acts: acts}
		if created, err := claimtable.Ensure(t.Context(), client, table); !created || (err == nil) != acts {
			t.Errorf("Ensure = %v, %v, and time to live is on: %v", created, err, acts)
		}
	}
}
