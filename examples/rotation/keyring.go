package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awssecrets"
	"github.com/sealbus/sealbus/keys/rotation"
	"github.com/sealbus/sealbus/keys/trust"
)

// errSecretChanged says that the secret has another current version than the one that was read.
var errSecretChanged = errors.New("the secret was changed meanwhile")

// rotate does the due step of the keyring. If another writer was faster, it reads what is there now, and
// plans anew.
func (j *job) rotate(ctx context.Context, m *measured) (err error) {
	if j.secret == "" {
		return nil
	}
	for range tries {
		if err = j.rotateOnce(ctx, m); !errors.Is(err, errSecretChanged) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	return nil
}

func (j *job) rotateOnce(ctx context.Context, m *measured) error {
	b, err := j.bundleInUse(ctx)
	if err != nil {
		return err // a plan without it does not know what consumers know
	}
	ring, version, err := j.readKeyring(ctx)
	if err != nil {
		return err
	}
	steps, err := j.plan(ring, b)
	if err != nil {
		return err
	}
	if due, ok := rotation.NextDue(steps); ok {
		if ring, err = j.apply(ctx, &due, ring, version); err != nil {
			return err
		}
		if steps, err = j.plan(ring, b); err != nil {
			return err
		}
	}
	late := j.late(steps)
	m.stepsLate = &late
	return tellPublish(ring, steps)
}

// bundleInUse is the bundle that the live timestamp names, as consumers have it.
func (j *job) bundleInUse(ctx context.Context) (*trust.Bundle, error) {
	timestamp, _, err := j.read(ctx, timestampFile)
	if err != nil {
		return nil, err
	}
	ts, err := trust.OpenTimestamp(timestamp, j.roots, j.now())
	if err != nil {
		return nil, err
	}
	signed, _, err := j.read(ctx, bundlesDir+fmt.Sprintf("%x", ts.BundleSHA256))
	if err != nil {
		return nil, err
	}
	return trust.OpenBundle(signed, j.roots, &trust.Options{Now: j.now, Timestamp: timestamp})
}

func (j *job) plan(ring *keys.Keyring, b *trust.Bundle) ([]rotation.Step, error) {
	return rotation.Plan(rotation.KeysOf(ring.PublicKeys(), b), j.now(), &rotation.Options{Every: j.every,
		InFlight: j.inFlight, Known: rotation.KnownAfter(b)})
}

// apply does the step, and returns the keyring after it.
func (j *job) apply(ctx context.Context, step *rotation.Step, ring *keys.Keyring,
	version string) (*keys.Keyring, error) {
	change, keyID, err := step.Prepare(ring)
	if err != nil {
		return nil, err
	}
	content, err := ring.With(change)
	if err != nil {
		return nil, err
	}
	if err := j.replaceSecret(ctx, version, content); err != nil {
		return nil, err
	}
	log.Printf("keyring: %s of key %s is done", step.Action, keyID)
	return open(ctx, func(context.Context) ([]byte, error) { return content, nil })
}

// open reads a keyring without a passphrase: Secrets Manager encrypts it, and IAM says who reads it.
func open(ctx context.Context, fetch keys.KeyringFetch) (*keys.Keyring, error) {
	live, err := keys.WatchKeyring(ctx, fetch, "", &keys.WatchOptions{InsecureNoPassphrase: true})
	if err != nil {
		return nil, err
	}
	return live.Keyring(), nil
}

// versioned is a client that remembers which version of the secret was read.
type versioned struct {
	*secretsmanager.Client
	version string
}

func (v *versioned) GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput,
	opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	out, err := v.Client.GetSecretValue(ctx, in, opts...)
	if err == nil {
		v.version = aws.ToString(out.VersionId)
	}
	return out, err
}

func (j *job) readKeyring(ctx context.Context) (ring *keys.Keyring, version string, err error) {
	client := &versioned{Client: j.secrets}
	fetch, err := awssecrets.Keyring(client, j.secret)
	if err != nil {
		return nil, "", err
	}
	ring, err = open(ctx, fetch)
	return ring, client.version, err
}

// The staging labels. Secrets Manager moves AWSPREVIOUS by itself.
const (
	current = "AWSCURRENT"
	pending = "sealbus-next"
)

// replaceSecret makes the content the current version, if the current one still is the version from. First
// the new version is stored under a label that no program reads. Then AWSCURRENT moves in one step: Secrets
// Manager refuses to take it from a version that does not have it. A run that is killed in between leaves a
// version that no program ever reads, and the next run plans the same step again.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
func (j *job) replaceSecret(ctx context.Context, from string, content []byte) error {
	put, err := j.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &j.secret,
		SecretBinary: content, VersionStages: []string{pending}})
	if err != nil {
		return err
	}
	_, err = j.secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &j.secret, VersionStage: aws.String(current), RemoveFromVersionId: &from,
		MoveToVersionId: put.VersionId})
	if err == nil {
		return nil
	}
	// It was refused, or it was done and the answer was lost.
	if _, version, readErr := j.readKeyring(ctx); readErr == nil && version != from {
		return fmt.Errorf("%w: %w", errSecretChanged, err)
	}
	return err
}

// notice is how long before the last moment the root holders are reminded of a key to publish.
const notice = 24 * time.Hour

// late counts the steps that are late, or will be within a day.
func (j *job) late(steps []rotation.Step) (n int) {
	for i := range steps {
		s := &steps[i]
		waits := s.Action == rotation.Known && s.Status == rotation.Waiting && s.At.Sub(j.now()) < notice &&
			slices.ContainsFunc(steps, func(p rotation.Step) bool {
				return p.Action == rotation.Publish && p.KeyID == s.KeyID && p.Status == rotation.Due
			})
		if waits || s.Status == rotation.Late {
			n++
		}
	}
	return n
}

// tellPublish writes the public half of each key that the root holders are to list, for `sealbus trust add`.
func tellPublish(ring *keys.Keyring, steps []rotation.Step) error {
	for i := range steps {
		s := &steps[i]
		if s.Action != rotation.Publish || s.Status != rotation.Due && s.Status != rotation.Late {
			continue
		}
		for _, k := range ring.PublicKeys() {
			if k.KeyID() != s.KeyID {
				continue
			}
			set, err := keys.FormatJWKSet(k)
			if err != nil {
				return err
			}
			log.Printf("keyring: the policy is to list key %s: %s", s.KeyID, set)
		}
	}
	return nil
}
