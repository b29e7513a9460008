package envelope_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// sizedService is a key of AWS KMS as far as sizes go: the ARN of a key, and a ciphertext of 184 bytes.
type sizedService struct{ keys.ServiceRecipient }

func (sizedService) KeyID() string { return kmsARN }

func (sizedService) GenerateKey(context.Context, string) (key, encrypted []byte, err error) {
	return []byte(strings.Repeat("k", 32)), make([]byte, 184), nil
}

func (sizedService) EncryptKey(context.Context, string, []byte) ([]byte, error) {
	return make([]byte, 184), nil
}

// encryptedSize is the length of the sealed order event and, in an HTTP header, of its jwerecipients.
func encryptedSize(t *testing.T, to envelope.EncryptTo, fields ...string) (event, header int) {
	t.Helper()
	opts := envelope.SealOptions{Now: fixed(vectorSealed), EncryptFields: fields}
	if len(to.Recipients)+len(to.Services) > 0 {
		e, err := envelope.NewEncrypter(to)
		if err != nil {
			t.Fatal(err)
		}
		opts.Encrypt = e
	}
	sealed, err := envelope.Seal(t.Context(), orderEvent(t), cast["orders"], &opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range parseTree(t, string(sealed.JSON())).kids {
		if k.name == "jwerecipients" {
			header = len(strings.ReplaceAll(k.text, `"`, "%22"))
		}
	}
	return len(sealed.JSON()), header
}

// The bytes that SPEC.md says encryption adds.
func TestEncryptedSizes(t *testing.T) {
	spec, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	x, p := []*keys.Recipient{newIdentity(t, keys.X25519).Recipient()},
		[]*keys.Recipient{newIdentity(t, keys.P256).Recipient()}
	one, another, onP256 := envelope.EncryptTo{Recipients: x},
		envelope.EncryptTo{Recipients: append(recipientsOf("x25519"), x...)},
		envelope.EncryptTo{Recipients: append(p, x...)}
	kms := envelope.EncryptTo{Recipients: x, Services: []keys.ServiceRecipient{sizedService{}}}
	plain, _ := encryptedSize(t, envelope.EncryptTo{})
	whole, _ := encryptedSize(t, one)
	field, header := encryptedSize(t, one, "/total")
	row := func(name string, cells ...int) {
		t.Helper()
		line := "| " + name + " |"
		for _, n := range cells {
			line += " " + thousands(n) + " |"
		}
		if !strings.Contains(string(spec), line) {
			t.Errorf("SPEC.md has no row %q", line)
		}
	}
	minus := func(to envelope.EncryptTo) (w, f, h int) {
		w, _ = encryptedSize(t, to)
		f, h = encryptedSize(t, to, "/total")
		return w - whole, f - field, h - header
	}
	row("the first recipient, X25519", whole-plain, field-plain, header)
	for name, to := range map[string]envelope.EncryptTo{"each further one on X25519": another,
		"on P-256": onP256, "in AWS KMS": kms} {
		w, f, h := minus(to)
		row(name, w, f, h)
	}
	second, _ := encryptedSize(t, one, "/total", "/order")
	row("each further field of at most 32 bytes", 0, second-field, 0)
}
