package orderstest

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Tables is a DynamoDB that knows as much as the examples use: PutItem if there is no such item, and what
// package replay/dynamodb writes. It refuses what it does not know. Module interop runs the same tests on an
// emulator.
type Tables struct {
	mu    sync.Mutex
	items map[string]attributes // by table and ID
	down  bool

	refused []string
}

// attributes are values as the protocol has them: {"S":"text"}.
type attributes = map[string]map[string]string

type tableRequest struct {
	TableName                 string
	Key, Item                 attributes
	ConditionExpression       string
	UpdateExpression          string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues attributes
	ReturnValues              string
	ConsistentRead            bool

	ReturnValuesOnConditionCheckFailure string
}

// Charges are the items of the ledger: the text of an attribute, by ID.
func (t *Tables) Charges(attribute string) map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	charges := make(map[string]string)
	for id, item := range t.items {
		if key, ok := strings.CutPrefix(id, ledgerTable+" "); ok {
			charges[key] = item[attribute]["S"]
		}
	}
	return charges
}

// SetDown makes every request fail, or lets them pass again.
func (t *Tables) SetDown(down bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = down
}

// ServeHTTP is one request.
func (t *Tables) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	var in tableRequest
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	if err := dec.Decode(&in); err != nil || t.down {
		failTable(w, "ResourceNotFoundException", nil)
		return
	}
	answer, err := t.serve(operation, &in)
	switch err := err.(type) {
	case nil:
		answerTable(w, http.StatusOK, answer)
	case *conditionFailed:
		failTable(w, "ConditionalCheckFailedException", err.item)
	default:
		t.refused = append(t.refused, fmt.Sprintf("%s: %v: %+v", operation, err, in))
		failTable(w, "ValidationException", nil)
	}
}

// misunderstood are the requests that the tables did not understand. To a consumer each is an outage, so it
// tries again without end.
func (t *Tables) misunderstood() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.refused)
}

func failTable(w http.ResponseWriter, code string, item attributes) {
	fields := map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": code}
	if item != nil {
		fields["Item"] = item
	}
	answerTable(w, http.StatusBadRequest, fields)
}

// answerTable writes an answer with the checksum that the SDK compares.
func answerTable(w http.ResponseWriter, status int, fields map[string]any) {
	body, err := json.Marshal(fields)
	if err != nil {
		panic(err) // they are maps of text
	}
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	w.Write(body)
}

type conditionFailed struct{ item attributes }

func (*conditionFailed) Error() string { return "the condition failed" }

func (t *Tables) serve(operation string, in *tableRequest) (map[string]any, error) {
	key := in.Key
	if operation == "PutItem" {
		key = attributes{"id": in.Item["id"]}
	}
	id := in.TableName + " " + key["id"]["S"]
	old := t.items[id]
	if operation == "GetItem" {
		if old == nil {
			return map[string]any{}, nil
		}
		return map[string]any{"Item": old}, nil
	}
	if met, err := in.met(old); err != nil || !met {
		return nil, errOr(err, &conditionFailed{item: old})
	}
	switch operation {
	case "PutItem":
		t.items[id] = in.Item
	case "DeleteItem":
		delete(t.items, id)
	case "UpdateItem":
		changed, err := in.update(old)
		if err != nil {
			return nil, err
		}
		t.items[id] = changed
		return map[string]any{"Attributes": changed}, nil
	default:
		return nil, fmt.Errorf("operation %q", operation)
	}
	return map[string]any{}, nil
}

func errOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// met judges the condition: terms joined by AND, of which some are attribute_exists(x), perhaps all in
// parentheses behind "attribute_not_exists(x) OR".
func (in *tableRequest) met(item attributes) (bool, error) {
	terms := in.ConditionExpression
	if terms == "" {
		return true, nil
	}
	if rest, ok := strings.CutPrefix(terms, "attribute_not_exists("); ok {
		name, rest, _ := strings.Cut(rest, ")")
		if _, there := item[in.name(name)]; !there {
			return true, nil
		}
		if terms, ok = strings.CutPrefix(rest, " OR "); !ok {
			return false, nil
		}
		terms = strings.Trim(terms, "()")
	}
	for term := range strings.SplitSeq(terms, " AND ") {
		if name, ok := strings.CutPrefix(term, "attribute_exists("); ok {
			if _, there := item[in.name(strings.TrimSuffix(name, ")"))]; !there {
				return false, nil
			}
			continue
		}
		if ok, err := in.compare(item, strings.Fields(term)); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (in *tableRequest) name(n string) string {
	if real, ok := in.ExpressionAttributeNames[n]; ok {
		return real
	}
	return n
}

func (in *tableRequest) compare(item attributes, term []string) (bool, error) {
	if len(term) != 3 {
		return false, fmt.Errorf("term %q", term)
	}
	have, want := item[in.name(term[0])], in.ExpressionAttributeValues[term[2]]
	switch term[1] {
	case "=":
		return have != nil && maps.Equal(have, want), nil
	case "<=":
		a, err := strconv.ParseInt(have["N"], 10, 64)
		b, bad := strconv.ParseInt(want["N"], 10, 64)
		return err == nil && bad == nil && a <= b, nil
	}
	return false, fmt.Errorf("operator %q", term[1])
}

// update is what "SET a = :v, ... REMOVE b" makes of an item.
func (in *tableRequest) update(item attributes) (attributes, error) {
	changed := maps.Clone(item)
	if changed == nil {
		changed = maps.Clone(in.Key)
	}
	set, remove, _ := strings.Cut(strings.TrimPrefix(in.UpdateExpression, "SET "), " REMOVE ")
	for clause := range strings.SplitSeq(set, ", ") {
		name, value, _ := strings.Cut(clause, " = ")
		v := in.ExpressionAttributeValues[value]
		if v == nil {
			return nil, fmt.Errorf("clause %q", clause)
		}
		changed[in.name(name)] = v
	}
	delete(changed, in.name(remove))
	return changed, nil
}
