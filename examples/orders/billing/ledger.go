package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// order is the data of com.example.order.placed. An amount of money is never a float64.
type order struct {
	Order    string      `json:"order"`
	Total    json.Number `json:"total"`
	Currency string      `json:"currency"`
}

// UnmarshalJSON wants all of it. An order that lacks something never fits, so it goes to the quarantine and
// is not tried again.
func (o *order) UnmarshalJSON(doc []byte) error {
	type members order
	if err := json.Unmarshal(doc, (*members)(o)); err != nil {
		return err
	}
	if o.Order == "" || o.Total == "" || o.Currency == "" {
		return errors.New("an order has an ID, a total and a currency")
	}
	return nil
}

// ledger is where charges are made. Whatever it is, it takes the key and makes no second charge under it: an
// event is handled once more if the process dies after the charge and before the event is marked as handled.
// A payment provider takes the key as its Idempotency-Key.
type ledger interface {
	// charge reports whether the charge was made by this call; false = it had been made before.
	charge(ctx context.Context, key string, o order) (bool, error)
}

// table is a ledger in DynamoDB.
type table struct {
	client *dynamodb.Client
	name   string
}

func (t *table) charge(ctx context.Context, key string, o order) (bool, error) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.name,
		Item: map[string]types.AttributeValue{
			"id": text(key), "order": text(o.Order), "total": text(o.Total.String()),
			"currency": text(o.Currency),
		},
		ConditionExpression: aws.String("attribute_not_exists(id)"),
	})
	var exists *types.ConditionalCheckFailedException
	if errors.As(err, &exists) {
		return false, nil
	}
	return err == nil, err
}
