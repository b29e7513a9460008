package webhook

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// TestSignedStringsAreCutInOneWay: for random recipes that lint accepts and random hostile requests, no other
// request that the checker takes has the same signed bytes. Every way to cut them is tried.
func TestSignedStringsAreCutInOneWay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	accepted, ambiguous := 0, 0
	for range cases.Of(20_000) {
		w := randomWay(r)
		ok := w.joins() == nil
		c := cutter{w: w, baseURL: "https://h.example"}
		whole, valid := c.random(r)
		if !valid {
			continue // the checker refuses this request
		}
		n := c.cuts(whole, w.signed, "")
		switch {
		case ok:
			accepted++
			if n != 1 {
				t.Fatalf("%+v: %q can be cut in %d ways", w.signed, whole, n)
			}
		case n > 1:
			ambiguous++
		}
	}
	if accepted < 100 || ambiguous < 100 { // the second shows that such requests are tried
		t.Errorf("only %d requests of accepted recipes, %d ambiguous ones of others", accepted, ambiguous)
	}
}

// randomWay is a way with the body, and other parts and texts around it.
func randomWay(r *rand.Rand) *way {
	w := &way{time: timeSource{unit: time.Second, tolerance: 300 * time.Second}}
	names := []string{partTime, partID, partMethod, partURL}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = append(names[:r.IntN(4)], partBody)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	texts := []string{".", ":", ",", "v0:", "0", "P", "|", "{"}
	for _, name := range names {
		if r.IntN(3) == 0 {
			w.signed = append(w.signed, part{text: texts[r.IntN(len(texts))]})
		}
		w.signed = append(w.signed, part{name: name})
	}
	return w
}

// cutter knows what the checker takes as each part.
type cutter struct {
	w       *way
	baseURL string
}

// random is the signed string of a request that is made of what could move a boundary.
func (c *cutter) random(r *rand.Rand) (whole string, valid bool) {
	tokens := []string{"1700000001", ".", ":", ",", "v0:", "{", "}", "0", "7", "a", "POST", "P", "/", "|",
		"x"}
	text := func(most int) (s string) {
		for range r.IntN(most + 1) {
			s += tokens[r.IntN(len(tokens))]
		}
		return s
	}
	valid = true
	for _, p := range c.w.signed {
		value := p.text
		switch p.name {
		case partBody:
			value = text(4)
			if r.IntN(2) == 0 {
				value = "{" + value
			}
		case partTime:
			value = "1700000000"
		case partID:
			value = text(2)
		case partMethod:
			value = []string{"POST", "P", "PUT"}[r.IntN(3)]
		case partURL:
			value = c.baseURL + "/" + text(2)
		}
		valid = valid && (p.name == "" || c.takes(p.name, value))
		whole += value
	}
	return whole, valid && c.cuts(whole, c.w.signed, "") > 0
}

// cuts counts the ways to cut the text into the parts.
func (c *cutter) cuts(text string, parts []part, body string) int {
	if len(parts) == 0 {
		url := c.w.has(partURL)
		if text != "" || url && !strings.HasPrefix(body, "{") && !strings.HasPrefix(body, "[") {
			return 0
		}
		return 1
	}
	p := parts[0]
	if p.name == "" {
		if rest, ok := strings.CutPrefix(text, p.text); ok {
			return c.cuts(rest, parts[1:], body)
		}
		return 0
	}
	n := 0
	for i := range len(text) + 1 {
		if !c.takes(p.name, text[:i]) {
			continue
		}
		if p.name == partBody {
			body = text[:i]
		}
		n += c.cuts(text[i:], parts[1:], body)
	}
	return n
}

// takes asks the code that checks requests.
func (c *cutter) takes(name, text string) bool {
	switch name {
	case partTime:
		at, err := c.w.time.parse(text)
		off := at.Sub(time.Unix(1_700_000_000, 0))
		return err == nil && off <= c.w.time.tolerance && off >= -c.w.time.tolerance
	case partID:
		w := &wayChecker{way: c.w}
		for _, p := range c.w.signed {
			w.texts += p.text
		}
		return isWord(text) && w.checkID(text) == nil
	case partMethod:
		_, err := method(text)
		return err == nil
	case partURL:
		target, ok := strings.CutPrefix(text, c.baseURL)
		_, err := (&recipeChecker{baseURL: c.baseURL}).url(&Request{Target: target, Body: []byte("{")})
		return ok && err == nil
	}
	return true
}
