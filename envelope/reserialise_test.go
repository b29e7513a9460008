package envelope_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys/trust"
)

// However a broker re-serialises JSON data without changing a value (order of members, white space, escapes,
// spelling of numbers), the event is verified, and is the same event.
func TestReserialisedData(t *testing.T) {
	seed := rand.Uint64()
	trust := bundleOf(t, "orders")
	for i := range cases.Of(4000) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		value := randomValue(r, 4)
		ev := orderEvent(t)
		jsonData(written(r, value))(&ev)
		sealed, err := envelope.Seal(t.Context(), ev, cast["orders"], &envelope.SealOptions{Now: fixedNow})
		if err != nil {
			t.Fatalf("seed %d, %d: %v\n%s", seed, i, err, ev.DataEncoded)
		}
		opts := &envelope.Policy{Now: fixedNow, Unsafe: unchecked}
		want, err := envelope.Open(t.Context(), sealed.JSON(), trust, opts)
		if err != nil {
			t.Fatalf("seed %d, %d: %v", seed, i, err)
		}
		in := resealed(t, sealed, written(r, value))
		got, err := envelope.Open(t.Context(), in, trust, opts)
		if err != nil || string(got.JSON()) != string(want.JSON()) ||
			string(got.Event.Data()) != string(want.Event.Data()) {
			t.Fatalf("seed %d, %d: %v\nsealed  %s\narrived %s", seed, i, err, sealed.JSON(), in)
		}
		if value.kind == '{' {
			checkEmbedded(t, trust, opts, sealed, string(want.JSON()), written(r, value))
		}
	}
}

// resealed is the sealed event with its data as another JSON writer would have written it.
func resealed(t *testing.T, sealed *envelope.Sealed, data string) []byte {
	t.Helper()
	return []byte(members(t, sealed.JSON()).Set("data", data).String())
}

func checkEmbedded(t *testing.T, trust trust.Source, opts *envelope.Policy, sealed *envelope.Sealed, want,
	data string) {
	t.Helper()
	entry, err := sealed.EventBridge(envelope.Embedded)
	if err != nil {
		t.Fatal(err)
	}
	attributes := members(t, entry.Detail).Get("cloudevent")
	data = strings.TrimSpace(data)
	detail := "{" + `"cloudevent":` + attributes + "," + data[1:]
	if strings.TrimSpace(data[1:]) == "}" {
		detail = `{"cloudevent":` + attributes + "}"
	}
	in := mint.Delivery(entry.Source, entry.DetailType, "111122223333", detail).String()
	opened, err := openEventBridge(t.Context(), []byte(in), trust, opts)
	if err != nil || string(opened.JSON()) != want {
		t.Fatalf("%v\n%s", err, in)
	}
}

// randomValue is a random JSON value whose numbers have canonical forms, within int64 if they are integers.
func randomValue(r *rand.Rand, depth int) *node {
	kind := r.IntN(6)
	if depth == 4 {
		kind = 4 + r.IntN(2)
	}
	if depth == 0 {
		kind = r.IntN(4)
	}
	switch kind {
	case 0:
		return &node{kind: 'r', text: []string{"true", "false", "null"}[r.IntN(3)]}
	case 1:
		return &node{kind: 'r', text: randomNumber(r)}
	case 2, 3:
		return &node{kind: '"', text: randomText(r)}
	case 4:
		n := &node{kind: '['}
		for range r.IntN(5) {
			n.kids = append(n.kids, randomValue(r, depth-1))
		}
		return n
	}
	n := &node{kind: '{'}
	for range r.IntN(6) {
		k := randomValue(r, depth-1)
		k.name = randomText(r)
		if !slices.ContainsFunc(n.kids, func(o *node) bool { return o.name == k.name }) {
			n.kids = append(n.kids, k)
		}
	}
	return n
}

func randomNumber(r *rand.Rand) string {
	switch r.IntN(4) {
	case 0:
		return strconv.FormatInt(int64(r.Uint64())>>r.IntN(63), 10)
	case 1:
		return strconv.FormatFloat(float64(r.IntN(1_000_000)-500_000)/100, 'f', -1, 64)
	case 2:
		return strconv.FormatFloat(r.NormFloat64()*1e-12, 'g', -1, 64)
	}
	return []string{"0", "1", "-1", "9007199254740993", "0.1", "5e-324", "1.5e300"}[r.IntN(7)]
}

func randomText(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteRune([]rune{'a', 'b', 'Z', '0', ' ', '"', '\\', '/', '\n', 0x1f, 0x7f, 'é', '€', '\u2028', '😀',
			'<', '\uFFFD', '\uE000'}[r.IntN(18)])
	}
	return b.String()
}

// written is the value as some JSON writer might write it.
func written(r *rand.Rand, n *node) string {
	space := func() string { return []string{"", "", " ", "\n", "\t", "\r\n"}[r.IntN(6)] }
	switch n.kind {
	case 'r':
		return space() + respelled(r, n.text) + space()
	case '"':
		return space() + escaped(r, mint.Quote(n.text)) + space()
	}
	var parts []string
	for _, i := range kidOrder(r, n) {
		k := n.kids[i]
		part := written(r, k)
		if n.kind == '{' {
			part = space() + escaped(r, mint.Quote(k.name)) + space() + ":" + part
		}
		parts = append(parts, part)
	}
	return space() + string(n.kind) + space() + strings.Join(parts, ",") + string(n.kind+2) + space()
}

// kidOrder is an order of the kids: any for the members of an object.
func kidOrder(r *rand.Rand, n *node) []int {
	if n.kind == '{' {
		return r.Perm(len(n.kids))
	}
	list := make([]int, len(n.kids))
	for i := range list {
		list[i] = i
	}
	return list
}

// escaped writes the characters of a JSON string with and without escapes.
func escaped(r *rand.Rand, quoted string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range mint.Unquote(quoted) {
		plain := mint.Quote(string(c))
		switch {
		case r.IntN(3) > 0:
			b.WriteString(plain[1 : len(plain)-1])
		case c == '/':
			b.WriteString(`\/`)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&b, `\u%04x\u%04X`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// respelled is another spelling of the same number, with another place of the point; what is no number stays.
func respelled(r *rand.Rand, text string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	e, err := strconv.Atoi(exponent)
	if exponent == "" {
		e, err = 0, nil
	}
	sign, mantissa := "", mantissa
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if err != nil || strings.Trim(whole+fraction, "0123456789") != "" || whole == "" {
		return text
	}
	if digits == "" {
		return []string{"0", "-0", "0.0", "0e7", "-0.00E-3"}[r.IntN(5)]
	}
	e -= len(fraction)
	zeros := r.IntN(4)
	digits, e = digits+strings.Repeat("0", zeros), e-zeros
	point := r.IntN(len(digits) + 1)
	e += len(digits) - point
	out := sign + "0"
	if point > 0 {
		out = sign + digits[:point]
	}
	if point < len(digits) {
		out += "." + digits[point:]
	}
	if e == 0 {
		return out
	}
	return out + []string{"e", "E"}[r.IntN(2)] + []string{"", "+"}[btoi(e > 0 && r.IntN(2) == 0)] +
		strconv.Itoa(e)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
