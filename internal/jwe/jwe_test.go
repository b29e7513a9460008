package jwe

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sealbus/sealbus/internal/jsontext"
)

var kinds = []error{ErrMalformed, ErrUnsupported, ErrTooLarge, ErrUncommitted, ErrUnbound, ErrBinding,
	ErrCommitment,
	ErrDecrypt, ErrUnwrap, ErrNotRecipient, ErrKey, ErrForeignKey, ErrNoRecipient}

// wantKind wants an error of that kind and of no other.
func wantKind(t *testing.T, what string, err, want error) {
	t.Helper()
	for _, kind := range kinds {
		if errors.Is(err, kind) != (kind == want) {
			t.Errorf("%s: %v, want just %v", what, err, want)
			return
		}
	}
	if err != nil && !strings.HasPrefix(err.Error(), "jwe: ") {
		t.Errorf("%s: error %q without the package's prefix", what, err)
	}
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// party is a recipient with its identity.
type party struct {
	recipient *ECDHRecipient
	identity  *ECDHIdentity
	private   *ecdh.PrivateKey
}

func newParty(t testing.TB, keyID string, curve ecdh.Curve) party {
	t.Helper()
	return partyOf(t, keyID, must[*ecdh.PrivateKey](t)(curve.GenerateKey(rand.Reader)))
}

func partyOf(t testing.TB, keyID string, private *ecdh.PrivateKey) party {
	t.Helper()
	return party{
		recipient: must[*ECDHRecipient](t)(NewECDHRecipient(keyID, private.PublicKey())),
		identity:  must[*ECDHIdentity](t)(NewECDHIdentity(keyID, private)),
		private:   private,
	}
}

func (p party) wrap(t testing.TB, key *ContentKey) WrappedKey {
	t.Helper()
	return must[WrappedKey](t)(p.recipient.Wrap(t.Context(), key))
}

// unwrap is what an opener does: it tries each identity on each entry, until an entry gives the key that
// decrypts.
func unwrap(ctx context.Context, keys []WrappedKey, decrypt func(*ContentKey) error,
	ids ...*ECDHIdentity) error {
	last := ErrNotRecipient
	for i := range keys {
		for _, id := range ids {
			if !id.Takes(&keys[i]) {
				continue
			}
			key, err := id.Unwrap(ctx, &keys[i])
			if err == nil {
				err = decrypt(key)
				key.Zero()
			}
			if err == nil || !IsForAnother(err) {
				return err
			}
			last = err
		}
	}
	return last
}

func openWith(ctx context.Context, doc, aad []byte,
	ids ...*ECDHIdentity) (plaintext []byte, m *Message, err error) {
	if m, err = Parse(doc); err != nil {
		return nil, nil, err
	}
	err = unwrap(ctx, m.Keys, func(key *ContentKey) (err error) {
		plaintext, err = m.Decrypt(key, aad)
		return err
	}, ids...)
	return plaintext, m, err
}

const testKeyARN = "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234"

var testAAD = []byte(`{"id":"1","producer":"orders","source":"https://orders.example/eu","type":"com.example.placed"}`)

func TestRoundTrip(t *testing.T) {
	p256, x25519, stranger := newParty(t, "p", ecdh.P256()), newParty(t, "x", ecdh.X25519()),
		newParty(t, "s", ecdh.P256())
	for _, plaintext := range []string{"", "x", `{"amount":12}`, strings.Repeat("é\x00", 50_000)} {
		key := NewContentKey()
		kms := must[WrappedKey](t)(key.Wrapped(AlgAWSKMS, testKeyARN, []byte("ciphertext blob")))
		doc := must[[]byte](t)(Encrypt(key, []byte(plaintext), "application/json", testAAD,
			[]WrappedKey{p256.wrap(t, key), kms, x25519.wrap(t, key)}))
		for name, id := range map[string]*ECDHIdentity{"P-256": p256.identity, "X25519": x25519.identity} {
			got, m, err := openWith(t.Context(), doc, testAAD, stranger.identity, id)
			if err != nil || string(got) != plaintext || m.ContentType != "application/json" ||
				!bytes.Equal(m.Binding, testAAD) || m.Commitment == nil {
				t.Errorf("%s: %.40q of %q, %v", name, got, m.ContentType, err)
			}
		}
		_, m, err := openWith(t.Context(), doc, testAAD, stranger.identity)
		wantKind(t, "stranger", err, ErrNotRecipient)
		if w := m.Keys[1]; w.Alg != AlgAWSKMS || w.KeyID != testKeyARN ||
			string(w.EncryptedKey) != "ciphertext blob" {
			t.Errorf("KMS entry %+v", w)
		}
		wantKind(t, "KMS entry", second(p256.identity.Unwrap(t.Context(), &m.Keys[1])), ErrNotRecipient)
	}
}

func second[A, B any](_ A, b B) B { return b }

// The written form is that of the package comment, and is canonical: the signature is made over these very
// bytes.
func TestWrittenForm(t *testing.T) {
	key := must[*ContentKey](t)(ContentKeyFrom(bytes.Repeat([]byte{7}, KeySize)))
	p256, x25519 := newParty(t, "p", ecdh.P256()), newParty(t, "x", ecdh.X25519())
	kms := must[WrappedKey](t)(key.Wrapped(AlgAWSKMS, testKeyARN, []byte("blob")))
	doc := must[[]byte](t)(Encrypt(key, []byte("{}"), `application/x;a="é"`, testAAD,
		[]WrappedKey{p256.wrap(t, key), x25519.wrap(t, key), kms}))
	if !jsontext.Value(doc).IsCanonical() {
		t.Errorf("not canonical: %s", doc)
	}
	var m struct {
		AAD, Ciphertext, IV, Protected, Tag string
		Recipients                          []struct {
			EncryptedKey string `json:"encrypted_key"`
			Header       json.RawMessage
		}
	}
	if err := json.Unmarshal(doc, &m); err != nil {
		t.Fatal(err)
	}
	protected := must[[]byte](t)(base64.RawURLEncoding.DecodeString(m.Protected))
	// The commitment was computed elsewhere: openssl dgst -sha256 -mac HMAC -macopt hexkey:0707...
	const want = `{"cty":"application/x;a=\"é\"","enc":"A256GCM","kc":"` + commitmentOfSevens + `"}`
	if string(protected) != want {
		t.Errorf("protected header %s, want %s", protected, want)
	}
	if got, want := string(m.Recipients[2].Header), `{"alg":"urn:sealbus:jwe:aws-kms","kid":"`+testKeyARN+
		`"}`; got != want {
		t.Errorf("KMS header %s, want %s", got, want)
	}
	for i, members := range []string{`{"alg":"ECDH-ES+A256KW","epk":{"crv":"P-256","kty":"EC","x":"`,
		`{"alg":"ECDH-ES+A256KW","epk":{"crv":"X25519","kty":"OKP","x":"`} {
		if !strings.HasPrefix(string(m.Recipients[i].Header), members) ||
			len(m.Recipients[i].EncryptedKey) != 54 {
			t.Errorf("recipient %d: %+v", i, m.Recipients[i])
		}
	}
	if len(m.IV) != 16 || len(m.Tag) != 22 || len(m.Ciphertext) != 3 {
		t.Errorf("iv %q, tag %q, ciphertext %q", m.IV, m.Tag, m.Ciphertext)
	}
}

// TestPropertyRoundTrip is TestRoundTrip over random shapes, with the exact capacity of what is written.
func TestPropertyRoundTrip(t *testing.T) {
	parties := []party{newParty(t, "a", ecdh.P256()), newParty(t, "b", ecdh.X25519()),
		newParty(t, "c", ecdh.P256()), newParty(t, "d", ecdh.X25519())}
	random := mathrand.New(mathrand.NewPCG(1, 2))
	text := func(n int) []byte {
		b := make([]byte, random.IntN(n))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	seen := map[string]bool{}
	for range 200 {
		key := NewContentKey()
		var to []WrappedKey
		for range 1 + random.IntN(4) {
			to = append(to, parties[random.IntN(len(parties))].wrap(t, key))
		}
		plaintext, aad := text(3000), append([]byte("x"), text(300)...)
		doc := must[[]byte](t)(Encrypt(key, plaintext, "text/plain\n\"", aad, to))
		if cap(doc)-len(doc) > len(doc)/8+64 {
			t.Errorf("capacity %d of %d bytes", cap(doc), len(doc))
		}
		m := must[*Message](t)(Parse(doc))
		i := random.IntN(len(to))
		at := slices.IndexFunc(parties, func(p party) bool { return p.recipient.keyID == m.Keys[i].KeyID })
		again := must[*ContentKey](t)(parties[at].identity.Unwrap(t.Context(), &m.Keys[i]))
		if got := must[[]byte](t)(m.Decrypt(again, aad)); !bytes.Equal(got, plaintext) ||
			m.ContentType != "text/plain\n\"" {
			t.Fatalf("%q is not %q", got, plaintext)
		}
		if w := &m.Keys[i]; w.Digest() != to[i].Digest() {
			t.Error("the digest of an entry that was read is another one")
		}
		if nonce := string(m.sealed[:nonceSize]); seen[nonce] {
			t.Error("a nonce twice")
		} else {
			seen[nonce] = true
		}
	}
}

func TestDigestTellsEntriesApart(t *testing.T) {
	base := WrappedKey{Alg: AlgECDH, KeyID: "k", EncryptedKey: []byte("e"),
		epk: ephemeral{kty: []byte("t"), crv: []byte("c"), x: []byte("x"), y: []byte("y")}, apu: []byte("u"),
		apv: []byte("v")}
	seen := map[[32]byte]int{base.Digest(): -1}
	for i, change := range []func(w *WrappedKey){
		func(w *WrappedKey) { w.Alg = AlgAWSKMS },
		func(w *WrappedKey) { w.KeyID = "l" },
		func(w *WrappedKey) { w.EncryptedKey = []byte("f") },
		func(w *WrappedKey) { w.epk.kty = []byte("s") },
		func(w *WrappedKey) { w.epk.crv = []byte("d") },
		func(w *WrappedKey) { w.epk.x = []byte("z") },
		func(w *WrappedKey) { w.epk.y = []byte("z") },
		func(w *WrappedKey) { w.apu = nil },
		func(w *WrappedKey) { w.apv = []byte("u") },
		func(w *WrappedKey) { w.apu, w.apv = w.apv, w.apu },
		func(w *WrappedKey) { w.KeyID, w.EncryptedKey = "ke", nil },
	} {
		w := base
		change(&w)
		if other, dup := seen[w.Digest()]; dup {
			t.Errorf("changes %d and %d have one digest", i, other)
		}
		seen[w.Digest()] = i
	}
}

func TestEncryptRefuses(t *testing.T) {
	key, other, zeroed := NewContentKey(), NewContentKey(), NewContentKey()
	p := newParty(t, "p", ecdh.X25519())
	to, toZeroed := []WrappedKey{p.wrap(t, key)}, []WrappedKey{p.wrap(t, zeroed)}
	zeroed.Zero()
	for _, c := range []struct {
		name           string
		key            *ContentKey
		plaintext, cty string
		aad            string
		to             []WrappedKey
		want           error
	}{
		{"fine", key, "", "t", "a", to, nil},
		{"no recipient", key, "", "t", "a", nil, ErrNoRecipient},
		{"too many recipients", key, "", "t", "a", slices.Repeat(to, MaxRecipients+1), ErrTooLarge},
		{"as many as are allowed", key, "", "t", "a", slices.Repeat(to, MaxRecipients), nil},
		{"wrapped another key", other, "", "t", "a", to, ErrForeignKey},
		{"one wrapped another key", key, "", "t", "a", []WrappedKey{to[0], p.wrap(t, other)}, ErrForeignKey},
		{"an entry out of nothing", key, "", "t", "a", []WrappedKey{{}}, ErrForeignKey},
		{"zeroed", zeroed, "", "t", "a", toZeroed, ErrKey},
		{"no aad", key, "", "t", "", to, ErrUnbound},
		{"long aad", key, "", "t", strings.Repeat("a", MaxBound+1), to, ErrTooLarge},
		{"longest aad", key, "", "t", strings.Repeat("a", MaxBound), to, nil},
		{"no content type", key, "", "", "a", to, ErrMalformed},
		{"content type not in UTF-8", key, "", "\xff", "a", to, ErrMalformed},
		{"plaintext too long", key, strings.Repeat("x", MaxMessage+1), "t", "a", to, ErrTooLarge},
		{"message too long", key, strings.Repeat("x", MaxMessage/4*3), "t", "a", to, ErrTooLarge},
		{"message long", key, strings.Repeat("x", MaxMessage/4*3-1000), "t", "a", to, nil},
	} {
		doc, err := Encrypt(c.key, []byte(c.plaintext), c.cty, []byte(c.aad), c.to)
		wantKind(t, c.name, err, c.want)
		if err != nil && doc != nil {
			t.Errorf("%s: something came back all the same", c.name)
		}
		if err == nil {
			if _, err := Parse(doc); err != nil {
				t.Errorf("%s: is written and not read: %v", c.name, err)
			}
		}
	}
	wantKind(t, "wrapping a zeroed key", second(p.recipient.Wrap(t.Context(), zeroed)), ErrKey)
	_, err := AppendRecipients(nil, other, to)
	wantKind(t, "recipients of another key", err, ErrForeignKey)
}

func TestWrappedRefuses(t *testing.T) {
	key := NewContentKey()
	for _, c := range []struct {
		name, alg, keyID string
		encryptedKey     int
		want             error
	}{
		{"fine", AlgAWSKMS, "k", 1, nil},
		{"largest", AlgAWSKMS, strings.Repeat("k",
			MaxHeader-len(`{"alg":"urn:sealbus:jwe:aws-kms","kid":""}`)), MaxEncryptedKey, nil},
		{"alg of our own making", AlgECDH, "k", 40, ErrUnsupported},
		{"alg dir", "dir", "k", 1, ErrUnsupported},
		{"no kid", AlgAWSKMS, "", 1, ErrMalformed},
		{"kid not in UTF-8", AlgAWSKMS, "\xff", 1, ErrMalformed},
		{"nothing", AlgAWSKMS, "k", 0, ErrMalformed},
		{"encrypted key too long", AlgAWSKMS, "k", MaxEncryptedKey + 1, ErrTooLarge},
		{"kid too long", AlgAWSKMS, strings.Repeat("k", MaxHeader), 1, ErrTooLarge},
	} {
		w, err := key.Wrapped(c.alg, c.keyID, make([]byte, c.encryptedKey))
		wantKind(t, c.name, err, c.want)
		if err == nil {
			doc := must[[]byte](t)(Encrypt(key, nil, "t", []byte("a"), []WrappedKey{w}))
			wantKind(t, c.name+", read", second(Parse(doc)), nil)
		}
	}
}

func TestRecipientsApart(t *testing.T) {
	key := NewContentKey()
	p, x := newParty(t, "p", ecdh.P256()), newParty(t, "x", ecdh.X25519())
	text := must[[]byte](t)(AppendRecipients([]byte("kept"), key,
		[]WrappedKey{p.wrap(t, key), x.wrap(t, key)}))
	text = bytes.TrimPrefix(text, []byte("kept"))
	if !jsontext.Value(text).IsCanonical() {
		t.Errorf("not canonical: %s", text)
	}
	keys := must[[]WrappedKey](t)(ParseRecipients(text))
	for i, id := range []*ECDHIdentity{p.identity, x.identity} {
		if got := must[*ContentKey](t)(id.Unwrap(t.Context(),
			&keys[i])); got.Commitment() != key.Commitment() {
			t.Errorf("recipient %d has another key", i)
		}
	}
	for doc, want := range map[string]error{
		`[]`: ErrMalformed, `{}`: ErrMalformed, ``: ErrMalformed, string(text) +
			`,`: ErrMalformed, `[{}]`: ErrMalformed,
		`[{"header":{"alg":"RSA-OAEP"},"encrypted_key":"AA"}]`:                       ErrUnsupported,
		strings.Repeat(" ", MaxMessage) + string(text):                               ErrTooLarge,
		`[{"header":{"alg":"ECDH-ES+A256KW","enc":"A256GCM"},"encrypted_key":"AA"}]`: ErrUnsupported,
	} {
		_, err := ParseRecipients([]byte(doc))
		wantKind(t, fmt.Sprintf("%.60s", doc), err, want)
	}
}

func TestContentKey(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789ABCDEF")
	key := must[*ContentKey](t)(ContentKeyFrom(secret))
	clear(secret)
	if got := string(must[[]byte](t)(key.Bytes())); got != "0123456789abcdef0123456789ABCDEF" {
		t.Error("the key shares memory with what it was made of")
	}
	for _, n := range []int{0, 16, 31, 33} {
		wantKind(t, fmt.Sprint(n, " bytes"), second(ContentKeyFrom(bytes.Repeat([]byte{1}, n))), ErrKey)
	}
	wantKind(t, "zeros", second(ContentKeyFrom(make([]byte, KeySize))), ErrKey)

	inside := key.material()
	commitment := key.Commitment()
	key.Zero()
	key.Zero()
	if inside.key != [KeySize]byte{} || inside.aead != nil {
		t.Error("the key is still there after Zero")
	}
	wantKind(t, "Bytes after Zero", second(key.Bytes()), ErrKey)
	if key.Commitment() != commitment || len(commitment) != 43 {
		t.Errorf("commitment %q after Zero, %q before", key.Commitment(), commitment)
	}
	if a, b := NewContentKey(), NewContentKey(); a.Commitment() == b.Commitment() {
		t.Error("two new keys are one")
	}
}

func TestContentKeyIsRedacted(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789ABCDEF")
	key := must[*ContentKey](t)(ContentKeyFrom(secret))
	holder := struct {
		key *ContentKey
		Key *ContentKey
	}{key, key}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "holder", holder)
	out := key.String() + key.GoString() + log.String() + string(must[[]byte](t)(json.Marshal(holder)))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		out += fmt.Sprintf(verb, key) + fmt.Sprintf(verb, holder) + fmt.Sprintf(verb, &holder)
	}
	for _, form := range []string{string(secret), hex.EncodeToString(secret),
		strings.ToUpper(hex.EncodeToString(secret)),
		base64.StdEncoding.EncodeToString(secret)[:40], strings.Trim(fmt.Sprint(secret[:8]), "[]"),
		fmt.Sprintf("%#v", secret[:4])[6:20]} {
		if strings.Contains(out, form) {
			t.Errorf("the key is told, as %q", form)
		}
	}
	if !strings.Contains(out, "redacted") {
		t.Error("nothing says that it is redacted")
	}
}

// A key that is dropped while others use it either serves or says that it was zeroed. Run with -race.
func TestZeroWhileInUse(t *testing.T) {
	p := newParty(t, "p", ecdh.X25519())
	key := NewContentKey()
	to := []WrappedKey{p.wrap(t, key)}
	m := must[*Message](t)(Parse(must[[]byte](t)(Encrypt(key, []byte("plain"), "t", testAAD, to))))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if got, err := m.Decrypt(key, testAAD); err == nil && string(got) != "plain" || err != nil &&
					!errors.Is(err, ErrKey) {
					t.Errorf("%q, %v", got, err)
				}
				if _, err := Encrypt(key, nil, "t", testAAD, to); err != nil && !errors.Is(err, ErrKey) {
					t.Error(err)
				}
				if _, err := p.recipient.Wrap(t.Context(), key); err != nil && !errors.Is(err, ErrKey) {
					t.Error(err)
				}
			}
		})
	}
	key.Zero()
	all.Wait()
	wantKind(t, "decrypting after Zero", second(m.Decrypt(key, testAAD)), ErrKey)
}
