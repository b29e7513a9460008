package ecdsasig

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"testing"
)

func TestRawFromDER(t *testing.T) {
	for _, raw := range [][]byte{
		bytes.Repeat([]byte{0xff}, 64), bytes.Repeat([]byte{0x7f}, 64),
		append(make([]byte, 31), append([]byte{1}, bytes.Repeat([]byte{0x80}, 32)...)...),
	} {
		if got, err := RawFromDER(derOf(t, raw)); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%x came back as %x (%v)", raw, got, err)
		}
	}
	for name, h := range map[string]string{
		"empty": "", "not a sequence": "3106020101020101", "zero": "3006020100020101",
		"negative": "3006020180020101", "not minimal": "300702020001020101",
		"trailing": "300602010102010100", "trailing inside": "300702010102010100",
		"one integer": "3003020101", "short": "300602010102",
		"empty integer": "30050200020101", "long form": "308106020101020101", "too large": "3026022101" +
			"0000000000000000000000000000000000000000000000000000000000000000" + "020101",
	} {
		if raw, err := RawFromDER(unhex(t, h)); err == nil {
			t.Errorf("%s is accepted as %x", name, raw)
		}
	}
}

func FuzzRawFromDER(f *testing.F) {
	f.Add(derOf(f, bytes.Repeat([]byte{0xff}, 64)))
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Fuzz(func(t *testing.T, der []byte) {
		raw, err := RawFromDER(der)
		if err == nil && !bytes.Equal(derOf(t, raw), der) {
			t.Errorf("%x is read as %x, which is written as %x", der, raw, derOf(t, raw))
		}
	})
}

func derOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]),
		new(big.Int).SetBytes(raw[32:])})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
