package jwe

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var joseAlgs = []jose.KeyAlgorithm{jose.ECDH_ES_A256KW, jose.DIRECT, AlgAWSKMS}

// josePair is a P-256 key as go-jose and as we take it.
func josePair(t testing.TB, keyID string) (*ecdsa.PrivateKey, party) {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return key, partyOf(t, keyID, must[*ecdh.PrivateKey](t)(key.ECDH()))
}

// go-jose decrypts what we encrypt to P-256 keys, among recipients that it does not know.
func TestGoJoseReadsOurs(t *testing.T) {
	firstKey, first := josePair(t, "first")
	secondKey, second := josePair(t, "second")
	x25519 := newParty(t, "x", ecdh.X25519())
	for _, plaintext := range []string{"x", `{"amount":12}`, strings.Repeat("é", 5000)} {
		key := NewContentKey()
		kms := must[WrappedKey](t)(key.Wrapped(AlgAWSKMS, testKeyARN, []byte("blob")))
		doc := must[[]byte](t)(Encrypt(key, []byte(plaintext), "application/json", testAAD,
			[]WrappedKey{kms, x25519.wrap(t, key), first.wrap(t, key), second.wrap(t, key)}))
		theirs := must[*jose.JSONWebEncryption](t)(jose.ParseEncryptedJSON(string(doc), joseAlgs,
			[]jose.ContentEncryption{jose.A256GCM}))
		if string(theirs.GetAuthData()) != string(testAAD) {
			t.Errorf("they read the aad %s", theirs.GetAuthData())
		}
		for i, private := range []*ecdsa.PrivateKey{firstKey, secondKey} {
			index, header, got, err := theirs.DecryptMulti(private)
			if err != nil || string(got) != plaintext || index != 2+i {
				t.Errorf("recipient %d: %.40q of entry %d, %v", i, got, index, err)
			}
			if header.ExtraHeaders["cty"] != "application/json" ||
				header.ExtraHeaders["kc"] != key.Commitment() {
				t.Errorf("they read the header %+v", header)
			}
		}
	}
}

// We decrypt what go-jose encrypts, under the unsafe name: it does not commit to the key.
func TestWeReadGoJose(t *testing.T) {
	firstKey, first := josePair(t, "first")
	secondKey, second := josePair(t, "second")
	rcpt := func(kid string, key *ecdsa.PrivateKey) jose.Recipient {
		return jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: &key.PublicKey, KeyID: kid}
	}
	for _, c := range []struct {
		name   string
		to     []jose.Recipient
		aad    []byte
		shape  string // a member by which the serialization is known
		missed string // the one who is no recipient
	}{
		{"two", []jose.Recipient{rcpt("first", firstKey), rcpt("second", secondKey)}, nil, `"recipients"`,
			""},
		{"two, with aad", []jose.Recipient{rcpt("first", firstKey), rcpt("second", secondKey)}, testAAD,
			`"encrypted_key"`, ""},
		{"two, without kid", []jose.Recipient{rcpt("", secondKey), rcpt("", firstKey)}, testAAD,
			`"recipients"`, ""},
		{"one, flattened", []jose.Recipient{rcpt("first", firstKey)}, testAAD, `"encrypted_key"`, "second"},
		{"with another one", []jose.Recipient{{Algorithm: jose.A256KW, Key: make([]byte, 32)},
			rcpt("second", secondKey)}, nil, `"recipients"`, "first"},
	} {
		for _, plaintext := range []string{"x", strings.Repeat("é", 5000)} {
			encrypter := must[jose.Encrypter](t)(jose.NewMultiEncrypter(jose.A256GCM, c.to,
				(&jose.EncrypterOptions{}).WithContentType("text/plain")))
			text := must[*jose.JSONWebEncryption](t)(encrypter.EncryptWithAuthData([]byte(plaintext),
				c.aad)).FullSerialize()
			if !strings.Contains(text, c.shape) {
				t.Fatalf("%s: no %s in %s", c.name, c.shape, text)
			}
			for name, id := range map[string]*ECDHIdentity{"first": first.identity,
				"second": second.identity} {
				strict := must[*Message](t)(Parse([]byte(text)))
				m := *strict
				m.UnsafeUncommitted = true
				var got []byte
				err := unwrap(t.Context(), m.Keys, func(key *ContentKey) (err error) {
					_, err = strict.Decrypt(key, c.aad)
					wantKind(t, c.name+", strictly", err, ErrUncommitted)
					if got, err = m.Decrypt(key, c.aad); err == ErrDecrypt { // another's entry
						err = ErrUnwrap
					}
					return err
				}, id)
				if name == c.missed {
					wantKind(t, c.name+", "+name, err, ErrNotRecipient)
				} else if err != nil || string(got) != plaintext || m.ContentType != "text/plain" ||
					string(m.Binding) != string(c.aad) {
					t.Errorf("%s, %s: %.40q of %q, %v", c.name, name, got, m.ContentType, err)
				}
			}
		}
	}
}

// go-jose decrypts our fields with the content key.
func TestGoJoseReadsOurFields(t *testing.T) {
	key := NewContentKey()
	field := must[[]byte](t)(EncryptCompact(key, []byte(`"x"`), testContext))
	theirs := must[*jose.JSONWebEncryption](t)(jose.ParseEncryptedCompact(string(field), joseAlgs,
		[]jose.ContentEncryption{jose.A256GCM}))
	got, err := theirs.Decrypt(must[[]byte](t)(key.Bytes()))
	if err != nil || string(got) != `"x"`+strings.Repeat(" ", 29) || theirs.Header.KeyID != key.Commitment() {
		t.Errorf("%q, %v, kid %s", got, err, theirs.Header.KeyID)
	}
}

// And we theirs, if it has our header.
func TestWeReadFieldsOfGoJose(t *testing.T) {
	key := NewContentKey()
	options := (&jose.EncrypterOptions{}).WithHeader("ctx", string(encode(testContext)))
	encrypter := must[jose.Encrypter](t)(jose.NewEncrypter(jose.A256GCM,
		jose.Recipient{Algorithm: jose.DIRECT, Key: must[[]byte](t)(key.Bytes()), KeyID: key.Commitment()},
		options))
	field := must[string](t)(must[*jose.JSONWebEncryption](t)(encrypter.Encrypt([]byte(`"x"` +
		strings.Repeat(" ", 29)))).CompactSerialize())
	got, err := must[*Message](t)(ParseCompact([]byte(field))).Decrypt(key, testContext)
	if err != nil || string(got) != `"x"` {
		t.Errorf("%q, %v", got, err)
	}
}
