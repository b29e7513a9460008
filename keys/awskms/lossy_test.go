package awskms_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/internal/lossy"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/keystest"
)

// lossyWorld is a KMS that loses one answer in twenty, whose client repeats calls as the SDK does by default.
func lossyWorld(t testing.TB, phase int) (*world, *lossy.Proxy) {
	w := newWorld(t)
	proxy := lossy.Start(t, w.server.URL(), phase)
	w.client = kms.New(w.client.Options(), func(o *kms.Options) { o.BaseEndpoint, o.Retryer = &proxy.URL, lossy.Retryer() })
	return w, proxy
}

// TestLossy: while one answer in twenty is lost, each call has the answer of one that was not, permanent
// verdicts included.
func TestLossy(t *testing.T) {
	for _, phase := range lossy.Runs(10) {
		for spec := range signatures {
			if spec == types.KeySpecMlDsa65 && phase > 0 { // it is slow, and its calls are those of the others
				continue
			}
			t.Run(fmt.Sprint(phase, " ", spec), func(t *testing.T) {
				keystest.TestSigner(t, func(t testing.TB) keys.Signer {
					w, _ := lossyWorld(t, phase)
					arn := *w.createDirectly(types.KeyUsageTypeSignVerify, spec).Arn
					s, err := awskms.NewSigner(t.Context(), w.client, arn, "orders", nil)
					w.check(err)
					return s
				})
			})
		}
		t.Run(fmt.Sprint(phase, " agreement"), func(t *testing.T) {
			keystest.TestIdentity(t, func(t testing.TB) keys.Identity {
				w, _ := lossyWorld(t, phase)
				arn := *w.createDirectly(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256).Arn
				i, err := awskms.NewAgreementIdentity(t.Context(), w.client, arn, nil)
				w.check(err)
				return i
			})
		})
		t.Run(fmt.Sprint(phase, " symmetric"), func(t *testing.T) { testSymmetricLossy(t, phase) })
	}
}

func testSymmetricLossy(t *testing.T, phase int) {
	w, proxy := lossyWorld(t, phase)
	arn := *w.createDirectly(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault).Arn
	to, err := awskms.NewRecipient(w.client, arn, nil)
	w.check(err)
	from, err := awskms.NewIdentity(w.client, arn, nil)
	w.check(err)
	for range lossy.Phases / 4 { // and so at least one lost answer
		key, encrypted, err := to.GenerateKey(t.Context(), source)
		w.check(err)
		again, err := to.EncryptKey(t.Context(), source, key)
		w.check(err)
		for _, blob := range [][]byte{encrypted, again} {
			if got, err := from.DecryptKey(t.Context(), source, arn, blob); err != nil ||
				!bytes.Equal(got, key) {
				t.Errorf("%v", err)
			}
		}
		_, err = from.DecryptKey(t.Context(), source+"/other", arn, encrypted)
		if e, ok := errors.AsType[*keys.ServiceError](err); !ok || !e.Permanent {
			t.Errorf("for another source: %v", err)
		}
		for _, p := range append(to.Check(t.Context(), source), from.Check(t.Context(), source)...) {
			if p.Err != nil {
				t.Errorf("%s: %v", p.Op, p.Err)
			}
		}
	}
	if proxy.Lost() == 0 {
		t.Error("no answer was lost: nothing is tested")
	}
}

// createDirectly makes a key without the proxy: a repeated CreateKey makes two, and no one uses the other.
func (w *world) createDirectly(usage types.KeyUsageType, spec types.KeySpec) *types.KeyMetadata {
	w.t.Helper()
	out, err := newClient(w.server.URL(), "us-east-1").CreateKey(w.t.Context(),
		&kms.CreateKeyInput{KeyUsage: usage, KeySpec: spec})
	w.check(err)
	return out.KeyMetadata
}
