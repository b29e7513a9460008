package sender_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/webhook/sender"
)

// A key in KMS seals a secret for one endpoint. KMS itself refuses to open it for another one; a KMS that is
// down says nothing about the secret.
func TestSealSecretByKMS(t *testing.T) {
	var down atomic.Bool
	server, err := localaws.Start(&localaws.Options{Deny: func(action string) bool {
		return down.Load() && action == "Decrypt"
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	client := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Retryer: aws.NopRetryer{}, HTTPClient: &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	made, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	arn := aws.ToString(made.KeyMetadata.Arn)
	to, err := awskms.NewRecipient(client, arn, nil)
	if err != nil {
		t.Fatal(err)
	}
	with, err := awskms.NewIdentity(client, arn, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sender.SealSecret(t.Context(), to, "tenant-a", someSecret)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sender.OpenSecret(t.Context(), with, "tenant-a", sealed); err != nil || got != someSecret {
		t.Errorf("opened as %+v, %v", got, err)
	}
	moved := bindTo(t, sealed, "urn:sealbus:webhook-endpoint:tenant-b")
	for name, doc := range map[string][]byte{"moved": sealed, "moved and bound": moved} {
		if _, err := sender.OpenSecret(t.Context(), with, "tenant-b", doc); !errors.Is(err, sender.ErrNotSealed) {
			t.Errorf("%s: %v, want ErrNotSealed", name, err)
		}
	}
	down.Store(true)
	_, err = sender.OpenSecret(t.Context(), with, "tenant-a", sealed)
	if err == nil || errors.Is(err, sender.ErrNotSealed) {
		t.Errorf("denied: %v, want another error than ErrNotSealed", err)
	}
}
