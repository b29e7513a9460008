package loadkeys_test

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

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

const secretOrder = `{"specversion":"1.0","id":"o-1","source":"https://shop.example/eu","type":"com.example.order","data":{"card":{"number":"4111"},"total":12.5}}`

// vault is a KMS that the commands find through the environment, and what an administrator has made in it.
type vault struct {
	*clitest.Bench
	client *kms.Client
	deny   atomic.Pointer[string]
}

func newVault(t *testing.T) *vault {
	b := clitest.New(t)
	v := &vault{Bench: b}
	server, err := localaws.Start(&localaws.Options{Deny: func(action string) bool {
		d := v.deny.Load()
		return d != nil && slices.Contains(strings.Fields(*d), action)
	}})
	b.Check(err)
	t.Cleanup(func() { b.Check(server.Close()) })
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": b.Path("none"), "AWS_SHARED_CREDENTIALS_FILE": b.Path("none"), "AWS_PROFILE": "",
		"AWS_ENDPOINT_URL": server.URL(), "AWS_ENDPOINT_URL_KMS": "",
	} {
		t.Setenv(name, value)
	}
	os.Unsetenv("AWS_ENDPOINT_URL_KMS")
	v.client = kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	return v
}

func (v *vault) key(usage types.KeyUsageType, spec types.KeySpec) string {
	v.T.Helper()
	out, err := v.client.CreateKey(v.T.Context(), &kms.CreateKeyInput{KeyUsage: usage, KeySpec: spec})
	v.Check(err)
	return *out.KeyMetadata.Arn
}

// trustIn makes a trust bundle of the public key in a file.
func (v *vault) trustIn(file, producer string) {
	v.T.Helper()
	doc, err := os.ReadFile(v.Path(file))
	v.Check(err)
	var set struct{ Keys []json.RawMessage }
	v.Check(json.Unmarshal(doc, &set))
	verifier, err := keys.ParseJWK(set.Keys[0])
	v.Check(err)
	v.Trust(&trust.Key{Verifier: verifier, Producer: producer, Sources: []string{"https://shop.example/*"},
		Types: []string{"*"}})
}

func (v *vault) open(sealed string, more ...string) clitest.Ran {
	return v.Run(sealed, append([]string{"open", "--trust", v.Path("trust.dsse"), "--roots",
		v.Path("roots.json"), "--allow-source", "https://shop.example/*", "--output", "json"}, more...)...)
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
			v.Must("", "keys", "new", "--kms", signing, "--producer", "shop", "--out",
				v.Path(name+".pub.json"))
			v.trustIn(name+".pub.json", "shop")
			sealed := v.Must(secretOrder, "seal", "--kms", signing, "--producer", "shop", "--encrypt-to",
				encrypting)
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
			v.Check(json.Unmarshal([]byte(r.Stdout), &got))
			if r.Code != 0 || string(got.Event.Data) != `{"card":{"number":"4111"},"total":12.5}` ||
				got.Encryption.Fields != nil || got.Encryption.OpenedWith == "" {
				t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
			}
			if r := v.open(sealed); r.Code != ui.ExitRejected ||
				!strings.Contains(r.Stdout, `"reason":"not_a_recipient"`) {
				t.Errorf("without an identity: exit %d: %s", r.Code, r.Stdout)
			}
		})
	}
}

// A refusal of KMS is exit status 3, and the fix names permission and key.
func TestKMSRefuses(t *testing.T) {
	v := newVault(t)
	v.Org(nil, "https://shop.example/*")
	arn := v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
	seal := []string{"seal", "--keyring", v.Path("shop.keyring"), "--insecure-no-passphrase", "--encrypt-to",
		arn}
	sealed := v.Must(secretOrder, seal...)
	v.deny.Store(aws.String("GenerateDataKey"))
	if r := v.Run(secretOrder, seal...); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "allow kms:GenerateDataKey on "+arn) || r.Stdout != "" {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	v.deny.Store(aws.String("Decrypt"))
	if r := v.open(sealed, "--identity", arn); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stdout, "kms_unavailable") ||
		!strings.Contains(r.Stdout, "allow kms:Decrypt on "+arn) {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	v.deny.Store(aws.String("DescribeKey")) // a role that may use a key need not see it
	if r := v.open(sealed, "--identity", arn); r.Code != ui.ExitDone {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	v.agreementUnseen()
	v.deny.Store(nil)
	for _, test := range []struct{ args, want string }{
		{"--encrypt-to " + v.key(types.KeyUsageTypeSignVerify, types.KeySpecEccNistP256),
			"it is a key for SIGN_VERIFY"},
		{"--encrypt-to arn:aws:s3:::bucket", "is not of KMS"},
		{"--encrypt-to alias/none", "does not exist there"},
	} {
		if r := v.Run(secretOrder, append(seal[:4:4],
			strings.Fields(test.args)...)...); r.Code == ui.ExitDone ||
			!strings.Contains(r.Stderr, test.want) {
			t.Errorf("%s: exit %d: %s", test.args, r.Code, r.Stderr)
		}
	}
}

// agreementUnseen: an event for a key for key agreement opens without kms:DescribeKey, too, and is never
// called one for another consumer. If nothing says what the key is for, the command says so.
func (v *vault) agreementUnseen() {
	v.T.Helper()
	v.deny.Store(nil)
	arn := v.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256)
	sealed := v.Must(secretOrder, "seal", "--keyring", v.Path("shop.keyring"), "--insecure-no-passphrase",
		"--encrypt-to", arn)
	v.deny.Store(aws.String("DescribeKey"))
	if r := v.open(sealed, "--identity", arn); r.Code != ui.ExitDone || r.Stderr != "" {
		v.T.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	v.deny.Store(aws.String("DescribeKey GetPublicKey"))
	if r := v.open(sealed, "--identity", arn); !strings.Contains(r.Stderr, arn+
		" is taken for a symmetric key") {
		v.T.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// A Tink keyset under a key of KMS: made, added to, signed and opened with.
func TestTinkKeysets(t *testing.T) {
	v := newVault(t)
	kek := v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
	v.Must("", "keys", "new", "--tink-kek", kek, "--producer", "shop", "--keyring", v.Path("shop.tink"),
		"--out", v.Path("shop.pub.json"))
	v.trustIn("shop.pub.json", "shop")
	v.Must("", "keys", "new", "--tink-kek", kek, "--use", "enc", "--consumer", "billing", "--keyring",
		v.Path("billing.tink"), "--out", v.Path("billing.pub.json"))
	second := v.Run("", "keys", "new", "--tink-kek", kek, "--producer", "shop", "--alg", "ML-DSA-65",
		"--keyring", v.Path("shop.tink"))
	if second.Code != 0 || !strings.Contains(second.Stderr, "it does not sign yet") {
		t.Errorf("exit %d: %s", second.Code, second.Stderr)
	}
	sign := []string{"seal", "--keyring", v.Path("shop.tink"), "--tink-kek", kek, "--producer", "shop",
		"--encrypt-to", v.Path("billing.pub.json"), "--field", "/card"}
	sealed := v.Must(secretOrder, sign...)
	if r := v.open(sealed, "--identity", v.Path("billing.tink"), "--tink-kek", kek, "--consumer", "billing",
		"--require-encrypted-field", "/card/number"); r.Code != 0 ||
		!strings.Contains(r.Stdout, `"fields":["/card"]`) {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--identity", v.Path("billing.tink")}, ui.ExitUsage,
			"add --tink-kek ARN and --consumer NAME"},
		{[]string{"--identity", v.Path("billing.tink"), "--tink-kek", kek, "--consumer", "mail"},
			ui.ExitUsage, "of another owner"},
		{[]string{"--identity", v.Path("shop.tink"), "--tink-kek", kek, "--consumer", "billing"},
			ui.ExitUsage, "of another owner"},
	} {
		if r := v.open(sealed, test.args...); r.Code != test.code || !strings.Contains(r.Stderr, test.want) {
			t.Errorf("%v: exit %d: %s", test.args, r.Code, r.Stderr)
		}
	}
}

// A consumer is encrypted to by its name, and its keyring opens.
func TestEncryptToName(t *testing.T) {
	b := clitest.New(t)
	b.Must("", "keys", "new", "--producer", "shop", "--keyring", b.Path("shop.keyring"),
		"--insecure-no-passphrase")
	b.Must("", "keys", "new", "--use", "enc", "--consumer", "billing", "--keyring", b.Path("billing.keyring"),
		"--insecure-no-passphrase")
	shop, err := keys.OpenKeyring(b.Path("shop.keyring"), "",
		&keys.PrivateFileOptions{InsecureNoPassphrase: true})
	b.Check(err)
	billing, err := keys.OpenKeyring(b.Path("billing.keyring"), "",
		&keys.PrivateFileOptions{InsecureNoPassphrase: true})
	b.Check(err)
	v := &vault{Bench: b}
	b.TrustWith([]*trust.Key{{Recipient: billing.PublicKeys()[0].Recipient, Consumer: "billing"}},
		&trust.Key{Verifier: shop.PublicKeys()[0].Verifier, Producer: "shop",
			Sources: []string{"https://shop.example/*"}, Types: []string{"*"}})
	seal := []string{"seal", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase", "--trust",
		b.Path("trust.dsse"), "--roots", b.Path("roots.json"), "--encrypt-to"}
	sealed := b.Must(secretOrder, append(seal, "billing")...)
	if r := v.open(sealed, "--identity", b.Path("billing.keyring"), "--insecure-no-passphrase",
		"--require-encrypted"); r.Code != 0 || !strings.Contains(r.Stdout, `"number":"4111"`) {
		t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := v.open(sealed, "--identity", b.Path("shop.keyring"),
		"--insecure-no-passphrase"); r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "its keys sign") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	if r := b.Run(secretOrder, append(seal, "mail")...); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, `the trust bundle lists no key of such a consumer`) {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	plain := b.Must(secretOrder, "seal", "--keyring", b.Path("shop.keyring"), "--insecure-no-passphrase")
	if r := v.open(plain, "--require-encrypted"); r.Code != ui.ExitRejected ||
		!strings.Contains(r.Stdout, "not_encrypted") {
		t.Errorf("exit %d: %s", r.Code, r.Stdout)
	}
}

// doctor asks KMS without using a key, and says what to allow.
func TestDoctorKMS(t *testing.T) {
	v := newVault(t)
	symmetric := v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
	args := []string{
		"doctor", "--source", "https://shop.example/eu", "--may-sign",
		v.key(types.KeyUsageTypeSignVerify, types.KeySpecMlDsa65),
		"--may-encrypt", symmetric, "--may-decrypt", symmetric, "--may-decrypt",
		v.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256),
	}
	out := v.Must("", args...)
	for _, op := range []string{"kms:GetPublicKey", "kms:Sign", "kms:GenerateDataKey", "kms:Encrypt",
		"kms:Decrypt", "kms:DeriveSharedSecret"} {
		if !strings.Contains(out, op+" on ") {
			t.Errorf("nothing of %s:\n%s", op, out)
		}
	}
	v.deny.Store(aws.String("Decrypt"))
	if r := v.Run("", args...); r.Code != ui.ExitDue ||
		!strings.Contains(r.Stdout, "allow kms:Decrypt on "+symmetric) ||
		!strings.Contains(r.Stdout, "1 problem") {
		t.Errorf("exit %d:\n%s", r.Code, r.Stdout)
	}
	v.deny.Store(nil)
	_, err := v.client.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &symmetric})
	v.Check(err)
	if r := v.Run("", args...); r.Code != ui.ExitDue || !strings.Contains(r.Stdout, "is Disabled") {
		t.Errorf("exit %d:\n%s", r.Code, r.Stdout)
	}
	if r := v.Run("", "doctor", "--may-decrypt", symmetric); r.Code != ui.ExitUsage ||
		!strings.Contains(r.Stderr, "--source") {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
}

// A symmetric key has nothing that a trust bundle could list.
func TestKeysNewOfSymmetricKey(t *testing.T) {
	v := newVault(t)
	r := v.Run("", "keys", "new", "--use", "enc", "--consumer", "billing", "--kms",
		v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault), "--out", v.Path("pub.json"))
	if r.Code != ui.ExitUsage || !strings.Contains(r.Stderr, "it has no public half") ||
		!strings.Contains(r.Stderr, "--encrypt-to ARN") || ui.Exists(v.Path("pub.json")) {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
}

// One event of a batch that KMS fails is named.
func TestKMSRefusesOneOfMany(t *testing.T) {
	v := newVault(t)
	v.Org(nil, "https://shop.example/*")
	arn := v.key(types.KeyUsageTypeEncryptDecrypt, types.KeySpecSymmetricDefault)
	v.deny.Store(aws.String("GenerateDataKey"))
	r := v.Run("["+secretOrder+","+secretOrder+"]", "seal", "--keyring", v.Path("shop.keyring"),
		"--insecure-no-passphrase", "--encrypt-to", arn, "--output", "json")
	var e ui.ErrorResult
	v.Check(json.Unmarshal([]byte(r.Stdout), &e))
	if r.Code != ui.ExitUsage || e.Reason != "kms_unavailable" ||
		!strings.HasPrefix(e.Message, "event 1 of 2: kms:GenerateDataKey with "+arn) ||
		!strings.Contains(e.Fix, "allow kms:GenerateDataKey on "+arn) {
		t.Errorf("exit %d: %+v", r.Code, e)
	}
}
