package trust_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// cloud is a KMS with a timestamp key, and an S3 with a bucket.
func cloud(b *clitest.Bench) (arn string, bucket gofakes3.Backend) {
	server := b.FakeAWS(nil)
	client := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	out, err := client.CreateKey(b.T.Context(), &kms.CreateKeyInput{KeyUsage: types.KeyUsageTypeSignVerify,
		KeySpec: types.KeySpecEccNistP256})
	b.Check(err)
	bucket = s3mem.New()
	b.Check(bucket.CreateBucket("trust-bucket"))
	srv := httptest.NewServer(gofakes3.New(bucket, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	b.T.Cleanup(srv.Close)
	b.T.Setenv("AWS_ENDPOINT_URL", server.URL())
	b.T.Setenv("AWS_ENDPOINT_URL_S3", srv.URL)
	b.T.Setenv("AWS_MAX_ATTEMPTS", "1")
	return *out.KeyMetadata.Arn, bucket
}

// A timestamp of a key in KMS is published in S3, where it replaces only the one that it follows.
func TestTimestampByKMSInS3(t *testing.T) {
	b := clitest.New(t)
	arn, bucket := cloud(b)
	must := func(args ...string) string { return b.Must("", args...) }
	must("trust", "root", "new", "--out", b.Path("root.key"), "--insecure-no-passphrase")
	must("trust", "roots", b.Path("root.key.pub"), "--timestamp-key", arn, "--out", b.Path("roots.json"))
	b.Check(os.WriteFile(b.Path("policy.yaml"), []byte("version: 1\nproducers: {}\n"), 0o600))
	must("trust", "build", "--policy", b.Path("policy.yaml"), "--root", b.Path("root.key"), "--roots",
		b.Path("roots.json"), "--insecure-no-passphrase", "--out", b.Path("trust.dsse"))
	const there = "s3://trust-bucket/a/timestamp.dsse"
	sign := func(previous, out string) clitest.Ran {
		return b.Run("", "trust", "timestamp", "--key", arn, "--roots", b.Path("roots.json"), "--bundle",
			b.Path("trust.dsse"), "--previous", previous, "--out", out)
	}
	if r := sign("none", there); r.Code != 0 || !strings.Contains(r.Stdout, "timestamp version 1") {
		t.Fatalf("exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := sign("none", there); r.Code != ui.ExitUnavailable || !strings.Contains(r.Stderr, "was changed by another") {
		t.Errorf("over another timestamp: exit %d, %s", r.Code, r.Stderr)
	}
	if r := sign(there, there); r.Code != 0 || !strings.Contains(r.Stdout, "timestamp version 2") {
		t.Errorf("exit %d, %s", r.Code, r.Stderr)
	}
	if r := sign(b.Path("copy.dsse"), there); r.Code != ui.ExitUsage {
		t.Errorf("a copy as --previous cannot be compared: exit %d, %s", r.Code, r.Stderr)
	}
	object, err := bucket.GetObject("trust-bucket", "a/timestamp.dsse", nil)
	b.Check(err)
	if object.Size == 0 {
		t.Error("the object is empty")
	}
	if r := b.Run("", "trust", "show", "--roots", b.Path("roots.json"), there); r.Code != 0 ||
		!strings.Contains(r.Stdout, "verified") {
		t.Errorf("trust show: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// An answer of S3 that is lost on its way does not make the own timestamp look like that of another writer.
func TestTimestampWhoseAnswerIsLost(t *testing.T) {
	b := clitest.New(t)
	arn, _ := cloud(b)
	b.Must("", "trust", "root", "new", "--out", b.Path("root.key"), "--insecure-no-passphrase")
	b.Must("", "trust", "roots", b.Path("root.key.pub"), "--timestamp-key", arn, "--out", b.Path("roots.json"))
	b.Check(os.WriteFile(b.Path("policy.yaml"), []byte("version: 1\nproducers: {}\n"), 0o600))
	b.Must("", "trust", "build", "--policy", b.Path("policy.yaml"), "--root", b.Path("root.key"), "--roots",
		b.Path("roots.json"), "--insecure-no-passphrase", "--out", b.Path("trust.dsse"))
	target, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL_S3"))
	b.Check(err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	puts := 0
	lossy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			if puts++; puts == 1 {
				proxy.ServeHTTP(httptest.NewRecorder(), r)
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(lossy.Close)
	t.Setenv("AWS_ENDPOINT_URL_S3", lossy.URL)
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	r := b.Run("", "trust", "timestamp", "--key", arn, "--roots", b.Path("roots.json"), "--bundle",
		b.Path("trust.dsse"), "--previous", "none", "--out", "s3://trust-bucket/a/timestamp.dsse")
	if r.Code != 0 || puts != 2 {
		t.Errorf("exit %d after %d writes, %s", r.Code, puts, r.Stderr)
	}
}

// A renewal between building a bundle and publishing it is told, because it undoes what the bundle decided.
func TestTimestampRenewedMeanwhile(t *testing.T) {
	b := clitest.New(t)
	must := func(args ...string) clitest.Ran {
		r := b.Run("", append([]string{"trust"}, args...)...)
		if r.Code != 0 {
			t.Fatalf("%v: exit %d, %s", args, r.Code, r.Stderr)
		}
		return r
	}
	stamp := func(bundle, previous string, more ...string) clitest.Ran {
		return must(append([]string{"timestamp", "--key", b.Path("ts.key"), "--insecure-no-passphrase", "--roots",
			b.Path("roots.json"), "--bundle", bundle, "--previous", previous, "--out", b.Path("t.dsse")}, more...)...)
	}
	build := func(out string, more ...string) {
		must(append([]string{"build", "--policy", b.Path("policy.yaml"), "--root", b.Path("root.key"), "--roots",
			b.Path("roots.json"), "--insecure-no-passphrase", "--out", out}, more...)...)
	}
	for _, name := range []string{"root.key", "ts.key"} {
		must("root", "new", "--out", b.Path(name), "--insecure-no-passphrase")
	}
	must("roots", b.Path("root.key.pub"), "--timestamp-key", b.Path("ts.key.pub"), "--out", b.Path("roots.json"))
	b.Check(os.WriteFile(b.Path("policy.yaml"), []byte("version: 1\nproducers: {}\n"), 0o600))
	build(b.Path("one.dsse"))
	stamp(b.Path("one.dsse"), "none", "--revoke-session", strings.Repeat("A", 43))
	build(b.Path("two.dsse"), "--previous", b.Path("one.dsse"), "--timestamp", b.Path("t.dsse"))
	const told = "still count"
	if r := stamp(b.Path("one.dsse"), b.Path("t.dsse")); strings.Contains(r.Stderr, told) {
		t.Errorf("a plain renewal: %s", r.Stderr)
	}
	if r := stamp(b.Path("two.dsse"), b.Path("t.dsse")); !strings.Contains(r.Stderr, told) {
		t.Errorf("renewed meanwhile: %s", r.Stderr)
	}
}
