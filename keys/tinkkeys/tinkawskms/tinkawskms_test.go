package tinkawskms_test

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/tinkkeys/tinkawskms"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A keyset under a key of KMS costs a call to write and a call to read, and none to sign.
func TestKEK(t *testing.T) {
	var deny atomic.Bool
	server, err := localaws.Start(&localaws.Options{Deny: func(action string) bool { return deny.Load() && action == "Decrypt" }})
	check(t, err)
	t.Cleanup(func() { _ = server.Close() })
	client := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	arns := make([]string, 2)
	for i := range arns {
		out, err := client.CreateKey(t.Context(), nil)
		check(t, err)
		arns[i] = *out.KeyMetadata.Arn
	}
	kek, err := tinkawskms.KEK(t.Context(), client, arns[0])
	check(t, err)
	owner := tinkkeys.Producer("orders")
	made, err := tinkkeys.Create(t.Context(), "", kek, owner, keys.ES256)
	check(t, err)
	var doc bytes.Buffer
	check(t, made.Write(&doc))
	ring, err := tinkkeys.Read(t.Context(), bytes.NewReader(doc.Bytes()), kek, owner)
	check(t, err)
	for range 10 {
		signers, err := ring.Signers(time.Now())
		check(t, err)
		_, err = signers[0].Sign(t.Context(), []byte("m"))
		check(t, err)
	}
	if e, d := server.CallsOf("Encrypt"), server.CallsOf("Decrypt"); e != 1 || d != 1 ||
		server.CallsOf("Sign") != 0 {
		t.Errorf("%d calls of Encrypt, %d of Decrypt", e, d)
	}
	other, err := tinkawskms.KEK(t.Context(), client, arns[1])
	check(t, err)
	_, err = tinkkeys.Read(t.Context(), bytes.NewReader(doc.Bytes()), other, owner)
	if e, ok := errors.AsType[*keys.ServiceError](err); !ok || !e.Permanent {
		t.Errorf("under another key: %v", err)
	}
	deny.Store(true)
	_, err = tinkkeys.Read(t.Context(), bytes.NewReader(doc.Bytes()), kek, owner)
	if e, ok := errors.AsType[*keys.ServiceError](err); !ok || e.Permanent ||
		!strings.Contains(e.Fix, "kms:Decrypt on "+arns[0]) {
		t.Errorf("denied: %v", err)
	}
}

func TestKEKRefuses(t *testing.T) {
	if _, err := tinkawskms.KEK(t.Context(), nil, "arn:aws:kms:us-east-1:000000000000:key/1"); err == nil {
		t.Error("no client")
	}
	if _, err := tinkawskms.KEK(t.Context(), &kms.Client{}, "alias/a"); err == nil ||
		!strings.Contains(err.Error(), "not the ARN of a key") {
		t.Errorf("an alias: %v", err)
	}
}
