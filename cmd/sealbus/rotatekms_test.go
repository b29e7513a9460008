package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/trust"
)

// A producer that signs with two kinds of keys rotates both at once. The plan asks for no key that it was
// given.
func TestRotateTwoKindsInKMS(t *testing.T) {
	b := clitest.New(t)
	server := b.FakeAWS(nil)
	t.Setenv("AWS_ENDPOINT_URL", server.URL())
	client := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	args := []string{"keys", "rotate", "--producer", "orders", "--output", "json"}
	var made []*awskms.Signer
	for _, spec := range []types.KeySpec{types.KeySpecEccNistP256, types.KeySpecMlDsa65,
		types.KeySpecEccNistP256, types.KeySpecMlDsa65} {
		out, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: spec,
			KeyUsage: types.KeyUsageTypeSignVerify})
		b.Check(err)
		s, err := awskms.NewSigner(t.Context(), client, *out.KeyMetadata.Arn, "orders", nil)
		b.Check(err)
		made, args = append(made, s), append(args, "--kms", s.ARN())
	}
	var listed []*trust.Key
	for _, s := range made[:2] {
		listed = append(listed, &trust.Key{Verifier: s.Verifier(), Producer: "orders", Types: []string{"*"},
			Sources: []string{"https://orders.example/*"}, Since: b.Now.Add(-24 * time.Hour)})
	}
	b.Trust(listed...)
	r := b.Run("", append(args, "--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json"))...)
	var out struct {
		Steps []struct {
			Action, Status string
			KeyID          string `json:"key_id"`
		}
	}
	b.Check(json.Unmarshal([]byte(r.Stdout), &out))
	publish := map[string]string{}
	for _, s := range out.Steps {
		if s.Action == "make" {
			t.Errorf("a key is to be made: %+v", s)
		} else if s.Action == "publish" {
			publish[s.KeyID] = s.Status
		}
	}
	for _, s := range made[2:] {
		if id := s.Verifier().KeyID(); publish[id] != "due" {
			t.Errorf("publish of %s is %q: %s%s", id, publish[id], r.Stdout, r.Stderr)
		}
	}
}
