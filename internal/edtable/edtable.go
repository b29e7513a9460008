// Package edtable verifies Ed25519 signatures with a table of multiples of the public key. A verification
// takes about a third of the time of crypto/ed25519, and making a table takes about that of three
// verifications, so a table pays for a key that signs many messages.
//
// Verify gives the verdict of crypto/ed25519 for every input: it computes R' = [S]B - [k]A for the same
// integers S and k, and compares the encoding of R' with R byte by byte (RFC 8032, section 5.1.7, without the
// cofactor). The package handles public data only, and its time depends on that data. It makes no signatures
// and never sees a secret scalar.
package edtable

import (
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"sync"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// A table has rows of multiples, 1 to the length of a row. A scalar below 2^253 is a sum of signed digits.
//
// The one of a key serves digits of 4 bits, from -8 to 8, of which a scalar has 64. Row i is of 256^i A, and
// serves the even digits. The odd ones take the same rows, and their sum is multiplied by 16.
//
// The one of the base point B serves digits of 6 bits, from -32 to 32, of which a scalar has 43. Row i is of
// 64^i B. It takes 165 KB, but there is only one.
const (
	keyRow, keyRows   = 8, 32
	baseRow, baseRows = 32, 43
)

// errKey is the error of a key that crypto/ed25519 verifies nothing with.
var errKey = errors.New("edtable: the public key is not a point of the curve")

// Table has the multiples of one public key. It does not change, and any number of goroutines may use it.
type Table struct {
	public [ed25519.PublicKeySize]byte
	rows   [keyRows * keyRow]affine // of -A
}

// affine is a point with Z = 1, in the form that an addition needs.
type affine struct {
	yPlusX, yMinusX, xy2d field.Element
}

// point is a point in extended coordinates: x = X/Z, y = Y/Z, xy = T/Z.
type point struct {
	x, y, z, t field.Element
}

// New makes the table of a public key. It returns an error if the key is not the encoding of a point: no
// signature verifies under such a key.
func New(public ed25519.PublicKey) (*Table, error) {
	t := &Table{}
	if len(public) != len(t.public) {
		return nil, errKey
	}
	a, err := new(edwards25519.Point).SetBytes(public)
	if err != nil {
		return nil, errKey
	}
	copy(t.public[:], public)
	setRows(t.rows[:], keyRow, 5, a.Negate(a)) // 8 A, doubled 5 times, is 256 A
	base()                                     // now, so that no call of Verify waits for it
	return t, nil
}

// Verify reports whether sig is a signature of message by the key of the table.
func (t *Table) Verify(message, sig []byte) bool {
	if len(sig) != ed25519.SignatureSize {
		return false
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return false
	}
	hash := sha512.New()
	hash.Write(sig[:32])
	hash.Write(t.public[:])
	hash.Write(message)
	var sum [sha512.Size]byte
	k, err := new(edwards25519.Scalar).SetUniformBytes(hash.Sum(sum[:0]))
	if err != nil {
		return false // not reached: the hash has the right size
	}
	r := t.sum(s, k)
	return subtle.ConstantTimeCompare(r[:], sig[:32]) == 1
}

// base returns the table of B. It is made with the first table of a key.
var base = sync.OnceValue(func() *[baseRows * baseRow]affine {
	rows := new([baseRows * baseRow]affine)
	setRows(rows[:], baseRow, 1, edwards25519.NewGeneratorPoint())
	return rows
})

// sum returns the encoding of [s]B - [k]A.
func (t *Table) sum(s, k *edwards25519.Scalar) [32]byte {
	var v point
	v.y.One()
	v.z.One()
	var ofKey [2 * keyRows]int8
	setDigits(ofKey[:], 4, k)
	for i := 1; i < len(ofKey); i += 2 {
		v.addMultiple(t.rows[i/2*keyRow:][:keyRow], ofKey[i])
	}
	for range 4 {
		v.double()
	}
	for i := 0; i < len(ofKey); i += 2 {
		v.addMultiple(t.rows[i/2*keyRow:][:keyRow], ofKey[i])
	}
	var ofBase [baseRows]int8
	setDigits(ofBase[:], 6, s)
	rows := base()
	for i, n := range ofBase {
		v.addMultiple(rows[i*baseRow:][:baseRow], n)
	}
	return v.encode()
}

// setDigits sets the signed digits of s that have so many bits, the lowest first: from -2^(bits-1) to
// 2^(bits-1) - 1. The list has room for all.
func setDigits(list []int8, bits int, s *edwards25519.Scalar) {
	var text [33]byte
	copy(text[:], s.Bytes())
	carry := 0
	for i := range list {
		at := i * bits
		two := int(text[at/8]) | int(text[at/8+1])<<8
		n := two>>(at%8)&(1<<bits-1) + carry
		carry = 0
		if n >= 1<<(bits-1) {
			n -= 1 << bits
			carry = 1
		}
		list[i] = int8(n)
	}
}

// addMultiple adds the multiple n of the point whose multiples are given, or -n times its negative. The
// formulas are complete: they hold for every pair of points of the curve (Hisil et al., 2008, section 3.1,
// with a = -1).
func (v *point) addMultiple(of []affine, n int8) {
	var plus, minus, product *field.Element // for y + x, y - x and xy of the point to add
	var a, b, c, d, e, f, g, h field.Element
	switch {
	case n > 0:
		m := &of[n-1]
		plus, minus, product = &m.yPlusX, &m.yMinusX, &m.xy2d
	case n < 0: // -(x, y) is (-x, y)
		m := &of[-n-1]
		plus, minus, product = &m.yMinusX, &m.yPlusX, c.Negate(&m.xy2d)
	default:
		return
	}
	a.Multiply(a.Subtract(&v.y, &v.x), minus)
	b.Multiply(b.Add(&v.y, &v.x), plus)
	c.Multiply(&v.t, product)
	d.Add(&v.z, &v.z)
	e.Subtract(&b, &a)
	f.Subtract(&d, &c)
	g.Add(&d, &c)
	h.Add(&b, &a)
	v.x.Multiply(&e, &f)
	v.y.Multiply(&g, &h)
	v.z.Multiply(&f, &g)
	v.t.Multiply(&e, &h)
}

// double doubles the point (Hisil et al., 2008, section 3.3, with a = -1).
func (v *point) double() {
	var a, b, c, e, f, g, h field.Element
	a.Square(&v.x)
	b.Square(&v.y)
	c.Square(&v.z)
	c.Add(&c, &c)
	h.Add(&a, &b)
	e.Square(e.Add(&v.x, &v.y))
	e.Subtract(&h, &e)
	g.Subtract(&a, &b)
	f.Add(&c, &g)
	v.x.Multiply(&e, &f)
	v.y.Multiply(&g, &h)
	v.z.Multiply(&f, &g)
	v.t.Multiply(&e, &h)
}

// encode returns the encoding of RFC 8032, section 5.1.2.
func (v *point) encode() (out [32]byte) {
	var inverse, x, y field.Element
	inverse.Invert(&v.z)
	x.Multiply(&v.x, &inverse)
	y.Multiply(&v.y, &inverse)
	copy(out[:], y.Bytes())
	out[31] |= byte(x.IsNegative() << 7)
	return out
}

// setRows fills a table. Each row has the multiples 1 to row of a point. The point of the first row is p.
// That of each next one is the last multiple of the row before, doubled so many times.
func setRows(rows []affine, row, doublings int, p *edwards25519.Point) {
	p = new(edwards25519.Point).Set(p)
	multiple := new(edwards25519.Point)
	// First each place takes X, Y and Z. One inversion serves all Z (Montgomery's trick): before[i] is the
	// product of those before the i-th.
	var product field.Element
	product.One()
	before := make([]field.Element, len(rows))
	for i := range rows {
		switch {
		case i%row > 0:
			multiple.Add(multiple, p)
		case i > 0:
			for range doublings {
				multiple.Double(multiple)
			}
			p.Set(multiple)
		default:
			multiple.Set(p)
		}
		x, y, z, _ := multiple.ExtendedCoordinates()
		rows[i] = affine{*x, *y, *z}
		before[i].Set(&product)
		product.Multiply(&product, z)
	}
	product.Invert(&product)
	for i := len(rows) - 1; i >= 0; i-- {
		x, y, z := rows[i].yPlusX, rows[i].yMinusX, rows[i].xy2d
		inverse := before[i]
		inverse.Multiply(&inverse, &product)
		product.Multiply(&product, &z)
		x.Multiply(&x, &inverse)
		y.Multiply(&y, &inverse)
		rows[i].yPlusX.Add(&y, &x)
		rows[i].yMinusX.Subtract(&y, &x)
		rows[i].xy2d.Multiply(x.Multiply(&x, &y), twoD())
	}
}

// twoD returns 2d, where d = -121665/121666 is the constant of the curve (RFC 8032, section 5.1).
var twoD = sync.OnceValue(func() *field.Element {
	var one, divisor, d field.Element
	one.One()
	divisor.Invert(divisor.Mult32(&one, 121666))
	d.Negate(d.Mult32(&divisor, 121665))
	return d.Add(&d, &d)
})
