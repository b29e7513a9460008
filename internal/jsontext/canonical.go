package jsontext

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Document is a JSON value that was read strictly, and its canonical form.
type Document struct {
	Value       Value  // aliases the text that it was read from
	IsCanonical bool   // Value is in canonical form
	Canonical   []byte // the canonical form; Value itself if IsCanonical, nil if Err is not nil
	Err         error  // an *Error with the Fault Number if a number has no canonical form
}

// AppendCanonical appends the canonical form of the JSON text to dst. White space around the value is
// allowed. dst and text must not overlap, since the canonical form may be the longer one (1e20). On an error,
// which is always an *Error, dst comes back as it was. The Fault is Number only if nothing else is wrong with
// the text.
func AppendCanonical(dst, text []byte) ([]byte, error) {
	d := NewDecoder(text)
	doc := d.read(0, len(text), dst)
	if err := d.End(); err != nil {
		return dst, err
	}
	return append(dst, doc.Canonical...), doc.Err
}

// ReadDocument reads a value that counts as a document of its own: MaxDepth is for it alone.
func (d *Decoder) ReadDocument() Document { return d.read(0, len(d.b)-d.i, nil) }

// read reads a value inside so many objects and arrays. A canonical form that is not the value itself is
// written behind dst, in the memory of dst if that has room, else in new memory of so many bytes or more. If
// room is noForm, only Value is set, and nothing is written.
func (d *Decoder) read(around, room int, dst []byte) (doc Document) {
	if d.err != nil {
		return doc
	}
	s := scanner{b: d.b, limit: MaxDepth - around, noForm: room == noForm}
	if end := s.value(d.i); end >= 0 {
		doc.Value, doc.IsCanonical = d.b[d.i:end:end], true
		doc.Canonical = doc.Value
		d.i = SkipSpace(d.b, end)
		return doc
	}
	s = scanner{b: d.b, limit: MaxDepth - around, write: true, noForm: room == noForm}
	s.out = slices.Grow(dst, max(0, room))
	s.members = make([]member, 0, 32) // enough for most texts
	end := s.value(d.i)
	if s.err != nil {
		d.err = s.err
		return doc
	}
	value := bytes.TrimRight(d.b[d.i:end], " \n\r\t")
	doc.Value = value[:len(value):len(value)]
	d.i = end
	if s.refused != nil {
		doc.Err = s.refused
	} else {
		doc.Canonical = s.out[len(dst):]
	}
	return doc
}

// noForm is the room of a value whose canonical form is not wanted.
const noForm = -1

// scanner reads one value strictly. Its methods take the index at which something begins, and return the
// index after it, or -1.
//
// It is used in two ways. The first one checks that the text is in canonical form, as most texts are, and
// returns -1 where it is not: where members are not in order, for example. The canonical order is also the
// proof that no name repeats. The second one writes the canonical form. It finds the error of a text that is
// not JSON.
type scanner struct {
	b      []byte
	limit  int  // of the depth
	write  bool // the second way
	noForm bool // only errors are looked for: spellings do not matter, and the second way writes nothing

	// The objects and arrays that it is in. Each has the member (as the offset of its name in b) or the
	// element n (as ^n) that is being read.
	path  [MaxDepth]int
	depth int
	tiny  int // numbers that are slow to convert

	out     []byte   // the canonical form so far
	members []member // of the objects that it is in, as far as they are written
	scratch []byte
	refused *Error // of the first number that has no canonical form
	err     *Error
}

// member is a member of an object that was written: out[start:end] is `"name":value`.
type member struct{ start, end, name int } // name: its offset in b

// value reads a value. If it writes, it also steps over the white space behind the value.
func (s *scanner) value(i int) int {
	if i >= len(s.b) {
		return s.fail(Syntax, i, "the text ends where a value was expected")
	}
	switch c := s.b[i]; c {
	case '"':
		return s.string(i)
	case '{', '[':
		return s.container(i)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number(i)
	case 't', 'f', 'n':
		for _, word := range [...]string{"true", "false", "null"} {
			if len(s.b)-i >= len(word) && string(s.b[i:i+len(word)]) == word {
				return s.token(i, i+len(word))
			}
		}
	}
	return s.fail(Syntax, i, "a value was expected")
}

// token takes b[i:end], which stands in the canonical form as well, and the white space behind it.
func (s *scanner) token(i, end int) int {
	if !s.write {
		return end
	}
	if !s.noForm {
		s.out = append(s.out, s.b[i:end]...)
	}
	return SkipSpace(s.b, end)
}

// container reads an object or an array.
func (s *scanner) container(i int) int {
	if s.depth >= s.limit {
		return s.fail(Depth, i, "nested too deeply")
	}
	last := s.b[i] + 2 // the closing bracket, in ASCII
	first, previous, ordered := len(s.members), -1, true
	i = s.token(i, i+1)
	if i < len(s.b) && s.b[i] == last {
		return s.token(i, i+1)
	}
	for n := 0; ; n++ {
		segment := ^n
		if last == '}' {
			if i >= len(s.b) || s.b[i] != '"' {
				return s.fail(Syntax, i, "a member name was expected")
			}
			if segment = i; s.write {
				s.members = append(s.members, member{start: len(s.out), name: segment})
			}
			if i = s.string(i); i < 0 {
				return -1
			}
			if previous >= 0 && ordered && compareNames(s.b, previous, segment) >= 0 {
				if ordered = false; !s.write {
					return -1
				}
			}
			previous = segment
			if i >= len(s.b) || s.b[i] != ':' {
				return s.fail(Syntax, i, "':' was expected")
			}
			i = s.token(i, i+1)
		}
		s.path[s.depth], s.depth = segment, s.depth+1
		m := len(s.members) - 1
		if i = s.value(i); i < 0 {
			return -1
		}
		s.depth--
		if s.write && last == '}' {
			s.members[m].end = len(s.out)
		}
		switch {
		case i < len(s.b) && s.b[i] == ',':
			i = s.token(i, i+1)
		case i >= len(s.b) || s.b[i] != last:
			return s.fail(Syntax, i, "',' or '"+string(rune(last))+"' was expected")
		case !ordered && !s.sort(s.members[first:]):
			return -1
		default:
			s.members = s.members[:first]
			return s.token(i, i+1)
		}
	}
}

// sort brings the members of an object, which end out, into order. It fails at the first name that repeats an
// earlier one.
func (s *scanner) sort(list []member) bool {
	start := list[0].start
	slices.SortFunc(list, func(m, n member) int {
		// Of two equal names, the later one is the repetition.
		return cmp.Or(compareNames(s.b, m.name, n.name), cmp.Compare(m.name, n.name))
	})
	twice := -1
	for i := 1; i < len(list); i++ {
		if name := list[i].name; (twice < 0 || name < twice) &&
			compareNames(s.b, list[i-1].name, name) == 0 {
			twice = name
		}
	}
	if twice >= 0 {
		s.path[s.depth] = twice
		s.depth++
		s.fail(Duplicate, twice, "the object has another member of that name")
		return false
	}
	if s.noForm {
		return true
	}
	s.scratch = append(s.scratch[:0], s.out[start:]...)
	s.out = s.out[:start]
	for i, m := range list {
		if i > 0 {
			s.out = append(s.out, ',')
		}
		s.out = append(s.out, s.scratch[m.start-start:m.end-start]...)
	}
	return true
}

// string reads a string.
func (s *scanner) string(i int) int {
	// Most strings have no escapes. To read them here takes a tenth less than a call of readString.
	if end, wide := plain(s.b, i+1); end < len(s.b) && s.b[end] == '"' &&
		(wide == 0 || utf8.Valid(s.b[i+1:end])) {
		return s.token(i, end+1)
	}
	end, _, canonical, err := readString(s.b, i)
	switch {
	case err != nil:
		return s.fail(err.Fault, err.Offset, err.Msg)
	case canonical || s.noForm:
		return s.token(i, end)
	case !s.write:
		return -1
	}
	s.out = append(s.out, '"')
	for i++; ; {
		run, _ := plain(s.b, i)
		if s.out = append(s.out, s.b[i:run]...); s.b[run] == '"' {
			s.out = append(s.out, '"')
			return SkipSpace(s.b, end)
		}
		var r rune
		r, i, _ = unescape(s.b, run)
		s.out = appendRune(s.out, r)
	}
}

// maxTiny bounds the numbers of one text that are slow to convert: each takes some 15 us.
const maxTiny = 1000

// number reads a number.
func (s *scanner) number(i int) int {
	end, plain := numberEnd(s.b, i)
	if end < 0 {
		return s.fail(Syntax, i, "not a number of JSON")
	}
	if plain || s.noForm {
		return s.token(i, end)
	}
	var room [maxNumber]byte
	form, ok := room[:0], false
	if d, exact := parseDecimal(s.b[i:end]); exact {
		if d.n > 0 && -330 <= d.point && d.point < -306 { // subnormal or nearly: slow to convert
			s.tiny++
		}
		if s.tiny <= maxTiny {
			form, ok = d.appendCanonical(form)
		}
	}
	switch {
	case !s.write && ok && string(form) == string(s.b[i:end]):
		return end
	case !s.write:
		return -1
	case !ok && s.refused == nil:
		s.fail(Number, i, "a number has no exact canonical form: "+
			"send it as a string, or as one that a float64 holds exactly")
		s.refused, s.err = s.err, nil
	}
	s.out = append(s.out, form...)
	return SkipSpace(s.b, end)
}

// maxPointer bounds Error.Pointer in bytes: a name may be a megabyte, and errors go to logs.
const maxPointer = 256

// fail returns -1. If s writes, it sets the error of the value that is being read.
func (s *scanner) fail(fault Fault, at int, msg string) int {
	if !s.write {
		return -1
	}
	var pointer []byte
	for _, segment := range s.path[:s.depth] {
		if pointer = append(pointer, '/'); segment < 0 {
			pointer = strconv.AppendInt(pointer, int64(^segment), 10)
		} else {
			end, _, _, _ := readString(s.b, segment)
			name, _ := AppendUnquote(nil, s.b[segment:end])
			pointer = append(pointer, pointerEscapes.Replace(string(name))...)
		}
		if len(pointer) > maxPointer {
			cut := strings.ToValidUTF8(string(pointer[:maxPointer]), "") // no half of a character
			pointer = append([]byte(strings.TrimSuffix(cut, "~")), "…"...)
			break
		}
	}
	s.err = &Error{Fault: fault, Pointer: string(pointer), Offset: at, Msg: msg}
	return -1
}

// compareNames orders the strings whose opening quotes are at b[i] and b[j] by their UTF-16 code units (RFC
// 8785 section 3.2.3), however they are spelled. Both were read without error.
func compareNames(b []byte, i, j int) int {
	for i, j = i+1, j+1; ; {
		c, d := b[i], b[j]
		switch {
		case c == '\\' || d == '\\':
			r, x := runeAt(b, i)
			q, y := runeAt(b, j)
			if r != q {
				if (r >= 0x10000) != (q >= 0x10000) && min(r, q) >= 0xE000 {
					r, q = q, r // in UTF-16, a surrogate comes before U+E000 to U+FFFF
				}
				return cmp.Compare(r, q)
			}
			i, j = x, y
		case c != d:
			return cmp.Compare(rank(c), rank(d))
		case c == '"':
			return 0
		default:
			i, j = i+1, j+1
		}
	}
}

// rank orders bytes that differ after an equal prefix of UTF-8 as the UTF-16 code units would be ordered. The
// end of a string comes first. UTF-8 has the order of UTF-16, but for the first bytes of U+E000 to U+FFFF,
// which come after those of larger characters.
func rank(c byte) byte {
	switch c {
	case '"':
		return 0
	case 0xEE, 0xEF:
		return c + 0x10
	}
	return c
}

// runeAt is the character at b[i] and the index after it. The end of the string is -1.
func runeAt(b []byte, i int) (r rune, end int) {
	switch b[i] {
	case '"':
		return -1, i
	case '\\':
		r, end, _ = unescape(b, i)
		return r, end
	}
	r, size := utf8.DecodeRune(b[i:])
	return r, i + size
}

const (
	// maxInteger is how many digits an integer may have to be written in plain digits. RFC 8785 changes to an
	// exponent there as well (ECMAScript Number::toString).
	maxInteger = 21
	// exactDigits is how many digits a decimal may have so that float64 tells it from every other one of so
	// many digits (DBL_DIG, outside the subnormal range): it is then the shortest form of its float64.
	exactDigits = 15
	// maxFloat is how many digits the shortest form of a float64 has at most.
	maxFloat = 17
	// maxNumber is room for the longest canonical number: -0.00000 and 17 digits are 25 bytes.
	maxNumber = 32
	// hugeExponent is larger than any text is long, and small enough that adding to it cannot overflow.
	hugeExponent = 1 << 48
)

// numberEnd returns the index after the number at b[i], or -1 if it is none (RFC 8259 section 6). plain says
// that its canonical form is easy to see: an integer of at most 21 digits, but not -0, or a short fraction.
// Nearly all numbers are so, and need no decimal.
func numberEnd(b []byte, i int) (end int, plain bool) {
	digits := func() (n int) {
		for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
			n++
		}
		return n
	}
	negative := b[i] == '-'
	if negative {
		i++
	}
	first := i
	n := digits()
	if n == 0 || n > 1 && b[first] == '0' {
		return -1, false
	}
	plain = n <= maxInteger && !(negative && b[first] == '0')
	if i < len(b) && b[i] == '.' {
		if i++; digits() == 0 {
			return -1, false
		}
		// No more than exactDigits digits, no 0 at the end, and large enough not to need an exponent.
		text := b[first:i]
		plain = len(text) <= exactDigits+1 && text[len(text)-1] != '0' &&
			(text[0] != '0' || string(text[:min(len(text), 7)]) > "0.00000")
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		plain = false
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if digits() == 0 {
			return -1, false
		}
	}
	return i, plain
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
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		exponent, _ := strconv.ParseInt(string(text[e+1:]), 10, 64) // too large a one is cut to 64 bits
		d.point = max(-hugeExponent, min(exponent, hugeExponent))
		text = text[:e]
	}
	whole, zeros := int64(1), 0 // 1 before the decimal point; zeros that matter only if a digit follows
	for _, c := range text {
		switch {
		case c == '.':
			whole = 0
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

// appendCanonical appends the canonical form of d, or says that it has none. The form is that of ECMAScript's
// Number::toString. In its words, n is d.point and k is d.n.
func (d *decimal) appendCanonical(dst []byte) ([]byte, bool) {
	if d.n == 0 {
		return append(dst, '0'), true
	}
	digits, point := d.digits[:d.n], int(d.point)
	isExact := d.n <= exactDigits && -300 < point && point < 300 // as its float64 is
	if !isExact && (d.n > point || point > maxInteger) {         // does the shortest form of its float64 say it?
		if d.n > maxFloat || point < -330 || point > 310 {
			return dst, false
		}
		var room [40]byte
		text := append(append(room[:0], "0."...), digits...)
		text = strconv.AppendInt(append(text, 'e'), d.point, 10)
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil { // beyond the largest float64
			return dst, false
		}
		shortest, ok := parseDecimal(strconv.AppendFloat(room[:0], f, 'e', -1, 64))
		if shortest.negative = d.negative; !ok || shortest != *d {
			return dst, false
		}
	}
	if d.negative {
		dst = append(dst, '-')
	}
	const zeros = "000000000000000000000" // maxInteger
	switch {
	case d.n <= point && point <= maxInteger:
		return append(append(dst, digits...), zeros[:point-d.n]...), true
	case 0 < point && point <= maxInteger:
		dst = append(append(dst, digits[:point]...), '.')
		return append(dst, digits[point:]...), true
	case -6 < point && point <= 0:
		return append(append(append(dst, "0."...), zeros[:-point]...), digits...), true
	}
	dst = append(dst, digits[0])
	if d.n > 1 {
		dst = append(append(dst, '.'), digits[1:]...)
	}
	dst = append(dst, 'e')
	if point > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(point-1), 10), true
}
