package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
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

const secretOrder = `{"specversion":"1.0","id":"o-1","source":"https://shop.example/eu","type":"com.example.order","data":{"card":{"number":"4111"},"total":12.5}}`

// vault is a KMS that the commands find through the environment, and what an administrator has made in it.
type vault struct {
	*bench
	client *kms.Client
	deny   atomic.Pointer[string]
}

func newVault(t *testing.T) *vault {
	b := newBench(t)
	v := &vault{bench: b}
	server, err := localaws.Start(&localaws.Options{Deny: func(action string) bool {
		d := v.deny.Load()
		return d != nil && slices.Contains(strings.Fields(*d), action)
	}})
	b.check(err)
	t.Cleanup(func() { b.check(server.Close()) })
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": b.path("none"), "AWS_SHARED_CREDENTIALS_FILE": b.path("none"), "AWS_PROFILE": "", "AWS_ENDPOINT_URL": server.URL(), "AWS_ENDPOINT_URL_KMS": "",
	} {
		t.Setenv(name, value)
	}
	os.Unsetenv("AWS_ENDPOINT_URL_KMS")
	v.client = kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	return v
}

func (v *vault) key(usage types.KeyUsageType, spec types.KeySpec) string {
	v.t.Helper()
	out, err := v.client.CreateKey(v.t.Context(), &kms.CreateKeyInput{KeyUsage: usage, KeySpec: spec})
	v.check(err)
	return *out.KeyMetadata.Arn
}

// trustIn makes a trust bundle of the public key in a file.
func (v *vault) trustIn(file, producer string) {
	v.t.Helper()
	doc, err := os.ReadFile(v.path(file))
	v.check(err)
	var set struct{ Keys []json.RawMessage }
	v.check(json.Unmarshal(doc, &set))
	verifier, err := keys.ParseJWK(set.Keys[0])
	v.check(err)
	v.trust(&trust.Key{Verifier: verifier, Producer: producer, Sources: []string{"https://shop.example/*"}, Types: []string{"*"}})
}

func (v *vault) open(sealed string, more ...string) ran {
	return v.run(sealed, append([]string{"open", "--trust", v.path("trust.dsse"), "--roots", v.path("roots.json"), "--allow-source", "https://shop.example/*", "--output", "json"}, more...)...)
}

// A producer's key in KMS and a symmetric key of the consumer: nothing secret is on any disk.
func TestKeysInKMS(t *testing.T) {
	v := newVault(t)
	signing := v.key(types.KeyUsageTypeSignVerify, types.KeySpecEccNistEdwards25519)
	for name, encrypting := range map[string]string{
		"symmetric": v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault),
		"agreement": v.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256),
	} {
		t.Run(name, func(t *testing.T) {
			v.must("", "keys", "new", "--kms", signing, "--producer", "shop", "--out", v.path(name+".pub.json"))
			v.trustIn(name+".pub.json", "shop")
			sealed := v.must(secretOrder, "seal", "--kms", signing, "--producer", "shop", "--encrypt-to", encrypting)
			if strings.Contains(sealed, `"4111"`) {
				t.Errorf("legible: %s", sealed)
			}
			r := v.open(sealed, "--identity", encrypting, "--require-encrypted")
			var got struct {
				Verdict    string
				Event      struct{ Data json.RawMessage }
				Encryption struct {
					Fields     []string
					OpenedWith string `json:"opened_with"`
				}
			}
			v.check(json.Unmarshal([]byte(r.stdout), &got))
			if r.code != 0 || string(got.Event.Data) != `{"card":{"number":"4111"},"total":12.5}` || got.Encryption.Fields != nil || got.Encryption.OpenedWith == "" {
				t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
			}
			if r := v.open(sealed); r.code != exitRejected || !strings.Contains(r.stdout, `"reason":"not_a_recipient"`) {
				t.Errorf("without an identity: exit %d: %s", r.code, r.stdout)
			}
		})
	}
}

// What KMS refuses is exit status 3, and the fix names permission and key.
func TestKMSRefuses(t *testing.T) {
	v := newVault(t)
	v.org(nil, "https://shop.example/*")
	arn := v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
	seal := []string{"seal", "--keyring", v.path("shop.keyring"), "--insecure-no-passphrase", "--encrypt-to", arn}
	sealed := v.must(secretOrder, seal...)
	v.deny.Store(aws.String("GenerateDataKey"))
	if r := v.run(secretOrder, seal...); r.code != exitUsage || !strings.Contains(r.stderr, "allow kms:GenerateDataKey on "+arn) || r.stdout != "" {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	v.deny.Store(aws.String("Decrypt"))
	if r := v.open(sealed, "--identity", arn); r.code != exitUsage || !strings.Contains(r.stdout, "kms_unavailable") || !strings.Contains(r.stdout, "allow kms:Decrypt on "+arn) {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	v.deny.Store(aws.String("DescribeKey")) // a role that may use a key need not see it
	if r := v.open(sealed, "--identity", arn); r.code != exitDone {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	v.agreementUnseen()
	v.deny.Store(nil)
	for _, test := range []struct{ args, want string }{
		{"--encrypt-to " + v.key(types.KeyUsageTypeSignVerify, types.KeySpecEccNistP256), "it is a key for SIGN_VERIFY"},
		{"--encrypt-to arn:aws:s3:::bucket", "is not of KMS"},
		{"--encrypt-to alias/none", "does not exist there"},
	} {
		if r := v.run(secretOrder, append(seal[:4:4], strings.Fields(test.args)...)...); r.code == exitDone || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%s: exit %d: %s", test.args, r.code, r.stderr)
		}
	}
}

// agreementUnseen: an event for a key for key agreement opens without kms:DescribeKey, too, and is never
// called one for somebody else. Where nothing says what the key is, that is said.
func (v *vault) agreementUnseen() {
	v.t.Helper()
	v.deny.Store(nil)
	arn := v.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256)
	sealed := v.must(secretOrder, "seal", "--keyring", v.path("shop.keyring"), "--insecure-no-passphrase", "--encrypt-to", arn)
	v.deny.Store(aws.String("DescribeKey"))
	if r := v.open(sealed, "--identity", arn); r.code != exitDone || r.stderr != "" {
		v.t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	v.deny.Store(aws.String("DescribeKey GetPublicKey"))
	if r := v.open(sealed, "--identity", arn); !strings.Contains(r.stderr, arn+" is taken for a symmetric key") {
		v.t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// A Tink keyset under a key of KMS: made, added to, signed and opened with.
func TestTinkKeysets(t *testing.T) {
	v := newVault(t)
	kek := v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
	v.must("", "keys", "new", "--tink-kek", kek, "--producer", "shop", "--keyring", v.path("shop.tink"), "--out", v.path("shop.pub.json"))
	v.trustIn("shop.pub.json", "shop")
	v.must("", "keys", "new", "--tink-kek", kek, "--use", "enc", "--consumer", "billing", "--keyring", v.path("billing.tink"), "--out", v.path("billing.pub.json"))
	second := v.run("", "keys", "new", "--tink-kek", kek, "--producer", "shop", "--alg", "ML-DSA-65", "--keyring", v.path("shop.tink"))
	if second.code != 0 || !strings.Contains(second.stderr, "it does not sign yet") {
		t.Errorf("exit %d: %s", second.code, second.stderr)
	}
	sign := []string{"seal", "--keyring", v.path("shop.tink"), "--tink-kek", kek, "--producer", "shop", "--encrypt-to", v.path("billing.pub.json"), "--field", "/card"}
	sealed := v.must(secretOrder, sign...)
	if r := v.open(sealed, "--identity", v.path("billing.tink"), "--tink-kek", kek, "--consumer", "billing", "--require-encrypted-field", "/card/number"); r.code != 0 || !strings.Contains(r.stdout, `"fields":["/card"]`) {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--identity", v.path("billing.tink")}, exitUsage, "add --tink-kek ARN and --consumer NAME"},
		{[]string{"--identity", v.path("billing.tink"), "--tink-kek", kek, "--consumer", "mail"}, exitUsage, "of another owner"},
		{[]string{"--identity", v.path("shop.tink"), "--tink-kek", kek, "--consumer", "billing"}, exitUsage, "of another owner"},
	} {
		if r := v.open(sealed, test.args...); r.code != test.code || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%v: exit %d: %s", test.args, r.code, r.stderr)
		}
	}
}

// A consumer is encrypted to by its name, and its keyring opens.
func TestEncryptToName(t *testing.T) {
	b := newBench(t)
	b.must("", "keys", "new", "--producer", "shop", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase")
	b.must("", "keys", "new", "--use", "enc", "--consumer", "billing", "--keyring", b.path("billing.keyring"), "--insecure-no-passphrase")
	shop, err := keys.OpenInsecureKeyring(b.path("shop.keyring"))
	b.check(err)
	billing, err := keys.OpenInsecureKeyring(b.path("billing.keyring"))
	b.check(err)
	v := &vault{bench: b}
	b.trustWith([]*trust.Key{{Recipient: billing.PublicKeys()[0].Recipient, Consumer: "billing"}},
		&trust.Key{Verifier: shop.PublicKeys()[0].Verifier, Producer: "shop", Sources: []string{"https://shop.example/*"}, Types: []string{"*"}})
	seal := []string{"seal", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase", "--trust", b.path("trust.dsse"), "--roots", b.path("roots.json"), "--encrypt-to"}
	sealed := b.must(secretOrder, append(seal, "billing")...)
	if r := v.open(sealed, "--identity", b.path("billing.keyring"), "--insecure-no-passphrase", "--require-encrypted"); r.code != 0 || !strings.Contains(r.stdout, `"number":"4111"`) {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := v.open(sealed, "--identity", b.path("shop.keyring"), "--insecure-no-passphrase"); r.code != exitUsage || !strings.Contains(r.stderr, "its keys sign") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if r := b.run(secretOrder, append(seal, "mail")...); r.code != exitUsage || !strings.Contains(r.stderr, `the trust bundle lists no key of such a consumer`) {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	plain := b.must(secretOrder, "seal", "--keyring", b.path("shop.keyring"), "--insecure-no-passphrase")
	if r := v.open(plain, "--require-encrypted"); r.code != exitRejected || !strings.Contains(r.stdout, "not_encrypted") {
		t.Errorf("exit %d: %s", r.code, r.stdout)
	}
}

// doctor asks KMS without using a key, and says what to allow.
func TestDoctorKMS(t *testing.T) {
	v := newVault(t)
	symmetric := v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
	args := []string{
		"doctor", "--source", "https://shop.example/eu", "--may-sign", v.key(types.KeyUsageTypeSignVerify, types.KeySpecMlDsa65),
		"--may-encrypt", symmetric, "--may-decrypt", symmetric, "--may-decrypt", v.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256),
	}
	out := v.must("", args...)
	for _, op := range []string{"kms:GetPublicKey", "kms:Sign", "kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt", "kms:DeriveSharedSecret"} {
		if !strings.Contains(out, op+" on ") {
			t.Errorf("nothing of %s:\n%s", op, out)
		}
	}
	v.deny.Store(aws.String("Decrypt"))
	if r := v.run("", args...); r.code != exitDue || !strings.Contains(r.stdout, "allow kms:Decrypt on "+symmetric) || !strings.Contains(r.stdout, "1 problem") {
		t.Errorf("exit %d:\n%s", r.code, r.stdout)
	}
	v.deny.Store(nil)
	_, err := v.client.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &symmetric})
	v.check(err)
	if r := v.run("", args...); r.code != exitDue || !strings.Contains(r.stdout, "is Disabled") {
		t.Errorf("exit %d:\n%s", r.code, r.stdout)
	}
	if r := v.run("", "doctor", "--may-decrypt", symmetric); r.code != exitUsage || !strings.Contains(r.stderr, "--source") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// A symmetric key has nothing that a trust bundle could list.
func TestKeysNewOfSymmetricKey(t *testing.T) {
	v := newVault(t)
	r := v.run("", "keys", "new", "--use", "enc", "--consumer", "billing", "--kms", v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault), "--out", v.path("pub.json"))
	if r.code != exitUsage || !strings.Contains(r.stderr, "it has no public half") || !strings.Contains(r.stderr, "--encrypt-to ARN") || exists(v.path("pub.json")) {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// One event of a batch that KMS fails is named.
func TestKMSRefusesOneOfMany(t *testing.T) {
	v := newVault(t)
	v.org(nil, "https://shop.example/*")
	arn := v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
	v.deny.Store(aws.String("GenerateDataKey"))
	r := v.run("["+secretOrder+","+secretOrder+"]", "seal", "--keyring", v.path("shop.keyring"), "--insecure-no-passphrase", "--encrypt-to", arn, "--output", "json")
	var e errorResult
	v.check(json.Unmarshal([]byte(r.stdout), &e))
	if r.code != exitUsage || e.Reason != "kms_unavailable" || !strings.HasPrefix(e.Message, "event 1 of 2: kms:GenerateDataKey with "+arn) || !strings.Contains(e.Fix, "allow kms:GenerateDataKey on "+arn) {
		t.Errorf("exit %d: %+v", r.code, e)
	}
}
