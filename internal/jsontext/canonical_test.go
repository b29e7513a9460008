package jsontext

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The files are the test data of github.com/cyberphone/json-canonicalization (Apache 2.0), by the author of
// RFC 8785; values.json is the example of its section 3.2.2 and weird.json that of 3.2.3, with more members.
func TestRFC8785Files(t *testing.T) {
	inputs, _ := filepath.Glob("testdata/rfc8785/input/*.json")
	if len(inputs) < 7 {
		t.Fatalf("only %d inputs", len(inputs))
	}
	for _, input := range inputs {
		text := readFile(t, input)
		want := readFile(t, filepath.Join("testdata/rfc8785/output", filepath.Base(input)))
		if filepath.Base(input) == "values.json" {
			text = exactValues(t, text)
		}
		got, err := AppendCanonical(nil, text)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %s %v\nwant %s", input, got, err, want)
		}
		if end, ok, err := scan(want, 0); end != len(want) || !ok || err != nil {
			t.Errorf("%s: Scan of the output: %d %v %v", input, end, ok, err)
		}
	}
}

// exactValues puts the number that the RFC rounds to in place of the one number of its example that is no
// float64's shortest form: we refuse that one, on purpose.
func exactValues(t *testing.T, text []byte) []byte {
	t.Helper()
	checkError(t, text, Number, "/numbers/0")
	return bytes.Replace(text, []byte("333333333.33333329"), []byte("333333333.3333333"), 1)
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkError(t *testing.T, text []byte, fault Fault, pointer string) {
	t.Helper()
	_, err := AppendCanonical(nil, text)
	var e *Error
	if !errors.As(err, &e) || e.Fault != fault || e.Pointer != pointer {
		t.Errorf("Append(%.80q): %v, want %v at %q", text, err, fault, pointer)
	}
}
