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

// A scalar below 2^253 has 64 signed digits to the base 16, from -8 to 8. A table has the multiples 1 to 8 of
// 256^i A for 32 values of i, which serve the even digits. The odd ones take the same entries, and their sum
// is multiplied by 16.
const (
	windows   = 32
	multiples = 8
)

// errKey is the error of a key that crypto/ed25519 verifies nothing with.
var errKey = errors.New("edtable: the public key is not a point of the curve")

// Table has the multiples of one public key. It does not change, and any number of goroutines may use it.
type Table struct {
	public  [ed25519.PublicKeySize]byte
	entries entries // of -A
}

type entries [windows][multiples]affine

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
	t.entries.set(a.Negate(a))
	generator() // now, so that no call of Verify waits for it
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
	r := sumOf(generator(), digits(s), &t.entries, digits(k))
	return subtle.ConstantTimeCompare(r[:], sig[:32]) == 1
}

// generator returns the table of the base point B. It is made with the first table of a key.
var generator = sync.OnceValue(func() *entries {
	e := &entries{}
	e.set(edwards25519.NewGeneratorPoint())
	return e
})

// sumOf returns the encoding of [a]P + [b]Q, for the tables of P and Q.
func sumOf(p *entries, a [64]int8, q *entries, b [64]int8) [32]byte {
	var v point
	v.y.One()
	v.z.One()
	for i := 1; i < len(a); i += 2 {
		v.addMultiple(&p[i/2], a[i])
		v.addMultiple(&q[i/2], b[i])
	}
	for range 4 {
		v.double()
	}
	for i := 0; i < len(a); i += 2 {
		v.addMultiple(&p[i/2], a[i])
		v.addMultiple(&q[i/2], b[i])
	}
	return v.encode()
}

// digits returns the signed digits of s to the base 16, the lowest first.
func digits(s *edwards25519.Scalar) (list [64]int8) {
	for i, b := range s.Bytes() {
		list[2*i], list[2*i+1] = int8(b&15), int8(b>>4)
	}
	for i := range len(list) - 1 {
		if list[i] >= 8 {
			list[i] -= 16
			list[i+1]++
		}
	}
	return list
}

// addMultiple adds the multiple n of the point whose multiples are given, for n from -8 to 8. The formulas
// are complete: they hold for every pair of points of the curve (Hisil et al., 2008, section 3.1, with
// a = -1).
func (v *point) addMultiple(of *[multiples]affine, n int8) {
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

// set fills the table with the multiples of p.
func (e *entries) set(p *edwards25519.Point) {
	p = new(edwards25519.Point).Set(p)
	all := make([]edwards25519.Point, windows*multiples)
	for i := range windows {
		row := all[i*multiples:][:multiples]
		row[0].Set(p)
		for j := 1; j < multiples; j++ {
			row[j].Add(&row[j-1], p)
		}
		p.Double(&row[multiples-1]) // 16 p
		for range 4 {
			p.Double(p)
		}
	}
	// One inversion serves all Z (Montgomery's trick): before[i] is the product of those before the i-th.
	var product, z field.Element
	before := make([]field.Element, len(all))
	product.One()
	for i := range all {
		before[i].Set(&product)
		_, _, z, _ := all[i].ExtendedCoordinates()
		product.Multiply(&product, z)
	}
	product.Invert(&product)
	for i := len(all) - 1; i >= 0; i-- {
		px, py, pz, _ := all[i].ExtendedCoordinates()
		z.Multiply(&product, &before[i]) // 1 / Z of the i-th
		product.Multiply(&product, pz)
		px.Multiply(px, &z)
		py.Multiply(py, &z)
		entry := &e[i/multiples][i%multiples]
		entry.yPlusX.Add(py, px)
		entry.yMinusX.Subtract(py, px)
		entry.xy2d.Multiply(px, py)
		entry.xy2d.Multiply(&entry.xy2d, twoD())
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
