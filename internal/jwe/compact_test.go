package jwe

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

var testContext = []byte(`{"id":"1","pointer":"/card/number","producer":"orders","source":"https://orders.example/eu","type":"com.example.placed"}`)

func TestCompactRoundTrip(t *testing.T) {
	key := NewContentKey()
	for _, value := range []string{"1", "true", `""`, `" "`, `"é"`, strings.Repeat("1", 31),
		strings.Repeat("1", 32), strings.Repeat("1", 33),
		`{"a":[" "]}`, `"` + strings.Repeat("x", 100_000) + `"`} {
		field := must[[]byte](t)(EncryptCompact(key, []byte(value), testContext))
		c := must[*Message](t)(ParseCompact(field))
		got, err := c.Decrypt(key, testContext)
		if err != nil || string(got) != value || string(c.Commitment) != key.Commitment() ||
			!bytes.Equal(c.Binding, testContext) {
			t.Errorf("%.40s: %.40s, %v", value, got, err)
		}
	}
}

// The header is the one of SPEC, section 15.1, and canonical. Short values are all of one length.
func TestCompactWrittenForm(t *testing.T) {
	key := must[*ContentKey](t)(ContentKeyFrom(bytes.Repeat([]byte{7}, KeySize)))
	length := map[int]bool{}
	for _, value := range []string{"1", "false", `"` + strings.Repeat("x", 30) + `"`} {
		field := string(must[[]byte](t)(EncryptCompact(key, []byte(value), []byte(`{}`))))
		parts := strings.Split(field, ".")
		header := must[[]byte](t)(base64.RawURLEncoding.DecodeString(parts[0]))
		if want := `{"alg":"dir","ctx":"e30","enc":"A256GCM","kid":"` + commitmentOfSevens +
			`"}`; string(header) != want {
			t.Errorf("header %s, want %s", header, want)
		}
		if len(parts) != 5 || parts[1] != "" || len(parts[2]) != 16 || len(parts[4]) != 22 {
			t.Errorf("parts %q", parts)
		}
		length[len(field)] = true
	}
	if len(length) != 1 {
		t.Errorf("lengths %v tell a short value from another", length)
	}
}

func TestEncryptCompactRefuses(t *testing.T) {
	key, zeroed := NewContentKey(), NewContentKey()
	zeroed.Zero()
	for _, c := range []struct {
		name           string
		key            *ContentKey
		value, context string
		want           error
	}{
		{"fine", key, "1", "c", nil},
		{"nothing", key, "", "c", ErrMalformed},
		{"trailing space", key, "1 ", "c", ErrMalformed},
		{"leading line break", key, "\n1", "c", ErrMalformed},
		{"no context", key, "1", "", ErrUnbound},
		{"long context", key, "1", strings.Repeat("c", MaxBound+1), ErrTooLarge},
		{"longest context", key, "1", strings.Repeat("c", MaxBound), nil},
		{"long value", key, strings.Repeat("1", MaxMessage+1), "c", ErrTooLarge},
		{"long message", key, strings.Repeat("1", MaxMessage/4*3), "c", ErrTooLarge},
		{"zeroed", zeroed, "1", "c", ErrKey},
	} {
		field, err := EncryptCompact(c.key, []byte(c.value), []byte(c.context))
		wantKind(t, c.name, err, c.want)
		if err != nil && field != nil {
			t.Errorf("%s: something came back all the same", c.name)
		}
		if err == nil {
			if _, err := ParseCompact(field); err != nil {
				t.Errorf("%s: is written and not read: %v", c.name, err)
			}
		}
	}
}

// compactOf is a field with that header, IV, ciphertext and tag, as texts.
func compactOf(header, iv, ciphertext, tag string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".." + iv + "." + ciphertext + "." + tag
}

func TestParseCompactRefuses(t *testing.T) {
	const iv, tag = "AAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA"
	block := strings.Repeat("A", 43) // 32 bytes
	kid := `"kid":"` + goodKC + `"`
	header := `{"alg":"dir","ctx":"e30","enc":"A256GCM",` + kid + `}`
	good := compactOf(header, iv, block, tag)
	of := func(header string) string { return compactOf(header, iv, block, tag) }
	for _, c := range []struct {
		name, doc string
		want      error
	}{
		{"good", good, nil},
		{"empty", "", ErrMalformed},
		{"four parts", strings.TrimSuffix(good, "."+tag), ErrMalformed},
		{"six parts", good + ".", ErrMalformed},
		{"dots only", "....", ErrMalformed},
		{"white space", good + " ", ErrMalformed},
		{"an encrypted key", strings.Replace(good, "..", ".AAAA.", 1), ErrMalformed},
		{"iv short", compactOf(header, iv[1:], block, tag), ErrMalformed},
		{"iv of 16 bytes", compactOf(header, tag, block, tag), ErrMalformed},
		{"tag short", compactOf(header, iv, block, tag[2:]), ErrMalformed},
		{"tag with trailing bits", compactOf(header, iv, block, tag[1:]+"B"), ErrMalformed},
		{"no ciphertext", compactOf(header, iv, "", tag), ErrMalformed},
		{"33 bytes", compactOf(header, iv, block+"A", tag), ErrMalformed},
		{"31 bytes", compactOf(header, iv, block[2:], tag), ErrMalformed},
		{"64 bytes", compactOf(header, iv, strings.Repeat("A", 86), tag), nil},
		{"ciphertext padded", compactOf(header, iv, block+"=", tag), ErrMalformed},
		{"ciphertext with a line break", compactOf(header, iv, block+"\n", tag), ErrMalformed},
		{"alg A256KW", of(`{"alg":"A256KW","ctx":"e30","enc":"A256GCM",` + kid + `}`), ErrUnsupported},
		{"alg ECDH-ES+A256KW", of(`{"alg":"ECDH-ES+A256KW","ctx":"e30","enc":"A256GCM",` + kid + `}`),
			ErrUnsupported},
		{"no alg", of(`{"ctx":"e30","enc":"A256GCM",` + kid + `}`), ErrUnsupported},
		{"no enc", of(`{"alg":"dir","ctx":"e30",` + kid + `}`), ErrUnsupported},
		{"enc A128GCM", of(`{"alg":"dir","ctx":"e30","enc":"A128GCM",` + kid + `}`), ErrUnsupported},
		{"crit", of(`{"alg":"dir","crit":["ctx"],"ctx":"e30","enc":"A256GCM",` + kid + `}`), ErrUnsupported},
		{"zip", of(`{"alg":"dir","ctx":"e30","enc":"A256GCM","zip":"DEF",` + kid + `}`), ErrUnsupported},
		{"no kid", of(`{"alg":"dir","ctx":"e30","enc":"A256GCM"}`), ErrMalformed},
		{"kid of another kind", of(`{"alg":"dir","ctx":"e30","enc":"A256GCM","kid":"k"}`), ErrMalformed},
		{"duplicate kid", of(`{"alg":"dir","ctx":"e30","enc":"A256GCM",` + kid + `,` + kid + `}`),
			ErrMalformed},
		{"ctx not base64", of(`{"alg":"dir","ctx":"{}","enc":"A256GCM",` + kid + `}`), ErrMalformed},
		{"ctx an object", of(`{"alg":"dir","ctx":{},"enc":"A256GCM",` + kid + `}`), ErrMalformed},
		{"unknown", of(`{"alg":"dir","ctx":"e30","enc":"A256GCM","x":1,` + kid + `}`), nil},
		{"white space in the header", of(`{ "alg":"dir","ctx":"e30","enc":"A256GCM",` + kid + `}`), nil},
		{"header not JSON", of(`x`), ErrMalformed},
		{"header padded", "=" + good, ErrMalformed},
		{"ctx too long", of(`{"alg":"dir","ctx":"` + strings.Repeat("A", MaxBound*4/3+4) +
			`","enc":"A256GCM",` + kid + `}`), ErrTooLarge},
		{"header too long", of(`{"x":"` + strings.Repeat("A", MaxProtected) + `"}`), ErrTooLarge},
		{"too long", strings.Repeat("A", MaxMessage+1), ErrTooLarge},
		{"longest nonsense", strings.Repeat(".", MaxMessage), ErrMalformed},
		{"JSON", goodTemplate().String(), ErrMalformed},
	} {
		got, err := ParseCompact([]byte(c.doc))
		wantKind(t, c.name, err, c.want)
		if (got == nil) != (err != nil) {
			t.Errorf("%s: a field beside an error, or neither", c.name)
		}
	}
}

func TestDecryptCompactRefuses(t *testing.T) {
	key, other, zeroed := NewContentKey(), NewContentKey(),
		must[*ContentKey](t)(ContentKeyFrom(bytes.Repeat([]byte{7}, KeySize)))
	good := string(must[[]byte](t)(EncryptCompact(key, []byte("1"), testContext)))
	ofZeroed := string(must[[]byte](t)(EncryptCompact(zeroed, []byte("1"), testContext)))
	zeroed.Zero()
	unbound := compactAgain(t, key, `{"alg":"dir","enc":"A256GCM","kid":"`+key.Commitment()+`"}`, "1"+
		strings.Repeat(" ", 31))
	empty := compactAgain(t, key, `{"alg":"dir","ctx":"","enc":"A256GCM","kid":"`+key.Commitment()+`"}`, "1"+
		strings.Repeat(" ", 31))
	with := func(plaintext string) string { return compactAgain(t, key, headerOfCompact(key), plaintext) }
	for _, c := range []struct {
		name, doc string
		key       *ContentKey
		context   string
		want      error
	}{
		{"good", good, key, string(testContext), nil},
		{"another field", good, key, strings.Replace(string(testContext), "number", "holder", 1), ErrBinding},
		{"no field", good, key, "", ErrBinding},
		{"another key", good, other, string(testContext), ErrCommitment},
		{"zeroed", ofZeroed, zeroed, string(testContext), ErrKey},
		{"unbound", unbound, key, "", ErrUnbound},
		{"bound to nothing", empty, key, "", ErrUnbound},
		{"padded as we do", with("1" + strings.Repeat(" ", 31)), key, string(testContext), nil},
		{"padded too far", with("1" + strings.Repeat(" ", 63)), key, string(testContext), ErrMalformed},
		{"only padding", with(strings.Repeat(" ", 32)), key, string(testContext), ErrMalformed},
		{"padded in front", with(strings.Repeat(" ", 31) + "1"), key, string(testContext), ErrMalformed},
		{"padded with tabs", with("1" + strings.Repeat("\t", 31)), key, string(testContext), ErrMalformed},
		{"under another key", compactAgain(t, other, headerOfCompact(key), "1"+strings.Repeat(" ", 31)), key,
			string(testContext), ErrDecrypt},
	} {
		got, err := must[*Message](t)(ParseCompact([]byte(c.doc))).Decrypt(c.key, []byte(c.context))
		wantKind(t, c.name, err, c.want)
		if (err == nil) != (string(got) == "1") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func headerOfCompact(key *ContentKey) string {
	return `{"alg":"dir","ctx":"` + string(encode(testContext)) + `","enc":"A256GCM","kid":"` +
		key.Commitment() + `"}`
}

// compactAgain is a field with that header and plaintext, sealed under that key.
func compactAgain(t testing.TB, key *ContentKey, header, plaintext string) string {
	t.Helper()
	aead, err := key.cipher()
	if err != nil {
		t.Fatal(err)
	}
	bound := encode([]byte(header))
	nonce, ciphertext, tag := split(aead.Seal(nil, nil, []byte(plaintext), bound))
	return fmt.Sprintf("%s..%s.%s.%s", bound, encode(nonce), encode(ciphertext), encode(tag))
}
