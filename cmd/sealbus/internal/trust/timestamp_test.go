package trust_test

import (
	"encoding/json"
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

// desk is an organisation with a root key and a timestamp key in files.
type desk struct {
	*clitest.Bench
	t *testing.T
}

func newDesk(t *testing.T) *desk {
	d := &desk{clitest.New(t), t}
	for _, name := range []string{"root.key", "ts.key"} {
		d.must("root", "new", "--out", d.Path(name), "--insecure-no-passphrase")
	}
	d.must("roots", d.Path("root.key.pub"), "--timestamp-key", d.Path("ts.key.pub"), "--out", d.Path("roots.json"))
	d.Check(os.WriteFile(d.Path("policy.yaml"), []byte("version: 1\nproducers: {}\n"), 0o600))
	return d
}

func (d *desk) must(args ...string) clitest.Ran {
	d.t.Helper()
	r := d.Run("", append([]string{"trust"}, args...)...)
	if r.Code != 0 {
		d.t.Fatalf("%v: exit %d, %s", args, r.Code, r.Stderr)
	}
	return r
}

func (d *desk) stampArgs(bundle, previous string, more ...string) []string {
	return append([]string{"timestamp", "--key", d.Path("ts.key"), "--insecure-no-passphrase", "--roots",
		d.Path("roots.json"), "--bundle", d.Path(bundle), "--previous", previous, "--out", d.Path("t.dsse")}, more...)
}

func (d *desk) stamp(bundle string, more ...string) clitest.Ran {
	d.t.Helper()
	return d.must(d.stampArgs(bundle, d.Path("t.dsse"), more...)...)
}

func (d *desk) build(out string, more ...string) {
	d.t.Helper()
	d.must(append([]string{"build", "--policy", d.Path("policy.yaml"), "--root", d.Path("root.key"), "--roots",
		d.Path("roots.json"), "--insecure-no-passphrase", "--out", d.Path(out)}, more...)...)
}

// Renewals while root holders sign a bundle do not keep it from deciding on what it was built for.
// Revocations that are made meanwhile are carried over.
func TestTimestampRenewedMeanwhile(t *testing.T) {
	d := newDesk(t)
	first, second := strings.Repeat("A", 43), strings.Repeat("B", 42)+"A"
	d.build("one.dsse")
	d.must(d.stampArgs("one.dsse", "none", "--revoke-session", first)...)
	d.build("two.dsse", "--previous", d.Path("one.dsse"), "--timestamp", d.Path("t.dsse"), "--overrule", first)
	if r := d.stamp("one.dsse"); !strings.Contains(r.Stdout, first) {
		t.Errorf("a renewal: %s", r.Stdout)
	}
	d.stamp("one.dsse", "--revoke-session", second)
	r := d.stamp("two.dsse", "--output", "json")
	if strings.Contains(r.Stdout, first) || !strings.Contains(r.Stdout, second) ||
		!strings.Contains(r.Stdout, `"since":3`) {
		t.Errorf("the bundle decided on the first alone: %s", r.Stdout)
	}
}

// A key that the newest bundle has no longer can be revoked: consumers may still use the bundle before.
func TestTimestampRevokesAKeyOfAnOlderBundle(t *testing.T) {
	d := newDesk(t)
	empty, err := os.ReadFile(d.Path("policy.yaml"))
	d.Check(err)
	made := d.Must("", "keys", "new", "--producer", "shop", "--keyring", d.Path("shop.keyring"), "--source",
		"https://shop.example/*", "--insecure-no-passphrase", "--output", "json")
	var key struct {
		ID string `json:"key_id"`
	}
	d.Check(json.Unmarshal([]byte(made), &key))
	d.Must("", "keys", "export", "--keyring", d.Path("shop.keyring"), "--insecure-no-passphrase", "--out",
		d.Path("shop.json"))
	d.must("add", "--policy", d.Path("policy.yaml"), "--producer", "shop", "--source", "https://shop.example/*",
		"--type", "*", d.Path("shop.json"))
	d.build("one.dsse", "--keys", d.Path("shop.json"))
	d.must(d.stampArgs("one.dsse", "none")...)
	d.Check(os.WriteFile(d.Path("policy.yaml"), empty, 0o600))
	d.build("two.dsse", "--previous", d.Path("one.dsse"))
	d.stamp("two.dsse")
	revoke := []string{"--revoke", key.ID[:12], "--reason", "stolen"}
	r := d.Run("", append([]string{"trust"}, d.stampArgs("two.dsse", d.Path("t.dsse"), revoke...)...)...)
	if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "--older-bundle") {
		t.Errorf("it is not told how: exit %d, %s", r.Code, r.Stderr)
	}
	r = d.stamp("two.dsse", append(revoke, "--older-bundle", d.Path("one.dsse"), "--older-bundle", d.Path("two.dsse"))...)
	if !strings.Contains(r.Stdout, key.ID+"  stolen") {
		t.Errorf("not revoked: %s", r.Stdout)
	}
	foreign := append(revoke, "--older-bundle", d.Path("roots.json"))
	if r := d.Run("", append([]string{"trust"}, d.stampArgs("two.dsse", d.Path("t.dsse"), foreign...)...)...); r.Code == 0 {
		t.Error("an older bundle that is none was read")
	}
}
