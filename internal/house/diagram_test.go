package house

import (
	"encoding/xml"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// drawing is what a diagram of docs has.
type drawing struct {
	Title string `xml:"title"`
	Desc  string `xml:"desc"`
	Width int    `xml:"width,attr"`
	Rects []struct {
		Class string `xml:"class,attr"`
		X     int    `xml:"x,attr"`
		Y     int    `xml:"y,attr"`
		W     int    `xml:"width,attr"`
		H     int    `xml:"height,attr"`
	} `xml:"rect"`
	Texts []struct {
		Class string `xml:"class,attr"`
		X     int    `xml:"x,attr"`
		Y     int    `xml:"y,attr"`
		Text  string `xml:",chardata"`
	} `xml:"text"`
}

// TestDiagrams: both diagrams are one drawing in two colours, which says in words what it shows, and no text
// leaves its box or runs into another one. A character counts as 0.58 of the size of its font, as those of
// wide fonts are.
func TestDiagrams(t *testing.T) {
	light, dark := readRoot(t, "docs/diagram-light.svg"), readRoot(t, "docs/diagram-dark.svg")
	style := regexp.MustCompile(`(?s)<style>.*?</style>`)
	if style.ReplaceAllString(light, "") != style.ReplaceAllString(dark, "") {
		t.Error("the diagrams differ in more than their style")
	}
	colours := regexp.MustCompile(`#[0-9a-f]{6}`)
	if colours.ReplaceAllString(light, "") != colours.ReplaceAllString(dark, "") {
		t.Error("the styles of the diagrams differ in more than their colours")
	}
	var d drawing
	if err := xml.Unmarshal([]byte(light), &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || len(d.Desc) < 100 || len(d.Rects) < 6 || len(d.Texts) < 15 {
		t.Fatalf("read as %+v", d)
	}
	size := map[string]float64{"name": 15, "label": 12, "": 13}
	for _, text := range d.Texts {
		half := size[text.Class] * 0.58 * float64(utf8.RuneCountInString(text.Text)) / 2
		left, right := float64(text.X)-half, float64(text.X)+half
		boxes, touched := 0, 0
		for _, r := range d.Rects {
			if r.Class == "page" || float64(r.Y) > float64(text.Y) || text.Y-10 > r.Y+r.H {
				continue
			}
			switch {
			case left >= float64(r.X+4) && right <= float64(r.X+r.W-4) && text.Y <= r.Y+r.H-8:
				boxes++
			case right > float64(r.X) && left < float64(r.X+r.W):
				touched++
			}
		}
		label := text.Class == "label"
		if touched > 0 || label != (boxes == 0) || left < 0 || right > float64(d.Width) {
			t.Errorf("%q goes from %.0f to %.0f: it lies in %d boxes and touches %d", text.Text, left, right,
				boxes, touched)
		}
	}
	if !strings.Contains(readRoot(t, "README.md"), "docs/diagram-dark.svg") {
		t.Error("README.md does not show the dark diagram to those who read it in the dark")
	}
}
