package localawstest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

var tableCases = map[string]func(*run){
	"life of a table":         lifeOfATable,
	"protection of a table":   protectionOfATable,
	"time to live":            timeToLive,
	"an item":                 anItem,
	"numbers":                 numbers,
	"conditions":              conditions,
	"refused expressions":     refusedExpressions,
	"refused items":           refusedItems,
	"a failed condition":      failedCondition,
	"item of a failed update": itemOfAFailedUpdate,
	"one of many":             oneOfMany,
	"counting":                counting,
}

type values = map[string]types.AttributeValue

func textOf(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func numberOf(n any) types.AttributeValue  { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }

// table makes one, and takes it away after the case.
func (r *run) table() (name string) {
	name = newName()
	_, err := r.tables.CreateTable(r.ctx, tableNamed(name))
	r.must(err)
	soon := func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 5*time.Second
	}
	r.must(dynamodb.NewTableExistsWaiter(r.tables, soon).Wait(r.ctx,
		&dynamodb.DescribeTableInput{TableName: &name}, time.Minute))
	r.undo = append(r.undo, func() error {
		_, err := r.tables.DeleteTable(r.ctx, &dynamodb.DeleteTableInput{TableName: &name})
		if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone {
			return nil
		}
		return err
	})
	return name
}

func tableNamed(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"),
			AttributeType: types.ScalarAttributeTypeS}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	}
}

func lifeOfATable(r *run) {
	name := r.table()
	_, err := r.tables.CreateTable(r.ctx, tableNamed(name))
	r.refused("a table that is there", err, "ResourceInUseException")
	out, err := r.tables.DescribeTable(r.ctx, &dynamodb.DescribeTableInput{TableName: &name})
	r.must(err)
	t := out.Table
	if *t.TableName != name || t.TableStatus != types.TableStatusActive || len(t.KeySchema) != 1 ||
		*t.KeySchema[0].AttributeName != "id" || t.KeySchema[0].KeyType != types.KeyTypeHash ||
		len(t.AttributeDefinitions) != 1 ||
		t.AttributeDefinitions[0].AttributeType != types.ScalarAttributeTypeS ||
		!strings.HasSuffix(aws.ToString(t.TableArn), ":table/"+name) {
		r.errorf("the table is %+v", t)
	}
	missing := newName()
	_, err = r.tables.DescribeTable(r.ctx, &dynamodb.DescribeTableInput{TableName: &missing})
	r.refused("a table that is missing", err, "ResourceNotFoundException")
	_, err = r.tables.GetItem(r.ctx, &dynamodb.GetItemInput{TableName: &missing, Key: values{"id": textOf("a")}})
	r.refused("an item of it", err, "ResourceNotFoundException")
	_, err = r.tables.CreateTable(r.ctx, tableNamed("a/b"))
	r.refused("a name that cannot be", err, "ValidationException")
	_, err = r.tables.DeleteTable(r.ctx, &dynamodb.DeleteTableInput{TableName: &name})
	r.must(err)
	_, err = r.tables.DescribeTable(r.ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if !r.immediate && err == nil {
		return // it is DELETING for some time
	}
	r.refused("a table that was deleted", err, "ResourceNotFoundException")
}

func protectionOfATable(r *run) {
	name := r.table()
	protect := func(on bool) {
		_, err := r.tables.UpdateTable(r.ctx, &dynamodb.UpdateTableInput{TableName: &name,
			DeletionProtectionEnabled: &on})
		r.must(err)
	}
	protect(true)
	_, err := r.tables.DeleteTable(r.ctx, &dynamodb.DeleteTableInput{TableName: &name})
	r.refused("to delete what is protected", err, "ValidationException")
	protect(false)
}

func timeToLive(r *run) {
	name := r.table()
	set := func(attribute string, on bool) error {
		_, err := r.tables.UpdateTimeToLive(r.ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &name,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &attribute, Enabled: &on}})
		return err
	}
	want := func(when string, status types.TimeToLiveStatus, attribute string) {
		out, err := r.tables.DescribeTimeToLive(r.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
		r.must(err)
		d := out.TimeToLiveDescription
		if d.TimeToLiveStatus != status && d.TimeToLiveStatus != types.TimeToLiveStatusEnabling ||
			aws.ToString(d.AttributeName) != attribute {
			r.errorf("%s: %+v", when, d)
		}
	}
	want("at first", types.TimeToLiveStatusDisabled, "")
	r.must(set("end", true))
	want("switched on", types.TimeToLiveStatusEnabled, "end")
	r.refused("to switch it on again", set("end", true), "ValidationException")
	missing := newName()
	_, err := r.tables.DescribeTimeToLive(r.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &missing})
	r.refused("of a table that is missing", err, "ResourceNotFoundException")
}

// item reads one; nil = it is not there.
func (r *run) item(table, id string) values {
	out, err := r.tables.GetItem(r.ctx, &dynamodb.GetItemInput{TableName: &table,
		Key: values{"id": textOf(id)}, ConsistentRead: aws.Bool(true)})
	r.must(err)
	return out.Item
}

func (r *run) wantItem(when string, got, want values) {
	if !reflect.DeepEqual(got, want) {
		r.errorf("%s: the item is %s, want %s%s", when, show(got), show(want), caller())
	}
}

func show(item values) string {
	var b strings.Builder
	for name, v := range item {
		fmt.Fprintf(&b, "%s=%+v ", name, reflect.Indirect(reflect.ValueOf(v)).FieldByName("Value"))
	}
	return "{" + strings.TrimSpace(b.String()) + "}"
}

// update makes an UpdateItem of the item "a".
func update(table, set, condition string, names map[string]string, v values) *dynamodb.UpdateItemInput {
	in := &dynamodb.UpdateItemInput{TableName: &table, Key: values{"id": textOf("a")}, UpdateExpression: &set,
		ExpressionAttributeNames: names, ExpressionAttributeValues: v}
	if condition != "" {
		in.ConditionExpression = &condition
	}
	return in
}

func anItem(r *run) {
	table := r.table()
	r.wantItem("before", r.item(table, "a"), nil)
	whole := values{
		"id": textOf("a"), "text": textOf("ü\x00 \U0001F600"), "n": numberOf(-12), "empty": textOf(""),
		"yes":   &types.AttributeValueMemberBOOL{Value: true},
		"bytes": &types.AttributeValueMemberB{Value: []byte{0, 255}},
		"null":  &types.AttributeValueMemberNULL{Value: true},
	}
	out, err := r.tables.PutItem(r.ctx, &dynamodb.PutItemInput{TableName: &table, Item: whole,
		ReturnValues: types.ReturnValueAllOld})
	r.must(err)
	r.wantItem("the answer to the first write", out.Attributes, nil)
	r.wantItem("put", r.item(table, "a"), whole)
	out, err = r.tables.PutItem(r.ctx, &dynamodb.PutItemInput{TableName: &table,
		Item: values{"id": textOf("a"), "n": numberOf(1)}, ReturnValues: types.ReturnValueAllOld})
	r.must(err)
	r.wantItem("what was replaced", out.Attributes, whole)
	in := update(table, "SET #n = :n, added = :a REMOVE #yes, absent", "",
		map[string]string{"#n": "n", "#yes": "yes"}, values{":n": numberOf(2), ":a": textOf("x")})
	in.ReturnValues = types.ReturnValueAllNew
	changed, err := r.tables.UpdateItem(r.ctx, in)
	r.must(err)
	want := values{"id": textOf("a"), "n": numberOf(2), "added": textOf("x")}
	r.wantItem("the answer to an update", changed.Attributes, want)
	r.wantItem("updated", r.item(table, "a"), want)
	remove := &dynamodb.DeleteItemInput{TableName: &table, Key: values{"id": textOf("a")},
		ReturnValues: types.ReturnValueAllOld}
	gone, err := r.tables.DeleteItem(r.ctx, remove)
	r.must(err)
	r.wantItem("what was deleted", gone.Attributes, want)
	r.wantItem("after", r.item(table, "a"), nil)
	gone, err = r.tables.DeleteItem(r.ctx, remove)
	r.must(err)
	r.wantItem("nothing to delete", gone.Attributes, nil)
	_, err = r.tables.UpdateItem(r.ctx, update(table, "SET n = :n", "", nil, values{":n": numberOf(5)}))
	r.must(err)
	r.wantItem("made by an update", r.item(table, "a"), values{"id": textOf("a"), "n": numberOf(5)})
}

// numbers are kept as values, and not as texts.
func numbers(r *run) {
	table := r.table()
	for text, want := range map[string]string{
		"007": "7", "1.50": "1.5", "-0": "0", "100": "100", "-12.0": "-12", "0.001": "0.001",
		"12345678901234567890123456789012345678": "12345678901234567890123456789012345678",
	} {
		_, err := r.tables.PutItem(r.ctx, &dynamodb.PutItemInput{TableName: &table,
			Item: values{"id": textOf("a"), "n": numberOf(text)}})
		r.must(err)
		r.wantItem(text, r.item(table, "a"), values{"id": textOf("a"), "n": numberOf(want)})
	}
	for _, text := range []string{"", "x", "1x", "0x10", "1e999", "123456789012345678901234567890123456789"} {
		_, err := r.tables.PutItem(r.ctx, &dynamodb.PutItemInput{TableName: &table,
			Item: values{"id": textOf("b"), "n": numberOf(text)}})
		r.refused(fmt.Sprintf("%q as a number", text), err, "ValidationException")
	}
}

func conditions(r *run) {
	table := r.table()
	_, err := r.tables.PutItem(r.ctx, &dynamodb.PutItemInput{TableName: &table,
		Item: values{"id": textOf("a"), "n": numberOf(10), "s": textOf("m")}})
	r.must(err)
	v := values{":9": numberOf(9), ":10": numberOf("10.0"), ":11": numberOf(11), ":m": textOf("m")}
	for condition, want := range map[string]bool{
		"n = :10": true, "n = :9": false, "n <> :9": true, "n <> :10": false,
		"n < :11": true, "n < :10": false, "n < :9": false, "n <= :10": true, "n <= :9": false,
		"n > :9": true, "n > :10": false, "n >= :10": true, "n >= :11": false,
		"s = :m": true, "s >= :m": true, "s < :m": false,
		"s = :9": false, "s < :9": false, "s > :9": false, "s <> :9": true, // of two types
		"x = :9": false, "x <> :9": true, "x < :9": false, "x > :9": false, // missing
		"attribute_exists(n)": true, "attribute_exists(x)": false,
		"attribute_not_exists(n)": false, "attribute_not_exists(x)": true,
		"n = :10 AND s = :m": true, "n = :9 AND s = :m": false, "n = :9 OR s = :m": true,
		"n = :10 OR n = :9 AND s = :9":                     true, // AND binds tighter
		"(n = :10 OR n = :9) AND s = :9":                   false,
		"attribute_not_exists(n) OR (n <= :10 AND s = :m)": true,
	} {
		used := values{}
		for name, value := range v {
			if strings.Contains(condition+" ", name+" ") || strings.Contains(condition, name+")") {
				used[name] = value
			}
		}
		used[":z"] = textOf(condition)
		_, err := r.tables.UpdateItem(r.ctx, update(table, "SET z = :z", condition, nil, used))
		if _, failed := errors.AsType[*types.ConditionalCheckFailedException](err); failed {
			err = nil
			if want {
				r.errorf("%s does not hold", condition)
			}
		} else if err == nil && !want {
			r.errorf("%s holds", condition)
		}
		if err != nil {
			r.errorf("%s: %v", condition, err)
		}
	}
}

func refusedExpressions(r *run) {
	table := r.table()
	n, more := values{":n": numberOf(1)}, values{":n": numberOf(1), ":x": numberOf(2)}
	for name, in := range map[string]*dynamodb.UpdateItemInput{
		"a value that is not used":    update(table, "SET n = :n", "", nil, more),
		"a value that is missing":     update(table, "SET n = :m", "", nil, n),
		"a name that is not used":     update(table, "SET n = :n", "", map[string]string{"#x": "x"}, n),
		"a name that is missing":      update(table, "SET #n = :n", "", nil, n),
		"the key":                     update(table, "SET id = :n", "", nil, n),
		"the key removed":             update(table, "SET n = :n REMOVE id", "", nil, n),
		"one attribute twice":         update(table, "SET n = :n, n = :n", "", nil, n),
		"set and removed":             update(table, "SET n = :n REMOVE n", "", nil, n),
		"an empty update":             update(table, "SET", "", nil, nil),
		"no update":                   update(table, "", "", nil, nil),
		"a comma too many":            update(table, "SET n = :n,", "", nil, n),
		"no comparison":               update(table, "SET n = :n", "n", nil, n),
		"a parenthesis too few":       update(table, "SET n = :n", "(n = :n", nil, n),
		"a parenthesis too many":      update(table, "SET n = :n", "n = :n)", nil, n),
		"an operator that is none":    update(table, "SET n = :n", "n == :n", nil, n),
		"a function that is none":     update(table, "SET n = :n", "exists(n)", nil, n),
		"an empty condition":          update(table, "SET n = :n", " ", nil, n),
		"a condition that goes on":    update(table, "SET n = :n", "n = :n n = :n", nil, n),
		"a condition that breaks off": update(table, "SET n = :n", "n = :n AND", nil, n),
	} {
		_, err := r.tables.UpdateItem(r.ctx, in)
		r.refused(name, err, "ValidationException")
	}
	r.wantItem("after all", r.item(table, "a"), nil)
}

func refusedItems(r *run) {
	table := r.table()
	for name, item := range map[string]values{
		"no key":           {"n": numberOf(1)},
		"a key of numbers": {"id": numberOf(1)},
		"an empty key":     {"id": textOf("")},
		"a long key":       {"id": textOf(strings.Repeat("x", 2049))},
		"a large item":     {"id": textOf("a"), "x": textOf(strings.Repeat("x", 400<<10))},
	} {
		_, err := r.tables.PutItem(r.ctx, &dynamodb.PutItemInput{TableName: &table, Item: item})
		r.refused(name, err, "ValidationException")
	}
	_, err := r.tables.GetItem(r.ctx, &dynamodb.GetItemInput{TableName: &table,
		Key: values{"id": textOf("a"), "n": numberOf(1)}})
	r.refused("a key with more", err, "ValidationException")
}

const failed = "ConditionalCheckFailedException"

// failedCondition: nothing is changed.
func failedCondition(r *run) {
	table := r.table()
	item := values{"id": textOf("a"), "n": numberOf(1)}
	put := &dynamodb.PutItemInput{TableName: &table, Item: item,
		ConditionExpression: aws.String("attribute_not_exists(id)")}
	_, err := r.tables.PutItem(r.ctx, put)
	r.must(err)
	put.Item = values{"id": textOf("a"), "n": numberOf(2)}
	_, err = r.tables.PutItem(r.ctx, put)
	r.refused("an item that is there", err, failed)
	_, err = r.tables.DeleteItem(r.ctx, &dynamodb.DeleteItemInput{TableName: &table,
		Key: values{"id": textOf("a")}, ConditionExpression: aws.String("n = :n"),
		ExpressionAttributeValues: values{":n": numberOf(2)}})
	r.refused("a delete", err, failed)
	_, err = r.tables.UpdateItem(r.ctx, update(table, "SET n = :n", "n = :n", nil, values{":n": numberOf(2)}))
	r.refused("an update", err, failed)
	r.wantItem("after all", r.item(table, "a"), item)
	missing := update(table, "SET n = :n", "n = :n", nil, values{":n": numberOf(2)})
	missing.Key = values{"id": textOf("b")}
	_, err = r.tables.UpdateItem(r.ctx, missing)
	r.refused("an update of nothing", err, failed)
	r.wantItem("nothing is made", r.item(table, "b"), nil)
}

// itemOfAFailedUpdate: who asks for the item in the way gets it with the error. If there is none, none comes.
func itemOfAFailedUpdate(r *run) {
	table := r.table()
	item := values{"id": textOf("a"), "n": numberOf(1)}
	_, err := r.tables.PutItem(r.ctx, &dynamodb.PutItemInput{TableName: &table, Item: item})
	r.must(err)
	for id, want := range map[string]values{"a": item, "b": nil} {
		for _, asked := range []bool{true, false} {
			in := update(table, "SET n = :n", "n = :n", nil, values{":n": numberOf(2)})
			in.Key = values{"id": textOf(id)}
			if asked {
				in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
			} else {
				want = nil
			}
			_, err := r.tables.UpdateItem(r.ctx, in)
			e, is := errors.AsType[*types.ConditionalCheckFailedException](err)
			if !is {
				r.errorf("%v", err)
				continue
			}
			r.wantItem(id, e.Item, want)
		}
	}
}

// together runs calls at the same time, and counts those that hold their condition.
func (r *run) together(calls int, call func(i int) error) (held int64) {
	var all sync.WaitGroup
	var n, other atomic.Int64
	for i := range calls {
		all.Go(func() {
			switch err := call(i); {
			case err == nil:
				n.Add(1)
			case CodeOf(err) != failed:
				other.Add(1)
			}
		})
	}
	all.Wait()
	if other.Load() > 0 {
		r.errorf("%d of %d calls failed otherwise", other.Load(), calls)
	}
	return n.Load()
}

// oneOfMany: of those who make one item at the same time, one does.
func oneOfMany(r *run) {
	table := r.table()
	if held := r.together(16, func(i int) error {
		_, err := r.tables.UpdateItem(r.ctx, update(table, "SET n = :n", "attribute_not_exists(id)", nil,
			values{":n": numberOf(i)}))
		return err
	}); held != 1 {
		r.errorf("%d of 16 made it", held)
	}
}

// counting: of those who set n from 0 to 1, from 1 to 2 and so on, no two do the same.
func counting(r *run) {
	table := r.table()
	for n := range 8 {
		condition, v := "n = :old", values{":old": numberOf(n - 1), ":n": numberOf(n)}
		if n == 0 {
			condition, v = "attribute_not_exists(id)", values{":n": numberOf(0)}
		}
		if held := r.together(8, func(int) error {
			_, err := r.tables.UpdateItem(r.ctx, update(table, "SET n = :n", condition, nil, v))
			return err
		}); held != 1 {
			r.errorf("%d of 8 set %d", held, n)
		}
	}
	r.wantItem("at last", r.item(table, "a"), values{"id": textOf("a"), "n": numberOf(7)})
}
