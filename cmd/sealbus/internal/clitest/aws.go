package clitest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// AwsStub answers calls of services that speak JSON: by action, such as "Decrypt".
func AwsStub(t *testing.T, answer func(action string) (status int, body string)) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		status, body := answer(target[strings.LastIndexByte(target, '.')+1:])
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"AWS_REGION": "eu-west-1", "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
}

func AwsError(code string) string { return fmt.Sprintf(`{"__type":%q,"message":"said so"}`, code) }

// FakeAWS also keeps the AWS configuration of the machine out of the test.
func (b *Bench) FakeAWS(opts *localaws.Options) *localaws.Server {
	b.T.Helper()
	b.bareAWS()
	server, err := localaws.Start(opts)
	b.Check(err)
	b.T.Cleanup(func() { b.Check(server.Close()) })
	return server
}

func (b *Bench) bareAWS() {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE":           b.Path("none"), "AWS_SHARED_CREDENTIALS_FILE": b.Path("none"),
		"AWS_PROFILE":      "",
		"AWS_ENDPOINT_URL": "",
	} {
		b.T.Setenv(name, value)
	}
}

// central is a fake EventBridge with the bus "central", and what its one target got.
type central struct {
	URL   string
	Drain func()
	mu    sync.Mutex
	Got   []string
}

// newCentral also keeps the AWS configuration of the machine out of the test.
func newCentral(b *Bench, opts *localaws.Options) *central {
	b.T.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE":           b.Path("none"), "AWS_SHARED_CREDENTIALS_FILE": b.Path("none"),
		"AWS_PROFILE":      "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_EVENTBRIDGE": "",
	} {
		b.T.Setenv(name, value)
	}
	server, err := localaws.Start(opts)
	b.Check(err)
	b.T.Cleanup(func() { b.Check(server.Close()) })
	c := &central{URL: server.URL()}
	client := awseventbridge.New(awseventbridge.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(c.URL),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
	name, rule := aws.String("central"), aws.String("all")
	_, err = client.CreateEventBus(b.T.Context(), &awseventbridge.CreateEventBusInput{Name: name})
	b.Check(err)
	_, err = client.PutRule(b.T.Context(), &awseventbridge.PutRuleInput{Name: rule, EventBusName: name,
		EventPattern: aws.String(`{"source":[{"exists":true}]}`)})
	b.Check(err)
	_, err = client.PutTargets(b.T.Context(), &awseventbridge.PutTargetsInput{Rule: rule, EventBusName: name,
		Targets: []types.Target{{
			Id: aws.String("1"), Arn: aws.String(server.Function("f",
				func(_ context.Context, event []byte) error {
					c.mu.Lock()
					defer c.mu.Unlock()
					c.Got = append(c.Got, string(event))
					return nil
				})),
		}}})
	b.Check(err)
	c.Drain = func() { b.Check(server.Drain(b.T.Context())) }
	return c
}

func (b *Bench) Publish(c *central, more ...string) []string {
	return append([]string{"publish", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase",
		"--bus", "central", "--endpoint", c.URL}, more...)
}

func NewShop(t *testing.T, opts *localaws.Options) (*Bench, *central) {
	b := New(t)
	b.Org([]string{"000000000000"}, OrderSource)
	return b, newCentral(b, opts)
}

func IsolateAWS(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "",
		"AWS_REGION":  "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_MAX_ATTEMPTS":            "1", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
}
