package main

import (
	"bytes"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

// bucket is an S3 with one bucket. before is called before an object is put.
type bucket struct {
	gofakes3.Backend
	before func()
}

func (b *bucket) PutObject(name, key string, meta map[string]string, in io.Reader, size int64,
	conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	if b.before != nil {
		b.before()
	}
	return b.Backend.PutObject(name, key, meta, in, size, conditions)
}

func (b *bucket) store(t *testing.T, content []byte) {
	t.Helper()
	if _, err := b.Backend.PutObject("keys", "a/o.keyring", nil, bytes.NewReader(content), int64(len(content)),
		nil); err != nil {
		t.Fatal(err)
	}
}

func (b *bucket) stored(t *testing.T) []byte {
	t.Helper()
	o, err := b.GetObject("keys", "a/o.keyring", nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(o.Contents)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A keyring in S3 is rewrapped there, and not over what another program stored meanwhile.
func TestRewrapInS3(t *testing.T) {
	b := clitest.New(t)
	b.FakeAWS(nil)
	s := &bucket{Backend: s3mem.New()}
	b.Check(s.CreateBucket("keys"))
	srv := httptest.NewServer(gofakes3.New(s, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(srv.Close)
	t.Setenv("AWS_ENDPOINT_URL_S3", srv.URL)
	b.Check(os.WriteFile(b.Path("one"), []byte("first passphrase\n"), 0o600))
	b.Check(os.WriteFile(b.Path("two"), []byte("second passphrase\n"), 0o600))
	b.Must("", "keys", "new", "--producer", "orders", "--keyring", b.Path("o.keyring"), "--passphrase-file", b.Path("one"))
	first, err := os.ReadFile(b.Path("o.keyring"))
	b.Check(err)
	s.store(t, first)
	rewrap := func(more ...string) clitest.Ran {
		return b.Run("", append([]string{"keys", "rewrap", "--keyring", "s3://keys/a/o.keyring"}, more...)...)
	}
	withBoth := []string{"--passphrase-file", b.Path("one"), "--new-passphrase-file", b.Path("two")}
	other := bytes.Repeat([]byte("x"), 9)
	s.before = func() { s.before = nil; s.store(t, other) }
	if r := rewrap(withBoth...); r.Code != ui.ExitUnavailable || !strings.Contains(r.Stderr, "was changed by another") ||
		!bytes.Equal(s.stored(t), other) {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	s.store(t, first)
	if r := rewrap("--passphrase-file", b.Path("two"), "--new-passphrase-file", b.Path("two")); r.Code != ui.ExitUsage ||
		!bytes.Equal(s.stored(t), first) {
		t.Errorf("another passphrase: exit %d: %s", r.Code, r.Stderr)
	}
	if r := rewrap("--insecure-new-no-passphrase", "--passphrase-file", b.Path("one")); r.Code != ui.ExitUsage ||
		!bytes.Equal(s.stored(t), first) {
		t.Errorf("without a passphrase: exit %d: %s", r.Code, r.Stderr)
	}
	if r := rewrap(withBoth...); r.Code != ui.ExitDone || !strings.Contains(r.Stdout, "1 key") {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if _, err := keys.ParseKeyring(s.stored(t), "first passphrase"); err == nil {
		t.Error("it opens with the old passphrase")
	}
	was, err := keys.ParseKeyring(first, "first passphrase")
	b.Check(err)
	is, err := keys.ParseKeyring(s.stored(t), "second passphrase")
	b.Check(err)
	if a, b := was.PublicKeys(), is.PublicKeys(); len(a) != 1 || len(b) != 1 || a[0].KeyID() != b[0].KeyID() {
		t.Errorf("keys %v, %v", a, b)
	}
}

// The other commands, and other stores, say what to do.
func TestKeyringIsNoFile(t *testing.T) {
	b := clitest.New(t)
	const secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/keyring"
	for _, test := range [][]string{
		{"rewrap", secret, "aws secretsmanager put-secret-value"},
		{"rotate", secret, "aws secretsmanager get-secret-value"},
		{"rotate", "s3://keys/o.keyring", "download it"},
		{"rewrap", "https://keys.example/o.keyring", "takes s3://BUCKET/KEY"},
		{"list", "arn:aws:ssm:eu-west-1:111122223333:parameter/orders", "download it"},
	} {
		r := b.Run("", "keys", test[0], "--keyring", test[1], "--insecure-no-passphrase")
		if r.Code != ui.ExitUsage || !strings.Contains(strings.Join(strings.Fields(r.Stderr), " "), test[2]) {
			t.Errorf("%v: exit %d: %s", test, r.Code, r.Stderr)
		}
	}
}
