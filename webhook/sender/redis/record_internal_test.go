package redis

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook/sender"
)

func someDelivery() sender.Delivery {
	return sender.Delivery{Key: sender.Key{Endpoint: "a", ID: "1"}, ContentType: "application/json",
		Body: []byte(`{"n":1}`), Digest: sha256.Sum256([]byte("1")), Ordered: true}
}

func same(a, b *sender.Delivery) bool {
	return a.Key == b.Key && a.ContentType == b.ContentType && bytes.Equal(a.Body, b.Body) &&
		a.Digest == b.Digest && a.Ordered == b.Ordered && a.Attempts == b.Attempts
}

// Each record that is changed in one place is refused, or is another delivery.
func TestRecord(t *testing.T) {
	d := someDelivery()
	for _, body := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte{0}, 200), make([]byte, sender.MaxBody)} {
		d.Body = body
		got, err := parseRecord(string(appendRecord(nil, &d)))
		if err != nil || !same(&got, &d) {
			t.Errorf("%d bytes came back as %d, %v", len(body), len(got.Body), err)
		}
	}
	d = someDelivery()
	text := string(appendRecord(nil, &d))
	for i := range text {
		if _, err := parseRecord(text[:i]); err != errRecord {
			t.Errorf("cut off after %d bytes: %v", i, err)
		}
		for bit := range 8 {
			changed := []byte(text)
			changed[i] ^= 1 << bit
			if got, err := parseRecord(string(changed)); err == nil && same(&got, &d) {
				t.Errorf("bit %d of byte %d does not matter", bit, i)
			}
		}
	}
	for name, text := range map[string]string{
		"a byte more":      text + "x",
		"a longer varint":  strings.Replace(text, "\x01a", "\x81\x00a", 1),
		"another version":  "2" + text[1:],
		"a huge length":    text[:34] + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"an endless one":   text[:34] + strings.Repeat("\xff", 20),
		"an ID with blank": strings.Replace(text, "\x011", "\x01 ", 1),
	} {
		if got, err := parseRecord(text); err != errRecord {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	d := someDelivery()
	f.Add(string(appendRecord(nil, &d)))
	f.Add("")
	f.Add("1u")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseRecord(text)
		if err != nil {
			return
		}
		if again := appendRecord(nil, &d); string(again) != text {
			t.Errorf("%q is written as %q", text, again)
		}
	})
}
