package jwe

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// commitmentOfSevens is what OpenSSL makes of the label under 32 bytes of 7.
const commitmentOfSevens = "i20tAqMz4LYfkNpCVcwSY34_COpDRKRP1a6a3-dMUKw"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	return must[[]byte](t)(hex.DecodeString(s))
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	return must[[]byte](t)(base64.RawURLEncoding.DecodeString(s))
}

// The vectors of RFC 3394 section 4.
func TestKeyWrapOfRFC3394(t *testing.T) {
	const kek, data = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
		"00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"
	for _, v := range []struct {
		section        string
		kekLen, keyLen int
		wrapped        string
	}{
		{"4.1", 16, 16, "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{"4.2", 24, 16, "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D"},
		{"4.3", 32, 16, "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"},
		{"4.4", 24, 24, "031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2"},
		{"4.5", 32, 24, "A8F9BC1612C68B3FF6E6F4FBE30E71E4769C8B80A32CB8958CD5D17D6B254DA1"},
		{"4.6", 32, 32, "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	} {
		kek, key, wrapped := unhex(t, kek)[:v.kekLen], unhex(t, data)[:v.keyLen], unhex(t, v.wrapped)
		if got := wrapKey(kek, key); !bytes.Equal(got, wrapped) {
			t.Errorf("%s: wrapped to %x", v.section, got)
		}
		if got := unwrapKey(kek, wrapped); !bytes.Equal(got, key) {
			t.Errorf("%s: unwrapped to %x", v.section, got)
		}
		for i := range len(wrapped) * 8 {
			changed := bytes.Clone(wrapped)
			changed[i/8] ^= 1 << (i % 8)
			if unwrapKey(kek, changed) != nil {
				t.Errorf("%s: unwrapped although bit %d was changed", v.section, i)
			}
		}
		for n := range len(wrapped) {
			if unwrapKey(kek, wrapped[:n]) != nil {
				t.Errorf("%s: unwrapped the first %d bytes", v.section, n)
			}
		}
	}
}

// The example of RFC 7518 appendix C: Alice is the ephemeral key, Bob the recipient.
func TestConcatKDFOfRFC7518(t *testing.T) {
	bob := must[*ecdh.PrivateKey](t)(ecdh.P256().NewPrivateKey(unbase64(t,
		"VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw")))
	epk := ephemeral{kty: []byte("EC"), crv: []byte("P-256"),
		x: []byte("gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0"),
		y: []byte("SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps")}
	alice := must[*ecdh.PublicKey](t)(epk.publicKey(ecdh.P256()))
	z := must[[]byte](t)(bob.ECDH(alice))
	if want := "9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4"; hex.EncodeToString(z) != want {
		t.Errorf("Z is %x", z)
	}
	if got := encode(concatKDF(z, "A128GCM", []byte("Alice"), []byte("Bob"),
		16)); string(got) != "VqqN6vgjbSBcIijNcacQGg" {
		t.Errorf("derived %s", got)
	}
}

// The example of RFC 8037 appendix A.6, whose keys are those of RFC 7748 section 6.1.
func TestX25519OfRFC8037(t *testing.T) {
	bob := must[*ecdh.PrivateKey](t)(ecdh.X25519().NewPrivateKey(unhex(t,
		"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")))
	epk := ephemeral{kty: []byte("OKP"), crv: []byte("X25519"),
		x: []byte("hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo")}
	z := must[[]byte](t)(bob.ECDH(must[*ecdh.PublicKey](t)(epk.publicKey(ecdh.X25519()))))
	if want := "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"; hex.EncodeToString(z) != want {
		t.Errorf("Z is %x", z)
	}
	if got := encode(bob.PublicKey().Bytes()); string(got) != "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08" {
		t.Errorf("Bob's public key is %s", got)
	}
}

// The example of RFC 7516 appendix A.4.7, white space and all. Its enc is not ours, nor is any of its
// algorithms: it is refused for that, and for nothing in its shape.
func TestShapeOfRFC7516(t *testing.T) {
	const enc, rsa, tag = `eyJlbmMiOiJBMTI4Q0JDLUhTMjU2In0`, `{"alg":"RSA1_5","kid":"2011-04-29"}`,
		`Mz-VPPyU4RlcuYv1IwIvzw`
	example := `{
      "protected":
       "` + enc + `",
      "unprotected":
       {"jku":"https://server.example.com/keys.jwks"},
      "recipients":[
       {"header":
         ` + rsa + `,
        "encrypted_key":
         "UGhIOguC7IuEvf_NPVaXsGMoLOmwvc1GyqlIKOK1nN94nHPoltGRhWhw7Zx0-kFm1NJn8LE9XShH59_i8J0PH5ZZyNfGy2xGdULU7sHNF6Gp2vPLgNZ__deLKxGHZ7PcHALUzoOegEI-8E66jX2E4zyJKx-YxzZIItRzC5hlRirb6Y5Cl_p-ko3YvkkysZIFNPccxRU7qve1WYPxqbb2Yw8kZqa2rMWI5ng8OtvzlV7elprCbuPhcCdZ6XDP0_F8rkXds2vE4X-ncOIM8hAYHHi29NX0mcKiRaD0-D-ljQTP-cFPgwCp6X-nZZd9OHBv-B3oWh2TbqmScqXMR4gp_A"},
       {"header":
         {"alg":"A128KW","kid":"7"},
        "encrypted_key":
         "6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ"}],
      "iv":
       "AxY8DCtDaGlsbGljb3RoZQ",
      "ciphertext":
       "KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY",
      "tag":
       "` + tag + `"
     }`
	// With our content encryption and its sizes, no recipient is of ours. With one of ours, it is a message.
	ours := strings.NewReplacer(enc, string(encode([]byte(`{"enc":"A256GCM"}`))), "AxY8DCtDaGlsbGljb3RoZQ",
		"AxY8DCtDaGlsbGlj").Replace(example)
	kms := strings.Replace(ours, rsa, `{"alg":"`+AlgAWSKMS+`","kid":"2011-04-29"}`, 1)
	for _, c := range []struct {
		name, doc string
		want      error
	}{{"A.4.7", strings.Replace(example, "AxY8DCtDaGlsbGljb3RoZQ", "AxY8DCtDaGlsbGlj", 1), ErrUnsupported},
		{"its iv", example, ErrMalformed}, {"A256GCM", ours, ErrUnsupported},
		{"a recipient of ours", kms, nil}} {
		wantKind(t, c.name, second(Parse([]byte(c.doc))), c.want)
	}
	m := must[*Message](t)(Parse([]byte(kms)))
	if len(m.Keys) != 2 || m.Keys[0].KeyID != "2011-04-29" || len(m.Keys[0].EncryptedKey) != 256 ||
		m.Keys[1].Alg != "A128KW" || len(m.Binding) != 0 || m.Commitment != nil {
		t.Errorf("read %+v", m)
	}
	if got := encode(m.sealed[len(m.sealed)-tagSize:]); string(got) != tag {
		t.Errorf("tag %s", got)
	}
}

// lowOrder are the points of X25519 of small order (RFC 7748 section 6.1): whatever the private key, the
// agreement is all zeros.
var lowOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func TestLowOrderIsRefused(t *testing.T) {
	p := newParty(t, "x", ecdh.X25519())
	zeros := func(context.Context, *ecdh.PublicKey) ([]byte, error) { return make([]byte, 32), nil }
	remote := must[*ECDHIdentity](t)(NewRemoteIdentity("x", ecdh.X25519(), zeros))
	refusing := must[*ECDHIdentity](t)(NewRemoteIdentity("x", ecdh.X25519(),
		func(context.Context, *ecdh.PublicKey) ([]byte, error) {
			return nil, errors.New("refused, says the service")
		}))
	for _, point := range lowOrder {
		w := WrappedKey{Alg: AlgECDH, KeyID: "x", EncryptedKey: make([]byte, wrappedSize),
			epk: ephemeral{kty: []byte("OKP"), crv: []byte("X25519"), x: encode(unhex(t, point))}}
		wantKind(t, "epk "+point, second(p.identity.Unwrap(t.Context(), &w)), ErrUnwrap)
		wantKind(t, "remote, epk "+point, second(remote.Unwrap(t.Context(), &w)), ErrUnwrap)
		wantKind(t, "remote that says so, epk "+point, second(refusing.Unwrap(t.Context(), &w)), ErrUnwrap)
		recipient := must[*ECDHRecipient](t)(NewECDHRecipient("x",
			must[*ecdh.PublicKey](t)(ecdh.X25519().NewPublicKey(unhex(t, point)))))
		wantKind(t, "recipient "+point, second(recipient.Wrap(t.Context(), NewContentKey())), ErrKey)
	}
}

// An invalid epk is refused before the private key is used.
func TestEphemeralKeysAreChecked(t *testing.T) {
	const x, y = "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0", "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"
	zero := string(encode(make([]byte, 32)))
	for _, c := range []struct {
		name, kty, crv, x, y string
		want                 error
	}{
		{"on the curve", "EC", "P-256", x, y, nil},
		{"not on the curve", "EC", "P-256", y, x, ErrMalformed},
		{"the origin", "EC", "P-256", zero, zero, ErrMalformed},
		{"x is not reduced", "EC", "P-256", string(encode(bytes.Repeat([]byte{0xff}, 32))), y, ErrMalformed},
		{"x short", "EC", "P-256", x[:42], y, ErrMalformed},
		{"x long", "EC", "P-256", "AA" + x, y, ErrMalformed},
		{"no x", "EC", "P-256", "", y, ErrMalformed},
		{"no y", "EC", "P-256", x, "", ErrMalformed},
		{"x padded", "EC", "P-256", x + "=", y, ErrMalformed},
		{"x with trailing bits", "EC", "P-256", x[:42] + "1", y, ErrMalformed},
		{"x with a line break", "EC", "P-256", x[:4] + "\n" + x[4:], y, ErrMalformed},
		{"wrong kty", "OKP", "P-256", x, y, ErrMalformed},
		{"no kty", "", "P-256", x, y, ErrMalformed},
		{"wrong curve", "EC", "P-384", x, y, ErrNotRecipient},
		{"the other curve", "OKP", "X25519", x, y, ErrNotRecipient},
	} {
		used := errors.New("the private key was used")
		id := must[*ECDHIdentity](t)(NewRemoteIdentity("k", ecdh.P256(),
			func(context.Context, *ecdh.PublicKey) ([]byte, error) { return nil, used }))
		w := WrappedKey{Alg: AlgECDH, EncryptedKey: make([]byte, wrappedSize),
			epk: ephemeral{[]byte(c.kty), []byte(c.crv), []byte(c.x), []byte(c.y)}}
		_, err := id.Unwrap(t.Context(), &w)
		if got := errors.Is(err, used); got != (c.want == nil) {
			t.Errorf("%s: private key used %v", c.name, got)
		}
		if c.want != nil {
			wantKind(t, c.name, err, c.want)
		}
	}
}

// An identity tries what is for its own key: never what a header would have it try.
func TestTakes(t *testing.T) {
	p, x := newParty(t, "p", ecdh.P256()), newParty(t, "x", ecdh.X25519())
	entry := func(alg, kid, crv string) *WrappedKey {
		return &WrappedKey{Alg: alg, KeyID: kid, epk: ephemeral{crv: []byte(crv)}}
	}
	for _, c := range []struct {
		w      *WrappedKey
		p256   bool
		x25519 bool
	}{
		{entry(AlgECDH, "p", "P-256"), true, false},
		{entry(AlgECDH, "x", "X25519"), false, true},
		{entry(AlgECDH, "", "P-256"), true, false},
		{entry(AlgECDH, "", "X25519"), false, true},
		{entry(AlgECDH, "x", "P-256"), false, false},
		{entry(AlgECDH, "p", "X25519"), false, false},
		{entry(AlgECDH, "P", "P-256"), false, false},
		{entry(AlgECDH, "p", "p-256"), false, false},
		{entry(AlgECDH, "p", ""), false, false},
		{entry("ECDH-ES", "p", "P-256"), false, false},
		{entry("ECDH-ES+A128KW", "p", "P-256"), false, false},
		{entry("dir", "p", "P-256"), false, false},
		{entry(AlgAWSKMS, "p", "P-256"), false, false},
	} {
		if p.identity.Takes(c.w) != c.p256 || x.identity.Takes(c.w) != c.x25519 {
			t.Errorf("%s %q on %s: P-256 %v, X25519 %v", c.w.Alg, c.w.KeyID, c.w.epk.crv,
				p.identity.Takes(c.w), x.identity.Takes(c.w))
		}
	}
}

func TestRemoteIdentity(t *testing.T) {
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.X25519()} {
		p := newParty(t, "k", curve)
		key := NewContentKey()
		w := p.wrap(t, key)
		throttled := errors.New("throttled")
		type ctxKey struct{}
		ctx := context.WithValue(t.Context(), ctxKey{}, "passed on")
		for _, c := range []struct {
			name  string
			agree Agree
			want  error
		}{
			{"answers", func(ctx context.Context, epk *ecdh.PublicKey) ([]byte, error) {
				if ctx.Value(ctxKey{}) != "passed on" {
					return nil, errors.New("another context")
				}
				return p.private.ECDH(epk)
			}, nil},
			{"fails", func(context.Context, *ecdh.PublicKey) ([]byte, error) { return nil, throttled },
				throttled},
			{"short", func(context.Context, *ecdh.PublicKey) ([]byte, error) { return make([]byte, 31), nil },
				ErrUnwrap},
			{"other", func(context.Context, *ecdh.PublicKey) ([]byte, error) { return bytes.Repeat([]byte{1}, 32), nil }, ErrUnwrap},
		} {
			id := must[*ECDHIdentity](t)(NewRemoteIdentity("k", curve, c.agree))
			got, err := id.Unwrap(ctx, &w)
			if !errors.Is(err, c.want) || (err == nil) != (got != nil) || c.want == throttled &&
				IsForAnother(err) {
				t.Errorf("%s: %v", c.name, err)
			}
			if err == nil && got.Commitment() != key.Commitment() {
				t.Errorf("%s: another key", c.name)
			}
		}
	}
}

func TestKeysOfOtherCurves(t *testing.T) {
	p384 := must[*ecdh.PrivateKey](t)(ecdh.P384().GenerateKey(nil))
	agree := func(context.Context, *ecdh.PublicKey) ([]byte, error) { return nil, nil }
	wantKind(t, "recipient", second(NewECDHRecipient("k", p384.PublicKey())), ErrKey)
	wantKind(t, "no recipient", second(NewECDHRecipient("k", nil)), ErrKey)
	wantKind(t, "identity", second(NewECDHIdentity("k", p384)), ErrKey)
	wantKind(t, "no identity", second(NewECDHIdentity("k", nil)), ErrKey)
	wantKind(t, "remote", second(NewRemoteIdentity("k", ecdh.P521(), agree)), ErrKey)
	wantKind(t, "remote without curve", second(NewRemoteIdentity("k", nil, agree)), ErrKey)
	wantKind(t, "remote without agreement", second(NewRemoteIdentity("k", ecdh.P256(), nil)), ErrKey)
	nameless := must[*ECDHRecipient](t)(NewECDHRecipient("",
		newParty(t, "k", ecdh.P256()).private.PublicKey()))
	wantKind(t, "without ID", second(nameless.Wrap(t.Context(), NewContentKey())), ErrMalformed)
}

// apu and apv of other libraries go into the key (RFC 7518 section 4.6.2).
func TestPartyInfo(t *testing.T) {
	p := newParty(t, "k", ecdh.P256())
	key := NewContentKey()
	ephemeralKey := newParty(t, "", ecdh.P256()).private
	z := must[[]byte](t)(ephemeralKey.ECDH(p.private.PublicKey()))
	w := WrappedKey{Alg: AlgECDH, EncryptedKey: wrapKey(concatKDF(z, AlgECDH, []byte("Alice"), []byte("Bob"),
		KeySize), must[[]byte](t)(key.Bytes()))}
	w.setEphemeral(ephemeralKey.PublicKey())
	for _, c := range []struct {
		apu, apv string
		want     error
	}{{"Alice", "Bob", nil}, {"", "", ErrUnwrap}, {"Bob", "Alice", ErrUnwrap}, {"Alice", "", ErrUnwrap},
		{"AliceBob", "", ErrUnwrap}} {
		w.apu, w.apv = []byte(c.apu), []byte(c.apv)
		_, err := p.identity.Unwrap(t.Context(), &w)
		wantKind(t, c.apu+" "+c.apv, err, c.want)
	}
}
