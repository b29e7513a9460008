package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/claimtable"
	"github.com/sealbus/sealbus/internal/localaws"
)

// The names of the world. Its account is that of the fake.
const (
	region     = "us-east-1"
	account    = "000000000000"
	busName    = "central"
	quarantine = "quarantine"
	tableName  = "claims"
	bucket     = "sealbus"
	keyAlias   = "alias/sealbus"
	deadSuffix = "-dlq"
)

// How the queues are set up, in seconds, and the functions. A consumer's lease, and six times the time that a
// function may take, fit into the visibility timeout.
const (
	visibility      = "40"
	maxReceives     = "5"
	deadRetention   = "1209600" // 14 days, the longest: a dead letter is older than others when it arrives
	functionSeconds = 6
)

// world is what the server has from the start. It is made by calls that any program could make, so it can be
// made again over what a directory kept.
type world struct {
	server *localaws.Server
	url    string // as programs of this machine reach it

	events  *eventbridge.Client
	queues  *sqs.Client
	keys    *kms.Client
	objects *s3.Client
	tables  *dynamodb.Client
}

func newWorld(server *localaws.Server) *world {
	url := server.URL()
	cfg := aws.Config{
		Region: region, BaseEndpoint: aws.String(url),
		Credentials: credentials.NewStaticCredentialsProvider("dev", "dev", ""), // they are not checked
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
	}
	return &world{
		server: server, url: url, events: eventbridge.NewFromConfig(cfg), queues: sqs.NewFromConfig(cfg),
		keys: kms.NewFromConfig(cfg), tables: dynamodb.NewFromConfig(cfg),
		objects: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
	}
}

// make makes what does not depend on the home.
func (w *world) make(ctx context.Context) error {
	_, err := w.events.CreateEventBus(ctx, &eventbridge.CreateEventBusInput{Name: aws.String(busName)})
	if _, there := errors.AsType[*eventtypes.ResourceAlreadyExistsException](err); err != nil && !there {
		return notMade("the bus "+busName, err)
	}
	if err := w.makeQueue(ctx, quarantine,
		map[string]string{"MessageRetentionPeriod": deadRetention}); err != nil {
		return err
	}
	if _, err := claimtable.Ensure(ctx, w.tables, tableName); err != nil {
		return notMade("the table "+tableName, err)
	}
	_, err = w.objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	if _, there := errors.AsType[*s3types.BucketAlreadyOwnedByYou](err); err != nil && !there {
		return notMade("the bucket "+bucket, err)
	}
	return w.makeKey(ctx)
}

// notMade is the error of a part of the world. It does not come from a program of the person.
func notMade(what string, err error) error {
	return ui.Unavailable("try again, or name another --dir and keep this one", "making %s: %w", what,
		errtext.AWS(err))
}

func (w *world) makeKey(ctx context.Context) error {
	_, err := w.keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(keyAlias)})
	if _, missing := errors.AsType[*kmstypes.NotFoundException](err); err == nil || !missing {
		return madeKey(err)
	}
	key, err := w.keys.CreateKey(ctx, &kms.CreateKeyInput{
		KeyUsage: kmstypes.KeyUsageTypeSignVerify, KeySpec: kmstypes.KeySpecEccNistEdwards25519,
		Description: aws.String("made by sealbus dev"),
	})
	if err != nil {
		return madeKey(err)
	}
	_, err = w.keys.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String(keyAlias),
		TargetKeyId: key.KeyMetadata.KeyId})
	return madeKey(err)
}

func madeKey(err error) error {
	if err == nil {
		return nil
	}
	return notMade("the key "+keyAlias, err)
}

// makeQueue leaves the attributes of a queue as they are that is there.
func (w *world) makeQueue(ctx context.Context, name string, attributes map[string]string) error {
	_, err := w.queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if _, there := errors.AsType[*sqstypes.QueueNameExists](err); err != nil && !there {
		return notMade("the queue "+name, err)
	}
	return nil
}

// makeConsumer makes a queue with its dead-letter queue, and the rule that feeds it with these sources; none
// = all.
func (w *world) makeConsumer(ctx context.Context, name string, sources []string) error {
	dead := name + deadSuffix
	err := w.makeQueue(ctx, dead, map[string]string{"MessageRetentionPeriod": deadRetention,
		"Policy": fromRule(name, dead)})
	if err != nil {
		return err
	}
	attributes := map[string]string{
		"VisibilityTimeout": visibility,
		"RedrivePolicy": doc{"deadLetterTargetArn": queueARN(dead),
			"maxReceiveCount": maxReceives}.text(),
		"Policy": fromRule(name, name),
	}
	if err := w.makeQueue(ctx, name, attributes); err != nil {
		return err
	}
	_, err = w.events.PutRule(ctx, &eventbridge.PutRuleInput{
		Name: &name, EventBusName: aws.String(busName), EventPattern: aws.String(patternOf(sources)),
		Description: aws.String("made by sealbus dev, for the queue " + name),
	})
	if err != nil {
		return notMade("the rule "+name, err)
	}
	out, err := w.events.PutTargets(ctx, &eventbridge.PutTargetsInput{
		Rule: &name, EventBusName: aws.String(busName),
		Targets: []eventtypes.Target{{Id: aws.String("queue"), Arn: aws.String(queueARN(name)),
			DeadLetterConfig: &eventtypes.DeadLetterConfig{Arn: aws.String(queueARN(dead))}}},
	})
	if err == nil && out.FailedEntryCount > 0 {
		err = fmt.Errorf("%d targets were refused", out.FailedEntryCount)
	}
	if err != nil {
		return notMade("the target of the rule "+name, err)
	}
	return nil
}

// fromRule is the policy of a queue into which the rule sends, and no one else.
func fromRule(rule, queue string) string {
	source := "arn:aws:events:" + region + ":" + account + ":rule/" + busName + "/" + rule
	return doc{"Version": "2012-10-17", "Statement": []doc{{
		"Effect": "Allow", "Principal": doc{"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
		"Resource": queueARN(queue), "Condition": doc{"ArnEquals": doc{"aws:SourceArn": source}},
	}}}.text()
}

// doc is JSON.
type doc map[string]any

func (d doc) text() string {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings, and maps of them
	}
	return string(text)
}

// patternOf is the event pattern for these patterns of sources.
func patternOf(sources []string) string {
	var list []any
	for _, s := range sources {
		if prefix, ok := strings.CutSuffix(s, "*"); ok {
			list = append(list, doc{"prefix": prefix})
		} else {
			list = append(list, s)
		}
	}
	if list == nil {
		list = []any{doc{"prefix": ""}}
	}
	return doc{"source": list}.text()
}

func queueARN(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

// queueURL is what a program gives as the URL of the queue.
func (w *world) queueURL(name string) string { return urlOfQueue(w.url, name) }

func urlOfQueue(endpoint, name string) string { return endpoint + "/" + account + "/" + name }

// serveTrust puts the files of the home into the bucket.
func (w *world) serveTrust(ctx context.Context, files map[string][]byte) error {
	for _, name := range ui.SortedKeys(files) {
		_, err := w.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &name,
			Body: strings.NewReader(string(files[name]))})
		if err != nil {
			return notMade("s3://"+bucket+"/"+name, err)
		}
	}
	return nil
}

// queueNames are the names of the queues among targets; nil stays nil.
func queueNames(arns []string) []string {
	if arns == nil {
		return nil
	}
	names := make([]string, 0, len(arns))
	for _, arn := range arns {
		names = append(names, strings.TrimPrefix(arn, queueARN("")))
	}
	return names
}
