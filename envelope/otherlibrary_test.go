package envelope_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// A producer may encrypt with go-jose and sign as SPEC says: a consumer that sets AllowUncommitted opens its
// events. go-jose decrypts the data that sealbus encrypts.
func TestOtherLibrary(t *testing.T) {
	c := newConfidential(t)
	jwk, err := c.p256.UnsafePrivateJWK()
	check(t, err)
	var key jose.JSONWebKey
	check(t, json.Unmarshal(jwk, &key))
	private := key.Key.(*ecdsa.PrivateKey)

	to := jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: &private.PublicKey,
		KeyID: c.p256.Recipient().KeyID()}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, to,
		(&jose.EncrypterOptions{}).WithContentType("application/json"))
	check(t, err)
	message, err := encrypter.Encrypt([]byte(`{"a":1}`))
	check(t, err)
	doc := c.signed("application/jose+json", message.FullSerialize(), `"jwe"`)
	opts := &envelope.Policy{Now: fixedNow, Decrypter: c.decrypter(c.p256), Unsafe: unchecked}
	_, err = envelope.Open(t.Context(), doc, c.trust, opts)
	wantReason(t, err, envelope.ReasonDecryptFailed)
	opts.Unsafe.AllowUncommitted = true
	opened, err := envelope.Open(t.Context(), doc, c.trust, opts)
	check(t, err)
	if string(opened.Event.Data()) != `{"a":1}` || opened.Event.DataContentType() != "application/json" {
		t.Errorf("opened %s", opened.Event)
	}

	ours := c.seal(secretEvent(`{"b":2}`),
		envelope.SealOptions{Encrypt: c.encryptTo(envelope.EncryptTo{Recipients: []*keys.Recipient{c.p256.Recipient()}})})
	var sealed struct{ Data json.RawMessage }
	check(t, json.Unmarshal(ours.JSON(), &sealed))
	read, err := jose.ParseEncryptedJSON(string(sealed.Data), []jose.KeyAlgorithm{jose.ECDH_ES_A256KW},
		[]jose.ContentEncryption{jose.A256GCM})
	check(t, err)
	_, _, plain, err := read.DecryptMulti(private)
	check(t, err)
	if string(plain) != `{"b":2}` {
		t.Errorf("go-jose reads %s", plain)
	}
}
