package jsontext

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// speller writes one value in ever different ways: white space, order of members, escapes, numbers.
type speller struct {
	*rand.Rand
	out strings.Builder
}

func newSpeller(seed uint64) *speller { return &speller{Rand: rand.New(rand.NewPCG(8785, seed))} }

var runes = []rune{'a', 'b', '1', ' ', '"', '\\', '/', '<', '~', 0, '\b', '\t', '\n', '\f', '\r', 0x1f, 0x7f,
	0x80, 'é', 0x7ff, 0x800, '€', 0x2028, 0xd7ff, 0xe000, 0xfb33, 0xfffd, 0xffff, 0x10000, 0x1f602, 0x1f603,
	0x10ffff}

func (s *speller) text() string {
	var b strings.Builder
	for range s.IntN(12) {
		b.WriteRune(runes[s.IntN(len(runes))])
	}
	return b.String()
}

// value makes a tree; numbers are decimals.
func (s *speller) value(depth int) any {
	switch n := s.IntN(8); {
	case n < 2 && depth < 5:
		list := make([]any, s.IntN(5))
		for i := range list {
			list[i] = s.value(depth + 1)
		}
		return list
	case n < 5 && depth < 5:
		members := make(map[string]any)
		for range s.IntN(6) {
			members[s.text()] = s.value(depth + 1)
		}
		return members
	case n < 6:
		return s.decimal()
	case n < 7:
		return s.text()
	default:
		return []any{nil, true, false}[s.IntN(3)]
	}
}

func (s *speller) decimal() decimal {
	text := strconv.FormatUint(s.Uint64()>>s.IntN(64), 10)
	if s.IntN(2) == 0 {
		text = strconv.FormatFloat(math.Abs(s.NormFloat64()), 'e', -1, 64)
	}
	d, _ := parseDecimal([]byte(text))
	d.negative = d.n > 0 && s.IntN(2) == 0
	return d
}

func (s *speller) spell(v any) string {
	s.out.Reset()
	s.write(v)
	return s.out.String()
}

func (s *speller) space() {
	for s.IntN(4) == 0 {
		s.out.WriteByte(" \t\r\n"[s.IntN(4)])
	}
}

func (s *speller) write(v any) {
	s.space()
	switch v := v.(type) {
	case nil:
		s.out.WriteString("null")
	case bool:
		s.out.WriteString(strconv.FormatBool(v))
	case string:
		s.writeString(v)
	case decimal:
		s.writeDecimal(v)
	case []any:
		s.writeAll('[', ']', len(v), func(i int) { s.write(v[i]) })
	case map[string]any:
		names := sortedNames(v) // so that the seed alone decides
		s.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		s.writeAll('{', '}', len(names), func(i int) {
			s.write(names[i])
			s.out.WriteByte(':')
			s.write(v[names[i]])
		})
	}
	s.space()
}

func (s *speller) writeAll(first, last byte, n int, write func(i int)) {
	s.out.WriteByte(first)
	for i := range n {
		if i > 0 {
			s.out.WriteByte(',')
		}
		write(i)
	}
	s.space()
	s.out.WriteByte(last)
}

func (s *speller) writeString(text string) {
	s.out.WriteByte('"')
	for _, r := range text {
		switch {
		case s.IntN(4) == 0:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&s.out, []string{`\u%04x`, `\u%04X`}[s.IntN(2)], unit)
			}
		case r == '/' && s.IntN(2) == 0:
			s.out.WriteString(`\/`)
		default:
			s.out.Write(appendRune(nil, r))
		}
	}
	s.out.WriteByte('"')
}

// writeDecimal moves the point anywhere, and the exponent with it.
func (s *speller) writeDecimal(d decimal) {
	if d.negative || (d.n == 0 && s.IntN(2) == 0) {
		s.out.WriteByte('-')
	}
	digits := string(d.digits[:d.n]) + strings.Repeat("0", s.IntN(4))
	point := int(d.point)
	switch before := s.IntN(5) - 2; {
	case before < 0 || len(digits) <= before || d.n == 0:
		digits = "0." + strings.Repeat("0", -min(before, 0)) + digits + "0"
		point += -min(before, 0)
	case before == 0:
		digits = "0." + digits
	default:
		digits = digits[:before] + "." + digits[before:]
		point -= before
	}
	s.out.WriteString(digits)
	if point != 0 || s.IntN(2) == 0 {
		s.out.WriteString([]string{"e", "E"}[s.IntN(2)])
		fmt.Fprintf(&s.out, []string{"%d", "%+d", "%04d"}[s.IntN(3)], point)
	}
}

// However a value is spelled, there is one form of it, which is canonical, its own form, and the reference's.
func TestOneFormPerValue(t *testing.T) {
	s := newSpeller(1)
	for range cases.Of(3000) {
		v := s.value(0)
		first := s.spell(v)
		form, err := AppendCanonical(nil, []byte(first))
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		checkForm(t, form)
		if want, ok := reference([]byte(first)); !ok || want != string(form) {
			t.Fatalf("%s:\n got %s\nwant %s", first, form, want)
		}
		for range 4 {
			again := s.spell(v)
			if got, err := AppendCanonical(nil, []byte(again)); err != nil || string(got) != string(form) {
				t.Fatalf("%s\n%s\n got %s %v\nwant %s", first, again, got, err, form)
			}
		}
	}
}

func checkForm(t *testing.T, form []byte) {
	t.Helper()
	if end, canonical, err := scan(form, 0); end != len(form) || !canonical || err != nil {
		t.Fatalf("scan(%s): %d %v %v", form, end, canonical, err)
	}
	if twice, err := AppendCanonical(nil, form); err != nil || string(twice) != string(form) {
		t.Fatalf("%s became %s, %v", form, twice, err)
	}
}

// Values that differ have forms that differ: what a signature over the form relies on.
func TestFormTellsValuesApart(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"0", "1", "-1", `"1"`, "null", `"null"`, "false", "[]", "{}", "[[]]", "[{}]", "[0]", `{"":0}`,
		`{"0":0}`, `""`, `"\u0000"`, `" "`,
		"9007199254740992", "9007199254740993", "9007199254740992.5e1", "0.1", "0.10000000000000002", `"é"`,
		`"e\u0301"`, `"\\u00e9"`,
		"999999999999999999999", "999999999999999999998", "1e21", "5e-324", "[1,2]", "[2,1]", "[12]",
		`{"a":1,"b":2}`, `{"a":2,"b":1}`,
	} {
		form, err := AppendCanonical(nil, []byte(text))
		if other, twice := seen[string(form)]; twice || err != nil {
			t.Errorf("%s and %s: %s, %v", text, other, form, err)
		}
		seen[string(form)] = text
	}
}

func TestScanWithin(t *testing.T) {
	for _, test := range []struct {
		text      string
		canonical bool
	}{
		{`{"a":[1,"x"]}`, true}, {`[]`, true}, {`"\n\u001f\\\" é/"`, true}, {`"\b\f\n\r\t\"\\"`, true},
		{`{"\b":0,"\f":0,"\"":0}`, true}, {`[1,2.5,-3e-7]`, true}, {`{"😂":0,"ﬀ":1}`, true},
		{`{"\n":0,"\r":0," ":0}`, true},
		{`{"a" :1}`, false}, {`[ ]`, false}, {`{ }`, false}, {`[1 ]`, false}, {`{"b":0,"a":0}`, false},
		{`{"ﬀ":1,"😂":0}`, false}, {`[1.0]`, false}, {`[1e999]`, false},
		{`"\/"`, false}, {`"\u000a"`, false}, {`"\u001F"`, false}, {`"\u0041"`, false},
		{`"\ud83d\ude02"`, false}, {`"\u007f"`, false}, {`{"a":0,"\u0062":0}`, false},
	} {
		for _, after := range []string{"", " ", ",1", "]", "x", `"`} {
			b := []byte("junk" + test.text + after)
			end, canonical, err := scan(b, 4)
			if end != 4+len(test.text) || canonical != test.canonical || err != nil {
				t.Errorf("%s: %d %v %v", b, end, canonical, err)
			}
		}
	}
}

func TestMaxDepth(t *testing.T) {
	for _, pair := range [][2]string{{"[", "]"}, {`{"a":`, "}"}, {`[{"b":0,"a":`, "}]"}} {
		n := MaxDepth / (len(pair[1]))
		text := []byte(strings.Repeat(pair[0], n) + "0" + strings.Repeat(pair[1], n))
		if end, _, err := scan(text, 0); end != len(text) || err != nil {
			t.Errorf("%s: %d %v", pair[0], end, err)
		}
		if _, err := AppendCanonical(nil, text); err != nil {
			t.Errorf("%s: %v", pair[0], err)
		}
	}
}

func TestScanOfCanonicalAllocatesNothing(t *testing.T) {
	s := newSpeller(2)
	texts := [][]byte{[]byte(`[0.30000000000000004,1.7976931348623157e+308,5e-324,"\n\u001f"]`)}
	for _, bm := range benchmarks {
		texts = append(texts, bm.text)
	}
	for range 50 {
		form, err := AppendCanonical(nil, []byte(s.spell(s.value(0))))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, form)
	}
	for _, text := range texts {
		dst := make([]byte, 0, len(text))
		if n := testing.AllocsPerRun(10, func() { _, _, _ = scan(text, 0) }); n != 0 {
			t.Errorf("scan(%.80s): %v allocations", text, n)
		}
		if n := testing.AllocsPerRun(10, func() { _, _ = AppendCanonical(dst, text) }); n != 0 {
			t.Errorf("Append(%.80s): %v allocations", text, n)
		}
	}
}

// The worst texts for order: memory stays a multiple of the text, and nested disorder does not multiply.
func TestDisorderIsBounded(t *testing.T) {
	var members []string
	for i := range 100_000 {
		members = append(members, fmt.Sprintf(`"%06d":0`, i))
	}
	sorted := "{" + strings.Join(members, ",") + "}"
	slices.Reverse(members)
	reversed := "{" + strings.Join(members, ",") + "}"
	nest := func(inner string) string {
		return strings.Repeat(`{"b":0,"a":`, MaxDepth-1) + inner + strings.Repeat("}", MaxDepth-1)
	}
	nested := strings.Repeat(`{"a":`, MaxDepth-1) + sorted + strings.Repeat(`,"b":0}`, MaxDepth-1)
	for _, test := range []struct{ text, want string }{{reversed, sorted}, {nest(reversed), nested}} {
		var got []byte
		used := allocated(func() { got, _ = AppendCanonical(nil, []byte(test.text)) })
		if string(got) != test.want {
			t.Errorf("%.40s: wrong order", test.text)
		}
		if used > 32*len(test.text) {
			t.Errorf("%.40s: %d bytes of memory for %d of text", test.text, used, len(test.text))
		}
	}
	checkError(t, []byte(strings.Replace(reversed, `"000007"`, `"\u003000042"`, 1)), Duplicate, "/000042")
}

func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// Strings longer than a word, with every stop at every place.
func TestPlain(t *testing.T) {
	for length := range 40 {
		for at := range length {
			for c := range 256 {
				b := []byte(strings.Repeat("~", length))
				b[at] = byte(c)
				end, wide := plain(b, 0)
				stops := c < ' ' || c == '"' || c == '\\'
				if (stops && end != at) || (!stops && end != length) || (wide != 0) != (c >= 0x80) {
					t.Fatalf("%q: %d %x", b, end, wide)
				}
			}
		}
	}
	if end, wide := plain([]byte("abc\"\xff\xff\xff\xff"), 0); end != 3 || wide != 0 {
		t.Errorf("what follows the string counts: %d %x", end, wide)
	}
}

func TestCompareNames(t *testing.T) {
	s := newSpeller(3)
	for range 200_000 {
		a, b := s.text(), s.text()
		if s.IntN(3) == 0 {
			b = a + b
		}
		s.out.Reset()
		s.writeString(a)
		j := s.out.Len()
		s.writeString(b)
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		text := []byte(s.out.String())
		if got, back := compareNames(text, 0, j), compareNames(text, j, 0); got != want || back != -want {
			t.Fatalf("%s: %d and %d, want %d", text, got, back, want)
		}
	}
}
