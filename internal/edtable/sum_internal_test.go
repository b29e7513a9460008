package edtable

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"filippo.io/edwards25519"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// TestSumOf compares R' itself, where a verdict compares only whether it is R. Scalars and points are those
// at which digits, carries and exceptional cases of an addition would show: sums of a point with itself or
// with its negative, points of small order, and encodings that are not canonical.
func TestSumOf(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	list := append(sumPoints(t), randomPoints(t, random, cases.Of(200))...)
	for _, p := range list {
		var table Table
		minus := new(edwards25519.Point).Negate(p)
		setRows(table.rows[:], keyRow, 5, minus)
		for range 8 {
			s, k := sumScalar(t, random), sumScalar(t, random)
			if random.IntN(4) == 0 {
				k = s
			}
			want := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(k, minus, s).Bytes()
			if got := table.sum(s, k); !bytes.Equal(got[:], want) {
				t.Fatalf("[%x]B - [%x]%x = %x, want %x", s.Bytes(), k.Bytes(), p.Bytes(), got, want)
			}
		}
	}
}

// sumPoints returns those of small order in many encodings, and B, its small multiples and their negatives,
// each with each point of order 8 added.
func sumPoints(t *testing.T) (list []*edwards25519.Point) {
	t.Helper()
	for first := range 256 {
		for _, rest := range []byte{0, 0xff} {
			for _, last := range []byte{0, 0x7f, 0x80, 0xff} {
				text := bytes.Repeat([]byte{rest}, 32)
				text[0], text[31] = byte(first), last
				if p, err := new(edwards25519.Point).SetBytes(text); err == nil {
					list = append(list, p)
				}
			}
		}
	}
	order8, err := new(edwards25519.Point).SetBytes([]byte("\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76" +
		"\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a"))
	if err != nil {
		t.Fatal(err)
	}
	multiple := edwards25519.NewIdentityPoint()
	for range 20 {
		torsion := edwards25519.NewIdentityPoint()
		for range 8 {
			p := new(edwards25519.Point).Add(multiple, torsion)
			list = append(list, p, new(edwards25519.Point).Negate(p))
			torsion.Add(torsion, order8)
		}
		multiple.Add(multiple, edwards25519.NewGeneratorPoint())
	}
	return list
}

// randomPoints returns points by random encodings. Most are of mixed order.
func randomPoints(t *testing.T, random *rand.Rand, n int) (list []*edwards25519.Point) {
	t.Helper()
	for len(list) < n {
		text := make([]byte, 32)
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		if p, err := new(edwards25519.Point).SetBytes(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// sumScalar returns a scalar: random, small, small below the order, or with few different digits.
func sumScalar(t *testing.T, random *rand.Rand) *edwards25519.Scalar {
	t.Helper()
	text := make([]byte, 64)
	kind := random.IntN(6)
	switch kind {
	case 0, 1: // small
		text[0] = byte(random.Uint32())
	case 2: // any
		for i := range text {
			text[i] = byte(random.Uint32())
		}
	case 3: // digits of 6 bits: 32, 31, 33 and 0, four in three bytes
		four := []string{"\x20\x08\x82", "\xdf\xf7\x7d", "\x61\x18\x86", "\x00\x00\x00"}
		for i := range 10 {
			copy(text[3*i:], four[random.IntN(len(four))])
		}
		text[31] = byte(random.IntN(16))
	default:
		digits := []byte{0, 0x77, 0x78, 0x87, 0x88, 0x8f, 0xff, 0x08, 0x80}
		a, b := digits[random.IntN(len(digits))], digits[random.IntN(len(digits))]
		for i := range 31 {
			text[i] = a
			if random.IntN(2) == 0 {
				text[i] = b
			}
		}
		text[31] = byte(random.IntN(16))
	}
	s, err := new(edwards25519.Scalar).SetUniformBytes(text)
	if err != nil {
		t.Fatal(err)
	}
	if kind == 1 {
		s.Negate(s)
	}
	return s
}
