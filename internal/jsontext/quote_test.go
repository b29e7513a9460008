package jsontext

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// sameInJSON are the three characters that encoding/json escapes and the canonical form does not.
var sameInJSON = strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029", `\ufffd`, "\ufffd")

// quoteOfJSON is text as encoding/json writes it, and with the three characters as they are.
func quoteOfJSON(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		t.Fatal(err)
	}
	return sameInJSON.Replace(strings.TrimSuffix(out.String(), "\n"))
}

// checkQuote holds AppendQuote and QuotedSize to encoding/json, whatever room there is.
func checkQuote(t *testing.T, text string) {
	t.Helper()
	want := quoteOfJSON(t, text)
	for _, room := range []int{0, 1, len(text), len(text) + 2, len(want), len(want) + 15, len(want) + 16} {
		const kept, beyond = "kept", "beyond what is appended"
		memory := append(append([]byte(kept), make([]byte, room)...), beyond...)
		before := memory[: len(kept) : len(kept)+room]
		got, ofBytes := AppendQuote(before, text), AppendQuote([]byte(kept), []byte(text))
		if string(got) != kept+want || string(ofBytes) != kept+want {
			t.Fatalf("%q with room for %d: got %q, and %q of bytes; want %q", text, room, got, ofBytes, want)
		}
		if string(memory[:len(kept)]) != kept || string(memory[len(kept)+room:]) != beyond {
			t.Fatalf("%q with room for %d: the memory beside it is %q", text, room, memory)
		}
	}
	size, ofBytes := QuotedSize(text), QuotedSize([]byte(text))
	if size != ofBytes || utf8.ValidString(text) && size != len(want) || size > len(want) {
		t.Fatalf("%q: a size of %d, of bytes %d, want %d", text, size, ofBytes, len(want))
	}
}

// TestQuoteOfEveryByte: each byte at all places of a text that is looked at in words.
func TestQuoteOfEveryByte(t *testing.T) {
	for c := range 256 {
		for at := range 19 {
			text := []byte("0123456789~\u007f!#[]zz9")
			text[at] = byte(c)
			checkQuote(t, string(text))
		}
	}
}

// TestQuoteOfEveryPair: two special bytes at all places of a text of all lengths up to two words and a bit.
func TestQuoteOfEveryPair(t *testing.T) {
	special := []string{`"`, `\`, "\n", "\x00", "\x1f", "\x7f", "\xff", "\xc3", "\xa9", "!", "["}
	for length := range 18 {
		for first := range length {
			for second := range first + 1 {
				for _, a := range special {
					for _, b := range special {
						text := []byte(strings.Repeat("~", length))
						text[second], text[first] = b[0], a[0]
						checkQuote(t, string(text))
					}
				}
			}
		}
	}
}

// TestQuoteOfRandomText: what is written is read back by encoding/json as it was.
func TestQuoteOfRandomText(t *testing.T) {
	from := append([]string{"\u2028", "\u2029", "\ufffd", "\ufffe", "😀", "\xed\xa0\x80", "\xed\xb0\x80",
		"\xc3", "\xa9", "\xf0\x9f\x98", "\xe2\x80", "\b\f\n\r\t", "\x1f\x20\x7f\x80", `\u2028`, `\ufffd`,
		"<>&", "/", strings.Repeat(`"`, 9), strings.Repeat("\x01", 17), strings.Repeat("é", 5)}, pieces...)
	r := rand.New(rand.NewPCG(10, 24))
	for range cases.Of(100_000) {
		checkQuote(t, string(randomPieces(r, from, 14)))
	}
}

// TestQuoteIsAppendedInPlace: with the room that QuotedSize asks for, nothing is allocated.
func TestQuoteIsAppendedInPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 25))
	for range 1000 {
		text := strings.ToValidUTF8(string(randomPieces(r, pieces, 40)), "")
		room := make([]byte, 0, QuotedSize(text)+16)
		if got := AppendQuote(room, text); &got[0] != &room[:1][0] {
			t.Fatalf("%q was written elsewhere", text)
		}
	}
}
