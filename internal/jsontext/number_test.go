package jsontext

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

func TestRFC8785Numbers(t *testing.T) {
	lines := bufio.NewScanner(bytes.NewReader(readFile(t, "testdata/rfc8785/numbers.txt")))
	n := 0
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		n++
		var bits uint64
		var want string
		if _, err := fmt.Sscanf(lines.Text(), "%x %s", &bits, &want); err != nil {
			t.Fatal(lines.Text(), err)
		}
		f := math.Float64frombits(bits)
		checkNumber(t, strconv.FormatFloat(f, 'e', -1, 64), want)
		checkNumber(t, want, want)
	}
	if n != 24 {
		t.Errorf("%d numbers, the appendix has 24 finite ones", n)
	}
}

// checkNumber checks what a text becomes; "" is refused.
func checkNumber(t *testing.T, text, want string) {
	t.Helper()
	if want == "" {
		checkError(t, []byte("[0,"+text+"]"), Number, "/1")
	} else if got, err := AppendCanonical(nil, []byte(text)); err != nil || string(got) != want {
		t.Errorf("%.60s: got %.60s, %v; want %s", text, got, err, want)
	}
	end, canonical, err := scan([]byte(text), 0)
	if end != len(text) || canonical != (text == want) || err != nil {
		t.Errorf("scan(%.60s): %d %v %v", text, end, canonical, err)
	}
}

func TestNumbers(t *testing.T) {
	zeros := strings.Repeat("0", 1<<20)
	nines := strings.Repeat("9", 1<<20)
	for _, test := range []struct{ text, want string }{
		{"0", "0"}, {"-0", "0"}, {"0.0", "0"}, {"-0.00", "0"}, {"0e5", "0"},
		{"0E-999999999999999999999", "0"}, {"-0e+0", "0"},
		{"0e" + nines, "0"}, {"0." + zeros + "e" + nines, "0"},
		{"1e3", "1000"}, {"1.0", "1"}, {"1000", "1000"}, {"100e-2", "1"}, {"1E+2", "100"}, {"-1.50e1", "-15"},
		{"1e00", "1"},
		{"9007199254740993", "9007199254740993"}, {"9007199254740993.0", "9007199254740993"},
		{"-9007199254740993", "-9007199254740993"},
		{"9223372036854775807", "9223372036854775807"}, {"18446744073709551616", "18446744073709551616"},
		{"999999999999999999999", "999999999999999999999"},
		{"99999999999999999999.9e1", "999999999999999999999"},
		{"1e20", "100000000000000000000"}, {"1e21", "1e+21"}, {"1000000000000000000000", "1e+21"},
		{"1e22", "1e+22"},
		{"1000000000000000000001", ""}, {"1234567890123456789012", ""}, {"9999999999999999999999", ""},
		{"1." + zeros, "1"}, {"1" + zeros + "e-1048576", "1"}, {"0." + zeros + "1e1048577", "1"},
		{"0." + zeros + "125e1048576", "0.125"},
		{"1." + zeros + "1", ""}, {nines, ""}, {"0." + nines, ""}, {"1" + zeros, ""},
		{"1" + zeros + "e-" + nines, ""},
		{"12.50", "12.5"}, {"0.1", "0.1"}, {"0.10", "0.1"}, {"1e-1", "0.1"}, {"4.50", "4.5"},
		{"2e-3", "0.002"},
		{"0.10000000000000001", ""}, {"0.1000000000000000055511151231257827", ""}, {"333333333.33333329", ""},
		{"0.30000000000000004", "0.30000000000000004"}, {"0.30000000000000003", ""},
		{"0.000001", "0.000001"}, {"0.0000010", "0.000001"}, {"0.0000001", "1e-7"}, {"1e-7", "1e-7"},
		{"1.5e-7", "1.5e-7"}, {"0.00000123", "0.00000123"},
		{"1.5e21", "1.5e+21"}, {"1.5e+21", "1.5e+21"}, {"-1e-7", "-1e-7"}, {"15e20", "1.5e+21"},
		{"1e400", ""}, {"1e-400", ""}, {"-1e400", ""}, {"1e309", ""}, {"1e308", "1e+308"},
		{"1.7976931348623159e308", ""},
		{"5e-324", "5e-324"}, {"4.9e-324", ""}, {"4e-324", ""}, {"2e-324", ""}, {"1e-323", "1e-323"},
		{"2.2250738585072014e-308", "2.2250738585072014e-308"},
		{"1e999999999999", ""}, {"1e-999999999999", ""}, {"1e" + nines, ""}, {"1e-" + nines, ""},
		{"1e9223372036854775808", ""}, {"1e-18446744073709551617", ""},
	} {
		checkNumber(t, test.text, test.want)
	}
}

func TestMillionFloats(t *testing.T) {
	rng := rand.New(rand.NewPCG(8785, 1))
	var text, got []byte
	for n := 0; n < cases.Of(1_000_000); {
		f := math.Float64frombits(rng.Uint64())
		if n%4 == 0 { // most random bits are far from where numbers are
			f = math.Ldexp(f, -math.Ilogb(f)+rng.IntN(140)-60)
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		n++
		want, err := jcs.NumberToJSON(f)
		if err != nil {
			t.Fatal(err)
		}
		text = strconv.AppendFloat(text[:0], f, 'e', -1, 64)
		got, ok := appendNumber(got[:0], text)
		if !ok || string(got) != want {
			t.Fatalf("%s: %s %v, want %s", text, got, ok, want)
		}
		if end, canonical, err := scan(got, 0); end != len(got) || !canonical || err != nil {
			t.Fatalf("scan(%s): %d %v %v", got, end, canonical, err)
		}
	}
}

// Decimals of any length against the reference; those of up to 15 digits are never given to strconv.
func TestRandomDecimals(t *testing.T) {
	rng := rand.New(rand.NewPCG(8785, 2))
	refused := 0
	for range cases.Of(200_000) {
		text := strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10)
		if rng.IntN(4) == 0 {
			text += strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10)
		}
		text = fmt.Sprintf("%s.%s0e%d", text[:1], text[1:], rng.IntN(50)-25)
		if rng.IntN(8) == 0 {
			text += "0" // the subnormal range and beyond
		}
		want, ok := referenceNumber(text)
		got, gotOK := appendNumber(nil, []byte(text))
		if gotOK != ok || (ok && string(got) != want) {
			t.Fatalf("%s: %s %v, want %s %v", text, got, gotOK, want, ok)
		}
		refused += b2i(!ok)
	}
	if refused < cases.Of(10_000) || refused > cases.Of(190_000) {
		t.Errorf("%d refused: one side of the rule is hardly tested", refused)
	}
}

func TestNotNumbers(t *testing.T) {
	for _, text := range []string{"-", "+1", "01", "-01", "00", "1.", ".5", "-.5", "1.e3", "1e", "1e+", "1E-",
		"1e1.5", "0x10", "1_000", "Infinity", "NaN", "-Infinity", "1.2.3", "--1", "1-", "٣"} {
		checkError(t, []byte(text), Syntax, "")
		checkError(t, []byte("[1,"+text+"]"), Syntax, notNumberPointer(text))
	}
}

// notNumberPointer: what begins as a number is a complete element before the fault is seen.
func notNumberPointer(text string) string {
	if end, _ := numberEnd([]byte(text), 0); end > 0 {
		return ""
	}
	return "/1"
}

// appendNumber appends the canonical form of a number of JSON, or says that it has none.
func appendNumber(dst, text []byte) ([]byte, bool) {
	d, ok := parseDecimal(text)
	if !ok {
		return dst, false
	}
	return d.appendCanonical(dst)
}
