package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/go-jose/go-jose/v4"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwe"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// secrets is what encrypting, and delegating, is measured with.
type secrets struct {
	*fixture
	identity *keys.LocalIdentity
	shared   *envelope.Encrypter
	opener   *envelope.Opener
	seal     *operation // without encryption
	open     *operation
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
	if err != nil {
		return nil, err
	}
	s.seal = &operation{name: s.label("Seal, beside encryption"), run: s.sealEvent}
	s.open = &operation{name: s.label("Open, beside encryption"), run: s.openEvent}
	s.opener, err = s.openerWith(decrypter)
	return s, err
}

func (s *secrets) openerWith(d *envelope.Decrypter) (*envelope.Opener, error) {
	p := policy()
	p.Decrypter = d
	return envelope.NewOpener(s.trust, p)
}

func (s *secrets) encrypter() (*envelope.Encrypter, error) {
	return envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{s.identity.Recipient()}})
}

func (s *secrets) sealWith(opts *envelope.SealOptions) *envelope.Sealed {
	sealed, err := envelope.Seal(context.Background(), s.ev, s.signer, opts)
	must(err == nil)
	return sealed
}

func (s *secrets) openSealed(opts *envelope.SealOptions) func() {
	sealed := s.sealWith(opts).JSON()
	return func() { open(s.opener, sealed) }
}

func (s *secrets) rows() []row {
	data := &envelope.SealOptions{Encrypt: s.shared}
	field := &envelope.SealOptions{Encrypt: s.shared, EncryptFields: []string{"/order"}}
	var list []row
	add := func(name string, target float64, run func(), beside *operation) {
		r := row{operation: &operation{name: s.label(name), run: run}, beside: beside, kind: adds,
			peer: beside == nil}
		if s.size == 1<<10 && target > 0 {
			r.target, r.wanted = target, name+", 1 KiB, adds"
		}
		list = append(list, r)
	}
	add("Seal, encrypted", 5, func() { s.sealWith(data) }, s.seal)
	add("Open, encrypted", 5, s.openSealed(data), s.open)
	add("Seal, one field encrypted", 5, func() { s.sealWith(field) }, s.seal)
	add("Open, one field encrypted", 6, s.openSealed(field), s.open)
	add("Seal, a data key for each event", 0, s.sealWithNewKey, s.seal)
	add("Open, a data key for each event", 0, s.openWithNewKey(), s.open)
	s.encryptionPeers(func(name string, run func()) { add(name, 0, run, nil) })
	return list
}

func (s *secrets) sealWithNewKey() {
	e, err := s.encrypter()
	must(err == nil)
	s.sealWith(&envelope.SealOptions{Encrypt: e})
}

func (s *secrets) openWithNewKey() func() {
	sealed := s.sealWith(&envelope.SealOptions{Encrypt: s.shared}).JSON()
	return func() {
		d, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(s.identity)})
		must(err == nil)
		opener, err := s.openerWith(d)
		must(err == nil)
		open(opener, sealed)
	}
}

// encryptionPeers encrypt the data alone to one recipient: no event, no signature; each message has a key of
// its own.
func (s *secrets) encryptionPeers(add func(name string, run func())) {
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
	add("go-jose encrypt, no event, a key for each message", func() { goJose() })
	add("go-jose decrypt, no event, a key for each message", s.goJoseDecrypt(goJose(), private))
	add("jwx encrypt, no event, a key for each message", func() { jwx() })
	add("jwx decrypt, no event, a key for each message", s.jwxDecrypt(jwx(), key))
	s.sharedKeyPeers(add)
}

// sharedKeyPeers encrypt the data alone, under one key that both sides have ("dir"): no recipient
// is named, and no key unwrapped.
func (s *secrets) sharedKeyPeers(add func(name string, run func())) {
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
	add("go-jose encrypt, no event, a shared key", func() { goJose() })
	add("go-jose decrypt, no event, a shared key", func() {
		message, err := jose.ParseEncryptedJSON(text, []jose.KeyAlgorithm{jose.DIRECT},
			[]jose.ContentEncryption{jose.A256GCM})
		must(err == nil)
		got, err := message.Decrypt(key)
		must(err == nil && bytes.Equal(got, s.data))
	})
	add("jwx encrypt, no event, a shared key", func() { jwx() })
	add("jwx decrypt, no event, a shared key", func() {
		got, err := jwe.Decrypt(compact, jwe.WithKey(jwa.DIRECT(), key))
		must(err == nil && bytes.Equal(got, s.data))
	})
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
