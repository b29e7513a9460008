// Package setup is the start of the example's functions. It makes the parts of a consumer out of the
// environment that consumer.yaml gives it. Copy it and change it for your set-up.
//
// A variable that is missing or cannot be read is an error, and the function does not start: an empty
// AUDIENCE, for instance, would leave the audience unchecked.
package setup

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/sealbus/sealbus/consumer"
	quarantine "github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
	"github.com/sealbus/sealbus/observe/emf"
)

// Consumer makes the consumer of that name, which is also the prefix of its quarantine.
func Consumer(ctx context.Context, cfg aws.Config, name string,
	store replay.Store) (*consumer.Consumer, error) {
	var env Environment
	policy := &envelope.Policy{
		Sources:  strings.Fields(env.Text("ALLOWED_SOURCES")),
		Audience: env.Text("AUDIENCE"),
		MaxAge:   env.Duration("MAX_AGE") + env.Duration("QUEUE_RETENTION"),
	}
	opts := &consumer.Options{}
	bucket, secret := env.Text("QUARANTINE_BUCKET"), env.Text("QUARANTINE_KEY_SECRET")
	trustBucket, trustKey := env.Text("TRUST_BUCKET"), env.Text("TRUST_KEY")
	if env.Err != nil {
		return nil, env.Err
	}
	objects := s3.NewFromConfig(cfg)
	authentic, err := quarantineKeys(ctx, cfg, name, secret)
	if err != nil {
		return nil, err
	}
	if opts.Quarantine, err = quarantine.New(objects, bucket, authentic,
		&quarantine.Options{Prefix: name}); err != nil {
		return nil, err
	}
	if opts.Observer, err = emf.New(nil); err != nil {
		return nil, err
	}
	source, err := followTrust(ctx, objects, trustBucket, trustKey)
	if err != nil {
		return nil, err
	}
	return consumer.New(name, source, store, policy, opts)
}

// quarantineKeys reads the key as `sealbus quarantine` reads its key file: base64. The quarantine has the
// name of its consumer.
func quarantineKeys(ctx context.Context, cfg aws.Config, name,
	secret string) (consumer.QuarantineKeys, error) {
	text, err := Secret(ctx, cfg, secret)
	if err != nil {
		return consumer.QuarantineKeys{}, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil { // the error of the decoder quotes the secret
		return consumer.QuarantineKeys{}, fmt.Errorf("the secret %s is not base64", secret)
	}
	return consumer.NewQuarantineKeys(name, key)
}

// followTrust follows the bundle. The roots come with the function's code, so an attacker who can write to
// the bucket cannot change them.
func followTrust(ctx context.Context, objects *s3.Client, bucket, key string) (trust.Source, error) {
	pinned, err := os.ReadFile("roots.json")
	if err != nil {
		return nil, err
	}
	roots, err := trust.ParseRoots(pinned)
	if err != nil {
		return nil, err
	}
	return awss3.FetchBundle(ctx, objects, bucket, key, roots, nil)
}

// Secret reads a secret of AWS Secrets Manager.
func Secret(ctx context.Context, cfg aws.Config, id string) ([]byte, error) {
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx,
		&secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return nil, err
	}
	if out.SecretString != nil {
		return []byte(*out.SecretString), nil
	}
	return out.SecretBinary, nil
}

// Environment reads variables, and remembers the first that is missing or wrong.
type Environment struct{ Err error }

// Text is the variable of that name, which must not be empty.
func (e *Environment) Text(name string) string {
	text := os.Getenv(name)
	if text == "" {
		e.fail(fmt.Errorf("the environment has no %s", name))
	}
	return text
}

// Duration is the variable of that name as a duration, such as 26h5m.
func (e *Environment) Duration(name string) time.Duration {
	text := e.Text(name)
	d, err := time.ParseDuration(text)
	if err != nil && text != "" {
		e.fail(fmt.Errorf("%s: %w", name, err))
	}
	return d
}

func (e *Environment) fail(err error) {
	if e.Err == nil {
		e.Err = err
	}
}
