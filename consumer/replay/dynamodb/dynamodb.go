// Package dynamodb keeps replay claims in a DynamoDB table, for any number of consumers.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	store, err := dynamodb.New(awsdynamodb.NewFromConfig(cfg), "sealbus-replay", nil)
//
// The table has the string partition key "id" and time to live on "forget_at": `sealbus claims create-table`
// or examples/replay-table.yaml make it. Items stay below 1 KB, so claim and completion are one
// write unit each, and each renewal is one more. A refused claim costs a write unit as well, and one more if
// it is a later copy of the event. On an emulator that does not return the item of the other claim, it also
// costs a consistent read. IAM: dynamodb:UpdateItem, GetItem, DeleteItem on the table. All writes are
// conditional; there are no transactions. Do not use a global table with eventual consistency: two regions
// would both claim.
//
// # Clocks
//
// The service's clock decides when a lease ends, by the date of its answers (HTTP header Date). No consumer's
// clock does. The dates have whole seconds, so a lease may be 2 s longer than asked for, or longer if answers
// take more than a second. Between two answers, and for a minute at most, the clock of this machine carries
// the time on. If the time is not known, one consistent read comes first. An answer without a date, from a
// cache, or dated more than 15 minutes off the clock of this machine is ErrUnavailable. An error that a proxy
// may have written (a status that is neither 200 nor 400) tells no time.
//
// Time to live is garbage collection, comes up to days late and decides nothing. Items outlive the until of
// their event by Options.Grace, and no operation shortens it. DynamoDB itself forgets items, by its own
// clock. So a claim is New only if the service's clock had not reached until. Later the claim is taken back
// and the answer is ErrUnavailable, because the event may have been completed and forgotten. Therefore a
// consumer whose clock was set back never gets New by mistake.
//
// # Threats
//
// An attacker who may write to this table can make any event look handled, or new. Give write access to the
// consumers alone, protect the table from deletion, and do not restore an old backup over it. The items are
// hashes; nothing in them is secret.
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
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/internal/remote"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Client is the part of *awsdynamodb.Client that the store uses. The caller sets its timeouts and retries. A
// write that the client repeats because its answer was lost has the effect and the answer of one write,
// except for Release, which then is ErrClaimLost. A client that wraps another must pass the options on: one
// of them reads the service's time from the HTTP header Date of the answers, and without it every claim is
// ErrUnavailable.
type Client interface {
	UpdateItem(ctx context.Context, in *awsdynamodb.UpdateItemInput,
		opts ...func(*awsdynamodb.Options)) (*awsdynamodb.UpdateItemOutput, error)
	GetItem(ctx context.Context, in *awsdynamodb.GetItemInput,
		opts ...func(*awsdynamodb.Options)) (*awsdynamodb.GetItemOutput, error)
	DeleteItem(ctx context.Context, in *awsdynamodb.DeleteItemInput,
		opts ...func(*awsdynamodb.Options)) (*awsdynamodb.DeleteItemOutput, error)
}

// Options adjust New.
type Options struct {
	// Grace is how long a record outlives its event's until; 0 = one hour.
	Grace time.Duration
	// Now is the clock of this machine. It carries the service's time on between two of its answers. nil =
	// time.Now.
	Now func() time.Time
}

// store is what New makes.
type store struct {
	client Client
	table  string
	grace  time.Duration
	clock  clock
}

var (
	_ replay.Store = (*store)(nil)
	_ Client       = (*awsdynamodb.Client)(nil)
)

// rounds is how often a write is tried while the item in its way keeps changing.
const rounds = 6

// New makes a store over the table. It does not connect.
func New(client Client, table string, opts *Options) (replay.Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case client == nil:
		return nil, errors.New("replay: no DynamoDB client")
	case table == "":
		return nil, errors.New("replay: no DynamoDB table: give its name (`sealbus claims create-table` makes it)")
	case o.Grace < 0:
		return nil, fmt.Errorf("replay: a grace of %v", o.Grace)
	case o.Grace == 0:
		o.Grace = remote.DefaultGrace
	}
	if err := nilcheck.Typed("replay: the DynamoDB client", client); err != nil {
		return nil, err
	}
	client = repeating{client}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &store{client: client, table: table, grace: o.Grace, clock: clock{now: o.Now}}, nil
}

// Claim is replay.Store.Claim.
func (s *store) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	if err := remote.Check(ctx, until, lease); err != nil {
		return replay.Claim{}, 0, err
	}
	claim := replay.Claim{Key: key, Token: remote.Token()}
	kept := s.keptUpTo(until)
	for range rounds {
		status, err := s.take(ctx, claim, digest, until, lease, &kept)
		switch {
		case err != nil:
			return replay.Claim{}, 0, err
		case status == replay.New:
			return claim, status, nil
		case status != changed:
			return replay.Claim{}, status, nil
		}
	}
	return replay.Claim{}, 0, errChanging // other workers change it, one after the other
}

// changed is not a status: the item that stood in the way of a claim has changed since.
const changed replay.Status = -1

var errChanging = remote.Unavailable(errors.New("the item of this event keeps changing"))

// kept is the time up to which an item is kept. Both fields only ever rise, and each write has the condition
// that it raises them.
type kept struct {
	until  int64 // milliseconds since 1970
	forget int64 // time to live: seconds since 1970
}

// notLowered is the condition of a write of #until and #forget that lowers neither.
const notLowered = "#until <= :until AND #forget <= :forget"

func (s *store) keptUpTo(until time.Time) kept { return kept{remote.Millis(until), s.forget(until)} }

func (k kept) besides(other kept) kept {
	return kept{max(k.until, other.until), max(k.forget, other.forget)}
}

// take writes the claim unless the key is completed or has a live claim. Otherwise it finds out which. The
// item that it finds must be kept, too: take raises k for the next attempt.
func (s *store) take(ctx context.Context, claim replay.Claim, digest [32]byte, until time.Time,
	lease time.Duration, k *kept) (replay.Status, error) {
	earliest, latest, err := s.times(ctx, claim.Key)
	if err != nil {
		return 0, err
	}
	if !earliest.Before(until) {
		return s.stale(ctx, claim.Key, digest, earliest, until, k)
	}
	end := latest.Add(lease)
	writes := k.besides(kept{0, s.forget(end)})
	_, a, err := s.updateItem(ctx, s.update(claim.Key,
		"attribute_not_exists(#id) OR (#phase = :claimed AND #lease <= :now AND "+notLowered+")",
		"SET #phase = :claimed, #token = :token, #digest = :digest, #lease = :end, #until = :until, #forget = :forget",
		values{
			":claimed": text(phaseClaimed), ":now": number(remote.Floor(earliest)),
			":token": binary(claim.Token[:]), ":digest": binary(digest[:]),
			":end": number(remote.Millis(end)), ":until": number(writes.until),
			":forget": number(writes.forget),
		}))
	if err == nil {
		return s.given(ctx, claim, until, a)
	}
	found, err := s.inTheWay(ctx, claim.Key, err)
	if err != nil {
		return 0, err
	}
	if found.holds(claim.Token) {
		return s.regain(ctx, claim, until)
	}
	return s.judge(ctx, claim.Key, digest, found, k)
}

// judge is the status of the item in the way of a claim, by the time of the last answer. It is changed if
// there is no item, or an expired claim.
func (s *store) judge(ctx context.Context, key, digest [32]byte, found item, k *kept) (replay.Status, error) {
	switch found.phase {
	case "":
		return changed, nil
	case phaseCompleted:
		return s.raise(ctx, key, found, *k, completedAs(found.digest, digest))
	}
	earliest, _, err := s.times(ctx, key)
	if err != nil {
		return 0, err
	}
	if remote.Floor(earliest) < found.lease {
		return s.raise(ctx, key, found, *k, replay.Held)
	}
	*k = k.besides(found.kept)
	return changed, nil
}

// stale is the answer for a copy whose until has passed at the service. It claims nothing: taking such a
// claim back would take an expired claim away from its owner.
func (s *store) stale(ctx context.Context, key, digest [32]byte, server, until time.Time,
	k *kept) (replay.Status, error) {
	found, _, err := s.read(ctx, key)
	if err != nil {
		return 0, err
	}
	status, err := s.judge(ctx, key, digest, found, k)
	if err == nil && status == changed {
		return 0, remote.Forgotten(server, until)
	}
	return status, err
}

// raise keeps the item in the way for this copy of the event, too, and is its status. Nothing is written if
// it is kept for so long already. An item that is gone is not made again.
func (s *store) raise(ctx context.Context, key [32]byte, found item, k kept,
	status replay.Status) (replay.Status, error) {
	if found.until >= k.until {
		return status, nil
	}
	k = k.besides(found.kept)
	_, _, err := s.updateItem(ctx, s.update(key, "attribute_exists(#id) AND "+
		notLowered, "SET #until = :until, #forget = :forget",
		values{":until": number(k.until), ":forget": number(k.forget)}))
	switch lost := asLost(err); {
	case lost == nil:
		return status, nil
	case errors.Is(lost, replay.ErrClaimLost):
		return changed, nil
	default:
		return 0, lost
	}
}

func completedAs(done []byte, digest [32]byte) replay.Status {
	if subtle.ConstantTimeCompare(done, digest[:]) == 1 {
		return replay.Completed
	}
	return replay.CompletedOther
}

// given is New for a claim that was written, if the service, by its own clock, cannot have forgotten a
// completion. If it can, the claim is taken back. If that fails, the claim expires, and the next worker that
// asks gets the same answer.
func (s *store) given(ctx context.Context, claim replay.Claim, until time.Time,
	a *answer) (replay.Status, error) {
	if a.err == nil && a.date.Before(until) {
		return replay.New, nil
	}
	_ = s.Release(ctx, claim)
	if a.err != nil {
		return 0, remote.Unavailable(a.err)
	}
	return 0, remote.Forgotten(a.date, until)
}

// regain is the status of a claim that was written by an attempt whose answer was lost.
func (s *store) regain(ctx context.Context, claim replay.Claim, until time.Time) (replay.Status, error) {
	found, a, err := s.read(ctx, claim.Key)
	switch {
	case err != nil:
		return 0, err
	case !found.holds(claim.Token):
		return changed, nil
	}
	return s.given(ctx, claim, until, a)
}

// Renew is replay.Store.Renew.
func (s *store) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	if err := remote.CheckLease(ctx, lease); err != nil {
		return err
	}
	_, latest, err := s.times(ctx, claim.Key)
	if err != nil {
		return err
	}
	end := latest.Add(lease)
	update := s.update(claim.Key, mine, "SET #lease = :end", values{
		":claimed": text(phaseClaimed), ":token": binary(claim.Token[:]), ":end": number(remote.Millis(end)),
	})
	update.ReturnValues = types.ReturnValueAllNew
	out, _, err := s.updateItem(ctx, update)
	if err != nil {
		return asLost(err)
	}
	renewed, err := readItem(out.Attributes)
	if err != nil || renewed.forget >= s.forget(end) {
		return err
	}
	return s.keep(ctx, claim, end)
}

// keep keeps the item of a claim that outlives its until: the claim of a handler that runs so long must be
// completed as well.
func (s *store) keep(ctx context.Context, claim replay.Claim, end time.Time) error {
	_, _, err := s.updateItem(ctx, s.update(claim.Key, mine+
		" AND #forget < :forget", "SET #forget = :forget", values{
		":claimed": text(phaseClaimed), ":token": binary(claim.Token[:]), ":forget": number(s.forget(end)),
	}))
	if err == nil {
		return nil
	}
	found, err := s.inTheWay(ctx, claim.Key, err)
	switch {
	case err != nil:
		return err
	case found.holds(claim.Token): // a copy that came meanwhile keeps it for longer
		return nil
	}
	return replay.ErrClaimLost
}

// Complete is replay.Store.Complete.
func (s *store) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	if err := remote.CheckUntil(ctx, until); err != nil {
		return err
	}
	mark := remote.Token()
	k := s.keptUpTo(until)
	for range rounds {
		_, _, err := s.updateItem(ctx, s.update(claim.Key, mine+" AND "+notLowered,
			"SET #phase = :completed, #token = :mark, #until = :until, #forget = :forget REMOVE #lease",
			values{
				":claimed": text(phaseClaimed), ":completed": text(phaseCompleted),
				":token": binary(claim.Token[:]), ":mark": binary(mark[:]),
				":until": number(k.until), ":forget": number(k.forget),
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
		case !found.holds(claim.Token):
			return replay.ErrClaimLost
		}
		k = k.besides(found.kept) // for a later copy of the event
	}
	return errChanging
}

// Release is replay.Store.Release.
func (s *store) Release(ctx context.Context, claim replay.Claim) error {
	if err := remote.CheckContext(ctx); err != nil {
		return err
	}
	_, err := s.client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{
		TableName: &s.table, Key: itemKey(claim.Key), ConditionExpression: aws.String(mine),
		ExpressionAttributeNames:  map[string]string{"#phase": attrPhase, "#token": attrToken},
		ExpressionAttributeValues: values{":claimed": text(phaseClaimed), ":token": binary(claim.Token[:])},
	}, s.clock.answer().note)
	return asLost(err)
}

// asLost is the error of a write whose condition is that the caller owns the claim.
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

// inTheWay is the item for which the condition of a write failed with err. It comes with the error. If the
// service does not send it, it is read. A write that failed in any other way is ErrUnavailable.
func (s *store) inTheWay(ctx context.Context, key [32]byte, err error) (item, error) {
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
func (s *store) read(ctx context.Context, key [32]byte) (item, *answer, error) {
	out, a, err := s.getItem(ctx, key)
	if err != nil {
		return item{}, a, remote.Unavailable(err)
	}
	if out.Item == nil {
		return item{}, a, nil
	}
	found, err := readItem(out.Item)
	return found, a, err
}

// getItem reads the item as it is now.
func (s *store) getItem(ctx context.Context, key [32]byte) (*awsdynamodb.GetItemOutput, *answer, error) {
	a := s.clock.answer()
	in := &awsdynamodb.GetItemInput{TableName: &s.table, Key: itemKey(key), ConsistentRead: aws.Bool(true)}
	out, err := s.client.GetItem(ctx, in, a.note)
	return out, a, err
}

func (s *store) updateItem(ctx context.Context,
	in *awsdynamodb.UpdateItemInput) (*awsdynamodb.UpdateItemOutput, *answer, error) {
	a := s.clock.answer()
	out, err := s.client.UpdateItem(ctx, in, a.note)
	return out, a, err
}
