package awskms_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/trust"
)

type ctx = context.Context

// failure is a way in which KMS fails, and what is to be said of it. None says anything of the event: each is
// transient.
type failure struct {
	name string
	make func(*trouble)
	mend func(*trouble)
	fix  string // what the Fix names, beside the key
}

// trouble is a consumer's key that something happens to.
type trouble struct {
	*world
	arn    string
	client *kms.Client // that the consumer has
}

var failures = []failure{
	{"throttled", faulty(localaws.Throttled), healthy, "quota of kms:Decrypt"},
	{"internal error", faulty(localaws.InternalError), healthy, "health of KMS"},
	{"connection cut", faulty(localaws.CutBefore), healthy, "network path to KMS in us-east-1"},
	{"garbage from a proxy", faulty(localaws.GarbageAnswer), healthy, ""},
	{"grant not yet visible", denied("Decrypt"), allowed, "allow kms:Decrypt on"},
	{"key disabled", func(w *trouble) {
		_, err := w.world.client.DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &w.arn})
		w.check(err)
	}, func(w *trouble) {
		_, err := w.world.client.EnableKey(w.t.Context(), &kms.EnableKeyInput{KeyId: &w.arn})
		w.check(err)
	}, "enable the key"},
	{"pending deletion", func(w *trouble) {
		_, err := w.world.client.ScheduleKeyDeletion(w.t.Context(),
			&kms.ScheduleKeyDeletionInput{KeyId: &w.arn})
		w.check(err)
	}, func(w *trouble) {
		_, err := w.world.client.CancelKeyDeletion(w.t.Context(), &kms.CancelKeyDeletionInput{KeyId: &w.arn})
		w.check(err)
		_, err = w.world.client.EnableKey(w.t.Context(), &kms.EnableKeyInput{KeyId: &w.arn})
		w.check(err)
	}, "kms:CancelKeyDeletion"},
	{"wrong region", func(w *trouble) { w.client = newClient(w.server.URL(), "eu-west-1") },
		func(w *trouble) { w.client = w.world.client },
		"the key is in us-east-1 and the client asks eu-west-1"},
}

func faulty(f localaws.CallFault) func(*trouble) { return func(w *trouble) { w.fault.Store(int64(f)) } }
func healthy(w *trouble)                         { w.fault.Store(int64(localaws.NoFault)) }
func denied(action string) func(*trouble) {
	return func(w *trouble) { w.deny.Store(aws.String(action)) }
}
func allowed(w *trouble) { w.deny.Store(nil) }

// Whatever is wrong with KMS, the event stays: kms_unavailable, with what to do; and when it is mended, the
// event opens.
func TestFailures(t *testing.T) {
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			w := &trouble{world: newWorld(t)}
			w.client = w.world.client
			w.arn = w.symmetric()
			trust, sealed := w.sealed()
			f.make(w)
			_, err := envelope.Open(t.Context(), sealed, trust,
				&envelope.Policy{Decrypter: w.decrypter(nil),
					Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
			verdict, ok := errors.AsType[*envelope.Error](err)
			if !ok || verdict.Reason != envelope.ReasonKMSUnavailable ||
				verdict.Reason.Class() != envelope.Transient {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(verdict.Fix(), f.fix) || f.fix != "" &&
				!strings.Contains(verdict.Fix()+verdict.Cause, w.arn) {
				t.Errorf("fix %q of %v", verdict.Fix(), verdict)
			}
			if strings.Contains(err.Error()+verdict.Fix(), "secret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %q", err)
			}
			f.mend(w)
			if _, err := envelope.Open(t.Context(), sealed, trust,
				&envelope.Policy{Decrypter: w.decrypter(nil),
					Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}}); err != nil {
				t.Errorf("when it is mended: %v", err)
			}
		})
	}
}

// sealed is an event that is encrypted to the key.
func (w *trouble) sealed() (*trust.Bundle, []byte) {
	w.t.Helper()
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	w.check(err)
	to, err := awskms.NewRecipient(w.world.client, w.arn, nil)
	w.check(err)
	e, err := envelope.NewEncrypter(envelope.EncryptTo{Services: []keys.ServiceRecipient{to}})
	w.check(err)
	sealed, err := envelope.Seal(w.t.Context(), testEvent(`{"a":1}`), signer,
		&envelope.SealOptions{Encrypt: e})
	w.check(err)
	return testKey(w.t, signer.Verifier(), "orders"), sealed.JSON()
}

func (w *trouble) decrypter(opts *awskms.Options) *envelope.Decrypter {
	w.t.Helper()
	from, err := awskms.NewIdentity(w.client, w.arn, opts)
	w.check(err)
	d, err := envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{from}})
	w.check(err)
	return d
}

// A slow KMS holds an event for the timeout, or as long as the caller has; neither leaves anything behind.
func TestSlow(t *testing.T) {
	w := &trouble{world: newWorld(t)}
	w.client = w.world.client
	w.arn = w.symmetric()
	trust, sealed := w.sealed()
	hold := make(chan struct{})
	w.hold = hold
	before := runtime.NumGoroutine()
	_, err := envelope.Open(t.Context(), sealed, trust,
		&envelope.Policy{Decrypter: w.decrypter(&awskms.Options{Timeout: 10 * time.Millisecond}),
			Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
	if envelope.ReasonOf(err) != envelope.ReasonKMSUnavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at the timeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = envelope.Open(ctx, sealed, trust, &envelope.Policy{Decrypter: w.decrypter(nil),
		Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
	if envelope.ReasonOf(err) != envelope.ReasonKMSUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("when the caller leaves: %v", err)
	}
	close(hold)
	w.server.Close()
	for i := 0; runtime.NumGoroutine() > before && i < 500; i++ {
		time.Sleep(10 * time.Millisecond) // the server's and the transport's end by themselves
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// Sealing fails with the same errors, and nothing is sent.
func TestFailuresWhenSealing(t *testing.T) {
	w := newWorld(t)
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	w.check(err)
	to, err := awskms.NewRecipient(w.client, w.symmetric(), nil)
	w.check(err)
	kmsSigner, err := awskms.NewSigner(t.Context(), w.client,
		w.key(types.KeyUsageTypeSignVerify, types.KeySpecEccNistP256), "orders", nil)
	w.check(err)
	for name, test := range map[string]struct {
		action string
		signer keys.Signer
		to     []keys.ServiceRecipient
	}{
		"generate": {"GenerateDataKey", signer, []keys.ServiceRecipient{to}},
		"sign":     {"Sign", kmsSigner, nil},
	} {
		t.Run(name, func(t *testing.T) {
			opts := &envelope.SealOptions{}
			if test.to != nil {
				opts.Encrypt, err = envelope.NewEncrypter(envelope.EncryptTo{Services: test.to})
				w.check(err)
			}
			w.deny.Store(&test.action)
			sealed, err := envelope.Seal(t.Context(), testEvent(`1`), test.signer, opts)
			e, ok := errors.AsType[*keys.ServiceError](err)
			if !ok || sealed != nil || e.Permanent || e.Op != "kms:"+test.action ||
				!strings.Contains(e.Fix, "allow kms:"+test.action) {
				t.Errorf("got %v", err)
			}
		})
	}
}
