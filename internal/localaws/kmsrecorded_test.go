package localaws_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// playedKeys is each recorded case of KMS.
var playedKeys = map[string]func(t *testing.T, w *world, want recording){
	"kms/test_get_key_in_different_region":                                                keyOfAnotherRegion,
	"kms/test_get_key_does_not_exist":                                                     missingKeys,
	"kms/test_get_key_invalid_uuid":                                                       invalidKeyIDs,
	"kms/test_describe_with_alias_arn":                                                    describeByAlias,
	"kms/test_sign_verify[ECC_NIST_P256-ECDSA_SHA_256]":                                   signAndVerify,
	"kms/test_generate_and_verify_mac[HMAC_256-HMAC_SHA_256]":                             macs,
	"kms/test_invalid_verify_mac[HMAC_256-HMAC_SHA_256-some different important message]": invalidMac,
	"kms/test_error_messaging_for_invalid_keys":                                           keysForSomethingElse,
	"kms/test_plaintext_size_for_encrypt":                                                 largePlaintext,
	"kms/test_generate_data_key":                                                          dataKey,
	"kms/test_generate_data_key_without_plaintext":                                        dataKeyWithoutPlaintext,
	"kms/test_encrypt_decrypt_encryption_context":                                         encryptInContext,
	"kms/test_encryption_context_generate_data_key":                                       dataKeyInContext,
	"kms/test_derive_shared_secret":                                                       sharedSecret,
	"kms/test_rotate_key_on_demand_raises_error_given_key_is_disabled":                    rotateDisabled,
	"kms/test_rotate_key_on_demand_raises_error_given_non_symmetric_key":                  rotateAsymmetric,
	"kms/test_key_rotations_encryption_decryption":                                        rotated,
	"kms/test_re_encrypt[SYMMETRIC_DEFAULT-SYMMETRIC_DEFAULT]":                            reEncrypt,
	"kms/test_re_encrypt_incorrect_source_key":                                            reEncryptWithAnotherKey,
}

func newKeyClient(url, region string) *kms.Client {
	return kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(url), Retryer: aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
}

func (w *world) keys() *kms.Client { return newKeyClient(w.server.URL(), "us-east-1") }

// key makes one; "" = a symmetric one.
func (w *world) key(spec types.KeySpec, usage types.KeyUsageType) (arn *string) {
	w.t.Helper()
	out, err := w.keys().CreateKey(w.t.Context(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
	w.check(err)
	return out.KeyMetadata.Arn
}

// sameAnswer is same for what the SDK writes with "" for what the service did not send. Added are members
// that the service has sent since the recording, and that have to be there.
func (w *world) sameAnswer(want json.RawMessage, got any, added ...string) {
	w.t.Helper()
	doc, err := json.Marshal(got)
	w.check(err)
	var members map[string]any
	w.check(json.Unmarshal(doc, &members))
	for _, name := range added {
		if members[name] == nil {
			w.t.Errorf("%s is missing in %s", name, doc)
		}
		delete(members, name)
	}
	w.same(want, withoutEmpty(members))
}

func withoutEmpty(members map[string]any) map[string]any {
	for name, v := range members {
		if object, ok := v.(map[string]any); ok {
			withoutEmpty(object)
		}
		if v == "" {
			delete(members, name)
		}
	}
	return members
}

func keyOfAnotherRegion(t *testing.T, w *world, want recording) {
	here, there := w.keys(), newKeyClient(w.server.URL(), "eu-central-1")
	made, err := there.CreateKey(t.Context(), &kms.CreateKeyInput{Description: aws.String("test key 123")})
	w.check(err)
	id, arn := made.KeyMetadata.KeyId, made.KeyMetadata.Arn
	if !strings.HasPrefix(*arn, "arn:aws:kms:eu-central-1:"+account+":key/") {
		t.Errorf("the key of the other region is %s", *arn)
	}
	_, err = here.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: id})
	w.sameError(want["describe-key-diff-region-with-id"], err,
		strings.NewReplacer("arn:aws:kms:us-east-1", "arn:<partition>:kms:<region>", *id, "<key-id:1>"))
	_, err = here.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: arn})
	w.sameError(want["describe-key-diff-region-with-arn"], err,
		strings.NewReplacer("eu-central-1", "<secondary-region>"))
	for step, name := range map[string]*string{"describe-key-same-specific-region-with-id": id,
		"describe-key-same-specific-region-with-arn": arn} {
		out, err := there.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: name})
		w.check(err)
		w.sameAnswer(want[step], out)
	}
}

func missingKeys(t *testing.T, w *world, want recording) {
	const id, replicated, prefix = "134f2428-cec1-4b25-a1ae-9048164dba47",
		"mrk-d3b95762d3b95762d3b95762d3b95762", "arn:aws:kms:us-east-1:" + account + ":key/"
	names := strings.NewReplacer(prefix+id, "<key-arn>", prefix+replicated, "<mrk-key-arn>")
	for step, name := range map[string]string{
		"describe-nonexistent-key-with-id": id, "describe-nonexistent-with-arn": prefix +
			id, "describe-key-with-valid-id-mrk": replicated,
	} {
		_, err := w.keys().DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(name)})
		w.sameError(want[step], err, names)
	}
}

func invalidKeyIDs(t *testing.T, w *world, want recording) {
	for step, id := range map[string]string{
		"describe-key-with-invalid-uuid":     "fake-key-id",
		"describe-key-with-invalid-uuid-2":   "134f2428cec14b25a1ae9048164dba47",
		"describe-key-with-invalid-uuid-mrk": "mrk-fake-key-id",
	} {
		_, err := w.keys().DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(id)})
		w.sameError(want[step], err, nil)
	}
}

func describeByAlias(t *testing.T, w *world, want recording) {
	made, err := w.keys().CreateKey(t.Context(),
		&kms.CreateKeyInput{Description: aws.String("test - description")})
	w.check(err)
	w.sameAnswer(want["created-key"], made.KeyMetadata)
	_, err = w.keys().CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/a"),
		TargetKeyId: made.KeyMetadata.KeyId})
	w.check(err)
	out, err := w.keys().DescribeKey(t.Context(),
		&kms.DescribeKeyInput{KeyId: aws.String("arn:aws:kms:us-east-1:" + account + ":alias/a")})
	w.check(err)
	w.sameAnswer(want["describe-key"], out)
	if *out.KeyMetadata.Arn != *made.KeyMetadata.Arn {
		t.Errorf("the alias is of %s", *out.KeyMetadata.Arn)
	}
}

func signAndVerify(t *testing.T, w *world, want recording) {
	key, message, c := w.key("ECC_NIST_P256", "SIGN_VERIFY"), []byte("test message 123"), w.keys()
	sum := sha256.Sum256(message)
	sign := &kms.SignInput{KeyId: key, Message: message, MessageType: "RAW",
		SigningAlgorithm: "ECDSA_SHA_256"}
	verify := &kms.VerifyInput{KeyId: key, Message: message, MessageType: "RAW",
		SigningAlgorithm: "ECDSA_SHA_256"}
	for range 2 {
		signed, err := c.Sign(t.Context(), sign)
		w.check(err)
		w.sameAnswer(want["signature"], signed)
		verify.Signature = signed.Signature
		valid, err := c.Verify(t.Context(), verify)
		w.check(err)
		w.sameAnswer(want["verification"], valid)
		sign.Message, sign.MessageType, verify.Message, verify.MessageType = sum[:], "DIGEST", sum[:],
			"DIGEST"
	}
	sign.Message = []byte("bad message 321")
	_, err := c.Sign(t.Context(), sign)
	w.sameError(want["bad-digest"], err, nil)
	verify.Message, verify.MessageType = []byte("bad message 321"), "RAW"
	_, err = c.Verify(t.Context(), verify)
	w.sameError(want["bad-signature"], err, nil)
	verify.MessageType = "DIGEST"
	_, err = c.Verify(t.Context(), verify)
	w.sameError(want["bad-digest"], err, nil)
}

func macs(t *testing.T, w *world, want recording) {
	key, message := w.key("HMAC_256", "GENERATE_VERIFY_MAC"), []byte("some important message")
	made, err := w.keys().GenerateMac(t.Context(),
		&kms.GenerateMacInput{KeyId: key, Message: message, MacAlgorithm: "HMAC_SHA_256"})
	w.check(err)
	w.sameAnswer(want["generate-mac"], made)
	verify := &kms.VerifyMacInput{KeyId: key, Message: message, Mac: made.Mac, MacAlgorithm: "HMAC_SHA_256"}
	valid, err := w.keys().VerifyMac(t.Context(), verify)
	w.check(err)
	w.sameAnswer(want["verify-mac"], valid)
	_, err = w.keys().GenerateMac(t.Context(), &kms.GenerateMacInput{KeyId: aws.String("key_id"),
		Message: message, MacAlgorithm: "HMAC_SHA_256"})
	w.sameError(want["generate-mac-invalid-key-id"], err, nil)
	verify.KeyId = aws.String("key_id")
	_, err = w.keys().VerifyMac(t.Context(), verify)
	w.sameError(want["verify-mac-invalid-key-id"], err, nil)
}

func invalidMac(t *testing.T, w *world, want recording) {
	key := w.key("HMAC_256", "GENERATE_VERIFY_MAC")
	made, err := w.keys().GenerateMac(t.Context(),
		&kms.GenerateMacInput{KeyId: key, Message: []byte("some important message"),
			MacAlgorithm: "HMAC_SHA_256"})
	w.check(err)
	w.sameAnswer(want["generate-mac"], made)
	_, err = w.keys().VerifyMac(t.Context(), &kms.VerifyMacInput{KeyId: key,
		Message: []byte("some different important message"), Mac: made.Mac, MacAlgorithm: "HMAC_SHA_256"})
	w.sameError(want["verify-mac"], err, nil)
}

func keysForSomethingElse(t *testing.T, w *world, want recording) {
	c, message := w.keys(), []byte("test message 123")
	encrypts, macs, signs := w.key("", ""), w.key("HMAC_256", "GENERATE_VERIFY_MAC"),
		w.key("ECC_NIST_P256", "SIGN_VERIFY")
	names := strings.NewReplacer(*encrypts, "<key-arn>", *macs, "<key-arn>", *signs, "<key-arn>")
	_, err := c.GenerateMac(t.Context(), &kms.GenerateMacInput{KeyId: encrypts, Message: message,
		MacAlgorithm: "HMAC_SHA_256"})
	w.sameError(want["generate-mac-invalid-key-id"], err, names)
	_, err = c.Sign(t.Context(), &kms.SignInput{KeyId: macs, Message: message,
		SigningAlgorithm: "ECDSA_SHA_256"})
	w.sameError(want["sign-invalid-key-id"], err, names)
	_, err = c.Verify(t.Context(), &kms.VerifyInput{KeyId: encrypts, Message: message, Signature: message,
		SigningAlgorithm: "ECDSA_SHA_256"})
	w.sameError(want["verify-invalid-key-id"], err, names)
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: signs, Plaintext: message})
	w.sameError(want["encrypt-invalid-key-id"], err, names)
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: encrypts, Plaintext: message})
	w.check(err)
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: macs, CiphertextBlob: sealed.CiphertextBlob})
	w.sameError(want["decrypt-invalid-key-id"], err, names)
}

func largePlaintext(t *testing.T, w *world, want recording) {
	_, err := w.keys().Encrypt(t.Context(), &kms.EncryptInput{KeyId: w.key("", ""),
		Plaintext: make([]byte, 4097)})
	w.sameError(want["invalid-plaintext-size-encrypt"], err, nil)
}

// keyMaterialID is in every answer of a symmetric key since June 2025.
const keyMaterialID = "KeyMaterialId"

func dataKey(t *testing.T, w *world, want recording) {
	out, err := w.keys().GenerateDataKey(t.Context(),
		&kms.GenerateDataKeyInput{KeyId: w.key("", ""), KeySpec: "AES_256"})
	w.check(err)
	w.sameAnswer(want["generate-data-key-result"], out, keyMaterialID)
}

func dataKeyWithoutPlaintext(t *testing.T, w *world, want recording) {
	key := w.key("", "")
	out, err := w.keys().GenerateDataKeyWithoutPlaintext(t.Context(),
		&kms.GenerateDataKeyWithoutPlaintextInput{KeyId: key, KeySpec: "AES_128"})
	w.check(err)
	w.sameAnswer(want["generate-data-key-without-plaintext"], out, keyMaterialID)
	opened, err := w.keys().Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob})
	w.check(err)
	if len(opened.Plaintext) != 16 || *opened.KeyId != *key {
		t.Errorf("the data key is %d bytes under %s", len(opened.Plaintext), *opened.KeyId)
	}
}

func encryptInContext(t *testing.T, w *world, want recording) {
	c, key, context := w.keys(), w.key("", ""), map[string]string{"context-key": "context-value"}
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("test message"),
		EncryptionContext: context})
	w.check(err)
	w.sameAnswer(want["encrypt_response"], sealed)
	decrypt := &kms.DecryptInput{KeyId: key, CiphertextBlob: sealed.CiphertextBlob,
		EncryptionContext: context}
	opened, err := c.Decrypt(t.Context(), decrypt)
	w.check(err)
	w.sameAnswer(want["decrypt_response_with_encryption_context"], opened)
	if string(opened.Plaintext) != "test message" {
		t.Errorf("decrypted to %q", opened.Plaintext)
	}
	decrypt.EncryptionContext = nil
	_, err = c.Decrypt(t.Context(), decrypt)
	w.sameError(want["decrypt_response_without_encryption_context"], err, nil)
	decrypt.EncryptionContext, decrypt.CiphertextBlob = context, sealed.CiphertextBlob[1:]
	_, err = c.Decrypt(t.Context(), decrypt)
	w.sameError(want["decrypt_response_with_invalid_ciphertext"], err, nil)
}

func dataKeyInContext(t *testing.T, w *world, want recording) {
	c, key, context := w.keys(), w.key("", ""), map[string]string{"context-key": "context-value"}
	made, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256",
		EncryptionContext: context})
	w.check(err)
	opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: key, CiphertextBlob: made.CiphertextBlob,
		EncryptionContext: context})
	w.check(err)
	if !bytes.Equal(opened.Plaintext, made.Plaintext) {
		t.Error("the data key is decrypted to another")
	}
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: key, CiphertextBlob: made.CiphertextBlob})
	w.sameError(want["decrypt-without-encryption-context"], err, nil)
}

func sharedSecret(t *testing.T, w *world, want recording) {
	c := w.keys()
	derive := func(key *string, public []byte,
		algorithm types.KeyAgreementAlgorithmSpec) (*kms.DeriveSharedSecretOutput, error) {
		return c.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: key, PublicKey: public,
			KeyAgreementAlgorithm: algorithm})
	}
	public := func(key *string) []byte {
		out, err := c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: key})
		w.check(err)
		return out.PublicKey
	}
	one, other := w.key("ECC_NIST_P256", "KEY_AGREEMENT"), w.key("ECC_NIST_P256", "KEY_AGREEMENT")
	signs, encrypts := w.key("ECC_NIST_P256", "SIGN_VERIFY"), w.key("", "")
	mine, err := derive(one, public(other), "ECDH")
	w.check(err)
	w.sameAnswer(want["response"], mine)
	theirs, err := derive(other, public(one), "ECDH")
	w.check(err)
	if !bytes.Equal(mine.SharedSecret, theirs.SharedSecret) || len(mine.SharedSecret) != 32 {
		t.Errorf("%d bytes are not shared", len(mine.SharedSecret))
	}
	names := strings.NewReplacer(*signs, "<key-arn>", *encrypts, "<key-arn>")
	_, err = derive(signs, public(other), "ECDH")
	w.sameError(want["response-invalid-key-usage"], err, names)
	_, err = c.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: "RSA_2048", KeyUsage: "KEY_AGREEMENT"})
	w.sameError(want["response-invalid-key-spec"], err, nil)
	_, err = derive(one, public(other), "INVALID")
	w.sameError(want["response-invalid-key-agreement-algo"], err, nil)
	_, err = derive(encrypts, public(other), "ECDH")
	w.sameError(want["response-invalid-key"], err, names)
	_, err = derive(one, []byte("InvalidPublicKey"), "ECDH")
	noMessage := strings.NewReplacer("UnknownError", "") // the SDK writes this where there is no message
	w.sameError(want["response-invalid-public-key"], err, noMessage)
}

func rotateDisabled(t *testing.T, w *world, want recording) {
	key := w.key("", "")
	_, err := w.keys().DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: key})
	w.check(err)
	_, err = w.keys().RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key})
	w.sameError(want["error-response"], err, strings.NewReplacer(*key, "<key-arn>"))
}

func rotateAsymmetric(t *testing.T, w *world, want recording) {
	_, err := w.keys().RotateKeyOnDemand(t.Context(),
		&kms.RotateKeyOnDemandInput{KeyId: w.key("ECC_NIST_P256", "SIGN_VERIFY")})
	w.sameError(want["error-response"], err, nil)
}

func rotated(t *testing.T, w *world, want recording) {
	key, c := w.key("", ""), w.keys()
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key,
		Plaintext: []byte("test message 123 !%$@ 1234567890")})
	w.check(err)
	_, err = c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key})
	w.check(err)
	opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: key,
		CiphertextBlob: sealed.CiphertextBlob})
	w.check(err)
	if string(opened.Plaintext) != "test message 123 !%$@ 1234567890" {
		t.Errorf("decrypted to %q", opened.Plaintext)
	}
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: key,
		CiphertextBlob: append(sealed.CiphertextBlob, "bad_data"...)})
	w.sameError(want["bad-ciphertext"], err, nil)
}

func reEncrypt(t *testing.T, w *world, want recording) {
	from, to, c := w.key("", ""), w.key("", ""), w.keys()
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: from, Plaintext: []byte("test message")})
	w.check(err)
	again, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{SourceKeyId: from, DestinationKeyId: to,
		CiphertextBlob: sealed.CiphertextBlob})
	w.check(err)
	w.sameAnswer(want["test_re_encrypt"], again, "SourceKeyMaterialId", "DestinationKeyMaterialId")
	opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: to, CiphertextBlob: again.CiphertextBlob})
	w.check(err)
	if string(opened.Plaintext) != "test message" {
		t.Errorf("decrypted to %q", opened.Plaintext)
	}
}

func reEncryptWithAnotherKey(t *testing.T, w *world, want recording) {
	from, other, c := w.key("", ""), w.key("", ""), w.keys()
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: from, Plaintext: []byte("test message")})
	w.check(err)
	_, err = c.ReEncrypt(t.Context(), &kms.ReEncryptInput{SourceKeyId: other, DestinationKeyId: from,
		CiphertextBlob: sealed.CiphertextBlob})
	w.sameError(want["incorrect-source-key"], err, nil)
}
