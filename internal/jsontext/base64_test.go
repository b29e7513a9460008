package jsontext

import (
	"bytes"
	"encoding/base64"
	"testing"
)

func TestStrict(t *testing.T) {
	type decoder func(dst, src []byte) ([]byte, error)
	for _, c := range []struct {
		name             string
		text             string
		std, url, padded bool // accepted
	}{
		{"empty", "", true, true, true},
		{"no padding needed", "aaaa", true, true, true},
		{"padded", "+/8=", true, false, false},
		{"padded, url", "-_8=", false, false, true},
		{"unpadded", "+/8", false, false, false},
		{"unpadded, url", "-_8", false, true, false},
		{"mixed", "+_8=", false, false, false},
		{"mixed in two groups", "++++____", false, false, false},
		{"trailing bits", "+/9=", false, false, false},
		{"trailing bits, two bytes of padding", "/x==", false, false, false},
		{"trailing bits, url", "-_9", false, false, false},
		{"line break", "aaaa\n", false, false, false},
		{"line break inside", "aa\naa", false, false, false},
		{"carriage return", "\raaaa", false, false, false},
		{"line breaks that add up to a group", "aaaa\n\n\n\n", false, false, false},
		{"space", "aaa ", false, false, false},
		{"padding inside", "aa==aaaa", false, false, false},
		{"too much padding", "aaa==", false, false, false},
		{"only padding", "====", false, false, false},
		{"one character", "a", false, false, false},
		{"not ASCII", "aaa\xff", false, false, false},
		{"NUL", "aaa\x00", false, false, false},
	} {
		for kind, f := range map[string]struct {
			decode decoder
			ok     bool
		}{
			"std": {Base64.AppendDecode, c.std}, "url": {Base64URL.AppendDecode, c.url},
			"padded": {Base64URLPadded.AppendDecode, c.padded},
		} {
			prefix := []byte("kept")
			got, err := f.decode(prefix, []byte(c.text))
			if (err == nil) != f.ok {
				t.Errorf("%s, %s: accepted %v, want %v", c.name, kind, err == nil, f.ok)
			}
			if !bytes.HasPrefix(got, prefix) || err != nil && len(got) != len(prefix) {
				t.Errorf("%s, %s: dst became %q", c.name, kind, got)
			}
		}
	}
}

func FuzzOneTextPerValue(f *testing.F) {
	for _, s := range []string{"", "aaaa", "+/8=", "-_8=", "-_8", "aa\naa", "/x=="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if v, err := Base64.AppendDecode(nil, src); err == nil &&
			base64.StdEncoding.EncodeToString(v) != string(src) {
			t.Errorf("std: %q is not the text of its value", src)
		}
		if v, err := Base64URL.AppendDecode(nil, src); err == nil &&
			base64.RawURLEncoding.EncodeToString(v) != string(src) {
			t.Errorf("url: %q is not the text of its value", src)
		}
		if v, err := Base64URLPadded.AppendDecode(nil, src); err == nil &&
			base64.URLEncoding.EncodeToString(v) != string(src) {
			t.Errorf("padded: %q is not the text of its value", src)
		}
	})
}
