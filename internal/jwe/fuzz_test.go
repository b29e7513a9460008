package jwe

import (
	"bytes"
	"crypto/ecdh"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
)

// The keys that the corpus of messages was made for. They are public.
func fuzzParties(t testing.TB) (*ContentKey, party, party) {
	t.Helper()
	scalar := bytes.Repeat([]byte{7}, 32)
	return must[*ContentKey](t)(ContentKeyFrom(scalar)),
		partyOf(t, "p", must[*ecdh.PrivateKey](t)(ecdh.P256().NewPrivateKey(scalar))),
		partyOf(t, "x", must[*ecdh.PrivateKey](t)(ecdh.X25519().NewPrivateKey(scalar)))
}

const fuzzPlaintext = `"the one plaintext"`

// wantCorpus fails unless the committed corpus of a target exists: a seed that is not found shows nothing.
func wantCorpus(f *testing.F, name string) {
	f.Helper()
	if files, _ := filepath.Glob(filepath.Join("testdata", "fuzz", name, "*")); len(files) == 0 {
		f.Fatalf("only %d files in the corpus of %s", len(files), name)
	}
}

// FuzzParse: nothing panics, a Parser makes no difference, what is read is within the limits and means to
// encoding/json what it means here, and a message that decrypts under a key that encrypted just one plaintext
// is of that plaintext.
func FuzzParse(f *testing.F) {
	wantCorpus(f, "FuzzParse")
	key, p256, x25519 := fuzzParties(f)
	f.Add(must[[]byte](f)(Encrypt(key, []byte(fuzzPlaintext), "application/json", testAAD,
		[]WrappedKey{p256.wrap(f, key), x25519.wrap(f, key)})))
	for _, c := range changes() {
		m := goodTemplate()
		if c.do(&m); len(m.String()) < 2000 {
			f.Add([]byte(m.String()))
		}
	}
	var p Parser
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := Parse(doc)
		if remembered, otherErr := p.Parse(doc); (err == nil) != (otherErr == nil) || err == nil &&
			!sameMessage(m, remembered) {
			t.Errorf("a Parser reads %+v, %v, without it %+v, %v", remembered, otherErr, m, err)
		}
		if err != nil {
			checkMutant(t, "Parse", "", fuzzPlaintext, err, nil)
			return
		}
		checkLimits(t, m)
		checkAsJSON(t, doc, m)
		for i := range m.Keys {
			for _, id := range []*ECDHIdentity{p256.identity, x25519.identity} {
				unwrapped, err := id.Unwrap(t.Context(), &m.Keys[i])
				if err == nil && unwrapped.Commitment() != key.Commitment() {
					t.Errorf("entry %d unwraps to a key that was not wrapped", i)
				}
			}
		}
		m.UnsafeUncommitted = true
		got, err := m.Decrypt(key, m.Binding)
		checkMutant(t, "Decrypt", string(got), fuzzPlaintext, err, nil)
	})
}

func checkLimits(t *testing.T, m *Message) {
	t.Helper()
	if len(m.Keys) == 0 || len(m.Keys) > MaxRecipients || len(m.Binding) > MaxBound ||
		len(m.sealed) < nonceSize+tagSize {
		t.Errorf("beyond the limits: %d keys, %d bytes of aad, %d sealed", len(m.Keys), len(m.Binding),
			len(m.sealed))
	}
	for i := range m.Keys {
		w := &m.Keys[i]
		if len(w.EncryptedKey) > MaxEncryptedKey || w.Alg == AlgECDH && len(w.EncryptedKey) != wrappedSize {
			t.Errorf("an encrypted key of %d bytes, alg %s", len(w.EncryptedKey), w.Alg)
		}
	}
}

// object is a JSON object to a reader that is less strict, but reads the same of what is accepted.
type object map[string]json.RawMessage

func objectOf(raw []byte) (o object) {
	_ = json.Unmarshal(raw, &o)
	return o
}

func (o object) text(name string) (s string) {
	_ = json.Unmarshal(o[name], &s)
	return s
}

func checkAsJSON(t *testing.T, doc []byte, m *Message) {
	t.Helper()
	top := objectOf(doc)
	protected, shared := objectOf(unbase64(t, top.text("protected"))), objectOf(top["unprotected"])
	if protected.text("enc") != encGCM || protected.text("cty") != m.ContentType ||
		(protected["kc"] != nil) != (m.Commitment != nil) {
		t.Errorf("protected %s, content type %q", protected, m.ContentType)
	}
	recipients := []object{top} // flattened
	if top["recipients"] != nil {
		recipients = nil
		_ = json.Unmarshal(top["recipients"], &recipients)
	}
	if len(recipients) != len(m.Keys) {
		t.Fatalf("%d recipients, read as %d", len(recipients), len(m.Keys))
	}
	for i, r := range recipients {
		own := objectOf(r["header"])
		alg := protected.text("alg") + shared.text("alg") + own.text("alg")
		kid := protected.text("kid") + shared.text("kid") + own.text("kid")
		if w := &m.Keys[i]; alg != w.Alg || kid != w.KeyID ||
			!bytes.Equal(unbase64(t, r.text("encrypted_key")), w.EncryptedKey) {
			t.Errorf("recipient %d: %s %s, read as %+v", i, alg, kid, w)
		}
	}
}

// FuzzCompact: nothing panics, there is one text per field, and what decrypts is what was encrypted.
func FuzzCompact(f *testing.F) {
	wantCorpus(f, "FuzzCompact")
	key, _, _ := fuzzParties(f)
	f.Add(must[[]byte](f)(EncryptCompact(key, []byte(fuzzPlaintext), testContext)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := ParseCompact(doc)
		if err != nil {
			checkMutant(t, "ParseCompact", "", fuzzPlaintext, err, nil)
			return
		}
		nonce, ciphertext, tag := split(c.sealed)
		if again := fmt.Sprintf("%s..%s.%s.%s", c.bound, encode(nonce), encode(ciphertext),
			encode(tag)); again != string(doc) {
			t.Errorf("another text for it: %s", again)
		}
		got, err := c.Decrypt(key, c.Binding)
		checkMutant(t, "Decrypt", string(got), fuzzPlaintext, err, nil)
	})
}

// FuzzRecipients: entries that are read are those that a message with them has.
func FuzzRecipients(f *testing.F) {
	wantCorpus(f, "FuzzRecipients")
	key, p256, x25519 := fuzzParties(f)
	f.Add(must[[]byte](f)(AppendRecipients(nil, key, []WrappedKey{p256.wrap(f, key), x25519.wrap(f, key)})))
	f.Add([]byte("[" + goodRecipient + "]"))
	var p Parser
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, err := ParseRecipients(doc)
		if remembered, otherErr := p.ParseRecipients(doc); (err == nil) != (otherErr == nil) ||
			!reflect.DeepEqual(digests(remembered), digests(keys)) {
			t.Errorf("a Parser reads %+v, %v, without it %+v, %v", remembered, otherErr, keys, err)
		}
		if err != nil {
			checkMutant(t, "ParseRecipients", "", fuzzPlaintext, err, nil)
			return
		}
		m := goodTemplate()
		m.protected = `{"enc":"A256GCM"}`
		m.set("recipients", string(doc))
		whole, err := Parse([]byte(m.String()))
		if err != nil && len(doc) < MaxMessage-1000 || err == nil &&
			!reflect.DeepEqual(digests(whole.Keys), digests(keys)) {
			t.Errorf("alone they are read, in a message they are not: %v", err)
		}
	})
}

func digests(keys []WrappedKey) (list [][32]byte) {
	for i := range keys {
		list = append(list, keys[i].Digest())
	}
	return list
}
