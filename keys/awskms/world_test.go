package awskms_test

import (
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

const source = "https://orders.example/eu"

// world is a KMS with a client, over HTTP: the fake one.
type world struct {
	t      testing.TB
	server *localaws.Server
	client *kms.Client
	deny   atomic.Pointer[string] // the action that is denied
	fault  atomic.Int64           // how every call fails
	hold   chan struct{}          // every call waits for it; nil = none does
}

func newWorld(t testing.TB) *world {
	w := &world{t: t}
	return w.start()
}

func (w *world) start() *world {
	server, err := localaws.Start(&localaws.Options{
		Deny: func(action string) bool { denied := w.deny.Load(); return denied != nil && *denied == action },
		Faults: localaws.Faults{Script: func(string, int) localaws.CallFault {
			if w.hold != nil {
				<-w.hold
			}
			return localaws.CallFault(w.fault.Load())
		}},
	})
	w.check(err)
	w.t.Cleanup(func() { _ = server.Close() })
	w.server, w.client = server, newClient(server.URL(), "us-east-1")
	return w
}

// newClient tries once: what a test has fail is to fail.
func newClient(url, region string) *kms.Client {
	return kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(url), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// key makes a key and returns its ARN.
func (w *world) key(usage types.KeyUsageType, spec types.KeySpec) string {
	w.t.Helper()
	return *w.create(&kms.CreateKeyInput{KeyUsage: usage, KeySpec: spec}).Arn
}

func (w *world) create(in *kms.CreateKeyInput) *types.KeyMetadata {
	w.t.Helper()
	out, err := w.client.CreateKey(w.t.Context(), in)
	w.check(err)
	return out.KeyMetadata
}

func (w *world) symmetric() string {
	return w.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
}

// service is the fake, or whatever AWS_ENDPOINT_URL_KMS names, for what holds of both. It makes keys of its
// own.
func service(t testing.TB) *world {
	url := os.Getenv("AWS_ENDPOINT_URL_KMS")
	if url == "" {
		return newWorld(t)
	}
	return &world{t: t, client: newClient(url, "us-east-1")}
}

func testKey(t testing.TB, v *keys.Verifier, producer string) *trust.Bundle {
	t.Helper()
	b, err := trust.NewBundle(trust.BundleOptions{},
		&trust.Key{Verifier: v, Producer: producer, Sources: []string{"https://orders.example/*"},
			Types: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
