package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"testing"

	"filippo.io/edwards25519"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// plainCheckEd25519 is checkEd25519 by its definition: the point is encoded again, and multiplied by the
// cofactor.
func plainCheckEd25519(k []byte) string {
	p, err := new(edwards25519.Point).SetBytes(k)
	if err != nil || !bytes.Equal(p.Bytes(), k) {
		return "keys: the Ed25519 key is not a canonically encoded point"
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return "keys: the Ed25519 key is a point of small order"
	}
	return ""
}

// wantPlainCheck fails if checkEd25519 and its definition differ on k.
func wantPlainCheck(t *testing.T, k []byte) (verdict string) {
	t.Helper()
	if err := checkEd25519(k); err != nil {
		verdict = err.Error()
	}
	if want := plainCheckEd25519(k); verdict != want {
		t.Fatalf("%x: %q, by definition %q", k, verdict, want)
	}
	return verdict
}

// eightTorsion are the points of small order: the multiples of one of order 8.
func eightTorsion(t testing.TB) (list [8]*edwards25519.Point) {
	t.Helper()
	p, err := new(edwards25519.Point).SetBytes(unhexT(t,
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))
	if err != nil {
		t.Fatal(err)
	}
	list[0] = edwards25519.NewIdentityPoint()
	for i := 1; i < len(list); i++ {
		list[i] = new(edwards25519.Point).Add(list[i-1], p)
	}
	return list
}

// A curve has at most 8 points whose order divides 8, and these are 8 with the 5 y of the list. So the list
// has the y of all of them, and no other y.
func TestSmallOrderIsComplete(t *testing.T) {
	var points, ys []string
	for _, p := range eightTorsion(t) {
		if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) != 1 {
			t.Fatalf("%x is not of small order", p.Bytes())
		}
		k := p.Bytes()
		if got := wantPlainCheck(t, k); got != "keys: the Ed25519 key is a point of small order" {
			t.Errorf("%x: %q", k, got)
		}
		points = append(points, string(k))
		k[31] &= 0x7f
		ys = append(ys, string(k))
	}
	slices.Sort(points)
	slices.Sort(ys)
	ys = slices.Compact(ys)
	if n := len(slices.Compact(points)); n != 8 || !slices.Equal(ys, slices.Sorted(slices.Values(smallOrderY[:]))) {
		t.Errorf("%d points of small order, with the y %x", n, ys)
	}
}

// Around every boundary of the encoding, the check says what the definition says.
func TestEd25519KeysAreCheckedByDefinition(t *testing.T) {
	try := func(k []byte) {
		for _, sign := range []byte{0, 0x80} {
			other := bytes.Clone(k)
			other[31] ^= sign
			wantPlainCheck(t, other)
		}
	}
	flip := func(k []byte) {
		for bit := range 256 {
			other := bytes.Clone(k)
			other[bit/8] ^= 1 << (bit % 8)
			wantPlainCheck(t, other)
		}
	}
	for n := range 256 { // y of 0 to 255, and of 2^255-256 to 2^255-1, in which p = 2^255-19 lies
		low, high := make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)
		low[0], high[0], high[31] = byte(n), byte(n), 0x7f
		try(low)
		try(high)
		for i := 1; i < 32; i++ { // one byte less than all of them
			below := bytes.Clone(high)
			below[i]--
			try(below)
		}
	}
	torsion := eightTorsion(t)
	for _, p := range torsion {
		flip(p.Bytes())
	}
	for range cases.Of(20_000) {
		k := make([]byte, 32)
		_, _ = rand.Read(k)
		if wantPlainCheck(t, k) != "" {
			continue
		}
		p, _ := new(edwards25519.Point).SetBytes(k) // of any order, as random points are
		for _, small := range torsion {
			wantPlainCheck(t, new(edwards25519.Point).Add(p, small).Bytes())
		}
		wantPlainCheck(t, new(edwards25519.Point).MultByCofactor(p).Bytes())
	}
	for range 20 {
		public, _, _ := ed25519.GenerateKey(nil)
		if got := wantPlainCheck(t, public); got != "" {
			t.Errorf("%x: %q", public, got)
		}
		flip(public)
	}
}

// FuzzEd25519Key: the check says what its definition says.
func FuzzEd25519Key(f *testing.F) {
	for _, p := range eightTorsion(f) {
		f.Add(p.Bytes())
	}
	f.Add(edwards25519.NewGeneratorPoint().Bytes())
	f.Add(bytes.Repeat([]byte{0xff}, 32))
	f.Fuzz(func(t *testing.T, k []byte) {
		if len(k) == ed25519.PublicKeySize {
			wantPlainCheck(t, k)
		}
	})
}
