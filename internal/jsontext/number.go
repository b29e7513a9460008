package jsontext

import (
	"errors"
	"strconv"
)

const (
	// maxInteger is how many digits an integer may have to be written in plain digits. RFC 8785 changes
	// to an exponent there as well (ECMAScript Number::toString).
	maxInteger = 21
	// exactDigits is how many digits a decimal may have so that float64 tells it from every other one of
	// so many digits (DBL_DIG, outside the subnormal range): it is then the shortest form of its float64.
	exactDigits = 15
	// maxFloat is how many digits the shortest form of a float64 has at most.
	maxFloat = 17
	// maxNumber is room for the longest canonical number: -0.00000 and 17 digits are 25 bytes.
	maxNumber = 32
	// hugeExponent is larger than any text is long, and small enough that adding to it cannot overflow.
	hugeExponent = 1 << 48
)

// numberEnd returns the index after the number at b[i], or -1 if it is none (RFC 8259 section 6), and
// whether it is in plain canonical form: an integer in at most 21 digits, but not -0, or a short
// fraction. That spares nearly all numbers the way through a decimal.
func numberEnd(b []byte, i int) (end int, plain bool) {
	negative := i < len(b) && b[i] == '-'
	if negative {
		i++
	}
	first := i
	if i = digits(b, i); i == first || (b[first] == '0' && i > first+1) {
		return -1, false
	}
	plain = i-first <= maxInteger && !(negative && b[first] == '0')
	if i < len(b) && b[i] == '.' {
		if i = digits(b, i+1); b[i-1] == '.' {
			return -1, false
		}
		// It is canonical for simple reasons: it has at most exactDigits digits, does not end in 0, and is
		// large enough not to need an exponent.
		text := b[first:i]
		plain = len(text) <= exactDigits+1 && text[len(text)-1] != '0' &&
			(text[0] != '0' || string(text[:min(len(text), 7)]) > "0.00000")
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		plain = false
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first = i
		if i = digits(b, i); i == first {
			return -1, false
		}
	}
	return i, plain
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// appendCanonical appends the canonical form of d, or says that it has none.
func (d *decimal) appendCanonical(dst []byte) ([]byte, bool) {
	isInteger := d.n == 0 || (int64(d.n) <= d.point && d.point <= maxInteger)
	if !isInteger && !d.isFloat() {
		return dst, false
	}
	return d.append(dst), true
}

// decimal is the exact value 0.DIGITS * 10^point. The first and the last digit are not 0; zero has no digits.
type decimal struct {
	negative bool
	digits   [maxInteger]byte
	n        int
	point    int64
}

// parseDecimal reads a number of JSON. One of more than 21 significant digits has no canonical form: ok is
// false. It takes a number of a megabyte, or one with an exponent of a megabyte, in one pass.
func parseDecimal(text []byte) (d decimal, ok bool) {
	if text[0] == '-' {
		d.negative = true
		text = text[1:]
	}
	whole, zeros := int64(1), 0 // 1 before the decimal point; zeros that matter only if a digit follows
	for i, c := range text {
		switch {
		case c == '.':
			whole = 0
		case c|0x20 == 'e':
			d.point += exponent(text[i+1:])
			return d, true
		case c == '0' && d.n == 0:
			d.point += whole - 1
		case c == '0':
			d.point += whole
			zeros++
		default:
			d.point += whole
			if d.n+zeros >= len(d.digits) {
				return d, false
			}
			for ; zeros > 0; zeros-- {
				d.digits[d.n] = '0'
				d.n++
			}
			d.digits[d.n] = c
			d.n++
		}
	}
	return d, true
}

// exponent reads what follows the e, and stops counting where it is beyond all use.
func exponent(text []byte) int64 {
	negative := text[0] == '-'
	var e int64
	for _, c := range text {
		if c -= '0'; c <= 9 {
			e = min(e*10+int64(c), hugeExponent)
		}
	}
	if negative {
		return -e
	}
	return e
}

// isFloat says whether d is exactly what the shortest form of its float64 says. d is not zero.
func (d *decimal) isFloat() bool {
	if d.n <= exactDigits && -300 < d.point && d.point < 300 {
		return true
	}
	if d.n > maxFloat || d.point < -330 || d.point > 310 {
		return false
	}
	var text [40]byte
	written := append(text[:0], "0."...)
	written = append(written, d.digits[:d.n]...)
	written = append(written, 'e')
	written = strconv.AppendInt(written, d.point, 10)
	f, err := strconv.ParseFloat(string(written), 64)
	if err != nil && errors.Is(err, strconv.ErrRange) {
		return false
	}
	shortest, ok := parseDecimal(strconv.AppendFloat(text[:0], f, 'e', -1, 64))
	shortest.negative = d.negative
	return ok && shortest == *d
}

// append writes d as ECMAScript's Number::toString does; in its words, n is d.point and k is d.n.
func (d *decimal) append(dst []byte) []byte {
	if d.n == 0 {
		return append(dst, '0')
	}
	if d.negative {
		dst = append(dst, '-')
	}
	const zeros = "000000000000000000000" // maxInteger
	digits, point := d.digits[:d.n], int(d.point)
	switch {
	case d.n <= point && point <= maxInteger:
		return append(append(dst, digits...), zeros[:point-d.n]...)
	case 0 < point && point <= maxInteger:
		dst = append(append(dst, digits[:point]...), '.')
		return append(dst, digits[point:]...)
	case -6 < point && point <= 0:
		return append(append(append(dst, "0."...), zeros[:-point]...), digits...)
	}
	dst = append(dst, digits[0])
	if d.n > 1 {
		dst = append(append(dst, '.'), digits[1:]...)
	}
	dst = append(dst, 'e')
	if point > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(point-1), 10)
}
