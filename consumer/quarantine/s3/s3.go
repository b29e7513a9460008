// Package s3 is the quarantine.Store in an Amazon S3 bucket.
//
// A record is one object, PREFIX/2026/03/01/20260301T120000.123456789Z-HASH.json. Its key is made of time
// and hash only, of nothing that an attacker can choose. Put is done when S3 has answered, and S3 compares a
// SHA-256 before it does. The hash covers the whole record, so a Put that is retried writes the same object
// once more.
//
// Threats: an attacker who can write to the bucket but has no key (the object is not authentic), an object
// of any size (none is read beyond consumer.MaxRecord), a bucket that another account registered after it
// was deleted (Options.BucketOwner), an answer that never comes (Options.Timeout). Not stopped: an attacker
// who may delete objects. Versioning or Object Lock help against that: Remove then only hides the record.
// Encryption at rest is the bucket's.
//
//	keys, err := consumer.NewQuarantineKeys("billing", key)
//	store, err := s3.New(awss3.NewFromConfig(cfg), "acme-quarantine", keys, &s3.Options{Prefix: "billing"})
//	c, err := consumer.New("billing", trust, claims, policy, &consumer.Options{Quarantine: store})
//
// The consumer needs one permission (with a customer's key on the bucket also kms:GenerateDataKey on that
// key):
//
//	{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::acme-quarantine/billing/*"}
//
// The operator, who lists, shows and reopens, needs these (and kms:Decrypt):
//
//	{"Effect": "Allow", "Action": ["s3:GetObject", "s3:DeleteObject"],
//	 "Resource": "arn:aws:s3:::acme-quarantine/billing/*"}
//	{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::acme-quarantine",
//	 "Condition": {"StringLike": {"s3:prefix": "billing/*"}}}
//
// Stable: New, Options and the form of a key.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/internal/awscall"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// defaultTimeout is long enough to move consumer.MaxRecord bytes, and short enough to be over before a
// Lambda function is.
const defaultTimeout = 30 * time.Second

// Client is what the store needs of the SDK's *s3.Client. Put needs PutObject only.
type Client interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output,
		error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// Options adjust New.
type Options struct {
	Prefix      string        // all keys begin with it, and then "/"; "" = they begin with the year
	BucketOwner string        // the account that must own the bucket; "" = not checked
	Timeout     time.Duration // of one call, with the client's own retries; 0 = 30 s
}

// store is what New makes.
type store struct {
	client Client
	bucket string
	prefix string // "" or ending in "/"
	keys   consumer.QuarantineKeys
	opts   Options
}

var (
	_ quarantine.Store = (*store)(nil)
	_ Client           = (*s3.Client)(nil)
)

// prefixes are plain enough to be the same in keys, policies and URLs.
var prefixes = regexp.MustCompile(`^[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*$`)

// New makes the store of a bucket, which must exist.
func New(client Client, bucket string, keys consumer.QuarantineKeys,
	opts *Options) (quarantine.Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	switch {
	case keys == (consumer.QuarantineKeys{}):
		return nil, errors.New("quarantine/s3: no keys: make them with consumer.NewQuarantineKeys")
	case client == nil:
		return nil, errors.New("quarantine/s3: no client: s3.NewFromConfig of the AWS SDK makes one")
	case bucket == "":
		return nil, errors.New("quarantine/s3: no bucket: give its name")
	case o.Prefix != "" && !prefixes.MatchString(o.Prefix), len(o.Prefix) > 512:
		return nil, fmt.Errorf(
			"quarantine/s3: the prefix %.80q: use letters, digits, _ . = - and single / between them",
			o.Prefix)
	case o.Timeout < 0:
		return nil, fmt.Errorf("quarantine/s3: a call cannot last %v", o.Timeout)
	}
	if err := nilcheck.Typed("quarantine/s3: the client", client); err != nil {
		return nil, err
	}
	s := &store{client: client, bucket: bucket, keys: keys, opts: o}
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}
	return s, nil
}

// suffix is that of a record's key.
const suffix = ".json"

// keyOf is the key of the object of an ID.
func (s *store) keyOf(id string) string { return s.prefix + datePath(id) + id + suffix }

// datePath is "2026/03/01/" for an ID that begins 20260301T.
func datePath(id string) string { return id[:4] + "/" + id[4:6] + "/" + id[6:8] + "/" }

// idOf is the ID of the object of a key, or, if it is no record's key, what follows the prefix.
func (s *store) idOf(key string) (id string, ok bool) {
	rest := strings.TrimPrefix(key, s.prefix)
	id = strings.TrimSuffix(rest[strings.LastIndexByte(rest, '/')+1:], suffix)
	if _, ok := quarantine.TimeOf(id); ok && s.keyOf(id) == key {
		return id, true
	}
	return rest, false
}

// Put writes the record.
func (s *store) Put(ctx context.Context, r consumer.Record) error {
	id, doc, err := quarantine.Encode(s.keys, r)
	if err != nil {
		return err
	}
	ctx, done := context.WithTimeout(ctx, s.opts.Timeout)
	defer done()
	sum := sha256.Sum256(doc)
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: aws.String(s.keyOf(id)),
		Body: bytes.NewReader(doc), ContentType: aws.String("application/json"),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])), ExpectedBucketOwner: s.owner(),
	}, again)
	if err != nil {
		return s.failed("s3:PutObject", err)
	}
	return nil
}

func (s *store) owner() *string {
	if s.opts.BucketOwner == "" {
		return nil
	}
	return &s.opts.BucketOwner
}

// failed is an error of the service, with the permission that the call needs.
func (s *store) failed(permission string, err error) error {
	return fmt.Errorf("quarantine/s3: bucket %s (%s): %w", s.bucket, permission, err)
}

// List goes through the bucket in the order of time. Objects with keys that no record has are listed as not
// authentic.
func (s *store) List(ctx context.Context, opts *quarantine.ListOptions) iter.Seq2[quarantine.Entry, error] {
	return func(yield func(quarantine.Entry, error) bool) {
		for o, err := range s.objects(ctx, opts) {
			if err != nil {
				yield(quarantine.Entry{}, err)
				return
			}
			e, there, err := s.entry(ctx, o, opts)
			if err != nil {
				yield(quarantine.Entry{}, err)
				return
			}
			if there && !yield(e, nil) {
				return
			}
		}
	}
}

// objects are the names, one page at a time.
func (s *store) objects(ctx context.Context, opts *quarantine.ListOptions) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		in := &s3.ListObjectsV2Input{
			Bucket: &s.bucket, Prefix: &s.prefix, ExpectedBucketOwner: s.owner(),
			StartAfter: s.startAfter(opts),
			// Otherwise one key with a control character makes the whole answer unreadable.
			EncodingType: types.EncodingTypeUrl,
		}
		for {
			page, err := s.page(ctx, in)
			if err != nil {
				yield(types.Object{}, err)
				return
			}
			for _, o := range page.Contents {
				if o.Key = plainKey(page.EncodingType, o.Key); !yield(o, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

// plainKey is the key of an object in an answer. A key that cannot be decoded is left as it is: no record
// has such a key.
func plainKey(encoding types.EncodingType, key *string) *string {
	if encoding == types.EncodingTypeUrl {
		if plain, err := url.QueryUnescape(aws.ToString(key)); err == nil {
			return &plain
		}
	}
	return key
}

// startAfter skips what is too old by the order of keys.
func (s *store) startAfter(opts *quarantine.ListOptions) *string {
	if opts == nil || opts.From.IsZero() {
		return nil
	}
	from := quarantine.TimeID(opts.From)
	return aws.String(s.prefix + datePath(from) + from)
}

func (s *store) page(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, done := context.WithTimeout(ctx, s.opts.Timeout)
	defer done()
	page, err := s.client.ListObjectsV2(ctx, in, again)
	if err != nil {
		return nil, s.failed("s3:ListBucket", err)
	}
	next := aws.ToString(page.NextContinuationToken)
	if aws.ToBool(page.IsTruncated) && (next == "" || next == aws.ToString(in.ContinuationToken)) {
		return nil, s.failed("s3:ListBucket", errors.New("the list says that it goes on, but not where"))
	}
	return page, nil
}

// entry reads an object. It does not if the object's key shows that it is not wanted, or the object is gone.
// If only this object cannot be read, the error is in the entry: an attacker may have encrypted it under
// another key.
func (s *store) entry(ctx context.Context, o types.Object, opts *quarantine.ListOptions) (
	e quarantine.Entry, there bool, err error,
) {
	key := aws.ToString(o.Key)
	id, ok := s.idOf(key)
	switch {
	case strings.HasSuffix(key, "/") && aws.ToInt64(o.Size) == 0: // what consoles make for a folder
		return e, false, nil
	case !ok:
		err := fmt.Errorf("%w: no record has such a key", consumer.ErrNotAuthentic)
		return quarantine.Entry{ID: id, Err: err}, true, nil
	case !opts.Has(quarantine.Entry{ID: id}):
		return e, false, nil
	}
	doc, err := s.read(ctx, id)
	switch {
	case errors.Is(err, quarantine.ErrNotFound):
		return e, false, nil
	case err != nil && ctx.Err() != nil:
		return e, false, err
	case err != nil:
		return quarantine.Entry{ID: id, Err: err}, true, nil
	}
	e, _ = quarantine.DecodeAs(s.keys, id, doc) // its error is in it
	return e, true, nil
}

// Get reads the record's object.
func (s *store) Get(ctx context.Context, id string) (quarantine.Entry, error) {
	if _, ok := quarantine.TimeOf(id); !ok {
		return quarantine.Entry{}, fmt.Errorf("%w: %.80q", quarantine.ErrNotFound, id)
	}
	doc, err := s.read(ctx, id)
	if err != nil {
		return quarantine.Entry{}, err
	}
	e, err := quarantine.DecodeAs(s.keys, id, doc)
	if err != nil {
		return quarantine.Entry{}, err
	}
	return e, nil
}

// reads is how often an object is read if its bytes do not all come: the SDK retries only a call that fails
// before the first byte.
const reads = 3

// read reads an object of at most consumer.MaxRecord bytes.
func (s *store) read(ctx context.Context, id string) (doc []byte, err error) {
	ctx, done := context.WithTimeout(ctx, s.opts.Timeout)
	defer done()
	for range reads {
		var body io.ReadCloser
		if body, err = s.open(ctx, id); err != nil {
			return nil, err
		}
		doc, err = io.ReadAll(io.LimitReader(body, consumer.MaxRecord+1))
		_ = body.Close() // it was only read
		switch {
		case err == nil && len(doc) > consumer.MaxRecord:
			return nil, tooLarge(id)
		case err == nil:
			return doc, nil
		case ctx.Err() != nil:
			return nil, s.failed("s3:GetObject", err)
		}
	}
	return nil, s.failed("s3:GetObject", err)
}

func (s *store) open(ctx context.Context, id string) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.keyOf(id)), ExpectedBucketOwner: s.owner()}
	out, err := s.client.GetObject(ctx, in, again)
	if _, ok := errors.AsType[*types.NoSuchKey](err); ok {
		return nil, fmt.Errorf("%w: %s", quarantine.ErrNotFound, id)
	}
	if err != nil {
		return nil, s.failed("s3:GetObject", err)
	}
	if aws.ToInt64(out.ContentLength) > consumer.MaxRecord {
		_ = out.Body.Close() // it is not read
		return nil, tooLarge(id)
	}
	return out.Body, nil
}

// again has the SDK repeat every call that lost its answer: none of them does more when it is made twice.
func again(o *s3.Options) { o.Retryer = awscall.Retryer(o.Retryer) }

func tooLarge(id string) error {
	return fmt.Errorf("%w: %s has more than %d bytes: %w",
		quarantine.ErrTooLarge, id, consumer.MaxRecord, consumer.ErrNotAuthentic)
}

// Remove deletes the record's object. S3 does not tell whether there was one.
func (s *store) Remove(ctx context.Context, id string) error {
	if _, ok := quarantine.TimeOf(id); !ok {
		return fmt.Errorf("%w: %.80q", quarantine.ErrNotFound, id)
	}
	ctx, done := context.WithTimeout(ctx, s.opts.Timeout)
	defer done()
	in := &s3.DeleteObjectInput{Bucket: &s.bucket, Key: aws.String(s.keyOf(id)),
		ExpectedBucketOwner: s.owner()}
	_, err := s.client.DeleteObject(ctx, in, again)
	if err != nil {
		return s.failed("s3:DeleteObject", err)
	}
	return nil
}

// Keys are those that the store was made with.
func (s *store) Keys() consumer.QuarantineKeys { return s.keys }

// String keeps the key out of logs.
func (s *store) String() string { return "quarantine/s3.New(" + s.bucket + "/" + s.opts.Prefix + ")" }
