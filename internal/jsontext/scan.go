package jsontext

import (
	"cmp"
	"slices"
)

// scanner is one strict walk over a text. Its methods take the index at which something begins and return
// the index after it, or -1 after fail.
//
// The first walk of a text has no index: ascending names are proof enough that no name repeats. Where they
// do not ascend it gives up (unordered), and a second walk collects names to sort them.
type scanner struct {
	b       []byte
	depth   int  // of the objects and arrays around the value
	keep    bool // the order of members is wanted
	numbers numberMode

	end int // of the value

	canonical bool // so far
	unordered bool
	refused   bool   // some number has no canonical form
	tiny      int    // numbers that are slow to convert
	members   *index // nil in the first walk

	fault Fault
	at    int
	msg   string
	path  []segment // from the fault outwards
}

// numberMode says what a walk does about numbers that have no canonical form.
type numberMode uint8

const (
	ignored numberMode = iota // not canonical, and that is all
	noted                     // sets refused
	fatal                     // fails
)

// segment is one step of the path to a fault: a member, by the offset of its name, or an element.
type segment struct{ name, element int }

func (s *scanner) fail(fault Fault, at int, msg string) int {
	s.fault, s.at, s.msg = fault, at, msg
	return -1
}

// within passes a failure on to the enclosing value.
func (s *scanner) within(at segment) int {
	if s.fault != 0 {
		s.path = append(s.path, at)
	}
	return -1
}

func (s *scanner) err() error {
	return &Error{Fault: s.fault, Pointer: pointer(s.b, s.path), Offset: s.at, Msg: s.msg}
}

// read reads the value at i and returns its end, or -1.
func (s *scanner) read(i int) int {
	s.canonical, s.unordered, s.members, s.tiny = true, false, nil, 0
	s.end = s.value(i, s.depth)
	if s.unordered {
		s.canonical, s.members, s.tiny = false, &index{keep: s.keep}, 0
		s.end = s.value(i, s.depth)
	}
	return s.end
}

// scan reads the value at b[i] and returns the index after it, and whether it is in canonical form. It
// allocates nothing for canonical input. A number without a canonical form is merely not canonical here.
func scan(b []byte, i int) (end int, isCanonical bool, err error) {
	s := scanner{b: b}
	if end = s.read(i); end < 0 {
		return i, false, s.err()
	}
	return end, s.canonical, nil
}

// peek is the byte at i, or 0, which is no JSON token, at the end.
func (s *scanner) peek(i int) byte {
	if i < len(s.b) {
		return s.b[i]
	}
	return 0
}

func (s *scanner) space(i int) int {
	if i < len(s.b) && s.b[i] > ' ' {
		return i
	}
	end := SkipSpace(s.b, i)
	s.canonical = s.canonical && end == i
	return end
}

// value reads the value at i, which stands inside depth containers.
func (s *scanner) value(i, depth int) int {
	switch c := s.peek(i); c {
	case '"':
		return s.string(i)
	case '{':
		return s.object(i, depth+1)
	case '[':
		return s.array(i, depth+1)
	case 't', 'f', 'n':
		for _, word := range [...]string{"true", "false", "null"} {
			if len(s.b)-i >= len(word) && string(s.b[i:i+len(word)]) == word {
				return i + len(word)
			}
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number(i)
	}
	if i >= len(s.b) {
		return s.fail(Syntax, i, "the text ends where a value was expected")
	}
	return s.fail(Syntax, i, "a value was expected")
}

func (s *scanner) array(i, depth int) int {
	if depth > MaxDepth {
		return s.fail(Depth, i, "nested too deeply")
	}
	i = s.space(i + 1)
	if s.peek(i) == ']' {
		return i + 1
	}
	for n := 0; ; n++ {
		if i = s.value(i, depth); i < 0 {
			return s.within(segment{name: -1, element: n})
		}
		i = s.space(i)
		switch s.peek(i) {
		case ',':
			i = s.space(i + 1)
		case ']':
			return i + 1
		default:
			return s.fail(Syntax, i, "',' or ']' was expected")
		}
	}
}

func (s *scanner) object(i, depth int) int {
	if depth > MaxDepth {
		return s.fail(Depth, i, "nested too deeply")
	}
	var o openObject
	x := s.members
	if x != nil {
		o = openObject{number: len(x.objects), pending: len(x.pending)}
		if x.keep {
			x.objects = append(x.objects, object{})
		}
	}
	i = s.space(i + 1)
	if s.peek(i) == '}' {
		return s.close(o, i+1)
	}
	for previous := -1; ; {
		name := i
		if i = s.name(i); i < 0 {
			return -1
		}
		if previous >= 0 && !o.unordered && compareNames(s.b, previous, name) >= 0 {
			if x == nil {
				s.unordered = true
				return -1
			}
			o.unordered = true
		}
		previous = name
		objects := 0
		if x != nil {
			objects = len(x.objects)
		}
		if i = s.value(i, depth); i < 0 {
			return s.within(segment{name: name})
		}
		if x != nil {
			x.pending = append(x.pending, member{name, i, objects})
		}
		i = s.space(i)
		switch s.peek(i) {
		case ',':
			i = s.space(i + 1)
		case '}':
			return s.close(o, i+1)
		default:
			return s.fail(Syntax, i, "',' or '}' was expected")
		}
	}
}

// name reads a member's name, the colon and the white space around it.
func (s *scanner) name(i int) int {
	if s.peek(i) != '"' {
		return s.fail(Syntax, i, "a member name was expected")
	}
	if i = s.string(i); i < 0 {
		return -1
	}
	i = s.space(i)
	if s.peek(i) != ':' {
		return s.fail(Syntax, i, "':' was expected")
	}
	return s.space(i + 1)
}

// close ends the object o, before the offset end. It fails at the first name that repeats an earlier one.
func (s *scanner) close(o openObject, end int) int {
	x := s.members
	if x == nil {
		return end // the names ascend
	}
	mine := x.pending[o.pending:]
	x.pending = x.pending[:o.pending]
	if o.unordered {
		slices.SortFunc(mine, func(m, n member) int {
			// Of two equal names the later one is the repetition.
			return cmp.Or(compareNames(s.b, m.name, n.name), cmp.Compare(m.name, n.name))
		})
		twice := -1
		for i := 1; i < len(mine); i++ {
			at := mine[i].name
			if (twice < 0 || at < twice) && compareNames(s.b, mine[i-1].name, at) == 0 {
				twice = at
			}
		}
		if twice >= 0 {
			s.fail(Duplicate, twice, "the object has another member of that name")
			return s.within(segment{name: twice})
		}
	}
	if x.keep {
		x.objects[o.number] = object{first: len(x.members), count: len(mine), end: end, next: len(x.objects)}
		x.members = append(x.members, mine...)
	}
	return end
}

func (s *scanner) string(i int) int {
	if end, wide := plain(s.b, i+1); wide == 0 && s.peek(end) == '"' {
		return end + 1 // as nearly all are
	}
	l := readLiteral(s.b, i)
	if l.fault != 0 {
		return s.fail(l.fault, l.end, l.message(s.b))
	}
	s.canonical = s.canonical && l.canonical
	return l.end
}

// maxTiny bounds the numbers of one text that are slow to convert: some 15 us each.
const maxTiny = 1000

func (s *scanner) number(i int) int {
	end, plain := numberEnd(s.b, i)
	if end < 0 {
		return s.fail(Syntax, i, "not a number of JSON")
	}
	if plain || (s.numbers == ignored && !s.canonical) {
		return end
	}
	var spelled [maxNumber]byte
	form, ok := spelled[:0], false
	if d, exact := parseDecimal(s.b[i:end]); exact {
		if d.n > 0 && -330 <= d.point && d.point < -306 { // subnormal or nearly: slow to convert
			s.tiny++
		}
		if s.tiny <= maxTiny {
			form, ok = d.appendCanonical(form)
		}
	}
	if !ok && s.numbers == fatal {
		return s.fail(Number, i, "a number has no exact canonical form: "+
			"send it as a string, or as one that a float64 holds exactly")
	}
	s.refused = s.refused || !ok
	s.canonical = s.canonical && ok && string(form) == string(s.b[i:end])
	return end
}
