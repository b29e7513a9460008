package main

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"
)

// awsFlags say where AWS is, for commands that look at several of its services.
type awsFlags struct{ region, endpoint string }

func (f *awsFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.region, "region", "", "the AWS region, a `NAME` (default that of the AWS configuration)")
	cmd.Flags().StringVar(&f.endpoint, "endpoint", "", "the `URL` to call instead of the region's: an emulator, a VPC endpoint")
}

func (f *awsFlags) check() error { return checkURL("endpoint", f.endpoint) }

// base is the endpoint as clients want it; nil = the region's.
func (f *awsFlags) base() *string {
	if f.endpoint == "" {
		return nil
	}
	return aws.String(f.endpoint)
}

// checkURL refuses what is not the URL of something that speaks HTTP; "" is none.
func checkURL(flag, text string) error {
	if text == "" {
		return nil
	}
	if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		if at := strings.LastIndexByte(text, '@'); at >= 0 { // a password may stand before it
			text = "..." + text[at:]
		}
		return usage("write it as https://HOST or http://HOST:PORT", "--%s: %q is not a URL", flag, text)
	}
	return nil
}

// fixCredentials says how the AWS command line and this one get credentials.
const fixCredentials = "sign in (`aws sso login`), set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

// loadAWS finds region and credentials as the AWS command line does, before anything is done for nothing.
func loadAWS(ctx context.Context, region string) (aws.Config, error) {
	cfg, err := readAWS(ctx, region)
	if err != nil {
		return aws.Config{}, err
	}
	if cfg.Region == "" {
		return aws.Config{}, usage("add --region NAME, or set AWS_REGION", "no AWS region is configured")
	}
	if err := checkCredentials(ctx, cfg); err != nil {
		return aws.Config{}, err
	}
	return cfg, nil
}

// checkCredentials looks for credentials. The SDK names the last of the places where it looked, which is the
// metadata service of a virtual machine: that says nothing to people who are on none.
func checkCredentials(ctx context.Context, cfg aws.Config) error {
	_, err := cfg.Credentials.Retrieve(ctx)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	op, asked := errors.AsType[*smithy.OperationError](err)
	switch {
	case strings.Contains(err.Error(), "IMDS") || asked && op.Service() == "ec2imds":
		return usage(fixCredentials, "no AWS credentials: none in the environment, in the files below ~/.aws, or of this machine's role")
	case isNetwork(err):
		return unavailable("check the network and try again", "no AWS credentials: %w", reached("credentials", err))
	case asked && mayPass(err):
		return unavailable("try again", "no AWS credentials: %w", shortAWSError(err))
	}
	return usage(fixCredentials, "no AWS credentials: %w", shortAWSError(err))
}

// readAWS reads the AWS configuration; there may be neither region nor credentials in it.
func readAWS(ctx context.Context, region string) (aws.Config, error) {
	with := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // what goes wrong is in its errors
	if region != "" {
		with = append(with, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, with...)
	if err != nil {
		return aws.Config{}, usage("check AWS_PROFILE and the files below ~/.aws", "the AWS configuration: %w", err)
	}
	return cfg, nil
}
