// Package awscli finds region, credentials and endpoints as the AWS command line does, and keys in KMS by
// their names.
package awscli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/defaults"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadhome"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// AWSFlags say where AWS is, for commands that look at several of its services.
type AWSFlags struct{ Region, Endpoint string }

func (f *AWSFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Region, "region", "",
		"the AWS region, a `NAME` (default that of the AWS configuration)")
	cmd.Flags().StringVar(&f.Endpoint, "endpoint", "",
		"the `URL` to call instead of the region's: an emulator, a VPC endpoint")
}

func (f *AWSFlags) Check() error { return CheckURL("endpoint", f.Endpoint) }

// Base is the endpoint as clients want it; nil = the region's.
func (f *AWSFlags) Base() *string {
	if f.Endpoint == "" {
		return nil
	}
	return aws.String(f.Endpoint)
}

// CheckURL refuses what is not the URL of something that speaks HTTP; "" is none.
func CheckURL(flag, text string) error {
	if text == "" {
		return nil
	}
	if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		if at := strings.LastIndexByte(text, '@'); at >= 0 { // a password may stand before it
			text = "..." + text[at:]
		}
		return ui.Usage("write it as https://HOST or http://HOST:PORT", "--%s: %q is not a URL", flag, text)
	}
	return nil
}

// FixCredentials says how the AWS command line and this one get credentials.
const FixCredentials = "sign in (`aws sso login`), set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

// orDev names the stand-in for AWS to people who work in a home, and have no endpoint set.
func orDev(ctx context.Context) string {
	if _, inHome := loadhome.Named(ctx); !inHome || os.Getenv("AWS_ENDPOINT_URL") != "" {
		return ""
	}
	return "; for a trial without AWS, run `sealbus dev`, and then `eval \"$(sealbus dev --print-env)\"` in this terminal"
}

// Load finds region and credentials as the AWS command line does, before anything is done for nothing.
func Load(ctx context.Context, region string) (aws.Config, error) {
	cfg, err := Read(ctx, region)
	if err != nil {
		return aws.Config{}, err
	}
	if cfg.Region == "" {
		return aws.Config{}, ui.Usage("add --region NAME, or set AWS_REGION"+orDev(ctx), "no AWS region is configured")
	}
	if err := CheckCredentials(ctx, cfg); err != nil {
		return aws.Config{}, err
	}
	return cfg, nil
}

// CheckCredentials looks for credentials. The SDK names the last of the places where it looked, which is the
// metadata service of a virtual machine: that says nothing to people who are on none.
func CheckCredentials(ctx context.Context, cfg aws.Config) error {
	_, err := cfg.Credentials.Retrieve(ctx)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, asked := errors.AsType[*smithy.OperationError](err)
	switch {
	case errtext.IsMetadata(err):
		return ui.Usage(FixCredentials,
			"no AWS credentials: none in the environment, in the files below ~/.aws, or of this machine's role")
	case errtext.IsNetwork(err):
		return ui.Unavailable("check the network and try again", "no AWS credentials: %w",
			errtext.Reached("credentials", err))
	case asked && errtext.MayPass(err):
		return ui.Unavailable("try again", "no AWS credentials: %w", errtext.AWS(err))
	}
	return ui.Usage(FixCredentials, "no AWS credentials: %w", errtext.AWS(err))
}

// Read reads the AWS configuration; there may be neither region nor credentials in it.
func Read(ctx context.Context, region string) (aws.Config, error) {
	// what goes wrong is in its errors
	with := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if region != "" {
		with = append(with, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, with...)
	if err != nil {
		return aws.Config{}, ui.Usage("check AWS_PROFILE and the files below ~/.aws",
			"the AWS configuration: %w", err)
	}
	if cfg.HTTPClient == nil { // then each client of a service would make this one
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	if client, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		cfg.HTTPClient = inMode(client, &cfg)
	}
	cfg.HTTPClient = ownBody{cfg.HTTPClient}
	return cfg, nil
}

// inMode gives the client the timeouts of AWS_DEFAULTS_MODE. Each client of a service gives them to a client
// of this type, and ownBody is of another one. The read timeouts of AWS_ENABLE_DEFAULT_SOCKET_TIMEOUT_2026
// are missing with ownBody: they are in an internal package of the SDK.
func inMode(client *awshttp.BuildableClient, cfg *aws.Config) *awshttp.BuildableClient {
	mode := cfg.DefaultsMode
	if mode == aws.DefaultsModeAuto {
		mode = defaults.ResolveDefaultsModeAuto(cfg.Region, cfg.RuntimeEnvironment)
	}
	of, err := defaults.GetModeConfiguration(mode)
	if err != nil {
		return client // the legacy mode, which has none
	}
	client = client.WithDialerOptions(func(d *net.Dialer) {
		if timeout, ok := of.GetConnectTimeout(); ok {
			d.Timeout = timeout
		}
	})
	return client.WithTransportOptions(func(t *http.Transport) {
		if timeout, ok := of.GetTLSNegotiationTimeout(); ok {
			t.TLSHandshakeTimeout = timeout
		}
	})
}

// BadCredentials are the codes of credentials that AWS knows nothing of, or no longer.
var BadCredentials = map[string]bool{
	"InvalidClientTokenId": true, "ExpiredToken": true, "ExpiredTokenException": true,
	"SignatureDoesNotMatch":       true,
	"UnrecognizedClientException": true, "AuthFailure": true, "MissingAuthenticationTokenException": true,
	"IncompleteSignature": true,
}
