// Package claims has the command that makes the table in which consumers remember what they handled.
package claims

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/claimtable"
)

func Command(env *ui.Env) *cobra.Command {
	return env.Group("claims", "Make the table in which consumers remember what they handled",
		"Consumers in several processes share a replay store: Redis, which needs no set-up, or a DynamoDB table.",
		createTableCommand(env))
}

// createTableFlags are those of `claims create-table`.
type createTableFlags struct{ table, region, endpoint string }

func createTableCommand(env *ui.Env) *cobra.Command {
	var f createTableFlags
	cmd := env.Command(ui.Command{
		Use:   "create-table --table NAME [--region REGION] [--endpoint URL]",
		Short: "Make a DynamoDB table for replay claims",
		Long: "Make a DynamoDB table for replay claims: paid per request, protected from deletion, with time to live.\n" +
			"An existing table is kept, so it can be run again. Credentials and region come from the environment, as for\n" +
			"every AWS tool. examples/replay-table.yaml is the same for CloudFormation.",
		Example: "sealbus claims create-table --table sealbus-replay --region eu-west-1",
		Run:     func(ctx context.Context, _ []string) error { return replayCreateTable(ctx, env, &f) },
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

func replayCreateTable(ctx context.Context, env *ui.Env, f *createTableFlags) error {
	if err := ui.Need(ui.Flag("table", f.table)); err != nil {
		return err
	}
	if !awscli.TableName.MatchString(f.table) {
		return ui.Usage("use 3 to 255 of a-z A-Z 0-9 _ . -", "%q cannot be the name of a table", f.table)
	}
	if err := awscli.CheckURL("endpoint", f.endpoint); err != nil {
		return err
	}
	client, err := f.client(ctx)
	if err != nil {
		return err
	}
	created, err := claimtable.Ensure(ctx, client, f.table)
	result := tableMade{Table: f.table, Region: client.Options().Region, Created: created,
		TTL: claimtable.TTL}
	switch {
	case errors.Is(err, claimtable.ErrNoTTL):
		env.Warnf("this service has no time to live (an emulator?): the table works, but nothing is ever deleted from it")
		result.TTL = ""
	case errors.Is(err, claimtable.ErrOtherTable):
		return ui.Usage("choose another name with --table", "%w", err)
	case errtext.Denied(err):
		return ui.Usage("allow dynamodb:CreateTable, DescribeTable, DescribeTimeToLive and UpdateTimeToLive on the table, and run it again: what is done "+
			"is kept", "%w", err)
	case errtext.Code(err) != "" && !errtext.MayPass(err):
		return ui.Usage("check the credentials, --region and --endpoint, and run it again: what is done is kept", "%w", err)
	case err != nil:
		return ui.Unavailable("check the network, --region and --endpoint, and run it again: what is done is kept", "%w", err)
	}
	return env.Emit(result, result.print)
}

// client is a DynamoDB client as the environment and the flags want it.
func (f *createTableFlags) client(ctx context.Context) (*awsdynamodb.Client, error) {
	cfg, err := awscli.Load(ctx, f.region)
	if err != nil {
		return nil, err
	}
	return awsdynamodb.NewFromConfig(cfg, func(o *awsdynamodb.Options) {
		if f.endpoint != "" {
			o.BaseEndpoint = aws.String(f.endpoint)
		}
	}), nil
}

func (r tableMade) print(p *ui.Printer) {
	what := "existed already"
	if r.Created {
		what = "created"
	}
	ttl := "no time to live"
	if r.TTL != "" {
		ttl = "time to live on " + r.TTL
	}
	p.Linef("%s  %s in %s, %s", p.Bold(ui.Clean(r.Table)), what, ui.Clean(r.Region), ttl)
}
