// Command rotation is a Lambda function that runs every hour. It renews the timestamp of the trust bundle, so
// that root holders need not meet; it does the due step of the rotation of a producer's keyring; and it
// measures how much is left of everything that expires, for the alarms of rotation.yaml.
//
// It keeps nothing between two runs, and every write replaces only what the run has read. So it may be killed
// at any point, and run twice at a time.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/sealbus/sealbus/examples/orders/setup"
	"github.com/sealbus/sealbus/keys/trust"
)

func main() {
	ctx := context.Background()
	j, err := start(ctx)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(j.run)
}

// job is what the function does every hour.
type job struct {
	objects *s3.Client
	keys    *kms.Client
	secrets *secretsmanager.Client

	roots        *trust.Roots
	bucket       string        // with trust.dsse, timestamp.dsse and bundles/
	timestampKey string        // the ARN of a key in KMS, which the roots name
	life         time.Duration // of a timestamp
	secret       string        // the ARN of the secret with a keyring; "" = there is none
	every        time.Duration // for how long each key of the keyring signs
	inFlight     time.Duration // as in the trust policy

	now func() time.Time
	out io.Writer // metrics in the embedded metric format of CloudWatch, one JSON document a line
}

// period is how often the function runs.
const period = time.Hour

// start reads the environment, and the roots that come with the function's code: an attacker who can write to
// the bucket cannot change them.
func start(ctx context.Context) (*job, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	pinned, err := os.ReadFile("roots.json")
	if err != nil {
		return nil, err
	}
	roots, err := trust.ParseRoots(pinned)
	if err != nil {
		return nil, err
	}
	var env setup.Environment
	j := &job{
		objects: s3.NewFromConfig(cfg), keys: kms.NewFromConfig(cfg), secrets: secretsmanager.NewFromConfig(cfg),
		roots: roots, bucket: env.Text("TRUST_BUCKET"), timestampKey: env.Text("TIMESTAMP_KEY"),
		life: env.Duration("TIMESTAMP_LIFE"), secret: os.Getenv("KEYRING_SECRET"),
		every: env.Duration("KEY_LIFE"), inFlight: env.Duration("IN_FLIGHT"), now: time.Now, out: os.Stdout,
	}
	if env.Err == nil && j.life < 3*period {
		return nil, fmt.Errorf("TIMESTAMP_LIFE %s: a run every %s must be within a third of it", j.life, period)
	}
	return j, env.Err
}

// patience is for one part of a run, so that a service that does not answer leaves time for the other part.
const patience = 25 * time.Second

// run does both parts. The failure of one does not stop the other.
func (j *job) run(ctx context.Context) error {
	m := &measured{}
	bounded := func(part func(context.Context, *measured) error) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return part(ctx, m)
	}
	return errors.Join(bounded(j.renew), bounded(j.rotate), j.report(m))
}

// tries is how often a part begins anew because another writer was faster.
const tries = 3
