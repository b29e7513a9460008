package dynamodb_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// fake is one DynamoDB table that speaks the real protocol to the real client: UpdateItem, GetItem and
// DeleteItem, with as much of their expressions as is a list of terms joined by AND, perhaps in parentheses
// behind "attribute_not_exists(x) OR". It refuses what it does not know, and names and values that no
// expression uses, as the service does. An update makes an item that is not there. The same store is tested
// against an emulator in module interop.
type fake struct {
	mu    sync.Mutex
	items map[string]attributes

	returnsItems bool             // on a failed condition, as the service does and emulators do not
	now          func() time.Time // of the header Date; nil = it has none
	refuse       string           // an error code for everything
	loseAnswers  int              // how many answers are lost after the write
	before       func(operation string)
	expires      bool              // items are deleted as soon as their time to live has passed
	header       map[string]string // is added to each answer
	calls        map[string]int    // how many there were of each operation
}

// attributes are values as the protocol has them: {"S":"text"}.
type attributes = map[string]map[string]string

type request struct {
	TableName                           string
	Key                                 attributes
	ConditionExpression                 string
	UpdateExpression                    string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           attributes
	ReturnValuesOnConditionCheckFailure string
	ReturnValues                        string
	ConsistentRead                      bool
}

const table = "claims"

// newFake starts the fake and makes a client that does not wait between attempts.
func newFake(t *testing.T) (*fake, *awsdynamodb.Client) {
	t.Helper()
	f := &fake{items: make(map[string]attributes), returnsItems: true, now: time.Now,
		calls: make(map[string]int)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, newClient(server.URL)
}

// change changes the fake between requests.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func newClient(url string) *awsdynamodb.Client {
	return awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &url, RetryMaxAttempts: 2,
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""),
		Retryer:     impatient{},
	})
}

// impatient tries everything twice, at once, but for the failed conditions that no client tries again.
type impatient struct{ aws.NopRetryer }

func (impatient) IsErrorRetryable(err error) bool {
	_, failed := errors.AsType[*types.ConditionalCheckFailedException](err)
	return !failed
}

func (impatient) MaxAttempts() int                             { return 2 }
func (impatient) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before != nil {
		before(operation)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header()["Date"] = nil
	if f.now != nil {
		w.Header().Set("Date", f.now().UTC().Format(http.TimeFormat))
	}
	for name, value := range f.header {
		w.Header().Set(name, value)
	}
	f.calls[operation]++
	f.expire()
	if f.refuse != "" {
		fail(w, f.refuse, nil)
		return
	}
	var in request
	if err := readRequest(r.Body, &in); err != nil || in.TableName != table {
		fail(w, "ValidationException", nil)
		return
	}
	f.serve(w, operation, in)
}

// expire deletes what may be deleted.
func (f *fake) expire() {
	if !f.expires {
		return
	}
	for id, item := range f.items {
		if at, err := strconv.ParseInt(item["forget_at"]["N"], 10, 64); err == nil && at <= f.now().Unix() {
			delete(f.items, id)
		}
	}
}

// unused is a name or a value of the request that no expression uses, which the service refuses.
func (in *request) unused() bool {
	used := map[string]bool{}
	for word := range strings.FieldsFuncSeq(in.ConditionExpression+" "+
		in.UpdateExpression, func(r rune) bool { return strings.ContainsRune(" ,()", r) }) {
		used[word] = true
	}
	for name := range in.ExpressionAttributeNames {
		if !used[name] {
			return true
		}
	}
	for value := range in.ExpressionAttributeValues {
		if !used[value] {
			return true
		}
	}
	return false
}

func readRequest(body io.Reader, in *request) error {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	return dec.Decode(in)
}

func (f *fake) serve(w http.ResponseWriter, operation string, in request) {
	id := in.Key["id"]["S"]
	old := f.items[id]
	if operation == "GetItem" && in.ConsistentRead {
		answer(w, map[string]any{"Item": old}, old == nil)
		return
	}
	met, err := in.condition(old)
	changed, bad := in.update(old)
	switch {
	case err != nil || bad != nil || id == "" || in.unused():
		fail(w, "ValidationException", nil)
		return
	case !met && f.returnsItems && in.ReturnValuesOnConditionCheckFailure == "ALL_OLD":
		fail(w, "ConditionalCheckFailedException", old)
		return
	case !met:
		fail(w, "ConditionalCheckFailedException", nil)
		return
	case operation == "DeleteItem":
		delete(f.items, id)
	case operation == "UpdateItem":
		f.items[id] = changed
	default:
		fail(w, "UnknownOperationException", nil)
		return
	}
	if f.loseAnswers > 0 {
		f.loseAnswers--
		panic(http.ErrAbortHandler)
	}
	answer(w, map[string]any{"Attributes": f.items[id]}, in.ReturnValues != "ALL_NEW")
}

func answer(w http.ResponseWriter, body map[string]any, empty bool) {
	if empty {
		body = map[string]any{}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, code string, item attributes) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	body := map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": code}
	if item != nil {
		body["Item"] = item
	}
	json.NewEncoder(w).Encode(body)
}

// condition judges the ConditionExpression.
func (in *request) condition(item attributes) (bool, error) {
	terms := in.ConditionExpression
	if first, rest, either := strings.Cut(terms, " OR "); either {
		name, ok := strings.CutPrefix(first, "attribute_not_exists(")
		if !ok {
			return false, fmt.Errorf("condition %q", first)
		}
		if item[in.ExpressionAttributeNames[strings.TrimSuffix(name, ")")]] == nil {
			return true, nil
		}
		terms = strings.Trim(rest, "()")
	}
	for term := range strings.SplitSeq(terms, " AND ") {
		if ok, err := in.compare(item, strings.Fields(term)); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// compare judges one term: what is missing is never equal to, nor less than, anything.
func (in *request) compare(item attributes, term []string) (bool, error) {
	if len(term) == 1 && strings.HasPrefix(term[0], "attribute_exists(") {
		return item[in.ExpressionAttributeNames[strings.TrimSuffix(strings.TrimPrefix(term[0],
			"attribute_exists("), ")")]] != nil, nil
	}
	if len(term) != 3 {
		return false, fmt.Errorf("term %q", term)
	}
	have, want := item[in.ExpressionAttributeNames[term[0]]], in.ExpressionAttributeValues[term[2]]
	if want == nil {
		return false, fmt.Errorf("no value %q", term[2])
	}
	switch term[1] {
	case "=":
		return have != nil && maps.Equal(have, want), nil
	case "<=", "<":
		a, err := strconv.ParseInt(have["N"], 10, 64)
		b, bad := strconv.ParseInt(want["N"], 10, 64)
		return err == nil && bad == nil && (a < b || a == b && term[1] == "<="), nil
	}
	return false, fmt.Errorf("operator %q", term[1])
}

// update is the item that the UpdateExpression makes of another: SET a = :v, ... REMOVE b.
func (in *request) update(item attributes) (attributes, error) {
	changed := maps.Clone(item)
	if changed == nil {
		changed = maps.Clone(in.Key)
	}
	set, remove, _ := strings.Cut(strings.TrimPrefix(in.UpdateExpression, "SET "), " REMOVE ")
	if set == "" {
		return changed, nil
	}
	for clause := range strings.SplitSeq(set, ", ") {
		name, value, _ := strings.Cut(clause, " = ")
		attribute, v := in.ExpressionAttributeNames[name], in.ExpressionAttributeValues[value]
		if attribute == "" || v == nil {
			return nil, fmt.Errorf("clause %q", clause)
		}
		changed[attribute] = v
	}
	delete(changed, in.ExpressionAttributeNames[remove])
	return changed, nil
}
