// Package awss3 reads trust bundles, and keyrings, from Amazon S3, and replaces what it read.
//
//	trust, err := awss3.FetchBundle(ctx, s3.NewFromConfig(cfg), "trust-bucket", "bundle.dsse", roots, nil)
//
// The bundle is followed as trust.FetchBundle follows one over HTTPS; see there for intervals, outages and
// rollback. S3 is not trusted, because the roots sign the bundle. Turn on the versioning of the
// bucket to keep a record of who published which bundle.
//
// # Permissions
//
// The program needs s3:GetObject on that one object, and kms:Decrypt on the key if the object is encrypted
// under a KMS key. It also needs s3:GetObject on what is beside the object: roots/* for the roots that
// follow, and timestamp.dsse and bundles/* where the roots name timestamp keys. Without s3:ListBucket on the
// bucket, S3 answers that a missing object is forbidden. So a program that may not read roots/* finds no
// newer roots.
//
// # Stability
//
// The functions stay as they are.
package awss3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/internal/awscall"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Client has the methods of *s3.Client that the package calls.
type Client interface {
	GetObject(ctx context.Context, in *s3.GetObjectInput, opts ...func(*s3.Options)) (*s3.GetObjectOutput,
		error)
}

var _ Client = (*s3.Client)(nil)

// FetchBundle reads the signed bundle from the object and follows it, as trust.FetchBundle does over HTTPS.
// The options Client and UnsafeAllowHTTP are refused, because the S3 client has its own transport.
func FetchBundle(ctx context.Context, client Client, bucket, key string, roots *trust.Roots,
	opts *trust.Options) (*trust.RemoteSource, error) {
	o, err := Origin(client, bucket, key)
	if err != nil {
		return nil, err
	}
	return trust.FetchFrom(ctx, o, roots, opts)
}

// Origin is the object as an Origin of trust.FetchFrom.
func Origin(client Client, bucket, key string) (trust.Origin, error) {
	o, err := newObject(client, bucket, key)
	if err != nil {
		return nil, err // and no Origin that holds a nil pointer
	}
	return o, nil
}

// OpenKeyring reads the encrypted keyring from the object, with keys.ParseKeyring. Deriving the key from the
// passphrase takes about a second by default. Keys cannot be added to it.
func OpenKeyring(ctx context.Context, client Client, bucket, key, passphrase string) (*keys.Keyring, error) {
	o, err := newObject(client, bucket, key)
	if err != nil {
		return nil, err
	}
	content, err := o.read(ctx, privatefile.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("awss3: %s: %w", o, err)
	}
	ring, err := keys.ParseKeyring(content, passphrase)
	if err != nil {
		return nil, fmt.Errorf("awss3: %s: %w", o, err)
	}
	return ring, nil
}

// Keyring reads the encrypted keyring from the object, for keys.WatchKeyring. It answers an error if the
// object is larger than a keyring can be.
func Keyring(client Client, bucket, key string) (keys.KeyringFetch, error) {
	o, err := newObject(client, bucket, key)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		content, err := o.read(ctx, privatefile.MaxSize)
		if err != nil {
			return nil, fmt.Errorf("awss3: %s: %w", o, err)
		}
		return content, nil
	}, nil
}

// ErrChanged is (wrapped in) the error of Replace if the object is another one by now: read it again, and
// decide anew. It is also what is left of a call that wrote the object and whose answer was lost.
var ErrChanged = errors.New("the object was changed meanwhile")

// WriteClient has the method of *s3.Client that Replace calls.
type WriteClient interface {
	PutObject(ctx context.Context, in *s3.PutObjectInput, opts ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

var _ WriteClient = (*s3.Client)(nil)

// Replace writes the object if it still is the one with that ETag, as Fetched has it; "" = if there is none
// yet. So a writer never overwrites what it has not read, such as the revocation of an emergency. The program
// needs s3:PutObject.
func Replace(ctx context.Context, client WriteClient, bucket, key, etag string, content []byte) error {
	if err := nilcheck.Check("awss3: the client", client); err != nil {
		return err
	}
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content)}
	if etag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &etag
	}
	_, err := client.PutObject(ctx, in, func(o *s3.Options) { o.Retryer = awscall.Retryer(o.Retryer) })
	switch status := statusOf(err); {
	case err == nil:
		return nil
	case status == http.StatusPreconditionFailed || status == http.StatusConflict ||
		etag != "" && codeOf(err) == "NoSuchKey": // it was deleted meanwhile
		return fmt.Errorf("awss3: s3://%s/%s: %w", bucket, key, ErrChanged)
	}
	return fmt.Errorf("awss3: s3://%s/%s: %w", bucket, key, err)
}

// policyStatement is the IAM statement that lets a program read the object, in the partition aws.
func policyStatement(bucket, key string) string {
	return `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + "/" + key + `"}`
}

// object is an object of S3.
type object struct {
	client      Client
	bucket, key string
	most        int64 // bytes; 0 = as many as a bundle or timestamp of that name may have
}

var _ trust.Directory = (*object)(nil)

// Beside is the object of that name below the same prefix.
func (o *object) Beside(name string) trust.Origin {
	beside := &object{client: o.client, bucket: o.bucket, key: o.key[:strings.LastIndex(o.key, "/")+1] + name}
	if strings.HasPrefix(name, keydoc.RootsDir) {
		beside.most = keydoc.MaxRoots
	}
	return beside
}

func newObject(client Client, bucket, key string) (*object, error) {
	switch {
	case client == nil:
		return nil, errors.New("awss3: no client: s3.NewFromConfig of the AWS SDK makes one")
	case bucket == "" || key == "":
		return nil, errors.New("awss3: the bucket or the key of the object is empty: give both, as in s3://BUCKET/KEY")
	}
	if err := nilcheck.Typed("awss3: the client", client); err != nil {
		return nil, err
	}
	return &object{client: client, bucket: bucket, key: key}, nil
}

// String is the object's s3:// URL.
func (o *object) String() string { return "s3://" + o.bucket + "/" + o.key }

// reads is how often an object is requested if its bytes stop coming. The SDK repeats only requests that fail
// before the first byte.
const reads = 3

// Fetch asks with If-None-Match. The client reports as an error that nothing changed.
func (o *object) Fetch(ctx context.Context, etag string) (*trust.Fetched, error) {
	switch {
	case o.most > 0:
		return o.fetch(ctx, etag, o.most)
	case strings.HasSuffix("/"+o.key, "/"+keydoc.TimestampFile):
		return o.fetch(ctx, etag, keydoc.MaxTimestamp)
	}
	return o.fetch(ctx, etag, keydoc.MaxSigned)
}

// fetch is Fetch of an object of at most limit bytes. An object that states a larger length is not read. Of
// an object that is larger without stating it, limit+1 bytes are read.
func (o *object) fetch(ctx context.Context, etag string, limit int64) (got *trust.Fetched, err error) {
	for range reads {
		if got, err = o.ask(ctx, etag); err != nil || got.Body == nil || got.Length > limit {
			return got, err
		}
		content, broken := io.ReadAll(io.LimitReader(got.Body, limit+1))
		_ = got.Body.Close() // was only read
		if broken == nil {
			got.Body = io.NopCloser(bytes.NewReader(content))
			return got, nil
		}
		if err = broken; ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func (o *object) ask(ctx context.Context, etag string) (*trust.Fetched, error) {
	in := &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key}
	if etag != "" {
		in.IfNoneMatch = &etag
	}
	out, err := o.client.GetObject(ctx, in, func(o *s3.Options) { o.Retryer = awscall.Retryer(o.Retryer) })
	switch {
	case err != nil && statusOf(err) == http.StatusNotModified:
		return &trust.Fetched{}, nil
	case err != nil:
		return nil, o.explain(err)
	}
	if encoding := aws.ToString(out.ContentEncoding); !isPlain(encoding) {
		_ = out.Body.Close() // is not read
		return nil, fmt.Errorf("the object is encoded as %.40q: store it as it is", encoding)
	}
	return &trust.Fetched{Body: out.Body, Length: aws.ToInt64(out.ContentLength),
		ETag: aws.ToString(out.ETag)}, nil
}

// isPlain reports whether the object is stored as it is. aws-chunked is only how an upload was framed.
func isPlain(encoding string) bool {
	return encoding == "" || strings.EqualFold(encoding, "identity") ||
		strings.EqualFold(encoding, "aws-chunked")
}

// read reads the object, of at most limit bytes.
func (o *object) read(ctx context.Context, limit int64) ([]byte, error) {
	got, err := o.fetch(ctx, "", limit)
	if err != nil {
		return nil, err
	}
	if got.Body == nil {
		return nil, errors.New("the answer has no object")
	}
	defer func() { _ = got.Body.Close() }() // was only read
	content, err := io.ReadAll(io.LimitReader(got.Body, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("more than %d bytes: check that this is the object you mean", limit)
	}
	return content, nil
}

func statusOf(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// explain says what to do about the client's error.
func (o *object) explain(err error) error {
	fix, isMissing := "", false
	switch code := codeOf(err); {
	case code == "NoSuchKey":
		isMissing = true
		fix = "there is no such object: check its name, and that a bundle was published there"
	case code == "NoSuchBucket":
		fix = "there is no such bucket: check its name and the account"
	case code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed":
		fix = "the bucket is in another region: set the client's"
	case strings.HasPrefix(code, "ExpiredToken") || code == "InvalidAccessKeyId" ||
		code == "SignatureDoesNotMatch":
		fix = "check the credentials and the clock"
	case statusOf(err) == http.StatusForbidden:
		isMissing = true
		fix = "the program needs " + policyStatement(o.bucket, o.key) +
			", and kms:Decrypt if a KMS key encrypts the object; without s3:ListBucket a missing object is forbidden, too"
	default:
		return err
	}
	if err = fmt.Errorf("%w: %s", err, fix); isMissing {
		return missing{err}
	}
	return err
}

// missing is an error that is trust.ErrNotFound in addition.
type missing struct{ error }

func (missing) Is(target error) bool { return target == trust.ErrNotFound }
func (e missing) Unwrap() error      { return e.error }

func codeOf(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}
