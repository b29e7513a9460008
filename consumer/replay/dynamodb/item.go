package dynamodb

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sealbus/sealbus/consumer/replay/internal/remote"
	"github.com/sealbus/sealbus/internal/claimtable"
)

// The attributes of an item. The partition key, claimtable.Key, is the event's IdempotencyKey in 64
// hexadecimal digits, so that an operator finds an item by the key in the log. claimtable.TTL is a number of
// seconds since 1970.
const (
	attrPhase  = "phase"     // "claimed" or "completed"
	attrToken  = "token"     // 16 bytes: of the claim, or the mark of the completion
	attrDigest = "digest"    // 32 bytes
	attrLease  = "lease_end" // milliseconds since 1970, of a claim
	attrUntil  = "until"     // milliseconds since 1970
)

const (
	phaseClaimed   = "claimed"
	phaseCompleted = "completed"
)

// mine is the condition that the caller owns the claim.
const mine = "#phase = :claimed AND #token = :token"

// names are the attributes by their names in expressions, since some of them are reserved words.
var names = map[string]string{
	"#phase": attrPhase, "#token": attrToken, "#digest": attrDigest, "#lease": attrLease, "#until": attrUntil,
	"#id": claimtable.Key, "#forget": claimtable.TTL,
}

type values = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func binary(b []byte) types.AttributeValue {
	return &types.AttributeValueMemberB{Value: bytes.Clone(b)}
}
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func itemKey(key [32]byte) values { return values{claimtable.Key: text(hex.EncodeToString(key[:]))} }

// forget is the time to live, in seconds since 1970, of an item that must be kept up to t.
func (s *store) forget(t time.Time) int64 { return (remote.Millis(t.Add(s.grace)) + 999) / 1000 }

// update makes a conditional write. The service refuses names that an expression does not use.
func (s *store) update(key [32]byte, condition, set string, v values) *awsdynamodb.UpdateItemInput {
	return &awsdynamodb.UpdateItemInput{
		TableName: &s.table, Key: itemKey(key), ConditionExpression: &condition, UpdateExpression: &set,
		ExpressionAttributeNames: namesIn(condition + " " + set), ExpressionAttributeValues: v,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

func namesIn(expression string) map[string]string {
	used := make(map[string]string)
	for name, attribute := range names {
		if strings.Contains(expression, name) {
			used[name] = attribute
		}
	}
	return used
}

// item is the content of an item that was read.
type item struct {
	phase         string
	token, digest []byte
	lease         int64 // milliseconds since 1970
	kept
}

// holds tells whether the item is the claim of that token.
func (i item) holds(token [16]byte) bool { return i.phase == phaseClaimed && i.has(token) }

// completedBy tells whether the item was completed with that mark.
func (i item) completedBy(mark [16]byte) bool { return i.phase == phaseCompleted && i.has(mark) }

func (i item) has(token [16]byte) bool { return subtle.ConstantTimeCompare(i.token, token[:]) == 1 }

// readItem reads an item, which must be one of ours.
func readItem(v values) (item, error) {
	i := item{phase: stringOf(v[attrPhase]), token: bytesOf(v[attrToken]), digest: bytesOf(v[attrDigest])}
	var leaseOK, untilOK, forgetOK bool
	i.lease, leaseOK = numberOf(v[attrLease])
	i.until, untilOK = numberOf(v[attrUntil])
	i.forget, forgetOK = numberOf(v[claimtable.TTL])
	sound := len(i.token) == 16 && len(i.digest) == 32 && untilOK && forgetOK
	if sound && (i.phase == phaseClaimed && leaseOK || i.phase == phaseCompleted) {
		return i, nil
	}
	return item{},
		remote.Unavailable(errors.New("the table holds something else than a claim under this key"))
}

func stringOf(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func bytesOf(v types.AttributeValue) []byte {
	if b, ok := v.(*types.AttributeValueMemberB); ok {
		return b.Value
	}
	return nil
}

func numberOf(v types.AttributeValue) (int64, bool) {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	return i, err == nil
}
