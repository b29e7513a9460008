package apigateway

import (
	"path"
	"testing"
)

// TestOverlap tries all pairs of short patterns against all texts that could be a witness: two patterns
// overlap exactly if a text matches both.
func TestOverlap(t *testing.T) {
	patterns, texts := words("ab*", 3), words("ab", 6) // a witness needs no more letters than both have
	yes := 0
	for _, one := range patterns {
		for _, two := range patterns {
			want := false
			for _, text := range texts {
				if matches(t, one, text) && matches(t, two, text) {
					want = true
					break
				}
			}
			if got := overlap(one, two); got != want {
				t.Errorf("%q and %q overlap: %t", one, two, got)
			}
			if want {
				yes++
			}
		}
	}
	if yes == 0 || yes == len(patterns)*len(patterns) {
		t.Errorf("%d of %d pairs overlap: the test is blind", yes, len(patterns)*len(patterns))
	}
}

// words are all words over the letters of at most that length.
func words(letters string, most int) []string {
	all, longest := []string{""}, []string{""}
	for range most {
		var longer []string
		for _, word := range longest {
			for _, letter := range letters {
				longer = append(longer, word+string(letter))
			}
		}
		all, longest = append(all, longer...), longer
	}
	return all
}

func matches(t *testing.T, pattern, text string) bool {
	t.Helper()
	ok, err := path.Match(pattern, text) // no text has a "/"
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
