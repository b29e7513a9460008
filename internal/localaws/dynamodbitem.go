package localaws

import (
	"bytes"
	"cmp"
	"maps"
	"math/big"
	"strings"
	"unicode/utf8"
)

// attributes are an item, a key or the values of expressions.
type attributes map[string]attributeValue

// attributeValue is a value as the protocol has it. One of its fields is set. Sets, lists and maps are not
// there.
type attributeValue struct {
	S    *string `json:",omitempty"`
	N    *string `json:",omitempty"`
	B    *[]byte `json:",omitempty"`
	BOOL *bool   `json:",omitempty"`
	NULL *bool   `json:",omitempty"`
}

// Limits of DynamoDB.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	maxItem         = 400 << 10 // bytes of names and values together
	maxPartitionKey = 2048      // bytes
	maxNumber       = 38        // digits
)

// plainNumbers have no exponent. The local DynamoDB takes no other.
var plainNumbers = expression(`^-?[0-9]+(\.[0-9]+)?$`)

// number is the value of a number; nil = it is none.
func (v *attributeValue) number() *big.Rat {
	if v.N == nil || len(*v.N) > 2*maxNumber || !matches(plainNumbers, *v.N) {
		return nil
	}
	n, _ := new(big.Rat).SetString(*v.N)
	return n
}

// normalise checks a value. It writes a number in the one way in which DynamoDB gives it back.
func (v *attributeValue) normalise() error {
	set := 0
	for _, there := range [...]bool{v.S != nil, v.N != nil, v.B != nil, v.BOOL != nil, v.NULL != nil} {
		if there {
			set++
		}
	}
	switch {
	case set != 1:
		return invalid("Supplied AttributeValue has %d types, must contain exactly one of the supported datatypes",
			set)
	case v.S != nil && !utf8.ValidString(*v.S):
		return invalid("A string is not UTF-8")
	case v.NULL != nil && !*v.NULL:
		return invalid("Null attribute value types must have the value of true")
	case v.N == nil:
		return nil
	}
	n := v.number()
	if n == nil {
		return invalid("The local DynamoDB takes numbers such as -12.5, without an exponent; this is none: %.80q",
			*v.N)
	}
	digits, _ := n.FloatPrec()
	text := n.FloatString(digits)
	if len(strings.TrimLeft(strings.ReplaceAll(text, ".", ""), "-0")) > maxNumber {
		return invalid("Attempting to store more than %d significant digits in a Number", maxNumber)
	}
	v.N = &text
	return nil
}

func (v *attributeValue) size() int {
	switch {
	case v.S != nil:
		return len(*v.S)
	case v.N != nil:
		return len(*v.N)/2 + 1
	case v.B != nil:
		return len(*v.B)
	}
	return 1
}

// compare orders two values of one type; ok = false: they have no order, or two types.
func (v *attributeValue) compare(w *attributeValue) (order int, ok bool) {
	switch {
	case v.S != nil && w.S != nil:
		return strings.Compare(*v.S, *w.S), true
	case v.N != nil && w.N != nil:
		return v.number().Cmp(w.number()), true
	case v.B != nil && w.B != nil:
		return bytes.Compare(*v.B, *w.B), true
	}
	return 0, false
}

func (v *attributeValue) equal(w *attributeValue) bool {
	if order, ok := v.compare(w); ok {
		return order == 0
	}
	return v.BOOL != nil && w.BOOL != nil && *v.BOOL == *w.BOOL || v.NULL != nil && w.NULL != nil
}

// normalise checks the values.
func (a attributes) normalise() error {
	for name, v := range a {
		if err := v.normalise(); err != nil {
			return err
		}
		a[name] = v
	}
	return nil
}

// keyOf is the partition key of an item or of a key.
func (t *table) keyOf(a attributes) (string, error) {
	id := a[t.Hash].S
	switch {
	case id == nil:
		return "", invalid("The provided key element does not match the schema")
	case *id == "" || len(*id) > maxPartitionKey:
		return "", invalid("One or more parameter values are not valid: the key %s must have 1 to %d bytes",
			t.Hash, maxPartitionKey)
	}
	return *id, nil
}

// itemInput is the input of each operation on an item. An operation refuses the parameters of others.
type itemInput struct {
	TableName                           string
	Key, Item                           attributes
	ConsistentRead                      bool
	ConditionExpression                 *string
	UpdateExpression                    *string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           attributes
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
}

type itemOutput struct {
	Item       attributes `json:",omitempty"`
	Attributes attributes `json:",omitempty"`
}

// onItem finds the table and the item that the input is for, and checks the input.
func (s *Server) onItem(in *itemInput) (t *table, id string, old attributes, err error) {
	if t, err = s.findTable(in.TableName); err != nil {
		return nil, "", nil, err
	}
	for _, a := range []attributes{in.Key, in.Item, in.ExpressionAttributeValues} {
		if err := a.normalise(); err != nil {
			return nil, "", nil, err
		}
	}
	key := in.Key
	if in.Item != nil {
		key = in.Item
	} else if len(key) != 1 {
		return nil, "", nil, invalid("The provided key element does not match the schema")
	}
	if id, err = t.keyOf(key); err != nil {
		return nil, "", nil, err
	}
	switch in.ReturnValuesOnConditionCheckFailure {
	case "", "NONE", "ALL_OLD":
	default:
		return nil, "", nil, invalid("ReturnValuesOnConditionCheckFailure must be NONE or ALL_OLD")
	}
	return t, id, t.items[id], nil
}

// notOf refuses parameters that belong to other operations.
func notOf(operation string, there ...bool) error {
	for _, is := range there {
		if is {
			return invalid("The input of %s has a parameter of another operation", operation)
		}
	}
	return nil
}

// returned is the answer to a write, by its ReturnValues.
func (in *itemInput) returned(old, now attributes) *itemOutput {
	switch in.ReturnValues {
	case "ALL_OLD":
		return &itemOutput{Attributes: old}
	case "ALL_NEW":
		return &itemOutput{Attributes: now}
	}
	return &itemOutput{}
}

// checkReturn refuses what an operation does not return.
func (in *itemInput) checkReturn(values ...string) error {
	for _, v := range append(values, "", "NONE") {
		if in.ReturnValues == v {
			return nil
		}
	}
	return invalid("ReturnValues must be NONE or one of %v in the local DynamoDB", values)
}

// failed is the answer to a write whose condition does not hold: the error, and what it carries.
func (in *itemInput) failed(old attributes) (*itemOutput, error) {
	out := &itemOutput{}
	if in.ReturnValuesOnConditionCheckFailure == "ALL_OLD" {
		out.Item = old
	}
	return out, refuse("ConditionalCheckFailedException", "The conditional request failed")
}

func (s *Server) getItem(in *itemInput) (*itemOutput, error) {
	err := notOf("GetItem", in.Item != nil, in.ConditionExpression != nil, in.UpdateExpression != nil,
		in.ExpressionAttributeNames != nil, in.ExpressionAttributeValues != nil, in.ReturnValues != "",
		in.ReturnValuesOnConditionCheckFailure != "")
	if err != nil {
		return nil, err
	}
	_, _, item, err := s.onItem(in)
	if err != nil {
		return nil, err
	}
	return &itemOutput{Item: item}, nil
}

func (s *Server) putItem(in *itemInput) (*itemOutput, error) {
	if err := cmp.Or(
		notOf("PutItem", in.Key != nil, in.Item == nil, in.UpdateExpression != nil, in.ConsistentRead),
		in.checkReturn("ALL_OLD")); err != nil {
		return nil, err
	}
	t, id, old, err := s.onItem(in)
	if err != nil {
		return nil, err
	}
	e, err := in.expressions()
	switch {
	case err != nil:
		return nil, err
	case !e.holds(old):
		return in.failed(old)
	}
	if err := s.write(t, id, in.Item); err != nil {
		return nil, err
	}
	return in.returned(old, in.Item), nil
}

func (s *Server) updateItem(in *itemInput) (*itemOutput, error) {
	if err := cmp.Or(notOf("UpdateItem", in.Item != nil, in.ConsistentRead),
		in.checkReturn("ALL_OLD", "ALL_NEW")); err != nil {
		return nil, err
	}
	t, id, old, err := s.onItem(in)
	if err != nil {
		return nil, err
	}
	e, err := in.expressions()
	switch {
	case err != nil:
		return nil, err
	case e.changes(t.Hash):
		return nil, invalid("One or more parameter values were invalid: Cannot update attribute %s. "+
			"This attribute is part of the key", t.Hash)
	case !e.holds(old):
		return in.failed(old)
	}
	now := maps.Clone(old)
	if now == nil {
		now = maps.Clone(in.Key)
	}
	maps.Copy(now, e.set)
	for _, name := range e.remove {
		delete(now, name)
	}
	if err := s.write(t, id, now); err != nil {
		return nil, err
	}
	return in.returned(old, now), nil
}

func (s *Server) deleteItem(in *itemInput) (*itemOutput, error) {
	if err := cmp.Or(notOf("DeleteItem", in.Item != nil, in.UpdateExpression != nil, in.ConsistentRead),
		in.checkReturn("ALL_OLD")); err != nil {
		return nil, err
	}
	t, id, old, err := s.onItem(in)
	if err != nil {
		return nil, err
	}
	e, err := in.expressions()
	switch {
	case err != nil:
		return nil, err
	case !e.holds(old):
		return in.failed(old)
	}
	if old != nil {
		s.removeItem(t, id)
	}
	return in.returned(old, nil), nil
}

// sweepEvery is how many writes there are between two looks for items that have expired. DynamoDB deletes
// them within days.
const sweepEvery = 4096

// write makes or replaces an item.
func (s *Server) write(t *table, id string, item attributes) error {
	size := 0
	for name, v := range item {
		size += len(name) + v.size()
	}
	if size > maxItem {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	t.items[id] = item
	s.journal.put(itemRows, t.Name+"/"+id, item)
	if t.writes++; t.writes >= sweepEvery {
		t.writes = 0
		s.expire(t)
	}
	return nil
}

func (s *Server) removeItem(t *table, id string) {
	delete(t.items, id)
	s.journal.remove(itemRows, t.Name+"/"+id)
}

// expire deletes the items whose time to live is over.
func (s *Server) expire(t *table) {
	if t.TTL == "" {
		return
	}
	now := new(big.Rat).SetInt64(s.opts.Now().Unix())
	for id, item := range t.items {
		v := item[t.TTL]
		if end := v.number(); end != nil && end.Cmp(now) < 0 {
			s.removeItem(t, id)
		}
	}
}
