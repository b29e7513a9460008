package interop_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/jwe"
)

// encryptionKey is a key on P-256 or X25519 as jose and as we take it.
type encryptionKey struct {
	id      string
	private *ecdh.PrivateKey
}

func newEncryptionKey(t *testing.T, id string, curve ecdh.Curve) encryptionKey {
	t.Helper()
	private, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return encryptionKey{id, private}
}

// jwk is the private key as a JWK, or the public one.
func (k encryptionKey) jwk(private bool) map[string]string {
	point := k.private.PublicKey().Bytes()
	jwk := map[string]string{"kty": "OKP", "crv": "X25519", "x": b64url(point)}
	if k.private.Curve() == ecdh.P256() {
		jwk = map[string]string{"kty": "EC", "crv": "P-256", "x": b64url(point[1:33]),
			"y": b64url(point[33:])}
	}
	if private {
		jwk["d"] = b64url(k.private.Bytes())
	}
	return jwk
}

func (k encryptionKey) wrap(t *testing.T, key *jwe.ContentKey) jwe.WrappedKey {
	t.Helper()
	recipient, err := jwe.NewECDHRecipient(k.id, k.private.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := recipient.Wrap(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

// unwrap is the content key of the first entry that is for this key, nil if there is none.
func (k encryptionKey) unwrap(t *testing.T, m *jwe.Message) *jwe.ContentKey {
	t.Helper()
	identity, err := jwe.NewECDHIdentity(k.id, k.private)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Keys {
		if key, err := identity.Unwrap(t.Context(), &m.Keys[i]); err == nil {
			return key
		} else if !jwe.IsForAnother(err) {
			t.Fatal(err)
		}
	}
	return nil
}

func b64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// joseJob is what peers/jwe.mjs is asked.
type joseJob struct {
	Do        string            `json:"do"`
	JWE       any               `json:"jwe,omitempty"`
	JWK       map[string]string `json:"jwk,omitempty"`
	Key       string            `json:"key,omitempty"`
	Plaintext string            `json:"plaintext,omitempty"`
	AAD       string            `json:"aad,omitempty"`
	Protected map[string]string `json:"protected,omitempty"`
	To        []joseRecipient   `json:"to,omitempty"`
}

type joseRecipient struct {
	Header map[string]string `json:"header"`
	JWK    map[string]string `json:"jwk"`
}

type joseResult struct {
	Plaintext, AAD, Error string
	Protected             map[string]string
	JWE                   json.RawMessage
}

// joseDoes has jose do the jobs.
func joseDoes(t *testing.T, jobs ...joseJob) []joseResult {
	t.Helper()
	needPackages(t)
	input, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	var results []joseResult
	if err := json.Unmarshal(node(t, input, "peers/jwe.mjs"), &results); err != nil ||
		len(results) != len(jobs) {
		t.Fatalf("%d results of %d jobs, %v", len(results), len(jobs), err)
	}
	return results
}

var jweAAD = []byte(`{"id":"1","producer":"orders","source":"https://orders.example/eu","type":"com.example.order.placed"}`)

// TestJoseDecryptsOurs: every recipient of a message of ours reads it with jose, among entries that jose does
// not know. A stranger does not, nor does a recipient of a message that was changed.
func TestJoseDecryptsOurs(t *testing.T) {
	p256, x25519, stranger := newEncryptionKey(t, "p", ecdh.P256()), newEncryptionKey(t, "x", ecdh.X25519()),
		newEncryptionKey(t, "s", ecdh.X25519())
	plaintext := []byte(`{"amount":12,"text":"grün"}`)
	key := jwe.NewContentKey()
	kms, err := key.Wrapped(jwe.AlgAWSKMS, "arn:aws:kms:eu-central-1:111122223333:key/mrk-1", []byte("blob"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jwe.Encrypt(key, plaintext, "application/json", jweAAD,
		[]jwe.WrappedKey{kms, p256.wrap(t, key), x25519.wrap(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	aad := []byte(`"aad":"` + b64url(jweAAD))
	changed := bytes.Replace(doc, aad, []byte(`"aad":"`+
		b64url(bytes.Replace(jweAAD, []byte("1"), []byte("2"), 1))), 1)
	decrypt := func(doc []byte, k encryptionKey) joseJob {
		return joseJob{Do: "decrypt", JWE: json.RawMessage(doc), JWK: k.jwk(true)}
	}
	got := joseDoes(t, decrypt(doc, p256), decrypt(doc, x25519), decrypt(doc, stranger),
		decrypt(changed, p256))
	for i, r := range got[:2] {
		if r.Error != "" || r.Plaintext != b64url(plaintext) || r.AAD != b64url(jweAAD) ||
			r.Protected["cty"] != "application/json" || r.Protected["kc"] != key.Commitment() {
			t.Errorf("recipient %d: jose reads %+v", i, r)
		}
	}
	for i, r := range got[2:] {
		if r.Error != "ERR_JWE_DECRYPTION_FAILED" {
			t.Errorf("%d: jose reads what it should not: %+v", i, r)
		}
	}
}

// TestWeDecryptJose: we read the messages of jose, to one recipient or several, with parameters protected or
// not. They need the unsafe name, as they do not commit to the key, unless the commitment is computed and
// added.
func TestWeDecryptJose(t *testing.T) {
	p256, x25519 := newEncryptionKey(t, "p", ecdh.P256()), newEncryptionKey(t, "x", ecdh.X25519())
	to := func(header map[string]string, all ...encryptionKey) (list []joseRecipient) {
		for _, k := range all {
			own := map[string]string{"kid": k.id}
			for name, value := range header {
				own[name] = value
			}
			list = append(list, joseRecipient{own, k.jwk(false)})
		}
		return list
	}
	alg := map[string]string{"alg": jwe.AlgECDH}
	enc := map[string]string{"enc": "A256GCM", "cty": "text/plain"}
	both := map[string]string{"enc": "A256GCM", "cty": "text/plain", "alg": jwe.AlgECDH}
	parties := map[string]string{"alg": jwe.AlgECDH, "apu": "QWxpY2U", "apv": "Qm9i"}
	plaintext := strings.Repeat("grün ", 1000)
	cases := []struct {
		name      string
		protected map[string]string
		to        []joseRecipient
		aad       []byte
	}{
		{"P-256", enc, to(alg, p256), jweAAD},
		{"X25519", enc, to(alg, x25519), jweAAD},
		{"both", enc, to(alg, x25519, p256), jweAAD},
		{"both, without aad", enc, to(alg, p256, x25519), nil},
		{"alg protected", both, to(nil, p256, x25519), jweAAD},
		{"alg protected, one", both, to(nil, x25519), nil},
		{"apu and apv", enc, to(parties, p256, x25519), jweAAD},
	}
	var jobs []joseJob
	for _, c := range cases {
		jobs = append(jobs, joseJob{Do: "encrypt", Plaintext: b64url([]byte(plaintext)), AAD: b64url(c.aad),
			Protected: c.protected, To: c.to})
	}
	for i, r := range joseDoes(t, jobs...) {
		c := cases[i]
		m, err := jwe.Parse(r.JWE)
		if err != nil {
			t.Errorf("%s: %v (%s) in\n%s", c.name, err, r.Error, r.JWE)
			continue
		}
		for _, k := range []encryptionKey{p256, x25519} {
			key := k.unwrap(t, m)
			if (key != nil) != isAmong(c.to, k) {
				t.Errorf("%s: %s is a recipient: %v", c.name, k.id, key != nil)
			}
			if key == nil {
				continue
			}
			m.UnsafeUncommitted = false
			if _, err := m.Decrypt(key, c.aad); !errors.Is(err, jwe.ErrUncommitted) {
				t.Errorf("%s: strictly: %v", c.name, err)
			}
			m.UnsafeUncommitted = true
			got, err := m.Decrypt(key, c.aad)
			if err != nil || string(got) != plaintext || m.ContentType != "text/plain" ||
				!bytes.Equal(m.Binding, c.aad) {
				t.Errorf("%s: %s reads %.40q of %q, %v", c.name, k.id, got, m.ContentType, err)
			}
		}
	}
}

func isAmong(list []joseRecipient, k encryptionKey) bool {
	for _, r := range list {
		if r.Header["kid"] == k.id {
			return true
		}
	}
	return false
}

// TestJoseDecryptsOurFields: with the content key, jose reads a field, which is JSON in spite of its padding.
func TestJoseDecryptsOurFields(t *testing.T) {
	key := jwe.NewContentKey()
	secret, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	field, err := jwe.EncryptCompact(key, []byte(`{"number":"4111111111111111"}`), jweAAD)
	if err != nil {
		t.Fatal(err)
	}
	r := joseDoes(t, joseJob{Do: "field", JWE: string(field), Key: b64url(secret)})[0]
	plaintext, _ := base64.RawURLEncoding.DecodeString(r.Plaintext)
	var card struct{ Number string }
	if err := json.Unmarshal(plaintext, &card); err != nil || card.Number != "4111111111111111" ||
		len(plaintext) != 32 {
		t.Errorf("jose reads %q, %v (%s)", plaintext, err, r.Error)
	}
	if r.Protected["kid"] != key.Commitment() || r.Protected["ctx"] != b64url(jweAAD) {
		t.Errorf("jose reads the header %v", r.Protected)
	}
}
