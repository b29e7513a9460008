package jwe

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// mutants calls f with every mutation of doc by one bit, one byte removed, one byte doubled, one byte
// exchanged for one that means something in JSON or base64, and every truncation.
func mutants(doc []byte, f func(what string, mutant []byte)) {
	for i, c := range doc {
		for bit := range 8 {
			m := bytes.Clone(doc)
			m[i] ^= 1 << bit
			f(fmt.Sprintf("bit %d of byte %d", bit, i), m)
		}
		for _, other := range []byte(`"\{}[]:,A-_=. `) {
			if other != c {
				m := bytes.Clone(doc)
				m[i] = other
				f(fmt.Sprintf("byte %d is %q", i, other), m)
			}
		}
		f(fmt.Sprintf("without byte %d", i), append(bytes.Clone(doc[:i]), doc[i+1:]...))
		f(fmt.Sprintf("byte %d twice", i), append(bytes.Clone(doc[:i+1]), doc[i:]...))
		f(fmt.Sprintf("%d bytes only", i), doc[:i])
	}
}

// secrets are texts that no error may hold.
func secrets(t testing.TB, key *ContentKey, plaintext string) []string {
	t.Helper()
	b := must[[]byte](t)(key.Bytes())
	return []string{plaintext, string(b), hex.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
		fmt.Sprint(b)}
}

// checkMutant wants a mutant to be refused, with an error of ours that tells no secret, or to be the
// original.
func checkMutant(t *testing.T, what, got, plaintext string, err error, secrets []string) {
	t.Helper()
	if err == nil {
		if got != plaintext {
			t.Fatalf("%s: decrypts to %q", what, got)
		}
		return
	}
	ours := false
	for _, kind := range kinds {
		ours = ours || errors.Is(err, kind)
	}
	if !ours || got != "" {
		t.Errorf("%s: %q beside %v", what, got, err)
	}
	for _, secret := range secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: an error tells a secret: %v", what, err)
		}
	}
}

// Every small change to a message is refused, or changes nothing of what comes out. The agreements of
// unchanged epks are remembered, or this would take minutes.
func TestMutations(t *testing.T) {
	const plaintext = `{"card":"4111111111111111"}`
	key := NewContentKey()
	parties := map[string]party{"p": newParty(t, "p", ecdh.P256()), "x": newParty(t, "x", ecdh.X25519())}
	kms := must[WrappedKey](t)(key.Wrapped(AlgAWSKMS, testKeyARN, []byte("blob")))
	doc := must[[]byte](t)(Encrypt(key, []byte(plaintext), "application/json", testAAD,
		[]WrappedKey{parties["p"].wrap(t, key), kms, parties["x"].wrap(t, key)}))
	hidden := secrets(t, key, plaintext)
	for name, p := range parties {
		id := must[*ECDHIdentity](t)(NewRemoteIdentity(name, p.private.Curve(), remembering(p.private)))
		opened := 0
		mutants(doc, func(what string, mutant []byte) {
			got, m, err := openWith(t.Context(), mutant, testAAD, id)
			checkMutant(t, what, string(got), plaintext, err, hidden)
			if err == nil {
				opened++
				if m.ContentType != "application/json" || !bytes.Equal(m.Binding, testAAD) {
					t.Errorf("%s: content type %q, aad %s", what, m.ContentType, m.Binding)
				}
			}
		})
		t.Logf("%s: %d mutants of %d bytes open, all to the same", name, opened, len(doc))
		if opened == 0 {
			t.Error("none opened, although the other recipients' entries may change: the check is blind")
		}
	}
}

func remembering(private *ecdh.PrivateKey) Agree {
	known := map[string][]byte{}
	return func(_ context.Context, epk *ecdh.PublicKey) ([]byte, error) {
		z, ok := known[string(epk.Bytes())]
		if !ok {
			var err error
			if z, err = private.ECDH(epk); err != nil {
				return nil, ErrUnwrap
			}
			known[string(epk.Bytes())] = z
		}
		return bytes.Clone(z), nil
	}
}

// The same for a field. All of it is protected: no mutant opens.
func TestCompactMutations(t *testing.T) {
	const value = `"4111111111111111"`
	key := NewContentKey()
	field := must[[]byte](t)(EncryptCompact(key, []byte(value), testContext))
	hidden := secrets(t, key, value)
	mutants(field, func(what string, mutant []byte) {
		c, err := ParseCompact(mutant)
		var got []byte
		if err == nil {
			got, err = c.Decrypt(key, testContext)
		}
		checkMutant(t, what, string(got), value, err, hidden)
		if err == nil {
			t.Errorf("%s: opens", what)
		}
	})
}
