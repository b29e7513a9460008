package httpsig_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/httpsig"
)

// TestKMS: a key in AWS KMS signs a body of 1 MiB with one call, because the base has only its digest. A base
// over what KMS takes is refused before KMS is called.
func TestKMS(t *testing.T) {
	server, err := localaws.Start(nil)
	check(t, err)
	defer func() { _ = server.Close() }()
	client := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Retryer: aws.NopRetryer{}, HTTPClient: &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	content := bytes.Repeat([]byte("a"), 1<<20)
	for _, spec := range []types.KeySpec{types.KeySpecEccNistEdwards25519, types.KeySpecEccNistP256} {
		t.Run(string(spec), func(t *testing.T) {
			key, err := client.CreateKey(t.Context(),
				&kms.CreateKeyInput{KeyUsage: types.KeyUsageTypeSignVerify, KeySpec: spec})
			check(t, err)
			signer, err := awskms.NewSigner(t.Context(), client, *key.KeyMetadata.Arn, "orders", nil)
			check(t, err)
			calls := server.CallsOf("Sign")
			req := newRequest(t)
			check(t, httpsig.Sign(t.Context(), req, content, signer, covering, now))
			if n := server.CallsOf("Sign") - calls; n != 1 {
				t.Errorf("%d calls", n)
			}
			v, err := webhook.New(httpsig.Scheme(covering), "orders", keysOf(signer), &webhook.Options{
				Scheme: webhook.SchemeOptions{BaseURL: baseURL}})
			check(t, err)
			wantReason(t, v, webhook.FromHTTP(req, content), now, "")
			wantReason(t, v, webhook.FromHTTP(req, content[1:]), now, envelope.ReasonModified)
			tooLong(t, server, signer)
		})
	}
}

// tooLong finds the longest base that is signed, and that one byte more makes no call.
func tooLong(t *testing.T, server *localaws.Server, signer keys.Signer) {
	t.Helper()
	sign := func(size int) (*http.Request, error) {
		req := newRequest(t)
		req.Header.Set("Content-Type", strings.Repeat("a", size))
		return req, httpsig.Sign(t.Context(), req, []byte(body), signer, covering, now)
	}
	size := 3000
	for ; ; size++ {
		if _, err := sign(size); err != nil {
			break
		}
		size += 100
	}
	for ; ; size-- {
		calls := server.CallsOf("Sign")
		req, err := sign(size)
		n := server.CallsOf("Sign") - calls
		if err == nil {
			if n != 1 {
				t.Errorf("%d calls", n)
			}
			v := newVerifier(t, keysOf(signer), covering)
			wantReason(t, v, webhook.FromHTTP(req, []byte(body)), now, "")
			return
		}
		if webhook.ReasonOf(err) != envelope.ReasonTooLarge || n != 0 {
			t.Fatalf("%d calls, %v", n, err)
		}
	}
}

// TestSignerGetsTheBase: the longest base has exactly MaxBase bytes.
func TestSignerGetsTheBase(t *testing.T) {
	signer := &recording{Signer: newSigner(t, keys.Ed25519)}
	longest := 0
	for size := 3000; size < httpsig.MaxBase; size++ {
		req := newRequest(t)
		req.Header.Set("Content-Type", strings.Repeat("a", size))
		signer.message = nil
		if err := httpsig.Sign(t.Context(), req, []byte(body), signer, covering, now); err == nil {
			longest = max(longest, len(signer.message))
		} else if signer.message != nil || errorOf(t, err).Reason != envelope.ReasonTooLarge {
			t.Fatal("the signer was called", err)
		}
	}
	if longest != httpsig.MaxBase {
		t.Errorf("the longest base has %d bytes", longest)
	}
}

// recording keeps the message.
type recording struct {
	keys.Signer
	message []byte
}

func (r *recording) Sign(ctx context.Context, message []byte) ([]byte, error) {
	r.message = bytes.Clone(message)
	return r.Signer.Sign(ctx, message)
}
