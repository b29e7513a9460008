package interop_test

import (
	"bytes"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/keystest"
)

// tool builds a program of the module tools, which pins it. It is missing if its source is neither here nor
// to be had.
func tool(tb testing.TB, pkg string) string {
	tb.Helper()
	program := filepath.Join(tb.TempDir(), filepath.Base(pkg))
	build := exec.CommandContext(tb.Context(), "go", "build", "-o", program, pkg)
	build.Dir = "tools"
	if out, err := build.CombinedOutput(); err != nil {
		missing(tb, "the module interop/tools does not build: run `go mod download` there: "+string(out))
	}
	return program
}

// startLocalKMS starts the emulator of KMS that others wrote, behind a command that listens on 127.0.0.1
// only.
func startLocalKMS(tb testing.TB) *kms.Client {
	tb.Helper()
	program, dir := tool(tb, "./localkms"), tb.TempDir()
	s := startServer(tb, func(port string) *exec.Cmd { return exec.Command(program, port, dir) })
	return kms.New(kms.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + s.addr()), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""),
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
	})
}

// TestKeyContractOfLocalKMS runs the contract that internal/localaws keeps on a server that is not our own.
// Where local-kms differs from AWS's documentation, the documentation is what internal/localaws does.
func TestKeyContractOfLocalKMS(t *testing.T) {
	const (
		noEd25519   = "makes no Ed25519 keys"
		noMLDSA     = "makes no ML-DSA keys"
		noAgreement = "makes no keys for KEY_AGREEMENT, and has no DeriveSharedSecret"
		noDryRun    = "takes no notice of DryRun, and acts"
		noMaterial  = "does not say which key material it uses"
		noRotation  = "has no RotateKeyOnDemand"
		noOwner     = "answers AccessDenied where the ciphertext names a key that is out of use"
	)
	localawstest.KMS(t, startLocalKMS(t), &localawstest.Differences{
		Immediate: true,
		Cases: map[string]string{
			"key spec ECC_NIST_EDWARDS25519 for SIGN_VERIFY": noEd25519,
			"Ed25519":                                  noEd25519,
			"refused Ed25519":                          noEd25519,
			"key spec ML_DSA_44 for SIGN_VERIFY":       noMLDSA,
			"key spec ML_DSA_65 for SIGN_VERIFY":       noMLDSA,
			"key spec ML_DSA_87 for SIGN_VERIFY":       noMLDSA,
			"ML-DSA-44":                                noMLDSA,
			"ML-DSA-65":                                noMLDSA,
			"ML-DSA-87":                                noMLDSA,
			"refused ML-DSA":                           noMLDSA,
			"key spec ECC_NIST_P256 for KEY_AGREEMENT": noAgreement,
			"key agreement":                            noAgreement,
			"refused key agreement":                    noAgreement,
			"disabled, agreeing":                       noAgreement,
			"pending deletion, agreeing":               noAgreement,
			"dry runs, agreeing":                       noAgreement,
			"encrypting with a key for agreeing":       noAgreement,
			"signing with a key for agreeing":          noAgreement,
			"agreeing with a key for encrypting":       noAgreement,
			"agreeing with a key for signing":          noAgreement,
			"dry runs, encrypting":                     noDryRun,
			"dry runs, signing":                        noDryRun,
			"key material":                             noMaterial,
			"rotation on demand":                       noMaterial + ", and " + noRotation,
			"disabled, rotating":                       noRotation,
			"pending deletion, rotating":               noRotation,
			"disabled, decrypting":                     noOwner,
			"pending deletion, decrypting":             noOwner,
			"period of rotation":                       "keeps no period, and takes one of 89 days",
			"another key":                              "answers InvalidCiphertext where KMS says IncorrectKey",
			"another kind of key":                      "answers InternalFailure where KMS says IncorrectKey",
			"encrypting again":                         "does not look at the SourceKeyId of ReEncrypt",
			"another region":                           "is one region, whatever the caller signs for",
			"multi-Region keys":                        "makes no multi-Region keys",
			"deletion of a key":                        "does not answer with the state of the key, and enables it when the deletion is cancelled",
			"moved letters":                            "joins name and value of an encryption context, so that letters can move from one to the other",
			"no signature":                             "answers InvalidKeyUsage where KMS says KMSInvalidSignature",
		},
	})
}

// TestKeysInLocalKMS: what sealbus does with keys of KMS holds with the two kinds that local-kms has.
func TestKeysInLocalKMS(t *testing.T) {
	client := startLocalKMS(t)
	create := func(spec types.KeySpec, usage types.KeyUsageType) string {
		out, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
		if err != nil {
			t.Fatal(err)
		}
		return *out.KeyMetadata.Arn
	}
	t.Run("signing", func(t *testing.T) {
		arn := create(types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
		keystest.TestSigner(t, func(t testing.TB) keys.Signer {
			s, err := awskms.NewSigner(t.Context(), client, arn, "orders", nil)
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
	t.Run("encrypting", func(t *testing.T) {
		const source = "https://orders.example/eu"
		arn, other := create(types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt),
			create(types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt)
		to, err := awskms.NewRecipient(client, arn, nil)
		if err != nil {
			t.Fatal(err)
		}
		key, encrypted, err := to.GenerateKey(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			arn, source string
			ok          bool
		}{"right": {arn, source, true}, "another source": {arn, source + "/x", false},
			"another key": {other, source, false}} {
			from, err := awskms.NewIdentity(client, c.arn, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := from.DecryptKey(t.Context(), c.source, c.arn, encrypted)
			failed, _ := errors.AsType[*keys.ServiceError](err)
			if c.ok && (err != nil || !bytes.Equal(got, key)) || !c.ok &&
				(failed == nil || !failed.Permanent || got != nil) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
