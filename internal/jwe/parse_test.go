package jwe

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// template is a message in pieces, as texts, each of which a test may change.
type template struct {
	protected  string // JSON
	recipients []string
	members    []string // of the message: %P is the protected header's text, %R the recipients
}

const (
	goodEPK    = `{"kty":"EC","crv":"P-256","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}`
	goodHeader = `{"alg":"ECDH-ES+A256KW","kid":"p","epk":` + goodEPK + `}`
)

var (
	goodKey       = strings.Repeat("A", 54)
	goodKC        = strings.Repeat("A", 43)
	goodRecipient = `{"header":` + goodHeader + `,"encrypted_key":"` + goodKey + `"}`
)

func goodTemplate() template {
	return template{
		protected:  `{"cty":"application/json","enc":"A256GCM","kc":"` + goodKC + `"}`,
		recipients: []string{goodRecipient},
		members: []string{`"protected":"%P"`, `"recipients":%R`, `"aad":"e30"`, `"iv":"AAAAAAAAAAAAAAAA"`,
			`"ciphertext":"AAAA"`,
			`"tag":"AAAAAAAAAAAAAAAAAAAAAA"`},
	}
}

func (m template) String() string {
	return strings.NewReplacer("%P", base64.RawURLEncoding.EncodeToString([]byte(m.protected)), "%R", "["+
		strings.Join(m.recipients, ",")+"]").
		Replace("{" + strings.Join(m.members, ",") + "}")
}

// set replaces a member of the message, or removes it.
func (m *template) set(name, value string) {
	i := slices.IndexFunc(m.members, func(s string) bool { return strings.HasPrefix(s, `"`+name+`":`) })
	switch {
	case i < 0:
		m.members = append(m.members, `"`+name+`":`+value)
	case value == "":
		m.members = slices.Delete(m.members, i, i+1)
	default:
		m.members[i] = `"` + name + `":` + value
	}
}

// change is one change to the good message and what Parse says of it.
type change struct {
	name string
	want error
	do   func(m *template)
}

func member(name, value string) func(m *template) { return func(m *template) { m.set(name, value) } }

func protected(header string) func(m *template) { return func(m *template) { m.protected = header } }

func headerOf(header string) func(m *template) {
	return func(m *template) {
		m.recipients[0] = `{"header":` + header + `,"encrypted_key":"` + goodKey + `"}`
	}
}

func recipients(list ...string) func(m *template) { return func(m *template) { m.recipients = list } }

func both(a, b func(m *template)) func(m *template) { return func(m *template) { a(m); b(m) } }

const protectedEnc = `"enc":"A256GCM"`

// many are n unknown parameters.
func many(n int, prefix string) string {
	var s []string
	for i := range n {
		s = append(s, fmt.Sprintf(`"%s%d":1`, prefix, i))
	}
	return strings.Join(s, ",")
}

func changes() []change {
	return slices.Concat([]change{{"nothing", nil, func(*template) {}}}, shapes(), duplicates(), lengths(),
		foreign(), flattenedOnes(), limits())
}

func shapes() []change {
	return []change{
		{"no protected", ErrUnsupported, member("protected", "")},
		{"no iv", ErrMalformed, member("iv", "")},
		{"no ciphertext", ErrMalformed, member("ciphertext", "")},
		{"no tag", ErrMalformed, member("tag", "")},
		{"no aad", nil, member("aad", "")},
		{"no recipients", ErrMalformed, member("recipients", "")},
		{"empty recipients", ErrMalformed, recipients()},
		{"empty ciphertext", nil, member("ciphertext", `""`)},
		{"empty protected", ErrMalformed, member("protected", `""`)},
		{"empty aad", ErrMalformed, member("aad", `""`)},
		{"recipients an object", ErrMalformed, member("recipients", goodRecipient)},
		{"recipients null", ErrMalformed, member("recipients", "null")},
		{"a recipient a string", ErrMalformed, recipients(`"x"`)},
		{"a recipient null", ErrMalformed, recipients(goodRecipient, `null`)},
		{"protected an object", ErrMalformed, member("protected", `{"enc":"A256GCM"}`)},
		{"protected an array inside", ErrMalformed, protected(`["enc"]`)},
		{"protected with bytes after it", ErrMalformed, protected(`{"enc":"A256GCM"} x`)},
		{"protected not JSON", ErrMalformed, protected(`x`)},
		{"ciphertext null", ErrMalformed, member("ciphertext", "null")},
		{"tag a number", ErrMalformed, member("tag", "1")},
		{"aad null", ErrMalformed, member("aad", "null")},
		{"unprotected null", ErrMalformed, member("unprotected", "null")},
		{"header null", ErrMalformed, headerOf("null")},
		{"both recipients and header", ErrMalformed, member("header", "{}")},
		{"encrypted_key beside recipients", nil, member("encrypted_key", `"AAAA"`)},
		{"unknown member", nil, member("x", `[{"y":null}]`)},
		{"unknown member of a recipient", nil, recipients(`{"x":1,` + goodRecipient[1:])},
		{"empty unprotected", nil, member("unprotected", `{}`)},
		{"unknown unprotected", nil, member("unprotected", `{"jku":"https://example.com"}`)},
		{"unknown protected", nil, protected(`{"enc":"A256GCM","typ":"JOSE","x":{"y":[1]}}`)},
		{"a member in other case", ErrMalformed, func(m *template) { m.set("tag", ""); m.set("Tag", `"AAAAAAAAAAAAAAAAAAAAAA"`) }},
	}
}

func duplicates() []change {
	return []change{
		{"duplicate tag", ErrMalformed, func(m *template) { m.members = append(m.members, `"tag":"AAAAAAAAAAAAAAAAAAAAAA"`) }},
		{"duplicate tag by escape", ErrMalformed, func(m *template) { m.members = append(m.members, `"t\u0061g":"AAAAAAAAAAAAAAAAAAAAAA"`) }},
		{"duplicate in what is ignored", ErrMalformed, member("x", `{"a":1,"a":1}`)},
		{"duplicate enc", ErrMalformed, protected(`{"enc":"A256GCM","enc":"A256GCM"}`)},
		{"duplicate alg", ErrMalformed, headerOf(`{"alg":"ECDH-ES+A256KW",` + goodHeader[1:])},
		{"duplicate in epk", ErrMalformed,
			headerOf(`{"alg":"ECDH-ES+A256KW","epk":{"crv":"P-256","crv":"P-256"}}`)},
		{"duplicate in unprotected", ErrMalformed, member("unprotected", `{"x":1,"x":1}`)},
		{"duplicate encrypted_key", ErrMalformed, recipients(`{"encrypted_key":"` + goodKey + `",` +
			goodRecipient[1:])},
		{"alg protected, too", ErrMalformed, protected(`{"enc":"A256GCM","alg":"ECDH-ES+A256KW"}`)},
		{"kid unprotected, too", ErrMalformed, member("unprotected", `{"kid":"p"}`)},
		{"an unknown one protected and unprotected", ErrMalformed,
			both(protected(`{"enc":"A256GCM","x":1}`), member("unprotected", `{"x":1}`))},
		{"an unknown one unprotected and of a recipient", ErrMalformed,
			both(member("unprotected", `{"x":1}`), headerOf(`{"x":1,`+goodHeader[1:]))},
		{"an unknown one of two recipients", nil, recipients(`{"header":{"x":1,`+goodHeader[1:]+
			`,"encrypted_key":"`+goodKey+`"}`, `{"header":{"x":1,`+goodHeader[1:]+`,"encrypted_key":"`+
			goodKey+`"}`)},
	}
}

func lengths() []change {
	return []change{
		{"iv short", ErrMalformed, member("iv", `"AAAAAAAAAAAAAAA"`)},
		{"iv of 16 bytes", ErrMalformed, member("iv", `"AAAAAAAAAAAAAAAAAAAAAA"`)},
		{"iv empty", ErrMalformed, member("iv", `""`)},
		{"tag short", ErrMalformed, member("tag", `"AAAAAAAAAAAAAAAAAAAA"`)},
		{"tag long", ErrMalformed, member("tag", `"AAAAAAAAAAAAAAAAAAAAAAA"`)},
		{"tag with trailing bits", ErrMalformed, member("tag", `"AAAAAAAAAAAAAAAAAAAAAB"`)},
		{"ciphertext padded", ErrMalformed, member("ciphertext", `"AA=="`)},
		{"ciphertext with trailing bits", ErrMalformed, member("ciphertext", `"AB"`)},
		{"ciphertext in the other alphabet", ErrMalformed, member("ciphertext", `"+/+/"`)},
		{"ciphertext with a line break", ErrMalformed, member("ciphertext", `"AA\nAA"`)},
		{"ciphertext of one character", ErrMalformed, member("ciphertext", `"A"`)},
		{"ciphertext spelled with escapes", nil, member("ciphertext", `"\u0041AAA"`)},
		{"aad with trailing bits", ErrMalformed, member("aad", `"AB"`)},
		{"protected padded", ErrMalformed, member("protected", `"eyJlbmMiOiJBMjU2R0NNIn0="`)},
		{"encrypted key short", ErrMalformed, recipients(`{"header":` + goodHeader + `,"encrypted_key":"` +
			goodKey[:52] + `"}`)},
		{"encrypted key long", ErrMalformed, recipients(`{"header":` + goodHeader + `,"encrypted_key":"` +
			goodKey + `AA"}`)},
		{"encrypted key with trailing bits", ErrMalformed,
			recipients(`{"header":` + goodHeader + `,"encrypted_key":"` + goodKey[:53] + `B"}`)},
		{"no encrypted key", ErrMalformed, recipients(`{"header":` + goodHeader + `}`)},
		{"encrypted key null", ErrMalformed, recipients(`{"header":` + goodHeader +
			`,"encrypted_key":null}`)},
		{"kc short", ErrMalformed, protected(`{"enc":"A256GCM","kc":"AAAA"}`)},
		{"kc not base64", ErrMalformed, protected(`{"enc":"A256GCM","kc":"` + goodKC[:42] + `+"}`)},
		{"kc with trailing bits", ErrMalformed, protected(`{"enc":"A256GCM","kc":"` + goodKC[:42] + `B"}`)},
		{"kc null", ErrMalformed, protected(`{"enc":"A256GCM","kc":null}`)},
		{"no kc", nil, protected(`{"enc":"A256GCM"}`)},
		{"apu not base64", ErrMalformed, headerOf(`{"apu":"A",` + goodHeader[1:])},
		{"apv a number", ErrMalformed, headerOf(`{"apv":1,` + goodHeader[1:])},
		{"apu, apv", nil, headerOf(`{"apu":"QWxpY2U","apv":"Qm9i",` + goodHeader[1:])},
	}
}

func foreign() []change {
	return []change{
		{"no enc", ErrUnsupported, protected(`{"kc":"` + goodKC + `"}`)},
		{"enc A128GCM", ErrUnsupported, protected(`{"enc":"A128GCM"}`)},
		{"enc A256CBC-HS512", ErrUnsupported, protected(`{"enc":"A256CBC-HS512"}`)},
		{"enc in other case", ErrUnsupported, protected(`{"enc":"a256gcm"}`)},
		{"enc long", ErrUnsupported, protected(`{"enc":"` + strings.Repeat("é", 1000) + `"}`)},
		{"enc empty", ErrUnsupported, protected(`{"enc":""}`)},
		{"enc a number", ErrMalformed, protected(`{"enc":1}`)},
		{"enc unprotected", ErrUnsupported, both(protected(`{"x":1}`),
			member("unprotected", `{"enc":"A256GCM"}`))},
		{"enc of a recipient, too", ErrMalformed, headerOf(`{"enc":"A256GCM",` + goodHeader[1:])},
		{"kc of a recipient", ErrUnsupported, both(protected(`{`+protectedEnc+`}`),
			headerOf(`{"kc":"`+goodKC+`",`+goodHeader[1:]))},
		{"cty unprotected", ErrUnsupported, both(protected(`{`+protectedEnc+`}`),
			member("unprotected", `{"cty":"x"}`))},
		{"ctx of a recipient", ErrUnsupported, headerOf(`{"ctx":"x",` + goodHeader[1:])},
		{"crit", ErrUnsupported, protected(`{"enc":"A256GCM","crit":["exp"],"exp":1}`)},
		{"crit empty", ErrUnsupported, protected(`{"enc":"A256GCM","crit":[]}`)},
		{"crit with a known one", ErrUnsupported, protected(`{"enc":"A256GCM","crit":["kc"],"kc":"` + goodKC +
			`"}`)},
		{"crit unprotected", ErrUnsupported, member("unprotected", `{"crit":["exp"]}`)},
		{"crit of a recipient", ErrUnsupported, headerOf(`{"crit":["exp"],` + goodHeader[1:])},
		{"zip", ErrUnsupported, protected(`{"enc":"A256GCM","zip":"DEF"}`)},
		{"zip null", ErrUnsupported, protected(`{"enc":"A256GCM","zip":null}`)},
		{"zip of a recipient", ErrUnsupported, headerOf(`{"zip":"DEF",` + goodHeader[1:])},
		{"alg missing", ErrMalformed, headerOf(`{"kid":"p","epk":` + goodEPK + `}`)},
		{"alg empty", ErrMalformed, headerOf(`{"alg":""}`)},
		{"alg null", ErrMalformed, headerOf(`{"alg":null}`)},
		{"no header", ErrMalformed, recipients(`{"encrypted_key":"` + goodKey + `"}`)},
		{"alg dir", ErrUnsupported, headerOf(`{"alg":"dir"}`)},
		{"alg none", ErrUnsupported, headerOf(`{"alg":"none"}`)},
		{"alg ECDH-ES", ErrUnsupported, headerOf(`{"alg":"ECDH-ES","epk":` + goodEPK + `}`)},
		{"alg ECDH-ES+A128KW", ErrUnsupported, headerOf(`{"alg":"ECDH-ES+A128KW","epk":` + goodEPK + `}`)},
		{"alg A256KW", ErrUnsupported, headerOf(`{"alg":"A256KW"}`)},
		{"alg in other case", ErrUnsupported, headerOf(strings.ToLower(`{"alg":"ECDH-ES+A256KW"}`))},
		{"P-384", ErrUnsupported, headerOf(strings.Replace(goodHeader, "P-256", "P-384", 1))},
		{"one of several is known", nil, recipients(`{"header":{"alg":"RSA-OAEP"},"encrypted_key":"AAAA"}`,
			goodRecipient)},
		{"no epk", ErrMalformed, headerOf(`{"alg":"ECDH-ES+A256KW"}`)},
		{"epk without crv", ErrMalformed, headerOf(`{"alg":"ECDH-ES+A256KW","epk":{"kty":"EC"}}`)},
		{"epk a string", ErrMalformed, headerOf(`{"alg":"ECDH-ES+A256KW","epk":"x"}`)},
		{"epk private", ErrMalformed, headerOf(strings.Replace(goodHeader, `"kty"`, `"d":"AA","kty"`, 1))},
		{"epk with more", nil, headerOf(strings.Replace(goodHeader, `"kty"`, `"use":"enc","kty"`, 1))},
		{"kid a number", ErrMalformed, headerOf(strings.Replace(goodHeader, `"p"`, `1`, 1))},
		{"no kid", nil, headerOf(strings.Replace(goodHeader, `"kid":"p",`, ``, 1))},
		{"KMS", nil, recipients(`{"header":{"alg":"` + AlgAWSKMS + `","kid":"k"},"encrypted_key":"AA"}`)},
		{"KMS without kid", ErrMalformed, recipients(`{"header":{"alg":"` + AlgAWSKMS +
			`"},"encrypted_key":"AA"}`)},
		{"KMS without encrypted key", ErrMalformed,
			recipients(`{"header":{"alg":"` + AlgAWSKMS + `","kid":"k"}}`)},
		{"all protected", nil, both(protected(`{"enc":"A256GCM",`+goodHeader[1:]),
			recipients(`{"encrypted_key":"`+goodKey+`"}`))},
		{"alg unprotected", nil, both(member("unprotected", `{"alg":"ECDH-ES+A256KW"}`),
			headerOf(`{"epk":`+goodEPK+`}`))},
	}
}

func flattenedOnes() []change {
	return []change{
		{"flattened", nil, func(m *template) {
			m.set("recipients", "")
			m.set("header", goodHeader)
			m.set("encrypted_key", `"`+goodKey+`"`)
		}},
		{"flattened, all protected", nil, func(m *template) {
			m.set("recipients", "")
			m.set("encrypted_key", `"`+goodKey+`"`)
			m.protected = `{"enc":"A256GCM",` + goodHeader[1:]
		}},
		{"flattened, encrypted key short", ErrMalformed, func(m *template) {
			m.set("recipients", "")
			m.set("header", goodHeader)
			m.set("encrypted_key", `"AAAA"`)
		}},
		{"flattened, enc unprotected, too", ErrMalformed, func(m *template) {
			m.set("recipients", "")
			m.set("header", `{"enc":"A256GCM",`+goodHeader[1:])
		}},
		{"flattened, header an array", ErrMalformed,
			func(m *template) { m.set("recipients", ""); m.set("header", `[]`) }},
		{"flattened dir", ErrUnsupported, func(m *template) { m.set("recipients", ""); m.set("header", `{"alg":"dir"}`) }},
	}
}

func limits() []change {
	long := strings.Repeat("x", MaxMessage)
	return []change{
		{"16 recipients", nil, recipients(slices.Repeat([]string{goodRecipient}, MaxRecipients)...)},
		{"17 recipients", ErrTooLarge, recipients(slices.Repeat([]string{goodRecipient}, MaxRecipients+
			1)...)},
		{"1,000 recipients", ErrTooLarge, recipients(slices.Repeat([]string{goodRecipient}, 1000)...)},
		{"message", ErrTooLarge, member("x", `"`+long+`"`)},
		{"message of exactly the limit", nil, func(m *template) { m.set("x", `"`+long[:MaxMessage-len(m.String())-len(`,"x":""`)]+`"`) }},
		{"message of one more", ErrTooLarge, func(m *template) { m.set("x", `"`+long[:MaxMessage-len(m.String())-len(`,"x":""`)+1]+`"`) }},
		{"protected", ErrTooLarge, protected(`{"enc":"A256GCM","x":"` + long[:MaxProtected] + `"}`)},
		{"protected, not quite", nil, protected(`{"enc":"A256GCM","x":"` + long[:MaxProtected/4*3-100] +
			`"}`)},
		{"unprotected", ErrTooLarge, member("unprotected", `{"x":"`+long[:MaxHeader-len(`{"x":""}`)+1]+`"}`)},
		{"unprotected, not quite", nil, member("unprotected", `{"x":"`+long[:MaxHeader-len(`{"x":""}`)]+
			`"}`)},
		{"header", ErrTooLarge, headerOf(`{"x":"` + long[:MaxHeader-len(`{"x":"",`+goodHeader[1:])+1] + `",` +
			goodHeader[1:])},
		{"header, not quite", nil, headerOf(`{"x":"` + long[:MaxHeader-len(`{"x":"",`+goodHeader[1:])] +
			`",` + goodHeader[1:])},
		{"flattened header", ErrTooLarge, func(m *template) { m.set("recipients", ""); m.set("header", `{"x":"`+long[:MaxHeader]+`"}`) }},
		{"encrypted key", ErrTooLarge, recipients(goodRecipient, `{"header":{"alg":"x"},"encrypted_key":"`+
			strings.Repeat("A", 4*MaxEncryptedKey/3+4)+`"}`)},
		{"aad", ErrTooLarge, member("aad", `"`+strings.Repeat("A", 4*MaxBound/3+4)+`"`)},
		{"parameters", nil, protected(`{"enc":"A256GCM",` + many(MaxParameters-1, "a") + `}`)},
		{"too many parameters", ErrTooLarge, protected(`{"enc":"A256GCM",` + many(MaxParameters, "a") + `}`)},
		{"too many of a recipient", ErrTooLarge, headerOf(`{` + many(MaxParameters, "a") + `,` +
			goodHeader[1:])},
		{"depth", ErrMalformed, member("x", strings.Repeat("[", 100)+strings.Repeat("]", 100))},
	}
}

func TestParse(t *testing.T) {
	names := map[string]bool{}
	for _, c := range changes() {
		if names[c.name] {
			t.Errorf("%s: twice in the table", c.name)
		}
		names[c.name] = true
		m := goodTemplate()
		c.do(&m)
		got, err := Parse([]byte(m.String()))
		wantKind(t, c.name, err, c.want)
		if (got == nil) != (err != nil) {
			t.Errorf("%s: a message beside an error, or neither", c.name)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
	}
}

func TestParseNoJSON(t *testing.T) {
	good := goodTemplate().String()
	for _, doc := range []string{"", " ", "null", "[]", `"x"`, "{}", "{", good[1:], good[:len(good)-1], good +
		"x", good + good, "\ufeff" + good,
		strings.Replace(good, "iv", "i\xff", 1), strings.Replace(good, `"iv"`, `"i\ud800"`, 1)} {
		m, err := Parse([]byte(doc))
		wantKind(t, fmt.Sprintf("%.40q", doc), err, ErrMalformed)
		if m != nil {
			t.Errorf("%.40q: a message beside the error", doc)
		}
	}
	if _, err := Parse([]byte(" \n" + good + "\t")); err != nil {
		t.Errorf("white space around it: %v", err)
	}
}

// The checks before a key is touched, and after.
func TestDecryptRefuses(t *testing.T) {
	key, other := NewContentKey(), NewContentKey()
	to := []WrappedKey{newParty(t, "p", ecdh.P256()).wrap(t, key)}
	good := must[[]byte](t)(Encrypt(key, []byte("plain"), "t", testAAD, to))
	uncommitted := protectAgain(t, key, `{"enc":"A256GCM"}`, testAAD, "plain")
	unbound := protectAgain(t, key, `{"enc":"A256GCM","kc":"`+key.Commitment()+`"}`, nil, "plain")
	plain := protectAgain(t, key, `{"enc":"A256GCM"}`, nil, "plain")
	lying := protectAgain(t, other, `{"enc":"A256GCM","kc":"`+key.Commitment()+`"}`, testAAD, "plain")
	for _, c := range []struct {
		name   string
		doc    []byte
		key    *ContentKey
		aad    string
		strict error
		unsafe error
	}{
		{"good", good, key, string(testAAD), nil, nil},
		{"another event", good, key, string(testAAD) + " ", ErrBinding, ErrBinding},
		{"no event", good, key, "", ErrBinding, ErrBinding},
		{"another key", good, other, string(testAAD), ErrCommitment, ErrCommitment},
		{"uncommitted", uncommitted, key, string(testAAD), ErrUncommitted, nil},
		{"uncommitted, another event", uncommitted, key, "x", ErrUncommitted, ErrBinding},
		{"uncommitted, another key", uncommitted, other, string(testAAD), ErrUncommitted, ErrDecrypt},
		{"unbound", unbound, key, string(testAAD), ErrUnbound, nil},
		{"unbound, another key", unbound, other, "", ErrUnbound, ErrCommitment},
		{"plain JWE", plain, key, string(testAAD), ErrUncommitted, nil},
		{"commits to the key, encrypted under another", lying, key, string(testAAD), ErrDecrypt, ErrDecrypt},
		{"commits to another key than it is under", lying, other, string(testAAD), ErrCommitment,
			ErrCommitment},
	} {
		m := must[*Message](t)(Parse(c.doc))
		for range 2 { // a message is not used up
			strict, err := m.Decrypt(c.key, []byte(c.aad))
			wantKind(t, c.name, err, c.strict)
			lenient := *m
			lenient.UnsafeUncommitted = true
			unsafe, unsafeErr := lenient.Decrypt(c.key, []byte(c.aad))
			wantKind(t, c.name+", unsafe", unsafeErr, c.unsafe)
			if (err == nil) != (string(strict) == "plain") ||
				(unsafeErr == nil) != (string(unsafe) == "plain") {
				t.Errorf("%s: %q, %q", c.name, strict, unsafe)
			}
		}
	}
}

// protectAgain is a message with that protected header, sealed under that key, for a KMS recipient.
func protectAgain(t testing.TB, key *ContentKey, protected string, aad []byte, plaintext string) []byte {
	t.Helper()
	bound := encode([]byte(protected))
	member := ""
	if aad != nil {
		bound = append(append(bound, '.'), encode(aad)...)
		member = `"aad":"` + string(encode(aad)) + `",`
	}
	aead := must[interface {
		Seal(dst, nonce, plaintext, additionalData []byte) []byte
	}](t)(key.cipher())
	nonce, ciphertext, tag := split(aead.Seal(nil, nil, []byte(plaintext), bound))
	return fmt.Appendf(nil,
		`{%s"protected":"%s","iv":"%s","ciphertext":"%s","tag":"%s","recipients":[{"header":{"alg":"%s","kid":"k"},"encrypted_key":"AA"}]}`,
		member, encode([]byte(protected)), encode(nonce), encode(ciphertext), encode(tag), AlgAWSKMS)
}

// A message with the members in any order is the same message.
func TestOrderOfMembers(t *testing.T) {
	want := must[*Message](t)(Parse([]byte(goodTemplate().String())))
	for i := range len(goodTemplate().members) {
		m := goodTemplate()
		m.members = append(m.members[i:], m.members[:i]...)
		got, err := Parse([]byte(m.String()))
		if err != nil || !bytes.Equal(got.sealed, want.sealed) || !bytes.Equal(got.bound, want.bound) ||
			got.Keys[0].Digest() != want.Keys[0].Digest() {
			t.Errorf("beginning with %.12s: %v", m.members[0], err)
		}
	}
}

// An append to one slice does not reach the next slice in the shared buffer.
func TestSlicesDoNotOverlap(t *testing.T) {
	key := NewContentKey()
	p := newParty(t, "p", ecdh.X25519())
	m := must[*Message](t)(Parse(must[[]byte](t)(Encrypt(key, []byte("plain"), "t", testAAD,
		[]WrappedKey{p.wrap(t, key), p.wrap(t, key)}))))
	_ = append(m.Binding, 0xff)
	_ = append(m.Keys[0].EncryptedKey, 0xff)
	_ = append(m.bound, 0xff)
	_ = append(m.sealed, 0xff)
	for i := range m.Keys {
		got := must[*ContentKey](t)(p.identity.Unwrap(t.Context(), &m.Keys[i]))
		if plaintext := must[[]byte](t)(m.Decrypt(got, testAAD)); string(plaintext) != "plain" {
			t.Errorf("%q", plaintext)
		}
	}
}
