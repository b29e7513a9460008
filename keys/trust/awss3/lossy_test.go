package awss3_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sealbus/sealbus/internal/lossy"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

// lossy is a client of the store whose answers are lost now and then, also in the middle of an object. It
// repeats calls as the SDK does by default.
func (s *store) lossy(t testing.TB, phase int) (*s3.Client, *lossy.Proxy) {
	t.Helper()
	proxy := lossy.Start(t, *s.Options().BaseEndpoint, phase)
	return s3.New(s.Options(), func(o *s3.Options) {
		o.BaseEndpoint, o.RetryMaxAttempts, o.Retryer = &proxy.URL, 0, lossy.Retryer()
	}), proxy
}

// TestConformsLossy: a source follows its object as if no answer were lost.
func TestConformsLossy(t *testing.T) {
	for _, phase := range lossy.Runs(lossy.Phases) {
		t.Run(fmt.Sprint(phase), func(t *testing.T) {
			keystest.TestSource(t, func(t testing.TB, first []byte, roots *trust.Roots,
				opts *trust.Options) (trust.Refresher, func([]byte)) {
				s := newStore(t)
				s.Publish(first)
				client, _ := s.lossy(t, phase)
				source, err := awss3.FetchBundle(t.Context(), client, bucket, object, roots, opts)
				if err != nil {
					t.Fatal(err)
				}
				return source, s.Publish
			})
		})
	}
}

// TestKeyringLossy: an object that breaks off, in each of the three ways, is read again as a whole.
func TestKeyringLossy(t *testing.T) {
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "orders.keyring")
	_, err := keys.CreateKeyring(path, "hush", "orders", &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{ScryptWorkFactor: 2},
		Key:                keystest.Signer(t, keys.Ed25519, "orders", "a"),
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.put("orders.keyring", content, "")
	for phase := range 3 {
		client, proxy := s.lossy(t, phase)
		for range phase + 1 {
			if ring, err := awss3.OpenKeyring(t.Context(), client, bucket, "orders.keyring",
				"hush"); err != nil || ring.Producer() != "orders" {
				t.Fatal(err)
			}
		}
		if proxy.Lost() != 1 {
			t.Errorf("%d answers lost", proxy.Lost())
		}
	}
}
