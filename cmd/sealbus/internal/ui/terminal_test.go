package ui_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
)

func TestTableIsAligned(t *testing.T) {
	p := &ui.Printer{Style: ui.Style{Colour: true}}
	tab := ui.Table{Header: []string{"A", "LONG", "C"}}
	tab.Add(ui.Painted("é", p.Bold), ui.Painted("x\n", p.Red), ui.Painted("end", nil))
	tab.Add(ui.Cells("漢字ab", "", "end")...)
	tab.Print(p)
	plainText := uitest.StripColour(p.String())
	// a character of Chinese is two columns wide
	want := "A       LONG  C\né       x\\n   end\n漢字ab        end\n"
	if plainText != want {
		t.Errorf("got\n%swant\n%s", plainText, want)
	}
}

func TestHarmlessJSON(t *testing.T) {
	in, err := json.Marshal("a\u009b\u202E\U000E0001\u00adé\x7f\ufffe")
	if err != nil {
		t.Fatal(err)
	}
	out := string(ui.HarmlessJSON(in))
	var back string
	if err := json.Unmarshal([]byte(out), &back); err != nil ||
		back != "a\u009b\u202E\U000E0001\u00adé\x7f\ufffe" {
		t.Errorf("%s, %v", out, err)
	}
	if strings.IndexFunc(out, ui.Unprintable) >= 0 || !strings.Contains(out, "é") {
		t.Errorf("%q", out)
	}
}

// TestUnprintable: each kind of character is escaped, and text that means it is not.
func TestUnprintable(t *testing.T) {
	for _, r := range [][2]rune{
		{0, 0x1f}, {0x7f, 0x9f}, {0x61c, 0x61c}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
		{0xfe00, 0xfe0f}, {0xfeff, 0xfeff},
		{0xfff9, 0xfffb}, {0xe0000, 0xe01ef}, {0xe000, 0xe001}, {0x115f, 0x1160}, {0x3164, 0x3164},
		{0xffa0, 0xffa0}, {0x2800, 0x2800}, {0xa0, 0xa0}, {0x3000, 0x3000},
	} {
		for c := r[0]; c <= r[1]; c++ {
			if got := ui.Clean("a" + string(c) + "b"); uitest.Harmful(got) != "" ||
				!strings.HasPrefix(got, `a\`) || !strings.HasSuffix(got, "b") {
				t.Errorf("%U: %q", c, got)
			}
		}
	}
	for _, text := range []string{"plain", "Größe é 漢字 עברית", "a-b_c~!", "→ …"} {
		if ui.Clean(text) != text {
			t.Errorf("%q became %q", text, ui.Clean(text))
		}
	}
}

// TestHarmlessJSONMeansTheSame: what is escaped for a terminal is the same JSON.
func TestHarmlessJSONMeansTheSame(t *testing.T) {
	raw := `{"a":"` + strings.ReplaceAll(strings.Map(func(c rune) rune {
		if c < 0x20 {
			return -1
		}
		return c
	}, uitest.Obeyed), `"`, "") + `",` + "\r\n\t" + `"b":1}`
	out := ui.HarmlessJSON([]byte(raw))
	if bad := uitest.Harmful(string(out)); bad != "" {
		t.Error(bad)
	}
	var before, after any
	if err := json.Unmarshal([]byte(raw), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &after); err != nil || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("%v\n%q\n%q", err, before, after)
	}
	if got := ui.HarmlessJSON([]byte("\"a\xffb\"")); string(got) != `"a\ufffdb"` {
		t.Errorf("not UTF-8: %s", got)
	}
}
