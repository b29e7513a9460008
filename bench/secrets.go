package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwe"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// addition is one operation beside the same without encryption, in turn.
type addition struct {
	name   string
	target float64 // the limit of what it adds, in microseconds; 0 = a peer, for comparison
	run    func()
	plain  func() // nil = nothing
}

// secrets is what encrypting, and delegating, is measured with.
type secrets struct {
	*fixture
	identity *keys.LocalIdentity
	shared   *envelope.Encrypter
	opts     *envelope.Policy
}

func newSecrets(size int) (*secrets, error) {
	f, err := newFixture(keys.Ed25519, size)
	if err != nil {
		return nil, err
	}
	identity, err := keys.GenerateIdentity(keys.P256) // which the peers have, too
	if err != nil {
		return nil, err
	}
	s := &secrets{fixture: f, identity: identity}
	if s.shared, err = s.encrypter(); err != nil {
		return nil, err
	}
	decrypter, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(identity)})
	s.opts = &envelope.Policy{MaxAge: time.Hour, Decrypter: decrypter,
		Unsafe: envelope.Unsafe{AnySource: true}}
	return s, err
}

func (s *secrets) encrypter() (*envelope.Encrypter, error) {
	return envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{s.identity.Recipient()}})
}

func (s *secrets) sealWith(opts *envelope.SealOptions) *envelope.Sealed {
	sealed, err := envelope.Seal(context.Background(), s.ev, s.signer, opts)
	must(err == nil)
	return sealed
}

func (s *secrets) openSealed(sealed *envelope.Sealed) func() {
	return func() {
		_, err := envelope.Open(context.Background(), sealed.JSON(), s.trust, s.opts)
		must(err == nil)
	}
}

func (s *secrets) additions() []addition {
	data := &envelope.SealOptions{Encrypt: s.shared}
	field := &envelope.SealOptions{Encrypt: s.shared, EncryptFields: []string{"/order"}}
	label := func(op string) string { return fmt.Sprintf("%s, %d KiB", op, s.size>>10) }
	list := []addition{
		{label("Seal, encrypted"), 5, func() { s.sealWith(data) }, s.sealEvent},
		{label("Open, encrypted"), 5, s.openSealed(s.sealWith(data)), s.openEvent},
		{label("Seal, one field encrypted"), 5, func() { s.sealWith(field) }, s.sealEvent},
		{label("Open, one field encrypted"), 5, s.openSealed(s.sealWith(field)), s.openEvent},
		{label("Seal, a data key for each event"), 0, s.sealWithNewKey, s.sealEvent},
		{label("Open, a data key for each event"), 0, s.openWithNewKey(), s.openEvent},
	}
	return append(list, s.encryptionPeers(label)...)
}

func (s *secrets) sealWithNewKey() {
	e, err := s.encrypter()
	must(err == nil)
	s.sealWith(&envelope.SealOptions{Encrypt: e})
}

func (s *secrets) openWithNewKey() func() {
	sealed := s.sealWith(&envelope.SealOptions{Encrypt: s.shared})
	return func() {
		d, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(s.identity)})
		must(err == nil)
		_, err = envelope.Open(context.Background(), sealed.JSON(), s.trust,
			&envelope.Policy{MaxAge: time.Hour, Decrypter: d, Unsafe: envelope.Unsafe{AnySource: true}})
		must(err == nil)
	}
}

// encryptionPeers encrypt the data alone to one recipient: no event, no signature; each message has a key of
// its own.
func (s *secrets) encryptionPeers(label func(string) string) []addition {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err == nil)
	encrypter, err := jose.NewEncrypter(jose.A256GCM,
		jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: private.Public(), KeyID: "k"}, nil)
	must(err == nil)
	goJose := func() string {
		message, err := encrypter.Encrypt(s.data)
		must(err == nil)
		return message.FullSerialize()
	}
	key, err := private.ECDH()
	must(err == nil)
	jwx := func() []byte {
		message, err := jwe.Encrypt(s.data, jwe.WithJSON(),
			jwe.WithKey(jwa.ECDH_ES_A256KW(), key.PublicKey()), jwe.WithContentEncryption(jwa.A256GCM()))
		must(err == nil)
		return message
	}
	return append([]addition{
		{label("go-jose encrypt, no event, a key for each message"), 0, func() { goJose() }, nil},
		{label("go-jose decrypt, no event, a key for each message"), 0, s.goJoseDecrypt(goJose(), private),
			nil},
		{label("jwx encrypt, no event, a key for each message"), 0, func() { jwx() }, nil},
		{label("jwx decrypt, no event, a key for each message"), 0, s.jwxDecrypt(jwx(), key), nil},
	}, s.sharedKeyPeers(label)...)
}

// sharedKeyPeers encrypt the data alone, under one key that both sides have ("dir"): no recipient
// is named, and no key unwrapped.
func (s *secrets) sharedKeyPeers(label func(string) string) []addition {
	key := make([]byte, 32)
	_, err := rand.Read(key)
	must(err == nil)
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: key}, nil)
	must(err == nil)
	goJose := func() string {
		message, err := encrypter.Encrypt(s.data)
		must(err == nil)
		return message.FullSerialize()
	}
	jwx := func() []byte {
		message, err := jwe.Encrypt(s.data, jwe.WithKey(jwa.DIRECT(), key),
			jwe.WithContentEncryption(jwa.A256GCM()))
		must(err == nil)
		return message
	}
	text, compact := goJose(), jwx()
	return []addition{
		{label("go-jose encrypt, no event, a shared key"), 0, func() { goJose() }, nil},
		{label("go-jose decrypt, no event, a shared key"), 0, func() {
			message, err := jose.ParseEncryptedJSON(text, []jose.KeyAlgorithm{jose.DIRECT},
				[]jose.ContentEncryption{jose.A256GCM})
			must(err == nil)
			got, err := message.Decrypt(key)
			must(err == nil && bytes.Equal(got, s.data))
		}, nil},
		{label("jwx encrypt, no event, a shared key"), 0, func() { jwx() }, nil},
		{label("jwx decrypt, no event, a shared key"), 0, func() {
			got, err := jwe.Decrypt(compact, jwe.WithKey(jwa.DIRECT(), key))
			must(err == nil && bytes.Equal(got, s.data))
		}, nil},
	}
}

func (s *secrets) goJoseDecrypt(text string, private *ecdsa.PrivateKey) func() {
	return func() {
		message, err := jose.ParseEncryptedJSON(text, []jose.KeyAlgorithm{jose.ECDH_ES_A256KW},
			[]jose.ContentEncryption{jose.A256GCM})
		must(err == nil)
		got, err := message.Decrypt(private)
		must(err == nil && bytes.Equal(got, s.data))
	}
}

func (s *secrets) jwxDecrypt(text []byte, private *ecdh.PrivateKey) func() {
	return func() {
		got, err := jwe.Decrypt(text, jwe.WithKey(jwa.ECDH_ES_A256KW(), private))
		must(err == nil && bytes.Equal(got, s.data))
	}
}
