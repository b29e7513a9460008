package main

import (
	"context"
	"errors"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
)

func (a *app) replayCommand() *cobra.Command {
	return a.group("claims", "Make the table in which consumers remember what they handled",
		"Consumers in several processes share a replay store: Redis, which needs no set-up, or a DynamoDB table.",
		a.replayCreateTableCommand())
}

// replayCreateTableFlags are those of `claims create-table`.
type replayCreateTableFlags struct{ table, region, endpoint string }

func (a *app) replayCreateTableCommand() *cobra.Command {
	var f replayCreateTableFlags
	cmd := a.command(commandSpec{
		use: "create-table --table NAME [--region REGION] [--endpoint URL]", short: "Make a DynamoDB table for replay claims",
		long: "Make a DynamoDB table for replay claims: paid per request, protected from deletion, with time to live.\n" +
			"What is there already is kept, so it can be run again. Credentials and region come from the environment, as for\n" +
			"every AWS tool. examples/replay-table.yaml is the same for CloudFormation.",
		example: "sealbus claims create-table --table sealbus-replay --region eu-west-1",
		run:     func(ctx context.Context, _ []string) error { return a.replayCreateTable(ctx, &f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.table, "table", "", "the `NAME` of the table")
	flags.StringVar(&f.region, "region", "", "the AWS `REGION` instead of the environment's")
	flags.StringVar(&f.endpoint, "endpoint", "", "the `URL` of the service, for emulators")
	return cmd
}

// tableMade is the result of `claims create-table`.
type tableMade struct {
	Table   string `json:"table"`
	Region  string `json:"region"`
	Created bool   `json:"created"`
	TTL     string `json:"ttl"` // the attribute; "" = the service has none
}

// tableName is what DynamoDB takes for one.
var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func (a *app) replayCreateTable(ctx context.Context, f *replayCreateTableFlags) error {
	if err := need(required{"table", f.table}); err != nil {
		return err
	}
	if !tableName.MatchString(f.table) {
		return usage("use 3 to 255 of a-z A-Z 0-9 _ . -", "%q cannot be the name of a table", f.table)
	}
	if err := checkURL("endpoint", f.endpoint); err != nil {
		return err
	}
	client, err := f.client(ctx)
	if err != nil {
		return err
	}
	created, err := dynamodb.EnsureTable(ctx, client, f.table)
	result := tableMade{Table: f.table, Region: client.Options().Region, Created: created, TTL: dynamodb.TTLAttribute}
	switch {
	case errors.Is(err, dynamodb.ErrNoTTL):
		a.warnf("this service has no time to live (an emulator?): the table works, but nothing is ever deleted from it")
		result.TTL = ""
	case errors.Is(err, dynamodb.ErrOtherTable):
		return usage("choose another name with --table", "%w", err)
	case permissionDenied(err):
		return usage("allow dynamodb:CreateTable, DescribeTable, DescribeTimeToLive and UpdateTimeToLive on the table, and run it again: what is done "+
			"is kept", "%w", err)
	case errorCode(err) != "" && !mayPass(err):
		return usage("check the credentials, --region and --endpoint, and run it again: what is done is kept", "%w", err)
	case err != nil:
		return unavailable("check the network, --region and --endpoint, and run it again: what is done is kept", "%w", err)
	}
	return a.emit(result, result.print)
}

// client is a DynamoDB client as the environment and the flags want it.
func (f *replayCreateTableFlags) client(ctx context.Context) (*awsdynamodb.Client, error) {
	cfg, err := loadAWS(ctx, f.region)
	if err != nil {
		return nil, err
	}
	return awsdynamodb.NewFromConfig(cfg, func(o *awsdynamodb.Options) {
		if f.endpoint != "" {
			o.BaseEndpoint = aws.String(f.endpoint)
		}
	}), nil
}

func (r tableMade) print(p *printer) {
	what := "existed already"
	if r.Created {
		what = "created"
	}
	ttl := "no time to live"
	if r.TTL != "" {
		ttl = "time to live on " + r.TTL
	}
	p.linef("%s  %s in %s, %s", p.bold(clean(r.Table)), what, clean(r.Region), ttl)
}
