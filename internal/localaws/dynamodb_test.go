package localaws_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/internal/claimtable"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
	"github.com/sealbus/sealbus/internal/testbed/cases"
)

func newTableClient(url string) *awsdynamodb.Client {
	return awsdynamodb.New(awsdynamodb.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(url), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}

func TestTableContract(t *testing.T) {
	w := newWorld(t, &localaws.Options{Dir: t.TempDir()})
	localawstest.DynamoDB(t, newTableClient(w.server.URL()), &localawstest.Differences{Immediate: true})
}

// TestClaims is the contract of replay stores, over a table that sealbus makes.
func TestClaims(t *testing.T) {
	contract := replaytest.Contract{LeaseSlack: 2 * time.Second, Steps: cases.Of(2000)}
	contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
		w := newWorld(t, &localaws.Options{Now: clock.Now})
		client := newTableClient(w.server.URL())
		for _, want := range []bool{true, false} {
			created, err := claimtable.Ensure(t.Context(), client, "claims")
			if created != want || err != nil {
				t.Fatalf("Ensure = %v, %v", created, err)
			}
		}
		s, err := dynamodb.New(client, "claims", &dynamodb.Options{Now: clock.Now})
		w.check(err)
		return s
	})
}

// The local DynamoDB refuses whatever it does not have. It never ignores it.
func TestTableRefusesWhatItDoesNotHave(t *testing.T) {
	w := newWorld(t, nil)
	client := newTableClient(w.server.URL())
	_, err := claimtable.Ensure(t.Context(), client, "claims")
	w.check(err)
	table, key := aws.String("claims"), map[string]dynamodbtypes.AttributeValue{
		"id": &dynamodbtypes.AttributeValueMemberS{Value: "a"}}
	for name, c := range map[string]struct {
		call func() error
		want string
	}{
		"an operation": {func() error {
			_, err := client.Scan(t.Context(), &awsdynamodb.ScanInput{TableName: table})
			return err
		}, "UnknownOperationException"},
		"a transaction": {func() error {
			_, err := client.TransactGetItems(t.Context(), &awsdynamodb.TransactGetItemsInput{
				TransactItems: []dynamodbtypes.TransactGetItem{{Get: &dynamodbtypes.Get{TableName: table, Key: key}}}})
			return err
		}, "UnknownOperationException"},
		"a parameter": {func() error {
			_, err := client.GetItem(t.Context(), &awsdynamodb.GetItemInput{TableName: table, Key: key,
				ProjectionExpression: aws.String("n")})
			return err
		}, "ValidationException"},
		"a type": {func() error {
			_, err := client.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: table,
				Item: map[string]dynamodbtypes.AttributeValue{"id": key["id"],
					"set": &dynamodbtypes.AttributeValueMemberSS{Value: []string{"a"}}}})
			return err
		}, "ValidationException"},
		"an expression": {func() error {
			_, err := client.UpdateItem(t.Context(), &awsdynamodb.UpdateItemInput{TableName: table, Key: key,
				UpdateExpression: aws.String("SET n = if_not_exists(n, :n)"),
				ExpressionAttributeValues: map[string]dynamodbtypes.AttributeValue{
					":n": &dynamodbtypes.AttributeValueMemberN{Value: "1"}}})
			return err
		}, "ValidationException"},
		"a sort key": {func() error {
			_, err := client.CreateTable(t.Context(), &awsdynamodb.CreateTableInput{TableName: aws.String("other"),
				BillingMode: dynamodbtypes.BillingModePayPerRequest,
				AttributeDefinitions: []dynamodbtypes.AttributeDefinition{
					{AttributeName: aws.String("id"), AttributeType: "S"},
					{AttributeName: aws.String("at"), AttributeType: "N"}},
				KeySchema: []dynamodbtypes.KeySchemaElement{
					{AttributeName: aws.String("id"), KeyType: "HASH"},
					{AttributeName: aws.String("at"), KeyType: "RANGE"}},
			})
			return err
		}, "ValidationException"},
	} {
		if err := c.call(); localawstest.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestTablesOverAKill: the tables, their protection and time to live, and what became of their items.
func TestTablesOverAKill(t *testing.T) {
	q := newKept(t)
	ctx, table := t.Context(), aws.String("claims")
	client := newTableClient(q.server.URL())
	created, err := claimtable.Ensure(ctx, client, *table)
	if !created || err != nil {
		t.Fatalf("Ensure = %v, %v", created, err)
	}
	text := func(s string) dynamodbtypes.AttributeValue { return &dynamodbtypes.AttributeValueMemberS{Value: s} }
	type item = map[string]dynamodbtypes.AttributeValue
	put := func(table, id string) {
		_, err := client.PutItem(ctx, &awsdynamodb.PutItemInput{TableName: &table, Item: item{"id": text(id),
			"bytes": &dynamodbtypes.AttributeValueMemberB{Value: []byte{0, 255}},
			"n":     &dynamodbtypes.AttributeValueMemberN{Value: "1.50"}, "empty": text("")}})
		q.check(err)
	}
	for _, id := range []string{"kept/1", "gone", "changed"} {
		put(*table, id)
	}
	_, err = client.DeleteItem(ctx, &awsdynamodb.DeleteItemInput{TableName: table,
		Key: item{"id": text("gone")}})
	q.check(err)
	_, err = client.UpdateItem(ctx, &awsdynamodb.UpdateItemInput{TableName: table,
		Key: item{"id": text("changed")}, UpdateExpression: aws.String("REMOVE n")})
	q.check(err)
	other := aws.String("other")
	_, err = client.CreateTable(ctx, &awsdynamodb.CreateTableInput{TableName: other,
		BillingMode: dynamodbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{
			{AttributeName: aws.String("id"), AttributeType: "S"}},
		KeySchema: []dynamodbtypes.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: "HASH"}}})
	q.check(err)
	put(*other, "gone with its table")
	_, err = client.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: other})
	q.check(err)

	q.kill()
	client = newTableClient(q.server.URL())
	list, err := client.ListTables(ctx, &awsdynamodb.ListTablesInput{})
	q.check(err)
	if !slices.Equal(list.TableNames, []string{*table}) {
		t.Errorf("the tables are %v", list.TableNames)
	}
	if created, err := claimtable.Ensure(ctx, client, *table); created || err != nil { // with its time to live
		t.Errorf("Ensure = %v, %v", created, err)
	}
	_, err = client.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: table})
	if localawstest.CodeOf(err) != "ValidationException" {
		t.Errorf("the protection is lost: %v", err)
	}
	whole := item{"bytes": &dynamodbtypes.AttributeValueMemberB{Value: []byte{0, 255}},
		"n": &dynamodbtypes.AttributeValueMemberN{Value: "1.5"}, "empty": text("")}
	for id, want := range map[string]item{"kept/1": whole, "gone": nil, "changed": without(whole, "n")} {
		out, err := client.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: table, Key: item{"id": text(id)}})
		q.check(err)
		if want != nil {
			want["id"] = text(id)
		}
		if !reflect.DeepEqual(out.Item, want) {
			t.Errorf("%s is %v", id, out.Item)
		}
	}
	put(*table, "after the kill")
}

func without[V any](m map[string]V, name string) map[string]V {
	m = maps.Clone(m)
	delete(m, name)
	return m
}

// Items whose time to live is over are deleted some time, as on AWS, and no others.
func TestItemsExpire(t *testing.T) {
	q := newQueues(t, nil)
	client, table := newTableClient(q.server.URL()), aws.String("claims")
	_, err := claimtable.Ensure(t.Context(), client, *table)
	q.check(err)
	type item = map[string]dynamodbtypes.AttributeValue
	put := func(id, kind string, at int64) {
		i := item{"id": &dynamodbtypes.AttributeValueMemberS{Value: id}}
		switch text := strconv.FormatInt(at, 10); kind {
		case "N":
			i[claimtable.TTL] = &dynamodbtypes.AttributeValueMemberN{Value: text}
		case "S":
			i[claimtable.TTL] = &dynamodbtypes.AttributeValueMemberS{Value: text}
		}
		_, err := client.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: table, Item: i})
		q.check(err)
	}
	now := q.clock.now().Unix()
	put("over", "N", now-1)
	put("not yet", "N", now)
	put("a text", "S", now-1)
	put("none", "", 0)
	count := func() int {
		out, err := client.DescribeTable(t.Context(), &awsdynamodb.DescribeTableInput{TableName: table})
		q.check(err)
		return int(*out.Table.ItemCount)
	}
	if n := count(); n != 4 {
		t.Errorf("%d items before", n)
	}
	for range 4096 {
		put("none", "", 0)
	}
	if n := count(); n != 3 {
		t.Errorf("%d items after", n)
	}
}
