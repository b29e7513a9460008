// Package explain has the command that says what a Reason means, why it comes up and who can cure it. The
// page docs/reasons.md is made from the same table.
package explain

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
)

// Command is `sealbus explain`.
func Command(env *ui.Env) *cobra.Command {
	cmd := env.Command(ui.Command{
		Use: "explain [REASON]", Short: "Say what a Reason means, why it comes up, and who can cure it",
		Args: ui.AtMostOne,
		Long: `Say what a Reason means, why it comes up, and who can cure it. Verdicts, logs and quarantine records name a Reason.
Without an argument, list all of them.

docs/reasons.md has the same text on one page.`,
		Example: "sealbus explain revoked_key",
		Run: func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return env.Emit(listResult{All()}, printList)
			}
			e, err := find(args[0])
			if err != nil {
				return err
			}
			return env.Emit(e, func(p *ui.Printer) { printOne(p, e) })
		},
	})
	cmd.ValidArgs = Words()
	return cmd
}

// Explanation is all that is said of one word.
type Explanation struct {
	Reason    string   `json:"reason"`
	Group     string   `json:"group"`
	Class     string   `json:"class"` // permanent, transient or done; file: it is no verdict on an event
	Next      string   `json:"next"`  // what becomes of the delivery
	Meaning   string   `json:"meaning"`
	Fix       string   `json:"fix,omitempty"` // in one line, as verdicts have it; "" = the cures say all
	Causes    []string `json:"causes"`
	Cures     []cure   `json:"cures"`
	Who       []role   `json:"who"` // in the order of the cures
	Elsewhere string   `json:"elsewhere,omitempty"`
	Page      string   `json:"page"`
}

type listResult struct {
	Reasons []Explanation `json:"reasons"`
}

// Words are all words that can be explained, in the order of the list.
func Words() (words []string) {
	for _, c := range chapters {
		words = append(words, c.words...)
	}
	return words
}

// All explains each word, in the order of the list.
func All() (all []Explanation) {
	for _, c := range chapters {
		for _, word := range c.words {
			all = append(all, explained(c.title, word))
		}
	}
	return all
}

func explained(group, word string) Explanation {
	e := Explanation{Reason: word, Group: group, Page: envelope.Reason(word).Page()}
	text := reasons[envelope.Reason(word)]
	if file, ok := fileWords[word]; ok {
		text = file.more
		e.Class, e.Next, e.Meaning = "file", "the command refuses the file, and judges nothing by it", file.meaning
	} else {
		r := envelope.Reason(word)
		e.Class, e.Next, e.Meaning, e.Fix = string(r.Class()), next[r.Class()], r.Cause(), r.Fix()
	}
	e.Causes, e.Cures, e.Elsewhere = text.causes, text.cures, text.elsewhere
	for _, c := range e.Cures {
		if !slices.Contains(e.Who, c.By) {
			e.Who = append(e.Who, c.By)
		}
	}
	return e
}

// next is what becomes of a delivery, by the class of its Reason.
var next = map[envelope.Class]string{
	envelope.Permanent: "it can never pass: the consumer puts it into quarantine and does not retry",
	envelope.Transient: "it is delivered again, and nothing is lost",
	envelope.Done:      "it was handled before, and is acknowledged",
}

// find explains a word. People copy it as they find it: with other case, hyphens or spaces.
func find(word string) (Explanation, error) {
	wanted := strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(strings.TrimSpace(word)))
	for _, e := range All() {
		if e.Reason == wanted {
			return e, nil
		}
	}
	fix := "run `sealbus explain` for the list of Reasons"
	if near := nearest(wanted); len(near) > 0 {
		fix = "did you mean " + strings.Join(near, " or ") + "? `sealbus explain` lists all of them"
	}
	return Explanation{}, ui.Usage(fix, "there is no Reason %q", ui.ShortenTo(word, 60))
}

// mostNear is how many words are offered for one that is misspelled.
const mostNear = 3

// nearest are the words that were probably meant, the best first. A word is near if few letters differ, or if
// it has what was typed in it.
func nearest(wanted string) (near []string) {
	if len(wanted) > 40 || wanted == "" {
		return nil
	}
	distance := map[string]int{}
	for _, word := range Words() {
		d := editDistance(wanted, word)
		if len(wanted) >= 3 && (strings.Contains(word, wanted) || strings.Contains(wanted, word)) {
			d = min(d, 1)
		}
		if d <= 1+len(wanted)/4 {
			distance[word], near = d, append(near, word)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return distance[a] - distance[b] })
	return near[:min(len(near), mostNear)]
}

// editDistance is how many letters have to be added, dropped or changed (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal, row[j+1] = row[j+1], min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
