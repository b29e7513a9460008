package jwe

import (
	"bytes"
	"crypto/ecdh"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// A Parser that has read other messages reads each as the function does, the first time and the next.
func TestParserMakesNoDifference(t *testing.T) {
	var p Parser
	for range 2 {
		for _, c := range changes() {
			m := goodTemplate()
			c.do(&m)
			doc := []byte(m.String())
			want, wantErr := Parse(doc)
			got, err := p.Parse(doc)
			wantKind(t, c.name, err, c.want)
			if (got == nil) != (want == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Fatalf("%s: %v, %v", c.name, err, wantErr)
			}
			if got != nil && !sameMessage(got, want) {
				t.Errorf("%s: %+v, want %+v", c.name, got, want)
			}
		}
	}
}

// A Parser that has read other recipients and messages reads recipients as the function does, the first time
// and the next, and keeps nothing of the text.
func TestParserReadsRecipientsAsTheFunction(t *testing.T) {
	var p Parser
	for range 2 {
		for _, text := range []string{"[" + goodRecipient + "]", "[" + goodRecipient + "," + goodRecipient + "]",
			"[ " + goodRecipient + "]", "[]", "", "null", "[{}]", "[" + goodRecipient, goodRecipient,
			"[" + strings.Repeat(" ", parserText) + goodRecipient + "]",
			"[" + strings.Repeat(goodRecipient+",", MaxRecipients) + goodRecipient + "]"} {
			must[*Message](t)(p.Parse([]byte(goodTemplate().String())))
			doc := []byte(text)
			want, wantErr := ParseRecipients([]byte(text))
			got, err := p.ParseRecipients(doc)
			for i := range doc {
				doc[i] = 'x'
			}
			if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() ||
				!reflect.DeepEqual(digests(got), digests(want)) {
				t.Errorf("%.200s: %v, want %v", text, err, wantErr)
			}
		}
	}
	if len(p.known) != 4 { // three lists, and the headers of the message
		t.Errorf("%d headers are remembered", len(p.known))
	}
}

func sameMessage(a, b *Message) bool {
	return a.ContentType == b.ContentType && bytes.Equal(a.Commitment, b.Commitment) &&
		bytes.Equal(a.Binding, b.Binding) && bytes.Equal(a.bound, b.bound) &&
		bytes.Equal(a.sealed, b.sealed) && reflect.DeepEqual(digests(a.Keys), digests(b.Keys))
}

// A message and its entries share no memory with the text. The owner of the text may change it afterwards,
// while a key management service decrypts an entry.
func TestMessageSharesNoMemoryWithItsText(t *testing.T) {
	key := NewContentKey()
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.X25519()} {
		recipient := newParty(t, "p", curve)
		text := string(must[[]byte](t)(Encrypt(key, []byte("plain"), "t", testAAD,
			[]WrappedKey{recipient.wrap(t, key)})))
		flattened := strings.Replace(strings.Replace(text, `"recipients":[{`, "", 1), `}],"tag"`, `,"tag"`, 1)
		shared := strings.NewReplacer(`"kid":"p"`, "", `,"kid":"p"`, "", `"protected"`,
			`"unprotected":{"kid":"p"},"protected"`).Replace(text)
		for _, doc := range []string{text, flattened, shared} {
			b := []byte(doc)
			m := must[*Message](t)(Parse(b))
			for i := range b {
				b[i] = 'x'
			}
			again := must[*ContentKey](t)(recipient.identity.Unwrap(t.Context(), &m.Keys[0]))
			if got := must[[]byte](t)(m.Decrypt(again, testAAD)); string(got) != "plain" ||
				m.Keys[0].KeyID != "p" {
				t.Errorf("%s is read as %q", doc, got)
			}
		}
	}
}

// A Parser keeps nothing of the text of a message.
func TestParserKeepsNothingOfAMessage(t *testing.T) {
	var p Parser
	key, recipient := NewContentKey(), newParty(t, "p", ecdh.X25519())
	to := []WrappedKey{recipient.wrap(t, key)}
	for i := range 3 {
		doc := must[[]byte](t)(Encrypt(key, fmt.Append(nil, i), "t", testAAD, to))
		m := must[*Message](t)(p.Parse(doc))
		again := must[*ContentKey](t)(recipient.identity.Unwrap(t.Context(), &m.Keys[0]))
		if got := must[[]byte](t)(m.Decrypt(again, testAAD)); string(got) != fmt.Sprint(i) ||
			m.Keys[0].Digest() != to[0].Digest() {
			t.Errorf("message %d is read as %q", i, got)
		}
		clear(doc)
	}
	if len(p.known) != 1 {
		t.Errorf("%d headers of one kind", len(p.known))
	}
}

func TestParserIsBounded(t *testing.T) {
	var p Parser
	for i := range 3 * parserHeaders {
		m := goodTemplate()
		m.protected = fmt.Sprintf(`{"enc":"A256GCM","n":%d}`, i)
		must[*Message](t)(p.Parse([]byte(m.String())))
		if len(p.known) > parserHeaders {
			t.Fatalf("%d headers", len(p.known))
		}
	}
	before := len(p.known)
	large := goodTemplate()
	large.protected = `{"enc":"A256GCM","x":"` + strings.Repeat("x", parserText) + `"}`
	must[*Message](t)(p.Parse([]byte(large.String())))
	broken := goodTemplate()
	broken.protected = `{"enc":"A256GCM","zip":"DEF"}`
	wantKind(t, "broken", second(p.Parse([]byte(broken.String()))), ErrUnsupported)
	if len(p.known) != before {
		t.Errorf("%d headers, of which the last is too large or broken", len(p.known))
	}
}

// Run with -race.
func TestParserIsShared(t *testing.T) {
	var p Parser
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 2 * parserHeaders {
				m := goodTemplate()
				m.protected = fmt.Sprintf(`{"cty":"%d","enc":"A256GCM"}`, i)
				if got, err := p.Parse([]byte(m.String())); err != nil || got.ContentType != fmt.Sprint(i) {
					t.Errorf("%d is read as %+v, %v", i, got, err)
				}
			}
		})
	}
	all.Wait()
}
