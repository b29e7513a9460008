package localaws_test

import (
	"net/http"
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

// What the local DynamoDB does not have, it refuses. It never ignores it.
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
					{AttributeName: aws.String("id"), AttributeType: "S"}, {AttributeName: aws.String("at"), AttributeType: "N"}},
				KeySchema: []dynamodbtypes.KeySchemaElement{
					{AttributeName: aws.String("id"), KeyType: "HASH"}, {AttributeName: aws.String("at"), KeyType: "RANGE"}},
			})
			return err
		}, "ValidationException"},
	} {
		if err := c.call(); localawstest.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
