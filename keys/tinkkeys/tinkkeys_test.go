package tinkkeys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/signature"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/trust"
)

// newKEK is a key encryption key that the test holds.
func newKEK(t testing.TB) tink.AEADWithContext {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	check(t, err)
	primitive, err := aead.New(handle)
	check(t, err)
	return tinkkeys.LocalKEK(primitive)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func path(t testing.TB) string { return filepath.Join(t.TempDir(), "keyset.json") }

func sealAndOpen(t testing.TB, ring keys.SignerSource, opts *envelope.SealOptions,
	with *envelope.Policy) *envelope.Opened {
	t.Helper()
	signers, err := ring.Signers(time.Now())
	check(t, err)
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	check(t, ev.SetData("application/json", map[string]any{"a": 1}))
	sealed, err := envelope.Seal(t.Context(), ev, signers[0], opts)
	check(t, err)
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signers[0].Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"},
	})
	check(t, err)
	opened, err := envelope.Open(t.Context(), sealed.JSON(), bundle, with)
	check(t, err)
	return opened
}

// A keyset of each kind is made, written, read again by another process, and signs or opens events.
func TestKeysets(t *testing.T) {
	kek := newKEK(t)
	for _, alg := range keys.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			file := path(t)
			made, err := tinkkeys.Create(t.Context(), file, kek, tinkkeys.Producer("orders"), alg)
			check(t, err)
			read, err := tinkkeys.Open(t.Context(), file, kek, tinkkeys.Producer("orders"))
			check(t, err)
			if a, b := made.Entries()[0], read.Entries()[0]; a.KeyID() != b.KeyID() || !b.Primary ||
				b.Status != keyset.Enabled || b.Verifier.Algorithm() != alg {
				t.Errorf("made %+v, read %+v", a, b)
			}
			sealAndOpen(t, read, nil, &envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true,
				AnyAge: true}})
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info.Mode(), err)
			}
		})
	}
	for _, curve := range keys.Curves() {
		t.Run(string(curve), func(t *testing.T) {
			file := path(t)
			_, err := tinkkeys.Create(t.Context(), file, kek, tinkkeys.Consumer("billing"), curve)
			check(t, err)
			ring, err := tinkkeys.Open(t.Context(), file, kek, tinkkeys.Consumer("billing"))
			check(t, err)
			encrypter, err := envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{ring.Entries()[0].Recipient}})
			check(t, err)
			decrypter, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: ring})
			check(t, err)
			signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
			check(t, err)
			opened := sealAndOpen(t, keys.SignWith(signer), &envelope.SealOptions{Encrypt: encrypter},
				&envelope.Policy{Decrypter: decrypter,
					Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
			if string(opened.Event.Data()) != `{"a":1}` ||
				opened.Encryption.OpenedWith != ring.Entries()[0].KeyID() {
				t.Errorf("opened %+v", opened)
			}
		})
	}
}

// Rotation: a new key signs only as primary; each step is in the file; Tink's status is respected.
func TestRotation(t *testing.T) {
	kek, file := newKEK(t), path(t)
	owner := tinkkeys.Producer("orders")
	ring, err := tinkkeys.Create(t.Context(), file, kek, owner, keys.Ed25519)
	check(t, err)
	first := ring.Entries()[0].KeyID()
	second, err := ring.Add(t.Context(), keys.ES256)
	check(t, err)
	signs := func(want string) {
		t.Helper()
		again, err := tinkkeys.Open(t.Context(), file, kek, owner)
		check(t, err)
		for _, r := range []*tinkkeys.Keyset{ring, again} {
			signers, err := r.Signers(time.Now())
			if err != nil || len(signers) != 1 || signers[0].Verifier().KeyID() != want {
				t.Errorf("%v signs: %v", signers, err)
			}
			due, others := r.Candidates(time.Now())
			if len(due) != 1 || due[0].Verifier().KeyID() != want || len(others) > 1 ||
				len(others) == 1 && others[0].Verifier().KeyID() == want {
				t.Errorf("candidates %v, others %v", due, others)
			}
		}
	}
	signs(first)
	check(t, ring.SetPrimary(t.Context(), second))
	signs(second)
	check(t, ring.Disable(t.Context(), first))
	if _, err := ring.Export(first); err == nil || !strings.Contains(err.Error(), "enable it first") {
		t.Errorf("a disabled key was exported: %v", err)
	}
	if err := ring.SetPrimary(t.Context(), first); err == nil {
		t.Error("a disabled key became primary")
	}
	check(t, ring.Enable(t.Context(), first))
	check(t, ring.SetPrimary(t.Context(), first))
	signs(first)
	check(t, ring.Delete(t.Context(), second))
	if len(ring.Entries()) != 1 || ring.SetPrimary(t.Context(), second) == nil {
		t.Error("a deleted key is there")
	}
	if err := ring.Disable(t.Context(), first); err == nil {
		t.Error("the primary key was disabled")
	}
}

// Of a consumer every enabled key opens, and no other.
func TestIdentityStatus(t *testing.T) {
	ring, err := tinkkeys.Create(t.Context(), "", newKEK(t), tinkkeys.Consumer("billing"), keys.X25519)
	check(t, err)
	first := ring.Entries()[0].KeyID()
	second, err := ring.AddIdentity(t.Context(), keys.P256)
	check(t, err)
	opens := func(want ...string) {
		t.Helper()
		var got []string
		for _, i := range ring.Identities(time.Now()) {
			got = append(got, i.Recipient().KeyID())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v open, want %v", got, want)
		}
	}
	opens(first, second)
	check(t, ring.SetPrimary(t.Context(), second))
	opens(second, first)
	check(t, ring.Disable(t.Context(), first))
	opens(second)
}

// A key that is imported from a keyring and exported to one stays the same.
func TestImportAndExport(t *testing.T) {
	kek := newKEK(t)
	producer, err := tinkkeys.Create(t.Context(), "", kek, tinkkeys.Producer("orders"), keys.Ed25519)
	check(t, err)
	for _, alg := range keys.Algorithms() {
		for range 8 { // some scalars have zeros in front
			signer, err := keys.GenerateSigner(alg, "orders")
			check(t, err)
			id, err := producer.Import(t.Context(), signer)
			check(t, err)
			back, err := producer.Export(id)
			check(t, err)
			sig, err := back.Sign(t.Context(), []byte("m"))
			if err != nil || id != signer.Verifier().KeyID() || back.Producer() != "orders" ||
				!signer.Verifier().Verify([]byte("m"), sig) {
				t.Errorf("%s: %v", alg, err)
			}
			if _, err := producer.Import(t.Context(), signer); err == nil {
				t.Error("imported twice")
			}
		}
	}
	consumer, err := tinkkeys.Create(t.Context(), "", kek, tinkkeys.Consumer("billing"), keys.X25519)
	check(t, err)
	for _, curve := range keys.Curves() {
		identity, err := keys.GenerateIdentity(curve)
		check(t, err)
		id, err := consumer.ImportIdentity(t.Context(), identity)
		check(t, err)
		back, err := consumer.ExportIdentity(id)
		if err != nil || back.Recipient().KeyID() != identity.Recipient().KeyID() {
			t.Errorf("%s: %v", curve, err)
		}
	}
	ring, err := keys.CreateKeyring(filepath.Join(t.TempDir(), "k"), "", "orders",
		&keys.KeyringOptions{PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true}})
	check(t, err)
	exported, err := producer.Export(producer.Entries()[0].KeyID())
	check(t, err)
	check(t, ring.Add(exported, keys.Schedule{}))
}

// Tink's own verifier takes what our signer makes of a key of Tink's, and a keyset that Tink's own tool would
// write is read: the output prefix is Tink's affair.
func TestAgainstTink(t *testing.T) {
	kek := newKEK(t)
	for name, template := range map[string]*tinkpb.KeyTemplate{
		"Ed25519, raw":    signature.ED25519KeyWithoutPrefixTemplate(),
		"Ed25519, prefix": signature.ED25519KeyTemplate(),
		"ECDSA":           signature.ECDSAP256KeyWithoutPrefixTemplate(),
	} {
		t.Run(name, func(t *testing.T) {
			handle, err := keyset.NewHandle(template)
			check(t, err)
			ring, err := tinkkeys.Read(t.Context(), encrypted(t, handle, kek, "sealbus producer orders"), kek,
				tinkkeys.Producer("orders"))
			check(t, err)
			sealAndOpen(t, ring, nil, &envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true,
				AnyAge: true}})
			if strings.Contains(name, "prefix") {
				return
			}
			signers, err := ring.Signers(time.Now())
			check(t, err)
			sig, err := signers[0].Sign(t.Context(), []byte("m"))
			check(t, err)
			if name == "ECDSA" {
				return // Tink's template is of DER signatures
			}
			public, err := handle.Public()
			check(t, err)
			verifier, err := signature.NewVerifier(public)
			check(t, err)
			check(t, verifier.Verify(sig, []byte("m")))
		})
	}
	handle, err := keyset.NewHandle(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template())
	check(t, err)
	if _, err := tinkkeys.Read(t.Context(), encrypted(t, handle, kek, "sealbus consumer billing"), kek,
		tinkkeys.Consumer("billing")); err != nil {
		t.Error(err)
	}
}

func encrypted(t testing.TB, handle *keyset.Handle, kek tink.AEADWithContext, owner string) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	check(t, handle.WriteWithContext(t.Context(), keyset.NewJSONWriter(&buf), kek, []byte(owner)))
	return &buf
}

// Only a keyset of this owner, under this key, unchanged, opens.
func TestRefuses(t *testing.T) {
	kek := newKEK(t)
	ring, err := tinkkeys.Create(t.Context(), "", kek, tinkkeys.Producer("orders"), keys.Ed25519)
	check(t, err)
	var good bytes.Buffer
	check(t, ring.Write(&good))
	aeadKey, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	check(t, err)
	p384, err := keyset.NewHandle(signature.ECDSAP384SHA384KeyTemplate())
	check(t, err)
	hpke, err := keyset.NewHandle(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template())
	check(t, err)
	var clear bytes.Buffer
	check(t, insecurecleartextkeyset.Write(aeadKey, keyset.NewJSONWriter(&clear)))
	changed := bytes.Replace(good.Bytes(), []byte(`"encryptedKeyset":"A`), []byte(`"encryptedKeyset":"B`), 1)
	for name, test := range map[string]struct {
		doc   []byte
		kek   tink.AEADWithContext
		owner tinkkeys.Owner
		want  string
	}{
		"another producer": {good.Bytes(), kek, tinkkeys.Producer("mail"), "of another owner"},
		"a consumer":       {good.Bytes(), kek, tinkkeys.Consumer("orders"), "of another owner"},
		"another key": {good.Bytes(), newKEK(t), tinkkeys.Producer("orders"),
			"under another key encryption key"},
		"changed":  {changed, kek, tinkkeys.Producer("orders"), "tinkkeys:"},
		"in clear": {clear.Bytes(), kek, tinkkeys.Producer("orders"), "tinkkeys:"},
		"no JSON":  {[]byte("{"), kek, tinkkeys.Producer("orders"), "not an encrypted keyset"},
		"too large": {bytes.Repeat([]byte(" "), tinkkeys.MaxFile+1), kek, tinkkeys.Producer("orders"),
			"more than"},
		"no kek":   {good.Bytes(), nil, tinkkeys.Producer("orders"), "no key encryption key"},
		"no owner": {good.Bytes(), kek, tinkkeys.Producer(""), "no owner"},
		"an AEAD key": {encrypted(t, aeadKey, kek, "sealbus producer orders").Bytes(), kek,
			tinkkeys.Producer("orders"), "does not sign events"},
		"P-384": {encrypted(t, p384, kek, "sealbus producer orders").Bytes(), kek,
			tinkkeys.Producer("orders"), "P-256 with SHA-256 is needed"},
		"an identity": {encrypted(t, hpke, kek, "sealbus producer orders").Bytes(), kek,
			tinkkeys.Producer("orders"), "signing keys only"},
		"no identity": {encrypted(t, p384, kek, "sealbus consumer billing").Bytes(), kek,
			tinkkeys.Consumer("billing"), "HPKE only"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tinkkeys.Read(t.Context(), bytes.NewReader(test.doc), test.kek, test.owner)
			if err == nil || !strings.Contains(err.Error(), test.want) || got != nil &&
				len(got.Entries()) > 0 {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text := fmt.Sprintf(verb, ring); text != "Keyset(producer orders, [redacted])" {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// Two programs that change one file do not undo each other's work.
func TestFileIsNotOverwritten(t *testing.T) {
	kek, file := newKEK(t), path(t)
	owner := tinkkeys.Producer("orders")
	one, err := tinkkeys.Create(t.Context(), file, kek, owner, keys.Ed25519)
	check(t, err)
	if _, err := tinkkeys.Create(t.Context(), file, kek, owner, keys.Ed25519); !errors.Is(err, os.ErrExist) {
		t.Errorf("created over a keyset: %v", err)
	}
	two, err := tinkkeys.Open(t.Context(), file, kek, owner)
	check(t, err)
	_, err = one.Add(t.Context(), keys.Ed25519)
	check(t, err)
	if _, err := two.Add(t.Context(), keys.Ed25519); err == nil ||
		!strings.Contains(err.Error(), "open it again") || len(two.Entries()) != 1 {
		t.Errorf("got %v", err)
	}
}

// A key encryption key that is down is no verdict on the keyset.
func TestKEKIsDown(t *testing.T) {
	kek := newKEK(t)
	ring, err := tinkkeys.Create(t.Context(), "", kek, tinkkeys.Producer("orders"), keys.Ed25519)
	check(t, err)
	var good bytes.Buffer
	check(t, ring.Write(&good))
	_, err = tinkkeys.Read(t.Context(), &good, down{kek}, tinkkeys.Producer("orders"))
	if e, ok := errors.AsType[*keys.ServiceError](err); !ok || e.Permanent {
		t.Errorf("got %v", err)
	}
}

type down struct{ tink.AEADWithContext }

func (down) DecryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, &keys.ServiceError{Op: "kms:Decrypt", KeyID: "arn", Cause: "throttled"}
}
