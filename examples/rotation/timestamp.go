package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

// The objects in the bucket.
const (
	bundleFile    = "trust.dsse" // the root holders write it
	timestampFile = "timestamp.dsse"
	bundlesDir    = "bundles/"
)

// renew signs the next timestamp. If another writer was faster, such as an engineer who revokes a stolen key,
// it reads what is there now, and carries that over.
func (j *job) renew(ctx context.Context, m *measured) (err error) {
	for range tries {
		if err = j.renewOnce(ctx, m); !errors.Is(err, awss3.ErrChanged) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	return nil
}

func (j *job) renewOnce(ctx context.Context, m *measured) error {
	signed, etag, err := j.read(ctx, timestampFile)
	if err != nil {
		return err // also if it is not there: a first timestamp would forget every revocation
	}
	previous, err := trust.OpenPreviousTimestamp(signed, j.roots)
	if err != nil {
		return err
	}
	m.timestamp = previous
	next, refused := j.next(ctx, previous)
	if next == nil {
		return refused
	}
	m.bundle = next.bundle
	if err := j.publish(ctx, next); err != nil {
		return errors.Join(refused, err)
	}
	if next.BundleSHA256 == previous.BundleSHA256 && j.isFresh(previous) {
		return refused // of a run that was started twice, one has done it
	}
	if err := j.sign(ctx, next.Timestamp, etag); err != nil {
		return errors.Join(refused, err)
	}
	m.timestamp = next.Timestamp
	return refused
}

// isFresh reports whether the next run is soon enough to renew the timestamp: it is young, and by then no
// third of its life is used up.
func (j *job) isFresh(ts *trust.Timestamp) bool {
	age := j.now().Sub(ts.Issued)
	return age >= -5*time.Minute && age < period/2 && age+period <= ts.Expires.Sub(ts.Issued)/3
}

// nextTimestamp is a timestamp that is not signed, with its bundle.
type nextTimestamp struct {
	*trust.Timestamp
	bundle *trust.Bundle
	signed []byte // the bundle
}

// next is the timestamp that follows. It is about the newest bundle. If that cannot be vouched for, because
// it is damaged, older or signed under other roots, the bundle that counts now goes on to count, and the
// error says why.
func (j *job) next(ctx context.Context, previous *trust.Timestamp) (*nextTimestamp, error) {
	next, refused := j.follow(ctx, previous, bundleFile)
	if refused == nil {
		return next, nil
	}
	refused = fmt.Errorf("%s is not published: %w", bundleFile, refused)
	next, err := j.follow(ctx, previous, bundlesDir+fmt.Sprintf("%x", previous.BundleSHA256))
	return next, errors.Join(refused, err)
}

// follow is the timestamp of the bundle in that object. It carries over every revocation of the previous one,
// but for those on which the root holders decided with that bundle.
func (j *job) follow(ctx context.Context, previous *trust.Timestamp, name string) (*nextTimestamp, error) {
	signed, _, err := j.read(ctx, name)
	if err != nil {
		return nil, err
	}
	// The timestamp that is made here is the one that vouches for it.
	b, err := trust.OpenBundle(signed, j.roots, &trust.Options{Now: j.now, UnsafeNoTimestamp: true})
	if err != nil {
		return nil, err
	}
	ts, err := trust.NewTimestamp(j.roots, b, previous, trust.TimestampOptions{Now: j.now(), Lifetime: j.life})
	if err != nil {
		return nil, err
	}
	return &nextTimestamp{ts, b, signed}, nil
}

// publish puts the bundle where consumers look for it as soon as the timestamp names it. Mostly it is there
// already. An engineer who revoked a key may have named one that is not.
func (j *job) publish(ctx context.Context, next *nextTimestamp) error {
	name := bundlesDir + fmt.Sprintf("%x", next.BundleSHA256)
	if there, _, err := j.read(ctx, name); err == nil && bytes.Equal(there, next.signed) {
		return nil
	}
	_, err := j.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: &j.bucket, Key: &name,
		Body: bytes.NewReader(next.signed)})
	return err
}

// sign signs the timestamp in KMS, and puts it in the place of the one with that ETag.
func (j *job) sign(ctx context.Context, ts *trust.Timestamp, etag string) error {
	key, err := awskms.NewSigner(ctx, j.keys, j.timestampKey, "timestamp", nil)
	if err != nil {
		return err
	}
	signed, err := trust.SignTimestamp(ctx, ts, key)
	if err != nil {
		return err
	}
	if _, err := trust.OpenTimestamp(signed, j.roots, ts.Issued); err != nil {
		return fmt.Errorf("%s is no timestamp key of the roots: %w", j.timestampKey, err)
	}
	return awss3.Replace(ctx, j.objects, j.bucket, timestampFile, etag, append(signed, '\n'))
}

// read reads a document of the bucket, within its bounds, with its ETag.
func (j *job) read(ctx context.Context, name string) (content []byte, etag string, err error) {
	origin, err := awss3.Origin(j.objects, j.bucket, name)
	if err != nil {
		return nil, "", err
	}
	got, err := origin.Fetch(ctx, "")
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", origin, err)
	}
	if got.Body == nil || got.ETag == "" {
		return nil, "", fmt.Errorf("%s: the answer has no object, or no ETag", origin)
	}
	defer func() { _ = got.Body.Close() }() // was only read
	content, err = io.ReadAll(got.Body)
	return content, got.ETag, err
}
