// Package dynamodb keeps replay claims in a DynamoDB table, for any number of consumers.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	store, err := dynamodb.New(awsdynamodb.NewFromConfig(cfg), "sealbus-replay", nil)
//
// The table has the string partition key "id" and time to live on "forget_at": `sealbus replay create-table`,
// EnsureTable or examples/replay-table.yaml make it. Items stay below 1 KB, so claim and completion are one write unit
// each, and each renewal one more; a refused claim costs a write unit as well, and on an emulator that does not return the item
// that was in the way, a consistent read. IAM: dynamodb:UpdateItem, GetItem, DeleteItem on the table. All writes are
// conditional; there are no transactions. Not for a global table with eventual consistency: two regions would
// both claim.
//
// # Clocks
//
// Leases are judged by the consumer's clock, in the condition of the write: a skew between two consumers makes the
// lease that much shorter or longer, and fencing tokens decide who completes. Keep leases longer than clocks are apart. Time
// to live is garbage collection, comes up to days late and decides nothing: items outlive their event's until
// by Options.Grace. As it is DynamoDB that forgets, by its own clock, a claim is New only if the service's clock, as its
// answer is dated, had not reached until; later it is taken back and the answer is ErrUnavailable: the event may have
// been completed and forgotten. Therefore a consumer whose clock was set back is never told New by mistake.
//
// # Threats
//
// Whoever may write to this table can make any event look handled, or new: give nobody else write access, protect it
// from deletion, and do not restore an old backup over it. What is stored are hashes; nothing is secret.
//
// Stable: New and its Options, the partition key and the attribute of time to live. Other attributes are not.
package dynamodb

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	smithy "github.com/aws/smithy-go/middleware"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/internal/remote"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Client is what is used of *awsdynamodb.Client. Its timeouts and retries are the caller's business; a write that is
// made again because its answer was lost has the effect and the answer of one, except for Release, which then
// is ErrClaimLost. Answers carry the service's time in their metadata (middleware.GetServerTime), which comes from the
// HTTP header Date: a claim without it is ErrUnavailable.
type Client interface {
	UpdateItem(ctx context.Context, in *awsdynamodb.UpdateItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateItemOutput, error)
	GetItem(ctx context.Context, in *awsdynamodb.GetItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.GetItemOutput, error)
	DeleteItem(ctx context.Context, in *awsdynamodb.DeleteItemInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DeleteItemOutput, error)
}

// Options adjust New.
type Options struct {
	// Grace is how long a record outlives its event's until; 0 = one hour.
	Grace time.Duration
	// Now is the consumer's wall clock; nil = time.Now.
	Now func() time.Time
}

// Store is a replay.Store in DynamoDB.
type Store struct {
	client Client
	table  string
	grace  time.Duration
	now    func() time.Time
}

var (
	_ replay.Store = (*Store)(nil)
	_ Client       = (*awsdynamodb.Client)(nil)
)

// claimRounds is how often a claim is asked for while the item in its way vanishes before it can be read.
const claimRounds = 4

// New makes a store over the table. It does not connect.
func New(client Client, table string, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case client == nil:
		return nil, errors.New("replay: no DynamoDB client")
	case table == "":
		return nil, errors.New("replay: no DynamoDB table")
	case o.Grace < 0:
		return nil, fmt.Errorf("replay: a grace of %v", o.Grace)
	case o.Grace == 0:
		o.Grace = remote.DefaultGrace
	}
	if err := nilcheck.Typed("replay: the DynamoDB client", client); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{client: client, table: table, grace: o.Grace, now: o.Now}, nil
}

// Claim is replay.Store.Claim.
func (s *Store) Claim(ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration) (replay.Claim, replay.Status, error) {
	if err := remote.Check(ctx, until, lease); err != nil {
		return replay.Claim{}, 0, err
	}
	claim := replay.Claim{Key: key, Token: remote.Token()}
	for range claimRounds {
		status, err := s.take(ctx, claim, digest, until, lease)
		if err != nil {
			return replay.Claim{}, 0, err
		}
		if status == replay.New {
			return claim, status, nil
		}
		if status != vanished {
			return replay.Claim{}, status, nil
		}
	}
	return replay.Claim{}, replay.Held, nil // by others, one after the other
}

// vanished is what stood in the way of a claim and does no longer.
const vanished replay.Status = -1

// take writes the claim unless the key is completed or somebody's live claim, and otherwise finds out which.
func (s *Store) take(ctx context.Context, claim replay.Claim, digest [32]byte, until time.Time, lease time.Duration) (replay.Status, error) {
	now, nowMillis := remote.Now(s.now)
	end := now.Add(lease)
	out, err := s.client.UpdateItem(ctx, s.update(claim.Key,
		"attribute_not_exists(#id) OR (#phase = :claimed AND #lease <= :now)",
		"SET #phase = :claimed, #token = :token, #digest = :digest, #lease = :end, #until = :until, #forget = :forget",
		values{
			":claimed": text(phaseClaimed), ":now": number(nowMillis), ":token": binary(claim.Token[:]), ":digest": binary(digest[:]),
			":end": number(remote.Millis(end)), ":until": number(remote.Millis(until)), ":forget": s.forget(later(until, end)),
		}))
	if err == nil {
		return s.given(ctx, claim, until, out.ResultMetadata)
	}
	found, err := s.inTheWay(ctx, claim.Key, err)
	if err != nil {
		return 0, err
	}
	switch {
	case found.phase == "":
		return vanished, nil
	case found.holds(claim.Token):
		return s.regain(ctx, claim, until)
	case found.phase == phaseClaimed && nowMillis < found.lease:
		return replay.Held, nil
	case found.phase == phaseClaimed:
		return vanished, nil
	}
	return completedAs(found.digest, digest), nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func completedAs(done []byte, digest [32]byte) replay.Status {
	if subtle.ConstantTimeCompare(done, digest[:]) == 1 {
		return replay.Completed
	}
	return replay.CompletedOther
}

// given is New for a claim that was written, if the service, by its own clock, cannot have forgotten a completion. If it
// can, the claim is taken back; should that fail, it lapses, and whoever comes next is asked the same.
func (s *Store) given(ctx context.Context, claim replay.Claim, until time.Time, answer smithy.Metadata) (replay.Status, error) {
	server, known := middleware.GetServerTime(answer)
	if known && server.Before(until) {
		return replay.New, nil
	}
	_ = s.Release(ctx, claim)
	if !known {
		return 0, remote.Unavailable(errors.New("the answer of DynamoDB has no date"))
	}
	return 0, remote.Forgotten(server, until)
}

// regain is the status of a claim that was written by an attempt whose answer was lost.
func (s *Store) regain(ctx context.Context, claim replay.Claim, until time.Time) (replay.Status, error) {
	found, answer, err := s.read(ctx, claim.Key)
	switch {
	case err != nil:
		return 0, err
	case !found.holds(claim.Token):
		return vanished, nil
	}
	return s.given(ctx, claim, until, answer)
}

// Renew is replay.Store.Renew.
func (s *Store) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	if err := remote.CheckLease(ctx, lease); err != nil {
		return err
	}
	end := s.now().Add(lease)
	update := s.update(claim.Key, mine, "SET #lease = :end", values{
		":claimed": text(phaseClaimed), ":token": binary(claim.Token[:]), ":end": number(remote.Millis(end)),
	})
	update.ReturnValues = types.ReturnValueAllNew
	out, err := s.client.UpdateItem(ctx, update)
	if err != nil {
		return asLost(err)
	}
	renewed, err := readItem(out.Attributes)
	if err != nil || !end.After(time.UnixMilli(renewed.until)) {
		return err
	}
	return s.keep(ctx, claim, end)
}

// keep keeps the item of a claim that outlives its until: a handler that runs for so long is to be completed as well.
func (s *Store) keep(ctx context.Context, claim replay.Claim, end time.Time) error {
	_, err := s.client.UpdateItem(ctx, s.update(claim.Key, mine, "SET #forget = :forget", values{
		":claimed": text(phaseClaimed), ":token": binary(claim.Token[:]), ":forget": s.forget(end),
	}))
	return asLost(err)
}

// Complete is replay.Store.Complete.
func (s *Store) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	if err := remote.CheckUntil(ctx, until); err != nil {
		return err
	}
	mark := remote.Token()
	_, err := s.client.UpdateItem(ctx, s.update(claim.Key, mine,
		"SET #phase = :completed, #token = :mark, #until = :until, #forget = :forget REMOVE #lease",
		values{
			":claimed": text(phaseClaimed), ":completed": text(phaseCompleted), ":token": binary(claim.Token[:]), ":mark": binary(mark[:]),
			":until": number(remote.Millis(until)), ":forget": s.forget(until),
		}))
	if err == nil {
		return nil
	}
	found, err := s.inTheWay(ctx, claim.Key, err)
	switch {
	case err != nil:
		return err
	case found.completedBy(mark): // by us, in an attempt whose answer was lost
		return nil
	}
	return replay.ErrClaimLost
}

// Release is replay.Store.Release.
func (s *Store) Release(ctx context.Context, claim replay.Claim) error {
	if err := remote.CheckContext(ctx); err != nil {
		return err
	}
	_, err := s.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{
		TableName: &s.table, Key: itemKey(claim.Key), ConditionExpression: aws.String(mine),
		ExpressionAttributeNames:  map[string]string{"#phase": attrPhase, "#token": attrToken},
		ExpressionAttributeValues: values{":claimed": text(phaseClaimed), ":token": binary(claim.Token[:])},
	})
	return asLost(err)
}

// asLost is the error of a write whose condition is that the claim is the caller's.
func asLost(err error) error {
	var failed *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed):
		return replay.ErrClaimLost
	}
	return remote.Unavailable(err)
}

// inTheWay is the item for which the condition of a write failed with err: as it came with the error or, if the
// service does not do that, as it is now. A write that failed in any other way is ErrUnavailable.
func (s *Store) inTheWay(ctx context.Context, key [32]byte, err error) (item, error) {
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) {
		return item{}, remote.Unavailable(err)
	}
	if failed.Item != nil {
		return readItem(failed.Item)
	}
	found, _, err := s.read(ctx, key)
	return found, err
}

// read is the item as it is now, the zero item if there is none.
func (s *Store) read(ctx context.Context, key [32]byte) (item, smithy.Metadata, error) {
	out, err := s.client.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: &s.table, Key: itemKey(key), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return item{}, smithy.Metadata{}, remote.Unavailable(err)
	}
	if out.Item == nil {
		return item{}, out.ResultMetadata, nil
	}
	found, err := readItem(out.Item)
	return found, out.ResultMetadata, err
}
