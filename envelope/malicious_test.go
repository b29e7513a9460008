package envelope_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
)

// signed is an event that the producer signs by hand around whatever it calls encrypted.
func (c *confidential) signed(contentType, data, enc string, extensions ...mint.Member) []byte {
	c.t.Helper()
	ev := mint.Object{}
	for _, m := range [][2]string{
		{"specversion", "1.0"}, {"id", "s-1"}, {"source", secretSource}, {"type", "com.example.order.placed"},
		{"datacontenttype", contentType}, {"recordedtime", testNow.Format(time.RFC3339)},
	} {
		ev = ev.Add(m[0], mint.Quote(m[1]))
	}
	for _, m := range extensions {
		ev = append(ev, m)
	}
	plan := mint.Plan{
		By:      []mint.Signature{{Key: c.signer.(*keys.LocalSigner)}},
		Event:   ev.Add("data", data),
		Profile: func(o mint.Object) mint.Object { return o.Add("enc", enc) },
	}
	return []byte(plan.Seal().String())
}

// whole is an event whose data is encrypted to these entries, made by hand, too.
func (c *confidential) whole(plain string, key *jwe.ContentKey, to ...jwe.WrappedKey) []byte {
	c.t.Helper()
	aad := fmt.Sprintf(`{"id":"s-1","producer":"orders","source":%q,"type":"com.example.order.placed"}`,
		secretSource)
	message, err := jwe.Encrypt(key, []byte(plain), "application/json", []byte(aad), to)
	check(c.t, err)
	return c.signed("application/jose+json", string(message), `"jwe"`)
}

// An event with many entries for one service costs few calls, and an outage of it one.
func TestManyEntriesForOneService(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	var junk []jwe.WrappedKey
	for i := range jwe.MaxRecipients {
		w, err := key.Wrapped(jwe.AlgAWSKMS, c.service.KeyID(), []byte{byte(i), 1})
		check(t, err)
		junk = append(junk, w)
	}
	doc := c.whole(`1`, key, junk...)
	_, err := c.open(doc, c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{c.service}}),
		fixedNow)
	wantReason(t, err, envelope.ReasonTooLarge)
	if n := c.service.Calls("test:DecryptKey"); n != envelope.MaxServiceCalls {
		t.Errorf("%d calls", n)
	}
	down := keystest.NewService(c.service.KeyID())
	down.Fail = func(_ context.Context, op string) error { return &keys.ServiceError{Op: op, Cause: "down"} }
	d := c.decryptWith(envelope.DecryptWith{Services: []keys.ServiceIdentity{down}})
	for range 10 {
		other := jwe.NewContentKey() // of another producer, say
		w, err := other.Wrapped(jwe.AlgAWSKMS, c.service.KeyID(), []byte("x"))
		check(t, err)
		_, err = c.open(c.whole(`1`, other, w), d, fixedNow)
		wantReason(t, err, envelope.ReasonKMSUnavailable)
	}
	if n := down.Calls("test:DecryptKey"); n != 1 {
		t.Errorf("a service that is down was asked %d times for a batch", n)
	}
}

// The entries of other libraries have no key ID. The right one of all identities opens them, at any place.
func TestUnnamedEntries(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	recipient := func(i *keys.LocalIdentity) jwe.WrappedKey {
		r, err := jwe.NewECDHRecipient(i.Recipient().KeyID(), i.Recipient().PublicKey())
		check(t, err)
		w, err := r.Wrap(t.Context(), key)
		check(t, err)
		return w
	}
	var to []jwe.WrappedKey
	for range jwe.MaxRecipients - 1 {
		to = append(to, recipient(newIdentity(t, keys.X25519)))
	}
	doc := string(c.whole(`{"a":1}`, key, append(to, recipient(c.x25519))...))
	data := doc[strings.Index(doc, `"data":`)+len(`"data":`):]
	for strings.Contains(data, `,"kid":"`) { // as such a library writes it: its aad covers no recipients
		before, rest, _ := strings.Cut(data, `,"kid":"`)
		data = before + rest[strings.Index(rest, `"`)+1:]
	}
	message := data[:strings.LastIndex(data, `"tag":"`)+len(`"tag":"`)+22] + `"}`
	unnamed := c.signed("application/jose+json", message, `"jwe"`)
	var identities []keys.Identity
	for range envelope.MaxTries / jwe.MaxRecipients {
		identities = append(identities, newIdentity(t, keys.X25519))
	}
	opened, err := c.open(unnamed, c.decrypter(identities[0], c.p256, c.x25519), fixedNow)
	if err != nil || string(opened.Event.Data()) != `{"a":1}` {
		t.Errorf("got %v", err)
	}
	_, err = c.open(unnamed, c.decrypter(identities...), fixedNow)
	wantReason(t, err, envelope.ReasonNotARecipient)
	// Entries beyond the budget are not said to be for another recipient, since none was tried.
	_, err = c.open(unnamed, c.decrypter(append(identities, c.x25519)...), fixedNow)
	wantReason(t, err, envelope.ReasonTooLarge)
}

// The decrypted data must be as its content type says, in the strict sense.
func TestEncryptedNonsense(t *testing.T) {
	c := newConfidential(t)
	key := jwe.NewContentKey()
	r, err := jwe.NewECDHRecipient(c.x25519.Recipient().KeyID(), c.x25519.Recipient().PublicKey())
	check(t, err)
	w, err := r.Wrap(t.Context(), key)
	check(t, err)
	for plain, want := range map[string]envelope.Reason{
		`{"a":1}`: "", `{"a":1,"a":2}`: envelope.ReasonMalformed, `{`: envelope.ReasonMalformed,
		"":    envelope.ReasonMalformed,
		`1 2`: envelope.ReasonMalformed, `"\ud800"`: envelope.ReasonMalformed, strings.Repeat("[", 65) +
			strings.Repeat("]", 65): envelope.ReasonMalformed,
	} {
		_, err := c.open(c.whole(plain, key, w), c.decrypter(c.x25519), fixedNow)
		wantReason(t, err, want)
	}
	for name, test := range map[string]struct {
		contentType, data, enc string
		want                   envelope.Reason
	}{
		"no JWE":   {"application/jose+json", `{"a":1}`, `"jwe"`, envelope.ReasonMalformed},
		"not JSON": {"text/plain", `"text"`, `"jwe"`, envelope.ReasonMalformed},
		"crit": {"application/jose+json",
			`{"ciphertext":"AA","iv":"AAAAAAAAAAAAAAAA","protected":"eyJjcml0IjpbIngiXSwiZW5jIjoiQTI1NkdDTSJ9","recipients":[{"header":{"alg":"ECDH-ES+A256KW"}}],"tag":"AAAAAAAAAAAAAAAAAAAAAA"}`, `"jwe"`, envelope.ReasonUnsupported},
		"field, no attribute": {"application/json", `{"a":"x"}`, `["/a"]`, envelope.ReasonMalformed},
		"overlapping":         {"application/json", `{"a":"x"}`, `["/a","/a/b"]`, envelope.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.open(c.signed(test.contentType, test.data, test.enc), c.decrypter(c.x25519), fixedNow)
			wantReason(t, err, test.want)
		})
	}
}

// Readers that do not tell upper from lower case, as encoding/json does not, are thought of.
func TestRequiredFieldsInAnyCase(t *testing.T) {
	c := newConfidential(t)
	for doc, test := range map[string]struct {
		fields []string
		want   envelope.Reason
	}{
		`{"card":"4111"}`:                       {nil, envelope.ReasonNotEncrypted},
		`{"card":"4111","b":1}`:                 {[]string{"/b"}, envelope.ReasonNotEncrypted},
		`{"Card":"4111"}`:                       {nil, envelope.ReasonNotEncrypted},
		`{"CARD":"4111","card":"1"}`:            {[]string{"/card"}, envelope.ReasonNotEncrypted},
		`{"card":"4111"} `:                      {[]string{"/card"}, ""},
		`{"other":{"card":"4111"}}`:             {nil, ""},
		`{"card":{"number":"4111"}}`:            {[]string{"/card/number"}, envelope.ReasonNotEncrypted},
		`{"card":"1","\u0063ARD":"4111","x":1}`: {[]string{"/card", "/x"}, envelope.ReasonNotEncrypted},
	} {
		opts := envelope.SealOptions{}
		if test.fields != nil {
			opts = envelope.SealOptions{Encrypt: c.encrypter(), EncryptFields: test.fields}
		}
		sealed := c.seal(secretEvent(doc), opts)
		_, err := envelope.Open(t.Context(), sealed.JSON(), c.trust,
			&envelope.Policy{Now: fixedNow, Decrypter: c.decrypter(c.x25519),
				RequireEncryptedFields: []string{"/card"}, Unsafe: unchecked})
		if got := envelope.ReasonOf(err); got != test.want {
			t.Errorf("%s with %q encrypted: %v, want %q", doc, test.fields, err, test.want)
		}
	}
}

// All spellings of a required field are looked at, however many there are: a walk that stops after some lets
// the next one pass.
func TestRequiredFieldsInVeryManySpellings(t *testing.T) {
	c := newConfidential(t)
	for _, n := range []int{wire.MaxEncryptedFields, wire.MaxEncryptedFields + 1, 1000} {
		doc, pointers := spellings("accountnumber", n)
		fields := pointers[n-min(n, wire.MaxEncryptedFields):] // what is in the clear stands last
		sealed := c.seal(secretEvent(doc), envelope.SealOptions{Encrypt: c.encrypter(),
			EncryptFields: fields})
		_, err := envelope.Open(t.Context(), sealed.JSON(), c.trust,
			&envelope.Policy{Now: fixedNow, Decrypter: c.decrypter(c.x25519),
				RequireEncryptedFields: []string{"/AccountNumber"}, Unsafe: unchecked})
		want := envelope.ReasonNotEncrypted
		if n == len(fields) {
			want = ""
		}
		wantReason(t, err, want)
	}
}

// spellings is an object with that name in so many spellings, and the pointers to them: the last in canonical
// order first.
func spellings(name string, n int) (doc string, pointers []string) {
	var o mint.Object
	for i := range n {
		spelled := []byte(name)
		for bit := range spelled {
			if i>>bit&1 == 1 {
				spelled[len(spelled)-1-bit] -= 'a' - 'A'
			}
		}
		o, pointers = o.Add(string(spelled), `"4111"`), append(pointers, "/"+string(spelled))
	}
	return o.String(), pointers
}
