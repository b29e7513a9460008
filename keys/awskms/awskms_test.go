package awskms_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
)

// signatures are the key specs that sign, and what they are for us.
var signatures = map[types.KeySpec]keys.Algorithm{
	types.KeySpecEccNistEdwards25519: keys.Ed25519,
	types.KeySpecEccNistP256:         keys.ES256,
	types.KeySpecMlDsa65:             keys.MLDSA65,
}

func testEvent(data string) event.Event {
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource(source)
	ev.SetType("com.example.order.placed")
	ev.SetDataContentType("application/json")
	ev.DataEncoded = []byte(data)
	return ev
}

// Each kind of key signs events that open under its public half, with one call for the public half and one
// for each event.
func TestSigner(t *testing.T) {
	for spec, alg := range signatures {
		t.Run(string(spec), func(t *testing.T) {
			w := service(t)
			arn := w.key(types.KeyUsageTypeSignVerify, spec)
			signer, err := awskms.NewSigner(t.Context(), w.client, arn, "orders", nil)
			w.check(err)
			if signer.Verifier().Algorithm() != alg || signer.ARN() != arn || signer.Producer() != "orders" {
				t.Fatalf("%s of %q with %s", signer.Verifier().Algorithm(), signer.Producer(), signer.ARN())
			}
			trust := testKey(t, signer.Verifier(), "orders")
			for range 3 {
				sealed, err := envelope.Seal(t.Context(), testEvent(`{"a":1}`), signer, nil)
				w.check(err)
				_, err = envelope.Open(t.Context(), sealed.JSON(), trust,
					&envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
				w.check(err)
			}
			if w.server != nil && (w.server.CallsOf("Sign") != 3 || w.server.CallsOf("GetPublicKey") != 1) {
				t.Errorf("%d calls of Sign, %d of GetPublicKey", w.server.CallsOf("Sign"),
					w.server.CallsOf("GetPublicKey"))
			}
		})
	}
}

// KMS takes 4,096 bytes as they are. Beyond, P-256 has its digest, ML-DSA its representative, and Ed25519
// nothing.
func TestSignsLongMessages(t *testing.T) {
	for spec, alg := range signatures {
		t.Run(string(spec), func(t *testing.T) {
			w := newWorld(t)
			signer, err := awskms.NewSigner(t.Context(), w.client, w.key(types.KeyUsageTypeSignVerify, spec),
				"orders", nil)
			w.check(err)
			for _, size := range []int{0, 1, 4096, 4097, 100_000} {
				message := bytes.Repeat([]byte("m"), size)
				if size == 0 {
					message = []byte("?")
				}
				sig, err := signer.Sign(t.Context(), message)
				if size > 4096 && alg == keys.Ed25519 {
					if e, ok := errors.AsType[*keys.ServiceError](err); !ok || !e.Permanent ||
						!strings.Contains(e.Fix, "session.Delegate") {
						t.Errorf("%d bytes: %v", size, err)
					}
					continue
				}
				if err != nil || !signer.Verifier().Verify(message, sig) {
					t.Errorf("%d bytes: %v", size, err)
				}
			}
		})
	}
}

// A name may come to stand for another key; a signer stays with the key that it stood for.
func TestAliasIsResolvedOnce(t *testing.T) {
	w := newWorld(t)
	first, second := w.key(types.KeyUsageTypeSignVerify, types.KeySpecEccNistP256),
		w.key(types.KeyUsageTypeSignVerify, types.KeySpecEccNistP256)
	_, err := w.client.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/orders"),
		TargetKeyId: &first})
	w.check(err)
	signer, err := awskms.NewSigner(t.Context(), w.client, "alias/orders", "orders", nil)
	w.check(err)
	_, err = w.client.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: aws.String("alias/orders"),
		TargetKeyId: &second})
	w.check(err)
	if _, err := signer.Sign(t.Context(), []byte("m")); err != nil || signer.ARN() != first {
		t.Errorf("%s: %v", signer.ARN(), err)
	}
	key, err := awskms.ResolveKey(t.Context(), w.client, "alias/orders")
	w.check(err)
	if *key.Arn != second || key.KeyUsage != types.KeyUsageTypeSignVerify ||
		key.KeyState != types.KeyStateEnabled {
		t.Errorf("%+v", key)
	}
}

// forged is a client whose answers the test writes.
type forged struct {
	*kms.Client
	sign func(*kms.SignOutput)
	key  func(*kms.DecryptOutput)
}

func (f *forged) Sign(ctx ctx, in *kms.SignInput, opts ...func(*kms.Options)) (*kms.SignOutput, error) {
	out, err := f.Client.Sign(ctx, in, opts...)
	if err == nil {
		f.sign(out)
	}
	return out, err
}

func (f *forged) Decrypt(ctx ctx, in *kms.DecryptInput,
	opts ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	out, err := f.Client.Decrypt(ctx, in, opts...)
	if err == nil {
		f.key(out)
	}
	return out, err
}

// No answer is believed: a signature is verified, an answer about another key is none.
func TestAnswersAreChecked(t *testing.T) {
	w := newWorld(t)
	arn := w.key(types.KeyUsageTypeSignVerify, types.KeySpecEccNistEdwards25519)
	for name, sign := range map[string]func(*kms.SignOutput){
		"changed":     func(out *kms.SignOutput) { out.Signature[3] ^= 1 },
		"short":       func(out *kms.SignOutput) { out.Signature = out.Signature[:10] },
		"another key": func(out *kms.SignOutput) { out.KeyId = aws.String(arn + "0") },
	} {
		signer, err := awskms.NewSigner(t.Context(), &forged{Client: w.client, sign: sign}, arn, "orders",
			nil)
		w.check(err)
		if sig, err := signer.Sign(t.Context(), []byte("m")); err == nil || sig != nil {
			t.Errorf("%s: signature %x", name, sig)
		}
	}
	sealed := w.symmetric()
	to, err := awskms.NewRecipient(w.client, sealed, nil)
	w.check(err)
	_, encrypted, err := to.GenerateKey(t.Context(), source)
	w.check(err)
	for name, key := range map[string]func(*kms.DecryptOutput){
		"short":       func(out *kms.DecryptOutput) { out.Plaintext = out.Plaintext[:31] },
		"none":        func(out *kms.DecryptOutput) { out.Plaintext = nil },
		"another key": func(out *kms.DecryptOutput) { out.KeyId = nil },
	} {
		from, err := awskms.NewIdentity(&forged{Client: w.client, key: key}, sealed, nil)
		w.check(err)
		got, err := from.DecryptKey(t.Context(), source, sealed, encrypted)
		e, ok := errors.AsType[*keys.ServiceError](err)
		if got != nil || !ok || e.Permanent || !errors.Is(err, keys.ErrWrongAnswer) { // no verdict on the event
			t.Errorf("%s: key %x, %v", name, got, err)
		}
	}
}

// A recipient encrypts, and its identity opens, for the source that it was made for and no other.
func TestSymmetric(t *testing.T) {
	w := service(t)
	arn := w.symmetric()
	to, err := awskms.NewRecipient(w.client, arn, nil)
	w.check(err)
	from, err := awskms.NewIdentity(w.client, arn, nil)
	w.check(err)
	key, encrypted, err := to.GenerateKey(t.Context(), source)
	w.check(err)
	again, err := to.EncryptKey(t.Context(), source, key)
	w.check(err)
	for _, blob := range [][]byte{encrypted, again} {
		got, err := from.DecryptKey(t.Context(), source, arn, blob)
		if err != nil || !bytes.Equal(got, key) || len(key) != 32 {
			t.Errorf("%v", err)
		}
		_, err = from.DecryptKey(t.Context(), source+"/other", arn, blob)
		e, ok := errors.AsType[*keys.ServiceError](err)
		if !ok || !e.Permanent || !strings.Contains(e.Cause, `{"sealbus:source": "`+source+`/other"}`) {
			t.Errorf("for another source: %v", err)
		}
	}
	_, err = from.DecryptKey(t.Context(), source, arn+"0", encrypted)
	if e, ok := errors.AsType[*keys.ServiceError](err); !ok || !e.Permanent {
		t.Errorf("of another key: %v", err)
	}
}

// A replica of a multi-Region key opens what was encrypted in the other region, by a call in its own.
func TestReplica(t *testing.T) {
	w := newWorld(t)
	primary := w.create(&kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	out, err := w.client.ReplicateKey(t.Context(),
		&kms.ReplicateKeyInput{KeyId: primary.Arn, ReplicaRegion: aws.String("eu-west-1")})
	w.check(err)
	to, err := awskms.NewRecipient(w.client, *primary.Arn, nil)
	w.check(err)
	from, err := awskms.NewIdentity(newClient(w.server.URL(), "eu-west-1"), *out.ReplicaKeyMetadata.Arn, nil)
	w.check(err)
	key, encrypted, err := to.GenerateKey(t.Context(), source)
	w.check(err)
	if got, err := from.DecryptKey(t.Context(), source, to.KeyID(), encrypted); err != nil ||
		!bytes.Equal(got, key) {
		t.Error(err)
	}
	for arn, want := range map[string]bool{
		*primary.Arn: true, from.KeyID(): true,
		strings.Replace(*primary.Arn, ":000000000000:", ":111122223333:", 1): false,
		strings.Replace(*primary.Arn, "arn:aws:", "arn:aws-cn:", 1):          false,
		*primary.Arn + "0": false, "": false, "mrk-1": false,
		"arn:aws:kms:us-east-1:000000000000:alias/a": false,
	} {
		if from.Takes(arn) != want {
			t.Errorf("takes %q: %v", arn, !want)
		}
	}
	single := w.symmetric()
	ordinary, err := awskms.NewIdentity(w.client, single, nil)
	w.check(err)
	if ordinary.Takes(strings.Replace(single, "us-east-1", "eu-west-1", 1)) {
		t.Error("a key of one region took one of another")
	}
}

// A key agreement key opens what was sealed to its public half, without a permission for the sealer.
func TestAgreement(t *testing.T) {
	w := service(t)
	identity, err := awskms.NewAgreementIdentity(t.Context(), w.client,
		w.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256), nil)
	w.check(err)
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	w.check(err)
	got, err := identity.ECDH(t.Context(), peer.PublicKey())
	w.check(err)
	if want, err := peer.ECDH(identity.Recipient().PublicKey()); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x and %x: %v", got, want, err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	w.check(err)
	if _, err := identity.ECDH(t.Context(), x25519.PublicKey()); err == nil {
		t.Error("agreed on two curves")
	}
}

// The whole way: two KMS recipients, a key agreement and a private key; each opens it alone, and a cached key
// takes no call.
func TestEnvelope(t *testing.T) {
	w := newWorld(t)
	first, second := w.symmetric(), w.symmetric()
	var to []keys.ServiceRecipient
	var from []keys.ServiceIdentity
	for _, arn := range []string{first, second} {
		r, err := awskms.NewRecipient(w.client, arn, nil)
		w.check(err)
		i, err := awskms.NewIdentity(w.client, arn, nil)
		w.check(err)
		to, from = append(to, r), append(from, i)
	}
	agreed, err := awskms.NewAgreementIdentity(t.Context(), w.client,
		w.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256), nil)
	w.check(err)
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	w.check(err)
	trust := testKey(t, signer.Verifier(), "orders")
	e, err := envelope.NewEncrypter(envelope.EncryptTo{Services: to,
		Recipients: []*keys.Recipient{agreed.Recipient()}})
	w.check(err)
	var sealed [][]byte
	for i := range 50 {
		s, err := envelope.Seal(t.Context(), testEvent(fmt.Sprintf(`{"n":%d}`, i)), signer,
			&envelope.SealOptions{Encrypt: e})
		w.check(err)
		sealed = append(sealed, s.JSON())
	}
	if g, n := w.server.CallsOf("GenerateDataKey"), w.server.CallsOf("Encrypt"); g != 1 || n != 1 {
		t.Errorf("%d calls of GenerateDataKey, %d of Encrypt for 50 events", g, n)
	}
	for action, with := range map[string]envelope.DecryptWith{
		"Decrypt": {Services: from[1:]}, "DeriveSharedSecret": {Identities: keys.OpenWith(agreed)},
	} {
		d, err := envelope.NewDecrypter(with)
		w.check(err)
		for i, doc := range sealed {
			opened, err := envelope.Open(t.Context(), doc, trust,
				&envelope.Policy{Decrypter: d, Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
			w.check(err)
			if got := string(opened.Event.Data()); got != fmt.Sprintf(`{"n":%d}`, i) {
				t.Errorf("opened %s", got)
			}
		}
		if n := w.server.CallsOf(action); n != 1 {
			t.Errorf("%d calls of %s for 50 events of one content key", n, action)
		}
	}
}

func TestConstructorsRefuse(t *testing.T) {
	w := newWorld(t)
	signing, agreeing, symmetric := w.key(types.KeyUsageTypeSignVerify, types.KeySpecEccNistP256),
		w.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256), w.symmetric()
	errs := map[string]error{}
	for _, name := range []string{"", "alias/a", "1234", "arn:aws:kms:us-east-1:000000000000:alias/a",
		"arn:aws:s3:us-east-1:000000000000:key/1", "arn:aws:kms:us-east-1:000000000000:key/"} {
		_, errs["recipient "+name] = awskms.NewRecipient(w.client, name, nil)
		_, errs["identity "+name] = awskms.NewIdentity(w.client, name, nil)
	}
	for name, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "ResolveKey finds it") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := awskms.NewSigner(t.Context(), w.client, agreeing, "orders", nil)
	refused(t, err, "SIGN_VERIFY is needed")
	_, err = awskms.NewAgreementIdentity(t.Context(), w.client, signing, nil)
	refused(t, err, "KEY_AGREEMENT is needed")
	_, err = awskms.NewSigner(t.Context(), w.client, symmetric, "orders", nil)
	refused(t, err, "kms:GetPublicKey")
	_, err = awskms.NewSigner(t.Context(), w.client, signing, "or ders\x00", nil)
	refused(t, err, "producer")
	_, err = awskms.NewRecipient(nil, symmetric, nil)
	refused(t, err, "no client")
	_, err = awskms.NewRecipient(w.client, symmetric, &awskms.Options{GrantTokens: make([]string, 11)})
	refused(t, err, "11 grant tokens")
	_, err = awskms.NewIdentity(w.client, symmetric, &awskms.Options{Timeout: -1})
	refused(t, err, "timeout")
}

func refused(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want an error with %q", err, text)
	}
}

// Check asks for each permission without using it, and says what to do about those that are missing.
func TestCheck(t *testing.T) {
	w := newWorld(t)
	symmetric := w.symmetric()
	to, err := awskms.NewRecipient(w.client, symmetric, nil)
	w.check(err)
	from, err := awskms.NewIdentity(w.client, symmetric, nil)
	w.check(err)
	signer, err := awskms.NewSigner(t.Context(), w.client,
		w.key(types.KeyUsageTypeSignVerify, types.KeySpecMlDsa65), "orders", nil)
	w.check(err)
	agreed, err := awskms.NewAgreementIdentity(t.Context(), w.client,
		w.key(types.KeyUsageTypeKeyAgreement, types.KeySpecEccNistP256), nil)
	w.check(err)
	all := func() []awskms.Permission {
		return slices.Concat(to.Check(t.Context(), source), from.Check(t.Context(), source),
			signer.Check(t.Context()), agreed.Check(t.Context()))
	}
	ops := []string{"kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt", "kms:Sign", "kms:DeriveSharedSecret"}
	for i, p := range all() {
		if p.Op != ops[i] || p.Err != nil {
			t.Errorf("%+v", p)
		}
	}
	for i, op := range ops {
		w.deny.Store(aws.String(strings.TrimPrefix(op, "kms:")))
		for j, p := range all() {
			if (p.Err != nil) != (i == j) {
				t.Errorf("with %s denied: %+v", op, p)
			}
			if p.Err != nil && (!strings.Contains(p.Err.Fix, op) || !strings.Contains(p.Err.Fix, p.KeyID)) {
				t.Errorf("the fix names not what to allow: %s", p.Err.Fix)
			}
		}
	}
}
