package wire

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// fold takes for equal whatever any pair of letters of different case may be taken for: of all of Unicode, no
// other character has a letter of ASCII as its lower, upper or title case.
func TestFoldIsComplete(t *testing.T) {
	for r := rune(unicode.MaxASCII + 1); r <= unicode.MaxRune; r++ {
		want := r
		for _, cased := range []rune{unicode.ToLower(r), unicode.ToUpper(r), unicode.ToTitle(r)} {
			if cased <= unicode.MaxASCII {
				want = unicode.ToLower(cased)
			}
		}
		if got := fold(string(r)); got != string(want) {
			t.Errorf("%U folds to %q, want %q", r, got, string(want))
		}
	}
	for r := range rune(unicode.MaxASCII + 1) {
		if got := fold(string(r)); got != strings.ToLower(string(r)) {
			t.Errorf("%U folds to %q", r, got)
		}
	}
}

const sealedHead = `{"specversion":"1.0","id":"1","source":"/a","type":"b","audience":"c"`

func TestParseSealed(t *testing.T) {
	for _, test := range []struct {
		name, members string
		ignored       []string
		member        string // at fault; "-" = none
	}{
		{"nothing", ``, nil, "-"},
		{"any names", `,"_a":{"b":[1e400]},"":null,"X-Y":1`, []string{"_a", "", "X-Y"}, "-"},
		{"an unlisted name in another case", `,"Subject2":1`, []string{"Subject2"}, "-"},
		{"a core attribute", `,"Subject":1`, nil, "Subject"},
		{"an extension before", `,"Audience":1`, nil, "Audience"},
		{"an extension behind", `,"_a":1,"TEnant":1,"tenant":"x"`, nil, "TEnant"},
		{"an empty extension", `,"TEnant":1,"tenant":""`, []string{"TEnant"}, "-"},
		{"data", `,"DATA":1`, nil, "DATA"},
		{"data_base64", `,"Data_Base64":null`, nil, "Data_Base64"},
		{"cloudevent", `,"CloudEvent":{}`, nil, "CloudEvent"},
		{"cloudevent itself", `,"cloudevent":"x"`, nil, "-"},
		{"a delivery", `,"detail-type":"x"`, nil, "detail-type"},
		{"a record", `,"unverified_id":"x"`, nil, "unverified_id"},
		{"dssematerial", `,"DSSEMATERIAL":1`, nil, "DSSEMATERIAL"},
		{"longest", `,"` + strings.Repeat("\u212a", 64) + `":1,"` + strings.Repeat("k", 64) +
			`":"x"`, nil, strings.Repeat("\u212a", 64)},
		{"longer than any", `,"` + strings.Repeat("\u212a", 66) + `":1,"` + strings.Repeat("k", 64) +
			`":"x"`, []string{strings.Repeat("\u212a", 66)[:maxIgnoredName]}, "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc := []byte(sealedHead + test.members + `}`)
			e, err := ParseSealed(doc)
			if test.member != "-" {
				fault, _ := errors.AsType[*Error](err)
				if fault == nil || fault.Member != test.member && fault.Member != clip(test.member) ||
					fault.TooLarge {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || !slices.Equal(e.Ignored, test.ignored) {
				t.Fatalf("ignored %q, %v", e.Ignored, err)
			}
			if strict, err := Parse(doc); len(test.ignored) > 0 && (err == nil || strict != nil) {
				t.Error("Parse takes it, too")
			}
			if len(test.ignored) == 0 {
				return
			}
			if again, err := Parse(e.Append(nil)); err != nil || again.Ignored != nil {
				t.Errorf("written with what was ignored: %v", err)
			}
		})
	}
}
