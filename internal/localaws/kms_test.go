package localaws_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
)

// TestKeyContract runs against the fake, or against whatever AWS_ENDPOINT_URL_KMS names.
func TestKeyContract(t *testing.T) {
	if url := os.Getenv("AWS_ENDPOINT_URL_KMS"); url != "" {
		localawstest.KMS(t, newKeyClient(url, "us-east-1"), nil)
		return
	}
	for _, kind := range []string{"all", keptWorld + "all"} {
		t.Run(kind, func(t *testing.T) {
			localawstest.KMS(t, newKeyClient(newWorld(t, nil).server.URL(), "us-east-1"), nil)
		})
	}
}

// keyClock is one that tests move.
type keyClock struct{ nanos atomic.Int64 }

func newKeyClock() *keyClock {
	c := &keyClock{}
	c.add(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Sub(time.Unix(0, 0)))
	return c
}

func (c *keyClock) now() time.Time      { return time.Unix(0, c.nanos.Load()) }
func (c *keyClock) add(d time.Duration) { c.nanos.Add(int64(d)) }

func TestKeyIsDeleted(t *testing.T) {
	clock := newKeyClock()
	w := newWorld(t, &localaws.Options{Now: clock.now})
	c, key := w.keys(), w.key("", "")
	_, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/a"),
		TargetKeyId: key})
	w.check(err)
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
	w.check(err)
	_, err = c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key,
		PendingWindowInDays: aws.Int32(7)})
	w.check(err)
	clock.add(7*24*time.Hour - 1)
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key})
	w.check(err)
	if out.KeyMetadata.KeyState != types.KeyStatePendingDeletion ||
		!out.KeyMetadata.DeletionDate.Equal(clock.now().Add(1)) {
		t.Errorf("a moment before, the key is %s until %s", out.KeyMetadata.KeyState,
			out.KeyMetadata.DeletionDate)
	}
	clock.add(1)
	for _, name := range []string{*key, "alias/a"} {
		_, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(name)})
		if codeOf(err) != "NotFoundException" {
			t.Errorf("%s after its deletion: %v", name, err)
		}
	}
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	if codeOf(err) != "AccessDeniedException" || !strings.Contains(err.Error(),
		"refers to a customer master key that does not exist") {
		t.Errorf("a ciphertext of a deleted key: %v", err)
	}
}

func TestKeyRotatesByItself(t *testing.T) {
	clock := newKeyClock()
	w := newWorld(t, &localaws.Options{Now: clock.now})
	c, key := w.keys(), w.key("", "")
	_, err := c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: key,
		RotationPeriodInDays: aws.Int32(90)})
	w.check(err)
	var blobs [][]byte
	var materials []string
	for range 4 {
		sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
		w.check(err)
		blobs = append(blobs, sealed.CiphertextBlob)
		clock.add(60 * 24 * time.Hour)
	}
	for _, blob := range blobs {
		opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: key, CiphertextBlob: blob})
		w.check(err)
		materials = append(materials, *opened.KeyMaterialId)
	}
	clock.add(200 * 24 * time.Hour)
	status, err := c.GetKeyRotationStatus(t.Context(), &kms.GetKeyRotationStatusInput{KeyId: key})
	w.check(err)
	if next := status.NextRotationDate.Sub(clock.now()); next != 10*24*time.Hour { // on day 450
		t.Errorf("the next rotation is in %s", next)
	}
	if materials[0] != materials[1] || len(slices.Compact(materials)) != 3 { // on the days 0, 60; 120; 180
		t.Errorf("encrypted with the materials %v", materials)
	}
}

func TestRotationsOnDemandAreCounted(t *testing.T) {
	w := newWorld(t, nil)
	key := w.key("", "")
	for i := range 26 {
		_, err := w.keys().RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key})
		if i < 25 {
			w.check(err)
		} else if codeOf(err) != "LimitExceededException" {
			t.Errorf("rotation %d: %v", i+1, err)
		}
	}
}

// TestCallsOf counts what was refused and what failed, too: the service bills and limits them.
func TestCallsOf(t *testing.T) {
	w := newWorld(t, &localaws.Options{
		Deny: func(action string) bool { return action == "Decrypt" },
		Faults: localaws.Faults{Script: func(action string, _ int) localaws.CallFault {
			if action == "Sign" {
				return localaws.Throttled
			}
			return localaws.NoFault
		}},
	})
	c, key := w.keys(), w.key("", "")
	for range 3 {
		_, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256",
			GrantTokens: []string{"token"}})
		w.check(err)
	}
	_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("x")})
	if codeOf(err) != "AccessDeniedException" || !strings.Contains(err.Error(),
		"is not authorized to perform: kms:Decrypt on this resource") {
		t.Errorf("denied: %v", err)
	}
	_, err = c.Sign(t.Context(), &kms.SignInput{KeyId: key, Message: []byte("x"),
		SigningAlgorithm: "ECDSA_SHA_256"})
	if codeOf(err) != "ThrottlingException" {
		t.Errorf("throttled: %v", err)
	}
	for action, want := range map[string]int{"GenerateDataKey": 3, "CreateKey": 1, "Decrypt": 1, "Sign": 1,
		"Encrypt": 0} {
		if got := w.server.CallsOf(action); got != want {
			t.Errorf("%d calls of %s, want %d", got, action, want)
		}
	}
	if w.server.Calls() != 6 {
		t.Errorf("%d calls, want 6", w.server.Calls())
	}
}

func TestKeyFaults(t *testing.T) {
	var how atomic.Int64
	w := newWorld(t, &localaws.Options{Faults: localaws.Faults{Script: func(string, int) localaws.CallFault { return localaws.CallFault(how.Load()) }}})
	key := w.key("", "")
	for fault, want := range map[localaws.CallFault]string{localaws.Throttled: "ThrottlingException",
		localaws.InternalError: "KMSInternalException"} {
		how.Store(int64(fault))
		_, err := w.keys().Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
		if codeOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, fault := range []localaws.CallFault{localaws.CutBefore, localaws.CutAfter,
		localaws.GarbageAnswer} {
		how.Store(int64(fault))
		if out, err := w.keys().Encrypt(t.Context(),
			&kms.EncryptInput{KeyId: key, Plaintext: []byte("x")}); err == nil {
			t.Errorf("fault %d: answered %v", fault, out)
		}
	}
}

// TestKeyCallFaults: the share is of KMS, and of nothing else.
func TestKeyCallFaults(t *testing.T) {
	w := newWorld(t, &localaws.Options{Faults: localaws.Faults{KeyCall: 1}})
	if _, err := w.keys().CreateKey(t.Context(), nil); err == nil {
		t.Error("no call of KMS failed")
	}
	w.createBus("bus")
}

// TestOverheadOfCiphertexts is what the service adds, which sizes on the wire are reckoned with.
func TestOverheadOfCiphertexts(t *testing.T) {
	w := newWorld(t, nil)
	for _, in := range []*kms.CreateKeyInput{{}, {MultiRegion: aws.Bool(true)}} {
		made, err := w.keys().CreateKey(t.Context(), in)
		w.check(err)
		sealed, err := w.keys().Encrypt(t.Context(),
			&kms.EncryptInput{KeyId: made.KeyMetadata.Arn, Plaintext: make([]byte, 32)})
		w.check(err)
		if len(sealed.CiphertextBlob) != 184 {
			t.Errorf("32 bytes are encrypted to %d", len(sealed.CiphertextBlob))
		}
	}
}

func TestLargeEncryptionContext(t *testing.T) {
	w := newWorld(t, nil)
	in := &kms.EncryptInput{KeyId: w.key("", ""), Plaintext: []byte("x"),
		EncryptionContext: map[string]string{"name": strings.Repeat("v", 8188)}}
	_, err := w.keys().Encrypt(t.Context(), in)
	w.check(err)
	in.EncryptionContext["name"] += "v"
	if _, err = w.keys().Encrypt(t.Context(), in); codeOf(err) != "ValidationException" {
		t.Errorf("8,193 bytes: %v", err)
	}
}

func TestManyGrantTokens(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.keys().Encrypt(t.Context(), &kms.EncryptInput{KeyId: w.key("", ""), Plaintext: []byte("x"),
		GrantTokens: make([]string, 11)})
	if codeOf(err) != "ValidationException" {
		t.Errorf("11 grant tokens: %v", err)
	}
}

// TestSeveralConstraints are named together.
func TestSeveralConstraints(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.keys().Sign(t.Context(), &kms.SignInput{KeyId: w.key("", ""), Message: make([]byte, 4097),
		MessageType: "COOKED", SigningAlgorithm: "ECDSA_SHA_256"})
	if err == nil || !strings.Contains(err.Error(),
		"2 validation errors detected: Value at 'message' failed") ||
		!strings.Contains(err.Error(), "; Value 'COOKED' at 'messageType'") {
		t.Error(err)
	}
}

// TestErrorsOfKeys are those that the SDK has types for.
func TestErrorsOfKeys(t *testing.T) {
	w := newWorld(t, nil)
	key := w.key("", "")
	_, err := w.keys().Decrypt(t.Context(), &kms.DecryptInput{KeyId: key, CiphertextBlob: []byte("x")})
	if _, ok := errors.AsType[*types.InvalidCiphertextException](err); !ok {
		t.Errorf("the SDK does not know the error %v", err)
	}
	_, err = w.keys().Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("x"),
		DryRun: aws.Bool(true)})
	if _, ok := errors.AsType[*types.DryRunOperationException](err); !ok {
		t.Errorf("the SDK does not know the error %v", err)
	}
}

// TestAnotherAccount: its keys are not here, and the service would not tell whether they are there.
func TestAnotherAccount(t *testing.T) {
	w := newWorld(t, nil)
	name := strings.Replace(*w.key("", ""), ":000000000000:", ":222222222222:", 1)
	_, err := w.keys().Encrypt(t.Context(), &kms.EncryptInput{KeyId: &name, Plaintext: []byte("x")})
	if codeOf(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "kms:Encrypt") {
		t.Error(err)
	}
}

// TestKeysInParallel: what one made, others use, while it changes.
func TestKeysInParallel(t *testing.T) {
	w := newWorld(t, nil)
	key := w.key("", "")
	done := make(chan error)
	for i := range 8 {
		go func() {
			plaintext := []byte(strconv.Itoa(i))
			for range 10 {
				sealed, err := w.keys().Encrypt(t.Context(),
					&kms.EncryptInput{KeyId: key, Plaintext: plaintext})
				if err == nil && i < 2 {
					_, err = w.keys().RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key})
				}
				if err != nil {
					done <- err
					return
				}
				opened, err := w.keys().Decrypt(t.Context(),
					&kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
				if err == nil && !bytes.Equal(opened.Plaintext, plaintext) {
					err = errors.New("decrypted to " + string(opened.Plaintext))
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		w.check(<-done)
	}
}
