package main

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
)

// stage is where the story plays: one KMS for all accounts, whose policies are played by who may ask it.
type stage struct {
	server                     *localaws.Server
	signing, billing, shipping string // ARNs

	mu    sync.Mutex
	asked []call
}

// call is how often a role asked KMS for something, or what it asked.
type call struct {
	role, action string
	key          string
	source       string // in the encryption context
	count        int
}

func newStage(ctx context.Context) (*stage, error) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the story is told on standard output
	server, err := localaws.Start(&localaws.Options{Region: "eu-central-1"})
	if err != nil {
		return nil, err
	}
	s := &stage{server: server}
	admin := s.client("")
	for _, k := range []struct {
		arn   *string
		usage types.KeyUsageType
		spec  types.KeySpec
	}{
		{&s.signing, types.KeyUsageTypeSignVerify, types.KeySpecEccNistP256},
		{&s.billing, types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault},
		{&s.shipping, types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault},
	} {
		out, err := admin.CreateKey(ctx, &kms.CreateKeyInput{KeyUsage: k.usage, KeySpec: k.spec})
		if err != nil {
			s.close()
			return nil, err
		}
		*k.arn = *out.KeyMetadata.Arn
	}
	return s, nil
}

func (s *stage) close() { _ = s.server.Close() } // it holds nothing

// client is KMS as a role sees it: what the key policies do not allow, KMS refuses.
func (s *stage) client(role string) *kms.Client {
	return kms.New(kms.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(s.server.URL()), RetryMaxAttempts: 1,
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("EXAMPLE", "EXAMPLE", ""),
		APIOptions:  []func(*middleware.Stack) error{func(stack *middleware.Stack) error { return stack.Initialize.Add(s.guard(role), middleware.Before) }},
	})
}

// guard notes what a role asks, and refuses the curious one, whom no key policy names.
func (s *stage) guard(role string) middleware.InitializeMiddleware {
	return middleware.InitializeMiddlewareFunc("guard",
		func(ctx context.Context, in middleware.InitializeInput,
			next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			c := asked(in.Parameters)
			c.role = role
			if role != "" {
				s.note(c)
			}
			if role == "curious" {
				return middleware.InitializeOutput{}, middleware.Metadata{}, refusal(c)
			}
			return next.HandleInitialize(ctx, in)
		})
}

func (s *stage) note(c call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.asked {
		if a := &s.asked[i]; a.role == c.role && a.action == c.action && a.key == c.key &&
			a.source == c.source {
			a.count++
			return
		}
	}
	c.count = 1
	s.asked = append(s.asked, c)
}

// calls are what was asked, in the order of the story.
func (s *stage) calls() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// asked reads the action, the key and the encryption context of a request.
func asked(in any) call {
	switch in := in.(type) {
	case *kms.GetPublicKeyInput:
		return call{action: "kms:GetPublicKey", key: aws.ToString(in.KeyId)}
	case *kms.SignInput:
		return call{action: "kms:Sign", key: aws.ToString(in.KeyId)}
	case *kms.GenerateDataKeyInput:
		return call{action: "kms:GenerateDataKey", key: aws.ToString(in.KeyId),
			source: in.EncryptionContext["sealbus:source"]}
	case *kms.EncryptInput:
		return call{action: "kms:Encrypt", key: aws.ToString(in.KeyId),
			source: in.EncryptionContext["sealbus:source"]}
	case *kms.DecryptInput:
		return call{action: "kms:Decrypt", key: aws.ToString(in.KeyId),
			source: in.EncryptionContext["sealbus:source"]}
	}
	return call{action: "kms:CreateKey"}
}

// refusal is what KMS answers to whom no policy names.
func refusal(c call) error {
	return &accessDenied{action: strings.TrimPrefix(c.action, "kms:")}
}

// accessDenied is a smithy.APIError.
type accessDenied struct{ action string }

func (e *accessDenied) Error() string                 { return e.ErrorCode() + ": " + e.ErrorMessage() }
func (e *accessDenied) ErrorCode() string             { return "AccessDeniedException" }
func (e *accessDenied) ErrorFault() smithy.ErrorFault { return smithy.FaultClient }
func (e *accessDenied) ErrorMessage() string {
	return "User: arn:aws:sts::444444444444:assumed-role/Curious/1 is not authorized to perform: kms:" +
		e.action + " on this resource because no resource-based policy allows the action"
}

// trustIn is a trust bundle of the key that vouches for the session.
func (s *stage) trustIn(session *session.Session) (trust.Source, error) {
	return trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: session.Verifier(), Producer: "orders", Sources: []string{source},
		Types: []string{"com.example.order.*"},
	})
}
